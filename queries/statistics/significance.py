"""Tests of a head's share against its background, and corrections for testing many heads.

They assume independent arcs, as the method of the paper does. Arcs of one protein are not independent, so p-values are
too small; the bootstrap interval does not assume it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control, norm

from .background import divide

Floats = NDArray[np.float64]


class ZTest(NamedTuple):
    """Two-sided z-tests, float64 [layers, heads] each; NaN if there is nothing to test.

    `log10_p` stays finite where `p` underflows to 0 (``|z|`` above 38).
    """

    z: Floats
    p: Floats
    log10_p: Floats

    @classmethod
    def undefined(cls, shape: tuple[int, ...]) -> ZTest:
        """Return NaN throughout."""
        return cls(*np.full((3, *shape), math.nan))


def _two_sided(difference: Floats, variance: Floats) -> ZTest:
    # Without variance both shares are 0 or both are 1: 0/0, and nothing to test.
    z = divide(difference, np.sqrt(np.where(variance > 0, variance, 0.0)))
    tail = norm.logsf(np.abs(z))
    return ZTest(z, 2 * norm.sf(np.abs(z)), (math.log(2) + tail) / math.log(10))


def two_proportion_test(true: ArrayLike, total: ArrayLike, bg_true: float, bg_known: float) -> ZTest:
    """Test the share of every head against a measured background, two-sided.

    z = (p₁ − p₂) / √(p(1 − p)(1/n₁ + 1/n₂)) with p₁ = true/total, p₂ = bg_true/bg_known and the pooled
    p = (true + bg_true)/(total + bg_known): the z-test for the difference of two proportions with pooled
    variance that Vig et al. 2021 use. Positive z: the head's share exceeds the background.
    """
    k, n = np.asarray(true, np.float64), np.asarray(total, np.float64)
    background = float(bg_true), float(bg_known)
    pooled = divide(k + background[0], n + background[1])
    variance = pooled * (1 - pooled) * (divide(1, n) + divide(1, background[1]))
    return _two_sided(divide(k, n) - divide(background[0], background[1]), variance)


def one_sample_test(true: ArrayLike, total: ArrayLike, expected: ArrayLike) -> ZTest:
    """Test the share of every head against the head's own expectation, two-sided.

    z = (p − e) / √(e(1 − e)/n) with p = true/total, n = total and e the expectation, which is assumed to be known: the
    score test, whose inversion is the Wilson interval. It is used for the backgrounds matched to a head, which have no
    sample size of their own.
    """
    k, n = np.asarray(true, np.float64), np.asarray(total, np.float64)
    e = np.asarray(expected, np.float64)
    return _two_sided(divide(k, n) - e, divide(e * (1 - e), n))


def bonferroni(p: Floats, ranked: NDArray[np.bool_]) -> Floats:
    """Return min(1, m·p) of the ranked heads, NaN elsewhere; m is their number (Bonferroni 1936)."""
    return np.where(ranked, np.minimum(p * np.count_nonzero(ranked), 1.0), math.nan)


def benjamini_hochberg(p: Floats, ranked: NDArray[np.bool_]) -> Floats:
    """Return p-values of the ranked heads adjusted for the false discovery rate, NaN elsewhere.

    The i-th smallest becomes min over j ≥ i of p₍ⱼ₎·m/j, at most 1, m the number of ranked heads
    (Benjamini & Hochberg 1995, "Controlling the false discovery rate"). A ranked head without a p-value
    counts as 1 in m, and stays NaN.
    """
    adjusted = np.full(p.shape, math.nan)
    if ranked.any():
        tested = p[ranked]
        defined = np.isfinite(tested)
        adjusted[ranked] = np.where(defined, false_discovery_control(np.where(defined, tested, 1.0)), math.nan)
    return adjusted
