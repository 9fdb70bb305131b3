"""Number of clusters with arcs of a head, each counted once, in parts that combine over tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .clusters import Clusters

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Holders:
    """Clusters by the highest level at which they have arcs; a level is a threshold, the only one or one of a curve.

    Clusters within one task are counted there. For those with proteins in other tasks, one byte per head is kept, so
    that none counts twice.

    Attributes
    ----------
    closed : int64 [levels, …], number of complete clusters with each level as their highest
    keys : of the others
    highest : uint8 [len(keys), …], 1 for the lowest level, 0 if the cluster has no arc
    """

    closed: Counts
    keys: tuple[str, ...]
    highest: NDArray[np.uint8]

    @classmethod
    def partial(cls, clusters: Clusters, highest: NDArray[np.uint8], levels: int = 1) -> Self:
        """Count the clusters of one task.

        Parameters
        ----------
        clusters : of the proteins
        highest : uint8 [proteins, …], the highest level of each protein, counted from 1; 0 if it has no arc
        levels : number of levels, at most 255
        """
        keys, highest, spans = _by_cluster(clusters.keys, highest, clusters.spans)
        open_keys = tuple(key for key, open_ in zip(keys, spans.tolist(), strict=True) if open_)
        return cls(_tally(highest[~spans], levels), open_keys, highest[spans])

    def combine(self, other: Self) -> Self:
        """Combine the counts of two tasks."""
        closed = self.closed + other.closed
        if not (self.keys and other.keys):
            # Usually no cluster spans tasks.
            kept = self if self.keys else other
            return type(self)(closed, kept.keys, kept.highest)
        names = self.keys + other.keys
        keys, highest, _ = _by_cluster(names, np.concatenate([self.highest, other.highest]), np.ones(len(names), bool))
        return type(self)(closed, keys, highest)

    def finalise(self) -> Counts:
        """Return the number of clusters with arcs at each level or above, int64 [levels, …]; needs all tasks."""
        found = self.closed + _tally(self.highest, len(self.closed))
        return np.flip(np.cumsum(np.flip(found, 0), axis=0), 0)


def _by_cluster(
    keys: tuple[str, ...], highest: NDArray[np.uint8], spans: NDArray[np.bool_]
) -> tuple[tuple[str, ...], NDArray[np.uint8], NDArray[np.bool_]]:
    """Take the highest level of each cluster; a cluster spans tasks if one of its rows says so."""
    if len(set(keys)) == len(keys):
        return keys, highest, spans
    import pandas as pd

    cluster, names = pd.factorize(np.array(keys, object))
    order = np.argsort(cluster, kind="stable")
    first = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    return (
        tuple(names),
        np.maximum.reduceat(highest[order], first, axis=0),
        np.logical_or.reduceat(spans[order], first),
    )


def _tally(highest: NDArray[np.uint8], levels: int) -> Counts:
    return np.stack([np.count_nonzero(highest == level, axis=0) for level in range(1, levels + 1)]).astype(np.int64)
