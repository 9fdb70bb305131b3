"""Folders that are not what transformers saves of a model: each is named as what it is, with what to do."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from attnstore.errors import ModelError
from attnstore.ingest.model.language_model import load

from .. import models

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 31400000\n"
WEIGHTS = "model.safetensors"


def config(**settings: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))

    return change


def only(*files: str, content: bytes = b"x") -> Callable[[Path], None]:
    """In place of the weights."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)

    return change


def bare(**files: str) -> Callable[[Path], None]:
    """In place of everything."""

    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        for name, text in files.items():
            (folder / name.replace("__", "/").replace("_DOT_", ".")).parent.mkdir(parents=True, exist_ok=True)
            (folder / name.replace("__", "/").replace("_DOT_", ".")).write_text(text)
        folder.mkdir(exist_ok=True)

    return change


def without_tokenizer(folder: Path) -> None:
    for path in (*folder.glob("vocab*"), *folder.glob("tokenizer*")):
        path.unlink()


def shards(*, index: bool) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        first, *others = tensors
        only()(folder)
        save_file({first: tensors[first]}, folder / "model-00001-of-00003.safetensors", metadata={"format": "pt"})
        if index:
            where = {first: "model-00001-of-00003.safetensors"}
            where |= {name: f"model-0000{2 + number % 2}-of-00003.safetensors" for number, name in enumerate(others)}
            (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))

    return change


def as_int8(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in tensors if name.endswith("query.weight"))
    save_file({**tensors, name: tensors[name].to(torch.int8)}, folder / WEIGHTS, metadata={"format": "pt"})


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])


def long_header(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 2**62) + b"{}")


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("run",)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "adapter": (bare(adapter_config_DOT_json='{"base_model_name_or_path": "a/base"}'),
                r"is an adapter .*its base model, a/base, .*merge_and_unload\(\).*from_pretrained\(\"a/base\"\)"),
    "adapter beside a config": (lambda folder: (folder / "adapter_model.bin").write_bytes(b"x"), "is an adapter"),
    "no tokenizer": (without_tokenizer, r"holds no tokenizer, .*: copy them from the model it was trained from \("),
    "no tokenizer, base known": (lambda folder: (without_tokenizer(folder), config(_name_or_path="a/base")(folder)),
                                 r"holds no tokenizer, .*: copy them from the model it was trained from, a/base \("),
    "pruned": (config(pruned_heads={"0": [], "1": [0, 3]}), r"2 of its heads were pruned \(first in layer 1\)"),
    "GPTQ": (config(quantization_config={"quant_method": "gptq", "bits": 4}), r"quantised \(gptq, 4 bits\)"),
    "AWQ": (config(quantization_config={"quant_method": "awq", "w_bit": 3}), r"quantised \(awq, 3 bits\)"),
    "bitsandbytes": (config(quantization_config={"load_in_8bit": True}), r"quantised \(bitsandbytes, 8 bits\)"),
    "int8": (as_int8, r"model\.safetensors holds quantised weights \(encoder\..* is I8\)"),
    "shard missing": (shards(index=True), r"lacks 2 of 3 shards of its weights \(model-00002-of-00003\.safetensors, "),
    "index missing": (shards(index=False), r"without their index: copy model\.safetensors\.index\.json there"),
    "cut short": (cut, r"model\.safetensors is not a whole file of safetensors \(it has .* bytes, and lists"),
    "no header": (long_header, r"model\.safetensors is not a whole file of safetensors"),
    "TensorFlow": (only("tf_model.h5"), r"\(TensorFlow\): load it with transformers 4"),
    "Flax": (only("flax_model.msgpack"), r"\(Flax\): load it with transformers 4"),
    "ONNX": (only("onnx/model.onnx"), r"\(ONNX\): take the PyTorch weights"),
    "GGUF": (only("esm.Q4_K_M.gguf"), r"quantised \(GGUF\)"),
    "DeepSpeed": (only("global_step10/x.pt"), r"zero_to_fp32"),
    "nothing": (only(), r"has no weights \(there are config\.json, "),
    "pointer": (lambda folder: (folder / WEIGHTS).write_bytes(POINTER), r"in place of model\.safetensors: run `git"),
    "pointer for a vocabulary": (lambda folder: (folder / "vocab.txt").write_bytes(POINTER), r"place of vocab\.txt"),
    "empty": (bare(), "is empty: give"),
    "sentence-transformers": (bare(modules_DOT_json="[]", part__config_DOT_json="{}"), r"transformers: give .*/part\."),
    "a run's checkpoints": (bare(checkpoint_5__config_DOT_json="{}"), r"no config\.json, .*: give .*/checkpoint_5\."),
    "fair-esm": (bare(esm2_t6_8M_UR50D_DOT_pt="x"), r"fair-esm: give the hub id facebook/esm2_t6_8M_UR50D\."),
    "other shape": (config(hidden_size=16), r"weights of another shape .*word_embeddings\.weight is \(33, 32\)"),
    "other depth": (config(num_hidden_layers=4), r"lacks weights for \d+ of its parameters"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "is not a JSON object"),
    "garbage": (only("pytorch_model.bin", content=b"garbage"), "its file of weights is damaged, or holds more than"),
    "payload": (only("pytorch_model.bin", content=pickle.dumps({"a": Payload()})), "holds more than weights"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_folder_is_is_said_with_what_to_do(tmp_path, tiny_esm, capfd, kind):
    change, message = KINDS[kind]
    folder = tmp_path / "model"
    shutil.copytree(tiny_esm, folder)
    change(folder)
    with pytest.raises(ModelError, match=message) as refused:
        load(str(folder), device="cpu")
    said = str(refused.value)
    assert "\n" not in said
    assert "above report" not in said
    assert "weights_only" not in said
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("esm1v_t33_650M_UR90S_3.pt", b"x", r"fair-esm: give the hub id facebook/esm1v_t33_650M_UR90S_3\.$"),
        ("last.ckpt", b"x", "is a file of weights without a config and a tokenizer: give a hub id"),
        ("model.onnx", b"x", "is an ONNX graph, which shows no attention: give"),
        ("model.tar.gz", b"x", "is an archive: give"),
        ("weights.bin", POINTER, "is a Git LFS pointer: run `git lfs pull`"),
        ("chains.fasta", b"x", "is a file: give a hub id"),
    ],
)
def test_a_file_in_place_of_a_folder_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(str(tmp_path / name), device="cpu")


