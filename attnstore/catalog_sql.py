"""DuckDB over a store's tables, read-only and unable to touch any other file."""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .arguments import check_text
from .catalog import reader as catalog
from .catalog import schema as catalog_schema
from .catalog.connection import literal, open_in_memory, translated
from .catalog.relation import Relation
from .errors import QueryError
from .format.documents import ingest_with, lacking
from .runtime.faults import machine_error
from .runtime.time_limit import run, time_limit

if TYPE_CHECKING:
    from .format.documents import ModelDocument
    from .format.segment import Segment
    from .opened import Model, Store

#: Tables of the catalog that user SQL sees.
CATALOG_TABLES = (*catalog_schema.COLUMNS, *catalog_schema.OPTIONAL)


def relation(store: "Store", sql: str, *, timeout: float | None = None) -> Relation:
    """Run one SELECT over the tables of a store other than attention; see :meth:`attnstore.Store.sql`."""
    check_text("sql", sql)
    connection = open_in_memory()
    with duckdb_errors():
        check_one_select(connection.extract_statements(sql))
        wanted = _named_tables(connection, sql)
    if "attention" in wanted:
        call = f"store.query({sql!r})" if "`" not in sql and len(sql) < 300 else "store.query(SQL)"
        raise QueryError(f"the table attention is answered from the model's segments: ask with `{call}`.")
    with time_limit(timeout):
        open_tables(connection, store, wanted)
        with duckdb_errors():
            return Relation(connection, run(connection, lambda: connection.sql(sql)), timeout)


def _named_tables(connection: duckdb.DuckDBPyConnection, statement: str) -> set[str]:
    """Tables that a statement names, in lower case."""
    try:
        return {name.lower() for name in connection.get_table_names(statement)}
    except duckdb.BinderException:
        # JOIN ... USING and NATURAL JOIN ask for columns of tables that are yet to be made: whatever may be named is.
        return {word.lower() for word in re.findall(r"\w+", statement)}


def open_tables(
    connection: duckdb.DuckDBPyConnection, store: "Store", wanted: set[str], folders: Sequence[Path] = ()
) -> list[str]:
    """Make those tables of a store that are named, in an empty in-memory DuckDB, and lock it in for good.

    Parameters
    ----------
    connection : of an in-memory DuckDB in which there is nothing yet
    store : Store
    wanted : tables besides those of the catalog, which all are made
    folders : that the connection may write to

    Returns
    -------
    list of str
        Tables of the catalog that there are.
    """
    path = store.catalog_path
    arcs = _arc_files(store) if "arcs" in wanted else []
    files = [*catalog.files_of(path), *(segment.arcs_path for _, segment in arcs)]
    catalog.lock(connection, files, folders)
    catalog.attach(connection, path, "catalog")
    tables = []
    for table in CATALOG_TABLES:
        # Not asked for by SHOW TABLES, for which DuckDB first makes hundreds of views of its own.
        with contextlib.suppress(duckdb.CatalogException):  # from before there were properties
            connection.execute(f"CREATE VIEW {table} AS FROM catalog.main.{table}")
            tables.append(table)
    if "excluded" not in tables:  # older catalogs name no chains that were left out
        columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in catalog_schema.OPTIONAL["excluded"].items())
        connection.execute(f"CREATE VIEW excluded AS SELECT {columns} WHERE false")
        tables.append("excluded")
    makers: dict[str, Callable[[Store], pa.Table]] = {"models": _models, "skipped": _skipped, "heads": _heads}
    for name, make in makers.items():
        if name in wanted:
            _create(connection, name, make(store))
    if "arcs" in wanted:
        _create_arcs(connection, arcs)
    return tables


def _create(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("incoming", rows)
    connection.execute(f"CREATE TABLE {name} AS FROM incoming")
    connection.unregister("incoming")


@contextlib.contextmanager
def duckdb_errors(*, option: bool = False) -> Iterator[None]:
    """DuckDB's errors as a QueryError of one sentence; a MachineError where the machine failed.

    `option` says that the question takes `memory_limit` and `disk_limit`.
    """
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, duckdb.OutOfMemoryException):
            raise translated(error, option=option) from error
        raise machine_error(error, "answering the query") or translated(error) from error


def check_one_select(statements: Sequence[duckdb.Statement]) -> None:
    """Raise QueryError unless it is one SELECT: even locked in, COPY TO an allowed file would overwrite it."""
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        if [found.type for found in statements] == [duckdb.StatementType.MULTI]:
            raise QueryError(
                "a query is exactly one SELECT statement, and PIVOT without its values is several: name them, as in "
                "`PIVOT (SELECT layer, head, special FROM heads) ON layer IN (0, 1) USING first(special)`."
            )
        kinds = ", ".join(found.type.name for found in statements) or "nothing"
        raise QueryError(f"a query is exactly one SELECT statement; this is {kinds}.")


def _arc_files(store: "Store") -> "list[tuple[str, Segment]]":
    """Segments with arcs, each with the name of its model; their files are checked, for DuckDB checks no digest.

    Raises
    ------
    QueryError
        If there is attention and no model kept arcs.
    """
    models = [model for model in store.models.values() if model.manifest.segments]
    without = [model for model in models if "arcs" not in model.document.keep]
    if without:
        model = without[0]
        said = lacking(model.name, model.document.keep, "arcs")
        if len(without) == len(models):
            raise QueryError(f"there is no table arcs: {said}: {ingest_with(model.document.keep, 'arcs')}.")
        warnings.warn(f"the table arcs is not of all models: {said}.", stacklevel=2)
    found = [(model.name, segment) for model in models if model not in without for segment in model.segments]
    for _, segment in found:
        segment.check_arcs()
    return found


