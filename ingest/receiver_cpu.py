"""Conversion of the model's attention to what a segment keeps: codes, arcs and marginals.

This is the hot loop of ingest: every attention weight passes through it once, on a CPU while it is still in the cache
(see :mod:`~attnstore.ingest.model.capture`). Three things make it fast. Codes come from a table indexed by the float's
leading bits instead of a search. Weights are read row by row, as they are in memory, and the one-byte codes are
transposed afterwards (the store is target-major), eight by eight bytes in registers. Rows are checked and searched for
arcs by an integer maximum over blocks, which the compiler vectorises: non-negative floats order like their bit
patterns, and NaN or negative weights have patterns above every valid one.
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import ModelError
from ..format.codebook import CELL_SHIFT, TOP, Codebook
from ..format.segment_values import MARGINALS, LocalProteins
from ..format.segment_writer import SegmentContents
from ..runtime.libraries import jit

Array = npt.NDArray[Any]

_STRIP = 128  # rows coded before they are transposed: measured best of 64, 128 and 256
_BLOCK = 32  # number of weights checked together when searching for arcs
_LOW_BITS = (1 << CELL_SHIFT) - 1

# Row sums are reassociated so that they vectorise; they are float64 sums of at most a few thousand float32.
_compile = jit()
_compile_sums = jit(fastmath={"reassoc"})


@dataclass(frozen=True, eq=False)
class Items:
    """The proteins of a batch: int64 arrays [batch].

    Attributes
    ----------
    start : first residue's token position in the padded batch
    prefix : special tokens before the residues
    length : residues
    protein : local index in the segment
    pair_offset, residue_offset : first index of the protein in the segment's arrays
    """

    start: Array
    prefix: int
    length: Array
    protein: Array
    pair_offset: Array
    residue_offset: Array


class FailedItemsError(ModelError):
    """Some proteins of a batch fail for a reason of their own; `items` are their indices in it."""

    def __init__(self, reason: str, items: Collection[int]) -> None:
        super().__init__(reason)
        self.items = sorted(items)


class BadWeightError(FailedItemsError):
    """Attention that is NaN, negative or above one."""

    def __init__(self, layer: int, items: Collection[int]) -> None:
        super().__init__(f"attention of layer {layer} holds a weight that is NaN, negative or above one", items)


@_compile
def _code_row(bits: Array, table: Array, out: Array) -> None:
    # One 32-bit look-up per weight: the code below the cell's edge in the high half, the edge's low bits in the low
    # half.
    for j in range(bits.shape[0]):
        b = bits[j]
        entry = table[b >> np.uint32(CELL_SHIFT)]
        out[j] = (entry >> np.uint32(16)) + ((b & np.uint32(_LOW_BITS)) >= (entry & np.uint32(0xFFFF)))


@_compile
def _transpose_strip(rows: Array, columns: Array, height: int, blocks: int) -> None:
    # Transpose the bytes of a strip, eight by eight: rows [8 * height, blocks] -> columns [8 * blocks, height], uint64.
    m1, m2, m4 = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)
    s1, s2, s4 = np.uint64(8), np.uint64(16), np.uint64(32)
    for i in range(height):
        for j in range(blocks):
            r = i * 8
            x0, x1, x2, x3 = rows[r, j], rows[r + 1, j], rows[r + 2, j], rows[r + 3, j]
            x4, x5, x6, x7 = rows[r + 4, j], rows[r + 5, j], rows[r + 6, j], rows[r + 7, j]
            t = ((x0 >> s1) ^ x1) & m1
            x0, x1 = x0 ^ (t << s1), x1 ^ t
            t = ((x2 >> s1) ^ x3) & m1
            x2, x3 = x2 ^ (t << s1), x3 ^ t
            t = ((x4 >> s1) ^ x5) & m1
            x4, x5 = x4 ^ (t << s1), x5 ^ t
            t = ((x6 >> s1) ^ x7) & m1
            x6, x7 = x6 ^ (t << s1), x7 ^ t
            t = ((x0 >> s2) ^ x2) & m2
            x0, x2 = x0 ^ (t << s2), x2 ^ t
            t = ((x1 >> s2) ^ x3) & m2
            x1, x3 = x1 ^ (t << s2), x3 ^ t
            t = ((x4 >> s2) ^ x6) & m2
            x4, x6 = x4 ^ (t << s2), x6 ^ t
            t = ((x5 >> s2) ^ x7) & m2
            x5, x7 = x5 ^ (t << s2), x7 ^ t
            t = ((x0 >> s4) ^ x4) & m4
            x0, x4 = x0 ^ (t << s4), x4 ^ t
            t = ((x1 >> s4) ^ x5) & m4
            x1, x5 = x1 ^ (t << s4), x5 ^ t
            t = ((x2 >> s4) ^ x6) & m4
            x2, x6 = x2 ^ (t << s4), x6 ^ t
            t = ((x3 >> s4) ^ x7) & m4
            x3, x7 = x3 ^ (t << s4), x7 ^ t
            c = j * 8
            columns[c, i], columns[c + 1, i], columns[c + 2, i], columns[c + 3, i] = x0, x1, x2, x3
            columns[c + 4, i], columns[c + 5, i], columns[c + 6, i], columns[c + 7, i] = x4, x5, x6, x7


@_compile_sums
def _add_row(row: Array, received: Array) -> float:
    total = 0.0
    for j in range(row.shape[0]):
        total += row[j]
    for j in range(row.shape[0]):
        received[j] += row[j]
    return total


@_compile_sums
def _sum(row: Array) -> float:
    total = 0.0
    for j in range(row.shape[0]):
        total += row[j]
    return total


@_compile
def _add_to_bins(row: Array, codes: Array, sums: Array, counts: Array) -> None:
    # Four accumulators in turn: neighbours often share a code, and one accumulator would wait for the other's store.
    for j in range(row.shape[0]):
        c = codes[j]
        sums[j & 3, c] += row[j]
        counts[j & 3, c] += 1


@_compile
def _copy(source: Array, target: Array) -> None:
    # 1.5 times as fast as an assignment between slices, whose checks cost more than these few bytes.
    for j in range(source.shape[0]):
        target[j] = source[j]


@_compile
def _largest(bits: Array) -> np.uint32:
    largest = np.uint32(0)
    for j in range(bits.shape[0]):
        largest = max(largest, bits[j])
    return largest


@_compile
def _quantise(  # type: ignore[no-untyped-def]
    alpha, bits, first, n, head, protein, pair_offset, residue_offset, table, floor_bits, top_bits,
    with_codes, with_arcs, with_marginals, codes, bin_sums, bin_counts, received, emitted, special,
    arc_head, arc_protein, arc_source, arc_target, arc_weight,
):  # fmt: skip
    """Quantise a block [heads, tokens, tokens] of one protein; returns the arcs found, or -1 at a bad weight."""
    tokens = alpha.shape[2]
    blocks = (n + 7) // 8
    strip_height = min(_STRIP, (n + 7) // 8 * 8)
    rows64 = np.zeros((strip_height, blocks), np.uint64)
    columns64 = np.empty((blocks * 8, strip_height // 8), np.uint64)
    rows, columns = rows64.view(np.uint8), columns64.view(np.uint8)
    received_row = np.empty(n, np.float64)
    sums = np.empty((4, 256), np.float64)
    counts = np.empty((4, 256), np.int64)
    arcs = 0
    for k in range(alpha.shape[0]):
        h = head + k
        sums[:] = 0.0
        counts[:] = 0
        received_row[:] = 0.0
        for strip in range(0, n, _STRIP):
            height = min(_STRIP, n - strip)
            for i in range(height):
                token = first + strip + i
                row = alpha[k, token, first : first + n]
                row_bits = bits[k, token, first : first + n]
                most = max(_largest(bits[k, token, :first]), _largest(bits[k, token, first + n :]))
                begin = arcs
                for block in range(0, n, _BLOCK):
                    largest = _largest(row_bits[block : block + _BLOCK])
                    most = max(most, largest)
                    if with_arcs and largest >= floor_bits:
                        for j in range(block, min(block + _BLOCK, n)):
                            if row_bits[j] >= floor_bits:
                                if arcs == arc_weight.shape[0]:
                                    return -1
                                arc_source[arcs] = strip + i
                                arc_target[arcs] = j
                                arc_weight[arcs] = row[j]
                                arcs += 1
                for arc in range(begin, arcs):
                    arc_head[arc] = h
                    arc_protein[arc] = protein
                if most > top_bits:
                    return -1
                if with_codes:
                    _code_row(row_bits, table, rows[i, :n])
                    _add_to_bins(row, rows[i, :n], sums, counts)
                if with_marginals:
                    residue = residue_offset + strip + i
                    emitted[h, residue] = _add_row(row, received_row)
                    special[h, residue] = _sum(alpha[k, token, :first]) + _sum(alpha[k, token, first + n : tokens])
            if with_codes:
                _transpose_strip(rows64, columns64, (height + 7) // 8, blocks)
                for j in range(n):
                    place = pair_offset + j * n + strip
                    _copy(columns[j, :height], codes[h, place : place + height])
        if with_marginals:
            for j in range(n):
                received[h, residue_offset + j] = received_row[j]
        if with_codes:
            for c in range(bin_sums.shape[1]):
                bin_sums[h, c] += sums[0, c] + sums[1, c] + sums[2, c] + sums[3, c]
                bin_counts[h, c] += counts[0, c] + counts[1, c] + counts[2, c] + counts[3, c]
    return arcs


#: Columns of arcs as they are found; the layer is the same for all arcs of a call.
_ARC_COLUMNS = {"head": np.uint16, "protein": np.uint32, "source": np.uint32, "target": np.uint32,
                "weight": np.float32}  # fmt: skip


class HostReceiver:
    """Collects a segment's attention, batch by batch, in the arrays that will be written.

    Between :meth:`begin` and :meth:`end` a forward pass fills it. A batch that is not ended has no effect, and its
    proteins may come again.

    Parameters
    ----------
    proteins : of the segment
    layers, heads : of the model
    codebook : edges of the codes
    arc_floor : entries with at least this weight are kept as arcs; at least 0.01
    keep : some of 'codes', 'arcs' and 'marginals'
    """

    def __init__(
        self,
        proteins: LocalProteins,
        layers: int,
        heads: int,
        codebook: Codebook,
        arc_floor: float,
        keep: Collection[str],
    ) -> None:
        base, next_edge = codebook.table
        low = np.where(np.isinf(next_edge), 1 << CELL_SHIFT, next_edge.view(np.uint32) & _LOW_BITS)
        self._table = (base.astype(np.uint32) << 16) | low.astype(np.uint32)
        self._floor_bits = np.float32(arc_floor).view(np.uint32)
        self._top_bits = TOP.view(np.uint32)
        self._arcs_a_row = int(1.01 / np.float32(arc_floor)) + 1
        self._keep = tuple(tier in keep for tier in ("codes", "arcs", "marginals"))
        with_codes, _, with_marginals = self._keep
        pairs, residues = int(proteins.pair_offset[-1]), int(proteins.residue_offset[-1])
        self._proteins = proteins
        self._shape = (layers, heads)
        self._codes = np.empty((layers, heads, pairs if with_codes else 0), np.uint8)
        self._sums = np.zeros((layers, heads, codebook.size))
        self._counts = np.zeros((layers, heads, codebook.size), np.int64)
        self._marginals = {
            name: np.empty((layers, heads, residues if with_marginals else 0), np.float32) for name in MARGINALS
        }
        self._arcs = [_joined([])]
        self._buffers = threading.local()

    def begin(self, items: Items) -> None:
        """Set the proteins of the next forward pass."""
        self._items = items
        self._batch_sums, self._batch_counts = np.zeros_like(self._sums), np.zeros_like(self._counts)
        self._batch_arcs: list[tuple[int, list[Array]]] = []
        self._bad: dict[int, int] = {}

    def block(self, layer: int, item: int, head: int, weights: torch.Tensor) -> None:
        """See :class:`~attnstore.ingest.model.capture.Receiver`."""
        if item in self._bad:
            return
        alpha, items = weights.numpy(), self._items
        n = int(items.length[item])
        # The buffer cannot overflow: a row that sums to one has at most 1 / floor weights above the floor.
        columns = self._arc_buffers(n * alpha.shape[0] * self._arcs_a_row)
        arcs = _quantise(
            alpha, alpha.view(np.uint32), items.prefix, n, head, items.protein[item], items.pair_offset[item],
            items.residue_offset[item], self._table, self._floor_bits, self._top_bits, *self._keep,
            self._codes[layer], self._batch_sums[layer], self._batch_counts[layer],
            *(self._marginals[name][layer] for name in MARGINALS), *columns,
        )  # fmt: skip
        if arcs < 0:
            self._bad[item] = layer
        elif arcs:
            self._batch_arcs.append((layer, [column[:arcs].copy() for column in columns]))

    def batch(self, layer: int, weights: torch.Tensor) -> None:
        """See :class:`~attnstore.ingest.model.capture.Receiver`; of a model on another device, quantised here."""
        items, host = self._items, weights.cpu()
        for item, start in enumerate(items.start):
            begin = int(start) - items.prefix
            self.block(layer, item, 0, host[item, :, begin:, begin:].contiguous())

    def _arc_buffers(self, size: int) -> list[Array]:
        found: list[Array] | None = getattr(self._buffers, "arcs", None)
        if found is None or found[0].size < size:
            found = self._buffers.arcs = [np.empty(size, dtype) for dtype in _ARC_COLUMNS.values()]
        return found

    def end(self) -> None:
        """Count the batch.

        Raises
        ------
        BadWeightError
            If a residue's row has a weight that is NaN, negative or above 1 + 2⁻¹⁶, or sums to well over 1. Nothing of
            the batch counts then.
        """
        if self._bad:
            raise BadWeightError(min(self._bad.values()), self._bad)
        self._sums += self._batch_sums
        self._counts += self._batch_counts
        # Thousands of small arrays that stay as long as the segment would fragment the memory.
        self._arcs.append(_joined(self._batch_arcs))
        self._batch_arcs = []

    def finish(self) -> SegmentContents:
        """Return all contents; those of proteins that never came are undefined."""
        with_codes, with_arcs, with_marginals = self._keep
        kept: dict[str, Any] = {}
        if with_codes:
            kept |= {"codes": self._codes, **bins(self._sums, self._counts)}
        if with_arcs:
            kept["arcs"] = self._all_arcs()
        if with_marginals:
            kept |= self._marginals
        return SegmentContents(self._proteins, *self._shape, **kept)

    def _all_arcs(self) -> dict[str, Array]:
        # Column by column; each batch's arrays are released as soon as they are copied.
        return {name: np.concatenate([found.pop(name) for found in self._arcs]) for name in list(self._arcs[0])}


def bins(sums: Array, counts: Array) -> dict[str, Array]:
    """Mean and number of the weights of each code, as a segment keeps them; from float64 sums and int64 counts."""
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return {"bin_mean": means.astype(np.float32), "bin_count": counts.astype(np.uint32)}


def _joined(found: list[tuple[int, list[Array]]]) -> dict[str, Array]:
    """Arcs of several layers, heads and proteins, one array per column."""
    sizes = np.array([columns[0].size for _, columns in found], np.int64)
    layers = np.array([layer for layer, _ in found], np.uint16)
    return {"layer": np.repeat(layers, sizes)} | {
        name: np.concatenate([columns[index] for _, columns in found] or [np.empty(0, dtype)])
        for index, (name, dtype) in enumerate(_ARC_COLUMNS.items())
    }
