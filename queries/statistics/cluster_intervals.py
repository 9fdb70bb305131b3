"""Intervals of a share that draw whole clusters of proteins, and are valid with few clusters, too."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from .background import divide
from .bootstrap import PoissonBootstrap

Floats = NDArray[np.float64]

#: With fewer clusters there is no interval.
MIN_CLUSTERS = 5

#: A standard error below this is rounding.
_NO_VARIANCE = 1e-9


def cluster_interval(
    bootstrap: PoissonBootstrap, true: ArrayLike, total: ArrayLike, clusters: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the interval of a ratio of sums over clusters: Wilson's, with moments from the bootstrap.

    With y[c] the total of cluster c, Y = Σy, p = Σtrue / Y, e[c] = true[c] − p·y[c], and the sums of powers of e
    and y from the replicates (`PoissonBootstrap.moments`):

    1. the variance is Σe²/Y² · (1 + 2·Σe²y / (Σe²·Y)), to first order that of the jackknife Σ(e / (1 − y/Y))²/Y²:
       a large cluster pulls the ratio towards itself, and its residual is too small (Mancl & DeRouen 2001,
       "A covariance estimator for GEE with improved small-sample properties", Biometrics 57:126);
    2. n* = p(1 − p) / variance is the number of independent arcs with that variance. At p = 0 and 1, where the
       variance is not informative, n* is the effective number of clusters n_e = Y²/Σy² (Kish 1965, "Survey sampling",
       §11.7): as if all arcs of a cluster were one;
    3. t is Student's quantile with ν degrees of freedom, 1/ν = 1/(n_e − 1) + 1/(B − 1), at least 1: clusters, and
       replicates, from which the variance is estimated;
    4. to the side where the residuals are skewed, γ = Σe³ / (Σe²)^1.5, t grows by ``|γ|`` (1 + 2t²)/6 (Johnson 1978,
       "Modified t tests and confidence intervals for asymmetrical populations", JASA 73:536); to the other side
       Johnson's would shrink by as much, and does not here;
    5. the ends are those of Wilson's score interval with n* for n and these t for z (Dean & Pagano 2015,
       "Evaluating confidence interval methods for binomial proportions in clustered surveys", JSSAM 3:484), so
       that they are within 0 and 1 and do not collapse there.

    Percentiles of the replicates cover too little with few clusters, and collapse at 0 and 1;
    ``benchmarks/interval_coverage.py`` simulates both.

    Parameters
    ----------
    bootstrap : PoissonBootstrap
        Bootstrap of the same sums.
    true, total : array_like
        Sums over all clusters, […]; 0 ≤ true ≤ total.
    clusters : array_like
        Number of clusters with a total above 0, […].
    level : float, default 0.95
        Confidence.

    Returns
    -------
    low, high : ndarray
        float64 […]; NaN for fewer than `MIN_CLUSTERS` clusters or two replicates.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    numer, denom = np.asarray(true, np.float64), np.asarray(total, np.float64)
    share = divide(numer, denom)
    replicates = len(bootstrap.numer)
    known = (np.asarray(clusters) >= MIN_CLUSTERS) & (replicates > 1) & np.isfinite(share)
    p, whole = np.where(known, share, 0.5), np.where(known, denom, 1.0)
    moments = bootstrap.moments(p, whole)
    leverage = np.clip(divide(moments.e2y, moments.e2 * whole), 0.0, 1.0)
    variance = moments.e2 / whole**2 * (1 + 2 * leverage)
    effective = np.maximum(divide(whole**2, moments.y2), 1.0)
    degrees = np.maximum(1 / (divide(1, effective - 1) + 1 / max(replicates - 1, 1)), 1.0)
    t = stdtrit(np.where(np.isfinite(degrees), degrees, 1.0), (1 + level) / 2)
    varies = (numer > 0) & (numer < denom) & (variance > _NO_VARIANCE**2)
    trials = np.where(varies, divide(p * (1 - p), variance), effective)
    skew = np.where(varies, np.clip(divide(moments.e3, moments.e2**1.5), -1.0, 1.0), 0.0)
    stretch = np.abs(skew) * (1 + 2 * t**2) / 6
    low = _score_end(p, trials, t + np.where(skew < 0, stretch, 0.0), -1)
    high = _score_end(p, trials, t + np.where(skew > 0, stretch, 0.0), 1)
    return np.where(known, low, math.nan), np.where(known, high, math.nan)


def _score_end(p: Floats, trials: Floats, t: Floats, side: int) -> Floats:
    """Return one end of the score interval: the root q, on that side of p, of (p − q)² = t²·q(1 − q)/trials."""
    square = t**2 / trials
    end = (p + square / 2 + side * np.sqrt(square * (p * (1 - p) + square / 4))) / (1 + square)
    clipped: Floats = np.clip(end, 0.0, 1.0)
    return clipped


#: Replicate sums, and the sums over all clusters that they resample.
Resampled = tuple[PoissonBootstrap, float, float]


def difference_interval(one: Resampled, other: Resampled, clusters: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the difference of two ratios whose replicates draw the same clusters.

    d ± t·s, with s² the variance over replicates of the difference of the linearised ratios,
    (numer − p·denom) / Y (the delta method; Davison & Hinkley 1997, §2.7.2), and t Student's quantile with
    1/ν = 1/(clusters − 1) + 1/(replicates − 1).

    Parameters
    ----------
    one, other : Resampled
        Replicates, numerator and denominator of each ratio.
    clusters : int
        Number of clusters that both have.
    level : float, default 0.95
        Confidence.

    Returns
    -------
    low, high : float
        NaN if a ratio is not defined, or for fewer than `MIN_CLUSTERS` clusters or two replicates.
    """
    replicates = len(one[0].numer)
    if clusters < MIN_CLUSTERS or replicates < 2 or not (one[2] > 0 and other[2] > 0):
        return math.nan, math.nan
    shares = [numer / denom for _, numer, denom in (one, other)]
    first, second = (
        (sums.numer - share * sums.denom) / denom for (sums, _, denom), share in zip((one, other), shares, strict=True)
    )
    error = math.sqrt(np.square(first - second).mean())
    degrees = max(1 / (1 / (clusters - 1) + 1 / (replicates - 1)), 1.0)
    reach = float(stdtrit(degrees, (1 + level) / 2)) * error
    return shares[0] - shares[1] - reach, shares[0] - shares[1] + reach
