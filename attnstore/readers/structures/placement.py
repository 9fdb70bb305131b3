"""Positions of residues in a chain: observed residues in SEQRES, and HETATM residues after the chain in the file."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
from Bio.Align import PairwiseAligner
from numpy.typing import NDArray

from ...errors import SourceError
from .chemistry import Parents, is_amino_acid
from .entry import Residue

_WILDCARD = "?"
# Distinct names become characters from here on, different from the wildcard.
_FIRST_CHARACTER = 0x100
_ALIGNMENTS_COMPARED = 64

#: Number, insertion code and name of a residue listed as unresolved (REMARK 465).
Missing = tuple[int, str | None, str]


def place(sequence: Sequence[str], observed: Sequence[Residue], missing: Sequence[Missing], where: str) -> list[int]:
    """Return the 0-based place in the sequence of each observed residue.

    Observed and unresolved residues, merged by number, usually are the sequence, and then that is the result. Otherwise
    an alignment is made that reproduces every observed residue by name and deviates as little as possible from the
    author numbering.

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
    # Matches outweigh any sum of gaps, so that a residue is left out only if it fits nowhere.
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
    """Return names with a wildcard for each number left out, and the positions of the residues among them."""
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
    """Return the position of each query column from an alignment's blocks, -1 if it has none."""
    placed = np.full(length, -1, dtype=np.int64)
    for (start, stop), (query_start, query_stop) in zip(*blocks, strict=True):
        placed[query_start:query_stop] = np.arange(start, stop)
    return placed


_log = logging.getLogger(__name__)

#: Å, with tolerance for poor geometry: a peptide bond is 1.33 long, Cα of neighbours are at most 3.8 apart.
_BOND = 2.0
_STEP = 4.5


def with_strays(
    polymer: Sequence[Residue], behind: Sequence[Residue], parents: Parents, where: str, *, declared: bool
) -> list[Residue]:
    """Insert HETATM residues into a polymer's residues, by their numbers and the gaps.

    A residue is inserted between the two with neighbouring numbers, or at an end, if it is bound to one of them (or
    follows without a gap in number, if no atoms show a bond). HETATM residues at the end of the polymer itself stay if
    they are bound, or if no atoms show a bond. Other residues are ligands, named in a warning if the polymer may lack
    them.

    Parameters
    ----------
    polymer
        Residues, in the file's order.
    behind
        Other residues of the same chain, after its end.
    parents
        As the file declares them.
    where
        The chain, for messages.
    declared
        Whether the file declares the sequence, which then is complete.
    """
    end = 1 + max((index for index, one in enumerate(polymer) if not _hetero(one)), default=len(polymer) - 1)
    body = list(polymer[:end])
    strays = [one for one in behind if _hetero(one) and _may_be_of_a_chain(one, parents)]
    for one in polymer[end:]:
        last = body[-1]
        # S-adenosylmethionine, too, has the names N, CA and C, and an amino acid may be a ligand.
        if _order(one) > _order(last) and _bound(last, one) is not False:
            body.append(one)
        else:
            strays.append(one)
    if not (body and strays):
        return body
    found, left = _put_in(body, strays)
    numbers = [one.number for one in body]
    lacking = [one for one in left if not declared or min(numbers) - 1 <= one.number <= max(numbers) + 1]
    if lacking:
        named = ", ".join(one.label for one in lacking[:3]) + (f" and {len(lacking) - 3} more" if lacking[3:] else "")
        _log.warning(
            "%s: %s of HETATM records stands behind the chain and fits no gap of it: taken for a ligand", where, named
        )
    return found


def _hetero(residue: Residue) -> bool:
    return all(variant.hetero for variant in residue.variants.values())


def _may_be_of_a_chain(residue: Residue, parents: Parents) -> bool:
    return any(is_amino_acid(name, parents) and ("CA" in variant.atoms) for name, variant in residue.variants.items())


def _order(residue: Residue) -> tuple[int, str]:
    return residue.number, residue.insertion_code or ""


def _put_in(body: Sequence[Residue], strays: Sequence[Residue]) -> tuple[list[Residue], list[Residue]]:
    """Return the chain with the strays that fit, and those that do not."""
    taken = {_order(one) for one in body}
    found, left = list(body), []
    new: set[int] = set()
    for one in sorted(strays, key=_order):
        places = [
            place
            for place in range(len(found) + 1)
            if (place == 0 or _order(found[place - 1]) < _order(one))
            and (place == len(found) or _order(one) < _order(found[place]))
        ]
        if _order(one) in taken or len(places) != 1:
            left.append(one)
            continue
        found.insert(places[0], one)
        taken.add(_order(one))
        new.add(id(one))
    # From the chain outwards: a residue next to an inserted one is inserted if that one is.
    holding = True
    while holding and new:
        holding = False
        for index, one in enumerate(found):
            neighbours = [found[near] for near in (index - 1, index + 1) if 0 <= near < len(found)]
            if id(one) in new and any(id(near) not in new and _next_to(near, one) for near in neighbours):
                new.discard(id(one))
                holding = True
    return [one for one in found if id(one) not in new], left + [one for one in found if id(one) in new]


def _next_to(near: Residue, one: Residue) -> bool:
    first, second = sorted((near, one), key=_order)
    bound = _bound(first, second)
    return second.number - first.number <= 1 if bound is None else bound


def _bound(first: Residue, second: Residue) -> bool | None:
    """Say whether a peptide bond joins two residues, None if they lack the atoms that show it."""
    for one, other, most in (("C", "N", _BOND), ("CA", "CA", _STEP)):
        apart = [
            math.dist(here.atoms[one].position, there.atoms[other].position)
            for here in first.variants.values()
            for there in second.variants.values()
            if one in here.atoms and other in there.atoms
        ]
        if apart:
            return min(apart) < most
    return None
