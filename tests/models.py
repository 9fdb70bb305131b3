"""Tiny random models, and proteins for them, small enough to be made by every test run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, HEADS, HIDDEN = 3, 4, 32

ESM_VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
LETTERS = "LAGVESIKRDTPNQFYMHCWXUBZO"
BERT_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]

#: Ids and lengths of the proteins of `write_chains`; no two sequences are alike.
CHAINS = {"1AAA_A": 31, "1BBB_B": 24, "1CCC_A": 40, "1DDD_C": 17, "1EEE_A": 28, "1FFF_A": 12}


def save_esm(
    folder: Path, change: Callable[[Any], None] = lambda module: None, *, seed: int = 1, **settings: Any
) -> Path:
    """Save a tiny random ESM with its tokenizer, of rotary positions as ESM-2 has them where `settings` say nothing.

    `change` may meddle with the module first.
    """
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    config = EsmConfig(
        **{
            "vocab_size": len(ESM_VOCABULARY),
            "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "intermediate_size": 64,
            "max_position_embeddings": 1026,
            "position_embedding_type": "rotary",
            "pad_token_id": 1,
            "mask_token_id": 32,
            "token_dropout": True,
            **settings,
        }
    )
    save(folder, EsmModel, config, change, seed=seed, add_pooling_layer=False)
    EsmTokenizer(str(write_lines(folder / "vocab.txt", ESM_VOCABULARY)), model_max_length=1024).save_pretrained(folder)
    return folder


def save_bert(folder: Path, *, lower_case: bool | None = False, seed: int = 2, **settings: Any) -> Path:
    """Save a tiny random BERT with a residue-level vocabulary of spaced letters, as ProtBert has."""
    from transformers import BertConfig, BertModel

    return _of_berts_kind(folder, BertModel, BertConfig, settings, lower_case, seed, add_pooling_layer=False)


def save_electra(folder: Path) -> Path:
    """The same of an ELECTRA, whose embeddings are narrower than its layers."""
    from transformers import ElectraConfig, ElectraModel

    return _of_berts_kind(folder, ElectraModel, ElectraConfig, {"embedding_size": 16})


def save_albert(folder: Path) -> Path:
    """Save a tiny random ALBERT, one module for every layer, with sentencepiece's letters, as ProtAlbert has them."""
    from transformers import AlbertConfig, AlbertModel

    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    config = AlbertConfig(
        vocab_size=len(special) + len(LETTERS),
        embedding_size=16,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_hidden_groups=1,
        num_attention_heads=HEADS,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    save(folder, AlbertModel, config, seed=3, add_pooling_layer=False)
    save_pieces(folder, special)
    return folder


def _of_berts_kind(
    folder: Path,
    model: type,
    config: type,
    settings: dict[str, Any],
    lower_case: bool | None = False,
    seed: int = 2,
    **others: Any,
) -> Path:
    from transformers import BertTokenizer

    shape = {
        "vocab_size": len(BERT_VOCABULARY),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
    }
    save(folder, model, config(**{**shape, **settings}), seed=seed, **others)
    vocabulary = write_lines(folder / "vocab.txt", BERT_VOCABULARY)
    BertTokenizer(str(vocabulary), do_lower_case=bool(lower_case)).save_pretrained(folder)
    return folder


def save_roberta(folder: Path) -> Path:
    """Save a tiny random RoBERTa, its positions counted from the one after the padding token's."""
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=len(ESM_VOCABULARY),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=64,
        max_position_embeddings=102,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        type_vocab_size=1,
    )
    save(folder, RobertaModel, config, seed=4, add_pooling_layer=False)
    save_letters(folder, ESM_VOCABULARY, before="<cls>", after="<eos>")
    return folder


def save_esmc(folder: Path) -> Path:
    """Save a tiny random ESM-C with its own tokenizer."""
    from transformers import EsmcConfig, EsmcModel, EsmcTokenizer

    config = EsmcConfig(hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=64)
    save(folder, EsmcModel, config, seed=5)
    EsmcTokenizer().save_pretrained(folder)
    return folder


def save_t5(folder: Path, *, decoder: bool = True) -> Path:
    """Save a tiny random T5 with sentencepiece's letters, and its decoder as ProtT5 has it or without."""
    _save_t5(folder, decoder, "relu")
    save_pieces(folder, T5_SPECIAL)
    return folder


