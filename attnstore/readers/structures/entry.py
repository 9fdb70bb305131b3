"""An entry of the PDB in one form for both file formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..record import Excluded
from .chain import Chain, Group, Key
from .chemistry import Parents

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
