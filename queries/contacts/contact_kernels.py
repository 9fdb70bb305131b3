"""Compiled loops of contact prediction; all release the GIL. This module imports nothing that uses DuckDB."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.libraries import jit

Array = npt.NDArray[Any]

_compile = jit()


@_compile
def corrected_map(codes: Array, length: int, values: Array, first: Array, second: Array, apc: bool, out: Array) -> None:
    """The symmetrised map of one head at chosen pairs, minus its average product if requested.

    F_ij = α_ij + α_ji; corrected, F_ij − F_i· F_·j / F_··, a dot being the sum over all residues, itself and its
    neighbours included (Dunn, Wahl & Gloor 2008, "Mutual information without the influence of phylogeny or entropy
    dramatically improves residue contact prediction"; Rao et al. 2021).

    Parameters
    ----------
    codes : uint8 [length²]
    values : float64 [256], the weight of each code
    first, second : int32 [pairs]
    out : float64 [pairs]
    """
    sums = np.zeros(length)
    k = 0
    for j in range(length):
        row = 0.0
        for i in range(length):
            value = values[codes[k]]
            row += value
            sums[i] += value
            k += 1
        sums[j] += row
    total = sums.sum()
    factor = 1.0 / total if apc and total > 0 else 0.0
    for p in range(first.shape[0]):
        i, j = first[p], second[p]
        symmetric = values[codes[i * length + j]] + values[codes[j * length + i]]
        out[p] = symmetric - sums[i] * sums[j] * factor


@_compile
def precisions(scores: Array, contact: Array, bounds: Array, sizes: Array, out: Array) -> None:
    """Precision among the best-scored pairs, in several ranges and for several numbers of pairs.

    Pairs of equal score at the end of the list count with their mean, which is the expectation over all their orders
    (McSherry & Najork 2008, "Computing information retrieval performance measures efficiently in the presence of tied
    scores"). For a range with fewer pairs than the list, all of them are used.

    Parameters
    ----------
    scores : float64 [pairs]
    contact : bool [pairs]
    bounds : int64 [ranges, 2], begin and end of the pairs of each range
    sizes : int64 [tops], descending, each at least 1
    out : float64 [ranges, tops]; NaN for a range without a contact
    """
    for r in range(bounds.shape[0]):
        begin, end = bounds[r, 0], bounds[r, 1]
        pairs = end - begin
        if not contact[begin:end].any():
            out[r] = math.nan
            continue
        most = min(sizes[0], pairs)
        best = np.partition(scores[begin:end], pairs - most)[pairs - most :]
        best.sort()
        for m in range(sizes.shape[0]):
            size = min(sizes[m], pairs)
            last = best[most - size]
            above, above_true, tied, tied_true = 0, 0, 0, 0
            for p in range(begin, end):
                above += scores[p] > last
                above_true += (scores[p] > last) & contact[p]
                tied += scores[p] == last
                tied_true += (scores[p] == last) & contact[p]
            out[r, m] = (above_true + (size - above) * tied_true / tied) / size
