"""The statistics against other people's code, brute force, and every way of splitting the proteins."""

from __future__ import annotations

import functools
import hashlib
import math
import subprocess
import sys
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from attnstore.queries.statistics.background import PooledBackground, ProteinBackground, SeparationBackground
from attnstore.queries.statistics.bootstrap import PoissonBootstrap, replicate_weights
from attnstore.queries.statistics.cluster_counts import Holders
from attnstore.queries.statistics.cluster_intervals import cluster_interval, difference_interval
from attnstore.queries.statistics.clusters import Clusters
from attnstore.queries.statistics.intervals import wald_interval, wilson_interval
from attnstore.queries.statistics.measure import Measure
from attnstore.queries.statistics.ranking import rank_heads
from attnstore.queries.statistics.samples import Counts, Sample
from attnstore.queries.statistics.significance import (
    benjamini_hochberg,
    bonferroni,
    one_sample_test,
    two_proportion_test,
)
from attnstore.queries.statistics.summary import summarise
from benchmarks import interval_coverage
from tests.queries.families import intervals

LAYERS, HEADS, REPLICATES = 2, 3, 40


class Proteins:
    """Random arcs and pairs of a few proteins, with everything summed per protein."""

    def __init__(self, number: int, seed: int, *, weighted: bool = False) -> None:
        rng = np.random.default_rng(seed)
        shape = (number, LAYERS, HEADS)
        self.keys = [f"P{seed}.{n}" for n in range(number)]
        self.true, self.false, self.unknown = (rng.integers(0, 6, shape) for _ in range(3))
        if weighted:
            self.true, self.false, self.unknown = (
                rng.random(shape) * counts for counts in (self.true, self.false, self.unknown)
            )
        self.pairs_known = rng.integers(0, 50, number) * rng.integers(0, 2, number)
        self.pairs_true = rng.binomial(self.pairs_known, 0.3)
        self.lengths = rng.integers(1, 9, number)
        self.by_separation = [
            (
                rng.integers(0, 4, (LAYERS, HEADS, s)),
                (known := rng.integers(0, 9, s)),
                rng.binomial(known, 0.4),
            )
            for s in self.lengths
        ]

    @property
    def known(self) -> Any:
        return self.true + self.false

    def partials(self, members: list[int]) -> tuple[Any, ...]:
        """What one task makes of some of the proteins."""
        rows = np.array(members, dtype=int)
        weights = replicate_weights([self.keys[p] for p in members], REPLICATES, seed=3)
        separation = SeparationBackground.empty(LAYERS, HEADS)
        for p in members:
            arcs, known, true = self.by_separation[p]
            separation = separation.combine(SeparationBackground.partial(arcs, true, known))
        return (
            Counts(*(values[rows].sum(axis=0) for values in (self.true, self.false, self.unknown))),
            PoissonBootstrap.partial(self.true[rows], self.known[rows], weights),
            PooledBackground("eligible", self.pairs_true[rows].sum(), self.pairs_known[rows].sum()),
            ProteinBackground.partial(self.known[rows], self.pairs_true[rows], self.pairs_known[rows]),
            separation,
        )


def arrays(value: Any) -> list[Any]:
    return [np.asarray(getattr(value, name)) for name in value.__dataclass_fields__ if name != "kind"]


