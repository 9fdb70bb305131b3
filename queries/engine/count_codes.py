"""Cells of a segment from its codes: every weight, by bin."""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ..sql.steps import Bands
from .cells import SIDES, Array, CellTable, Counted, Scan
from .groups import flat_groups
from .pairs import AllPairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.codebook import Codebook
    from ...format.segment import Segment

Chunks = Iterator[tuple[int, int, int, Array]]

#: Up to so many groups a histogram of code × group stays in the cache, and is the faster.
_HISTOGRAM_GROUPS = 1024
#: Up to so many counts the codes are passed over once for each, by vector instructions, and that is the fastest.
_RANGES = 16


def from_codes(scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array) -> CellTable:
    from . import cell_kernels as kernels

    counted, groups = flat_groups(scan, vectors, present, of_protein)
    band = band_of_codes(scan.bands, scan.taken, scan.codebook)
    measured = measured_pairs(scan, vectors, of_protein)
    simple = scan.reverse is None and not measured and len(counted.groups) <= _HISTOGRAM_GROUPS
    weighed = bool(scan.sums or scan.extremes)
    counted_only = simple and not weighed and len(counted.groups) * counted.bands <= _RANGES
    ranges = _ranges(band)
    edges = np.zeros((3, 256))
    edges[1, : scan.codebook.size], edges[2, : scan.codebook.size] = scan.codebook.lower, scan.codebook.upper
    parts = []
    for layer in np.flatnonzero(scan.heads.any(axis=1)).tolist():
        for head, chunks in _by_head(segment, layer, scan.heads[layer]):
            values = edges.copy()
            if weighed or measured:
                values[0, : scan.codebook.size] = segment.bin_mean[layer, head]
            if counted_only:
                found = _of_ranges(counted, chunks, groups, ranges)
            elif simple:
                table = np.zeros((len(counted.groups) + 1, 256), np.int64)
                for *_, begin, codes in chunks:
                    kernels.histogram(codes, groups[begin : begin + len(codes)], table)
                found = _of_histogram(scan, counted, table[:-1], values, band)
            else:
                found = _of_pairs(scan, counted, segment, layer, head, groups, values, band, measured)
            parts.append(counted.filled(layer * scan.heads.shape[1] + head, found))
    return counted.table(parts)


def _by_head(segment: "Segment", layer: int, heads: Array) -> Iterator[tuple[int, Chunks]]:
    """The chunks of each head wanted of a layer."""
    if heads.all():
        # A shard holds all heads of a layer: it is opened once.
        yield from groupby(segment.chunks(layer), key=lambda chunk: chunk[1])
    else:
        for head in np.flatnonzero(heads).tolist():
            yield head, segment.chunks(layer, head)


def band_of_codes(bands: Bands, taken: Array | None, codebook: "Codebook") -> Array:
    """Band of each code, int16 [256]; −1 for those that take no part."""
    band = np.full(256, -1, np.int16)
    band[: codebook.size] = bands.of_codes(codebook)
    if taken is not None:
        band[band >= 0] = np.where(taken[band[band >= 0]], band[band >= 0], -1)
    return band


def _ranges(band: Array) -> tuple[Array, Array, Array]:
    """Bands that take part, with the first and last code of each: the codes of a band lie together."""
    taken = np.unique(band[band >= 0])
    low = np.array([np.flatnonzero(band == one)[0] for one in taken], np.uint8)
    high = np.array([np.flatnonzero(band == one)[-1] for one in taken], np.uint8)
    return taken, low, high


def _of_ranges(
    counted: Counted,
    chunks: Chunks,
    groups: Array,
    ranges: tuple[Array, Array, Array],
) -> dict[str, Array]:
    from . import cell_kernels as kernels

    taken, low, high = ranges
    counts = np.zeros((len(counted.groups), len(taken)), np.int64)
    wanted = np.arange(len(counted.groups), dtype=groups.dtype)
    for *_, begin, codes in chunks:
        kernels.count_ranges(codes, groups[begin : begin + len(codes)], wanted, low, high, counts)
    found = np.zeros((len(counted.groups), counted.bands), np.int64)
    found[:, taken] = counts
    return {"__n": found.ravel()}


def _of_histogram(scan: Scan, counted: Counted, table: Array, values: Array, band: Array) -> dict[str, Array]:
    member = (band[:, None] == np.arange(counted.bands)).astype(np.float64)
    found = {"__n": (table @ member.astype(np.int64)).ravel()}
    for which, side in enumerate(SIDES):
        if "weight" in scan.sums:
            found[f"__weight_sum{side}"] = ((table * values[which]) @ member).ravel()
        if "weight" in scan.extremes:
            # Codes are in the order of weights.
            occurs = (table > 0)[:, :, None] & (member > 0)
            first, last = occurs.argmax(axis=1), 255 - occurs[:, ::-1].argmax(axis=1)
            found[f"__weight_minimum{side}"] = values[which][first].ravel()
            found[f"__weight_maximum{side}"] = values[which][last].ravel()
    return found


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
        reverse, reverse_band = np.empty_like(codes), band_of_codes(scan.reverse, None, scan.codebook)
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
