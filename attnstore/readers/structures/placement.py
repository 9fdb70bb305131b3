"""Where the residues seen in a PDB file stand in the sequence that its SEQRES declares."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from Bio.Align import PairwiseAligner
from numpy.typing import NDArray

from ...errors import SourceError
from .chain import Residue

_WILDCARD = "?"
# Distinct names become characters from here on, away from the wildcard.
_FIRST_CHARACTER = 0x100
_ALIGNMENTS_COMPARED = 64

#: Number, insertion code and name of a residue listed as unresolved (REMARK 465).
Missing = tuple[int, str | None, str]


def place(sequence: Sequence[str], observed: Sequence[Residue], missing: Sequence[Missing], where: str) -> list[int]:
    """Return the 0-based place in the sequence of each observed residue.

    Observed and listed unresolved residues, merged by number, usually are the sequence, and then that is
    the answer. Otherwise an alignment is made that has to reproduce every observed residue by name and
    that departs as little as it can from the author numbering.

    Parameters
    ----------
    sequence
        Residue names of the whole chain.
    observed
        Residues with coordinates, in chain order.
    missing
        Residues listed as unresolved, in chain order.
    where
        The chain, for messages.

    Raises
    ------
    SourceError
        The observed residues are not part of the sequence, or fit it in more than one way.
    """
    if not observed:
        return []
    merged = _merged(observed, missing)
    if len(merged) == len(sequence) and all(_fits(item, name) for item, name in zip(merged, sequence, strict=True)):
        return [index for index, item in enumerate(merged) if isinstance(item, Residue)]
    return _aligned(sequence, observed, where)


def _merged(observed: Sequence[Residue], missing: Sequence[Missing]) -> list[Residue | str]:
    merged: list[Residue | str] = []
    waiting = list(missing)
    for residue in observed:
        while waiting and (waiting[0][0], waiting[0][1] or "") < (
            residue.number,
            residue.insertion_code or "",
        ):
            merged.append(waiting.pop(0)[2])
        merged.append(residue)
    return merged + [name for _, _, name in waiting]


def _fits(item: Residue | str, name: str) -> bool:
    return name in item.variants if isinstance(item, Residue) else name == item


def _aligned(sequence: Sequence[str], observed: Sequence[Residue], where: str) -> list[int]:
    query, columns = _query(observed, len(sequence))
    characters = {name: chr(_FIRST_CHARACTER + i) for i, name in enumerate(dict.fromkeys([*sequence, *query]))}
    characters[_WILDCARD] = _WILDCARD

    aligner = PairwiseAligner()
    aligner.mode = "global"
    aligner.wildcard = _WILDCARD
    # Matches outweigh any sum of gaps, so that a residue is left out only where none can be put in.
    aligner.match_score = 1000.0 * len(sequence)
    aligner.mismatch_score = -1e9
    aligner.open_gap_score = -1.0
    aligner.extend_gap_score = -0.01
    aligner.end_gap_score = 0.0
    alignments = aligner.align(
        "".join(characters[name] for name in sequence), "".join(characters[name] for name in query)
    )
    placements = {
        tuple(_columns_placed(alignment.aligned, len(query))[columns].tolist())
        for alignment in islice(alignments, _ALIGNMENTS_COMPARED)
    }
    found = min(placements)
    for residue, index in zip(observed, found, strict=True):
        if index < 0 or not _fits(residue, sequence[index]):
            raise SourceError(
                f"{where}: residue {residue.label} does not fit the sequence in SEQRES; "
                f"correct SEQRES, or remove it to take the sequence from the atoms."
            )
    if len(placements) > 1:
        pairs = zip(observed, zip(*placements, strict=True), strict=True)
        label = next(residue.label for residue, choices in pairs if len(set(choices)) > 1)
        raise SourceError(
            f"{where}: residue {label} fits the sequence in SEQRES at more than one place; "
            f"give the entry as mmCIF, which states the place."
        )
    return list(found)


def _query(observed: Sequence[Residue], longest: int) -> tuple[list[str], list[int]]:
    """Return names with a wildcard for each number left out, and where the residues stand in them."""
    query: list[str] = []
    columns = []
    for index, residue in enumerate(observed):
        if index:
            left_out = residue.number - observed[index - 1].number - 1
            query += [_WILDCARD] * min(max(left_out, 0), longest)
        columns.append(len(query))
        query.append(residue.name if len(residue.variants) == 1 else _WILDCARD)
    return query, columns


def _columns_placed(blocks: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return the place of each query column from an alignment's blocks, -1 where it has none."""
    placed = np.full(length, -1, dtype=np.int64)
    for (start, stop), (query_start, query_stop) in zip(*blocks, strict=True):
        placed[query_start:query_stop] = np.arange(start, stop)
    return placed
