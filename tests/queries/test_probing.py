"""Probes against scikit-learn on arrays made by hand, planted and shuffled signals, and what takes part."""

import contextlib
import hashlib
import itertools
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import attnstore
from attnstore.errors import QueryError
from attnstore.queries.engine.vectors import directory
from attnstore.queries.probe import probe_split as split
from attnstore.queries.probe import probe_tasks as tasks
from attnstore.queries.probe.features import read_layer
from attnstore.queries.probe.labels import Examples, read_condition
from attnstore.queries.probe.probe import probe
from tests import synthetic
from tests.queries.families import add_column, draws, intervals, keys_of
from tests.synthetic import KEEP, contact, distance, random_proteins, without_origin, write_store

ALL = (*KEEP, "hidden")
LENGTHS = [17, 30, 9, 25, 31, 12, 22, 28, 14, 40, 6, 19, 33, 27, 16, 21, 36, 11, 24, 18]
TRUNCATED = 32
LAYERS = 2
#: Families over several segments and within one; None stands alone.
FAMILIES = [None if number % 5 == 4 else f"f{number % 7}" for number in range(len(LENGTHS))]
FEW = {"replicates": 40}


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(5, LENGTHS, layers=LAYERS, heads=3, truncate=TRUNCATED)


def labels_of(proteins, seed=3):
    """A property of residues by protein: 1, 0, or −1 where it is not known, and of some proteins nowhere."""
    rng = np.random.default_rng(seed)
    found = [rng.choice([1, 0, -1], len(protein.sequence), p=[0.4, 0.5, 0.1]) for protein in proteins]
    found[3][:] = -1
    return found


@pytest.fixture(scope="module")
def site(proteins):
    return labels_of(proteins)


def write_probed(path, proteins, site, per_segment=3, keep=ALL):
    write_store(path, proteins, per_segment=per_segment, keep=keep)
    rows = [
        (protein.id, pos, bool(value))
        for protein, values in zip(proteins, site, strict=True)
        for pos, value in enumerate(values.tolist())
        if value >= 0
    ]
    attnstore.open(path).annotate(pd.DataFrame(rows, columns=["id", "pos", "site"]))
    add_column(path, "family", "VARCHAR", FAMILIES[: len(proteins)])
    return attnstore.open(path)


@pytest.fixture(scope="module")
def store(proteins, site, tmp_path_factory):
    return write_probed(tmp_path_factory.mktemp("probing") / "store", proteins, site)


# --- the oracle: every array from the store's public methods, the rest by scikit-learn ---


def is_tested(key, share, seed):
    digest = hashlib.blake2b(seed.to_bytes(16, "little") + key.encode(), digest_size=16, person=b"attnstore-test/1")
    return int.from_bytes(digest.digest()[:8], "little") < share * 2**64


def within_12(protein, i, j):
    value = distance(protein, i, j, "cb")
    return None if value is None else value < 12


def examples_of(protein, values, condition):
    """Places and labels of what is known: residues (i,), or pairs (i, j) with j ≥ i + 6."""
    seen = range(protein.stored)
    if condition == "site":
        return [((i,), bool(values[i])) for i in seen if values[i] >= 0]
    ask = contact if condition == "contact" else within_12
    told = [((i, j), ask(protein, i, j)) for i in seen for j in seen if j - i >= 6]
    return [(place, bool(value)) for place, value in told if value is not None]


def row_of(layer, place, source):
    """Features of one residue or pair, as the documentation has them, from a layer of the protein as it is read."""
    if source == "embeddings":
        if len(place) == 1:
            return layer[place[0]]
        one, other = layer[place[0]], layer[place[1]]
        return np.concatenate([one * other, one - other])
    if len(place) == 2:
        i, j = place
        return (layer[:, i, j] + layer[:, j, i]) / 2
    received = [sorted(head[:, place[0]].tolist(), reverse=True)[:10] for head in layer]  # [source, target]
    return np.concatenate([each + [0.0] * (10 - len(each)) for each in received])


