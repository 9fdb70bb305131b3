"""How the residues of a chain are modified, and which are joined by disulfides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain as joined

from ...catalog.property import UNKNOWN_IF_NONE, Property
from ..vocabulary import CROSS_LINK, DISULFIDE_BONDED, GLYCOSYLATION, LIPIDATION, MODIFIED_RESIDUE
from .chemistry import is_metal
from .entry import Bond, Chain, End, Entry, Key, Modification, Modified

#: Put in for methionine to solve the structure.
_SELENOMETHIONINE = "MSE"
_PEPTIDE = frozenset({"C", "N"})
#: The monosaccharides by which glycans are bound to proteins, by their codes in the PDB: N-acetylglucosamine,
#: N-acetylgalactosamine, mannose, fucose, glucose, galactose, xylose, arabinose, rhamnose and glucuronic acid.
_SACCHARIDES = frozenset(
    "NAG NDG A2G NGA MAN BMA FUC FUL FCA FCB GLC BGC GAL GLA XYS XYP ARA ARB RAM RM4 GCU BDP".split()  # noqa: SIM905
)

_ATTACHED_GROUP = Property(
    "attached_group", "residue", "boolean",
    "covalently bound to a group that is no residue, glycan, lipid or metal: a cofactor, an inhibitor, a cap",
    absent=UNKNOWN_IF_NONE,
)  # fmt: skip
_METAL_COORDINATION = Property(
    "metal_coordination", "residue", "boolean", "coordinates a metal (PSI-MOD MOD:00698)", absent=UNKNOWN_IF_NONE
)

#: The property of each kind.
KINDS: Mapping[Modification, Property] = {
    "modified": MODIFIED_RESIDUE, "glycan": GLYCOSYLATION, "lipid": LIPIDATION, "attachment": _ATTACHED_GROUP,
    "cross-link": CROSS_LINK, "disulfide": DISULFIDE_BONDED, "metal": _METAL_COORDINATION,
}  # fmt: skip


def modifications(entry: Entry) -> list[dict[Modification, set[int]]]:
    """Return, for each chain, which residues are modified, by kind; a residue may be so in several ways.

    What pdbx_modification_feature lists, where the entry has it. Else a residue is modified that MODRES
    (pdbx_struct_mod_residue) lists, or that has a bond in SSBOND or LINK (struct_conn): to another residue, other than
    a peptide bond between neighbours, to a group that is not of a polymer, or to a metal. Selenomethionine is not a
    modification.
    """
    curated = entry.features.curated
    listed = _listed(entry) if curated is None else curated
    found: list[dict[Modification, set[int]]] = []
    for one in entry.chains:
        places = {} if one.ambiguous else one.places()
        here: dict[Modification, set[int]] = defaultdict(set)
        for key, name, kind in listed:
            place = places.get(key)
            if place is not None and not (name == _SELENOMETHIONINE and kind == "modified"):
                here[kind].add(place)
        found.append(dict(here))
    return found


def disulfides(entry: Entry, chain: Chain) -> list[tuple[int, int]]:
    """Return the pairs of places within a chain that a disulfide joins; bonds to another copy of it are left out."""
    places = {} if chain.ambiguous else chain.places()
    ends = [[places.get(end.key) for end in bond.ends] for bond in entry.features.bonds if _inside(bond)]
    return [(one, other) for one, other in ends if one is not None and other is not None and one != other]


def _inside(bond: Bond) -> bool:
    return bond.disulfide and not bond.crossing


def _listed(entry: Entry) -> list[Modified]:
    bonded = list(_bonded(entry))
    # What a list says to be attached, without saying what it is, a bond names.
    named = {one.key for one in bonded if one.kind in {"glycan", "attachment"}}
    return [*(one for one in entry.features.modified if one.kind != "attachment" or one.key not in named), *bonded]


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
    partners = [end for end in bond.ends if end.key in groups]
    if not partners:
        return None
    return "glycan" if any(end.name in _SACCHARIDES for end in partners) else "attachment"


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
