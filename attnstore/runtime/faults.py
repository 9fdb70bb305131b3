"""Distinguish damage of a store from faults of the machine that reads it.

A failing disk, or a limit of memory, threads or open files is not damage of the store, and no repair helps.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from functools import cache

from ..errors import AttnstoreError, MachineError, StoreError, first_line

_DISK = "check the disk or its connection, then run the command again; the store itself may be whole"
_SPACE = "free some space, then run the command again"
_FILES = "allow more (`ulimit -n 4096`) or close other programs, then run the command again"
_RIGHTS = "get the right to read and write there"
_MEMORY = "close other programs, raise the limit (`ulimit -v`), or use a machine with more memory"
_THREADS = "allow more (`ulimit -u`, or memory for them, `ulimit -v`) or end other programs, then run the command again"

#: What to do about errors of the system, which are not errors of a store.
_CURES = {
    errno.EIO: _DISK, errno.ESTALE: _DISK, errno.ETIMEDOUT: _DISK, errno.ENXIO: _DISK, errno.ENODEV: _DISK,
    errno.ENOTCONN: _DISK, errno.EREMOTEIO: _DISK, errno.EBUSY: _DISK, errno.EROFS: _RIGHTS,
    errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE,
    errno.EMFILE: _FILES, errno.ENFILE: _FILES,
    errno.EACCES: _RIGHTS, errno.EPERM: _RIGHTS,
    errno.ENOMEM: _MEMORY, errno.EAGAIN: _THREADS,
} if hasattr(errno, "EREMOTEIO") else {
    errno.EIO: _DISK, errno.ESTALE: _DISK, errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EMFILE: _FILES,
    errno.ENFILE: _FILES, errno.EACCES: _RIGHTS, errno.EPERM: _RIGHTS, errno.ENOMEM: _MEMORY,
}  # fmt: skip

#: Messages of libraries that get no memory; the last two mean that a library itself cannot be loaded.
_NO_MEMORY = (
    "bad allocation", "bad_alloc", "cannot allocate memory", "failed to allocate", "unable to allocate",
    "failed to map segment", "libllvmlite",
)  # fmt: skip

#: Bytes of address space that a process uses on two cores with Python, DuckDB, Arrow and numba loaded, and the part
#: of Python and NumPy. With less, some libraries end the process instead of raising an error.
_ADDRESS_SPACE, _AT_FIRST = 2_200_000_000, 450_000_000

#: The same for libraries that pass on the system's message without its number.
_WORDS = {os.strerror(number).lower(): number for number in _CURES}


def machine_error(error: BaseException, doing: str) -> MachineError | None:
    """Return the error to raise if the machine failed; None if the error is about the data that was read.

    Parameters
    ----------
    error : of the system or of a library; its causes are examined, too
    doing : what failed, as in 'reading the catalog /data/my.attn/catalog-0.duckdb'
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, MachineError):
            return cause
        found = _fault(cause)
        if found is not None:
            reason, cure = found
            return MachineError(f"{doing} failed: {reason}. The store is not at fault: {cure}.")
        cause = cause.__cause__
    return None


def damage(path: object, error: BaseException) -> AttnstoreError:
    """Return the error to raise if a file of a segment cannot be read as it was written: damage, or a machine fault."""
    return machine_error(error, f"reading {path}") or StoreError(
        f"{path} is damaged ({first_line(error)}): `store.verify()` names what else is."
    )


@cache
def check_address_space() -> None:
    """Raise MachineError, at the first call, if a limit leaves too little address space to load libraries."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # systems without limits, or without /proc
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        needed = _ADDRESS_SPACE - min(taken, _AT_FIRST)
        if limit - taken < needed:
            raise MachineError(
                f"the limit of {limit / 1e9:.3g} GB of address space leaves {max(limit - taken, 0) / 1e9:.3g} GB, and "
                f"attnstore with its libraries needs {needed / 1e9:.3g} GB: raise the limit, as in `ulimit -v 4000000`."
            )


@contextlib.contextmanager
def damage_suppressed() -> Iterator[None]:
    """Suppress errors of damaged data; raise MachineError for data that the machine cannot read now."""
    try:
        yield
    except (StoreError, OSError) as error:
        fault = machine_error(error, "reading the store")
        if fault is not None:
            raise fault from error


def _fault(error: BaseException) -> tuple[str, str] | None:
    """What failed in the machine, and what to do about it."""
    text = first_line(error).lower()
    if isinstance(error, OSError) and error.errno in _CURES:
        return os.strerror(error.errno), _CURES[error.errno]
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
        return "not enough memory", _MEMORY
    ours = type(error).__module__.startswith(("_duckdb", "duckdb", "pyarrow"))
    if not ours and not isinstance(error, OSError | RuntimeError | ImportError):
        return None
    if any(words in text for words in _NO_MEMORY):
        return "not enough memory", _MEMORY
    if any(word in text for word in ("start new thread", "resource temporarily unavailable", "thread constructor")):
        return "no further thread can be started", _THREADS
    for words, number in _WORDS.items():
        if words in text:
            return os.strerror(number), _CURES[number]
    return None
