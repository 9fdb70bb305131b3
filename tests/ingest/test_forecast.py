"""What an ingest is said to take: its numbers, its trial, and the refusal of a disk that cannot hold it."""

from __future__ import annotations

import collections
import re
import shutil
from pathlib import Path

import pytest

import attnstore
from attnstore.errors import StoreError
from attnstore.format.documents import Manifest, SegmentEntry
from attnstore.ingest import forecast, ingest, run, task
from attnstore.runtime.durable import files_below

from .oracle import fasta, random_proteins, segments

PROTEINS = random_proteins({f"p{length}": length for length in range(12, 44, 3)})
RESIDUES = sum(map(len, PROTEINS.values()))
ENTRIES = 12 * sum(len(sequence) ** 2 for sequence in PROTEINS.values())
SETTINGS = {"name": "m", "device": "cpu", "batch_pairs": 3 * 42 * 128, "segment_entries": 12 * 2 * 42**2}


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let every disk have so many bytes free."""
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - size, size))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[forecast.IngestForecast]:
    """The forecasts that the ingests of a test made."""
    made: list[forecast.IngestForecast] = []
    check = run.check_disk

    def kept(said: forecast.IngestForecast, store: Path) -> None:
        assert not list(store.rglob(".trial"))
        made.append(said)
        check(said, store)

    monkeypatch.setattr(run, "check_disk", kept)
    return made


def test_it_counts_what_is_to_come_on_standard_error(tmp_path, tiny_esm, inputs, capfd, monkeypatch):
    free(monkeypatch, 123_400_000)
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), progress=True, **SETTINGS)
    printed = capfd.readouterr()
    assert printed.out == ""
    line = next(line for line in printed.err.splitlines() if line.startswith("m: 3"))
    assert line.startswith(f"m: 3 segments, {RESIDUES} residues, {ENTRIES:,} attention entries: ")
    assert line.endswith(" of 123.4 MB free")
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), progress=True, **SETTINGS)
    assert "attention entries" not in capfd.readouterr().err  # nothing is to come


def test_nothing_is_said_without_progress(tmp_path, tiny_esm, inputs, capfd, monkeypatch):
    monkeypatch.setattr(forecast, "_WORTH_A_TRIAL", 0)
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), **SETTINGS)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_a_disk_that_is_too_small_is_refused_unless_forced(tmp_path, tiny_esm, inputs, told, monkeypatch):
    free(monkeypatch, 1000)
    store = tmp_path / "store"
    with pytest.raises(StoreError) as refused:
        ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert re.fullmatch(
        rf"{re.escape(str(store))} has 1\.0 kB of disk left where about \d+\.\d [kM]B are needed: make room, keep less "
        r"\(keep=\['arcs', 'marginals'\]\), or continue with force=True\.",
        str(refused.value),
    )
    (said,) = told
    assert said.bytes > said.free == 1000
    opened = attnstore.open(store)
    assert opened.model().manifest == Manifest()
    assert opened.verify() == []
    assert ingest(store, inputs, model=str(tiny_esm), force=True, **SETTINGS).proteins == len(PROTEINS)
    # What is there takes no more room.
    assert ingest(store, inputs, model=str(tiny_esm), **SETTINGS).segments_written == 0
    more = fasta(tmp_path / "more.fasta", random_proteins({"more": 40}))
    with pytest.raises(StoreError, match="of disk left"):
        ingest(store, [more], model=str(tiny_esm), **SETTINGS)


@pytest.mark.parametrize("keep", [("codes", "arcs", "marginals"), ("arcs", "hidden")], ids=",".join)
def test_a_trial_is_written_weighed_and_removed(tmp_path, tiny_esm, inputs, told, monkeypatch, keep):
    weighed: list[tuple[int, int]] = []
    write = task.write_segment

    def weigh(directory: Path, number: int, contents: object, *others: object) -> SegmentEntry:
        entry = write(directory, number, contents, *others)
        if ".trial" in directory.parts:
            size = sum(path.stat().st_size for path in files_below(directory / "segments" / entry.id))
            weighed.append((size, sum(length**2 for length in contents.proteins.stored.tolist())))
        return entry

    monkeypatch.setattr(forecast, "_WORTH_A_TRIAL", 0)
    monkeypatch.setattr(task, "write_segment", weigh)
    store = tmp_path / "store"
    ingest(store, inputs, model=str(tiny_esm), keep=keep, **SETTINGS)
    (said,) = told
    size, pairs = weighed[-1]
    assert (said.segments, said.residues, said.entries) == (3, RESIDUES, ENTRIES)
    assert said.bytes == round(ENTRIES * size / (12 * pairs))
    assert said.seconds is not None
    assert said.seconds > 0
    assert not list(store.rglob(".trial"))
    assert attnstore.open(store).verify() == []
    monkeypatch.undo()
    ingest(tmp_path / "without", inputs, model=str(tiny_esm), keep=keep, **SETTINGS)
    assert segments(store) == segments(tmp_path / "without")


def test_what_is_committed_says_best_how_much_an_entry_takes(tmp_path, tiny_esm, inputs, told):
    store = tmp_path / "store"
    ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    size = sum(len(file) for segment in segments(store).values() for file in segment.values())
    more = fasta(tmp_path / "more.fasta", random_proteins({"x": 33, "y": 20}))
    ingest(store, [more], model=str(tiny_esm), **SETTINGS)
    said = told[-1]
    assert (said.segments, said.residues, said.entries) == (1, 53, 12 * (33**2 + 20**2))
    assert said.bytes == round(said.entries * size / ENTRIES)


def test_a_trial_that_fails_is_said_in_one_sentence_and_leaves_nothing(tmp_path, tiny_esm, inputs, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(forecast, "_WORTH_A_TRIAL", 0)
    with monkeypatch.context() as patch:
        patch.setattr(task, "write_segment", full)
        with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)"):
            ingest(tmp_path / "store", inputs, model=str(tiny_esm), **SETTINGS)
    ingest(tmp_path / "store", inputs, model=str(tiny_esm), **SETTINGS)
    assert not list((tmp_path / "store").rglob(".trial"))
    assert attnstore.open(tmp_path / "store").verify() == []


@pytest.mark.parametrize(
    ("least", "wanted"),
    [
        (12 * 3 * 200**2, lambda least, total: 4 * least),
        (12 * 12 * 200**2, lambda least, total: total // 32),
        (12 * 20 * 200**2, lambda least, total: least),
    ],
)
def test_a_trial_is_taken_from_the_middle_and_stays_small(monkeypatch, least, wanted):
    from attnstore.ingest.compute import SequenceInput
    from attnstore.ingest.plan import plan_segments

    lengths = {f"p{number}": 400 - number for number in range(300)}
    proteins = {name: SequenceInput("A" * length, "", length) for name, length in lengths.items()}
    plan = plan_segments(lengths.items(), heads=12, segment_entries=12 * 10**6, batch_pairs=40 * 400**2)
    total = 12 * sum(length**2 for length in lengths.values())
    monkeypatch.setattr(forecast, "_WORTH_A_TRIAL", total)
    monkeypatch.setitem(forecast._TRIAL_ENTRIES, "cpu", least)
    trial = forecast.trial_segment(plan, proteins, 12, "cpu")
    before = sum(length**2 for length in lengths.values() if length > lengths[trial.proteins[0]])
    assert 0.4 < before / sum(length**2 for length in lengths.values()) < 0.6
    sizes = [12 * lengths[name] ** 2 for name in trial.proteins]
    assert sum(sizes[:-1]) < wanted(least, total) <= sum(sizes)
    fewer = {name: protein for name, protein in proteins.items() if name != "p299"}
    assert forecast.trial_segment(plan, fewer, 12, "cpu") is None


@pytest.mark.parametrize(
    ("size", "seconds", "said"),
    [
        (999, 89.4, "999 B of 1.0 kB free, about 89 s"),
        (12_345, 300, "12.3 kB of 1.0 kB free, about 5 min"),
        (5 * 10**9, 7200, "5.0 GB of 1.0 kB free, about 2.0 h"),
        (3 * 10**15, 86400 * 3, "3000.0 TB of 1.0 kB free, about 3.0 days"),
    ],
)
def test_sizes_and_times_are_said_in_units_that_suit_them(size, seconds, said):
    words = str(forecast.IngestForecast(2, 3000, 4_000_000, size, seconds, 1000))
    assert words == f"2 segments, 3,000 residues, 4,000,000 attention entries: about {said}"


@pytest.mark.parametrize(("device", "each"), [("cpu", 0.75), ("cuda:1", 0.5)])
def test_the_time_is_that_of_the_trial_for_every_entry_shared_by_the_workers(small_store, device, each):
    from attnstore.ingest.compute import SequenceInput
    from attnstore.ingest.plan import PlannedSegment

    model = attnstore.open(small_store).model()
    entry = SegmentEntry("0", 0, "", proteins=1, residues=100, pairs=10_000, arcs=0, bytes=60_000)
    # On a GPU writing goes on beside computing.
    trial = task.Done(entry, (), computing=0.5, writing=0.25)
    pending = [PlannedSegment(number, ((f"p{number}",), ("gone",))) for number in range(6)]
    proteins = {f"p{number}": SequenceInput("A" * 200, "", 200) for number in range(6)}
    said = forecast.forecast_ingest(small_store, model.document, pending, proteins, Manifest(), trial, 3, device)
    assert (said.segments, said.residues, said.entries) == (6, 1200, 12 * 6 * 40_000)
    assert said.bytes == 6 * 4 * 60_000
    assert said.seconds == pytest.approx(each * 4 * 6 / 3)
