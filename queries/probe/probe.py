"""Linear probes: how much of a property can be read off each layer (Vig et al. 2021, section on probing)."""

import json
import operator
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arguments import check_text
from ...catalog.reader import connect
from ...errors import QueryError
from ...format.documents import ingest_with, lacking
from ...runtime import time_limit
from ...runtime.libraries import bar
from ..engine.schedule import execute
from ..engine.vectors import directory, evaluate_terms
from ..provenance import provenance
from ..sql.dialect import read
from ..sql.literals import warn_of_case
from ..statistics.clusters import read_keys
from .features import Source
from .labels import read_condition
from .probe_result import Probing, summarise_probes
from .probe_split import Split
from .probe_tasks import DIVISORS, Metric, Performance, Probe, ProbePart, count, gather, measure_probe

if TYPE_CHECKING:
    from distributed import Client

    from ...opened import Model, Store

#: The tier that each kind of probe needs, and why no other is enough.
_TIERS: Mapping[Source, tuple[str, str]] = {
    "embeddings": ("hidden", "representations of residues are probed from hidden"),
    "attention": ("codes", "attention is probed from codes, which hold every weight; arcs lack those below the floor"),
}
#: The first layer of each kind: embeddings also exist before the first layer of attention.
_FIRST: Mapping[Source, int] = {"embeddings": -1, "attention": 0}
METRICS = ("auto", "f1", "precision")
#: Default number of training examples.
EXAMPLES = 1 << 17
#: A property of residues with a smaller share is measured by the best-scored residues, as binding sites in the paper.
_RARE = 0.1


@time_limit.limited
def probe(
    store: "Store",
    condition: str,
    *,
    metric: str = "auto",
    sources: Sequence[str] = ("embeddings", "attention"),
    cluster_by: str = "protein",
    test_share: float = 0.2,
    examples: int = EXAMPLES,
    balanced: bool = False,
    model: str | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
    timeout: float | None = None,
) -> Probing:
    """Train a linear classifier of a property on each layer; see :meth:`attnstore.Store.probe`."""
    check_text("condition", condition)
    check_text("cluster_by", cluster_by)
    chosen = store.model(model)
    sources = [sources] if isinstance(sources, str) else sources
    asked = _check(chosen, metric, sources, test_share, examples, level, replicates, seed)
    parts, catalog = _parts(store, chosen, condition, cluster_by)
    counts = execute([partial(count, part) for part in parts], operator.add, scheduler=scheduler)
    split = Split.draw(parts, catalog, counts, share=test_share, examples=examples, seed=seed)
    split.check(condition)
    of_pairs = parts[0].condition.of_pairs
    used = _metric(metric, of_pairs, split.true_share)

    draws = max(replicates, 1)  # one replicate gives no interval

    def tested(learnt: Probe | None) -> Performance:
        tasks = [
            partial(measure_probe, part, split.tested_in(number), learnt, used, draws, seed)
            for number, part in enumerate(parts)
        ]
        return execute(tasks, Performance.combine, scheduler=scheduler)

    places = [(source, layer) for source in asked for layer in range(_FIRST[source], chosen.document.layers)]
    found: dict[tuple[str, int], Performance] = {}
    with bar(len(places), "probe", shown=progress, leave=False) as counted:
        for source, layer in places:
            found[source, layer] = tested(_learn(parts, split, source, layer, balanced, scheduler))
            counted.update()
    attributes = {
        "condition": condition,
        "of": "pairs" if of_pairs else "residues",
        "metric": used,
        "list": "" if used == "f1" else f"L/{DIVISORS['pairs' if of_pairs else 'residues']}",
        "chance": tested(None).ratio,
        "model": chosen.name,
        "cluster_by": cluster_by,
        "test_share": test_share,
        "balanced": int(balanced),
        "level": level,
        "replicates": replicates,
        "seed": seed,
        **split.summary,
    }
    # Attributes of a NetCDF file are text and numbers.
    origin = provenance(store, [chosen.name])
    attributes |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in origin.items()}
    return summarise_probes(found, level, split.by_protein(parts), attributes)


