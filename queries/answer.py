"""Results of tasks, as tables from which DuckDB answers the rest of the statement."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ..errors import AttnstoreError
from ..runtime import time_limit
from .engine import count
from .engine import pair_rows as row_tasks
from .engine.cells import CellTable
from .engine.schedule import execute
from .engine.top_rows import Batch, Top, TopRows
from .engine.vectors import Directory
from .plan.blocks import BlockPlan, ModelPlan, of_segment
from .sql.rewrite import Cells
from .sql.weight_bands import Bands, type_of, values


def cells_of(plan: BlockPlan, catalog: Directory, memory_limit: int, **options: Any) -> pa.Table:
    """Count all segments and put the cells of all models into one table.

    Parameters
    ----------
    plan : BlockPlan
    catalog : Directory
    memory_limit : bytes that the cells of one segment may use
    options : of `execute`

    Raises
    ------
    StoreError, QueryError
        As tasks do.
    """
    parts = []
    for model in plan.models:
        tasks = []
        for segment in model.model.segments:
            vectors, group = of_segment(plan, segment, catalog)
            tasks.append(partial(count.run, model.scan, segment, vectors, group, memory_limit))
        parts.append(_table(plan, model, execute(tasks, CellTable.combine, **options)))
    if not parts:
        return pa.schema([(name, kind) for name, kind in _schema(plan)]).empty_table()
    return pa.concat_tables(parts, promote_options="permissive")


def _table(plan: BlockPlan, model: ModelPlan, cells: CellTable) -> pa.Table:
    head, protein, *codes, band, reverse = np.unravel_index(cells.id, model.scan.shape)
    columns: dict[str, Any] = {
        "model": pa.repeat(model.model.name, len(head)),
        "layer": pa.array(head // model.scan.heads.shape[1], pa.int32()),
        "head": pa.array(head % model.scan.heads.shape[1], pa.int32()),
    }
    for one, code in zip(plan.keys, codes, strict=True):
        columns[one.key.column] = one.decode(code)
    for number, one in enumerate(plan.protein_keys):
        columns[one.key.column] = one.decode(plan.group_codes[protein, number])
    columns |= _steps(plan.question.cells, plan.need.bands, "weight", band)
    if plan.need.reverse is not None:
        columns |= _steps(plan.question.cells, plan.need.reverse, "reverse_weight", reverse)
    known = {name: pa.array(found) for name, found in cells.columns.items()}
    # An exact tier has no bounds: both are the value, in case another model's part has bounds.
    for name, found in list(known.items()):
        if not plan.exact and model.choice.tier != "codes" and name != "__n" and f"{name}_min" not in known:
            known |= {f"{name}_min": found, f"{name}_max": found}
    return pa.table(columns | known)


def _steps(cells: Cells, bands: Bands, weight: str, band: Any) -> dict[str, pa.Array]:
    found = {}
    for (name, _), (column, function) in cells.steps.items():
        if name == weight:
            found[column] = pa.array(values(function, bands.lower, weight)).take(pa.array(band))
    return found


def _schema(plan: BlockPlan) -> Iterator[tuple[str, pa.DataType]]:
    """Columns of a table without rows: no model takes part."""
    yield from (("model", pa.string()), ("layer", pa.int32()), ("head", pa.int32()))
    cells = plan.question.cells
    for key in cells.keys.values():
        yield key.column, pa.string()
    for column, _ in cells.steps.values():
        yield column, pa.string()
    numbers = ["__n"]
    for name in ("weight", "reverse_weight"):
        numbers += [f"__{name}_sum", f"__{name}_minimum", f"__{name}_maximum"]
    for measure in cells.measures.values():
        numbers += [f"{measure.column}_{what}" for what in ("n", "sum", "low", "high", "weighted", "weight")]
    for name in numbers:
        for side in ("", "_min", "_max"):
            yield name + side, pa.float64()


def column_types(plan: BlockPlan) -> dict[str, str]:
    """DuckDB's types of the columns that were numbered or stepped."""
    cells = plan.question.cells
    kinds = {key.column: key.type for key in cells.keys.values()}
    for (name, _), (column, function) in cells.steps.items():
        kinds[column] = type_of(function, name)
    return {name: "INTEGER" if kind == "NULL" else kind for name, kind in kinds.items()}


