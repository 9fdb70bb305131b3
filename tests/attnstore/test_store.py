"""What an opened store says of itself, and of a store on disk that is no longer the one that was opened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

import attnstore
from attnstore.api import Store
from attnstore.errors import StoreError
from attnstore.ingest import ingest

PROTEIN = "1FFF_A"
QUESTIONS = {
    "align": lambda store: store.align("target.aa = 'L'", replicates=0),
    "query": lambda store: store.query("SELECT count(*) FROM attention WHERE weight >= 0.3"),
    "explain": lambda store: store.explain("SELECT count(*) FROM attention WHERE weight >= 0.01"),
    "attention": lambda store: store.attention(PROTEIN, layer=1, head=1),
    "arcs": lambda store: store.sql("SELECT * FROM arcs"),
    "contacts": lambda store: store.contacts(PROTEIN, method="head", layer=1, head=2),
    "view": lambda store: store.view(PROTEIN, layer=1, head=2),
}


def another(store: Path, model: Path, chains: list[Path]) -> None:
    shutil.rmtree(store)
    ingest(store, chains[:2], model=str(model), name="another", device="cpu")


def the_same_cut_otherwise(store: Path, model: Path, chains: list[Path]) -> None:
    shutil.rmtree(store)
    ingest(store, chains, model=str(model), device="cpu")


def without_its_model(store: Path, model: Path, chains: list[Path]) -> None:
    shutil.rmtree(store / "attention" / "tiny_esm")


@pytest.mark.parametrize("asked", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("change", [another, the_same_cut_otherwise, without_its_model])
def test_a_store_that_was_remade_says_so_and_not_that_it_is_damaged(store_copy, tiny_esm, chain_files, change, asked):
    store = attnstore.open(store_copy)
    # What was read before may still answer: counts of bins, a plan.
    names = ("align", "attention", "arcs") if asked else QUESTIONS
    if asked:
        for name in names:
            QUESTIONS[name](store)
    change(store_copy, tiny_esm, chain_files)
    for name in names:
        with pytest.raises(StoreError) as refused:
            QUESTIONS[name](store)
        assert str(refused.value) == (
            f"the store {store_copy} has changed since it was opened. Open it again: "
            f"attnstore.open({str(store_copy)!r})."
        )
    if change is not without_its_model:
        with warnings.catch_warnings(action="error"):
            QUESTIONS["query"](attnstore.open(store_copy))


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_store_that_was_deleted_says_so(store_copy, question):
    store = attnstore.open(store_copy)
    shutil.rmtree(store_copy)
    with pytest.raises(StoreError, match=rf"^the store {store_copy} is no longer there: it was moved or deleted since"):
        QUESTIONS[question](store)


def test_a_store_that_others_annotate_goes_on_and_says_so_once(store_copy):
    store = attnstore.open(store_copy)
    expected = QUESTIONS["align"](store)
    for name in ("first", "second"):
        attnstore.open(store_copy).annotate(pd.DataFrame({"id": [PROTEIN], "pos": [0], name: [1.5]}))
    with pytest.warns(UserWarning, match=r"has changed since it was opened\..*Open it again: attnstore"):
        again = QUESTIONS["align"](store)
    assert again.equals(expected)
    with warnings.catch_warnings(action="error"):
        for question in QUESTIONS.values():
            question(store)


def test_what_is_damaged_or_asked_wrongly_is_not_called_changed(store_copy):
    store = attnstore.open(store_copy)
    with pytest.raises(attnstore.errors.QueryError, match="nothing"):
        store.query("SELECT nothing FROM attention")
    QUESTIONS["query"](store)
    next((store_copy / "attention").rglob("arcs.parquet")).unlink()
    for question in ("align", "arcs"):
        with pytest.raises(StoreError, match=r"arcs\.parquet.*damaged|damaged.*arcs\.parquet"):
            QUESTIONS[question](store)


@pytest.fixture(scope="module")
def null_models(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, chain_files: list[Path]) -> Store:
    path = tmp_path_factory.mktemp("stores") / "null"
    ingest(path, chain_files[:2], model=str(tiny_esm), name="trained", device="cpu")
    for kind, seed in (("weights", 3), ("sequence", 12)):
        ingest(path, model=str(tiny_esm), name=f"by {kind}".replace(" ", "-"), randomize=kind, seed=seed, device="cpu")
    return attnstore.open(path)


def test_a_null_model_says_what_is_random_and_its_seed(null_models, tmp_path):
    expected = {"trained": (None, None), "by-weights": ("weights", 3), "by-sequence": ("sequence", 12)}
    for name, model in null_models.models.items():
        assert (model.summary()["randomize"], model.summary()["seed"]) == expected[name]
    assert "a null model: random weights, seed 3" in repr(null_models.models["by-weights"])
    assert "a null model: shuffled sequences, seed 12" in repr(null_models)
    assert "null" not in repr(null_models.models["trained"])
    listed = null_models.sql("SELECT model, randomize, seed FROM models").fetchall()
    assert {name: rest for name, *rest in listed} == {name: list(rest) for name, rest in expected.items()}
    null_models.export(tmp_path / "tables", "parquet")
    table = pd.read_parquet(tmp_path / "tables" / "models.parquet", dtype_backend="pyarrow")
    assert dict(zip(table["model"], table["seed"].astype("Int64"), strict=True))["by-sequence"] == 12


def test_the_package_runs_as_a_command(null_models):
    words = [sys.executable, "-m", "attnstore", "info", str(null_models.path), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    seeds = {model["name"]: model["seed"] for model in json.loads(done.stdout)["models"]}
    assert (seeds, done.stderr) == ({"trained": None, "by-weights": 3, "by-sequence": 12}, "")
    words[-2:] = ["nowhere"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
