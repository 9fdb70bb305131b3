"""From the text of a predicate or where clause to a tree of one-ended terms and pair-level operations.

A clause is DuckDB SQL over `source.<column>`, `target.<column>`, `protein.<column>`, `pair.<column>`, `separation`,
`distance` (`distance_cb`), `distance_ca`, `contact` and `contact_ca`. Every maximal part of it that touches
one end only stays SQL and is left to DuckDB; what is above those parts is evaluated on pairs and is
therefore limited to the operations of `tree.Operation`.

Pair-level numbers are float64, as DuckDB's DOUBLE: integers beyond 2**53 are rounded, a DECIMAL is
computed in binary, and a NaN (0/0, infinity minus infinity) is a NULL. FLOAT results are rounded to FLOAT.
"""

from collections.abc import Iterable

from ...arguments import nearest
from ...errors import QueryError
from .dialect import RefusalError, check, read, types_of
from .membership import without_quantifiers
from .split import Splitter
from .syntax import Tree, expression, render, render_listed, replace_children
from .tree import Columns, Expression
from .unquoted import check_quotes

QUANTITY_NAMES = {
    "separation": "separation",
    "distance": "distance_cb",
    "distance_cb": "distance_cb",
    "distance_ca": "distance_ca",
    "contact": "contact_cb",
    "contact_cb": "contact_cb",
    "contact_ca": "contact_ca",
}
BARE = {"protein": "id", "source": "pos", "target": "pos"}
_ELSEWHERE = {
    "weight": "a weight is no property of a pair: use threshold=… instead",
    "layer": "heads are told apart in the result: select the layer there",
    "head": "heads are told apart in the result: select the head there",
    "model": "one model is asked at a time: use model=… instead",
}
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
        # A date, a list: its text tells as much apart, and is cast back.
        as_text, found = _resolved({**expression("CAST(NULL AS VARCHAR)"), "child": node}, columns)
        return Expression(text, clause, as_text.split(found)), types[0]


def _resolved(tree: Tree, columns: Columns) -> tuple[Splitter, list[str]]:
    """A clause ready to be split, and DuckDB's types of the splitter's nodes."""
    tree = without_quantifiers(tree)
    check(tree)
    check_quotes(tree, columns, lambda name: name.lower() in {*QUANTITY_NAMES, *BARE, *_ELSEWHERE})
    splitter = Splitter(_with_ends(tree, columns))
    return splitter, types_of(render_listed(splitter.nodes), columns)


def _with_ends(node: Tree, columns: Columns) -> Tree:
    """The same expression with every column as "<end, listed or pair>"."<column as stored>"."""
    if node["class"] != "COLUMN_REF":
        return replace_children(node, lambda child: _with_ends(child, columns))
    return {**node, "column_names": list(_column(node["column_names"], columns))}


def _column(parts: list[str], columns: Columns) -> tuple[str, str]:
    if len(parts) == 1:
        return _bare(parts[0], columns)
    tables = ("source", "target", "protein", "pair")
    end = parts[0].lower()
    if end not in tables:
        raise unknown(f"table {parts[0]}", parts[0], list(tables), "tables")
    if len(parts) > 2:
        raise RefusalError(f"{'.'.join(parts)} has too many parts", f"write {end}.<column>")
    name = _stored(parts[1], columns.of(end))
    if name is None:
        known = columns.with_values(end)
        raise unknown(f"{end}.{parts[1]}", parts[1], known, f"columns of {end}", f"{end}.")
    return "listed" if end == "pair" else end, name


def _stored(name: str, columns: Iterable[str]) -> str | None:
    """A column's name as it is stored; DuckDB's identifiers do not tell cases apart."""
    return next((column for column in columns if column.lower() == name.lower()), None)


def _bare(name: str, columns: Columns) -> tuple[str, str]:
    lower = name.lower()
    if lower in QUANTITY_NAMES:
        return "pair", QUANTITY_NAMES[lower]
    if lower in BARE:
        return lower, BARE[lower]
    if lower in _ELSEWHERE:
        raise RefusalError(f"{name} is not part of the language", _ELSEWHERE[lower])
    names = list(QUANTITY_NAMES) + list(BARE)
    raise misplaced(name, columns) or unknown(name, name, names, "names", known=names + qualified_names(columns))


def misplaced(name: str, columns: Columns) -> RefusalError | None:
    """What to say of a bare name that is a column of residues or proteins; None if it is neither."""
    column = _stored(name, columns.of("source"))
    if column is not None:
        return RefusalError(f"{name} has no end", f"say source.{column} or target.{column}")
    column = _stored(name, columns.of("protein"))
    if column is not None:
        return RefusalError(f"{name} is a column of proteins", f"say protein.{column}")
    return None


def qualified_names(columns: Columns) -> list[str]:
    """Columns of residues and proteins of which something is known, as clauses name them."""
    return [f"{end}.{column}" for end in ("source", "target", "protein") for column in columns.with_values(end)]


def unknown(
    what: str, name: str, available: list[str], plural: str, prefix: str = "", known: list[str] | None = None
) -> RefusalError:
    """What to say of a name that there is not.

    Parameters
    ----------
    what, name : what is missing, and the name that was written
    available, plural : the names there are, and what they are called
    prefix : of the closest name, where it is suggested
    known : names to suggest one of, if not only those available
    """
    # A column is recognised without its end, too.
    called = {one.lower().split(".")[-1]: one for one in known or available}
    called |= {one.lower(): one for one in known or available}
    matched = nearest(name, called)
    closest = None if matched is None else called[matched]
    hint = f"did you mean {prefix}{closest}? The " if closest else "the "
    return RefusalError(f"there is no {what}", f"{hint}{plural} are {', '.join(available)}")
