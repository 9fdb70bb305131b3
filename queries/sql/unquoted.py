"""Text without single quotes, such as `target.aa = C` or `protein.family IN ("globin", "kinase")`.

DuckDB takes C and "C" for columns. Where such a name is compared with a column of text and is no column, the quotes
are what is missing.
"""

from collections.abc import Callable

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
        wrong = [name for operand in operands if (name := _bare(operand)) and not is_column(name)]
        text = next((operand for operand in operands if _is_text(operand, columns)), None)
        if text is None or not wrong:
            continue
        shown = [_shown(operand, wrong, of_letters=text["column_names"][-1].lower() == "aa") for operand in operands]
        members = f"({', '.join(shown[1:])})" if operator.endswith("IN") else shown[-1]
        raise RefusalError(
            f"{wrong[0]} is no column, and text stands in single quotes", f"write {shown[0]} {operator} {members}"
        )


def _bare(node: Tree) -> str | None:
    names: list[str] = node.get("column_names") or []
    return names[0] if len(names) == 1 else None


def _is_text(node: Tree, columns: Columns) -> bool:
    table, *rest = [str(name).lower() for name in node.get("column_names") or ("",)]
    if not rest:
        return table in ("protein", "model")
    kinds = {name.lower(): kind for name, kind in columns.of(table).items()}
    named = table in ("source", "target", "protein", "pair") and len(rest) == 1
    return named and kinds.get(rest[0], "").startswith(("VARCHAR", "ENUM"))


def _shown(node: Tree, wrong: list[str], *, of_letters: bool) -> str:
    name = _bare(node)
    if name is not None and name in wrong:
        text = name.strip(_CURLY).replace("'", "''")
        return f"'{text.upper() if of_letters else text}'"
    if node.get("column_names"):
        return ".".join(node["column_names"])
    literal = node.get("literal", {})
    return f"'{literal['text']}'" if literal.get("kind") == "STRING" else str(literal.get("text", "…"))