def test_a_file_of_a_models_folder_names_the_folder(tiny_esm):
    with pytest.raises(ModelError, match=rf"is a file: give its folder, {tiny_esm}\.$"):
        load(str(tiny_esm / WEIGHTS), device="cpu")


def test_no_model_and_no_folder_are_refused():
    with pytest.raises(ModelError, match="the model is an empty text"):
        load("", device="cpu")
    with pytest.raises(ModelError, match=r"'\./nowhere' does not exist"):
        load("./nowhere", device="cpu")


def test_a_checkpoints_tokenizer_is_found_beside_it(tmp_path, tiny_esm):
    folder = tmp_path / "run" / "checkpoint-5"
    shutil.copytree(tiny_esm, folder)
    (folder / "vocab.txt").rename(tmp_path / "run" / "vocab.txt")
    with pytest.raises(ModelError, match=rf"copy them from {tmp_path / 'run'} \("):
        load(str(folder), device="cpu")
    shutil.copy(tmp_path / "run" / "vocab.txt", folder)
    assert load(str(folder), device="cpu").layers == models.LAYERS


#: Settings of how a model was run, as configs of the hub have them, one of another kind in each set.
RUN_SETTINGS = (
    {"_attn_implementation": "sdpa", "attn_implementation": "flash_attention_2", "use_cache": True},
    {"return_dict": False, "use_return_dict": False, "output_attentions": True, "output_hidden_states": True},
    {"torch_dtype": "bfloat16", "gradient_checkpointing": True, "chunk_size_feed_forward": 7, "torchscript": True},
    {"_attn_implementation_internal": "flex_attention", "dtype": "float16", "_flash_attn_2_enabled": True},
)


@pytest.mark.parametrize("settings", RUN_SETTINGS, ids=lambda settings: next(iter(settings)))
@pytest.mark.parametrize("save", [models.save_esm, models.save_bert, models.save_xlnet], ids=lambda save: save.__name__)
def test_how_a_model_was_run_does_not_matter(tmp_path, capfd, save, settings):
    plain = save(tmp_path / "plain")
    other = tmp_path / "other"
    shutil.copytree(plain, other)
    config(**settings)(other)
    capfd.readouterr()
    expected, found = load(str(plain), device="cpu"), load(str(other), device="cpu")
    assert found.weights_sha256 == expected.weights_sha256
    batch = [[found.tokens.ids[letter] for letter in text] for text in ("MKTAYIAKQRQISFVKSHF", "ACDEFGHIK")]
    for theirs, ours in zip(expected.attention(batch), found.attention(batch), strict=True):
        assert torch.equal(theirs, ours)
    assert found.check < 1e-4
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("save", [models.save_esm, models.save_bert])
def test_weights_of_more_layers_than_the_config_has_are_named_in_a_warning(tmp_path, save):
    folder = save(tmp_path / "model")
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(str(folder), device="cpu")
    config(num_hidden_layers=layers - 1)(folder)
    with pytest.warns(
        UserWarning, match=rf"more layers than its config\.json says.* \(first: \S*\.{layers - 1}\.\S+\)"
    ):
        load(str(folder), device="cpu")
