"""SQL statements as DuckDB's own parser sees them, and the blocks over `attention` in them.

A statement is never rewritten as text: `json_serialize_sql` gives the tree, what asks about attention is replaced
in a tree of its own, and `json_deserialize_sql` renders the rest as it was. No second parser has a say in what the
outer statement means.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from ...arguments import check_text
from ...catalog_sql import check_one_select
from ...errors import QueryError
from ...runtime.faults import machine_error
from .columns import ATTENTION
from .condition import quoted
from .dialect import functions, locked_parser, reason, serialise, walk
from .syntax import Tree, children, render, transform

#: What columns of `attention` are called by; no alias or CTE may be.
RESERVED = ("source", "target", "protein", "pair")

#: A key of our own in the tree of a SELECT over `attention`: its number, by which it is found again.
_NUMBER = "attention_block"


@dataclass(frozen=True, eq=False)
class Block:
    """One SELECT over `attention`.

    Attributes
    ----------
    node : its tree
    alias : what the statement calls `attention` in it
    scope : CTEs that subqueries in it may name, outermost first
    place : "select" at the top of the statement, "table" in a CTE or a FROM clause, "value" anywhere else: where
        further columns would be in the way
    """

    node: Tree
    alias: str
    scope: tuple[Tree, ...]
    place: str

    @property
    def number(self) -> int:
        """The name that distinguishes it from the others of the statement."""
        return int(self.node[_NUMBER])

    @property
    def is_aggregated(self) -> bool:
        """Whether it gives a row a group rather than a row a pair and head."""
        node = self.node
        grouped = node["group_expressions"] or node["group_sets"] or node["aggregate_handling"] == "FORCE_AGGREGATES"
        if grouped or node["having"]:
            return True
        asked = [*node["select_list"], *order_expressions(node)]
        return any(contains_aggregate(item) for item in asked)


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement and the blocks in it, in an order in which each comes after those it may refer to."""

    sql: str
    tree: Tree
    blocks: tuple[Block, ...]

    def source(self, node: Tree) -> str:
        """The user's own words for a part of the tree."""
        # Of `a IS TRUE` the parser notes where IS TRUE stands: the operands complete it.
        spans = [
            (part["query_location"], part["query_location"] + part["query_location_length"])
            for part in walk(node)
            if part.get("query_location_length")
        ]
        begin, end = min(spans, default=(0, 0))[0], max((end for _, end in spans), default=0)
        text = self.sql.encode()[begin:end].decode(errors="replace")
        # Some parts are noted where they do not stand.
        rendered = render(node)
        sound = text.strip() and text.count("(") == text.count(")") and len(text) <= 2 * len(rendered)
        return text if sound else rendered

    def asks_attention(self, part: Tree, block: Block) -> bool:
        """Whether what a condition of a block compares with follows from other blocks."""
        return bool(block.scope) or ATTENTION in table_names(part)


def with_blocks(tree: Tree, answered: Mapping[int, Tree]) -> Tree:
    """The same tree with other nodes in the place of some blocks, by number."""
    if not answered:
        return tree
    return transform(tree, lambda node: answered[node[_NUMBER]] if node.get(_NUMBER) in answered else node)


def table_names(tree: Tree) -> set[str]:
    """Names after FROM in a tree, in lower case; those of CTEs among them."""
    return set(_tables_in(tree))


def _tables_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") == "BASE_TABLE":
            yield value["table_name"].lower()
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _tables_in(child)