def table_of(store, protein, places, source, layer):
    if source == "embeddings":
        values = store.hidden(protein, layer + 1).values.astype(np.float32)
    else:
        values = store.attention(protein, layer).values
    return np.array([row_of(values, place, source) for place in places], np.float32)


def oracle(store, proteins, site, condition, source, layer, metric, *, share, seed, keys=None, drawn=None, **options):
    """Numerator and denominator of the score by tested protein; `drawn`: how many examples are learnt from."""
    keys = keys or [protein.id for protein in proteins]
    examples = [examples_of(protein, values, condition) for protein, values in zip(proteins, site, strict=True)]
    apart = [is_tested(key, share, seed) for key in keys]
    x, y = [], []
    for protein, told, test in zip(proteins, examples, apart, strict=True):
        if told and not test:
            x.append(table_of(store, protein.id, [place for place, _ in told], source, layer))
            y += [label for _, label in told]
    x, y = np.concatenate(x), np.array(y)
    if drawn is not None:
        rows = np.sort(np.random.default_rng(seed).choice(len(y), drawn, replace=False, shuffle=False))
        x, y = x[rows], y[rows]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, **options)).fit(x, y)
    sums = {}
    for protein, told, test in zip(proteins, examples, apart, strict=True):
        if not (told and test):
            continue
        label = np.array([label for _, label in told])
        table = table_of(store, protein.id, [place for place, _ in told], source, layer)
        scores = classifier.decision_function(table)
        if metric == "f1":
            called = scores > 0
            sums[protein.id] = 2 * (called & label).sum(), called.sum() + label.sum()
        else:
            size = min(max(1, protein.stored // (20 if condition == "site" else 5)), len(label))
            sums[protein.id] = label[np.argsort(-scores)[:size]].sum(), size
    return sums


def ratio(sums):
    numer, denom = np.array(list(sums.values())).sum(0)
    return numer / denom


@pytest.mark.parametrize(
    ("condition", "metric"),
    [("site", "f1"), ("site", "precision"), ("contact", "precision"), ("distance < 12", "f1")],
)
def test_scores_are_those_of_scikit_learn(store, proteins, site, condition, metric):
    result = probe(store, condition, metric=metric, seed=2, test_share=0.4, **FEW)
    assert result.sizes == {"probe": 2, "layer": LAYERS + 1, "protein": result.sizes["protein"]}
    for source, layer in itertools.product(("embeddings", "attention"), range(-1, LAYERS)):
        score = float(result["score"].sel(probe=source, layer=layer))
        if (source, layer) == ("attention", -1):
            assert np.isnan(score)
            continue
        expected = oracle(store, proteins, site, condition, source, layer, metric, share=0.4, seed=2)
        assert score == pytest.approx(ratio(expected), abs=1e-9), (source, layer)
    assert result["hidden"].values.tolist() == [0, 1, 2]


def test_f1_is_scikit_learns(store, proteins, site):
    """Sums over proteins are of all residues at once."""
    called, labels = [], []
    rng = np.random.default_rng(0)
    for values in site:
        labels.append(values == 1)
        called.append(rng.random(len(values)) < 0.5)
    sums = np.array([tasks._agreement(*each) for each in zip(called, labels, strict=True)]).sum(0)
    assert sums[0] / sums[1] == pytest.approx(f1_score(np.concatenate(labels), np.concatenate(called)))


@pytest.mark.parametrize("source", ["embeddings", "attention"])
def test_examples_are_drawn_evenly_by_the_seed(store, proteins, site, source):
    result = probe(store, "contact", examples=300, sources=(source,), seed=6, test_share=0.3, **FEW)
    assert result.attrs["learnt_from"] == 300 < result.attrs["train_examples"]
    expected = oracle(store, proteins, site, "contact", source, 1, "precision", share=0.3, seed=6, drawn=300)
    assert float(result["score"].sel(probe=source, layer=1)) == pytest.approx(ratio(expected), abs=1e-9)


def test_balanced_weighs_classes(store, proteins, site):
    asked = {"metric": "f1", "sources": ("attention",), "test_share": 0.4, "seed": 2, **FEW}
    plain, balanced = (probe(store, "distance < 12", balanced=flag, **asked) for flag in (False, True))
    expected = oracle(
        store, proteins, site, "distance < 12", "attention", 0, "f1", share=0.4, seed=2, class_weight="balanced"
    )
    assert float(balanced["score"].sel(layer=0).squeeze()) == pytest.approx(ratio(expected), abs=1e-9)
    assert not balanced["score"].equals(plain["score"])


def test_intervals_draw_the_clusters_that_are_tested_on(store, proteins, site):
    keys = keys_of(proteins, FAMILIES)
    result = probe(
        store, "site", cluster_by="family", metric="f1", seed=1, test_share=0.5, replicates=70, level=0.8,
        sources=("embeddings",),
    )  # fmt: skip
    by_id = dict(zip([protein.id for protein in proteins], keys, strict=True))
    sums = [
        oracle(store, proteins, site, "site", "embeddings", layer, "f1", share=0.5, seed=1, keys=keys)
        for layer in range(-1, LAYERS)
    ]
    weights = np.array([draws(by_id[name], 70, 1) for name in sums[0]])
    values = np.array([list(each.values()) for each in sums])  # [layers, proteins, 2]
    residuals, totals = [], []
    for place, (numer, denom) in enumerate(values.transpose(0, 2, 1)):
        low, high = intervals(numer, denom, weights, 0.8)
        assert float(result["low"][0, place]) == pytest.approx(float(low))
        assert float(result["high"][0, place]) == pytest.approx(float(high))
        residuals.append(weights.T @ (numer - numer.sum() / denom.sum() * denom) / denom.sum())
        totals.append(set(np.array(list(sums[0]))[denom > 0]))
    for place in range(1, LAYERS + 1):
        error = np.sqrt(np.mean((residuals[place] - residuals[place - 1]) ** 2))
        held = min(len({by_id[name] for name in named}) for named in totals[place - 1 : place + 1])
        reach = stats.t(1 / (1 / (held - 1) + 1 / 69)).ppf(0.9) * error
        for end, sign in (("low", -1), ("high", 1)):
            expected = float(result["difference"][0, place]) + sign * reach
            assert float(result[f"difference_{end}"][0, place]) == pytest.approx(expected)
    np.testing.assert_allclose(result["difference"][0, 1:], np.diff(result["score"][0]))
    assert np.isnan(result["difference"][0, 0])


# --- signals ---


def planted(layer, labels):
    """Hidden states that are noise, but for one feature of one layer, which is the label."""

    def hidden_of(proteins, layers, features=7):
        states = np.random.default_rng(0).normal(size=(layers + 1, int(proteins.stored.sum()), features))
        for name, begin, end in zip(
            proteins.id, proteins.residue_offset[:-1], proteins.residue_offset[1:], strict=True
        ):
            states[layer, begin:end, 4] = labels[name][: end - begin]
        return states.astype(np.float16)

    return hidden_of


def test_a_planted_signal_is_found_where_it_is(proteins, site, tmp_path, monkeypatch):
    by_id = {protein.id: values for protein, values in zip(proteins, site, strict=True)}
    monkeypatch.setattr(synthetic, "hidden_of", planted(2, by_id))
    planting = write_probed(tmp_path / "store", proteins, site)
    result = probe(planting, "site", metric="f1", sources=("embeddings",), test_share=0.4, balanced=True, **FEW)
    scores = result["score"].sel(probe="embeddings")
    assert float(scores.sel(layer=1)) == 1.0
    assert (scores.sel(layer=[-1, 0]) < result.attrs["chance"] + 0.05).all()
    assert float(result["difference"].sel(layer=1).squeeze()) == pytest.approx(1 - float(scores.sel(layer=0)))


def test_shuffled_labels_score_chance(proteins, tmp_path):
    many = random_proteins(8, [40] * 30, layers=1, heads=2)
    rng = np.random.default_rng(1)
    shuffled = write_probed_site(tmp_path / "store", many, [rng.permutation(np.arange(40) % 4 == 0) for _ in many])
    result = probe(shuffled, "site", metric="precision", test_share=0.5, **FEW)
    listed = result.attrs["test_proteins"] * (40 // 20)
    assert result.attrs["chance"] == pytest.approx(0.25)
    # Four standard errors of a share of so many that are true by chance.
    allowed = 4 * np.sqrt(0.25 * 0.75 / listed)
    assert np.nanmax(np.abs(result["score"].values - 0.25)) < allowed
    everything = probe(shuffled, "site", metric="f1", test_share=0.5, **FEW).attrs["chance"]
    assert everything == pytest.approx(2 * 0.25 / 1.25)


def write_probed_site(path, proteins, site):
    write_store(path, proteins, per_segment=7, keep=ALL)
    frame = pd.concat(
        pd.DataFrame({"id": protein.id, "pos": range(len(values)), "site": values})
        for protein, values in zip(proteins, site, strict=True)
    )
    return attnstore.open(path).annotate(frame)


# --- what takes part ---


def test_clusters_are_never_on_both_sides(store, proteins):
    for seed in range(6):
        with contextlib.suppress(QueryError):  # of a seed that leaves nothing to test on
            result = probe(store, "contact", cluster_by="family", seed=seed, sources=("attention",), **FEW)
            families = dict(zip([protein.id for protein in proteins], FAMILIES, strict=True))
            sides = {}
            for name, side in zip(result["protein"].values, result["tested"].values, strict=True):
                sides.setdefault(families[name] or name, set()).add(bool(side))
            assert all(len(side) == 1 for side in sides.values())
            assert result.attrs["train_clusters"] + result.attrs["test_clusters"] == len(sides)
            assert set.union(*sides.values()) == {True, False}


def test_the_share_tested_on_is_the_one_asked_for():
    keys = [f"k{number}" for number in range(4000)]
    for share in (0.1, 0.5, 0.85):
        found = split.draw_tested(keys, share, 7)
        assert found.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 4000))
        assert found.tolist() == [is_tested(key, share, 7) for key in keys]
    # What is tested on at a smaller share is at a larger one.
    assert (split.draw_tested(keys, 0.1, 7) <= split.draw_tested(keys, 0.5, 7)).all()
    assert (split.draw_tested(keys, 0.5, 7) != split.draw_tested(keys, 0.5, 8)).any()


def test_what_is_not_known_takes_no_part(store, proteins, site):
    attributes = probe(store, "site", seed=2, **FEW).attrs
    seen = {protein.id: values[: protein.stored] for protein, values in zip(proteins, site, strict=True)}
    for side in ("train", "test"):
        held = [values for name, values in seen.items() if is_tested(name, 0.2, 2) == (side == "test")]
        assert attributes[f"{side}_examples"] == sum((values >= 0).sum() for values in held)
        assert attributes[f"{side}_true"] == sum((values == 1).sum() for values in held)
        assert attributes[f"{side}_proteins"] == sum((values >= 0).any() for values in held)
    result = probe(store, "site", seed=2, **FEW)
    assert "p3" not in result["protein"].values  # nothing is known of it
    assert max(values.size for values in seen.values()) == TRUNCATED < max(LENGTHS)


def test_segments_do_not_show(store, proteins, site, tmp_path):
    other = write_probed(tmp_path / "other", proteins[::-1], site[::-1], per_segment=100)
    add_column(other.path, "family", "VARCHAR", FAMILIES[::-1])
    one = probe(store, "contact", seed=5, test_share=0.4, **FEW)
    again = probe(store, "contact", seed=5, test_share=0.4, **FEW)
    xr.testing.assert_identical(one, again)
    xr.testing.assert_allclose(
        without_origin(probe(other, "contact", seed=5, test_share=0.4, **FEW)).sortby("protein"),
        without_origin(one).sortby("protein"),
    )
    assert not probe(store, "contact", seed=6, test_share=0.4, **FEW)["score"].equals(one["score"])


def test_tasks_travel(store):
    """As to the worker of a cluster."""
    sent = []

    def travelling(run, combine, **_):
        sent.extend(run)
        return execute(
            [lambda own=own: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(own))())) for own in run], combine
        )

    from attnstore.queries.probe import probe as module

    execute = module.execute
    expected = probe(store, "contact", **FEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "execute", travelling)
        xr.testing.assert_identical(probe(store, "contact", **FEW), expected)
    assert {type(own) for own in sent} == {partial}


