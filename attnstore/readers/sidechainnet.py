"""Secondary structure of ProteinNet's chains in sidechainnet (King and Koes 2021, doi:10.1002/prot.26169).

``full_protein_dssp_annotations.json`` is one JSON object: for each chain's ProteinNet id its ``Sequence`` and its
``DSSP``, one letter per residue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..catalog.property import Property
from ..errors import SourceError
from . import text
from .proteinnet import name_of
from .record import DEFAULT, LETTERS, Options, Record
from .structures import dssp
from .vocabulary import SS3, SS4, SS8

NAME = "sidechainnet's DSSP annotations (.json)"

# In the file, the letter L means both none of DSSP's classes and an unresolved residue.
_ABSENT = "never: the file calls unresolved residues C, other and coil, too"
_SS8, _SS4, _SS3 = (replace(prop, absent=_ABSENT) for prop in (SS8, SS4, SS3))
PROPERTIES: tuple[Property, ...] = (_SS8, _SS4, _SS3)

_START = re.compile(rb'\s*\{\s*"[^"]*"\s*:\s*\{\s*"(?:Sequence|DSSP)"\s*:')
# An entry has no braces inside: one that has is not an annotation, and is refused when it is parsed.
_ENTRY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*(\{[^{}]*\})\s*([,}])')
_CHUNK_BYTES = 1 << 20
# Far longer than any chain; it keeps an endless entry out of the memory.
_ENTRY_BYTES = 16 << 20


def accepts(path: Path, head: bytes) -> bool:
    """Say whether a .json file starts as an object of chains with Sequence and DSSP."""
    return text.suffix(path) == ".json" and _START.match(head.removeprefix(b"\xef\xbb\xbf")) is not None


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the chains one by one, in constant memory; their ids as `proteinnet.name_of` gives them.

    The file does not distinguish unresolved residues from those in none of DSSP's classes: both are L there and C here.

    Raises
    ------
    SourceError
        The file is no such JSON, or an entry's Sequence or DSSP is not letters of the same number.
    """
    for number, (key, content) in enumerate(_entries(path), start=1):
        try:
            identifier, fields = json.loads(key), json.loads(content)
            sequence, letters = fields["Sequence"], fields["DSSP"]
            if not (isinstance(sequence, str) and isinstance(letters, str)):
                raise TypeError
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise SourceError(
                f"{path}: entry {number} is not an id with a Sequence and a DSSP of text; correct it."
            ) from error
        place = f"{path} entry {number}"
        name = name_of(identifier)
        if not name.isprintable() or not name.strip():
            raise SourceError(f"{place} has an id that is not printable text; give it one.")
        if not sequence or set(sequence) - LETTERS:
            raise SourceError(f"{place}: chain {name} has no sequence of amino acid letters; correct it.")
        if len(letters) != len(sequence):
            raise SourceError(
                f"{place}: chain {name} has {len(letters)} letters of DSSP for {len(sequence)} residues; correct it."
            )
        yield Record(
            id=name, sequence=sequence, place=place, structure=None,
            annotations=dssp.annotations(letters, place, (_SS8, _SS4, _SS3)),
        )  # fmt: skip


def _entries(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The JSON of each key and its entry."""
    with text.open_file(path) as stream:
        buffer = stream.read(_CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not buffer.startswith(b"{"):
            raise SourceError(f"{path} is not a JSON object of chains; check the file.")
        position, count, end = 1, 0, b","
        while end == b",":
            match = _ENTRY.match(buffer, position)
            if match is not None:
                key, content, end = match.groups()
                yield key, content
                position, count = match.end(), count + 1
                continue
            buffer = buffer[position:]
            more = stream.read(_CHUNK_BYTES)
            if not more or len(buffer) > _ENTRY_BYTES:
                raise SourceError(
                    f"{path} is truncated or not JSON after entry {count}; fetch it again, or check the file."
                )
            buffer, position = buffer + more, 0
        if (buffer[position:] + stream.read(_CHUNK_BYTES)).strip():
            raise SourceError(f"{path} goes on after its JSON object of {count:,} chains; check the file.")
