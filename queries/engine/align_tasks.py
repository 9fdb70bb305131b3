"""One segment's part of an alignment: cells by protein and by the value of the predicate, summed into a sample.

A task gets the segment, what to count of it, the measure, and vectors and clusters of the segment's proteins; it
touches nothing else. Nothing of single proteins leaves it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ...format.segment import Segment
from ..sql.tree import FALSE, NULL, TRUE, Leaf, Term
from ..statistics.background import SeparationBackground
from ..statistics.clusters import Clusters, held_out
from ..statistics.measure import Measure
from ..statistics.samples import Counts, Halves, Reading
from .cells import Array, KeyCode, Scan
from .count import count_dense
from .vectors import SegmentVectors, Vectors

#: The separation of a pair as a code, which vectors have to hold: int32 [separations], from 0 on.
SEPARATION = Leaf("separation", Term("separations", "code of separation", "string"))

#: Bytes of the cells of a curve at a time, where proteins are distinguished.
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class AlignScans:
    """What is counted of every segment; picklable.

    Attributes
    ----------
    attention : arcs by the value of the predicate; proteins are distinguished
    separations : arcs with the predicate known, for the background matched to separations; else None
    pairs : pairs by the value of the predicate, those of the background; None without one
    unknown_is_false : whether those of `pairs` count as FALSE of which the predicate is unknown
    curve : whether the bands of `attention` are the codes, of which a curve is made
    """

    attention: Scan
    separations: Scan | None
    pairs: Scan | None
    unknown_is_false: bool
    curve: bool

    def with_separations(self, vectors: Vectors) -> Vectors:
        """The same vectors, with the codes of separations if these are counted."""
        if self.separations is None:
            return vectors
        longest = int(np.diff(vectors.offsets).max(initial=0))
        return replace(vectors, values={**vectors.values, SEPARATION.term: np.arange(longest, dtype=np.int32)})


def run(scans: AlignScans, measure: Measure, segment: Segment, vectors: SegmentVectors, clusters: Clusters) -> Halves:
    """Compute one segment's part; of a curve, the arcs of each code, [codes, layers, heads].

    Parameters
    ----------
    scans : what is counted
    measure : what is computed of it
    segment : Segment
    vectors, clusters : those of the segment's proteins, in its order

    Raises
    ------
    StoreError
        If what is read of the segment is damaged.
    """
    separation: list[SeparationBackground | None] = [None, None]
    pairs_true, pairs_known = None, None
    if scans.separations is not None:
        separation = _separations(scans, measure, segment, vectors, clusters)
    elif scans.pairs is not None:
        pairs_true, pairs_known = _pairs(scans, scans.pairs, segment, vectors)
    apart = not scans.curve or measure.background == "protein" or measure.replicates > 0
    blocks = _blocks(scans, len(vectors.stored), apart)

    def parts() -> Iterator[Halves]:
        for block in blocks:
            of_protein = np.full(len(vectors.stored), -1)
            of_protein[block] = np.arange(len(block)) if apart else 0
            cells = count_dense(scans.attention, segment, vectors, of_protein, len(block) if apart else 1)
            counts = {
                name: _counts(values, scans.attention.heads.shape, curve=scans.curve) for name, values in cells.items()
            }
            reading = Reading(
                arcs=counts["__n"],
                sums=counts["__weight_sum" if measure.weighted else "__n"],
                low=counts.get("__weight_sum_min"),
                high=counts.get("__weight_sum_max"),
                pairs_true=None if pairs_true is None else pairs_true[block],
                pairs_known=None if pairs_known is None else pairs_known[block],
                separation=separation[0],
                selection_separation=separation[1],
                told_apart=apart,
            )
            taken = clusters.take(of_protein >= 0)
            # A family may have proteins in other blocks of the segment.
            spanning = len(blocks) > 1 and measure.cluster_by != "protein"
            yield Halves.partial(measure, reading, taken.spanning() if spanning else taken)

    return reduce(Halves.combine, parts())


def _blocks(scans: AlignScans, proteins: int, apart: bool) -> list[range]:
    """Proteins whose cells are counted together: all, or one at a time for a curve that distinguishes them."""
    cells = scans.attention.heads.size * int(scans.attention.taken.sum()) * 4  # three values, and their sum
    count = max(1, _BLOCK_BYTES // (8 * cells)) if scans.curve and apart else proteins
    return [range(begin, min(begin + count, proteins)) for begin in range(0, proteins, count)]


def _counts(cells: Array, shape: tuple[int, ...], *, curve: bool) -> Counts:
    """Counts [proteins, layers, heads], of a curve [proteins, codes, layers, heads], of cells as of `count_dense`."""
    *_, proteins, _, bands = cells.shape
    ordered = (proteins, bands, *shape) if curve else (proteins, *shape)

    def of(value: int) -> Array:
        return np.ascontiguousarray(cells[:, :, value].transpose(1, 2, 0)).reshape(ordered)

    return Counts(true=of(TRUE), false=of(FALSE), unknown=of(NULL))


def _pairs(scans: AlignScans, scan: Scan, segment: Segment, vectors: SegmentVectors) -> tuple[Array, Array]:
    """Pairs TRUE and pairs counted of each protein's background, int64 [proteins]."""
    proteins = len(vectors.stored)
    found = count_dense(scan, segment, vectors, np.arange(proteins), proteins)["__n"].reshape(proteins, 3)
    if not scans.unknown_is_false:
        return found[:, TRUE], found[:, TRUE] + found[:, FALSE]
    # Of one end the residues count, and each stands for as many pairs as its protein has residues.
    each = np.ones(proteins, np.int64) if scan.end is None else vectors.stored
    return found[:, TRUE] // each, found.sum(axis=1) // each


def _separations(
    scans: AlignScans, measure: Measure, segment: Segment, vectors: SegmentVectors, clusters: Clusters
) -> list[SeparationBackground | None]:
    """The background matched to separations, of the proteins that are reported and, where they are others, ranked."""
    half = np.zeros(len(vectors.stored), np.int64)
    if measure.split:
        half[~held_out(clusters.keys, measure.seed)] = 1
    halves = 2 if measure.split else 1
    separation = KeyCode(SEPARATION, int(vectors.stored.max()) + 1)

    def count(scan: Scan | None, column: str) -> Array:
        assert scan is not None
        own = replace(scan, keys=(*scan.keys, separation))
        found = count_dense(own, segment, vectors, half, halves)[column]
        # The first code is that of no separation.
        return found.reshape(*scan.heads.shape, halves, scan.groups, separation.size)[..., 1:]

    arcs = count(scans.separations, "__weight_sum" if measure.weighted else "__n")[:, :, :, 0]
    pairs = count(scans.pairs, "__n")[0, 0]
    known = pairs[:, TRUE] + pairs[:, FALSE]
    parts = [SeparationBackground.partial(arcs[:, :, h], pairs[h, TRUE], known[h]) for h in range(halves)]
    return [parts[0], parts[1] if measure.split else None]
