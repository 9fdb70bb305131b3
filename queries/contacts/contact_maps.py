"""Contact maps of heads, from the codes, and the precision of scores of pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arguments import CONTACT_DISTANCE, CONTACT_SEPARATION
from ...format.segment import Segment
from . import contact_kernels as kernels

Array = npt.NDArray[Any]
#: A layer and a head of it.
Head = tuple[int, int]

#: Ranges of separation and their names: 6 and more, 6–11, 12–23, 24 and more; the bounds are CASP's.
RANGES = {"all": "separation ≥ 6", "short": "short range", "medium": "medium range", "long": "long range"}
_LIMITS = (12, 24)

#: Lengths of the lists of best pairs: L divided by these.
TOPS = {"L": 1, "L/2": 2, "L/5": 5}


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Unordered pairs i < j of one protein, ordered by range.

    Attributes
    ----------
    first, second : int32 [pairs], i and j
    contact : bool [pairs]
    bounds : int64 [ranges, 2], begin and end of the pairs of each of `RANGES`
    """

    first: Array
    second: Array
    contact: Array
    bounds: Array

    @property
    def counts(self) -> Array:
        """Number of pairs in each range, int64 [ranges]."""
        return self.bounds[:, 1] - self.bounds[:, 0]

    @property
    def contacts(self) -> Array:
        """Number of contacts in each range, int64 [ranges]."""
        return np.array([np.count_nonzero(self.contact[begin:end]) for begin, end in self.bounds])


def labelled_pairs(coordinates: Array) -> LabelledPairs:
    """Pairs six or more apart whose distance is known; in contact if it is below 8 Å.

    Parameters
    ----------
    coordinates : float32 [residues, 3], Å; NaN where unknown
    """
    first, second = np.triu_indices(len(coordinates), CONTACT_SEPARATION)
    points = coordinates.astype(np.float64)
    square = ((points[first] - points[second]) ** 2).sum(axis=1)
    group = np.digitize(second - first, _LIMITS)
    order = np.argsort(group, kind="stable")
    order = order[~np.isnan(square[order])]
    ends = np.cumsum(np.bincount(group[order], minlength=3))
    bounds = [[0, len(order)], [0, ends[0]], [ends[0], ends[1]], [ends[1], ends[2]]]
    return LabelledPairs(
        first[order].astype(np.int32),
        second[order].astype(np.int32),
        square[order] < CONTACT_DISTANCE**2,
        np.array(bounds, np.int64),
    )


def maps(
    segment: Segment, heads: Sequence[Head], local: Sequence[int], pairs: Sequence[LabelledPairs], apc: bool
) -> Iterator[tuple[int, int, Array]]:
    """Yield corrected maps, one head and one protein at a time, so that only the codes of one head are in memory.

    Parameters
    ----------
    local : the proteins' indices in the segment, increasing
    pairs : pairs of each protein

    Yields
    ------
    head, protein : indices in `heads` and `local`
    scores : float64 [pairs]

    Raises
    ------
    StoreError
        If the codes are damaged.
    """
    proteins = segment.proteins
    begin, end = int(proteins.pair_offset[local[0]]), int(proteins.pair_offset[local[-1] + 1])
    for number, (layer, head) in enumerate(heads):
        codes = segment.codes(layer, head, begin, end)
        values = np.zeros(256)
        mean = segment.bin_mean[layer, head]
        values[: mean.size] = mean
        for place, (index, wanted) in enumerate(zip(local, pairs, strict=True)):
            scores = np.empty(wanted.first.size)
            low, high = (proteins.pair_offset[index : index + 2] - begin).tolist()
            kernels.corrected_map(
                codes[low:high], int(proteins.stored[index]), values, wanted.first, wanted.second, apc, scores
            )
            yield number, place, scores


def combine_maps(
    segment: Segment, coefficients: Array, local: Sequence[int], pairs: Sequence[LabelledPairs], apc: bool
) -> list[Array]:
    """Σ coefficient × corrected map over the heads whose coefficient is not zero; float64 [pairs] for each protein."""
    heads: list[Head] = [(int(layer), int(head)) for layer, head in np.argwhere(coefficients)]
    totals = [np.zeros(wanted.first.size) for wanted in pairs]
    for number, place, scores in maps(segment, heads, local, pairs, apc):
        totals[place] += coefficients[heads[number]] * scores
    return totals


def sizes(length: int) -> Array:
    """Numbers of pairs in the lists of `TOPS`: L, ⌊L/2⌋ and ⌊L/5⌋, at least 1; int64."""
    return np.array([max(1, length // divisor) for divisor in TOPS.values()], np.int64)


def precision(scores: Array, pairs: LabelledPairs, length: int) -> Array:
    """Precision of scores, float64 [ranges, tops]; NaN for a range without a known contact.

    It is the share of contacts among the best-scored L, L/2 and L/5 pairs of known distance, or among all of them if
    there are fewer.
    """
    found = np.empty((len(RANGES), len(TOPS)))
    kernels.precisions(scores, pairs.contact, pairs.bounds, sizes(length), found)
    return found
