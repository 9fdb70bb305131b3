"""Alignment: of each head's attention, the share that goes to pairs where a predicate is true."""

import contextlib
import warnings
from collections.abc import Iterator
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalog import connect
from ..errors import QueryError, StoreError
from .background import divide
from .expression import parse
from .plan import Plan, Tier, check_background, choose_threshold, choose_tier, one_end
from .result import Alignment
from .statistics import summarise
from .tasks import Partial, run
from .vectors import SegmentVectors, Vectors, catalog_columns, evaluate_terms

if TYPE_CHECKING:
    import duckdb

    from ..segment import Segment
    from ..store import Model, Store

#: The paper's truncation: 512 tokens, two of them special.
PAPER_RESIDUES = 510


def align(
    store: "Store",
    predicate: str,
    *,
    where: str | None = None,
    threshold: float | str = "auto",
    weighted: bool = False,
    background: str = "eligible",
    paper: bool = False,
    model: str | None = None,
    min_arcs: int = 100,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    tier: Tier | None = None,
    progress: bool = False,
) -> Alignment:
    """Measure how each head's attention aligns with a property of residue pairs.

    The count form is p(f) = arcs where f is true / arcs where f is known, an arc being an ordered pair with
    attention ≥ θ (Vig et al. 2021, eq. 1, which counts unknown as false: `paper`). The weighted form is
    Σα where f is true / Σα where f is known.

    Parameters
    ----------
    store : Store
    predicate : f, an SQL condition over ``source.*``, ``target.*``, ``protein.*``, ``separation``, ``distance``,
        ``distance_ca``, ``contact`` and ``contact_ca``
    where : pairs for which this is not true take no part
    threshold : θ; 'auto' is 0.3 in the count form and none in the weighted form
    weighted : the weighted form
    background : 'eligible' (all pairs that pass `where`), 'separation' (matched to each head's separations),
        'protein' (matched to the proteins that hold its arcs) or 'paper'
    paper : the paper's form: unknown counts as false, its background, Wald intervals at 0.05/m
    model : name; may be left out where the store has one
    min_arcs : a head with fewer known arcs is marked, not ranked (`paper`: with as many or fewer)
    level : confidence of the Wilson and bootstrap intervals
    replicates, seed : of the bootstrap over proteins
    tier : 'marginals', 'arcs' or 'codes', to force one
    progress : draw a progress bar on standard error

    Returns
    -------
    Alignment
        An `xarray.Dataset` over (layer, head); what was asked stands in its attributes.

    Raises
    ------
    QueryError
        If the question cannot be answered; the message quotes the clause and names the cure.
    StoreError
        If what is read is damaged.
    """
    chosen = store.model(model)
    if min_arcs < 0 or replicates < 1 or not 0 < level < 1 or not 0 <= seed < 2**128:
        raise QueryError("min_arcs and seed are 0 or more, replicates at least 1, and level between 0 and 1.")
    if not chosen.manifest.segments:
        raise QueryError(f"model {chosen.name} has nothing committed yet: run its ingest again.")
    with contextlib.closing(connect(store.catalog_path)) as connection:
        columns = catalog_columns(connection)
        clauses = [
            parse(text, clause=name, columns=columns)
            for name, text in (("predicate", predicate), ("where", where))
            if text is not None
        ]
        theta = choose_threshold(threshold, weighted)
        kind = check_background(background, paper)
        name, exact, reason = choose_tier(
            chosen.document,
            chosen.codebook,
            threshold=theta,
            weighted=weighted,
            one_ended=one_end(clauses) is not None,
            background=kind,
            tier=tier,
        )
        plan = Plan(
            predicate=clauses[0],
            where=clauses[1] if where is not None else None,
            threshold=theta,
            weighted=weighted,
            paper=paper,
            background=kind,
            tier=name,
            exact=exact,
            reason=reason,
            replicates=replicates,
            seed=seed,
        )
        vectors = evaluate_terms(connection, clauses)
        index = _protein_index(connection)
    if paper:
        _warn_unlike_the_paper(chosen)
    total = _execute(plan, chosen, vectors, index, progress)
    return _result(plan, chosen, total, threshold=theta, min_arcs=min_arcs, level=level)


