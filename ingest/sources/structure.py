"""From the atoms of a coordinate file to records: what the PDB and the mmCIF reader share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from Bio.Data.PDBData import protein_letters_3to1_extended

from ...errors import SourceError
from ..geometry import virtual_cb
from .record import Record, Structure

#: Residue name to parent residue name, as the file itself declares its modified residues.
Parents = Mapping[str, str]

_BACKBONE = ("N", "CA", "C", "CB")
_WATERS = frozenset({"HOH", "WAT", "DOD", "H2O"})
_NUCLEOTIDES = frozenset({"A", "C", "G", "I", "N", "T", "U", "DA", "DC", "DG", "DI", "DN", "DT", "DU"})
# Names that Biopython's table leaves out.
_LETTERS = {"SEC": "U", "PYL": "O", "ASX": "B", "GLX": "Z", "XLE": "J", "UNK": "X"}


class Atom(NamedTuple):
    """One row of coordinates, the same whichever format it came from."""

    number: int
    insertion_code: str | None
    residue: str
    hetero: bool
    name: str
    alternative: str
    occupancy: float
    position: tuple[float, float, float]
    place: str


@dataclass(frozen=True)
class Variant:
    """One of the residues that share a place in the chain: more than one at a point mutation."""

    hetero: bool
    atoms: dict[str, Atom] = field(default_factory=dict)

    @property
    def occupancy(self) -> float:
        """The highest occupancy of its atoms."""
        return max((atom.occupancy for atom in self.atoms.values()), default=0.0)


@dataclass(frozen=True)
class Residue:
    """A place in the chain: its author number and what was seen there, by residue name."""

    number: int
    insertion_code: str | None
    variants: dict[str, Variant] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of highest occupancy; the first in the file among equals."""
        return max(self.variants, key=lambda name: self.variants[name].occupancy)

    @property
    def label(self) -> str:
        """Name and number for messages, "GLY 52A"."""
        return f"{self.name} {self.number}{self.insertion_code or ''}"


def residues(atoms: Iterable[Atom]) -> list[Residue]:
    """Gather a chain's atoms into residues, in file order, waters left out.

    Of an atom's alternative locations the one of highest occupancy is kept, the first in the file among
    equals.

    Raises
    ------
    SourceError
        N, CA, C or CB stands twice in a residue without being alternatives, or is not finite.
    """
    found: dict[tuple[int, str | None], Residue] = {}
    seen: set[tuple[int, str | None, str, str, str]] = set()
    for atom in atoms:
        if atom.residue in _WATERS:
            continue
        key = (atom.number, atom.insertion_code)
        residue = found.setdefault(key, Residue(*key))
        variant = residue.variants.setdefault(atom.residue, Variant(atom.hetero))
        if atom.name in _BACKBONE:
            _check(atom, seen)
        kept = variant.atoms.get(atom.name)
        if kept is None or atom.occupancy > kept.occupancy:
            variant.atoms[atom.name] = atom
    return list(found.values())


def _check(atom: Atom, seen: set[tuple[int, str | None, str, str, str]]) -> None:
    where = f"{atom.place}: {atom.name} of {atom.residue} {atom.number}{atom.insertion_code or ''}"
    key = (atom.number, atom.insertion_code, atom.residue, atom.name, atom.alternative)
    if key in seen:
        raise SourceError(
            f"{where} is given a second time; give every molecule a chain id of its own, "
            f"or mark alternative locations as such."
        )
    seen.add(key)
    if not all(map(math.isfinite, atom.position)):
        raise SourceError(f"{where} has a coordinate that is no finite number; correct or remove the atom.")


def amino_acids(chain: Iterable[Residue], parents: Parents) -> list[Residue]:
    """Keep the residues that are amino acids, where no declared sequence tells.

    In ATOM rows these are the names with a letter and any other with a Cα; in HETATM rows the names with
    a letter and a Cα and any other with all of N, CA and C. Ligands, ions and capping groups go.
    """
    return [
        residue
        for residue in chain
        if any(_is_amino_acid(name, variant, parents) for name, variant in residue.variants.items())
    ]