@pytest.mark.parametrize(
    ("text", "of_pairs"),
    [
        ("site", False),
        ("SITE AND aa = 'C'", False),
        ("target.site", False),
        ("source.site", False),
        ("pos < 4 OR site IS NULL", False),
        ("site AND protein.length > 20", False),
        ("contact", True),
        ("Contact_CA", True),
        ("source.site AND target.site", True),
        ("separation > 10 AND distance < 12", True),
    ],
)
def test_conditions_are_of_residues_or_of_pairs(store, text, of_pairs):
    condition = read_condition(text, directory(store.catalog_path).columns)
    assert condition.of_pairs is of_pairs
    assert condition.text == text


def test_a_condition_may_name_its_end_or_not(store):
    texts = "site AND aa <> 'A'", "target.site AND target.aa <> 'A'"
    one, other = (probe(store, text, metric="f1", **FEW) for text in texts)
    assert one["score"].equals(other["score"])
    [(known,)] = store.sql("SELECT count(*) FROM residues WHERE (site AND aa <> 'A') AND pos < 32").fetchall()
    assert one.attrs["train_true"] + one.attrs["test_true"] == known


def test_pairs_of_both_ends(store, proteins, site):
    """The first residue is the source."""
    attributes = probe(store, "source.site AND NOT target.site", sources=("attention",), **FEW).attrs
    true = 0
    for protein, values in zip(proteins, site, strict=True):
        seen = values[: protein.stored]
        true += sum(seen[i] == 1 and seen[j] == 0 for i in range(len(seen)) for j in range(i + 6, len(seen)))
    assert attributes["train_true"] + attributes["test_true"] == true
    assert (attributes["of"], attributes["metric"], attributes["list"]) == ("pairs", "precision", "L/5")


