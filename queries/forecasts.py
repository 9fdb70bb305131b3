"""What a statement will take: told beforehand, and refused where it is more than it may."""

import math
from dataclasses import dataclass

import duckdb

from ..catalog.connection import Limits
from ..errors import QueryError
from .engine.reading import Reading, readings
from .engine.top_rows import Top
from .engine.vectors import Directory
from .plan.blocks import BlockPlan
from .plan.explain import Forecast
from .row_forecast import forecast, most_rows, row_width

#: A result is there as Arrow and as pandas.
_COPIES = 2


@dataclass(frozen=True, eq=False)
class Planned:
    """A block of a statement that is about to run: its plan, and the rows that are wanted if they are found as such."""

    plan: BlockPlan
    top: Top | None


def refuse_large(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    blocks: list[Planned],
    catalog: Directory,
    limits: Limits,
    kept: bool,
) -> None:
    """Raise QueryError where rows that have to be held are more than the limits allow.

    Parameters
    ----------
    connection, sql : of the statement, with its blocks as relations
    blocks : those of rows that are read while it runs
    catalog : Directory
    limits : of the question
    kept : whether the result is kept in memory, rather than handed on batch by batch
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
        if min(most_rows(block.plan), first) * row_width(block.plan) * copies <= limit:
            continue
        told = forecast(block.plan, catalog, None, limits.memory).first(first)
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


def foretold(
    connection: duckdb.DuckDBPyConnection, sql: str, blocks: list[Planned], catalog: Directory, limits: Limits
) -> list[Forecast]:
    """Of each block what it takes, as far as the statement reads it; parameters as of `refuse_large`."""
    found = readings(connection, sql) if any(one.plan.question.rows for one in blocks) else []
    return [_as_read(forecast(one.plan, catalog, one.top, limits.memory), one, found) for one in blocks]


def _as_read(told: Forecast, block: Planned, found: list[Reading]) -> Forecast:
    if not block.plan.question.rows or block.top is not None or not found:
        return told
    return told.first(_most(found))


def _most(found: list[Reading]) -> float:
    """Rows after which all of some readings stop."""
    return max(math.inf if one.number is None else one.number for one in found)
