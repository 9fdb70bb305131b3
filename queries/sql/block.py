"""What one SELECT over `attention` asks: its conditions, by where each is evaluated, and its cells or rows."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...errors import QueryError
from .dialect import RefusalError, check_function, walk
from .expression import QUANTITY_NAMES, parse_value, quoted
from .membership import without_quantifiers
from .rewrite import Cells, FallbackError, Form
from .star import is_star, is_whole_row, single_columns
from .statement import (
    Block,
    Statement,
    contains_aggregate,
    expressions_of,
    is_aggregate,
    names_output,
    order_expressions,
    rebuilt,
)
from .syntax import Tree, children, columns_in, expression, render, replace_children, table
from .touched import ROW, has_subquery, touched
from .tree import Columns, Expression
from .unquoted import check_quotes

#: Operations in a condition, once its names are replaced: names of names may double at every step.
_MOST_PARTS = 10_000


@dataclass(frozen=True, eq=False)
class Question:
    """A block, taken apart.

    Attributes
    ----------
    block : Block
    cells : what cells or rows have to hold
    pairs : conditions that pairs are evaluated in
    proteins, heads : conditions on the protein; on model, layer and head
    weights : conditions on the weight and on nothing else
    left : conditions that are left to DuckDB, said of cells
    names : of the output columns
    fallback : why DuckDB has to answer over arcs; None where cells can
    """

    block: Block
    cells: Cells
    pairs: tuple[Expression, ...]
    proteins: tuple[Tree, ...]
    heads: tuple[Tree, ...]
    weights: tuple[Tree, ...]
    left: tuple[Tree, ...]
    names: tuple[str, ...]
    fallback: str | None

    @property
    def rows(self) -> bool:
        """Whether it gives a row a pair and head."""
        return self.cells.rows

    @property
    def names_model(self) -> bool:
        """Whether rows of several models can be told apart in the result."""
        node = self.block.node
        return any(("model",) in columns_in(part) for part in (*node["select_list"], *node["group_expressions"]))

    def approximate(self) -> tuple[str, ...]:
        """Output columns that follow from sums or extremes of weights."""
        named = zip(self.names, self.block.node["select_list"], strict=True)
        if not self.rows:
            return tuple(name for name, item in named if self.cells.is_approximate(item))
        weights = {("weight",), ("reverse_weight",)}
        return tuple(name for name, item in named if weights & set(columns_in(item)))

    def rewritten(self, relation: str, bounds: bool) -> Tree:
        """The block's node over a relation of cells or rows.

        Parameters
        ----------
        relation : its name
        bounds : append columns of the bounds of what is approximate
        """
        cells, approximate = self.cells, self.approximate()
        node = rebuilt(self.block.node, self.names, cells.value)
        node["from_table"] = {**table(f'"{relation}"'), "alias": self.block.alias}
        left = [cells.scalar(part) for part in self.left]
        node["where_clause"] = expression(" AND ".join(f"({render(part)})" for part in left)) if left else None
        if bounds:
            node["select_list"] += [
                {**self._bound(item, form), "alias": name + form}
                for name, item in zip(self.names, self.block.node["select_list"], strict=True)
                if name in approximate
                for form in ("_min", "_max")
            ]
        return node

    def _bound(self, item: Tree, form: Form) -> Tree:
        if not self.rows:
            return self.cells.value(item, form)
        if item["class"] == "COLUMN_REF":
            return expression(item["column_names"][0].lower() + form)
        return expression("CAST(NULL AS DOUBLE)")


def take_apart(statement: Statement, block: Block, columns: Columns) -> Question:
    """Read a block; its node is brought to canonical names.

    Raises
    ------
    QueryError
        It names what does not exist, or asks what cannot be answered; the message quotes the part.
    """
    try:
        return _taken_apart(statement, block, columns)
    except RecursionError as error:
        raise QueryError("the query is nested too deeply: use IN (…) for long lists, and fewer subqueries.") from error


def _taken_apart(statement: Statement, block: Block, columns: Columns) -> Question:
    node = block.node
    names = _expand(statement, node, block)
    named = {*ROW, *QUANTITY_NAMES, "reverse_weight", *(name.lower() for name in names)}
    for part in expressions_of(node):
        _strip_alias(part, block.alias)
        _check_functions(statement, part)
        try:
            check_quotes(part, columns, lambda name: name.lower() in named)
        except RefusalError as refusal:
            raise _refused(statement, part, refusal) from refusal
    _check_stars(statement, node)
    _change(node, lambda part: _listed(statement, part))
    _change(node, _rounded)
    _group_by_name(node)
    aliases = {item["alias"].lower(): item for item in node["select_list"] if item["alias"]}
    cells = Cells(columns, frozenset(aliases), rows=not block.is_aggregated and not _is_distinct(node))
    sorted_out: dict[str, list[Tree]] = {"proteins": [], "heads": [], "weights": [], "left": []}
    pairs: list[Expression] = []
    fallback = None
    for part in _conjuncts(node["where_clause"]):
        try:
            part = _inlined(part, aliases, columns, itertools.count())
            place, parsed = _place(part, cells)
        except FallbackError as error:
            fallback, place, parsed = f"of {quoted(statement.source(part))}, {error}", "left", None
        except RefusalError as refusal:
            raise _refused(statement, part, refusal) from refusal
        if parsed is not None:
            pairs.append(parsed)
        else:
            sorted_out[place].append(part)
    for part in _asked(node):
        try:
            if part["class"] != "STAR":
                cells.value(part)
        except FallbackError as error:
            fallback = f"of {quoted(statement.source(part))}, {error}"
        except RefusalError as refusal:
            raise _refused(statement, part, refusal) from refusal
    places = {place: tuple(parts) for place, parts in sorted_out.items()}
    return Question(block, cells, tuple(pairs), names=tuple(names), fallback=fallback, **places)


def _refused(statement: Statement, part: Tree, refusal: RefusalError) -> QueryError:
    problem, cure = refusal.args
    return QueryError(f"{quoted(statement.source(part))} cannot be answered: {problem}; {cure}.")


def _asked(node: Tree) -> list[Tree]:
    """Everything a block asks but its WHERE."""
    parts = [*node["select_list"], *(part for part in node["group_expressions"] if part["class"] != "CONSTANT")]
    parts += [node[key] for key in ("having", "qualify") if node[key]]
    names = {item["alias"].lower() for item in node["select_list"] if item["alias"]}
    return parts + [part for part in order_expressions(node) if not names_output(part, names)]


def _expand(statement: Statement, node: Tree, block: Block) -> list[str]:
    """Names of the output columns, as DuckDB would give them; `*` becomes what it stands for."""
    items, names = [], []
    for item in node["select_list"]:
        if not is_star(item):
            items.append(item)
            last = item["column_names"][-1] if item["class"] == "COLUMN_REF" else None
            names.append(item["alias"] or last or render(item))
            continue
        if is_whole_row(item) and block.is_aggregated:
            raise QueryError("* does not go with aggregates: name the columns.")
        try:
            for name, column in single_columns(item, block.alias):
                names.append(name)
                items.append(column)
        except RefusalError as refusal:
            raise _refused(statement, item, refusal) from refusal
    node["select_list"] = items
    return names


def _strip_alias(part: Tree, alias: str) -> None:
    """Turn `a.weight` into `weight`, in place."""
    if part["class"] == "COLUMN_REF":
        names = part["column_names"]
        if len(names) > 1 and names[0].lower() == alias.lower():
            part["column_names"] = names[1:]
    for child in children(part):
        _strip_alias(child, alias)


def _check_functions(statement: Statement, part: Tree) -> None:
    """Refuse functions that read anything but their arguments, or answer differently each time."""
    if part["class"] == "FUNCTION" and not is_aggregate(part):
        try:
            check_function(part)
        except RefusalError as refusal:
            raise _refused(statement, part, refusal) from refusal
    for child in children(part):
        _check_functions(statement, child)


def _check_stars(statement: Statement, node: Tree) -> None:
    """Refuse COLUMNS(…) outside of the select list: there it would stand for columns of our own, too."""
    elsewhere = [node[key] for key in ("where_clause", "having", "qualify") if node[key]]
    for part in (*elsewhere, *node["group_expressions"], *order_expressions(node)):
        by_all = part["class"] == "STAR" and not part["expr"]  # ORDER BY ALL
        if not by_all and any(one["class"] == "STAR" and one["columns"] for one in walk(part)):
            raise QueryError(
                f"{quoted(statement.source(part))} cannot be answered: COLUMNS(…) works in the select list alone; "
                "name the columns."
            )


def _change(node: Tree, change: Callable[[Tree], Tree]) -> None:
    """Change every expression of a SELECT, in place."""
    for key in ("where_clause", "having", "qualify"):
        if node[key]:
            node[key] = change(node[key])
    for key in ("select_list", "group_expressions"):
        node[key] = [change(part) for part in node[key]]
    for modifier in node["modifiers"]:
        for order in modifier.get("orders", ()):
            order["expression"] = change(order["expression"])


def _listed(statement: Statement, part: Tree) -> Tree:
    try:
        return without_quantifiers(part)
    except RefusalError as refusal:
        raise _refused(statement, part, refusal) from refusal


def _group_by_name(node: Tree) -> None:
    """DuckDB does not take GROUP BY ALL with QUALIFY: the expressions that it stands for take its place."""
    if node["qualify"] is None or node["aggregate_handling"] != "FORCE_AGGREGATES":
        return
    named = [
        {**item, "alias": ""}
        for item in node["select_list"]
        if not contains_aggregate(item) and not any(part["class"] == "WINDOW" for part in walk(item))
    ]
    node |= {"group_expressions": named, "group_sets": [list(range(len(named)))] if named else []}
    node["aggregate_handling"] = "STANDARD_HANDLING" if named else node["aggregate_handling"]


def _rounded(part: Tree) -> Tree:
    """What a weight is compared with becomes a float32 before anything else, whatever type it was written as."""
    part = replace_children(part, _rounded)
    compares = part["class"] in ("COMPARISON", "BETWEEN") or part["type"] in ("COMPARE_IN", "COMPARE_NOT_IN")
    operands = list(children(part))
    if not compares or not any(_is_weight(operand) for operand in operands):
        return part

    def rounded(operand: Tree) -> Tree:
        if _is_weight(operand) or any(columns_in(operand)) or has_subquery(operand):
            return operand
        place = {key: operand[key] for key in ("query_location", "query_location_length")}
        return {**expression(f"CAST({render(operand)} AS FLOAT)"), **place}

    return replace_children(part, rounded)


def _is_weight(part: Tree) -> bool:
    names = [name.lower() for name in part.get("column_names", ())]
    return names in (["weight"], ["reverse_weight"])


def _is_distinct(node: Tree) -> bool:
    return any(modifier["type"] == "DISTINCT_MODIFIER" for modifier in node["modifiers"])


def _conjuncts(where: Tree | None) -> list[Tree]:
    if where is None:
        return []
    if where["type"] == "CONJUNCTION_AND":
        return [part for child in where["children"] for part in _conjuncts(child)]
    return [where]


def _inlined(part: Tree, aliases: dict[str, Tree], columns: Columns, visited: Iterator[int]) -> Tree:
    """WHERE may name an output column of its own SELECT: its expression takes the name's place.

    Such an expression may itself name the output columns before it.
    """
    if next(visited) > _MOST_PARTS:
        raise RefusalError(
            f"the names in it stand for more than {_MOST_PARTS:,} operations", "compute them step by step in subqueries"
        )
    if part["class"] == "COLUMN_REF":
        if "alias" not in touched(part, columns, frozenset(aliases)):
            return part
        name = part["column_names"][0].lower()
        before = dict(itertools.takewhile(lambda entry: entry[0] != name, aliases.items()))
        return _inlined({**aliases[name], "alias": ""}, before, columns, visited)
    if is_aggregate(part):
        raise RefusalError("WHERE comes before aggregates", "put the condition on them into HAVING")
    return replace_children(part, lambda child: _inlined(child, aliases, columns, visited))


def _place(part: Tree, cells: Cells) -> tuple[str, Expression | None]:
    """Where a condition is evaluated."""
    if part["class"] == "WINDOW":
        raise RefusalError("WHERE comes before window functions", "put the condition into QUALIFY")
    parts = touched(part, cells.columns, frozenset())
    if parts and parts <= {"head"}:
        return "heads", None
    if parts == {"protein"}:
        return "proteins", None
    if has_subquery(part):
        raise RefusalError(
            "a subquery in WHERE is about the protein, or about model, layer and head, and nothing else",
            "write e.g. protein IN (SELECT id FROM proteins WHERE …)",
        )
    if parts == {"weight"}:
        return "weights", None
    if parts and parts <= {"pair", "protein"}:
        try:
            parsed, kind = parse_value(part, clause="query", columns=cells.columns)
        except RefusalError:
            if part["class"] == "COLUMN_REF":
                raise
        else:
            if kind not in ("BOOLEAN", "NULL"):
                raise RefusalError(f"its type is {kind}, not BOOLEAN", "compare it with something")
            return "pairs", parsed
    cells.scalar(part)
    return "left", None
