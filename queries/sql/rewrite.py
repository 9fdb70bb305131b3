"""From expressions over `attention` to expressions over the cells that the engine counts in.

A *cell* holds the pairs of one head that agree in every *key* (a property that is grouped or filtered by) and whose
weights lie in one band. Of a cell its number of pairs is known, the sum and extremes of their weights, and the sums of
*measures*. The block is then rewritten for cells: `avg(contact)` becomes Σn where the key `contact` is true
over Σn where it is known, and DuckDB does the rest.

Where sums of weights are known within bounds, an expression has three forms: its value, the least and the most it
can be (`aggregates`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from .aggregates import Form, bound_expression, of_measure, sum_type, weighted_share
from .columns import has_subquery, parts_of, qualify
from .condition import parse_value
from .dialect import FallbackError, RefusalError, attention_types
from .statement import contains_aggregate, is_aggregate
from .syntax import Tree, expression, render, replace_children
from .tree import Columns, Expression, has_bare_distance
from .weight_bands import is_step, line, other_factor

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
# Of these a cell stands for all its pairs.
_OF_VALUES = {"any_value", "arbitrary", "bool_and", "bool_or", "min", "max"}
_OURS = {"count_star", "count", "sum", "avg", "mean", "min", "max", "count_if", "countif", "weighted_avg", *_OF_VALUES}


@dataclass(frozen=True)
class CellKey:
    """A column of the cells: an expression by which pairs are grouped, and DuckDB's type of it."""

    column: str
    expression: Expression
    type: str


@dataclass(frozen=True)
class CellMeasure:
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
    keys: dict[str, CellKey] = field(default_factory=dict)
    measures: dict[str, CellMeasure] = field(default_factory=dict)
    steps: dict[tuple[str, str], tuple[str, Tree]] = field(default_factory=dict)
    sums: set[str] = field(default_factory=set)
    extremes: set[str] = field(default_factory=set)

    def scalar(self, node: Tree) -> Tree:
        """An expression without aggregates, rewritten for cells.

        Raises
        ------
        RefusalError
            It names what does not exist, or pairs cannot be grouped by it.
        """
        parts = parts_of(node, self.columns, self.aliases)
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
            if not self.rows and has_bare_distance(parsed.root):
                raise FallbackError("a distance distinguishes pairs only in bins, e.g. floor(distance / 2)")
            self.keys[text] = CellKey(f"__key{len(self.keys)}", parsed, kind)
        return _column(self.keys[text].column)

    def _measure(self, node: Tree, weighted: bool = False) -> str | None:
        """Column prefix of a number that pairs are evaluated in; None where it is none."""
        if not parts_of(node, self.columns, self.aliases) <= {"pair", "protein"} or has_subquery(node):
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
        self.measures[text] = CellMeasure(column, parsed, kind, weighted)
        return column

    def value(self, node: Tree, form: Form = "") -> Tree:
        """An expression that may have aggregates, rewritten for cells; raises as `scalar` does, and FallbackError.

        Parameters
        ----------
        node : of the select list, HAVING, QUALIFY or ORDER BY
        form : its value or a bound; of what is exact, both bounds are the value
        """
        if is_aggregate(node):
            return self._aggregate(node, form)
        if form and contains_aggregate(node):
            return bound_expression(node, form, self.value, self.is_approximate)
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
            return expression(f"CAST(coalesce({total('__n')}, 0) AS BIGINT)")
        return expression(self._of(name, arguments[0], node["distinct"], filtered, total, form))

    def _of(
        self, name: str, argument: Tree, distinct: bool, filtered: str, total: Callable[..., str], form: Form
    ) -> str:
        """SQL of an aggregate of one argument."""
        parts = parts_of(argument, self.columns, self.aliases)
        where = f" FILTER (WHERE {filtered})" if filtered != "TRUE" else ""
        if distinct and name not in ("min", "max"):
            if parts & {"weight", "reverse"} and not is_step(argument):
                raise FallbackError(f"{name}(DISTINCT …) of weights is not held by cells")
            return f"{name}(DISTINCT {render(self.scalar(argument))}){where}"
        if parts & {"weight", "reverse"} and not is_step(argument):
            return self._of_weights(name, argument, total, where, form)
        kind = attention_types([render(qualify(argument))], self.columns)[0].split("(")[0]
        if name in ("count_if", "countif"):
            key = render(self.scalar(argument))
            # As DuckDB has it: NULL of nothing, 0 of what is never true.
            return f"CAST({total(f'CASE WHEN {key} THEN __n ELSE 0 END')} AS BIGINT)"
        if kind.removeprefix("U") in _NUMBERS:
            column = self._measure(argument, name == "weighted_avg")
            if column:
                return of_measure(name, column, kind, total, filtered, form)
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
            return f"CAST({total(f'__n * {number}', known)} AS {sum_type(kind)})"
        if name in ("avg", "mean"):
            return f"({total(f'__n * {number}', known)} / {total('__n', known)})"
        if name == "weighted_avg":
            self.sums.add("weight")
            return weighted_share(kind, key, number, known, filtered, total, form)
        return f"{name}({key}){where}"

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
        bare = other_factor(argument)
        measure = self._measure(bare, weighted=True) if bare else None
        self.sums.add("weight")
        if measure:
            known = f"{measure}_n > 0"
            summed = total(f"{measure}_weighted{form}", known)
            return summed if name == "sum" else f"({summed} / {total(f'{measure}_n', known)})"
        constant, slope = line(argument, self.scalar)
        low = f"({slope}) * __weight_sum{form}"
        if form:
            choose = "least" if form == "_min" else "greatest"
            low = f"{choose}(({slope}) * __weight_sum_min, ({slope}) * __weight_sum_max)"
        each = f"({constant}) * __n + {low}"
        known = f"({constant}) + ({slope}) IS NOT NULL"
        summed = total(each, known)
        return summed if name == "sum" else f"({summed} / {total('__n', known)})"


def _column(name: str) -> Tree:
    return expression(f'"{name}"')
