"""One protein's attention under one model, the data of its pictures, and its arcs in every head."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...catalog.connection import literal
from ..query import query
from ..statistics.intervals import wilson_interval
from .view_residues import Residues, Track
from .view_structure import Atoms

if TYPE_CHECKING:
    from ...opened import Model, Store

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Arcs:
    """Arcs of one protein, by layer and head, those of a head in order of decreasing weight.

    Attributes
    ----------
    layer, head, source, target : ndarray
        int [arcs].
    weight : ndarray
        float32 [arcs].
    contact : ndarray
        int8 [arcs]: 1 true, 0 false, -1 unknown.
    floor : float
        The least weight asked for.
    approximate : bool
        Whether weights are means of codebook bins; then which arcs reach a threshold is exact at an edge.
    """

    layer: Array
    head: Array
    source: Array
    target: Array
    weight: Array
    contact: Array
    floor: float
    approximate: bool

    @property
    def separation(self) -> Array:
        """``|source − target|``, int [arcs]."""
        distance: Array = np.abs(self.source - self.target)
        return distance

    def of(self, layer: int, head: int, threshold: float, separation: int = 0) -> Array:
        """Indices of a head's arcs with at least that weight and separation."""
        chosen = (self.layer == layer) & (self.head == head) & (self.weight >= np.float32(threshold))
        return np.flatnonzero(chosen & (self.separation >= separation))

    def best_head(self, shape: tuple[int, int], threshold: float, separation: int) -> tuple[int, int]:
        """The head whose share of contacts has the largest lower bound, by Wilson's interval of 95 %.

        A large share of few arcs has a small lower bound. If no arc is a contact, it is the head with most arcs.
        """
        size = shape[0] * shape[1]
        place = self.layer * shape[1] + self.head
        shown = (self.weight >= np.float32(threshold)) & (self.separation >= separation)
        arcs, known, contacts = (
            np.bincount(place[chosen], minlength=size)
            for chosen in (shown, shown & (self.contact >= 0), shown & (self.contact == 1))
        )
        low = np.where(contacts > 0, wilson_interval(contacts, np.maximum(known, 1))[0], 0.0)
        best = int(np.lexsort((-np.arange(size), arcs, low))[-1])
        return divmod(best, shape[1])


@dataclass(frozen=True, eq=False, repr=False)
class ProteinAttention:
    """The data shown of one protein under one model; :class:`attnstore.View`, which adds the page, has its fields."""

    residues: Residues
    arcs: Arcs
    atoms: Atoms
    layer: int
    head: int
    threshold: float
    separation: int
    sites: Track | None
    shape: tuple[int, int]
    weights: npt.NDArray[np.float32]
    whole: bool
    chosen: str
    origin: dict[str, Any]


def read_arcs(store: "Store", model: "Model", protein: str) -> Arcs:
    """The arcs of a protein in every head of a model, from its arc floor on.

    Raises
    ------
    QueryError
        If the model kept neither arcs nor codes.
    """
    floor = model.document.arc_floor
    named = {"model": model.name, "protein": protein}
    only = " AND ".join(f"{column} = {literal(value)}" for column, value in named.items())
    frame = query(
        store,
        f"SELECT layer, head, source, target, weight, contact FROM attention WHERE {only} AND weight >= {floor!r}",
    )
    contact = frame["contact"].astype("Int8").to_numpy(np.int8, na_value=-1)
    columns = {name: frame[name].to_numpy(np.int64) for name in ("layer", "head", "source", "target")}
    weight = frame["weight"].to_numpy(np.float32)
    order = np.lexsort((columns["target"], columns["source"], -weight, columns["head"], columns["layer"]))
    return Arcs(
        **{name: values[order] for name, values in columns.items()},
        weight=weight[order],
        contact=contact[order],
        floor=floor,
        approximate=bool(frame.attrs["approximate"]),
    )
