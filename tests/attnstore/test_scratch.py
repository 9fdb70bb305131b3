"""Temporary files are gone whatever ends a process."""

import os
import signal
import subprocess
import sys
import time

import pytest

_SPILL = """
import sys, time
from attnstore.duckdb_connection import Limits, open_in_memory
connection = open_in_memory(Limits(64 << 20, 10**9))
connection.execute("CREATE TABLE t AS SELECT md5(range::VARCHAR) AS a FROM range(4000000)")
print("spilt", flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""


def _run(folder, how):
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir(parents=True)
    (folder / "here").mkdir()
    command = [sys.executable, "-c", _SPILL, how]
    return subprocess.Popen(
        command, env=environment, cwd=folder / "here", stdout=subprocess.PIPE, start_new_session=True
    )


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_no_end_of_a_process_leaves_a_file(tmp_path):
    ends = {"the end": None, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT}
    running = {name: _run(tmp_path / name, "wait" if end else "end") for name, end in ends.items()}
    for name, end in ends.items():
        process = running[name]
        assert process.stdout.readline() == b"spilt\n"
        if end is None:
            process.wait(60)
        else:
            assert _files(tmp_path / name / "tmp")  # there is something to remove
            assert not _files(tmp_path / name / "here")
            # To all of its group, as a shell or `timeout` does.
            os.killpg(process.pid, end)
            process.wait(60)
        process.stdout.close()
    deadline = time.monotonic() + 20
    while _files(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [path for path in tmp_path.rglob("*") if path.name not in ("tmp", "here", *ends)] == []


def test_a_forked_child_has_a_folder_of_its_own_and_does_not_keep_its_parents(tmp_path, monkeypatch):
    code = """
import os, sys, time
from attnstore.scratch import scratch_folder
mine = scratch_folder()
child = os.fork()
if child == 0:
    own = scratch_folder()
    print(own != mine and own.is_dir(), mine, flush=True)
    time.sleep(3)
    os._exit(0)
time.sleep(0.5)
os.kill(os.getpid(), 9)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    different, parents = process.stdout.readline().decode().split()
    assert different == "True"
    process.wait(30)
    deadline = time.monotonic() + 2.5
    while os.path.exists(parents) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(parents)
    process.stdout.close()


@pytest.mark.parametrize("missing", ["nowhere", "no watcher"])
def test_nothing_is_written_where_nothing_can_be_watched(tmp_path, monkeypatch, missing):
    from attnstore import scratch

    monkeypatch.setattr(scratch, "_folder", None)
    if missing == "nowhere":
        monkeypatch.setattr(scratch.tempfile, "mkdtemp", _fail)
    else:
        monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(scratch.subprocess, "Popen", _fail)
    assert scratch.scratch_folder() is None
    assert list(tmp_path.iterdir()) == []


def _fail(*_, **__):
    raise OSError("no")
