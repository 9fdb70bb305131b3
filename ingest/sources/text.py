"""Text files, plain or gzip, the same way for every reader."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...errors import SourceError

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = "\ufeff"
#: How much of a file's start the readers get to see when they say whether they accept it.
HEAD_BYTES = 4096
#: The longest line: far beyond any protein, far below what would fill the memory.
_LINE_BYTES = 64 << 20
#: The most that is read of a file that has to be in memory whole.
_WHOLE_BYTES = 1 << 30
#: A gzip that grows by more than this factor, beyond so many bytes, was made to fill a disk or a memory.
_GROWTH = 200
_HARMLESS_BYTES = 64 << 20


def suffix(path: Path) -> str:
    """Return the lower-case suffix before any ".gz": ".pdb" of "1abc.PDB.gz"."""
    return _without_gz(path).suffix.lower()


def stem(path: Path) -> str:
    """Return the file's name without its suffix and without any ".gz"."""
    return _without_gz(path).stem


def head(path: Path) -> bytes:
    """Return the first 4 KiB, decompressed; nothing where they cannot be read.

    A damaged file is not an error here: the reader that accepts it by its name reports the damage.
    """
    try:
        with opened(path) as stream:
            return stream.read(HEAD_BYTES)
    except SourceError:
        return b""


def lines(path: Path, *, whole: bool = False) -> Iterator[tuple[int, str]]:
    r"""Yield each line's number, from 1, and its text without the line end, in constant memory.

    A UTF-8 byte order mark is dropped, and a line may end in "\n", "\r\n" or "\r".

    Parameters
    ----------
    path
        Plain or gzip.
    whole
        All lines will be in memory at once: refuse a file of more than 1 GiB.

    Raises
    ------
    SourceError
        As `opened`; or the file is not UTF-8, or has a line of more than 64 MiB.
    """
    number = size = 0
    try:
        with opened(path) as stream:
            # Reading by line splits at "\n" only; the bytes' splitlines also knows "\r".
            while raw := stream.readline(_LINE_BYTES + 1):
                size += len(raw)
                if len(raw) > _LINE_BYTES:
                    raise SourceError(
                        f"{path}:{number + 1} is a line of more than {_LINE_BYTES >> 20} MiB; "
                        f"break its lines, or name the file that was meant."
                    )
                if whole and size > _WHOLE_BYTES:
                    raise _too_large(path)
                for part in raw.splitlines():
                    number += 1
                    text = part.decode("utf-8")
                    yield number, text.removeprefix(_BOM) if number == 1 else text
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise SourceError(
            f"{path}:{number} holds the byte 0x{byte:02x}, which is not UTF-8 text; "
            f"save the file as UTF-8, or name the file that was meant."
        ) from error


def content(path: Path) -> bytes:
    """Return a whole file, decompressed.

    Raises
    ------
    SourceError
        As `opened`; or it has more than 1 GiB.
    """
    with opened(path) as stream:
        data = stream.read(_WHOLE_BYTES + 1)
    if len(data) > _WHOLE_BYTES:
        raise _too_large(path)
    return data


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a plain or gzip file for reading; gzip is recognised by its first two bytes.

    Raises
    ------
    SourceError
        While it is open, too: it cannot be opened, is a damaged gzip or one made to overflow, or is named .gz and is
        none.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GZIP_MAGIC))
            file.seek(0)
            if magic == _GZIP_MAGIC:
                with gzip.open(file, "rb") as unpacked:
                    yield io.BufferedReader(_Measured(path, unpacked), 1 << 16)
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
    """Passes on what a gzip stream holds, as long as it is in proportion to the file."""

    def __init__(self, path: Path, stream: gzip.GzipFile) -> None:
        self._path, self._stream = path, stream
        self._most = max(_HARMLESS_BYTES, _GROWTH * path.stat().st_size)
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = self._stream.readinto(buffer)
        self._size += size
        if self._size > self._most:
            raise SourceError(
                f"{self._path} grows to more than {_GROWTH} times its size when unpacked, as no such file does; "
                f"unpack it yourself if it is meant."
            )
        return size


def _too_large(path: Path) -> SourceError:
    return SourceError(f"{path} has more than {_WHOLE_BYTES >> 30} GiB; split it into smaller files.")


def _without_gz(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path