def assert_same(a: Any, b: Any, *, exact: bool = True) -> None:
    assert type(a) is type(b)
    for x, y in zip(arrays(a), arrays(b), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        if exact:
            np.testing.assert_array_equal(x, y)
        else:
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def is_exact(value: Any) -> bool:
    # A sum of fractions is the one partial whose rounding depends on the order.
    return not isinstance(value, ProteinBackground)


# ── Partials ─────────────────────────────────────────────────────────────────────────────────────


@given(
    seed=st.integers(0, 10**6),
    tasks=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=40)
def test_splitting_proteins_over_tasks_changes_nothing(seed: int, tasks: list[int], order: Any) -> None:
    proteins = Proteins(len(tasks), seed)
    whole = proteins.partials(list(range(len(tasks))))
    groups = [[p for p, task in enumerate(tasks) if task == t] for t in range(5)]
    for group in groups:
        order.shuffle(group)
    order.shuffle(groups)
    parts = [proteins.partials(group) for group in groups]
    for n, expected in enumerate(whole):
        split = functools.reduce(lambda a, b: a.combine(b), [part[n] for part in parts])
        assert_same(split, expected, exact=is_exact(expected))


@given(seeds=st.tuples(*[st.integers(0, 10**6)] * 3), numbers=st.tuples(*[st.integers(0, 4)] * 3))
@settings(deadline=None, max_examples=40)
def test_combine_is_associative_and_commutative(seeds: tuple[int, ...], numbers: tuple[int, ...]) -> None:
    members = [Proteins(n, s).partials(list(range(n))) for n, s in zip(numbers, seeds, strict=True)]
    for a, b, c in zip(*members, strict=True):
        assert_same(a.combine(b), b.combine(a))
        assert_same(a.combine(b).combine(c), a.combine(b.combine(c)), exact=is_exact(a))


@pytest.mark.parametrize("weighted", [False, True])
def test_empty_is_neutral(weighted: bool) -> None:
    proteins = Proteins(4, 1, weighted=weighted)
    counts, bootstrap, pooled, protein, separation = proteins.partials([0, 1, 2, 3])
    assert_same(Counts.empty(LAYERS, HEADS, weighted=weighted).combine(counts), counts)
    assert_same(PoissonBootstrap.empty(REPLICATES, LAYERS, HEADS).combine(bootstrap), bootstrap)
    assert_same(PooledBackground("eligible").combine(pooled), pooled)
    assert_same(ProteinBackground.empty(LAYERS, HEADS, weighted=weighted).combine(protein), protein)
    assert_same(SeparationBackground.empty(LAYERS, HEADS).combine(separation), separation)
    empty = SeparationBackground.empty(LAYERS, HEADS, weighted=True)
    assert empty.arcs_by_separation.dtype == np.float64
    assert np.isnan(empty.finalise()).all()


def test_what_does_not_fit_is_refused() -> None:
    ints = np.zeros((2, 3), np.int64)
    with pytest.raises(ValueError, match="int64 or float64"):
        Counts(ints, ints, ints.astype(float))
    with pytest.raises(ValueError, match="layers, heads"):
        Counts(ints, ints, ints[:1])
    with pytest.raises(ValueError, match="layers, heads"):
        Counts(ints[0], ints[0], ints[0])
    with pytest.raises(ValueError, match="cannot combine"):
        Counts.empty(2, 3).combine(Counts.empty(2, 3, weighted=True))
    with pytest.raises(ValueError, match="cannot combine"):
        Counts.empty(2, 3).combine(Counts.empty(3, 2))
    with pytest.raises(ValueError, match="'eligible' with one 'paper'"):
        PooledBackground("eligible").combine(PooledBackground("paper"))
    with pytest.raises(ValueError, match="cannot be"):
        PooledBackground("eligible", 3, 2)
    with pytest.raises(ValueError, match="cannot combine"):
        ProteinBackground.empty(2, 3).combine(ProteinBackground.empty(3, 2))
    with pytest.raises(ValueError, match="need"):
        ProteinBackground.partial(np.zeros((4, 2, 3), int), [1, 2], [3, 4])
    with pytest.raises(ValueError, match="need"):
        SeparationBackground.partial(np.zeros((2, 3, 5), int), [1], [1])
    with pytest.raises(ValueError, match="cannot combine"):
        SeparationBackground.empty(2, 3).combine(SeparationBackground.empty(3, 2))
    with pytest.raises(ValueError, match="weights"):
        PoissonBootstrap.partial(np.zeros((4, 2, 3)), np.zeros((4, 2, 3)), replicate_weights(["a", "b"], 9, 0))
    with pytest.raises(ValueError, match="cannot combine"):
        PoissonBootstrap.empty(9, 2, 3).combine(PoissonBootstrap.empty(8, 2, 3))


def test_share_with_and_without_the_unknown() -> None:
    counts = Counts(np.array([[3, 0]]), np.array([[1, 0]]), np.array([[4, 0]]))
    np.testing.assert_array_equal(counts.share(), [[0.75, math.nan]])
    np.testing.assert_array_equal(counts.share(paper=True), [[0.375, math.nan]])
    np.testing.assert_array_equal(counts.total(paper=True), [[8, 0]])
    assert counts.total().dtype == np.int64


# ── Backgrounds ──────────────────────────────────────────────────────────────────────────────────


def test_backgrounds_against_loops() -> None:
    proteins = Proteins(12, 5)
    _, _, pooled, protein, separation = proteins.partials(list(range(12)))
    assert pooled.finalise() == sum(proteins.pairs_true.tolist()) / sum(proteins.pairs_known.tolist())
    longest = max(proteins.lengths)
    true_at, known_at = np.zeros(longest), np.zeros(longest)
    for _, known, true in proteins.by_separation:
        known_at[: len(known)] += known
        true_at[: len(true)] += true
    assert (proteins.pairs_known == 0).any()
    for layer in range(LAYERS):
        for head in range(HEADS):
            numer = denom = 0.0
            for p in range(12):
                if proteins.pairs_known[p]:
                    n = proteins.known[p, layer, head]
                    numer += n * proteins.pairs_true[p] / proteins.pairs_known[p]
                    denom += n
            assert protein.finalise()[layer, head] == pytest.approx(numer / denom)
            numer = denom = 0.0
            for arcs, _, _ in proteins.by_separation:
                for s, n in enumerate(arcs[layer, head]):
                    if known_at[s]:
                        numer += n * true_at[s] / known_at[s]
                        denom += n
            assert separation.finalise()[layer, head] == pytest.approx(numer / denom)


def test_matched_backgrounds_are_the_pooled_one_when_there_is_nothing_to_match() -> None:
    arcs = np.array([[[7, 0]]])
    one = ProteinBackground.partial(arcs, [3], [12])
    np.testing.assert_array_equal(one.finalise(), [[0.25, math.nan]])
    flat = SeparationBackground.partial(np.array([[[2, 5]]]), [1, 2], [4, 8])
    np.testing.assert_allclose(flat.finalise(), [[0.25]])


def test_arcs_where_the_background_is_undefined_are_left_out() -> None:
    unmatched = ProteinBackground.partial(np.array([[[10]], [[2]]]), [0, 1], [0, 4])
    np.testing.assert_array_equal(unmatched.finalise(), [[0.25]])
    gap = SeparationBackground.partial(np.array([[[10, 2]]]), [0, 1], [0, 4])
    np.testing.assert_array_equal(gap.finalise(), [[0.25]])
    assert math.isnan(PooledBackground("paper").finalise())


def test_pooled_counts_outgrow_64_bits() -> None:
    big = PooledBackground("eligible", np.int64(2**62), np.int64(2**63 - 1))
    assert big.combine(big).combine(big).pairs_known == 3 * (2**63 - 1)


# ── Bootstrap ────────────────────────────────────────────────────────────────────────────────────


def test_replicate_weights_follow_their_specification() -> None:
    digest = hashlib.blake2b((7).to_bytes(16, "little") + "Å1".encode(), digest_size=16, person=b"attnstore-boot/1")
    key = int.from_bytes(digest.digest(), "little")
    uniform = [raw / 2**64 for raw in np.random.Philox(key=key).random_raw(500).tolist()]
    expected = stats.poisson(1).ppf(uniform)
    np.testing.assert_array_equal(replicate_weights(["Å1"], 500, 7)[:, 0], expected)


def test_replicate_weights_depend_on_seed_and_key_only() -> None:
    keys = [f"protein {n}" for n in range(20)]
    weights = replicate_weights(keys, 64, 11)
    assert weights.dtype == np.uint8
    assert weights.shape == (64, 20)
    np.testing.assert_array_equal(replicate_weights(keys[::-1], 64, 11), weights[:, ::-1])
    np.testing.assert_array_equal(replicate_weights(keys[5:6], 64, 11), weights[:, 5:6])
    np.testing.assert_array_equal(replicate_weights(keys, 17, 11), weights[:17])
    assert not np.array_equal(replicate_weights(keys, 64, 12), weights)
    assert len({column.tobytes() for column in weights.T}) == 20
    assert replicate_weights([], 64, 11).shape == (64, 0)


def test_replicate_weights_are_the_same_in_another_process() -> None:
    code = (
        "from attnstore.queries.statistics.bootstrap import replicate_weights as draw;"
        "found = draw(['1abc.A', '2xyz.B'], 30, 5); print(found.tolist())"
    )
    # A process of its own hashes strings with a salt of its own.
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    found = replicate_weights(["1abc.A", "2xyz.B"], 30, 5)
    assert output.strip() == str(found.tolist())


def test_replicate_weights_are_poisson_and_independent() -> None:
    weights = replicate_weights([f"k{n}" for n in range(400)], 500, 0)
    observed = np.bincount(np.minimum(weights, 6).ravel(), minlength=7)
    expected = stats.poisson(1).pmf(np.arange(7))
    expected[6] = stats.poisson(1).sf(5)
    assert stats.chisquare(observed, expected * weights.size).pvalue > 1e-4
    correlation = np.corrcoef(weights.T)[np.triu_indices(400, 1)]
    assert abs(correlation.mean()) < 5 / math.sqrt(correlation.size * 500)
    assert correlation.std() == pytest.approx(1 / math.sqrt(500), rel=0.05)


@pytest.mark.parametrize(("replicates", "seed"), [(0, 1), (5, -1), (5, 2**128)])
def test_replicate_weights_refuse(replicates: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must"):
        replicate_weights(["a"], replicates, seed)


@pytest.mark.parametrize("weighted", [False, True])
def test_replicate_sums_and_interval_against_loops(weighted: bool) -> None:
    number = 7
    proteins = Proteins(number, 8, weighted=weighted)
    proteins.true[:, 0, 0] = proteins.false[:, 0, 0] = 0
    proteins.false[:4, 0, 0] = 1  # four proteins are too few
    proteins.true[:, 0, 1], proteins.false[:, 0, 1] = 0, 2  # the share is 0
    proteins.true[:, 1, 1], proteins.false[:, 1, 1] = 3, 0  # the share is 1
    weights = replicate_weights(proteins.keys, REPLICATES, 3)
    bootstrap = PoissonBootstrap.partial(proteins.true, proteins.known, weights)
    for r in range(REPLICATES):
        for place in np.ndindex(LAYERS, HEADS):
            at = (slice(None), *place)
            assert bootstrap.numer[(r, *place)] == pytest.approx(sum(weights[r] * proteins.true[at]))
            assert bootstrap.denom[(r, *place)] == pytest.approx(sum(weights[r] * proteins.known[at]))
    clusters = (proteins.known > 0).sum(axis=0)
    low, high = cluster_interval(bootstrap, proteins.true.sum(axis=0), proteins.known.sum(axis=0), clusters, 0.9)
    expected = intervals(proteins.true, proteins.known, weights.T, 0.9)
    np.testing.assert_allclose([low, high], expected, rtol=1e-7, atol=1e-10)
    assert np.isnan(low[0, 0])
    # They do not collapse.
    assert low[0, 1] == 0 < 0.1 < high[0, 1] < 1
    assert 0 < low[1, 1] < 0.9 < high[1, 1] == 1


def test_no_interval_of_few_clusters_or_replicates() -> None:
    rng = np.random.default_rng(5)
    true, total = rng.integers(0, 9, (20, 1, 1)), np.full((20, 1, 1), 9)
    weights = replicate_weights([str(n) for n in range(20)], 50, 0)
    bootstrap = PoissonBootstrap.partial(true, total, weights)
    asked = bootstrap, true.sum(axis=0), total.sum(axis=0)
    for clusters, defined in ((1, False), (4, False), (5, True), (20, True)):
        assert np.isfinite(cluster_interval(*asked, clusters)).all() == defined
    one = PoissonBootstrap(bootstrap.numer[:1], bootstrap.denom[:1])
    assert np.isnan(cluster_interval(one, *asked[1:], 20)).all()
    with pytest.raises(ValueError, match="level"):
        cluster_interval(*asked, 20, 1.0)


def test_shares_that_do_not_vary_between_clusters_leave_an_interval() -> None:
    true = np.full((30, 1, 1), 4)
    bootstrap = PoissonBootstrap.partial(true, 3 * true, replicate_weights([str(n) for n in range(30)], 500, 0))
    low, high = (end.item() for end in cluster_interval(bootstrap, true.sum(), 3 * true.sum(), 30))
    # As of thirty coins.
    assert low == pytest.approx(stats.binomtest(10, 30).proportion_ci(method="wilson").low, abs=0.02)
    assert high == pytest.approx(stats.binomtest(10, 30).proportion_ci(method="wilson").high, abs=0.02)


def test_moments_are_those_of_the_clusters() -> None:
    rng = np.random.default_rng(6)
    y = rng.integers(1, 80, 12).astype(float)
    x = rng.binomial(y.astype(int), 0.3 + 0.4 * y / 80).astype(float)
    weights = replicate_weights([f"c{n}" for n in range(12)], 200_000, 0)
    bootstrap = PoissonBootstrap.partial(x, y, weights)
    share = x.sum() / y.sum()
    found = bootstrap.moments(np.asarray(share), np.asarray(y.sum()))
    e = x - share * y
    assert found.e2 == pytest.approx((e**2).sum(), rel=0.02)
    assert found.y2 == pytest.approx((y**2).sum(), rel=0.02)
    assert found.e2y == pytest.approx((e**2 * y).sum(), rel=0.05)
    assert found.e3 == pytest.approx((e**3).sum(), abs=0.05 * (e**2).sum() ** 1.5)


def test_interval_of_many_clusters_is_the_delta_methods() -> None:
    rng = np.random.default_rng(4)
    number = 2000
    total = rng.integers(5, 60, number)
    true = rng.binomial(total, rng.beta(2, 6, number))
    weights = replicate_weights([f"p{n}" for n in range(number)], 2000, 1)
    bootstrap = PoissonBootstrap.partial(true, total, weights)
    low, high = (end.item() for end in cluster_interval(bootstrap, true.sum(), total.sum(), number))
    share = true.sum() / total.sum()
    error = math.sqrt(np.sum((true - share * total) ** 2)) / total.sum()
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert (low + high) / 2 == pytest.approx(share, abs=0.2 * error)
    # The arcs of a protein go together here, so the interval that takes them for independent is narrower.
    wilson = wilson_interval(true.sum(), total.sum())
    assert high - low > 1.3 * (wilson[1] - wilson[0])


@pytest.mark.parametrize(
    ("clusters", "scenario", "least"),
    [(5, "plain", 0.9), (10, "plain", 0.93), (10, "size and share", 0.93), (10, "near 0", 0.93), (30, "plain", 0.93)],
)
def test_intervals_cover_as_often_as_they_say(clusters: int, scenario: str, least: float) -> None:
    covered, percentile, ends = interval_coverage.simulate(scenario, clusters, worlds=800, replicates=500, seed=2)
    # Three standard errors of a share of 800 worlds.
    assert covered.mean() > least - 3 * math.sqrt(least * (1 - least) / 800)
    # Which percentiles do not, and the test would see it.
    if clusters <= 10:
        assert percentile.mean() < least
        assert covered.mean() > percentile.mean() + 0.02
    # Nor do they collapse.
    assert (ends[1] > ends[0]).all()


def test_the_interval_of_a_difference_draws_the_same_clusters_for_both() -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(10, 40, 60)
    x = rng.binomial(y, rng.beta(3, 3, 60))
    weights = replicate_weights([str(n) for n in range(60)], 2000, 0)

    def resampled(true: Any) -> Any:
        return PoissonBootstrap.partial(true, y, weights), true.sum(), y.sum()

    # One is the other but for two arcs of each cluster that it misses: clusters differ, the difference hardly does.
    fewer = np.maximum(x - 2, 0)
    low, high = difference_interval(resampled(x), resampled(fewer), 60)
    gap = (x.sum() - fewer.sum()) / y.sum()
    alone = np.diff([end.item() for end in cluster_interval(*resampled(x), 60)]).item()
    assert low < gap < high
    assert high - low < 0.2 * alone
    assert np.isnan(difference_interval(resampled(x), resampled(fewer), 4)).all()


# ── Clusters that hold arcs ──────────────────────────────────────────────────────────────────────


@given(
    families=st.lists(st.integers(0, 5), min_size=1, max_size=14),
    tasks=st.integers(1, 4),
    levels=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_clusters_that_hold_arcs_are_counted_once(families: list[int], tasks: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    highest = rng.integers(0, levels + 1, (len(families), LAYERS, HEADS)).astype(np.uint8)
    parts = [list(range(len(families)))[task::tasks] for task in range(tasks)]
    held = [{families[row] for row in part} for part in parts]

    def partial(part: list[int]) -> Holders:
        keys = tuple(str(families[row]) for row in part)
        spans = np.array([sum(families[row] in each for each in held) > 1 for row in part], bool)
        return Holders.partial(Clusters(keys, spans), highest[part], levels)

    found = functools.reduce(lambda a, b: a.combine(b), map(partial, parts)).finalise()
    for level in range(levels):
        for place in np.ndindex(LAYERS, HEADS):
            above = {family for family, of in zip(families, highest[(..., *place)], strict=True) if of > level}
            assert found[(level, *place)] == len(above)


# ── Ranks ────────────────────────────────────────────────────────────────────────────────────────


def ranking(**values: Any) -> Any:
    shape = (1, len(values["share"]))
    defaults = {"ranked": np.ones(shape, bool), "wilson_low": np.zeros(shape)}
    return defaults | {name: np.array([row]) for name, row in values.items()}


def test_heads_are_ranked_by_the_lower_bound_of_the_interval() -> None:
    result = ranking(share=[0.9, 0.5, 0.6, 0.4], bootstrap_low=[0.1, 0.45, math.nan, 0.3], enrichment=[9, 5, 6, 4])
    np.testing.assert_array_equal(rank_heads(result, "lower"), [[3, 1, 4, 2]])
    np.testing.assert_array_equal(rank_heads(result, "share"), [[1, 3, 2, 4]])
    # Without a bootstrap it is Wilson's.
    del result["bootstrap_low"]
    result["wilson_low"] = np.array([[0.2, 0.1, 0.3, 0.0]])
    np.testing.assert_array_equal(rank_heads(result, "lower"), [[2, 3, 1, 4]])


def test_a_share_below_its_background_never_leads() -> None:
    result = ranking(
        share=[0.9, 0.5, 0.2, 0.3], bootstrap_low=[0.8, 0.4, 0.1, 0.2], enrichment=[0.95, 0.7, 4.0, math.nan]
    )
    for by in ("lower", "share"):
        np.testing.assert_array_equal(rank_heads(result, by), [[3, 4, 2, 1]])
    np.testing.assert_array_equal(rank_heads(result, "enrichment"), [[3, 4, 1, 2]])
    # The paper's form keeps the paper's order.
    np.testing.assert_array_equal(rank_heads(result, "share", paper=True), [[1, 2, 4, 3]])


def test_heads_that_are_not_ranked_have_no_rank_and_equals_keep_their_order() -> None:
    result = ranking(share=[0.5, 0.5, math.nan, 0.5], bootstrap_low=[0.1, 0.1, math.nan, 0.1])
    result["ranked"][0, 1] = False
    np.testing.assert_array_equal(rank_heads(result, "lower"), [[1, 0, 0, 2]])


# ── Intervals and tests ──────────────────────────────────────────────────────────────────────────

GRID = [(0, 5), (5, 5), (1, 7), (120, 400), (3, 10**6), (10**9, 3 * 10**9), (0, 0)]
TRUE, TOTAL = (np.array([pair[n] for pair in GRID]) for n in (0, 1))


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 144])
def test_wilson_against_scipy(alpha: float) -> None:
    low, high = wilson_interval(TRUE, TOTAL, alpha)
    for n, (true, total) in enumerate(GRID[:-1]):
        expected = stats.binomtest(true, total).proportion_ci(1 - alpha, method="wilson")
        assert (low[n], high[n]) == pytest.approx(tuple(expected), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 144])
def test_wald_against_exact_shares(alpha: float) -> None:
    low, high = wald_interval(TRUE, TOTAL, alpha)
    z = -NormalDist().inv_cdf(alpha / 2)
    for n, (true, total) in enumerate(GRID[:-1]):
        share = Fraction(true, total)
        half = z * math.sqrt(share * (1 - share) / total)
        assert (low[n], high[n]) == pytest.approx(
            (max(0.0, share - half), min(1.0, share + half)), rel=1e-12, abs=1e-15
        )


@pytest.mark.parametrize(
    ("interval", "true", "total", "alpha", "expected"),
    [  # as printed by proportion_confint of statsmodels 0.15.0
        (wilson_interval, 1, 7, 0.05, (0.02567962434474355, 0.5131278292743189)),
        (wald_interval, 1, 7, 0.05, (0.0, 0.40208200738821154)),
        (wilson_interval, 120, 400, 0.05 / 144, (0.22527743392672522, 0.3871226142655267)),
        (wald_interval, 120, 400, 0.05 / 144, (0.21803480495025798, 0.381965195049742)),
        (wilson_interval, 3, 1000000, 0.05, (1.0202712409681232e-06, 8.821149774312438e-06)),
        (wald_interval, 3, 1000000, 0.05, (0.0, 6.394752110088894e-06)),
        (wilson_interval, 1000000000, 3000000000, 0.1, (0.33331917683763773, 0.3333474901296449)),
        (wald_interval, 1000000000, 3000000000, 0.1, (0.33331917668732414, 0.3333474899793425)),
    ],
)
def test_intervals_are_those_of_statsmodels_to_the_bit(
    interval: Any, true: int, total: int, alpha: float, expected: tuple[float, float]
) -> None:
    assert interval(true, total, alpha) == expected


@pytest.mark.parametrize("interval", [wilson_interval, wald_interval])
def test_intervals_of_nothing_are_nan_and_alpha_is_checked(interval: Any) -> None:
    assert np.isnan(interval(0, 0)).all()
    with pytest.raises(ValueError, match="alpha"):
        interval(TRUE, TOTAL, 0.0)


def test_wilson_is_the_interval_of_the_score_test() -> None:
    low, high = wilson_interval(30, 90, 0.05)
    for end in (low, high):
        assert one_sample_test(30, 90, end).p == pytest.approx(0.05)


@given(
    true=st.integers(0, 10**6),
    false=st.integers(0, 10**6),
    bg_true=st.integers(0, 10**9),
    bg_false=st.integers(0, 10**9),
)
@settings(deadline=None)
def test_two_proportion_test_against_exact_shares(true: int, false: int, bg_true: int, bg_false: int) -> None:
    test = two_proportion_test([[true]], [[true + false]], bg_true, bg_true + bg_false)
    if true + false and bg_true + bg_false and true + bg_true and false + bg_false:
        n, m = true + false, bg_true + bg_false
        pooled = Fraction(true + bg_true, n + m)
        difference = Fraction(true, n) - Fraction(bg_true, m)
        z = float(difference) / math.sqrt(pooled * (1 - pooled) * (Fraction(1, n) + Fraction(1, m)))
        assert test.z.item() == pytest.approx(z, rel=1e-9, abs=1e-9)
        assert test.p.item() == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-6, abs=1e-300)
    else:
        assert np.isnan(test).all()


