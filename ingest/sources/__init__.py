"""Readers of protein files.

A reader is a module with `NAME` (for messages), `PROPERTIES` (all that it may give), ``accepts(path, head)`` and
``read(path, options)``; a further format is one such module added to `READERS`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ...errors import SourceError
from ...properties import Property
from . import cgdms, fasta, mmcif, pdb, text
from .record import DEFAULT, Options, Record, Structure

__all__ = ["READERS", "Reader", "Record", "Structure", "read_inputs"]

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """What a reader module offers."""

    NAME: str
    PROPERTIES: tuple[Property, ...]

    def accepts(self, path: Path, head: bytes) -> bool:
        """Say whether this reader reads the file; `head` is its first 4 KiB, decompressed."""
        ...

    def read(self, path: Path, options: Options) -> Iterator[Record]:
        """Yield the file's records, or raise SourceError.

        A record has annotations only of what the file tells of that chain; where it has no feature of a kind, none.
        """
        ...


#: Asked in this order: those that go by the suffix before those that also go by content.
READERS: tuple[Reader, ...] = (pdb, mmcif, fasta, cgdms)


def read_inputs(inputs: Sequence[Path | str], options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the records of files and folders, in the given order.

    A folder is walked recursively and sorted by name; hidden files and folders, whose name starts with
    a dot, are left out, and files of no known format are passed over with one warning per folder.
    Every path is looked at before the first file is read, so that a mistyped one is reported at once.

    Parameters
    ----------
    inputs
        Paths of files or folders.

    Raises
    ------
    SourceError
        Nothing was given, a path does not exist, a named file is of no known format, a folder has no
        file of a known format, or (while iterating) a file cannot be read.
    """
    if not inputs:
        raise SourceError("No input was given; name a protein file or a folder of them.")
    plan = [pair for item in inputs for pair in _readable(Path(item))]
    return (record for path, reader in plan for record in reader.read(path, options))


def _readable(path: Path) -> list[tuple[Path, Reader]]:
    if os.path.isdir(path):
        return _readable_in(path)
    if not os.path.exists(path):
        raise SourceError(f"{path} does not exist; check the path.")
    reader = _reader_of(path)
    if reader is None:
        raise SourceError(f"{path} is of no known format; the known ones are {_formats()}.")
    return [(path, reader)]


def _readable_in(folder: Path) -> list[tuple[Path, Reader]]:
    found: list[tuple[Path, Reader]] = []
    skipped: list[Path] = []
    for path in _files(folder):
        reader = _reader_of(path)
        if reader is None:
            skipped.append(path)
        else:
            found.append((path, reader))
    if not found:
        raise SourceError(f"{folder} has no file of a known format; the known ones are {_formats()}.")
    if skipped:
        first = skipped[0].relative_to(folder)
        _log.warning("%d files in %s were not read: not a known format (first: %s)", len(skipped), folder, first)
    return found


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        # os.walk would pass an unreadable folder over without a word.
        raise SourceError(f"{error.filename} cannot be read ({error.strerror}); check its permissions.")

    paths = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted((path for path in paths if path.is_file()), key=lambda path: path.parts)


def _reader_of(path: Path) -> Reader | None:
    head = text.head(path)
    return next((reader for reader in READERS if reader.accepts(path, head)), None)


def _formats() -> str:
    return "; ".join(reader.NAME for reader in READERS)
