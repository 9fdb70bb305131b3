"""Splits a resolved syntax tree into one-ended terms and the pair-level operations above them."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import cast

from .dialect import RefusalError
from .syntax import COMPARISONS, Tree, children, render, render_all, replace_children
from .tree import End, Kind, Leaf, Node, Operation, Quantity, Table, Term

_TABLE_OF: dict[str, Table] = {
    "source": "residues",
    "target": "residues",
    "protein": "proteins",
    "separation": "separations",
    "listed": "pairs",
    "constant": "constant",
}
_COMPARISONS = {**COMPARISONS, "COMPARE_NOT_DISTINCT_FROM": "same", "COMPARE_DISTINCT_FROM": "distinct"}
_ORDERINGS = {"<", "<=", ">", ">="}
_CONNECTIVES = {"CONJUNCTION_AND": "and", "CONJUNCTION_OR": "or"}
_TESTS = {"OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"}
#: Functions by the name and number of arguments that DuckDB's tree has for them.
_ARITHMETIC = {
    ("+", 2): "+",
    ("-", 2): "-",
    ("*", 2): "*",
    ("/", 2): "/",
    ("-", 1): "negate",
    ("abs", 1): "abs",
    ("@", 1): "abs",
    ("floor", 1): "floor",
    ("ceil", 1): "ceil",
    ("ceiling", 1): "ceil",
}
#: A string or a name in quotes, as DuckDB writes them.
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_CHOICES = ("least", "greatest")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
_WORKS = (
    "AND, OR, NOT, comparisons, IS [NOT] DISTINCT FROM, BETWEEN, IN (…), IS [NOT] NULL, IS [NOT] TRUE,"
    " IS [NOT] FALSE, + - * /, abs, floor, ceil, least, greatest and coalesce;"
    " any other function works on one end alone"
)


class Splitter:
    """Splits one resolved tree, in two steps because the types come from DuckDB in between.

    Parameters
    ----------
    root : Tree
        Of DuckDB's parser. Every column is "source", "target", "protein", "listed" or "pair" dot a name as stored.

    Attributes
    ----------
    nodes : list of Tree
        The root and the operands of each pair-level operation: those whose types are needed.
    """

    def __init__(self, root: Tree) -> None:
        self._ends: dict[int, frozenset[str]] = {}
        self._find_ends(root)
        self._operands: dict[int, list[Tree]] = {}
        self._types: Mapping[int, str] = {}
        self._texts: Mapping[int, str] = {}
        self.nodes = [root]
        for node in self.nodes:
            # Appending to the list that is walked makes the walk breadth-first.
            if self._is_mixed(node):
                self._operands[id(node)] = self._operands_of(node)
                self.nodes += self._operands[id(node)]

    def split(self, types: Sequence[str]) -> Node:
        """The tree of the whole, of whatever kind it is, given DuckDB's types of `nodes`.

        Raises
        ------
        RefusalError
            Ends meet in an operation that pairs are not evaluated in, or in values of two kinds.
        """
        self._types = {id(node): found for node, found in zip(self.nodes, types, strict=True)}
        # One call renders them all: it is what splitting takes most of its time for.
        terms = [node for node in self.nodes if not self._is_mixed(node)]
        texts = render_all([_with_columns(node, lambda table, name: [name]) for node in terms])
        self._texts = {id(node): text for node, text in zip(terms, texts, strict=True)}
        root = self.nodes[0]
        return self._tree(root, self._kind(root) or "boolean")

    @property
    def is_one_ended(self) -> bool:
        """Whether the whole is one term."""
        return not self._is_mixed(self.nodes[0])

    @property
    def unknown(self) -> list[int]:
        """Places in `nodes` of the root and of those whose type only DuckDB knows."""
        return [place for place, node in enumerate(self.nodes) if place == 0 or not _is_truth(node)]

    def _find_ends(self, node: Tree) -> frozenset[str]:
        """What each node touches, by its identity: an end, "separation", "pair" (a distance or contact), "listed"."""
        if node["class"] == "COLUMN_REF":
            table, name = node["column_names"]
            found = frozenset({"separation" if (table, name) == ("pair", "separation") else table})
        else:
            found = frozenset().union(*(self._find_ends(child) for child in children(node)))
        self._ends[id(node)] = found
        return found

    def _is_mixed(self, node: Tree) -> bool:
        ends = self._ends[id(node)]
        return len(ends) > 1 or ("pair" in ends and node["class"] != "COLUMN_REF")

    def _operands_of(self, node: Tree) -> list[Tree]:
        """The operands of a pair-level operation; of what is none, nothing."""
        if node["type"] in _CONNECTIVES:
            return self._chain(node)
        if node["class"] == "COMPARISON":
            tested = _tested(node)
            return [tested[0]] if tested else list(children(node))
        if node["class"] == "BETWEEN":
            return [node["input"], node["lower"], node["upper"]]
        if node["type"] in ("OPERATOR_NOT", "OPERATOR_COALESCE", "COMPARE_IN", *_TESTS):
            return list(children(node))
        if node["class"] == "FUNCTION" and not any(one["name"] for one in node["arguments"]):
            name, operands = _called(node)
            if name in _CHOICES or (name, len(operands)) in {*_ARITHMETIC, ("+", 1)}:
                return operands
        return []

    def _chain(self, node: Tree) -> list[Tree]:
        """Operands of a chain of one connective; neighbours that touch the same end only are one operand."""
        flat: list[Tree] = []
        waiting = [node]
        while waiting:
            one = waiting.pop()
            if one["type"] == node["type"] and self._is_mixed(one):
                waiting += reversed(list(children(one)))
            else:
                flat.append(one)
        operands: list[Tree] = []
        for ends, run in groupby(flat, lambda one: self._ends[id(one)]):
            alike = list(run)
            if len(alike) > 1 and len(ends) == 1 and "pair" not in ends:
                alike = [{**node, "children": alike}]
                self._ends[id(alike[0])] = ends
            operands += alike
        return operands

    def _boolean(self, node: Tree) -> Node:
        """The tree of a node that stands where a truth value is expected."""
        self._expect(node, "boolean", "compare it, e.g. {} = 1")
        return self._tree(node, "boolean")

    def _type(self, node: Tree) -> str:
        return self._types[id(node)]

    def _kind(self, node: Tree) -> Kind | None:
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

    def _unsupported(self, node: Tree) -> RefusalError:
        return RefusalError(
            f"{_shown(node)} of type {self._type(node)} cannot meet the other end",
            "cast it to a number, VARCHAR or BOOLEAN",
        )

    def _expect(self, node: Tree, kind: Kind, cure: str) -> None:
        found = self._kind(node)
        if found not in (kind, None):
            raise RefusalError(f"{_shown(node)} is a {found} where a {kind} is expected", cure.format(_shown(node)))

    def _tree(self, node: Tree, kind: Kind) -> Node:
        if node["class"] == "COLUMN_REF" and self._ends[id(node)] == {"pair"}:
            return Quantity(node["column_names"][1])
        if not self._is_mixed(node):
            touched = next(iter(self._ends[id(node)]), "constant")
            end = cast(End, "pair" if touched == "listed" else touched)
            return Leaf(end, Term(_TABLE_OF[touched], self._texts[id(node)], kind))
        return self._operation(node, kind)

    def _operation(self, node: Tree, kind: Kind) -> Node:
        operands = self._operands[id(node)]
        if not operands:
            raise RefusalError(
                f"{_shown(node)} mixes both ends of the pair in a way that is not supported", f"use {_WORKS}"
            )
        if node["type"] in _CONNECTIVES:
            return Operation(_CONNECTIVES[node["type"]], "boolean", tuple(self._boolean(one) for one in operands))
        if node["type"] == "OPERATOR_NOT":
            return _not(self._boolean(operands[0]))
        if node["type"] in _TESTS:
            tested = self._tree(operands[0], self._kind(operands[0]) or "boolean")
            test = Operation("is null", "boolean", (tested,))
            return test if node["type"] == "OPERATOR_IS_NULL" else _not(test)
        if node["class"] == "COMPARISON":
            return self._compare(node, operands)
        if node["class"] == "BETWEEN":
            value, low, high = self._ordered(operands)
            above, below = Operation(">=", "boolean", (value, low)), Operation("<=", "boolean", (value, high))
            return Operation("and", "boolean", (above, below))
        if node["type"] == "COMPARE_IN":
            value, *members = self._alike(operands)
            equal = tuple(Operation("=", "boolean", (value, member)) for member in members)
            return equal[0] if len(equal) == 1 else Operation("or", "boolean", equal)
        if node["type"] == "OPERATOR_COALESCE":
            return self._choice("coalesce", node, kind)
        name, _ = _called(node)
        if name in _CHOICES:
            return self._choice(name, node, kind)
        if (name, len(operands)) == ("+", 1):
            return self._tree(operands[0], kind)
        return self._arithmetic(_ARITHMETIC[name, len(operands)], node, operands)

    def _arithmetic(self, op: str, node: Tree, operands: Sequence[Tree]) -> Node:
        cure = "use numbers: a string is cast within its end, e.g. CAST({} AS DOUBLE)"
        for one in operands:
            self._expect(one, "number", cure)
        return Operation(op, "number", self._alike(operands, "number"), self._type(node) == "FLOAT")

    def _compare(self, node: Tree, operands: Sequence[Tree]) -> Node:
        tested = _tested(node)
        if tested:
            test = Operation(tested[1], "boolean", (self._boolean(operands[0]),))
            return _not(test) if node["type"] == "COMPARE_DISTINCT_FROM" else test
        op = _COMPARISONS[node["type"]]
        alike = self._ordered if op in _ORDERINGS else self._alike
        return Operation(op, "boolean", alike(operands))

    def _ordered(self, operands: Sequence[Tree]) -> tuple[Node, ...]:
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

    def _choice(self, op: str, node: Tree, kind: Kind) -> Node:
        if op != "coalesce" and (kind == "boolean" or self._type(node).startswith("ENUM")):
            raise RefusalError(
                f"{op} of {self._type(node).split('(')[0]} values does not work across the ends",
                "use AND or OR, or cast each to VARCHAR or a number",
            )
        alike = self._alike(self._operands[id(node)], kind)
        return alike[0] if len(alike) == 1 else Operation(op, kind, alike, self._type(node) == "FLOAT")

    def _alike(self, operands: Sequence[Tree], kind: Kind = "boolean") -> tuple[Node, ...]:
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


def _not(node: Node) -> Operation:
    return Operation("not", "boolean", (node,))


def _is_truth(node: Tree) -> bool:
    """Whether an expression is a BOOLEAN whatever it is made of."""
    return node["class"] in ("COMPARISON", "CONJUNCTION", "BETWEEN") or node["type"] in (
        "COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_NOT", *_TESTS,
    )  # fmt: skip


def _called(node: Tree) -> tuple[str, list[Tree]]:
    """Name and arguments of a call."""
    return node["function_name"].lower(), [one["expression"] for one in node["arguments"]]


def _tested(node: Tree) -> tuple[Tree, str] | None:
    """What IS [NOT] TRUE or FALSE tests, and for what.

    DuckDB's tree has it as CAST(x AS BOOLEAN) IS [NOT] DISTINCT FROM TRUE.
    """
    literal = node["right"].get("literal", {})
    if node["type"] not in ("COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM") or literal.get("kind") != "BOOLEAN":
        return None
    cast_ = node["left"]
    if cast_["class"] != "CAST" or cast_["try_cast"] or cast_["type_expr"]["type_name"] != "BOOLEAN":
        return None
    return cast_["child"], f"is {literal['text']}"


def _shown(node: Tree) -> str:
    """A part of a clause for a message, with the names as they are usually written."""

    def plain(table: str, name: str) -> list[str]:
        if table == "pair":
            return [name.removesuffix("_cb")]
        return ["pair" if table == "listed" else table, name]

    shown = _QUOTED.sub(_unquoted, render(_with_columns(node, plain)))
    while _is_in_parentheses(shown):
        shown = shown[1:-1]
    return shown


def _unquoted(found: re.Match[str]) -> str:
    """A string as it is; a name without the quotes that it does not need."""
    bare = found[0][1:-1]
    return bare if found[0][0] == '"' and re.fullmatch(r"[A-Za-z_]\w*", bare) else found[0]


def _with_columns(node: Tree, named: Callable[[str, str], list[str]]) -> Tree:
    """The same expression with each column named another way."""
    if node["class"] == "COLUMN_REF":
        return {**node, "column_names": named(*node["column_names"])}
    return replace_children(node, lambda child: _with_columns(child, named))


def _is_in_parentheses(text: str) -> bool:
    """Whether the first parenthesis ends with the text."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return letter == ")" and place == len(text) - 1
    return False
