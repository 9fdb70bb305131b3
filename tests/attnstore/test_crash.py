"""An ingest that is killed loses nothing that was committed, and the same call finishes what it began."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import attnstore
from attnstore.errors import StoreError
from attnstore.format import segment_writer
from attnstore.format.documents import Manifest
from attnstore.runtime.durable import files_below, sha256_file

from ..models import CHAINS, write_chains

#: Settings that cut the chains into many segments.
SETTINGS = {"device": "cpu", "name": "m", "batch_pairs": 64 * 128, "segment_entries": 6_000}
#: Enough chains that the kills fall between segments; no two of one length, so that none ties with another.
MANY = {f"2C{number:02d}_A": 14 + number for number in range(12)}


def ingest(store: Path, model: Path, inputs: list[Path], **settings: object) -> object:
    from attnstore.ingest import ingest as run

    return run(store, inputs, model=str(model), **(SETTINGS | settings))


def committed(store: Path, model: str = "m") -> dict[int, dict[str, tuple[str, int]]]:
    """Digest and time of change of every file of every committed segment, by number."""
    directory = store / "attention" / model
    return {
        entry.number: {
            path.relative_to(directory / "segments" / entry.id).as_posix(): (sha256_file(path), path.stat().st_mtime_ns)
            for path in files_below(directory / "segments" / entry.id)
        }
        for entry in Manifest.read(directory).segments
    }


def segment_directories(store: Path, model: str = "m") -> set[str]:
    return {path.name for path in (store / "attention" / model / "segments").iterdir()}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_chains(tmp_path_factory.mktemp("many"), MANY)


@pytest.mark.parametrize("after", ["_write_proteins", "_write_codes", "_write_marginals", "_write_arcs", "seal"])
def test_a_segment_that_was_not_committed_is_cleared_by_the_next_run(tmp_path, tiny_esm, many, monkeypatch, after):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:3])
    before = committed(store)
    step = getattr(segment_writer, after)

    def killed(*arguments: object) -> None:
        step(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(segment_writer, after, killed)
        with pytest.raises(KeyboardInterrupt):
            ingest(store, tiny_esm, many[:5])
    assert committed(store) == before
    assert len(segment_directories(store)) > len(before)
    assert attnstore.open(store).verify() == []
    ingest(store, tiny_esm, many[:5])
    after_all = committed(store)
    assert {number: after_all[number] for number in before} == before
    assert len(segment_directories(store)) == len(after_all) > len(before)


def test_half_written_documents_of_a_killed_run_are_cleared(tmp_path, tiny_esm, many):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:2])
    halves = [store / ".store.json.1.tmp", store / ".catalog.1.tmp", store / ".catalog.1.tmp.wal",
              store / "attention" / "m" / ".manifest.json.1.tmp"]  # fmt: skip
    for half in halves:
        half.write_bytes(b"half")
    ingest(store, tiny_esm, many[:2])
    assert not [half for half in halves if half.exists()]


def test_the_same_call_again_writes_nothing(tmp_path, tiny_esm, many):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:3])
    before, catalog = committed(store), sha256_file(attnstore.open(store).catalog_path)
    summary = ingest(store, tiny_esm, many[:3])
    assert (summary.segments_written, summary.entries_written) == (0, 0)
    assert summary.proteins == 3
    assert committed(store) == before
    assert sha256_file(attnstore.open(store).catalog_path) == catalog


def test_a_second_ingest_of_a_model_at_the_same_time_is_refused_and_harms_nothing(tmp_path, ingests, tiny_esm, many):
    store = tmp_path / "store"
    first = ingests.start(store, tiny_esm, many, **SETTINGS)
    assert first.wait_for("+forward")
    os.kill(first.process, signal.SIGSTOP)  # so that it is there however slow this process is
    try:
        said = (
            rf"^model m is being ingested by process {first.process} on {socket.gethostname()} since 2.*, or stop it\.$"
        )
        with pytest.raises(StoreError, match=said):
            ingest(store, tiny_esm, many)
    finally:
        os.kill(first.process, signal.SIGCONT)
    assert ingests.wait(first) == 0
    assert attnstore.open(store).verify() == []
    assert len(attnstore.open(store).model().places) == len(MANY)


def test_a_store_whose_first_document_was_half_written_is_made_by_the_next_run(tmp_path, tiny_esm, many):
    store = tmp_path / "store"
    store.mkdir()
    (store / ".store.json.1.tmp").write_bytes(b"half")
    ingest(store, tiny_esm, many[:1])
    assert not list(store.glob(".*"))
    assert attnstore.open(store).verify() == []


def test_an_ingest_waits_for_another_that_is_adding_proteins_and_loses_none_of_them(
    tmp_path, tiny_esm, many, monkeypatch
):
    from attnstore.catalog.writer import CatalogWriter
    from attnstore.format import lock
    from attnstore.ingest import pipeline

    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:1])
    at_the_door = threading.Event()
    load = pipeline.load

    def loaded(*arguments: object, **options: object) -> object:
        found = load(*arguments, **options)
        at_the_door.set()
        return found

    monkeypatch.setattr(pipeline, "load", loaded)
    with ThreadPoolExecutor(1) as pool:
        with lock.waiting(store), CatalogWriter(store) as catalog:
            waiting = pool.submit(ingest, store, tiny_esm, many[1:2])
            assert at_the_door.wait(60)
            time.sleep(0.5)  # in which it would write its catalog, if it did not wait
            catalog.add("between", "ACDEFGHIKL", "elsewhere", None)
            catalog.publish()
        waiting.result()
    opened = attnstore.open(store)
    wanted = {"between", *list(MANY)[:2]}
    assert set(opened.sql("SELECT id FROM proteins").df()["id"]) == wanted
    assert set(opened.model().places) == wanted
    assert opened.verify() == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_residues": 20}, "max_residues was 510 and is 20"),
        ({"long": "skip"}, "long was truncate and is skip"),
        ({"batch_pairs": 9_000}, "batch_pairs was 8192 and is 9000"),
        ({"segment_entries": 6_001}, "segment_entries was 6000 and is 6001"),
        ({"precision": "bfloat16"}, "precision was float32 and is bfloat16"),
    ],
)
def test_changed_settings_are_refused_by_name(tmp_path, tiny_esm, many, changed, message):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:2])
    before = committed(store)
    refused = r"^model m is in the store with other settings \(.*\): use the same, or another name \(name='m-2'\)\.$"
    with pytest.raises(StoreError, match=refused) as raised:
        ingest(store, tiny_esm, many[:2], **changed)
    assert message in str(raised.value)
    assert committed(store) == before


def test_another_model_under_the_same_name_is_refused(tmp_path, tiny_esm, many):
    from ..models import save_esm

    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:2])
    with pytest.raises(StoreError, match="weights_sha256 was"):
        ingest(store, save_esm(tmp_path / "other", seed=9), many[:2])


def test_new_proteins_go_into_new_segments_and_leave_the_old_ones_alone(tmp_path, tiny_esm, many):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:6])
    before, old_catalog = committed(store), attnstore.open(store).catalog_path
    summary = ingest(store, tiny_esm, many[6:])
    after = committed(store)
    assert {number: after[number] for number in before} == before
    assert summary.segments_written == len(after) - len(before) > 0
    opened = attnstore.open(store)
    assert set(opened.model().places) == set(MANY)
    assert opened.catalog_path != old_catalog
    assert opened.verify() == []


def test_a_store_opened_before_proteins_were_added_answers_as_before(tmp_path, tiny_esm, many):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:4])
    opened = attnstore.open(store)
    before = opened.align("contact", replicates=5)
    ingest(store, tiny_esm, many[4:])
    assert opened.align("contact", replicates=5).identical(before)
    assert attnstore.open(store).align("contact", replicates=5).attrs["proteins"] == len(MANY)


def test_a_second_model_runs_over_the_proteins_that_are_there(tmp_path, small_store, tiny_bert):
    store = tmp_path / "store"
    shutil.copytree(small_store, store)
    before = committed(store, "tiny_esm")
    summary = ingest(store, tiny_bert, [], name="second")
    assert summary.proteins == len(CHAINS)
    opened = attnstore.open(store)
    assert set(opened.model("second").places) == set(CHAINS)
    assert committed(store, "tiny_esm") == before
    assert opened.verify() == []


@pytest.mark.parametrize("lost", ["manifest.json", "model.json", "plan.json"])
def test_an_ingest_into_a_store_that_lost_a_document_deletes_nothing(tmp_path, tiny_esm, many, lost):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:3])
    directories = {name: sorted((store / "attention" / "m" / "segments" / name).rglob("*"))
                   for name in segment_directories(store)}  # fmt: skip
    (store / "attention" / "m" / lost).unlink()
    with pytest.raises(StoreError, match=f"{lost}.*(missing|does not exist)"):
        ingest(store, tiny_esm, many[:4])
    assert directories == {name: sorted((store / "attention" / "m" / "segments" / name).rglob("*"))
                           for name in segment_directories(store)}  # fmt: skip
