"""DuckDB connections with limits of memory, disk and threads, which are set explicitly for each of them.

Data that does not fit in memory is written to a folder that is removed however the process ends (see `scratch`), up to
a limit. DuckDB's own default is a folder `.tmp` in the current one, and most of the disk.
"""

import atexit
import contextlib
import ctypes
import os
import re
import weakref
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from ..errors import QueryError, first_line
from ..runtime.machine import cores, machine_memory, size_of
from ..runtime.scratch import free_bytes, scratch_folder
from ..runtime.time_limit import is_left_behind

#: A child that `os.fork` or multiprocessing's `fork` makes inherits the parent's connections without their threads. It
#: must open its own, and must not even destroy the inherited ones: DuckDB's destructor waits for those threads, or ends
#: the process with a segmentation fault.
_connections: "weakref.WeakSet[duckdb.DuckDBPyConnection]" = weakref.WeakSet()


def outlives_fork(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The connection itself, which a forked child never destroys."""
    _connections.add(connection)
    return connection


def _keep_for_ever() -> None:
    for connection in list(_connections):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


os.register_at_fork(after_in_child=_keep_for_ever)

T = TypeVar("T")

#: Most bytes of temporary files by default; and at most half of the free space.
DISK_LIMIT = 10 * 10**9
#: With less memory than this DuckDB does not even open a catalog.
_LEAST_MEMORY = 64 << 20
#: Connections that are still open.
_open: "weakref.WeakSet[duckdb.DuckDBPyConnection]" = weakref.WeakSet()
#: Generators that still read from connections.
_unread: "weakref.WeakSet[Generator[Any, None, None]]" = weakref.WeakSet()


@dataclass(frozen=True)
class Limits:
    """The memory and disk that a question may use.

    Attributes
    ----------
    memory : bytes of memory
    disk : bytes of temporary files; with 0 none are written
    """

    memory: int
    disk: int

    @classmethod
    def of(cls, memory_limit: int | str | None = None, disk_limit: int | str | None = None) -> "Limits":
        """Read limits as users give them: bytes, text such as '4GB' or '4GiB', or None.

        Parameters
        ----------
        memory_limit : None for half of the memory of the machine, or of its control group
        disk_limit : None for 10 GB, and at most half of the free space in the system's temporary folder

        Raises
        ------
        QueryError
            One of them is not a size.
        """
        memory = machine_memory() // 2 if memory_limit is None else size_of("memory_limit", memory_limit)
        if disk_limit is None:
            return cls(memory, min(DISK_LIMIT, free_bytes() // 2))
        return cls(memory, size_of("disk_limit", disk_limit, least=0))


def open_in_memory(limits: Limits | None = None, *, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with limits; the caller closes it.

    Parameters
    ----------
    limits : None for those of :meth:`Limits.of`
    threads : None for one per core
    """
    limits = Limits.of() if limits is None else limits
    folder = scratch_folder() if limits.disk else None
    config: dict[str, str | int] = {
        "memory_limit": f"{max(limits.memory, _LEAST_MEMORY)}B",
        "threads": threads or cores(),
        "temp_directory": str(folder) if folder else "",
        # Extensions are otherwise fetched from the network without asking.
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection = outlives_fork(duckdb.connect(":memory:", config=config))  # type: ignore[arg-type]
    _open.add(connection)
    # DuckDB otherwise draws a progress bar on standard output, where results go. In a notebook without ipywidgets it
    # cannot, and refuses any change of the setting.
    with contextlib.suppress(duckdb.InvalidInputException):
        connection.execute("SET enable_progress_bar = false")
    if folder:
        # DuckDB 2.0 shows this setting but ignores it if it is a part of `config`.
        connection.execute(f"SET max_temp_directory_size = '{limits.disk}B'")
    return connection


def closed_at_exit(batches: Generator[T, None, None]) -> Generator[T, None, None]:
    """Return a generator that reads from a connection, and close it before the interpreter ends.

    An Arrow reader keeps its generator, and with it the connection, when the interpreter ends.
    """
    _unread.add(batches)
    return batches


# A forked child closes no connection of its parent.
os.register_at_fork(after_in_child=_open.clear)
os.register_at_fork(after_in_child=_unread.clear)


@atexit.register
def _close() -> None:
    """DuckDB's binding reports every connection that is still open when the interpreter ends, at length, on stderr."""
    for batches in list(_unread):
        with contextlib.suppress(ValueError):  # another thread is reading
            batches.close()
    for connection in list(_open):
        if not is_left_behind(connection):
            connection.close()


def translated(error: duckdb.Error, *, option: bool = False) -> QueryError:
    """Translate DuckDB's error in answering a question into one of attnstore's, in one sentence.

    Parameters
    ----------
    error : of DuckDB; if a limit was reached, the message names the limit
    option : the question has the options `memory_limit` and `disk_limit`, which the message then names
    """
    if not isinstance(error, duckdb.OutOfMemoryException):
        return QueryError(in_words(error))
    text = str(error)
    disk = "max_temp_directory_size" in text
    what, name = ("temporary files", "disk_limit") if disk else ("memory", "memory_limit")
    reached = re.search(r"/([\d.]+) (\w+) used", text)
    less = "ask for less (an aggregate, a WHERE, a LIMIT, shorter texts)"
    if reached is None and not disk:  # no limit of ours: the system gave no more
        return QueryError(f"the query needs more memory than there is: {less}, or use a machine with more memory.")
    size = f"{float(reached[1]) * _BINARY.get(reached[2], 1) / 1e9:.3g} GB of {what}" if reached else what
    more = f"raise {name}, as in {name}='64GB'" if option else f"use a machine with more {'disk' * disk or 'memory'}"
    return QueryError(f"the query needs more than {size}: {less}, or {more}.")


_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


#: A pattern of the whole message and its replacement, with the groups of the pattern.
_SAID = (
    (
        r'Referenced column "(.*?)" not found in FROM clause!(?:\s*Candidate bindings: (.*))?',
        "there is no column {0}{nearest}; text stands in single quotes, as '{0}'",
    ),
    (
        r'Referenced table "(.*?)" not found!(?:\s*Candidate tables: (.*))?',
        "there is no table {0} in FROM{nearest}",
    ),
    (r"Table with name (.*?) does not exist!.*", "there is no table {0}: there are {tables}"),
    (
        r"Cannot extract field '(.*?)' from expression \"(source|target|protein|pair)\".*",
        "{1}.{0} is a column of the table attention, which `query` answers: here, join residues or proteins",
    ),
    (
        r'(?:Scalar|Table|Aggregate) Function with name (.*?) does not exist!(?:\s*Did you mean "(.*?)")?',
        "there is no function {0}(){nearest}",
    ),
    (
        r'Alias with name "+(.*?)"+ exists, but aliases cannot be used as part of an expression in the GROUP BY',
        "GROUP BY names a column that is computed from the column {0}: write GROUP BY ALL",
    ),
    (
        r'Cannot access file "(.*?)" - file system operations are disabled.*',
        'Cannot access file "{0}": a statement reads the tables of the store and nothing else',
    ),
    (r"(.*?)\.? You might need to add explicit type casts.*", "{0}: cast them"),
    (r"Division by zero in expression (.*?)\. Use TRY.*", "division by zero in {0}: write TRY({0}) for NULL there"),
)
_TABLES = (
    "attention (in `query`), arcs, heads, models, skipped, excluded, proteins, members, residues, pairs, properties "
    "and property_sources"
)
_MOST = 500


def in_words(error: duckdb.Error) -> str:
    """Return DuckDB's message about a statement as a sentence, without the class of the error and with a full stop."""
    text = str(error).strip()
    head, colon, tail = text.partition(" Error: ")
    text = tail if colon and len(head.split()) < 4 else text
    for pattern, said in _SAID:
        found = re.match(pattern, text, re.DOTALL)
        if found:
            groups = [group or "" for group in found.groups()]
            near = " ".join(groups[1].split()) if len(groups) > 1 else ""
            return _short(said.format(*groups, nearest=f" (the nearest: {near})" if near else "", tables=_TABLES))
    return _short(text.splitlines()[0] if text else first_line(error))


def _short(sentence: str) -> str:
    sentence = sentence if len(sentence) <= _MOST else f"{sentence[: _MOST - 1]}…"
    return sentence.strip().rstrip(".") + "."


def identifier(name: str) -> str:
    """A name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """Quote a string; a path is made absolute, so that it is not read as a kind of database or the home folder."""
    written = str(value.absolute()) if isinstance(value, Path) else value
    return "'" + written.replace("'", "''") + "'"
