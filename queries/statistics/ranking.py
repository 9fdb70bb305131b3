"""The order of heads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .measure import RankBy

Floats = NDArray[np.float64]


def lower_bounds(result: Mapping[str, NDArray[Any]]) -> Floats:
    """Return the lower bound of every head's interval: of the bootstrap's or, if there is none, of Wilson's."""
    low: Floats = result["bootstrap_low"] if "bootstrap_low" in result else result["wilson_low"]
    return low


def depleted(result: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return which heads have a share below their background; none if there is no background."""
    if "enrichment" not in result:
        return np.zeros(result["share"].shape, bool)
    below: NDArray[np.bool_] = result["enrichment"] < 1
    return below


def rank_heads(result: Mapping[str, NDArray[Any]], rank_by: RankBy, *, paper: bool = False) -> NDArray[np.int64]:
    """Number the ranked heads, 1 for the first.

    The largest value comes first; of equal ones the larger share, then the lower layer and head. A head without the
    value follows those that have it, and one whose share is below its background follows all others, except in the
    paper's form, which ranks only by the share.

    Parameters
    ----------
    result : mapping of str to ndarray
        Result of `summarise`, [layers, heads] each, or [thresholds, layers, heads].
    rank_by : RankBy
        'lower', the lower bound of the interval, 'share' or 'enrichment'.
    paper : bool, default False
        The paper's form.

    Returns
    -------
    ndarray
        int64, of the same shape; 0 for a head that is not ranked, or has no share.
    """
    share = result["share"]
    value = lower_bounds(result) if rank_by == "lower" else result[rank_by]
    below = np.zeros(share.shape, bool) if paper else depleted(result)
    taken = result["ranked"] & np.isfinite(share)
    rank = np.zeros(share.shape, np.int64)
    for at in np.ndindex(share.shape[:-2]):
        chosen = np.flatnonzero(taken[at])
        keys = (np.where(np.isfinite(of), -of, math.inf).ravel()[chosen] for of in (share[at], value[at]))
        # The last key has the highest priority; the sort is stable, so of equals the lower layer and head come first.
        order = np.lexsort((*keys, below[at].ravel()[chosen]))
        rank[at].flat[chosen[order]] = np.arange(1, len(chosen) + 1)
    return rank
