"""Temporary files are gone whatever ends a process."""

import errno
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pyarrow as pa
import pytest

from attnstore.errors import AttnstoreError
from attnstore.runtime import table_output as tables
from attnstore.runtime.table_output import write_batches
from tests.synthetic import random_proteins, write_store

_SPILL = """
import sys, time
from attnstore.catalog.connection import Limits, open_in_memory
connection = open_in_memory(Limits(64 << 20, 10**9))
connection.execute("CREATE TABLE t AS SELECT md5(range::VARCHAR) AS a FROM range(4000000)")
print("spilt", flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""


#: Ends in the middle of writing a file for the user: by the signal that its argument names.
_WRITE = """
import os, sys, time
from pathlib import Path
import pyarrow as pa
import attnstore.export
from attnstore.runtime.table_output import write_batches
form, number, store = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def end(*_):
    assert any(path.name.startswith(".out") for path in Path.cwd().iterdir())
    os.kill(os.getpid(), number)
    time.sleep(60)

def batches(schema):
    yield pa.record_batch({"a": [1, 2]})
    end()

if form == "export":
    attnstore.export._write = end
    attnstore.open(store).export("out.duckdb")
schema = pa.schema([("a", pa.int64())])
write_batches(pa.RecordBatchReader.from_batches(schema, batches(schema)), form, Path("out." + form))
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


def test_nothing_stands_beside_a_file_whose_writer_was_killed(tmp_path):
    write_store(tmp_path / "store", random_proteins(1, [8]))
    running = []
    for form, number in (("csv", signal.SIGKILL), ("parquet", signal.SIGTERM), ("export", signal.SIGKILL)):
        (tmp_path / form).mkdir()
        command = [sys.executable, "-c", _WRITE, form, str(int(number)), str(tmp_path / "store")]
        running.append((subprocess.Popen(command, cwd=tmp_path / form), number))
    assert [process.wait(60) for process, _ in running] == [-number for _, number in running]
    deadline = time.monotonic() + 20
    while (left := [*tmp_path.glob("*/.out*")]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "file.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("file.csv")
    for name in ("pipe", "link.csv"):
        rows = pa.table({"a": [1, 2]})
        write_batches(pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches()), "csv", tmp_path / name)
    assert os.read(reader, 99) == b'"a"\n1\n2\n' == (tmp_path / "file.csv").read_bytes()
    os.close(reader)
    assert (tmp_path / "link.csv").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv", "link.csv", "pipe"]


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch, form):
    (tmp_path / "old").write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables.os, "replace", full)
    for name in ("old", "new"):
        with pytest.raises(AttnstoreError, match=rf"{name} cannot be written: No space left on device\.$"):
            tables.write_table(pd.DataFrame({"a": [1]}), form, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_a_forked_child_has_a_folder_of_its_own_and_does_not_keep_its_parents(tmp_path, monkeypatch):
    code = """
import os, sys, time
from attnstore.runtime.scratch import scratch_folder
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
    from attnstore.runtime import scratch

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
