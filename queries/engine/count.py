"""What a task does: count the cells of one segment, from the tier that was chosen."""

import math
from typing import TYPE_CHECKING

import numpy as np

from ...errors import QueryError
from .cells import Array, CellTable, Counted, Scan, columns_of
from .count_arcs import from_arcs, totals
from .count_codes import from_codes
from .count_pairs import from_pairs, from_residues
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment


def run(scan: Scan, segment: "Segment", vectors: SegmentVectors, protein_group: Array, memory_limit: int) -> CellTable:
    """Count one segment: the cells with something in them.

    Parameters
    ----------
    scan : Scan
    segment : Segment
    vectors : of the segment's proteins, in its order
    protein_group : int64 [proteins], in which group of proteins each is; −1 for those that take no part
    memory_limit : bytes that the cells may take

    Raises
    ------
    QueryError
        A key is no whole number, or there are more cells than fit the memory.
    StoreError
        What is read of the segment is damaged.
    """
    if not (protein_group >= 0).any() or not scan.taken.any():
        return Counted(scan, np.zeros(0, np.int64)).table([])
    present, local = np.unique(protein_group[protein_group >= 0], return_inverse=True)
    of_protein = np.full(len(protein_group), -1, np.int64)
    of_protein[protein_group >= 0] = local
    if scan.tier == "arcs":
        found = from_arcs(scan, segment, vectors, present, of_protein)
    else:
        counted, heads = _READ[_reading(scan)](scan, segment, vectors, present, of_protein)
        parts = [
            counted.filled(row, {name: values[at] for name, values in cells.items()})
            for rows, cells in heads
            for at, row in enumerate(rows)
        ]
        found = counted.table(parts)
    size = found.id.nbytes + sum(values.nbytes for values in found.columns.values())
    if size > memory_limit:
        raise QueryError(
            f"the groups of one segment alone take {size / 1e9:.3g} GB: group by fewer or coarser properties, or "
            f"allow memory_limit='{math.ceil(2 * size / 1e9)}GB'."
        )
    return found


def count_dense(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, of_protein: Array, proteins: int
) -> dict[str, Array]:
    """Count one segment: all of its cells, whether there is something in them or not.

    Parameters
    ----------
    scan : without measures and weights the other way round
    segment, vectors : as for `run`, which raises
    of_protein : int64 [proteins], group of each, local to the segment; −1 for those that take no part
    proteins : number of those groups

    Returns
    -------
    dict of ndarray
        Columns of cells, each [heads, groups of proteins, groups, bands that take part].
    """
    shape = scan.heads.size, proteins, scan.groups, int(scan.taken.sum())
    if scan.tier == "arcs":
        found = totals(scan, segment, vectors, of_protein, proteins)
        return {name: found[name].reshape(shape) for name in columns_of(scan)}
    counted, heads = _READ[_reading(scan)](scan, segment, vectors, np.arange(proteins), of_protein)
    dense: dict[str, Array] = {
        name: np.zeros((shape[0], shape[1] * shape[2], shape[3]), kind) for name, kind in columns_of(scan).items()
    }
    # Where there are many groups, only those that occur are counted.
    groups = slice(None) if len(counted.groups) == shape[1] * shape[2] else counted.groups
    for rows, cells in heads:
        for name, values in dense.items():
            values[rows, groups] = cells[name].reshape(len(rows), -1, shape[3])
    return {name: values.reshape(shape) for name, values in dense.items()}


_READ = {"codes": from_codes, "residues": from_residues, "pairs": from_pairs}


def _reading(scan: Scan) -> str:
    if scan.tier == "codes":
        return "codes"
    # What depends on one end alone is counted by residues; in a causal model their pairs differ in number.
    return "residues" if scan.end is not None and not scan.causal else "pairs"
