"""Cells of a segment from its arcs: weights at or above the arc floor, as they are."""

from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .cells import Array, CellTable, Counted, Scan, columns_of
from .groups import MOST_TOTALS, band_of_codes, group_ids, group_of, passing_of
from .pairs import ListedPairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment

_COLUMNS = ("layer", "head", "protein", "source", "target")
#: Up to so many bands the band of a weight is searched for by halving.
_FEW_BANDS = 8


class _Arcs(NamedTuple):
    """Some arcs, and their groups and bands: what kernels take."""

    layer: Array
    head: Array
    protein: Array
    groups: Array
    passing: Array | None
    band: Array | None
    of_protein: Array
    row: Array
    shape: tuple[int, int, int]


def from_arcs(scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array) -> CellTable:
    """Cells of a segment with something in them."""
    empty = Counted(scan, np.zeros(0, np.int64)).table([])
    if scan.heads.size * len(present) * scan.groups * int(scan.taken.sum()) <= MOST_TOTALS:
        counted = Counted(scan, group_ids(scan, present))
        found = totals(scan, segment, vectors, of_protein, len(present))
        full = np.flatnonzero(found["__n"])
        heads, within = np.divmod(full, counted.size)
        return counted.table([(counted.ids(heads, within), {name: found[name][full] for name in columns_of(scan)})])
    from . import cell_kernels as kernels

    # Too many places for an array of all of them: those that occur are numbered.
    parts: list[CellTable] = []
    for arcs, pairs, weight in _read(scan, segment, vectors, of_protein, len(present)):
        at = np.empty(len(arcs.layer), np.int64)
        kernels.places(*arcs, at)
        occurring, inverse = np.unique(at, return_inverse=True)
        if len(occurring) and occurring[0] < 0:
            occurring, inverse = occurring[1:], inverse - 1
        part = _nothing(scan, len(occurring))
        _add(scan, part, pairs, inverse.astype(np.int64), weight)
        group, band = np.divmod(occurring, arcs.shape[2])
        group, own = np.divmod(group, scan.groups)
        heads, local = np.divmod(group, len(present))
        groups = (heads * scan.protein_groups + present[local]) * scan.groups + own
        ids = groups * len(scan.bands.lower) + np.flatnonzero(scan.taken)[band]
        parts.append(CellTable(ids, {name: part[name] for name in columns_of(scan)}))
    return reduce(CellTable.combine, parts, empty)


def totals(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, of_protein: Array, proteins: int
) -> dict[str, Array]:
    """All cells of a segment, by column: flat arrays of [head, group of proteins, group, band that takes part]."""
    from . import cell_kernels as kernels

    found = _nothing(scan, scan.heads.size * proteins * scan.groups * int(scan.taken.sum()))
    if _only_counted(scan):
        counts = np.zeros(len(found["__n"]) + 1, np.int64)
        for arcs, _, _ in _read(scan, segment, vectors, of_protein, proteins):
            kernels.count_listed(*arcs, counts)
        return {"__n": counts[:-1]}
    for arcs, pairs, weight in _read(scan, segment, vectors, of_protein, proteins):
        at = np.empty(len(arcs.layer), np.int64)
        kernels.places(*arcs, at)
        _add(scan, found, pairs, at, weight)
    return found


def _read(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, of_protein: Array, proteins: int
) -> Iterator[tuple[_Arcs, ListedPairs, Array]]:
    """Arcs that may take part, a row group at a time, with their weights where those are needed."""
    row = np.where(scan.heads, np.arange(scan.heads.size).reshape(scan.heads.shape), -1)
    first = int(np.argmax(scan.taken))
    banded = len(scan.taken) - first > 1
    # Where all above one threshold is counted and nothing else, its row groups say enough of the weights.
    weighed = banded or not _only_counted(scan)
    heads = None if scan.heads.all() else scan.heads
    shape = proteins, scan.groups, int(scan.taken.sum())
    columns = [*_COLUMNS, "weight"] if weighed else list(_COLUMNS)
    for arcs in segment.arc_groups(float(scan.bands.lower[first]), columns, heads):
        layer, head, protein, source, target = (arcs[name].to_numpy() for name in _COLUMNS)
        weight = arcs["weight"].to_numpy() if weighed else np.empty(0, np.float32)
        band = _bands(scan, weight) if banded else None
        pairs = ListedPairs(vectors, protein, source, target)
        groups = np.ascontiguousarray(np.broadcast_to(group_of(scan, pairs), len(layer)))
        passing = np.ascontiguousarray(np.broadcast_to(passing_of(scan, pairs), len(layer))) if scan.where else None
        yield _Arcs(layer, head, protein, groups, passing, band, of_protein, row, shape), pairs, weight


def _only_counted(scan: Scan) -> bool:
    return columns_of(scan).keys() == {"__n"}


def _bands(scan: Scan, weight: Array) -> Array:
    """Band of each weight among those that take part; −1 for the others."""
    slots = np.where(scan.taken, np.cumsum(scan.taken) - 1, -1)
    by_code = scan.bands.of_codes(scan.codebook)
    if len(slots) <= _FEW_BANDS or (by_code < 0).any():
        return slots[np.searchsorted(scan.bands.lower, weight, side="right") - 1]
    from . import cell_kernels as kernels

    found = np.empty(len(weight), np.int16)
    kernels.bands_by_table(weight, *scan.codebook.table, band_of_codes(scan.bands, scan.taken, scan.codebook), found)
    return found


def _nothing(scan: Scan, size: int) -> dict[str, Array]:
    """Flat arrays of cells that arcs are added to, row group after row group."""
    found: dict[str, Array] = {"__n": np.zeros(size, np.int64)}
    if not _only_counted(scan):
        extremes = size if scan.extremes else 0
        found |= {
            "__weight_sum": np.zeros(size), "__weight_minimum": np.full(extremes, np.inf),
            "__weight_maximum": np.zeros(extremes),
        }  # fmt: skip
    for measure in scan.measures:
        own = measure.column
        found |= {f"{own}_n": np.zeros(size, np.int64), f"{own}_low": np.full(size, np.inf)}
        found |= {f"{own}_{what}": np.zeros(size) for what in ("sum", "weighted", "weight")}
        found[f"{own}_high"] = np.full(size, -np.inf)
    return found


def _add(scan: Scan, found: dict[str, Array], pairs: ListedPairs, at: Array, weight: Array) -> None:
    """Add arcs at their places, −1 for those that take no part."""
    from . import cell_kernels as kernels

    if _only_counted(scan):
        kernels.count_places(at, found["__n"])
        return
    names = ("__n", "__weight_sum", "__weight_minimum", "__weight_maximum")
    kernels.count_arcs(at, weight, *(found[name] for name in names))
    for measure in scan.measures:
        values = np.broadcast_to(evaluate(measure.node, pairs), len(weight)).astype(np.float64)
        whats = ("n", "sum", "low", "high", "weighted", "weight")
        kernels.measure_arcs(at, weight, values, *(found[f"{measure.column}_{what}"] for what in whats))
