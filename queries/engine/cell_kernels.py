"""Compiled loops that count arcs and codes into cells; all release the GIL.

Like `kernels`, this module reaches neither DuckDB nor anything that does.

A *place* is an index into flat arrays of cells, −1 for what takes no part. Sums of weights from codes have three
values: by the bins' means, by their lower and by their upper edges.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...format.codebook import CELL_SHIFT
from ...runtime.libraries import jit

Array = npt.NDArray[Any]

#: Pairs that a number of 16 bits counts.
BLOCK = 1 << 14

_compile = jit()


@_compile
def _count_range(codes: Array, groups: Array, group: int, low: int, high: int) -> int:
    total = 0
    for begin in range(0, codes.shape[0], BLOCK):
        own, group_of, part = codes[begin : begin + BLOCK], groups[begin : begin + BLOCK], np.uint16(0)
        # Comparing without a branch and without a table, into a number no wider than need be: the compiler makes
        # vector instructions of it, of 16 pairs at a time.
        if high == 255:
            for k in range(own.shape[0]):
                part = np.uint16(part + np.uint16((own[k] >= low) & (group_of[k] == group)))
        else:
            for k in range(own.shape[0]):
                part = np.uint16(part + np.uint16((own[k] >= low) & (own[k] <= high) & (group_of[k] == group)))
        total += int(part)
    return total


@_compile
def count_ranges(
    codes: Array,
    groups: Array,
    begin: int,
    bounds: Array,
    owner: Array,
    wanted: Array,
    low: Array,
    high: Array,
    counts: Array,
) -> None:
    """Add the number of pairs of each group whose codes lie in each range to counts.

    Parameters
    ----------
    codes : uint8 [pairs], of the pairs of one head from `begin` on
    groups : unsigned [pairs], by the keys of pairs; those that take no part have one beyond all
    bounds : int64 [runs, 2], of proteins that follow one another and share a group: where their pairs begin and end
    owner : int64 [runs], that group
    wanted : the groups to count, of the type of `groups`
    low, high : uint8 [ranges], both inclusive
    counts : int64 [groups of proteins, wanted, ranges]
    """
    end = begin + codes.shape[0]
    for run in range(owner.shape[0]):
        first, last = max(bounds[run, 0], begin) - begin, min(bounds[run, 1], end) - begin
        if first < last:
            own, group_of = codes[first:last], groups[first:last]
            for g in range(wanted.shape[0]):
                for r in range(low.shape[0]):
                    counts[owner[run], g, r] += _count_range(own, group_of, wanted[g], low[r], high[r])


@_compile
def histogram(codes: Array, groups: Array, begin: int, bounds: Array, owner: Array, result: Array) -> None:
    """Add every pair to result [group of proteins, group, code].

    Parameters
    ----------
    codes, groups, begin, bounds, owner : as those of `count_ranges`
    result : int64 [groups of proteins, groups + 1, 256]; the last group is of pairs that take no part
    """
    size, end = result.shape[1], begin + codes.shape[0]
    for run in range(owner.shape[0]):
        first, last = max(bounds[run, 0], begin) - begin, min(bounds[run, 1], end) - begin
        if first < last:
            # Slices that begin at 0 in the loop need no check, and two tables take turns, since neighbouring pairs
            # often fall into the same place: each makes it about twice as fast.
            own, group_of = codes[first:last], groups[first:last]
            table = np.zeros((2, size * 256), np.uint32)
            for k in range(own.shape[0]):
                table[k & 1, np.int64(group_of[k]) * 256 + own[k]] += np.uint32(1)
            for group in range(size):
                for code in range(256):
                    at = group * 256 + code
                    result[owner[run], group, code] += np.int64(table[0, at]) + np.int64(table[1, at])


@_compile
def count_codes(
    codes: Array,
    reverse: Array,
    groups: Array,
    size: int,
    band: Array,
    reverse_band: Array,
    bands: int,
    reverse_bands: int,
    values: Array,
    reverse_values: Array,
    counts: Array,
    sums: Array,
    extremes: Array,
    reverse_sums: Array,
    reverse_extremes: Array,
) -> None:
    """Add the pairs of one head to cells [group · bands · reverse bands].

    Parameters
    ----------
    codes, reverse : uint8 [pairs], of a pair and of the pair the other way round
    groups : unsigned [pairs], `size` or more for pairs that take no part
    band, reverse_band : int16 [256], of each code, −1 for codes that take no part
    values, reverse_values : float64 [3, 256], mean, lower and upper edge of each code
    counts : int64 [cells]
    sums, reverse_sums : float64 [3, cells]
    extremes, reverse_extremes : uint8 [2, cells], lowest and highest code; begin with 255 and 0
    """
    for k in range(codes.shape[0]):
        c, r, group = codes[k], reverse[k], groups[k]
        b, rb = band[c], reverse_band[r]
        if group < size and b >= 0 and rb >= 0:
            at = (np.int64(group) * bands + b) * reverse_bands + rb
            counts[at] += 1
            for which in range(3):
                sums[which, at] += values[which, c]
                reverse_sums[which, at] += reverse_values[which, r]
            extremes[0, at] = min(extremes[0, at], c)
            extremes[1, at] = max(extremes[1, at], c)
            reverse_extremes[0, at] = min(reverse_extremes[0, at], r)
            reverse_extremes[1, at] = max(reverse_extremes[1, at], r)


@_compile
def measure_codes(
    codes: Array,
    reverse: Array,
    groups: Array,
    size: int,
    band: Array,
    reverse_band: Array,
    bands: int,
    reverse_bands: int,
    values: Array,
    measure: Array,
    known: Array,
    sums: Array,
    low: Array,
    high: Array,
    weighted: Array,
    weight: Array,
) -> None:
    """Add a measure, float64 [pairs] with NaN for NULL, to cells; parameters otherwise as those of `count_codes`.

    Parameters
    ----------
    known, sums, low, high : int64, float64, float64 and float64 [cells]: number, Σv, least and greatest
    weighted, weight : float64 [3, cells]: Σαv and Σα, over known v
    """
    for k in range(codes.shape[0]):
        c, group, v = codes[k], groups[k], measure[k]
        b, rb = band[c], reverse_band[reverse[k]]
        if group < size and b >= 0 and rb >= 0 and v == v:
            at = (np.int64(group) * bands + b) * reverse_bands + rb
            known[at] += 1
            sums[at] += v
            low[at] = min(low[at], v)
            high[at] = max(high[at], v)
            weighted[0, at] += values[0, c] * v
            weighted[1, at] += min(values[1, c] * v, values[2, c] * v)
            weighted[2, at] += max(values[1, c] * v, values[2, c] * v)
            for which in range(3):
                weight[which, at] += values[which, c]


@_compile
def transpose_pairs(codes: Array, offset: Array, length: Array, result: Array) -> None:
    """The code of each pair the other way round, uint8 [pairs]; offset [proteins + 1], length [proteins]."""
    for p in range(length.shape[0]):
        begin, size = offset[p], length[p]
        for j in range(size):
            for i in range(size):
                result[begin + j * size + i] = codes[begin + i * size + j]


@_compile
def bands_by_table(weight: Array, base: Array, next_edge: Array, band_of_code: Array, result: Array) -> None:
    """Band of each weight, by the table of a codebook whose edges separate the bands.

    Parameters
    ----------
    weight : float32 [arcs]
    base, next_edge : `Codebook.table`
    band_of_code : int16 [codes]
    result : int16 [arcs]
    """
    bits = weight.view(np.uint32)
    for k in range(weight.shape[0]):
        cell = bits[k] >> CELL_SHIFT
        result[k] = band_of_code[np.int64(base[cell]) + np.int64(weight[k] >= next_edge[cell])]


@_compile
def _cell_of(
    k: int,
    layer: Array,
    head: Array,
    protein: Array,
    groups: Array,
    passing: Array | None,
    band: Array | None,
    of_protein: Array,
    row: Array,
    shape: tuple[int, int, int],
) -> tuple[int, bool]:
    """Place of arc `k` among cells, and whether it takes part; parameters as those of `places`. No branches."""
    proteins, size, bands = shape
    r, p = row[layer[k], head[k]], of_protein[protein[k]]
    at, part = ((r * proteins + p) * size + np.int64(groups[k])) * bands, (r | p) >= 0
    # What is None is known when this is compiled, and costs nothing.
    if passing is not None:
        part &= passing[k]
    if band is not None:
        at += band[k]
        part &= band[k] >= 0
    return at, part


@_compile
def places(
    layer: Array,
    head: Array,
    protein: Array,
    groups: Array,
    passing: Array | None,
    band: Array | None,
    of_protein: Array,
    row: Array,
    shape: tuple[int, int, int],
    result: Array,
) -> None:
    """Place of each arc among cells [head, group of proteins, group, band].

    Parameters
    ----------
    layer, head, protein : of the arcs
    groups : integers [arcs]
    passing : bool [arcs], whether they take part; None if all do
    band : integers [arcs], −1 for those that take no part; None if all lie in the one band
    of_protein : int64 [proteins], group of each, −1 for those that take no part
    row : int64 [layers, heads], −1 for heads that take no part
    shape : number of groups of proteins, of groups and of bands
    result : int64 [arcs]
    """
    for k in range(layer.shape[0]):
        at, part = _cell_of(k, layer, head, protein, groups, passing, band, of_protein, row, shape)
        result[k] = at if part else -1


@_compile
def count_listed(
    layer: Array,
    head: Array,
    protein: Array,
    groups: Array,
    passing: Array | None,
    band: Array | None,
    of_protein: Array,
    row: Array,
    shape: tuple[int, int, int],
    counts: Array,
) -> None:
    """Add the number of arcs of each cell to counts, whose last place is for arcs that take no part.

    `places` and `count_places` in one pass; parameters as there. Without branches: which arcs count is hard to
    predict.
    """
    last = counts.shape[0] - 1
    for k in range(layer.shape[0]):
        at, part = _cell_of(k, layer, head, protein, groups, passing, band, of_protein, row, shape)
        counts[at if part else last] += 1


@_compile
def count_places(place: Array, counts: Array) -> None:
    """Add the number of arcs of each cell to counts."""
    for k in range(place.shape[0]):
        if place[k] >= 0:
            counts[place[k]] += 1


@_compile
def count_arcs(place: Array, weight: Array, counts: Array, sums: Array, low: Array, high: Array) -> None:
    """Add arcs to cells: number, Σα, least and greatest weight; the last two unless they are empty."""
    extremes = low.shape[0] > 0
    for k in range(place.shape[0]):
        at = place[k]
        if at >= 0:
            w = weight[k]
            counts[at] += 1
            sums[at] += w
            if extremes:
                low[at] = min(low[at], w)
                high[at] = max(high[at], w)


@_compile
def measure_arcs(
    place: Array,
    weight: Array,
    measure: Array,
    known: Array,
    sums: Array,
    low: Array,
    high: Array,
    weighted: Array,
    total: Array,
) -> None:
    """Add a measure, float64 [arcs] with NaN for NULL, to cells: number, Σv, extremes, Σαv and Σα over known v."""
    for k in range(place.shape[0]):
        at, v = place[k], measure[k]
        if at >= 0 and v == v:
            w = np.float64(weight[k])
            known[at] += 1
            sums[at] += v
            low[at] = min(low[at], v)
            high[at] = max(high[at], v)
            weighted[at] += w * v
            total[at] += w


@_compile
def sum_places(place: Array, weight: Array, sums: Array) -> None:
    """Add weights, float32 [heads, residues], to sums [head, place]; places unsigned [residues]."""
    for row in range(weight.shape[0]):
        own, to = weight[row], sums[row]
        for k in range(own.shape[0]):
            to[place[k]] += own[k]


@_compile
def count_pairs(groups: Array, passing: Array, wanted: Array, times: int, counts: Array) -> None:
    """Add pairs to counts [wanted], each so many times.

    Parameters
    ----------
    groups, wanted : of one unsigned type; of each pair [pairs], and all there are
    passing : bool [pairs], or [1] where it is the same for all
    """
    one_passing = passing.shape[0] == 1
    if wanted.shape[0] > 4:
        for k in range(groups.shape[0]):
            if passing[0 if one_passing else k]:
                counts[groups[k]] += times
    elif not one_passing or passing[0]:
        for g in range(wanted.shape[0]):
            group, total = wanted[g], 0
            for begin in range(0, groups.shape[0], BLOCK):
                own, part = groups[begin : begin + BLOCK], np.uint16(0)
                # As in `count_ranges`, for vector instructions.
                if one_passing:
                    for k in range(own.shape[0]):
                        part = np.uint16(part + np.uint16(own[k] == group))
                else:
                    passes = passing[begin : begin + BLOCK]
                    for k in range(own.shape[0]):
                        part = np.uint16(part + np.uint16(passes[k] & (own[k] == group)))
                total += int(part)
            counts[g] += total * times
