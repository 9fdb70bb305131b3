"""Means of clusters' shares against brute force, in every form and tier."""

import math
import pickle
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnstore
from attnstore.queries.statistics.bootstrap import PoissonBootstrap
from attnstore.queries.statistics.clusters import Clusters
from attnstore.queries.statistics.macro import ClusterSums, MacroAverage, share_bounds
from tests.queries.families import draws, intervals, keys_of, members, tally, write_families
from tests.queries.test_clusters import FAMILIES, LENGTHS
from tests.synthetic import contact, random_proteins

PREDICATES = {
    "contact": contact,
    "target.aa = 'C'": lambda p, i, j: p.sequence[j] == "C",
}


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(12, LENGTHS)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("macro") / "store"
    write_families(path, proteins, FAMILIES)
    return attnstore.open(path)


def clusters_of(proteins, cluster_by):
    keys = [p.id for p in proteins] if cluster_by == "protein" else keys_of(proteins, FAMILIES)
    return members(keys)


def mean(values):
    """Over the first axis, of what is defined; NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def ratio(numer, denom):
    with np.errstate(invalid="ignore"):
        return numer / denom


@pytest.mark.parametrize("cluster_by", ["protein", "family"])
@pytest.mark.parametrize(
    ("predicate", "options"),
    [
        ("contact", {"threshold": 0.3}),
        ("contact", {"threshold": 0.7, "where": "separation >= 6"}),
        ("contact", {"threshold": 0.05, "tier": "codes"}),
        ("contact", {"threshold": 0.1, "weighted": True}),
        ("target.aa = 'C'", {"weighted": True}),
    ],
)
def test_every_cluster_counts_once(store, proteins, predicate, options, cluster_by):
    weighted, theta = options.get("weighted", False), options.get("threshold", 0)
    where = (lambda p, i, j: abs(i - j) >= 6) if "where" in options else None
    found = tally(proteins, PREDICATES[predicate], theta, where=where, weighted=weighted)
    clusters = clusters_of(proteins, cluster_by)
    true, known = (np.array([v[rows].sum(0) for rows in clusters.values()]) for v in (found.true, found.known))
    share = ratio(true, known)
    # A cluster without an arc has no share, and takes no part.
    assert np.isnan(share).any() == ("where" in options)
    result = store.align(predicate, **options, average="macro", cluster_by=cluster_by, replicates=50, seed=9, level=0.9)
    exact = {"rtol": 1e-6 if weighted else 1e-12}
    np.testing.assert_allclose(result["share"], mean(share), **exact)
    np.testing.assert_allclose(result["count"], found.true.sum(0), **exact)
    weights = np.array([draws(key, 50, 9) for key in clusters])
    low, high = intervals(np.nan_to_num(share), np.isfinite(share).astype(float), weights, 0.9)
    np.testing.assert_allclose(result["bootstrap_low"], low, **exact)
    np.testing.assert_allclose(result["bootstrap_high"], high, **exact)
    for name in ("z", "p", "p_bonferroni", "p_bh", "log10_p", "wilson_low", "wilson_high"):
        assert np.isnan(result[name]).all(), name


@pytest.mark.parametrize("cluster_by", ["protein", "family"])
def test_backgrounds_are_means_in_kind(store, proteins, cluster_by):
    found = tally(proteins, contact, 0.1)
    clusters = clusters_of(proteins, cluster_by)
    known = np.array([found.known[rows].sum(0) for rows in clusters.values()])

    def background(kind):
        result = store.align(
            "contact", threshold=0.1, average="macro", cluster_by=cluster_by, background=kind, replicates=0
        )
        np.testing.assert_allclose(result["enrichment"], result["share"] / result["background"])
        return result["background"].values

    pairs = [np.sum(found.pairs_true[rows]) / np.sum(found.pairs_known[rows]) for rows in clusters.values()]
    np.testing.assert_allclose(background("eligible"), np.full(known.shape[1:], np.mean(pairs)))
    of_protein = found.pairs_true / found.pairs_known
    expected = np.array([np.tensordot(of_protein[rows], found.known[rows], 1) for rows in clusters.values()])
    np.testing.assert_allclose(background("protein"), mean(ratio(expected, known)))
    far = tally(proteins, contact, 0.1, where=lambda p, i, j: abs(i - j) >= 6)
    pairs = [ratio(np.sum(far.pairs_true[rows]), np.sum(far.pairs_known[rows])) for rows in clusters.values()]
    np.testing.assert_allclose(background("paper"), np.full(known.shape[1:], mean(np.array(pairs))))


def test_weights_from_codes_lie_within_the_means_of_clusters_bounds(store, proteins):
    found = tally(proteins, contact, 0, weighted=True)
    clusters = clusters_of(proteins, "family")
    true, known = (np.array([v[rows].sum(0) for rows in clusters.values()]) for v in (found.true, found.known))
    result = store.align("contact", weighted=True, average="macro", cluster_by="family", replicates=0)
    assert not result.attrs["exact"]
    share = mean(ratio(true, known))
    assert (result["share_min"].values <= share).all()
    assert (result["share_max"].values >= share).all()
    assert (result["share_max"] - result["share_min"]).max() < 0.2
    np.testing.assert_allclose(result["share"], share, atol=0.01)


def test_bounds_where_all_is_on_one_side():
    least, most = share_bounds(
        *(np.array(v) for v in ([0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 3.0])), np.array([1.0, 0.0])
    )
    np.testing.assert_array_equal(least, [1.0, 0.0])
    np.testing.assert_array_equal(most, [1.0, 0.0])


def test_a_large_protein_does_not_carry_the_mean():
    # 1,000 arcs with a share of 0.9 beside nine proteins of ten arcs with 0.1.
    keys = tuple(f"p{n}" for n in range(10))
    true = np.array([900] + [1] * 9)[:, None, None]
    total = np.array([1000] + [10] * 9)[:, None, None]
    macro = MacroAverage.partial(Clusters(keys, np.zeros(10, bool)), {"true": true, "total": total}, 0, 0)
    assert macro.finalise().means["share"].finalise().item() == pytest.approx((0.9 + 9 * 0.1) / 10)
    assert true.sum() / total.sum() == pytest.approx(0.8339, abs=1e-4)


@given(
    seed=st.integers(0, 10**6),
    keys=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=14),
    tasks=st.lists(st.integers(0, 3), min_size=14, max_size=14),
)
@settings(deadline=None, max_examples=60)
def test_splitting_proteins_over_tasks_changes_nothing(seed, keys, tasks):
    rng = np.random.default_rng(seed)
    total = rng.integers(0, 5, (len(keys), 2, 3))
    values = {
        "true": rng.binomial(total, 0.4),
        "total": total,
        "expected": (known := rng.integers(0, 9, len(keys))) // 2,
        "matched": known,
    }

    def part(rows, spans):
        chosen = {name: rows_[rows] for name, rows_ in values.items()}
        return MacroAverage.partial(Clusters(tuple(keys[r] for r in rows), spans), chosen, 25, 3)

    held = [[row for row in range(len(keys)) if tasks[row] == task] for task in range(4)]
    spanning = [sum(any(keys[row] == key for row in rows) for rows in held) > 1 for key in keys]
    parts = [part(rows, np.array([spanning[row] for row in rows], bool)) for rows in held]
    for task in parts:
        assert set(task.open.keys) <= {key for key, spans in zip(keys, spanning, strict=True) if spans}
    split = reduce(MacroAverage.combine, parts).finalise()
    whole = part(list(range(len(keys))), np.zeros(len(keys), bool)).finalise()
    assert set(split.means) == {"share", "background"}
    for name, expected in whole.means.items():
        np.testing.assert_array_equal(split.means[name].denom, expected.denom)
        np.testing.assert_allclose(split.means[name].finalise(), expected.finalise(), rtol=1e-12)
    assert isinstance(split.bootstrap, PoissonBootstrap)
    np.testing.assert_allclose(split.bootstrap.numer, whole.bootstrap.numer, rtol=1e-12)
    np.testing.assert_array_equal(split.bootstrap.denom, whole.bootstrap.denom)


def test_sums_of_a_cluster_are_exact_however_they_meet():
    left = ClusterSums.partial(("b", "a", "b"), {"n": np.array([1, 2, 4])})
    right = ClusterSums.partial(("c", "a"), {"n": np.array([8, 16])})
    both = left.combine(right)
    assert dict(zip(both.keys, both.values["n"].tolist(), strict=True)) == {"b": 5, "a": 18, "c": 8}
    none = left.take(np.zeros(2, bool))
    assert none.keys == ()
    assert none.combine(right).values["n"].tolist() == right.values["n"].tolist()
    assert math.isnan(
        MacroAverage.partial(
            Clusters((), np.zeros(0, bool)), {"true": np.zeros((0, 1)), "total": np.zeros((0, 1))}, 5, 0
        )
        .finalise()
        .means["share"]
        .finalise()
        .item()
    )


def test_a_partial_is_as_large_for_many_proteins_as_for_few():
    rng = np.random.default_rng(2)

    def size(proteins):
        total = rng.integers(1, 9, (proteins, 2, 3))
        values = {"true": total // 2, "total": total}
        keys = tuple(f"p{n}" for n in range(proteins))
        return len(pickle.dumps(MacroAverage.partial(Clusters(keys, np.zeros(proteins, bool)), values, 20, 0)))

    assert size(2000) == size(3)