def test_auto_measures_rare_properties_by_the_best(store):
    rare = probe(store, "site AND pos = 5", sources=("embeddings",), test_share=0.5, **FEW).attrs
    assert rare["train_true"] / rare["train_examples"] < 0.1
    assert (rare["metric"], rare["list"]) == ("precision", "L/20")
    common = probe(store, "site", sources=("embeddings",), **FEW).attrs
    assert (common["metric"], common["list"]) == ("f1", "")
    assert probe(store, "contact", metric="f1", sources=("attention",), **FEW).attrs["metric"] == "f1"


# --- lists and features ---


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5]), st.booleans()), min_size=1, max_size=7), st.integers(1, 9))
def test_a_list_counts_ties_by_their_expectation(pairs, size):
    scores, labels = (np.array(column) for column in zip(*pairs, strict=True))
    kept = min(size, len(scores))
    orders = itertools.permutations(range(len(scores)))
    counts = [labels[sorted(order, key=lambda place: -scores[place])[:kept]].sum() for order in orders]
    # Sorting is stable, so that all orders of what ties occur equally often.
    assert tasks.list_precision(scores.astype(float), labels, size) == (pytest.approx(np.mean(counts)), kept)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32))
def test_a_list_is_the_best_scored(size, seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.permutation(50).astype(float), rng.random(50) < 0.3
    best = sorted(zip(scores, labels, strict=True), reverse=True)[:size]
    assert tasks.list_precision(scores, labels, size) == (pytest.approx(sum(label for _, label in best)), min(size, 50))


@pytest.mark.parametrize("source", ["embeddings", "attention"])
@pytest.mark.parametrize("pairs", [False, True])
def test_scores_are_of_the_features(store, source, pairs):
    segment = store.model().segments[0]
    held = read_layer(segment, source, 1)
    rng = np.random.default_rng(0)
    for local, (name, length) in enumerate(zip(segment.proteins.id, segment.proteins.stored.tolist(), strict=True)):
        if pairs:
            first, second = np.triu_indices(length, 6)
        else:
            first, second = np.arange(length), None
        examples = Examples(first, second, np.zeros(len(first), bool))
        found = held.features(local, examples)
        assert found.dtype == np.float32
        places = list(zip(first, second, strict=True)) if pairs else [(i,) for i in first]
        expected = table_of(store, name, places, source, 1)
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-6)
        weights = rng.normal(size=found.shape[1])
        np.testing.assert_allclose(held.scores(local, examples, weights, 0.5), found @ weights + 0.5, atol=1e-5)


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"condition": "sites"}, "did you mean target.site"),
        ({"condition": "site +"}, "condition `site \\+` cannot be answered"),
        ({"condition": "pos"}, "not BOOLEAN"),
        ({"condition": "weight > 0.3"}, "a weight is no property"),
        ({"condition": "pos >= 0"}, "`pos >= 0` is true in all"),
        ({"condition": "pos < 0"}, "`pos < 0` is false in all"),
        ({"condition": "NULL"}, "known nowhere"),
        ({"condition": "protein.length > 10", "test_share": 1e-9}, "left to test on"),
        ({"condition": "site AND pos = 5", "examples": 3}, "none of the 3 examples drawn is true: draw more"),
        ({"metric": "auc"}, "metric is one of auto, f1, precision"),
        ({"sources": "attentions"}, "sources are embeddings, attention"),
        ({"sources": ()}, "sources are"),
        ({"sources": ("hidden",)}, "sources are"),
        ({"sources": ("attention", "attention")}, "each once"),
        ({"test_share": 1.0}, "test_share lies between"),
        ({"level": 0}, "level lies between"),
        ({"examples": 1}, "examples is a whole number from 2"),
        ({"replicates": -1}, "replicates is a whole number from 0"),
        ({"seed": -1}, "seed is a whole number"),
        ({"cluster_by": "fammily"}, "did you mean family"),
        ({"model": "other"}, "no model 'other'"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(store, options, message):
    with pytest.raises(QueryError, match=message):
        probe(store, **{"condition": "site", **FEW, **options})


@pytest.mark.parametrize(
    ("keep", "sources", "message"),
    [
        (
            KEEP,
            ("embeddings", "attention"),
            r"without hidden .*keep=\['codes', 'arcs', 'marginals', 'hidden'\]\)`; or probe attention",
        ),
        (
            ("arcs", "hidden"),
            ("attention",),
            r"from codes.*arcs lack.*keep=\['codes', 'arcs', 'hidden'\]\)`; or probe embeddings",
        ),
        (("arcs",), ("attention",), "keep=\\['codes', 'arcs'\\]\\)`\\.$"),
    ],
)
def test_what_was_not_kept_is_refused_with_the_cure(proteins, site, tmp_path, keep, sources, message):
    lacking = write_probed(tmp_path / "store", proteins[:6], site[:6], keep=keep)
    with pytest.raises(QueryError, match=message):
        probe(lacking, "site", sources=sources)


def test_one_kind_needs_only_what_it_reads(proteins, site, tmp_path):
    held = write_probed(tmp_path / "store", proteins, site, keep=("arcs", "hidden"))
    result = probe(held, "site", sources=("embeddings",), test_share=0.4, **FEW)
    assert result["score"].notnull().all()


def test_a_result_is_kept_in_a_file(store, tmp_path):
    result = probe(store, "site", **FEW)
    result.to_netcdf(tmp_path / "probe.nc")
    again = xr.open_dataset(tmp_path / "probe.nc")
    np.testing.assert_array_equal(again["score"], result["score"])
    assert again.attrs["condition"] == "site"