def read_statement(sql: str) -> Statement:
    """Read exactly one SELECT.

    Raises
    ------
    QueryError
        It is something else, does not parse, or uses `attention` in a way that cannot be answered.
    """
    check_text("sql", sql)
    with locked_parser() as parser:
        try:
            statements = parser.extract_statements(sql)
        except duckdb.Error as error:
            raise machine_error(error, "answering the query") or QueryError(
                f"the query does not parse: {reason(error)}."
            ) from error
    check_one_select(statements)
    numbers = itertools.count()

    def numbered(node: Tree) -> Tree:
        is_block = _is_attention(node.get("from_table") or {})
        return {**node, _NUMBER: next(numbers)} if is_block else node

    tree = transform(serialise(sql), numbered)
    if tree["error"]:
        raise QueryError(
            f"the query {quoted(sql)} cannot be taken apart ({tree['error_message'].rstrip('.!')}): "
            "write PIVOT and the like around a plain SELECT."
        )
    for node in walk(tree):
        if node["class"] == "PARAMETER":
            raise QueryError("a query has no parameters: write the values themselves.")
    return Statement(sql, tree, tuple(_blocks(tree["statements"][0]["node"], (), "select")))


def is_aggregate(node: Tree) -> bool:
    """Whether a node is a call of an aggregate function, DuckDB's or ours."""
    return node["class"] == "FUNCTION" and node["function_name"].lower() in aggregates()


def contains_aggregate(node: Tree) -> bool:
    """Whether an expression aggregates; a subquery's own aggregates do not count."""
    return is_aggregate(node) or any(contains_aggregate(child) for child in children(node))


def contains_window(node: Tree) -> bool:
    """Whether an expression has a window function; those of a subquery do not count."""
    return node["class"] == "WINDOW" or any(contains_window(child) for child in children(node))


def names_output(part: Tree, names: Collection[str]) -> bool:
    """Whether an expression of ORDER BY is one of the output columns, given in lower case, by name or number."""
    found = part.get("column_names", ())
    return part["class"] in ("CONSTANT", "STAR") or (len(found) == 1 and found[0].lower() in names)


def rebuild(node: Tree, names: Sequence[str], change: Callable[[Tree], Tree]) -> Tree:
    """The same SELECT with all its expressions changed, except WHERE; output columns keep their names.

    Parameters
    ----------
    node : the tree of a SELECT
    names : of its output columns, which ORDER BY prefers to columns of a table
    change : from an expression to what takes its place
    """
    outputs = {name.lower() for name in names}

    def ordered(part: Tree) -> Tree:
        return part if names_output(part, outputs) else change(part)

    named = zip(names, node["select_list"], strict=True)
    return {
        **node,
        "select_list": [{**change(item), "alias": name} for name, item in named],
        "group_expressions": [change(part) for part in node["group_expressions"]],
        "having": change(node["having"]) if node["having"] else None,
        "qualify": change(node["qualify"]) if node["qualify"] else None,
        "modifiers": [_replace_ordering(modifier, ordered) for modifier in node["modifiers"]],
    }


