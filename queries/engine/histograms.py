"""Arcs of a segment by code and by the value of the predicate: what every threshold's answer is summed from."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...format.codebook import Codebook
from ...format.segment import Segment
from . import kernels
from .align_scan import Plan
from .cell_kernels import histogram
from .curve_kernels import arc_histogram
from .kernels import GROUPS
from .pairs import ListedPairs
from .states import flat_states, states
from .vectors import SegmentVectors

Array = npt.NDArray[Any]

#: Bytes of histograms at a time, where proteins are told apart.
_BLOCK_BYTES = 64 << 20


class Sums(NamedTuple):
    """Sums of weights, and their bounds; None where they are exact."""

    mean: Array
    low: Array | None
    high: Array | None


def histograms(
    plan: Plan,
    segment: Segment,
    codebook: Codebook,
    shape: tuple[int, int],
    vectors: SegmentVectors,
    *,
    proteins_apart: bool,
) -> Iterator[tuple[Array, Array, Sums | None]]:
    """Histograms of a segment's arcs: of all proteins together, or of each, a bounded number at a time.

    Parameters
    ----------
    plan : of tier 'arcs' or 'codes', its threshold an edge or 0
    segment, codebook : Segment, Codebook
    shape : layers, heads
    vectors : of the segment's proteins
    proteins_apart : whether to tell proteins apart

    Yields
    ------
    rows : bool [proteins], which proteins these are
    arcs : int64 [proteins told apart or 1, codes, layers, heads, group], from the code of the plan's threshold on
    sums : of their weights, float64 of the same shape; None in the count form
    """
    proteins, first = len(vectors.stored), codebook.code_of(plan.threshold)
    assert first is not None
    cells = (codebook.size - first) * shape[0] * shape[1] * GROUPS
    count = max(1, _BLOCK_BYTES // (8 * cells)) if proteins_apart else proteins
    blocks = [range(begin, min(begin + count, proteins)) for begin in range(0, proteins, count)]
    read = _from_codes if plan.tier == "codes" else _from_arcs
    found = read(plan, segment, codebook, shape, vectors, first, blocks, proteins_apart)
    for block, (arcs, sums) in zip(blocks, found, strict=True):
        rows = np.zeros(proteins, bool)
        rows[block.start : block.stop] = True
        yield rows, arcs, sums


def _from_codes(
    plan: Plan, segment: Segment, codebook: Codebook, shape: tuple[int, int], vectors: SegmentVectors,
    first: int, blocks: list[range], proteins_apart: bool,
) -> Iterator[tuple[Array, Sums | None]]:  # fmt: skip
    groups, offset = flat_states(plan, vectors), vectors.pair_offset
    for block in blocks:
        rows = len(block) if proteins_apart else 1
        arcs = np.zeros((rows, codebook.size - first, *shape, GROUPS), np.int64)
        begin, end = int(offset[block.start]), int(offset[block.stop])
        # All together are one protein to the kernel.
        bounds = offset[block.start : block.stop + 1] if proteins_apart else np.array([begin, end])
        for layer, head, at, codes in segment.chunks(begin=begin, end=end):
            own = groups[at : at + len(codes)]
            if proteins_apart:
                table = np.zeros((rows, 256, GROUPS), np.int64)
                kernels.code_histograms(codes, own, at, bounds, table)
            else:
                whole = np.zeros((GROUPS, 256), np.int64)
                histogram(codes, own, whole)
                table = whole.T[None]
            arcs[:, :, layer, head] += table[:, first : codebook.size]
        if not plan.weighted:
            yield arcs, None
            continue
        mean = np.moveaxis(segment.bin_mean[..., first:], -1, 0)[..., None].astype(np.float64)
        low, high = (edges[first:, None, None, None].astype(np.float64) for edges in (codebook.lower, codebook.upper))
        yield arcs, Sums(arcs * mean, arcs * low, arcs * high)


def _from_arcs(
    plan: Plan, segment: Segment, codebook: Codebook, shape: tuple[int, int], vectors: SegmentVectors,
    first: int, blocks: list[range], proteins_apart: bool,
) -> Iterator[tuple[Array, Sums | None]]:  # fmt: skip
    size = (codebook.size - first, *shape, GROUPS)
    for block in blocks:
        row = np.full(len(vectors.stored), -1)
        row[block.start : block.stop] = np.arange(len(block)) if proteins_apart else 0
        arcs = np.zeros((len(block) if proteins_apart else 1, *size), np.int64)
        sums = np.zeros(arcs.shape if plan.weighted else (0, *size))
        for found in segment.arc_groups(plan.threshold):
            layer, head, protein, source, target, weight = (column.to_numpy() for column in found.columns)
            state = states(plan, ListedPairs(vectors, protein, source, target), len(weight))
            arc_histogram(layer, head, protein, weight, state, *codebook.table, first, row, arcs, sums)
        yield arcs, Sums(sums, None, None) if plan.weighted else None
