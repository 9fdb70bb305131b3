"""What the machine lacks is said as that, and is never damage: nobody is sent to a repair."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import pyarrow as pa
import pytest

import attnstore
from attnstore import cli
from attnstore.catalog import reader as catalog
from attnstore.catalog.connection import translated
from attnstore.errors import AttnstoreError, MachineError, QueryError, StoreError
from attnstore.format import segment, segment_files
from attnstore.format import zarr_reader as shards
from attnstore.ingest.repair import repair
from attnstore.integrity import verify
from attnstore.queries.engine import vectors
from attnstore.runtime.faults import damage, machine_error
from tests.synthetic import random_proteins, write_store

NUMBERS = ["EIO", "ENOSPC", "EMFILE", "ENFILE", "EACCES", "ENOMEM", "ESTALE", "EDQUOT"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "store"
    write_store(path, random_proteins(8, [14, 9]))
    return path


@pytest.fixture(autouse=True)
def forget() -> None:
    for cached in (segment.open_segment, segment_files.check_part, segment._read_bins):
        cached.cache_clear()


def failing(number: str) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        code = getattr(errno, number)
        raise OSError(code, os.strerror(code))

    return fail


def of_the_machine(ask: Callable[[], object], words: str) -> None:
    with pytest.raises(MachineError) as error:
        ask()
    said = str(error.value)
    assert words in said
    assert "\n" not in said
    assert "damaged" not in said
    assert "repair" not in said
    assert not isinstance(error.value, StoreError)


@pytest.mark.parametrize("number", NUMBERS)
def test_an_error_of_the_system_while_a_store_is_read_is_said_as_that(store, monkeypatch, number):
    words = os.strerror(getattr(errno, number))
    with monkeypatch.context() as patch:
        patch.setattr(segment_files, "bytes_at", failing(number))
        patch.setattr(segment, "SMALL_FILE", 0)
        of_the_machine(lambda: attnstore.open(store).align("contact", replicates=0), words)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", failing(number))
        of_the_machine(lambda: verify(store), words)
        of_the_machine(lambda: repair(store), words)
        of_the_machine(lambda: attnstore.open(store).model().segments, words)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing(number))
        of_the_machine(lambda: attnstore.open(store), words)
        of_the_machine(lambda: verify(store), words)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "open", failing(number), raising=False)
        of_the_machine(lambda: attnstore.open(store).attention("p0"), words)
        of_the_machine(lambda: verify(store), words)


ERRORS: list[tuple[BaseException, str]] = [
    (MemoryError(), "not enough memory"),
    (pa.lib.ArrowMemoryError("malloc of size 1099511627776 failed"), "not enough memory"),
    (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate data of size 16 MiB"), "not enough memory"),
    (duckdb.IOException("IO Error: Could not read from file: Input/output error"), "Input/output error"),
    (duckdb.IOException("IO Error: Cannot open file: Too many open files"), "Too many open files"),
    (duckdb.Error("Resource temporarily unavailable"), "no further thread"),
    (
        pa.lib.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
        "thread",
    ),
    (RuntimeError("can't start new thread"), "no further thread"),
    (ImportError("blosc.so: failed to map segment from shared object"), "not enough memory"),
    (OSError("[Errno 5] Input/output error"), "Input/output error"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_what_libraries_say_of_the_machine_is_told_from_damage(number):
    error, words = ERRORS[number]
    assert words in str(machine_error(error, "reading x"))
    assert isinstance(damage("x", error), MachineError)
    wrapped = ValueError("a chunk cannot be decoded")
    wrapped.__cause__ = error
    assert words in str(machine_error(wrapped, "reading x"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "No such file or directory"),
        OSError(errno.EINVAL, "Invalid argument"),
        ValueError("Permission denied is the name of a column"),
        pa.lib.ArrowInvalid("Couldn't deserialize thrift"),
        duckdb.IOException("IO Error: Corrupt database file: computed checksum 1 does not match stored checksum 2"),
        duckdb.PermissionException("Permission Error: Cannot access file: disabled by configuration"),
        RuntimeError("error during blosc decompression: -1"),
    ],
    ids=repr,
)
def test_what_is_damage_stays_damage(error):
    assert machine_error(error, "reading x") is None
    assert "x is damaged" in str(damage("x", error))


def test_a_catalog_that_cannot_be_read_for_want_of_memory_is_not_damaged(store, monkeypatch):
    def short(*_: Any) -> NoReturn:
        raise duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block of size 256.0 KiB")

    monkeypatch.setattr(catalog, "check_catalog", short)
    monkeypatch.setattr(catalog, "_CHECKED", set())
    monkeypatch.setattr(catalog, "_WRITTEN", set())
    of_the_machine(lambda: attnstore.open(store).sql("SELECT 1 FROM proteins"), "not enough memory")
    of_the_machine(lambda: attnstore.open(store).align("contact", replicates=0), "not enough memory")
    of_the_machine(lambda: verify(store), "not enough memory")


def test_rows_for_which_no_thread_can_be_started_are_refused_as_that(store, monkeypatch):
    rows = attnstore.open(store).proteins()

    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    of_the_machine(rows.df, "no further thread")


def test_a_statement_that_fails_on_the_data_is_still_the_statements_fault(store):
    with pytest.raises(QueryError, match="Could not convert"):
        attnstore.open(store).sql("SELECT id::INTEGER FROM proteins").df()


def test_the_command_says_in_a_line_what_was_short(store, monkeypatch, capfd):
    def short(*_: Any, **__: Any) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(attnstore.opened.Store, "__repr__", short)
    with pytest.raises(SystemExit) as stop:
        cli.main(["info", str(store)])
    assert stop.value.code == 1
    assert capfd.readouterr().err.startswith("error: the command failed: not enough memory.")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
@pytest.mark.parametrize(
    ("limit", "amount", "words"),
    [
        (resource.RLIMIT_AS, 1_500_000_000, "raise the limit, as in `ulimit -v"),
        (resource.RLIMIT_NOFILE, 9, "Too many open files"),
    ],
    ids=["address space", "files"],
)
def test_under_a_limit_of_the_system_a_command_ends_in_a_line_that_names_it(tmp_path, limit, amount, words):
    store = tmp_path / "store"
    write_store(store, random_proteins(2, [7] * 12), per_segment=1)
    # In the new process itself: a fork of a process larger than the limit cannot even start one.
    command = (
        f"import resource; resource.setrlimit({limit}, ({amount}, {amount})); from attnstore.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, "sql", str(store), "SELECT * FROM arcs"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert words in line
    assert "damaged" not in line


def test_every_error_of_the_machine_is_one_of_ours():
    assert issubclass(MachineError, AttnstoreError)
    assert attnstore.MachineError is MachineError


def test_short_of_memory_a_statement_is_told_of_memory_and_of_no_option_that_its_question_lacks(store, monkeypatch):
    columns = vectors._columns

    def short(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
        if "lpad" in query.lower():
            raise duckdb.OutOfMemoryException("Out of Memory Error: Allocation failure")
        return columns(connection, query)

    monkeypatch.setattr(vectors, "_columns", short)
    with pytest.raises(QueryError, match="more memory than there is: ask for less") as raised:
        attnstore.open(store).align("lpad(target.aa, 20, 'y') = 'A'", replicates=0)
    assert "TRY_CAST" not in str(raised.value)
    assert "memory_limit" not in str(raised.value)
    limit = duckdb.OutOfMemoryException("could not allocate block of size 256.0 KiB (90.1 MiB/95.3 MiB used)")
    assert "more than 0.0999 GB of memory" in str(translated(limit))
    assert "memory_limit" not in str(translated(limit))
    assert "memory_limit='64GB'" in str(translated(limit, option=True))
