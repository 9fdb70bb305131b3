"""Contact maps and their precision against loops over pairs, and the regression against scikit-learn on them."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attnstore
from attnstore.errors import QueryError
from attnstore.queries.contacts import contact_kernels
from attnstore.queries.contacts.prediction import evaluate_predictor, fit, predict
from tests.synthetic import random_proteins, write_store

from . import contact_oracle as oracle

LENGTHS = [30, 41, 26, 33, 52, 37, 26, 40, 29, 7, 44, 35]


@pytest.fixture(scope="module")
def proteins():
    return {protein.id: protein for protein in random_proteins(11, LENGTHS, truncate=45)}


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("contacts") / "store"
    write_store(path, list(proteins.values()), per_segment=5)
    return attnstore.open(path)


def points(protein, atom="cb"):
    """Coordinates of the residues that the model saw."""
    if protein.structure is None:
        return np.full((protein.stored, 3), np.nan)
    return getattr(protein.structure, atom)[: protein.stored]


def head_map(store, name, layer, head, apc=True):
    """A head's map by loops, from the same weights: means of bins, read one matrix at a time."""
    return oracle.contact_map(store.attention(name, layer, head).values, apc)


def mean_over_proteins(values):
    """Mean over the proteins with a contact; NaN where there is none."""
    values = np.array(values)
    counted = ~np.isnan(values)
    return np.where(counted, values, 0).sum(axis=0) / counted.sum(axis=0)


@pytest.mark.parametrize("apc", [True, False])
@pytest.mark.parametrize("name", ["p0", "p4", "p9"])
def test_the_map_of_a_head_is_symmetrised_and_corrected(store, name, apc):
    found = store.contacts(name, method="head", layer=1, head=2, apc=apc)
    np.testing.assert_allclose(found.values, head_map(store, name, 1, 2, apc), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.values, found.values.T)
    assert found.attrs["apc"] == apc
    assert found.attrs["heads"] == "1-2"


def test_corrected_maps_sum_to_nothing(store):
    found = store.contacts("p1", method="head", layer=0, head=1)
    np.testing.assert_allclose(found.sum("j"), 0, atol=1e-12)


def test_a_map_carries_residues_and_distances(store, proteins):
    found = store.contacts("p4", method="head", layer=0, head=0, atom="ca")
    matrix = store.attention("p4", 0, 0)
    for side, end in (("i", "source"), ("j", "target")):
        for suffix in ("", "_aa", "_number"):
            np.testing.assert_array_equal(found[side + suffix], matrix[end + suffix])
    xyz = points(proteins["p4"], "ca")
    expected = [[np.linalg.norm(one - other) for other in xyz] for one in xyz]
    np.testing.assert_allclose(found["distance"], expected, rtol=1e-5)


def test_the_list_of_contacts_is_the_map_sorted(store, proteins):
    found = store.contacts("p0", method="head", layer=0, head=0)
    table = found.to_table()
    assert len(table) == 30
    far = [(i, j) for i, j in itertools.combinations(range(30), 2) if j - i >= 6]
    best = sorted(far, key=lambda pair: -found.values[pair])[:30]
    assert list(zip(table["i"], table["j"], strict=True)) == best
    assert table["score"].tolist() == [found.values[pair] for pair in best]
    assert table["separation"].tolist() == [j - i for i, j in best]
    known = oracle.labelled(points(proteins["p0"]))
    assert 0 < sum(pair in known for pair in best) < 30
    assert table["contact"].astype(object).where(table["contact"].notna(), None).tolist() == [
        known.get(pair) for pair in best
    ]
    assert table["distance"].isna().tolist() == [pair not in known for pair in best]
    assert len(found.to_table(4)) == 4
    with pytest.raises(QueryError, match="top is at least 1"):
        found.to_table(0)


