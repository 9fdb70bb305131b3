"""What one SELECT over `attention` asks: its conditions, by where each is evaluated, and its cells or rows."""

import itertools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ...arguments import CONTACT_DISTANCE, CONTACT_SEPARATION
from ...errors import QueryError
from .aggregates import Form
from .canonical_form import canonical_node, refusal_error
from .columns import QUANTITY_NAMES, has_subquery, parts_of, qualify
from .condition import parse_value, quoted
from .dialect import FallbackError, RefusalError, attention_types
from .rewrite import Cells
from .statement import (
    Block,
    Statement,
    expressions_of,
    is_aggregate,
    names_output,
    order_expressions,
    rebuild,
    with_blocks,
)
from .syntax import Tree, columns_in, expression, render, render_all, replace_children, table
from .tree import Columns, Expression

_INTEGERS = ("layer", "head", "source", "target")
_SEPARATION = "CAST(abs(CAST(attention.source AS INTEGER) - CAST(attention.target AS INTEGER)) AS INTEGER)"

_BOUNDS: tuple[Form, Form] = ("_min", "_max")

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
    left : conditions that are left to DuckDB, rewritten for cells
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
        """Whether rows of several models can be distinguished in the result."""
        node = self.block.node
        return any(("model",) in columns_in(part) for part in (*node["select_list"], *node["group_expressions"]))

    def approximate(self) -> tuple[str, ...]:
        """Output columns that follow from sums or extremes of weights."""
        named = zip(self.names, self.block.node["select_list"], strict=True)
        if not self.rows:
            return tuple(name for name, item in named if self.cells.is_approximate(item))
        weights = {("weight",), ("reverse_weight",)}
        return tuple(name for name, item in named if weights & set(columns_in(item)))

    def with_blocks(self, answered: Mapping[int, Tree]) -> "Question":
        """The same question with other nodes in the place of blocks that its subqueries name, by number."""
        if not answered:
            return self
        node = with_blocks(self.block.node, answered)
        scope = tuple(with_blocks(entry, answered) for entry in self.block.scope)
        if node is self.block.node and all(map(operator.is_, scope, self.block.scope)):
            return self
        proteins, heads, left = (
            tuple(with_blocks(part, answered) for part in parts) for parts in (self.proteins, self.heads, self.left)
        )
        block = replace(self.block, node=node, scope=scope)
        return replace(self, block=block, proteins=proteins, heads=heads, left=left)

    def rewrite(self, relation: str, *, bounds: bool, ranked: bool = False) -> Tree:
        """The block's node over a relation of cells or rows.

        Parameters
        ----------
        relation : its name
        bounds : append columns of the bounds of what is approximate
        ranked : order rows by the place that they were found to have, `__rank`: rows that tie keep their order
        """
        cells, approximate = self.cells, self.approximate()
        node = rebuild(self.block.node, self.names, cells.value)
        left = [cells.scalar(part) for part in self.left]
        beside = [
            {**self._bound(item, form), "alias": name + form}
            for name, item in zip(self.names, self.block.node["select_list"], strict=True)
            if bounds and name in approximate
            for form in _BOUNDS
        ]
        return {
            **node,
            "select_list": [*node["select_list"], *beside],
            "from_table": {**table(f'"{relation}"'), "alias": self.block.alias},
            "where_clause": expression(" AND ".join(f"({text})" for text in render_all(left))) if left else None,
            "modifiers": [_by_rank(one) if ranked else one for one in node["modifiers"]],
        }

    def _bound(self, item: Tree, form: Form) -> Tree:
        if not self.rows:
            return self.cells.value(item, form)
        if item["class"] == "COLUMN_REF":
            return expression(item["column_names"][0].lower() + form)
        return expression("CAST(NULL AS DOUBLE)")


