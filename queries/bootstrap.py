"""Bootstrap of a head's share over whole proteins, in pieces that never meet.

The arcs of one protein are not independent of one another, so an interval that treats them as coin
tosses is too narrow. The bootstrap draws whole proteins instead. The classical bootstrap fixes the number
of draws, so it has to see every protein before it can draw; the Poisson bootstrap gives each protein an
independent Poisson(1) weight per replicate, and a task can therefore work on its own proteins alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PERSON = b"attnstore-boot/1"
_SEED_BYTES = 16


def _poisson_thresholds() -> NDArray[np.uint64]:
    """Return floor(2⁶⁴·P(W ≤ k)) for W ~ Poisson(1), k = 0, 1, …, while below 2⁶⁴ − 1."""
    # Decimal and not float: exp is correctly rounded, so every machine gets the same sixty-four bits.
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


def replicate_weights(keys: Sequence[str], replicates: int, seed: int) -> NDArray[np.uint8]:
    """Draw the Poisson(1) weight of every cluster in every replicate.

    The weights of a cluster derive from `seed` and its key alone, whatever the task, process, order or
    company it is drawn in, and the first B replicates are the same however many are asked for:

    1. ``digest = blake2b(seed as 16 little-endian bytes + key in UTF-8, digest_size=16,
       person=b"attnstore-boot/1")``;
    2. the digest, as two little-endian 64-bit words, is the key of a Philox4x64-10 generator (Salmon et
       al. 2011) with its counter at zero; its r-th output u_r serves replicate r;
    3. the weight is the inverse of the Poisson(1) distribution at u_r / 2⁶⁴: the number of k with
       floor(2⁶⁴·P(W ≤ k)) ≤ u_r.

    Only the raw outputs of Philox are used: NumPy keeps those fixed between versions, and does not
    promise it of the distributions it builds upon them.

    Parameters
    ----------
    keys
        Name of the cluster of each protein. Proteins with the same key are drawn together.
    replicates
        Number of replicates B, at least 1.
    seed
        Integer in [0, 2¹²⁸).

    Returns
    -------
    ndarray of uint8, shape [B, len(keys)]
        At most 20: the thresholds resolve no rarer weight.

    Raises
    ------
    ValueError
        If `replicates` or `seed` is out of range.
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, not {replicates}")
    if not 0 <= seed < 2 ** (8 * _SEED_BYTES):
        raise ValueError(f"seed must lie in [0, 2**128), not {seed}")
    prefix = seed.to_bytes(_SEED_BYTES, "little")
    # One generator, set anew for every key: making one costs more than drawing from it.
    generator = np.random.Philox(0)
    zero = np.zeros(4, np.uint64)
    weights = np.empty((len(keys), replicates), dtype=np.uint8)
    for row, key in zip(weights, keys, strict=True):
        digest = hashlib.blake2b(prefix + key.encode(), digest_size=16, person=_PERSON).digest()
        generator.state = {
            "bit_generator": "Philox",
            "state": {
                "counter": zero,
                "key": np.frombuffer(digest, "<u8").astype(np.uint64),
            },
            "buffer": zero,
            "buffer_pos": 4,  # an empty buffer
            "has_uint32": 0,
            "uinteger": 0,
        }
        row[:] = np.searchsorted(_THRESHOLDS, generator.random_raw(replicates), side="right")
    return weights.T


