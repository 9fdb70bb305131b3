"""Text files, plain or gzip, read in the same way for every reader."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import SourceError

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = "\ufeff"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Size of the beginning of a file that readers get to decide whether they accept it.
HEAD_BYTES = 4096
_BLOCK_BYTES = 1 << 20
#: The longest line: far longer than any protein, far less than the memory.
_LINE_BYTES = 16 << 20
#: The most memory for a file that has to be in memory as a whole.
_WHOLE_BYTES = 1 << 30
#: Memory of a line in a list of lines, besides its characters.
_LINE_OVERHEAD = sys.getsizeof("") + 8
#: A gzip that grows by more than this factor, beyond this many bytes, was made to fill a disk or the memory.
_GROWTH = 200
_HARMLESS_BYTES = 16 << 20


def suffix(path: Path) -> str:
    """Return the lower-case suffix before any ".gz": ".pdb" of "1abc.PDB.gz"."""
    return _without_gz(path).suffix.lower()


def stem(path: Path) -> str:
    """Return the file's name without its suffix and without any ".gz"."""
    return _without_gz(path).stem


def head(path: Path) -> bytes:
    """Return the first 4 KiB, decompressed; nothing if they cannot be read.

    A damaged file is not an error here: the reader that accepts it by its name reports the damage.
    """
    try:
        with open_file(path) as stream:
            return stream.read(HEAD_BYTES)
    except SourceError:
        return b""


def lines(path: Path, *, whole: bool = False, windows: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, str]]:
    r"""Yield each line's number, from 1, and its text without the line end, in constant memory.

    A UTF-8 byte order mark is dropped, and a line may end in "\n", "\r\n" or "\r".

    Parameters
    ----------
    path
        Plain or gzip.
    whole
        All lines will be in memory at once: refuse a file whose lines take more than 1 GiB.
    windows
        Beginnings of lines that may be Windows-1252 (as most of Latin-1 is) if they are not UTF-8: for example, lines
        with names of people, of which nothing is read.

    Raises
    ------
    SourceError
        As `open_file`; or the file is not UTF-8, or has a line of more than 16 MiB.
    """
    number = size = 0
    try:
        with open_file(path) as stream:
            for line in _split(path, stream):
                number += 1
                size += len(line) + _LINE_OVERHEAD
                if whole and size > _WHOLE_BYTES:
                    raise _too_large(path)
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError:
                    if windows is None or line.startswith(_UTF16) or not windows.match(line):
                        raise
                    text = line.decode("cp1252", errors="replace")
                if "\0" in text:
                    raise SourceError(
                        f"{path}:{number} holds a NUL byte, as no text does but UTF-16; "
                        f"save the file as UTF-8, or name the file that was meant."
                    )
                yield number, text.removeprefix(_BOM) if number == 1 else text
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise SourceError(
            f"{path}:{number} holds the byte 0x{byte:02x}, which is not UTF-8 text; "
            f"save the file as UTF-8, or name the file that was meant."
        ) from error


def _split(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield each line without its end; by blocks, since a stream's own lines end at "\\n" only."""
    rest = b""
    number = 0
    while block := stream.read(_BLOCK_BYTES):
        data = rest + block
        pieces = data.splitlines()
        rest = b""
        if not data.endswith(b"\n"):  # the rest of the line, or the "\n" of its "\r\n", is in the next block
            rest = pieces.pop() + (b"\r" if data.endswith(b"\r") else b"")
        yield from pieces
        number += len(pieces)
        if len(rest) > _LINE_BYTES:
            raise SourceError(
                f"{path}:{number + 1} is a line of more than {_LINE_BYTES >> 20} MiB; "
                f"break its lines, or name the file that was meant."
            )
    yield from rest.splitlines()


def content(path: Path) -> bytes:
    """Return a whole file, decompressed.

    Raises
    ------
    SourceError
        As `open_file`; or it has more than 1 GiB.
    """
    with open_file(path) as stream:
        data = stream.read(_WHOLE_BYTES + 1)
    if len(data) > _WHOLE_BYTES:
        raise _too_large(path)
    return data


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a plain or gzip file for reading; gzip is recognised by its first two bytes.

    Raises
    ------
    SourceError
        Also while it is open: it cannot be opened, is a damaged gzip or one made to overflow, or is named .gz but is
        not
        gzip; or it is not a file, or its name is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"{os.fsencode(path)!r} is a name that is not UTF-8; rename the file.") from error
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would block, and can be read only once
            raise SourceError(f"{path} is not a file but a folder, a pipe or a device; give a file.")
        with path.open("rb") as file:
            magic = file.read(len(_GZIP_MAGIC))
            file.seek(0)
            if magic == _GZIP_MAGIC:
                with gzip.open(file, "rb") as unpacked:
                    yield io.BufferedReader(_Measured(path, file, unpacked), 1 << 16)
                return
            if path.suffix.lower() == ".gz":
                raise SourceError(
                    f"{path} is named .gz but is not gzip; "
                    f"take the .gz off its name if it is plain text, or fetch it again."
                )
            yield file
    except EOFError as error:
        raise SourceError(f"{path} ends in the middle of its gzip stream; fetch or copy it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{path} is a damaged gzip ({error}); fetch or copy it again.") from error
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; check the path.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{path} cannot be read ({reason}); check the file and its permissions.") from error


class _Measured(io.RawIOBase):
    """Passes on the content of a gzip stream while its size is in proportion to the file's."""

    def __init__(self, path: Path, packed: BinaryIO, unpacked: gzip.GzipFile) -> None:
        self._path, self._packed, self._unpacked = path, packed, unpacked
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = self._unpacked.readinto(buffer)
        self._size += size
        if self._size > max(_HARMLESS_BYTES, _GROWTH * self._packed.tell()):
            raise SourceError(
                f"{self._path} grows to more than {_GROWTH} times its size when unpacked, as no such file does; "
                f"unpack it yourself if it is meant."
            )
        return size


def _too_large(path: Path) -> SourceError:
    return SourceError(f"{path} takes more than {_WHOLE_BYTES >> 30} GiB of memory; split it into smaller files.")


def _without_gz(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path
