"""A model has one writer at a time; a lock outlives its process only where another host might still hold it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attnstore.errors import StoreError
from attnstore.format import lock

HOST = socket.gethostname()

HOLD = """
import sys, time
from pathlib import Path
from attnstore.format.lock import lock_model
with lock_model(Path(sys.argv[1]), "model m"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the model's directory until it is killed or its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def left(directory: Path, **said: object) -> None:
    """A lock file as a process would have left it."""
    content = {"host": HOST, "pid": os.getpid(), "start": "2024-05-06T07:08:09+00:00"} | said
    (directory / "lock").write_text(json.dumps(content))


def refusal(directory: Path, **options: bool) -> str:
    with pytest.raises(StoreError) as refused, lock.lock_model(directory, "model m", **options):
        pass
    return str(refused.value)


def assert_free(directory: Path, **options: bool) -> None:
    with lock.lock_model(directory, "model m", **options):
        said = json.loads((directory / "lock").read_bytes())
        assert (said["host"], said["pid"]) == (HOST, os.getpid())
        assert abs((datetime.now(UTC) - datetime.fromisoformat(said["start"])).total_seconds()) < 60
        assert said["start"].endswith("+00:00")
    assert (directory / "lock").read_bytes() == b""


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_free_is_held_and_given_back(tmp_path):
    for _ in range(2):
        assert_free(tmp_path)


def test_a_live_holder_is_named_by_process_host_and_start_even_to_force(tmp_path):
    with holder(tmp_path) as process:
        start = json.loads((tmp_path / "lock").read_bytes())["start"]
        for force in (False, True):
            assert refusal(tmp_path, force=force) == (
                f"model m is being ingested by process {process.pid} on {HOST} since {start}: wait for it, or stop it."
            )
        assert process.poll() is None
        process.communicate("")
        assert process.returncode == 0
    assert_free(tmp_path)


def test_a_killed_holder_is_taken_over(tmp_path):
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads((tmp_path / "lock").read_bytes())["pid"] == process.pid
    assert_free(tmp_path)


def test_a_number_given_to_another_process_since_is_no_holder(tmp_path):
    left(tmp_path, pid=os.getppid())  # which runs, and holds no lock
    assert_free(tmp_path)


def test_another_thread_of_the_same_process_is_refused(tmp_path):
    with lock.lock_model(tmp_path, "model m"):
        assert f"process {os.getpid()} on {HOST}" in refusal(tmp_path)
    assert_free(tmp_path)


def test_another_hosts_is_refused_unless_forced(tmp_path):
    left(tmp_path, host="elsewhere", pid=4711)
    assert refusal(tmp_path) == (
        "model m is being ingested by process 4711 on elsewhere since 2024-05-06T07:08:09+00:00, as "
        f"{tmp_path / 'lock'} says: wait for it or, if it no longer runs, continue with force=True."
    )
    assert json.loads((tmp_path / "lock").read_bytes())["pid"] == 4711
    assert_free(tmp_path, force=True)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"host": "elsewhere", "pid": 47', b"[]", b"null", b"\xff\0", b"[" * 4096, b'{"host": "elsewhere"}',
     b'{"host": "elsewhere", "pid": -1, "start": ""}', b'{"host": "a\\nb", "pid": 1, "start": ""}'],
)  # fmt: skip
def test_a_file_that_names_nobody_is_taken_over_once_it_is_locked(tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    assert_free(tmp_path)
    (tmp_path / "lock").write_bytes(content)
    with open(tmp_path / "lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert refusal(tmp_path) == "model m is being ingested by another process: wait for it, or stop it."


@pytest.mark.usefixtures("without_locks")
def test_where_there_are_no_locks_a_file_that_names_a_live_process_stands_in_for_one(tmp_path):
    warned = re.escape(f"{tmp_path} lies on a file system without locks ({os.strerror(errno.ENOLCK)}): ")
    for pid in (os.getpid(), os.getppid()):
        left(tmp_path, pid=pid)
        with pytest.warns(UserWarning, match=warned):
            assert f"process {pid} on {HOST} since" in refusal(tmp_path)
        with pytest.warns(UserWarning, match=warned):
            assert_free(tmp_path, force=True)
    left(tmp_path, pid=dead_process())
    with pytest.warns(UserWarning, match=warned):
        assert_free(tmp_path)
    left(tmp_path, host="elsewhere", pid=dead_process())
    with pytest.warns(UserWarning, match=warned):
        assert "on elsewhere" in refusal(tmp_path)


@pytest.mark.usefixtures("without_locks")
def test_another_users_process_counts_as_live(tmp_path, monkeypatch):
    def not_ours(pid: int, number: int) -> None:
        assert number == 0
        raise PermissionError

    left(tmp_path, pid=4711)
    monkeypatch.setattr(os, "kill", not_ours)
    with pytest.warns(UserWarning, match="without locks"):
        assert "process 4711" in refusal(tmp_path)


def test_what_fails_while_it_is_held_gives_it_back(tmp_path):
    with pytest.raises(KeyboardInterrupt), lock.lock_model(tmp_path, "model m"):
        raise KeyboardInterrupt
    assert_free(tmp_path)


def test_the_catalog_is_waited_for(tmp_path):
    entered = threading.Event()

    def enter() -> None:
        with lock.waiting(tmp_path):
            entered.set()

    thread = threading.Thread(target=enter)
    with lock.waiting(tmp_path):
        thread.start()
        time.sleep(0.2)
        assert not entered.is_set()
    thread.join(60)
    assert entered.is_set()
    assert list(tmp_path.iterdir()) == []