@dataclass(frozen=True, eq=False)
class PoissonBootstrap:
    """Replicate sums of a ratio, resampled over proteins with Poisson(1) weights.

    In replicate r the share of a head is Σ_p w[r,p]·true[p] / Σ_p w[r,p]·total[p], w[r,p] ~ Poisson(1)
    independently. Being a ratio, it does not feel that Σ_p w[r,p] varies between replicates, which is
    where the Poisson bootstrap and the classical one differ. Memory does not grow with the proteins.

    Sources: Hanley & MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson
    frequencies"; Chamandy, Muralidharan, Najmi & Naidu 2012, "Estimating uncertainty for massive data
    streams". Intervals: Efron & Tibshirani 1993, "An introduction to the bootstrap", §13.3.

    Attributes
    ----------
    numer, denom
        float64 [replicates, layers, heads]. From counts they hold integers, exact below 2⁵³, so that
        the order of combining cannot show; from weights they are exact to rounding.
    proteins
        int64 [layers, heads], the proteins with a total above 0 in the head.
    """

    numer: NDArray[np.float64]
    denom: NDArray[np.float64]
    proteins: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.numer.ndim != 3 or not self.numer.shape == self.denom.shape == (
            self.numer.shape[:1] + self.proteins.shape
        ):
            raise ValueError(
                "numer and denom must be [replicates, layers, heads] and proteins [layers, heads], not "
                f"{self.numer.shape}, {self.denom.shape} and {self.proteins.shape}"
            )

    @classmethod
    def empty(cls, replicates: int, layers: int, heads: int) -> Self:
        """Return the partial of no proteins, neutral in `combine`."""
        shape = (replicates, layers, heads)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape[1:], np.int64))

    @classmethod
    def partial(cls, true_per_protein: ArrayLike, total_per_protein: ArrayLike, weights: NDArray[np.uint8]) -> Self:
        """Sum the proteins of one task into every replicate.

        Parameters
        ----------
        true_per_protein, total_per_protein
            Numerator and denominator of the share, [proteins, layers, heads], counts or Σα. In the
            paper's form the total holds the arcs where the predicate is unknown, too.
        weights
            From `replicate_weights`, [replicates, proteins].

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        true, total = np.asarray(true_per_protein), np.asarray(total_per_protein)
        if true.ndim != 3 or true.shape != total.shape:
            raise ValueError(f"need [proteins, layers, heads] twice, not {true.shape} and {total.shape}")
        proteins, layers, heads = true.shape
        if weights.ndim != 2 or weights.shape[1] != proteins:
            raise ValueError(f"need [replicates, {proteins}] weights, not {list(weights.shape)}")
        # float64 and not int64, as only floats have a fast matrix product.
        factors = weights.astype(np.float64)

        def replicate_sums(values: NDArray[np.generic]) -> NDArray[np.float64]:
            flat = values.reshape(proteins, layers * heads).astype(np.float64)
            sums: NDArray[np.float64] = (factors @ flat).reshape(len(factors), layers, heads)
            return sums

        contributing = np.count_nonzero(total > 0, axis=0).astype(np.int64)
        return cls(replicate_sums(true), replicate_sums(total), contributing)

    def combine(self, other: Self) -> Self:
        """Return the partial of both tasks' proteins; the tasks must not share any.

        Raises
        ------
        ValueError
            If the two differ in replicates, layers or heads.
        """
        if self.numer.shape != other.numer.shape:
            raise ValueError(f"cannot combine shapes {self.numer.shape} and {other.numer.shape}")
        return type(self)(self.numer + other.numer, self.denom + other.denom, self.proteins + other.proteins)

    def finalise(self, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the percentile interval of the replicate shares.

        Its ends are the quantiles (1 − level)/2 and (1 + level)/2 of the replicate ratios, with linear
        interpolation (Efron & Tibshirani 1993, eq. 13.5). Replicates that drew no protein of the head
        have no ratio and are left out.

        Returns
        -------
        low, high
            float64 [layers, heads]; NaN where fewer than two proteins contribute, since one protein
            says nothing of how proteins differ.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, not {level}")
        drawn = self.denom > 0
        ratio = np.full(self.numer.shape, math.nan)
        np.divide(self.numer, self.denom, out=ratio, where=drawn)
        # numpy.nanquantile walks the heads one by one in Python; sorting puts the NaN last for all at once.
        ratio.sort(axis=0)
        last = np.maximum(np.count_nonzero(drawn, axis=0) - 1, 0)

        def quantile(q: float) -> NDArray[np.float64]:
            position = q * last
            below = np.floor(position).astype(np.intp)
            above = np.minimum(below + 1, last)
            lower = np.take_along_axis(ratio, below[None], axis=0)[0]
            upper = np.take_along_axis(ratio, above[None], axis=0)[0]
            value: NDArray[np.float64] = lower + (upper - lower) * (position - below)
            return np.where(self.proteins >= 2, value, math.nan)

        return quantile((1 - level) / 2), quantile((1 + level) / 2)
