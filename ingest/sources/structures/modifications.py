"""How the residues of a chain are modified, and which are joined by disulfides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain as joined

from .chain import Chain, Key
from .elements import is_metal
from .entry import MODIFICATIONS, Bond, End, Entry, Modification, Modified

#: Put in for methionine to solve the structure.
_SELENOMETHIONINE = "MSE"
_PEPTIDE = frozenset({"C", "N"})


def modifications(entry: Entry) -> list[dict[int, Modification]]:
    """Return, for each chain, how each of its modified residues is.

    What pdbx_modification_feature lists, where the entry has it. Else a residue is modified that MODRES
    (pdbx_struct_mod_residue) lists, or that has a bond in SSBOND or LINK (struct_conn): to another residue, other than
    a peptide bond between neighbours, to a group that is not of a polymer, or to a metal. Where several are true, the
    first of `entry.MODIFICATIONS` is given. Selenomethionine is not a modification.
    """
    curated = entry.features.curated
    listed = [*entry.features.modified, *_bonded(entry)] if curated is None else curated
    rank = {kind: index for index, kind in enumerate(MODIFICATIONS)}
    found: list[dict[int, Modification]] = []
    for one in entry.chains:
        places = one.places()
        here: dict[int, Modification] = {}
        for key, name, kind in listed:
            place = places.get(key)
            if place is None or (name == _SELENOMETHIONINE and kind == "residue"):
                continue
            here[place] = min(here.get(place, kind), kind, key=rank.__getitem__)
        found.append(here)
    return found


def disulfides(entry: Entry, chain: Chain) -> list[tuple[int, int]]:
    """Return the pairs of places within a chain that a disulfide joins; bonds to another copy of it are left out."""
    places = chain.places()
    ends = [[places.get(end.key) for end in bond.ends] for bond in entry.features.bonds if _inside(bond)]
    return [(one, other) for one, other in ends if one is not None and other is not None and one != other]


def _inside(bond: Bond) -> bool:
    return bond.disulfide and not bond.crossing


def _bonded(entry: Entry) -> Iterator[Modified]:
    homes = {key: (one.asym, place) for one in entry.chains for key, place in one.places().items()}
    groups = {group.key for group in entry.groups}
    elements = _elements(entry)
    for bond in entry.features.bonds:
        kind = _kind(bond, homes, groups, elements)
        if kind is not None:
            yield from (Modified(end.key, end.name, kind) for end in bond.ends if end.key in homes)


def _kind(
    bond: Bond, homes: Mapping[Key, tuple[str, int]], groups: set[Key], elements: Mapping[tuple[Key, str, str], str]
) -> Modification | None:
    if bond.disulfide:
        return "disulfide"
    if any(is_metal(elements.get((end.key, end.name, end.atom), "")) for end in bond.ends):
        return "metal"
    if all(end.key in homes for end in bond.ends):
        return None if _is_peptide_bond(bond.ends, homes) else "cross-link"
    return "attachment" if any(end.key in groups for end in bond.ends) else None


def _is_peptide_bond(ends: tuple[End, End], homes: Mapping[Key, tuple[str, int]]) -> bool:
    (one, here), (other, there) = (homes[end.key] for end in ends)
    return {end.atom for end in ends} == _PEPTIDE and one == other and abs(here - there) == 1


def _elements(entry: Entry) -> dict[tuple[Key, str, str], str]:
    atoms = joined(
        ((key, group.atoms) for group in entry.groups for key in [group.key]),
        (
            (key, tuple(variant.atoms.values()))
            for one in entry.chains
            for key, place in one.places().items()
            for variant in one.observed[place].variants.values()
        ),
    )
    return {(key, atom.residue, atom.name): atom.element for key, members in atoms for atom in members}
