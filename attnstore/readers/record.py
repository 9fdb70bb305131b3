"""The record that every reader yields: one protein chain, with its structure if the file has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..catalog.builtin import GlycineCb
from ..catalog.property import NEGATIVE, UNKNOWN_IF_NONE, Annotation, Property, Source, at, between
from ..catalog.rows import Structure

__all__ = [
    "DEFAULT", "LETTERS", "Excluded", "Options", "Record", "Structure", "glycine_ca", "negatives", "reasons",
    "virtual_cb",
]  # fmt: skip

#: The letters of a sequence: the 20 amino acids, Sec (U), Pyl (O), the ambiguous B, Z and J, and X.
LETTERS = frozenset("ACDEFGHIKLMNPQRSTVWYBJOUXZ")


@dataclass(frozen=True, eq=False)
class Record:
    """One protein chain from a file.

    Attributes
    ----------
    id
        From the file or its name; not yet checked to be unique.
    sequence
        Upper-case one-letter codes, of the letters in `LETTERS`, never empty.
    place
        Location, for messages: "file.fasta:12" (the header's line) or "1abc.cif chain A".
    structure
        None if the source has no coordinates.
    annotations
        Values of properties, each property once; only those that the source has for this chain.
    source
        The file of the values; `read_inputs` sets it.
    entry
        First part of the id if it consists of an entry's and a chain's; else empty.
    aliases
        Other ids of the chain, if its file is read with others.
    """

    id: str
    sequence: str
    place: str
    structure: Structure | None
    annotations: tuple[Annotation, ...] = ()
    source: Source | None = None
    entry: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Excluded:
    """A chain of a structure file that is left out.

    Attributes
    ----------
    id
        Id that the chain would have.
    file
        The file's name.
    reason
        Reason, such as "nucleic acid".
    entry
        First part of the id.
    """

    id: str
    file: str
    reason: str
    entry: str


# Number of chains, and of reasons, that a message lists.
_NAMED = 4


def reasons(excluded: Sequence[Excluded]) -> str:
    """List the excluded chains by reason, with the first names for each."""
    by_reason: dict[str, list[str]] = {}
    for one in excluded:
        by_reason.setdefault(one.reason, []).append(one.id)
    groups = [
        f"{', '.join(ids[:_NAMED])}{f' and {len(ids) - _NAMED} more' if ids[_NAMED:] else ''} ({reason})"
        for reason, ids in by_reason.items()
    ]
    return "; ".join(groups[:_NAMED]) + (f"; {len(groups) - _NAMED} more reasons" if groups[_NAMED:] else "")


def _unsaid(_: Excluded) -> None:
    """Ignore an excluded chain."""


@dataclass(frozen=True)
class Options:
    """The options of the readers.

    Attributes
    ----------
    absent
        Meaning of a protein without any feature of a kind in the file: 'null', unknown, or 'false', there is none.
    ligand_distance
        Å; a residue with a heavy atom within this distance of a ligand's heavy atom is in that ligand's binding site.
        None for BioLiP's criterion, see :func:`.structures.ligands.ligand_residues`.
    dssp
        Run mkdssp on structure files.
    predicted
        Read B-factors of structure files that declare no experiment as pLDDT, also if they declare no prediction.
    accessibility
        Compute the solvent accessibility of residues of structure files, which takes most of the time of reading one.
    glycine_cb
        Atom used for glycine's Cβ: the 'virtual' one, or its 'ca'.
    excluding
        Function that receives each chain of a structure file that is left out.
    """

    absent: Literal["null", "false"] = "null"
    ligand_distance: float | None = None
    dssp: bool = False
    predicted: bool = False
    accessibility: bool = True
    glycine_cb: GlycineCb = "virtual"
    excluding: Callable[[Excluded], None] = _unsaid


#: The default options.
DEFAULT = Options()


def negatives(record: Record, offered: Iterable[Property]) -> Record:
    """Return the record with FALSE where its source could have listed a feature and did not.

    Parameters
    ----------
    record
        The record from its reader.
    offered
        All properties that the reader may provide.

    Returns
    -------
    The record with every boolean property that is NULL for proteins without a feature of its kind: FALSE in the whole
    protein if the record lacks it, but NULL at residues that a structure does not resolve.
    """
    given = {(one.property.level, one.property.name): one for one in record.annotations}
    known = None if record.structure is None else record.structure.author_known
    for prop in offered:
        if prop.kind == "boolean" and prop.absent.startswith(UNKNOWN_IF_NONE):
            # NULLs with another meaning, such as a residue that is not resolved, stay.
            rest = prop.absent.partition(";")[1:]
            negative = replace(prop, absent=NEGATIVE + "".join(rest))
            key = (prop.level, prop.name)
            if key in given:
                # Its description may depend on the options of the reader.
                same = replace(given[key].property, absent=negative.absent)
                given[key] = replace(given[key], property=same)
            elif prop.level == "residue":
                given[key] = at(negative, len(record.sequence), (), known)
            elif prop.level == "pair":
                given[key] = between(negative, (), otherwise=False)
    return replace(record, annotations=tuple(given.values()))


def glycine_ca(sequence: str, ca: NDArray[np.float32], cb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace Cβ by Cα in glycines, as CASP does (Monastyrskyy et al. 2011, doi:10.1002/prot.23160).

    Parameters
    ----------
    sequence
        One letter per residue, L of them.
    ca, cb
        Positions in Å, float32 [L, 3].

    Returns
    -------
    Positions in Å, float32 [L, 3]: for every G those of `ca`, else those of `cb`.
    """
    glycine = np.array([letter == "G" for letter in sequence])
    return np.where(glycine[:, None], ca, cb).astype(np.float32)


def virtual_cb(n: ArrayLike, ca: ArrayLike, c: ArrayLike) -> NDArray[np.float32]:
    """Compute Cβ by ideal tetrahedral geometry from the backbone atoms N, Cα and C.

    With ``b = CA - N``, ``c = C - CA`` and ``a = b × c`` the position is
    ``CA - 0.58273431 a + 0.56802827 b - 0.54067466 c``. The three constants are the ones trRosetta
    (Yang et al., PNAS 2020, doi:10.1073/pnas.1914677117) and ProteinMPNN (Dauparas et al., Science
    2022, doi:10.1126/science.add2187) use; they give the L enantiomer.

    Parameters
    ----------
    n, ca, c
        Positions in Å, shape [..., 3] each, NaN where an atom is missing.

    Returns
    -------
    Positions in Å, float32 [..., 3]; all three NaN where any of the three atoms is missing. Cα never replaces Cβ.
    """
    origin = np.asarray(ca, dtype=np.float64)
    to_ca = origin - np.asarray(n, dtype=np.float64)
    to_c = np.asarray(c, dtype=np.float64) - origin
    normal = np.cross(to_ca, to_c)
    placed = origin - 0.58273431 * normal + 0.56802827 * to_ca - 0.54067466 * to_c
    # One missing coordinate would otherwise give a position that is NaN in some axes only.
    placed[~np.isfinite(placed).all(axis=-1)] = np.nan
    result: NDArray[np.float32] = placed.astype(np.float32)
    return result
