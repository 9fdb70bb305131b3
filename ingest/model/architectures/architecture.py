"""The properties in which architectures differ, with the most common values as defaults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..capture import IMPLEMENTATION


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
