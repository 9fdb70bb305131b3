"""Random statements over random stores: every tier that can answer says what brute force says.

`ATTNSTORE_EXAMPLES=5000 pytest tests/queries/test_query_random.py` draws that many, others each time.
"""

import functools
import math
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from attnstore.errors import QueryError
from tests.synthetic import contact, random_proteins, write_store

from .brute_force import FROM, Sample, models_of, random_sample, sample
from .statements import Statement, statements

EXAMPLES = os.environ.get("ATTNSTORE_EXAMPLES")
STORES = 6
TIERS = ("pairs", "marginals", "arcs", "codes")
#: The tiers that must answer a block of each kind; others may.
MUST = {
    "open": {"codes"}, "both": {"arcs", "codes"}, "arcs": {"arcs"},
    "source": {"marginals", "codes"}, "target": {"marginals", "codes"},
}  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("random")
    return functools.cache(lambda seed: random_sample(folder / str(seed), seed))


def _columns(table: pa.Table) -> list[list[Any]]:
    return [column.to_pylist() for column in table.columns]


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    # DuckDB sums integers into a HUGEINT, which Arrow has as a decimal; a count fits a BIGINT.
    return found == expected or (expected == pa.decimal128(38, 0) and found == pa.int64())


def _order(rows: list[tuple[Any, ...]], by: list[int]) -> list[tuple[Any, ...]]:
    def place(row: tuple[Any, ...]) -> list[tuple[bool, Any]]:
        return [(row[column] is None, row[column] if row[column] is not None else 0) for column in by]

    return sorted(rows, key=place)


def _close(found: Any, expected: Any, *, rel: float, absolute: float) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        both_nan = math.isnan(found) and math.isnan(expected)
        return both_nan or math.isclose(found, expected, rel_tol=rel, abs_tol=absolute)
    return bool(found == expected)


def compare(found: pa.Table, expected: pa.Table, statement: Statement, tier: str | None) -> bool:
    """Assert that two results agree; returns whether all of the one found was exact."""
    names, wanted = found.column_names, expected.column_names
    assert names[: len(wanted)] == wanted
    weighty = statement.weighty or (False,) * len(wanted)
    extra = names[len(wanted) :]
    bounded = [index for index, name in enumerate(wanted) if weighty[index] and f"{name}_min" in extra]
    assert extra == [f"{wanted[index]}_{end}" for index in bounded for end in ("min", "max")]
    for index, field in enumerate(expected.schema):
        assert _same_type(found.schema.field(index).type, field.type), field.name
    for index in range(len(wanted), len(names)):
        assert found.schema.field(index).type in (pa.float64(), pa.float32())

    # Bounds ride along with the rows of what was found.
    ours = list(zip(*_columns(found), strict=True))
    brute = list(zip(*_columns(expected), strict=True))
    exact = [i for i, field in enumerate(expected.schema) if not weighty[i] and not pa.types.is_floating(field.type)]
    inexact = [i for i, field in enumerate(expected.schema) if not weighty[i] and pa.types.is_floating(field.type)]
    if statement.limit is not None:
        assert len(ours) == min(statement.limit, len(brute))
        by_key = {tuple(row[i] for i in exact): row for row in brute}
        brute = [by_key[tuple(row[i] for i in exact)] for row in ours]
    elif not statement.ordered:
        ours, brute = _order(ours, exact + inexact), _order(brute, exact + inexact)
    assert len(ours) == len(brute)
    for mine, row in zip(ours, brute, strict=True):
        for index, value in enumerate(row):
            if index in bounded:
                place = len(wanted) + 2 * bounded.index(index)
                _check_bounds(mine[index], mine[place], mine[place + 1], value)
            elif weighty[index]:
                # Nothing bounds what the outer statement makes of a block's approximate values.
                if statement.top or tier != "codes":
                    assert _close(mine[index], value, rel=1e-6, absolute=1e-7), (wanted[index], mine, row)
            else:
                assert _close(mine[index], value, rel=1e-9, absolute=1e-12), (wanted[index], mine, row)
    return not bounded


def _check_bounds(value: Any, low: Any, high: Any, exact: Any) -> None:
    if exact is None:
        assert value is None
        assert low is None
        assert high is None
        return
    if not math.isfinite(exact):
        return
    slack = 1e-6 * abs(exact) + 1e-9
    # What is divided by something that may be zero has no bounds.
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    assert low - slack <= exact <= high + slack, (value, low, high, exact)
    assert low - slack <= value <= high + slack, (value, low, high, exact)


def check(sampled: Sample, statement: Statement) -> None:
    """Compare the answers of every tier with brute force's."""
    expected = sampled.answer(statement.plain)
    must = set.intersection(*(MUST[kind] for kind in statement.kinds))
    for tier in (None, *TIERS):
        try:
            found = sampled.store.query(statement.ours, tier=tier).to_arrow()
        except QueryError:
            if tier is None or tier in must:
                raise
            continue
        if tier == "codes" and tier not in must:
            # It may, but what is selected or sorted by weights then follows its estimates.
            continue
        exact = compare(found, expected, statement, tier)
        event(f"tier {tier}: {'exact' if exact else 'within bounds'}")
        # Arcs or marginals can answer, and exact answers are preferred.
        assert exact or tier == "codes" or "open" in statement.kinds


drawn = st.integers(0, STORES - 1).flatmap(lambda seed: st.tuples(st.just(seed), statements(models_of(seed))))


@given(drawn=drawn)
@settings(
    max_examples=int(EXAMPLES or 30),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_every_tier_that_can_answer_says_what_brute_force_says(samples: Any, drawn: tuple[int, Statement]) -> None:
    seed, statement = drawn
    note(f"store {seed}: {statement.ours}")
    check(samples(seed), statement)


def test_brute_force_holds_every_weight_of_the_matrices(tmp_path):
    """The judge judged: loops over the matrices against its table."""
    proteins = random_proteins(5, [9, 14, 4, 11], truncate=12)
    write_store(tmp_path / "store", proteins)
    judge = sample(tmp_path / "store", {"random": proteins})
    counted = {"n": 0, "strong": 0, "contacts": 0, "unknown": 0, "cysteines": 0}
    total = reverse = alike = 0.0
    for protein in proteins:
        for layer, head, i, j in np.ndindex(*protein.weights.shape):
            weight = protein.weights[layer, head, i, j]
            near = contact(protein, i, j)
            counted["n"] += 1
            counted["strong"] += bool(weight >= np.float32(0.3))
            counted["contacts"] += near is True
            counted["unknown"] += near is None
            counted["cysteines"] += protein.sequence[j] == "C"
            total += float(weight)
            reverse += float(protein.weights[layer, head, j, i]) * (head == 1)
            alike += float(weight) * (protein.sequence[i] == protein.sequence[j])
    (found,) = judge.answer(
        "SELECT count(*) AS n, count(*) FILTER (WHERE weight >= 0.3::FLOAT) AS strong,"
        " count(*) FILTER (WHERE contact) AS contacts, count(*) FILTER (WHERE contact IS NULL) AS unknown,"
        " count(*) FILTER (WHERE target.aa = 'C') AS cysteines, sum(weight) AS total,"
        " sum(reverse_weight) FILTER (WHERE head = 1) AS reverse,"
        f" sum(weight) FILTER (WHERE source.aa = target.aa) AS alike FROM {FROM}"
    ).to_pylist()
    assert found == {**counted, "total": pytest.approx(total), "reverse": pytest.approx(reverse),
                     "alike": pytest.approx(alike)}  # fmt: skip
    assert min(counted.values()) > 0
