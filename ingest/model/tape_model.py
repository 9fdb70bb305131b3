"""Conversion of TAPE's ProteinBERT, which is not on the hub, to a folder that transformers loads as a BERT.

Rao et al., *Evaluating Protein Transfer Learning with TAPE*, NeurIPS 2019, arXiv 1906.08230. The model is a BERT; only
its file differs: names are those of 2019, the config has other keys, and the tokenizer is code. These details were read
from the package `tape_proteins` 0.5.
"""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer, models, processors

from ...errors import ModelError, first_line
from ...runtime.paths import user_path

#: In the order of TAPE's IUPAC vocabulary: the index is the token.
VOCABULARY = ("<pad>", "<mask>", "<cls>", "<sep>", "<unk>", *"ABCDEFGHIKLMNOPQRSTUVWXYZ")

#: TAPE's `bert-base`, for a file of weights without its config.
BASE = {
    "vocab_size": 30,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 8096,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
}

_WEIGHTS = "pytorch_model.bin"


def convert_tape(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Convert TAPE's BERT to a folder that `ingest` reads as a model.

    Parameters
    ----------
    source : path
        TAPE's folder of ``config.json`` and ``pytorch_model.bin``, or that file of weights alone. Without a config next
        to it, the config is that of TAPE's `bert-base`.
    target : path
        Folder to write, new or empty.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If a file is missing, contains more than weights, or the weights are not those of a BERT with that config.

    Examples
    --------
    >>> from attnstore.ingest import convert_tape
    >>> convert_tape("bert-base-pytorch_model.bin", "tapebert")  # doctest: +SKIP
    """
    weights, target = user_path(source), user_path(target)
    if weights.is_dir():
        weights = weights / _WEIGHTS
    if not weights.exists():
        raise ModelError(f"{weights} does not exist: give TAPE's folder, or its file of weights.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target} exists already: give another folder.")
    parameters = _parameters(weights)
    module = _module(weights, parameters)
    expected = {name: tensor.shape for name, tensor in module.named_parameters()}
    wrong = [name for name, shape in expected.items() if name not in parameters or parameters[name].shape != shape]
    if wrong:
        raise ModelError(
            f"{weights} is not a TAPE BERT of its config: {len(wrong)} parameters are missing or of another shape "
            f"(first: {wrong[0]})."
        )
    module.load_state_dict({name: parameters[name] for name in expected}, strict=False)
    module.save_pretrained(target)
    _tokenizer(module.config.max_position_embeddings).save_pretrained(target)
    return target


def _parameters(weights: Path) -> dict[str, torch.Tensor]:
    """Rename parameters as in a BertModel of transformers; heads and pooler are left for the caller to ignore."""
    try:
        content = torch.load(weights, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(f"{weights} is not a file of weights alone ({first_line(error)}).") from None
    if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        raise ModelError(f"{weights} is not a file of weights alone: give the one that TAPE's models are loaded from.")
    return {
        name.removeprefix("bert.")
        .replace("LayerNorm.gamma", "LayerNorm.weight")
        .replace("LayerNorm.beta", "LayerNorm.bias"): tensor.float()
        for name, tensor in content.items()
    }


def _module(weights: Path, parameters: dict[str, torch.Tensor]) -> Any:
    """A BERT with the config next to the weights, without the weights."""
    # TAPE also publishes them as bert-base-config.json and bert-base-pytorch_model.bin.
    path = weights.with_name(weights.name.replace(_WEIGHTS, "config.json"))
    try:
        described = {**BASE, **json.loads(path.read_text())} if path != weights and path.exists() else BASE
        # Two token types by TAPE's default, one in some of its models: the shape of the weights decides.
        types = parameters.get("embeddings.token_type_embeddings.weight")
        config = transformers.BertConfig(
            **{key: described[key] for key in BASE if key != "type_vocab_size"},
            type_vocab_size=described["type_vocab_size"] if types is None else types.shape[0],
            pad_token_id=VOCABULARY.index("<pad>"),
        )
        return transformers.BertModel(config, add_pooling_layer=False)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise ModelError(f"{path} is not a config of TAPE's ({first_line(error)}).") from None


def _tokenizer(tokens: int) -> Any:
    """One token per letter, between <cls> and <sep>; U, Z, O and B have their own tokens."""
    letters = Tokenizer(
        models.BPE({token: index for index, token in enumerate(VOCABULARY)}, merges=[], unk_token="<unk>")  # noqa: S106
    )
    letters.post_processor = processors.TemplateProcessing(
        single="<cls> $A <sep>",
        special_tokens=[(token, VOCABULARY.index(token)) for token in ("<cls>", "<sep>")],
    )
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "mask", "cls", "sep", "unk")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=letters, model_max_length=tokens, **names)