def take_apart(statement: Statement, block: Block, columns: Columns) -> Question:
    """Read a block; that of the question has canonical names.

    Raises
    ------
    QueryError
        It names what does not exist, or asks what cannot be answered; the message quotes the part.
    """
    try:
        return _take_apart(statement, block, columns)
    except RecursionError as error:
        raise QueryError("the query is nested too deeply: use IN (…) for long lists, and fewer subqueries.") from error


def _take_apart(statement: Statement, block: Block, columns: Columns) -> Question:
    node, names = canonical_node(statement, block, columns)
    block = replace(block, node=node)
    aliases = {item["alias"].lower(): item for item in node["select_list"] if item["alias"]}
    cells = Cells(columns, frozenset(aliases), rows=not block.is_aggregated and not _is_distinct(node))
    sorted_out: dict[str, list[Tree]] = {"proteins": [], "heads": [], "weights": [], "left": []}
    pairs: list[Expression] = []
    fallback = None
    for part in _conjuncts(node["where_clause"]):
        try:
            part = _inline(part, aliases, columns, itertools.count())
            place, parsed = _place(part, cells)
        except FallbackError as error:
            fallback, place, parsed = f"of {quoted(statement.source(part))}, {error}", "left", None
        except RefusalError as refusal:
            raise refusal_error(statement, part, refusal) from refusal
        if parsed is not None:
            pairs.append(parsed)
        else:
            sorted_out[place].append(part)
    for part in _parts_but_where(node):
        try:
            if part["class"] != "STAR":
                cells.value(part)
        except FallbackError as error:
            fallback = f"of {quoted(statement.source(part))}, {error}"
        except RefusalError as refusal:
            raise refusal_error(statement, part, refusal) from refusal
    places = {place: tuple(parts) for place, parts in sorted_out.items()}
    return Question(block, cells, tuple(pairs), names=tuple(names), fallback=fallback, **places)


def _parts_but_where(node: Tree) -> list[Tree]:
    """Everything a block asks but its WHERE."""
    parts = [*node["select_list"], *(part for part in node["group_expressions"] if part["class"] != "CONSTANT")]
    parts += [node[key] for key in ("having", "qualify") if node[key]]
    names = {item["alias"].lower() for item in node["select_list"] if item["alias"]}
    return parts + [part for part in order_expressions(node) if not names_output(part, names)]


def _is_distinct(node: Tree) -> bool:
    return any(modifier["type"] == "DISTINCT_MODIFIER" for modifier in node["modifiers"])


def _conjuncts(where: Tree | None) -> list[Tree]:
    if where is None:
        return []
    if where["type"] == "CONJUNCTION_AND":
        return [part for child in where["children"] for part in _conjuncts(child)]
    return [where]


def _inline(part: Tree, aliases: dict[str, Tree], columns: Columns, visited: Iterator[int]) -> Tree:
    """WHERE may name an output column of its own SELECT: its expression takes the name's place.

    Such an expression may itself name the output columns before it.
    """
    if next(visited) > _MOST_PARTS:
        raise RefusalError(
            f"the names in it stand for more than {_MOST_PARTS:,} operations", "compute them step by step in subqueries"
        )
    if part["class"] == "COLUMN_REF":
        if "alias" not in parts_of(part, columns, frozenset(aliases)):
            return part
        name = part["column_names"][0].lower()
        before = dict(itertools.takewhile(lambda entry: entry[0] != name, aliases.items()))
        return _inline({**aliases[name], "alias": ""}, before, columns, visited)
    if is_aggregate(part):
        raise RefusalError("WHERE comes before aggregates", "put the condition on them into HAVING")
    return replace_children(part, lambda child: _inline(child, aliases, columns, visited))


def _place(part: Tree, cells: Cells) -> tuple[str, Expression | None]:
    """Where a condition is evaluated."""
    if part["class"] == "WINDOW":
        raise RefusalError("WHERE comes before window functions", "put the condition into QUALIFY")
    parts = parts_of(part, cells.columns, frozenset())
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


