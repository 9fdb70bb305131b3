"""One planned segment, through the model, to everything it holds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..codebook import Codebook
from ..errors import ModelError
from ..segment import LocalProteins
from ..segment_writer import SegmentContents
from .language_model import LanguageModel
from .plan import PlannedSegment
from .quantise import Arcs, BadWeightError, Items, LayerTarget, Quantiser


@dataclass(frozen=True)
class Protein:
    """A protein that a model takes.

    Attributes
    ----------
    sequence : whole
    sequence_sha256 : its digest
    stored : residues that the model sees, from the first
    """

    sequence: str
    sequence_sha256: str
    stored: int


def compute_segment(
    planned: PlannedSegment,
    proteins: dict[str, Protein],
    language_model: LanguageModel,
    codebook: Codebook,
    quantiser: Quantiser,
    advance: Callable[[int], object],
) -> SegmentContents:
    """Run a segment's batches and gather what it keeps.

    Parameters
    ----------
    planned : the segment
    proteins : by id
    language_model, codebook, quantiser : what to run
    advance : told the residues of each batch when it is done

    Raises
    ------
    ModelError
        If attention comes out that is NaN, negative or above one; the message names the protein and the layer.
    """
    names = [name for batch in planned.batches for name in batch]
    local = LocalProteins(
        id=tuple(names),
        sequence_sha256=tuple(proteins[name].sequence_sha256 for name in names),
        length=np.array([len(proteins[name].sequence) for name in names], np.int64),
        stored=np.array([proteins[name].stored for name in names], np.int64),
    )
    layers, heads, size = language_model.layers, language_model.heads, codebook.size
    pairs, residues = int(local.pair_offset[-1]), int(local.residue_offset[-1])
    codes = np.empty((layers, heads, pairs), np.uint8)
    sums = np.zeros((layers, heads, size))
    counts = np.zeros((layers, heads, size), np.int64)
    received, emitted, special = (np.empty((layers, heads, residues), np.float32) for _ in range(3))
    targets = [
        LayerTarget(codes[layer], sums[layer], counts[layer], received[layer], emitted[layer], special[layer])
        for layer in range(layers)
    ]
    found: list[tuple[int, Arcs]] = []
    first = 0
    for batch in planned.batches:
        place = slice(first, first + len(batch))
        tokens = [language_model.tokens.encode(proteins[name].sequence[: proteins[name].stored]) for name in batch]
        items = Items(
            start=np.full(len(batch), len(language_model.tokens.prefix), np.int64),
            length=local.stored[place],
            protein=np.arange(place.start, place.stop, dtype=np.int64),
            pair_offset=local.pair_offset[place],
            residue_offset=local.residue_offset[place],
        )

        def sink(layer: int, weights: torch.Tensor, items: Items = items, batch: tuple[str, ...] = batch) -> None:
            try:
                found.append((layer, quantiser.layer(weights.cpu().contiguous().numpy(), items, targets[layer])))
            except BadWeightError as error:
                raise ModelError(f"{batch[error.item]}, layer {layer}: {error}.") from None

        language_model.forward(tokens, sink)
        first += len(batch)
        advance(int(items.length.sum()))
    return SegmentContents(
        proteins=local,
        codes=codes,
        bin_mean=np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0).astype(np.float32),
        bin_count=counts.astype(np.uint32),
        received=received,
        emitted=emitted,
        special=special,
        arcs=_joined(found),
    )


def _joined(found: list[tuple[int, Arcs]]) -> dict[str, np.ndarray]:
    return {
        "layer": np.concatenate([np.full(arcs.weight.size, layer, np.uint16) for layer, arcs in found]),
        **{
            name: np.concatenate([getattr(arcs, name) for _, arcs in found])
            for name in ("head", "protein", "source", "target", "weight")
        },
    }
