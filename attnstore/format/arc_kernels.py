"""Compiled checks of a segment's arcs: their order, and whether they belong to that segment."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..runtime.libraries import jit

Array = npt.NDArray[Any]


@jit()
def order_keys(  # type: ignore[no-untyped-def]
    layer, head, protein, source, target, weight, stored, pair_offset, layers, heads, bands, keys,
) -> None:  # fmt: skip
    """The sort key of arcs in one integer each, below (bands + 1) × the segment's entries.

    Parameters
    ----------
    layer, head, protein, source, target, weight : of each arc
    stored, pair_offset : int64, of each protein
    layers, heads : numbers of them
    bands : float32, descending; the band of a weight is the number of these values that it is below
    keys : int64, by band, layer, head, protein, source and target; output
    """
    pairs = pair_offset[-1]
    for arc in range(keys.shape[0]):
        key = np.int64(0)
        for edge in bands:
            key += weight[arc] < edge
        key = (key * layers + np.int64(layer[arc])) * heads + np.int64(head[arc])
        p = protein[arc]
        keys[arc] = key * pairs + pair_offset[p] + np.int64(source[arc]) * stored[p] + np.int64(target[arc])


@jit()
def wrong_arcs(  # type: ignore[no-untyped-def]
    layer, head, protein, source, target, weight, stored, pair_offset, layers, heads, least, most,
) -> bool:  # fmt: skip
    """Whether an arc is out of order, or refers to a layer, head, protein or residue that does not exist.

    All readers of arcs use their columns as indices without checking them again. The loop has no branches, so it takes
    0.6 ns per arc, compared with 10 ns for decoding.

    Parameters
    ----------
    layer, head, protein, source, target : of each arc
    weight : of each arc, or empty if weights are not read
    stored, pair_offset : int64, of each protein
    layers, heads : numbers of them
    least, most : float32, bounds of the weights
    """
    wrong = False
    proteins = np.int64(stored.shape[0])
    pairs = pair_offset[proteins]
    last = np.int64(-1)
    for arc in range(layer.shape[0]):
        l, h, p = np.int64(layer[arc]), np.int64(head[arc]), np.int64(protein[arc])  # noqa: E741
        wrong |= (l >= layers) | (h >= heads) | (p >= proteins)
        p = min(p, proteins - 1)
        s, t, length = np.int64(source[arc]), np.int64(target[arc]), stored[p]
        key = (l * heads + h) * pairs + pair_offset[p] + s * length + t
        wrong |= (s >= length) | (t >= length) | (key <= last)
        last = key
    for arc in range(weight.shape[0]):
        wrong |= not ((weight[arc] >= least) & (weight[arc] <= most))
    return wrong
