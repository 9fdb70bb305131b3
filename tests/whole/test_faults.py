"""Disks that fill up, files that rot, workers that die: verify names, repair mends, and no query answers from it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import attnstore
from attnstore import cli
from attnstore.errors import StoreError
from attnstore.format import segment, segment_files
from attnstore.format import zarr_writer as shard_writer
from attnstore.format.documents import Manifest
from attnstore.ingest import ingest
from attnstore.runtime import durable
from attnstore.runtime.durable import Written, files_below, sha256_file

from ..models import write_chains

#: No two of one length; the first ones stand alone in their segments.
LENGTHS = {f"2F{number:02d}_A": 60 - 3 * number for number in range(12)}
SETTINGS = {"device": "cpu", "name": "m", "segment_entries": 40_000}


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_chains(tmp_path_factory.mktemp("chains"), LENGTHS)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, chains: list[Path]) -> Path:
    """What an ingest makes that nothing disturbs. Not to be changed."""
    store = tmp_path_factory.mktemp("sound") / "store"
    assert ingest(store, chains, model=str(tiny_esm), **SETTINGS).segments_written >= 8
    return store


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Iterator[Path]:
    """The same, to damage."""
    store = tmp_path / "store"
    shutil.copytree(sound, store)
    yield store
    forget()


def forget() -> None:
    """Nothing read before the damage may answer after it."""
    segment.open_segment.cache_clear()
    segment_files.check_part.cache_clear()


def files(store: Path) -> dict[int, dict[str, str]]:
    """Digest of every file of every committed segment, by number."""
    directory = store / "attention" / "m"
    return {
        entry.number: {
            path.relative_to(directory / "segments" / entry.id).as_posix(): sha256_file(path)
            for path in files_below(directory / "segments" / entry.id)
        }
        for entry in Manifest.read(directory).segments
    }


#: A question to each tier.
QUESTIONS = {
    "arcs": "SELECT protein, layer, head, count(*) AS n, sum(weight) AS w FROM attention WHERE weight >= 0.1",
    "codes": "SELECT protein, layer, head, count(*) AS n FROM attention WHERE weight >= 0.012",
    "marginals": "SELECT protein, target.aa AS aa, sum(weight) AS w FROM attention WHERE layer = 1",
}


def answer(store: Path, tier: str, where: str = "true") -> pd.DataFrame:
    """What a tier says, of the proteins that a condition picks."""
    forget()
    return attnstore.open(store).query(f"{QUESTIONS[tier]} AND {where} GROUP BY ALL ORDER BY ALL", tier=tier)


def command(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int | str | None, str]:
    """Exit status and what was printed; never more than a line of error."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    forget()
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err
    return stop.value.code, printed.out


