"""Relative solvent accessibility of residues."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from Bio.Data.PDBData import protein_letters_3to1
from numpy.typing import NDArray

from .chemistry import FORCE_FIELD_NAMES, LARGEST_SURFACE
from .entry import Atom, Chain, Variant

# The type that Biopython's tree needs.
_FARTHEST = 1e6


def relative_accessibility(chains: Sequence[Chain]) -> list[NDArray[np.float64]]:
    """Return each residue's accessible surface divided by the maximum for its amino acid.

    The surface is computed as in Shrake and Rupley (J. Mol. Biol. 1973, 79:351) with a probe of 1.4 Å and 100 points
    per atom, over the heavy atoms of all the chains as deposited: ligands, waters, nucleic acids and symmetry copies
    cover nothing. The maxima are Tien et al.'s (PLoS ONE 2013, 8:e80635), theoretical, Table 1; residues at the ends of
    a chain can exceed them.

    Returns
    -------
    float64 [L] for each chain. NaN if the residue was not observed, lacks a heavy atom or is none of the 20 amino
    acids; selenomethionine counts as methionine.
    """
    seen = [chain.seen() for chain in chains]
    atoms = [
        (index, place, atom)
        for index, variants in enumerate(seen)
        for place, variant in variants.items()
        for atom in variant.atoms.values()
        if _measurable(atom)
    ]
    found = [np.full(len(chain.names), np.nan) for chain in chains]
    if not atoms:
        return found
    surface = [np.zeros(len(chain.names)) for chain in chains]
    for (index, place, _), area in zip(atoms, _areas([atom for _, _, atom in atoms]), strict=True):
        surface[index][place] += area
    for index, variants in enumerate(seen):
        for place, variant in variants.items():
            name = _complete(variant)
            if name is not None:
                found[index][place] = surface[index][place] / LARGEST_SURFACE[name]
    return found


def _measurable(atom: Atom) -> bool:
    return atom.heavy and all(abs(x) < _FARTHEST for x in atom.position)


def _areas(atoms: Sequence[Atom]) -> list[float]:
    """Return the accessible surface of each atom, Å²."""
    from Bio.PDB.SASA import ShrakeRupley

    # Biopython needs only the level and atoms of an entity, and the position and element of an atom.
    measured = [SimpleNamespace(coord=atom.position, element=atom.element) for atom in atoms]
    ShrakeRupley().compute(SimpleNamespace(level="S", get_atoms=lambda: measured), level="A")
    return [atom.sasa for atom in measured]


def _complete(variant: Variant) -> str | None:
    """Return the name of the amino acid; None if it is none of the 20 or incomplete."""
    from Bio.PDB.ic_data import residue_atom_bond_state

    names = {atom.residue for atom in variant.atoms.values()}
    one = next(iter(names), "")
    name = "MET" if names == {"MSE"} else FORCE_FIELD_NAMES.get(one, one)
    if name not in LARGEST_SURFACE:
        return None
    side_chain = set(residue_atom_bond_state.get(protein_letters_3to1[name], ()))
    if names == {"MSE"}:
        side_chain = side_chain - {"SD"} | {"SE"}
    needed = {"N", "CA", "C", "O"} | side_chain | (set() if name == "GLY" else {"CB"})
    return name if needed <= {atom.name for atom in variant.atoms.values() if _measurable(atom)} else None
