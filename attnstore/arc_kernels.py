"""The order of arcs in a segment, compiled."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled import compiled

Array = npt.NDArray[Any]


@compiled()
def order_keys(  # type: ignore[no-untyped-def]
    layer, head, protein, source, target, weight, stored, pair_offset, layers, heads, bands, keys,
) -> None:  # fmt: skip
    """The whole order of arcs in one integer each, below (bands + 1) × the segment's entries.

    Parameters
    ----------
    layer, head, protein, source, target, weight : of each arc
    stored, pair_offset : int64, of each protein
    layers, heads : numbers of them
    bands : float32, falling; a weight is in the band of as many as it is below
    keys : int64, by band, layer, head, protein, source and target; written
    """
    pairs = pair_offset[-1]
    for arc in range(keys.shape[0]):
        key = np.int64(0)
        for edge in bands:
            key += weight[arc] < edge
        key = (key * layers + np.int64(layer[arc])) * heads + np.int64(head[arc])
        p = protein[arc]
        keys[arc] = key * pairs + pair_offset[p] + np.int64(source[arc]) * stored[p] + np.int64(target[arc])
