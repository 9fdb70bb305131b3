"""The mean of the clusters' shares: every cluster counts once, however many arcs it has.

A task completes the clusters within it and keeps as open sums those that have proteins in other tasks. If every protein
is its own cluster nothing stays open, and memory does not grow with the proteins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .background import divide
from .bootstrap import PoissonBootstrap, replicate_weights
from .clusters import Clusters

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ratio:
    """Σ numer / Σ denom, of any shape."""

    numer: NDArray[Any]
    denom: NDArray[Any]

    @classmethod
    def mean(cls, values: Floats) -> Self:
        """Return the partial result of a mean over the first axis; NaN is left out."""
        return cls(np.nansum(values, axis=0), np.count_nonzero(np.isfinite(values), axis=0))

    def combine(self, other: Self) -> Self:
        """Combine the sums of two tasks."""
        return type(self)(self.numer + other.numer, self.denom + other.denom)

    def finalise(self) -> Floats:
        """Return the ratio, float64; NaN if the denominator is 0."""
        return divide(self.numer, self.denom)


def share_bounds(
    low_true: NDArray[Any], low_rest: NDArray[Any], high_true: NDArray[Any], high_rest: NDArray[Any], share: Floats
) -> tuple[Floats, Floats]:
    """Return the smallest and the largest share that sums within bounds allow.

    T/(T + R) grows with T, the sum where f is true, and falls with R, the rest: hence T↓/(T↓ + R↑) and T↑/(T↑ + R↓). If
    both sums of one vanish, everything is on one side, and `share` is exact.
    """
    least, most = low_true + high_rest, high_true + low_rest
    return np.where(least > 0, divide(low_true, least), share), np.where(most > 0, divide(high_true, most), share)


@dataclass(frozen=True, eq=False)
class ClusterSums:
    """Sums over the proteins of each cluster.

    Attributes
    ----------
    keys : of the clusters
    values : by name, [clusters, …] each: ``true`` and ``total``; if weights are approximate ``low_true``, ``low_rest``,
        ``high_true`` and ``high_rest``; with a background ``expected`` over ``matched``
    """

    keys: tuple[str, ...]
    values: Mapping[str, NDArray[Any]]

    @classmethod
    def partial(cls, keys: tuple[str, ...], values: Mapping[str, NDArray[Any]]) -> Self:
        """Sum values of proteins, [proteins, …] each, over the clusters given by their keys."""
        import pandas as pd

        cluster, names = pd.factorize(np.array(keys, object))
        order = np.argsort(cluster, kind="stable")
        first = np.flatnonzero(np.diff(cluster[order], prepend=-1))
        # reduceat refuses to sum no proteins at all.
        summed = {name: np.add.reduceat(rows[order], first, axis=0) if keys else rows for name, rows in values.items()}
        return cls(tuple(names), summed)

    def combine(self, other: Self) -> Self:
        """Combine the sums of two tasks; a cluster in both appears once."""
        both = {name: np.concatenate([rows, other.values[name]]) for name, rows in self.values.items()}
        return self.partial(self.keys + other.keys, both)

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the sums of some of the clusters."""
        keys = tuple(key for key, taken in zip(self.keys, chosen.tolist(), strict=True) if taken)
        return type(self)(keys, {name: rows[chosen] for name, rows in self.values.items()})


@dataclass(frozen=True, eq=False)
class ShareMeans:
    """Sums of clusters' shares, each cluster complete.

    Attributes
    ----------
    means : by name: ``share``; if weights are approximate ``share_min`` and ``share_max``; ``background``
    bootstrap : of the mean share; None without replicates
    """

    means: Mapping[str, Ratio]
    bootstrap: PoissonBootstrap | None

    @classmethod
    def partial(cls, sums: ClusterSums, replicates: int, seed: int) -> Self:
        """Compute each cluster's shares, and sum them."""
        values = sums.values
        share = divide(values["true"], values["total"])
        means = {"share": Ratio.mean(share)}
        if "low_true" in values:
            low, high = share_bounds(
                values["low_true"], values["low_rest"], values["high_true"], values["high_rest"], share
            )
            means |= {"share_min": Ratio.mean(low), "share_max": Ratio.mean(high)}
        if "expected" in values:
            means["background"] = Ratio.mean(divide(values["expected"], values["matched"]))
        if not replicates:
            return cls(means, None)
        defined = np.isfinite(share)
        weights = replicate_weights(sums.keys, replicates, seed)
        return cls(means, PoissonBootstrap.partial(np.where(defined, share, 0.0), defined, weights))

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Number of clusters in the mean share, int64 [layers, heads]."""
        return np.asarray(self.means["share"].denom, np.int64)

    def combine(self, other: Self) -> Self:
        """Combine two sums; they must not share a cluster."""
        bootstrap = None
        if self.bootstrap is not None and other.bootstrap is not None:
            bootstrap = self.bootstrap.combine(other.bootstrap)
        return type(self)({name: mean.combine(other.means[name]) for name, mean in self.means.items()}, bootstrap)


@dataclass(frozen=True, eq=False)
class MacroAverage:
    """The mean over clusters of a cluster's own share.

    M[h] = ``1/|C[h]|`` · Σ_{c ∈ C[h]} true[c,h] / total[c,h], with C[h] the clusters whose total in head h is
    above 0: the macro-average of information retrieval (Manning, Raghavan & Schütze 2008, "Introduction to
    information retrieval", §13.6), where the ratio of sums is the micro-average. A share that a few large
    proteins make does not carry it, and a protein with one arc counts as much as one with a thousand.

    Its background is a mean, too. For the kinds 'eligible' and 'paper' it is the mean over clusters of b[c] = pairs
    TRUE / pairs counted in c, one for all heads, over the clusters that have pairs counted; for kind 'protein', which
    is matched to the head, the mean over C[h] of Σ_{p ∈ c} n[p,h]·b[p] / Σ_{p ∈ c} n[p,h], the matched background of
    each cluster. Its bootstrap draws clusters: in replicate r the mean is Σ_c w[r,c]·share[c,h] / Σ_c w[r,c] over C[h].
    Bounds are the means of the clusters' bounds.

    Attributes
    ----------
    closed : ShareMeans
        Sums of the complete clusters. They are sums of fractions: the order of combining may change the last bits.
    open : ClusterSums
        Sums of the other clusters. They combine to those of a single task.
    """

    closed: ShareMeans
    open: ClusterSums
    replicates: int
    seed: int

    @classmethod
    def partial(cls, clusters: Clusters, values: Mapping[str, NDArray[Any]], replicates: int, seed: int) -> Self:
        """Sum one task's proteins.

        Parameters
        ----------
        clusters : Clusters
            Clusters of the proteins.
        values : mapping of str to ndarray
            As in `ClusterSums`, with [proteins, …] each.
        replicates, seed : int
            Replicates and seed of the bootstrap; 0 replicates for none.
        """
        sums = ClusterSums.partial(clusters.keys, values)
        spans = {key for key, spanning in zip(clusters.keys, clusters.spans.tolist(), strict=True) if spanning}
        spanning = np.array([key in spans for key in sums.keys], bool)
        return cls(ShareMeans.partial(sums.take(~spanning), replicates, seed), sums.take(spanning), replicates, seed)

    def combine(self, other: Self) -> Self:
        """Combine the partial results of two tasks."""
        return type(self)(self.closed.combine(other.closed), self.open.combine(other.open), self.replicates, self.seed)

    def finalise(self) -> ShareMeans:
        """Return the sums over all clusters; needs all tasks."""
        return self.closed.combine(ShareMeans.partial(self.open, self.replicates, self.seed))
