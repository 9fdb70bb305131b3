"""What parts of `attention` an expression of a block touches."""

from typing import Literal

from .dialect import RefusalError
from .expression import BARE, QUANTITY_NAMES, misplaced, qualified_names, unknown
from .statement import ATTENTION
from .syntax import Tree, children, columns_in, replace_children
from .tree import Columns

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
    return misplaced(name, columns) or unknown(name, name, listed, "columns", known=[*own, *qualified_names(columns)])


def touched(node: Tree, columns: Columns, aliases: frozenset[str]) -> frozenset[Part]:
    """All parts that an expression touches, subqueries left out; raises as `part_of` does."""
    if node["class"] == "COLUMN_REF":
        return frozenset({part_of(node, columns, aliases)})
    found: frozenset[Part] = frozenset()
    for child in children(node):
        found |= touched(child, columns, aliases)
    return found


def has_subquery(node: Tree) -> bool:
    """Whether there is a subquery anywhere below."""
    return node["class"] == "SUBQUERY" or any(has_subquery(child) for child in children(node))


def qualified(node: Tree) -> Tree:
    """The same expression with bare columns qualified by `attention`."""
    if node["class"] == "COLUMN_REF" and len(node["column_names"]) == 1:
        return {**node, "column_names": [ATTENTION, *node["column_names"]]}
    return replace_children(node, qualified)


def is_of(node: Tree, column: str) -> bool:
    """Whether an expression depends on one bare column and nothing else."""
    found = list(columns_in(node))
    return bool(found) and not has_subquery(node) and all(names == (column,) for names in found)
