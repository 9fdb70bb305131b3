"""DSSP's output for each residue: the classic format of columns, and mkdssp 4's annotated mmCIF."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from Bio.Data.PDBData import protein_letters_1to3
from Bio.PDB.MMCIF2Dict import MMCIF2Dict

from ...errors import SourceError
from .. import text

_CLASSIC = b"==== Secondary Structure Definition"
_COLUMNS = "  #  RESIDUE AA STRUCTURE"
_SUMMARY = "_dssp_struct_summary."
_MMCIF = frozenset({".cif", ".mmcif"})
_ABSENT = frozenset({".", "?"})


class Row(NamedTuple):
    """A residue in DSSP's output.

    Attributes
    ----------
    chain, number, insertion_code : as the authors of the entry name it
    residue : three letters, or X if DSSP knows none
    letter : of the secondary structure, a blank for none
    accessibility : Å²; NaN where it was not calculated
    """

    chain: str
    number: int
    insertion_code: str | None
    residue: str
    letter: str
    accessibility: float


def is_output(path: Path, head: bytes) -> bool:
    """Say whether a file is DSSP's output, by its first line or, of an mmCIF file, by its categories."""
    if head.startswith(_CLASSIC):
        return True
    if text.suffix(path) not in _MMCIF:
        return False
    try:
        with text.open_file(path) as stream:
            return any(line.startswith(_SUMMARY.encode()) for line in stream)
    except SourceError:
        return False


def read_output(path: Path) -> tuple[str, list[Row]]:
    """Return the code of the entry, "" if the file has none, and a row for each residue, in the file's order.

    At a point mutation, where DSSP has one row per amino acid, it is the first.

    Raises
    ------
    SourceError
        The file is not DSSP output, is damaged, or names two residues alike.
    """
    code, rows = _classic(path) if text.head(path).startswith(_CLASSIC) else _summary(path)
    # Residue by residue: rows that follow each other are alternatives.
    residues = [next(alike) for _, alike in itertools.groupby(rows, key=_name)]
    names = set()
    for row in residues:
        if _name(row) in names:
            raise SourceError(
                f"{path} has a second residue {row.number}{row.insertion_code or ''} of chain {row.chain}: the classic "
                f"format has one letter for the name of a chain; make it again with mkdssp 4.2 or later, as mmCIF."
            )
        names.add(_name(row))
    return code, residues


def _name(row: Row) -> tuple[str, int, str | None]:
    return row.chain, row.number, row.insertion_code


def _summary(path: Path) -> tuple[str, list[Row]]:
    try:
        content = "\n".join(line for _, line in text.lines(path, whole=True))
        cif: Mapping[str, list[str]] = MMCIF2Dict(io.StringIO(content))
    except SourceError:
        raise
    except Exception as error:
        # Damaged text makes the tokenizer fail in many ways, which all mean the same to the user.
        raise SourceError(f"{path} is not a readable mmCIF ({error}); make it again with mkdssp.") from error
    if not any(name.startswith(_SUMMARY) for name in cif):
        raise SourceError(
            f"{path} is not DSSP output: it has no {_SUMMARY.strip('_.')}; make it with mkdssp 4.2 or later."
        )
    return next(iter(cif.get("_entry.id", [])), ""), list(_annotated(path, cif))


def _classic(path: Path) -> tuple[str, list[Row]]:
    lines = text.lines(path)
    code = ""
    for _, line in lines:
        if line.startswith("HEADER"):
            code = line[62:66].strip()
        elif line.startswith(_COLUMNS):
            break
    else:
        raise SourceError(f"{path} is cut off: it has no line of columns ({_COLUMNS.strip()}); make it again.")
    # Versions that name chains by more than one letter write them in a separate column.
    long_names = "AUTHCHAIN" in line
    return code, [_row(path, number, line, long_names) for number, line in lines if line.strip() and line[13:14] != "!"]


def _row(path: Path, number: int, line: str, long_names: bool) -> Row:
    """A line of columns: DSSP counts residues in the first five; a cysteine in a bridge has a lower-case letter."""
    try:
        chain = line[136:].split()[1] if long_names else line[11]
        letter = line[13]
        residue = "CYS" if letter.islower() else protein_letters_1to3.get(letter, "X").upper()
        return Row(
            chain, _integer(line[5:10]), line[10].strip() or None, residue, line[16], float(_integer(line[34:38]))
        )
    except (IndexError, ValueError) as error:
        raise SourceError(
            f"{path}:{number} is not a line of DSSP's columns (number, chain, structure, accessibility); make it again."
        ) from error


def _annotated(path: Path, cif: Mapping[str, list[str]]) -> Iterator[Row]:
    """The rows of _dssp_struct_summary, which names residues as mmCIF does, by the authors' names of their atoms."""
    labels = ("label_asym_id", "label_seq_id")
    authors = ("auth_asym_id", "auth_seq_id", "pdbx_PDB_ins_code")
    named = {row[:2]: row[2:] for row in _table(path, cif, "_atom_site.", (*labels, *authors))}
    # mkdssp 4.2 spells it like this; versions that were not asked to calculate it leave it out.
    accessibility = next((name for name in ("accesssibility", "accessibility") if _SUMMARY + name in cif), None)
    columns = (*labels, "label_comp_id", "secondary_structure", *([accessibility] if accessibility else []))
    for chain, place, residue, letter, *area in _table(path, cif, _SUMMARY, columns):
        try:
            author, number, code = named[chain, place]
            yield Row(
                author, _integer(number), None if code in _ABSENT else code, residue.upper(),
                " " if letter in _ABSENT else letter, _area(area[0]) if area else math.nan,
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise SourceError(
                f"{path}: residue {place} of {chain} in {_SUMMARY.strip('_.')} has no atoms, or a value that is no "
                f"number; make the file again with mkdssp."
            ) from error


def _table(path: Path, cif: Mapping[str, list[str]], category: str, names: Sequence[str]) -> list[tuple[str, ...]]:
    missing = [name for name in names if category + name not in cif]
    if missing:
        raise SourceError(f"{path} has no {category}{missing[0]}; make it again with mkdssp.")
    try:
        return list(zip(*(cif[category + name] for name in names), strict=True))
    except ValueError as error:
        raise SourceError(f"{path} is cut off in {category.strip('_.')}; make it again with mkdssp.") from error


def _integer(word: str) -> int:
    value = int(word)
    if abs(value) > np.iinfo(np.int32).max:
        raise ValueError
    return value


def _area(word: str) -> float:
    return math.nan if word in _ABSENT else float(word)
