"""Contacts from attention: predicted for one protein, or evaluated over many (Rao et al. 2021; arXiv 2606.21876)."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ...arguments import CONTACT_SEPARATION, check_head, check_share, check_text, check_whole
from ...catalog.connection import literal
from ...errors import QueryError
from ...matrix import attention
from ...runtime import time_limit
from ...version import __version__
from ..align import align
from ..engine.schedule import execute
from .contact_maps import RANGES, TOPS, LabelledPairs, combine_maps, sizes
from .contact_proteins import ATOMS, Roster, choose_proteins, keep_apart, other_proteins, roster
from .contact_result import ContactEvaluation, ContactMap
from .contact_tasks import Precisions, Ranking, measure_precision, rank
from .predictor import METHODS, C, ContactPredictor, logistic, mean_of_best_heads, one_head

if TYPE_CHECKING:
    from distributed import Client

    from ...opened import Store

Array = npt.NDArray[Any]

#: Number of proteins on which heads are chosen; arXiv 2606.21876 used the same.
SELECTED = 10
#: Options that belong to some methods only.
_BELONG = {"layer": ("head",), "head": ("head",), "k": ("topk",), "c": ("logistic",),
           "rank_range": ("head", "topk"), "rank_top": ("head", "topk")}  # fmt: skip


@time_limit.limited
def contacts(
    store: "Store",
    protein: str,
    *,
    method: str = "topk",
    layer: int | None = None,
    head: int | None = None,
    k: int | None = None,
    c: float | None = None,
    apc: bool = True,
    select: int | str | Sequence[str] | None = None,
    rank_range: str | None = None,
    rank_top: str | None = None,
    atom: str = "cb",
    seed: int = 0,
    cluster_by: str = "protein",
    model: str | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
    timeout: float | None = None,
) -> ContactMap:
    """Predict the contacts of one protein; see :meth:`attnstore.Store.contacts`."""
    check_text("protein", protein)
    predictor = fit(
        store, method=method, layer=layer, head=head, k=k, c=c, apc=apc, select=select, rank_range=rank_range,
        rank_top=rank_top, atom=atom, apart_from=[protein], seed=seed, cluster_by=cluster_by, model=model,
        scheduler=scheduler, progress=progress,
    )  # fmt: skip
    return predict(store, predictor, protein)


@time_limit.limited
def contact_precision(
    store: "Store",
    proteins: str | Sequence[str] | None = None,
    *,
    method: str = "topk",
    layer: int | None = None,
    head: int | None = None,
    k: int | None = None,
    c: float | None = None,
    apc: bool = True,
    select: int | str | Sequence[str] | None = None,
    rank_range: str | None = None,
    rank_top: str | None = None,
    atom: str = "cb",
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    cluster_by: str = "protein",
    model: str | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
    timeout: float | None = None,
) -> ContactEvaluation:
    """Measure how well contacts are predicted; see :meth:`attnstore.Store.contact_precision`."""
    _check_statistics(level, replicates, seed)
    _check_proteins(proteins)
    several = None if proteins is None else [proteins] if isinstance(proteins, str) else list(proteins)
    predictor = fit(
        store, method=method, layer=layer, head=head, k=k, c=c, apc=apc, select=select, rank_range=rank_range,
        rank_top=rank_top, atom=atom, apart_from=several or (), seed=seed, cluster_by=cluster_by, model=model,
        scheduler=scheduler, progress=progress,
    )  # fmt: skip
    return evaluate_predictor(
        store, predictor, several, level=level, replicates=replicates, seed=seed, scheduler=scheduler, progress=progress
    )


@time_limit.limited
def fit(
    store: "Store",
    *,
    method: str = "topk",
    layer: int | None = None,
    head: int | None = None,
    k: int | None = None,
    c: float | None = None,
    apc: bool = True,
    select: int | str | Sequence[str] | None = None,
    rank_range: str | None = None,
    rank_top: str | None = None,
    atom: str = "cb",
    apart_from: Sequence[str] = (),
    seed: int = 0,
    cluster_by: str = "protein",
    model: str | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
    timeout: float | None = None,
) -> ContactPredictor:
    """Choose heads, or fit a regression; see :meth:`attnstore.Store.fit_contacts`."""
    given = {"layer": layer, "head": head, "k": k, "c": c, "rank_range": rank_range, "rank_top": rank_top}
    _check(method, given, apc, atom, seed)
    held = roster(store, store.model(model), cluster_by)
    held.check(apart_from)
    if layer is not None and head is not None:
        if select is not None or rank_range is not None or rank_top is not None:
            raise QueryError("a head that is given is not chosen: leave out select=…, rank_range=… and rank_top=….")
        return one_head(held, layer, head, apc, atom)
    criterion = (rank_range or "all", rank_top or "L")
    chosen = choose_proteins(
        held, SELECTED if select is None else select, seed=seed, atom=atom, span=criterion[0], apart_from=apart_from
    )
    keep_apart(held, apart_from, chosen)
    if method == "logistic":
        return logistic(
            held, chosen, c=C if c is None else c, apc=apc, atom=atom, scheduler=scheduler,
            progress=progress,
        )  # fmt: skip
    return mean_of_best_heads(
        held, chosen, 1 if method == "head" else k, method=method, criterion=criterion, apc=apc, atom=atom,
        scheduler=scheduler, progress=progress,
    )  # fmt: skip


def _check(method: str, given: dict[str, Any], apc: bool, atom: str, seed: int) -> None:
    if method not in METHODS:
        raise QueryError(f"method is one of {', '.join(METHODS)}, not {method!r}.")
    for name, value in given.items():
        if value is not None and method not in _BELONG[name]:
            others = " or ".join(_BELONG[name])
            raise QueryError(
                f"{name}={value!r} belongs to method {others}, not {method}: leave it out, or ask with "
                f"method={_BELONG[name][0]!r}."
            )
    check_head(given["layer"], given["head"])
    if (given["layer"] is None) != (given["head"] is None):
        raise QueryError("layer and head go together: give both, or neither to have the best head chosen.")
    for name, allowed in (("rank_range", tuple(RANGES)), ("rank_top", tuple(TOPS))):
        if given[name] not in (None, *allowed):
            raise QueryError(f"{name} is one of {', '.join(allowed)}, not {given[name]!r}.")
    if atom not in ATOMS:
        raise QueryError(f"atom is one of {', '.join(ATOMS)}, not {atom!r}.")
    check_whole("seed", seed, 0, 0)
    if not isinstance(apc, bool):
        raise QueryError(f"apc is True or False, not {apc!r}.")


def _check_proteins(proteins: Any) -> None:
    if proteins is not None and not isinstance(proteins, Iterable):
        check_text("proteins", proteins)


def _check_statistics(level: float, replicates: int, seed: int) -> None:
    check_whole("seed", seed, 0, 0)
    check_whole("replicates", replicates, 0, 1000)
    check_share("level", level, 0.95)


def _roster_of(store: "Store", predictor: ContactPredictor) -> Roster:
    model = store.model(predictor.model)
    shape = model.document.layers, model.document.heads
    if predictor.coefficients.shape != shape:
        raise QueryError(
            f"the predictor is of {predictor.coefficients.shape} layers and heads, and model {model.name} has {shape}: "
            "fit it on this model."
        )
    return roster(store, model, predictor.cluster_by)


def predict(store: "Store", predictor: ContactPredictor, protein: str) -> ContactMap:
    """Predict the contacts of one protein; see :meth:`attnstore.Store.predict_contacts`."""
    held = _roster_of(store, predictor)
    keep_apart(held, [protein], predictor.chosen_on)
    labels = attention(store, protein, 0, 0, predictor.model).coords
    segment, local = held.model.places[protein]
    length = int(segment.proteins.stored[local])
    first, second = (side.astype(np.int32) for side in np.triu_indices(length))
    pairs = LabelledPairs(first, second, np.zeros(first.size, bool), np.zeros((len(RANGES), 2), np.int64))
    (sums,) = combine_maps(segment, predictor.coefficients, [local], [pairs], predictor.apc)
    scores = np.empty((length, length))
    scores[first, second] = scores[second, first] = predictor.score(sums)
    points = held.coordinates([protein], predictor.atom)[protein][:length].astype(np.float64)
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1)).astype(np.float32)
    coordinates: dict[str, Any] = {"distance": (("i", "j"), distance)}
    for side, end in (("i", "source"), ("j", "target")):
        for suffix in ("", "_aa", "_number"):
            coordinates[side + suffix] = (side, labels[end + suffix].values)
    return ContactMap(
        scores,
        dims=("i", "j"),
        coords=coordinates,
        name="score",
        attrs={"protein": protein, **predictor.provenance, **_identity(held)},
    )


@time_limit.limited
def evaluate_predictor(
    store: "Store",
    predictor: ContactPredictor,
    proteins: str | Sequence[str] | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
    timeout: float | None = None,
) -> ContactEvaluation:
    """Measure precision over other clusters; see :meth:`attnstore.Store.evaluate_contacts`."""
    _check_statistics(level, replicates, seed)
    _check_proteins(proteins)
    held = _roster_of(store, predictor)
    several = [proteins] if isinstance(proteins, str) else proteins
    names = other_proteins(held, predictor.chosen_on) if several is None else list(several)
    if not names:
        raise QueryError("no protein is named to evaluate on.")
    keep_apart(held, names, predictor.chosen_on)
    parts = held.parts(names, predictor.atom)
    draws = max(replicates, 1)  # one replicate gives no interval
    tasks = [partial(measure_precision, part, predictor.coefficients, predictor.apc, draws, seed) for part in parts]
    found = execute(tasks, Precisions.combine, scheduler=scheduler, progress=progress)
    variables = _summary(found, names, level)
    attributes = {
        **predictor.provenance,
        **_identity(held),
        "left_out": len(held.index) - len(names) if proteins is None else 0,
        "level": level,
        "replicates": replicates,
        "seed": seed,
    }
    coordinates: dict[str, Any] = {"protein": names, "range": list(RANGES), "top": list(TOPS)}
    if predictor.method == "head" and predictor.ranking is not None and predictor.criterion is not None:
        span, top = predictor.criterion
        by = list(RANGES).index(span), list(TOPS).index(top)
        shape = predictor.coefficients.shape
        ranks = [partial(rank, part, shape, predictor.apc, by, draws, seed) for part in parts]
        ranking = execute(ranks, Ranking.combine, scheduler=scheduler, progress=progress)
        low, high = ranking.interval(level)
        variables |= {
            "head_precision": (("layer", "head", "range", "top"), ranking.mean()),
            "head_low": (("layer", "head"), low),
            "head_high": (("layer", "head"), high),
            "head_chosen": (("layer", "head"), predictor.ranking),
            **_alignment(held, names, predictor.atom, progress),
        }
        coordinates |= {"layer": np.arange(shape[0]), "head": np.arange(shape[1])}
        attributes |= {"rank_range": span, "rank_top": top}
    return ContactEvaluation(variables, coords=coordinates, attrs=attributes)


def _identity(held: Roster) -> dict[str, str]:
    return {
        "weights_sha256": held.model.document.weights_sha256,
        "catalog_sha256": str(held.store.document.catalog_sha256),
        "attnstore": __version__,
    }


def _summary(found: Precisions, names: list[str], level: float) -> dict[str, Any]:
    """Variables of an evaluation, its proteins in the order of `names`."""
    place = {name: index for index, name in enumerate(found.ids)}
    order = [place[name] for name in names]
    precision, pairs, true = found.precision[order], found.pairs[order], found.contacts[order]
    known = true > 0
    asked = np.array([sizes(length) for length in found.length[order].tolist()])
    low, high = found.interval(level)
    proteins = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(known[..., None], precision, 0).sum(axis=0) / proteins[:, None]
        random = np.where(known, true / np.maximum(pairs, 1), 0).sum(axis=0) / proteins
    exhausted = known[..., None] & (pairs[..., None] <= asked[:, None, :])
    return {
        "precision": (("range", "top"), mean),
        "low": (("range", "top"), low),
        "high": (("range", "top"), high),
        "random": ("range", random),
        "proteins": ("range", proteins),
        "exhausted": (("range", "top"), exhausted.sum(axis=0)),
        "by_protein": (("protein", "range", "top"), precision),
        "pairs": (("protein", "range"), pairs),
        "contacts": (("protein", "range"), true),
        "length": ("protein", found.length[order]),
    }


def _alignment(held: Roster, names: list[str], atom: str, progress: bool) -> dict[str, xr.DataArray]:
    """Share of contacts among arcs six or more apart, and number of these arcs, over the same proteins."""
    where = f"separation >= {CONTACT_SEPARATION}"
    inside = set(names)
    outside = [name for name in held.index if name not in inside]
    if outside:
        negated, listed = ("NOT ", outside) if len(outside) < len(names) else ("", names)
        quoted = ", ".join(map(literal, listed))
        where += f" AND protein.id {negated}IN ({quoted})"
    predicate = "contact" if atom == "cb" else "contact_ca"
    found = align(held.store, predicate, where=where, model=held.model.name, replicates=1, progress=progress)
    return {"alignment": found["share"], "arcs": found["total"]}
