"""What a task does: count the cells of one segment, from the tier that was chosen."""

import math
from typing import TYPE_CHECKING

import numpy as np

from ...errors import QueryError
from .cells import Array, CellTable, Counted, Scan
from .count_arcs import from_arcs
from .count_codes import from_codes
from .count_pairs import from_pairs, from_residues
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment


def run(scan: Scan, segment: "Segment", vectors: SegmentVectors, protein_group: Array, memory_limit: int) -> CellTable:
    """Count one segment.

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
    if not (protein_group >= 0).any():
        return Counted(scan, np.zeros(0, np.int64)).table([])
    present, local = np.unique(protein_group[protein_group >= 0], return_inverse=True)
    of_protein = np.full(len(protein_group), -1, np.int64)
    of_protein[protein_group >= 0] = local
    read = {"arcs": from_arcs, "codes": from_codes, "marginals": from_residues, "pairs": from_residues}
    if scan.tier == "pairs" and scan.end is None:
        found = from_pairs(scan, segment, vectors, present, of_protein)
    else:
        found = read[scan.tier](scan, segment, vectors, present, of_protein)
    size = found.id.nbytes + sum(values.nbytes for values in found.columns.values())
    if size > memory_limit:
        raise QueryError(
            f"the groups of one segment alone take {size / 1e9:.3g} GB: group by fewer or coarser properties, or "
            f"allow memory_limit='{math.ceil(2 * size / 1e9)}GB'."
        )
    return found
