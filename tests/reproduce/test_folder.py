"""The folder of a reproduction: what goes on in it, and what it refuses."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import attnstore
from attnstore.errors import AttnstoreError, SourceError, StoreError
from attnstore.format.documents import Manifest
from attnstore.queries.vig2021 import Reproduction, recipe, vig2021
from tests.models import save_bert
from tests.reproduce import tape_folder
from tests.reproduce.conftest import QUICK


def segments(done: Reproduction) -> dict[str, list[str]]:
    return {
        name: [one.id for one in Manifest.read(path / "attention" / done.model).segments]
        for name, path in done.stores.items()
    }


def test_the_same_call_goes_on_and_a_data_set_can_come_later(
    small: Path, data: Path, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(dataclasses.replace(one, properties=one.properties[:1]) for one in recipe.DATA_SETS)
    monkeypatch.setattr(recipe, "DATA_SETS", few)  # amino acids are twenty questions
    first = vig2021(str(small), sites, tmp_path / "out", **QUICK)
    assert set(first.stores) == {"binding_site"}
    assert len(first.missing) == 3
    second = vig2021(str(small), data, tmp_path / "out", **QUICK)
    assert second.missing == ()
    assert set(second.stores) == set(tape_folder.FILES)
    assert segments(second)["binding_site"] == segments(first)["binding_site"]
    of = second.heads[second.heads["property"] == "binding_site"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of, first.heads)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    small: Path, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attnstore.ingest import run as module

    settings = {**QUICK, "segment_entries": 40_000}
    whole = vig2021(str(small), sites, tmp_path / "whole", **settings)
    assert len(segments(whole)["binding_site"]) > 2
    computed, original = [], module.run_segment

    def stop(*arguments: Any, **options: Any) -> Any:
        if computed:
            raise KeyboardInterrupt
        computed.append(True)
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_segment", stop)
        with pytest.raises(KeyboardInterrupt):
            vig2021(str(small), sites, tmp_path / "stopped", **settings)
    kept = Manifest.read(tmp_path / "stopped" / "binding_site.attn" / "attention" / small.name)
    assert len(kept.segments) < len(segments(whole)["binding_site"])
    again = vig2021(str(small), sites, tmp_path / "stopped", **settings)
    assert {one.id for one in kept.segments} <= set(segments(again)["binding_site"])
    pd.testing.assert_frame_equal(again.heads, whole.heads)


def test_a_trial_takes_the_first_and_nothing_is_added_to_it(small: Path, sites: Path, tmp_path: Path) -> None:
    done = vig2021(str(small), sites, tmp_path / "out", limit=3, **QUICK)
    store = attnstore.open(done.stores["binding_site"])
    found = store.sql("SELECT id FROM proteins ORDER BY id").fetchall()
    assert found == [(record["id"],) for record in tape_folder.records("binding_site")[:3]]
    with pytest.raises(StoreError, match="was made with sample=None, not sample=5000"):
        vig2021(str(small), sites, tmp_path / "out", **QUICK)
    with pytest.raises(StoreError, match="was made with limit=3, not limit=4"):
        vig2021(str(small), sites, tmp_path / "out", limit=4, **QUICK)


def test_a_sample_is_drawn_with_the_seed_and_identical_sequences_are_kept_apart(
    small: Path, sites: Path, tmp_path: Path
) -> None:
    def ids(folder: str, **options: Any) -> list[str]:
        done = vig2021(str(small), sites, tmp_path / folder, **options, **QUICK)
        store = attnstore.open(done.stores["binding_site"])
        return [name for (name,) in store.sql("SELECT id FROM proteins ORDER BY id").fetchall()]

    drawn = [ids(f"seed-{seed}", sample=4, seed=seed) for seed in range(2)]
    assert all(len(one) == 4 for one in drawn)
    assert len(set(map(tuple, drawn))) > 1
    assert ids("again", sample=4, seed=1) == drawn[1]
    assert len(ids("all")) == len(tape_folder.LENGTHS) + 1


def test_the_default_folder_tells_a_trial_from_the_whole(
    small: Path, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vig2021(str(small), sites, limit=2, **QUICK).page == Path("vig2021-mine-first-2/index.html")
    assert vig2021(str(small), sites, **QUICK).page == Path("vig2021-mine/index.html")


def test_nothing_to_read_is_refused_with_what_is_missing_and_where_it_is(small: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has none of the data sets") as error:
        vig2021(str(small), tmp_path, tmp_path / "out", **QUICK)
    for file in tape_folder.FILES.values():
        assert str(tmp_path / file) in str(error.value)
    assert not (tmp_path / "out").exists()


def test_files_are_found_in_the_folder_itself_too(small: Path, sites: Path, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "binding_site_train.lmdb").symlink_to(sites / tape_folder.FILES["binding_site"])
    done = vig2021(str(small), tmp_path / "flat", tmp_path / "out", **QUICK)
    assert len(done.heads)
    assert any("proteinnet_train.lmdb is missing" in sentence for sentence in done.missing)
    with pytest.raises(SourceError, match="binding_site_valid"):
        vig2021(str(small), tmp_path / "flat", tmp_path / "other", split="valid", **QUICK)


def test_a_model_that_cannot_be_loaded_leaves_no_trace(sites: Path, tmp_path: Path) -> None:
    with pytest.raises(AttnstoreError):
        vig2021(str(tmp_path / "nothing"), sites, tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


def test_what_could_not_be_measured_afterwards_is_refused_before(small: Path, sites: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="need arcs"):
        vig2021(str(small), sites, tmp_path / "out", keep=("marginals",), **QUICK)
    with pytest.raises(StoreError, match="limit=2 and sample=3 exclude each other"):
        vig2021(str(small), sites, tmp_path / "out", limit=2, sample=3, **QUICK)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_of_one_model(small: Path, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = vig2021(str(small), sites, tmp_path / "out", limit=2, **QUICK)
    monkeypatch.chdir(small.parent)
    again = vig2021(small.name, sites, tmp_path / "out", limit=2, **QUICK)
    assert segments(again) == segments(first)
    other = save_bert(tmp_path / "other", seed=5)
    with pytest.raises(StoreError, match="was made with model='mine', not model='other'"):
        vig2021(str(other), sites, tmp_path / "out", limit=2, **QUICK)


def sites_file(folder: Path, records: list[dict[str, Any]]) -> Path:
    """A data folder of binding sites alone, its file new."""
    path = folder / "binding_site_train.lmdb"
    if path.exists():
        shutil.rmtree(path)
    folder.mkdir(exist_ok=True)
    tape_folder.write_records(path, records)
    return folder


def test_nothing_is_added_from_another_file(small: Path, tmp_path: Path) -> None:
    records = tape_folder.records("binding_site")
    first = vig2021(str(small), sites_file(tmp_path / "one", records[:4]), tmp_path / "out", sample=4, **QUICK)
    for folder in (tmp_path / "two", tmp_path / "one"):
        other = sites_file(folder, records[4:])
        with pytest.raises(StoreError, match=r"binding_site\.attn was made of another file than"):
            vig2021(str(small), other, tmp_path / "out", sample=4, **QUICK)
    store = attnstore.open(first.stores["binding_site"])
    assert store.sql("SELECT count(*) FROM proteins").fetchall() == [(4,)]
    again = vig2021(str(small), sites_file(tmp_path / "two", records[:4]), tmp_path / "out", sample=4, **QUICK)
    pd.testing.assert_frame_equal(again.heads, first.heads)


def test_a_store_that_no_recipe_tells_of_is_left_alone(small: Path, sites: Path, tmp_path: Path) -> None:
    vig2021(str(small), sites, tmp_path / "out", **QUICK)
    (tmp_path / "out" / "recipe.json").unlink()
    with pytest.raises(StoreError, match="was made of another file"):
        vig2021(str(small), sites, tmp_path / "out", limit=2, **QUICK)
    assert not (tmp_path / "out" / "recipe.json").exists()


def test_a_file_that_was_damaged_can_be_put_right(small: Path, sites: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    copy = tmp_path / "data" / "binding_site_train.lmdb"
    shutil.copytree(sites / tape_folder.FILES["binding_site"], copy)
    whole = (copy / "data.mdb").read_bytes()
    (copy / "data.mdb").write_bytes(whole[:8192])
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError, match="damaged or cut off"):
        vig2021(str(small), tmp_path / "data", tmp_path / "out", **QUICK)
    assert not any((tmp_path / "out").iterdir())
    (copy / "data.mdb").unlink()
    with pytest.raises(SourceError, match=r"data\.mdb cannot be read: No such file"):
        vig2021(str(small), tmp_path / "data", tmp_path / "out", **QUICK)
    (copy / "data.mdb").write_bytes(whole)
    assert len(vig2021(str(small), tmp_path / "data", tmp_path / "out", **QUICK).heads)


def test_other_settings_are_refused_before_anything_is_done(small: Path, sites: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "valid"):
        (data / f"binding_site_{split}.lmdb").symlink_to(sites / tape_folder.FILES["binding_site"])
    vig2021(str(small), data, tmp_path / "out", keep=("marginals", "arcs"), **QUICK)
    for other in ({"keep": ("codes",)}, {"precision": "bfloat16"}, {"seed": 1}, {"split": "valid"}):
        with pytest.raises(StoreError, match=f"was made with {next(iter(other))}=.*or another folder"):
            vig2021(str(small), data, tmp_path / "out", **QUICK, **other)
    assert vig2021(str(small), data, tmp_path / "out", keep=("arcs", "marginals"), **QUICK).page.exists()


def test_a_folder_that_cannot_be_written_is_told(small: Path, sites: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/out cannot be written: Not a directory"):
        vig2021(str(small), sites, tmp_path / "file" / "out", **QUICK)
