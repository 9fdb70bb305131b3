"""Cells of a segment from its arcs: weights at or above the arc floor, as they are."""

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from .cells import Array, CellTable, Counted, Scan, columns_of
from .groups import DENSE, group_ids, group_of, passing_of
from .pairs import ListedPairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment


def from_arcs(scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array) -> CellTable:
    from . import cell_kernels as kernels

    row = np.where(scan.heads, np.arange(scan.heads.size).reshape(scan.heads.shape), -1)
    threshold = scan.bands.lower[np.argmax(scan.taken)]
    size = scan.heads.size * len(present) * scan.groups * len(scan.bands.lower)
    numbered = np.append(of_protein, len(present))
    empty = Counted(scan, np.zeros(0, np.int64)).table([])
    dense = size <= DENSE * 16
    counted = Counted(scan, group_ids(scan, present)) if dense else None
    totals = _Totals(scan, size) if dense else None
    sparse: list[CellTable] = []
    columns = ["layer", "head", "protein", "source", "target"]
    # Where all above one threshold is counted and nothing else, its row groups say enough of the weights.
    weighed = bool(scan.sums or scan.extremes or scan.measures or np.diff(scan.taken).sum() != 1 or len(scan.taken) > 2)
    for arcs in segment.arc_groups(
        threshold, [*columns, "weight"] if weighed else columns, None if scan.heads.all() else scan.heads
    ):
        layer, head, protein, source, target = (arcs[name].to_numpy() for name in columns)
        # An array that is empty says that all lie in the one band.
        weight = arcs["weight"].to_numpy() if weighed else np.empty(0, np.float32)
        pairs = ListedPairs(vectors, protein, source, target)
        at = np.empty(len(layer), np.int64)
        kernels.places(
            layer, head, protein, weight, group_of(scan, pairs), passing_of(scan, pairs), numbered, row,
            scan.bands.lower, scan.taken, scan.groups, at,
        )  # fmt: skip
        if totals is not None:
            totals.add(pairs, at, weight)
            continue
        # Too many places for an array of all of them: those that occur are numbered.
        occurring, inverse = np.unique(at, return_inverse=True)
        if len(occurring) and occurring[0] < 0:
            occurring, inverse = occurring[1:], inverse - 1
        part = _Totals(scan, len(occurring))
        part.add(pairs, inverse.astype(np.int64), weight)
        bands = len(scan.bands.lower)
        heads, within = np.divmod(occurring, len(present) * scan.groups * bands)
        group, band = np.divmod(within, bands)
        local, own = np.divmod(group, scan.groups)
        ids = ((heads * scan.protein_groups + present[local]) * scan.groups + own) * bands + band
        sparse.append(CellTable(ids, part.columns()))
    if totals is not None and counted is not None:
        full = np.flatnonzero(totals.found["__n"])
        heads, within = np.divmod(full, counted.size)
        return counted.table([(counted.ids(heads, within), totals.columns(full))])
    return reduce(CellTable.combine, sparse, empty)


class _Totals:
    """Flat arrays of cells that arcs are added to, row group after row group."""

    def __init__(self, scan: Scan, size: int) -> None:
        self._scan = scan
        self.found: dict[str, Array] = {
            "__n": np.zeros(size, np.int64), "__weight_sum": np.zeros(size),
            "__weight_minimum": np.full(size, np.inf), "__weight_maximum": np.zeros(size),
        }  # fmt: skip
        for measure in scan.measures:
            own = measure.column
            self.found |= {f"{own}_n": np.zeros(size, np.int64), f"{own}_low": np.full(size, np.inf)}
            self.found |= {f"{own}_{what}": np.zeros(size) for what in ("sum", "weighted", "weight")}
            self.found[f"{own}_high"] = np.full(size, -np.inf)

    def add(self, pairs: ListedPairs, at: Array, weight: Array) -> None:
        """Add arcs at their places, −1 for those that take no part."""
        from . import cell_kernels as kernels

        found = self.found
        if not len(weight):
            kernels.count_places(at, found["__n"])
            return
        names = ("__n", "__weight_sum", "__weight_minimum", "__weight_maximum")
        kernels.count_arcs(at, weight, *(found[name] for name in names))
        for measure in self._scan.measures:
            values = np.broadcast_to(evaluate(measure.node, pairs), len(weight)).astype(np.float64)
            whats = ("n", "sum", "low", "high", "weighted", "weight")
            kernels.measure_arcs(at, weight, values, *(found[f"{measure.column}_{what}"] for what in whats))

    def columns(self, at: Array | slice = slice(None)) -> dict[str, Array]:
        """The columns wanted, of some places."""
        return {name: self.found[name][at] for name in columns_of(self._scan)}
