"""The forecast of a statement, and the refusal of statements that exceed the limits.

A part of one segment is answered like the whole, by the same functions on the same machine, and scaled to the pairs or
arcs of all segments. Only the rate at which DuckDB and pandas process rows is not measured here.
"""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..catalog.connection import Limits
from ..errors import QueryError
from ..runtime.machine import cores
from .answer import decode, row_schema
from .engine import count
from .engine.cells import Scan
from .engine.pair_rows import first_rows, rows
from .engine.reading import Reading, readings
from .engine.top_rows import Top
from .engine.vectors import Directory
from .plan.blocks import BlockPlan, ModelPlan, of_segment
from .plan.explain import Forecast

if TYPE_CHECKING:
    from ..format.segment import Segment

#: A result is in memory both as Arrow and as pandas.
_COPIES = 2
#: Seconds per row and column that DuckDB, Arrow and pandas take for a result, measured by benchmarks/forecast.py.
_PER_VALUE = 40e-9
#: Numbers of heads of two samples of codes: their difference gives the time per head, the rest that per segment.
_FEW, _MORE = 1, 5
#: Seconds from which a sample is not repeated.
_LONG = 0.5


@dataclass(frozen=True, eq=False)
class PlannedBlock:
    """A block of a statement that is about to run.

    Attributes
    ----------
    plan : BlockPlan
    top : the rows that are wanted, where they are found as such
    shown : columns of its cells or rows that its select list names
    """

    plan: BlockPlan
    top: Top | None
    shown: frozenset[str]


def refuse_large(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    blocks: list[PlannedBlock],
    catalog: Directory,
    limits: Limits,
    kept: bool,
) -> None:
    """Raise QueryError if rows that must be held in memory exceed the limits.

    Parameters
    ----------
    connection, sql : of the statement, with its blocks as relations
    blocks : those of rows that are read while it runs
    catalog : Directory
    limits : of the question
    kept : whether the result is kept in memory, rather than passed on batch by batch
    """
    if not blocks:
        return
    held = [one for one in readings(connection, sql) if one.held or (kept and one.shown)]
    if not held:
        return
    first = _most(held)
    on_disk = not any(kept and one.shown for one in held)
    limit = limits.memory + limits.disk if on_disk else limits.memory
    copies = 1 if on_disk else _COPIES
    for block in blocks:
        if min(_most_rows(block.plan), first) * _row_width(block.plan) * copies <= limit:
            continue
        told = forecast_block(replace(block, top=None), catalog, limits.memory).first(first)
        size = told.size * copies
        if size > limit:
            raise QueryError(
                f"the query would hold {told.rows / 1e6:,.1f} million rows of attention, about {size / 1e9:.3g} GB, "
                f"and the limit is {limit / 1e9:.3g} GB: add a LIMIT or a WHERE, ask for aggregates (GROUP BY), "
                + (
                    f"or raise disk_limit, as in disk_limit='{size // 10**9 + 1}GB'."
                    if on_disk
                    else "read it in batches with `store.stream(SQL)`, or raise memory_limit, as in "
                    f"memory_limit='{size // 10**9 + 1}GB'."
                )
            )


def forecast_blocks(
    connection: duckdb.DuckDBPyConnection, sql: str, blocks: list[PlannedBlock], catalog: Directory, limits: Limits
) -> list[Forecast]:
    """The forecast of each block, as far as the statement reads it; parameters as in `refuse_large`."""
    found = readings(connection, sql) if any(one.plan.question.rows for one in blocks) else []
    return [_as_read(forecast_block(one, catalog, limits.memory), one, found) for one in blocks]


def _as_read(told: Forecast, block: PlannedBlock, found: list[Reading]) -> Forecast:
    if not block.plan.question.rows or block.top is not None or not found:
        return told
    return told.first(_most(found))


def _most(found: list[Reading]) -> float:
    """Number of rows after which all readings stop."""
    return max(math.inf if one.number is None else one.number for one in found)


def forecast_block(block: PlannedBlock, catalog: Directory, memory_limit: int) -> Forecast:
    """Measure a sample of a block.

    Parameters
    ----------
    block : Planned
    catalog : Directory
    memory_limit : bytes that the cells of one segment may take

    Raises
    ------
    StoreError, QueryError
        As tasks do.
    """
    plan, top = block.plan, block.top
    seconds, found = 0.0, 0.0
    for one in plan.models:
        sample = _largest(plan, one, catalog)
        if sample is None:
            continue
        segment, share = sample
        wall, processor = time.perf_counter(), time.thread_time()
        spent, number = _measured(plan, one, segment, catalog, top, memory_limit)
        wall, processor = time.perf_counter() - wall, time.thread_time() - processor
        threads = 1 if plan.question.rows and top is None else min(cores(), len(one.model.segments))
        # If the sample had to wait for a core, further threads will not get one either.
        seconds += spent * share / max(1.0, threads * min(processor / wall, 1.0))
        found += number * share
    if not plan.question.rows:
        return Forecast(seconds, 0, 0)
    number = min(int(found), top.number) if top else int(found)
    return Forecast(seconds + number * len(block.shown) * _PER_VALUE, number, number * _row_width(plan, block.shown))


