"""The assignment of proteins to segments and batches.

The plan is made once, recorded, and followed: a resumed run computes the same batches and so the same weights. Batches
contain proteins of similar length, for little padding. A segment begins with its longest proteins, so that a model that
does not fit in memory fails at the start and not at the end.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import StoreError
from ..format.documents import PLAN_FILE, read_document, write_document

T = TypeVar("T")

#: Default number of attention entries (layers × heads × pairs) in a segment, about its size in memory in bytes. 2²⁷ is
#: one protein of 510 residues under a model of ProtBert's size: a GPU needs more of them in a batch.
SEGMENT_ENTRIES = {"cpu": 1 << 27, "cuda": 1 << 32}

#: Default budget of a batch, see :func:`cost`.
BATCH_PAIRS = {"cpu": 1 << 19, "cuda": 1 << 24}


#: Below this number of residues, a batch takes more memory per residue than per pair.
_SHORT = 128


@dataclass(frozen=True)
class PlannedSegment:
    """A planned segment: protein ids by batch, in the order in which they will be stored."""

    number: int
    batches: tuple[tuple[str, ...], ...]

    @property
    def proteins(self) -> list[str]:
        """Ids of its proteins, in that order."""
        return [name for batch in self.batches for name in batch]

    def among(self, proteins: Mapping[str, T]) -> dict[str, T]:
        """Those of its proteins that exist, in that order."""
        return {name: proteins[name] for name in self.proteins if name in proteins}


def cost(proteins: int, longest: int) -> int:
    """The part of its budget that a batch uses: residues², padding included; short proteins count as longer ones."""
    return proteins * longest * max(longest, _SHORT)


def plan_segments(
    lengths: Sequence[tuple[str, int]],
    *,
    heads: int,
    segment_entries: int,
    batch_pairs: int,
    first_number: int = 0,
) -> list[PlannedSegment]:
    """Assign proteins to batches, and batches to segments.

    Each batch, the longest proteins first, goes into the segment with the fewest entries. So segments are similar in
    size and content, and therefore in memory and time, however many there are.

    Parameters
    ----------
    lengths : protein id and stored length
    heads : layers × heads, the entries of a pair
    segment_entries : most entries in a segment; a larger protein has its own segment
    batch_pairs : largest :func:`cost` of a batch; a protein that costs more has its own batch
    first_number : number of the first segment
    """
    size = {name: heads * length * length for name, length in lengths}
    batches = _batches(lengths, size, segment_entries, batch_pairs)
    filled = [(0, number) for number in range(min(len(batches), -(-sum(size.values()) // segment_entries)))]
    members: list[list[tuple[str, ...]]] = [[] for _ in filled]
    for batch in batches:
        entries = sum(size[name] for name in batch)
        held, number = filled[0]
        if held and held + entries > segment_entries:
            number, held = len(members), 0
            members.append([])
            heapq.heappush(filled, (entries, number))
        else:
            heapq.heapreplace(filled, (held + entries, number))
        members[number].append(batch)
    planned = [tuple(batches) for batches in members if batches]
    return [PlannedSegment(first_number + number, batches) for number, batches in enumerate(planned)]


def _batches(
    lengths: Sequence[tuple[str, int]], size: Mapping[str, int], segment_entries: int, batch_pairs: int
) -> list[tuple[str, ...]]:
    """Groups of similar length, the longest first."""
    batches: list[tuple[str, ...]] = []
    batch: list[str] = []
    entries = width = 0
    for name, length in sorted(lengths, key=lambda item: -item[1]):
        if batch and (cost(len(batch) + 1, width) > batch_pairs or entries + size[name] > segment_entries):
            batches.append(tuple(batch))
            batch, entries = [], 0
        if not batch:
            width = length
        batch.append(name)
        entries += size[name]
    return [*batches, tuple(batch)] if batch else batches


def read_plan(directory: Path) -> list[PlannedSegment]:
    """Read the recorded plan of a model; empty before the first run."""
    path = directory / PLAN_FILE
    if not path.exists():
        return []
    content = read_document(path, f"the plan of model {directory.name}")
    try:
        plan = [
            PlannedSegment(int(segment["number"]), tuple(map(tuple, segment["batches"])))
            for segment in content["segments"]
        ]
        if not all(isinstance(name, str) for segment in plan for name in segment.proteins):
            raise ValueError("an id is not text")
        if [segment.number for segment in plan] != list(range(len(plan))):
            raise ValueError("segments are not numbered from 0")
        return plan
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error!r}.") from None


def write_plan(directory: Path, plan: list[PlannedSegment]) -> None:
    """Record a plan."""
    write_document(directory / PLAN_FILE, {"segments": [asdict(segment) for segment in plan]})
