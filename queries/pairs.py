"""Evaluates clauses on all ordered residue pairs of one protein.

Results are target-major Kleene codes: result[j, i] says of source i and target j FALSE 0, NULL 1 or TRUE 2,
so that AND is the minimum, OR the maximum and NOT 2 − x. Inside, a value is kept as small as it is: a
source term is [1, L], a target term [L, 1], a protein term or a constant [1, 1], a function of the
separation alone [L], and only where they meet does anything of L² appear.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tree import (
    ATOMS,
    Expression,
    Kind,
    Leaf,
    Node,
    Operation,
    Quantity,
)
from .vectors import ProteinVectors

FALSE, NULL, TRUE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class _Value:
    """Values of one kind; `banded` ones are indexed by separation, others broadcast to [target, source]."""

    kind: Kind
    data: NDArray[Any]
    banded: bool = False


class PairCache:
    """The pair quantities of one protein, each computed once however many clauses ask for it.

    Parameters
    ----------
    vectors : ProteinVectors
        With the coordinates that the clauses need.
    length : int
        Residues to take from the start; fewer than the protein has if it was truncated.

    Raises
    ------
    ValueError
        `length` is not between 0 and the protein's.
    """

    def __init__(self, vectors: ProteinVectors, length: int) -> None:
        if not 0 <= length <= vectors.length:
            raise ValueError(f"length {length} is not within the protein's {vectors.length} residues")
        self.vectors = vectors
        self.length = length
        self._matrices: dict[str, NDArray[Any]] = {}

    def matrix(self, name: str) -> NDArray[Any]:
        """A distance (float64, NaN for NULL) or contact (uint8 Kleene) by name: [L, L], not to be written."""
        if name not in self._matrices:
            # One row per axis, contiguous, in double precision: what the inner loops read.
            xyz = self.vectors.coordinates[ATOMS[name]][: self.length].T.astype(np.float64, order="C")
            contact = name.startswith("contact")
            matrix = np.empty((self.length, self.length), dtype=np.uint8 if contact else np.float64)
            # Here, because importing numba takes longer than most questions that need no geometry.
            from . import kernels

            kernel = kernels.contacts if contact else kernels.distances
            kernel(xyz[0], xyz[1], xyz[2], matrix)
            matrix.flags.writeable = False
            self._matrices[name] = matrix
        return self._matrices[name]


def evaluate(
    expression: Expression, vectors: ProteinVectors, length: int, cache: PairCache | None = None
) -> NDArray[np.uint8]:
    """Kleene codes of a clause on the pairs of one protein.

    Parameters
    ----------
    expression : Expression
        From `parse`.
    vectors : ProteinVectors
        Of the protein, from an `evaluate_terms` that was given this expression.
    length : int
        L, the residues to take from the start.
    cache : PairCache, optional
        Of this protein and length, to share distances and contacts between clauses.

    Returns
    -------
    ndarray
        uint8 [L, L], C order: [j, i] is target j, source i. The caller's own, to write to.

    Raises
    ------
    ValueError
        `length` is not within the protein, or the cache is of another protein or length.
    """
    cache = PairCache(vectors, length) if cache is None else cache
    if cache.length != length or cache.vectors is not vectors:
        raise ValueError("the cache is of another protein or another length")
    data = _square(_evaluate(expression.root, cache), length)
    result = np.empty((length, length), dtype=np.uint8)
    result[...] = data
    return result


def _evaluate(node: Node, cache: PairCache) -> _Value:
    if isinstance(node, Leaf):
        return _leaf(node, cache)
    if isinstance(node, Quantity):
        if node.name == "separation":
            return _Value("number", np.arange(cache.length, dtype=np.float64), banded=True)
        return _Value(node.kind, cache.matrix(node.name))
    operands = [_evaluate(operand, cache) for operand in node.operands]
    if node.op in ("and", "or"):
        return _fold(np.minimum if node.op == "and" else np.maximum, operands, cache.length)
    arrays, banded = _together(operands, cache.length)
    with np.errstate(all="ignore"):
        data = _operate(node, operands[0].kind, arrays)
        if node.single:
            data = data.astype(np.float32).astype(np.float64)
    return _Value(node.kind, data, banded)


def _leaf(leaf: Leaf, cache: PairCache) -> _Value:
    values = cache.vectors.values[leaf.term]
    if leaf.end == "source":
        values = values[None, : cache.length]
    elif leaf.end == "target":
        values = values[: cache.length, None]
    else:
        values = values[None]
    return _Value(leaf.kind, values)


def _square(value: _Value, length: int) -> NDArray[Any]:
    """Values that broadcast to [target, source]; banded ones as a view whose row j starts at |0 − j|."""
    if not value.banded or not length:
        return value.data if not value.banded else value.data.reshape(0, 1)
    mirrored = np.concatenate([value.data[:0:-1], value.data])
    return np.lib.stride_tricks.sliding_window_view(mirrored, length)[::-1]


def _together(values: Sequence[_Value], length: int) -> tuple[list[NDArray[Any]], bool]:
    """Arrays that broadcast with each other, and whether they are still indexed by separation."""
    if any(value.banded for value in values) and all(value.banded or value.data.size == 1 for value in values):
        return [value.data if value.banded else value.data.reshape(1) for value in values], True
    return [_square(value, length) for value in values], False


def _fold(combine: Callable[..., Any], values: Sequence[_Value], length: int) -> _Value:
    """Combine truth values, those of one shape first, so that as little as possible is done on L²."""

    def pair(left: _Value, right: _Value) -> _Value:
        (one, other), banded = _together([left, right], length)
        return _Value("boolean", combine(one, other), banded)

    def extent(value: _Value) -> tuple[int, bool, tuple[int, ...]]:
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
}
# Both ignore NULLs, as DuckDB does.
_CHOICES: dict[tuple[Kind, str], Callable[..., Any]] = {
    ("number", "least"): np.fmin,
    ("number", "greatest"): np.fmax,
    ("string", "least"): _least_code,
    ("string", "greatest"): np.maximum,
}
