"""What a segment keeps of given attention, by the definitions of ``docs/format.md`` and not by kernels of an ingest."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..format.codebook import DEFAULT
from ..format.documents import ModelDocument
from ..format.segment_values import LocalProteins
from ..format.segment_writer import ARC_FLOOR, CHUNK_PAIRS, KEPT, SegmentContents
from .synthetic_protein import SyntheticProtein

Array = npt.NDArray[Any]


def synthetic_document(
    name: str, shape: tuple[int, int], *, keep: tuple[str, ...] = KEPT, causal: bool = False
) -> ModelDocument:
    """Describe a model of so many layers and heads that was never run."""
    return ModelDocument(
        name=name, source="synthetic", weights_sha256="0" * 64, architecture="Synthetic", layers=shape[0],
        heads=shape[1], causal=causal, tokenizer={}, precision="float32", randomize=None, seed=None, max_residues=510,
        long="truncate", keep=keep, batch_pairs=1, segment_entries=1, arc_floor=ARC_FLOOR, chunk_pairs=CHUNK_PAIRS,
        codebook=tuple(DEFAULT.to_json()), check=0.0,
    )  # fmt: skip


def segment_contents(proteins: Sequence[SyntheticProtein], keep: Sequence[str] = KEPT) -> SegmentContents:
    """Compute what a segment keeps of the attention of proteins, by the definitions of ``docs/format.md``."""
    weights = [float32_weights(protein) for protein in proteins]
    layers, heads = weights[0].shape[:2]
    local = LocalProteins(
        tuple(protein.id for protein in proteins),
        tuple(hashlib.sha256(protein.sequence.encode()).hexdigest() for protein in proteins),
        np.array([len(protein.sequence) for protein in proteins]),
        np.array([each.shape[2] for each in weights]),
    )
    kept: dict[str, Any] = {}
    if "codes" in keep:
        kept |= _codes(weights)
    if "arcs" in keep:
        kept["arcs"] = _arcs(weights)
    if "marginals" in keep:
        kept |= _marginals(proteins, weights)
    if "hidden" in keep:
        kept["hidden"] = np.concatenate([np.asarray(each.hidden, np.float16) for each in proteins], axis=1)
    return SegmentContents(local, layers, heads, **kept)


def _codes(weights: Sequence[Array]) -> Mapping[str, Array]:
    """Codes of all pairs, target-major, and mean and number of the weights of each code."""
    by_target = np.concatenate([each.swapaxes(2, 3).reshape(*each.shape[:2], -1) for each in weights], axis=2)
    codes = DEFAULT.codes(by_target)
    layers, heads, _ = codes.shape
    count = np.zeros((layers, heads, DEFAULT.size), np.uint32)
    total = np.zeros(count.shape)
    for layer, head in np.ndindex(layers, heads):
        own = codes[layer, head]
        count[layer, head] = np.bincount(own, minlength=DEFAULT.size)
        total[layer, head] = np.bincount(own, weights=by_target[layer, head], minlength=DEFAULT.size)
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0).astype(np.float32)
    return {"codes": codes, "bin_mean": mean, "bin_count": count}


def _arcs(weights: Sequence[Array]) -> dict[str, Array]:
    columns: dict[str, list[Array]] = {name: [] for name in ("layer", "head", "protein", "source", "target", "weight")}
    for number, own in enumerate(weights):
        layer, head, source, target = np.nonzero(own >= np.float32(ARC_FLOOR))
        columns["layer"].append(layer.astype(np.uint16))
        columns["head"].append(head.astype(np.uint16))
        columns["protein"].append(np.full(layer.size, number, np.uint32))
        columns["source"].append(source.astype(np.uint32))
        columns["target"].append(target.astype(np.uint32))
        columns["weight"].append(own[layer, head, source, target])
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _marginals(proteins: Sequence[SyntheticProtein], weights: Sequence[Array]) -> Mapping[str, Array]:
    """Weight that each residue receives from residues, gives to residues, and gives to special tokens."""
    received = [own.sum(2, dtype=np.float64) for own in weights]
    emitted = [own.sum(3, dtype=np.float64) for own in weights]
    special = [
        np.clip(1 - given, 0, None) if protein.special is None else np.asarray(protein.special)
        for protein, given in zip(proteins, emitted, strict=True)
    ]
    parts = {"received": received, "emitted": emitted, "special": special}
    return {name: np.concatenate(each, axis=2).astype(np.float32) for name, each in parts.items()}


def float32_weights(protein: SyntheticProtein) -> Array:
    """Weights of a protein as a store keeps them, float32 [layer, head, source, target]."""
    return np.asarray(protein.attention, np.float32)
