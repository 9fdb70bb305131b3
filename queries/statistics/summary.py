"""From sums over all proteins to shares, intervals, tests and adjusted p-values, for all heads at once.

The sums are in `samples`, with their parts in `background`, `bootstrap` and `macro`; each combines over tasks.
Functions of the sums are in `intervals` and `significance`. This module combines them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .background import PooledBackground, divide
from .cluster_intervals import cluster_interval
from .intervals import wald_interval, wilson_interval
from .macro import share_bounds
from .measure import Measure
from .ranking import lower_bounds, rank_heads
from .samples import Halves, Sample
from .significance import ZTest, benjamini_hochberg, bonferroni, one_sample_test, two_proportion_test

_PAPER_ALPHA = 0.05


def summarise(
    sample: Sample, measure: Measure, *, tests: bool = True, among: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[Any]]:
    """Compute every statistic of every head from the sums over all proteins.

    Parameters
    ----------
    sample
        Of all tasks.
    measure
        The measure of the sums. In the paper's form (Vig et al. 2021) unknown counts as FALSE, a head is ranked with
        *more than* `min_arcs` arcs, and Wald intervals at alpha = 0.05/m, m the number of ranked heads, are added.
    tests
        Whether to test heads against their background; not for a curve, which would test each head two hundred times.
    among
        Heads that may be ranked, bool; all of them by default.

    Returns
    -------
    dict of ndarray
        - ``share``: `Counts.share`, or the mean of `MacroAverage`; ``count``, ``total``, ``unknown``: arcs
          TRUE, arcs in the denominator, arcs NULL (int64; Σα, float64, in weighted form);
        - where weights are approximate, ``share_min``, ``share_max``;
        - with a background, ``background`` and ``enrichment``: share / background, NaN where that is 0;
        - ``clusters``: int64, how many clusters (proteins, unless `cluster_by` says otherwise) have a total above 0;
          absent where proteins were not read apart;
        - ``wilson_low``, ``wilson_high``; with replicates, ``bootstrap_low``, ``bootstrap_high``, by
          `cluster_interval`;
        - with a background and `tests`: ``z``, ``p``, ``log10_p`` (against a pooled background by
          `two_proportion_test`, against one matched to the head by `one_sample_test`), and over the ranked
          heads ``p_bonferroni``, ``p_bh``;
        - ``ranked``: bool, whether the head has enough arcs, in enough proteins; ``rank``: int64, by `rank_heads`;
        - in the paper's form, ``wald_low``, ``wald_high``, of the ranked heads.

        Wilson and Wald intervals, z and p-values are NaN in weighted form, because sums of weights are not binomial
        counts, and for a macro-average: a mean of shares is not a share of a number of trials, and its variance is that
        between clusters, which the bootstrap estimates. Undefined values are NaN.
    """
    counts, paper = sample.counts, measure.paper
    true, total = counts.true, counts.total(paper=paper)
    ranked = sample.arcs > measure.min_arcs if paper else sample.arcs >= measure.min_arcs
    estimate = _estimate(sample, measure)
    if "clusters" in estimate:
        ranked &= estimate["clusters"] >= measure.min_proteins
    ranked = ranked if among is None else ranked & among
    result: dict[str, NDArray[Any]] = {
        "share": estimate["share"],
        "count": true,
        "total": total,
        "unknown": counts.unknown,
        **estimate,
        "ranked": ranked,
    }
    binomial = not counts.weighted and sample.macro is None
    undefined = np.full(true.shape, math.nan)
    wilson = wilson_interval(true, total, 1 - measure.level) if binomial else (undefined, undefined)
    result |= {"wilson_low": wilson[0], "wilson_high": wilson[1]}
    if "background" in result:
        result["enrichment"] = divide(result["share"], result["background"])
        if tests:
            test = _test(sample, result) if binomial else ZTest.undefined(true.shape)
            result |= {
                "z": test.z,
                "p": test.p,
                "p_bonferroni": bonferroni(test.p, ranked),
                "p_bh": benjamini_hochberg(test.p, ranked),
                "log10_p": test.log10_p,
            }
    result["rank"] = rank_heads(result, measure.rank_by, paper=paper)
    if paper:
        heads = np.maximum(np.count_nonzero(ranked, axis=(-2, -1), keepdims=True), 1)
        wald = wald_interval(true, total, _PAPER_ALPHA / heads) if binomial else (undefined, undefined)
        result |= {"wald_low": np.where(ranked, wald[0], math.nan), "wald_high": np.where(ranked, wald[1], math.nan)}
    return result


def _estimate(sample: Sample, measure: Measure) -> dict[str, NDArray[Any]]:
    """Share, clusters, bounds, background and bootstrap interval, of the ratio of sums or of the mean of shares."""
    shape = sample.counts.true.shape
    if sample.macro is not None:
        means = sample.macro.finalise()
        found: dict[str, NDArray[Any]] = {name: mean.finalise() for name, mean in means.means.items()}
        found["clusters"] = means.clusters
        bootstrap, sums = means.bootstrap, (means.means["share"].numer, means.means["share"].denom)
    else:
        found = {"share": sample.counts.share(paper=measure.paper)}
        if sample.low is not None and sample.high is not None:
            low, high, paper = sample.low, sample.high, measure.paper
            found["share_min"], found["share_max"] = share_bounds(
                low.true, low.rest(paper=paper), high.true, high.rest(paper=paper), found["share"]
            )
        if sample.background is not None:
            found["background"] = np.asarray(sample.background.finalise(), np.float64)
        if sample.holders is not None:
            found["clusters"] = sample.holders.finalise().reshape(shape)
        bootstrap, sums = sample.bootstrap, (sample.counts.true, sample.counts.total(paper=measure.paper))
    if "background" in found:
        found["background"] = np.broadcast_to(found["background"], shape).copy()
    if bootstrap is not None:
        ends = cluster_interval(bootstrap, *sums, found["clusters"], measure.level)
        found["bootstrap_low"], found["bootstrap_high"] = ends
    return found


def _test(sample: Sample, result: Mapping[str, NDArray[Any]]) -> ZTest:
    background = sample.background
    if isinstance(background, PooledBackground):
        return two_proportion_test(result["count"], result["total"], background.pairs_true, background.pairs_known)
    return one_sample_test(result["count"], result["total"], result["background"])


def summarise_halves(halves: Halves, measure: Measure) -> dict[str, NDArray[Any]]:
    """Compute every statistic, with heads ranked on one half of the clusters if the measure asks for it.

    The largest of many noisy shares is large partly by luck, so the share by which a head was chosen overstates it: the
    winner's curse, E[max_h p̂_h] ≥ max_h E[p̂_h] (Jensen's inequality), strictly so if luck may decide which head is
    first. On clusters that were not used in the choice, the share, its interval and its p-value are those of one head
    fixed beforehand, and unbiased. The price is half of the data.

    Parameters
    ----------
    halves : Halves
        Of all tasks.
    measure : Measure
        What they were made for.

    Returns
    -------
    dict of ndarray
        [layers, heads] each, as from `summarise` for the reported half. With a selection ``ranked`` requires enough
        arcs and proteins in both halves, and there are ``selection_share``, ``selection_count``, ``selection_total`` of
        the other half, ``selection_lower``, the lower bound of its interval, if heads are ranked by that, and
        ``selection_rank``: int64, its ``rank``. There is no ``rank`` of the reported half.
    """
    if halves.selection is None:
        return summarise(halves.reported, measure)
    chosen = summarise(halves.selection, measure.of_selection, tests=False)
    rank = chosen["rank"]
    reported = summarise(halves.reported, measure, among=rank > 0)
    del reported["rank"]
    lower = {"selection_lower": lower_bounds(chosen)} if measure.rank_by == "lower" else {}
    return {
        **reported,
        "selection_share": chosen["share"],
        **lower,
        "selection_count": chosen["count"],
        "selection_total": chosen["total"],
        "selection_rank": rank,
    }
