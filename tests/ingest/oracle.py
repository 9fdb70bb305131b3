"""What a saved model says of a sequence by transformers alone, and what a store says against it."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

import attnstore
from attnstore.format.documents import Manifest
from attnstore.runtime.durable import files_below

from ..models import sequence_of

#: How far a weight may be from that of another batch, or of the model's own attention.
TOLERANCE = 1e-5


@functools.lru_cache(maxsize=8)
def _loaded(folder: Path) -> tuple[object, object]:
    from transformers import AutoModel, AutoTokenizer

    module = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    return module, AutoTokenizer.from_pretrained(folder)


def own(
    folder: Path, sequence: str, module: object | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Attention [layers, heads, residues, residues] and hidden states [layers + 1, residues, width] of an ESM."""
    import torch

    trained, tokenizer = _loaded(folder)
    with torch.inference_mode():
        output = (module or trained)(
            **tokenizer(sequence, return_tensors="pt"), output_attentions=True, output_hidden_states=True
        )
    attention = torch.stack([layer[0, :, 1:-1, 1:-1] for layer in output.attentions])
    return attention.numpy(), torch.stack([states[0, 1:-1] for states in output.hidden_states]).numpy()


def assert_attention(
    store: attnstore.Store, protein: str, alpha: npt.NDArray[np.float32], model: str | None = None
) -> None:
    """Codes, arcs and marginals of a protein are those of these weights, but for rounding."""
    found = store.attention_bounds(protein, model=model)
    assert found["lower"].shape == alpha.shape
    assert (found["lower"].values <= alpha + TOLERANCE).all()
    assert (alpha - TOLERANCE <= found["upper"].values).all()
    np.testing.assert_allclose(found["special"].values, 1 - alpha.sum(-1, dtype=np.float64), atol=1e-4)
    arcs = store.sql(
        f"SELECT layer, head, source, target, weight FROM arcs WHERE protein = '{protein}' "
        f"AND model = '{store.model(model).name}'"
    ).fetchnumpy()
    at = tuple(arcs[name].astype(np.int64) for name in ("layer", "head", "source", "target"))
    np.testing.assert_allclose(arcs["weight"], alpha[at], atol=TOLERANCE)
    there = np.zeros(alpha.shape, bool)
    there[at] = True
    assert there[alpha >= 0.05 + TOLERANCE].all()
    assert there.any()


def segments(store: Path, model: str = "m") -> dict[int, dict[str, bytes]]:
    """Every file of every committed segment, by number: the names of two runs' directories differ."""
    directory = store / "attention" / model
    return {
        entry.number: {
            path.relative_to(directory / "segments" / entry.id).as_posix(): path.read_bytes()
            for path in files_below(directory / "segments" / entry.id)
        }
        for entry in Manifest.read(directory).segments
    }


def marks(store: Path, model: str = "m") -> dict[str, tuple[int, int, int]]:
    """Inode, and times of change and of reading, of every file of every segment there is."""
    stats = {path: path.stat() for path in files_below(store / "attention" / model / "segments")}
    return {str(path): (stat.st_ino, stat.st_mtime_ns, stat.st_atime_ns) for path, stat in stats.items()}


def fasta(path: Path, proteins: dict[str, str]) -> Path:
    """Write sequences as FASTA."""
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in proteins.items()))
    return path


def command(store: Path, inputs: list[Path], model: Path, settings: dict[str, object], *others: str) -> list[str]:
    """The words of the command that ingests with these settings."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    return [
        sys.executable,
        "-m",
        "attnstore",
        "ingest",
        str(store),
        *map(str, inputs),
        f"--model={model}",
        *options,
        *others,
    ]


def random_proteins(lengths: dict[str, int]) -> dict[str, str]:
    """Sequences of the twenty amino acids, by id."""
    return {name: sequence_of(name, length) for name, length in lengths.items()}