def replace_expressions(node: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The same SELECT with every expression of it changed, in the order of `expressions_of`."""
    lists = {key: [change(part) for part in node[key]] for key in ("select_list", "group_expressions")}
    single = {key: change(node[key]) if node[key] else None for key in ("where_clause", "having", "qualify")}
    return {**node, **lists, **single, "modifiers": [_replace_ordering(one, change) for one in node["modifiers"]]}


def _replace_ordering(modifier: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The same ORDER BY or DISTINCT ON with its expressions changed; LIMIT as it is."""
    orders = [{**one, "expression": change(one["expression"])} for one in modifier.get("orders", ())]
    targets = [change(part) for part in modifier.get("distinct_on_targets") or ()]
    return modifier | ({"orders": orders} if orders else {}) | ({"distinct_on_targets": targets} if targets else {})


def order_expressions(node: Tree) -> list[Tree]:
    """What a SELECT orders by, and what it is DISTINCT ON."""
    found = []
    for modifier in node["modifiers"]:
        found += [order["expression"] for order in modifier.get("orders", ())]
        found += modifier.get("distinct_on_targets", ())
    return found


def _blocks(node: Tree, scope: tuple[Tree, ...], place: str) -> Iterator[Block]:
    """The blocks at and below a query node."""
    for entry in node["cte_map"]["map"]:
        _check_name(entry["key"], "a CTE")
        yield from _blocks(entry["value"]["query_node"], scope, "table")
        scope = (*scope, entry)
    if node["type"] == "SELECT_NODE":
        source = node["from_table"]
        for part in expressions_of(node):
            yield from _blocks_in_expression(part, scope)
        if not _is_attention(source):
            yield from _blocks_in_table(source, scope)
            return
        if source["column_name_alias"]:
            raise QueryError("the columns of attention cannot be renamed: leave out the list after its alias.")
        if source["sample"] or node["sample"]:
            raise QueryError("attention cannot be sampled: use WHERE, or sample the proteins in a subquery.")
        if source["alias"].lower() != ATTENTION:
            _check_name(source["alias"], "an alias")
        yield Block(node, source["alias"] or ATTENTION, scope, place)
        return
    for key in ("left", "right"):
        if isinstance(node.get(key), dict):
            yield from _blocks(node[key], scope, "value")
    for child in node.get("children") or ():
        yield from _blocks(child, scope, "value")


def expressions_of(node: Tree) -> Iterator[Tree]:
    """Every expression of a SELECT."""
    for key in ("select_list", "group_expressions"):
        yield from node[key]
    for key in ("where_clause", "having", "qualify"):
        if node[key]:
            yield node[key]
    yield from order_expressions(node)


def _blocks_in_expression(node: Tree, scope: tuple[Tree, ...]) -> Iterator[Block]:
    if node["class"] == "SUBQUERY":
        yield from _blocks(node["subquery"]["node"], scope, "value")
    for child in children(node):
        yield from _blocks_in_expression(child, scope)


def _blocks_in_table(source: Tree, scope: tuple[Tree, ...]) -> Iterator[Block]:
    kind = source["type"]
    if source["alias"].lower() == ATTENTION:
        _check_name(source["alias"], "an alias")
    if kind == "SUBQUERY":
        yield from _blocks(source["subquery"]["node"], scope, "table")
    elif kind == "JOIN":
        for side in ("left", "right"):
            if _is_attention(source[side]):
                raise QueryError(
                    "attention cannot be joined: aggregate it in a subquery or CTE, as in "
                    "`SELECT … FROM (SELECT protein, layer, head, avg(contact) AS c FROM attention GROUP BY ALL) AS a "
                    "JOIN proteins AS p ON p.id = a.protein`, and join that; its own properties are there as "
                    "source.<column>, target.<column> and protein.<column>."
                )
            yield from _blocks_in_table(source[side], scope)
        if source.get("condition"):
            yield from _blocks_in_expression(source["condition"], scope)
    elif kind == "PIVOT":
        if _is_attention(source["source"]):
            raise QueryError(
                "attention cannot be pivoted: aggregate it in a subquery, as in `SELECT * FROM (SELECT layer, head, "
                "avg(contact) AS c FROM attention GROUP BY ALL) PIVOT (first(c) FOR layer IN (0, 1))`, and pivot that."
            )
        yield from _blocks_in_table(source["source"], scope)
    elif kind == "SHOW_REF" and ATTENTION in table_names(source):
        raise QueryError(
            "attention cannot be described or summarized: `SELECT * FROM attention LIMIT 3` shows its columns, and "
            "`SELECT min(weight), avg(weight), max(weight) FROM attention` sums it up."
        )


def _is_attention(source: Tree) -> bool:
    """Whether what stands after FROM is the virtual table."""
    named = source.get("type") == "BASE_TABLE" and source["table_name"].lower() == ATTENTION
    return bool(named) and not source["schema_name"] and not source["catalog_name"]


def _check_name(name: str, what: str) -> None:
    if name.lower() in (*RESERVED, ATTENTION):
        raise QueryError(f"{what} cannot be called {name}, which names a part of attention: choose another name.")


def aggregates() -> frozenset[str]:
    """Names of aggregate functions."""
    known = functions().types
    return frozenset({"weighted_avg", *(name for name, kinds in known.items() if "aggregate" in kinds)})
