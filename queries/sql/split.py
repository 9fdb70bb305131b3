"""Splits a resolved syntax tree into one-ended terms and the pair-level operations above them."""

from collections.abc import Mapping, Sequence
from typing import cast

from sqlglot import exp

from .dialect import PlainDuckDB, RefusalError
from .tree import End, Kind, Leaf, Node, Operation, Quantity, Table, Term

_TABLE_OF: dict[str, Table] = {
    "source": "residues",
    "target": "residues",
    "protein": "proteins",
    "separation": "separations",
    "listed": "pairs",
    "constant": "constant",
}
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "same",
    exp.NullSafeNEQ: "distinct",
}
_ORDERINGS = {"<", "<=", ">", ">="}
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_CHOICES: dict[type[exp.Expr], str] = {
    exp.Least: "least",
    exp.Greatest: "greatest",
    exp.Coalesce: "coalesce",
}
_STEPS: dict[type[exp.Expr], str] = {exp.Abs: "abs", exp.Neg: "negate", exp.Floor: "floor", exp.Ceil: "ceil"}
_CONNECTIVES: dict[type[exp.Expr], str] = {exp.And: "and", exp.Or: "or"}
_SUPPORTED = (
    *_CONNECTIVES,
    *_COMPARISONS,
    *_ARITHMETIC,
    *_CHOICES,
    exp.Paren,
    exp.Not,
    exp.Is,
    exp.Between,
    exp.In,
    *_STEPS,
)
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
_WORKS = (
    "AND, OR, NOT, comparisons, IS [NOT] DISTINCT FROM, BETWEEN, IN (…), IS [NOT] NULL, IS [NOT] TRUE,"
    " IS [NOT] FALSE, + - * /, abs, floor, ceil, least, greatest and coalesce;"
    " any other function works on one end alone"
)


def _ends(root: exp.Expr) -> dict[int, frozenset[str]]:
    """What each node touches, by its identity: an end, "separation", "pair" (a distance or contact), "listed"."""
    found: dict[int, frozenset[str]] = {}
    # Breadth-first backwards meets operands before operators, without recursion: a clause may be long.
    for node in reversed(list(root.bfs())):
        if isinstance(node, exp.Column):
            is_separation = (node.table, node.name) == ("pair", "separation")
            found[id(node)] = frozenset({"separation" if is_separation else node.table})
        else:
            found[id(node)] = frozenset().union(*(found[id(child)] for child in node.iter_expressions()))
    return found


