"""From the atoms of a coordinate file to chains: what the PDB and the mmCIF reader share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from Bio.Data.PDBData import protein_letters_3to1_extended

from ....errors import SourceError
from ....properties import Annotation
from ...geometry import virtual_cb
from ..record import Record, Structure

#: Residue name to parent residue name, as the file itself declares its modified residues.
Parents = Mapping[str, str]
#: A residue by its author's names for it: chain, number, insertion code.
Key = tuple[str, int, str | None]

WATERS = frozenset({"HOH", "WAT", "DOD", "H2O"})

_BACKBONE = ("N", "CA", "C", "CB")
_NUCLEOTIDES = frozenset({"A", "C", "G", "I", "N", "T", "U", "DA", "DC", "DG", "DI", "DN", "DT", "DU"})
# Names that Biopython's table leaves out.
_LETTERS = {"SEC": "U", "PYL": "O", "ASX": "B", "GLX": "Z", "XLE": "J", "UNK": "X"}
#: What Amber and CHARMM call amino acids by their protons and bridges. The PDB has other residues by two of the names,
#: HSE and GLH; its files declare them.
FORCE_FIELD_NAMES: Mapping[str, str] = {
    "ASH": "ASP", "CYX": "CYS", "GLH": "GLU", "HID": "HIS", "HIE": "HIS", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS",
}  # fmt: skip


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
    element: str
    b_factor: float

    @property
    def heavy(self) -> bool:
        """Whether it is no hydrogen and has a position that can be measured from."""
        return self.element not in {"H", "D"} and all(map(math.isfinite, self.position))


@dataclass(frozen=True)
class Variant:
    """One of the residues that share a place in the chain: more than one at a point mutation.

    Attributes
    ----------
    hetero
        It is of HETATM records.
    atoms
        By name; of alternatives that of highest occupancy.
    repeated
        Those of a name that stands there already and that are no alternatives to it.
    """

    hetero: bool
    atoms: dict[str, Atom] = field(default_factory=dict)
    repeated: list[Atom] = field(default_factory=list)

    @property
    def occupancy(self) -> float:
        """The highest occupancy of its atoms."""
        return max((atom.occupancy for atom in self.atoms.values()), default=0.0)

    @property
    def separate(self) -> bool:
        """Whether it is a molecule of its own, though it have the number of a residue: no part of a point mutation."""
        backbone = {"N", "CA", "C"} <= self.atoms.keys()
        return self.hetero and not backbone and not any(atom.alternative for atom in self.atoms.values())


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

    def named(self, name: str) -> Variant:
        """Return what was seen under the name, where it was, else the variant of highest occupancy."""
        return self.variants.get(name) or self.variants[self.name]

    @property
    def label(self) -> str:
        """Name and number for messages, "GLY 52A"."""
        return f"{self.name} {self.number}{self.insertion_code or ''}"


@dataclass(frozen=True)
class Group:
    """A molecule, or a part of one, that is no residue of a polymer: a ligand, an ion, a sugar.

    Attributes
    ----------
    key, name
        As its author numbers and names it.
    asym
        What the entry's assemblies call the chain it belongs to.
    atoms
        Of alternatives that of highest occupancy.
    """

    key: Key
    name: str
    asym: str
    atoms: tuple[Atom, ...]


@dataclass(frozen=True)
class Chain:
    """A protein chain of L residues.

    Attributes
    ----------
    id, place
        Of its record.
    author, asym
        Its author's name for it, and that in the entry's assemblies.
    names
        Residue names of the whole chain, length L.
    observed
        From 0-based place in the chain to the residue seen there.
    """

    id: str
    place: str
    author: str
    asym: str
    names: Sequence[str]
    observed: Mapping[int, Residue]

    def seen(self) -> dict[int, Variant]:
        """Return what was seen at each observed place; at a point mutation, the residue that the sequence names."""
        return {place: residue.named(self.names[place]) for place, residue in self.observed.items()}

    def places(self) -> dict[Key, int]:
        """Return the place of each observed residue."""
        return {(self.author, one.number, one.insertion_code): place for place, one in self.observed.items()}


def residues(atoms: Iterable[Atom]) -> list[Residue]:
    """Gather a chain's atoms into residues, in file order, waters left out.

    Of an atom's alternative locations the one of highest occupancy is kept, the first in the file among equals.
    """
    found: dict[tuple[int, str | None], Residue] = {}
    for atom in atoms:
        if atom.residue in WATERS:
            continue
        key = (atom.number, atom.insertion_code)
        residue = found.get(key) or found.setdefault(key, Residue(*key))
        variant = residue.variants.get(atom.residue) or residue.variants.setdefault(atom.residue, Variant(atom.hetero))
        kept = variant.atoms.get(atom.name)
        if kept is not None and kept.alternative == atom.alternative:
            variant.repeated.append(atom)
        elif kept is None or atom.occupancy > kept.occupancy:
            variant.atoms[atom.name] = atom
    return [part for residue in found.values() for part in _parts(residue)]


def _parts(residue: Residue) -> list[Residue]:
    """Part a residue from ligands that have been given its number."""
    ligands = [name for name, variant in residue.variants.items() if variant.separate]
    if len(residue.variants) == 1 or not ligands:
        return [residue]
    rest = {name: variant for name, variant in residue.variants.items() if name not in ligands}
    shares = [rest] * bool(rest) + [{name: residue.variants[name]} for name in ligands]
    return [Residue(residue.number, residue.insertion_code, share) for share in shares]


def checked(polymer: Sequence[Residue]) -> Sequence[Residue]:
    """Return the residues of a polymer.

    Raises
    ------
    SourceError
        N, CA, C or CB stands twice in a residue without being alternatives, or is not finite.
    """
    for residue in polymer:
        for variant in residue.variants.values():
            for atom in variant.repeated:
                if atom.name in _BACKBONE:
                    raise SourceError(
                        f"{_where(atom)} is given a second time; give every molecule a chain id of its own, "
                        f"or mark alternative locations as such."
                    )
            for name in _BACKBONE:
                if name in variant.atoms and not all(map(math.isfinite, variant.atoms[name].position)):
                    raise SourceError(
                        f"{_where(variant.atoms[name])} has a coordinate that is no finite number; correct or remove "
                        f"the atom."
                    )
    return polymer


def _where(atom: Atom) -> str:
    return f"{atom.place}: {atom.name} of {atom.residue} {atom.number}{atom.insertion_code or ''}"


def left_over(author: str, asym: str, chain: Iterable[Residue], polymer: Iterable[Residue] = ()) -> list[Group]:
    """Return the groups among a chain's residues: the HETATM that did not turn out to be of its polymer."""
    kept = set(map(id, polymer))
    return [
        Group((author, one.number, one.insertion_code), name, asym, (*variant.atoms.values(), *variant.repeated))
        for one in chain
        if id(one) not in kept
        for name, variant in one.variants.items()
        if variant.hetero
    ]