@given(true=st.integers(0, 10**6), false=st.integers(0, 10**6), expected=st.floats(0.001, 0.999))
@settings(deadline=None)
def test_one_sample_test_against_exact_shares(true: int, false: int, expected: float) -> None:
    test = one_sample_test([[true]], [[true + false]], [[expected]])
    if true + false:
        n, e = true + false, Fraction(expected)
        z = float(Fraction(true, n) - e) / math.sqrt(e * (1 - e) / n)
        assert test.z.item() == pytest.approx(z, rel=1e-9, abs=1e-9)
        assert test.p.item() == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-6, abs=1e-300)
    else:
        assert np.isnan(test).all()


def test_one_sample_test_without_variance_is_nan() -> None:
    for expected in (0.0, 1.0, math.nan):
        assert np.isnan(one_sample_test(5, 10, expected)).all()


def test_log10_p_agrees_with_p_and_outlives_it() -> None:
    test = one_sample_test(np.array([300, 510, 10**6]), np.array([1000, 1000, 2 * 10**6]), np.array([0.3, 0.5, 0.25]))
    np.testing.assert_allclose(test.log10_p[:2], np.log10(test.p[:2]), atol=1e-12)
    assert test.log10_p[0] == pytest.approx(0.0, abs=1e-12)
    assert test.p[2] == 0.0
    z = test.z[2]
    assert z > 100
    # The asymptotic series of Mills' ratio.
    tail = -z * z / 2 - math.log(z) - 0.5 * math.log(2 * math.pi) + math.log1p(-(z**-2) + 3 * z**-4)
    assert test.log10_p[2] == pytest.approx((math.log(2) + tail) / math.log(10), rel=1e-12)


