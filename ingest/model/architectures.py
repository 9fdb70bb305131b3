"""Properties of architectures: the class that loads a model, its positions, its padding, and how it is captured.

Special tokens, spacing of letters and causality are not listed here: they are measured when a model is loaded, see
:mod:`~attnstore.ingest.model.tokens` and :mod:`~attnstore.ingest.model.language_model`. Every model is also checked
against its own output, so a wrong entry here is detected.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from .capture import IMPLEMENTATION, attend


def from_zero(config: Any) -> int | None:
    """As many tokens as there are positions; None if the config names no number."""
    positions = getattr(config, "max_position_embeddings", None)
    return int(positions) if positions else None


def after_padding(config: Any) -> int:
    """Positions are counted from the one after the padding token's id, as fairseq's models do."""
    return int(config.max_position_embeddings) - int(config.pad_token_id) - 1


def dispatch(module: Any) -> None:
    """Make a model call attnstore's attention function instead of its own."""
    module.set_attn_implementation(IMPLEMENTATION)


@dataclass(frozen=True)
class Architecture:
    """The properties of an architecture.

    Attributes
    ----------
    loader : name of the class of transformers that loads it
    positions : from its config, the maximum number of tokens, special ones included; None if positions are relative
    pad_left : whether its batches are padded on the left
    reach : makes a loaded module pass its attention to :func:`~attnstore.ingest.model.capture.attend`
    """

    loader: str = "AutoModel"
    positions: Callable[[Any], int | None] | None = from_zero
    pad_left: bool = False
    reach: Callable[[Any], None] = dispatch


# --- XLNet (ProtXLNet): two special tokens at the end, padding on the left, and attention outside the interface.
#
# Its layers compute their attention inside `rel_attn_core`, from content, relative position and segment (Yang et al.,
# *XLNet*, NeurIPS 2019, arXiv 1906.08237; section 3.3 of Dai et al., *Transformer-XL*, ACL 2019, arXiv 1901.02860, for
# the terms). attnstore replaces the core of each layer by one that passes the same terms to `attend`: content as query
# and key, the others as their sum.


def _core(
    attention: Any,
    q_head: torch.Tensor,
    k_head_h: torch.Tensor,
    v_head_h: torch.Tensor,
    k_head_r: torch.Tensor,
    seg_mat: torch.Tensor | None = None,
    attn_mask: torch.Tensor | None = None,
    output_attentions: bool = False,
) -> torch.Tensor:
    """Replacement of `rel_attn_core`.

    Parameters
    ----------
    attention : the layer's XLNetRelativeAttention
    q_head, k_head_h, v_head_h : [tokens, batch, heads, size]
    k_head_r : of relative positions, [2 × tokens, batch, heads, size]
    seg_mat : [tokens, tokens, batch, 2], whether two tokens are in the same segment, or not
    attn_mask : [tokens, tokens, batch, 1], 1 where a token is not attended to
    output_attentions : refused, because the weights go to the receiver

    Returns
    -------
    torch.Tensor
        [tokens, batch, heads, size]
    """
    if output_attentions:
        raise ValueError("output_attentions is not available while attnstore captures this model's attention")
    position = torch.einsum("ibnd,jbnd->bnij", q_head + attention.r_r_bias, k_head_r)
    bias = attention.rel_shift_bnij(position, klen=k_head_h.shape[0])
    if seg_mat is not None:
        segment = torch.einsum("ibnd,snd->ibns", q_head + attention.r_s_bias, attention.seg_embed)
        bias += torch.einsum("ijbs,ibns->bnij", seg_mat, segment)
    bias *= attention.scale
    if attn_mask is not None:
        bias += attn_mask.permute(2, 3, 0, 1) * torch.finfo(attn_mask.dtype).min
    query, key, value = (tensor.permute(1, 2, 0, 3) for tensor in (q_head + attention.r_w_bias, k_head_h, v_head_h))
    return attend(query, key, value, [bias], attention.scale).transpose(0, 1)


def _reach(module: Any) -> None:
    for layer in module.layer:
        layer.rel_attn.rel_attn_core = partial(_core, layer.rel_attn)
    module.config.use_mems_eval = False  # the hidden states of every layer, kept for a next segment of a long text


XLNET = Architecture(positions=None, pad_left=True, reach=_reach)

#: By the `model_type` of a model's config. Any other type is tried like the first of these.
ARCHITECTURES = {
    "albert": Architecture(),
    "bert": Architecture(),
    "electra": Architecture(),
    "esm": Architecture(positions=after_padding),
    "esmc": Architecture(),
    "gpt2": Architecture(),
    "roberta": Architecture(positions=after_padding),
    # Without its decoder, which AutoModel would load too.
    "t5": Architecture(loader="T5EncoderModel", positions=None),
    "xlnet": XLNET,
}
