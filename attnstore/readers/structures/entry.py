"""An entry of the PDB in one form, whichever format its file has: atoms, residues, chains, ligands and features."""

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
#: Numbers that cannot be read stand from here on: beyond 32 bits, one for each text.
UNREADABLE = 1 << 40


def unreadable(number: str) -> int:
    """Return what stands for a residue number that cannot be read: the same for the same text."""
    return UNREADABLE + int.from_bytes(number.encode(), "big")


class Atom(NamedTuple):
    """One row of coordinates, the same whichever format it came from.

    A number from `UNREADABLE` on stands for one that cannot be read.
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
    """A place in the chain: its author number and what was seen there, by residue name.

    `clashes` has an atom of each other residue there that is neither an alternative nor distinguished from it.
    """

    number: int
    insertion_code: str | None
    variants: dict[str, Variant] = field(default_factory=dict)
    clashes: list[Atom] = field(default_factory=list)

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
        Its author's name for it, and that in the entry's assemblies.
    names
        Residue names of the whole chain, length L.
    observed
        From 0-based place in the chain to the residue seen there.
    letters
        The canonical sequence that the file declares, of length L; empty where it has none.
    confidence
        From place to pLDDT as the file has it, of 1 or of 100; None where the file is no prediction that declares it.
    ambiguous
        Keys that stand for two residues of the entry, and that nothing can be found by.
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
        """Return what was seen at each observed place; at a point mutation, the residue that the sequence names."""
        return {place: residue.named(self.names[place]) for place, residue in self.observed.items()}

    def places(self) -> dict[Key, int]:
        """Return the place of each observed residue whose key is its own."""
        return {key: place for place, key in self.numbered() if key not in self.ambiguous}

    def b_factors(self) -> dict[int, float]:
        """Return the B-factor of the Cα at each place that has one, Å²; NaN where it is not given."""
        seen = self.seen().items()
        return {place: variant.atoms["CA"].b_factor for place, variant in seen if "CA" in variant.atoms}

    def numbered(self) -> Iterable[tuple[int, Key]]:
        """Return the place and the key of each observed residue."""
        return ((place, (self.author, one.number, one.insertion_code)) for place, one in self.observed.items())


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


def sequence(chain: Chain, parents: Parents) -> str:
    """Return the letters of a chain, X where a residue has none."""
    letters = chain.letters or "X" * len(chain.names)
    return "".join(letter(name, parents, declared) or "X" for name, declared in zip(chain.names, letters, strict=True))


def chain_record(chain: Chain, parents: Parents, annotations: tuple[Annotation, ...]) -> Record:
    """Build the record of a chain.

    Places that were not observed have no author number and NaN positions; those whose number cannot be read have no
    author number.

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
    # A Cβ without its Cα is still the file's own observation and stays.
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
    """A site as the entry lists it; the evidence in upper case, None where not given."""

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
