"""Contact maps of heads from the codes, and what one segment says of them: a task each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..segment import Segment
from . import contact_kernels as kernels
from .bootstrap import PoissonBootstrap, replicate_weights
from .tree import CONTACT_DISTANCE, CONTACT_SEPARATION

Array = npt.NDArray[Any]
#: A layer and a head of it.
Head = tuple[int, int]

#: Ranges of separation, and how they are called: 6 and more, 6–11, 12–23, 24 and more; the bounds are CASP's.
RANGES = {"all": "separation ≥ 6", "short": "short range", "medium": "medium range", "long": "long range"}
_LIMITS = (12, 24)

#: How long the lists of best pairs are: L divided by these.
TOPS = {"L": 1, "L/2": 2, "L/5": 5}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Unordered pairs i < j of one protein, those of a range one after the other.

    Attributes
    ----------
    first, second : int32 [pairs], i and j
    contact : bool [pairs]
    bounds : int64 [ranges, 2], where the pairs of each of `RANGES` begin and end
    """

    first: Array
    second: Array
    contact: Array
    bounds: Array

    @property
    def counts(self) -> Array:
        """Pairs of each range, int64 [ranges]."""
        return self.bounds[:, 1] - self.bounds[:, 0]

    @property
    def contacts(self) -> Array:
        """Contacts of each range, int64 [ranges]."""
        return np.array([np.count_nonzero(self.contact[begin:end]) for begin, end in self.bounds])


def labelled_pairs(coordinates: Array) -> Pairs:
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
    return Pairs(
        first[order].astype(np.int32),
        second[order].astype(np.int32),
        square[order] < CONTACT_DISTANCE**2,
        np.array(bounds, np.int64),
    )


@dataclass(frozen=True, eq=False)
class Part:
    """The proteins of one segment that take part; what a task is given.

    Attributes
    ----------
    segment : Segment
    local : indices in the segment, rising
    coordinates : float32 [stored, 3] for each
    clusters : which cluster each is of
    """

    segment: Segment
    local: tuple[int, ...]
    coordinates: tuple[Array, ...]
    clusters: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(self.segment.proteins.id[index] for index in self.local)

    def pairs(self) -> list[Pairs]:
        """Their labelled pairs."""
        return [labelled_pairs(xyz) for xyz in self.coordinates]

    def lengths(self) -> list[int]:
        """Residues that the model saw of each."""
        return [int(self.segment.proteins.stored[index]) for index in self.local]


def maps(
    segment: Segment, heads: Sequence[Head], local: Sequence[int], pairs: Sequence[Pairs], apc: bool
) -> Iterator[tuple[int, int, Array]]:
    """Corrected maps, one head and one protein at a time, so that memory holds the codes of one head.

    Parameters
    ----------
    local : the proteins' indices in the segment, rising
    pairs : the pairs wanted of each

    Yields
    ------
    which head, which protein : places in `heads` and `local`
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


def combined(
    segment: Segment, coefficients: Array, local: Sequence[int], pairs: Sequence[Pairs], apc: bool
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


def precision(scores: Array, pairs: Pairs, length: int) -> Array:
    """Precision of scores, float64 [ranges, tops]; NaN where a range holds no known contact.

    It is the share of contacts among the best-scored L, L/2 and L/5 pairs of known distance, or among all of them
    where there are fewer.
    """
    found = np.empty((len(RANGES), len(TOPS)))
    kernels.precisions(scores, pairs.contact, pairs.bounds, sizes(length), found)
    return found


@dataclass(frozen=True, eq=False)
class Ranking:
    """Precision of every head, summed over proteins.

    Attributes
    ----------
    sums : float64 [layers, heads, ranges, tops]
    proteins : int64 [ranges], those with a known contact in the range
    bootstrap : of the figure by which heads are ranked
    """

    sums: Array
    proteins: Array
    bootstrap: PoissonBootstrap

    def combine(self, other: "Ranking") -> "Ranking":
        """That of both tasks' proteins."""
        return Ranking(self.sums + other.sums, self.proteins + other.proteins, self.bootstrap.combine(other.bootstrap))

    def mean(self) -> Array:
        """Mean over proteins, float64 [layers, heads, ranges, tops]; NaN in a range where no protein has a contact."""
        with np.errstate(invalid="ignore"):
            return self.sums / self.proteins[:, None]


