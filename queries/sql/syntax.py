"""Parts of a statement as DuckDB's parser sees them: made from SQL, walked, changed and rendered back.

A tree is a value. Nothing assigns to one: what changes a part returns a tree of its own, which shares with the old one
all that is the same.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .dialect import locked_parser, serialise

Tree = dict[str, Any]

#: Classes of nodes with no expression below them.
_LEAVES = ("COLUMN_REF", "CONSTANT")
_CONTAINERS = (dict, list)
#: So many expressions are rendered one by one.
_FEW = 8

#: Comparisons by the names that DuckDB's tree has for them.
COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}


def render(node: Tree) -> str:
    """DuckDB's SQL of an expression."""
    return _deserialise(_shell(node)).removeprefix("SELECT ")


def render_all(nodes: Sequence[Tree]) -> list[str]:
    """DuckDB's SQL of each of some expressions; of many, at the price of one."""
    if len(nodes) <= _FEW:  # which statement after statement has, so that they are kept
        return [render(node) for node in nodes]
    with locked_parser() as parser:
        sql = "SELECT json_deserialize_sql(tree::JSON) FROM unnest(?::VARCHAR[]) AS trees(tree)"
        rows = parser.execute(sql, [[_shell(node) for node in nodes]]).fetchall()
    return [str(text).removeprefix("SELECT ") for (text,) in rows]


def _shell(node: Tree) -> str:
    """A SELECT of one expression, as JSON."""
    return json.dumps(statement_of({**_parse("SELECT 1"), "select_list": [{**node, "alias": ""}]}))


def render_listed(nodes: Sequence[Tree]) -> str:
    """DuckDB's SQL of expressions as they stand after SELECT, separated by commas."""
    listed = [{**node, "alias": f"c{number}"} for number, node in enumerate(nodes)]
    shell = {**_parse("SELECT 1"), "select_list": listed}
    return render_statement(statement_of(shell)).removeprefix("SELECT ")


def render_statement(tree: Tree) -> str:
    """DuckDB's SQL of a statement."""
    return _deserialise(json.dumps(tree))


@lru_cache(maxsize=1 << 12)
def _deserialise(tree: str) -> str:
    with locked_parser() as parser:
        ((text,),) = parser.execute("SELECT json_deserialize_sql(?::VARCHAR::JSON)", [tree]).fetchall()
    return str(text)


def expression(sql: str) -> Tree:
    """The tree of an expression of our own making."""
    return transform(_parse(f"SELECT {sql}")["select_list"][0], _nowhere)


def _nowhere(value: Tree) -> Tree:
    """What stands nowhere in the user's statement."""
    return {**value, "query_location_length": 0} if "class" in value else value


def table(sql: str) -> Tree:
    """The tree of what stands after FROM."""
    return _parse(f"SELECT 1 FROM {sql}")["from_table"]  # type: ignore[no-any-return]


def _parse(sql: str) -> Tree:
    return serialise(sql)["statements"][0]["node"]  # type: ignore[no-any-return]


def select(column: str, source: str, condition: Tree, scope: tuple[Tree, ...]) -> str:
    """SQL of a SELECT of one column under a condition, with the CTEs that the condition may name."""
    node = {**_parse(f"SELECT {column} FROM {source}"), "where_clause": condition, "cte_map": {"map": list(scope)}}
    return render_statement(statement_of(node))


def statement_of(node: Tree) -> Tree:
    """A whole statement from a query node."""
    return {"error": False, "statements": [{"node": node}]}


def replace_children(node: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The same node with each expression directly below it changed, subqueries left out."""
    if isinstance(node, dict) and node.get("class") in _LEAVES:
        return node
    others = {}
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        if not child or not isinstance(child, _CONTAINERS):
            continue
        if isinstance(child, dict) and "class" in child:
            others[key] = child if child["class"] == "TYPE" else change(child)
        elif not (isinstance(child, dict) and "node" in child):
            below: Any = child
            others[key] = replace_children(below, change)
    changed: Tree = _with(node, others)
    return changed


def transform(value: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The same tree with every dictionary in it changed, those within before those around them."""
    others = {}
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        if child and isinstance(child, _CONTAINERS):
            below: Any = child
            others[key] = transform(below, change)
    value = _with(value, others)
    return change(value) if isinstance(value, dict) else value


def _with(value: Any, others: Mapping[Any, Any]) -> Any:
    """The same dictionary or list with other values at some keys or places; itself if they are no others."""
    if all(other is value[key] for key, other in others.items()):
        return value
    if isinstance(value, dict):
        return {**value, **others}
    return [others.get(place, child) for place, child in enumerate(value)]


def children(node: Tree) -> Iterator[Tree]:
    """The expressions directly below one, subqueries left out."""
    if node["class"] == "SUBQUERY":
        if isinstance(node.get("child"), dict):
            yield node["child"]
    elif node["class"] not in _LEAVES:
        yield from _below(node)


def _below(value: Any) -> Iterator[Tree]:
    for child in value.values() if isinstance(value, dict) else value:
        if not child or not isinstance(child, _CONTAINERS):
            continue
        if isinstance(child, dict) and "class" in child:
            if child["class"] != "TYPE":
                yield child
        elif not (isinstance(child, dict) and "node" in child):
            yield from _below(child)


def columns_in(node: Tree) -> Iterator[tuple[str, ...]]:
    """Names of the columns in an expression, in lower case; subqueries left out."""
    if node["class"] == "COLUMN_REF":
        yield tuple(name.lower() for name in node["column_names"])
    for child in children(node):
        yield from columns_in(child)
