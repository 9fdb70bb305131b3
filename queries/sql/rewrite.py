"""From expressions over `attention` to expressions over the cells that the engine counts in.

A *cell* holds the pairs of one head that agree in every *key* (a property that is grouped or filtered by) and whose
weights lie in one band. Of a cell its number of pairs is known, the sum and extremes of their weights, and the sums of
*measures*. Whatever the block says is then said of cells: `avg(contact)` becomes Σn where the key `contact` is true
over Σn where it is known, and DuckDB does the rest.

Where sums of weights are known within bounds, an expression has three forms: its value, the least and the most it
can be.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from .dialect import RefusalError, attention_types
from .expression import parse_value
from .statement import contains_aggregate, is_aggregate
from .syntax import Tree, expression, render, replace_children
from .touched import has_subquery, qualified, touched
from .tree import Columns, Expression, Node, Operation, Quantity

#: Which form of an expression: its value, or the bound below or above it.
Form = Literal["", "_min", "_max"]

_OTHER: dict[Form, Form] = {"": "", "_min": "_max", "_max": "_min"}
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
# Of these a cell stands for all its pairs.
_OF_VALUES = {"any_value", "arbitrary", "bool_and", "bool_or", "min", "max"}
_OURS = {"count_star", "count", "sum", "avg", "mean", "min", "max", "count_if", "countif", "weighted_avg", *_OF_VALUES}
_EXTREME = {"min": "low", "max": "high"}
# Increasing functions, so that bounds of the argument are bounds of the value.
_INCREASING = {"ceil", "ceiling", "exp", "floor", "ln", "log", "log10", "log2", "round", "sqrt", "trunc"}


class FallbackError(Exception):
    """An aggregate that cells do not hold; DuckDB can answer it over arcs."""


@dataclass(frozen=True)
class Key:
    """A column of the cells: an expression that pairs are told apart by, and DuckDB's type of it."""

    column: str
    expression: Expression
    type: str


@dataclass(frozen=True)
class Measure:
    """A number that is summed over the pairs of a cell; `weighted` where it is wanted times the weight too."""

    column: str
    expression: Expression
    type: str
    weighted: bool


