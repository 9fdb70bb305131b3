"""Text in a condition that is not what was meant: without single quotes, or in a case that no row has.

DuckDB takes C and "C" for columns, as in `target.aa = C` or `protein.family IN ("globin", "kinase")`: where such a name
is compared with a column of text and is no column, the quotes are what is missing. `protein = '1aba_a'` where the
store has 1ABA_A is asked as it is written, with a warning.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator

import duckdb

from ...catalog.connection import identifier, literal
from .dialect import RefusalError, walk
from .syntax import COMPARISONS, Tree, children
from .tree import Columns

_OPERATORS = {
    **COMPARISONS,
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_LISTS = {"COMPARE_IN": "IN", "COMPARE_NOT_IN": "NOT IN"}
_MATCHES = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE", "~~~": "GLOB"}
#: Quotes of a word processor, which DuckDB takes for letters.
_CURLY = "‘’‚‛“”„‟`´"
_EQUALITIES = ("COMPARE_EQUAL", "COMPARE_IN")


def check_quotes(node: Tree, columns: Columns, is_column: Callable[[str], bool]) -> None:
    """Refuse text without single quotes.

    Parameters
    ----------
    node : of DuckDB's parser
    columns : of the catalog
    is_column : whether a bare name is a column, or an alias of one

    Raises
    ------
    RefusalError
        The cure is the comparison with the quotes in place.
    """
    for part in walk(node):
        operator = _OPERATORS.get(part["type"]) or _LISTS.get(part["type"])
        if part["class"] == "FUNCTION":
            operator = _MATCHES.get(part["function_name"])
        if operator is None:
            continue
        operands = list(children(part))
        wrong = [name for operand in operands if (name := _bare_name(operand)) and not is_column(name)]
        text = next((operand for operand in operands if _is_text(operand, columns)), None) if wrong else None
        if text is None:
            continue
        shown = [_shown(operand, wrong, of_letters=text["column_names"][-1].lower() == "aa") for operand in operands]
        members = f"({', '.join(shown[1:])})" if operator.endswith("IN") else shown[-1]
        raise RefusalError(
            f"{wrong[0]} is no column, and text stands in single quotes", f"write {shown[0]} {operator} {members}"
        )


def _bare_name(node: Tree) -> str | None:
    names: list[str] = node.get("column_names") or []
    return names[0] if len(names) == 1 else None


def _is_text(node: Tree, columns: Columns) -> bool:
    return _bare_name(node) == "model" or _place(node, columns) is not None


def _shown(node: Tree, wrong: list[str], *, of_letters: bool) -> str:
    name = _bare_name(node)
    if name is not None and name in wrong:
        text = name.strip(_CURLY).replace("'", "''")
        return f"'{text.upper() if of_letters else text}'"
    if node.get("column_names"):
        return ".".join(node["column_names"])
    literal = node.get("literal", {})
    return f"'{literal['text']}'" if literal.get("kind") == "STRING" else str(literal.get("text", "…"))


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
