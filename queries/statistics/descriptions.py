"""Descriptions of each number of an alignment."""

from .cluster_intervals import MIN_CLUSTERS
from .measure import Measure

_INDEPENDENT = "which assumes independent arcs; they are not"


def interval_kind(measure: Measure) -> str:
    """The kind of the interval that is printed: 'bootstrap over …', 'Wilson' or 'none'."""
    if measure.replicates > 1:
        return f"bootstrap over {clusters_of(measure.cluster_by)}"
    return "none" if measure.weighted or measure.average == "macro" else "Wilson"


def clusters_of(cluster_by: str) -> str:
    """The units that are drawn, counted and averaged: 'proteins', or 'clusters by' a column."""
    return "proteins" if cluster_by == "protein" else f"clusters by {cluster_by}"


def describe(name: str, measure: Measure) -> str:
    """The attribute `description` of a variable of an alignment."""
    what = "attention weight" if measure.weighted else "arcs"
    taken = "the predicate true, false or unknown" if measure.paper else "the predicate known"
    units = clusters_of(measure.cluster_by)
    level = f"{100 * measure.level:g} %"
    ranking = {"lower": "the lower bound of the interval", "share": "share", "enrichment": "enrichment"}
    test = "two-sided z-test against the background, " + _INDEPENDENT
    half = " in the half on which heads were ranked"
    words = {
        "share": f"mean of the shares of {units}" if measure.average == "macro" else "count / total",
        "count": f"{what} with the predicate true",
        "total": f"{what} with {taken}",
        "unknown": f"{what} with the predicate unknown",
        "clusters": f"number of {units} that hold the head's arcs with {taken}",
        "background": f"the same share of pairs, of kind {measure.background}",
        "enrichment": "share / background",
        "z": f"statistic of a {test}",
        "p": f"p of a {test}",
        "log10_p": f"log10 of the p of a {test}",
        "p_bonferroni": "p times the number of ranked heads (Bonferroni), at most 1",
        "p_bh": "p adjusted for the false discovery rate among ranked heads (Benjamini and Hochberg)",
        "share_min": "least share that the bounds of the weights allow",
        "share_max": "largest share that the bounds of the weights allow",
        "ranked": "whether the head has enough arcs and proteins to be ranked",
        "rank": f"1 for the first head by {ranking[measure.rank_by]}; 0 for a head that is not ranked",
        "selection_share": "share" + half,
        "selection_lower": "lower bound of the interval" + half,
        "selection_count": f"{what} with the predicate true" + half,
        "selection_total": f"{what} with {taken}" + half,
        "selection_rank": f"1 for the first head by {ranking[measure.rank_by]}" + half + "; 0 for one not ranked there",
    }
    kind, _, end = name.rpartition("_")
    intervals = {
        "bootstrap": f"of the {level} interval by a bootstrap over {units}; undefined for fewer than {MIN_CLUSTERS}",
        "wilson": f"of the {level} interval of Wilson, " + _INDEPENDENT,
        "wald": "of the Wald interval at confidence 1 − 0.05/m, m the number of ranked heads, " + _INDEPENDENT,
    }
    if kind in intervals:
        return {"low": "lower end ", "high": "upper end "}[end] + intervals[kind]
    return words[name]
