"""Alignment: of each head's attention, the share that goes to pairs where a predicate is true."""

import json
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arguments import MAX_RESIDUES, check_text
from ..catalog.reader import connect
from ..errors import QueryError
from ..runtime import time_limit
from .alignment import Alignment
from .engine.align_tasks import run
from .engine.schedule import execute
from .engine.vectors import directory, evaluate_terms
from .plan.align_plan import AlignPlan, plan_alignment
from .provenance import provenance
from .sql.condition import parse
from .sql.dialect import read
from .sql.literals import warn_of_case
from .statistics.clusters import Clusters, assign, held_out, read_keys
from .statistics.curve import at_thresholds, thresholds
from .statistics.descriptions import describe, interval_kind
from .statistics.measure import Measure, check_measure
from .statistics.samples import Halves, Sample
from .statistics.summary import summarise, summarise_halves

if TYPE_CHECKING:
    from distributed import Client

    from ..opened import Model, Store


@time_limit.limited
def align(
    store: "Store",
    predicate: str,
    *,
    where: str | None = None,
    threshold: float | str | None = "auto",
    weighted: bool = False,
    background: str = "eligible",
    paper: bool = False,
    model: str | None = None,
    average: str = "micro",
    cluster_by: str = "protein",
    split: bool = False,
    min_arcs: int = 100,
    min_proteins: int | None = None,
    rank_by: str | None = None,
    level: float = 0.95,
    replicates: int | None = None,
    seed: int = 0,
    tier: Literal["marginals", "arcs", "codes"] | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
    timeout: float | None = None,
) -> Alignment:
    """Measure how each head's attention aligns with a property of residue pairs.

    The count form is p(f) = arcs where f is true / arcs where f is known, an arc being an ordered pair with
    attention ≥ θ (Vig et al. 2021, eq. 1, which counts unknown as false: `paper`). The weighted form is
    Σα where f is true / Σα where f is known.

    Parameters
    ----------
    store : Store
    predicate : f, an SQL condition over ``source.*``, ``target.*``, ``protein.*``, ``pair.*``, ``separation``,
        ``distance``, ``distance_ca``, ``contact`` and ``contact_ca``
    where : pairs for which this is not true take no part
    threshold : θ; 'auto' is 0.3 in the count form and none in the weighted form; None is every edge of the
        codebook and 0, in one pass: the curve of the share against the threshold
    weighted : the weighted form
    background : 'eligible' (all pairs that pass `where` and that the model can attend to), 'separation' (matched to
        each head's separations), 'protein' (matched to the proteins that hold its arcs), 'paper', or 'none', without
        which there is no enrichment and no test
    paper : the paper's form: unknown counts as false, its background, its ranking (by share, heads with more than
        `min_arcs` arcs), Wald intervals at 0.05/m
    model : name; may be left out where the store has one
    average : 'micro', the ratio of sums over all proteins, or 'macro', the mean over clusters of a cluster's own
        share, in which each counts once; it has a background and a bootstrap interval in kind, and no test
        (see :class:`~attnstore.queries.statistics.macro.MacroAverage`)
    cluster_by : what the bootstrap draws, `average` averages and `split` divides: 'protein', or a column of
        proteins, such as a sequence cluster, so that homologous families count once; where it is NULL a
        protein stands alone
    split : rank heads on one half of the clusters and report them on the other, for a head picked as the largest
        of many on the same data looks better than it is (see
        :func:`~attnstore.queries.statistics.summary.summarise_halves`)
    min_arcs : a head with fewer known arcs is marked, not ranked (`paper`: with as many or fewer)
    min_proteins : nor is a head whose known arcs lie in fewer proteins (clusters, with `cluster_by`); by default 5,
        the least for which there is an interval, and 0 in the paper's form, which has no such minimum
    rank_by : what heads are ranked by: 'lower', the lower bound of the interval, so that few arcs of few proteins
        do not lead by luck; 'share'; or 'enrichment'. By default 'lower', and 'share' in the paper's form and where
        there is no interval. Heads whose share is below their background come last, save in the paper's form
    level : confidence of the Wilson and bootstrap intervals
    replicates : of the bootstrap over clusters, from which the interval is made (see
        :func:`~attnstore.queries.statistics.cluster_intervals.cluster_interval`; none of fewer than five clusters);
        0 for none; by default 1,000 at one threshold, and none for a curve, of which every replicate is as large as
        the curve. With fewer than 200 intervals are wider than they need be
    seed : of the bootstrap and of the halves
    tier : 'marginals', 'arcs' or 'codes', to force one; a curve from arcs begins at the arc floor
    scheduler : a Dask client or a scheduler's address, to spread the segments over a cluster that sees the
        store under the same path; by default threads
    progress : draw a progress bar on standard error
    timeout : seconds that the answer may take; None for any number

    Returns
    -------
    Alignment
        An `xarray.Dataset` over (layer, head), of a curve (threshold, layer, head); what was asked stands in its
        attributes. A curve has no tests: thresholds that were scanned ask for another correction than heads.

    Raises
    ------
    QueryError
        If the question cannot be answered; the message quotes the clause and names the cure.
    StoreError
        If what is read is damaged.
    """
    check_text("predicate", predicate)
    if where is not None:
        check_text("where", where)
    check_text("cluster_by", cluster_by)
    chosen = store.model(model)
    measure = check_measure(
        curve=threshold is None,
        weighted=weighted,
        paper=paper,
        background=background,
        average=average,
        cluster_by=cluster_by,
        split=split,
        min_arcs=min_arcs,
        min_proteins=min_proteins,
        rank_by=rank_by,
        level=level,
        replicates=replicates,
        seed=seed,
    )
    if not chosen.manifest.segments:
        raise QueryError(f"model {chosen.name} has nothing committed yet: run its ingest again.")
    path = store.catalog_path
    catalog = directory(path)
    with time_limit.closing(connect(path)) as connection:
        clauses = [
            parse(text, clause=name, columns=catalog.columns)
            for name, text in (("predicate", predicate), ("where", where))
            if text is not None
        ]
        warn_of_case(connection, [read(clause.text) for clause in clauses], catalog.columns)
        plan = plan_alignment(chosen, measure, clauses, threshold, tier, catalog.columns)
        keys = read_keys(connection, cluster_by)
        vectors = plan.scans.with_separations(evaluate_terms(connection, plan.expressions))
    if paper:
        _warn_unlike_the_paper(chosen)
    places = [catalog.places(segment) for segment in chosen.segments]
    clusters = assign(keys, places)
    _check_halves(measure, clusters)
    tasks = [
        partial(run, plan.scans, measure, segment, vectors.select(place, segment.proteins.stored.tolist()), own)
        for segment, place, own in zip(chosen.segments, places, clusters, strict=True)
    ]
    halves = execute(tasks, Halves.combine, scheduler=scheduler, progress=progress)
    if plan.scans.curve:
        sample = at_thresholds(halves.reported)
        return _result(store, plan, measure, chosen, clusters, sample, summarise(sample, measure, tests=False))
    return _result(store, plan, measure, chosen, clusters, halves.reported, summarise_halves(halves, measure))


