"""Compiled loops over arcs, codes and pairs; all release the GIL.

This module reaches neither DuckDB nor anything that does: numba keeps a compiled function's module alive past the
interpreter's end, and DuckDB's binding would then report leaks, at length, on standard error.

Pairs are told apart by a *group*, one byte each: the Kleene code of the predicate (0 FALSE, 1 NULL, 2 TRUE), or
3 where the pair does not pass the where clause.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..compiled import compiled
from .tree import CONTACT_DISTANCE, CONTACT_SEPARATION

Array = npt.NDArray[Any]

FALSE, NULL, TRUE, EXCLUDED = 0, 1, 2, 3
GROUPS = 4

_compile = compiled()


@_compile
def count_arcs(
    layer: Array,
    head: Array,
    protein: Array,
    source: Array,
    target: Array,
    weight: Array,
    threshold: np.float32,
    groups: Array,
    pair_offset: Array,
    length: Array,
    counts: Array,
    sums: Array,
    by_separation: Array,
) -> None:
    """Add arcs ≥ threshold to counts and sums [protein, layer, head, group].

    Arcs with the predicate known are added to by_separation [layer, head, separation, 2] too (number, weight),
    unless that is empty.
    """
    separations = by_separation.shape[2]
    for k in range(weight.shape[0]):
        if weight[k] >= threshold:
            p, at, h = protein[k], layer[k], head[k]
            i, j = np.int64(source[k]), np.int64(target[k])
            group = groups[pair_offset[p] + j * length[p] + i]
            counts[p, at, h, group] += 1
            sums[p, at, h, group] += weight[k]
            if separations and (group == 0 or group == 2):
                by_separation[at, h, abs(i - j), 0] += 1
                by_separation[at, h, abs(i - j), 1] += weight[k]


@_compile
def code_histogram(codes: Array, groups: Array, histogram: Array) -> None:
    """Add every pair to histogram [head, code, group]: every threshold's answer in one pass.

    Parameters
    ----------
    codes : uint8 [heads, pairs]
    groups : uint8 [pairs]
    histogram : int64 [heads, 256, 4]
    """
    # Two tables in turn, since neighbouring pairs often fall into the same place.
    table = np.zeros((2, 1024), np.int64)
    pairs = groups.shape[0]
    for h in range(codes.shape[0]):
        table[:] = 0
        row = codes[h]
        for k in range(pairs):
            table[k & 1, np.int64(row[k]) * 4 + groups[k]] += 1
        for c in range(256):
            for g in range(4):
                histogram[h, c, g] += table[0, c * 4 + g] + table[1, c * 4 + g]


@_compile
def codes_by_separation(codes: Array, groups: Array, length: int, values: Array, result: Array) -> None:
    """Add the value of each pair's code, where the predicate is known, to result [head, separation].

    Parameters
    ----------
    codes : uint8 [heads, length²], target-major
    groups : uint8 [length²]
    values : float64 [heads, 256]
    result : float64 [heads, separations]
    """
    for h in range(codes.shape[0]):
        for j in range(length):
            for i in range(length):
                k = j * length + i
                if groups[k] == 0 or groups[k] == 2:
                    result[h, abs(i - j)] += values[h, codes[h, k]]


@_compile
def pairs_by_separation(groups: Array, length: int, result: Array) -> None:
    """Add the pairs of one protein to result [group, separation]; groups uint8 [length²], target-major."""
    for j in range(length):
        for i in range(length):
            result[groups[j * length + i], abs(i - j)] += 1


@_compile
def distances(x: Array, y: Array, z: Array, out: Array) -> None:
    """Distances between all pairs of points, float64 [L, L]; NaN where a coordinate is."""
    for j in range(out.shape[0]):
        row = out[j]
        for i in range(row.shape[0]):
            dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            row[i] = math.sqrt(dx * dx + dy * dy + dz * dz)


@_compile
def contacts(x: Array, y: Array, z: Array, out: Array) -> None:
    """Kleene codes of "in contact" for all pairs of points, uint8 [L, L]."""
    # sqrt is correctly rounded and 8 is exact, so that d < 8 just when d² < 64.
    limit = CONTACT_DISTANCE * CONTACT_DISTANCE
    length = out.shape[0]
    for j in range(length):
        row = out[j]
        for i in range(length):
            dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            square = dx * dx + dy * dy + dz * dz
            # Without a branch, for the sake of vector instructions: 2 if near, 1 if NaN, 0 if far.
            row[i] = np.uint8(2) * np.uint8(square < limit) + np.uint8(square != square)
        for i in range(max(0, j - CONTACT_SEPARATION + 1), min(length, j + CONTACT_SEPARATION)):
            row[i] = FALSE


@_compile
def listed_by_residue(values: Array, first: Array, protein: Array, position: Array, out: Array) -> None:
    """Values of one end of listed pairs; first int64 [proteins], where each protein's residues begin."""
    for k in range(out.shape[0]):
        out[k] = values[first[protein[k]] + np.int64(position[k])]


@_compile
def listed_by_separation(values: Array, source: Array, target: Array, out: Array) -> None:
    """Values, by separation, of listed pairs."""
    for k in range(out.shape[0]):
        out[k] = values[abs(np.int64(source[k]) - np.int64(target[k]))]


@_compile
def listed_distances(xyz: Array, first: Array, protein: Array, source: Array, target: Array, out: Array) -> None:
    """Distances of listed pairs, float64 [pairs]; NaN where a coordinate is.

    Parameters
    ----------
    xyz : float32 [residues, 3], of all proteins in turn
    first : int64 [proteins], where each protein's residues begin
    protein, source, target : integers [pairs]
    """
    for k in range(out.shape[0]):
        begin = first[protein[k]]
        i, j = begin + np.int64(source[k]), begin + np.int64(target[k])
        dx = np.float64(xyz[i, 0]) - np.float64(xyz[j, 0])
        dy = np.float64(xyz[i, 1]) - np.float64(xyz[j, 1])
        dz = np.float64(xyz[i, 2]) - np.float64(xyz[j, 2])
        out[k] = math.sqrt(dx * dx + dy * dy + dz * dz)


@_compile
def listed_contacts(xyz: Array, first: Array, protein: Array, source: Array, target: Array, out: Array) -> None:
    """Kleene codes of "in contact" for listed pairs, uint8 [pairs]; parameters as above."""
    limit = CONTACT_DISTANCE * CONTACT_DISTANCE
    for k in range(out.shape[0]):
        if abs(np.int64(source[k]) - np.int64(target[k])) < CONTACT_SEPARATION:
            out[k] = FALSE
        else:
            begin = first[protein[k]]
            i, j = begin + np.int64(source[k]), begin + np.int64(target[k])
            dx = np.float64(xyz[i, 0]) - np.float64(xyz[j, 0])
            dy = np.float64(xyz[i, 1]) - np.float64(xyz[j, 1])
            dz = np.float64(xyz[i, 2]) - np.float64(xyz[j, 2])
            square = dx * dx + dy * dy + dz * dz
            out[k] = np.uint8(2) * np.uint8(square < limit) + np.uint8(square != square)