# Shares of 1/1000 and of 999/1000 are as far from one half as each other: the sign tells them apart.
def test_sign_of_z() -> None:
    test = two_proportion_test(np.array([1, 999]), np.array([1000, 1000]), 500, 1000)
    assert test.z[0] == pytest.approx(-test.z[1])
    assert test.z[1] > 0


@given(
    # Subnormal numbers have too few digits for two orders of multiplication to agree.
    p=st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=20),
    mask=st.lists(st.booleans(), min_size=20, max_size=20),
)
@settings(deadline=None)
def test_adjustments_against_their_definition(p: list[float], mask: list[bool]) -> None:
    values = np.array(p)[None]
    ranked = np.array(mask[: len(p)])[None]
    tested = sorted(values[ranked])
    m = len(tested)
    # min over j ≥ i of p₍ⱼ₎·m/j, j from 1; of equal p-values the last place decides.
    stepped = {each: min(1.0, *(tested[j] * m / (j + 1) for j in range(tested.index(each), m))) for each in tested}
    for adjust, expected in (
        (bonferroni, [min(1.0, m * each) for each in values[ranked]]),
        (benjamini_hochberg, [stepped[each] for each in values[ranked]]),
    ):
        adjusted = adjust(values, ranked)
        assert np.isnan(adjusted[~ranked]).all()
        np.testing.assert_allclose(adjusted[ranked], expected)


