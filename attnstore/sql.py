"""DuckDB over a store's tables, read-only and unable to touch any other file."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from . import catalog
from .errors import QueryError, first_line

if TYPE_CHECKING:
    from .store import Store

#: Tables of the catalog that user SQL sees.
CATALOG_TABLES = ("proteins", "members", "residues", "pairs", "properties")


def relation(store: "Store", statement: str) -> duckdb.DuckDBPyRelation:
    """Run one SELECT over ``proteins``, ``residues``, ``arcs``, ``heads`` and the other tables of a store.

    Parameters
    ----------
    store : Store
    statement : exactly one SELECT statement of DuckDB's SQL

    Raises
    ------
    QueryError
        If it is anything else, or DuckDB cannot bind it.
    """
    connection = duckdb.connect(":memory:")
    with duckdb_errors():
        check_one_select(connection.extract_statements(statement))
        wanted = {name.lower() for name in connection.get_table_names(statement)}
    open_tables(connection, store, wanted)
    with duckdb_errors():
        return connection.sql(statement)


def open_tables(connection: duckdb.DuckDBPyConnection, store: "Store", wanted: set[str]) -> None:
    """Make those tables of a store that are named, in an empty in-memory DuckDB, and lock it in for good."""
    lock(connection, _create_tables(connection, store, wanted))


@contextlib.contextmanager
def duckdb_errors() -> Iterator[None]:
    """DuckDB's errors as a QueryError of one sentence."""
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(first_line(error)) from error


def check_one_select(statements: Sequence[duckdb.Statement]) -> None:
    """Raise QueryError unless it is one SELECT: even locked in, COPY TO an allowed file would overwrite it."""
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(found.type.name for found in statements) or "nothing"
        raise QueryError(f"a query is exactly one SELECT statement; this is {kinds}.")


def lock(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
    """Let a connection read the given files and nothing else, for good."""
    paths = ", ".join(catalog.literal(path) for path in files)
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _create_tables(connection: duckdb.DuckDBPyConnection, store: "Store", wanted: set[str]) -> list[Path]:
    """Make the tables a statement names; returns the files that it may read."""
    path = store.catalog_path
    catalog.attach(connection, path, "catalog")
    for table in CATALOG_TABLES:
        connection.execute(f"CREATE VIEW {table} AS FROM catalog.main.{table}")
    files = [path]
    makers: dict[str, Callable[[Store], pa.Table]] = {"models": _models, "skipped": _skipped, "heads": _heads}
    for name, make in makers.items():
        if name in wanted:
            connection.register("incoming", make(store))
            connection.execute(f"CREATE TABLE {name} AS FROM incoming")
            connection.unregister("incoming")
    if "arcs" in wanted:
        files += _create_arcs(connection, store)
    return files


def _create_arcs(connection: duckdb.DuckDBPyConnection, store: "Store") -> list[Path]:
    files: list[Path] = []
    columns: dict[str, list[Any]] = {"file": [], "local": [], "model": [], "id": []}
    for model in store.models.values():
        for segment in model.segments:
            names = segment.proteins.id
            columns["file"] += [len(files)] * len(names)
            columns["local"] += range(len(names))
            columns["model"] += [model.name] * len(names)
            columns["id"] += names
            # DuckDB checks no digest and no page's checksum.
            segment.check_arcs()
            files.append(segment.arcs_path)
    if not files:
        connection.execute(
            "CREATE TABLE arcs (model VARCHAR, protein VARCHAR, layer USMALLINT, head USMALLINT, "
            "source UINTEGER, target UINTEGER, weight FLOAT)"
        )
        return files
    types = {"file": pa.uint64(), "local": pa.uint32(), "model": pa.string(), "id": pa.string()}
    connection.register("incoming", pa.table({key: pa.array(columns[key], kind) for key, kind in types.items()}))
    connection.execute("CREATE TABLE arc_proteins AS FROM incoming")
    connection.unregister("incoming")
    listed = ", ".join(catalog.literal(path) for path in files)
    connection.execute(
        "CREATE VIEW arcs AS SELECT p.model, p.id AS protein, a.layer, a.head, a.source, a.target, a.weight "
        f"FROM read_parquet([{listed}]) a JOIN arc_proteins p ON a.file_index = p.file AND a.protein = p.local"
    )
    return files


def _models(store: "Store") -> pa.Table:
    text, number = pa.string(), pa.int64()
    kinds = {"name": text, "source": text, "architecture": text, "layers": number, "heads": number, "precision": text}
    counts = ("max_residues", "proteins", "residues", "entries", "arcs", "segments", "bytes", "skipped")
    schema = pa.schema([*kinds.items(), *((name, number) for name in counts)])
    rows = pa.Table.from_pylist([model.summary() for model in store.models.values()], schema=schema)
    return rows.rename_columns({"name": "model"})


def _skipped(store: "Store") -> pa.Table:
    rows = [
        {"model": model.name, "protein": entry.protein, "reason": entry.reason}
        for model in store.models.values()
        for entry in model.manifest.skipped
    ]
    return pa.Table.from_pylist(
        rows, schema=pa.schema([(name, pa.string()) for name in ("model", "protein", "reason")])
    )


def _heads(store: "Store") -> pa.Table:
    """Entries, arcs at 0.05 and 0.3, mean weight, and mean share of attention that goes to special tokens."""
    tables = []
    for model in store.models.values():
        shape = (model.document.layers, model.document.heads)
        codebook = model.codebook
        counts = np.zeros((*shape, codebook.size), np.int64)
        weight, special, residues = np.zeros(shape), np.zeros(shape), 0
        for segment in model.segments:
            counts += segment.bin_count
            weight += (segment.bin_count * segment.bin_mean.astype(np.float64)).sum(axis=-1)
            special += segment.marginal("special").sum(axis=-1, dtype=np.float64)
            residues += segment.entry.residues
        layer, head = np.indices(shape).reshape(2, -1)
        entries = counts.sum(axis=-1)
        at_least = {theta: _counted(counts, codebook.code_of(theta)) for theta in (0.05, 0.3)}
        with np.errstate(invalid="ignore"):
            columns = {
                "model": [model.name] * layer.size,
                "layer": layer,
                "head": head,
                "entries": entries.ravel(),
                "arcs_0_05": at_least[0.05],
                "arcs_0_3": at_least[0.3],
                "mean_weight": (weight / entries).ravel(),
                "special": (special / residues if residues else special * np.nan).ravel(),
            }
        tables.append(pa.table(columns))
    return pa.concat_tables([_HEADS.empty_table(), *(table.cast(_HEADS) for table in tables)])


_HEADS = pa.schema(
    [("model", pa.string()), *((name, pa.int64()) for name in ("layer", "head", "entries", "arcs_0_05", "arcs_0_3")),
     ("mean_weight", pa.float64()), ("special", pa.float64())]
)  # fmt: skip


def _counted(counts: Any, code: int | None) -> pa.Array:
    """Weights at or above a code, one number a head; NULL where the codebook has no such edge."""
    if code is None:
        return pa.nulls(counts[..., 0].size, pa.int64())
    return pa.array(counts[..., code:].sum(axis=-1).ravel())
