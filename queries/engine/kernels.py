"""Compiled loops over arcs, codes and pairs; all release the GIL.

This module reaches neither DuckDB nor anything that does: numba keeps a compiled function's module alive past the
interpreter's end, and DuckDB's binding would then report leaks, at length, on standard error.

Pairs are told apart by a *state*, one byte each: the Kleene code of the predicate (0 FALSE, 1 NULL, 2 TRUE), or
3 where the pair does not pass the where clause.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.compiled import compiled
from ..sql.tree import CONTACT_DISTANCE, CONTACT_SEPARATION, FALSE, TRUE

Array = npt.NDArray[Any]

#: State of a pair that does not pass the where clause: the one after the Kleene codes.
EXCLUDED = 3
GROUPS = 4

_compile = compiled()


@_compile
def count_states(layer: Array, head: Array, protein: Array, state: Array, counts: Array) -> None:
    """Add arcs to counts [protein, layer, head, state]."""
    for k in range(state.shape[0]):
        counts[protein[k], layer[k], head[k], state[k]] += 1


@_compile
def sum_states(
    layer: Array,
    head: Array,
    protein: Array,
    source: Array,
    target: Array,
    weight: Array,
    state: Array,
    sums: Array,
    by_separation: Array,
) -> None:
    """Add weights of arcs to sums [protein, layer, head, state], unless that is empty.

    Arcs with the predicate known are added to by_separation [layer, head, separation, 2] too (number, weight),
    unless that is empty.
    """
    weighted, separated = sums.shape[0] > 0, by_separation.shape[2] > 0
    for k in range(state.shape[0]):
        at, h, group = layer[k], head[k], state[k]
        if weighted:
            sums[protein[k], at, h, group] += weight[k]
        if separated and group in (FALSE, TRUE):
            separation = abs(np.int64(source[k]) - np.int64(target[k]))
            by_separation[at, h, separation, 0] += 1
            by_separation[at, h, separation, 1] += weight[k]


@_compile
def sum_marginals(marginal: Array, protein: Array, state: Array, sums: Array) -> None:
    """Add marginals, float32 [heads, residues], to sums [head, protein, state]; protein and state of each residue."""
    for h in range(marginal.shape[0]):
        own, row = sums[h], marginal[h]
        for r in range(row.shape[0]):
            own[protein[r], state[r]] += row[r]


@_compile
def count_codes(codes: Array, states: Array, begin: int, offset: Array, first: np.uint8, counts: Array) -> None:
    """Add pairs whose code is at least `first` to counts [protein, state].

    Parameters
    ----------
    codes, states : uint8 [pairs], of the pairs of one head from `begin` on
    offset : int64 [proteins + 1], where each protein's pairs begin
    counts : int64 [proteins, 4]; the last state, of what is excluded, is left out
    """
    end = begin + codes.shape[0]
    for p in range(offset.shape[0] - 1):
        low, high = max(offset[p], begin) - begin, min(offset[p + 1], end) - begin
        if low < high:
            own, state = codes[low:high], states[low:high]
            # Three passes that the compiler makes vector instructions of are faster than one with a table.
            for value in (np.uint8(0), np.uint8(1), np.uint8(2)):
                total = 0
                for k in range(own.shape[0]):
                    total += (own[k] >= first) & (state[k] == value)
                counts[p, value] += total


@_compile
def code_histograms(codes: Array, states: Array, begin: int, offset: Array, result: Array) -> None:
    """Add pairs to result [protein, code, state], int64; parameters as those of `count_codes`."""
    end = begin + codes.shape[0]
    for p in range(offset.shape[0] - 1):
        for k in range(max(offset[p], begin) - begin, min(offset[p + 1], end) - begin):
            result[p, codes[k], states[k]] += 1


@_compile
def codes_by_separation(
    codes: Array, states: Array, begin: int, offset: Array, length: Array, values: Array, result: Array
) -> None:
    """Add the value of each pair's code, where the predicate is known, to result [separation].

    Parameters
    ----------
    codes, states, begin, offset : as those of `count_codes`
    length : int64 [proteins]
    values : float64 [256]
    result : float64 [separations]
    """
    end = begin + codes.shape[0]
    for p in range(offset.shape[0] - 1):
        for k in range(max(offset[p], begin) - begin, min(offset[p + 1], end) - begin):
            if states[k] == FALSE or states[k] == TRUE:
                place = begin + k - offset[p]
                result[abs(place % length[p] - place // length[p])] += values[codes[k]]


@_compile
def count_passing(predicate: Array, where: Array) -> tuple[int, int]:
    """Number of pairs with `where` TRUE and the predicate TRUE, and FALSE.

    Parameters
    ----------
    predicate, where : Kleene codes, uint8 [pairs]; `where` is [1] where it is the same for all
    """
    true, false = 0, 0
    if where.shape[0] == 1:
        if where[0] == TRUE:
            for k in range(predicate.shape[0]):
                true += predicate[k] == np.uint8(2)
                false += predicate[k] == np.uint8(0)
    else:
        for k in range(predicate.shape[0]):
            passing = where[k] == np.uint8(2)
            true += passing & (predicate[k] == np.uint8(2))
            false += passing & (predicate[k] == np.uint8(0))
    return true, false


@_compile
def pairs_by_separation(states: Array, result: Array) -> None:
    """Add the pairs of one protein to result [state, separation]; states uint8 [length, length], target-major."""
    for j in range(states.shape[0]):
        for i in range(states.shape[0]):
            result[states[j, i], abs(i - j)] += 1


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
