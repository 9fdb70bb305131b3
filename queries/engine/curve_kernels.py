"""The compiled loop over arcs that a curve is read with; it releases the GIL.

As `kernels`, this module reaches neither DuckDB nor anything that does.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...format.codebook import CELL_SHIFT
from ...runtime.compiled import compiled

Array = npt.NDArray[Any]

_compile = compiled()


@_compile
def arc_histogram(
    layer: Array,
    head: Array,
    protein: Array,
    weight: Array,
    state: Array,
    base: Array,
    next_edge: Array,
    first: int,
    row: Array,
    counts: Array,
    sums: Array,
) -> None:
    """Add arcs to counts and sums [row, code − first, layer, head, group].

    Parameters
    ----------
    layer, head, protein, weight : of the arcs
    state : uint8 [arcs], the predicate's
    base, next_edge : of the codebook's table
    first : arcs of lower codes are left out
    row : int64 [proteins], where a protein's arcs go; those of a protein with −1 are left out
    sums : float64; empty where weights are not asked for
    """
    weighted = sums.shape[0] > 0
    bits = weight.view(np.uint32)
    for k in range(weight.shape[0]):
        p = protein[k]
        cell = bits[k] >> CELL_SHIFT
        code = np.int64(base[cell]) + np.int64(weight[k] >= next_edge[cell])
        if row[p] >= 0 and code >= first:
            counts[row[p], code - first, layer[k], head[k], state[k]] += 1
            if weighted:
                sums[row[p], code - first, layer[k], head[k], state[k]] += weight[k]
