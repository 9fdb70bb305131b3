"""Readers of protein files.

A reader is a module with `NAME` (for messages), `PROPERTIES` (all that it may provide), ``accepts(path, head)`` and
``read(path, options)``. To add a format, add such a module to `READERS`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from ..catalog.property import Property, Source
from ..errors import SourceError
from ..runtime.durable import sha256_file
from ..runtime.paths import user_path
from . import cgdms, fasta, proteinnet, sidechainnet, text
from .record import DEFAULT, Options, Record, Structure, glycine_ca, negatives
from .structures import mmcif, naming, pdb
from .tape import tape_lmdb
from .uniprot import uniprot_text, uniprot_xml

__all__ = ["READERS", "Options", "Reader", "Record", "Structure", "find", "read_file", "read_inputs", "source_of"]

_log = logging.getLogger(__name__)


class Format(Protocol):
    """The interface of every module of a format."""

    NAME: str

    def accepts(self, path: Path, head: bytes) -> bool:
        """Say whether this reader reads the file; `head` is its first 4 KiB, decompressed."""
        ...


class Reader(Format, Protocol):
    """The interface of a reader of proteins."""

    PROPERTIES: tuple[Property, ...]

    def read(self, path: Path, options: Options) -> Iterator[Record]:
        """Yield the file's records, or raise SourceError.

        A record has annotations only for features that the file lists in that chain.
        """
        ...


Kind = TypeVar("Kind", bound=Format)

#: Asked in this order: readers that check the suffix come before those that also check the content.
READERS: tuple[Reader, ...] = (
    pdb, mmcif, uniprot_xml, uniprot_text, tape_lmdb, proteinnet, sidechainnet, fasta, cgdms,
)  # fmt: skip


def read_inputs(inputs: Sequence[Path | str], options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the records of files and folders, in the given order.

    A folder is walked recursively and sorted by name. Hidden files and folders, whose name starts with a dot, are left
    out; files of unknown formats are skipped with one warning per folder. Every path is checked before the first file
    is read, so that a mistyped one is reported at once.

    Parameters
    ----------
    inputs
        Paths of files or folders.
    options
        Options of the readers.

    Raises
    ------
    SourceError
        There are no inputs, a path does not exist, a named file has an unknown format, a folder has no file of a known
        format, or (while iterating) a file cannot be read.
    """
    if not inputs:
        raise SourceError("No input was given; name a protein file or a folder of them.")
    plan = find(inputs, READERS)
    names = entry_names(plan)
    return (record for path, reader in plan for record in read_file(path, reader, options, names.get(path)))


def entry_names(plan: Sequence[tuple[Path, Format]]) -> dict[Path, str]:
    """Return names for the entries of structure files whose declared ids do not distinguish them."""
    declared: dict[Path, str] = {}
    for path, reader in plan:
        for structures in (pdb, mmcif):
            if reader.NAME == structures.NAME:
                # A file that cannot be read is reported when its turn comes.
                with contextlib.suppress(SourceError):
                    declared[path] = structures.declared(path)
    return naming.distinct_names(declared)


def read_file(path: Path, reader: Reader, options: Options = DEFAULT, entry: str | None = None) -> Iterator[Record]:
    """Yield the records of one file, with the file as the source of their values.

    Parameters
    ----------
    path, reader, options
        The file, its reader, and the reader's options.
    entry
        Name of the entry of a structure file, if it is not that of the file or its id.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    source = None
    for record in naming.rename_entry(path, reader.read, options, entry):
        told = negatives(record, reader.PROPERTIES) if options.absent == "false" else record
        if options.glycine_cb == "ca" and told.structure is not None:
            cb = glycine_ca(told.sequence, told.structure.ca, told.structure.cb)
            told = replace(told, structure=replace(told.structure, cb=cb))
        if told.annotations and source is None:
            source = source_of(path)
        yield replace(told, source=source) if told.annotations else told


def source_of(path: Path) -> Source:
    """A file as the source of properties; for LMDB's folders, the data file in them."""
    return Source(str(path), sha256_file(path / "data.mdb" if path.is_dir() else path))


def find(inputs: Sequence[Path | str], readers: Sequence[Kind]) -> list[tuple[Path, Kind]]:
    """Return the files that the inputs name or contain, each with its reader.

    Raises
    ------
    SourceError
        A path does not exist, a named file has an unknown format, or a folder has no file of a known format.
    """
    return [pair for item in inputs for pair in _readable(user_path(item), readers)]


def _readable(path: Path, readers: Sequence[Kind]) -> list[tuple[Path, Kind]]:
    if not os.path.exists(path):
        raise SourceError(f"{path} does not exist; check the path.")
    reader = _reader_of(path, readers)
    if reader is not None:
        return [(path, reader)]
    if os.path.isdir(path):
        return _readable_in(path, readers)
    raise SourceError(f"{path} has an unknown format; the known ones are {_formats(readers)}.")


def _readable_in(folder: Path, readers: Sequence[Kind]) -> list[tuple[Path, Kind]]:
    found: list[tuple[Path, Kind]] = []
    skipped: list[Path] = []
    for path in _files(folder):
        reader = _reader_of(path, readers)
        if reader is None:
            skipped.append(path)
        else:
            found.append((path, reader))
    if not found:
        raise SourceError(f"{folder} has no file of a known format; the known ones are {_formats(readers)}.")
    if skipped:
        first = skipped[0].relative_to(folder)
        _log.warning("%d files in %s were not read: not a known format (first: %s)", len(skipped), folder, first)
    return found


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        # os.walk would skip an unreadable folder silently.
        raise SourceError(f"{error.filename} cannot be read ({error.strerror}); check its permissions.")

    paths = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent, name) for name in names if not name.startswith(".")]
    # LMDB leaves its lock next to its data; a reader does not need it.
    files = (path for path in paths if path.is_file() and not path.name.endswith(("lock.mdb", ".lmdb-lock")))
    return sorted(files, key=lambda path: path.parts)


def _reader_of(path: Path, readers: Sequence[Kind]) -> Kind | None:
    head = text.head(path)
    return next((reader for reader in readers if reader.accepts(path, head)), None)


def _formats(readers: Sequence[Kind]) -> str:
    return "; ".join(reader.NAME for reader in readers)
