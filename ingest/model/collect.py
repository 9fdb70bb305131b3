"""Every weight of a batch in memory: for checks and for a handful of proteins."""

import torch

from .capture import Spans


class Collected:
    """A receiver that keeps everything.

    Parameters
    ----------
    layers, heads : of the model
    spans : of the batch

    Attributes
    ----------
    weights : of each protein, float32 [layers, heads, tokens, tokens] on the CPU, special tokens included
    """

    def __init__(self, layers: int, heads: int, spans: Spans) -> None:
        self.spans = spans
        self.weights = [
            torch.full((layers, heads, end - begin, end - begin), torch.nan) for begin, end in zip(*spans, strict=True)
        ]

    def block(self, layer: int, item: int, head: int, weights: torch.Tensor) -> None:
        """Take some heads of one protein."""
        self.weights[item][layer, head : head + weights.shape[0]] = weights

    def batch(self, layer: int, weights: torch.Tensor) -> None:
        """Take a layer of the whole batch."""
        for item, (begin, end) in enumerate(zip(*self.spans, strict=True)):
            self.weights[item][layer] = weights[item, :, begin:end, begin:end]
