"""Sums over proteins that combine over tasks: arcs by the value of the predicate, and samples of them.

An arc is an ordered pair of residues whose weight in a head is at least the threshold and which passes WHERE.
Arrays are [layers, heads]; for single proteins, [proteins, layers, heads]; for a curve, [thresholds, layers, heads].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .background import Background, PooledBackground, ProteinBackground, SeparationBackground, divide
from .bootstrap import PoissonBootstrap, replicate_weights
from .cluster_counts import Holders
from .clusters import Clusters, held_out
from .macro import MacroAverage
from .measure import Measure

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """Arcs of every head by the value of the predicate f.

    Attributes
    ----------
    true, false, unknown
        Arcs where f is TRUE, FALSE and NULL, [layers, heads], or for each protein, [proteins, layers, heads]: numbers
        of arcs, int64 and exact, or in weighted form sums of their weights Σα, float64. All three have the same form,
        which the dtype shows.
    """

    true: NDArray[Any]
    false: NDArray[Any]
    unknown: NDArray[Any]

    def __post_init__(self) -> None:
        arrays = (self.true, self.false, self.unknown)
        if self.true.ndim < 2 or len({array.shape for array in arrays}) != 1:
            raise ValueError(f"need [layers, heads] three times, not {[array.shape for array in arrays]}")
        if {array.dtype for array in arrays} not in ({np.dtype(np.int64)}, {np.dtype(np.float64)}):
            raise ValueError(f"need int64 or float64 three times, not {[str(a.dtype) for a in arrays]}")

    @classmethod
    def empty(cls, *shape: int, weighted: bool = False) -> Self:
        """Return the counts of no proteins, neutral in `combine`."""
        dtype = np.float64 if weighted else np.int64
        return cls(*(np.zeros(shape, dtype) for _ in range(3)))

    @property
    def weighted(self) -> bool:
        """Whether these are sums of weights."""
        return self.true.dtype == np.float64

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the counts of some of the proteins."""
        return type(self)(self.true[chosen], self.false[chosen], self.unknown[chosen])

    def summed(self) -> Self:
        """Return the sums over the first axis, that of proteins."""
        return type(self)(self.true.sum(axis=0), self.false.sum(axis=0), self.unknown.sum(axis=0))

    def combine(self, other: Self) -> Self:
        """Combine the counts of two tasks.

        Raises
        ------
        ValueError
            If the two differ in layers or heads, or one is weighted and the other is not.
        """
        if self.true.shape != other.true.shape or self.weighted != other.weighted:
            raise ValueError(
                f"cannot combine {self.true.dtype} {self.true.shape} and {other.true.dtype} {other.true.shape}"
            )
        return type(self)(self.true + other.true, self.false + other.false, self.unknown + other.unknown)

    def rest(self, *, paper: bool = False) -> NDArray[Any]:
        """Return false; in the paper's form, where unknown counts as false, + unknown."""
        rest: NDArray[Any] = self.false + self.unknown if paper else self.false
        return rest

    def total(self, *, paper: bool = False) -> NDArray[Any]:
        """Return true + rest."""
        total: NDArray[Any] = self.true + self.rest(paper=paper)
        return total

    def share(self, *, paper: bool = False) -> Floats:
        """Return true / total, float64; NaN if the total is 0.

        Vig et al. 2021, Eq. 1: p_α(f) = Σ_x Σ_i Σ_j f(i,j)·1[α_ij > θ] / Σ_x Σ_i Σ_j 1[α_ij > θ] with θ = 0.3, here
        with α_ij ≥ θ and, except in the paper's form, over the arcs with f known. In weighted form both indicators are
        multiplied by α_ij.
        """
        return divide(self.true, self.total(paper=paper))


@dataclass(frozen=True, eq=False)
class Reading:
    """The counts of a segment's proteins, from any tier.

    Attributes
    ----------
    arcs
        Numbers of arcs, [proteins, layers, heads]; for a curve [proteins, codes, layers, heads], with one row for all
        proteins if they need not be distinguished.
    sums
        Values of the share: in weighted form Σα, else the same numbers.
    low, high
        Bounds of those sums; None if they are exact.
    pairs_true, pairs_known
        Pairs of the background, int64 [proteins]; None for the kinds 'separation' and 'none'.
    separation
        The background of kind 'separation', of the proteins that are reported; else None.
    selection_separation
        The same for the proteins on which heads are ranked, if these are others.
    told_apart
        Whether the rows are single proteins; otherwise one row is for all.
    """

    arcs: Counts
    sums: Counts
    low: Counts | None
    high: Counts | None
    pairs_true: NDArray[np.int64] | None
    pairs_known: NDArray[np.int64] | None
    separation: SeparationBackground | None
    selection_separation: SeparationBackground | None = None
    told_apart: bool = True

    def take(self, chosen: NDArray[np.bool_]) -> Reading:
        """Return what was read of some of the proteins."""
        return replace(
            self,
            arcs=self.arcs.take(chosen),
            sums=self.sums.take(chosen),
            low=None if self.low is None else self.low.take(chosen),
            high=None if self.high is None else self.high.take(chosen),
            pairs_true=None if self.pairs_true is None else self.pairs_true[chosen],
            pairs_known=None if self.pairs_known is None else self.pairs_known[chosen],
        )