def create(connection: duckdb.DuckDBPyConnection, name: str, incoming: "pa.Table | RowStream", plan: BlockPlan) -> None:
    """Make a relation of the result of a block, with DuckDB's own types.

    Parameters
    ----------
    connection : of the statement
    name : of the relation
    incoming : cells or rows; a stream is read while the statement runs
    plan : plan with the columns
    """
    kinds = column_types(plan)
    listed = ", ".join(
        f'CAST("{column}" AS {kinds[column]}) AS "{column}"' if column in kinds else f'"{column}"'
        for column in incoming.schema.names
    )
    stream = isinstance(incoming, RowStream)
    connection.register(f"{name}_incoming", incoming)
    kind = "VIEW" if stream else "TABLE"
    connection.execute(f'CREATE OR REPLACE TEMP {kind} "{name}" AS SELECT {listed} FROM "{name}_incoming"')
    if not stream:
        connection.unregister(f"{name}_incoming")


class RowStream:
    """Rows of a block, produced as DuckDB reads them, each time from the beginning.

    An Arrow stream: DuckDB opens one for each place where the statement reads the block.

    Parameters
    ----------
    plan : BlockPlan
    catalog : Directory
    failures : list of errors, since DuckDB passes on only their text
    """

    def __init__(self, plan: BlockPlan, catalog: Directory, failures: list[AttnstoreError]) -> None:
        self.schema = row_schema(plan)
        self._plan, self._catalog, self._failures = plan, catalog, failures
        # DuckDB reads in its own threads, which do not know the limit.
        self._limit = time_limit.current()

    def __arrow_c_schema__(self) -> Any:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return pa.RecordBatchReader.from_batches(self.schema, self._batches()).__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in _batches(self._plan, self._catalog, self.schema):
                if self._limit is not None:
                    self._limit.check()
                yield batch
        except AttnstoreError as error:
            self._failures.append(error)
            raise


def top_of(plan: BlockPlan, catalog: Directory, top: Top, **options: Any) -> pa.Table:
    """The first rows of a block, with their rank in `__rank`.

    Parameters
    ----------
    plan, catalog : as in `RowStream`
    top : the rows to find
    options : of `execute`

    Raises
    ------
    StoreError, QueryError
        As tasks do.
    """
    schema = row_schema(plan)
    parts = []
    for model in plan.models:
        tasks = []
        for segment in model.model.segments:
            vectors, group = of_segment(plan, segment, catalog)
            if (group >= 0).any():
                places = catalog.places(segment)
                tasks.append(partial(row_tasks.first_rows, top, model.scan, segment, vectors, group >= 0, places))
        if tasks:
            parts.append((model, execute(tasks, TopRows.combine, **options)))
    found = [(model, part) for model, part in parts if len(part)]
    if not found:
        return schema.empty_table().append_column("__rank", pa.array([], pa.int64()))
    tables = [pa.Table.from_batches([decode(plan, model, part.columns, schema)]) for model, part in found]
    keys = [np.concatenate(each) for each in zip(*(part.sort_keys() for _, part in found), strict=True)]
    rank = np.empty(len(keys[0]), np.int64)
    # A stable sort: of tied rows, those of the first model come first.
    rank[np.lexsort(keys[::-1])] = np.arange(len(rank))
    return pa.concat_tables(tables).append_column("__rank", pa.array(rank))


def row_schema(plan: BlockPlan) -> pa.Schema:
    """Columns of the rows of a block."""
    kinds = {"boolean": pa.bool_(), "number": pa.float64(), "string": pa.string()}
    columns = [("model", pa.string()), ("layer", pa.int32()), ("head", pa.int32())]
    columns += [(one.key.column, kinds[one.key.expression.kind]) for one in plan.keys]
    sums = sorted(plan.question.cells.sums)
    return pa.schema([*columns, *((name + side, pa.float32()) for name in sums for side in _sides(plan))])


def _sides(plan: BlockPlan) -> Sequence[str]:
    return ("",) if plan.exact else ("", "_min", "_max")


def _batches(plan: BlockPlan, catalog: Directory, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for model in plan.models:
        for segment in model.model.segments:
            vectors, group = of_segment(plan, segment, catalog)
            for batch in row_tasks.rows(model.scan, segment, vectors, group >= 0):
                yield decode(plan, model, batch, schema)


def decode(plan: BlockPlan, model: ModelPlan, batch: Batch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch of rows with the values of its codes."""
    columns: dict[str, Any] = {
        "model": pa.repeat(model.model.name, len(batch["layer"])),
        "layer": pa.array(batch["layer"], pa.int32()),
        "head": pa.array(batch["head"], pa.int32()),
    }
    for number, one in enumerate(plan.keys):
        values = batch[f"__key{number}"]
        numbers = one.code.kind == "number"
        columns[one.key.column] = pa.array(values, mask=np.isnan(values)) if numbers else one.decode(values)
    for name in sorted(plan.question.cells.sums):
        for side in _sides(plan):
            # An arc's weight is its own bound, if another model's part has bounds.
            found = batch.get(name + side, batch[name])
            columns[name + side] = pa.array(found, pa.float32())
    return pa.RecordBatch.from_pydict(columns, schema=schema)
