"""Functions of the weight: those that are constant between steps, comparisons and bins; and straight lines.

A statement's conditions on the weight, and what it groups by of it, cut the weights into *bands*. Everything is
float32: a weight is ≥ θ iff it is ≥ the float32 nearest to θ, and a band begins at a float32 that is in it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from ...format.codebook import TOP, Codebook
from ...runtime import time_limit
from ...runtime.faults import machine_error
from .dialect import FallbackError, RefusalError, locked_parser, reason
from .syntax import Tree, children, columns_in, render

Floats = NDArray[np.float32]

#: More bands than this are no bins.
MOST_BANDS = 1024

# Constant or monotone in one operand where the others are constants, so that steps can be searched by halving.
_MONOTONE_FUNCTIONS = {
    "+", "-", "*", "/", "abs", "cbrt", "ceil", "ceiling", "exp", "floor", "greatest", "least", "ln",
    "log", "log10", "log2", "pow", "power",
    "round", "sqrt", "trunc",
}  # fmt: skip
_LOGICAL_CLASSES = {"CONJUNCTION", "CASE"}
_NULL_TESTS = {"OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"}
_LOGICAL_OPERATORS = {"OPERATOR_NOT", "OPERATOR_COALESCE", *_NULL_TESTS}


@dataclass(frozen=True, eq=False)
class Bands:
    """The weights cut where any function of them has a step.

    Attributes
    ----------
    lower : float32 [bands], the first weight of each; the first is 0
    """

    lower: Floats

    def of_codes(self, codebook: Codebook) -> NDArray[np.int16]:
        """Band of each code; −1 where weights of a code lie in several bands. int16 [codes]."""
        first = np.searchsorted(self.lower, codebook.lower, side="right") - 1
        last = np.searchsorted(self.lower, np.nextafter(codebook.upper, np.float32(0)), side="right") - 1
        return np.where(first == last, first, -1).astype(np.int16)


def cut(functions: Iterable[Tree], column: str = "weight") -> Bands:
    """The bands of some functions of the weight.

    Parameters
    ----------
    functions : trees over the one column
    column : its name

    Raises
    ------
    RefusalError
        A function is not made of steps, or has too many.
    """
    cuts: set[float] = set()
    for function in functions:
        for part in _parts(function):
            cuts.update(_steps(part, column))
    return Bands(np.array(sorted({0.0, *cuts}), np.float32))


def values(function: Tree, weights: Floats, column: str = "weight") -> list[Any]:
    """Values of a function at some weights, as DuckDB has them.

    Raises
    ------
    RefusalError
        DuckDB does not accept the function.
    """
    return list(_evaluate(render(function), weights, column)[0])


def type_of(function: Tree, column: str = "weight") -> str:
    """DuckDB's type of a function of the weight; raises as `values` does."""
    return _evaluate(render(function), np.zeros(1, np.float32), column)[1]


def _evaluate(sql: str, weights: Floats, column: str) -> tuple[tuple[Any, ...], str]:
    return _evaluate_once(sql, weights.astype(np.float32).tobytes(), column)


@lru_cache(maxsize=256)
def _evaluate_once(sql: str, float32: bytes, column: str) -> tuple[tuple[Any, ...], str]:
    import pyarrow as pa

    weights = np.frombuffer(float32, np.float32)
    with locked_parser() as connection:
        connection.register("weights", pa.table({column: pa.array(weights, pa.float32())}))
        try:
            return time_limit.run(connection, lambda: _answered(connection, f"SELECT ({sql}) AS value FROM weights"))
        except duckdb.Error as error:
            raise machine_error(error, "answering the query") or RefusalError(
                f"DuckDB does not accept it ({reason(error)})", "correct it"
            ) from error
        finally:
            if not time_limit.is_left_behind(connection):
                connection.unregister("weights")