@dataclass(eq=False)
class Cells:
    """What the cells of a block have to hold, gathered while its expressions are rewritten.

    Attributes
    ----------
    columns : of the catalog
    aliases : output columns of the block, in lower case
    rows : whether the block gives rows: then the weight is a column like any other
    keys, measures : by the expression's text
    steps : functions of the weight, "weight" or "reverse_weight", by column and text
    sums, extremes : which of the weight's are needed, of "weight" and "reverse_weight"
    """

    columns: Columns
    aliases: frozenset[str]
    rows: bool
    keys: dict[str, Key] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    steps: dict[tuple[str, str], tuple[str, Tree]] = field(default_factory=dict)
    sums: set[str] = field(default_factory=set)
    extremes: set[str] = field(default_factory=set)

    def scalar(self, node: Tree) -> Tree:
        """An expression without aggregates, said of cells.

        Raises
        ------
        RefusalError
            It names what does not exist, or pairs cannot be told apart by it.
        """
        parts = touched(node, self.columns, self.aliases)
        if has_subquery(node):
            return replace_children(node, self.scalar)
        if parts <= {"head", "alias"}:
            return node
        if parts == {"weight"} or parts == {"reverse"}:
            return self._weight(node, "weight" if parts == {"weight"} else "reverse_weight")
        if parts <= {"pair", "protein"}:
            try:
                return self._key(node)
            except RefusalError:
                if node["class"] == "COLUMN_REF":
                    raise
        # Together the parts are too much for pairs, each alone is not: DuckDB puts them together, cell by cell.
        return replace_children(node, self.scalar)

    def _weight(self, node: Tree, column: str) -> Tree:
        if self.rows:
            if node["class"] == "COLUMN_REF":
                self.sums.add(column)
                return node
            return replace_children(node, self.scalar)
        if node["class"] == "COLUMN_REF":
            raise FallbackError(
                f"{column} differs within every group (aggregate it, as avg({column}), or bin it, as "
                f"floor({column} * 10))"
            )
        key = (column, render(node))
        if key not in self.steps:
            self.steps[key] = (f"__step{len(self.steps)}", node)
        return _column(self.steps[key][0])

    def _key(self, node: Tree) -> Tree:
        text = render(node)
        if text not in self.keys:
            parsed, kind = parse_value(node, clause="query", columns=self.columns)
            if not self.rows and _has_bare_distance(parsed.root):
                raise FallbackError("a distance tells pairs apart only in bins, e.g. floor(distance / 2)")
            self.keys[text] = Key(f"__key{len(self.keys)}", parsed, kind)
        return _column(self.keys[text].column)

    def _measure(self, node: Tree, weighted: bool = False) -> str | None:
        """Column prefix of a number that pairs are evaluated in; None where it is none."""
        if not touched(node, self.columns, self.aliases) <= {"pair", "protein"} or has_subquery(node):
            return None
        text = render(node)
        try:
            parsed, kind = parse_value(node, clause="query", columns=self.columns)
        except RefusalError:
            return None
        if parsed.kind != "number":
            return None
        before = self.measures.get(text)
        weighted = weighted or (before is not None and before.weighted)
        column = before.column if before else f"__measure{len(self.measures)}"
        self.measures[text] = Measure(column, parsed, kind, weighted)
        return column

    def value(self, node: Tree, form: Form = "") -> Tree:
        """An expression that may hold aggregates, said of cells; raises as `scalar` does, and FallbackError.

        Parameters
        ----------
        node : of the select list, HAVING, QUALIFY or ORDER BY
        form : its value or a bound; of what is exact, both bounds are the value
        """
        if is_aggregate(node):
            return self._aggregate(node, form)
        if form and contains_aggregate(node):
            return self._bound(node, form)
        if node["class"] == "WINDOW" or contains_aggregate(node):
            return replace_children(node, self.value)
        return self.scalar(node)

    def is_approximate(self, node: Tree) -> bool:
        """Whether an expression holds an aggregate of weights."""
        if is_aggregate(node):
            return render(self._aggregate(node, "")) != render(self._aggregate(node, "_min"))
        found = False

        def look(child: Tree) -> Tree:
            nonlocal found
            found = found or self.is_approximate(child)
            return child

        if contains_aggregate(node):
            replace_children(node, look)
        return found

    def _bound(self, node: Tree, form: Form) -> Tree:
        """A bound of an expression over aggregates, by interval arithmetic; NULL where none is known."""
        if not self.is_approximate(node):
            return self.value(node)
        name = node["function_name"].lower() if node["class"] == "FUNCTION" else node["class"]
        operands = [one["expression"] for one in node["arguments"]] if node["class"] == "FUNCTION" else []

        def at(operand: Tree, which: Form) -> str:
            return render(self.value(operand, which))

        low, high = form, _OTHER[form]
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
            bound = f"{choose}({corners})"
            if name == "/":
                # Across zero a quotient has no bounds.
                bound = f"CASE WHEN ({second[0]}) > 0 OR ({second[1]}) < 0 THEN {bound} END"
            return expression(bound)
        if name in _INCREASING or name in ("CAST", "coalesce") or node["type"] == "OPERATOR_COALESCE":
            return replace_children(node, lambda child: self.value(child, form))
        if node["class"] == "CASE":
            return self._case(node, form)
        return expression("CAST(NULL AS DOUBLE)")

    def _case(self, node: Tree, form: Form) -> Tree:
        if any(self.is_approximate(check["when_expr"]) for check in node["case_checks"]):
            return expression("CAST(NULL AS DOUBLE)")
        checks = [
            {"when_expr": self.value(check["when_expr"]), "then_expr": self.value(check["then_expr"], form)}
            for check in node["case_checks"]
        ]
        return {**node, "case_checks": checks, "else_expr": self.value(node["else_expr"], form)}

    def _aggregate(self, node: Tree, form: Form) -> Tree:
        name = node["function_name"].lower()
        arguments = [one["expression"] for one in node["arguments"]]
        filtered = render(self.scalar(node["filter"])) if node["filter"] else "TRUE"
        if name not in _OURS or node["order_bys"]["orders"] or len(arguments) != (name != "count_star"):
            raise FallbackError(f"{name}() is not held by cells")
        if any(contains_aggregate(argument) for argument in arguments):
            raise RefusalError(f"{render(node)} aggregates an aggregate", "aggregate once, or in an outer SELECT")

        def total(sql: str, condition: str = "TRUE") -> str:
            both = " AND ".join(f"({one})" for one in (filtered, condition) if one != "TRUE")
            return f"sum({sql})" + (f" FILTER (WHERE {both})" if both else "")

        if name == "count_star":
            return _count(total("__n"))
        return expression(self._of(name, arguments[0], node["distinct"], filtered, total, form))

    def _of(
        self, name: str, argument: Tree, distinct: bool, filtered: str, total: Callable[..., str], form: Form
    ) -> str:
        """SQL of an aggregate of one argument."""
        parts = touched(argument, self.columns, self.aliases)
        where = f" FILTER (WHERE {filtered})" if filtered != "TRUE" else ""
        if distinct and name not in ("min", "max"):
            if parts & {"weight", "reverse"} and not self._is_step(argument):
                raise FallbackError(f"{name}(DISTINCT …) of weights is not held by cells")
            return f"{name}(DISTINCT {render(self.scalar(argument))}){where}"
        if parts & {"weight", "reverse"} and not self._is_step(argument):
            return self._of_weights(name, argument, total, where, form)
        kind = attention_types([render(qualified(argument))], self.columns)[0].split("(")[0]
        if name in ("count_if", "countif"):
            key = render(self.scalar(argument))
            # As DuckDB has it: NULL of nothing, 0 of what is never true.
            return f"CAST({total(f'CASE WHEN {key} THEN __n ELSE 0 END')} AS BIGINT)"
        if kind.removeprefix("U") in _NUMBERS:
            column = self._measure(argument, name == "weighted_avg")
            if column:
                return self._of_measure(name, column, kind, total, filtered, form)
        elif kind not in ("BOOLEAN", "NULL") and name in ("sum", "avg", "mean", "weighted_avg"):
            raise RefusalError(
                f"{name}() takes a number or a truth value, and this is a {kind}", "count it, or cast it"
            )
        key = render(self.scalar(argument))
        known = f"({key}) IS NOT NULL"
        number = f"CAST(({key}) AS {'INTEGER' if kind == 'BOOLEAN' else kind})" if kind != "NULL" else "NULL::INTEGER"
        if name == "count":
            return f"CAST(coalesce({total('__n', known)}, 0) AS BIGINT)"
        if name == "sum":
            return f"CAST({total(f'__n * {number}', known)} AS {_sum_type(kind)})"
        if name in ("avg", "mean"):
            return f"({total(f'__n * {number}', known)} / {total('__n', known)})"
        if name == "weighted_avg":
            return self._weighted_share(kind, key, number, known, filtered, total, form)
        return f"{name}({key}){where}"

    def _is_step(self, argument: Tree) -> bool:
        """Whether an expression takes weights only by comparison."""
        if touched(argument, self.columns, self.aliases) in ({"weight"}, {"reverse"}):
            compares = argument["class"] in ("COMPARISON", "BETWEEN", "CONJUNCTION") or argument["type"] in (
                "COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL",
            )  # fmt: skip
            called = argument["class"] == "FUNCTION" and argument["function_name"].lower() in ("floor", "ceil", "round")
            return compares or called
        found = True

        def look(child: Tree) -> Tree:
            nonlocal found
            if touched(child, self.columns, self.aliases) & {"weight", "reverse"}:
                found = found and child["class"] != "COLUMN_REF" and self._is_step(child)
            return child

        if argument["class"] == "COLUMN_REF":
            return False
        replace_children(argument, look)
        return found

    def _of_weights(self, name: str, argument: Tree, total: Callable[..., str], where: str, form: Form) -> str:
        if argument["class"] == "COLUMN_REF":
            column = argument["column_names"][0].lower()
            own = "__" + column
            if name == "count":
                return f"CAST(coalesce({total('__n')}, 0) AS BIGINT)"
            if name in ("min", "max"):
                self.extremes.add(column)
                return f"CAST({name}({own}_{name}imum{form}){where} AS FLOAT)"
            self.sums.add(column)
            if name == "sum":
                return total(f"{own}_sum{form}")
            if name in ("avg", "mean"):
                return f"({total(f'{own}_sum{form}')} / {total('__n')})"
            raise FallbackError(f"{name}({column}) is not held by cells")
        if name not in ("sum", "avg", "mean"):
            raise FallbackError(f"{name}() of that is not held by cells")
        bare = _times(argument)
        measure = self._measure(bare, weighted=True) if bare else None
        self.sums.add("weight")
        if measure:
            known = f"{measure}_n > 0"
            summed = total(f"{measure}_weighted{form}", known)
            return summed if name == "sum" else f"({summed} / {total(f'{measure}_n', known)})"
        constant, slope = self._line(argument)
        low = f"({slope}) * __weight_sum{form}"
        if form:
            choose = "least" if form == "_min" else "greatest"
            low = f"{choose}(({slope}) * __weight_sum_min, ({slope}) * __weight_sum_max)"
        each = f"({constant}) * __n + {low}"
        known = f"({constant}) + ({slope}) IS NOT NULL"
        summed = total(each, known)
        return summed if name == "sum" else f"({summed} / {total('__n', known)})"

    def _line(self, node: Tree) -> tuple[str, str]:
        """a and b of an expression a + b · weight, as SQL over cells."""
        parts = touched(node, self.columns, self.aliases)
        if "reverse" in parts:
            raise FallbackError("products with reverse_weight are not held by cells")
        if "weight" not in parts or self._is_step(node):
            return f"CAST({render(self.scalar(node))} AS DOUBLE)", "0"
        if node["class"] == "COLUMN_REF":
            return "0", "1"
        if node["class"] == "CAST":
            return self._line(node["child"])
        if node["class"] == "CASE":
            checks = [(render(self.scalar(c["when_expr"])), self._line(c["then_expr"])) for c in node["case_checks"]]
            other = self._line(node["else_expr"])
            return tuple(  # type: ignore[return-value]
                f"CASE {' '.join(f'WHEN {when} THEN {line[which]}' for when, line in checks)} ELSE {other[which]} END"
                for which in (0, 1)
            )
        if node["class"] == "FUNCTION":
            name = node["function_name"].lower()
            operands = [one["expression"] for one in node["arguments"]]
            lines = [self._line(operand) for operand in operands]
            if name in ("+", "-"):
                if len(lines) == 1:
                    return f"({name}({lines[0][0]}))", f"({name}({lines[0][1]}))"
                (a, b), (c, d) = lines
                return f"(({a}) {name} ({c}))", f"(({b}) {name} ({d}))"
            free = [line for line in lines if line[1] == "0"]
            if name == "*" and free:
                (a, b), factor = (lines[1], lines[0][0]) if lines[0][1] == "0" else (lines[0], lines[1][0])
                return f"(({a}) * ({factor}))", f"(({b}) * ({factor}))"
            if name == "/" and lines[1][1] == "0":
                (a, b), (divisor, _) = lines
                return f"(({a}) / ({divisor}))", f"(({b}) / ({divisor}))"
        raise FallbackError(f"{render(node)} is not linear in the weight")

    def _of_measure(
        self, name: str, column: str, kind: str, total: Callable[..., str], filtered: str, form: Form
    ) -> str:
        if name == "count":
            return f"CAST(coalesce({total(f'{column}_n')}, 0) AS BIGINT)"
        if name == "sum":
            return f"CAST({total(f'{column}_sum', f'{column}_n > 0')} AS {_sum_type(kind)})"
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

    def _weighted_share(
        self, kind: str, key: str, number: str, known: str, filtered: str, total: Callable[..., str], form: Form
    ) -> str:
        self.sums.add("weight")
        if kind != "BOOLEAN":
            value = f"({total(f'__weight_sum * {number}', known)} / nullif({total('__weight_sum', known)}, 0))"
            if not form:
                return value
            # What is averaged is one number a cell.
            return f"{'min' if form == '_min' else 'max'}({number}) FILTER (WHERE {known} AND ({filtered}))"
        true, false = f"({key})", f"NOT ({key})"
        least = f"coalesce({total(f'__weight_sum{form}', true)}, 0)"
        most = f"coalesce({total(f'__weight_sum{_OTHER[form]}', false)}, 0)"
        return f"({least} / nullif({least} + {most}, 0))"


def _has_bare_distance(node: Node) -> bool:
    """Whether a number follows from a distance that is not rounded, so that it is another for every pair."""
    if isinstance(node, Quantity):
        return node.kind == "number"
    if not isinstance(node, Operation) or node.kind != "number" or node.op in ("floor", "ceil"):
        return False
    return any(_has_bare_distance(operand) for operand in node.operands)


def _times(node: Tree) -> Tree | None:
    """The other factor of a product with the bare weight."""
    if node["class"] != "FUNCTION" or node["function_name"] != "*":
        return None
    first, second = (one["expression"] for one in node["arguments"])
    for one, other in ((first, second), (second, first)):
        if one["class"] == "COLUMN_REF" and one["column_names"][0].lower() == "weight":
            return other  # type: ignore[no-any-return]
    return None


def _column(name: str) -> Tree:
    return expression(f'"{name}"')


def _count(sql: str) -> Tree:
    return expression(f"CAST(coalesce({sql}, 0) AS BIGINT)")


def _sum_type(kind: str) -> str:
    return "DOUBLE" if kind in ("FLOAT", "DOUBLE", "DECIMAL") else "BIGINT"