def test_a_ranked_head_without_p_counts_in_m() -> None:
    p, ranked = np.array([[0.01, math.nan, 0.5]]), np.array([[True, True, False]])
    np.testing.assert_allclose(bonferroni(p, ranked), [[0.02, math.nan, math.nan]])
    np.testing.assert_allclose(benjamini_hochberg(p, ranked), [[0.02, math.nan, math.nan]])


# ── Everything together ──────────────────────────────────────────────────────────────────────────

NAMES = {
    *("share", "count", "total", "unknown", "background", "enrichment", "z", "p", "log10_p"),
    *("wilson_low", "wilson_high", "bootstrap_low", "bootstrap_high", "p_bonferroni", "p_bh", "ranked"),
    *("clusters", "rank"),
}
COUNTS = Counts(
    np.array([[40, 60, 0], [99, 50, 0]]),
    np.array([[60, 39, 100], [1, 51, 0]]),
    np.array([[0, 1, 2], [0, 5, 0]]),
)


def summary(counts: Counts, background: Any = None, bootstrap: Any = None, *, arcs: Any = None, **options: Any) -> Any:
    """What comes of these sums, as a sample of no particular number of proteins."""
    measure = Measure(weighted=counts.weighted, **options)
    arcs = counts.total(paper=measure.paper) if arcs is None else arcs
    highest = (counts.total(paper=measure.paper) > 0).astype(np.uint8)
    # Each head's arcs lie in six clusters.
    holders = Holders.partial(Clusters(tuple("abcdef"), np.zeros(6, bool)), np.stack([highest] * 6))
    holders = holders if counts.true.ndim == 2 else None
    return summarise(Sample(counts, None, None, arcs, background, bootstrap, holders, None, 0), measure)


