"""Arcs of a segment by code and by the value of the predicate: what every threshold's answer is summed from."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..codebook import Codebook
from ..segment import Segment
from . import kernels
from .curve_kernels import arc_histogram
from .kernels import GROUPS
from .plan import Plan

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
    groups: list[Array],
    *,
    proteins_apart: bool,
) -> Iterator[tuple[Array, Array, Sums | None]]:
    """Histograms of a segment's arcs: of all proteins together, or of each, a bounded number at a time.

    Parameters
    ----------
    plan : of tier 'arcs' or 'codes', its threshold an edge or 0
    segment, codebook : Segment, Codebook
    shape : layers, heads
    groups : uint8 [length²] of each protein, target-major
    proteins_apart : whether to tell proteins apart

    Yields
    ------
    rows : bool [proteins], which proteins these are
    arcs : int64 [proteins told apart or 1, codes, layers, heads, group], from the code of the plan's threshold on
    sums : of their weights, float64 of the same shape; None in the count form
    """
    proteins, first = len(groups), codebook.code_of(plan.threshold)
    assert first is not None
    cells = (codebook.size - first) * shape[0] * shape[1] * GROUPS
    count = max(1, _BLOCK_BYTES // (8 * cells)) if proteins_apart else proteins
    blocks = [range(begin, min(begin + count, proteins)) for begin in range(0, proteins, count)]
    read = _from_codes if plan.tier == "codes" else _from_arcs
    found = read(plan, segment, codebook, shape, groups, first, blocks, proteins_apart)
    for block, (arcs, sums) in zip(blocks, found, strict=True):
        rows = np.zeros(proteins, bool)
        rows[block.start : block.stop] = True
        yield rows, arcs, sums


def _from_codes(
    plan: Plan, segment: Segment, codebook: Codebook, shape: tuple[int, int], groups: list[Array],
    first: int, blocks: list[range], proteins_apart: bool,
) -> Iterator[tuple[Array, Sums | None]]:  # fmt: skip
    (layers, heads), offset = shape, segment.proteins.pair_offset.tolist()
    # Layer by layer where there is one block; otherwise chunks would be decoded once for every block.
    whole = segment.codes() if len(blocks) > 1 else None
    for block in blocks:
        parts = [range(p, p + 1) for p in block] if proteins_apart else [block]
        arcs = np.zeros((len(parts), codebook.size - first, layers, heads, GROUPS), np.int64)
        for layer in range(layers):
            codes = segment.codes(layer, slice(None)) if whole is None else whole[layer]
            for row, part in enumerate(parts):
                histogram = np.zeros((heads, 256, GROUPS), np.int64)
                group = np.concatenate(groups[part.start : part.stop])
                kernels.code_histogram(codes[:, offset[part.start] : offset[part.stop]], group, histogram)
                arcs[row, :, layer] = histogram[:, first : codebook.size].swapaxes(0, 1)
        if not plan.weighted:
            yield arcs, None
            continue
        mean = np.moveaxis(segment.bin_mean[..., first:], -1, 0)[..., None].astype(np.float64)
        low, high = (edges[first:, None, None, None].astype(np.float64) for edges in (codebook.lower, codebook.upper))
        yield arcs, Sums(arcs * mean, arcs * low, arcs * high)


def _from_arcs(
    plan: Plan, segment: Segment, codebook: Codebook, shape: tuple[int, int], groups: list[Array],
    first: int, blocks: list[range], proteins_apart: bool,
) -> Iterator[tuple[Array, Sums | None]]:  # fmt: skip
    proteins, size = segment.proteins, (codebook.size - first, *shape, GROUPS)
    columns = [np.require(column.to_numpy(), requirements="W") for column in segment.arcs(plan.threshold).columns]
    group = np.concatenate(groups)
    for block in blocks:
        row = np.full(len(groups), -1)
        row[block.start : block.stop] = np.arange(len(block)) if proteins_apart else 0
        arcs = np.zeros((len(block) if proteins_apart else 1, *size), np.int64)
        sums = np.zeros(arcs.shape if plan.weighted else (0, *size))
        arc_histogram(*columns, group, proteins.pair_offset, proteins.stored, *codebook.table, first, row, arcs, sums)
        yield arcs, Sums(sums, None, None) if plan.weighted else None
