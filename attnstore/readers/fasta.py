"""FASTA, plain or gzip: sequences without structure."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..catalog.property import Property
from ..errors import SourceError
from . import text
from .record import DEFAULT, LETTERS, Options, Record

NAME = "FASTA (.fasta .fa .faa .fas .fsa, or any file starting with '>')"
PROPERTIES: tuple[Property, ...] = ()

_SUFFIXES = frozenset({".fasta", ".fa", ".faa", ".fas", ".fsa"})
#: Longer than any name, short enough for messages and the catalog.
_LONGEST_ID = 1000
#: Number of ids that a warning lists.
_LISTED = 5
#: Twenty times the length of the longest known proteins.
_MOST_RESIDUES = 1 << 20
#: Lines that may be Windows-1252: comments, or a name in ASCII with a description after it.
_DESCRIBED = re.compile(rb";|>[!-~]+[ \t]")
#: The types of sequences that the Protein Identification Resource puts before an id (as Modeller does).
_PIR = re.compile(r"(P1|F1|DL|DC|RL|RC|N1|N3|XX);")
# Checked before upper-casing, since str.upper() turns some foreign letters into amino acids (ß → SS).
_ACCEPTED = LETTERS | {letter.lower() for letter in LETTERS}


#: Letters of nucleotides, and codes for several of them; all but U are also letters of amino acids.
_NUCLEOTIDES = frozenset("ACGTUN")
_AMBIGUOUS = _NUCLEOTIDES | frozenset("RYSWKMBDHV")
#: A sequence seems to be of nucleotides if it has at least this many letters, at least this share of nucleotides, and
#: at least three kinds of them. Of a protein's letters, 26 % are A, C, G, T and N (UniProt's composition of all
#: proteins), so twenty of them in a row occur by chance once in 10^11.
_ENOUGH, _SHARE, _VARIED = 20, 0.95, 3


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file is FASTA by its suffix or by starting with '>', after comments if there are any."""
    if text.suffix(path) in _SUFFIXES:
        return True
    lines = head.removeprefix(b"\xef\xbb\xbf").splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith(b";")), b"")
    return first.lstrip().startswith(b">")


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the records of a FASTA file one by one, in constant memory.

    The id is the header's first word as written. Lower case becomes upper case, white space inside a sequence is
    ignored, one trailing ``*`` is dropped, and lines that begin with ``;`` are comments. A warning names records that
    seem to be of nucleotides.

    Raises
    ------
    SourceError
        No record, a record in the PIR format, text before the first '>', an empty id or one of more than 1000
        characters,
        a record without sequence or of more than a million residues, a character that is not an amino acid, or a file
        that is not readable text.
    """
    header: tuple[int, str] | None = None
    parts: list[tuple[int, str]] = []
    length = 0
    nucleotides = _Nucleotides()
    for number, line in text.lines(path, windows=_DESCRIBED):
        if line.startswith(";"):
            continue
        if line.startswith(">"):
            if header is not None:
                yield nucleotides.seen(_record(path, header, parts))
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
    yield nucleotides.seen(_record(path, header, parts))
    nucleotides.warn(path)


@dataclass
class _Nucleotides:
    """Counts the records that seem to be of nucleotides rather than amino acids."""

    records: int = 0
    #: Ids of the first such records, and their number.
    names: list[str] = field(default_factory=list)
    count: int = 0
    #: The letters of all records, as long as each consists of nucleotides; None after one that does not.
    letters: set[str] | None = field(default_factory=set)
    length: int = 0

    def seen(self, record: Record) -> Record:
        """Count a record, and pass it on."""
        self.records += 1
        sequence, letters = record.sequence, {*record.sequence}
        alike = letters <= _AMBIGUOUS and sum(map(sequence.count, _NUCLEOTIDES)) >= _SHARE * len(sequence)
        if not alike:
            self.letters = None
            return record
        if self.letters is not None:
            self.letters |= letters
            self.length += len(sequence)
        if len(sequence) >= _ENOUGH and len(letters & _NUCLEOTIDES - {"N"}) >= _VARIED:
            self.count += 1
            if len(self.names) < _LISTED:
                self.names.append(record.id)
        return record

    def warn(self, path: Path) -> None:
        """Warn about the whole file, or about these records."""
        cure = "give their translation if they are; they are read as amino acids."
        varied = self.letters is not None and len(self.letters & _NUCLEOTIDES - {"N"}) >= _VARIED
        if varied and self.length >= _ENOUGH:
            what = "record holds" if self.records == 1 else f"{self.records:,} records hold"
            warnings.warn(
                f"{path}: its {what} nothing but letters of nucleotides ({self.length:,} of them), as DNA or RNA: "
                f"{cure}",
                stacklevel=3,
            )
        elif self.count:
            more = ", …" if self.count > len(self.names) else ""
            warnings.warn(
                f"{path}: {self.count:,} of {self.records:,} records seem to be DNA or RNA, with nothing but letters "
                f"of nucleotides ({', '.join(self.names)}{more}): {cure}",
                stacklevel=3,
            )


def _record(path: Path, header: tuple[int, str], parts: list[tuple[int, str]]) -> Record:
    number, line = header
    place = f"{path}:{number}"
    words = line[1:].split(maxsplit=1)
    if not words:
        raise SourceError(f"{place} is a header without an id; write a name right after the '>'.")
    name = words[0]
    if len(name) > _LONGEST_ID:
        raise SourceError(
            f"{place} begins a header with a word of {len(name)} characters, which is not a name; "
            f"write a space after the name."
        )
    if _PIR.match(name):
        raise SourceError(
            f"{place}: record {name} is in the PIR format, where the line after the id is a title: convert the file, "
            "as with Bio.SeqIO.convert('IN.pir', 'pir', 'OUT.fasta', 'fasta'), or rename the record."
        )
    sequence = "".join(part for _, part in parts).removesuffix("*")
    if not sequence:
        raise SourceError(f"{place}: record {name} has no sequence; add it or remove the record.")
    if not _ACCEPTED.issuperset(sequence):
        raise SourceError(_complaint(path, name, parts))
    return Record(id=name, sequence=sequence.upper(), place=place, structure=None)


def _complaint(path: Path, name: str, parts: list[tuple[int, str]]) -> str:
    residue = 0
    for number, part in parts:
        for character in part:
            residue += 1
            if character in _ACCEPTED:
                continue
            where = f"{path}:{number}: record {name}"
            if character == "*":
                return (
                    f"{where} has a stop '*' at residue {residue} that is not its last character; cut or split the "
                    "sequence there."
                )
            if character in "-.":
                return f"{where} has a gap {character!r}; give the sequence without alignment gaps."
            return f"{where} has {character!r}, which is not an amino acid; correct it or write X for unknown."
    raise AssertionError("called for a sequence of accepted letters only")
