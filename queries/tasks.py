"""One segment's part of an alignment: what a task computes.

A task gets the segment, the plan, the measure, and vectors and clusters of the segment's proteins; it touches
nothing else.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ..codebook import Codebook
from ..segment import Segment
from . import kernels
from .background import SeparationBackground
from .clusters import Clusters, held_out
from .histograms import Sums, histograms
from .kernels import EXCLUDED, FALSE, GROUPS, NULL, TRUE
from .measure import Measure
from .pairs import AllPairs, truth
from .plan import Plan, one_end
from .samples import Counts, Halves, Reading, Sample
from .vectors import ProteinVectors, SegmentVectors

Array = npt.NDArray[Any]

#: What the paper calls apart: pairs nearer than this are no contacts and no part of its background.
PAPER_SEPARATION = 6


@dataclass(frozen=True, eq=False)
class _PerProtein:
    """Arcs by group, [proteins, layers, heads, group]: numbers, and what is summed (numbers again, or weights).

    `by_separation` is [layers, heads, separations], of arcs with the predicate known; empty where not needed.
    """

    arcs: Array
    sums: Array
    lower: Array | None
    upper: Array | None
    by_separation: Array


def run(
    plan: Plan,
    measure: Measure,
    segment: Segment,
    codebook: Codebook,
    shape: tuple[int, int],
    vectors: SegmentVectors,
    clusters: Clusters,
) -> Halves:
    """Compute one segment's part.

    Parameters
    ----------
    plan : how it is read
    measure : what is computed
    segment : Segment
    codebook : Codebook
    shape : layers, heads
    vectors, clusters : those of the segment's proteins, in its order

    Raises
    ------
    StoreError
        If what is read of the segment is damaged.
    """
    stored = segment.proteins.stored.tolist()
    groups = [_groups(plan, protein) for protein in vectors.proteins()]
    read = {"arcs": _from_arcs, "codes": _from_codes, "marginals": _from_marginals}[plan.tier]
    found = read(plan, segment, codebook, shape, groups)
    separation = None
    if measure.background == "separation":
        by_separation = found.by_separation
        if measure.split:
            # Arcs by separation are not told apart by protein: read again, without the half that is not reported.
            reported = held_out(clusters.keys, measure.seed)
            groups = [g if kept else np.full_like(g, EXCLUDED) for g, kept in zip(groups, reported, strict=True)]
            by_separation = read(plan, segment, codebook, shape, groups).by_separation
        separation = _separation_background(groups, stored, by_separation)
    true, known = _pairs(plan, measure, groups, stored)
    reading = Reading(
        arcs=_counts(found.arcs),
        sums=_counts(found.sums if measure.weighted else found.arcs),
        low=None if found.lower is None else _counts(found.lower),
        high=None if found.upper is None else _counts(found.upper),
        pairs_true=true,
        pairs_known=known,
        separation=separation,
    )
    return Halves.partial(measure, reading, clusters)


def run_curve(
    plan: Plan,
    measure: Measure,
    segment: Segment,
    codebook: Codebook,
    shape: tuple[int, int],
    vectors: SegmentVectors,
    clusters: Clusters,
) -> Sample:
    """Compute one segment's part of a curve: a sample of the arcs of each code, [codes, layers, heads].

    Parameters and errors are those of `run`; codes begin with that of the plan's threshold.
    """
    groups = [_groups(plan, protein) for protein in vectors.proteins()]
    true, known = _pairs(plan, measure, groups, segment.proteins.stored.tolist())
    apart = measure.background == "protein" or measure.replicates > 0

    def sample(rows: Array, arcs: Array, sums: Sums | None) -> Sample:
        reading = Reading(
            arcs=_counts(arcs),
            sums=_counts(arcs if sums is None else sums.mean),
            low=None if sums is None or sums.low is None else _counts(sums.low),
            high=None if sums is None or sums.high is None else _counts(sums.high),
            pairs_true=None if true is None else true[rows],
            pairs_known=None if known is None else known[rows],
            separation=None,
        )
        return Sample.partial(measure, reading, clusters.take(rows))

    found = histograms(plan, segment, codebook, shape, groups, proteins_apart=apart)
    return reduce(Sample.combine, (sample(*block) for block in found))


def _counts(groups: Array) -> Counts:
    """Counts from an array whose last axis is the group."""
    return Counts(true=groups[..., TRUE], false=groups[..., FALSE], unknown=groups[..., NULL])


def _groups(plan: Plan, vectors: ProteinVectors) -> Array:
    """uint8 [length²], target-major: the predicate's Kleene code, or EXCLUDED."""
    pairs = AllPairs(vectors)
    groups = truth(plan.predicate, vectors, pairs)
    if plan.where is not None:
        groups[truth(plan.where, vectors, pairs) != TRUE] = EXCLUDED
    return groups.ravel()


def _from_arcs(
    plan: Plan, segment: Segment, codebook: Codebook, shape: tuple[int, int], groups: list[Array]
) -> _PerProtein:
    proteins = segment.proteins
    arcs = segment.arcs(plan.threshold)
    columns = [np.require(column.to_numpy(), requirements="W") for column in arcs.columns]
    separations = int(proteins.stored.max()) if plan.background == "separation" else 0
    counts = np.zeros((len(proteins.id), *shape, GROUPS), np.int64)
    sums = np.zeros(counts.shape, np.float64)
    by_separation = np.zeros((*shape, separations, 2))
    kernels.count_arcs(
        *columns, np.float32(plan.threshold), np.concatenate(groups), proteins.pair_offset, proteins.stored,
        counts, sums, by_separation,
    )  # fmt: skip
    chosen = by_separation[..., 1] if plan.weighted else by_separation[..., 0].astype(np.int64)
    return _PerProtein(counts, sums, None, None, chosen)


