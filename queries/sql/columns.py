"""Columns by the names that clauses and statements have for them, and the part of `attention` that each belongs to."""

from collections.abc import Iterable
from typing import Literal

from ...arguments import nearest
from .dialect import RefusalError
from .syntax import Tree, children, columns_in, replace_children
from .tree import Columns

#: The virtual table.
ATTENTION = "attention"

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
ELSEWHERE = {
    "weight": "a weight is no property of a pair: use threshold=… instead",
    "layer": "heads are distinguished in the result: select the layer there",
    "head": "heads are distinguished in the result: select the head there",
    "model": "one model is asked at a time: use model=… instead",
}
#: "head" is the model, the layer and the head; "alias" an output column of the block itself.
Part = Literal["weight", "reverse", "head", "protein", "pair", "alias"]

_WEIGHTS: dict[str, Part] = {"weight": "weight", "reverse_weight": "reverse"}
_HEAD = ("model", "layer", "head")
#: What `*` stands for.
ROW = ("model", "protein", "layer", "head", "source", "target", "weight")


def part_of(node: Tree, columns: Columns, aliases: frozenset[str]) -> Part:
    """The part that a column belongs to.

    Parameters
    ----------
    node : a COLUMN_REF, without the alias of `attention`
    columns : of the catalog
    aliases : the block's output columns, in lower case

    Raises
    ------
    RefusalError
        There is no such column.
    """
    names = node["column_names"]
    first = names[0].lower()
    if len(names) == 1:
        if first in _WEIGHTS:
            return _WEIGHTS[first]
        if first in _HEAD:
            return "head"
        if first == "protein":
            return "protein"
        if first in BARE or first in QUANTITY_NAMES:
            return "pair"
        if first in aliases:
            return "alias"
        raise _unknown(names[0], columns)
    if first == "protein":
        return "protein"
    if first in ("source", "target", "pair"):
        return "pair"
    raise RefusalError(
        f"there is no {'.'.join(names)} in attention",
        "its properties are source.…, target.…, protein.… and pair.…, and those of another table are joined to what "
        "is aggregated, as in `SELECT … FROM (SELECT protein, count(*) AS arcs FROM attention WHERE weight >= 0.3 "
        "GROUP BY protein) AS a JOIN proteins AS p ON p.id = a.protein`",
    )


def _unknown(name: str, columns: Columns) -> RefusalError:
    if name.lower() == ATTENTION:
        return RefusalError(f"{name} is the table itself", "name a column of it, e.g. weight, or count(*)")
    own = [*ROW, "reverse_weight", *QUANTITY_NAMES]
    listed = [*own, "source.…", "target.…", "protein.… and pair.…"]
    return misplacement(name, columns) or unknown_name(
        name, name, listed, "columns", known=[*own, *qualified_names(columns)]
    )


def parts_of(node: Tree, columns: Columns, aliases: frozenset[str]) -> frozenset[Part]:
    """All parts that an expression touches, subqueries left out; raises as `part_of` does."""
    if node["class"] == "COLUMN_REF":
        return frozenset({part_of(node, columns, aliases)})
    found: frozenset[Part] = frozenset()
    for child in children(node):
        found |= parts_of(child, columns, aliases)
    return found


def has_subquery(node: Tree) -> bool:
    """Whether there is a subquery anywhere below."""
    return node["class"] == "SUBQUERY" or any(has_subquery(child) for child in children(node))


def qualify(node: Tree) -> Tree:
    """The same expression with bare columns qualified by `attention`."""
    if node["class"] == "COLUMN_REF" and len(node["column_names"]) == 1:
        return {**node, "column_names": [ATTENTION, *node["column_names"]]}
    return replace_children(node, qualify)


def is_of(node: Tree, column: str) -> bool:
    """Whether an expression depends on one bare column and nothing else."""
    found = list(columns_in(node))
    return bool(found) and not has_subquery(node) and all(names == (column,) for names in found)


def resolve(parts: list[str], columns: Columns) -> tuple[str, str]:
    """What a column of a clause is of, "source", "target", "protein", "listed" or "pair", and its name as it is stored.

    Raises
    ------
    RefusalError
        There is no such column.
    """
    if len(parts) == 1:
        return _bare(parts[0], columns)
    tables = ("source", "target", "protein", "pair")
    end = parts[0].lower()
    if end not in tables:
        raise unknown_name(f"table {parts[0]}", parts[0], list(tables), "tables")
    if len(parts) > 2:
        raise RefusalError(f"{'.'.join(parts)} has too many parts", f"write {end}.<column>")
    name = _stored_name(parts[1], columns.of(end))
    if name is None:
        known = columns.with_values(end)
        raise unknown_name(f"{end}.{parts[1]}", parts[1], known, f"columns of {end}", f"{end}.")
    return "listed" if end == "pair" else end, name


def _stored_name(name: str, columns: Iterable[str]) -> str | None:
    """A column's name as it is stored; DuckDB's identifiers ignore case."""
    return next((column for column in columns if column.lower() == name.lower()), None)


def _bare(name: str, columns: Columns) -> tuple[str, str]:
    lower = name.lower()
    if lower in QUANTITY_NAMES:
        return "pair", QUANTITY_NAMES[lower]
    if lower in BARE:
        return lower, BARE[lower]
    if lower in ELSEWHERE:
        raise RefusalError(f"{name} is not part of the language", ELSEWHERE[lower])
    names = list(QUANTITY_NAMES) + list(BARE)
    raise misplacement(name, columns) or unknown_name(
        name, name, names, "names", known=names + qualified_names(columns)
    )


def misplacement(name: str, columns: Columns) -> RefusalError | None:
    """What to say of a bare name that is a column of residues or proteins; None if it is neither."""
    column = _stored_name(name, columns.of("source"))
    if column is not None:
        return RefusalError(f"{name} has no end", f"say source.{column} or target.{column}")
    column = _stored_name(name, columns.of("protein"))
    if column is not None:
        return RefusalError(f"{name} is a column of proteins", f"say protein.{column}")
    return None


def qualified_names(columns: Columns) -> list[str]:
    """Columns of residues and proteins of which something is known, as clauses name them."""
    return [f"{end}.{column}" for end in ("source", "target", "protein") for column in columns.with_values(end)]


def unknown_name(
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
