"""How DuckDB will read the rows of blocks: to the end or to a LIMIT, one by one or holding all of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from ...runtime import time_limit

_LIMITS = {"LIMIT", "STREAMING_LIMIT"}
#: Operators that hold all rows of their first input, and those that hold all of their second.
_HOLD_FIRST = {"ORDER_BY", "WINDOW", "CTE"}
_HOLD_SECOND = {
    "HASH_JOIN", "NESTED_LOOP_JOIN", "BLOCKWISE_NL_JOIN", "CROSS_PRODUCT", "ASOF_JOIN", "PIECEWISE_MERGE_JOIN",
    "IE_JOIN",
}  # fmt: skip
_SCAN = "PYTHON_ARROW_SCAN"


@dataclass(frozen=True)
class Reading:
    """One reading of the rows of a block.

    Attributes
    ----------
    number : rows after which it stops; None where it reads all
    held : whether DuckDB holds them, in memory or on disk
    shown : whether they are the result, rather than counted or left out
    """

    number: int | None = None
    held: bool = False
    shown: bool = True


def readings(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Reading]:
    """Readings of the rows of blocks in a statement, by DuckDB's own plan of it."""
    explain = f"EXPLAIN (FORMAT json) {sql}"
    ((_, text),) = time_limit.run(connection, lambda: connection.execute(explain).fetchall())
    return [reading for root in json.loads(text) for reading in _below(root)]


def _below(node: dict[str, Any]) -> Iterator[Reading]:
    name = str(node["name"]).strip()
    if name == _SCAN:
        yield Reading()
    for place, child in enumerate(node["children"]):
        for reading in _below(child):
            yield _above(name, node.get("extra_info") or {}, place, reading)


def _above(name: str, told: dict[str, Any], place: int, reading: Reading) -> Reading:
    """The same reading as an operator above it makes of it."""
    if name in _LIMITS and not reading.held and reading.number is None and reading.shown:
        # Without LIMIT, OFFSET reads to the end.
        numbers = [str(told.get("Limit")), str(told.get("Offset", "0"))]
        return replace(reading, number=sum(map(int, numbers))) if all(map(str.isdigit, numbers)) else reading
    if "AGGREGATE" in name or "GROUP_BY" in name or name == "TOP_N":
        return replace(reading, shown=False)
    if name in (_HOLD_FIRST if place == 0 else _HOLD_SECOND):
        return replace(reading, held=True)
    return reading
