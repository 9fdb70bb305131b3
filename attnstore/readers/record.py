"""What every reader yields: one protein chain, with its structure where the file has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..catalog.builtin import GlycineCb
from ..catalog.property import Annotation, Source
from ..catalog.rows import Structure

__all__ = ["DEFAULT", "LETTERS", "Excluded", "Options", "Record", "Structure", "reasons"]

#: The letters of a sequence: the 20 amino acids, Sec (U), Pyl (O), the ambiguous B, Z and J, and X.
LETTERS = frozenset("ACDEFGHIKLMNPQRSTVWYBJOUXZ")


@dataclass(frozen=True, eq=False)
class Record:
    """One protein chain as its file gives it.

    Attributes
    ----------
    id
        As the file or its name gives it; not yet checked to be unique.
    sequence
        Upper-case one-letter code, of the letters in `LETTERS`, never empty.
    place
        Where it came from, for messages: "file.fasta:12" (the header's line) or "1abc.cif chain A".
    structure
        None where the source has no coordinates.
    annotations
        Values of properties, each property once; only what the source tells of this chain.
    source
        The file that they are from; `read_inputs` names it.
    entry
        What the id begins with where it is made of an entry's and a chain's; empty where it is not.
    aliases
        Other ids that the chain has where its file is read with others.
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
        What it would be called.
    file
        The file's name.
    reason
        Why it is left out: "nucleic acid".
    entry
        What the id begins with.
    """

    id: str
    file: str
    reason: str
    entry: str


# Chains that are left out, and reasons for it, named in a message.
_NAMED = 4


def reasons(excluded: Sequence[Excluded]) -> str:
    """Return the chains that are left out with their reasons, by reason, the first of each by name."""
    by_reason: dict[str, list[str]] = {}
    for one in excluded:
        by_reason.setdefault(one.reason, []).append(one.id)
    groups = [
        f"{', '.join(ids[:_NAMED])}{f' and {len(ids) - _NAMED} more' if ids[_NAMED:] else ''} ({reason})"
        for reason, ids in by_reason.items()
    ]
    return "; ".join(groups[:_NAMED]) + (f"; {len(groups) - _NAMED} more reasons" if groups[_NAMED:] else "")


def _unsaid(_: Excluded) -> None:
    """Name a chain that is left out to nobody."""


@dataclass(frozen=True)
class Options:
    """What a user may say of how files are read.

    Attributes
    ----------
    absent
        What it means that a file names no feature of a kind in a protein: 'null', that nothing is known, or 'false',
        that there is none.
    ligand_distance
        Å; a residue with a heavy atom within it of a ligand's heavy atom is in that ligand's binding site. None for
        BioLiP's criterion, see :func:`.structures.ligands.ligand_residues`.
    dssp
        Run mkdssp on structure files.
    predicted
        B-factors of structure files that declare no experiment are pLDDT, also where no file says so.
    accessibility
        Measure how far residues of structure files are open to solvent, which is most of the time that reading one
        takes.
    glycine_cb
        What stands for glycine's Cβ: the 'virtual' one, or its 'ca'.
    excluding
        Is given each chain of a structure file that is left out.
    """

    absent: Literal["null", "false"] = "null"
    ligand_distance: float | None = None
    dssp: bool = False
    predicted: bool = False
    accessibility: bool = True
    glycine_cb: GlycineCb = "virtual"
    excluding: Callable[[Excluded], None] = _unsaid


#: What is in force where the user says nothing.
DEFAULT = Options()