def amino_acids(chain: Iterable[Residue], parents: Parents) -> Sequence[Residue]:
    """Keep the residues that are amino acids, where no declared sequence tells.

    In ATOM rows these are the names with a letter and any other with a Cα; in HETATM rows the names with
    a letter and a Cα and any other with all of N, CA and C. Ligands, ions and capping groups go.

    Raises
    ------
    SourceError
        As `checked`.
    """
    return checked(
        [
            residue
            for residue in chain
            if any(_is_amino_acid(name, variant, parents) for name, variant in residue.variants.items())
        ]
    )


def _is_amino_acid(name: str, variant: Variant, parents: Parents) -> bool:
    backbone = variant.atoms.keys() & {"N", "CA", "C"}
    if variant.hetero:
        return len(backbone) == 3 or ("CA" in backbone and _has_letter(name, parents))
    # A calcium ion, too, is an atom called CA.
    return _has_letter(name, parents) or ("CA" in backbone and name != "CA" and name not in _NUCLEOTIDES)


def _letter(name: str, parents: Parents) -> str | None:
    if name not in parents:
        name = FORCE_FIELD_NAMES.get(name, name)
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


def record(chain: Chain, parents: Parents, annotations: tuple[Annotation, ...]) -> Record:
    """Build the record of a chain.

    Places that were not observed have no author number and NaN positions.

    Raises
    ------
    SourceError
        A residue number is beyond 32 bits.
    """
    length = len(chain.names)
    number = np.zeros(length, dtype=np.int32)
    known = np.zeros(length, dtype=np.bool_)
    codes: list[str | None] = [None] * length
    atoms = np.full((length, len(_BACKBONE), 3), np.nan, dtype=np.float64)
    for place, residue in chain.observed.items():
        if abs(residue.number) > np.iinfo(np.int32).max:
            raise SourceError(f"{chain.place}: residue number {residue.number} is out of range; renumber it.")
        number[place] = residue.number
        known[place] = True
        codes[place] = residue.insertion_code
    for place, variant in chain.seen().items():
        for column, name in enumerate(_BACKBONE):
            if name in variant.atoms:
                atoms[place, column] = variant.atoms[name].position
    n, ca, c, cb = np.moveaxis(atoms, 1, 0)
    # A Cβ without its Cα is still the file's own observation and stays.
    cb = np.where(np.isnan(cb), virtual_cb(n, ca, c), cb)
    return Record(
        id=chain.id,
        sequence="".join(_letter(name, parents) or "X" for name in chain.names),
        place=chain.place,
        structure=Structure(number, known, tuple(codes), ca.astype(np.float32), cb.astype(np.float32)),
        annotations=annotations,
    )
