"""Tiny random models, and proteins for them, small enough to be made anew by every test run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, HEADS, HIDDEN = 3, 4, 32

ESM_VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
BERT_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO"]

#: Ids and lengths of the proteins of `write_chains`; no two sequences are alike.
CHAINS = {"1AAA_A": 31, "1BBB_B": 24, "1CCC_A": 40, "1DDD_C": 17, "1EEE_A": 28, "1FFF_A": 12}


def save_esm(folder: Path, change: Callable[[Any], None] = lambda module: None, *, seed: int = 1) -> Path:
    """Save a tiny random ESM of rotary positions with its tokenizer; `change` may meddle with the module first."""
    import torch
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    module = EsmModel(
        EsmConfig(
            vocab_size=len(ESM_VOCABULARY),
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=64,
            max_position_embeddings=1026,
            position_embedding_type="rotary",
            pad_token_id=1,
            mask_token_id=32,
            token_dropout=True,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )
    sharpen(module)
    change(module)
    module.save_pretrained(folder)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(ESM_VOCABULARY))
    EsmTokenizer(str(vocabulary), model_max_length=1024).save_pretrained(folder)
    return folder


def save_bert(folder: Path, *, lower_case: bool | None = False, seed: int = 2) -> Path:
    """Save a tiny random BERT with a residue-level vocabulary of spaced letters, as ProtBert has."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    module = BertModel(
        BertConfig(
            vocab_size=len(BERT_VOCABULARY),
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=64,
            max_position_embeddings=128,
        ),
        add_pooling_layer=False,
    )
    sharpen(module)
    module.save_pretrained(folder)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(BERT_VOCABULARY))
    BertTokenizer(str(vocabulary), do_lower_case=bool(lower_case)).save_pretrained(folder)
    return folder


def sharpen(module: Any, factor: float = 30.0) -> None:
    """Scale queries and keys up: random weights of the usual size attend to everything alike."""
    import torch

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("query.weight", "key.weight")):
                parameter *= factor


def largest_weight(folder: Path) -> float:
    """The largest attention weight between two residues that a saved model gives to a probe, by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    module = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sequence = "MKTAYIAKQRQISFVKSHFSRQLE"
    text = " ".join(sequence) if "Bert" in type(module).__name__ else sequence
    with torch.inference_mode():
        attentions = module(**tokenizer(text, return_tensors="pt"), output_attentions=True).attentions
    return max(float(layer[..., 1:-1, 1:-1].max()) for layer in attentions)


def sequence_of(name: str, length: int) -> str:
    """A sequence of the twenty amino acids, the same for the same name everywhere."""
    rng = np.random.default_rng(list(name.encode()))
    return "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length))


def write_chain(folder: Path, name: str, sequence: str) -> Path:
    """Write a chain as cgdms does: sequence, predicted states, then N, CA, C and centroid of each residue.

    The backbone is a compact random walk of the usual bond lengths, so that distances and contacts vary.
    """
    rng = np.random.default_rng([7, *name.encode()])
    rows = []
    ca = np.zeros(3)
    for _ in sequence:
        step = rng.normal(size=3) - 0.15 * ca
        ca = ca + 3.8 * step / np.linalg.norm(step)
        toward, aside = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
        rows.append(np.concatenate([ca - 1.46 * toward, ca, ca + 1.52 * aside, ca + 2 * rng.normal(size=3)]))
    lines = [sequence, "H" * len(sequence), *(" ".join(f"{value:.3f}" for value in row) for row in rows)]
    path = folder / f"{name}.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_chains(folder: Path, chains: dict[str, int] | None = None) -> list[Path]:
    """Write chains of the given ids and lengths, by default `CHAINS`."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = CHAINS if chains is None else chains
    return [write_chain(folder, name, sequence_of(name, length)) for name, length in wanted.items()]
