"""A block in canonical form: bare names of columns, single columns for `*`, lists as IN, and weights as float32.

`*`, `* EXCLUDE`, `* REPLACE`, `* RENAME`, `* LIKE` and COLUMNS(…) stand for columns that every row has: model, protein,
layer, head, source, target and weight.
"""

from collections.abc import Sequence

import duckdb

from ...catalog.connection import identifier
from ...errors import QueryError
from .columns import ATTENTION, QUANTITY_NAMES, ROW, has_subquery
from .condition import quoted, without_quantifiers
from .dialect import RefusalError, check_function, locked_parser, reason, walk
from .literals import check_quotes
from .statement import (
    Block,
    Statement,
    contains_aggregate,
    contains_window,
    is_aggregate,
    order_expressions,
    replace_expressions,
)
from .syntax import Tree, children, columns_in, expression, render, replace_children
from .tree import Columns

_ALL = f"* stands for {', '.join(ROW)}"


def canonical_node(statement: Statement, block: Block, columns: Columns) -> tuple[Tree, list[str]]:
    """The node of a block in canonical form, and the names of its output columns, as DuckDB would give them.

    Raises
    ------
    QueryError
        It calls what is no function of its arguments alone, or has `*` for what it does not stand for; the message
        quotes the part.
    """
    items = _single_items(statement, block)
    names = [name for name, _ in items]
    known = {*ROW, *QUANTITY_NAMES, "reverse_weight", *(name.lower() for name in names)}

    def checked(part: Tree) -> Tree:
        part = _without_alias(part, block.alias)
        _check_functions(statement, part)
        try:
            check_quotes(part, columns, lambda name: name.lower() in known)
        except RefusalError as refusal:
            raise refusal_error(statement, part, refusal) from refusal
        return part

    def changed(part: Tree) -> Tree:
        try:
            return _rounded(without_quantifiers(part))
        except RefusalError as refusal:
            raise refusal_error(statement, part, refusal) from refusal

    node = replace_expressions({**block.node, "select_list": [item for _, item in items]}, checked)
    _check_stars(statement, node)
    return _grouped_by_name(replace_expressions(node, changed)), names


def refusal_error(statement: Statement, part: Tree, refusal: RefusalError) -> QueryError:
    """What to raise where a part of a statement is refused."""
    problem, cure = refusal.args
    return QueryError(f"{quoted(statement.source(part))} cannot be answered: {problem}; {cure}.")


def _single_items(statement: Statement, block: Block) -> list[tuple[str, Tree]]:
    """Names and expressions of the select list; `*` becomes what it stands for."""
    items = []
    for item in block.node["select_list"]:
        if not _is_star(item):
            last = item["column_names"][-1] if item["class"] == "COLUMN_REF" else None
            items.append((item["alias"] or last or render(item), item))
            continue
        if _is_whole_row(item) and block.is_aggregated:
            raise QueryError("* does not go with aggregates: name the columns.")
        try:
            items += _single_columns(item, block.alias)
        except RefusalError as refusal:
            raise refusal_error(statement, item, refusal) from refusal
    return items


def _without_alias(part: Tree, alias: str) -> Tree:
    """`a.weight` as `weight`."""
    if part["class"] != "COLUMN_REF":
        return replace_children(part, lambda child: _without_alias(child, alias))
    first, *rest = part["column_names"]
    return {**part, "column_names": rest} if rest and first.lower() == alias.lower() else part


def _check_functions(statement: Statement, part: Tree) -> None:
    """Refuse functions that read anything but their arguments, or answer differently each time."""
    if part["class"] == "FUNCTION" and not is_aggregate(part):
        try:
            check_function(part)
        except RefusalError as refusal:
            raise refusal_error(statement, part, refusal) from refusal
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


def _grouped_by_name(node: Tree) -> Tree:
    """DuckDB does not take GROUP BY ALL with QUALIFY: the expressions that it stands for take its place."""
    if node["qualify"] is None or node["aggregate_handling"] != "FORCE_AGGREGATES":
        return node
    named = [
        {**item, "alias": ""}
        for item in node["select_list"]
        if not contains_aggregate(item) and not contains_window(item)
    ]
    if not named:
        return {**node, "group_expressions": [], "group_sets": []}
    sets = [list(range(len(named)))]
    return {**node, "group_expressions": named, "group_sets": sets, "aggregate_handling": "STANDARD_HANDLING"}


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


def _is_star(item: Tree) -> bool:
    """Whether an item of a select list stands for several columns."""
    return any(node["class"] == "STAR" for node in walk(item))


def _is_whole_row(item: Tree) -> bool:
    """Whether an item is `*`, whatever it leaves out or replaces, rather than COLUMNS(…)."""
    return bool(item["class"] == "STAR" and not item["columns"])


def _single_columns(item: Tree, alias: str) -> list[tuple[str, Tree]]:
    """The name and the expression of each column that an item stands for.

    Parameters
    ----------
    item : for which :func:`_is_star` holds
    alias : what the statement calls `attention`

    Raises
    ------
    RefusalError
        It names a column that `*` does not have, or another table.
    """
    if _is_whole_row(item):
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