class Splitter:
    """Splits one resolved tree, in two steps because the types come from DuckDB in between.

    Parameters
    ----------
    root : sqlglot.exp.Expr
        Every column is "source", "target", "protein", "listed" or "pair" dot a name as stored.

    Attributes
    ----------
    nodes : list of sqlglot.exp.Expr
        The root and the operands of each pair-level operation: those whose types are needed.
    """

    def __init__(self, root: exp.Expr) -> None:
        self._ends = _ends(root)
        self._types: Mapping[int, str] = {}
        self.nodes = [root]
        for node in self.nodes:
            # Appending to the list that is walked makes the walk breadth-first.
            if type(node) in _CONNECTIVES and self._is_mixed(node):
                self.nodes += self._chain(node)
            elif type(node) in _SUPPORTED and self._is_mixed(node):
                self.nodes += node.iter_expressions()

    def split(self, types: Sequence[str]) -> Node:
        """The tree of the whole, of whatever kind it is, given DuckDB's types of `nodes`.

        Raises
        ------
        RefusalError
            Ends meet in an operation that pairs are not evaluated in, or in values of two kinds.
        """
        self._types = {id(node): found for node, found in zip(self.nodes, types, strict=True)}
        root = self.nodes[0]
        return self._tree(root, self._kind(root) or "boolean")

    @property
    def is_one_ended(self) -> bool:
        """Whether the whole is one term."""
        return not self._is_mixed(self.nodes[0])

    def _is_mixed(self, node: exp.Expr) -> bool:
        ends = self._ends[id(node)]
        return len(ends) > 1 or ("pair" in ends and not isinstance(node, exp.Column))

    def _chain(self, node: exp.Expr) -> list[exp.Expr]:
        """Operands of a chain of one connective, down to the parts that touch one end only."""
        connective = type(node)
        operands, waiting = [], [node]
        while waiting:
            one = waiting.pop()
            if type(one) is connective and self._is_mixed(one):
                waiting += [one.expression, one.this]
            else:
                operands.append(one)
        return operands

    def _boolean(self, node: exp.Expr) -> Node:
        """The tree of a node that stands where a truth value is expected."""
        self._expect(node, "boolean", "compare it, e.g. {} = 1")
        return self._tree(node, "boolean")

    def _type(self, node: exp.Expr) -> str:
        return self._types[id(node)]

    def _kind(self, node: exp.Expr) -> Kind | None:
        """Kind of a node, None for an untyped NULL, which takes any."""
        name = self._type(node)
        if name.endswith("]"):
            raise self._unsupported(node)
        name = name.split("(")[0]
        if name == "NULL":
            return None
        if name == "BOOLEAN":
            return "boolean"
        if name.removeprefix("U") in _NUMBERS:
            return "number"
        if name in ("VARCHAR", "ENUM"):
            return "string"
        raise self._unsupported(node)

    def _unsupported(self, node: exp.Expr) -> RefusalError:
        return RefusalError(
            f"{_shown(node)} of type {self._type(node)} cannot meet the other end",
            "cast it to a number, VARCHAR or BOOLEAN",
        )

    def _expect(self, node: exp.Expr, kind: Kind, cure: str) -> None:
        found = self._kind(node)
        if found not in (kind, None):
            raise RefusalError(f"{_shown(node)} is a {found} where a {kind} is expected", cure.format(_shown(node)))

    def _tree(self, node: exp.Expr, kind: Kind) -> Node:
        if isinstance(node, exp.Paren):
            return self._tree(node.this, kind)
        if isinstance(node, exp.Column) and self._ends[id(node)] == {"pair"}:
            return Quantity(node.name)
        if not self._is_mixed(node):
            return _leaf(node, next(iter(self._ends[id(node)]), "constant"), kind)
        return self._operation(node, kind)

    def _operation(self, node: exp.Expr, kind: Kind) -> Node:
        if type(node) in _CONNECTIVES:
            operands = tuple(self._boolean(one) for one in self._chain(node))
            return Operation(_CONNECTIVES[type(node)], "boolean", operands)
        if isinstance(node, exp.Not):
            return Operation("not", "boolean", (self._boolean(node.this),))
        if isinstance(node, exp.Is):
            return self._is(node)
        if type(node) in _COMPARISONS:
            return self._compare(_COMPARISONS[type(node)], node.this, node.expression)
        if isinstance(node, exp.Between):
            value, low, high = self._ordered([node.this, node.args["low"], node.args["high"]])
            above, below = Operation(">=", "boolean", (value, low)), Operation("<=", "boolean", (value, high))
            return Operation("and", "boolean", (above, below))
        if isinstance(node, exp.In) and node.expressions:
            value, *members = self._alike([node.this, *node.expressions])
            equal = tuple(Operation("=", "boolean", (value, member)) for member in members)
            return equal[0] if len(equal) == 1 else Operation("or", "boolean", equal)
        if type(node) in _CHOICES:
            return self._choice(_CHOICES[type(node)], node, kind)
        if type(node) in _ARITHMETIC:
            return self._arithmetic(_ARITHMETIC[type(node)], node, (node.this, node.expression))
        if type(node) in _STEPS and set(node.args) <= {"this"} | {key for key, value in node.args.items() if not value}:
            return self._arithmetic(_STEPS[type(node)], node, (node.this,))
        raise RefusalError(
            f"{_shown(node)} mixes both ends of the pair in a way that is not supported", f"use {_WORKS}"
        )

    def _is(self, node: exp.Is) -> Node:
        if isinstance(node.expression, exp.Null):
            operand = self._tree(node.this, self._kind(node.this) or "boolean")
            return Operation("is null", "boolean", (operand,))
        if isinstance(node.expression, exp.Boolean):
            op = "is true" if node.expression.this else "is false"
            return Operation(op, "boolean", (self._boolean(node.this),))
        raise RefusalError(f"{_shown(node)} is not supported", f"use {_WORKS}")

    def _arithmetic(self, op: str, node: exp.Expr, operands: Sequence[exp.Expr]) -> Node:
        cure = "use numbers: a string is cast within its end, e.g. CAST({} AS DOUBLE)"
        for one in operands:
            self._expect(one, "number", cure)
        return Operation(op, "number", self._alike(operands, "number"), self._type(node) == "FLOAT")

    def _compare(self, op: str, left: exp.Expr, right: exp.Expr) -> Node:
        alike = self._ordered if op in _ORDERINGS else self._alike
        return Operation(op, "boolean", alike([left, right]))

    def _ordered(self, operands: Sequence[exp.Expr]) -> tuple[Node, ...]:
        """Operands that are to be compared by order: DuckDB orders an ENUM as it is declared."""
        types = {self._type(one) for one in operands}
        if len(types) > 1 or not types.pop().startswith("ENUM"):
            return self._alike(operands)
        strings = [self._tree(one, "string") for one in operands]
        codes = tuple(
            Leaf(one.end, Term(one.term.table, f"enum_code({one.term.sql})", "number"))
            for one in strings
            if isinstance(one, Leaf)
        )
        if len(codes) < len(strings):
            raise RefusalError("an ENUM is ordered across the ends", "cast each to VARCHAR, or compare with =")
        return codes

    def _choice(self, op: str, node: exp.Expr, kind: Kind) -> Node:
        operands = [node.this, *node.expressions]
        if op != "coalesce" and (kind == "boolean" or self._type(node).startswith("ENUM")):
            raise RefusalError(
                f"{op} of {self._type(node).split('(')[0]} values does not work across the ends",
                "use AND or OR, or cast each to VARCHAR or a number",
            )
        alike = self._alike(operands, kind)
        return alike[0] if len(alike) == 1 else Operation(op, kind, alike, self._type(node) == "FLOAT")

    def _alike(self, operands: Sequence[exp.Expr], kind: Kind = "boolean") -> tuple[Node, ...]:
        """Operands of one kind, `kind` where all are NULL, brought to FLOAT where DuckDB would."""
        kinds = {found for one in operands if (found := self._kind(one)) is not None}
        if len(kinds) > 1:
            raise RefusalError(
                f"{' and '.join(_shown(one) for one in operands)} are a {' and a '.join(sorted(kinds))}",
                "compare values of one kind: cast within one end, leave the quotes off numbers,"
                " compare a truth value with TRUE or FALSE",
            )
        kind = kinds.pop() if kinds else kind
        types = {self._type(one) for one in operands}
        nodes = [self._tree(one, kind) for one in operands]
        if "FLOAT" in types and "DOUBLE" not in types:
            # DuckDB rounds 0.1 to FLOAT before it compares it with one.
            nodes = [
                node if self._type(one) == "FLOAT" else _single(node) for node, one in zip(nodes, operands, strict=True)
            ]
        return tuple(nodes)


def _single(node: Node) -> Node:
    if isinstance(node, Leaf):
        term = Term(node.term.table, f"CAST({node.term.sql} AS FLOAT)", "number")
        return Leaf(node.end, term)
    return Operation("single", "number", (node,), single=True)


def _leaf(node: exp.Expr, touched: str, kind: Kind) -> Leaf:
    bare = node.transform(lambda one: exp.column(one.name, quoted=True) if isinstance(one, exp.Column) else one)
    end = cast(End, "pair" if touched == "listed" else touched)
    return Leaf(end, Term(_TABLE_OF[touched], bare.sql(dialect=PlainDuckDB, comments=False), kind))


def _shown(node: exp.Expr) -> str:
    """A part of a clause for a message, with the names as they are usually written."""

    def plain(one: exp.Expr) -> exp.Expr:
        if not isinstance(one, exp.Column):
            return one
        if one.table == "pair":
            return exp.column(one.name.removesuffix("_cb"))
        if one.table == "listed":
            return exp.column(one.name, table="pair")
        return exp.column(one.name, table=one.table)

    return node.transform(plain).sql(dialect=PlainDuckDB, comments=False)