def _from_codes(
    plan: Plan, segment: Segment, codebook: Codebook, shape: tuple[int, int], groups: list[Array]
) -> _PerProtein:
    proteins = segment.proteins
    layers, heads = shape
    first = codebook.code_of(plan.threshold)
    assert first is not None
    separations = int(proteins.stored.max()) if plan.background == "separation" else 0
    counts = np.zeros((len(proteins.id), *shape, GROUPS), np.int64)
    sums, lower, upper = (np.zeros(counts.shape if plan.weighted else 0) for _ in range(3))
    by_separation = np.zeros((*shape, separations))
    values = np.zeros((heads, 256))
    for layer in range(layers):
        codes = segment.codes(layer, slice(None))
        mean = segment.bin_mean[layer].astype(np.float64)
        values[:, first : codebook.size] = mean[:, first:] if plan.weighted else 1.0
        for p, group in enumerate(groups):
            begin, end = proteins.pair_offset[p : p + 2].tolist()
            histogram = np.zeros((heads, 256, GROUPS), np.int64)
            kernels.code_histogram(codes[:, begin:end], group, histogram)
            taken = histogram[:, first : codebook.size]
            counts[p, layer] = taken.sum(axis=1)
            if plan.weighted:
                sums[p, layer] = np.einsum("hcg,hc->hg", taken, mean[:, first:])
                lower[p, layer] = np.einsum("hcg,c->hg", taken, codebook.lower[first:].astype(np.float64))
                upper[p, layer] = np.einsum("hcg,c->hg", taken, codebook.upper[first:].astype(np.float64))
            if separations:
                length = int(proteins.stored[p])
                kernels.codes_by_separation(codes[:, begin:end], group, length, values, by_separation[layer])
    if not plan.weighted:
        return _PerProtein(counts, sums, None, None, by_separation.astype(np.int64))
    return _PerProtein(counts, sums, lower, upper, by_separation)


def _from_marginals(
    plan: Plan, segment: Segment, codebook: Codebook, shape: tuple[int, int], groups: list[Array]
) -> _PerProtein:
    proteins = segment.proteins
    end = plan.end
    marginal = segment.marginal("received" if end == "target" else "emitted")
    counts = np.zeros((len(proteins.id), *shape, GROUPS), np.int64)
    sums = np.zeros(counts.shape)
    for p, group in enumerate(groups):
        length = int(proteins.stored[p])
        # Every row (or column) is the same: the group of a pair is that of its one end.
        matrix = group.reshape(length, length)
        of_residue = matrix[:, 0] if end == "target" else matrix[0]
        begin, stop = proteins.residue_offset[p : p + 2].tolist()
        weights = marginal[..., begin:stop].astype(np.float64)
        for value in range(GROUPS):
            chosen = of_residue == value
            sums[p, ..., value] = weights[..., chosen].sum(axis=-1)
            counts[p, ..., value] = np.count_nonzero(chosen) * length
    return _PerProtein(counts, sums, None, None, np.zeros((*shape, 0)))


def _pairs(
    plan: Plan, measure: Measure, groups: list[Array], stored: list[int]
) -> tuple[Array, Array] | tuple[None, None]:
    """Pairs TRUE and pairs counted of each protein's background, int64 [proteins]; None where it needs none."""
    if measure.background in ("none", "separation"):
        return None, None
    if measure.background == "paper":
        pairs = np.array([_paper_pairs(plan, g, n) for g, n in zip(groups, stored, strict=True)], np.int64)
        return pairs[:, 0], pairs[:, 1]
    counted = np.array([np.bincount(group, minlength=GROUPS) for group in groups])
    return counted[:, TRUE], counted[:, TRUE] + counted[:, FALSE]


def _separation_background(groups: list[Array], stored: list[int], by_separation: Array) -> SeparationBackground:
    pairs = np.zeros((GROUPS, max(stored)), np.int64)
    for group, length in zip(groups, stored, strict=True):
        kernels.pairs_by_separation(group, length, pairs)
    return SeparationBackground.partial(by_separation, pairs[TRUE], pairs[TRUE] + pairs[FALSE])


def _paper_pairs(plan: Plan, groups: Array, length: int) -> tuple[int, int]:
    """True and counted pairs of one protein in the paper's background.

    A property of a pair: over pairs with the property known and a separation of at least 6. A property of one
    residue: over residues, unlabelled counting as negative; or, under a where clause that takes both ends, over
    the pairs that pass it.
    """
    matrix = groups.reshape(length, length)
    if one_end((plan.predicate,)) is None:
        position = np.arange(length)
        far = np.abs(position[:, None] - position) >= PAPER_SEPARATION
        true, false = (int(np.count_nonzero((matrix == value) & far)) for value in (TRUE, FALSE))
        return true, true + false
    if plan.end is not None:
        matrix = matrix[:, 0] if plan.end == "target" else matrix[0]
    return int(np.count_nonzero(matrix == TRUE)), int(np.count_nonzero(matrix != EXCLUDED))
