"""HETATM residues of a polymer that stand behind it in the file, as selenomethionine does in many programs' files."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from .amino_acids import Parents, is_amino_acid
from .chain import Residue

_log = logging.getLogger(__name__)

#: Å, with room for poor geometry: a peptide bond is 1.33 long, Cα of neighbours are at most 3.8 apart.
_BOND = 2.0
_STEP = 4.5


def with_strays(
    polymer: Sequence[Residue], behind: Sequence[Residue], parents: Parents, where: str, *, declared: bool
) -> list[Residue]:
    """Return a polymer's residues with those of HETATM put where their numbers and the gaps put them.

    A residue is put between the two whose numbers are next to its own, or at an end, if it is bound to one of them
    (or follows without a gap in number, where there are no atoms to tell a bond by). At the end of the polymer itself,
    HETATM residues stay that are bound, or that have no atoms to tell by. What fits nowhere is a ligand, and is named
    in a warning if the polymer may lack it.

    Parameters
    ----------
    polymer
        Residues, in the file's order.
    behind
        Others of the same chain that stand after its end.
    parents
        As the file declares them.
    where
        The chain, for messages.
    declared
        The file declares the sequence, which then lacks nothing.
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
    # From the chain outwards: a stray next to a stray holds where that one does.
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
    """Say whether a peptide bond joins two residues, None where they lack the atoms to tell by."""
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
