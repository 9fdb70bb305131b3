"""Compiled loops over the coordinates and terms of pairs; all release the GIL.

This module reaches neither DuckDB nor anything that does: numba keeps a compiled function's module alive past the
interpreter's end, and DuckDB's binding would then report leaks, at length, on standard error.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arguments import CONTACT_DISTANCE, CONTACT_SEPARATION
from ...runtime.libraries import jit
from ..sql.tree import FALSE, NULL, TRUE

Array = npt.NDArray[Any]

_compile = jit()


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
def count_contacts(
    x: Array, y: Array, z: Array, offset: Array, owner: Array, column: Array, causal: bool, counts: Array
) -> None:
    """Add pairs of residues to counts, by whether they are in contact and by separation; each pair both ways.

    Contact is the same both ways: half of the pairs are looked at, separation by separation, and none is written down.

    Parameters
    ----------
    x, y, z : float64 [residues], of all proteins in turn; NaN where unknown
    offset : int64 [proteins + 1], where each protein's residues begin
    owner : int64 [proteins], group of each, −1 for those that take no part
    column : int64 [separations], where pairs at each go; −1 for those that take no part
    causal : whether only pairs whose source is at or after their target count
    counts : int64 [groups of proteins, Kleene code, columns]
    """
    limit = CONTACT_DISTANCE * CONTACT_DISTANCE
    for p in range(owner.shape[0]):
        own, length = owner[p], offset[p + 1] - offset[p]
        # Slices that begin at 0 in every loop: the compiler makes vector instructions of them.
        x0, y0, z0 = x[offset[p] :], y[offset[p] :], z[offset[p] :]
        for separation in range(length if own >= 0 else 0):
            to, number = column[separation], length - separation
            times = 1 if causal or separation == 0 else 2
            if to >= 0 and separation < CONTACT_SEPARATION:
                counts[own, FALSE, to] += number * times
            elif to >= 0:
                near, unknown = 0, 0
                x1, y1, z1 = x0[separation:length], y0[separation:length], z0[separation:length]
                for i in range(x1.shape[0]):
                    dx, dy, dz = x0[i] - x1[i], y0[i] - y1[i], z0[i] - z1[i]
                    square = dx * dx + dy * dy + dz * dz
                    near += square < limit
                    unknown += square != square
                counts[own, TRUE, to] += near * times
                counts[own, NULL, to] += unknown * times
                counts[own, FALSE, to] += (number - near - unknown) * times


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
