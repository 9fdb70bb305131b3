"""An ingest killed again and again, in every stage, loses nothing that was committed and ends as if left alone."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import attnstore
from attnstore.format.documents import Manifest
from attnstore.runtime.durable import files_below, sha256_file

from ..models import write_chains
from ..processes import STAGES

#: No two of one length, so that none ties with another; each is a segment of its own.
LENGTHS = {f"2K{number:02d}_A": 14 + number for number in range(13)}
SETTINGS = {"device": "cpu", "name": "m", "segment_entries": 2_000}
KILLS = 28

Digests = dict[int, tuple[str, dict[str, str]]]


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_chains(tmp_path_factory.mktemp("chains"), LENGTHS)


def committed(store: Path) -> Digests:
    """Id, and digest of every file, of every committed segment, by number."""
    directory = store / "attention" / "m"
    return {
        entry.number: (
            entry.id,
            {
                path.relative_to(directory / "segments" / entry.id).as_posix(): sha256_file(path)
                for path in files_below(directory / "segments" / entry.id)
            },
        )
        for entry in Manifest.read(directory).segments
    }


def assert_answers(store: Path, sound: Path) -> None:
    """What is committed, as the store that was left alone has it; and nothing else is there."""
    opened, whole = attnstore.open(store), attnstore.open(sound)
    if not opened.models:
        return
    model = opened.model()
    assert len(model.places) == len(model.manifest.segments)
    for protein in model.places:
        found = opened.attention(protein)
        np.testing.assert_array_equal(found.values, whole.attention(protein).values, strict=True)
        assert found.shape[-1] == LENGTHS[protein]
    if model.places:
        held = ", ".join(f"'{name}'" for name in model.places)
        question = f"SELECT count(*) AS n, sum(weight) AS w FROM attention WHERE weight >= 0.1 AND protein IN ({held})"
        assert opened.query(question).equals(whole.query(question))
        assert opened.query(question.partition(" AND ")[0]).equals(opened.query(question))
    assert opened.verify() == []


def test_kills_in_every_stage_lose_nothing_and_change_no_byte(tmp_path, ingests, tiny_esm, chains):
    sound = tmp_path / "sound"
    alone = ingests.start(sound, tiny_esm, chains, linger=0, **SETTINGS)
    assert ingests.wait(alone) == 0
    wanted = committed(sound)
    assert len(wanted) == len(LENGTHS) >= 12

    rng = random.Random(20240611)
    hit: Counter[str] = Counter()
    kills = 0
    for attempt in itertools.count():
        store = tmp_path / f"store-{attempt}"
        while True:
            before = committed(store) if (store / "attention" / "m").exists() else {}
            ingest = ingests.start(store, tiny_esm, chains, **SETTINGS)
            # Its turn comes to each stage; at which moment of it, and at which segment, chance says.
            stage = STAGES[kills % len(STAGES)]
            times = 1 if stage == "catalog" else rng.choice((1, 1, 2))
            reached = ingest.wait_for(f"+{stage}", times)
            if reached and kills < KILLS:
                time.sleep(rng.uniform(0, 0.02))
                os.kill(ingest.process, signal.SIGKILL)
            status = ingests.wait(ingest)
            after = committed(store) if (store / "attention" / "m").exists() else {}
            assert before.items() <= after.items(), "a committed segment was lost or computed again"
            assert_answers(store, sound)
            if status == 0:
                break
            assert status == -signal.SIGKILL
            kills += 1
            hit.update(ingest.under_way())
        assert {number: files for number, (_, files) in after.items()} == {
            number: files for number, (_, files) in wanted.items()
        }
        segments = store / "attention" / "m" / "segments"
        assert {path.name for path in segments.iterdir()} == {identity for identity, _ in after.values()}
        assert not [path for path in store.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]
        if kills >= KILLS:
            break
    assert set(hit) == set(STAGES), hit
