"""An ingest that is killed loses nothing that was committed, and the same call finishes what it began."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import attnstore
from attnstore import segment_writer
from attnstore.durable import files_below, sha256_file
from attnstore.errors import StoreError
from attnstore.layout import Manifest

from ..models import CHAINS, write_chains

#: Settings that cut the chains into many segments.
SETTINGS = {"device": "cpu", "name": "m", "batch_pairs": 64 * 128, "segment_entries": 6_000}
#: Enough chains that the kills fall between segments; no two of one length, so that none ties with another.
MANY = {f"2C{number:02d}_A": 14 + number for number in range(12)}

# Imports what takes long once; then every line of input is an ingest in a forked process of its own. It says when
# the work begins, so that a kill can be timed from there, and lingers in each step, so that a kill finds it there.
FORKER = """
import json, os, sys, time
import attnstore.queries.align, torch, transformers.models.esm.modeling_esm, transformers.models.bert.modeling_bert
from attnstore import layout, segment_writer
from attnstore.ingest import pipeline

def slowed(function):
    def slow(*arguments, **options):
        time.sleep(0.01)
        result = function(*arguments, **options)
        time.sleep(0.01)
        return result
    return slow

pipeline._fill_catalog = slowed(pipeline._fill_catalog)
pipeline.write_segment = slowed(pipeline.write_segment)
segment_writer._write_codes, segment_writer._write_arcs = (
    slowed(segment_writer._write_codes), slowed(segment_writer._write_arcs))
layout.Manifest.write = slowed(layout.Manifest.write)
load = pipeline.load
def loaded(*arguments, **options):
    found = load(*arguments, **options)
    print("loaded", flush=True)
    return found
pipeline.load = loaded

for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "wait":
        _, status = os.waitpid(order["process"], 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    process = os.fork()
    if process == 0:
        status = 1
        try:
            pipeline.ingest(order["store"], order["inputs"], model=order["model"], **order["settings"])
            status = 0
        finally:
            os._exit(status)
    print(process, flush=True)
"""


class Ingests:
    """Ingests in processes of their own, which can be killed."""

    def __init__(self) -> None:
        self._forker = subprocess.Popen(
            [sys.executable, "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _answer(self) -> str:
        assert self._forker.stdout is not None
        return self._forker.stdout.readline().strip()

    def _order(self, **order: object) -> int:
        assert self._forker.stdin is not None
        print(json.dumps(order), file=self._forker.stdin, flush=True)
        return int(self._answer())

    def start(self, store: Path, model: Path, inputs: list[Path], **settings: object) -> int:
        """Id of a process that ingests, its model loaded."""
        process = self._order(
            do="ingest", store=str(store), model=str(model), inputs=list(map(str, inputs)), settings=SETTINGS | settings
        )
        assert self._answer() == "loaded"
        return process

    def wait(self, process: int) -> int:
        """Exit status, negative for a signal."""
        return self._order(do="wait", process=process)

    def close(self) -> None:
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        self._forker.stdin.close()
        self._forker.wait()
        self._forker.stdout.close()


@pytest.fixture(scope="module")
def ingests() -> Iterator[Ingests]:
    started = Ingests()
    yield started
    started.close()


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


def contents(store: Path) -> dict[int, dict[str, bytes]]:
    """What every segment holds: arrays decoded, as the order of the chunks in a shard is whichever was ready first."""
    found = {}
    for part in attnstore.open(store).model("m").segments:
        arrays = {name: part.marginal(name) for name in ("received", "emitted", "special")}
        arrays |= {"codes": part.codes(slice(None), slice(None)), "mean": part.bin_mean, "count": part.bin_count}
        files = {name: (part.directory / name).read_bytes() for name in ("arcs.parquet", "proteins.parquet")}
        found[part.entry.number] = {name: array.tobytes() for name, array in arrays.items()} | files
    return found


def segment_directories(store: Path, model: str = "m") -> set[str]:
    return {path.name for path in (store / "attention" / model / "segments").iterdir()}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_chains(tmp_path_factory.mktemp("many"), MANY)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, many: list[Path]) -> Path:
    store = tmp_path_factory.mktemp("uninterrupted") / "store"
    summary = ingest(store, tiny_esm, many)
    assert summary.segments_written >= 6
    return store


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_ingest_keeps_what_it_committed_and_is_finished_by_the_same_call(
    tmp_path, ingests, tiny_esm, many, uninterrupted, seed
):
    store = tmp_path / "store"
    process = ingests.start(store, tiny_esm, many)
    # Wherever the delay falls, the assertions hold; the seeds spread it over catalog, plan and segments.
    time.sleep(random.Random(seed).uniform(0.4 * seed, 0.4 * seed + 0.4))
    os.kill(process, signal.SIGKILL)
    assert ingests.wait(process) in (-signal.SIGKILL, 0)

    before = committed(store) if (store / "attention" / "m").exists() else {}
    opened = attnstore.open(store)
    if opened.models:
        for name, (part, _) in opened.model().places.items():
            assert opened.attention(name, layer=0).shape[1:] == (MANY[name],) * 2
            assert part.bin_count.sum() > 0
    summary = ingest(store, tiny_esm, many)

    after = committed(store)
    assert {number: after[number] for number in before} == before
    assert summary.segments_written == len(after) - len(before)
    assert contents(store) == contents(uninterrupted)
    assert segment_directories(store) == {entry.id for entry in attnstore.open(store).model().manifest.segments}
    assert not [path for path in store.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]
    assert attnstore.open(store).verify() == []


@pytest.mark.parametrize("after", ["_write_proteins", "_write_codes", "_write_arcs", "seal"])
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
    assert len(segment_directories(store)) == len(before) + 1
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
    process = ingests.start(store, tiny_esm, many)
    while not (store / "attention" / "m" / "manifest.json").exists():
        os.kill(process, 0)
        time.sleep(0.005)
    os.kill(process, signal.SIGSTOP)  # so that it is there however slow this process is
    try:
        with pytest.raises(StoreError, match="model m is being ingested by another process"):
            ingest(store, tiny_esm, many)
    finally:
        os.kill(process, signal.SIGCONT)
    assert ingests.wait(process) == 0
    assert attnstore.open(store).verify() == []
    assert len(attnstore.open(store).model().places) == len(MANY)


def test_an_ingest_waits_for_another_that_is_adding_proteins_and_loses_none_of_them(
    tmp_path, tiny_esm, many, monkeypatch
):
    from attnstore.catalog import CatalogWriter
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
        with pipeline._one_at_a_time(store), CatalogWriter(store) as catalog:
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
        ({"max_residues": 20}, "max_residues was 20 and is 510"),
        ({"long": "skip"}, "long was skip and is truncate"),
        ({"batch_pairs": 9_000}, "batch_pairs was 9000 and is 8192"),
        ({"segment_entries": 6_001}, "segment_entries was 6001 and is 6000"),
        ({"precision": "bfloat16"}, "precision was bfloat16 and is float32"),
    ],
)
def test_changed_settings_are_refused_by_name(tmp_path, tiny_esm, many, changed, message):
    store = tmp_path / "store"
    ingest(store, tiny_esm, many[:2])
    before = committed(store)
    refused = r"^model m is in the store with other settings \(.*\): use the same, or another --name\.$"
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