# --- files that rot


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -max(8, path.stat().st_size // 3)])


def empty(path: Path) -> None:
    path.write_bytes(b"")


#: A file of a segment and what happens to it; one segment each.
ROT: list[tuple[str, Callable[[Path], None]]] = [
    ("codes.zarr/codes/c/2/0/0", flip),
    ("codes.zarr/codes/c/0/0/0", Path.unlink),
    ("marginals.zarr/received/c/0/0/0", empty),
    ("marginals.zarr/emitted/c/0/0/0", flip),
    ("arcs.parquet", flip),
    ("arcs.parquet", cut),
    ("proteins.parquet", cut),
]


@contextlib.contextmanager
def damaged(path: Path, damage: Callable[[Path], None]) -> Iterator[None]:
    kept = path.read_bytes()
    damage(path)
    try:
        yield
    finally:
        path.write_bytes(kept)


def refusals(store: Path, sound: Path) -> int:
    """How many tiers refuse, each in one sentence; the others answer as the sound store does, or fail the test."""
    refused = []
    for tier in QUESTIONS:
        try:
            found = answer(store, tier)
        except StoreError as error:
            refused.append(str(error))
        else:
            pd.testing.assert_frame_equal(found, answer(sound, tier), check_exact=True)
    assert not [said for said in refused if "\n" in said]
    return len(refused)


def rotten(store: Path) -> list[tuple[Path, Callable[[Path], None]]]:
    entries = Manifest.read(store / "attention" / "m").segments
    assert len(entries) > len(ROT)
    places = [store / "attention" / "m" / "segments" / entry.id for entry in entries]
    return [(place / name, damage) for place, (name, damage) in zip(places, ROT, strict=False)]


def test_a_file_that_rots_is_never_answered_from(copy, sound):
    for path, damage in rotten(copy):
        with damaged(path, damage):
            assert refusals(copy, sound) == len(QUESTIONS)


def test_a_large_file_that_rots_is_never_answered_from_either(copy, sound, monkeypatch):
    monkeypatch.setattr(segment, "SMALL_FILE", 0)  # so that none is digested when it is opened
    refused = 0
    for path, damage in rotten(copy):
        with damaged(path, damage):
            refused += refusals(copy, sound)
    # A question passes over what it does not need.
    assert len(QUESTIONS) < refused < len(QUESTIONS) * len(ROT)


def test_all_that_rots_is_named_by_verify_and_mended_by_repair_which_computes_just_that(copy, sound, capfd):
    before = [entry.id for entry in Manifest.read(copy / "attention" / "m").segments]
    places = rotten(copy)
    for path, damage in places:
        damage(path)
    code, said = command(capfd, "verify", copy)
    assert code == 1
    lines = said.splitlines()
    assert [sum(str(path) in line for line in lines) for path, _ in places] == [1] * len(places) == [1] * len(lines)

    code, said = command(capfd, "repair", copy, "--trust-source")
    assert code == 0, said
    assert all(identity in said for identity in before[: len(ROT)])
    assert command(capfd, "verify", copy)[0] == 0
    assert files(copy) == files(sound)
    after = [entry.id for entry in Manifest.read(copy / "attention" / "m").segments]
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        index >= len(ROT) for index in range(len(before))
    ]
    for tier in QUESTIONS:
        pd.testing.assert_frame_equal(answer(copy, tier), answer(sound, tier), check_exact=True)


@pytest.mark.parametrize("damage", [flip, cut, empty, Path.unlink])
def test_a_manifest_that_rots_is_never_answered_from_and_made_again(copy, sound, capfd, damage):
    manifest = copy / "attention" / "m" / "manifest.json"
    damage(manifest)
    assert refusals(copy, sound) == len(QUESTIONS)
    code, said = command(capfd, "verify", copy)
    assert (code, len(said.splitlines())) == (1, 1)
    assert str(manifest) in said
    code, said = command(capfd, "repair", copy, "--trust-source")
    assert code == 0, said
    assert command(capfd, "verify", copy)[0] == 0
    assert manifest.read_bytes() == (sound / "attention" / "m" / "manifest.json").read_bytes()


# --- disks that fill up


def assert_ended_by(store: Path, sound: Path, said: str) -> None:
    """What was committed before the fault is as it should be, and nothing else is there."""
    assert len(said.splitlines()) == 1
    opened = attnstore.open(store)
    assert opened.verify() == []
    held = opened.model().places
    assert 0 < len(held) < len(LENGTHS)
    where = f"protein IN ({', '.join(repr(name) for name in held)})"
    for tier in QUESTIONS:
        pd.testing.assert_frame_equal(answer(store, tier), answer(sound, tier, where), check_exact=True)


