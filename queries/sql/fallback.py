"""A block as plain SQL over arcs: for what cells do not hold, such as a median. DuckDB joins, so it is slow."""

from .block import Question
from .dialect import RefusalError, attention_types
from .expression import QUANTITY_NAMES
from .statement import rebuilt
from .syntax import Tree, expression, render, replace_children, table
from .touched import qualified
from .tree import CONTACT_DISTANCE, CONTACT_SEPARATION, Columns

_INTEGERS = ("layer", "head", "source", "target")
_SEPARATION = "CAST(abs(CAST(attention.source AS INTEGER) - CAST(attention.target AS INTEGER)) AS INTEGER)"


def over_arcs(question: Question, columns: Columns) -> Tree:
    """The block's node over the tables `arcs`, `proteins`, `residues` and `pairs`.

    Raises
    ------
    RefusalError
        It asks for what arcs do not hold.
    """
    used: set[str] = set()

    def change(part: Tree) -> Tree:
        if part["class"] == "COLUMN_REF":
            return _column(part, question.cells.aliases, used)
        if part["class"] == "FUNCTION":
            part = _ours(part, columns)
        return replace_children(part, change)

    node = rebuilt(question.block.node, question.names, change)
    node["where_clause"] = change(node["where_clause"]) if node["where_clause"] else None
    node["from_table"] = table(_joined(used))
    return node


def _column(part: Tree, aliases: frozenset[str], used: set[str]) -> Tree:
    names = part["column_names"]
    first = names[0].lower()
    if len(names) > 1:
        used.add(first)
        return part
    if first == "reverse_weight":
        raise RefusalError("reverse_weight is not in the arcs", "leave it to avg, sum, min, max and conditions")
    if first in QUANTITY_NAMES:
        name = QUANTITY_NAMES[first]
        if name == "separation":
            return expression(_SEPARATION)
        used.update(("source", "target"))
        atom = name.split("_")[1]
        squares = " + ".join(
            f"(CAST(source.{atom}_{axis} AS DOUBLE) - CAST(target.{atom}_{axis} AS DOUBLE)) ** 2" for axis in "xyz"
        )
        distance = f"sqrt({squares})"
        if name.startswith("distance"):
            return expression(distance)
        return expression(
            f"CASE WHEN {_SEPARATION} < {CONTACT_SEPARATION} THEN FALSE ELSE {distance} < {CONTACT_DISTANCE} END"
        )
    if first in _INTEGERS:
        return expression(f"CAST(attention.{first} AS INTEGER)")
    if first in ("model", "protein", "weight"):
        return expression(f"attention.{first}")
    return part


def _ours(part: Tree, columns: Columns) -> Tree:
    """The aggregates that are not DuckDB's, in terms of its own."""
    name = part["function_name"].lower()
    arguments = [one["expression"] for one in part["arguments"]]
    if name not in ("avg", "mean", "weighted_avg") or len(arguments) != 1:
        return part
    kind = attention_types([render(qualified(arguments[0]))], columns)[0]
    value = render(arguments[0])
    if kind == "BOOLEAN":
        value = f"CAST(({value}) AS INTEGER)"
    if name != "weighted_avg":
        return {**part, "arguments": [{"name": "", "expression": expression(value)}]}
    conditions = [f"({value}) IS NOT NULL", *([render(part["filter"])] if part["filter"] else [])]
    known = f"FILTER (WHERE {' AND '.join(f'({one})' for one in conditions)})"
    weight = "CAST(weight AS DOUBLE)"
    return expression(f"(sum({weight} * ({value})) {known} / sum({weight}) {known})")


def _joined(used: set[str]) -> str:
    joined = "arcs AS attention"
    if used:
        joined += " JOIN proteins AS protein ON protein.id = attention.protein"
    for end in ("source", "target"):
        if end in used:
            joined += f" JOIN residues AS {end} ON {end}.protein_index = protein.protein_index"
            joined += f" AND {end}.pos = attention.{end}"
    if "pair" in used:
        joined += (
            " LEFT JOIN pairs AS pair ON pair.protein_index = protein.protein_index"
            " AND pair.source = attention.source AND pair.target = attention.target"
        )
    return joined
