"""Cells of a segment without its weights: from pairs alone, or from the marginals of residues."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..sql.tree import ATOMS, Leaf, Quantity, leaves
from .cells import Array, Counted, Heads, Scan
from .count_codes import measured_pairs
from .groups import MOST_TOTALS, flat_places, group_ids, group_of, numbered, passing_of
from .pairs import AllPairs, ListedPairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment


def from_pairs(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array
) -> tuple[Counted, Heads]:
    """Cells of a question that asks nothing of attention: the same for every head."""
    if scan.measures or len(present) * scan.groups > MOST_TOTALS:
        counted, groups = flat_places(scan, vectors, present, of_protein)
        inside = groups < len(counted.groups)
        found = _of_numbers(counted, groups[inside], np.ones(int(inside.sum()), np.int64), {
            own: values[inside] for own, values in measured_pairs(scan, vectors, of_protein).items()
        })  # fmt: skip
    else:
        counted = Counted(scan, group_ids(scan, present))
        count = _of_contacts if _is_of_contacts(scan) else _of_proteins
        found = {"__n": count(scan, vectors, of_protein, len(present)).ravel()}
    return counted, iter([_alike(scan, found)])


def _alike(scan: Scan, found: Mapping[str, Array]) -> tuple[list[int], dict[str, Array]]:
    """The same cells for every head that takes part."""
    rows = np.flatnonzero(scan.heads.ravel()).tolist()
    return rows, {name: np.broadcast_to(cells, (len(rows), len(cells))) for name, cells in found.items()}


def _of_proteins(scan: Scan, vectors: SegmentVectors, of_protein: Array, proteins: int) -> Array:
    """Number of pairs, int64 [groups of proteins, groups]."""
    from . import cell_kernels as kernels

    counts = np.zeros((proteins, scan.groups), np.int64)
    wanted = np.arange(scan.groups, dtype=np.min_scalar_type(scan.groups))
    for p, protein in enumerate(vectors.proteins()):
        if of_protein[p] >= 0 and protein.length:
            pairs = AllPairs(protein)
            groups, passing = group_of(scan, pairs), passing_of(scan, pairs)
            if passing.size > 1:
                groups, passing = np.broadcast_arrays(groups, passing)
            # What depends on less than the pair stands for as many pairs as it is repeated.
            times = protein.length**2 // groups.size
            groups, passing = (np.ascontiguousarray(each).ravel() for each in (groups, passing))
            kernels.count_pairs(groups, passing, wanted, times, counts[of_protein[p]])
    return counts


def _is_of_contacts(scan: Scan) -> bool:
    """Whether the first key is whether pairs are in contact, and all else follows from their separation."""
    if not scan.keys or not isinstance(scan.keys[0].node, Quantity) or scan.keys[0].kind != "boolean":
        return False
    others = [*scan.where, *(key.node for key in scan.keys[1:])]
    return all(
        isinstance(leaf, Leaf) and leaf.end in ("separation", "constant") for node in others for leaf in leaves(node)
    )


def _of_contacts(scan: Scan, vectors: SegmentVectors, of_protein: Array, proteins: int) -> Array:
    """The same where `_is_of_contacts`, much faster."""
    from . import kernels

    first, *others = scan.keys
    assert isinstance(first.node, Quantity)
    # What the first residue of the longest protein says of each separation.
    position = np.arange(int(vectors.stored.max(initial=0)))
    pairs = ListedPairs(vectors, np.full(len(position), vectors.stored.argmax()), position, 0 * position)
    rest = replace(scan, keys=tuple(others))
    column, passing = (
        np.broadcast_to(each, len(position)) for each in (group_of(rest, pairs), passing_of(rest, pairs))
    )
    counts = np.zeros((proteins, first.size, rest.groups), np.int64)
    x, y, z = vectors.coordinates[ATOMS[first.node.name]].T.astype(np.float64, order="C")
    kernels.count_contacts(
        x, y, z, vectors.residue_offset, of_protein, np.where(passing, column.astype(np.int64), -1), scan.causal, counts
    )
    return counts


def from_residues(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array
) -> tuple[Counted, Heads]:
    """Cells of a question about one end only, from the marginals of residues; without them where no weight counts."""
    protein = np.repeat(np.arange(len(vectors.stored)), vectors.stored)
    position = np.arange(len(protein)) - vectors.residue_offset[:-1].take(protein)
    # A pair is as its one end is: a residue with itself stands for all of its pairs.
    pairs = ListedPairs(vectors, protein, position, position)
    own = of_protein[protein]
    groups = group_of(scan, pairs).astype(np.int64) + np.where(own >= 0, present[own], 0) * scan.groups
    groups[(own < 0) | ~passing_of(scan, pairs)] = -1
    if len(present) * scan.groups <= MOST_TOTALS:
        counted = Counted(scan, group_ids(scan, present))
        inside = groups >= 0
        at = own[inside] * scan.groups + groups[inside] % scan.groups
    else:
        counted, places = numbered(scan, groups)
        inside = places < len(counted.groups)
        at = places[inside].astype(np.int64)
    times = vectors.stored[protein][inside]
    measured = {
        one.column: np.broadcast_to(evaluate(one.node, pairs), len(protein))[inside].astype(np.float64)
        for one in scan.measures
    }
    shared = _of_numbers(counted, at, times, measured)
    return counted, _residue_heads(scan, segment, counted, inside, at, shared, measured)


def _residue_heads(
    scan: Scan,
    segment: "Segment",
    counted: Counted,
    inside: Array,
    at: Array,
    shared: dict[str, Array],
    measured: Mapping[str, Array],
) -> Heads:
    rows, found = _alike(scan, shared)
    if scan.tier == "pairs":
        yield rows, found
        return
    from . import cell_kernels as kernels

    marginal = segment.marginal("received" if scan.end == "target" else "emitted")
    marginal = marginal.reshape(-1, marginal.shape[-1])
    weights = marginal if scan.heads.all() else marginal[rows]
    # Those that take no part have a place of their own, after the others.
    place = np.full(len(inside), counted.size, np.uint32)
    place[inside] = at
    sums = np.zeros((len(rows), counted.size + 1))
    kernels.sum_places(place, weights, sums)
    found["__weight_sum"] = sums[:, :-1]
    for own, values in measured.items():
        known = ~np.isnan(values)
        v, w, to = values[known], weights[:, inside][:, known].astype(np.float64), at[known]
        found[f"{own}_weighted"] = np.stack([_summed(to, row * v, counted.size) for row in w])
        found[f"{own}_weight"] = np.stack([_summed(to, row, counted.size) for row in w])
    yield rows, found


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