@pytest.fixture
def small_disk(tmp_path: Path, sound: Path) -> Iterator[Path]:
    """A file system that holds the catalog and half of the segments, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    pages = {path: -(-path.stat().st_size // 4096) for path in files_below(sound)}
    segments = sum(size for path, size in pages.items() if "segments" in path.parts)
    kilobytes = 4 * (sum(pages.values()) - segments // 2)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_an_ingest_on_a_disk_that_fills_up_in_the_middle_of_a_segment_goes_on_when_there_is_room(
    small_disk, sound, tiny_esm, chains
):
    store = small_disk / "store"
    with pytest.raises(StoreError, match="No space left on device") as full:
        ingest(store, chains, model=str(tiny_esm), force=True, **SETTINGS)
    assert_ended_by(store, sound, str(full.value))
    before = files(store)
    segments = store / "attention" / "m" / "segments"
    assert len(list(segments.iterdir())) > len(before), "the disk was full, but not in a segment"
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    ingest(store, chains, model=str(tiny_esm), **SETTINGS)
    assert files(store) == files(sound)
    assert len(list(segments.iterdir())) == len(files(sound))


@pytest.mark.parametrize("name", ["proteins.parquet", "codes.zarr/codes/c/1/0/0", "marginals.zarr/special/c/0/0/0",
                                  "arcs.parquet", "segment.json"])  # fmt: skip
def test_a_write_that_fails_as_on_a_full_disk_drops_the_segment_and_the_same_ingest_goes_on(
    tmp_path, sound, tiny_esm, chains, monkeypatch, name
):
    store = tmp_path / "store"
    write = durable.write_digested

    def full(path: Path, blocks: Iterable[bytes | memoryview]) -> Written:
        if "000004-" in str(path) and path.as_posix().endswith(name):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, blocks)

    with monkeypatch.context() as patch:
        for module in (durable, shard_writer):
            patch.setattr(module, "write_digested", full)
        with pytest.raises(StoreError, match="No space left on device") as failed:
            ingest(store, chains, model=str(tiny_esm), **SETTINGS)
    assert_ended_by(store, sound, str(failed.value))
    before = files(store)
    assert before.keys() == set(range(4)) | (before.keys() & {5})
    ingest(store, chains, model=str(tiny_esm), **SETTINGS)
    assert files(store) == files(sound)


# --- workers that die


def workers() -> list[int]:
    """Process ids of the Dask workers that this process started."""
    import psutil

    return [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if any("spawn_main" in part for part in child.cmdline())
    ]


def test_an_ingest_outlives_a_worker_that_is_killed(tmp_path, sound, tiny_esm, chains):
    pytest.importorskip("distributed")
    store = tmp_path / "store"
    segments = store / "attention" / "m" / "segments"
    killed = []

    def kill_one() -> None:
        while not done.is_set():
            if segments.is_dir() and any(segments.iterdir()):
                (victim, *_) = workers()
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
                return
            time.sleep(0.002)

    done = threading.Event()
    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        summary = ingest(store, chains, model=str(tiny_esm), workers=2, **SETTINGS)
    finally:
        done.set()
        killer.join()
    assert killed
    assert summary.segments_written == len(files(sound))
    assert attnstore.open(store).verify() == []
    assert files(store) == files(sound)
    # What the dead worker had begun is no one's, and cleared by the next run.
    assert ingest(store, chains, model=str(tiny_esm), **SETTINGS).segments_written == 0
    assert len(list(segments.iterdir())) == len(files(sound))


# --- readers beside a writer


def test_a_reader_all_through_an_ingest_sees_one_committed_state_after_another(
    tmp_path, ingests, sound, tiny_esm, chains
):
    store = tmp_path / "store"
    whole = {tier: answer(sound, tier) for tier in QUESTIONS}
    segment_of = {
        name: part.entry.number for part in attnstore.open(sound).model().segments for name in part.proteins.id
    }
    writer = ingests.start(store, tiny_esm, chains, linger=0.1, **SETTINGS)
    assert writer.wait_for("+commit")
    seen: list[set[str]] = [set()]
    while len(seen[-1]) < len(LENGTHS):
        opened = attnstore.open(store)
        if not opened.models:
            continue
        held = set(opened.model().places)
        if not held:
            continue
        assert held >= seen[-1], "what was committed has gone"
        # Whole segments, the first ones.
        numbers = {segment_of[name] for name in held}
        assert held == {name for name, number in segment_of.items() if number in numbers}
        assert numbers <= set(range(len(numbers) + 1))
        for tier, statement in QUESTIONS.items():
            found = opened.query(f"{statement} GROUP BY ALL ORDER BY ALL", tier=tier)
            wanted = whole[tier][whole[tier]["protein"].isin(held)].reset_index(drop=True)
            pd.testing.assert_frame_equal(found, wanted, check_exact=True)
        if held != seen[-1]:
            seen.append(held)
    assert ingests.wait(writer) == 0
    assert len(seen) > 4, "the reader was too slow to see much"
