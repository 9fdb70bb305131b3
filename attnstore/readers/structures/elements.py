"""Chemical elements of atoms: as the file states them, else from the atom's name."""

from __future__ import annotations

from Bio.Data.IUPACData import atom_weights
from Bio.Data.PDBData import protein_letters_3to1

_SYMBOLS = frozenset(symbol.upper() for symbol in atom_weights) | {"D"}
#: The elements that are no metals, metalloids included.
_NO_METALS = frozenset(
    "H D HE B C N O F NE SI P S CL AR GE AS SE BR KR SB TE I XE AT RN".split()  # noqa: SIM905
)
# Of the elements that the table below lacks, as in the program of BioLiP2 (github.com/kad-ecoli/mmCIF2BioLiP), Å.
_OTHER_RADIUS = 2.0
#: That of potassium, the largest in the table, Å.
LARGEST_RADIUS = 2.75
# What may stand around the letters of an atom's name.
_MARKS = "0123456789'\"*+-"


def element(stated: str, name: str, group: str) -> str:
    """Return the upper-case symbol of an atom's element, "" where it cannot be told.

    Parameters
    ----------
    stated
        As the file has it, perhaps blank.
    name
        Of the atom; from a PDB file with its blanks, because there the element's symbol ends in the second of the
        four columns.
    group
        Name of the residue or ligand.
    """
    symbol = stated.strip().upper()
    if symbol in _SYMBOLS:
        return symbol
    bare = name.strip().strip(_MARKS).upper()
    if bare in _SYMBOLS and bare == group.upper().strip(_MARKS):
        return bare
    # A PDB name that starts in the first of its columns has a symbol of two letters, or is a hydrogen's of four.
    two = name[:2].upper()
    shifted = len(name) == 4 and name[0].isalpha() and group not in protein_letters_3to1
    if shifted and two in _SYMBOLS and not (two[0] == "H" and name[3] != " "):
        return two
    return bare[:1] if bare[:1] in _SYMBOLS else ""


def is_metal(symbol: str) -> bool:
    """Say whether an element is a metal; one that could not be told is none."""
    return symbol in _SYMBOLS and symbol not in _NO_METALS


def vdw_radius(symbol: str) -> float:
    """Return the van der Waals radius of an element, by its upper-case symbol.

    The radii are Biopython's (`Bio.PDB.SASA.ATOMIC_RADII`): those of Bondi 1964, J. Phys. Chem. 68:441–451, and for
    calcium that of Mantina et al. 2009, J. Phys. Chem. A 113:5806–5812; 2.00 Å for elements that it lacks.
    """
    from Bio.PDB.SASA import ATOMIC_RADII

    return float(ATOMIC_RADII.get(symbol, _OTHER_RADIUS))
