"""One protein's attention under one model, as the pictures of it are drawn from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .view_arcs import Arcs
from .view_residues import Residues, Track
from .view_structure import Atoms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, eq=False, repr=False)
class ProteinAttention:
    """What is shown of one protein under one model.

    Attributes
    ----------
    residues, arcs, atoms : what the pictures are made of
    layer, head : from 0; the head shown at first
    threshold : arcs with this weight or more are shown
    separation : and whose ends lie so far apart along the chain
    sites : the boolean property shown as sites, None where there is none
    shape : layers and heads of the model
    weights : float32 [source, target] of the head; 0 where the store keeps none so small
    whole : whether `weights` holds all of them, not those from the arc floor on alone
    chosen : how the head was chosen, in words
    origin : identity of store, model and versions
    """

    residues: Residues
    arcs: Arcs
    atoms: Atoms
    layer: int
    head: int
    threshold: float
    separation: int
    sites: Track | None
    shape: tuple[int, int]
    weights: "npt.NDArray[np.float32]"
    whole: bool
    chosen: str
    origin: dict[str, Any]
