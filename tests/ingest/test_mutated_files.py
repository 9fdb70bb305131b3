"""Damaged files of every reader are read or refused in one sentence; `benchmarks/mutated_files.py` tries thousands."""

import random
from collections import Counter

from benchmarks import mutated_files
from benchmarks.mutated_files import Outcome, mutated, run


def test_damaged_files_of_every_reader_are_read_or_refused():
    found = []
    counts = run(range(250), 7, lambda number, name, _, outcome: found.append((number, name, outcome.said)))
    assert found == []
    assert counts.total() == 250
    assert {name for name, _ in counts} == {*mutated_files.WHOLE}
    by_kind = Counter()
    for (_, kind), count in counts.items():
        by_kind[kind] += count
    assert by_kind["read"] > 20
    assert by_kind["refused"] > 100


def test_the_files_are_damaged_and_what_is_neither_read_nor_refused_is_reported(monkeypatch):
    rng = random.Random(0)
    whole = mutated_files.WHOLE["csv"][1]()
    assert sum(mutated(whole, rng) != whole for _ in range(50)) > 40

    def fail(*_, **__):
        raise KeyError("a fault of a reader")

    monkeypatch.setattr("attnstore.annotate.annotation.tables.read", fail)
    found: list[Outcome] = []
    run(range(40), 7, lambda *report: found.append(report[-1]))
    assert found
    assert all("a fault of a reader" in outcome.said for outcome in found)