def test_summary_of_counts() -> None:
    background = PooledBackground("eligible", 300, 1000)
    proteins = Proteins(6, 2)
    bootstrap = proteins.partials(list(range(6)))[1]
    result = summary(COUNTS, background, bootstrap, level=0.8)
    assert set(result) == NAMES
    assert all(values.shape == (2, 3) for values in result.values())
    np.testing.assert_array_equal(result["total"], [[100, 99, 100], [100, 101, 0]])
    np.testing.assert_array_equal(result["ranked"], [[True, False, True], [True, True, False]])
    assert result["ranked"].dtype == np.bool_
    assert result["count"].dtype == result["total"].dtype == result["unknown"].dtype == np.int64
    np.testing.assert_allclose(result["enrichment"][0], [0.4 / 0.3, 60 / 99 / 0.3, 0.0])
    for name in NAMES - {"count", "total", "unknown", "ranked", "background", "clusters", "rank"}:
        assert math.isnan(result[name][1, 2]), name
    z = (0.4 - 0.3) / math.sqrt(340 / 1100 * (1 - 340 / 1100) * (1 / 100 + 1 / 1000))
    p = math.erfc(z / math.sqrt(2))
    assert (result["z"][0, 0], result["p"][0, 0]) == pytest.approx((z, p))
    assert result["p_bonferroni"][0, 0] == pytest.approx(min(1, 4 * p))
    expected = stats.binomtest(40, 100).proportion_ci(0.8, method="wilson")
    assert (result["wilson_low"][0, 0], result["wilson_high"][0, 0]) == pytest.approx(tuple(expected))
    ends = cluster_interval(bootstrap, COUNTS.true, COUNTS.total(), result["clusters"], 0.8)
    np.testing.assert_array_equal([result["bootstrap_low"], result["bootstrap_high"]], ends)
    np.testing.assert_array_equal(result["clusters"], [[6, 6, 6], [6, 6, 0]])