@pytest.mark.parametrize(("atom", "apc"), [("cb", True), ("ca", True), ("cb", False)])
def test_precision_of_a_head_is_that_of_loops(store, proteins, atom, apc):
    found = store.contact_precision(method="head", layer=1, head=0, atom=atom, apc=apc)
    assert found.attrs["left_out"] == 0
    assert list(found["protein"].values) == list(proteins)
    expected = [
        oracle.precisions(head_map(store, name, 1, 0, apc), points(protein, atom)) for name, protein in proteins.items()
    ]
    np.testing.assert_allclose(found["by_protein"], expected, rtol=1e-12)
    np.testing.assert_allclose(found["precision"], mean_over_proteins(expected), rtol=1e-12)
    for span in oracle.RANGES:
        known = [oracle.labelled(points(protein, atom), span) for protein in proteins.values()]
        at = found.sel(range=span)
        assert at["pairs"].values.tolist() == [len(each) for each in known]
        assert at["contacts"].values.tolist() == [sum(each.values()) for each in known]
        counted = [(each, protein.stored) for each, protein in zip(known, proteins.values(), strict=True)]
        counted = [(each, length) for each, length in counted if any(each.values())]
        assert int(at["proteins"]) == len(counted)
        expected_random = np.mean([sum(each.values()) / len(each) for each, _ in counted])
        assert float(at["random"]) == pytest.approx(expected_random)
        for top, divisor in oracle.DIVISORS.items():
            exhausted = sum(len(each) <= max(1, length // divisor) for each, length in counted)
            assert int(at["exhausted"].sel(top=top)) == exhausted
    low, high = found["low"], found["high"]
    assert ((low <= found["precision"]) & (found["precision"] <= high)).all()


def test_named_proteins_come_back_in_their_order(store):
    every = store.contact_precision(method="head", layer=0, head=1)
    some = store.contact_precision(["p5", "p0", "p10"], method="head", layer=0, head=1)
    assert some["protein"].values.tolist() == ["p5", "p0", "p10"]
    np.testing.assert_array_equal(some["by_protein"], every["by_protein"].sel(protein=["p5", "p0", "p10"]))


def ranking(store, proteins, names, span="all", top="L", apc=True):
    """Mean precision of every head over some proteins, by loops; [layer, head]."""
    place = list(oracle.RANGES).index(span), list(oracle.DIVISORS).index(top)
    return np.array(
        [
            [
                mean_over_proteins(
                    [oracle.precisions(head_map(store, n, layer, head, apc), points(proteins[n]))[place] for n in names]
                )
                for head in range(3)
            ]
            for layer in range(2)
        ]
    )


@pytest.mark.parametrize(("span", "top"), [("all", "L"), ("short", "L/5")])
def test_every_head_is_ranked_beside_its_alignment(store, proteins, span, top):
    chosen = ["p0", "p4", "p8"]
    found = store.contact_precision(method="head", select=chosen, rank_range=span, rank_top=top)
    others = [name for name in proteins if name not in chosen]
    assert found["protein"].values.tolist() == others
    assert found.attrs["left_out"] == 3
    expected = ranking(store, proteins, others, span, top)
    np.testing.assert_allclose(found["head_precision"].sel(range=span, top=top), expected, rtol=1e-12)
    on_chosen = ranking(store, proteins, chosen, span, top)
    np.testing.assert_allclose(found["head_chosen"], on_chosen, rtol=1e-12)
    best = np.unravel_index(on_chosen.argmax(), on_chosen.shape)
    assert found.attrs["heads"] == f"{best[0]}-{best[1]}"
    np.testing.assert_allclose(
        found["precision"], found["head_precision"].isel(layer=best[0], head=best[1]), rtol=1e-12
    )
    listed = ", ".join(f"'{name}'" for name in others)
    align = store.align("contact", where=f"separation >= 6 AND protein.id IN ({listed})", replicates=1)
    np.testing.assert_array_equal(found["alignment"], align["share"])
    np.testing.assert_array_equal(found["arcs"], align["total"])
    table = found.heads
    assert len(table) == 6
    assert table["precision"].is_monotonic_decreasing
    first = table.iloc[0]
    assert first["precision"] == pytest.approx(expected.max())
    assert first["low"] <= first["precision"] <= first["high"]


def test_heads_are_ranked_only_where_none_is_given(store):
    with pytest.raises(QueryError, match="neither layer nor head"):
        _ = store.contact_precision(["p0"], method="head", layer=0, head=0).heads


@pytest.mark.parametrize("k", [1, 3, 6])
def test_topk_is_the_mean_of_the_best_heads_maps(store, proteins, k):
    chosen = ["p1", "p2", "p6"]
    predictor = fit(store, method="topk", k=k, select=chosen)
    scores = ranking(store, proteins, chosen)
    order = sorted(np.ndindex(2, 3), key=lambda head: -scores[head])[:k]
    assert predictor.heads == sorted(order)
    expected = np.mean([head_map(store, "p0", *head) for head in order], axis=0)
    np.testing.assert_allclose(predict(store, predictor, "p0").values, expected, atol=1e-12)


def test_k_is_chosen_on_the_selected_proteins(store, proteins):
    chosen = ["p1", "p2", "p6", "p8"]
    predictor = fit(store, method="topk", select=chosen)
    means = {
        k: mean_over_proteins(
            [oracle.precisions(predict_apart(store, chosen, k, name), points(proteins[name]))[0, 0] for name in chosen]
        )
        for k in (1, 2, 3, 5)
    }
    assert len(predictor.heads) == max(means, key=lambda k: (means[k], -k))


def predict_apart(store, chosen, k, name):
    """The mean of the k best heads' maps of a protein that was chosen on, by loops."""
    heads = fit(store, method="topk", k=k, select=chosen).heads
    return np.mean([head_map(store, name, *head) for head in heads], axis=0)


def test_the_regression_is_scikit_learns_on_features_by_loops(store, proteins):
    from sklearn.linear_model import LogisticRegression

    chosen = ["p0", "p1", "p5", "p8"]
    rows, truth = [], []
    for name in chosen:
        maps = [head_map(store, name, *head) for head in np.ndindex(2, 3)]
        for pair, contact in oracle.labelled(points(proteins[name])).items():
            rows.append([each[pair] for each in maps])
            truth.append(contact)
    expected = LogisticRegression(C=20.0, l1_ratio=1.0, solver="liblinear", tol=1e-9, max_iter=10_000).fit(rows, truth)
    predictor = fit(store, method="logistic", select=chosen, c=20.0)
    # The order of pairs differs, and with it where the solver stops.
    np.testing.assert_allclose(predictor.coefficients.ravel(), expected.coef_[0], rtol=0.02, atol=0.02)
    assert predictor.intercept == pytest.approx(expected.intercept_[0], rel=0.01)
    found = predict(store, predictor, "p2")
    maps = np.array([head_map(store, "p2", *head) for head in np.ndindex(2, 3)])
    summed = np.tensordot(predictor.coefficients.ravel(), maps, 1) + predictor.intercept
    np.testing.assert_allclose(found.values, 1 / (1 + np.exp(-summed)), rtol=1e-10)
    assert found.attrs["score"] == "probability"
    assert found.attrs["coefficients"] == [predictor.coefficients[head] for head in predictor.heads]
    evaluated = evaluate_predictor(store, predictor, ["p2"])
    np.testing.assert_allclose(
        evaluated["by_protein"][0], oracle.precisions(summed, points(proteins["p2"])), rtol=1e-12
    )


def test_a_regression_that_keeps_no_head_is_refused(store):
    with pytest.raises(QueryError, match="keeps no head at c = 1e-06"):
        store.contact_precision(method="logistic", select=["p0"], c=1e-6)


def test_provenance_says_what_was_chosen_and_where(store):
    found = store.contacts("p0", select=["p1", "p2"], k=2, cluster_by="length")
    assert json.loads(found.attrs["chosen_on"]) == ["p1", "p2"]
    document = store.model().document
    assert found.attrs["weights_sha256"] == document.weights_sha256
    assert found.attrs["cluster_by"] == "length"
    assert found.attrs["approximate"] == "each weight is the mean of its codebook bin"
    assert found.attrs["ranked_by"] == "P@L, separation ≥ 6"


def test_results_outlive_the_session(store, tmp_path):
    import xarray as xr

    chosen = ["p0", "p4"]
    for found in (store.contact_precision(method="head", select=chosen), store.contacts("p1", select=chosen)):
        found.to_netcdf(tmp_path / "saved.nc")
        opened = xr.open_dataset(tmp_path / "saved.nc") if "range" in found.dims else None
        opened = xr.open_dataarray(tmp_path / "saved.nc") if opened is None else opened
        assert json.loads(opened.attrs["chosen_on"]) == chosen
        opened.close()


@given(st.data())
def test_ties_count_by_the_mean_over_all_their_orders(data):
    size = data.draw(st.integers(1, 6))
    scores = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=size, max_size=size)))
    contact = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    asked = sorted(data.draw(st.lists(st.integers(1, 8), min_size=1, max_size=3)), reverse=True)
    out = np.empty((1, len(asked)))
    contact_kernels.precisions(scores, contact, np.array([[0, size]]), np.array(asked), out)
    if not contact.any():
        assert np.isnan(out).all()
        return
    orders = [order for order in itertools.permutations(range(size)) if sorted(scores)[::-1] == list(scores[[*order]])]
    for number, found in zip(asked, out[0], strict=True):
        expected = np.mean([contact[list(order[:number])].mean() for order in orders])
        assert found == pytest.approx(expected)


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_precision_of_many_pairs_is_that_of_loops(seed, length):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 400))
    scores = rng.integers(0, int(rng.integers(1, 500)), size).astype(float)
    contact = rng.random(size) < rng.random()
    cut = int(rng.integers(0, size + 1))
    bounds = np.array([[0, size], [0, cut], [cut, size]])
    numbers = np.array([max(1, length // divisor) for divisor in (1, 2, 5)])
    out = np.empty((3, 3))
    contact_kernels.precisions(scores, contact, bounds, numbers, out)
    for (begin, end), row in zip(bounds, out, strict=True):
        truth = {pair: bool(contact[pair]) for pair in range(begin, end)}
        expected = [oracle.precision(scores, truth, length, divisor) for divisor in (1, 2, 5)]
        np.testing.assert_allclose(row, expected, rtol=1e-12)
