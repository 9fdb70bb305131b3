"""Segments and batches."""

from hypothesis import given
from hypothesis import strategies as st

from attnstore.ingest.plan import cost, plan_segments, read_plan, write_plan

LENGTHS = st.lists(st.integers(1, 600), max_size=60).map(lambda ls: [(f"p{i}", n) for i, n in enumerate(ls)])


@given(LENGTHS, st.integers(1, 500), st.integers(1, 10**8), st.integers(1, 10**6))
def test_every_protein_is_planned_once_within_the_limits_and_segments_begin_with_the_longest(
    lengths, heads, entries, pairs
):
    plan = plan_segments(lengths, heads=heads, segment_entries=entries, batch_pairs=pairs, first_number=3)
    size = dict(lengths)
    names = [name for segment in plan for batch in segment.batches for name in batch]
    assert sorted(names) == sorted(size)
    assert [segment.number for segment in plan] == list(range(3, 3 + len(plan)))
    for segment in plan:
        members = segment.proteins
        assert [size[name] for name in members] == sorted((size[name] for name in members), reverse=True)
        assert len(members) == 1 or sum(heads * size[name] ** 2 for name in members) <= entries
        for batch in segment.batches:
            longest = max(size[name] for name in batch)
            assert len(batch) == 1 or len(batch) * longest**2 <= cost(len(batch), longest) <= pairs


@given(st.lists(st.integers(20, 100), min_size=400, max_size=600), st.integers(5, 12))
def test_segments_are_alike_in_size_and_in_what_they_hold(lengths, count):
    named = [(f"p{i}", n) for i, n in enumerate(lengths)]
    total = sum(n * n for n in lengths)
    plan = plan_segments(named, heads=1, segment_entries=total // count, batch_pairs=2 * 100 * 128)
    size = dict(named)
    entries = [sum(size[name] ** 2 for name in segment.proteins) for segment in plan]
    assert len(plan) <= count + 2
    assert sum(entries) == total
    whole = sorted(entries)[-count:]
    assert whole[0] > 0.5 * whole[-1]


@given(LENGTHS)
def test_a_plan_is_the_same_whatever_order_equal_lengths_come_in_between_runs(lengths):
    options = {"heads": 120, "segment_entries": 10**7, "batch_pairs": 512**2}
    assert plan_segments(lengths, **options) == plan_segments(list(lengths), **options)


def test_a_recorded_plan_reads_back(tmp_path):
    plan = plan_segments([("a", 3), ("b", 9)], heads=1, segment_entries=81, batch_pairs=9 * 128)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    assert len(plan) == 2
