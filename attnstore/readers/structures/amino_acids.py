"""Amino acids by the names of their residues: their letters, and which polymers are proteins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from Bio.Data.PDBData import protein_letters_3to1, protein_letters_3to1_extended

from ..record import LETTERS
from .components import LETTERS as COMPONENTS

#: Residue name to parent residue name, as the file itself declares its modified residues.
Parents = Mapping[str, str]

#: Water by the names of the PDB and of the force fields (CHARMM, Amber, GROMACS); "TIP" is TIP3 in three columns.
WATERS = frozenset({"HOH", "WAT", "DOD", "H2O", "TIP", "TIP3", "TIP4", "TIP5", "TP3", "TP4", "TP5", "SOL", "SPC"})
NUCLEOTIDES = frozenset({"A", "C", "G", "I", "N", "T", "U", "DA", "DC", "DG", "DI", "DN", "DT", "DU"})
#: What Amber and CHARMM call amino acids by their protons and bridges. The PDB has other residues by two of the names,
#: HSE and GLH; its files declare them.
FORCE_FIELD_NAMES: Mapping[str, str] = {
    "ASH": "ASP", "CYX": "CYS", "GLH": "GLU", "HID": "HIS", "HIE": "HIS", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS",
}  # fmt: skip
#: The names of the 20 amino acids.
STANDARD: Mapping[str, str] = {name.upper(): letter for name, letter in protein_letters_3to1.items()}

_TABLE: Mapping[str, str] = {
    **COMPONENTS,
    **{name.strip(): letter for name, letter in protein_letters_3to1_extended.items()},
    "SEC": "U",
    "PYL": "O",
    "ASX": "B",
    "GLX": "Z",
    "XLE": "J",
    "UNK": "X",
}


def letter(name: str, parents: Parents, declared: str = "X") -> str | None:
    """Return the letter of a residue, None where its name is no amino acid's.

    A standard amino acid has its own letter. Any other has the declared one, else that of the dictionary's component,
    else that of the parent that the file names, else X.

    Parameters
    ----------
    name
        The residue's.
    parents
        As the file declares them.
    declared
        The letter that the file's canonical sequence has there; 'X' where it has none.
    """
    if name in STANDARD:
        return STANDARD[name]
    if declared != "X" and declared in LETTERS:
        return declared
    if name not in parents:
        name = FORCE_FIELD_NAMES.get(name, name)
    known = [_TABLE[each] for each in (name, parents.get(name, "")) if each in _TABLE]
    return next((each for each in known if each != "X"), known[0] if known else None)


def is_amino_acid(name: str, parents: Parents) -> bool:
    """Say whether a residue name is an amino acid's."""
    return letter(name, parents) is not None


def is_protein(names: Sequence[str], parents: Parents) -> bool:
    """Say whether a polymer of these residue names is a protein.

    It is with at least one amino acid, and not fewer of these than nucleotides: an RNA that carries an
    amino acid stays an RNA.
    """
    amino = sum(is_amino_acid(name, parents) for name in names)
    return amino > 0 and amino >= sum(name in NUCLEOTIDES for name in names)


def why_no_protein(names: Sequence[str]) -> str:
    """Return the reason for which a chain of these residue names is left out."""
    if not names:
        return "waters and ligands alone"
    if not NUCLEOTIDES.isdisjoint(names):
        return "nucleic acid"
    distinct = list(dict.fromkeys(names))
    listed = ", ".join(distinct[:_NAMED]) + (f" and {len(distinct) - _NAMED} more" if len(distinct) > _NAMED else "")
    return f"no residue is a known amino acid: {listed}"


_NAMED = 3
