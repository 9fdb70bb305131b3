"""The config of a model, without the settings that concern how somebody ran it."""

from collections.abc import Mapping
from typing import Any

import transformers

from ...errors import ModelError, first_line

#: Settings of a config.json that state how a model was run. Attention is the same with any of them. From the
#: documentation of transformers' PreTrainedConfig and of the attention interface, and from configs that earlier
#: versions of transformers wrote.
RUN_SETTINGS = frozenset(
    {"_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal", "attn_implementation",
     "_experts_implementation", "_experts_implementation_internal", "experts_implementation",
     "_flash_attn_2_enabled", "use_flash_attention", "use_flash_attention_2", "use_flash_attn", "use_sdpa",
     "use_memory_efficient_attention", "use_xformers",
     "return_dict", "use_return_dict", "output_attentions", "_output_attentions", "output_hidden_states",
     "output_router_logits", "output_past", "use_cache", "cache_implementation", "use_mems_eval", "use_mems_train",
     "torch_dtype", "dtype", "use_bfloat16", "fp16", "bf16", "torchscript", "gradient_checkpointing",
     "chunk_size_feed_forward", "low_cpu_mem_usage", "device_map", "_commit_hash", "transformers_version"}
)  # fmt: skip


def read_config(source: str) -> tuple[dict[str, Any], Any]:
    """Return the config of a hub id or folder, without the settings of how the model was run.

    Returns
    -------
    dict
        As in config.json.
    transformers.PreTrainedConfig

    Raises
    ------
    ModelError
        If it cannot be read, is of code that transformers does not have, or states that weights are quantised or heads
        pruned.
    """
    try:
        described, _ = transformers.PretrainedConfig.get_config_dict(source)
    except Exception as error:
        if "couldn't connect" in str(error) or "offline mode" in str(error).lower():
            raise ModelError(
                f"model {source} cannot be loaded: it is not a folder here, nor in the cache of the Hugging Face hub, "
                "which cannot be reached. Check the name and the network."
            ) from error
        raise ModelError(f"model {source} cannot be loaded: {first_line(error)}") from error
    if not isinstance(described, dict):
        raise ModelError(f"model {source} cannot be loaded: its config.json is not a JSON object.")
    kind = described.get("model_type")
    if "auto_map" in described and kind not in transformers.CONFIG_MAPPING:
        raise ModelError(f"model {source} runs on code of its own, which attnstore does not download.")
    for problem in (quantised(described), pruned(described)):
        if problem:
            raise ModelError(f"model {source}: {problem}")
    try:
        if kind in transformers.CONFIG_MAPPING:
            return described, transformers.CONFIG_MAPPING[kind].from_dict(_without_run_settings(described))
        return described, transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        convert = f"`attnstore.ingest.convert_tape({source!r}, OUT)`"
        hint = "" if kind else f" If it is TAPE's: {convert} makes it one that can."
        raise ModelError(f"model {source} cannot be loaded: {first_line(error).rstrip(':')}{hint}") from error


def _without_run_settings(described: Mapping[str, Any]) -> dict[str, Any]:
    """Remove them from the config, and from the configs within it."""
    return {
        key: _without_run_settings(value) if isinstance(value, dict) else value
        for key, value in described.items()
        if key not in RUN_SETTINGS
    }


def quantised(config: Mapping[str, Any]) -> str | None:
    """If a config's weights are quantised, a clause that says so, and what to do; else None."""
    settings = config.get("quantization_config")
    if not settings:
        return None
    if not isinstance(settings, dict):
        settings = {}
    bits = settings.get("bits") or settings.get("w_bit") or (8 if settings.get("load_in_8bit") else None)
    bits = bits or (4 if settings.get("load_in_4bit") else None)
    method = settings.get("quant_method") or "bitsandbytes"
    how = f"{method}, {bits} bits" if bits else method
    return (
        f"its weights are quantised ({how}), which changes its attention: give the model that was quantised, in 16 or "
        "32 bits."
    )


def pruned(config: Mapping[str, Any]) -> str | None:
    """If a config's heads were pruned, a clause that says so, and what to do; else None."""
    heads = config.get("pruned_heads")
    if not isinstance(heads, dict) or not any(heads.values()):
        return None
    layer = next(layer for layer, gone in heads.items() if gone)
    number = sum(len(gone) for gone in heads.values() if isinstance(gone, list))
    return (
        f"{number} of its heads were pruned (first in layer {layer}), and every layer needs as many heads as the "
        "others: give the model as it was before pruning."
    )
