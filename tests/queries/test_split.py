"""Ranking heads on one half of the clusters and reporting them on the other."""

import numpy as np
import pytest
import xarray as xr

import attnstore
from attnstore.errors import QueryError
from attnstore.queries.alignment import Alignment
from attnstore.queries.statistics.clusters import Clusters
from attnstore.queries.statistics.measure import Measure
from attnstore.queries.statistics.samples import Counts, Halves, Reading
from attnstore.queries.statistics.summary import summarise_halves
from tests.queries.families import (
    draws,
    in_reported_half,
    intervals,
    keys_of,
    members,
    tally,
    write_families,
)
from tests.queries.test_clusters import FAMILIES, LENGTHS
from tests.synthetic import contact, matrix, random_proteins, without_origin

SEED = 3


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(13, LENGTHS)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("split") / "store"
    write_families(path, proteins, FAMILIES)
    return attnstore.open(path)


def halves(keys):
    """Rows of the half that is reported, and of the other."""
    reported = [row for row, key in enumerate(keys) if in_reported_half(key, SEED)]
    return reported, [row for row in range(len(keys)) if row not in reported]


@pytest.mark.parametrize("cluster_by", ["protein", "family"])
@pytest.mark.parametrize("average", ["micro", "macro"])
def test_each_half_is_brute_forces(store, proteins, cluster_by, average):
    keys = [p.id for p in proteins] if cluster_by == "protein" else keys_of(proteins, FAMILIES)
    reported, other = halves(keys)
    assert reported
    assert other
    found = tally(proteins, contact, 0.05)
    result = store.align(
        "contact",
        threshold=0.05,
        split=True,
        seed=SEED,
        cluster_by=cluster_by,
        average=average,
        replicates=40,
        min_arcs=20,
    )

    def by_cluster(rows):
        clusters = members([keys[row] for row in rows])
        part = found.of(rows)
        return clusters, *(np.array([v[c].sum(0) for c in clusters.values()]) for v in (part.true, part.known))

    def share(rows):
        _, true, known = by_cluster(rows)
        return found.of(rows).share if average == "micro" else np.nanmean(true / known, axis=0)

    np.testing.assert_allclose(result["share"], share(reported), rtol=1e-12)
    np.testing.assert_allclose(result["selection_share"], share(other), rtol=1e-12)
    np.testing.assert_array_equal(result["total"], found.of(reported).known.sum(0))
    np.testing.assert_array_equal(result["selection_total"], found.of(other).known.sum(0))
    np.testing.assert_array_equal(result["selection_count"], found.of(other).true.sum(0))
    pairs = found.of(reported)
    if average == "micro":
        np.testing.assert_allclose(result["background"], pairs.pairs_true.sum() / pairs.pairs_known.sum())
        clusters, true, known = by_cluster(reported)
        weights = np.array([draws(key, 40, SEED) for key in clusters])
        low, high = intervals(true, known, weights, 0.95)
        np.testing.assert_allclose(result["bootstrap_low"], low, rtol=1e-12)
        np.testing.assert_allclose(result["bootstrap_high"], high, rtol=1e-12)
    assert result.attrs["proteins"] == len(reported)
    assert result.attrs["selection_proteins"] == len(other)
    assert result.attrs["clusters"] == len({keys[row] for row in reported})
    assert result.attrs["selection_clusters"] == len({keys[row] for row in other})


@pytest.mark.parametrize("tier", ["arcs", "codes"])
def test_a_background_by_separation_is_of_the_reported_half_alone(store, proteins, tier):
    reported, _ = halves([p.id for p in proteins])
    layers, heads = proteins[0].attention.shape[:2]
    true, known, arcs = np.zeros(40), np.zeros(40), np.zeros((layers, heads, 40))
    for row in reported:
        state = matrix(proteins[row], contact)
        far = np.abs(np.subtract.outer(np.arange(len(state)), np.arange(len(state))))
        held = (proteins[row].weights >= np.float32(0.1)) & (state >= 0)
        for s in range(len(state)):
            true[s] += ((state == 1) & (far == s)).sum()
            known[s] += ((state >= 0) & (far == s)).sum()
            arcs[..., s] += (held & (far == s)).sum((-1, -2))
    at = known > 0
    expected = arcs[..., at] @ (true[at] / known[at]) / arcs[..., at].sum(-1)
    result = store.align(
        "contact", threshold=0.1, split=True, seed=SEED, background="separation", tier=tier, replicates=0
    )
    np.testing.assert_allclose(result["background"], expected)


def test_ranks_are_of_the_selection_and_asks_for_arcs_in_both_halves(store, proteins):
    asked = {"threshold": 0.05, "split": True, "seed": SEED, "replicates": 0, "min_proteins": 0}
    totals = store.align("contact", **asked)
    least = int(np.sort(totals["selection_total"], axis=None)[2])
    result = store.align("contact", **asked, min_arcs=least)
    enough = result["selection_total"].values >= least
    rank, lower = result["selection_rank"].values, result["selection_lower"].values
    assert enough.any()
    assert (rank[~enough] == 0).all()
    assert sorted(rank[enough]) == list(range(1, enough.sum() + 1))
    # Below their background last, in the half that ranks.
    keys = other_half_enrichment(store, proteins)[enough] < 1, -lower[enough]
    np.testing.assert_array_equal(np.lexsort(keys[::-1]), np.argsort(rank[enough]))
    np.testing.assert_array_equal(result["ranked"], enough & (result["total"].values >= least))


def other_half_enrichment(store, proteins):
    _, other = halves([p.id for p in proteins])
    names = ", ".join(f"'{proteins[row].id}'" for row in other)
    # The same half, asked for by name.
    return store.align("contact", where=f"protein.id IN ({names})", threshold=0.05)["enrichment"].values


