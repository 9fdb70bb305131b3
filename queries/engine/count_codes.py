"""Cells of a segment from its codes: every weight, by bin."""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ...format.codebook import FILL
from .cells import SIDES, Array, Counted, Heads, Scan
from .groups import Flat, band_of_codes, flat_groups, flat_places, group_ids
from .pairs import AllPairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment

Chunks = Iterator[tuple[int, int, int, Array]]

#: Up to so many groups by the keys of pairs a histogram of code × group stays in the cache for every protein.
_FEW_GROUPS = 8
#: Up to so many groups one for all proteins does.
_HISTOGRAM_GROUPS = 1024
#: Up to so many counts the codes are read once for each, by vector instructions, and that is the fastest.
_RANGES = 16
#: Histograms of one head take no more cells than this.
_MOST_HISTOGRAMS = 1 << 13


def from_codes(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array
) -> tuple[Counted, Heads]:
    """Groups; and the cells of every head that takes part, [groups · bands that take part · reverse bands]."""
    counted, flat = _grouped(scan, vectors, present, of_protein)
    return counted, _heads(scan, segment, vectors, counted, flat, of_protein)


def _grouped(scan: Scan, vectors: SegmentVectors, present: Array, of_protein: Array) -> tuple[Counted, Flat]:
    few = scan.groups <= _FEW_GROUPS and len(present) * scan.groups <= _MOST_HISTOGRAMS
    if few and scan.reverse is None and not scan.measures:
        return Counted(scan, group_ids(scan, present)), flat_groups(scan, vectors, of_protein, len(present))
    counted, places = flat_places(scan, vectors, present, of_protein)
    return counted, Flat(0, places, len(counted.groups), np.array([[0, len(places)]]), np.zeros(1, np.int64), 1)


def _heads(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, counted: Counted, flat: Flat, of_protein: Array
) -> Heads:
    from . import cell_kernels as kernels

    band = band_of_codes(scan.bands, scan.taken, scan.codebook)
    measured = measured_pairs(scan, vectors, of_protein)
    simple = scan.reverse is None and not measured and flat.size <= _HISTOGRAM_GROUPS
    weighed = bool(scan.sums or scan.extremes)
    low, high = _ranges(band, counted.bands, scan.codebook.size)
    edges = np.zeros((3, 256))
    edges[1, : scan.codebook.size], edges[2, : scan.codebook.size] = scan.codebook.lower, scan.codebook.upper
    for layer in np.flatnonzero(scan.heads.any(axis=1)).tolist():
        for head, chunks in _by_head(segment, layer, scan.heads[layer], flat):
            values = edges.copy()
            if weighed or measured:
                values[0, : scan.codebook.size] = segment.bin_mean[layer, head]
            if simple and not weighed and flat.size * counted.bands <= _RANGES:
                counts = np.zeros((flat.proteins, flat.size, counted.bands), np.int64)
                wanted = np.arange(flat.size, dtype=flat.groups.dtype)
                for *_, at, codes in chunks:
                    kernels.count_ranges(
                        codes, flat.of(at, codes), at, flat.bounds, flat.owner, wanted, low, high, counts
                    )
                found = {"__n": counts.ravel()}
            elif simple:
                table = np.zeros((flat.proteins, flat.size + 1, 256), np.int64)
                for *_, at, codes in chunks:
                    kernels.histogram(codes, flat.of(at, codes), at, flat.bounds, flat.owner, table)
                found = _of_histogram(scan, table[:, :-1], values, low, high)
            else:
                found = _of_pairs(scan, counted, segment, layer, head, flat.groups, values, band, measured)
            yield [layer * scan.heads.shape[1] + head], {name: cells[None] for name, cells in found.items()}


def _by_head(segment: "Segment", layer: int, heads: Array, flat: Flat) -> Iterator[tuple[int, Chunks]]:
    """The chunks of each head wanted of a layer."""
    if heads.all():
        # A shard holds all heads of a layer: it is opened once.
        yield from groupby(segment.chunks(layer, begin=flat.begin, end=flat.end), key=lambda chunk: chunk[1])
    else:
        for head in np.flatnonzero(heads).tolist():
            yield head, segment.chunks(layer, head, flat.begin, flat.end)


def _ranges(band: Array, bands: int, size: int) -> tuple[Array, Array]:
    """First and last code of each band that takes part, uint8: the codes of a band lie together."""
    low, high = np.full((2, bands), FILL, np.uint8)
    for one in range(bands):
        codes = np.flatnonzero(band == one)
        if len(codes):
            # Above the last code lies none.
            low[one], high[one] = codes[0], FILL if codes[-1] == size - 1 else codes[-1]
    return low, high