def test_summary_against_a_background_of_each_head() -> None:
    arcs = np.array([[[100, 99, 100], [100, 101, 0]]])
    result = summary(COUNTS, ProteinBackground.partial(arcs, [25], [100]))
    np.testing.assert_array_equal(result["background"], [[0.25, 0.25, 0.25], [0.25, 0.25, math.nan]])
    z = (0.4 - 0.25) / math.sqrt(0.25 * 0.75 / 100)
    p = math.erfc(z / math.sqrt(2))
    assert (result["z"][0, 0], result["p"][0, 0]) == pytest.approx((z, p))


def test_what_was_not_asked_for_is_absent() -> None:
    without = {
        "background",
        "enrichment",
        "z",
        "p",
        "p_bonferroni",
        "p_bh",
        "log10_p",
        "bootstrap_low",
        "bootstrap_high",
    }
    assert set(summary(COUNTS)) == NAMES - without
    sample = Sample(COUNTS, None, None, COUNTS.total(), PooledBackground("eligible", 3, 10), None, None, None, 0)
    assert set(summarise(sample, Measure(), tests=False)) == NAMES - without - {"clusters"} | {
        "background",
        "enrichment",
    }


def test_only_heads_that_may_be_ranked_count_in_the_corrections() -> None:
    sample = Sample(COUNTS, None, None, COUNTS.total(), PooledBackground("eligible", 300, 1000), None, None, None, 0)
    among = np.array([[True, True, False], [True, False, True]])
    result = summarise(sample, Measure(), among=among)
    np.testing.assert_array_equal(result["ranked"], [[True, False, False], [True, False, False]])
    np.testing.assert_allclose(result["p_bonferroni"][0, 0], min(1, 2 * result["p"][0, 0]))


