"""One segment's part of an alignment: what a task computes.

A task gets the segment, the plan, the measure, and vectors and clusters of the segment's proteins; it touches
nothing else.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ...format.codebook import Codebook
from ...format.segment import Segment
from ..sql.tree import FALSE, NULL, TRUE, one_end
from ..statistics.background import SeparationBackground
from ..statistics.clusters import Clusters, held_out
from ..statistics.measure import Measure
from ..statistics.samples import Counts, Halves, Reading, Sample
from . import kernels
from .align_scan import Plan
from .histograms import Sums, histograms
from .kernels import EXCLUDED, GROUPS
from .pairs import ListedPairs
from .states import eligible_states, flat_states, protein_states, state_counts, states
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
    read = {"arcs": _from_arcs, "codes": _from_codes, "marginals": _from_marginals}[plan.tier]
    found = read(plan, segment, codebook, shape, vectors, np.ones(len(clusters.keys), bool))
    separation, of_selection = None, None
    if measure.background == "separation":
        reported = np.ones(len(clusters.keys), bool)
        by_separation = found.by_separation
        if measure.split:
            # Arcs by separation are not told apart by protein: read again, without the half that is not reported.
            reported = held_out(clusters.keys, measure.seed)
            by_separation = read(plan, segment, codebook, shape, vectors, reported).by_separation
            of_selection = _separation_background(plan, vectors, ~reported, found.by_separation - by_separation)
        separation = _separation_background(plan, vectors, reported, by_separation)
    true, known = _pairs(plan, measure, vectors)
    reading = Reading(
        arcs=_counts(found.arcs),
        sums=_counts(found.sums if measure.weighted else found.arcs),
        low=None if found.lower is None else _counts(found.lower),
        high=None if found.upper is None else _counts(found.upper),
        pairs_true=true,
        pairs_known=known,
        separation=separation,
        selection_separation=of_selection,
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
    true, known = _pairs(plan, measure, vectors)
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
            told_apart=apart,
        )
        own = clusters.take(rows)
        # A family may have proteins in other blocks of the segment.
        return Sample.partial(measure, reading, own if measure.cluster_by == "protein" else own.spanning())

    found = histograms(plan, segment, codebook, shape, vectors, proteins_apart=apart)
    return reduce(Sample.combine, (sample(*block) for block in found))


def _counts(groups: Array) -> Counts:
    """Counts from an array whose last axis is the group."""
    return Counts(true=groups[..., TRUE], false=groups[..., FALSE], unknown=groups[..., NULL])


def _from_arcs(
    plan: Plan,
    segment: Segment,
    codebook: Codebook,
    shape: tuple[int, int],
    vectors: SegmentVectors,
    taking_part: npt.NDArray[np.bool_],
) -> _PerProtein:
    separations = int(vectors.stored.max()) if plan.separations else 0
    counts = np.zeros((len(vectors.stored), *shape, GROUPS), np.int64)
    sums = np.zeros(counts.shape if plan.weighted else (0, 0, 0, 0))
    by_separation = np.zeros((*shape, separations, 2))
    columns = ["layer", "head", "protein", "source", "target"]
    # Row groups are cut where most thresholds are: what the threshold alone asks of the weights need not be read.
    weighed = plan.weighted or separations > 0
    for arcs in segment.arc_groups(plan.threshold, [*columns, "weight"] if weighed else columns):
        layer, head, protein, source, target = (arcs[name].to_numpy() for name in columns)
        state = states(plan, ListedPairs(vectors, protein, source, target), len(layer))
        if not taking_part.all():
            state = np.where(taking_part[protein], state, np.uint8(EXCLUDED))
        kernels.count_states(layer, head, protein, state, counts)
        if weighed:
            weight = arcs["weight"].to_numpy()
            kernels.sum_states(layer, head, protein, source, target, weight, state, sums, by_separation)
    chosen = by_separation[..., 1] if plan.weighted else by_separation[..., 0].astype(np.int64)
    return _PerProtein(counts, sums, None, None, chosen)


def _from_codes(
    plan: Plan,
    segment: Segment,
    codebook: Codebook,
    shape: tuple[int, int],
    vectors: SegmentVectors,
    taking_part: npt.NDArray[np.bool_],
) -> _PerProtein:
    stored, offset = vectors.stored, vectors.pair_offset
    first = codebook.code_of(plan.threshold)
    assert first is not None
    separations = int(stored.max()) if plan.separations else 0
    groups = flat_states(plan, vectors)
    for p in np.flatnonzero(~taking_part).tolist():
        groups[offset[p] : offset[p + 1]] = EXCLUDED
    counts = np.zeros((len(stored), *shape, GROUPS), np.int64)
    sums, lower, upper = (np.zeros(counts.shape if plan.weighted else 0) for _ in range(3))
    by_separation = np.zeros((*shape, separations))
    edges = [values[first:].astype(np.float64) for values in (codebook.lower, codebook.upper)]
    for layer, head, begin, codes in segment.chunks():
        own = groups[begin : begin + len(codes)]
        if not plan.weighted:
            kernels.count_codes(codes, own, begin, offset, np.uint8(first), counts[:, layer, head])
        else:
            table = np.zeros((len(stored), 256, GROUPS), np.int64)
            kernels.code_histograms(codes, own, begin, offset, table)
            taken = table[:, first : codebook.size]
            counts[:, layer, head] += taken.sum(axis=1)
            mean = segment.bin_mean[layer, head, first:].astype(np.float64)
            for total, values in zip((sums, lower, upper), (mean, *edges), strict=True):
                total[:, layer, head] += np.einsum("pcg,c->pg", taken, values)
        if separations:
            values = np.zeros(256)
            values[first : codebook.size] = segment.bin_mean[layer, head, first:] if plan.weighted else 1.0
            kernels.codes_by_separation(codes, own, begin, offset, stored, values, by_separation[layer, head])
    if not plan.weighted:
        return _PerProtein(counts, sums, None, None, by_separation.astype(np.int64))
    return _PerProtein(counts, sums, lower, upper, by_separation)


def _from_marginals(
    plan: Plan,
    segment: Segment,
    codebook: Codebook,
    shape: tuple[int, int],
    vectors: SegmentVectors,
    taking_part: npt.NDArray[np.bool_],
) -> _PerProtein:
    offset = vectors.residue_offset
    marginal = segment.marginal("received" if plan.end == "target" else "emitted")
    state = np.empty(int(offset[-1]), np.uint8)
    for p, protein in enumerate(vectors.proteins()):
        # Every row (or column) is the same: the state of a pair is that of its one end.
        state[offset[p] : offset[p + 1]] = protein_states(plan, protein).ravel()
    proteins = len(vectors.stored)
    owner = np.repeat(np.arange(proteins), vectors.stored)
    sums = np.zeros((shape[0] * shape[1], proteins, GROUPS))
    kernels.sum_marginals(marginal.reshape(len(sums), -1), owner, state, sums)
    residues = np.bincount(owner * GROUPS + state, minlength=proteins * GROUPS).reshape(proteins, 1, 1, GROUPS)
    counts = np.broadcast_to(residues * vectors.stored[:, None, None, None], (proteins, *shape, GROUPS))
    return _PerProtein(
        counts, np.moveaxis(sums.reshape(*shape, proteins, GROUPS), 2, 0), None, None, np.zeros((*shape, 0))
    )


def _pairs(plan: Plan, measure: Measure, vectors: SegmentVectors) -> tuple[Array, Array] | tuple[None, None]:
    """Pairs TRUE and pairs counted of each protein's background, int64 [proteins]; None where it needs none."""
    if measure.background in ("none", "separation"):
        return None, None
    pairs = np.zeros((2, len(vectors.stored)), np.int64)
    for p, protein in enumerate(vectors.proteins()):
        if measure.background == "paper":
            pairs[:, p] = _paper_pairs(plan, protein)
        else:
            true, false = state_counts(plan, protein)
            pairs[:, p] = true, true + false
    return pairs[0], pairs[1]


