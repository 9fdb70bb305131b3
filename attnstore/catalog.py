"""Reading the catalog: proteins, their residues and properties, in one immutable DuckDB file.

A catalog follows from inputs alone and is complete before the first step of a model. It is never opened
read-write once published: adding proteins or properties writes a new file, and replacing ``store.json`` makes it
current. A reader keeps the file it opened.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from .errors import StoreError, first_line
from .forked import outlives_fork
from .layout import StoreDocument
from .quoting import literal


@contextlib.contextmanager
def catalog_errors(catalog: Path) -> Iterator[None]:
    """DuckDB's errors in reading a catalog, as damaged blocks raise them, as a StoreError of one sentence."""
    try:
        yield
    except duckdb.Error as error:
        raise StoreError(f"the catalog {catalog} is damaged: {first_line(error).rstrip('.')}.") from error


def current_catalog(store: Path, document: StoreDocument) -> Path:
    """Path of the current catalog; raises StoreError where there is none."""
    if document.catalog is None:
        raise StoreError(
            f"{store} holds no proteins yet: `attnstore.ingest.ingest({str(store)!r}, [INPUT], model=MODEL)` adds some."
        )
    path = store / document.catalog
    if not path.exists():
        # Replaced, more than once, since the document was read: the newer one holds all that this one did.
        newest = StoreDocument.read(store).catalog
        path = store / (newest or document.catalog)
        if not path.exists():
            raise StoreError(f"{store} is damaged: its catalog {path.name} is missing.")
    return path


def attach(connection: duckdb.DuckDBPyConnection, catalog: Path, name: str) -> None:
    """Attach a catalog read-only; raises StoreError if it is damaged."""
    with catalog_errors(catalog):
        connection.execute(f"ATTACH {literal(catalog)} AS {name} (READ_ONLY)")


def connect(catalog: Path) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the catalog's tables in its search path, attached read-only."""
    connection = outlives_fork(duckdb.connect(":memory:"))
    attach(connection, catalog, "catalog")
    with catalog_errors(catalog):
        connection.execute("USE catalog")
    return connection