def rank(part: Part, shape: Head, apc: bool, by: Head, replicates: int, seed: int) -> Ranking:
    """Precision of every head on a part's proteins.

    Parameters
    ----------
    shape : layers, heads
    by : which range and which top the bootstrap is of
    """
    pairs, lengths = part.pairs(), part.lengths()
    heads = list(np.ndindex(shape))
    found = np.empty((len(pairs), len(heads), len(RANGES), len(TOPS)))
    for number, place, scores in maps(part.segment, heads, part.local, pairs, apc):
        found[place, number] = precision(scores, pairs[place], lengths[place])
    found = np.nan_to_num(found).reshape(len(pairs), *shape, *found.shape[2:])
    known = np.array([wanted.contacts > 0 for wanted in pairs])
    ranked = found[(..., *by)]
    counted = np.broadcast_to(known[:, by[0], None, None], ranked.shape)
    weights = replicate_weights(part.clusters, replicates, seed)
    return Ranking(found.sum(axis=0), known.sum(axis=0), PoissonBootstrap.partial(ranked, counted, weights))


@dataclass(frozen=True, eq=False)
class Precisions:
    """Precision of one way to score pairs, protein by protein.

    Attributes
    ----------
    ids, length : of the proteins; residues that the model saw, int64
    precision : float64 [proteins, ranges, tops]; NaN where a protein has no known contact in the range
    pairs, contacts : int64 [proteins, ranges], of known distance
    bootstrap : of the mean precision
    """

    ids: tuple[str, ...]
    length: Array
    precision: Array
    pairs: Array
    contacts: Array
    bootstrap: PoissonBootstrap

    def combine(self, other: "Precisions") -> "Precisions":
        """Those of both tasks' proteins."""
        return Precisions(
            self.ids + other.ids,
            np.concatenate([self.length, other.length]),
            np.concatenate([self.precision, other.precision]),
            np.concatenate([self.pairs, other.pairs]),
            np.concatenate([self.contacts, other.contacts]),
            self.bootstrap.combine(other.bootstrap),
        )


def measure(part: Part, coefficients: Array, apc: bool, replicates: int, seed: int) -> Precisions:
    """Precision of a sum of heads' maps on a part's proteins; `coefficients` is float64 [layers, heads]."""
    pairs, lengths = part.pairs(), part.lengths()
    scores = combined(part.segment, coefficients, part.local, pairs, apc)
    found = np.array([precision(*each) for each in zip(scores, pairs, lengths, strict=True)])
    weights = replicate_weights(part.clusters, replicates, seed)
    return Precisions(
        part.ids,
        np.array(lengths),
        found,
        np.array([wanted.counts for wanted in pairs]),
        np.array([wanted.contacts for wanted in pairs]),
        PoissonBootstrap.partial(np.nan_to_num(found), ~np.isnan(found), weights),
    )


def features(part: Part, shape: Head, apc: bool) -> dict[str, tuple[Array, Array]]:
    """What a regression learns from: by protein, maps float64 [heads of all layers, pairs] and contact bool [pairs]."""
    pairs = part.pairs()
    heads = list(np.ndindex(shape))
    values = [np.empty((len(heads), wanted.first.size)) for wanted in pairs]
    for number, place, scores in maps(part.segment, heads, part.local, pairs, apc):
        values[place][number] = scores
    return {name: (each, wanted.contact) for name, each, wanted in zip(part.ids, values, pairs, strict=True)}