def _warn_unlike_the_paper(model: "Model") -> None:
    longest = max(int(segment.proteins.stored.max()) for segment in model.segments)
    if longest > MAX_RESIDUES:
        warnings.warn(
            f"model {model.name} holds proteins of up to {longest} residues; the paper truncated at {MAX_RESIDUES}: "
            f"`attnstore.ingest.ingest(store.path, model=MODEL, name=NAME, max_residues={MAX_RESIDUES})` makes it "
            "comparable.",
            stacklevel=3,
        )


def _keys(clusters: Sequence[Clusters]) -> list[str]:
    """The key of every cluster that the segments hold, once."""
    return sorted({key for each in clusters for key in each.keys})


def _check_halves(measure: Measure, clusters: Sequence[Clusters]) -> None:
    """Refuse to split what does not fall into two halves."""
    if not measure.split:
        return
    keys = _keys(clusters)
    reported = int(held_out(keys, measure.seed).sum())
    if reported in (0, len(keys)):
        number = "is 1 cluster" if len(keys) == 1 else f"are {len(keys)} clusters"
        raise QueryError(
            f"split=True leaves one half empty: with cluster_by={measure.cluster_by!r} there {number}; "
            "ask without it, or with another seed (seed=1)."
        )


def _result(
    store: "Store",
    plan: AlignPlan,
    measure: Measure,
    model: "Model",
    clusters: Sequence[Clusters],
    sample: Sample,
    statistics: dict[str, Any],
) -> Alignment:
    keys = _keys(clusters)
    reported = int(held_out(keys, measure.seed).sum()) if measure.split else len(keys)
    attributes: dict[str, Any] = {
        "predicate": plan.predicate.text,
        "where": plan.where.text if plan.where is not None else "",
        "model": model.name,
        "form": "weighted" if measure.weighted else "count",
        "paper": int(measure.paper),
        "background": measure.background,
        "average": measure.average,
        "cluster_by": measure.cluster_by,
        "clusters": reported,
        "split": int(measure.split),
        "min_arcs": measure.min_arcs,
        "min_proteins": measure.min_proteins,
        "rank_by": measure.rank_by,
        "interval": interval_kind(measure),
        "level": measure.level,
        "replicates": measure.replicates,
        "seed": measure.seed,
        "proteins": sample.proteins,
        "tier": plan.choice.tier,
        "tier_reason": plan.choice.reason,
        "exact": int(plan.choice.exact),
    }
    if measure.split:
        attributes["selection_clusters"] = len(keys) - reported
        attributes["selection_proteins"] = sum(len(each.keys) for each in clusters) - sample.proteins
    # Attributes of a NetCDF file are text and numbers.
    origin = provenance(store, [model.name])
    attributes |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in origin.items()}
    layers, heads = sample.arcs.shape[-2:]
    coordinates = {"layer": np.arange(layers), "head": np.arange(heads)}
    if sample.arcs.ndim == 3:
        first = model.codebook.code_of(plan.threshold)
        assert first is not None
        coordinates = {"threshold": thresholds(model.codebook, first), **coordinates}
    else:
        attributes["threshold"] = float(f"{plan.threshold:.7g}")
    return Alignment(
        {
            name: (tuple(coordinates), values, {"description": describe(name, measure)})
            for name, values in statistics.items()
        },
        coords=coordinates,
        attrs=attributes,
    )
