"""Stores that did not keep every tier: what is left answers as brute force does, or it is said what is missing."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import attnstore
from attnstore.errors import QueryError
from tests.synthetic import Protein, contact, random_proteins, without_origin, write_model, write_store

from .brute_force import FROM, Sample, add_properties, sample
from .families import tally

TIERS = ("pairs", "marginals", "arcs", "codes")
WHOLE = ("codes", "arcs", "marginals")
KEEPS = [("codes",), ("arcs",), ("marginals",), ("arcs", "marginals"), ("codes", "arcs"), WHOLE]
BY_HEAD = "GROUP BY ALL ORDER BY layer, head"

#: Statements, and which tiers can answer them: True if exactly.
CASES: list[tuple[str, dict[str, bool]]] = [
    (
        f"SELECT layer, head, count(*) AS n FROM attention WHERE separation >= 3 {BY_HEAD}",
        {"pairs": True, "codes": True},
    ),
    (
        f"SELECT layer, head, count(*) AS n, count_if(contact) AS c FROM attention WHERE weight >= 0.3 {BY_HEAD}",
        {"arcs": True, "codes": True},
    ),
    (f"SELECT layer, head, count(*) AS n FROM attention WHERE weight >= 0.012 {BY_HEAD}", {"codes": True}),
    (f"SELECT layer, head, count(*) AS n FROM attention WHERE weight >= 0.1234 {BY_HEAD}", {"arcs": True}),
    (
        "SELECT target.aa AS aa, sum(weight) AS w FROM attention WHERE layer = 1 GROUP BY ALL ORDER BY aa",
        {"marginals": True, "codes": False},
    ),
    (f"SELECT layer, head, sum(weight) FILTER (WHERE contact) AS w FROM attention {BY_HEAD}", {"codes": False}),
    (
        f"SELECT layer, head, sum(weight) AS w, count(*) AS n FROM attention WHERE weight >= 0.1 {BY_HEAD}",
        {"arcs": True, "codes": False},
    ),
    (
        "SELECT protein, layer, head, source, target FROM attention WHERE weight >= 0.5 ORDER BY ALL",
        {"arcs": True, "codes": True},
    ),
    (
        f"SELECT layer, head, count(*) AS n FROM attention WHERE weight >= 0.3 AND reverse_weight >= 0.1 {BY_HEAD}",
        {"codes": True},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def proteins() -> list[Protein]:
    return random_proteins(21, [19, 7, 24, 1, 15], truncate=20)


@pytest.fixture(scope="module")
def samples(proteins: list[Protein], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Sample]:
    folder = tmp_path_factory.mktemp("kept")
    found = {}
    for keep in KEEPS:
        path = folder / "-".join(keep)
        write_store(path, proteins, name="first", keep=keep)
        add_properties(path)
        found[keep] = sample(path, {"first": proteins})
    return found


def one_sentence(error: pytest.ExceptionInfo[QueryError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 400
    return message


def refused(ask: Callable[[], object], *said: str) -> None:
    with pytest.raises(QueryError) as caught:
        ask()
    message = one_sentence(caught)
    assert [part for part in said if part not in message] == [], message


@pytest.mark.parametrize("keep", KEEPS, ids="-".join)
@pytest.mark.parametrize(("statement", "able"), CASES, ids=[statement for statement, _ in CASES])
def test_what_is_kept_answers_as_brute_force_does_or_says_what_is_missing(samples, keep, statement, able):
    store = samples[keep].store
    left = {tier: exact for tier, exact in able.items() if tier == "pairs" or tier in keep}
    for tier in TIERS:
        if tier not in left:
            why = ["not kept"] if tier in WHOLE and tier not in keep else []
            refused(lambda tier=tier: store.query(statement, tier=tier), f"the tier {tier} cannot answer", *why)
    if not left:
        missing = next(tier for tier in TIERS if tier in able)
        again = [what for what in WHOLE if what in (*keep, missing)]
        refused(
            lambda: store.query(statement), "of model first", f"{missing} were not kept",
            f"ingest again with `attnstore.ingest.ingest(store.path, model=MODEL, name=NAME, keep={again})`",
        )  # fmt: skip
        return
    expected = samples[keep].answer(statement.replace("FROM attention", f"FROM {FROM}")).to_pandas()
    best = next((tier for tier in TIERS if left.get(tier)), "codes")
    for tier in (None, *left):
        found = store.query(statement, tier=tier)
        assert f"model first: {tier or best}, " in found.attrs["plan"]
        assert len(found) == len(expected) > 0
        for name in expected:
            if name in found.attrs["approximate"]:
                assert not left[tier or best]
                assert (found[f"{name}_min"] <= expected[name] * (1 + 1e-6)).all()
                assert (found[f"{name}_max"] >= expected[name] * (1 - 1e-6)).all()
            elif expected[name].dtype.kind == "f":
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
            else:
                assert found[name].tolist() == expected[name].tolist()


@pytest.mark.parametrize("keep", KEEPS, ids="-".join)
def test_what_duckdb_answers_over_arcs_needs_arcs(samples, keep):
    statement = f"SELECT layer, head, median(weight) AS m FROM attention WHERE weight >= 0.1 {BY_HEAD}"
    store = samples[keep].store
    if "arcs" not in keep:
        for ask in (store.query, store.explain):
            refused(lambda ask=ask: ask(statement), "median()", f"without arcs (it keeps {', '.join(keep)})", "keep=[")
        return
    expected = samples[keep].answer(statement.replace("FROM attention", f"FROM {FROM}")).to_pandas()
    np.testing.assert_allclose(store.query(statement)["m"], expected["m"], rtol=1e-6)


@pytest.mark.parametrize(
    ("keep", "statement", "works"),
    [
        (("arcs",), "SELECT count(*) AS n FROM attention WHERE weight >= {}", "ask for weight >= 0.05 or more"),
        (("codes",), "SELECT count(*) AS n FROM attention WHERE weight >= {}", "edges of the codebook"),
        (("marginals",), "SELECT sum(weight) AS n FROM attention WHERE weight >= {}", "without a threshold"),
    ],
)
def test_what_a_refusal_names_works(samples, keep, statement, works):
    store = samples[keep].store
    refused(lambda: store.query(statement.format(0.01234)), works)
    threshold = {"arcs": 0.05, "codes": 0.012, "marginals": 0}[keep[0]]
    store.query(statement.format(threshold) if threshold else statement.split(" WHERE")[0])


# --- several models


@pytest.fixture(scope="module")
def two(proteins: list[Protein], tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Of one model all is kept, of the other arcs alone."""
    path: Path = tmp_path_factory.mktemp("kept") / "two"
    write_store(path, proteins, name="first")
    write_model(path, proteins[:2], name="second", keep=("arcs",))
    add_properties(path)
    return sample(path, {"first": proteins, "second": proteins[:2]})


