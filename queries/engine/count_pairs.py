"""Cells of a segment without its weights: from pairs alone, or from the marginals of residues."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .cells import Array, CellTable, Counted, Scan
from .count_codes import measured_pairs
from .groups import flat_groups, group_of, numbered, passing_of
from .pairs import AllPairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment


def from_pairs(scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array) -> CellTable:
    """Cells of a question that asks nothing of attention: the same for every head."""
    counted, groups = flat_groups(scan, vectors, present, of_protein)
    inside = groups < len(counted.groups)
    found = _of_numbers(counted, groups[inside], np.ones(int(inside.sum()), np.int64), {
        own: values[inside] for own, values in measured_pairs(scan, vectors, of_protein).items()
    })  # fmt: skip
    return counted.table([counted.filled(row, found) for row in np.flatnonzero(scan.heads.ravel()).tolist()])


def from_residues(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array
) -> CellTable:
    """Cells of a question about one end only, from the marginals of residues; without them where no weight counts."""
    groups = np.full(int(vectors.residue_offset[-1]), -1, np.int64)
    measured = {measure.column: np.full(len(groups), np.nan) for measure in scan.measures}
    for p, protein in enumerate(vectors.proteins()):
        if of_protein[p] >= 0 and protein.length:
            part = slice(*vectors.residue_offset[p : p + 2].tolist())
            pairs = AllPairs(protein)
            groups[part] = group_of(scan, pairs).ravel() + present[of_protein[p]] * scan.groups
            groups[part][~np.broadcast_to(passing_of(scan, pairs).ravel(), protein.length)] = -1
            for measure in scan.measures:
                measured[measure.column][part] = np.broadcast_to(evaluate(measure.node, pairs).ravel(), protein.length)
    counted, places = numbered(scan, groups)
    inside = places < len(counted.groups)
    at, times = places[inside], np.repeat(vectors.stored, vectors.stored)[inside]
    shared = _of_numbers(counted, at, times, {own: values[inside] for own, values in measured.items()})
    rows = np.flatnonzero(scan.heads.ravel()).tolist()
    if scan.tier == "pairs":
        return counted.table([counted.filled(row, shared) for row in rows])
    heads = []
    marginal = segment.marginal("received" if scan.end == "target" else "emitted")
    marginal = marginal.reshape(-1, marginal.shape[-1])
    for row in rows:
        weight = marginal[row][inside].astype(np.float64)
        found = {**shared, "__weight_sum": _summed(at, weight, counted.size)}
        for own, values in measured.items():
            known = ~np.isnan(values[inside])
            v, w, place = values[inside][known], weight[known], at[known]
            found[f"{own}_weighted"] = _summed(place, w * v, counted.size)
            found[f"{own}_weight"] = _summed(place, w, counted.size)
        heads.append(counted.filled(row, found))
    return counted.table(heads)


def _of_numbers(counted: Counted, at: Array, times: Array, measured: Mapping[str, Array]) -> dict[str, Array]:
    """What cells hold that is not of attention: rows at places, each standing for `times` pairs."""
    found = {"__n": np.bincount(at, times, counted.size).astype(np.int64)}
    for own, values in measured.items():
        known = ~np.isnan(values)
        v, place = values[known], at[known]
        low, high = np.full(counted.size, np.inf), np.full(counted.size, -np.inf)
        np.minimum.at(low, place, v)
        np.maximum.at(high, place, v)
        found |= {
            f"{own}_n": np.bincount(place, times[known], counted.size).astype(np.int64),
            f"{own}_sum": _summed(place, times[known] * v, counted.size),
            f"{own}_low": low,
            f"{own}_high": high,
        }
    return found


def _summed(places: Array, values: Array, size: int) -> Array:
    """Sums by place; float64 even of nothing, which NumPy counts in integers."""
    return np.bincount(places, values, size).astype(np.float64, copy=False)
