"""A process's folder for temporary files, removed on any end of the process, SIGKILL included.

A small watching process waits for the end of a pipe that only this process holds open, and then removes the folder:
the system closes the pipe however the process ends.
"""

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

_PREFIX = "attnstore-"
# `read` ends when the pipe does. The folder is an argument and no part of the script, whatever its name.
_WATCH = 'trap "" INT HUP TERM; read -r line; rm -rf -- "$1"'

_lock = threading.RLock()
#: Of this process: its id, the folder, and the watching process. A fork makes its own.
_folder: tuple[int, Path, "subprocess.Popen[bytes]"] | None = None


def scratch_folder() -> Path | None:
    """The folder for this process's temporary files, made at the first call in the system's temporary folder.

    Returns
    -------
    Path or None
        None where it cannot be made or watched (no disk, no further process): then nothing may be written.
    """
    global _folder
    with _lock:
        if _folder is None or _folder[0] != os.getpid() or not _folder[1].is_dir():
            _folder = _watched_folder()
        return _folder[1] if _folder else None


def _watched_folder() -> tuple[int, Path, "subprocess.Popen[bytes]"] | None:
    try:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))  # readable by this user alone
    except OSError:
        return None
    try:
        # In a session of its own, so that a signal to the process's group does not reach it.
        watcher = subprocess.Popen(  # noqa: S603  our own script, and a path that `mkdtemp` made
            ["/bin/sh", "-c", _WATCH, "sh", str(path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        return None
    return os.getpid(), path, watcher


@atexit.register
def _remove() -> None:
    if _folder is not None and _folder[0] == os.getpid():
        _, path, watcher = _folder
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            watcher.communicate(timeout=5)


def free_bytes() -> int:
    """Bytes free where temporary files go; 0 where that is not known."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(tempfile.gettempdir()).free
    return 0


def _forget() -> None:
    """In a forked child: the pipe is the parent's, and must end with it."""
    global _lock
    _lock = threading.RLock()
    if _folder is not None and _folder[2].stdin is not None:
        with contextlib.suppress(OSError):
            os.close(_folder[2].stdin.fileno())


os.register_at_fork(after_in_child=_forget)