def test_summary_in_the_form_of_the_paper() -> None:
    background = PooledBackground("paper", 3, 10)
    result = summary(COUNTS, background, paper=True)
    assert set(result) == NAMES - {"bootstrap_low", "bootstrap_high"} | {"wald_low", "wald_high"}
    np.testing.assert_array_equal(result["total"], [[100, 100, 102], [100, 106, 0]])
    # More than 100 arcs: exactly 100 are not enough.
    np.testing.assert_array_equal(result["ranked"], [[False, False, True], [False, True, False]])
    assert result["share"][1, 1] == 50 / 106
    half = NormalDist().inv_cdf(1 - 0.05 / 4) * math.sqrt(50 / 106 * 56 / 106 / 106)
    assert (result["wald_low"][1, 1], result["wald_high"][1, 1]) == pytest.approx((50 / 106 - half, 50 / 106 + half))
    assert np.isnan(result["wald_low"][~result["ranked"]]).all()
    nothing = summary(COUNTS, background, paper=True, min_arcs=10**6)
    for name in ("wald_low", "wald_high", "p_bonferroni", "p_bh"):
        assert np.isnan(nothing[name]).all()


def test_wald_intervals_of_a_curve_count_the_heads_of_each_threshold() -> None:
    one, other = COUNTS, Counts(COUNTS.true * 0 + 60, COUNTS.false * 0 + 50, COUNTS.unknown * 0)
    both = Counts(*(np.stack([getattr(c, name) for c in (one, other)]) for name in ("true", "false", "unknown")))
    result = summary(both, PooledBackground("paper", 3, 10), paper=True)
    for place, counts in enumerate((one, other)):
        alone = summary(counts, PooledBackground("paper", 3, 10), paper=True)
        for name in ("wald_low", "wald_high", "ranked", "wilson_low"):
            np.testing.assert_array_equal(result[name][place], alone[name])


def test_summary_of_weights() -> None:
    weighted = Counts(*(0.5 * values.astype(float) for values in (COUNTS.true, COUNTS.false, COUNTS.unknown)))
    arcs = COUNTS.total()
    result = summary(weighted, PooledBackground("eligible", 3, 10), paper=True, min_arcs=40, arcs=arcs)
    np.testing.assert_array_equal(result["share"], COUNTS.share(paper=True))
    assert result["count"].dtype == np.float64
    undefined = {"z", "p", "log10_p", "p_bonferroni", "p_bh"}
    undefined |= {"wilson_low", "wilson_high", "wald_low", "wald_high"}
    for name in undefined:
        assert np.isnan(result[name]).all(), name
    # By numbers of arcs, not by sums of their weights.
    np.testing.assert_array_equal(
        summary(weighted, PooledBackground("eligible", 3, 10), arcs=arcs)["ranked"], arcs >= 100
    )


def test_enrichment_over_nothing_is_nan() -> None:
    assert np.isnan(summary(COUNTS, PooledBackground("eligible", 0, 10))["enrichment"]).all()


@pytest.mark.filterwarnings("error")
def test_emptiness_raises_no_warning() -> None:
    counts = Counts.empty(2, 2)
    bootstrap = PoissonBootstrap.empty(10, 2, 2)
    for background in (
        PooledBackground("paper"),
        ProteinBackground.empty(2, 2),
        SeparationBackground.empty(2, 2),
    ):
        result = summary(counts, background, bootstrap, paper=True)
        assert np.isnan(result["share"]).all()
        assert not result["ranked"].any()
