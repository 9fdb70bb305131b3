"""A store's tables as other tools open them: one DuckDB file, or a folder of Parquet files."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from .errors import AttnstoreError, StoreError, first_line
from .paths import database_path
from .quoting import literal
from .sql import CATALOG_TABLES, create_tables

if TYPE_CHECKING:
    from .store import Store

#: Oldest storage version that DuckDB still writes.
_STORAGE_VERSION = "v1.0.0"

FORMATS = ("duckdb", "parquet")


def export(store: "Store", target: Path, form: str, *, arcs: bool = False) -> list[str]:
    """Write the tables of a store that `attnstore sql` knows; whole, or not at all.

    Parameters
    ----------
    store : Store
    target : file to write for 'duckdb', folder for 'parquet' (``<table>.parquet``); there is nothing there yet
    form : 'duckdb' or 'parquet'
    arcs : also the arcs of every model, most of a store's size

    Returns
    -------
    list of str
        The tables' names.

    Raises
    ------
    AttnstoreError
        There is something at the target, or it cannot be written.
    """
    if form not in FORMATS:
        raise AttnstoreError(f"{form!r} is no format to export to: it is one of {' and '.join(FORMATS)}.")
    if form == "duckdb":
        database_path(target)
    if target.exists():
        raise AttnstoreError(f"{target} is there already: give another name, or remove it.")
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise AttnstoreError(f"{target} cannot be written: {error.strerror}.") from error
    try:
        with contextlib.closing(duckdb.connect(":memory:", config={"temp_directory": str(scratch / "spill")})) as con:
            made = ["models", "skipped", "heads", *(["arcs"] if arcs else [])]
            create_tables(con, store, {*made})
            views = {
                name for (name,) in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
            }
            names = [*(name for name in CATALOG_TABLES if name in views), *made]
            if form == "duckdb":
                con.execute(f"ATTACH {literal(scratch / 'out')} AS out (STORAGE_VERSION '{_STORAGE_VERSION}')")
            else:
                (scratch / "out").mkdir()
            for name in names:
                if form == "duckdb":
                    con.execute(f"CREATE TABLE out.main.{name} AS FROM {name}")
                else:
                    con.execute(f"COPY {name} TO {literal(scratch / 'out' / f'{name}.parquet')} (FORMAT parquet)")
        os.replace(scratch / "out", target)
    except duckdb.IOException as error:
        raise AttnstoreError(f"{target} cannot be written: {first_line(error)}.") from error
    except duckdb.Error as error:
        raise StoreError(f"{store.path} cannot be exported: {first_line(error)}.") from error
    except OSError as error:
        raise AttnstoreError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return names
