"""Segments from other processes are, byte for byte, those of one process; and what is wrong with workers is said."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import InvalidStateError
from pathlib import Path

import dask
import distributed
import pytest
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from tornado.log import app_log

import attnstore
from attnstore.errors import AttnstoreError, ModelError, StoreError
from attnstore.ingest import ingest, run, task
from attnstore.ingest.model.language_model import LanguageModel, load
from attnstore.ingest.plan import PlannedSegment
from attnstore.ingest.workers import start_workers
from attnstore.runtime.cluster import cluster_errors

from ..models import ESM_VOCABULARY, save_esm
from .oracle import command, fasta, random_proteins, segments

PROTEINS = random_proteins({f"p{length}": length for length in range(16, 46, 2)})
SETTINGS = {"name": "m", "device": "cpu", "batch_pairs": 2 * 44 * 128, "segment_entries": 12 * 44**2}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, inputs: list[Path]) -> Path:
    """The store of one process."""
    store = tmp_path_factory.mktemp("stores") / "plain"
    assert ingest(store, inputs, model=str(tiny_esm), **SETTINGS).segments_written > 6
    return store


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[str]:
    """Address of a scheduler, with workers in threads of this process."""
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", memory_limit=0,
    ) as started:  # fmt: skip
        yield started.scheduler_address


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with cluster(1) as address:
        yield address


def test_two_workers_write_what_one_process_does_and_go_without_a_word(tmp_path, tiny_esm, inputs, plain):
    words = command(tmp_path / "store", inputs, tiny_esm, SETTINGS, "--workers=2")
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=240)
    assert segments(tmp_path / "store") == segments(plain)
    assert f"\nthis run     {len(segments(plain))} segments in " in done.stdout
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("m: ")]
    assert said == []  # but the forecast and the bar
    assert attnstore.open(tmp_path / "store").verify() == []


def test_a_scheduler_has_workers_that_write_the_same(tmp_path, tiny_esm, inputs, plain, scheduler, monkeypatch):
    store = tmp_path / "store"
    ingest(store, inputs, model=str(tiny_esm), scheduler=scheduler, **SETTINGS)
    assert segments(store) == segments(plain)

    def forward(*arguments: object, **options: object) -> None:
        raise AssertionError("everything is there")

    monkeypatch.setattr(LanguageModel, "forward", forward)
    summary = ingest(store, inputs, model=str(tiny_esm), scheduler=scheduler, **SETTINGS)
    assert (summary.segments_written, summary.proteins) == (0, len(PROTEINS))


def test_one_worker_is_this_process(tmp_path, tiny_esm, inputs, plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), workers=1, **SETTINGS)
    assert segments(tmp_path / "store") == segments(plain)


def test_what_a_worker_skips_is_recorded_by_the_one_that_commits(tmp_path, scheduler):
    import torch

    def change(module: torch.nn.Module) -> None:
        with torch.no_grad():
            module.get_parameter("embeddings.word_embeddings.weight")[ESM_VOCABULARY.index("U")] = float("nan")

    model = save_esm(tmp_path / "model", change)
    proteins = PROTEINS | {"bad": "ACDEUGHIKL"}
    inputs = [fasta(tmp_path / "x.fasta", proteins)]
    with pytest.raises(ModelError, match=r"^bad: attention of layer 0 holds a weight that is NaN"):
        ingest(tmp_path / "strict", inputs, model=str(model), scheduler=scheduler, strict=True, **SETTINGS)
    for how in ({}, {"scheduler": scheduler}):
        summary = ingest(tmp_path / f"{len(how)}", inputs, model=str(model), **how, **SETTINGS)
        assert (summary.proteins, summary.skipped) == (len(PROTEINS), 1)
    assert segments(tmp_path / "0") == segments(tmp_path / "1")
    # The strict one stops, keeps what it has, and is finished by a lenient one.
    ingest(tmp_path / "strict", inputs, model=str(model), **SETTINGS)
    assert segments(tmp_path / "strict") == segments(tmp_path / "1")


def test_an_error_on_a_worker_names_the_segment_and_keeps_the_others(tmp_path, tiny_esm, inputs, plain, scheduler):
    forward, runs = LanguageModel.forward, []

    def fails(self: LanguageModel, *arguments: object, **options: object) -> object:
        runs.append(arguments)
        if len(runs) == 4:
            raise RuntimeError("the device is on fire")
        return forward(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "forward", fails)
        with pytest.raises(StoreError) as refused:
            ingest(tmp_path / "store", inputs, model=str(tiny_esm), scheduler=scheduler, **SETTINGS)
    words = "segment {} could not be computed by a worker: the device is on fire."
    assert str(refused.value) in [words.format(number) for number in segments(plain)]
    kept = segments(tmp_path / "store")
    assert kept.items() <= segments(plain).items()
    assert attnstore.open(tmp_path / "store").verify() == []
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), scheduler=scheduler, **SETTINGS)
    assert segments(tmp_path / "store") == segments(plain)


def test_what_was_given_up_leaves_no_traceback_and_what_broke_does(scheduler, caplog):
    given_up = [FutureCancelledError("task", "unknown"), InvalidStateError("cancelled before")]
    with start_workers(None, scheduler, "cpu"):
        for error in (*given_up, ValueError("broken")):
            app_log.error("Exception in callback", exc_info=error)
    app_log.error("Exception in callback", exc_info=given_up[0])
    assert [record.exc_info[0] for record in caplog.records] == [ValueError, FutureCancelledError]


def test_a_worker_with_other_weights_is_found_out(tmp_path, inputs, scheduler, monkeypatch):
    model, other = save_esm(tmp_path / "model"), save_esm(tmp_path / "other", seed=5)
    monkeypatch.setattr(task, "load", lambda source, **options: load(str(other), **options))
    with pytest.raises(ModelError) as refused:
        ingest(tmp_path / "store", inputs, model=str(model), scheduler=scheduler, **SETTINGS)
    assert str(refused.value) == (f"model {model} has other weights on this worker than where the ingest was started.")
    monkeypatch.undo()
    # It is loaded again where it has changed since.
    assert ingest(tmp_path / "store", model=str(model), scheduler=scheduler, **SETTINGS).proteins == len(PROTEINS)


def test_a_scheduler_that_dies_leaves_what_is_committed_and_says_how_to_go_on(
    tmp_path, tiny_esm, inputs, plain, monkeypatch
):
    store, commit, committed = tmp_path / "store", run.Run._commit, []
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), cluster(1) as address:

        def dies(self: run.Run, *arguments: object) -> None:
            commit(self, *arguments)
            committed.append(arguments)
            if len(committed) == 3:
                raise CommClosedError("in <TCP (closed) Client->Scheduler>: Stream is closed")

        for lost in (dies, lambda *_: (_ for _ in ()).throw(FutureCancelledError("task", "scheduler-connection-lost"))):
            with monkeypatch.context() as patch:
                patch.setattr(run.Run, "_commit", lost)
                with pytest.raises(StoreError) as refused:
                    ingest(store, inputs, model=str(tiny_esm), scheduler=address, **SETTINGS)
            assert str(refused.value) == (
                f"the connection to the Dask scheduler at {address} was lost: what is committed is kept; start it "
                "again if it is gone, and run the same command to resume."
            )
    kept = segments(store)
    assert 3 <= len(kept) < len(segments(plain))
    assert attnstore.open(store).verify() == []
    ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert segments(store) == segments(plain)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (FutureCancelledError("task", "unknown"), "the connection to the Dask scheduler at {} was lost: ask again."),
        (CommClosedError("closed"), "the connection to the Dask scheduler at {} was lost: ask again."),
        (TimeoutError(), "the connection to the Dask scheduler at {} was lost: ask again."),
        (distributed.KilledWorker("task", None, 3), "the workers of the Dask scheduler at {} died repeatedly"),
    ],
)  # fmt: skip
def test_what_dask_raises_of_a_lost_cluster_is_one_sentence(lost, said):
    with pytest.raises(StoreError) as refused, cluster_errors("tcp://host:1", StoreError, "ask again"):
        raise lost
    assert str(refused.value).startswith(said.format("tcp://host:1"))
    assert str(refused.value).endswith(": ask again.")


def test_a_worker_that_does_not_see_the_store_says_so_and_makes_no_folder(tmp_path, plain):
    directory = tmp_path / "elsewhere" / "attention" / "m"
    job = task.Job(directory, attnstore.open(plain).model().document, "model", "cpu", 1, False)
    with pytest.raises(StoreError, match=rf"does not see the store at {tmp_path / 'elsewhere'}: every worker needs"):
        task.run_segment(job, PlannedSegment(0, (("p16",),)), {})
    assert list(tmp_path.iterdir()) == []


# --- refusals


def refusal(tmp_path: Path, model: Path, inputs: list[Path], **options: object) -> str:
    with pytest.raises(AttnstoreError) as refused:
        ingest(tmp_path / "store", inputs, model=str(model), **SETTINGS, **options)
    assert not (tmp_path / "store").exists()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "http://127.0.0.1:9", "tcp://127.0.0.1:x"])
def test_an_address_where_no_scheduler_answers_is_named(tmp_path, tiny_esm, inputs, monkeypatch, address):
    monkeypatch.setattr("attnstore.runtime.cluster.PATIENCE", 0.5)
    said = refusal(tmp_path, tiny_esm, inputs, scheduler=address)
    assert said.startswith(f"the scheduler {address} cannot be reached: ")


def test_a_scheduler_without_workers_is_refused(tmp_path, tiny_esm, inputs):
    with cluster(0) as address:
        said = refusal(tmp_path, tiny_esm, inputs, scheduler=address)
    assert said == f"the Dask scheduler at {address} has no workers: start some."


def test_workers_and_a_scheduler_exclude_each_other(tmp_path, tiny_esm, inputs):
    said = refusal(tmp_path, tiny_esm, inputs, workers=2, scheduler="tcp://127.0.0.1:9")
    assert said == "workers=2 and scheduler=… exclude each other: a scheduler has its own workers."


@pytest.mark.parametrize("option", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:9"}], ids=str)
def test_without_dask_it_is_said_what_to_install(tmp_path, tiny_esm, inputs, monkeypatch, option):
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = refusal(tmp_path, tiny_esm, inputs, **option)
    assert said == "several workers need distributed: pip install 'attnstore[cluster]'."


def test_an_unknown_device_is_refused_with_those_there_are(tmp_path, tiny_esm, inputs, scheduler):
    for where in ({}, {"scheduler": scheduler}):
        with pytest.raises(ModelError, match=r"^device 'abacus' is not known: give auto, cpu, cuda or cuda:1"):
            ingest(tmp_path / "store", inputs, model=str(tiny_esm), **SETTINGS | {"device": "abacus"}, **where)
    assert not (tmp_path / "store").exists()
