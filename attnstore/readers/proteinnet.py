"""ProteinNet's text records (AlQuraishi 2019, doi:10.1186/s12859-019-2932-0): sequences with backbones.

A record has, for each field, a line with the name of the field, such as ``[PRIMARY]``, followed by the field's lines.
The sequence, the three lines of coordinates and the mask are read. Releases are files without a suffix ("training_30",
"validation") of up to some gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..catalog.property import Property
from ..errors import SourceError
from . import text
from .record import DEFAULT, LETTERS, Options, Record, Structure, virtual_cb

NAME = "ProteinNet text (any file starting with '[ID]')"
PROPERTIES: tuple[Property, ...] = ()

_FIELDS = frozenset({"[ID]", "[PRIMARY]", "[EVOLUTIONARY]", "[SECONDARY]", "[TERTIARY]", "[MASK]"})
_READ = {"[ID]": 1, "[PRIMARY]": 1, "[TERTIARY]": 3, "[MASK]": 1}
_PDB_CHAIN = re.compile(r"(?:\d+#)?([0-9][A-Za-z0-9]{3})_\d+_([A-Za-z0-9]+)")
# 1/100 Å.
_FARTHEST = 1e8


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file starts with the line [ID]."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().split(maxsplit=1)[:1] == [b"[ID]"]


def name_of(identifier: str) -> str:
    """Return a PDB chain's id as the readers of structures name it, any other id unchanged.

    ``1A2X_1_B`` becomes ``1A2X_B``, and so does ``30#1A2X_1_B``, which the validation sets mark with a class of
    sequence identity. ASTRAL domains (``2CM_d1a2xa1``) and CASP targets (``TBM#T0123``) stay unchanged.
    """
    match = _PDB_CHAIN.fullmatch(identifier)
    return f"{match[1]}_{match[2]}" if match else identifier


def structure_of(backbone: NDArray[np.float64], mask: NDArray[np.bool_]) -> Structure:
    """Return a structure without author numbering.

    Parameters
    ----------
    backbone
        float64 [L, 3, 3], Å; N, Cα and C of each residue, (0, 0, 0) where the atom is missing.
    mask
        bool [L]; False where the residue's atoms are missing.
    """
    backbone = np.where(mask[:, None, None] & backbone.any(axis=-1, keepdims=True), backbone, np.nan)
    n, ca, c = np.moveaxis(backbone, 1, 0)
    length = len(mask)
    return Structure(
        author_number=np.zeros(length, np.int32),
        author_known=np.zeros(length, np.bool_),
        insertion_code=(None,) * length,
        ca=ca.astype(np.float32),
        cb=virtual_cb(n, ca, c),
    )


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the records one by one, in constant memory.

    Ids are as `name_of` returns them. Coordinates, 1/100 Å in the file, are converted to Å; an atom that the mask
    leaves out or that is at (0, 0, 0) is missing. Cβ is always the virtual one. There is no author numbering, and a
    record without [TERTIARY] has no structure.

    Raises
    ------
    SourceError
        Text outside a field, a record without id or sequence, a letter that is not an amino acid, or coordinates or a
        mask that do not fit the sequence.
    """
    empty = True
    for fields in _records(path):
        empty = False
        yield _record(path, fields)
    if empty:
        raise SourceError(f"{path} is empty: it has no ProteinNet record; give a file of records that start with [ID].")


@dataclass(frozen=True)
class _Field:
    """A field of a record: the line that names it, and its lines."""

    number: int
    lines: list[str]


def _records(path: Path) -> Iterator[dict[str, _Field]]:
    """The fields of each record, without the lines of fields that are not read."""
    fields: dict[str, _Field] = {}
    current = ""
    for number, line in text.lines(path):
        word = line.strip()
        if word == "[ID]":
            if fields:
                yield fields
            fields = {}
        elif word and not fields:
            raise SourceError(f"{path}:{number} comes before the first [ID]; start every record with that line.")
        if word in _FIELDS:
            if word in fields:
                raise SourceError(f"{path}:{number} is a second {word} of one record; remove it, or start a new [ID].")
            current, fields[word] = word, _Field(number, [])
        elif word and current in _READ:
            lines = fields[current].lines
            if len(lines) == _READ[current]:
                raise SourceError(
                    f"{path}:{number} is one line too many for {current}, which has {_READ[current]}; correct it."
                )
            lines.append(word)
    if fields:
        yield fields


def _record(path: Path, fields: dict[str, _Field]) -> Record:
    place = f"{path}:{fields['[ID]'].number}"
    (identifier,) = _lines(place, fields, "[ID]")
    name = name_of(identifier)
    (sequence,) = _lines(place, fields, "[PRIMARY]")
    foreign = set(sequence) - LETTERS
    if foreign:
        raise SourceError(
            f"{place}: record {name} has {min(foreign)!r}, which is not an amino acid; correct it or write X for "
            "unknown."
        )
    if "[TERTIARY]" not in fields:
        return Record(id=name, sequence=sequence, place=place, structure=None)
    length = len(sequence)
    axes = [_numbers(place, name, line, 3 * length) for line in _lines(place, fields, "[TERTIARY]")]
    backbone = np.stack(axes, axis=1).reshape(length, 3, 3) / 100
    mask = np.ones(length, np.bool_)
    if "[MASK]" in fields:
        (signs,) = _lines(place, fields, "[MASK]")
        if len(signs) != length or set(signs) - {"+", "-"}:
            raise SourceError(f"{place}: record {name} has a mask that is not one + or - per residue; correct it.")
        mask = np.array([sign == "+" for sign in signs])
    return Record(id=name, sequence=sequence, place=place, structure=structure_of(backbone, mask))


def _lines(place: str, fields: dict[str, _Field], name: str) -> list[str]:
    lines = fields[name].lines if name in fields else []
    if len(lines) != _READ[name]:
        raise SourceError(f"{place} is a record with {len(lines)} lines of {name}, not {_READ[name]}; complete it.")
    return lines


def _numbers(place: str, name: str, line: str, count: int) -> NDArray[np.float64]:
    words = line.split(maxsplit=count)
    try:
        numbers = np.array(words, np.float64)
    except ValueError as error:
        raise SourceError(
            f"{place}: record {name} has a coordinate that is not a number ({error}); correct it."
        ) from error
    # Within the range of a float32, and not NaN.
    if len(words) != count or not (np.abs(numbers) < _FARTHEST).all():
        raise SourceError(
            f"{place}: record {name} has a line of coordinates that is not {count} finite numbers, three for each "
            f"residue; correct it."
        )
    return numbers