@dataclass(frozen=True, eq=False)
class Sample:
    """All sums over some proteins; its size is independent of their number.

    Attributes
    ----------
    counts : arcs, or sums of weights, by the value of the predicate
    low, high : bounds of those sums; None if they are exact
    arcs : int64 [layers, heads], arcs in the denominator
    background, bootstrap : of the ratio of sums; None if not requested
    holders : number of clusters with arcs; None if proteins were not distinguished
    macro : the mean of clusters' shares, with its own background and bootstrap; None if not requested
    proteins : number of them
    """

    counts: Counts
    low: Counts | None
    high: Counts | None
    arcs: NDArray[np.int64]
    background: Background | None
    bootstrap: PoissonBootstrap | None
    holders: Holders | None
    macro: MacroAverage | None
    proteins: int

    @classmethod
    def partial(cls, measure: Measure, reading: Reading, clusters: Clusters) -> Self:
        """Sum the proteins of one task."""
        sums, paper = reading.sums, measure.paper
        macro = measure.average == "macro"
        bootstrap = None
        if measure.replicates and not macro:
            weights = replicate_weights(clusters.keys, measure.replicates, measure.seed)
            bootstrap = PoissonBootstrap.partial(sums.true, sums.total(paper=paper), weights)
        held = sums.total(paper=paper) > 0
        return cls(
            counts=sums.summed(),
            low=None if reading.low is None else reading.low.summed(),
            high=None if reading.high is None else reading.high.summed(),
            arcs=reading.arcs.total(paper=paper).sum(axis=0),
            background=None if macro else _background(measure, reading),
            bootstrap=bootstrap,
            holders=_holders(held, clusters) if reading.told_apart else None,
            macro=_macro(measure, reading, clusters) if macro else None,
            proteins=len(clusters.keys),
        )

    def combine(self, other: Self) -> Self:
        """Combine the sums of two tasks."""

        def both(name: str) -> Any:
            mine, theirs = getattr(self, name), getattr(other, name)
            return None if mine is None else mine.combine(theirs)

        return type(self)(
            self.counts.combine(other.counts),
            both("low"),
            both("high"),
            self.arcs + other.arcs,
            both("background"),
            both("bootstrap"),
            both("holders"),
            both("macro"),
            self.proteins + other.proteins,
        )


def _background(measure: Measure, reading: Reading) -> Background | None:
    if measure.background == "none":
        return None
    if measure.background == "separation":
        return reading.separation
    assert reading.pairs_true is not None
    assert reading.pairs_known is not None
    if measure.background == "protein":
        return ProteinBackground.partial(reading.sums.total(), reading.pairs_true, reading.pairs_known)
    return PooledBackground(measure.background, int(reading.pairs_true.sum()), int(reading.pairs_known.sum()))


def _holders(held: NDArray[np.bool_], clusters: Clusters) -> Holders:
    """Count the clusters with arcs, from bool [proteins, …, layers, heads], where … is a curve's codes."""
    if held.ndim == 3:
        return Holders.partial(clusters, held.astype(np.uint8))
    codes = held.shape[1]
    highest = np.where(held.any(axis=1), codes - np.argmax(held[:, ::-1], axis=1), 0)
    return Holders.partial(clusters, highest.astype(np.uint8), codes)


def _macro(measure: Measure, reading: Reading, clusters: Clusters) -> MacroAverage:
    values: dict[str, NDArray[Any]] = {"true": reading.sums.true, "total": reading.sums.total()}
    if reading.low is not None and reading.high is not None:
        values |= {
            "low_true": reading.low.true,
            "low_rest": reading.low.rest(),
            "high_true": reading.high.true,
            "high_rest": reading.high.rest(),
        }
    if reading.pairs_true is not None and reading.pairs_known is not None and measure.background != "none":
        values |= {"expected": reading.pairs_true, "matched": reading.pairs_known}
        if measure.background == "protein":
            share = divide(reading.pairs_true, reading.pairs_known)[:, None, None]
            matched = np.where(np.isfinite(share), values["total"], 0)
            values |= {"expected": np.where(np.isfinite(share), share, 0.0) * matched, "matched": matched}
    return MacroAverage.partial(clusters, values, measure.replicates, measure.seed)


@dataclass(frozen=True, eq=False)
class Halves:
    """The reported sample and, if heads are ranked on another one, that sample."""

    reported: Sample
    selection: Sample | None

    @classmethod
    def partial(cls, measure: Measure, reading: Reading, clusters: Clusters) -> Self:
        """Sum the proteins of one task, each in its half."""
        if not measure.split:
            return cls(Sample.partial(measure, reading, clusters), None)
        reported = held_out(clusters.keys, measure.seed)
        return cls(
            Sample.partial(measure, reading.take(reported), clusters.take(reported)),
            Sample.partial(
                measure.of_selection,
                replace(reading.take(~reported), separation=reading.selection_separation),
                clusters.take(~reported),
            ),
        )

    def combine(self, other: Self) -> Self:
        """Combine the halves of two tasks."""
        selection = None
        if self.selection is not None and other.selection is not None:
            selection = self.selection.combine(other.selection)
        return type(self)(self.reported.combine(other.reported), selection)
