"""Compiled loops that count arcs and codes into cells; all release the GIL.

Like `kernels`, this module reaches neither DuckDB nor anything that does.

A *place* is an index into flat arrays of cells, −1 for what takes no part. Sums of weights from codes have three
values: by the bins' means, by their lower and by their upper edges.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.compiled import compiled

Array = npt.NDArray[Any]

_compile = compiled()


@_compile
def count_ranges(codes: Array, groups: Array, wanted: Array, low: Array, high: Array, counts: Array) -> None:
    """Add the number of pairs of each group whose codes lie in each range to counts.

    Parameters
    ----------
    codes : uint8 [pairs]
    groups, wanted : of one unsigned type; of each pair [pairs], and those to count
    low, high : uint8 [ranges], both inclusive
    counts : int64 [wanted, ranges]
    """
    for g in range(wanted.shape[0]):
        group = wanted[g]
        for r in range(low.shape[0]):
            first, last, total = low[r], high[r], 0
            # Comparing without a branch and without a table: the compiler makes vector instructions of it.
            for k in range(codes.shape[0]):
                total += (codes[k] >= first) & (codes[k] <= last) & (groups[k] == group)
            counts[g, r] += total


@_compile
def histogram(codes: Array, groups: Array, result: Array) -> None:
    """Add every pair to result [group, code].

    Parameters
    ----------
    codes : uint8 [pairs]
    groups : unsigned [pairs], below the number of groups; the last is of those that take no part
    result : int64 [groups, 256]
    """
    # Two tables in turn, since neighbouring pairs often fall into the same place.
    size = result.shape[0]
    table = np.zeros((2, size * 256), np.uint32)
    for k in range(codes.shape[0]):
        table[k & 1, np.int64(groups[k]) * 256 + codes[k]] += np.uint32(1)
    for group in range(size):
        for code in range(256):
            at = group * 256 + code
            result[group, code] += np.int64(table[0, at]) + np.int64(table[1, at])


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
def places(
    layer: Array,
    head: Array,
    protein: Array,
    weight: Array,
    groups: Array,
    passing: Array,
    of_protein: Array,
    row: Array,
    lower: Array,
    taken: Array,
    size: int,
    result: Array,
) -> None:
    """Place of each arc: ((row of its head · groups of proteins + that of its own) · size + group) · bands + band.

    Parameters
    ----------
    layer, head, protein, weight : of the arcs; without weights all lie in the last band
    groups : integers [arcs], or [1] where they are alike
    passing : bool, of the same shape or [1], whether arcs take part
    of_protein : int64 [proteins], group of each, −1 for those that take no part; the last one is their number
    row : int64 [layers, heads], −1 for heads that take no part
    lower : float32 [bands], first weight of each band
    taken : bool [bands]
    size : number of groups
    result : int64 [arcs]
    """
    bands, proteins = lower.shape[0], of_protein[-1]
    one_group, one_passing = groups.shape[0] == 1, passing.shape[0] == 1
    weighed = weight.shape[0] > 0
    for k in range(layer.shape[0]):
        r, group, p = row[layer[k], head[k]], np.int64(groups[0 if one_group else k]), of_protein[protein[k]]
        if r < 0 or p < 0 or not passing[0 if one_passing else k]:
            result[k] = -1
        else:
            below = bands - 1
            if weighed:
                w = weight[k]
                below, above = 0, bands
                while above - below > 1:
                    middle = (below + above) // 2
                    if w >= lower[middle]:
                        below = middle
                    else:
                        above = middle
            result[k] = ((r * proteins + p) * size + group) * bands + below if taken[below] else -1


@_compile
def count_places(place: Array, counts: Array) -> None:
    """Add the number of arcs of each cell to counts."""
    for k in range(place.shape[0]):
        if place[k] >= 0:
            counts[place[k]] += 1


@_compile
def count_arcs(place: Array, weight: Array, counts: Array, sums: Array, low: Array, high: Array) -> None:
    """Add arcs to cells: number, Σα, least and greatest weight."""
    for k in range(place.shape[0]):
        at = place[k]
        if at >= 0:
            w = weight[k]
            counts[at] += 1
            sums[at] += w
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
