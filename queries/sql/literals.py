"""Text in a condition that no row has, but for its case: `protein = '1aba_a'` where the store has 1ABA_A."""

import warnings
from collections.abc import Iterable, Iterator

import duckdb

from ...catalog.connection import identifier, literal
from .dialect import walk
from .syntax import Tree, children
from .tree import Columns

_EQUALITIES = ("COMPARE_EQUAL", "COMPARE_IN")


def warn_of_case(connection: duckdb.DuckDBPyConnection, trees: Iterable[Tree], columns: Columns) -> None:
    """Warn of text that a column is compared with and has in another case alone; the answer is as it was asked.

    Parameters
    ----------
    connection : with the catalog's tables
    trees : conditions, of DuckDB's parser
    columns : of the catalog
    """
    asked = dict.fromkeys(one for tree in trees for part in walk(tree) for one in _compared(part, columns))
    for table, column, text in asked:
        name = identifier(column)
        same = connection.execute(
            f"SELECT DISTINCT CAST({name} AS VARCHAR) AS value FROM {table} "
            f"WHERE lower(CAST({name} AS VARCHAR)) = lower({literal(text)}) ORDER BY value LIMIT 100"
        ).fetchall()
        found = [value for (value,) in same]
        if found and text not in found:
            what = "protein" if table == "proteins" else "residue" if table == "residues" else "pair"
            warnings.warn(f"no {what} has the {column} {text!r}: did you mean {found[0]!r}?", stacklevel=2)


def _compared(part: Tree, columns: Columns) -> Iterator[tuple[str, str, str]]:
    """Table, column and text of each comparison in a node for equality with text."""
    if part["type"] not in _EQUALITIES:
        return
    operands = list(children(part))
    texts = [node["literal"]["text"] for node in operands if node.get("literal", {}).get("kind") == "STRING"]
    for operand in operands:
        place = _place(operand, columns)
        if place is not None:
            yield from ((*place, text) for text in texts)


def _place(node: Tree, columns: Columns) -> tuple[str, str] | None:
    """The table and the column of text that a node names."""
    names = [str(name).lower() for name in node.get("column_names") or []]
    if names in (["protein"], ["protein", "id"]):
        return "proteins", "id"
    if len(names) != 2 or names[0] not in ("source", "target", "protein", "pair"):
        return None
    kinds = {name.lower(): (name, kind) for name, kind in columns.of(names[0]).items()}
    name, kind = kinds.get(names[1], ("", ""))
    table = {"protein": "proteins", "pair": "pairs"}.get(names[0], "residues")
    return (table, name) if kind.startswith(("VARCHAR", "ENUM")) else None
