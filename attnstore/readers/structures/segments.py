"""Chains that their ids do not tell apart, and segment ids do: files of CHARMM, NAMD and X-PLOR."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from .amino_acids import Parents, is_amino_acid
from .chain import Atom


def segments(atoms: Sequence[Atom], parents: Parents, *, nameless: bool) -> Mapping[str, Sequence[Atom]]:
    """Return the atoms of one chain id by segment, all under "" where it is one chain.

    It is several where residues of two segments have the same number, or where the chain has no id; but one where the
    segments of some amino acids have none.

    Parameters
    ----------
    atoms
        Those of one chain id.
    parents
        As the file declares them.
    nameless
        The chain id is blank.
    """
    numbers: dict[str, set[tuple[int, str | None]]] = defaultdict(set)
    for atom in atoms:
        if is_amino_acid(atom.residue, parents):
            numbers[atom.segment].add((atom.number, atom.insertion_code))
    shared = len(set().union(*numbers.values())) < sum(map(len, numbers.values()))
    if len(numbers) < 2 or not all(numbers) or not (shared or nameless):
        return {"": atoms}
    found: dict[str, list[Atom]] = defaultdict(list)
    for atom in atoms:
        found[atom.segment].append(atom)
    return found