def test_each_model_is_answered_from_what_it_kept(two):
    statement = "SELECT model, sum(weight) AS w FROM attention WHERE weight >= 0.1 GROUP BY ALL ORDER BY model"
    expected = two.answer(statement.replace("FROM attention", f"FROM {FROM}")).to_pandas()
    np.testing.assert_allclose(two.store.query(statement)["w"], expected["w"], rtol=1e-6)
    refused(lambda: two.store.query(statement, tier="codes"), "of model second", "codes were not kept")


def test_a_model_that_did_not_keep_what_is_needed_is_named_unless_it_takes_no_part(two):
    statement = "SELECT model, count(*) AS n FROM attention WHERE weight >= 0.012 {} GROUP BY ALL"
    refused(
        lambda: two.store.query(statement.format("")), "of model second", "arcs begin at 0.05", "codes were not kept"
    )
    alone = statement.format("AND model = 'first'")
    expected = two.answer(alone.replace("FROM attention", f"FROM {FROM}")).to_pandas()
    assert two.store.query(alone)["n"].tolist() == expected["n"].tolist()


def test_over_arcs_a_model_without_them_is_named_unless_it_takes_no_part(proteins, tmp_path):
    path = tmp_path / "store"
    write_store(path, proteins, name="first")
    write_model(path, proteins[:2], name="second", keep=("codes",))
    store = attnstore.open(path)
    statement = "SELECT median(weight) AS m FROM attention WHERE weight >= 0.1 {}"
    with pytest.warns(UserWarning, match="the table arcs is not of all models: model second was ingested without arcs"):
        refused(lambda: store.query(statement.format("")), "model second was ingested without arcs (it keeps codes)")
    weights = np.concatenate([protein.weights.ravel() for protein in proteins])
    with pytest.warns(UserWarning, match="not of all models"):
        found = store.query(statement.format("AND model = 'first'"))
    assert found["m"].tolist() == pytest.approx([np.median(weights[weights >= np.float32(0.1)])])


# --- alignment

BACKGROUNDS = ("eligible", "separation", "protein", "none")


