"""A store's tables as other tools open them: one DuckDB file, or a folder of Parquet files."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from .catalog.connection import literal, open_in_memory
from .catalog_sql import open_tables
from .errors import AttnstoreError, StoreError, first_line
from .runtime import time_limit
from .runtime.faults import machine_error
from .runtime.paths import database_path
from .runtime.scratch import folder_beside

if TYPE_CHECKING:
    from .opened import Store

#: Oldest storage version that DuckDB still writes.
_STORAGE_VERSION = "v1.0.0"

FORMATS = ("duckdb", "parquet")


def export(store: "Store", target: Path, format: str, *, arcs: bool = False) -> list[str]:  # noqa: A002
    """Write the tables of a store; see :meth:`attnstore.Store.export`."""
    if format not in FORMATS:
        raise AttnstoreError(f"{format!r} is no format to export to: it is one of {' and '.join(FORMATS)}.")
    if format == "duckdb":
        database_path(target)
    if target.exists():
        raise AttnstoreError(f"{target} exists already: give another name, or remove it.")
    try:
        with folder_beside(target) as scratch:
            with time_limit.closing(open_in_memory()) as con:
                made = ["models", "skipped", "heads", *(["arcs"] if arcs else [])]
                if arcs:
                    # DuckDB looks at no value that it copies.
                    for segment in (segment for model in store.models.values() for segment in model.segments):
                        if "arcs" in segment.kept:
                            segment.check_arcs(values=True)
                names = [*open_tables(con, store, {*made}, [scratch]), *made]
                _write(con, scratch / "out", names, format)
            os.replace(scratch / "out", target)
    except duckdb.Error as error:
        raise machine_error(error, f"writing {target}") or StoreError(
            f"{store.path} cannot be exported: {first_line(error).rstrip('.')}."
        ) from error
    except OSError as error:
        raise AttnstoreError(f"{target} cannot be written: {error.strerror}.") from error
    return names


def _write(connection: duckdb.DuckDBPyConnection, out: Path, names: list[str], form: str) -> None:
    if form == "duckdb":
        connection.execute(f"ATTACH {literal(out)} AS out (STORAGE_VERSION '{_STORAGE_VERSION}')")
    else:
        out.mkdir()
    for name in names:
        if form == "duckdb":
            statement = f"CREATE TABLE out.main.{name} AS FROM {name}"
        else:
            statement = f"COPY {name} TO {literal(out / f'{name}.parquet')} (FORMAT parquet)"
        # In a thread of its own, or Ctrl-C would wait for a table of gigabytes.
        time_limit.run(connection, partial(connection.execute, statement))
