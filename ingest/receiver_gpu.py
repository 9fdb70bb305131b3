"""The hot loop of ingest on a GPU: the same as :mod:`~attnstore.ingest.receiver_cpu`, in torch's operations.

Only the kept tiers leave the device: one byte per weight, 18 bytes per arc, three float32 per residue and head.

Layers come as whole batches; some heads at a time are processed, so that intermediate results stay small. On a GPU such
operations cost the memory that they read and write. Codes come from a search among the edges, which reads a weight
once, where a table would need its index written and read. Counts and sums of bins are added as integers, both in one
64-bit word: the order of the device's threads cannot change them, and a weight is added once rather than twice.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..format.codebook import TOP, Codebook
from ..format.segment_values import MARGINALS, LocalProteins
from ..format.segment_writer import SegmentContents
from .receiver_cpu import BadWeightError, Items, bins

Array = npt.NDArray[Any]

#: Weights processed at once; each has some 25 bytes of intermediate results.
_SLICE = 1 << 25

#: Largest sum of a row of a softmax.
_ROW = 1.01

#: Fraction bits of a sum in integers: weights from 2⁻¹⁷ on are exact.
_FRACTION = 40

#: Columns of arcs, on the device and on the host.
_ARC_COLUMNS = {"head": (torch.int16, np.uint16), "protein": (torch.int32, np.uint32),
                "source": (torch.int32, np.uint32), "target": (torch.int32, np.uint32),
                "weight": (torch.float32, np.float32)}  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """Neighbours in a batch with the same start and length, whose pairs are consecutive in the segment."""

    item: int
    items: int
    start: int
    length: int
    pair_offset: int


@dataclass(frozen=True, eq=False)
class _Place:
    """Positions of a batch's residues among its tokens; tensors on the device.

    Attributes
    ----------
    first, items : range of proteins in the batch
    tokens : tokens of each, padding included
    pairs : bool [items, tokens, tokens], whether both are residues
    rows : bool [items, tokens], whether it is a residue
    residues : int64, index of each residue among items × tokens
    stored : int64, its index in the segment
    start, protein : int64, int32 [items]
    inner : tokens from the first to the second are residues of every protein
    others : bool [items, tokens without the inner ones], whether it is not a residue
    apart : number of entries of a head that are not pairs of residues
    runs : tuple of _Run
    """

    first: int
    items: int
    tokens: int
    pairs: torch.Tensor
    rows: torch.Tensor
    residues: torch.Tensor
    stored: torch.Tensor
    start: torch.Tensor
    protein: torch.Tensor
    inner: tuple[int, int]
    others: torch.Tensor
    apart: int
    runs: tuple[_Run, ...]


def _placed(items: Items, first: int, tokens: int, device: torch.device) -> _Place:
    token = np.arange(tokens)
    end = items.start + items.length
    rows = (token >= items.start[:, None]) & (token < end[:, None])
    item, position = np.nonzero(rows)
    left = int(items.start.max())
    right = max(left, int(end.min()))
    on_device = {
        "rows": rows,
        "residues": item * tokens + position,
        "stored": items.residue_offset[item] + position - items.start[item],
        "start": items.start,
        "protein": items.protein.astype(np.int32),
        "others": ~np.delete(rows, slice(left, right), axis=1),
    }
    tensors = {name: torch.from_numpy(array).to(device) for name, array in on_device.items()}
    return _Place(
        first=first,
        items=items.start.size,
        tokens=tokens,
        pairs=tensors["rows"][:, :, None] & tensors["rows"][:, None, :],
        inner=(left, right),
        apart=rows.size * tokens - int((items.length**2).sum()),
        runs=_runs(items),
        **tensors,
    )


def _runs(items: Items) -> tuple[_Run, ...]:
    runs: list[_Run] = []
    for item, (start, length, offset) in enumerate(
        zip(items.start.tolist(), items.length.tolist(), items.pair_offset.tolist(), strict=True)
    ):
        last = runs[-1] if runs else None
        if last and (last.start, last.length, last.pair_offset + last.items * length**2) == (start, length, offset):
            runs[-1] = replace(last, items=last.items + 1)
        else:
            runs.append(_Run(item, 1, start, length, offset))
    return tuple(runs)


def _special(weights: torch.Tensor, place: _Place) -> torch.Tensor:
    """Attention of each token to tokens other than residues, float32 [heads, items, tokens]."""
    left, right = place.inner
    outer = torch.cat((weights[..., :left], weights[..., right:]), -1)
    return torch.where(place.others[:, None, :], outer, outer.new_zeros(())).sum(-1)


def _bad(weights: torch.Tensor, totals: torch.Tensor, place: _Place) -> torch.Tensor:
    """Whether a residue's row is invalid, bool [heads, items]; with NaN, every comparison is false."""
    low, high = torch.aminmax(weights, dim=-1)
    good = (low >= 0) & (high <= float(TOP)) & (totals <= _ROW)
    return (~good & place.rows).any(-1)