def _answered(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[tuple[Any, ...], str]:
    relation = connection.sql(sql)
    return tuple(row[0] for row in relation.fetchall()), str(relation.types[0])


def _parts(node: Tree) -> list[Tree]:
    """The monotone parts whose steps are those of the whole."""
    if not any(_touches(child) for child in children(node)):
        return [node] if _touches(node) else []
    if node["type"] in _NULL_TESTS and not _is_logical(node["children"][0]):
        return []  # no weight is NULL
    logical = node["class"] in _LOGICAL_CLASSES or node["type"] in _LOGICAL_OPERATORS or _compares_truth(node)
    if logical or (node["class"] == "CAST" and _is_logical(node["child"])):
        return [part for child in children(node) for part in _parts(child)]
    if not _is_monotone(node):
        raise RefusalError(
            "it is not made of steps that can be found",
            "compare the weight with constants, or bin it, e.g. floor(weight * 10) or CASE WHEN weight >= 0.3 THEN …",
        )
    return [node]


def _is_logical(node: Tree) -> bool:
    """Whether an expression is a truth value, made of others or of comparisons."""
    if node["class"] == "CAST":
        return _is_logical(node["child"])
    return node["class"] in (*_LOGICAL_CLASSES, "COMPARISON", "BETWEEN") or node["type"] in _LOGICAL_OPERATORS


def _compares_truth(node: Tree) -> bool:
    """Whether it compares truth values, as IS TRUE does."""
    return node["class"] == "COMPARISON" and any(_touches(child) and _is_logical(child) for child in children(node))


def _touches(node: Tree) -> bool:
    return any(columns_in(node))


def _is_monotone(node: Tree) -> bool:
    below = [child for child in children(node) if _touches(child)]
    if not below:
        return True
    kind = node["class"]
    if len(below) > 1:
        return False
    known = (
        kind in ("COMPARISON", "BETWEEN", "CAST")
        or node["type"] in ("COMPARE_IN", "COMPARE_NOT_IN")
        or (kind == "FUNCTION" and node["function_name"].lower() in _MONOTONE_FUNCTIONS)
    )
    return known and _is_monotone(below[0])


def _steps(node: Tree, column: str) -> list[float]:
    """First weights after each step of a function that is monotone, or TRUE between two weights."""
    sql = render(node)
    # Where it is TRUE between two weights, as BETWEEN and = are, the constants themselves have to be looked at.
    grid = np.unique(np.concatenate([np.linspace(0, 1, 257, dtype=np.float32), _constants(node, column), [TOP]]))
    grid = grid[(grid >= 0) & (grid <= TOP)].astype(np.float32)
    found = _evaluate(sql, grid, column)[0]
    left = [k for k in range(len(grid) - 1) if found[k] != found[k + 1]]
    intervals = [(grid[k], grid[k + 1], found[k], found[k + 1]) for k in left]
    steps: list[float] = []
    while intervals:
        if len(intervals) + len(steps) > MOST_BANDS:
            raise RefusalError(
                f"it takes more than {MOST_BANDS} values", "bin the weight more coarsely, e.g. floor(weight * 10)"
            )
        steps += [float(high) for low, high, *_ in intervals if np.nextafter(low, np.float32(2)) == high]
        intervals = [one for one in intervals if np.nextafter(one[0], np.float32(2)) != one[1]]
        # Halving the bit pattern reaches neighbours in 31 rounds however small the weights are.
        middles = [(_bits(low) + _bits(high)) // 2 for low, high, *_ in intervals]
        points = np.array(middles, np.uint32).view(np.float32)
        halves = []
        between = _evaluate(sql, points, column)[0] if intervals else []
        for (low, high, at_low, at_high), point, at in zip(intervals, points, between, strict=True):
            halves += [(low, point, at_low, at)] if at != at_low else []
            halves += [(point, high, at, at_high)] if at != at_high else []
        intervals = halves
    return steps


def _bits(weight: np.float32) -> int:
    return int(np.float32(weight).view(np.uint32))


def _constants(node: Tree, column: str) -> Floats:
    """Constants that the weight itself is compared with, and their neighbours."""
    if node["class"] not in ("COMPARISON", "BETWEEN") and node["type"] not in ("COMPARE_IN", "COMPARE_NOT_IN"):
        return np.zeros(0, np.float32)
    found: list[float] = []
    for child in children(node):
        if not _touches(child):
            value = _evaluate(f"TRY_CAST({render(child)} AS FLOAT)", np.zeros(1, np.float32), column)[0][0]
            found += [] if value is None or not np.isfinite(value) else [value]
    points: Sequence[Floats] = [np.array(found, np.float32)]
    for toward in (-1, 2):
        points = [*points, np.nextafter(points[0], np.float32(toward))]
    return np.concatenate(points)


def is_step(node: Tree) -> bool:
    """Whether an expression takes weights only by comparison, or in whole numbers."""
    if node["class"] == "COLUMN_REF":
        return False
    named = set(columns_in(node))
    if named in ({("weight",)}, {("reverse_weight",)}):
        compares = node["class"] in ("COMPARISON", "BETWEEN", "CONJUNCTION") or node["type"] in (
            "COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_NOT", *_NULL_TESTS,
        )  # fmt: skip
        called = node["class"] == "FUNCTION" and node["function_name"].lower() in ("floor", "ceil", "round")
        return compares or called
    return all(is_step(child) for child in children(node) if _weights_in(child))


def _weights_in(node: Tree) -> frozenset[str]:
    """Which of weight and reverse_weight an expression names."""
    return frozenset(names[0] for names in columns_in(node) if names in (("weight",), ("reverse_weight",)))


def line(node: Tree, scalar: Callable[[Tree], Tree]) -> tuple[str, str]:
    """a and b of an expression a + b · weight, as SQL over cells.

    Parameters
    ----------
    node : the expression
    scalar : from a part without the weight, or made of steps, to its SQL for cells

    Raises
    ------
    FallbackError
        It is no such expression.
    """
    weights = _weights_in(node)
    if "reverse_weight" in weights:
        raise FallbackError("products with reverse_weight are not held by cells")
    if not weights or is_step(node):
        return f"CAST({render(scalar(node))} AS DOUBLE)", "0"
    if node["class"] == "COLUMN_REF":
        return "0", "1"
    if node["class"] == "CAST":
        return line(node["child"], scalar)
    if node["class"] == "CASE":
        checks = [(render(scalar(c["when_expr"])), line(c["then_expr"], scalar)) for c in node["case_checks"]]
        other = line(node["else_expr"], scalar)
        return tuple(  # type: ignore[return-value]
            f"CASE {' '.join(f'WHEN {when} THEN {then[which]}' for when, then in checks)} ELSE {other[which]} END"
            for which in (0, 1)
        )
    if node["class"] == "FUNCTION":
        name = node["function_name"].lower()
        operands = [one["expression"] for one in node["arguments"]]
        lines = [line(operand, scalar) for operand in operands]
        if name in ("+", "-"):
            if len(lines) == 1:
                return f"({name}({lines[0][0]}))", f"({name}({lines[0][1]}))"
            (a, b), (c, d) = lines
            return f"(({a}) {name} ({c}))", f"(({b}) {name} ({d}))"
        free = any(slope == "0" for _, slope in lines)
        if name == "*" and free:
            (a, b), factor = (lines[1], lines[0][0]) if lines[0][1] == "0" else (lines[0], lines[1][0])
            return f"(({a}) * ({factor}))", f"(({b}) * ({factor}))"
        if name == "/" and lines[1][1] == "0":
            (a, b), (divisor, _) = lines
            return f"(({a}) / ({divisor}))", f"(({b}) / ({divisor}))"
    raise FallbackError(f"{render(node)} is not linear in the weight")


def other_factor(node: Tree) -> Tree | None:
    """The other factor of a product with the bare weight."""
    if node["class"] != "FUNCTION" or node["function_name"] != "*":
        return None
    first, second = (one["expression"] for one in node["arguments"])
    for one, other in ((first, second), (second, first)):
        if one["class"] == "COLUMN_REF" and one["column_names"][0].lower() == "weight":
            return other  # type: ignore[no-any-return]
    return None
