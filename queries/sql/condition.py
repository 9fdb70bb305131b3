"""From the text of a predicate or where clause to a tree of one-ended terms and pair-level operations.

A clause is DuckDB SQL over `source.<column>`, `target.<column>`, `protein.<column>`, `pair.<column>`, `separation`,
`distance` (`distance_cb`), `distance_ca`, `contact` and `contact_ca`. Every maximal part of it that touches
one end only stays SQL and is left to DuckDB; what is above those parts is evaluated on pairs and is
therefore limited to the operations of `tree.Operation`.

Pair-level numbers are float64, as DuckDB's DOUBLE: integers beyond 2**53 are rounded, a DECIMAL is
computed in binary, and a NaN (0/0, infinity minus infinity) is a NULL. FLOAT results are rounded to FLOAT.
"""

from ...errors import QueryError
from .columns import BARE, ELSEWHERE, QUANTITY_NAMES, resolve
from .dialect import RefusalError, check_clause, read, types_of
from .literals import check_quotes
from .split import Splitter
from .syntax import COMPARISONS, Tree, expression, render, render_all, render_listed, replace_children
from .tree import Columns, Expression

#: Comparisons that hold somewhere in any store; of other columns nothing is known here but that they have values.
_COMPARE = {"aa": "= 'C'", "separation": ">= 6", "distance": "< 8", "distance_cb": "< 8", "distance_ca": "< 8"}


def parse(text: str, *, clause: str, columns: Columns) -> Expression:
    """Read, check and split a condition.

    Parameters
    ----------
    text : str
        A DuckDB expression.
    clause : str
        What to call it in messages: "predicate" or "where".
    columns : Columns
        Of the catalog.

    Returns
    -------
    Expression
        The clause as a tree of kind boolean.

    Raises
    ------
    QueryError
        The clause is not one boolean scalar expression, names what does not exist, or mixes both ends in a
        way that pairs are not evaluated in. The message quotes the clause and says the cure.
    """
    try:
        if not text.strip():
            raise RefusalError("it is empty", "write a condition, e.g. contact")
        splitter, types = _resolved(read(text), columns)
        if types[0] not in ("BOOLEAN", "NULL"):
            name = text.strip() if splitter.nodes[0]["class"] == "COLUMN_REF" else f"({' '.join(text.split())})"
            example = _COMPARE.get(name.split(".")[-1].lower(), "IS NOT NULL")
            raise RefusalError(f"its type is {types[0]}, not BOOLEAN", f"compare it, e.g. {name} {example}")
        return Expression(text, clause, splitter.split(types))
    except RefusalError as refusal:
        problem, cure = refusal.args
        raise QueryError(f"{clause} {quoted(text)} cannot be answered: {problem}; {cure}.") from refusal
    except RecursionError as error:
        raise QueryError(
            f"{clause} {quoted(text)} cannot be answered: it is nested too deeply; use IN (…) for long lists."
        ) from error


def quoted(text: str) -> str:
    """A clause for a message: in backquotes, on one line, not endless."""
    line = " ".join(text.split())
    return f"`{line if len(line) <= 300 else line[:299] + '…'}`"


def parse_value(node: Tree, *, clause: str, columns: Columns) -> tuple[Expression, str]:
    """Check and split an expression of any kind.

    Parameters
    ----------
    node : Tree
        Of DuckDB's parser.
    clause, columns
        As of `parse`.

    Returns
    -------
    expression, type
        The type is DuckDB's.

    Raises
    ------
    RefusalError
        It is not evaluated on pairs; the parts of it may be.
    """
    text = render(node)
    splitter, types = _resolved(node, columns)
    try:
        return Expression(text, clause, splitter.split(types)), types[0]
    except RefusalError:
        if not splitter.is_one_ended:
            raise
        # A date, a list: its text distinguishes as much, and is cast back.
        as_text, found = _resolved({**expression("CAST(NULL AS VARCHAR)"), "child": node}, columns)
        return Expression(text, clause, as_text.split(found)), types[0]


def _resolved(tree: Tree, columns: Columns) -> tuple[Splitter, list[str]]:
    """A clause ready to be split, and DuckDB's types of the splitter's nodes."""
    tree = without_quantifiers(tree)
    check_clause(tree)
    check_quotes(tree, columns, lambda name: name.lower() in {*QUANTITY_NAMES, *BARE, *ELSEWHERE})
    splitter = Splitter(_with_ends(tree, columns))
    asked = splitter.unknown
    found = dict(zip(asked, types_of(render_listed([splitter.nodes[place] for place in asked]), columns), strict=True))
    return splitter, [found.get(place, "BOOLEAN") for place in range(len(splitter.nodes))]


def _with_ends(node: Tree, columns: Columns) -> Tree:
    """The same expression with every column as "<end, listed or pair>"."<column as stored>"."""
    if node["class"] != "COLUMN_REF":
        return replace_children(node, lambda child: _with_ends(child, columns))
    return {**node, "column_names": list(resolve(node["column_names"], columns))}


def without_quantifiers(node: Tree) -> Tree:
    """The same expression with `= ANY([…])` and `<> ALL([…])` as IN, other comparisons with a list as OR.

    DuckDB's parser takes the list for a subquery, and has turned ALL into NOT ANY. Comparisons with what a subquery
    finds are left as they are.

    Raises
    ------
    RefusalError
        A list is not written out.
    """
    node = replace_children(node, without_quantifiers)
    members = _members(node)
    if members is None:
        return node
    operator = COMPARISONS.get(node["comparison_type"])
    value = render(node["child"])
    if operator is None:
        raise RefusalError("it compares with a list", f"write the comparisons one by one, e.g. {value} IN (1, 2)")
    texts = render_all(members)
    if not texts:
        sql = "FALSE"
    elif operator == "=":
        sql = f"{value} IN ({', '.join(texts)})"
    else:
        sql = " OR ".join(f"({value} {operator} {text})" for text in texts)
    place = {key: node[key] for key in ("alias", "query_location", "query_location_length")}
    return {**expression(f"({sql})"), **place}


def _members(node: Tree) -> list[Tree] | None:
    """What is in the list that a node compares with; None if it does not compare with one."""
    if node["class"] != "SUBQUERY" or node["subquery_type"] != "ANY":
        return None
    inner = node["subquery"]["node"]
    listed = inner["select_list"][0] if inner.get("select_list") else {}
    if listed.get("function_name") != "unnest" or inner["from_table"]["type"] != "EMPTY" or inner["where_clause"]:
        return None
    values = listed["arguments"][0]["expression"]
    if values["type"] == "ARRAY_CONSTRUCTOR":
        return list(values["children"])
    if values.get("function_name") != "list_value":
        text = ".".join(node["child"].get("column_names") or [render(node["child"])])
        raise RefusalError(
            f"{render(values)} is not written out", f"write list_contains({render(values)}, {text}), or {text} IN (…)"
        )
    return [argument["expression"] for argument in values["arguments"]]
