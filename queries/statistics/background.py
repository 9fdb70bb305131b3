"""The share of TRUE that is expected if attention is independent of the predicate.

b(f) is the share of TRUE among the pairs that pass WHERE and have f known. The kinds differ in the pairs that are
counted: all of them, those of the proteins with a head's arcs, or those at the separations of a head's arcs. Each kind
is a partial result that combines over tasks and is then finalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _tally(values: ArrayLike) -> NDArray[Any]:
    """Return `values` as int64 if they are counts, as float64 if they are sums of weights."""
    array = np.asarray(values)
    return array.astype(np.float64 if np.issubdtype(array.dtype, np.floating) else np.int64)


def divide(numer: ArrayLike, denom: ArrayLike) -> NDArray[np.float64]:
    """Divide elementwise, broadcasting; NaN, without a warning, for a divisor of 0."""
    a, b = np.broadcast_arrays(np.asarray(numer, np.float64), np.asarray(denom, np.float64))
    result = np.full(a.shape, math.nan)
    np.divide(a, b, out=result, where=b != 0)
    return result


@dataclass(frozen=True)
class PooledBackground:
    """One background for all heads: Σ pairs TRUE / Σ pairs known, over all proteins.

    Kind 'eligible' counts every pair that passes WHERE. Kind 'paper' is that of Vig et al. 2021, §4: for a pair
    property the pairs with f known at a separation of 6 and more, for a property of one residue the residues, where an
    unlabelled one counts as negative. The arithmetic is the same; the caller counts.

    Attributes
    ----------
    kind
        'eligible' or 'paper'.
    pairs_true, pairs_known
        Exact counts (Python integers, so that no number of proteins overflows them).
    """

    kind: Literal["eligible", "paper"]
    pairs_true: int = 0
    pairs_known: int = 0

    def __post_init__(self) -> None:
        # A NumPy integer would overflow at 2⁶³; a Python integer grows.
        object.__setattr__(self, "pairs_true", int(self.pairs_true))
        object.__setattr__(self, "pairs_known", int(self.pairs_known))
        if not 0 <= self.pairs_true <= self.pairs_known:
            raise ValueError(f"{self.pairs_true} pairs TRUE of {self.pairs_known} known cannot be")

    def combine(self, other: Self) -> Self:
        """Combine the backgrounds of two tasks.

        Raises
        ------
        ValueError
            If the two have different kinds.
        """
        if self.kind != other.kind:
            raise ValueError(f"cannot combine a background '{self.kind}' with one '{other.kind}'")
        return type(self)(self.kind, self.pairs_true + other.pairs_true, self.pairs_known + other.pairs_known)

    def finalise(self) -> float:
        """Return b = pairs_true / pairs_known; NaN if no pair is known."""
        return self.pairs_true / self.pairs_known if self.pairs_known else math.nan


@dataclass(frozen=True, eq=False)
class ProteinBackground:
    """Background matched to the proteins with a head's arcs.

    Σ_p n[p,h]·b[p] / Σ_p n[p,h], over the proteins with b[p] defined, where n[p,h] is the number of arcs of head h in
    protein p with f known (or their Σα) and b[p] the share of TRUE among the pairs of p that pass WHERE with f known:
    direct standardisation. So a head that attends mostly in small proteins, where contacts are dense, is compared with
    small proteins.

    Attributes
    ----------
    expected
        Σ_p n[p,h]·b[p], float64 [layers, heads] (for a curve: thresholds before them). A sum of fractions, so the
        order of combining may change the last bits.
    arcs
        Σ_p n[p,h], int64 (float64 in weighted form), of the same shape.
    """

    kind: ClassVar[Literal["protein"]] = "protein"
    expected: NDArray[np.float64]
    arcs: NDArray[Any]

    def __post_init__(self) -> None:
        if self.expected.shape != self.arcs.shape:
            raise ValueError(f"need [layers, heads] twice, not {self.expected.shape} and {self.arcs.shape}")

    @classmethod
    def empty(cls, *shape: int, weighted: bool = False) -> Self:
        """Return the partial result of no proteins, neutral in `combine`."""
        return cls(np.zeros(shape), np.zeros(shape, np.float64 if weighted else np.int64))

    @classmethod
    def partial(cls, arcs_per_protein: ArrayLike, pairs_true: ArrayLike, pairs_known: ArrayLike) -> Self:
        """Sum over the proteins of one task.

        Parameters
        ----------
        arcs_per_protein
            Arcs with f known (or their Σα), [proteins, layers, heads] or [proteins, thresholds, …].
        pairs_true, pairs_known
            Pairs that pass WHERE with f TRUE, and with f known, [proteins].

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        arcs = _tally(arcs_per_protein)
        true, known = np.asarray(pairs_true), np.asarray(pairs_known)
        if arcs.ndim < 1 or not true.shape == known.shape == arcs.shape[:1]:
            raise ValueError(
                f"need [proteins, layers, heads] and twice [proteins], not {arcs.shape}, {true.shape} and {known.shape}"
            )
        defined = known > 0
        share = true[defined] / known[defined]
        return cls(np.tensordot(share, arcs[defined].astype(np.float64), axes=1), arcs[defined].sum(axis=0))

    def combine(self, other: Self) -> Self:
        """Combine the backgrounds of two tasks.

        Raises
        ------
        ValueError
            If the two differ in layers or heads.
        """
        if self.arcs.shape != other.arcs.shape:
            raise ValueError(f"cannot combine shapes {self.arcs.shape} and {other.arcs.shape}")
        return type(self)(self.expected + other.expected, self.arcs + other.arcs)

    def finalise(self) -> NDArray[np.float64]:
        """Return the background of every head, float64; NaN for a head without arcs."""
        return divide(self.expected, self.arcs)