def _row_width(plan: BlockPlan, shown: Collection[str] | None = None) -> int:
    """Bytes of a row in Arrow, including the offsets of text.

    Parameters
    ----------
    plan : BlockPlan
    shown : columns of the row that the statement needs; None for all
    """
    keys = {one.key.column: one for one in plan.keys}
    total = 0.0
    for field in row_schema(plan):
        if shown is not None and field.name not in shown:
            continue
        if field.name == "model":
            total += 4 + float(np.mean([len(one.model.name) for one in plan.models]))
        elif pa.types.is_string(field.type):
            values = keys[field.name].values
            total += 4 + (_text(values) if values is not None else 8)
        else:
            total += 8 if field.name in keys and keys[field.name].key.type in ("DOUBLE", "BIGINT") else 4
    return int(total)


def _text(values: pa.Array) -> float:
    """Mean bytes of some strings."""
    return float(pc.mean(pc.binary_length(values)).as_py() or 0.0)


def _most_rows(plan: BlockPlan) -> int:
    """Largest possible number of rows of a block, by the counts of the manifest."""
    return sum(
        one.model.manifest.total("arcs")
        if one.scan.tier == "arcs"
        else int(one.scan.heads.sum()) * one.model.manifest.total("pairs")
        for one in plan.models
    )


def _largest(plan: BlockPlan, one: ModelPlan, catalog: Directory) -> "tuple[Segment, float] | None":
    """The segment with the most selected pairs, and the ratio of all selected pairs to them."""
    pairs = []
    for segment in one.model.segments:
        _, group = of_segment(plan, segment, catalog)
        pairs.append(float((segment.proteins.stored.astype(np.float64) ** 2)[group >= 0].sum()))
    if not any(pairs):
        return None
    at = int(np.argmax(pairs))
    return one.model.segments[at], sum(pairs) / pairs[at]


def _measured(
    plan: BlockPlan, one: ModelPlan, segment: "Segment", catalog: Directory, top: Top | None, memory_limit: int
) -> tuple[float, float]:
    """Seconds and rows of one segment."""
    heads = np.flatnonzero(one.scan.heads)
    by_weight = top is not None and top.orders[0].column == "weight"
    if one.scan.tier != "codes" or by_weight or len(heads) <= _MORE:
        spent, number = _timed(plan, one, one.scan, segment, catalog, top, memory_limit)
        if spent < _LONG:  # otherwise compiling and filling caches are a small part of the first time
            spent, number = _timed(plan, one, one.scan, segment, catalog, top, memory_limit)
        return spent, number
    spread = heads[np.linspace(0, len(heads) - 1, _MORE).astype(int)]
    few, more = (_of_heads(one.scan, spread[:n]) for n in (_FEW, _MORE))
    _timed(plan, one, few, segment, catalog, top, memory_limit)
    short, _ = _timed(plan, one, few, segment, catalog, top, memory_limit)
    long, number = _timed(plan, one, more, segment, catalog, top, memory_limit)
    a_head = max(long - short, 0.0) / (_MORE - _FEW)
    return max(short - _FEW * a_head, 0.0) + a_head * len(heads), number * len(heads) / _MORE


def _of_heads(scan: Scan, chosen: npt.NDArray[np.int64]) -> Scan:
    mask = np.zeros(scan.heads.size, bool)
    mask[chosen] = True
    return replace(scan, heads=mask.reshape(scan.heads.shape))


def _timed(
    plan: BlockPlan, one: ModelPlan, scan: Scan, segment: "Segment", catalog: Directory, top: Top | None, limit: int
) -> tuple[float, int]:
    begun = time.perf_counter()
    vectors, group = of_segment(plan, segment, catalog)
    number = 0
    if not plan.question.rows:
        number = len(count.run(scan, segment, vectors, group, limit).id)
    elif top is not None:
        number = len(first_rows(top, scan, segment, vectors, group >= 0, catalog.places(segment)))
    else:
        schema = row_schema(plan)
        for batch in rows(scan, segment, vectors, group >= 0):
            number += decode(plan, one, batch, schema).num_rows
    return time.perf_counter() - begun, number
