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
    residues : Residues
        The residues and their properties.
    arcs : Arcs
        The arcs of all heads in this protein.
    atoms : Atoms
        The atoms that are drawn.
    layer, head : int
        Head to show first, both from 0.
    threshold : float
        Minimum attention weight for an arc to be drawn.
    separation : int
        Minimum separation of the ends of an arc, in residues.
    sites : Track or None
        Boolean property to highlight; None if there is none.
    shape : tuple of (int, int)
        Layers and heads of the model.
    weights : ndarray
        float32 [source, target] of the head; 0 where the store keeps none so small.
    whole : bool
        Whether `weights` holds all of them, not those from the arc floor on alone.
    chosen : str
        How the head was chosen, in words.
    origin : mapping of str to object
        Identity of store, model and versions.
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
