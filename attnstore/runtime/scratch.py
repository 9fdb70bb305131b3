"""Folders for temporary files, removed however the process ends, including SIGKILL.

A small watching process waits for the end of a pipe that only this process has open, and then removes the folder:
the system closes the pipe however the process ends.
"""

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "attnstore-"
# `read` ends when the pipe does. The folder is an argument, not part of the script, so any name is safe.
_WATCH = 'trap "" INT HUP TERM; read -r line; rm -rf -- "$1"'

_lock = threading.RLock()
#: Of this process: its id, the folder, and the watching process. A forked process makes its own.
_folder: tuple[int, Path, "subprocess.Popen[bytes]"] | None = None
#: Folders next to targets.
_watchers: "set[subprocess.Popen[bytes]]" = set()


def scratch_folder() -> Path | None:
    """The folder for this process's temporary files, made at the first call in the system's temporary folder.

    Returns
    -------
    Path or None
        None if it cannot be made or watched (no disk, no further process); then no temporary files may be written.
    """
    global _folder
    with _lock:
        if _folder is None or _folder[0] != os.getpid() or not _folder[1].is_dir():
            _folder = _watched_folder()
        return _folder[1] if _folder else None


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Make a hidden folder next to a target, which is written there first so that it appears complete or not at all.

    Parameters
    ----------
    target : file or folder to be written; its parent folder exists

    Raises
    ------
    OSError
        The folder cannot be made.
    """
    parent = Path(os.path.abspath(target.parent))
    path = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=parent))
    watcher = None
    try:
        with contextlib.suppress(OSError):  # no further process: then the folder stays after SIGKILL
            watcher = _watch(path)
            _watchers.add(watcher)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if watcher is not None:
            _watchers.discard(watcher)
            _end(watcher)


def _watched_folder() -> tuple[int, Path, "subprocess.Popen[bytes]"] | None:
    try:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))  # readable by this user alone
    except OSError:
        return None
    try:
        return os.getpid(), path, _watch(path)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        return None


def _watch(path: Path) -> "subprocess.Popen[bytes]":
    """Start the process that removes a folder when this process ends; raises OSError if it cannot be started."""
    # It runs in its own session, so that a signal to this process's group does not reach it.
    return subprocess.Popen(  # noqa: S603  our own script, and a path that `mkdtemp` made
        ["/bin/sh", "-c", _WATCH, "sh", str(path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
    )  # fmt: skip


def _end(watcher: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        watcher.communicate(timeout=5)


@atexit.register
def _remove() -> None:
    if _folder is not None and _folder[0] == os.getpid():
        _, path, watcher = _folder
        shutil.rmtree(path, ignore_errors=True)
        _end(watcher)


def free_bytes() -> int:
    """Bytes free in the folder of temporary files; 0 if unknown."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(tempfile.gettempdir()).free
    return 0


def _forget() -> None:
    """In a forked child: drop the pipes, which belong to the parent and must close with it."""
    global _lock
    _lock = threading.RLock()
    for watcher in [*_watchers, *([_folder[2]] if _folder is not None else [])]:
        if watcher.stdin is not None:
            with contextlib.suppress(OSError):
                os.close(watcher.stdin.fileno())
    _watchers.clear()


os.register_at_fork(after_in_child=_forget)
