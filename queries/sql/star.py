"""`*`, `* EXCLUDE`, `* REPLACE`, `* RENAME`, `* LIKE` and COLUMNS(…) in a SELECT over `attention`, as single columns.

`*` stands for the columns that every row has: model, protein, layer, head, source, target and weight.
"""

from collections.abc import Sequence

import duckdb

from ...catalog.connection import identifier
from .dialect import RefusalError, locked_parser, reason, walk
from .statement import ATTENTION
from .syntax import Tree, expression, render, replace_children
from .touched import ROW

_ALL = f"* stands for {', '.join(ROW)}"


def is_star(item: Tree) -> bool:
    """Whether an item of a select list stands for several columns."""
    return any(node["class"] == "STAR" for node in walk(item))


def is_whole_row(item: Tree) -> bool:
    """Whether an item is `*`, whatever it leaves out or replaces, rather than COLUMNS(…)."""
    return bool(item["class"] == "STAR" and not item["columns"])


def single_columns(item: Tree, alias: str) -> list[tuple[str, Tree]]:
    """The name and the expression of each column that an item stands for.

    Parameters
    ----------
    item : for which :func:`is_star` holds
    alias : what the statement calls `attention`

    Raises
    ------
    RefusalError
        It names a column that `*` does not have, or another table.
    """
    if is_whole_row(item):
        return _whole_row(item, alias)
    stars = [node for node in walk(item) if node["class"] == "STAR"]
    # Of `COLUMNS(c -> …)` and `* LIKE '…'` the outermost star decides; a lambda has one of its own.
    names = _matched(stars[0] if stars[0]["columns"] else item, alias)
    if "\\" in item["alias"]:
        raise RefusalError("its alias is a pattern", f"name the columns one by one: {', '.join(names)}")
    return [(item["alias"] or name, _with_column(item, name)) for name in names]


def _whole_row(item: Tree, alias: str) -> list[tuple[str, Tree]]:
    relation = item["relation_name"].lower()
    if relation not in ("", alias.lower(), ATTENTION):
        raise RefusalError(f"{_ALL}, and {relation}.* for nothing", f"name the columns, e.g. {relation}.aa")
    excluded = {_bare(name) for name in item["exclude_list"]}
    replaced = {one["key"].lower(): one["value"] for one in item["replace_list"]}
    renamed = {_bare(one["key"]): one["value"] for one in item["rename_list"]}
    for name in (*excluded, *replaced, *renamed):
        if name not in ROW:
            raise RefusalError(f"{_ALL}, and not for {name}", f"leave {name} out, or select it after *")
    kept = [name for name in ROW if name not in excluded]
    if not kept:
        raise RefusalError("it leaves out every column", "keep one")
    return [(renamed.get(name, name), replaced.get(name, expression(name))) for name in kept]


def _bare(name: str | dict[str, str]) -> str:
    """A column's name, which the parser qualifies in some places."""
    return (name if isinstance(name, str) else name["column"]).lower()


def _matched(star: Tree, alias: str) -> Sequence[str]:
    """Names of the columns that DuckDB takes COLUMNS(…) or `* LIKE '…'` for."""
    columns = ", ".join(f"NULL AS {name}" for name in ROW)
    try:
        with locked_parser() as parser:
            found = parser.execute(
                f"SELECT {render({**star, 'alias': ''})} FROM (SELECT {columns}) AS {identifier(alias)}"
            )
            return [name for name, *_ in found.description]
    except duckdb.Error as error:
        raise RefusalError(f"{_ALL} ({reason(error)})", "name the columns") from error


def _with_column(item: Tree, name: str) -> Tree:
    """The item with a column in the place of its star."""
    if item["class"] == "STAR":
        return expression(name)
    operands = [one["expression"] for one in item.get("arguments", ())]
    if operands and operands[0]["class"] == "STAR" and not operands[0]["columns"]:
        return expression(name)  # `* LIKE '…'`
    return replace_children(item, lambda child: _with_column(child, name))
