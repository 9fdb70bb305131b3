"""An entry of the PDB in one form for both file formats: atoms, residues, chains, ligands and features."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...catalog.property import Annotation
from ...errors import SourceError
from ..record import Excluded, Record, Structure, virtual_cb
from .chemistry import Parents, letter

#: A residue by its author's names for it: chain, number, insertion code.
Key = tuple[str, int, str | None]

BACKBONE = ("N", "CA", "C", "CB")
#: Codes of unreadable numbers start here: beyond 32 bits, one for each text.
UNREADABLE = 1 << 40


def unreadable(number: str) -> int:
    """Return the code of an unreadable residue number: the same for the same text."""
    return UNREADABLE + int.from_bytes(number.encode(), "big")


class Atom(NamedTuple):
    """One row of coordinates, the same for both formats.

    A number from `UNREADABLE` on is the code of an unreadable one.
    """

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
    #: The segment id, or label_asym_id: distinguishes chains whose ids are the same.
    segment: str = ""

    @property
    def heavy(self) -> bool:
        """Whether it is not a hydrogen and has a valid position."""
        return self.element not in {"H", "D"} and all(map(math.isfinite, self.position))


@dataclass(frozen=True)
class Variant:
    """One of the residues at a position of the chain: several at a point mutation.

    Attributes
    ----------
    hetero
        Whether it is from HETATM records.
    atoms
        Atoms by name; of alternatives the one with the highest occupancy.
    repeated
        Further atoms with a name that occurs already, which are not alternatives of the first.
    """

    hetero: bool
    atoms: dict[str, Atom] = field(default_factory=dict)
    repeated: list[Atom] = field(default_factory=list)

    @property
    def occupancy(self) -> float:
        """The highest occupancy of its atoms."""
        return max((atom.occupancy for atom in self.atoms.values()), default=0.0)


@dataclass(frozen=True)
class Residue:
    """A position in the chain: its author number and the residues observed there, by name.

    `clashes` has an atom of each other residue there that is neither an alternative nor distinguished from it.
    """

    number: int
    insertion_code: str | None
    variants: dict[str, Variant] = field(default_factory=dict)
    clashes: list[Atom] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name with the highest occupancy; ties go to the first in the file."""
        return max(self.variants, key=lambda name: self.variants[name].occupancy)

    def named(self, name: str) -> Variant:
        """Return the residue with this name, if it was observed, else the variant with the highest occupancy."""
        return self.variants.get(name) or self.variants[self.name]

    @property
    def label(self) -> str:
        """Name and number for messages, "GLY 52A"."""
        return f"{self.name} {self.number}{self.insertion_code or ''}"


@dataclass(frozen=True)
class Group:
    """A molecule, or a part of one, that is not a residue of a polymer: a ligand, an ion, a sugar.

    Attributes
    ----------
    key, name
        Author number and name.
    asym
        Name, in the entry's assemblies, of the chain it belongs to.
    atoms
        Atoms; of alternatives the one with the highest occupancy.
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
        Id and location of its record.
    author, asym
        Author's name of the chain, and its name in the entry's assemblies.
    names
        Residue names of the whole chain, length L.
    observed
        Observed residue by 0-based position in the chain.
    letters
        The canonical sequence that the file declares, of length L; empty if it has none.
    confidence
        pLDDT of the file by position, of 1 or of 100; None unless the file declares a prediction.
    ambiguous
        Keys of two residues of the entry, which cannot be used to find a residue.
    """

    id: str
    place: str
    author: str
    asym: str
    names: Sequence[str]
    observed: Mapping[int, Residue]
    letters: str = ""
    confidence: Mapping[int, float] | None = None
    ambiguous: frozenset[Key] = frozenset()

    def seen(self) -> dict[int, Variant]:
        """Return the observed residue at each position; at a point mutation, the residue that the sequence names."""
        return {place: residue.named(self.names[place]) for place, residue in self.observed.items()}

    def places(self) -> dict[Key, int]:
        """Return the position of each observed residue with a unique key."""
        return {key: place for place, key in self.numbered() if key not in self.ambiguous}

    def b_factors(self) -> dict[int, float]:
        """Return the B-factor of the Cα at each position that has one, Å²; NaN if it is missing."""
        seen = self.seen().items()
        return {place: variant.atoms["CA"].b_factor for place, variant in seen if "CA" in variant.atoms}

    def numbered(self) -> Iterable[tuple[int, Key]]:
        """Return the position and the key of each observed residue."""
        return ((place, (self.author, one.number, one.insertion_code)) for place, one in self.observed.items())


def left_over(author: str, asym: str, chain: Iterable[Residue], polymer: Iterable[Residue] = ()) -> list[Group]:
    """Return the groups among a chain's residues: HETATM residues that are not part of the polymer."""
    kept = set(map(id, polymer))
    return [
        Group((author, one.number, one.insertion_code), name, asym, (*variant.atoms.values(), *variant.repeated))
        for one in chain
        if id(one) not in kept
        for name, variant in one.variants.items()
        if variant.hetero
    ]


