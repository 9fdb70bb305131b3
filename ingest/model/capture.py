"""Capture of attention inside the forward pass: layer by layer, with a float32 softmax, never all layers at once.

attnstore registers an attention function with transformers, together with a mask function: without the mask, padding
would receive attention. On a CPU the function works in blocks, a few heads of one protein at a time, small enough to
stay in the core's cache from the scores to the values; padding is not computed. Measured with ESM-2 8M on chains of
100-510 residues it takes 0.4-0.5 of the time of transformers' eager attention, as long as its fused one, which shows no
weights. On a GPU it computes the batch whole.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from ...errors import ModelError

IMPLEMENTATION = "attnstore"

#: Weights of a block: 1 MiB of float32, which a core's second-level cache holds. Measured best of 2¹⁷ to 2¹⁹.
_BLOCK = 1 << 18

#: Arguments that a model may pass without a change of its attention weights that is unknown here.
_HARMLESS = frozenset(
    {"output_attentions", "output_hidden_states", "position_ids", "position_embeddings", "use_cache", "return_dict",
     "cache_position", "past_key_values", "is_causal", "num_items_in_batch"}
)  # fmt: skip


class Spans(NamedTuple):
    """Begin and end of each protein's tokens in a batch, without padding."""

    begin: Sequence[int]
    end: Sequence[int]


class Receiver(Protocol):
    """Receives attention weights while the model runs. Both methods read them before they return, and keep none."""

    def block(self, layer: int, item: int, head: int, weights: torch.Tensor) -> None:
        """Receive weights of some heads of one protein, on a CPU.

        Called from several threads at once; each head of a layer is passed by one thread, protein after protein.

        Parameters
        ----------
        layer : from 0
        item : index of the protein in the batch
        head : first of the heads
        weights : float32 [heads, tokens, tokens] of the protein's own tokens, special ones included
        """

    def batch(self, layer: int, weights: torch.Tensor) -> None:
        """Receive weights of a whole batch, on other devices: float32 [batch, heads, tokens, tokens], with padding."""


class _Calls:
    """Layers are numbered in the order of calls: ESM's modules do not know their index, ALBERT's share one module."""

    def __init__(self, receiver: Receiver, spans: Spans) -> None:
        self.receiver = receiver
        self.spans = spans
        self.layers = 0
        self._plain: dict[tuple[int, int], bool] = {}
        self._masks: list[torch.Tensor] = []  # kept alive, so that no other tensor gets the same identity

    def bias_of(self, bias: torch.Tensor, item: int) -> torch.Tensor | None:
        """A bias between the tokens of one protein, [1 or heads, tokens, tokens]; None if it is 0 everywhere."""
        span = slice(self.spans.begin[item], self.spans.end[item])
        own = bias[item if bias.shape[0] > 1 else 0, :, span, span]
        if own.shape[0] > 1:
            return own
        # A mask is the same tensor for every layer; it masks no token of a protein unless the model is causal.
        key = (id(bias), item)
        if key not in self._plain:
            self._plain[key] = not bool(own.any())
            self._masks.append(bias)
        return None if self._plain[key] else own


#: The pass that a thread captures; each thread may have one.
_current = threading.local()


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, biases: Sequence[torch.Tensor], scaling: float
) -> torch.Tensor:
    """Compute the attention of one layer and pass its weights to the active receiver.

    Parameters
    ----------
    query, key, value : [batch, heads, tokens, size]
    biases : added to the scaled scores; each broadcasts to [batch, heads, tokens, tokens]
    scaling : factor of the products of query and key

    Returns
    -------
    torch.Tensor
        [batch, tokens, heads, size]. Values of padding tokens are undefined.
    """
    calls: _Calls | None = getattr(_current, "calls", None)
    if calls is None or query.device.type != "cpu":
        mixed = _whole(query, key, value, biases, scaling, calls)
    else:
        mixed = _blocked(query, key, value, biases, scaling, calls)
    if calls is not None:
        calls.layers += 1
    return mixed