def _is_amino_acid(name: str, variant: Variant, parents: Parents) -> bool:
    backbone = variant.atoms.keys() & {"N", "CA", "C"}
    if variant.hetero:
        return len(backbone) == 3 or ("CA" in backbone and _has_letter(name, parents))
    # A calcium ion, too, is an atom called CA.
    return _has_letter(name, parents) or ("CA" in backbone and name != "CA" and name not in _NUCLEOTIDES)


def _letter(name: str, parents: Parents) -> str | None:
    for known in (name, parents.get(name, "")):
        letter = protein_letters_3to1_extended.get(known) or _LETTERS.get(known)
        if letter:
            return str(letter)
    return None


def _has_letter(name: str, parents: Parents) -> bool:
    return _letter(name, parents) is not None


def is_protein(names: Sequence[str], parents: Parents) -> bool:
    """Say whether a polymer of these residue names is a protein.

    It is with at least one amino acid, and not fewer of these than nucleotides: an RNA that carries an
    amino acid stays an RNA.
    """
    amino = sum(_has_letter(name, parents) for name in names)
    return amino > 0 and amino >= sum(name in _NUCLEOTIDES for name in names)


def chain_id(entry: str, chain: str) -> str:
    """Return "<entry>_<chain>", or the entry alone where the file names no chain."""
    return f"{entry}_{chain}" if chain.strip() else entry


def entry_id(declared: str, stem: str, pattern: str) -> str:
    """Return the declared entry code in upper case if it fits the pattern, else the file's stem."""
    return declared.upper() if re.fullmatch(pattern, declared) else stem


def record(
    identifier: str, place: str, names: Sequence[str], observed: Mapping[int, Residue], parents: Parents
) -> Record:
    """Build the record of a chain.

    Parameters
    ----------
    identifier, place
        Passed on to the record.
    names
        Residue names of the whole chain, length L.
    observed
        From 0-based place in the chain to the residue seen there.
    parents
        Parent names of modified residues.

    Returns
    -------
    The record; places not in `observed` have no author number and NaN positions. At a point mutation the
    positions are those of the residue that the sequence names, where it was seen.
    """
    length = len(names)
    number = np.zeros(length, dtype=np.int32)
    known = np.zeros(length, dtype=np.bool_)
    codes: list[str | None] = [None] * length
    atoms = np.full((length, len(_BACKBONE), 3), np.nan, dtype=np.float64)
    for place_in_chain, residue in observed.items():
        if abs(residue.number) > np.iinfo(np.int32).max:
            raise SourceError(f"{place}: residue number {residue.number} is out of range; renumber it.")
        number[place_in_chain] = residue.number
        known[place_in_chain] = True
        codes[place_in_chain] = residue.insertion_code
        variant = residue.variants.get(names[place_in_chain]) or residue.variants[residue.name]
        for column, name in enumerate(_BACKBONE):
            if name in variant.atoms:
                atoms[place_in_chain, column] = variant.atoms[name].position
    n, ca, c, cb = np.moveaxis(atoms, 1, 0)
    # A Cβ without its Cα is still the file's own observation and stays.
    cb = np.where(np.isnan(cb), virtual_cb(n, ca, c), cb)
    return Record(
        id=identifier,
        sequence="".join(_letter(name, parents) or "X" for name in names),
        place=place,
        structure=Structure(number, known, tuple(codes), ca.astype(np.float32), cb.astype(np.float32)),
    )


def at_least_one(records: Iterable[Record], complaint: str) -> Iterator[Record]:
    """Pass the records on, or raise SourceError with the complaint where there is none."""
    empty = True
    for one in records:
        empty = False
        yield one
    if empty:
        raise SourceError(complaint)
