"""The codebook: it maps float32 attention weights to one byte, so that thresholds on an edge stay exact.

A codebook is an increasing list of float32 *edges*; ``code(α)`` is the number of edges ≤ α. Hence, for a
threshold θ that *is* an edge, ``code(α) >= code(θ)`` selects the same weights as ``α >= θ``, to the bit.
Every comparison is made in float32: a threshold is rounded to the nearest float32 once, when it is parsed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..errors import QueryError

Float32Array = npt.NDArray[np.float32]
CodeArray = npt.NDArray[np.uint8]

#: Fill value of a code array. It is never a code, so a missing chunk cannot read as zeros.
FILL = 255

#: Largest weight that is accepted as the rounding of a softmax; a larger one is an error.
TOP = np.float32(1 + 2**-16)

#: The table quantiser uses the float's sign, exponent and first 8 mantissa bits.
CELL_SHIFT = 15

# Twelve per decade below 0.01, at values that people ask for (0.001, 0.002, 0.005, ...).
_SPARSE = ("1.0", "1.2", "1.5", "1.8", "2.0", "2.5", "3.0", "4.0", "5.0", "6.0", "7.0", "8.0")


def _default_edges() -> Float32Array:
    sparse = [f"{mantissa}e-{decade}" for decade in (4, 3) for mantissa in _SPARSE]
    dense = [f"{digits}e-3" for digits in range(10, 100)] + [f"{digits}e-2" for digits in range(10, 100)]
    return np.array([np.float32(float(text)) for text in sparse + dense], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Codebook:
    """Bin edges and quantities computed from them.

    Attributes
    ----------
    edges : float32 [n]
        Strictly increasing, positive, n ≤ 254. Codes run from 0 (below the first edge) to n.
    """

    edges: Float32Array

    def __post_init__(self) -> None:
        edges = self.edges
        if edges.dtype != np.float32 or edges.ndim != 1 or not 1 <= edges.size < FILL:
            raise ValueError("edges must be 1 to 254 float32 values")
        if not (np.diff(edges) > 0).all() or not edges[0] > 0 or not edges[-1] <= 1:
            raise ValueError("edges must increase strictly within (0, 1]")
        cells = edges.view(np.uint32) >> CELL_SHIFT
        if np.unique(cells).size != cells.size:
            raise ValueError("two edges share a cell of the table quantiser: they are too close")

    def __reduce__(self) -> tuple[type["Codebook"], tuple[Float32Array]]:
        """Without the table: a task on a cluster carries the edges alone, 326 kB less."""
        return Codebook, (self.edges,)

    @property
    def size(self) -> int:
        """Number of codes, ``len(edges) + 1``."""
        return int(self.edges.size) + 1

    @property
    def lower(self) -> Float32Array:
        """Smallest weight of each code, float32 [size]."""
        return np.concatenate([np.zeros(1, np.float32), self.edges])

    @property
    def upper(self) -> Float32Array:
        """Upper bound of the weights of each code, float32 [size]; not itself in the bin, except for the last."""
        return np.concatenate([self.edges, np.full(1, TOP, np.float32)])

    def codes(self, weights: npt.ArrayLike) -> CodeArray:
        """Code of each weight by binary search; the definition against which the fast kernels are tested."""
        return np.searchsorted(self.edges, np.asarray(weights, np.float32), side="right").astype(np.uint8)

    def code_of(self, threshold: float) -> int | None:
        """The code c with ``code(α) >= c`` exactly where ``α >= threshold``; None if the threshold is no edge."""
        theta = np.float32(threshold)
        if theta <= 0:
            return 0
        position = int(np.searchsorted(self.edges, theta))
        return position + 1 if position < self.edges.size and self.edges[position] == theta else None

    def nearest_edges(self, threshold: float) -> tuple[float, float]:
        """The edges on either side of a threshold, for messages."""
        position = int(np.searchsorted(self.edges, np.float32(threshold)))
        below = self.edges[max(position - 1, 0)]
        above = self.edges[min(position, self.edges.size - 1)]
        return float(f"{below:.6g}"), float(f"{above:.6g}")

    @cached_property
    def table(self) -> tuple[CodeArray, Float32Array]:
        """Tables of the fast quantiser, indexed by ``cell = bits(α) >> 15``.

        ``code(α) = base[cell] + (α >= next_edge[cell])``: no cell holds two edges, so the code of any weight
        in a cell is one of two.

        Returns
        -------
        base : uint8 [65280]
            Number of edges in lower cells; the 65280 cells cover all floats below infinity.
        next_edge : float32 [65280]
            The edge inside the cell; infinity where there is none.
        """
        cells = np.arange(0x7F800000 >> CELL_SHIFT, dtype=np.uint32)
        starts = (cells << CELL_SHIFT).view(np.float32)
        base = np.searchsorted(self.edges, starts, side="left").astype(np.uint8)
        next_edge = np.full(cells.size, np.inf, np.float32)
        next_edge[self.edges.view(np.uint32) >> CELL_SHIFT] = self.edges
        return base, next_edge

    def to_json(self) -> list[str]:
        """Edges as hexadecimal float32 bit patterns, so that no decimal rounding can change them."""
        return [f"{bits:08x}" for bits in self.edges.view(np.uint32).tolist()]

    @classmethod
    def from_json(cls, patterns: Sequence[str]) -> "Codebook":
        """Inverse of :meth:`to_json`."""
        if not all(re.fullmatch("[0-9a-f]{8}", pattern) for pattern in patterns):
            raise ValueError("an edge is eight lower-case hexadecimal digits")
        return cls(np.array([int(pattern, 16) for pattern in patterns], np.uint32).view(np.float32))


#: 204 edges: every two-significant-digit value from 0.01 to 0.99, and twelve per decade from 1e-4 to 1e-2.
DEFAULT = Codebook(_default_edges())


def parse_threshold(value: float) -> float:
    """Check a threshold and round it to float32, once.

    Raises
    ------
    QueryError
        If it is not a number from 0 to 1.
    """
    try:
        theta = float("nan") if isinstance(value, bool) else float(value)
        theta = float(np.float32(theta)) if 0 <= theta <= 1 else float("nan")
    except (TypeError, ValueError, OverflowError):
        theta = float("nan")
    if not 0 <= theta <= 1:
        percent = re.fullmatch(r"\s*(\d{1,2}(?:\.\d*)?|100)\s*%?\s*", str(value))
        meant = "None" if str(value) == "all" else f"{float(percent[1]) / 100:g}" if percent else "0.3"
        raise QueryError(f"threshold {value!r} is not a number from 0 to 1: write threshold={meant}.")
    return theta
