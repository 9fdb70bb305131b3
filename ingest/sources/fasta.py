"""FASTA, plain or gzip: sequences without structure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import SourceError
from ...properties import Property
from . import text
from .record import DEFAULT, LETTERS, Options, Record

NAME = "FASTA (.fasta .fa .faa .fas .fsa, or any file starting with '>')"
PROPERTIES: tuple[Property, ...] = ()

_SUFFIXES = frozenset({".fasta", ".fa", ".faa", ".fas", ".fsa"})
#: More than any name has, less than would flood a message or the catalog.
_LONGEST_ID = 1000
#: Twenty times what the longest known proteins have.
_MOST_RESIDUES = 1 << 20
# Checked before upper-casing, since str.upper() turns some foreign letters into amino acids (ß → SS).
_ACCEPTED = LETTERS | {letter.lower() for letter in LETTERS}


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file is FASTA by its suffix or by starting with '>'."""
    return text.suffix(path) in _SUFFIXES or head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b">")


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the records of a FASTA file one by one, in constant memory.

    The id is the header's first word as written. Lower case is raised, white space inside a sequence
    is ignored and one trailing ``*`` is dropped.

    Raises
    ------
    SourceError
        No record at all, text before the first '>', an empty id or one of more than 1000 characters, a
        record without sequence or of more than a million residues, a character that is no amino acid, or
        a file that is not readable text.
    """
    header: tuple[int, str] | None = None
    parts: list[tuple[int, str]] = []
    length = 0
    for number, line in text.lines(path):
        if line.startswith(">"):
            if header is not None:
                yield _record(path, header, parts)
            header, parts, length = (number, line), [], 0
            continue
        part = "".join(line.split())
        if not part:
            continue
        if header is None:
            raise SourceError(
                f"{path}:{number} has text before the first '>'; start every record with a line "
                f"'>id' and remove what comes before the first."
            )
        parts.append((number, part))
        length += len(part)
        if length > _MOST_RESIDUES:
            raise SourceError(
                f"{path}:{header[0]} begins a record of more than {_MOST_RESIDUES:,} residues, as no protein has; "
                f"split it, or name the file that was meant."
            )
    if header is None:
        raise SourceError(f"{path} is empty: it has no FASTA record; give a file with '>id' lines.")
    yield _record(path, header, parts)


def _record(path: Path, header: tuple[int, str], parts: list[tuple[int, str]]) -> Record:
    number, line = header
    place = f"{path}:{number}"
    words = line[1:].split(maxsplit=1)
    if not words:
        raise SourceError(f"{place} is a header without an id; write a name right after the '>'.")
    name = words[0]
    if len(name) > _LONGEST_ID:
        raise SourceError(
            f"{place} begins a header with a word of {len(name)} characters, which is no name; "
            f"write a space after the name."
        )
    sequence = "".join(part for _, part in parts).removesuffix("*")
    if not sequence:
        raise SourceError(f"{place}: record {name} has no sequence; add it or remove the record.")
    if not _ACCEPTED.issuperset(sequence):
        raise SourceError(_complaint(path, name, parts))
    return Record(id=name, sequence=sequence.upper(), place=place, structure=None)


def _complaint(path: Path, name: str, parts: list[tuple[int, str]]) -> str:
    for number, part in parts:
        for character in part:
            if character in _ACCEPTED:
                continue
            where = f"{path}:{number}: record {name}"
            if character == "*":
                return f"{where} has a stop '*' that is not its last character; cut or split the sequence there."
            if character in "-.":
                return f"{where} has a gap {character!r}; give the sequence without alignment gaps."
            return f"{where} has {character!r}, which is no amino acid; correct it or write X for unknown."
    raise AssertionError("called for a sequence of accepted letters only")