def _of_histogram(scan: Scan, table: Array, values: Array, low: Array, high: Array) -> dict[str, Array]:
    """Cells of a head from its histogram, int64 [groups of proteins, groups, codes]."""
    last = np.minimum(high, scan.codebook.size - 1)
    alone = (low == last).all()  # each band is a code
    if alone:
        counts = table[..., low]
    else:
        below = np.concatenate([np.zeros((*table.shape[:2], 1), np.int64), table.cumsum(axis=-1)], axis=-1)
        counts = below[..., last.astype(int) + 1] - below[..., low]
    found: dict[str, Array] = {"__n": counts}
    if scan.extremes or (scan.sums and not alone and len(low) > 1):
        member = (np.arange(256)[:, None] >= low) & (np.arange(256)[:, None] <= high)
    for which, side in enumerate(SIDES):
        if "weight" in scan.sums:
            if alone:
                sums = counts * values[which, low]
            elif len(low) == 1:
                codes = slice(low[0], last[0] + 1)
                sums = np.einsum("pgc,c->pg", table[..., codes], values[which, codes])
            else:
                sums = (table * values[which]) @ member
            found[f"__weight_sum{side}"] = sums
        if "weight" in scan.extremes:
            # Codes are in the order of weights.
            occurs = (table > 0)[..., None] & member
            first, most = occurs.argmax(axis=-2), 255 - occurs[..., ::-1, :].argmax(axis=-2)
            found[f"__weight_minimum{side}"] = values[which][first]
            found[f"__weight_maximum{side}"] = values[which][most]
    return {column: cells.ravel() for column, cells in found.items()}


def _of_pairs(
    scan: Scan,
    counted: Counted,
    segment: "Segment",
    layer: int,
    head: int,
    groups: Array,
    values: Array,
    band: Array,
    measured: dict[str, Array],
) -> dict[str, Array]:
    """The cells of one head, pair by pair: for keys of many values, measures, and the pair the other way round."""
    from . import cell_kernels as kernels

    size, proteins = counted.size, segment.proteins
    codes = segment.codes(layer, head)
    reverse, reverse_band = codes, np.zeros(256, np.int16)
    if scan.reverse is not None:
        reverse, every = np.empty_like(codes), np.ones(len(scan.reverse.lower), bool)
        reverse_band = band_of_codes(scan.reverse, every, scan.codebook)
        kernels.transpose_pairs(codes, proteins.pair_offset, proteins.stored, reverse)
    counts, sums, reverse_sums = np.zeros(size, np.int64), np.zeros((3, size)), np.zeros((3, size))
    extremes, reverse_extremes = (np.repeat(np.array([[255], [0]], np.uint8), size, axis=1) for _ in range(2))
    shape = (counted.bands, counted.reverse_bands)
    kernels.count_codes(
        codes, reverse, groups, len(counted.groups), band, reverse_band, *shape, values, values, counts, sums, extremes,
        reverse_sums, reverse_extremes,
    )  # fmt: skip
    found: dict[str, Array] = {"__n": counts}
    for which, side in enumerate(SIDES):
        for column, total, most in (("weight", sums, extremes), ("reverse_weight", reverse_sums, reverse_extremes)):
            found[f"__{column}_sum{side}"] = total[which]
            found[f"__{column}_minimum{side}"] = values[which][most[0]]
            found[f"__{column}_maximum{side}"] = values[which][most[1]]
    for own, measure in measured.items():
        known, summed = np.zeros(size, np.int64), np.zeros(size)
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        weighted, weight = np.zeros((2, 3, size))
        kernels.measure_codes(
            codes, reverse, groups, len(counted.groups), band, reverse_band, *shape, values, measure, known, summed,
            low, high, weighted, weight,
        )  # fmt: skip
        found |= {f"{own}_n": known, f"{own}_sum": summed, f"{own}_low": low, f"{own}_high": high}
        for which, side in enumerate(SIDES):
            found[f"{own}_weighted{side}"], found[f"{own}_weight{side}"] = weighted[which], weight[which]
    return found


def measured_pairs(scan: Scan, vectors: SegmentVectors, of_protein: Array) -> dict[str, Array]:
    """Measures of every pair of the segment, float64; those of proteins that take no part are not computed."""
    offset = vectors.pair_offset
    found = {measure.column: np.full(int(offset[-1]), np.nan) for measure in scan.measures}
    for p, protein in enumerate(vectors.proteins() if found else ()):
        if of_protein[p] >= 0 and protein.length:
            pairs = AllPairs(protein)
            for measure in scan.measures:
                own = found[measure.column][offset[p] : offset[p + 1]].reshape(protein.length, protein.length)
                own[...] = evaluate(measure.node, pairs)
    return found
