"""Predicting contacts by a sum of heads' corrected maps: one head, the mean of the best, or a logistic regression."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import or_
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...arguments import check_index
from ...errors import QueryError
from ...runtime.machine import machine_memory
from ..engine.schedule import execute
from .contact_maps import RANGES, TOPS, Head, labelled_pairs
from .contact_proteins import Roster
from .contact_tasks import Precisions, Ranking, features, measure_precision, rank

if TYPE_CHECKING:
    from distributed import Client

Array = npt.NDArray[Any]

METHODS = ("head", "topk", "logistic")
#: Numbers of heads that are tried by default; those of arXiv 2606.21876.
TRIED = (1, 2, 3, 5, 7, 10, 20)
#: C, the inverse strength of the L1 penalty, of Rao et al. 2021.
C = 0.15
#: Memory of a regression, bytes per value, measured: the maps, their table, and liblinear's two copies at 16 each.
_BYTES = 50


@dataclass(frozen=True, eq=False)
class ContactPredictor:
    """Selected heads or fitted coefficients that score pairs, as :meth:`attnstore.Store.fit_contacts` returns them.

    The score is Σ coefficient × corrected map, through a logistic function if there is an intercept.

    Attributes
    ----------
    method : {'head', 'topk', 'logistic'}
        How pairs are scored.
    model : str
        Name of the model whose heads these are.
    coefficients : ndarray
        float64 [layers, heads].
    intercept : float or None
        Intercept of the logistic function, which makes the score a probability; None if the score is the sum.
    apc : bool
        Whether the average product correction is applied.
    atom : {'cb', 'ca'}
        Atoms whose distance defines the known contacts.
    chosen_on : tuple of str
        Identifiers of the proteins that heads or coefficients were chosen on.
    cluster_by : str
        Column of the table proteins that defines clusters, or 'protein'.
    criterion : tuple of (str, str) or None
        Range and length of the list by whose precision heads were ranked; None if they were not.
    ranking : ndarray or None
        float64 [layers, heads], precision of each head on `chosen_on`; None if it was not computed.
    """

    method: str
    model: str
    coefficients: Array
    intercept: float | None = None
    apc: bool = True
    atom: str = "cb"
    chosen_on: tuple[str, ...] = ()
    cluster_by: str = "protein"
    criterion: tuple[str, str] | None = None
    ranking: Array | None = None

    @property
    def heads(self) -> list[Head]:
        """Heads with a coefficient, the largest first: (layer, head), from 0."""
        used = [(int(layer), int(head)) for layer, head in np.argwhere(self.coefficients)]
        return sorted(used, key=lambda head: (-abs(self.coefficients[head]), head))

    def score(self, sums: Array) -> Array:
        """Compute scores from sums of maps.

        Parameters
        ----------
        sums : ndarray
            float64 [pairs], Σ coefficient × corrected map.

        Returns
        -------
        ndarray
            float64 [pairs]: the sums, or probabilities of a contact if there is an intercept.
        """
        if self.intercept is None:
            return sums
        from scipy.special import expit

        return np.asarray(expit(sums + self.intercept))

    @property
    def provenance(self) -> dict[str, Any]:
        """How it was made, in values that NetCDF can hold, for the attributes of its predictions."""
        return {
            "method": self.method,
            "model": self.model,
            "heads": " ".join(f"{layer}-{head}" for layer, head in self.heads),
            "coefficients": [float(self.coefficients[head]) for head in self.heads],
            "score": "sum" if self.intercept is None else "probability",
            **({} if self.intercept is None else {"intercept": self.intercept}),
            "apc": int(self.apc),
            "atom": self.atom,
            "chosen_on": json.dumps(self.chosen_on, ensure_ascii=False),
            "cluster_by": self.cluster_by,
            **({} if self.criterion is None else {"ranked_by": f"P@{self.criterion[1]}, {RANGES[self.criterion[0]]}"}),
            "approximate": "each weight is the mean of its codebook bin",
        }


def one_head(roster: Roster, layer: int, head: int, apc: bool, atom: str) -> ContactPredictor:
    """A predictor of a given head, chosen on no protein."""
    shape = _shape(roster)
    for value, size, what in zip((layer, head), shape, ("layer", "head"), strict=True):
        check_index(what, value, size)
    return ContactPredictor(
        "head", roster.model.name, _mean_of([(layer, head)], shape), apc=apc, atom=atom, cluster_by=roster.cluster_by
    )


def mean_of_best_heads(
    roster: Roster,
    chosen: Sequence[str],
    k: int | None,
    *,
    method: str = "topk",
    criterion: tuple[str, str] = ("all", "L"),
    apc: bool = True,
    atom: str = "cb",
    scheduler: "str | Client | None" = None,
    progress: bool = False,
) -> ContactPredictor:
    """Choose the k heads with the highest precision on some proteins (arXiv 2606.21876, section 3.3).

    Parameters
    ----------
    roster : Roster
    chosen : proteins with known contacts
    k : number of heads; None for that of `TRIED` whose mean has the highest precision on the same proteins
    method : 'head' or 'topk', for the record
    criterion : range and list by whose mean precision heads are ranked

    Raises
    ------
    QueryError
        If the model has fewer heads.
    """
    shape = _shape(roster)
    if k is not None and not 1 <= k <= shape[0] * shape[1]:
        raise QueryError(f"k is a number of heads from 1 to {shape[0] * shape[1]}, not {k}.")
    by = list(RANGES).index(criterion[0]), list(TOPS).index(criterion[1])
    parts = roster.parts(chosen, atom)
    tasks = [partial(rank, part, shape, apc, by, 1, 0) for part in parts]
    total = execute(tasks, Ranking.combine, scheduler=scheduler, progress=progress)
    ranking = total.mean()[(..., *by)]
    order: list[Head] = sorted(np.ndindex(shape), key=lambda head: (-ranking[head], head))
    if k is None:
        tried = [number for number in TRIED if number <= len(order)]
        means = {}
        for number in tried:
            coefficients = _mean_of(order[:number], shape)
            tries = [partial(measure_precision, part, coefficients, apc, 1, 0) for part in parts]
            found = execute(tries, Precisions.combine, scheduler=scheduler)
            means[number] = np.nanmean(found.precision[(..., *by)])
        k = max(tried, key=lambda number: (means[number], -number))
    return ContactPredictor(
        method,
        roster.model.name,
        _mean_of(order[:k], shape),
        apc=apc,
        atom=atom,
        chosen_on=tuple(chosen),
        cluster_by=roster.cluster_by,
        criterion=criterion,
        ranking=ranking,
    )


def _mean_of(heads: Sequence[Head], shape: Head) -> Array:
    coefficients = np.zeros(shape)
    for head in heads:
        coefficients[head] = 1 / len(heads)
    return coefficients


def logistic(
    roster: Roster,
    chosen: Sequence[str],
    *,
    c: float = C,
    apc: bool = True,
    atom: str = "cb",
    scheduler: "str | Client | None" = None,
    progress: bool = False,
) -> ContactPredictor:
    """Fit a logistic regression with an L1 penalty on the maps of all heads (Rao et al. 2021).

    It is trained on pairs six or more apart of known distance, each once. As in its authors' training
    (github.com/facebookresearch/esm, issue 249), it is scikit-learn's with C = 0.15 and liblinear, which also penalises
    the intercept.

    Parameters
    ----------
    roster : Roster
    chosen : proteins with known contacts
    c : inverse strength of the penalty; a smaller value keeps fewer heads

    Raises
    ------
    QueryError
        If it needs more memory than there is, or keeps no head.
    """
    if not 0 < c < np.inf:
        raise QueryError(f"c is a positive number, not {c}.")
    shape = _shape(roster)
    parts = roster.parts(chosen, atom)
    pairs = sum(labelled_pairs(xyz).first.size for part in parts for xyz in part.coordinates)
    needed, present = pairs * shape[0] * shape[1] * _BYTES, machine_memory()
    if needed > present:
        raise QueryError(
            f"a regression on {pairs:,} pairs and {shape[0] * shape[1]} heads needs {needed / 2**30:,.0f} GiB of "
            f"memory, and there are {present / 2**30:,.0f}: select fewer or shorter proteins."
        )
    tasks = [partial(features, part, shape, apc) for part in parts]
    found = execute(tasks, or_, scheduler=scheduler, progress=progress)
    weights, intercept = regress(found, chosen, c)
    if not weights.any():
        raise QueryError(
            f"the regression on {len(chosen)} proteins keeps no head at c = {c:g}: select more proteins, or raise c."
        )
    return ContactPredictor(
        "logistic",
        roster.model.name,
        weights.reshape(shape),
        intercept,
        apc=apc,
        atom=atom,
        chosen_on=tuple(chosen),
        cluster_by=roster.cluster_by,
    )


def regress(found: Mapping[str, tuple[Array, Array]], order: Sequence[str], c: float) -> tuple[Array, float]:
    """Coefficients, float64 [heads], and intercept of the regression of contact on maps.

    Parameters
    ----------
    found : by protein, maps float64 [heads, pairs] and contact bool [pairs]
    order : order of the proteins in training, since liblinear's path depends on it
    c : inverse strength of the penalty
    """
    from sklearn.linear_model import LogisticRegression

    contact = np.concatenate([found[name][1] for name in order])
    if contact.all():
        raise QueryError("every pair of the selected proteins is in contact: there is nothing to learn; select others.")
    table = np.empty((contact.size, found[order[0]][0].shape[0]))
    np.concatenate([found[name][0].T for name in order], out=table)
    regression = LogisticRegression(C=c, l1_ratio=1.0, solver="liblinear", random_state=0, max_iter=1000)
    regression.fit(table, contact)
    return np.asarray(regression.coef_[0], np.float64), float(regression.intercept_[0])


def _shape(roster: Roster) -> Head:
    document = roster.model.document
    return document.layers, document.heads
