"""One writer at a time: of a store's catalog, and of a model's attention.

The system's own lock (flock) ends with its process, so it is never stale, and no process that is given the same number
later is mistaken for its holder. The content of a model's lock file names the holder for people, and replaces the lock
if several hosts share a file system or it has no locks.
"""

import contextlib
import json
import os
import socket
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ..errors import StoreError
from ..runtime.durable import check_regular

LOCK_FILE = "lock"


@dataclass(frozen=True)
class Holder:
    """The writing process: host name, process id, and its start as ISO 8601 in UTC."""

    host: str
    pid: int
    start: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.start}"


@contextlib.contextmanager
def lock_model(directory: Path, what: str, *, force: bool = False) -> Iterator[None]:
    """Hold a model's directory for one writer.

    A lock left by a dead process of this host is taken over.

    Parameters
    ----------
    directory : of the model
    what : what is written, as in 'model esm2'
    force : also take over the lock of a process of another host, or of this host where the file system has no locks

    Raises
    ------
    StoreError
        If another process holds the lock; the message names its host, number and start.
    """
    with open(directory / LOCK_FILE, "a+b", buffering=0, opener=_own) as file:
        locked = _flock(file, directory, wait=False)
        holder = _read(file)
        if locked is False:
            raise StoreError(f"{what} is being ingested by {holder or 'another process'}: wait for it, or stop it.")
        if holder is not None and not force and _may_live(holder, locked=locked is True):
            raise StoreError(
                f"{what} is being ingested by {holder}, as {file.name} says: wait for it or, if it no longer runs, "
                "continue with force=True."
            )
        _write(file, Holder(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")))
        try:
            yield
        finally:
            # Emptied, not removed: another process may have opened the file and wait to lock it.
            with contextlib.suppress(OSError):
                file.truncate(0)


@contextlib.contextmanager
def waiting(store: Path) -> Iterator[None]:
    """Wait until no other process adds to the catalog: the later writer would drop what the earlier one added."""
    if os.name != "posix":  # a directory cannot be opened there
        yield
        return
    descriptor = os.open(store, os.O_RDONLY)
    try:
        _flock(descriptor, store, wait=True)
        yield
    finally:
        os.close(descriptor)


def _flock(file: BinaryIO | int, place: Path, *, wait: bool) -> bool | None:
    """Lock an open file until it is closed: whether this succeeded, None if the file system has no locks."""
    if os.name != "posix":
        return None
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        warnings.warn(
            f"{place} lies on a file system without locks ({error.strerror}): ingest by one command at a time.",
            stacklevel=4,
        )
        return None
    return True


def _own(path: str, flags: int) -> int:
    """Open a lock file without following a link, which a foreign store may contain: the file is emptied later."""
    with contextlib.suppress(FileNotFoundError):
        check_regular(Path(path), "the lock")
    return os.open(path, flags, 0o666)


def _may_live(holder: Holder, *, locked: bool) -> bool:
    """Whether the holder that a lock file names may still run, given whether the file could be locked."""
    if holder.host != socket.gethostname():
        return True
    return not locked and _is_running(holder.pid)


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # there os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def _read(file: BinaryIO) -> Holder | None:
    """The holder that a lock file names; None if it is empty or names none, for example if it was truncated."""
    file.seek(0)
    try:
        content = json.loads(file.read(4096))
        holder = Holder(str(content["host"]), int(content["pid"]), str(content["start"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return holder if 0 < holder.pid < 2**31 and str(holder).isprintable() else None


def _write(file: BinaryIO, holder: Holder) -> None:
    file.truncate(0)
    file.write(json.dumps(asdict(holder)).encode())
