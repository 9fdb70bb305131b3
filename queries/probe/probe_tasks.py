"""Tasks of a probe on one segment: its examples, the training features, and the score on test proteins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...format.segment import Segment
from ..engine.vectors import SegmentVectors
from ..statistics.bootstrap import PoissonBootstrap, replicate_weights
from ..statistics.cluster_counts import Holders
from ..statistics.clusters import Clusters
from .features import Source, read_layer
from .labels import Condition, label_examples

Array = npt.NDArray[Any]
Metric = Literal["f1", "precision"]

#: The list of the best-scored has L divided by this: for residues and for pairs, as in Vig et al. 2021.
DIVISORS = {"residues": 20, "pairs": 5}


def score_words(attrs: dict[str, Any]) -> str:
    """The name of the score: 'F1', or the list of which it is the precision."""
    if attrs["metric"] == "f1":
        return "F1"
    return f"precision of the best {attrs['list']} {attrs['of']}"


@dataclass(frozen=True, eq=False)
class ProbePart:
    """The proteins of one segment, the input of a task.

    Attributes
    ----------
    condition : the condition to predict
    segment : Segment
    vectors : of the segment's proteins, in its order
    clusters : cluster of each
    """

    condition: Condition
    segment: Segment
    vectors: SegmentVectors
    clusters: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """A linear classifier of one layer: score = features · weights + intercept, true above 0.

    Attributes
    ----------
    source, layer : its features, as in `features`
    weights : float64 [features]
    intercept : float
    """

    source: Source
    layer: int
    weights: Array
    intercept: float


def count(part: ProbePart) -> list[tuple[int, int]]:
    """Number of examples of each protein, and of those that are true."""
    labels = [label_examples(part.condition, vectors).label for vectors in part.vectors.proteins()]
    return [(label.size, int(label.sum())) for label in labels]


def gather(part: ProbePart, chosen: Mapping[int, Array], source: Source, layer: int) -> list[tuple[Array, Array]]:
    """Features, float32 [examples, features], and labels of the training examples, by protein.

    Parameters
    ----------
    chosen : rows among the examples of each protein that has any, by its index in the segment
    """
    if not chosen:
        return []
    held, proteins = read_layer(part.segment, source, layer), part.vectors.proteins()
    found = []
    for local, rows in chosen.items():
        examples = label_examples(part.condition, proteins[local]).take(rows)
        found.append((held.features(local, examples), examples.label))
    return found


@dataclass(frozen=True, eq=False)
class Performance:
    """The score of a probe, as a ratio of sums over proteins.

    Attributes
    ----------
    numerator, denominator : F1 = 2TP / (2TP + FP + FN); precision = true ones listed / ones listed
    bootstrap : of the ratio, over clusters
    holders : clusters with a denominator above 0
    """

    numerator: float
    denominator: float
    bootstrap: PoissonBootstrap
    holders: Holders

    @property
    def ratio(self) -> float:
        """The score; NaN if the denominator is 0, as for F1 if nothing is true and nothing predicted as true."""
        return self.numerator / self.denominator if self.denominator else float("nan")

    def combine(self, other: "Performance") -> "Performance":
        """Combine the results of two tasks."""
        return Performance(
            self.numerator + other.numerator,
            self.denominator + other.denominator,
            self.bootstrap.combine(other.bootstrap),
            self.holders.combine(other.holders),
        )


def measure_probe(
    part: ProbePart, proteins: tuple[int, ...], probe: Probe | None, metric: Metric, replicates: int, seed: int
) -> Performance:
    """Measure a probe on some proteins of a part.

    Parameters
    ----------
    proteins : indices in the segment
    probe : Probe; None for the score of one without knowledge: for lists, a random order; for F1, everything predicted
        as true, for which F1 is the largest
    """
    vectors = part.vectors.proteins()
    held = read_layer(part.segment, probe.source, probe.layer) if probe is not None and proteins else None
    sums = np.zeros((len(proteins), 2))
    for place, local in enumerate(proteins):
        examples = label_examples(part.condition, vectors[local])
        if not examples.label.size:
            continue
        found = np.ones(examples.label.size)
        if probe is not None and held is not None:
            found = held.scores(local, examples, probe.weights, probe.intercept)
        if metric == "f1":
            sums[place] = _agreement(found > 0, examples.label)
        else:
            divisor = DIVISORS["residues" if examples.second is None else "pairs"]
            sums[place] = list_precision(found, examples.label, max(1, vectors[local].length // divisor))
    clusters = tuple(part.clusters[local] for local in proteins)
    weights = replicate_weights(clusters, replicates, seed)
    numerator, denominator = sums.T
    return Performance(
        float(numerator.sum()),
        float(denominator.sum()),
        PoissonBootstrap.partial(numerator, denominator, weights),
        # Any cluster may have proteins in other parts.
        Holders.partial(Clusters(clusters, np.ones(len(clusters), bool)), (denominator > 0).astype(np.uint8)),
    )


def _agreement(called: Array, label: Array) -> tuple[float, float]:
    """2TP and 2TP + FP + FN."""
    return 2.0 * np.count_nonzero(called & label), float(np.count_nonzero(called) + np.count_nonzero(label))


def list_precision(found: Array, label: Array, size: int) -> tuple[float, float]:
    """Number of true examples among the best-scored, and length of the list: `size`, or all if there are fewer.

    Ties at the end of the list count with their expected number.
    """
    # Imported here, because importing numba takes longer than reading a condition.
    from ..contacts.contact_kernels import precisions

    size = min(size, label.size)
    precision = np.empty((1, 1))
    precisions(found, label, np.array([[0, label.size]]), np.array([size]), precision)
    return float(np.nan_to_num(precision[0, 0])) * size, float(size)
