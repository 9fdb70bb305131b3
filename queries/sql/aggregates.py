"""Aggregates as SQL over cells: the value, and the least and the most that it can be."""

from collections.abc import Callable
from typing import Literal

from .dialect import FallbackError
from .syntax import Tree, expression, render, replace_children

#: Which form of an expression: its value, or the bound below or above it.
Form = Literal["", "_min", "_max"]

_OPPOSITE: dict[Form, Form] = {"": "", "_min": "_max", "_max": "_min"}
_EXTREME = {"min": "low", "max": "high"}
# Increasing functions, so that bounds of the argument are bounds of the value.
_INCREASING = {"ceil", "ceiling", "exp", "floor", "ln", "log", "log10", "log2", "round", "sqrt", "trunc"}


def of_measure(name: str, column: str, kind: str, total: Callable[..., str], filtered: str, form: Form) -> str:
    """SQL of an aggregate of a measure.

    Parameters
    ----------
    name : of the aggregate
    column, kind : prefix of the measure's columns, and DuckDB's type of it
    total : from SQL, and a condition, to that of its sum over cells
    filtered : the aggregate's own condition
    form : its value or a bound
    """
    if name == "count":
        return f"CAST(coalesce({total(f'{column}_n')}, 0) AS BIGINT)"
    if name == "sum":
        return f"CAST({total(f'{column}_sum', f'{column}_n > 0')} AS {sum_type(kind)})"
    if name in ("avg", "mean"):
        return f"({total(f'{column}_sum')} / nullif({total(f'{column}_n')}, 0))"
    if name in ("min", "max"):
        both = f"{column}_n > 0" + (f" AND ({filtered})" if filtered != "TRUE" else "")
        return f"CAST({name}({column}_{_EXTREME[name]}) FILTER (WHERE {both}) AS {kind})"
    if name != "weighted_avg":
        raise FallbackError(f"{name}() of a number is not held by cells")
    value = f"({total(f'{column}_weighted')} / nullif({total(f'{column}_weight')}, 0))"
    if not form:
        return value
    choose = "least" if form == "_min" else "greatest"
    corners = [
        f"({total(f'{column}_weighted{form}')} / nullif({total(f'{column}_weight{which}')}, 0))"
        for which in ("_min", "_max")
    ]
    # An average lies between the extremes of what is averaged, too.
    some = f" FILTER (WHERE {column}_n > 0 AND ({filtered}))"
    cap = f"min({column}_low){some}" if form == "_min" else f"max({column}_high){some}"
    closer = "greatest" if form == "_min" else "least"
    return f"{closer}({choose}({', '.join(corners)}), {cap})"


def weighted_share(
    kind: str, key: str, number: str, known: str, filtered: str, total: Callable[..., str], form: Form
) -> str:
    """SQL of the average, weighted by attention, of an expression by which cells are grouped.

    Parameters
    ----------
    kind : DuckDB's type of it
    key, number, known : SQL of its value, of that as a number, and of whether there is one
    total, filtered, form : as of `of_measure`
    """
    if kind != "BOOLEAN":
        value = f"({total(f'__weight_sum * {number}', known)} / nullif({total('__weight_sum', known)}, 0))"
        if not form:
            return value
        # What is averaged is one number a cell.
        return f"{'min' if form == '_min' else 'max'}({number}) FILTER (WHERE {known} AND ({filtered}))"
    true, false = f"({key})", f"NOT ({key})"
    least = f"coalesce({total(f'__weight_sum{form}', true)}, 0)"
    most = f"coalesce({total(f'__weight_sum{_OPPOSITE[form]}', false)}, 0)"
    return f"({least} / nullif({least} + {most}, 0))"


def bound_expression(
    node: Tree, form: Form, value: Callable[..., Tree], is_approximate: Callable[[Tree], bool]
) -> Tree:
    """A bound of an expression over aggregates, by interval arithmetic; NULL where none is known.

    Parameters
    ----------
    node : the expression
    form : which bound
    value : from a part of it, and a form, to its SQL for cells
    is_approximate : whether a part of it follows from sums or extremes of weights
    """
    if not is_approximate(node):
        return value(node)
    name = node["function_name"].lower() if node["class"] == "FUNCTION" else node["class"]
    operands = [one["expression"] for one in node["arguments"]] if node["class"] == "FUNCTION" else []

    def at(operand: Tree, which: Form) -> str:
        return render(value(operand, which))

    low, high = form, _OPPOSITE[form]
    if name == "+" and len(operands) == 2:
        return expression(f"({at(operands[0], low)} + {at(operands[1], low)})")
    if name == "-":
        if len(operands) == 1:
            return expression(f"(-({at(operands[0], high)}))")
        return expression(f"({at(operands[0], low)} - {at(operands[1], high)})")
    if name in ("*", "/"):
        first, second = ([at(operand, which) for which in ("_min", "_max")] for operand in operands)
        choose = "least" if form == "_min" else "greatest"
        corners = ", ".join(f"({a} {name} {b})" for a in first for b in second)
        limits = f"{choose}({corners})"
        if name == "/":
            # Across zero a quotient has no bounds.
            limits = f"CASE WHEN ({second[0]}) > 0 OR ({second[1]}) < 0 THEN {limits} END"
        return expression(limits)
    if name in _INCREASING or name in ("CAST", "coalesce") or node["type"] == "OPERATOR_COALESCE":
        return replace_children(node, lambda child: value(child, form))
    if node["class"] == "CASE":
        return _bound_of_case(node, form, value, is_approximate)
    return expression("CAST(NULL AS DOUBLE)")


def _bound_of_case(node: Tree, form: Form, value: Callable[..., Tree], is_approximate: Callable[[Tree], bool]) -> Tree:
    if any(is_approximate(check["when_expr"]) for check in node["case_checks"]):
        return expression("CAST(NULL AS DOUBLE)")
    checks = [
        {"when_expr": value(check["when_expr"]), "then_expr": value(check["then_expr"], form)}
        for check in node["case_checks"]
    ]
    return {**node, "case_checks": checks, "else_expr": value(node["else_expr"], form)}


def sum_type(kind: str) -> str:
    """DuckDB's type of the sum of numbers of a type."""
    return "DOUBLE" if kind in ("FLOAT", "DOUBLE", "DECIMAL") else "BIGINT"
