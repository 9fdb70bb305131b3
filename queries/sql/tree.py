"""The tree that a clause is split into: one-ended terms below, pair-level operations above.

Everything here is a small frozen value without a parser or a database behind it, so that a tree travels
to a worker process as it is and serves as a key of a dictionary.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["boolean", "number", "string"]
End = Literal["source", "target", "protein", "separation", "pair", "constant"]
Table = Literal["residues", "proteins", "separations", "pairs", "constant"]

# What follows from the coordinates of a pair's residues.
QUANTITIES: dict[str, Kind] = {
    "distance_cb": "number",
    "distance_ca": "number",
    "contact_cb": "boolean",
    "contact_ca": "boolean",
}

# The atom whose coordinates a quantity is computed from.
ATOMS = {"distance_cb": "cb", "contact_cb": "cb", "distance_ca": "ca", "contact_ca": "ca"}

# Kleene codes of truth values: AND is the minimum, OR the maximum and NOT 2 − x.
FALSE, NULL, TRUE = 0, 1, 2


@dataclass(frozen=True)
class Term:
    """DuckDB SQL over the bare columns of one table: evaluated once for every row of it.

    A source and a target that ask the same thing share one term, which is why it does not name its end. The table
    `separations` has one column, `separation`, and a row for each that occurs; `pairs` has the pairs that someone
    listed, with their properties.
    """

    table: Table
    sql: str
    kind: Kind


@dataclass(frozen=True)
class Leaf:
    """A term seen from one end of the pair."""

    end: End
    term: Term

    @property
    def kind(self) -> Kind:
        return self.term.kind


@dataclass(frozen=True)
class Quantity:
    """One of `QUANTITIES`."""

    name: str

    @property
    def kind(self) -> Kind:
        return QUANTITIES[self.name]


@dataclass(frozen=True)
class Operation:
    """A pair-level operation on nodes.

    `op` is one of: and, or, not, =, <>, <, <=, >, >=, same, distinct (IS [NOT] DISTINCT FROM), is null,
    is true, is false, +, -, *, /, negate, abs, floor, ceil, least, greatest, coalesce, single (round to a FLOAT).
    `single` marks a result that DuckDB types as FLOAT and that is rounded to one.
    """

    op: str
    kind: Kind
    operands: tuple["Node", ...]
    single: bool = False


Node = Leaf | Quantity | Operation


def has_bare_distance(node: Node) -> bool:
    """Whether a number follows from a distance that is not rounded, so that it is another for every pair."""
    if isinstance(node, Quantity):
        return node.kind == "number"
    if not isinstance(node, Operation) or node.kind != "number" or node.op in ("floor", "ceil"):
        return False
    return any(has_bare_distance(operand) for operand in node.operands)


def leaves(node: Node) -> Iterator[Leaf | Quantity]:
    """The leaves and quantities below a node, left to right, repeats included."""
    if isinstance(node, Operation):
        for operand in node.operands:
            yield from leaves(operand)
    else:
        yield node


@dataclass(frozen=True)
class Columns:
    """Names of a catalog's columns with DuckDB's types, as pairs so that they serve as a key.

    Attributes
    ----------
    residues, proteins : of these tables
    pairs : the properties of listed pairs, without the columns that say which pair
    empty : (level, name) of properties of which no value is known, which are never suggested
    """

    residues: tuple[tuple[str, str], ...]
    proteins: tuple[tuple[str, str], ...]
    pairs: tuple[tuple[str, str], ...] = ()
    empty: frozenset[tuple[str, str]] = frozenset()

    def of(self, table: str) -> dict[str, str]:
        """Columns of what a clause calls "source", "target", "protein" or "pair"."""
        return dict({"protein": self.proteins, "pair": self.pairs}.get(table, self.residues))

    def with_values(self, table: str) -> list[str]:
        """Names of the columns of which something is known; `table` as in `of`."""
        level = table if table in ("protein", "pair") else "residue"
        return [name for name in self.of(table) if (level, name) not in self.empty]


@dataclass(frozen=True)
class Expression:
    """A clause that has been read, checked and split.

    Attributes
    ----------
    text : str
        The clause as it was written.
    clause : str
        What it is called in messages, "predicate" or "where".
    root : Node
        Of kind boolean, where it is a condition.
    """

    text: str
    clause: str
    root: Node

    @property
    def ends(self) -> frozenset[str]:
        """Which of "source", "target", "protein" and "pair" it depends on; none for a constant."""
        found = {leaf.end if isinstance(leaf, Leaf) else "pair" for leaf in leaves(self.root)}
        return frozenset({"pair" if end == "separation" else end for end in found} - {"constant"})

    @property
    def kind(self) -> Kind:
        """Of its values."""
        return self.root.kind

    @property
    def terms(self) -> tuple[Term, ...]:
        """The distinct terms to evaluate, in order of appearance."""
        return tuple(dict.fromkeys(leaf.term for leaf in leaves(self.root) if isinstance(leaf, Leaf)))

    @property
    def quantities(self) -> frozenset[str]:
        """Names of the pair quantities it needs."""
        return frozenset(leaf.name for leaf in leaves(self.root) if isinstance(leaf, Quantity))

    @property
    def atoms(self) -> frozenset[str]:
        """The atoms ("ca", "cb") whose coordinates it needs."""
        return frozenset(ATOMS[name] for name in self.quantities if name in ATOMS)


def one_end(clauses: Iterable[Expression]) -> str | None:
    """The one end, 'source' or 'target', that clauses depend on; None if both, or a quantity of the pair.

    What depends on neither can be asked of either: 'target'.
    """
    ends = frozenset().union(*(clause.ends for clause in clauses)) - {"protein"}
    if ends <= {"target"}:
        return "target"
    return "source" if ends == {"source"} else None