def _check(
    model: "Model",
    metric: str,
    sources: Sequence[str],
    test_share: float,
    examples: int,
    level: float,
    replicates: int,
    seed: int,
) -> list[Source]:
    """The tiers to probe, embeddings first; raises QueryError if an option is invalid or the model lacks a tier."""
    if metric not in METRICS:
        raise QueryError(f"metric is one of {', '.join(METRICS)}, not {metric!r}.")
    if (
        not isinstance(sources, Sequence)
        or not sources
        or len(set(sources)) < len(sources)
        or not set(sources) <= set(_TIERS)
    ):
        raise QueryError(f"sources are {', '.join(_TIERS)}, one or both, each once, not {sources!r}.")
    wholes: tuple[tuple[str, Any, int], ...] = (
        ("examples", examples, 2),
        ("replicates", replicates, 0),
        ("seed", seed, 0),
    )
    for name, value, least in wholes:
        if not isinstance(value, Integral) or not least <= int(value) < 2**128:
            raise QueryError(f"{name} is a whole number from {least} on, not {value!r}.")
    shares: tuple[tuple[str, Any], ...] = (("test_share", test_share), ("level", level))
    for name, share in shares:
        if not isinstance(share, Real) or not 0 < float(share) < 1:
            raise QueryError(f"{name} lies between 0 and 1, not at {share!r}.")
    if not model.manifest.segments:
        raise QueryError(f"model {model.name} has nothing committed yet: run its ingest again.")
    keep, asked = model.document.keep, [source for source in _TIERS if source in sources]
    for source in asked:
        tier, why = _TIERS[source]
        if tier not in keep:
            others = [other for other, (needed, _) in _TIERS.items() if needed in keep]
            instead = f"; or probe {others[0]} alone with sources={others[:1]!r}" if others else ""
            raise QueryError(f"{why}, and {lacking(model.name, keep, tier)}: {ingest_with(keep, tier)}{instead}.")
    return asked


def _parts(store: "Store", model: "Model", text: str, cluster_by: str) -> tuple[list[ProbePart], list[int]]:
    """The segments, and the index in the catalog of each of their proteins, one after the other."""
    path = store.catalog_path
    catalog = directory(path)
    with time_limit.closing(connect(path)) as connection:
        condition = read_condition(text, catalog.columns)
        warn_of_case(connection, [read(condition.expression.text)], catalog.columns)
        keys = read_keys(connection, cluster_by)
        vectors = evaluate_terms(connection, [condition.expression])
    parts, order = [], []
    for segment in model.segments:
        places = catalog.places(segment)
        clusters = tuple(keys[place] for place in places)
        own = vectors.select(places, segment.proteins.stored.tolist())
        parts.append(ProbePart(condition, segment, own, clusters))
        order += places
    return parts, order


def _metric(asked: str, of_pairs: bool, true_share: float) -> Metric:
    if asked == "auto":
        return "precision" if of_pairs or true_share < _RARE else "f1"
    return "f1" if asked == "f1" else "precision"


def _learn(
    parts: Sequence[ProbePart],
    split: Split,
    source: Source,
    layer: int,
    balanced: bool,
    scheduler: "str | Client | None",
) -> Probe:
    """Fit the classifier of a layer; its weights include the scaling."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    tasks = [partial(gather, part, split.learnt_in(number), source, layer) for number, part in enumerate(parts)]
    found = execute(tasks, operator.add, scheduler=scheduler)
    label = np.concatenate([own for _, own in found])
    if label.all() or not label.any():
        what = "false" if label.any() else "true"
        raise QueryError(f"none of the {label.size:,} examples drawn is {what}: draw more (examples={4 * label.size}).")
    table = np.empty((label.size, found[0][0].shape[1]), np.float32)
    scaler = StandardScaler(copy=False)
    for features, _ in found:
        scaler.partial_fit(features)
    end = len(table)
    while found:  # release arrays that are copied into the table
        features, _ = found.pop()
        table[end - len(features) : end] = scaler.transform(features)
        end -= len(features)
    classifier = LogisticRegression(class_weight="balanced" if balanced else None, max_iter=1000)
    # On one thread sums are always computed in the same order: the same numbers on every run.
    with threadpool_limits(1):
        classifier.fit(table, label)
    weights = classifier.coef_[0].astype(np.float64) / scaler.scale_
    return Probe(source, layer, weights, float(classifier.intercept_[0] - weights @ scaler.mean_))