def test_a_background_by_separation_ranks_with_that_of_the_half_that_ranks(store, proteins):
    _, other = halves([p.id for p in proteins])
    names = ", ".join(f"'{proteins[row].id}'" for row in other)
    asked = {"threshold": 0.05, "background": "separation", "min_arcs": 1, "min_proteins": 0, "rank_by": "enrichment"}
    alone = store.align("contact", where=f"protein.id IN ({names})", **asked)
    result = store.align("contact", split=True, seed=SEED, **asked)
    np.testing.assert_array_equal(result["selection_rank"], alone["rank"])


def test_noise_does_not_lead_and_what_leads_holds_on_the_other_half():
    """One head finds a rare property in many proteins; forty have a few hundred arcs each, in a few proteins."""
    rng = np.random.default_rng(8)
    proteins, background, worlds = 300, 0.03, 25
    first, held = {"lower": [], "share": []}, {"lower": [], "share": []}
    for world in range(worlds):
        total = np.zeros((proteins, 1, 41), np.int64)
        true = np.zeros_like(total)
        total[:, 0, 0] = rng.integers(1, 20, proteins)
        true[:, 0, 0] = rng.binomial(total[:, 0, 0], 0.3)
        for head in range(1, 41):
            holding = rng.choice(proteins, 24, replace=False)
            total[holding, 0, head] = rng.integers(10, 30, 24)
            # A protein has its site where the head looks, or has not.
            true[holding, 0, head] = total[holding, 0, head] * (rng.random(24) < 0.1)
        counts = Counts(true, total - true, total * 0)
        pairs = np.full(proteins, 10_000)
        reading = Reading(counts, counts, None, None, (pairs * background).astype(np.int64), pairs, None)
        clusters = Clusters(tuple(f"{world}.{n}" for n in range(proteins)), np.zeros(proteins, bool))
        for by in first:
            measure = Measure(split=True, seed=world, replicates=200, rank_by=by)
            result = summarise_halves(Halves.partial(measure, reading, clusters), measure)
            best = np.where(result["selection_rank"] == 1)
            first[by].append(best[1].item())
            held[by].append(float(result["share"][best].item()))
    assert first["lower"].count(0) > 0.9 * worlds
    assert first["share"].count(0) < 0.7 * worlds
    assert np.mean(held["lower"]) > np.mean(held["share"]) + 0.05


def test_the_table_is_in_the_order_of_the_selection():
    # Ranked in both halves, too few arcs to be reported, and too few to be selected by.
    values = {
        "share": [[0.9, 0.1, 0.5], [0.6, 0.95, 0.99]],
        "selection_rank": [[3, 1, 0], [4, 2, 0]],
        "ranked": [[True, True, False], [True, False, False]],
    }
    result = Alignment(
        {name: (("layer", "head"), array) for name, array in values.items()}, {"layer": [0, 1], "head": [0, 1, 2]}
    )
    table = result.to_table()
    assert list(table.columns) == ["layer", "head", "share", "selection_rank", "ranked"]
    assert list(table["selection_rank"]) == [1, 3, 4, 2, 0, 0]
    assert list(table["ranked"]) == [True] * 3 + [False] * 3
    assert list(table["share"][:3]) == [0.1, 0.9, 0.6]
    assert list(table.index) == list(range(6))


def test_halves_do_not_depend_on_segments(proteins, tmp_path):
    results = []
    for per_segment in (1, 4):
        path = tmp_path / str(per_segment)
        write_families(path, proteins, FAMILIES, per_segment=per_segment)
        opened = attnstore.open(path)
        results.append(opened.align("contact", threshold=0.05, split=True, seed=SEED, cluster_by="family"))
    xr.testing.assert_identical(*map(without_origin, results))


def test_one_cluster_cannot_be_divided(proteins, tmp_path):
    path = tmp_path / "one"
    write_families(path, proteins, ["x"] * len(proteins))
    with pytest.raises(QueryError, match="one half empty: with cluster_by='family' there is 1 cluster"):
        attnstore.open(path).align("contact", split=True, cluster_by="family")


def test_the_best_of_many_equal_heads_looks_better_than_it_is_where_it_was_picked():
    """The winner's curse, on data in which every head has the same share."""
    rng = np.random.default_rng(21)
    picked, reported, both = [], [], []
    for world in range(60):
        # Proteins differ, heads do not.
        total = rng.integers(5, 30, (40, 4, 10))
        true = rng.binomial(total, rng.beta(4, 16, (40, 1, 1)))
        counts = Counts(true, total - true, total * 0)
        reading = Reading(counts, counts, None, None, None, None, None)
        clusters = Clusters(tuple(f"{world}.{n}" for n in range(40)), np.zeros(40, bool))
        measure = Measure(background="none", replicates=0, split=True, seed=world)
        result = summarise_halves(Halves.partial(measure, reading, clusters), measure)
        best = result["selection_rank"] == 1
        assert best.sum() == 1
        picked.append(result["selection_share"][best].item())
        reported.append(result["share"][best].item())
        # The half itself has its luck, which all heads share.
        both.append(result["share"].mean())
    optimism = np.array(picked) - np.array(reported)
    assert optimism.mean() > 5 * optimism.std() / np.sqrt(len(optimism))
    # What is reported is not only less optimistic but unbiased.
    bias = np.array(reported) - np.array(both)
    assert abs(bias.mean()) < 3 * bias.std() / np.sqrt(len(bias))
    assert bias.std() / np.sqrt(len(bias)) < 0.2 * optimism.mean()
