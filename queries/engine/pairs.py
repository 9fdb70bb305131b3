"""Evaluates clauses on residue pairs: on all ordered pairs of one protein, or on listed ones of a segment.

Truth values are Kleene codes, FALSE 0, NULL 1, TRUE 2, so that AND is the minimum, OR the maximum and NOT 2 − x.
On all pairs results are target-major, [j, i] being source i and target j. Inside, a value is kept as small as it is:
a source term is [1, L], a target term [L, 1], a protein term or a constant [1, 1], a function of the separation
alone [L], and only where they meet does anything of L² appear. On listed pairs every value is [pairs] or [1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..sql.tree import ATOMS, FALSE, NULL, TRUE, Expression, Kind, Leaf, Node, Operation, Quantity
from .vectors import ProteinVectors, SegmentVectors


@dataclass(frozen=True, eq=False)
class Value:
    """Values of one kind; `banded` ones are indexed by separation, others broadcast to the pairs."""

    kind: Kind
    data: NDArray[Any]
    banded: bool = False


class Pairs(Protocol):
    """Some pairs, and what is known of them."""

    #: Residues of the one protein; 0 where pairs are listed, since nothing is banded then.
    length: int

    def leaf(self, leaf: Leaf) -> Value: ...

    def quantity(self, name: str) -> NDArray[Any]:
        """A distance (float64, NaN for NULL) or contact (uint8 Kleene); not to be written."""


class AllPairs:
    """All ordered pairs of one protein; distances and contacts are computed once, however many clauses ask.

    Parameters
    ----------
    vectors : ProteinVectors
        With the terms and coordinates that the clauses need.
    """

    def __init__(self, vectors: ProteinVectors) -> None:
        self._vectors = vectors
        self.length = vectors.length
        self._matrices: dict[str, NDArray[Any]] = {}

    def leaf(self, leaf: Leaf) -> Value:
        values = self._vectors.values[leaf.term]
        if leaf.end == "separation":
            return Value(leaf.kind, values[: self.length], banded=True)
        if leaf.end == "pair":
            matrix = np.full(self.length**2, values[-1], values.dtype)
            matrix[self._vectors.listed] = values[:-1]
            return Value(leaf.kind, matrix.reshape(self.length, self.length))
        return Value(leaf.kind, values[:, None] if leaf.end == "target" else values[None])

    def quantity(self, name: str) -> NDArray[Any]:
        if name not in self._matrices:
            # One row per axis, contiguous, in double precision: what the inner loops read.
            xyz = self._vectors.coordinates[ATOMS[name]].T.astype(np.float64, order="C")
            contact = name.startswith("contact")
            matrix = np.empty((self.length, self.length), dtype=np.uint8 if contact else np.float64)
            # Here, because importing numba takes longer than most questions that need no geometry.
            from . import kernels

            kernel = kernels.contacts if contact else kernels.distances
            kernel(xyz[0], xyz[1], xyz[2], matrix)
            matrix.flags.writeable = False
            self._matrices[name] = matrix
        return self._matrices[name]


class ListedPairs:
    """Pairs of a segment's proteins, given one by one, as arcs are.

    Parameters
    ----------
    vectors : SegmentVectors
        With the terms and coordinates that the clauses need.
    protein, source, target : ndarray
        Integers [pairs].
    """

    length = 0

    def __init__(
        self, vectors: SegmentVectors, protein: NDArray[Any], source: NDArray[Any], target: NDArray[Any]
    ) -> None:
        self._vectors = vectors
        self._protein, self._source, self._target = protein, source, target
        self._quantities: dict[str, NDArray[Any]] = {}

    @cached_property
    def _row(self) -> NDArray[Any]:
        """Where in values over pairs each pair's is: in its row of `listed`, or at its protein's after them."""
        length = self._vectors.stored.take(self._protein)
        place = self._vectors.pair_offset[:-1].take(self._protein) + self._target * length + self._source
        listed = self._vectors.listed
        unlisted = len(listed) + self._protein.astype(np.int64)
        if not len(listed):
            return unlisted
        row = np.minimum(np.searchsorted(listed, place), len(listed) - 1)
        return np.where(listed[row] == place, row, unlisted)

    def leaf(self, leaf: Leaf) -> Value:
        values = self._vectors.values[leaf.term]
        if leaf.end == "constant":
            return Value(leaf.kind, values)
        if leaf.end in ("protein", "pair"):
            return Value(leaf.kind, values.take(self._protein if leaf.end == "protein" else self._row))
        from . import kernels

        found = np.empty(len(self._protein), values.dtype)
        if leaf.end == "separation":
            kernels.listed_by_separation(values, self._source, self._target, found)
        else:
            end = self._source if leaf.end == "source" else self._target
            kernels.listed_by_residue(values, self._vectors.residue_offset, self._protein, end, found)
        return Value(leaf.kind, found)

    def quantity(self, name: str) -> NDArray[Any]:
        if name not in self._quantities:
            from . import kernels

            contact = name.startswith("contact")
            values = np.empty(len(self._protein), np.uint8 if contact else np.float64)
            kernel = kernels.listed_contacts if contact else kernels.listed_distances
            xyz = self._vectors.coordinates[ATOMS[name]]
            kernel(xyz, self._vectors.residue_offset, self._protein, self._source, self._target, values)
            self._quantities[name] = values
        return self._quantities[name]


def evaluate(node: Node, pairs: Pairs) -> NDArray[Any]:
    """Values of a tree on pairs.

    Parameters
    ----------
    node : Node
        Tree of an `Expression`.
    pairs : Pairs
        Whose vectors come from an `evaluate_terms` that was given that expression.

    Returns
    -------
    ndarray
        uint8 Kleene codes, float64 numbers (NaN for NULL) or int32 codes of strings (−1 for NULL), of a shape that
        broadcasts to [target, source] or to the list of pairs. Not to be written.
    """
    value = _evaluate(node, pairs)
    return _square(value, pairs.length)


def truth(expression: Expression, vectors: ProteinVectors, pairs: AllPairs | None = None) -> NDArray[np.uint8]:
    """Kleene codes of a condition on all pairs of one protein.

    Parameters
    ----------
    expression : Expression
        From `parse`.
    vectors : ProteinVectors
        Vectors of the protein.
    pairs : AllPairs, optional
        Geometry of these vectors, to share distances and contacts between clauses.

    Returns
    -------
    ndarray
        uint8 [L, L], C order: [j, i] is target j, source i. The caller's own, to write to.
    """
    result = np.empty((vectors.length, vectors.length), dtype=np.uint8)
    result[...] = evaluate(expression.root, pairs or AllPairs(vectors))
    return result


def _evaluate(node: Node, pairs: Pairs) -> Value:
    if isinstance(node, Leaf):
        return pairs.leaf(node)
    if isinstance(node, Quantity):
        return Value(node.kind, pairs.quantity(node.name))
    operands = [_evaluate(operand, pairs) for operand in node.operands]
    if node.op in ("and", "or"):
        return _fold(np.minimum if node.op == "and" else np.maximum, operands, pairs.length)
    arrays, banded = _together(operands, pairs.length)
    with np.errstate(all="ignore"):
        data = _operate(node, operands[0].kind, arrays)
        if node.single:
            data = data.astype(np.float32).astype(np.float64)
    return Value(node.kind, data, banded)


def _square(value: Value, length: int) -> NDArray[Any]:
    """Values that broadcast to [target, source]; banded ones as a view whose row j starts at |0 − j|."""
    if not value.banded or not length:
        return value.data if not value.banded else value.data.reshape(0, 1)
    mirrored = np.concatenate([value.data[:0:-1], value.data])
    size = mirrored.itemsize
    # As `sliding_window_view(mirrored, length)[::-1]`, which takes as long as a question about a short protein.
    view: NDArray[Any] = np.ndarray((length, length), mirrored.dtype, mirrored, (length - 1) * size, (-size, size))
    view.flags.writeable = False
    return view


def _together(values: Sequence[Value], length: int) -> tuple[list[NDArray[Any]], bool]:
    """Arrays that broadcast with each other, and whether they are still indexed by separation."""
    if any(value.banded for value in values) and all(value.banded or value.data.size == 1 for value in values):
        return [value.data if value.banded else value.data.reshape(1) for value in values], True
    return [_square(value, length) for value in values], False


def _fold(combine: Callable[..., Any], values: Sequence[Value], length: int) -> Value:
    """Combine truth values, those of one shape first, so that as little as possible is done on L²."""

    def pair(left: Value, right: Value) -> Value:
        (one, other), banded = _together([left, right], length)
        return Value("boolean", combine(one, other), banded)

    def extent(value: Value) -> tuple[int, bool, tuple[int, ...]]:
        return value.data.size, value.banded, value.data.shape

    groups = groupby(sorted(values, key=extent), key=extent)
    return reduce(pair, [reduce(pair, group) for _, group in groups])


def _missing(kind: Kind, data: NDArray[Any]) -> NDArray[np.bool_]:
    if kind == "boolean":
        return np.asarray(data == NULL)
    return np.isnan(data) if kind == "number" else np.asarray(data < 0)


def _truth(condition: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.left_shift(condition.view(np.uint8), 1)


def _operate(node: Operation, kind: Kind, operands: list[NDArray[Any]]) -> NDArray[Any]:
    """One operation on operands of one kind that broadcast with each other."""
    op, first = node.op, operands[0]
    if op in _COMPARISONS:
        return _compare(_COMPARISONS[op], kind, first, operands[1])
    if op in ("same", "distinct"):
        same = np.equal(first, operands[1]) | (_missing(kind, first) & _missing(kind, operands[1]))
        return _truth(same if op == "same" else ~same)
    if op == "is null":
        return _truth(_missing(kind, first))
    if op in ("is true", "is false"):
        return _truth(np.equal(first, TRUE if op == "is true" else FALSE))
    if op == "not":
        return np.asarray(np.subtract(np.uint8(TRUE), first))
    if op == "coalesce":
        return np.asarray(reduce(lambda left, right: np.where(_missing(kind, left), right, left), operands))
    if op in ("least", "greatest"):
        return np.asarray(reduce(_CHOICES[kind, op], operands))
    if op in _ARITHMETIC:
        return np.asarray(_ARITHMETIC[op](*operands))
    return first  # single: the rounding is done for every result that is marked with it


def _compare(compare: Callable[..., Any], kind: Kind, left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.uint8]:
    codes = _truth(compare(left, right))
    for operand in (left, right):
        # Looked for in the operand's own shape: mostly a vector, mostly without any.
        missing = _missing(kind, operand)
        if missing.any():
            np.copyto(codes, NULL, where=missing)
    return codes


def _least_code(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    # Read as unsigned, the NULL of −1 is above every code.
    return np.minimum(left.view(np.uint32), right.view(np.uint32)).view(np.int32)


_COMPARISONS: dict[str, Callable[..., Any]] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "negate": np.negative,
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
}
# Both ignore NULLs, as DuckDB does.
_CHOICES: dict[tuple[Kind, str], Callable[..., Any]] = {
    ("number", "least"): np.fmin,
    ("number", "greatest"): np.fmax,
    ("string", "least"): _least_code,
    ("string", "greatest"): np.maximum,
}
