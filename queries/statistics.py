"""From counts of arcs to shares, intervals, tests and adjusted p-values, for all heads at once.

Every array is [layers, heads]. An arc is an ordered pair of residues whose weight in a head is at least
the threshold and which passes WHERE. What is summed over proteins is a partial that combines over tasks
(`Counts` here, the others in `bootstrap` and `background`); what is a function of the sums is below.

The intervals by Wilson and Wald and the z-tests take arcs for independent draws, as the method they follow
does. Arcs of one protein are not, so p-values are too small; the bootstrap interval does not assume it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control, norm
from statsmodels.stats.proportion import proportion_confint

from .background import Background, PooledBackground, divide
from .bootstrap import PoissonBootstrap

Floats = NDArray[np.float64]

_PAPER_ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Counts:
    """Arcs of every head by what the predicate f says of them.

    Attributes
    ----------
    true, false, unknown
        Arcs where f is TRUE, FALSE and NULL, [layers, heads]: numbers of arcs, int64 and exact, or in
        weighted form sums of their weights Σα, float64. All three of one form; the dtype says which.
    """

    true: NDArray[Any]
    false: NDArray[Any]
    unknown: NDArray[Any]

    def __post_init__(self) -> None:
        arrays = (self.true, self.false, self.unknown)
        if self.true.ndim != 2 or len({array.shape for array in arrays}) != 1:
            raise ValueError(f"need [layers, heads] three times, not {[array.shape for array in arrays]}")
        if {array.dtype for array in arrays} not in ({np.dtype(np.int64)}, {np.dtype(np.float64)}):
            raise ValueError(f"need int64 or float64 three times, not {[str(a.dtype) for a in arrays]}")

    @classmethod
    def empty(cls, layers: int, heads: int, *, weighted: bool = False) -> Self:
        """Return the counts of no proteins, neutral in `combine`."""
        dtype = np.float64 if weighted else np.int64
        return cls(*(np.zeros((layers, heads), dtype) for _ in range(3)))

    @property
    def weighted(self) -> bool:
        """Whether these are sums of weights."""
        return self.true.dtype == np.float64

    def combine(self, other: Self) -> Self:
        """Return the counts of both tasks' proteins.

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

    def total(self, *, paper: bool = False) -> NDArray[Any]:
        """Return true + false; in the paper's form, which takes unknown for false, + unknown."""
        known: NDArray[Any] = self.true + self.false
        return known + self.unknown if paper else known

    def share(self, *, paper: bool = False) -> Floats:
        """Return true / total, float64; NaN where the total is 0.

        Vig et al. 2021, Eq. 1: p_α(f) = Σ_x Σ_i Σ_j f(i,j)·1[α_ij > θ] / Σ_x Σ_i Σ_j 1[α_ij > θ] with
        θ = 0.3, here with α_ij ≥ θ and, but for the paper's form, over the arcs with f known. In weighted
        form α_ij stands beside both indicators.
        """
        return divide(self.true, self.total(paper=paper))


class ZTest(NamedTuple):
    """Two-sided z-tests, float64 [layers, heads] each; NaN where there is nothing to test.

    `log10_p` stays finite where `p` underflows to 0 (|z| above 38).
    """

    z: Floats
    p: Floats
    log10_p: Floats


def _nothing(shape: tuple[int, ...]) -> Floats:
    return np.full(shape, math.nan)


def _interval(true: ArrayLike, total: ArrayLike, alpha: float, method: str) -> tuple[Floats, Floats]:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    successes = np.asarray(true, np.float64)
    trials = np.asarray(total, np.float64)
    low, high = proportion_confint(successes, np.where(trials > 0, trials, math.nan), alpha=alpha, method=method)
    return np.asarray(low, np.float64), np.asarray(high, np.float64)


