"""Attention, caught inside the forward pass: layer by layer, softmax in float32, never a stack of layers.

An attention function of our own is registered with transformers, together with a mask function: without the
mask, padding would receive attention. It computes what the eager implementation computes and hands each layer's
weights to a sink before the values are mixed.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from ..errors import ModelError

IMPLEMENTATION = "attnstore"

#: What a model may pass along without changing its attention weights in a way unknown here.
_HARMLESS = frozenset(
    {"output_attentions", "output_hidden_states", "position_ids", "position_embeddings", "use_cache", "return_dict",
     "cache_position", "past_key_values", "is_causal", "num_items_in_batch"}
)  # fmt: skip

Sink = Callable[[int, torch.Tensor], None]


class _Calls:
    """Layers are counted as they call: ESM's modules do not know their index, ALBERT's share one module."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.layers = 0


_current: list[_Calls] = []


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    for name, given in others.items():
        if given is not None and given is not False and name not in _HARMLESS:
            raise ModelError(
                f"{type(module).__name__} passes {name!r} to its attention, which attnstore cannot follow."
            )
    if key.shape[1] != query.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = torch.matmul(query, key.transpose(2, 3))
    scores *= query.shape[-1] ** -0.5 if scaling is None else scaling
    if attention_mask is not None:
        scores += attention_mask
    # In float32 whatever the products were made in: a bfloat16 softmax is off by 3-4 % an entry.
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    if _current:
        calls = _current[-1]
        calls.sink(calls.layers, weights)
        calls.layers += 1
    mixed = torch.matmul(weights.to(value.dtype), value)
    return mixed.transpose(1, 2).contiguous(), None


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)


@contextlib.contextmanager
def capture(sink: Sink) -> Iterator[_Calls]:
    """Hand every layer's attention, float32 [batch, heads, tokens, tokens], to `sink(layer, weights)`.

    The tensor is the forward pass's own: a sink reads it before it returns and does not change it. Forward passes
    are not nested and run in one thread at a time.
    """
    if _current:
        raise RuntimeError("a forward pass is being captured already: they are not nested, and run in one thread")
    calls = _Calls(sink)
    _current.append(calls)
    try:
        yield calls
    finally:
        _current.pop()
