"""Features of a probe for one layer: the representations of residues, or the attention of the layer's heads.

Features are built for the training examples. Test examples are scored without building them, because the pairs of one
long protein would not fit in memory.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...format.segment import Segment
from ...format.segment_values import LocalProteins
from .labels import Examples

Array = npt.NDArray[Any]
Source = Literal["embeddings", "attention"]

#: The largest weights that a residue receives from each head; as many as in the code of Vig et al. 2021.
RECEIVED = 10


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The output of a layer for a segment's residues.

    The features of a residue are its representation x; those of a pair are x_i ⊙ x_j and x_i − x_j, where i is the
    residue that comes first: elementwise products and differences, as in Vig et al. 2021 (their code, after TAPE's,
    averages the classifier over both directions of a pair, so that the differences cancel).

    Attributes
    ----------
    proteins : LocalProteins
        Proteins of the segment.
    states : ndarray
        float16 [residues, features].
    """

    proteins: LocalProteins
    states: Array

    def features(self, local: int, examples: Examples) -> Array:
        """Features of examples of one protein, float32 [examples, features]."""
        states = self._of(local).astype(np.float32)
        if examples.second is None:
            return states[examples.first]
        one, other = states[examples.first], states[examples.second]
        return np.concatenate([one * other, one - other], axis=1)

    def scores(self, local: int, examples: Examples, weights: Array, intercept: float) -> Array:
        """Features · weights + intercept, float64 [examples]; weights float64 [features]."""
        states, i, j = self._of(local).astype(np.float64), examples.first, examples.second
        if j is None:
            return np.asarray(states[i] @ weights + intercept)
        product, difference = np.split(weights, 2)
        along = states @ difference
        return np.asarray(((states * product) @ states.T)[i, j] + along[i] - along[j] + intercept)

    def _of(self, local: int) -> Array:
        begin, end = self.proteins.residue_offset[local : local + 2].tolist()
        return self.states[begin:end]


@dataclass(frozen=True, eq=False)
class Attention:
    """The weights of a layer's heads in a segment, each the mean of its bin.

    The features of a pair are (α_ij + α_ji) / 2 in every head; those of a residue the ten largest weights that it
    receives from residues in every head, in descending order (github.com/salesforce/provis, probing/models.py, the
    classifiers FromAttention; the paper shows only the first).

    Attributes
    ----------
    proteins : LocalProteins
        Proteins of the segment.
    codes : ndarray
        uint8 [heads, pairs].
    means : ndarray
        float32 [heads, codes], the weight that each code stands for; it rises with the code.
    """

    proteins: LocalProteins
    codes: Array
    means: Array

    def features(self, local: int, examples: Examples) -> Array:
        """Features of examples of one protein, float32 [examples, heads], for residues [examples, heads × 10]."""
        codes, i, j = self._of(local), examples.first, examples.second
        if j is None:
            return self._received(codes)[i]
        mutual = [
            (mean[target_source[j, i]] + mean[target_source[i, j]]) / 2
            for target_source, mean in zip(codes, self.means, strict=True)
        ]
        return np.stack(mutual, axis=1)

    def scores(self, local: int, examples: Examples, weights: Array, intercept: float) -> Array:
        """Features · weights + intercept, float64 [examples]; weights float64 [features]."""
        codes, i, j = self._of(local), examples.first, examples.second
        if j is None:
            return np.asarray(self._received(codes)[i] @ weights + intercept)
        total = np.full(len(i), intercept)
        for target_source, mean, weight in zip(codes, self.means.astype(np.float64), weights.tolist(), strict=True):
            total += weight * (mean[target_source[j, i]] + mean[target_source[i, j]]) / 2
        return total

    def _of(self, local: int) -> Array:
        """Codes of a protein, uint8 [heads, target, source]."""
        begin, end = self.proteins.pair_offset[local : local + 2].tolist()
        length = int(self.proteins.stored[local])
        return self.codes[:, begin:end].reshape(-1, length, length)

    def _received(self, codes: Array) -> Array:
        """The ten largest weights that residues receive, float32 [residues, heads × 10]; 0 beyond a short protein."""
        heads, length, _ = codes.shape
        number = min(RECEIVED, length)
        # Codes increase with their weights, and are cheaper to sort.
        largest = np.partition(codes, length - number, axis=2)[:, :, length - number :]
        largest = np.sort(largest, axis=2)[:, :, ::-1]
        found = np.zeros((length, heads, RECEIVED), np.float32)
        for head, mean in enumerate(self.means):
            found[:, head, :number] = mean[largest[head]]
        return found.reshape(length, heads * RECEIVED)


def read_layer(segment: Segment, source: Source, layer: int) -> Embeddings | Attention:
    """Read one layer of a segment into memory.

    Parameters
    ----------
    segment : Segment
    source : 'embeddings' or 'attention'
    layer : from 0; −1, of embeddings, is the input of the first layer

    Raises
    ------
    StoreError
        If the data is damaged.
    """
    if source == "embeddings":
        return Embeddings(segment.proteins, segment.hidden(layer + 1))
    return Attention(segment.proteins, segment.codes(layer), segment.bin_mean[layer])