def _separation_background(
    plan: Plan, vectors: SegmentVectors, reported: npt.NDArray[np.bool_], by_separation: Array
) -> SeparationBackground:
    pairs = np.zeros((GROUPS, int(vectors.stored.max())), np.int64)
    for protein, kept in zip(vectors.proteins(), reported, strict=True):
        if kept:
            kernels.pairs_by_separation(eligible_states(plan, protein), pairs)
    return SeparationBackground.partial(by_separation, pairs[TRUE], pairs[TRUE] + pairs[FALSE])


def _paper_pairs(plan: Plan, protein: ProteinVectors) -> tuple[int, int]:
    """True and counted pairs of one protein in the paper's background.

    A property of a pair: over pairs with the property known and a separation of at least 6. A property of one
    residue: over residues, unlabelled counting as negative; or, under a where clause that takes both ends, over
    the pairs that pass it.
    """
    if one_end((plan.predicate,)) is None:
        state = eligible_states(plan, protein)
        position = np.arange(protein.length)
        far = np.abs(position[:, None] - position) >= PAPER_SEPARATION
        true, false = (int(np.count_nonzero((state == value) & far)) for value in (TRUE, FALSE))
        return true, true + false
    if plan.end is not None:
        state = np.broadcast_to(protein_states(plan, protein).ravel(), protein.length)
    else:
        state = eligible_states(plan, protein)
    return int(np.count_nonzero(state == TRUE)), int(np.count_nonzero(state != EXCLUDED))
