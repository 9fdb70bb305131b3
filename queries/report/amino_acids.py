"""Attention to each of the twenty amino acids, and their similarity by attention."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...catalog.connection import literal
from .calls import Call, Settings, call_query
from .questions import LETTERS

if TYPE_CHECKING:
    from ...opened import Store

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AminoAcids:
    """The share of each head's arcs that goes to each amino acid.

    Attributes
    ----------
    letters : str
        The twenty.
    arcs : ndarray
        int64 [20, layers, heads].
    total : ndarray
        int64 [layers, heads], of arcs to any letter, beyond the twenty included.
    min_arcs : int
        A head with fewer takes no part.
    threshold : float
        Threshold of arcs.
    call : Call
        How they were asked for.
    """

    letters: str
    arcs: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    min_arcs: int
    threshold: float
    call: Call

    @property
    def ranked(self) -> npt.NDArray[np.bool_]:
        """[layers, heads]: whether a head has enough arcs."""
        return self.total >= max(self.min_arcs, 1)

    @property
    def shares(self) -> Floats:
        """float64 [20, layers, heads]; NaN for a head with too few arcs."""
        shares: Floats = np.divide(self.arcs, self.total, out=np.full(self.arcs.shape, np.nan), where=self.ranked)
        return shares

    @property
    def table(self) -> pd.DataFrame:
        """One row per head: layer, head, arcs, and the share of each amino acid."""
        layers, heads = self.total.shape
        places = {"layer": np.repeat(np.arange(layers), heads), "head": np.tile(np.arange(heads), layers)}
        shares = dict(zip(self.letters, self.shares.reshape(len(self.letters), -1), strict=True))
        return pd.DataFrame({**places, "arcs": self.total.ravel(), **shares})


@dataclass(frozen=True, eq=False)
class Similarity:
    """The similarity of amino acids for a model's heads, and in evolution.

    Attributes
    ----------
    letters : str
        Letters of rows and columns.
    attention : float64 [20, 20], Pearson's correlation over heads of the shares going to two amino acids; NaN where a
        share is the same in all heads
    substitution : ndarray
        float64 [20, 20], BLOSUM62.
    heads : int
        That took part.
    pairs : int
        Number of pairs of different amino acids with a correlation, 190 at most.
    correlation : float
        Pearson's, of the two over these pairs; NaN of fewer than three.
    """

    letters: str
    attention: Floats
    substitution: Floats
    heads: int
    pairs: int
    correlation: float

    @property
    def table(self) -> pd.DataFrame:
        """One row per pair of different amino acids."""
        first, second = _different(len(self.letters))
        return pd.DataFrame(
            {
                "first": [self.letters[i] for i in first],
                "second": [self.letters[i] for i in second],
                "attention": self.attention[first, second],
                "blosum62": self.substitution[first, second].astype(int),
            }
        )


def measure_amino_acids(store: "Store", model: str, settings: Settings) -> AminoAcids:
    """Count each head's arcs to each amino acid, by one query.

    Raises
    ------
    QueryError
        If the engine cannot answer it.
    """
    sql = (
        "SELECT layer, head, target.aa AS aa, count(*) AS arcs FROM attention "
        f"WHERE model = {literal(model)} AND weight >= {settings.threshold} GROUP BY ALL ORDER BY ALL"
    )
    frame, call = call_query(store, settings, sql)
    document = store.model(model).document
    total = np.zeros((document.layers, document.heads), np.int64)
    arcs = np.zeros((len(LETTERS), *total.shape), np.int64)
    for layer, head, letter, number in zip(frame["layer"], frame["head"], frame["aa"], frame["arcs"], strict=True):
        total[layer, head] += number
        if letter in LETTERS:
            arcs[LETTERS.index(letter), layer, head] += number
    return AminoAcids(LETTERS, arcs, total, settings.min_arcs, settings.threshold, call)


def similarity(acids: AminoAcids) -> Similarity:
    """Compare amino acids by the attention they receive, as Vig et al. 2021 do.

    Two are similar if the heads that attend much to one attend much to the other: Pearson's correlation of their
    shares, over the heads with enough arcs. The correlation with BLOSUM62 (Henikoff and Henikoff 1992) is over the
    pairs of different amino acids; the diagonal, where both are largest by definition, is left out.
    """
    shares = acids.shares[:, acids.ranked]
    alike = _correlations(shares)
    substitution = blosum62(acids.letters)
    upper = _different(len(acids.letters))
    known = np.isfinite(alike[upper])
    pairs = np.stack([alike[upper][known], substitution[upper][known]])
    correlation = float(_correlations(pairs)[0, 1]) if known.sum() > 2 else float("nan")
    return Similarity(acids.letters, alike, substitution, shares.shape[1], int(known.sum()), correlation)


def blosum62(letters: str) -> Floats:
    """BLOSUM62 of some letters, float64."""
    from Bio.Align import substitution_matrices

    matrix = substitution_matrices.load("BLOSUM62")
    return np.array([[float(matrix[one, other]) for other in letters] for one in letters])


def _different(number: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.triu_indices(number, 1)


def _correlations(rows: Floats) -> Floats:
    """Pearson's correlation of every two rows; NaN for a constant row, or for fewer than three values."""
    if rows.shape[1] < 3:
        return np.full((len(rows), len(rows)), np.nan)
    centred = rows - rows.mean(axis=1, keepdims=True)
    # Differences of equal values from their mean are only rounding.
    centred[np.ptp(rows, axis=1) == 0] = np.nan
    centred /= np.sqrt((centred**2).sum(axis=1, keepdims=True))
    correlations: Floats = np.clip(centred @ centred.T, -1.0, 1.0)
    return correlations
