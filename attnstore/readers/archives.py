"""The PDB at RCSB and UniProt: identifiers of their entries, and checks that a file contains the requested entry."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from ..errors import SourceError
from . import text

# Identifiers of four characters, and the extended form, pdb_00001abc for 1ABC.
_PDB = re.compile(r"[1-9][a-z0-9]{3}|pdb_[a-z0-9]{8}", re.ASCII | re.IGNORECASE)
# https://www.uniprot.org/help/accession_numbers
_ACCESSION = re.compile(
    r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}", re.ASCII | re.IGNORECASE
)
_ENTRY_NAME = re.compile(r"[A-Z0-9]{1,5}_([A-Z][A-Z0-9]{2,4}|9[A-Z0-9]{4})", re.ASCII | re.IGNORECASE)
_PIECE = re.compile(r"pdb_[a-z0-9]{8}|[a-z0-9]+", re.ASCII | re.IGNORECASE)
_DATA_BLOCK = re.compile(rb"(?:\s|#[^\n]*\n)*data_(\S+)", re.IGNORECASE)
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype\s+)?html", re.IGNORECASE)
_BLOCK_BYTES = 1 << 20


class UnfitError(Exception):
    """A file other than the requested one; the message is a noun phrase that says what it is."""


class NoEntryError(Exception):
    """An entry that its archive does not have; the message is a clause that says so."""


@dataclass(frozen=True)
class Archive:
    """A public archive that provides a file for an identifier.

    Attributes
    ----------
    name : for messages
    folder : of its files, within the cache
    suffix : of its files, in the cache and at its address
    home : the address before a file's name
    variable : environment variable with another address, such as a mirror's
    spelled : an identifier in the archive's spelling; None if it is not an identifier of this archive
    check : given a file and an identifier, raises UnfitError or NoEntryError unless the file contains the entry
    """

    name: str
    folder: str
    suffix: str
    home: str
    variable: str
    spelled: Callable[[str], str | None]
    check: Callable[[Path, str], None]

    def address(self) -> str:
        """Return the address in use; raises SourceError if the environment names one without http or https."""
        given = os.environ.get(self.variable) or self.home
        with contextlib.suppress(ValueError):  # brackets that do not match, or a port that is not a number
            parts = urllib.parse.urlsplit(given)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                return given.rstrip("/")
        raise SourceError(f"{self.variable} is {given!r}, which is not an http or https address; correct or unset it.")


@dataclass(frozen=True)
class ArchiveEntry:
    """One entry of an archive, by its identifier in the archive's spelling."""

    archive: Archive
    identifier: str

    @property
    def file(self) -> str:
        """The name of its file."""
        return self.identifier + self.archive.suffix


def entry_named(word: str) -> ArchiveEntry:
    """Return the entry that an identifier names.

    Raises
    ------
    SourceError
        It is neither a PDB id nor a UniProt accession; the message suggests what it may be.
    """
    if found := _named(word.strip()):
        return found
    near = [found.identifier for piece in _PIECE.findall(word) if (found := _named(piece))]
    if os.path.exists(word):
        hint = "it is a file or folder here: give it as an input, without asking to fetch it"
    elif _ENTRY_NAME.fullmatch(word):
        hint = "it looks like a UniProt entry name: give the accession that https://www.uniprot.org shows for it"
    elif near:
        hint = f"what comes nearest to it is {' '.join(dict.fromkeys(near))}"
    else:
        hint = "a PDB id has four characters, the first a digit, and an accession has six or ten"
    raise SourceError(f"{word!r} is neither a PDB id (as 7HVP) nor a UniProt accession (as P12345); {hint}.")


def _named(word: str) -> ArchiveEntry | None:
    spelled = ((archive, archive.spelled(word)) for archive in ARCHIVES)
    return next((ArchiveEntry(archive, identifier) for archive, identifier in spelled if identifier), None)


def _pdb_id(word: str) -> str | None:
    if not _PDB.fullmatch(word):
        return None
    # Each entry has one name, and so one file: the extended id of an entry with a short one becomes the short one.
    short = word[-4:]
    if len(word) == 4 or (word[:8].lower() == "pdb_0000" and _PDB.fullmatch(short)):
        return short.upper()
    return word.lower()


def _accession(word: str) -> str | None:
    return word.upper() if _ACCESSION.fullmatch(word) else None


def _check_mmcif(path: Path, identifier: str) -> None:
    try:
        with text.open_file(path) as stream:
            block = _DATA_BLOCK.match(stream.read(text.HEAD_BYTES))
            while stream.read(_BLOCK_BYTES):  # to the end, where the checksum is
                pass
    except SourceError as error:
        raise UnfitError(_instead_of("whole gzip file", path)) from error
    if block is None:
        raise UnfitError("a gzip file with no mmCIF in it")
    name = block[1].decode("ascii", "replace")
    if _pdb_id(name) != identifier:
        raise UnfitError(f"the entry {name}")


def _check_uniprot(path: Path, identifier: str) -> None:
    if not path.stat().st_size:
        raise UnfitError("an empty file, as it may for an obsolete entry,")
    try:
        accessions, length = _entry_of_uniprot(path)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the last two for an unknown encoding
        raise UnfitError(_instead_of("whole UniProt XML", path)) from error
    if identifier in accessions[1:]:
        raise NoEntryError(f"{identifier} is an obsolete accession of what UniProt now has as {accessions[0]}")
    if accessions and accessions[0] != identifier:
        raise UnfitError(f"the entry {accessions[0]}")
    if not length:
        raise NoEntryError(f"UniProt's entry {identifier} is obsolete and has no sequence any more")


def _entry_of_uniprot(path: Path) -> tuple[list[str], int]:
    """Return the accessions and the sequence's length of a complete UniProt XML file.

    Nothing else of it is kept, and expat itself limits the expansion of entities.
    """
    accessions: list[str] = []
    length = 0
    here: list[str] = []

    def start(name: str, _: object) -> None:
        here.append(name.rpartition(" ")[2])  # without its namespace
        if here[0] != "uniprot":
            raise UnfitError(_instead_of("whole UniProt XML", path))
        if here == ["uniprot", "entry", "accession"]:
            accessions.append("")

    def data(words: str) -> None:
        nonlocal length
        if here == ["uniprot", "entry", "accession"]:
            accessions[-1] += words
        elif here == ["uniprot", "entry", "sequence"]:
            length += len(words.strip())

    def end(_: str) -> None:
        here.pop()

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, data, end
    with path.open("rb") as file:
        parser.ParseFile(file)
    return accessions, length


def _instead_of(what: str, path: Path) -> str:
    with path.open("rb") as file:
        page = _WEB_PAGE.match(file.read(text.HEAD_BYTES))
    return f"no {what}" + (" but a web page, as of a proxy or a login," if page else "")


ARCHIVES = (
    Archive("RCSB", "rcsb", ".cif.gz", "https://files.rcsb.org/download", "ATTNSTORE_RCSB", _pdb_id, _check_mmcif),
    Archive(
        "UniProt", "uniprot", ".xml", "https://rest.uniprot.org/uniprotkb", "ATTNSTORE_UNIPROT",
        _accession, _check_uniprot,
    ),
)  # fmt: skip
