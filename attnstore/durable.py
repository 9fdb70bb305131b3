"""Writes that survive a crash, and digests that prove it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .errors import StoreError


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, whole, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):  # which names no file, or the temporary one
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    sync_directory(path.parent)


class Written(NamedTuple):
    """A file as it was handed to the system: where, how many bytes, and their SHA-256."""

    path: Path
    size: int
    sha256: str


def write_digested(path: Path, blocks: Iterable[bytes | memoryview]) -> Written:
    """Write a new file block by block, digested on the way; not yet flushed to the disk."""
    digest, size = hashlib.sha256(), 0
    with open(path, "xb") as file:
        for block in blocks:
            file.write(block)
            digest.update(block)
            size += len(block)
    return Written(path, size, digest.hexdigest())


def replace_json(path: Path, content: Any) -> None:
    """:func:`replace_file` with JSON."""
    replace_file(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """The one way JSON is written in a store: two-space indented UTF-8 with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_bytes(path: Path, what: str) -> bytes:
    """Read a file of a store; raises StoreError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{what} is missing: {path} does not exist.") from None
    except OSError as error:
        raise StoreError(f"{what} cannot be read: {path}: {error.strerror}.") from None


def parse_json(data: bytes, path: Path, what: str) -> dict[str, Any]:
    """A JSON object of a store.

    Raises
    ------
    StoreError
        If it is none.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise StoreError(f"{what} is damaged: {path} is not valid JSON ({error}).") from None
    except RecursionError:
        raise StoreError(f"{what} is damaged: {path} is nested too deeply.") from None
    if not isinstance(content, dict):
        raise StoreError(f"{what} is damaged: {path} is not a JSON object.")
    return content


def make_directories(path: Path) -> None:
    """Make a directory and those above it that are missing, each flushed into the one above."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_directory(folder.parent)


def sync_file(path: Path) -> None:
    """Flush a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to the disk, where the system has that notion."""
    if os.name == "posix":
        sync_file(path)


def files_below(directory: Path) -> Iterator[Path]:
    """Every file below a directory, sorted, so that listings are the same everywhere."""
    return (path for path in sorted(directory.rglob("*")) if path.is_file())


def sync_tree(directory: Path) -> None:
    """Flush every file and directory below a directory, and itself."""
    for path in sorted(directory.rglob("*")):
        sync_directory(path) if path.is_dir() else sync_file(path)
    sync_directory(directory)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(data: bytes | memoryview) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
