"""The content of a model's folder: weights that transformers can load, or something else, which is named."""

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ModelError
from .model_config import pruned, quantised

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

#: Files with a vocabulary. A tokenizer of bytes or characters has none.
_VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "vocab.model", "spiece.model", "spm.model", "tokenizer.model",
    "sentencepiece.bpe.model",
)  # fmt: skip

#: Descriptions of files that are not model folders, by suffix.
_FILES = {
    ".onnx": "an ONNX graph, which shows no attention",
    ".h5": "a file of TensorFlow's weights",
    ".msgpack": "a file of Flax's weights",
    ".gguf": "a file of quantised weights for llama.cpp",
    ".pt": "a file of weights without a config and a tokenizer",
    ".pth": "a file of weights without a config and a tokenizer",
    ".ckpt": "a file of weights without a config and a tokenizer",
    ".bin": "a file of weights without a config and a tokenizer",
    ".safetensors": "a file of weights without a config and a tokenizer",
    ".zip": "an archive",
    ".tar": "an archive",
    ".gz": "an archive",
    ".tgz": "an archive",
}

#: Other content of a folder without PyTorch's weights: pattern, description, what to do.
_OTHERS = (
    ("tf_model*.h5", "TensorFlow", "load it with transformers 4 (from_tf=True) and save it"),
    ("saved_model.pb", "TensorFlow", "take the PyTorch weights that it was made from"),
    ("flax_model*.msgpack", "Flax", "load it with transformers 4 (from_flax=True) and save it"),
    ("*.gguf", "quantised (GGUF)", "take the PyTorch weights that it was made from"),
    ("global_step*", "DeepSpeed", "run `python zero_to_fp32.py . .` in that folder"),
    ("pytorch_model_fsdp*", "sharded (FSDP)", "merge them with `accelerate merge-weights`"),
    ("*.onnx", "ONNX", "take the PyTorch weights that it was made from: an ONNX graph shows no attention"),
    ("onnx/*.onnx", "ONNX", "take the PyTorch weights that it was made from: an ONNX graph shows no attention"),
    ("openvino_model.xml", "OpenVINO", "take the PyTorch weights that it was made from"),
)

#: First line of a pointer to a file that Git LFS did not fetch.
_POINTER = b"version https://git-lfs.github.com/spec/"

#: Element types of safetensors for quantised weights. Indices and masks are integers, too, but wider.
_QUANTISED = frozenset({"I8", "U8", "F8_E4M3", "F8_E5M2", "F4", "F6_E2M3", "F6_E3M2"})


def check_model_folder(source: str, *, weights: bool) -> None:
    """Raise ModelError unless `source` is a hub id, or a folder with a config and, if needed, weights.

    Parameters
    ----------
    source : hub id or folder
    weights : whether weights are to be read
    """
    folder = Path(source)
    if not source:
        raise ModelError("the model is an empty text: give a hub id, or the folder that transformers saved.")
    if folder.is_dir():
        _check_contents(folder, weights)
    elif folder.exists() or folder.is_symlink():
        raise ModelError(_file(folder))
    elif source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ModelError(f"model folder {source!r} does not exist: give a hub id, or a folder that is there.")


def _check_contents(folder: Path, weights: bool) -> None:
    try:
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise ModelError(f"model folder {folder} cannot be read: {error.strerror}.") from None
    if not names:
        raise ModelError(f"model folder {folder} is empty: give the folder that transformers saved a model to.")
    if names & {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}:
        raise ModelError(_adapter(folder))
    pointers = [name for name in sorted(names) if _is_pointer(folder / name)]
    if pointers:
        raise ModelError(
            f"model folder {folder} holds Git LFS pointers in place of {', '.join(pointers)}: run `git lfs pull` there."
        )
    if "config.json" not in names:
        raise ModelError(_without_config(folder, names))
    config = _json(folder / "config.json")
    for problem in (quantised(config), pruned(config)):
        if problem:
            raise ModelError(f"model folder {folder}: {problem}")
    if weights:
        if not names & {*_WEIGHTS}:
            raise ModelError(_without_weights(folder, names))
        for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
            if index in names and not names & {index.removesuffix(".index.json")}:
                _check_shards(folder, index, names)
        for path in sorted(folder.glob("model*.safetensors")):
            _check_safetensors(path)


def without_tokenizer(source: str, config: Mapping[str, Any]) -> str | None:
    """The message for a folder without a vocabulary; None for any other."""
    folder = Path(source)
    if not folder.is_dir() or any((folder / name).exists() for name in _VOCABULARIES):
        return None
    parent = folder.absolute().parent
    base = config.get("_name_or_path")
    if any((parent / name).exists() for name in _VOCABULARIES):
        where = f"copy them from {parent}"
    elif isinstance(base, str) and base and Path(base).absolute() != folder.absolute():
        where = f"copy them from the model it was trained from, {base}"
    else:
        where = "copy them from the model it was trained from"
    return (
        f"model folder {source} holds no tokenizer, as a Trainer's checkpoint does: {where} "
        "(tokenizer.json, or vocab.txt and tokenizer_config.json)."
    )