def wilson_interval(true: ArrayLike, total: ArrayLike, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Return the score interval of a proportion at confidence 1 − alpha.

    (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n), with z the 1 − alpha/2 quantile of the normal
    distribution (Wilson 1927, "Probable inference, the law of succession, and statistical inference").

    Returns
    -------
    low, high
        float64, within [0, 1]; NaN where the total is 0.

    Raises
    ------
    ValueError
        If alpha is not between 0 and 1.
    """
    return _interval(true, total, alpha, "wilson")


def wald_interval(true: ArrayLike, total: ArrayLike, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Return the Wald interval of a proportion, p ± z·√(p(1 − p)/n), cut at 0 and 1.

    That of Vig et al. 2021, who take alpha = 0.05/m, m the number of heads with more than 100 arcs. It
    collapses to a point at p = 0 and p = 1; elsewhere `wilson_interval` is to be preferred.

    Returns
    -------
    low, high
        float64, within [0, 1]; NaN where the total is 0.

    Raises
    ------
    ValueError
        If alpha is not between 0 and 1.
    """
    return _interval(true, total, alpha, "normal")


def _two_sided(difference: Floats, variance: Floats) -> ZTest:
    # Without variance both shares are 0 or both are 1: 0/0, and nothing to test.
    z = divide(difference, np.sqrt(np.where(variance > 0, variance, 0.0)))
    tail = norm.logsf(np.abs(z))
    return ZTest(z, 2 * norm.sf(np.abs(z)), (math.log(2) + tail) / math.log(10))


def two_proportion_test(true: ArrayLike, total: ArrayLike, bg_true: float, bg_known: float) -> ZTest:
    """Test the share of every head against a measured background, two-sided.

    z = (p₁ − p₂) / √(p(1 − p)(1/n₁ + 1/n₂)) with p₁ = true/total, p₂ = bg_true/bg_known and the pooled
    p = (true + bg_true)/(total + bg_known): the z-test of Vig et al. 2021, as statsmodels'
    ``proportions_ztest`` has it. Positive z: the head's share exceeds the background.
    """
    k, n = np.asarray(true, np.float64), np.asarray(total, np.float64)
    background = float(bg_true), float(bg_known)
    pooled = divide(k + background[0], n + background[1])
    variance = pooled * (1 - pooled) * (divide(1, n) + divide(1, background[1]))
    return _two_sided(divide(k, n) - divide(background[0], background[1]), variance)


def one_sample_test(true: ArrayLike, total: ArrayLike, expected: ArrayLike) -> ZTest:
    """Test the share of every head against the head's own expectation, two-sided.

    z = (p − e) / √(e(1 − e)/n) with p = true/total, n = total and e the expectation, which is taken as
    known: the score test, whose inversion is the Wilson interval; ``proportions_ztest`` of statsmodels
    with ``value=e, prop_var=e``. For the backgrounds matched to a head, which have no sample size of
    their own.
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
    adjusted = _nothing(p.shape)
    if ranked.any():
        tested = p[ranked]
        defined = np.isfinite(tested)
        adjusted[ranked] = np.where(defined, false_discovery_control(np.where(defined, tested, 1.0)), math.nan)
    return adjusted


def summarise(
    counts: Counts,
    background: Background,
    bootstrap: PoissonBootstrap | None = None,
    *,
    paper: bool = False,
    min_arcs: int = 100,
    level: float = 0.95,
    arcs: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[Any]]:
    """Assemble every statistic of every head from the sums over all proteins.

    Parameters
    ----------
    counts
        Arcs by the value of the predicate; its form, counted or weighted, is that of the result.
    background
        Of any kind. Against a pooled one the test is `two_proportion_test`, against one matched to the
        head `one_sample_test`.
    bootstrap
        Made with the same total as the share: with `paper`, unknown included. Without it the bootstrap
        interval is NaN.
    paper
        The form of Vig et al. 2021: unknown counts as FALSE, a head is ranked with *more than* `min_arcs`
        arcs, and Wald intervals at alpha = 0.05/m, m the number of ranked heads, are added.
    min_arcs
        A head is ranked if it has at least so many arcs in its total.
    level
        Confidence of the Wilson and the bootstrap interval.
    arcs
        Numbers of arcs to rank by, for the weighted form, where the total is Σα. Without it the total
        is used, and as Σα does not exceed the number of arcs, no head is ranked that has too few.

    Returns
    -------
    dict of ndarray [layers, heads]
        - ``share``: `Counts.share`; ``count``, ``total``, ``unknown``: arcs TRUE, arcs in the
          denominator, arcs NULL (int64; Σα, float64, in weighted form);
        - ``background``; ``enrichment``: share / background, NaN where the background is 0;
        - ``wilson_low``, ``wilson_high``, ``bootstrap_low``, ``bootstrap_high``;
        - ``z``, ``p``, ``log10_p``, and over the ranked heads ``p_bonferroni``, ``p_bh``;
        - ``ranked``: bool;
        - with `paper`, ``wald_low``, ``wald_high``, of the ranked heads.

        In weighted form z, p-values, Wilson and Wald intervals are NaN: sums of weights are no binomial
        counts. What is undefined is NaN throughout.

    Raises
    ------
    ValueError
        If shapes differ or `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    true, total = counts.true, counts.total(paper=paper)
    shape = true.shape
    expected = np.asarray(background.finalise(), np.float64)
    if expected.shape not in ((), shape):
        raise ValueError(f"counts are {shape} and the background is {expected.shape}")
    if bootstrap is not None and bootstrap.proteins.shape != shape:
        raise ValueError(f"counts are {shape} and the bootstrap is {bootstrap.proteins.shape}")
    ranking = total if arcs is None else np.asarray(arcs)
    if ranking.shape != shape:
        raise ValueError(f"counts are {shape} and arcs are {ranking.shape}")
    expected = np.broadcast_to(expected, shape).copy()
    ranked = ranking > min_arcs if paper else ranking >= min_arcs
    share = counts.share(paper=paper)

    if counts.weighted:
        test = ZTest(*(_nothing(shape) for _ in range(3)))
        wilson = _nothing(shape), _nothing(shape)
    else:
        wilson = wilson_interval(true, total, 1 - level)
        if isinstance(background, PooledBackground):
            test = two_proportion_test(true, total, background.pairs_true, background.pairs_known)
        else:
            test = one_sample_test(true, total, expected)
    resampled = (_nothing(shape), _nothing(shape)) if bootstrap is None else bootstrap.finalise(level)

    result: dict[str, NDArray[Any]] = {
        "share": share,
        "count": true,
        "total": total,
        "unknown": counts.unknown,
        "background": expected,
        "enrichment": divide(share, expected),
        "wilson_low": wilson[0],
        "wilson_high": wilson[1],
        "bootstrap_low": resampled[0],
        "bootstrap_high": resampled[1],
        "z": test.z,
        "p": test.p,
        "p_bonferroni": bonferroni(test.p, ranked),
        "p_bh": benjamini_hochberg(test.p, ranked),
        "log10_p": test.log10_p,
        "ranked": ranked,
    }
    if paper:
        wald = _nothing(shape), _nothing(shape)
        if ranked.any() and not counts.weighted:
            wald = wald_interval(true, total, _PAPER_ALPHA / np.count_nonzero(ranked))
        result["wald_low"], result["wald_high"] = (np.where(ranked, bound, math.nan) for bound in wald)
    return result