def _by_rank(modifier: Tree) -> Tree:
    if modifier["type"] != "ORDER_MODIFIER":
        return modifier
    rank = {"type": "ORDER_DEFAULT", "null_order": "ORDER_DEFAULT", "expression": expression("__rank")}
    return {**modifier, "orders": [rank]}


def over_arcs(question: Question, columns: Columns) -> Tree:
    """The block's node over the tables `arcs`, `proteins`, `residues` and `pairs`.

    It is for what cells do not hold, such as a median. DuckDB joins, so it is slow.

    Raises
    ------
    RefusalError
        It asks for what arcs do not hold.
    """

    def change(part: Tree) -> Tree:
        if part["class"] == "COLUMN_REF":
            return _arc_column(part)
        if part["class"] == "FUNCTION":
            part = _arc_aggregate(part, columns)
        return replace_children(part, change)

    node = rebuild(question.block.node, question.names, change)
    node = {**node, "where_clause": change(node["where_clause"]) if node["where_clause"] else None}
    used = {names[0] for part in expressions_of(node) for names in columns_in(part) if len(names) > 1}
    return {**node, "from_table": table(_join(used))}


def _arc_column(part: Tree) -> Tree:
    """A column of `attention` over arcs joined with residues."""
    names = part["column_names"]
    first = names[0].lower()
    if len(names) > 1:
        return part
    if first == "reverse_weight":
        raise RefusalError("reverse_weight is not in the arcs", "leave it to avg, sum, min, max and conditions")
    if first in QUANTITY_NAMES:
        name = QUANTITY_NAMES[first]
        if name == "separation":
            return expression(_SEPARATION)
        atom = name.split("_")[1]
        squares = " + ".join(
            f"(CAST(source.{atom}_{axis} AS DOUBLE) - CAST(target.{atom}_{axis} AS DOUBLE)) ** 2" for axis in "xyz"
        )
        distance = f"sqrt({squares})"
        if name.startswith("distance"):
            return expression(distance)
        return expression(
            f"CASE WHEN {_SEPARATION} < {CONTACT_SEPARATION} THEN FALSE ELSE {distance} < {CONTACT_DISTANCE} END"
        )
    if first in _INTEGERS:
        return expression(f"CAST(attention.{first} AS INTEGER)")
    if first in ("model", "protein", "weight"):
        return expression(f"attention.{first}")
    return part


def _arc_aggregate(part: Tree, columns: Columns) -> Tree:
    """The aggregates that are not DuckDB's, in terms of its own."""
    name = part["function_name"].lower()
    arguments = [one["expression"] for one in part["arguments"]]
    if name not in ("avg", "mean", "weighted_avg") or len(arguments) != 1:
        return part
    kind = attention_types([render(qualify(arguments[0]))], columns)[0]
    value = render(arguments[0])
    if kind == "BOOLEAN":
        value = f"CAST(({value}) AS INTEGER)"
    if name != "weighted_avg":
        return {**part, "arguments": [{"name": "", "expression": expression(value)}]}
    conditions = [f"({value}) IS NOT NULL", *([render(part["filter"])] if part["filter"] else [])]
    known = f"FILTER (WHERE {' AND '.join(f'({one})' for one in conditions)})"
    weight = "CAST(weight AS DOUBLE)"
    return expression(f"(sum({weight} * ({value})) {known} / sum({weight}) {known})")


def _join(used: set[str]) -> str:
    joined = "arcs AS attention"
    if used:
        joined += " JOIN proteins AS protein ON protein.id = attention.protein"
    for end in ("source", "target"):
        if end in used:
            joined += f" JOIN residues AS {end} ON {end}.protein_index = protein.protein_index"
            joined += f" AND {end}.pos = attention.{end}"
    if "pair" in used:
        joined += (
            " LEFT JOIN pairs AS pair ON pair.protein_index = protein.protein_index"
            " AND pair.source = attention.source AND pair.target = attention.target"
        )
    return joined
