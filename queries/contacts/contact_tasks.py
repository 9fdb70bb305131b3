"""Tasks of contact prediction: the computation on one segment, and the combination of two results."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...format.segment import Segment
from ..statistics.bootstrap import PoissonBootstrap, replicate_weights
from ..statistics.cluster_counts import Holders
from ..statistics.cluster_intervals import cluster_interval
from ..statistics.clusters import Clusters
from .contact_maps import RANGES, TOPS, Head, LabelledPairs, combine_maps, labelled_pairs, maps, precision

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ContactPart:
    """The selected proteins of one segment, the input of a task.

    Attributes
    ----------
    segment : Segment
    local : indices in the segment, increasing
    coordinates : float32 [stored, 3] for each
    clusters : cluster of each
    """

    segment: Segment
    local: tuple[int, ...]
    coordinates: tuple[Array, ...]
    clusters: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(self.segment.proteins.id[index] for index in self.local)

    def pairs(self) -> list[LabelledPairs]:
        """Their labelled pairs."""
        return [labelled_pairs(xyz) for xyz in self.coordinates]

    def lengths(self) -> list[int]:
        """Number of residues that the model saw, for each protein."""
        return [int(self.segment.proteins.stored[index]) for index in self.local]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Precision of every head, summed over proteins.

    Attributes
    ----------
    sums : float64 [layers, heads, ranges, tops]
    proteins : int64 [ranges], those with a known contact in the range
    by : range and top of the precision by which heads are ranked
    bootstrap : of that precision
    holders : clusters with a known contact in that range
    """

    sums: Array
    proteins: Array
    by: Head
    bootstrap: PoissonBootstrap
    holders: Holders

    def combine(self, other: "Ranking") -> "Ranking":
        """Combine the results of two tasks."""
        return Ranking(
            self.sums + other.sums,
            self.proteins + other.proteins,
            self.by,
            self.bootstrap.combine(other.bootstrap),
            self.holders.combine(other.holders),
        )

    def interval(self, level: float) -> tuple[Array, Array]:
        """Ends of the interval of the precision by which heads are ranked, float64 [layers, heads] each."""
        true = self.sums[(..., *self.by)]
        total = np.broadcast_to(self.proteins[self.by[0]], true.shape)
        return cluster_interval(self.bootstrap, true, total, self.holders.finalise()[0], level)

    def mean(self) -> Array:
        """Mean over proteins, float64 [layers, heads, ranges, tops]; NaN for a range without a contact."""
        with np.errstate(invalid="ignore"):
            return self.sums / self.proteins[:, None]


def rank(part: ContactPart, shape: Head, apc: bool, by: Head, replicates: int, seed: int) -> Ranking:
    """Precision of every head on a part's proteins.

    Parameters
    ----------
    shape : layers, heads
    by : range and top of the bootstrap
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
    return Ranking(
        found.sum(axis=0),
        known.sum(axis=0),
        by,
        PoissonBootstrap.partial(ranked, counted, weights),
        Holders.partial(_clusters(part), counted[:, 0, 0].astype(np.uint8)),
    )


def _clusters(part: ContactPart) -> Clusters:
    """The clusters of a part's proteins, each of which may have proteins in other parts."""
    return Clusters(part.clusters, np.ones(len(part.clusters), bool))


@dataclass(frozen=True, eq=False)
class Precisions:
    """Precision of one way to score pairs, protein by protein.

    Attributes
    ----------
    ids, length : of the proteins; number of residues that the model saw, int64
    precision : float64 [proteins, ranges, tops]; NaN for a protein without a known contact in the range
    pairs, contacts : int64 [proteins, ranges], of known distance
    bootstrap : of the mean precision
    holders : clusters with a known contact in the range
    """

    ids: tuple[str, ...]
    length: Array
    precision: Array
    pairs: Array
    contacts: Array
    bootstrap: PoissonBootstrap
    holders: Holders

    def combine(self, other: "Precisions") -> "Precisions":
        """Those of both tasks' proteins."""
        return Precisions(
            self.ids + other.ids,
            np.concatenate([self.length, other.length]),
            np.concatenate([self.precision, other.precision]),
            np.concatenate([self.pairs, other.pairs]),
            np.concatenate([self.contacts, other.contacts]),
            self.bootstrap.combine(other.bootstrap),
            self.holders.combine(other.holders),
        )

    def interval(self, level: float) -> tuple[Array, Array]:
        """Ends of the interval of the mean precision, float64 [ranges, tops] each."""
        known = ~np.isnan(self.precision)
        true = np.where(known, self.precision, 0).sum(axis=0)
        return cluster_interval(self.bootstrap, true, known.sum(axis=0), self.holders.finalise()[0], level)


def measure_precision(part: ContactPart, coefficients: Array, apc: bool, replicates: int, seed: int) -> Precisions:
    """Precision of a sum of heads' maps on a part's proteins; `coefficients` is float64 [layers, heads]."""
    pairs, lengths = part.pairs(), part.lengths()
    scores = combine_maps(part.segment, coefficients, part.local, pairs, apc)
    found = np.array([precision(*each) for each in zip(scores, pairs, lengths, strict=True)])
    weights = replicate_weights(part.clusters, replicates, seed)
    return Precisions(
        part.ids,
        np.array(lengths),
        found,
        np.array([wanted.counts for wanted in pairs]),
        np.array([wanted.contacts for wanted in pairs]),
        PoissonBootstrap.partial(np.nan_to_num(found), ~np.isnan(found), weights),
        Holders.partial(_clusters(part), (~np.isnan(found)).astype(np.uint8)),
    )


def features(part: ContactPart, shape: Head, apc: bool) -> dict[str, tuple[Array, Array]]:
    """Training data of a regression: by protein, maps float64 [heads of all layers, pairs] and contact bool [pairs]."""
    pairs = part.pairs()
    heads = list(np.ndindex(shape))
    values = [np.empty((len(heads), wanted.first.size)) for wanted in pairs]
    for number, place, scores in maps(part.segment, heads, part.local, pairs, apc):
        values[place][number] = scores
    return {name: (each, wanted.contact) for name, each, wanted in zip(part.ids, values, pairs, strict=True)}