def _protein_index(connection: "duckdb.DuckDBPyConnection") -> dict[str, tuple[int, str]]:
    rows = connection.execute("SELECT id, protein_index, sequence_sha256 FROM proteins").fetchall()
    return {name: (index, sha256) for name, index, sha256 in rows}


def _warn_unlike_the_paper(model: "Model") -> None:
    longest = max(int(segment.proteins.stored.max()) for segment in model.segments)
    if longest > PAPER_RESIDUES:
        warnings.warn(
            f"model {model.name} holds proteins of up to {longest} residues; the paper truncated at {PAPER_RESIDUES}: "
            "ingest with max_residues=510 to compare.",
            stacklevel=3,
        )


def _execute(
    plan: Plan, model: "Model", vectors: Vectors, index: dict[str, tuple[int, str]], progress: bool
) -> Partial:
    """One Dask task per segment, combined as a tree."""
    import dask

    codebook, shape = model.codebook, (model.document.layers, model.document.heads)
    parts = []
    for segment in model.segments:
        arguments = (plan, segment, codebook, shape, _vectors_of(segment, vectors, index))
        # Closed over rather than passed: Dask would walk through and hash every array.
        parts.append(dask.delayed(partial(run, *arguments), pure=False)())
    while len(parts) > 1:
        parts = [dask.delayed(_combine, pure=False)(*parts[first : first + 8]) for first in range(0, len(parts), 8)]
    with _bar(len(model.segments), progress):
        (total,) = dask.compute(parts[0], scheduler="threads")
    assert isinstance(total, Partial)
    return total


def _combine(*parts: Partial) -> Partial:
    return reduce(Partial.combine, parts)


@contextlib.contextmanager
def _bar(segments: int, progress: bool) -> Iterator[None]:
    from dask.callbacks import Callback

    from ..progress import bar

    with bar(segments, "segment", shown=progress, leave=False) as counted:

        def advance(key: Any, *_: Any) -> None:
            if str(key).startswith("run"):
                counted.update()

        with Callback(posttask=advance):
            yield


def _vectors_of(segment: "Segment", vectors: Vectors, index: dict[str, tuple[int, str]]) -> SegmentVectors:
    proteins = segment.proteins
    found = []
    for name, sha256 in zip(proteins.id, proteins.sequence_sha256, strict=True):
        place, expected = index.get(name, (-1, ""))
        if sha256 != expected:
            raise StoreError(
                f"segment {segment.directory.name} holds protein {name}, which the catalog does not hold with that "
                "sequence: `attnstore verify` names what is damaged."
            )
        found.append(place)
    return vectors.select(found, proteins.stored)


def _result(plan: Plan, model: "Model", total: Partial, *, threshold: float, min_arcs: int, level: float) -> Alignment:
    statistics: dict[str, Any] = summarise(
        total.counts,
        total.background,
        total.bootstrap,
        paper=plan.paper,
        min_arcs=min_arcs,
        level=level,
        arcs=total.arcs,
    )
    if total.lower is not None and total.upper is not None:
        low, high = total.lower, total.upper
        statistics["share_min"] = divide(low.true, low.true + high.total(paper=plan.paper) - high.true)
        statistics["share_max"] = divide(high.true, high.true + low.total(paper=plan.paper) - low.true)
    layers, heads = total.arcs.shape
    return Alignment(
        {name: (("layer", "head"), values) for name, values in statistics.items()},
        coords={"layer": np.arange(layers), "head": np.arange(heads)},
        attrs={
            "predicate": plan.predicate.text,
            "where": plan.where.text if plan.where is not None else "",
            "threshold": float(f"{threshold:.7g}"),
            "model": model.name,
            "form": "weighted" if plan.weighted else "count",
            "paper": int(plan.paper),
            "background": plan.background,
            "min_arcs": min_arcs,
            "level": level,
            "replicates": plan.replicates,
            "seed": plan.seed,
            "proteins": total.proteins,
            "tier": plan.tier,
            "tier_reason": plan.reason,
            "exact": int(plan.exact),
        },
    )
