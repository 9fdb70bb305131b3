"""TAPE's BERT, converted, against a forward pass written out here from the paper's formulas."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from attnstore.cli import cli
from attnstore.errors import ModelError
from attnstore.ingest import convert_tape
from attnstore.ingest.model.language_model import load

LAYERS, HEADS, HIDDEN, INNER, POSITIONS = 2, 3, 24, 40, 8096

#: Of TAPE's own keys, those that its published config has and transformers' has not are among them.
CONFIG = {
    "attention_probs_dropout_prob": 0.1, "base_model": "transformer", "finetuning_task": None, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1, "hidden_size": HIDDEN, "initializer_range": 0.02, "intermediate_size": INNER,
    "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS, "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS, "num_labels": -1, "output_attentions": False, "output_hidden_states": False,
    "pruned_heads": {}, "torchscript": False, "type_vocab_size": 1, "vocab_size": 30,
}  # fmt: skip

#: By hand, from the alphabet without J behind five special tokens.
TOKENS = {"<cls>": 2, "<sep>": 3, "<unk>": 4, "A": 5, "B": 6, "C": 7, "I": 13, "K": 14, "L": 15, "M": 16, "Z": 29}


def random_weights(gamma, beta):
    generator = torch.Generator().manual_seed(5)

    def draw(*shape, scale=0.5):
        return scale * torch.randn(*shape, generator=generator)

    weights = {
        "bert.embeddings.word_embeddings.weight": draw(30, HIDDEN),
        "bert.embeddings.position_embeddings.weight": draw(POSITIONS, HIDDEN),
        "bert.embeddings.token_type_embeddings.weight": draw(1, HIDDEN),
        "bert.pooler.dense.weight": draw(HIDDEN, HIDDEN),
        "bert.pooler.dense.bias": draw(HIDDEN),
        "mlm.decoder.weight": draw(30, HIDDEN),
    }
    norms = ["bert.embeddings"]
    for layer in range(LAYERS):
        name = f"bert.encoder.layer.{layer}"
        for part, rows, columns in (
            ("attention.self.query", HIDDEN, HIDDEN), ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN), ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INNER, HIDDEN), ("output.dense", HIDDEN, INNER),
        ):  # fmt: skip
            weights[f"{name}.{part}.weight"] = draw(rows, columns)
            weights[f"{name}.{part}.bias"] = draw(rows)
        norms += [f"{name}.attention.output", f"{name}.output"]
    for name in norms:
        weights[f"{name}.LayerNorm.{gamma}"] = 1 + draw(HIDDEN, scale=0.2)
        weights[f"{name}.LayerNorm.{beta}"] = draw(HIDDEN, scale=0.2)
    return weights


def attention(weights, gamma, beta, tokens):
    """[layer, head, i, j] of one protein: Vaswani et al. 2017, as BERT arranges it, in float64."""
    weights = {name: tensor.double() for name, tensor in weights.items()}

    def normal(x, name):
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-12)
        return weights[f"{name}.LayerNorm.{gamma}"] * x + weights[f"{name}.LayerNorm.{beta}"]

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = weights["bert.embeddings.word_embeddings.weight"][tokens]
    x = x + weights["bert.embeddings.position_embeddings.weight"][: len(tokens)]
    x = normal(x + weights["bert.embeddings.token_type_embeddings.weight"][0], "bert.embeddings")
    layers = []
    for layer in range(LAYERS):
        name = f"bert.encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{name}.attention.self.{part}").view(len(tokens), HEADS, -1).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        alpha = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(HIDDEN // HEADS), -1)
        layers.append(alpha)
        mixed = (alpha @ v).transpose(0, 1).reshape(len(tokens), HIDDEN)
        x = normal(x + linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        x = normal(x + linear(inner, f"{name}.output.dense"), f"{name}.output")
    return torch.stack(layers)


@pytest.fixture(params=[("weight", "bias"), ("gamma", "beta")], ids=["weight", "gamma"])
def names(request):
    return request.param


def save(folder, names, **config):
    folder.mkdir()
    torch.save(random_weights(*names), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    return folder


def test_a_converted_model_pays_the_attention_that_the_formulas_say(tmp_path, names):
    source = save(tmp_path / "tape", names)
    target = convert_tape(source, tmp_path / "converted")
    model = load(str(target), device="cpu")
    assert (model.layers, model.heads, model.max_residues) == (LAYERS, HEADS, POSITIONS - 2)
    sequences = ["MKZALCIKA", "MBJ", "ACIKLM" * 6]
    # A batch with padding here, one by one there; J is in no vocabulary of 30.
    for sequence, ours in zip(sequences, model.attention([model.tokens.encode(s) for s in sequences]), strict=True):
        tokens = [TOKENS.get(token, TOKENS["<unk>"]) for token in ("<cls>", *sequence, "<sep>")]
        theirs = attention(random_weights(*names), *names, tokens)[..., 1:-1, 1:-1]
        assert theirs.max() > 0.3
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_letters_stay_what_they_are(tmp_path):
    target = convert_tape(save(tmp_path / "tape", ("weight", "bias")), tmp_path / "converted")
    tokens = load(str(target), device="cpu").tokens
    described = tokens.describe()
    assert (described["prefix"], described["suffix"], described["residue_map"]) == (["<cls>"], ["<sep>"], "keep")
    alphabet = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
    assert tokens.encode(alphabet) == list(range(5, 30))


def test_the_command_takes_a_file_of_weights_with_its_config_beside_it(tmp_path):
    source = save(tmp_path / "tape", ("gamma", "beta"))
    (source / "pytorch_model.bin").rename(source / "bert-base-pytorch_model.bin")
    (source / "config.json").rename(source / "bert-base-config.json")
    target = tmp_path / "converted"
    done = CliRunner().invoke(cli, ["convert-tape", str(source / "bert-base-pytorch_model.bin"), str(target)])
    assert done.exit_code == 0, done.output
    assert load(str(target), device="cpu").heads == HEADS


def test_without_a_config_it_must_be_tapes_published_one(tmp_path):
    source = save(tmp_path / "tape", ("gamma", "beta"))
    (source / "config.json").unlink()
    with pytest.raises(ModelError, match="not a TAPE BERT of its config"):
        convert_tape(source, tmp_path / "converted")


class Anything:
    """What a pickle of more than weights may hold."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Anything(), "not a file of weights alone"),
        ({"epoch": 3}, "not a file of weights alone"),
        ({}, "not a TAPE BERT"),
    ],
    ids=["object", "number", "nothing"],
)
def test_other_files_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=message):
        convert_tape(tmp_path, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


def test_bytes_that_are_no_pickle_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"<html>")
    with pytest.raises(ModelError, match="not a file of weights alone"):
        convert_tape(tmp_path, tmp_path / "converted")


def test_what_is_there_already_is_not_written_over(tmp_path):
    source = save(tmp_path / "tape", ("weight", "bias"))
    with pytest.raises(ModelError, match="exists already"):
        convert_tape(source, source)


def test_a_config_of_something_else_is_refused(tmp_path):
    source = save(tmp_path / "tape", ("weight", "bias"), hidden_size="many")
    with pytest.raises(ModelError, match="not a config of TAPE's"):
        convert_tape(source, tmp_path / "converted")


def test_an_ingest_of_tapes_own_folder_says_how_to_convert_it(tmp_path):
    with pytest.raises(ModelError, match=r"`attnstore\.ingest\.convert_tape\('.*tape', OUT\)` makes it"):
        load(str(save(tmp_path / "tape", ("weight", "bias"))), device="cpu")
