"""Intervals of a proportion that assume independent arcs, for all heads at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]


def wilson_interval(true: ArrayLike, total: ArrayLike, alpha: ArrayLike = 0.05) -> tuple[Floats, Floats]:
    """Return the score interval of a proportion at confidence 1 − alpha.

    (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n), with z the 1 − alpha/2 quantile of the normal
    distribution (Wilson 1927, "Probable inference, the law of succession, and statistical inference").

    Returns
    -------
    low, high : ndarray
        float64, within [0, 1]; NaN if the total is 0.

    Raises
    ------
    ValueError
        If alpha is not between 0 and 1.
    """
    share, trials, z = _arguments(true, total, alpha)
    stretched = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / stretched
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / stretched
    # Only rounding can lead outside of [0, 1].
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def wald_interval(true: ArrayLike, total: ArrayLike, alpha: ArrayLike = 0.05) -> tuple[Floats, Floats]:
    """Return the Wald interval of a proportion, p ± z·√(p(1 − p)/n), cut at 0 and 1.

    This is the interval of Vig et al. 2021, who use alpha = 0.05/m, m the number of heads with more than 100 arcs. It
    collapses to a point at p = 0 and p = 1; elsewhere prefer `wilson_interval`.

    Returns
    -------
    low, high : ndarray
        float64, within [0, 1]; NaN if the total is 0.

    Raises
    ------
    ValueError
        If alpha is not between 0 and 1.
    """
    share, trials, z = _arguments(true, total, alpha)
    half = z * np.sqrt(share * (1 - share) / trials)
    return np.clip(share - half, 0, 1), np.clip(share + half, 0, 1)


def _arguments(true: ArrayLike, total: ArrayLike, alpha: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return shares and totals (NaN if a total is 0), and the 1 − alpha/2 quantile of the normal distribution."""
    level = np.asarray(alpha, np.float64)
    if not ((level > 0) & (level < 1)).all():
        raise ValueError(f"alpha must lie between 0 and 1, not {level}")
    counts = np.asarray(total, np.float64)
    trials = np.where(counts > 0, counts, math.nan)
    return np.asarray(true, np.float64) / trials, trials, np.asarray(norm.isf(level / 2), np.float64)
