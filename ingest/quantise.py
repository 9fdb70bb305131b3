"""One layer's attention, as the model produced it, to what a segment keeps: codes, arcs and marginals.

This is the hot loop of ingest: every attention weight passes through it once. Three things make it fast.
Codes come from a table indexed by the float's leading bits instead of a search. Weights are walked row by
row, as they lie in memory, and the one-byte codes are transposed afterwards (the store is target-major), eight
by eight bytes in registers. And rows are checked and searched for arcs by an integer maximum over blocks, which
the compiler vectorises: non-negative floats order like their bit patterns, and NaN or negative weights have
patterns above every valid one.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..codebook import CELL_SHIFT, TOP, Codebook
from ..compiled import compiled
from ..errors import ModelError

Array = npt.NDArray[Any]

_STRIP = 128  # rows coded before they are transposed: measured best of 64, 128 and 256
_BLOCK = 32  # weights looked at together when searching for arcs
_LOW_BITS = (1 << CELL_SHIFT) - 1

# Row sums are reassociated so that they vectorise; they are float64 sums of at most a few thousand float32.
_compile = compiled()
_compile_sums = compiled(fastmath={"reassoc"})


@dataclass(frozen=True, eq=False)
class LayerTarget:
    """Where one layer of one segment goes: views into the segment's arrays.

    Attributes
    ----------
    codes : uint8 [heads, pairs]
    sums, counts : float64, int64 [heads, codes]
        Sum and number of the weights of each code.
    received, emitted, special : float32 [heads, residues]
        Attention to each residue from residues; from each residue to residues; from each residue to tokens
        that are not residues.
    """

    codes: Array
    sums: Array
    counts: Array
    received: Array
    emitted: Array
    special: Array


@dataclass(frozen=True, eq=False)
class Items:
    """The proteins of a batch: int64 arrays [batch].

    Attributes
    ----------
    start : first residue's token position
    length : residues
    protein : local index in the segment
    pair_offset, residue_offset : where the protein begins in the segment's arrays
    """

    start: Array
    length: Array
    protein: Array
    pair_offset: Array
    residue_offset: Array


@dataclass(frozen=True, eq=False)
class Arcs:
    """Arcs of one layer of one batch, ordered by head, protein, source and target; arrays [arcs]."""

    head: Array
    protein: Array
    source: Array
    target: Array
    weight: Array


class BadWeightError(ModelError):
    """Attention that is NaN, negative or above one; `item` is its place in the batch."""

    def __init__(self, message: str, item: int) -> None:
        super().__init__(message)
        self.item = item


@_compile
def _code_row(bits: Array, table: Array, out: Array) -> None:
    # One 32-bit look-up a weight: code below the cell's edge in the high half, the edge's low bits in the low.
    for j in range(bits.shape[0]):
        b = bits[j]
        entry = table[b >> np.uint32(CELL_SHIFT)]
        out[j] = (entry >> np.uint32(16)) + ((b & np.uint32(_LOW_BITS)) >= (entry & np.uint32(0xFFFF)))


@_compile
def _transpose_strip(rows: Array, columns: Array, blocks: int) -> None:
    # Bytes of a strip, eight by eight: rows [strip, blocks] -> columns [8 * blocks, strip / 8], both uint64.
    m1, m2, m4 = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)
    s1, s2, s4 = np.uint64(8), np.uint64(16), np.uint64(32)
    for i in range(_STRIP // 8):
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
    # Four accumulators in turn: neighbours often share a code, and one would wait for the other's store.
    for j in range(row.shape[0]):
        c = codes[j]
        sums[j & 3, c] += row[j]
        counts[j & 3, c] += 1


@_compile
def _copy(source: Array, target: Array) -> None:
    # Half as long again as fast as an assignment between slices, whose checks cost more than these few bytes.
    for j in range(source.shape[0]):
        target[j] = source[j]


@_compile
def _largest(bits: Array) -> np.uint32:
    largest = np.uint32(0)
    for j in range(bits.shape[0]):
        largest = max(largest, bits[j])
    return largest


@_compile
def _quantise_heads(  # type: ignore[no-untyped-def]
    alpha, bits, heads, start, length, protein, pair_offset, residue_offset, table, floor_bits, top_bits,
    codes, bin_sums, bin_counts, received, emitted, special, arc_head, arc_protein, arc_source, arc_target, arc_weight,
):  # fmt: skip
    """Heads ``heads[0] <= h < heads[1]`` of every item; returns (arcs found, -1) or (0, item with a bad weight)."""
    tokens = alpha.shape[2]
    blocks = (tokens + 7) // 8
    rows64 = np.zeros((_STRIP, blocks), np.uint64)
    columns64 = np.zeros((blocks * 8, _STRIP // 8), np.uint64)
    rows, columns = rows64.view(np.uint8), columns64.view(np.uint8)
    received_row = np.empty(tokens, np.float64)
    sums = np.zeros((4, 256), np.float64)
    counts = np.zeros((4, 256), np.int64)
    arcs = 0
    for h in range(heads[0], heads[1]):
        sums[:] = 0.0
        counts[:] = 0
        for b in range(alpha.shape[0]):
            first, n = start[b], length[b]
            received_row[:n] = 0.0
            for strip in range(0, n, _STRIP):
                height = min(_STRIP, n - strip)
                for i in range(height):
                    token = first + strip + i
                    row = alpha[b, h, token, first : first + n]
                    row_bits = bits[b, h, token, first : first + n]
                    if _largest(bits[b, h, token]) > top_bits:
                        return 0, b
                    for block in range(0, n, _BLOCK):
                        if _largest(row_bits[block : block + _BLOCK]) >= floor_bits:
                            for j in range(block, min(block + _BLOCK, n)):
                                if row_bits[j] >= floor_bits:
                                    if arcs == arc_weight.shape[0]:
                                        return 0, b
                                    arc_head[arcs] = h
                                    arc_protein[arcs] = protein[b]
                                    arc_source[arcs] = strip + i
                                    arc_target[arcs] = j
                                    arc_weight[arcs] = row[j]
                                    arcs += 1
                    _code_row(row_bits, table, rows[i, :n])
                    _add_to_bins(row, rows[i, :n], sums, counts)
                    residue = residue_offset[b] + strip + i
                    emitted[h, residue] = _add_row(row, received_row[:n])
                    special[h, residue] = _sum(alpha[b, h, token, :first]) + _sum(alpha[b, h, token, first + n :])
                _transpose_strip(rows64, columns64, (n + 7) // 8)
                for j in range(n):
                    begin = pair_offset[b] + j * n + strip
                    _copy(columns[j, :height], codes[h, begin : begin + height])
            for j in range(n):
                received[h, residue_offset[b] + j] = received_row[j]
        for c in range(bin_sums.shape[1]):
            bin_sums[h, c] += sums[0, c] + sums[1, c] + sums[2, c] + sums[3, c]
            bin_counts[h, c] += counts[0, c] + counts[1, c] + counts[2, c] + counts[3, c]
    return arcs, -1


class Quantiser:
    """Turns layers of attention into codes, arcs and marginals on all cores.

    Parameters
    ----------
    codebook : Codebook
    arc_floor : float
        Weights at or above it are kept as arcs; at least 0.01.
    threads : int
        How many heads are worked on at once.
    """

    def __init__(self, codebook: Codebook, arc_floor: float, threads: int) -> None:
        base, next_edge = codebook.table
        low = np.where(np.isinf(next_edge), 1 << CELL_SHIFT, next_edge.view(np.uint32) & _LOW_BITS)
        self._table = (base.astype(np.uint32) << 16) | low.astype(np.uint32)
        self._floor_bits = np.float32(arc_floor).view(np.uint32)
        self._top_bits = TOP.view(np.uint32)
        self._arcs_a_row = int(1.01 / np.float32(arc_floor)) + 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="quantise")
        self._threads = threads

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def layer(self, alpha: Array, items: Items, target: LayerTarget) -> Arcs:
        """Quantise one layer of one batch into a segment's arrays and return its arcs.

        Parameters
        ----------
        alpha : float32 [batch, heads, tokens, tokens]
            Softmax output, C-contiguous; rows attend, columns are attended to; padding columns are 0.
        items : Items
        target : LayerTarget
            Written in place at the items' offsets; sums and counts are added to.

        Raises
        ------
        BadWeightError
            If a residue's row holds a weight that is NaN, negative or above 1 + 2⁻¹⁶, or sums to well over 1.
        """
        heads = alpha.shape[1]
        bounds = np.linspace(0, heads, min(self._threads, heads) + 1).astype(np.int64)
        bits = alpha.view(np.uint32)
        rows = int(items.length.sum())

        def part(first: int, last: int) -> tuple[tuple[Array, ...], int]:
            # The buffer cannot overflow: a row that sums to one holds at most 1 / floor weights above the floor.
            capacity = rows * (last - first) * self._arcs_a_row
            found = (np.empty(capacity, np.uint16), np.empty(capacity, np.uint32), np.empty(capacity, np.uint32),
                     np.empty(capacity, np.uint32), np.empty(capacity, np.float32))  # fmt: skip
            arcs, bad = _quantise_heads(
                alpha, bits, np.array([first, last]), items.start, items.length, items.protein,
                items.pair_offset, items.residue_offset, self._table, self._floor_bits, self._top_bits,
                target.codes, target.sums, target.counts, target.received, target.emitted, target.special, *found,
            )  # fmt: skip
            return tuple(column[:arcs].copy() for column in found), bad

        parts = list(self._pool.map(part, bounds[:-1], bounds[1:]))
        for _, bad in parts:
            if bad >= 0:
                raise BadWeightError("attention holds a weight that is NaN, negative or above one", bad)
        return Arcs(*(np.concatenate(columns) for columns in zip(*(found for found, _ in parts), strict=True)))
