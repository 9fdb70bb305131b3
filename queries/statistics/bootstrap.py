"""Bootstrap of a head's share over whole clusters of proteins, in parts that combine over tasks.

The arcs of one protein are not independent, so an interval that treats them as coin tosses is too narrow. The bootstrap
draws whole proteins instead, or whole families of them. The classical bootstrap fixes the number of draws, so it has to
know every protein before it can draw; the Poisson bootstrap gives each cluster an independent Poisson(1) weight per
replicate, so a task can process its own proteins only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache, lru_cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PERSON = b"attnstore-boot/1"
SEED_BYTES = 16


def _poisson_thresholds() -> NDArray[np.uint64]:
    """Return floor(2⁶⁴·P(W ≤ k)) for W ~ Poisson(1), k = 0, 1, …, while below 2⁶⁴ − 1."""
    # Decimal instead of float: exp is correctly rounded, so every machine gets the same sixty-four bits.
    with localcontext() as context:
        context.prec = 60
        term = Decimal(-1).exp()
        cumulative = Decimal(0)
        thresholds: list[int] = []
        while True:
            cumulative += term
            threshold = int(cumulative * 2**64)
            if threshold >= 2**64 - 1:
                return np.array(thresholds, dtype=np.uint64)
            thresholds.append(threshold)
            term /= len(thresholds)


_THRESHOLDS = _poisson_thresholds()


@cache
def _poisson_table() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the weight for the upper 16 bits of a number, and whether the lower ones can increase it."""
    first = np.arange(1 << 16, dtype=np.uint64) << np.uint64(48)
    least, most = (
        np.searchsorted(_THRESHOLDS, first + np.uint64(rest), side="right").astype(np.uint8)
        for rest in (0, (1 << 48) - 1)
    )
    return least, least < most