def _file(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"model {path} is a symbolic link to {path.readlink()}, which does not exist."
    if _is_pointer(path):
        return f"model {path} is a Git LFS pointer: run `git lfs pull`, and give the folder."
    esm = re.match(r"(esm2|esm1b|esm1v)_t\d+_\w+?(?=-contact-regression|\.pt$)", path.name)
    if path.suffix == ".pt" and esm:
        return f"model {path} is a file of the package fair-esm: give the hub id facebook/{esm[0]}."
    if (path.parent / "config.json").exists():
        return f"model {path} is a file: give its folder, {path.parent}."
    kind = _FILES.get(path.suffix.lower(), "a file")
    return f"model {path} is {kind}: give a hub id, or the folder that transformers saved."


def _adapter(folder: Path) -> str:
    content = _json(folder / "adapter_config.json")
    base = content.get("base_model_name_or_path") or content.get("model_name")
    named = base if isinstance(base, str) and base else "BASE"
    return (
        f"model folder {folder} is an adapter (PEFT, LoRA), not a model: merge it into its base model"
        f"{f', {named}' if named != 'BASE' else ''}, and give the folder of the result. In Python: "
        f'AutoPeftModel.from_pretrained("{folder}").merge_and_unload().save_pretrained("merged"), '
        f'then AutoTokenizer.from_pretrained("{named}").save_pretrained("merged").'
    )


def _without_config(folder: Path, names: set[str]) -> str:
    inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
    esm = sorted(name for name in names if re.match(r"esm\w*_t\d+_.*\.pt$", name))
    if esm:
        return _file(folder / next((name for name in esm if "contact-regression" not in name), esm[0]))
    if inside:
        some = ", ".join(str(folder / name) for name in inside[:3])
        kind = "a folder of sentence-transformers" if "modules.json" in names else "a folder of folders"
        return f"model folder {folder} has no config.json, it is {kind}: give {some}{' …' if inside[3:] else ''}."
    found = _in_place(folder, names)
    return f"model folder {folder} has no config.json{found}: give the folder that transformers saved."


def _without_weights(folder: Path, names: set[str]) -> str:
    shards = sorted(name for name in names if re.match(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)$", name))
    if shards:
        index = "model.safetensors.index.json" if shards[0].startswith("model-") else "pytorch_model.bin.index.json"
        return f"model folder {folder} holds shards of weights without their index: copy {index} there, too."
    for pattern, kind, cure in _OTHERS:
        if next(folder.glob(pattern), None) is not None:
            return f"model folder {folder} has no PyTorch weights, only weights of another kind ({kind}): {cure}."
    found = _in_place(folder, names)
    return f"model folder {folder} has no weights{found}: it needs one of {', '.join(_WEIGHTS)}."


def _in_place(folder: Path, names: set[str]) -> str:
    """What the folder contains instead, in a few words."""
    for pattern, kind, _ in _OTHERS:
        if next(folder.glob(pattern), None) is not None:
            return f", only weights of another kind ({kind})"
    some = sorted(names)
    return f" (there are {', '.join(some[:4])}{' …' if some[4:] else ''})"


def _check_shards(folder: Path, index: str, names: set[str]) -> None:
    listed = _json(folder / index).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()):
        raise ModelError(f"{folder / index} lists no shards of weights: copy it from the model again.")
    missing = sorted(set(listed.values()) - names)
    if missing:
        some = ", ".join(missing[:3])
        raise ModelError(
            f"model folder {folder} lacks {len(missing)} of {len(set(listed.values()))} shards of its weights "
            f"({some}{' …' if missing[3:] else ''}): copy them there."
        )


def _check_safetensors(path: Path) -> None:
    """Raise ModelError if a safetensors file is truncated or its weights are quantised."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        try:
            if length > size - 8:
                raise ValueError("its header is cut short")
            header = json.loads(file.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
            if 8 + length + end > size:
                raise ValueError(f"it has {size:,} bytes, and lists {8 + length + end:,}")
            quantised = sorted(name for name, entry in tensors.items() if entry["dtype"] in _QUANTISED)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise ModelError(f"{path} is not a whole file of safetensors ({error}): copy it again.") from None
    if quantised:
        raise ModelError(
            f"{path} holds quantised weights ({quantised[0]} is {tensors[quantised[0]]['dtype']}): "
            "give the model that was quantised, in 16 or 32 bits."
        )


def _is_pointer(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > 1024:
            return False
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one if the file is not one: the code that needs the file reports that."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