#: Types of arcs as users see them: signed, so that a difference of two positions is one, and wide enough for it.
_ARCS = "layer INTEGER, head INTEGER, source INTEGER, target INTEGER, separation INTEGER, weight FLOAT"


def _create_arcs(connection: duckdb.DuckDBPyConnection, arcs: "Sequence[tuple[str, Segment]]") -> None:
    """The view `arcs` over the files of segments."""
    if not arcs:
        connection.execute(f"CREATE TABLE arcs (model VARCHAR, protein VARCHAR, {_ARCS})")
        return
    columns: dict[str, list[Any]] = {"file": [], "local": [], "model": [], "id": []}
    for number, (model, segment) in enumerate(arcs):
        names = segment.proteins.id
        columns["file"] += [number] * len(names)
        columns["local"] += range(len(names))
        columns["model"] += [model] * len(names)
        columns["id"] += names
    types = {"file": pa.uint64(), "local": pa.uint32(), "model": pa.string(), "id": pa.string()}
    _create(connection, "arc_proteins", pa.table({key: pa.array(columns[key], kind) for key, kind in types.items()}))
    listed = ", ".join(literal(segment.arcs_path) for _, segment in arcs)
    connection.execute(
        "CREATE VIEW arcs AS SELECT p.model, p.id AS protein, a.layer::INTEGER AS layer, a.head::INTEGER AS head, "
        "a.source::INTEGER AS source, a.target::INTEGER AS target, "
        "abs(a.source::INTEGER - a.target::INTEGER) AS separation, a.weight "
        f"FROM read_parquet([{listed}]) a JOIN arc_proteins p ON a.file_index = p.file AND a.protein = p.local"
    )


def _models(store: "Store") -> pa.Table:
    text, number = pa.string(), pa.int64()
    kinds = {"name": text, "source": text, "architecture": text, "layers": number, "heads": number, "precision": text,
             "randomize": text, "seed": number, "keep": text}  # fmt: skip
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
    """Entries, arcs at 0.05 and 0.3, mean weight, and mean share of attention that goes to special tokens, by head.

    NULL is what follows from nothing that was kept.
    """
    tables = []
    for model in store.models.values():
        shape = (model.document.layers, model.document.heads)
        layer, head = np.indices(shape).reshape(2, -1)
        entries = model.manifest.total("pairs")
        columns = {
            "model": [model.name] * layer.size,
            "layer": layer,
            "head": head,
            "entries": np.full(layer.size, entries),
            **{f"arcs_{theta:g}".replace(".", "_"): _arcs_from(model, theta) for theta in (0.05, 0.3)},
            "mean_weight": _mean(_total_weight(model), entries),
            "special": _mean(_summed(model, "special"), model.manifest.total("residues")),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables([_HEADS.empty_table(), *(table.cast(_HEADS) for table in tables)])


_HEADS = pa.schema(
    [("model", pa.string()), *((name, pa.int64()) for name in ("layer", "head", "entries", "arcs_0_05", "arcs_0_3")),
     ("mean_weight", pa.float64()), ("special", pa.float64())]
)  # fmt: skip


def _arcs_from(model: "Model", theta: float) -> pa.Array:
    """Weights at or above a threshold, one number a head; NULL if neither codes nor arcs answer."""
    document = model.document
    code = model.codebook.code_of(theta)
    if "codes" in document.keep and code is not None:
        counts = [segment.bin_count[..., code:].sum(axis=-1, dtype=np.int64) for segment in model.segments]
    elif "arcs" in document.keep and np.float32(theta) >= np.float32(document.arc_floor):
        counts = [_counted(segment.arcs(theta, ("layer", "head")), document) for segment in model.segments]
    else:
        return pa.nulls(document.layers * document.heads, pa.int64())
    return pa.array(sum(counts, np.zeros((document.layers, document.heads), np.int64)).ravel())


def _counted(arcs: pa.Table, document: "ModelDocument") -> npt.NDArray[np.int64]:
    index = arcs["layer"].to_numpy().astype(np.int64) * document.heads + arcs["head"].to_numpy()
    counts = np.bincount(index, minlength=document.layers * document.heads)
    return counts.reshape(document.layers, document.heads)


def _total_weight(model: "Model") -> npt.NDArray[np.float64]:
    """Sum of all weights of each head, [layers, heads]; NaN if neither codes nor marginals answer."""
    if "codes" not in model.document.keep:
        return _summed(model, "emitted")
    sums = [(segment.bin_count * segment.bin_mean.astype(np.float64)).sum(axis=-1) for segment in model.segments]
    return sum(sums, np.zeros((model.document.layers, model.document.heads)))


def _summed(model: "Model", name: str) -> npt.NDArray[np.float64]:
    """Sum of a marginal of each head, [layers, heads]; NaN where marginals were not kept."""
    shape = (model.document.layers, model.document.heads)
    if "marginals" not in model.document.keep:
        return np.full(shape, np.nan)
    sums = [segment.marginal(name).sum(axis=-1, dtype=np.float64) for segment in model.segments]
    return sum(sums, np.zeros(shape))


def _mean(sums: npt.NDArray[np.float64], number: int) -> pa.Array:
    """NULL where it is not known."""
    with np.errstate(invalid="ignore"):
        return pa.array((sums / number).ravel(), from_pandas=True)
