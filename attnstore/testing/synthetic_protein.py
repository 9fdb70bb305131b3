"""Proteins with attention that nobody computed: chosen by the caller, or drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

#: The 20 amino acids.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

#: Distance of neighbouring Cα, in Å (that of a trans peptide bond), and how much a chain is folded: a random walk whose
#: steps are shortened to it has contacts, as a protein has.
_STEP, _FOLDED = 3.8, 0.45


@dataclass(frozen=True, eq=False)
class SyntheticProtein:
    """A protein, what is known of it, and the attention that a model pays within it.

    L is the number of residues. A model that truncates sees fewer, S ≤ L, the first ones.

    Attributes
    ----------
    id : str
        Identifier, unique in its store.
    sequence : str
        One-letter sequence of L residues.
    attention : array_like of float, shape (layers, heads, S, S)
        Weights [layer, head, source, target], from 0 to 1. A row sums to at most 1: the rest goes to special tokens.
    special : array_like of float, shape (layers, heads, S), optional
        Weight that each residue gives to special tokens (default: 1 minus the sum of its row).
    hidden : array_like of float, shape (layers + 1, S, features), optional
        Representation of each residue: the embeddings, then what each layer returns.
    ca, cb : array_like of float, shape (L, 3), optional
        Coordinates of Cα and Cβ in Å, NaN where they are unknown. Pass both or neither.
    properties : mapping of str to object
        Properties by name: a single value for a property of the protein, a list or array of L values for a property of
        residues, a boolean array (L, L) [source, target] for a property of pairs. None, or NaN, is unknown.
    """

    id: str
    sequence: str
    attention: npt.ArrayLike
    special: npt.ArrayLike | None = None
    hidden: npt.ArrayLike | None = None
    ca: npt.ArrayLike | None = None
    cb: npt.ArrayLike | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


def random_proteins(
    lengths: Sequence[int] = (40, 50, 60),
    *,
    layers: int = 2,
    heads: int = 3,
    features: int = 0,
    sharpness: float = 3.0,
    coordinates: bool = True,
    seed: int = 0,
) -> list[SyntheticProtein]:
    """Draw proteins with random sequences, coordinates and attention.

    The attention of a residue is the softmax of normal scores over all residues and two special tokens, so each row
    sums to less than 1.

    Parameters
    ----------
    lengths : sequence of int, default (40, 50, 60)
        Number of residues of each protein.
    layers : int, default 2
        Number of layers.
    heads : int, default 3
        Number of heads of each layer.
    features : int, default 0
        Number of features of the hidden representations (0: none).
    sharpness : float, default 3.0
        Standard deviation of the scores. With 3, a few weights of each row exceed 0.3.
    coordinates : bool, default True
        Draw coordinates: a random walk that is folded enough to have contacts.
    seed : int, default 0
        Random seed. The same arguments give the same proteins.

    Returns
    -------
    list of SyntheticProtein
        Proteins with the identifiers ``protein-0``, ``protein-1`` and so on.

    Examples
    --------
    >>> from attnstore.testing import random_proteins
    >>> [len(protein.sequence) for protein in random_proteins([30, 40])]
    [30, 40]
    """
    rng = np.random.default_rng(seed)
    return [
        _drawn(f"protein-{number}", length, (layers, heads, features), sharpness, coordinates, rng)
        for number, length in enumerate(lengths)
    ]


def _drawn(
    name: str,
    length: int,
    shape: tuple[int, int, int],
    sharpness: float,
    coordinates: bool,
    rng: np.random.Generator,
) -> SyntheticProtein:
    layers, heads, features = shape
    sequence = "".join(rng.choice(list(AMINO_ACIDS), length))
    scores = np.exp(rng.normal(size=(layers, heads, length, length + 2)) * sharpness)
    weights = (scores / scores.sum(-1, keepdims=True)).astype(np.float32)
    hidden = rng.normal(size=(layers + 1, length, features)).astype(np.float16) if features else None
    ca = cb = None
    if coordinates:
        steps = rng.normal(size=(length, 3))
        ca = np.cumsum(_STEP * _FOLDED * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
        cb = ca + rng.normal(size=ca.shape)
    return SyntheticProtein(
        name, sequence, weights[..., 1:-1], weights[..., [0, -1]].sum(-1), hidden=hidden, ca=ca, cb=cb
    )