def _bins(weights: torch.Tensor, codes: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Number and sum of the weights of each code, int64 and float64 [heads, codes].

    Each column of each protein has its own bins, so that a warp of threads adds to different words. A word is the sum
    times 2^(fraction + bits), plus the count, in the lowest `bits` bits.

    Parameters
    ----------
    weights : float32 [heads, items, tokens, tokens]
    codes : int64, of the same shape
    size : number of codes
    """
    tokens = weights.shape[-1]
    bits = tokens.bit_length()
    fraction = min(_FRACTION, 62 - 2 * bits)
    fixed = (weights * 2.0**fraction).to(torch.int64)
    words = torch.add(fixed.new_ones(()), fixed, alpha=1 << bits, out=fixed)
    bins = words.new_zeros(*weights.shape[:2], size, tokens).scatter_add_(2, codes, words)
    counts = (bins & ((1 << bits) - 1)).sum((1, 3))
    return counts, (bins >> bits).sum((1, 3)).to(torch.float64) * 2.0**-fraction


def _arcs(weights: torch.Tensor, floor: float, head: int, place: _Place) -> dict[str, torch.Tensor]:
    """Weights at or above the floor, by head, protein, source and target; `head` is the first of the heads."""
    flat = weights.flatten()
    found = (flat >= floor).nonzero().squeeze(1)
    row = found // place.tokens
    token = row % (place.items * place.tokens)
    item = token // place.tokens
    start = place.start[item]
    return {
        "head": (row // (place.items * place.tokens) + head).to(torch.int16),
        "protein": place.protein[item],
        "source": (token % place.tokens - start).to(torch.int32),
        "target": (found % place.tokens - start).to(torch.int32),
        "weight": flat[found],
    }


def _store_codes(codes: torch.Tensor, runs: tuple[_Run, ...], stored: torch.Tensor) -> None:
    """Copy codes [heads, items, tokens, tokens] of residues to [heads, pairs] of the segment, target-major."""
    small = codes.to(torch.uint8)
    for run in runs:
        n, inside = run.length, slice(run.start, run.start + run.length)
        own = small[:, run.item : run.item + run.items, inside, inside]
        pairs = stored[:, run.pair_offset : run.pair_offset + run.items * n * n]
        pairs.unflatten(1, (run.items, n, n)).copy_(own.transpose(-1, -2))


class DeviceReceiver:
    """Collects a segment's attention in arrays on the model's device, and copies them to the host at the end.

    Used like :class:`~attnstore.ingest.receiver_cpu.HostReceiver`. Sums of residues are float32 here, added in a tree.

    Parameters
    ----------
    proteins : of the segment
    layers, heads : of the model
    codebook : edges of the codes
    arc_floor : entries with at least this weight are kept as arcs
    keep : some of 'codes', 'arcs' and 'marginals'
    device : device of the model
    """

    @torch.inference_mode()
    def __init__(
        self,
        proteins: LocalProteins,
        layers: int,
        heads: int,
        codebook: Codebook,
        arc_floor: float,
        keep: Collection[str],
        device: torch.device,
    ) -> None:
        self._proteins = proteins
        self._layers, self._heads = layers, heads
        self._device = device
        self._floor = float(np.float32(arc_floor))
        self._edges = torch.from_numpy(codebook.edges).to(device)
        self._keep = frozenset(keep)
        pairs, residues = int(proteins.pair_offset[-1]), int(proteins.residue_offset[-1])
        self._codes = self._empty("codes", pairs, torch.uint8)
        self._marginals = {name: self._empty("marginals", residues, torch.float32) for name in MARGINALS}
        self._sums = torch.zeros(layers, heads, codebook.size, dtype=torch.float64, device=device)
        self._counts = torch.zeros_like(self._sums, dtype=torch.int64)
        self._arcs: list[tuple[int, dict[str, torch.Tensor]]] = []

    def _empty(self, tier: str, size: int, dtype: torch.dtype) -> torch.Tensor:
        shape = (self._layers, self._heads, size if tier in self._keep else 0)
        return torch.empty(shape, dtype=dtype, device=self._device)

    @torch.inference_mode()
    def begin(self, items: Items) -> None:
        """Set the proteins of the next forward pass."""
        self._items = items
        self._place: _Place | None = None
        self._batch_sums, self._batch_counts = torch.zeros_like(self._sums), torch.zeros_like(self._counts)
        self._batch_arcs: list[tuple[int, dict[str, torch.Tensor]]] = []
        shape = (self._layers, self._heads, items.start.size)
        self._bad = torch.zeros(shape, dtype=torch.bool, device=self._device)

    @torch.inference_mode()
    def batch(self, layer: int, weights: torch.Tensor) -> None:
        """See :class:`~attnstore.ingest.model.capture.Receiver`."""
        if self._place is None:
            self._place = _placed(self._items, 0, weights.shape[-1], self._device)
        self._take(layer, 0, weights, self._place)

    @torch.inference_mode()
    def block(self, layer: int, item: int, head: int, weights: torch.Tensor) -> None:
        """See :class:`~attnstore.ingest.model.capture.Receiver`; for a model on a CPU."""
        items, own = self._items, slice(item, item + 1)
        alone = Items(
            start=np.array([items.prefix]),
            prefix=items.prefix,
            length=items.length[own],
            protein=items.protein[own],
            pair_offset=items.pair_offset[own],
            residue_offset=items.residue_offset[own],
        )
        self._take(layer, head, weights[None], _placed(alone, item, weights.shape[-1], self._device))

    def _take(self, layer: int, first: int, weights: torch.Tensor, place: _Place) -> None:
        """Heads from `first` on of some proteins, float32 [items, heads, tokens, tokens]."""
        step = max(1, _SLICE // (place.items * place.tokens**2))
        for begin in range(0, weights.shape[1], step):
            some = weights[:, begin : begin + step].transpose(0, 1)
            self._take_heads(layer, slice(first + begin, first + begin + some.shape[0]), some, place)

    def _take_heads(self, layer: int, heads: slice, weights: torch.Tensor, place: _Place) -> None:
        """The same, [heads, items, tokens, tokens] of any strides."""
        # A selection, since rows of padding may be NaN; in memory in this order, or later operations would copy it.
        inside = torch.where(place.pairs, weights, weights.new_zeros(()), out=weights.new_empty(weights.shape))
        emitted, special = inside.sum(-1), _special(weights, place)
        self._bad[layer, heads, place.first : place.first + place.items] = _bad(weights, emitted + special, place)
        if "marginals" in self._keep:
            for name, values in (("received", inside.sum(-2)), ("emitted", emitted), ("special", special)):
                own = values.flatten(1).index_select(1, place.residues)
                self._marginals[name][layer, heads].index_copy_(1, place.stored, own)
        if "arcs" in self._keep:
            self._batch_arcs.append((layer, _arcs(inside, self._floor, heads.start, place)))
        if "codes" in self._keep:
            codes = torch.bucketize(inside, self._edges, right=True)
            _store_codes(codes, place.runs, self._codes[layer, heads])
            counts, sums = _bins(inside, codes, self._edges.numel() + 1)
            counts[:, 0] -= place.apart  # cut to 0 each
            self._batch_counts[layer, heads] += counts
            self._batch_sums[layer, heads] += sums

    @torch.inference_mode()
    def end(self) -> None:
        """Count the batch.

        Raises
        ------
        BadWeightError
            If a residue's row has a weight that is NaN, negative or above 1 + 2⁻¹⁶, or sums to more than 1.01.
            Nothing of the batch counts then.
        """
        bad = self._bad.any(1).cpu().numpy()  # the host waits for a batch only here, and for the number of its arcs
        if bad.any():
            raise BadWeightError(int(np.flatnonzero(bad.any(1))[0]), np.flatnonzero(bad.any(0)).tolist())
        self._sums += self._batch_sums
        self._counts += self._batch_counts
        self._arcs += self._batch_arcs

    @torch.inference_mode()
    def finish(self) -> "Pending":
        """Start the copy of all contents to the host; those of proteins that never came are undefined.

        No batch may follow.
        """
        tensors: dict[str, torch.Tensor] = {}
        arcs = np.zeros(self._layers, np.int64)
        if "codes" in self._keep:
            tensors |= {"codes": self._codes, "sums": self._sums, "counts": self._counts}
        if "marginals" in self._keep:
            tensors |= self._marginals
        if "arcs" in self._keep:
            by_layer = sorted(self._arcs, key=lambda found: found[0])
            for name, (dtype, _) in _ARC_COLUMNS.items():
                none = torch.empty(0, dtype=dtype, device=self._device)
                tensors[name] = torch.cat([none, *(columns[name] for _, columns in by_layer)])
            for layer, columns in by_layer:
                arcs[layer] += columns["weight"].numel()
        host, copied = _to_host(tensors, self._device)
        return Pending(self._proteins, self._layers, self._heads, self._keep, arcs, host, copied)


@dataclass(frozen=True, eq=False)
class Pending:
    """The contents of a segment on their way to the host.

    Attributes
    ----------
    proteins, layers, heads, keep : those of the receiver
    arcs : int64 [layers], number of arcs
    tensors : on the host; complete once `copied` has happened
    copied : None if nothing had to be copied
    """

    proteins: LocalProteins
    layers: int
    heads: int
    keep: frozenset[str]
    arcs: Array
    tensors: dict[str, torch.Tensor]
    copied: torch.cuda.Event | None

    def contents(self) -> SegmentContents:
        """Wait for the copies; the arrays are views of their memory, which lives as long as they do."""
        if self.copied is not None:
            self.copied.synchronize()
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in self.tensors.items()}
        kept: dict[str, Any] = {}
        if "codes" in self.keep:
            kept |= {"codes": arrays["codes"], **bins(arrays["sums"], arrays["counts"])}
        if "marginals" in self.keep:
            kept |= {name: arrays[name] for name in MARGINALS}
        if "arcs" in self.keep:
            layer = np.repeat(np.arange(self.layers, dtype=np.uint16), self.arcs)
            columns = {name: arrays[name].view(dtype) for name, (_, dtype) in _ARC_COLUMNS.items()}
            kept["arcs"] = {"layer": layer, **columns}
        return SegmentContents(self.proteins, self.layers, self.heads, **kept)


def _to_host(
    tensors: dict[str, torch.Tensor], device: torch.device
) -> tuple[dict[str, torch.Tensor], torch.cuda.Event | None]:
    """Start copies into pinned memory, concurrently with the next computation of the device.

    Torch keeps pinned memory that is no longer used and reuses it, rounded up to a power of two; memory that a copy on
    the device still reads is not reused before the copy is done.
    """
    if device.type != "cuda":
        return tensors, None
    stream = _copy_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    host: dict[str, torch.Tensor] = {}
    with torch.cuda.stream(stream):
        for name, tensor in tensors.items():
            host[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            host[name].copy_(tensor, non_blocking=True)
            tensor.record_stream(stream)
        # Blocking, so that the waiting thread leaves its core to compression.
        return host, stream.record_event(torch.cuda.Event(blocking=True))


@lru_cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