def _poisson(uniform: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return how many thresholds are ≤ each number: by table, and by binary search for the few that need it."""
    least, undecided = _poisson_table()
    upper = uniform >> np.uint64(48)
    weights: NDArray[np.uint8] = least[upper]
    searched = undecided[upper]
    weights[searched] = np.searchsorted(_THRESHOLDS, uniform[searched], side="right")
    return weights


# As many as the segments of a store of 8 G entries: the next question is usually about the same store.
@lru_cache(maxsize=64)
def _cached_weights(keys: tuple[str, ...], replicates: int, seed: int) -> NDArray[np.uint8]:
    prefix = seed.to_bytes(SEED_BYTES, "little")
    # One generator, reset for every key: making one costs more than drawing from it.
    generator = np.random.Philox(0)
    zero = np.zeros(4, np.uint64)
    raw = np.empty((len(keys), replicates), np.uint64)
    digests = [hashlib.blake2b(prefix + key.encode(), digest_size=16, person=_PERSON).digest() for key in keys]
    words = np.frombuffer(b"".join(digests), "<u8").astype(np.uint64).reshape(len(keys), 2)
    for row, state in zip(raw, words, strict=True):
        generator.state = {
            "bit_generator": "Philox",
            "state": {
                "counter": zero,
                "key": state,
            },
            "buffer": zero,
            "buffer_pos": 4,  # an empty buffer
            "has_uint32": 0,
            "uinteger": 0,
        }
        row[:] = generator.random_raw(replicates)
    weights = _poisson(raw).T
    # Cached and returned again for the same question.
    weights.flags.writeable = False
    return weights


def replicate_weights(keys: Sequence[str], replicates: int, seed: int) -> NDArray[np.uint8]:
    """Draw the Poisson(1) weight of every cluster in every replicate.

    The weights of a cluster depend only on `seed` and its key, not on the task, process, order or other clusters, and
    the first B replicates are the same however many are requested:

    1. ``digest = blake2b(seed as 16 little-endian bytes + key in UTF-8, digest_size=16,
       person=b"attnstore-boot/1")``;
    2. the digest, as two little-endian 64-bit words, is the key of a Philox4x64-10 generator (Salmon et
       al. 2011) with its counter at zero; its r-th output u_r serves replicate r;
    3. the weight is the inverse of the Poisson(1) distribution at u_r / 2⁶⁴: the number of k with
       floor(2⁶⁴·P(W ≤ k)) ≤ u_r.

    Only the raw outputs of Philox are used: NumPy keeps those fixed between versions, but not the distributions that it
    builds on them.

    Parameters
    ----------
    keys : sequence of str
        Name of the cluster of each protein. Proteins with the same key are drawn together.
    replicates : int
        Number of replicates B, at least 1.
    seed : int
        Integer in [0, 2¹²⁸).

    Returns
    -------
    ndarray
        uint8 [B, len(keys)], at most 20: rarer weights are below the resolution of the thresholds. Read-only.

    Raises
    ------
    ValueError
        If `replicates` or `seed` is out of range.
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, not {replicates}")
    if not 0 <= seed < 2 ** (8 * SEED_BYTES):
        raise ValueError(f"seed must lie in [0, 2**128), not {seed}")
    return _cached_weights(tuple(keys), replicates, seed)


@dataclass(frozen=True, eq=False)
class PoissonBootstrap:
    """Replicate sums of a ratio, resampled over clusters of proteins with Poisson(1) weights.

    Replicate r has Σ_c w[r,c]·true[c] and Σ_c w[r,c]·total[c], w[r,c] ~ Poisson(1), independent between clusters and
    equal within one. Every cumulant of Poisson(1) is 1, so the moments of the replicate sums are, without bias, sums of
    powers over clusters: `moments`. A cluster's proteins may be in different tasks, and memory does not grow with the
    proteins.

    Sources: Hanley & MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson
    frequencies"; Chamandy, Muralidharan, Najmi & Naidu 2012, "Estimating uncertainty for massive data
    streams"; of clusters: Davison & Hinkley 1997, "Bootstrap methods and their application", §3.8.

    Attributes
    ----------
    numer, denom : ndarray
        float64 [replicates, …], … being mostly layers and heads. From counts they hold integers, exact below 2⁵³, so
        that the order of combining cannot show; from weights they are exact to rounding.
    """

    numer: NDArray[np.float64]
    denom: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.numer.ndim < 1 or self.numer.shape != self.denom.shape:
            raise ValueError(
                f"numer and denom must be [replicates, layers, heads], not {self.numer.shape} and {self.denom.shape}"
            )

    @classmethod
    def empty(cls, replicates: int, *shape: int) -> Self:
        """Return the partial result of no proteins, neutral in `combine`."""
        none = np.zeros((replicates, *shape))
        return cls(none, none)

    @classmethod
    def partial(cls, true_per_protein: ArrayLike, total_per_protein: ArrayLike, weights: NDArray[np.uint8]) -> Self:
        """Sum the proteins of one task into every replicate.

        Parameters
        ----------
        true_per_protein, total_per_protein : array_like
            Numerator and denominator of the share, [proteins, …], counts or Σα. In the paper's form the total holds the
            arcs where the predicate is unknown, too.
        weights : ndarray
            From `replicate_weights`, for the clusters of these proteins.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        true, total = np.asarray(true_per_protein), np.asarray(total_per_protein)
        if true.ndim < 1 or true.shape != total.shape:
            raise ValueError(f"need [proteins, layers, heads] twice, not {true.shape} and {total.shape}")
        if weights.shape[1] != len(true):
            raise ValueError(f"need weights of {len(true)} proteins, not of {weights.shape[1]}")
        # float64 instead of int64, because only floats have a fast matrix product; one product rather than two.
        values = np.stack([true, total], axis=1).astype(np.float64)
        sums = np.tensordot(weights.astype(np.float64), values, axes=1)
        return cls(sums[:, 0], sums[:, 1])

    def combine(self, other: Self) -> Self:
        """Combine the partial results of two tasks; the tasks must not share a protein.

        Raises
        ------
        ValueError
            If the two differ in replicates, layers or heads.
        """
        if self.numer.shape != other.numer.shape:
            raise ValueError(f"cannot combine shapes {self.numer.shape} and {other.numer.shape}")
        return type(self)(self.numer + other.numer, self.denom + other.denom)

    def moments(self, share: NDArray[np.float64], total: NDArray[np.float64]) -> Moments:
        """Estimate sums over clusters of powers of a cluster's total y and residual e = true − share · y.

        In replicate r, L = numer − share · denom has mean Σe = 0 and cumulants Σe², Σe³, …; denom − total has
        mean 0 and variance Σy²; the third joint cumulant of L, L and denom is Σe²y.

        Parameters
        ----------
        share, total : ndarray
            The ratio of the sums over all clusters, and the sum of totals.
        """
        residual = self.numer - share * self.denom
        beyond = self.denom - total
        number = len(self.numer)
        square = residual * residual

        def mean(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
            found: NDArray[np.float64] = np.einsum("r...,r...->...", one, other) / number
            return found

        return Moments(
            e2=mean(residual, residual), e3=mean(square, residual), e2y=mean(square, beyond), y2=mean(beyond, beyond)
        )


class Moments(NamedTuple):
    """Sums over clusters, float64 […]: of e², e³, e²·y and y², y a cluster's total and e its residual."""

    e2: NDArray[np.float64]
    e3: NDArray[np.float64]
    e2y: NDArray[np.float64]
    y2: NDArray[np.float64]