def save_ankh(folder: Path) -> Path:
    """Save a tiny random T5 of plain letters, as Ankh has, said to be of a class that writes words' beginnings."""
    _save_t5(folder, True, "gated-gelu")
    save_letters(folder, [*T5_SPECIAL, *LETTERS], before=None, after="</s>", kind="T5Tokenizer")
    return folder


T5_SPECIAL = ["<pad>", "</s>", "<unk>"]


def _save_t5(folder: Path, decoder: bool, feed_forward: str) -> None:
    from transformers import T5Config, T5EncoderModel, T5Model

    config = T5Config(
        vocab_size=len(T5_SPECIAL) + len(LETTERS) + 100,
        d_model=HIDDEN,
        d_kv=8,
        num_layers=LAYERS,
        num_decoder_layers=1,
        num_heads=HEADS,
        d_ff=64,
        feed_forward_proj=feed_forward,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        decoder_start_token_id=0,
    )
    save(folder, T5Model if decoder else T5EncoderModel, config, seed=6)


def save_xlnet(folder: Path, **settings: Any) -> Path:
    """Save a tiny random XLNet with sentencepiece's letters, the twenty amino acids alone, as ProtXLNet has them."""
    from transformers import XLNetConfig, XLNetModel

    special = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"]
    shape = {"vocab_size": len(special) + 20, "d_model": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "d_inner": 64}
    save(folder, XLNetModel, XLNetConfig(**{**shape, **settings}), seed=7)
    save_pieces(folder, special, LETTERS[:20])
    return folder


def save_gpt2(folder: Path, **settings: Any) -> Path:
    """Save a tiny random GPT-2 with one token per residue."""
    from transformers import GPT2Config, GPT2Model

    shape = {"vocab_size": len(ESM_VOCABULARY), "n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS,
             "n_positions": 96, "bos_token_id": 0, "eos_token_id": 2}  # fmt: skip
    save(folder, GPT2Model, GPT2Config(**{**shape, **settings}), seed=8)
    save_letters(folder, ESM_VOCABULARY, before="<cls>", after=None)
    return folder


def save(
    folder: Path,
    model: type,
    config: Any,
    change: Callable[[Any], None] = lambda module: None,
    *,
    seed: int,
    **others: Any,
) -> None:
    """Save a random model with attention that is anything but even."""
    import torch

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    module = model(config, **others)
    sharpen(module)
    change(module)
    module.save_pretrained(folder)


def save_letters(
    folder: Path, vocabulary: list[str], *, before: str | None, after: str | None, kind: str | None = None
) -> None:
    """Save a tokenizer of letters side by side between special tokens, said to be of some class of transformers."""
    from tokenizers import Tokenizer, models, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram([(token, -1.0) for token in vocabulary], vocabulary.index("<unk>"), False))
    special = [token for token in (before, after) if token is not None]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*([before] if before else []), "$A", *([after] if after else [])],
        special_tokens=[(token, vocabulary.index(token)) for token in special],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token=before, eos_token=after
    ).save_pretrained(folder)
    if kind is not None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": kind}))


def save_pieces(folder: Path, special: list[str], letters: str = LETTERS) -> None:
    """Save a sentencepiece model of special tokens and letters that stand apart."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = model.trainer_spec.UNIGRAM
    model.trainer_spec.unk_id = special.index("<unk>")
    kinds = model.SentencePiece
    for token in special:
        model.pieces.add(piece=token, type=kinds.UNKNOWN if token == "<unk>" else kinds.CONTROL)
    for letter in letters:
        model.pieces.add(piece=f"▁{letter}", score=-1.0, type=kinds.NORMAL)
    (folder / "spiece.model").write_bytes(model.SerializeToString())


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines))
    return path


#: What holds queries, keys and relative positions in one architecture or another, and what draws them out.
_SHARPENED = {
    "query.weight": 30, "key.weight": 30, "q_norm.weight": 2.5, "k_norm.weight": 2.5, "c_attn.weight": 12,
    "SelfAttention.q.weight": 12, "relative_attention_bias.weight": 8,
    "rel_attn.q": 15, "rel_attn.k": 15, "rel_attn.r": 15, "rel_attn.seg_embed": 60,
    "rel_attn.r_w_bias": 60, "rel_attn.r_r_bias": 60, "rel_attn.r_s_bias": 60,
}  # fmt: skip


def sharpen(module: Any) -> None:
    """Scale queries, keys and biases up: random weights of the usual size attend to everything alike."""
    import torch

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            for ending, factor in _SHARPENED.items():
                if name.endswith(ending):
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
