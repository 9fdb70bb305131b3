"""Which residues are within reach of a ligand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .additives import BIOLIP
from .chain import Atom, Chain, Group, Key
from .elements import is_metal
from .entry import Assembly, Entry, Operator

_AS_DEPOSITED: Sequence[Operator] = (np.eye(3, 4),)


def ligand_residues(entry: Entry, distance: float) -> list[NDArray[np.bool_]]:
    """Say of each chain's residues whether a heavy atom is within a distance of a heavy atom of a ligand.

    A ligand is a group that is not of a polymer, no water, no solvent or additive on BioLiP's list
    (`additives.BIOLIP`) and not part of a glycan that starts with one that is. Groups with a metal atom are ligands
    though listed. Peptides and nucleic acids are polymers.

    A chain and the ligands are taken in all the copies that the first biological assembly with that chain in it makes;
    without one, as deposited.

    Parameters
    ----------
    entry
    distance
        Å, itself included.

    Returns
    -------
    Boolean arrays of shape [L], one for each of the entry's chains, FALSE where the residue was not observed.
    """
    found = _ligands(entry)
    return [_near(chain, found, _assembly(entry, chain), distance) for chain in entry.chains]


def _ligands(entry: Entry) -> list[Group]:
    kept = [group for group in entry.groups if group.name not in BIOLIP or _has_metal(group)]
    glycans = _glycans(entry)
    return [group for group in kept if group.key not in glycans]


def _has_metal(group: Group) -> bool:
    return any(is_metal(atom.element) for atom in group.atoms)


def _glycans(entry: Entry) -> set[Key]:
    """Return the groups that are joined, directly or through others, to a listed group that is bound to a protein."""
    joined: dict[Key, set[Key]] = defaultdict(set)
    for bond in entry.features.bonds:
        one, other = (end.key for end in bond.ends)
        joined[one].add(other)
        joined[other].add(one)
    residues = {key for chain in entry.chains for key in chain.places()}
    groups = {group.key: group for group in entry.groups if not _has_metal(group)}
    waiting = [
        key for key, group in groups.items() if group.name in BIOLIP and joined.get(key, set()) & residues
    ]  # fmt: skip
    found: set[Key] = set()
    while waiting:
        key = waiting.pop()
        if key in groups and key not in found:
            found.add(key)
            waiting += joined[key]
    return found


def _assembly(entry: Entry, chain: Chain) -> Assembly | None:
    return next((one for one in entry.features.assemblies if chain.asym in one), None)


def _near(
    chain: Chain, ligands: Iterable[Group], assembly: Assembly | None, distance: float
) -> NDArray[np.bool_]:  # fmt: skip
    from scipy.spatial import cKDTree

    near = np.zeros(len(chain.names), np.bool_)
    surroundings = [
        _moved(_positions(one.atoms), operator) for one in ligands for operator in _operators(one.asym, assembly)
    ]
    points = np.concatenate([np.empty((0, 3)), *surroundings])
    seen = chain.seen()
    atoms = [(place, atom) for place, variant in seen.items() for atom in variant.atoms.values() if atom.heavy]
    if not len(points) or not atoms:
        return near
    places = np.array([place for place, _ in atoms])
    mine = _positions(atom for _, atom in atoms)
    tree = cKDTree(points)
    for operator in _operators(chain.asym, assembly):
        # A bound a little beyond the distance spares the search and leaves the comparison exact.
        nearest, _ = tree.query(_moved(mine, operator), distance_upper_bound=distance + 0.001)
        near[places[nearest <= distance]] = True
    return near


def _positions(atoms: Iterable[Atom]) -> NDArray[np.float64]:
    return np.array([atom.position for atom in atoms if atom.heavy], np.float64).reshape(-1, 3)


def _operators(asym: str, assembly: Assembly | None) -> Sequence[Operator]:
    return _AS_DEPOSITED if assembly is None else assembly.get(asym, ())


def _moved(points: NDArray[np.float64], operator: Operator) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points @ operator[:, :3].T + operator[:, 3]
    return moved
