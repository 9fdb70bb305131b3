"""Arguments that cannot be what was meant are refused with what to type."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attnstore
from attnstore.arguments import check_head, check_index, check_share, check_text, check_whole, nearest
from attnstore.errors import QueryError
from attnstore.format.codebook import parse_threshold
from tests.synthetic import random_proteins, write_store


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        ([1, 2], "write layer=1"), ((3,), "write layer=3"), ("4", "write layer=4"), (2.0, "write layer=2"),
        (-1, "they run from 0 to 5, and the last is layer=5"), (6, "the last is layer=5"), ("9", "from 0 to 5"),
        (True, "give a number from 0 to 5"), (math.nan, "give a number from 0 to 5"), (1.5, "from 0 to 5"),
        ([], "from 0 to 5"), ("last", "from 0 to 5"), (10**30, "the last is layer=5"), (np.zeros(2), "from 0 to 5"),
    ],
)  # fmt: skip
def test_a_layer_that_is_none_is_refused_with_one_that_is(value: Any, cure: str) -> None:
    with pytest.raises(QueryError, match=f"layer.*{cure}"):
        check_index("layer", value, 6)


def test_whole_numbers_of_any_kind_are_layers() -> None:
    assert [check_index("layer", value, 6) for value in (0, np.int64(5), np.uint8(3))] == [0, 5, 3]


@pytest.mark.parametrize("head", ["5-4", "5, 4", "5:4", (5, 4), [5, 4]])
def test_a_head_that_names_its_layer_is_taken_apart(head: Any) -> None:
    with pytest.raises(QueryError, match=r"write layer=5, head=4\.$"):
        check_head(None, head)
    check_head(3, 4)


@pytest.mark.parametrize(
    ("value", "cure"),
    [("30%", "0.3"), (30, "0.3"), ("5 %", "0.05"), (2.5, "0.025"), ("all", "None"), (math.nan, "0.3"), ([0.1], "0.3"),
     (True, "0.3"), (-0.1, "0.3"), (None, "0.3"), ("0,3", "0.3"), (1000, "0.3")],
)  # fmt: skip
def test_a_threshold_that_is_none_is_refused_with_one_that_is(value: Any, cure: str) -> None:
    with pytest.raises(QueryError, match=rf"is not a number from 0 to 1: write threshold={cure}\.$"):
        parse_threshold(value)


def test_text_numbers_and_shares_are_what_they_are_called() -> None:
    check_text("model", "a")
    check_whole("seed", 0, 0, 0)
    check_share("level", np.float32(0.5), 0.95)
    for value, said in (
        (["a", "b"], "write model='a'"),
        (3, "e.g. model='3'"),
        (None, "model is None"),
        ([], "not text"),
    ):
        with pytest.raises(QueryError, match=said):
            check_text("model", value)
    for value in (-1, 1.5, "1", True, None, 2**128, [1]):
        with pytest.raises(QueryError, match="write seed=0"):
            check_whole("seed", value, 0, 0)
    for value in (0, 1, 95, "95%", math.nan, None):
        with pytest.raises(QueryError, match=r"write level=0\.95"):
            check_share("level", value, 0.95)


def test_the_nearest_name_is_one_that_there_is() -> None:
    names = ["1ABC_A", "1ABC_B", "P12345", "sp|Q9"]
    assert nearest("1abc_a", names) == "1ABC_A"
    assert nearest("1ABC", names) == "1ABC_A"
    assert nearest("P12346", names) == "P12345"
    assert nearest("zzz", names) is None
    assert nearest("", names) is None
    many = [f"Q{number}" for number in range(150_000)]
    assert nearest("q123456", many) == "Q123456"
    assert nearest("zzz", many) is None  # at once


def test_every_method_refuses_what_it_cannot_take(tmp_path: Path) -> None:
    write_store(tmp_path / "s", random_proteins(1, [8, 9]), name="first")
    store: Any = attnstore.open(tmp_path / "s")
    for ask, cure in (
        (lambda: store.attention(["p0"]), "protein='p0'"),
        (lambda: store.attention("P0"), "did you mean 'p0'"),
        (lambda: store.attention("p0", head="0-1"), "layer=0, head=1"),
        (lambda: store.attention("p0", layer=[0, 1]), "layer=0"),
        (lambda: store.attention("p0", model=["first"]), "model='first'"),
        (lambda: store.attention("p0", model="First"), "model='first'"),
        (lambda: store.view("P0"), "did you mean 'p0'"),
        (lambda: store.view("p0", head=(0, 1)), "layer=0, head=1"),
        (lambda: store.view("p0", layer=0, head=0, threshold="30%"), "threshold=0.3"),
        (lambda: store.view("p0", layer=0, head=0, separation="6"), "separation=6"),
        (lambda: store.contact_precision(["p0", "P1"]), "did you mean 'p1'"),
        (lambda: store.contacts("p0", method="head", head="1-2"), "layer=1, head=2"),
        (lambda: store.contacts(3), "protein='3'"),
        (lambda: store.contacts("p0", select=1.5), "condition"),
        (lambda: store.contacts("p0", seed="a"), "seed=0"),
        (lambda: store.align(["contact"]), "predicate='contact'"),
        (lambda: store.align("contact", where=3), "where='3'"),
        (lambda: store.align("contact", cluster_by=["family"]), "cluster_by='family'"),
        (lambda: store.align("contact", threshold="30%"), "threshold=0.3"),
        (lambda: store.query(["SELECT 1"]), "sql='SELECT 1'"),
        (lambda: store.stream(None), "sql is None"),
        (lambda: store.explain(3), "sql='3'"),
        (lambda: store.sql(["SELECT 1"]), "sql='SELECT 1'"),
        (lambda: store.probe(["contact"]), "condition='contact'"),
        (lambda: store.probe("contact"), "sources=['attention']"),
        (lambda: store.report(tmp_path / "r", models="First"), "model='first'"),
        (lambda: store.report(tmp_path / "r", threshold=30), "threshold=0.3"),
    ):
        with pytest.raises(QueryError) as refused:
            ask()
        assert cure in str(refused.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]
