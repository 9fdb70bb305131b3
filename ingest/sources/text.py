"""Text files, plain or gzip, the same way for every reader."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...errors import SourceError

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = "\ufeff"
#: How much of a file's start the readers get to see when they say whether they accept it.
HEAD_BYTES = 4096


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
        with _open_bytes(path) as stream:
            return stream.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error, SourceError):
        return b""


def lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield each line's number, from 1, and its text without the line end, in constant memory.

    gzip is recognised by its first two bytes, a UTF-8 byte order mark is dropped, and a line may end
    in "\n", "\r\n" or "\r".

    Raises
    ------
    SourceError
        The file cannot be opened, is a damaged gzip, is named .gz and is none, or is not UTF-8.
    """
    number = 0
    try:
        with _open_bytes(path) as stream:
            for raw in stream:
                # Iteration splits at "\n" only; the bytes' splitlines also knows "\r".
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
    except EOFError as error:
        raise SourceError(f"{path} ends in the middle of its gzip stream; fetch or copy it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{path} is a damaged gzip ({error}); fetch or copy it again.") from error
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; check the path.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{path} cannot be read ({reason}); check the file and its permissions.") from error


def _without_gz(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def _open_bytes(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as stream:
        magic = stream.read(len(_GZIP_MAGIC))
    if magic == _GZIP_MAGIC:
        return gzip.open(path, "rb")
    if path.suffix.lower() == ".gz":
        raise SourceError(
            f"{path} is named .gz but is not gzip; take the .gz off its name if it is plain text, or fetch it again."
        )
    return path.open("rb")
