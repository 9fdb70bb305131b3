"""Models of chance: a twin with random weights, and the model on shuffled residues."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import attnstore
from attnstore.errors import StoreError
from attnstore.ingest import ingest
from attnstore.ingest.model.language_model import load

from ..models import save_esm
from .oracle import assert_attention, fasta, own, random_proteins

PROTEINS = random_proteins({"a": 37, "b": 29, "c": 24, "d": 18})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, inputs: list[Path]) -> attnstore.Store:
    """A model, and beside it chance in either form."""
    path = tmp_path_factory.mktemp("stores") / "store"
    ingest(path, inputs, model=str(tiny_esm), device="cpu", seed=3)
    for randomize in ("weights", "sequence"):
        ingest(path, model=str(tiny_esm), device="cpu", randomize=randomize, seed=3)
    return attnstore.open(path)


WEIGHTS, SEQUENCE = "tiny_esm-random-weights-3", "tiny_esm-random-sequence-3"


def shuffled(sequence: str, seed: int) -> str:
    """The documented rule: NumPy's permutation, seeded with the seed and the first 64 bits of the sequence's digest."""
    digest = int.from_bytes(hashlib.sha256(sequence.encode()).digest()[:8])
    order = np.random.default_rng([seed, digest]).permutation(len(sequence))
    return "".join(sequence[index] for index in order)


def test_they_are_models_of_the_store_as_others_are(store):
    assert set(store.models) == {"tiny_esm", WEIGHTS, SEQUENCE}
    documents = {
        name: json.loads((model.directory / "model.json").read_bytes()) for name, model in store.models.items()
    }
    said = {name: (document["randomize"], document["seed"]) for name, document in documents.items()}
    assert said == {"tiny_esm": (None, None), WEIGHTS: ("weights", 3), SEQUENCE: ("sequence", 3)}
    shares = {name: store.align("target.aa = 'L'", model=name, replicates=2) for name in documents}
    assert {len(share["share"].values.ravel()) for share in shares.values()} == {12}
    assert store.sql("SELECT model, proteins, skipped FROM models ORDER BY model").fetchall() == [
        (name, len(PROTEINS), 0) for name in sorted(documents)
    ]
    assert store.verify() == []


# --- random weights


def test_a_twin_has_the_models_shape_and_none_of_its_weights(store):
    trained, twin = (store.model(name).document for name in ("tiny_esm", WEIGHTS))
    same = ("architecture", "layers", "heads", "causal", "tokenizer", "precision", "source", "max_residues")
    assert [getattr(trained, field) for field in same] == [getattr(twin, field) for field in same]
    assert trained.weights_sha256 != twin.weights_sha256
    assert store.model(SEQUENCE).document.weights_sha256 == trained.weights_sha256


def test_the_attention_of_a_twin_is_that_of_the_untrained_model(store, tiny_esm):
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        twin = AutoModel.from_config(AutoConfig.from_pretrained(tiny_esm), attn_implementation="eager").eval()
    for name, sequence in PROTEINS.items():
        alpha = own(tiny_esm, sequence, twin)[0]
        assert np.abs(alpha - own(tiny_esm, sequence)[0]).max() > 0.1
        found = store.attention_bounds(name, model=WEIGHTS)
        assert (found["lower"].values <= alpha + 1e-5).all()
        assert (alpha - 1e-5 <= found["upper"].values).all()


def test_a_seed_gives_the_same_twin_in_any_process_and_another_seed_another(store, tiny_esm):
    import torch

    program = (
        "import sys; from attnstore.ingest.model.language_model import load; "
        "print(load(sys.argv[1], device='cpu', randomize_seed=3).weights_sha256)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, str(tiny_esm)], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [store.model(WEIGHTS).document.weights_sha256]
    state = torch.get_rng_state()
    twins = {load(str(tiny_esm), device="cpu", randomize_seed=seed).weights_sha256 for seed in (3, 3, 4, 0)}
    assert len(twins) == 3
    assert twins > {printed.strip()}
    assert torch.equal(torch.get_rng_state(), state)  # the caller's own numbers go on as they were


def test_a_twin_needs_no_trained_weights(tmp_path, store, inputs):
    model = save_esm(tmp_path / "tiny_esm")
    (model / "model.safetensors").unlink()
    ingest(tmp_path / "store", inputs, model=str(model), device="cpu", randomize="weights", seed=3)
    found = attnstore.open(tmp_path / "store").model(WEIGHTS).document
    assert found.weights_sha256 == store.model(WEIGHTS).document.weights_sha256


# --- shuffled residues


def test_the_attention_is_the_models_own_on_a_permutation_of_the_residues(store, tiny_esm):
    for name, sequence in PROTEINS.items():
        other = shuffled(sequence, 3)
        assert sorted(other) == sorted(sequence)
        assert other != sequence
        assert_attention(store, name, own(tiny_esm, other)[0], SEQUENCE)


def test_neither_order_nor_other_proteins_play_a_part_but_the_seed_does(tmp_path, tiny_esm):
    more = random_proteins({"x": 41, "y": 25, "z": 24})
    inputs = [fasta(tmp_path / "x.fasta", dict(reversed((more | PROTEINS).items())))]
    for seed in (3, 4):
        settings = {"randomize": "sequence", "seed": seed, "name": f"s{seed}", "batch_pairs": 2 * 41 * 128}
        ingest(tmp_path / "store", inputs, model=str(tiny_esm), device="cpu", **settings)
    opened = attnstore.open(tmp_path / "store")
    for seed in (3, 4):
        for name, sequence in PROTEINS.items():
            assert_attention(opened, name, own(tiny_esm, shuffled(sequence, seed))[0], f"s{seed}")
    assert shuffled(PROTEINS["a"], 3) != shuffled(PROTEINS["a"], 4)


def test_of_a_truncated_protein_what_the_model_sees_is_shuffled(tmp_path, tiny_esm):
    sequence = PROTEINS["a"]
    settings = {"randomize": "sequence", "max_residues": 20, "name": "m"}
    inputs = [fasta(tmp_path / "x.fasta", {"a": sequence})]
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), device="cpu", **settings)
    digest = int.from_bytes(hashlib.sha256(sequence.encode()).digest()[:8])
    order = np.random.default_rng([0, digest]).permutation(20)
    other = "".join(sequence[index] for index in order)
    assert_attention(attnstore.open(tmp_path / "store"), "a", own(tiny_esm, other)[0])


def test_hidden_states_are_those_of_the_shuffled_residues(tmp_path, tiny_esm):
    inputs = [fasta(tmp_path / "x.fasta", PROTEINS)]
    settings = {"randomize": "sequence", "seed": 5, "keep": ("arcs", "hidden"), "name": "m"}
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), device="cpu", **settings)
    for name, sequence in PROTEINS.items():
        hidden = own(tiny_esm, shuffled(sequence, 5))[1]
        np.testing.assert_allclose(attnstore.open(tmp_path / "store").hidden(name).values, hidden, rtol=1e-3, atol=1e-5)


# --- the same again


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"randomize": "weights", "seed": 4}, "weights_sha256 was [0-9a-f]{64} and is [0-9a-f]{64}"),
        ({"randomize": "sequence", "seed": 3}, "weights_sha256 was [0-9a-f]{64} and is [0-9a-f]{64}"),
    ],
    ids=str,
)
def test_another_twin_is_refused(store, tiny_esm, changed, difference):
    with pytest.raises(StoreError, match=rf"^model {WEIGHTS} is in the store with other settings \({difference}\)"):
        ingest(store.path, model=str(tiny_esm), name=WEIGHTS, device="cpu", **changed)


@pytest.mark.parametrize(
    ("changed", "difference"),
    [({"seed": 4, "randomize": "sequence"}, "seed was 3 and is 4"), ({}, "randomize was sequence and is None")],
    ids=str,
)
def test_another_shuffling_is_refused_by_name(store, tiny_esm, changed, difference):
    with pytest.raises(StoreError, match=rf"\({difference}\)"):
        ingest(store.path, model=str(tiny_esm), name=SEQUENCE, device="cpu", **changed)


@pytest.mark.parametrize("randomize", ["weights", "sequence", None])
def test_the_same_again_has_nothing_to_do(store, tiny_esm, randomize):
    # The seed of a model without chance is of nothing but a sample.
    summary = ingest(store.path, model=str(tiny_esm), device="cpu", randomize=randomize, seed=3 if randomize else 8)
    assert summary.segments_written == 0
