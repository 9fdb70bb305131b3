"""Ctrl-C: an ingest says what it keeps and what it drops, and the same command goes on from there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

import attnstore
from attnstore.ingest import Interrupted, ingest, pipeline
from attnstore.ingest.model.language_model import LanguageModel

from .oracle import command, random_proteins, segments

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent")

PROTEINS = random_proteins({f"p{length}": length for length in range(14, 54)})
#: A segment for each protein but the shortest ones.
SETTINGS = {"name": "m", "device": "cpu", "segment_entries": 12 * 30**2}
SAID = re.compile(
    r"interrupted: of the segments under way (none|[\d, ]+) finished and kept, (none|[\d, ]+) dropped; "
    r"run the same command again to resume\."
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, inputs: list[Path]) -> Path:
    store = tmp_path_factory.mktemp("stores") / "uninterrupted"
    assert ingest(store, inputs, model=str(tiny_esm), **SETTINGS).segments_written > 25
    return store


def committed(store: Path) -> set[int]:
    """Numbers of the segments that the manifest lists; none where there is no manifest."""
    path = store / "attention" / "m" / "manifest.json"
    return {entry["number"] for entry in json.loads(path.read_bytes())["segments"]} if path.exists() else set()


def numbers(said: str) -> set[int]:
    return set() if said == "none" else set(map(int, said.split(", ")))


def started(store: Path, model: Path, inputs: list[Path], *options: str) -> subprocess.Popen[str]:
    """The command, in a group of processes of its own as a terminal gives it."""
    words = command(store, inputs, model, SETTINGS, *options)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell without job control has what it runs in the background ignore Ctrl-C, and so all that this starts.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(words, **pipes, start_new_session=True, preexec_fn=heeding)


def interrupted(process: subprocess.Popen[str], store: Path, *, times: int = 1) -> str:
    """Press Ctrl-C, `times` in a row, when three segments are there; what it says last."""
    until = time.monotonic() + 240
    while len(committed(store)) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    printed, said = process.communicate(timeout=240)
    assert printed == ""
    if times > 1:  # whoever insists may end it anywhere, in the printing of the message, too
        assert process.returncode in (130, -signal.SIGINT)
        return ""
    assert process.returncode == 130, said
    assert "Traceback" not in said, said
    return said.splitlines()[-1]


@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupted_command_says_what_it_kept_and_is_finished_by_the_same(
    tmp_path, tiny_esm, inputs, uninterrupted, times
):
    store = tmp_path / "store"
    said = interrupted(started(store, tiny_esm, inputs), store, times=times)
    before = segments(store)
    whole = segments(uninterrupted)
    assert 3 <= len(before) < len(whole)
    if times == 1:
        words = SAID.fullmatch(said)
        assert words, said
        kept, dropped = map(numbers, words.groups())
        assert kept <= before.keys()
        assert dropped.isdisjoint(before.keys())
        assert 1 <= len(kept | dropped) <= 2
    opened = attnstore.open(store)
    assert opened.verify() == []
    assert len(opened.model().places) == opened.model().manifest.total("proteins")
    summary = ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert summary.segments_written == len(whole) - len(before)
    assert segments(store) == whole
    assert attnstore.open(store).verify() == []


def test_an_interruption_before_the_first_segment_leaves_a_store_that_goes_on(
    tmp_path, tiny_esm, inputs, uninterrupted, monkeypatch
):
    store = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "extended_plan", lambda *arguments: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert attnstore.open(store).verify() == []
    ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert segments(store) == segments(uninterrupted)


def test_what_is_being_computed_is_dropped_and_what_is_being_written_kept(
    tmp_path, tiny_esm, inputs, uninterrupted, monkeypatch
):
    store, forward, runs = tmp_path / "store", LanguageModel.forward, []

    def interrupts(self: LanguageModel, *arguments: object, **options: object) -> object:
        runs.append(arguments)
        if len(runs) == 6:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # the main thread is told of it while this one computes
        return forward(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModel, "forward", interrupts)
        with pytest.raises(Interrupted) as stop:
            ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    words = SAID.fullmatch(str(stop.value))
    assert words
    kept, dropped = map(numbers, words.groups())
    assert kept <= committed(store)
    assert dropped.isdisjoint(committed(store))
    whole = segments(uninterrupted)
    assert segments(store).items() <= whole.items()
    # A segment whose only batch was under way is whole when it has been computed.
    assert committed(store) >= set(range(5))
    ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert segments(store) == whole


def test_workers_of_this_machine_do_not_mind_the_terminals_ctrl_c(tmp_path, tiny_esm, inputs, uninterrupted):
    store = tmp_path / "store"
    said = interrupted(started(store, tiny_esm, inputs, "--workers=2"), store)
    assert SAID.fullmatch(said), said
    assert attnstore.open(store).verify() == []
    ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert segments(store) == segments(uninterrupted)