def identical(found: xr.Dataset, expected: xr.Dataset) -> None:
    found, expected = without_origin(found), without_origin(expected)
    for one in (found, expected):
        del one.attrs["tier_reason"]
    xr.testing.assert_identical(found, expected)


def asked(
    stores: tuple[attnstore.Store, attnstore.Store], able: list[str], predicate: str, **options: Any
) -> str | None:
    """Ask what is left, hold it against the whole store's answer from the same tier, and say which tier it was."""
    store, whole = stores
    keep = store.model().document.keep
    for tier in set(WHOLE) - set(keep):
        forced = {"tier": tier, **options}
        refused(lambda forced=forced: store.align(predicate, **forced), f"{tier} were not kept", "model first")
    left = [tier for tier in able if tier in keep]
    if not left:
        again = [what for what in WHOLE if what in (*keep, able[0])]
        refused(
            lambda: store.align(predicate, **options), "model first", f"{able[0]} were not kept", f"keep={again})`."
        )
        return None
    found = store.align(predicate, **options)
    assert found.attrs["tier"] == left[0]
    identical(found, whole.align(predicate, tier=left[0], **options))
    return left[0]


@pytest.mark.parametrize("keep", KEEPS[:-1], ids="-".join)
def test_alignment_from_what_is_kept_is_that_of_the_whole_store(samples, proteins, keep):
    stores = samples[keep].store, samples[WHOLE].store
    common: dict[str, Any] = {"replicates": 20, "min_arcs": 1}
    for background in BACKGROUNDS:
        asked(stores, ["arcs", "codes"], "contact", background=background, **common)
    asked(stores, ["codes"], "contact", threshold=0.012, **common)
    asked(stores, ["arcs"], "contact", threshold=0.1234, **common)
    asked(stores, ["marginals", "codes"], "target.aa = 'C'", weighted=True, **common)
    asked(stores, ["codes"], "contact", weighted=True, **common)
    asked(stores, ["arcs", "codes"], "contact", weighted=True, threshold=0.1, **common)
    asked(stores, ["arcs", "codes"], "contact", average="macro", **common)
    if {"arcs", "codes"} & set(keep):
        found = stores[0].align("contact", **common)
        expected = tally(proteins, contact, 0.3)
        np.testing.assert_array_equal(found["count"], expected.true.sum(0))
        np.testing.assert_array_equal(found["total"], expected.known.sum(0))


@pytest.mark.parametrize("keep", KEEPS[:-1], ids="-".join)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_curve_is_read_from_codes_or_else_from_arcs(samples, keep, weighted):
    stores = samples[keep].store, samples[WHOLE].store
    tier = asked(stores, ["codes", "arcs"], "contact", threshold=None, weighted=weighted)
    if tier == "arcs":
        found = stores[0].align("contact", threshold=None, weighted=weighted)
        assert found.attrs["tier_reason"].endswith("codes were not kept")
        assert float(found["threshold"][0]) == 0.05


def test_a_refused_threshold_names_those_that_work(samples):
    with pytest.raises(
        QueryError, match=r"threshold 0\.012 .*arcs begin at 0\.05, and codes were not kept; any"
    ) as one:
        samples["arcs",].store.align("contact", threshold=0.012)
    assert re.search(
        r"any threshold from 0\.05 works, or ingest again .*keep=\['codes', 'arcs'\]\)`\.$", one_sentence(one)
    )
    samples["arcs",].store.align("contact", threshold=0.05, replicates=2)
    with pytest.raises(QueryError, match=r"0\.123 .*arcs were not kept, and .*the nearest are 0\.12 and 0\.13") as two:
        samples["codes",].store.align("contact", threshold=0.123)
    assert "; either of the two works, or ingest again" in one_sentence(two)
    samples["codes",].store.align("contact", threshold=0.12, replicates=2)


# --- contacts


@pytest.mark.parametrize("keep", KEEPS[:-1], ids="-".join)
def test_contacts_are_predicted_from_codes(samples, keep):
    store, whole = samples[keep].store, samples[WHOLE].store
    options: dict[str, Any] = {"method": "head", "layer": 1, "head": 2}
    if "codes" not in keep:
        for predict in (lambda: store.contacts("p0", **options), lambda: store.contact_precision(**options)):
            refused(
                predict,
                "contacts are predicted from codes", "model first was ingested without codes", "keep=['codes', ",
            )  # fmt: skip
        return
    np.testing.assert_array_equal(store.contacts("p0", **options), whole.contacts("p0", **options))
    found, expected = (one.contact_precision(replicates=5, method="head", select=["p0"]) for one in (store, whole))
    assert set(found) == set(expected)
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])
