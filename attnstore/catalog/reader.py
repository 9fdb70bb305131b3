"""Reading the catalog: proteins, their residues and properties, in one immutable DuckDB file.

A catalog depends only on the inputs and is complete before the model runs. A published catalog is never opened
read-write: adding proteins or properties writes a new file, and replacing ``store.json`` makes it current. A reader
keeps the file it opened.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from ..errors import StoreError, first_line
from ..format.documents import StoreDocument
from ..runtime.durable import check_regular
from ..runtime.faults import machine_error
from .connection import literal, open_in_memory
from .schema import check_catalog


@contextlib.contextmanager
def catalog_errors(catalog: Path) -> Iterator[None]:
    """Translate DuckDB's errors in reading a catalog, such as those of damaged blocks, into one sentence.

    Raises
    ------
    StoreError
        The catalog is damaged.
    MachineError
        It may be intact: memory, threads, open files or the disk failed.
    """
    try:
        yield
    except (duckdb.Error, OSError, MemoryError) as error:
        fault = machine_error(error, f"reading the catalog {catalog}")
        if fault is not None:
            raise fault from error
        if not isinstance(error, duckdb.Error):
            raise
        raise StoreError(f"the catalog {catalog} is damaged: {first_line(error).rstrip('.')}.") from error


def current_catalog(store: Path, document: StoreDocument) -> Path:
    """Path of the current catalog; raises StoreError if there is none."""
    if document.catalog is None:
        raise StoreError(
            f"{store} holds no proteins yet: `attnstore.ingest.ingest({str(store)!r}, [INPUT], model=MODEL)` adds some."
        )
    path = store / document.catalog
    if not path.exists():
        # Replaced more than once since the document was read: the newer catalog contains everything of this one.
        newest = StoreDocument.read(store).catalog
        path = store / (newest or document.catalog)
        if not os.path.lexists(path):
            raise StoreError(f"{store} is damaged: its catalog {path.name} is missing.")
    return path


def lock(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], folders: Sequence[Path] = ()) -> None:
    """Permanently restrict a connection to the given files and folders."""
    paths = ", ".join(literal(path) for path in files)
    below = ", ".join(literal(f"{path}/") for path in folders)
    connection.execute("SET python_enable_replacements = false")
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute(f"SET allowed_directories = [{below}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def files_of(catalog: Path) -> tuple[Path, Path]:
    """The files that DuckDB reads to attach a catalog: itself, and its write-ahead log, which must not exist."""
    return catalog, catalog.with_name(f"{catalog.name}.wal")


#: A catalog's file as it is now: path, modification time, bytes and inode.
Identity = tuple[Path, int, int, int]
#: Catalogs that have passed the check, and those that this process itself wrote.
_CHECKED: set[Identity] = set()
_WRITTEN: set[Identity] = set()


def _identity(catalog: Path, status: os.stat_result) -> Identity:
    return catalog.absolute(), status.st_mtime_ns, status.st_size, status.st_ino


def written_here(catalog: Path) -> None:
    """Remember that this process wrote a catalog: it is not checked before it is read, unless it has changed."""
    with contextlib.suppress(OSError):
        _WRITTEN.add(_identity(catalog, catalog.stat()))


def attach(connection: duckdb.DuckDBPyConnection, catalog: Path, name: str, *, check: bool = False) -> None:
    """Attach a catalog read-only to a connection that is locked to its files.

    Parameters
    ----------
    connection, catalog : of an in-memory DuckDB, and the file
    name : of the database in it
    check : check one that this process wrote, too

    Raises
    ------
    StoreError
        It is damaged, or not a catalog of the format; nothing in it has been evaluated then.
    """
    file, log = files_of(catalog)
    if os.path.lexists(log):
        raise StoreError(f"the catalog {catalog} is not complete: {log} lies next to it. Do not use this store.")
    with catalog_errors(catalog):
        status = check_regular(file, "the catalog")
        connection.execute(f"ATTACH {literal(catalog)} AS {name} (READ_ONLY)")
        identity = _identity(catalog, status)
        if identity not in _CHECKED and (check or identity not in _WRITTEN):
            check_catalog(connection, name, catalog)
            _CHECKED.add(identity)


def connect(catalog: Path, *, check: bool = False) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the catalog's tables in its search path, read-only, restricted to the catalog's file.

    `check` as :func:`attach` has it.
    """
    connection = open_in_memory()
    try:
        lock(connection, files_of(catalog))
        attach(connection, catalog, "catalog", check=check)
        connection.execute("USE catalog")
    except BaseException:
        connection.close()
        raise
    return connection
