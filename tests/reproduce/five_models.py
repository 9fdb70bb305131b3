"""The paper's five models in their true number of layers and heads, narrow and with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from attnstore.ingest import convert_tape
from tests.models import LETTERS, save, save_bert, save_pieces, save_xlnet, sharpen

#: Their folders' names: of three that of the hub, of ProtAlbert the paper's, of TAPE's one that says nothing.
FOLDERS = {
    "TapeBert": "converted",
    "ProtAlbert": "ProtAlbert",
    "ProtBert": "prot_bert",
    "ProtBert-BFD": "prot_bert_bfd",
    "ProtXLNet": "prot_xlnet",
}


def save_model(folder: Path, name: str) -> Path:
    """Save one of the five below a folder."""
    target = folder / FOLDERS[name]
    if name == "TapeBert":
        return convert_tape(_save_tape(folder / "tape"), target)
    if name == "ProtAlbert":
        return _save_albert(target)
    if name == "ProtXLNet":
        return save_xlnet(target, n_layer=30, n_head=16)
    seed = 2 if name == "ProtBert" else 12
    return save_bert(target, seed=seed, num_hidden_layers=30, num_attention_heads=16)


def _save_tape(folder: Path) -> Path:
    """A BERT of 12 × 12 heads in TAPE's own form: its names of parameters, its config."""
    import torch
    from transformers import BertConfig, BertModel

    shape = {"hidden_size": 24, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 32,
             "max_position_embeddings": 128, "type_vocab_size": 1, "vocab_size": 30}  # fmt: skip
    torch.manual_seed(21)
    module = BertModel(BertConfig(**shape))
    sharpen(module)
    folder.mkdir(parents=True)
    weights = {f"bert.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save(weights, folder / "pytorch_model.bin")
    more = {"base_model": "transformer", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "num_labels": -1}
    (folder / "config.json").write_text(json.dumps({**shape, **more}))
    return folder


def _save_albert(folder: Path) -> Path:
    from transformers import AlbertConfig, AlbertModel

    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    config = AlbertConfig(
        vocab_size=len(special) + len(LETTERS), embedding_size=16, hidden_size=128, num_hidden_layers=12,
        num_hidden_groups=1, num_attention_heads=64, intermediate_size=64, max_position_embeddings=128,
    )  # fmt: skip
    save(folder, AlbertModel, config, seed=3, add_pooling_layer=False)
    save_pieces(folder, special)
    return folder


def own_attention(folder: Path, sequences: list[str]) -> list[np.ndarray[Any, Any]]:
    """Attention among the residues of each sequence, float32 [layers, heads, i, j], by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    module = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    plain = folder.name == FOLDERS["TapeBert"]
    # As the paper's code has it: ALBERT's tokenizer would make all letters small, and know none.
    tokenizer = AutoTokenizer.from_pretrained(folder, **({} if plain else {"do_lower_case": False}))
    after = type(module).__name__ == "XLNetModel"
    found = []
    for sequence in sequences:
        text = sequence if plain else " ".join(sequence)
        with torch.inference_mode():
            layers = module(**tokenizer(text, return_tensors="pt"), output_attentions=True).attentions
        residues = slice(0, -2) if after else slice(1, -1)
        alpha = torch.stack([layer[0, :, residues, residues] for layer in layers]).numpy()
        assert alpha.shape[2:] == (len(sequence), len(sequence))
        found.append(alpha)
    return found
