"""Which proteins go into which segment and which batch.

The plan is made once, recorded, and followed: a resumed run computes the same batches and so the same weights.
Longest proteins come first: batches then hold neighbours in length, and a model that does not fit in memory fails
at the start rather than at the end.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import StoreError
from ..layout import PLAN_FILE, read_document, write_document

#: Attention entries (layers × heads × pairs) in a segment, about its size in memory in bytes, where the user does not
#: say. 2²⁷ is one protein of 510 residues under a model of ProtBert's size: a GPU wants more of them in a batch.
SEGMENT_ENTRIES = {"cpu": 1 << 27, "cuda": 1 << 32}

#: What a batch may :func:`cost` where the user does not say.
BATCH_PAIRS = {"cpu": 1 << 20, "cuda": 1 << 24}


#: Below so many residues a batch takes more memory for what it holds of each residue than of each pair.
_SHORT = 128


@dataclass(frozen=True)
class PlannedSegment:
    """A segment to be: protein ids by batch, in the order in which they will be stored."""

    number: int
    batches: tuple[tuple[str, ...], ...]

    @property
    def proteins(self) -> list[str]:
        """Its proteins' ids, in that order."""
        return [name for batch in self.batches for name in batch]


def cost(proteins: int, longest: int) -> int:
    """What a batch takes of its budget: residues², padding included; short proteins count as more than that."""
    return proteins * longest * max(longest, _SHORT)


def plan_segments(
    lengths: Iterable[tuple[str, int]],
    *,
    heads: int,
    segment_entries: int,
    batch_pairs: int,
    first_number: int = 0,
) -> list[PlannedSegment]:
    """Cut proteins into segments and batches.

    Parameters
    ----------
    lengths : protein id and stored length
    heads : layers × heads, the entries of a pair
    segment_entries : most entries in a segment; a larger protein stands alone
    batch_pairs : most that a batch may :func:`cost`; a protein that costs more stands alone
    first_number : number of the first segment
    """
    ordered = sorted(lengths, key=lambda item: -item[1])
    segments: list[PlannedSegment] = []
    batches: list[tuple[str, ...]] = []
    batch: list[str] = []
    entries = width = 0

    def close_batch() -> None:
        if batch:
            batches.append(tuple(batch))
            batch.clear()

    def close_segment() -> None:
        close_batch()
        if batches:
            segments.append(PlannedSegment(first_number + len(segments), tuple(batches)))
            batches.clear()

    for name, length in ordered:
        size = heads * length * length
        if entries and entries + size > segment_entries:
            close_segment()
            entries = 0
        if batch and cost(len(batch) + 1, width) > batch_pairs:
            close_batch()
        if not batch:
            width = length
        batch.append(name)
        entries += size
    close_segment()
    return segments


def read_plan(directory: Path) -> list[PlannedSegment]:
    """The recorded plan of a model; empty before the first run."""
    path = directory / PLAN_FILE
    if not path.exists():
        return []
    content = read_document(path, f"the plan of model {directory.name}")
    try:
        return [
            PlannedSegment(int(segment["number"]), tuple(map(tuple, segment["batches"])))
            for segment in content["segments"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error!r}.") from None


def write_plan(directory: Path, plan: list[PlannedSegment]) -> None:
    """Record a plan."""
    write_document(directory / PLAN_FILE, {"segments": [asdict(segment) for segment in plan]})