def _whole(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    biases: Sequence[torch.Tensor],
    scaling: float,
    calls: _Calls | None,
) -> torch.Tensor:
    # Scores are always float32: rounding a score to bfloat16 changes its weight by 3-4 %.
    weights = torch.matmul(query.float() * scaling, key.float().transpose(2, 3))
    for bias in biases:
        weights += bias
    torch.softmax(weights, -1, out=weights)
    if calls is not None:
        calls.receiver.batch(calls.layers, weights)
    return torch.matmul(weights.to(value.dtype), value).transpose(1, 2).contiguous()


def _blocked(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    biases: Sequence[torch.Tensor],
    scaling: float,
    calls: _Calls,
) -> torch.Tensor:
    items, heads, tokens, size = query.shape
    mixed = torch.zeros(items, tokens, heads, size, dtype=value.dtype)
    threads = torch.get_num_threads()
    longest = max(end - begin for begin, end in zip(*calls.spans, strict=True))
    # At most as many heads as give every thread work; one thread computes a head's proteins, one after another.
    step = max(1, min(_BLOCK // longest**2, -(-heads // threads)))
    own = [[calls.bias_of(bias, item) for bias in biases] for item in range(items)]

    def some_heads(first: int) -> None:
        chosen = slice(first, min(first + step, heads))
        for item, (begin, end) in enumerate(zip(*calls.spans, strict=True)):
            q, k, v = (tensor[item, chosen, begin:end] for tensor in (query, key, value))
            weights = _scores(q, k, scaling)
            for bias in own[item]:
                if bias is not None:
                    weights += bias if bias.shape[0] == 1 else bias[chosen]
            torch.softmax(weights, -1, out=weights)
            calls.receiver.block(calls.layers, item, first, weights)
            mixed[item, begin:end, chosen] = torch.bmm(weights.to(v.dtype), v).transpose(0, 1)

    _in_threads(some_heads, range(0, heads, step), threads)
    return mixed


_buffers = threading.local()


def _scores(query: torch.Tensor, key: torch.Tensor, scaling: float) -> torch.Tensor:
    """Scaled products [heads, tokens, tokens], float32, in this thread's buffer: new memory would double the time."""
    heads, tokens, _ = query.shape
    needed = heads * tokens * tokens
    buffer = getattr(_buffers, "scores", None)
    if buffer is None or buffer.numel() < needed:
        buffer = _buffers.scores = torch.empty(needed)
    scores: torch.Tensor = buffer[:needed].view(heads, tokens, tokens)
    torch.baddbmm(scores, query.float(), key.float().transpose(1, 2), beta=0, alpha=scaling, out=scores)
    return scores


def _in_threads(function: Callable[[int], None], starts: range, threads: int) -> None:
    if threads == 1:
        for start in starts:
            function(start)
        return
    remaining = iter(starts)

    def work(_: int) -> None:
        with torch.inference_mode():
            for start in remaining:  # only one thread at a time advances an iterator over a range
                function(start)

    for _ in _pool(threads).map(work, range(threads)):
        pass


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that compute one block each, without torch's own threads below them."""
    return ThreadPoolExecutor(threads, "attention", initializer=torch.set_num_threads, initargs=(1,))


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: torch.Tensor | None = None,
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
    biases = [bias for bias in (attention_mask, position_bias) if bias is not None]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query, key, value, biases, scaling), None


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)


# A forked child inherits the pool without its threads.
os.register_at_fork(after_in_child=_pool.cache_clear)


@contextlib.contextmanager
def capture(receiver: Receiver, spans: Spans) -> Iterator[_Calls]:
    """Pass the attention of every layer to a receiver.

    Forward passes of one thread are not nested.
    """
    if getattr(_current, "calls", None) is not None:
        raise RuntimeError("a forward pass is being captured already: they are not nested")
    calls = _Calls(receiver, spans)
    _current.calls = calls
    try:
        yield calls
    finally:
        _current.calls = None


class Collected:
    """A receiver that keeps everything.

    Parameters
    ----------
    layers, heads : of the model
    spans : begin and end of each protein in the batch

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
        """Store some heads of one protein."""
        self.weights[item][layer, head : head + weights.shape[0]] = weights

    def batch(self, layer: int, weights: torch.Tensor) -> None:
        """Store a layer of the whole batch."""
        for item, (begin, end) in enumerate(zip(*self.spans, strict=True)):
            self.weights[item][layer] = weights[item, :, begin:end, begin:end]
