"""Writes that survive a crash, and digests that verify them."""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import StoreError
from .faults import machine_error


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees either the old or the new content, complete, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # in a store from somebody else it may be a link
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):  # it names no file, or the temporary one
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    sync_directory(path.parent)


class Written(NamedTuple):
    """A file as it was passed to the system: path, number of bytes, and their SHA-256."""

    path: Path
    size: int
    sha256: str


def write_digested(path: Path, blocks: Iterable[bytes | memoryview]) -> Written:
    """Write a new file block by block and compute its digest; it is not yet flushed to the disk."""
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
    """The form in which all JSON is written in a store: UTF-8, indented by two spaces, with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_bytes(path: Path, what: str) -> bytes:
    """Read a file of a store.

    Raises
    ------
    StoreError
        It is missing, or not a regular file.
    MachineError
        The machine cannot read it now.
    """
    try:
        check_regular(path, what)
        return path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{what} is missing: {path} does not exist.") from None
    except (OSError, MemoryError, ValueError) as error:
        raise machine_error(error, f"reading {path}") or StoreError(
            f"{what} cannot be read: {path}: {getattr(error, 'strerror', None) or error}."
        ) from error


def check_regular(path: Path, what: str) -> os.stat_result:
    """Size and times of a file of a store.

    Raises
    ------
    StoreError
        It is a symbolic link, which may lead anywhere, a device, or a pipe, on which a reader would wait forever.
    OSError
        It is missing, or its status cannot be read.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{what} is not read: {path} {_KINDS.get(stat.S_IFMT(status.st_mode), 'is not a file')}.")
    return status


def check_folder(path: Path) -> None:
    """Raise StoreError if a folder of a store exists and is a symbolic link, or not a folder."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(mode):
        raise StoreError(f"{path} {_KINDS.get(stat.S_IFMT(mode), 'is not a folder')}: a store has a folder there.")


def check_tree(directory: Path) -> None:
    """Raise StoreError if anything below a folder of a store is neither a folder nor a regular file."""
    folders = [os.fspath(directory)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    check_regular(Path(entry.path), f"{directory.name}")


_KINDS = {
    stat.S_IFLNK: "is a symbolic link, and a store holds its files itself: put the file there, if you trust it",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFBLK: "is a device",
    stat.S_IFCHR: "is a device",
    stat.S_IFDIR: "is a folder",
    stat.S_IFREG: "is a file",
}


def parse_json(data: bytes, path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object of a store.

    Raises
    ------
    StoreError
        If the file is not a JSON object.
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
    """Make a directory and its missing parents, each flushed into its parent."""
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
    """Flush the entries of a directory to the disk, if the system supports it."""
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
    """SHA-256 of a file, hexadecimal; raises MachineError where the machine cannot read it now."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, MemoryError) as error:
        fault = machine_error(error, f"reading {path}")
        if fault is not None:
            raise fault from error
        raise


def sha256_bytes(data: bytes | memoryview) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
