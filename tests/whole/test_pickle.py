"""Stores, models and answers are pickled and copied; a store is opened again by its path."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import attnstore
from attnstore.api import Store
from attnstore.errors import StoreError
from attnstore.format.segment import open_segment
from attnstore.ingest import ingest

from ..models import CHAINS

PROTEIN = "1FFF_A"
HEADS = "SELECT layer, head, count(*) n, avg(distance) d FROM attention WHERE weight >= 0.3 GROUP BY ALL ORDER BY ALL"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, chain_files: list[Path]) -> Store:
    path = tmp_path_factory.mktemp("stores") / "with hidden"
    keep = ("codes", "arcs", "marginals", "hidden")
    ingest(path, chain_files, model=str(tiny_esm), name="m", device="cpu", keep=keep, segment_entries=25_000)
    return attnstore.open(path)


ANSWERS: dict[str, Callable[[Store], Any]] = {
    "alignment": lambda store: store.align("target.aa = 'L'", min_arcs=1, replicates=9),
    "paper": lambda store: store.align("contact", paper=True),
    "split": lambda store: store.align("contact", split=True, replicates=9),
    "curve": lambda store: store.align("contact", threshold=None, replicates=0),
    "matrix": lambda store: store.attention(PROTEIN, layer=1, head=2),
    "bounds": lambda store: store.attention_bounds(PROTEIN),
    "hidden": lambda store: store.hidden(PROTEIN),
    "contacts": lambda store: store.contacts(PROTEIN, method="head", layer=1, head=2),
    "precision": lambda store: store.contact_precision(method="head", select=2),
    "probing": lambda store: store.probe("aa = 'L'"),
    "heads": lambda store: store.query(HEADS),
    "heads over layers": lambda store: store.query(HEADS).to_xarray(),
    "view": lambda store: store.view(PROTEIN, layer=1, head=2),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # tiny samples, Zarr's of strings
@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_pickled_copied_and_written(store, tmp_path, name):
    answer = ANSWERS[name](store)
    for copied in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer), copy.copy(answer)):
        assert type(copied) is type(answer)
        if isinstance(answer, pd.DataFrame):
            pd.testing.assert_frame_equal(copied, answer)
            assert copied.attrs == answer.attrs
            assert copied.to_arrow().equals(answer.to_arrow())
        elif isinstance(answer, xr.Dataset | xr.DataArray):
            assert copied.identical(answer)
        else:
            assert repr(copied) == repr(answer)
    if isinstance(answer, xr.Dataset | xr.DataArray):
        opened = xr.load_dataset if isinstance(answer, xr.Dataset) else xr.load_dataarray
        answer.to_netcdf(tmp_path / "answer.nc")
        assert opened(tmp_path / "answer.nc").equals(answer)
        answer.to_zarr(tmp_path / "answer.zarr", consolidated=False)
        assert opened(tmp_path / "answer.zarr", engine="zarr", consolidated=False).equals(answer)


def test_what_is_changed_in_a_copied_result_stays_in_the_copy(store):
    result = store.query(HEADS)
    copied = copy.deepcopy(result)
    copied["n"] = 0
    copied.attrs["models"].clear()
    assert result["n"].sum() > 0
    assert list(result.attrs["models"]) == ["m"]


def test_other_processes_get_the_store_its_model_and_segments(store, monkeypatch):
    expected = store.query(HEADS)
    monkeypatch.chdir(store.path.parent)
    relative = attnstore.open(store.path.name)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pd.testing.assert_frame_equal(pool.submit(Store.query, relative, HEADS).result(), expected)
        assert str(pool.submit(Store.__repr__, relative).result()).endswith(repr(store.model()))
        located = pool.submit(type(store.model()).locate, relative.model(), PROTEIN).result()
    assert np.array_equal(located[0].codes(1, 2), store.model().locate(PROTEIN)[0].codes(1, 2))
    found = joblib.Parallel(2, prefer="threads")(joblib.delayed(store.attention)(name) for name in CHAINS)
    assert [matrix.shape[-1] for matrix in found] == list(CHAINS.values())


def test_a_copy_of_a_store_sees_what_the_store_is_then(store_copy, tiny_esm, chain_files):
    old = attnstore.open(store_copy)
    data = pickle.dumps(old)
    ingest(store_copy, model=str(tiny_esm), name="second", device="cpu", limit=2)
    assert list(pickle.loads(data).models) == ["second", "tiny_esm"]
    assert list(old.models) == ["tiny_esm"]
    assert list(copy.deepcopy(old).models) == ["second", "tiny_esm"]


def test_where_a_store_is_gone_one_sentence_says_so(store_copy):
    store = attnstore.open(store_copy)
    pickles = [pickle.dumps(part) for part in (store, store.model(), store.model().segments[0])]
    shutil.rmtree(store_copy)
    open_segment.cache_clear()  # as in another process
    for data in pickles:
        with pytest.raises(StoreError, match=rf"^[^\n]*{store_copy}[^\n]* does not exist"):
            pickle.loads(data)
