"""Parts of a statement as DuckDB's parser sees them: made from SQL, walked, changed and rendered back."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from .dialect import locked_parser, serialised, walk

Tree = dict[str, Any]

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
    return _rendered([{**node, "alias": ""}])


def render_listed(nodes: Sequence[Tree]) -> str:
    """DuckDB's SQL of expressions as they stand after SELECT, at the price of one."""
    return _rendered([{**node, "alias": f"c{number}"} for number, node in enumerate(nodes)])


def _rendered(listed: list[Tree]) -> str:
    shell = {**_parsed("SELECT 1"), "select_list": listed}
    return render_statement(statement_of(shell)).removeprefix("SELECT ")


def render_statement(tree: Tree) -> str:
    """DuckDB's SQL of a statement."""
    return _deserialised(json.dumps(tree))


@lru_cache(maxsize=1 << 12)
def _deserialised(tree: str) -> str:
    with locked_parser() as parser:
        ((text,),) = parser.execute("SELECT json_deserialize_sql(?::VARCHAR::JSON)", [tree]).fetchall()
    return str(text)


def expression(sql: str) -> Tree:
    """The tree of an expression of our own making."""
    node: Tree = _parsed(f"SELECT {sql}")["select_list"][0]
    for part in walk(node):
        part["query_location_length"] = 0  # it stands nowhere in the user's statement
    return node


def table(sql: str) -> Tree:
    """The tree of what stands after FROM."""
    return _parsed(f"SELECT 1 FROM {sql}")["from_table"]  # type: ignore[no-any-return]


def _parsed(sql: str) -> Tree:
    return serialised(sql)["statements"][0]["node"]  # type: ignore[no-any-return]


def select(column: str, source: str, condition: Tree, scope: tuple[Tree, ...]) -> str:
    """SQL of a SELECT of one column under a condition, with the CTEs that the condition may name."""
    node = {**_parsed(f"SELECT {column} FROM {source}"), "where_clause": condition, "cte_map": {"map": list(scope)}}
    return render_statement(statement_of(node))


def statement_of(node: Tree) -> Tree:
    """A whole statement from a query node."""
    return {"error": False, "statements": [{"node": node}]}


def replace_children(node: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The same node with each expression directly below it changed."""
    node = copy.copy(node)
    for key, value in list(node.items()):
        node[key] = _changed(value, change)
    return node


def _changed(value: Any, change: Callable[[Tree], Tree]) -> Any:
    if isinstance(value, dict):
        if "class" in value:
            return value if value["class"] == "TYPE" else change(value)
        if "node" in value:
            return value  # a subquery
        return {key: _changed(child, change) for key, child in value.items()}
    if isinstance(value, list):
        return [_changed(child, change) for child in value]
    return value


def children(node: Tree) -> Iterator[Tree]:
    """The expressions directly below one, subqueries left out."""
    if node["class"] == "SUBQUERY":
        if isinstance(node.get("child"), dict):
            yield node["child"]
        return
    yield from _below(node)


def _below(value: Any) -> Iterator[Tree]:
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict) and "class" in child:
            if child["class"] != "TYPE":
                yield child
        elif isinstance(child, dict | list) and not (isinstance(child, dict) and "node" in child):
            yield from _below(child)


def columns_in(node: Tree) -> Iterator[tuple[str, ...]]:
    """Names of the columns in an expression, in lower case; subqueries left out."""
    if node["class"] == "COLUMN_REF":
        yield tuple(name.lower() for name in node["column_names"])
    for child in children(node):
        yield from columns_in(child)