@dataclass(frozen=True, eq=False)
class SeparationBackground:
    """Background matched to the separations of a head's arcs.

    Σ_s n[h,s]·b[s] / Σ_s n[h,s], over the separations s with b[s] defined, where n[h,s] is the number of arcs of head h
    at sequence separation s = |i − j| with f known (or their Σα) and b[s] the share of TRUE among all pairs at s, of
    all proteins, that pass WHERE with f known. Contacts are frequent at small separations, and so is attention; this
    background is the share that follows from that only.

    Attributes
    ----------
    arcs_by_separation
        n, int64 (float64 in weighted form) [layers, heads, S]; index s on the last axis.
    pairs_true_by_separation, pairs_known_by_separation
        int64 [S]. S is one more than the largest separation in the task, and may differ between tasks.
    """

    kind: ClassVar[Literal["separation"]] = "separation"
    arcs_by_separation: NDArray[Any]
    pairs_true_by_separation: NDArray[np.int64]
    pairs_known_by_separation: NDArray[np.int64]

    def __post_init__(self) -> None:
        arcs, true = self.arcs_by_separation, self.pairs_true_by_separation
        known = self.pairs_known_by_separation
        if arcs.ndim != 3 or not true.shape == known.shape == arcs.shape[2:]:
            raise ValueError(f"need [layers, heads, S] and twice [S], not {arcs.shape}, {true.shape} and {known.shape}")

    @classmethod
    def empty(cls, layers: int, heads: int, *, weighted: bool = False) -> Self:
        """Return the partial result of no proteins, neutral in `combine`."""
        arcs = np.zeros((layers, heads, 0), np.float64 if weighted else np.int64)
        return cls(arcs, np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def partial(cls, arcs: ArrayLike, pairs_true: ArrayLike, pairs_known: ArrayLike) -> Self:
        """Make the sums of one task: [layers, heads, S], [S] and [S]; ValueError if they do not fit."""
        return cls(_tally(arcs), np.asarray(pairs_true, np.int64), np.asarray(pairs_known, np.int64))

    def combine(self, other: Self) -> Self:
        """Combine the backgrounds of two tasks; the result is as long as the longer one.

        Raises
        ------
        ValueError
            If the two differ in layers or heads.
        """
        ours, theirs = self.arcs_by_separation, other.arcs_by_separation
        if ours.shape[:2] != theirs.shape[:2]:
            raise ValueError(f"cannot combine shapes {ours.shape} and {theirs.shape}")
        length = max(ours.shape[2], theirs.shape[2])

        def add(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
            total = np.zeros((*a.shape[:-1], length), np.result_type(a, b))
            total[..., : a.shape[-1]] += a
            total[..., : b.shape[-1]] += b
            return total

        return type(self)(
            add(ours, theirs),
            add(self.pairs_true_by_separation, other.pairs_true_by_separation),
            add(self.pairs_known_by_separation, other.pairs_known_by_separation),
        )

    def finalise(self) -> NDArray[np.float64]:
        """Return the background of every head, float64 [layers, heads]; NaN for a head without arcs."""
        defined = self.pairs_known_by_separation > 0
        share = self.pairs_true_by_separation[defined] / self.pairs_known_by_separation[defined]
        arcs = self.arcs_by_separation[..., defined]
        return divide(arcs.astype(np.float64) @ share, arcs.sum(axis=-1))


Background = PooledBackground | ProteinBackground | SeparationBackground
