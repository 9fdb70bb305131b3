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
    """Measure how each head's attention aligns with a property of residue pairs; see :meth:`attnstore.Store.align`."""
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