def sequence(chain: Chain, parents: Parents) -> str:
    """Return the letters of a chain, X for a residue without a letter."""
    letters = chain.letters or "X" * len(chain.names)
    return "".join(letter(name, parents, declared) or "X" for name, declared in zip(chain.names, letters, strict=True))


def chain_record(chain: Chain, parents: Parents, annotations: tuple[Annotation, ...]) -> Record:
    """Build the record of a chain.

    Positions without an observed residue have no author number and NaN coordinates; residues with an unreadable number
    have no author number.

    Raises
    ------
    SourceError
        A residue number is beyond 32 bits.
    """
    length = len(chain.names)
    number = np.zeros(length, dtype=np.int32)
    known = np.zeros(length, dtype=np.bool_)
    codes: list[str | None] = [None] * length
    atoms = np.full((length, len(BACKBONE), 3), np.nan, dtype=np.float64)
    for place, residue in chain.observed.items():
        if residue.number >= UNREADABLE:
            continue
        if abs(residue.number) > np.iinfo(np.int32).max:
            raise SourceError(f"{chain.place}: residue number {residue.number} is out of range; renumber it.")
        number[place] = residue.number
        known[place] = True
        codes[place] = residue.insertion_code
    for place, variant in chain.seen().items():
        for column, name in enumerate(BACKBONE):
            if name in variant.atoms:
                atoms[place, column] = variant.atoms[name].position
    n, ca, c, cb = np.moveaxis(atoms, 1, 0)
    # A Cβ without its Cα is an observation of the file, too, and stays.
    cb = np.where(np.isnan(cb), virtual_cb(n, ca, c), cb)
    return Record(
        id=chain.id,
        sequence=sequence(chain, parents),
        place=chain.place,
        structure=Structure(number, known, tuple(codes), ca.astype(np.float32), cb.astype(np.float32)),
        annotations=annotations,
    )


#: The kinds of modification of a residue; each is a separate property (`modifications.KINDS`).
Modification = Literal["modified", "glycan", "lipid", "attachment", "cross-link", "disulfide", "metal"]

#: float64 [3, 4]: rotation, then translation in Å.
Operator = NDArray[np.float64]
_LARGEST = 1e6
#: One biological assembly: from its name of a chain to the operators that make its copies.
Assembly = Mapping[str, Sequence[Operator]]


class Span(NamedTuple):
    """A helix, strand or turn, from its first to its last residue."""

    kind: Literal["helix", "strand", "turn"]
    first: Key
    last: Key


class Site(NamedTuple):
    """A site as the entry lists it; the evidence in upper case, None if missing."""

    evidence: str | None
    residues: tuple[Key, ...]


class End(NamedTuple):
    """One of the two atoms of a bond."""

    key: Key
    name: str
    atom: str


class Bond(NamedTuple):
    """A bond that the entry lists; `crossing` if the two ends are in different copies of the asymmetric unit."""

    ends: tuple[End, End]
    disulfide: bool
    crossing: bool


class Modified(NamedTuple):
    """A residue, by key and name, and its kind of modification."""

    key: Key
    name: str
    kind: Modification


@dataclass(frozen=True)
class Features:
    """The features of an entry's residues.

    Attributes
    ----------
    spans, sites, bonds
        As listed.
    modified
        As MODRES or pdbx_struct_mod_residue list them.
    curated
        As pdbx_modification_feature lists them; None if the entry has no such category, as in every PDB file.
    assemblies
        In the file's order.
    """

    spans: Sequence[Span] = ()
    sites: Sequence[Site] = ()
    bonds: Sequence[Bond] = ()
    modified: Sequence[Modified] = ()
    curated: Sequence[Modified] | None = None
    assemblies: Sequence[Assembly] = ()


@dataclass(frozen=True)
class Entry:
    """The id, protein chains, ligands and features of the first model, and the chains that are left out."""

    id: str
    chains: Sequence[Chain]
    groups: Sequence[Group]
    parents: Parents
    features: Features = field(default_factory=Features)
    excluded: Sequence[Excluded] = ()


def operator(matrix: ArrayLike) -> Operator:
    """Return an operator of an assembly, float64 [3, 4].

    Raises
    ------
    ValueError
        A number in it is not finite, or larger than any structure.
    """
    result = np.asarray(matrix, np.float64)
    if not (np.abs(result) < _LARGEST).all():
        raise ValueError("an operator has a number that is out of range")
    return result


def modification_listed(key: Key, name: str, parent: str, comment: str) -> Modified:
    """Return the modification in a row of MODRES or pdbx_struct_mod_residue.

    A row that names a standard residue as its own parent marks a residue with something attached: a glycan, if the
    comment says so.
    """
    if name != parent:
        return Modified(key, name, "modified")
    return Modified(key, name, "glycan" if "GLYCOSYL" in comment.upper() else "attachment")
