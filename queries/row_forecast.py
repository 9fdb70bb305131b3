"""What a block will take, measured on a sample of it: seconds, rows and bytes.

A part of one segment is answered as the whole would be, by the same functions on the same machine, and scaled to the
pairs or arcs of all segments. Nothing is said that was not measured but the rate at which DuckDB and pandas take rows.
"""

import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..runtime.machine import cores
from .answer import decoded, row_schema
from .engine import count
from .engine.cells import Scan
from .engine.pair_rows import first_rows, rows
from .engine.top_rows import Top
from .engine.vectors import Directory
from .plan.blocks import BlockPlan, ModelPlan, of_segment
from .plan.explain import Forecast
from .sql.syntax import columns_in

if TYPE_CHECKING:
    from ..format.segment import Segment

#: Seconds a row and column that DuckDB, Arrow and pandas take for a result, measured by benchmarks/forecast.py.
_PER_VALUE = 40e-9
#: Heads of a sample of codes: the difference in time is that of a head, the rest that of a segment.
_FEW, _MORE = 1, 5
#: Seconds from which on a sample is not taken twice.
_LONG = 0.5


def forecast(plan: BlockPlan, catalog: Directory, top: Top | None, memory_limit: int) -> Forecast:
    """Measure a sample of a block.

    Parameters
    ----------
    plan : BlockPlan
    catalog : Directory
    top : the rows that are wanted, where they are found as such
    memory_limit : bytes that the cells of one segment may take

    Raises
    ------
    StoreError, QueryError
        As tasks do.
    """
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
        # Where the sample had to wait for a core, further threads will not find one either.
        seconds += spent * share / max(1.0, threads * min(processor / wall, 1.0))
        found += number * share
    if not plan.question.rows:
        return Forecast(seconds, 0, 0)
    number = min(int(found), top.number) if top else int(found)
    shown = {column for item in plan.question.block.node["select_list"] for (column,) in columns_in(item)}
    return Forecast(seconds + number * len(shown) * _PER_VALUE, number, number * row_width(plan, shown))


def row_width(plan: BlockPlan, shown: Collection[str] | None = None) -> int:
    """Bytes of a row in Arrow, text with its offsets.

    Parameters
    ----------
    plan : BlockPlan
    shown : columns of the row that the statement asks for; None for all
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


def most_rows(plan: BlockPlan) -> int:
    """Rows that a block gives at most, by what the manifest counts."""
    return sum(
        one.model.manifest.total("arcs")
        if one.scan.tier == "arcs"
        else int(one.scan.heads.sum()) * one.model.manifest.total("pairs")
        for one in plan.models
    )


def _largest(plan: BlockPlan, one: ModelPlan, catalog: Directory) -> "tuple[Segment, float] | None":
    """The segment in which most pairs take part, and how many times as many there are in all."""
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
        if spent < _LONG:  # else what the first time takes beside, compiling and filling caches, is little of it
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
            number += decoded(plan, one, batch, schema).num_rows
    return time.perf_counter() - begun, number
