"""Proteins that heads are chosen on are never those they are evaluated on, nor of their clusters."""

import json

import numpy as np
import pytest

import attnstore
from attnstore.errors import QueryError
from attnstore.queries.contacts.prediction import evaluate_predictor, fit, predict
from tests.synthetic import random_proteins, write_store

#: Proteins of one length are one cluster.
LENGTHS = [30, 30, 26, 26, 26, 41, 41, 33, 33, 45, 45, 6, 6]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("choice") / "store"
    write_store(path, random_proteins(5, LENGTHS), per_segment=4)
    return attnstore.open(path)


def chosen_on(found):
    return json.loads(found.attrs["chosen_on"])


def lengths(names):
    return {LENGTHS[int(name[1:])] for name in names}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("method", ["head", "topk", "logistic"])
def test_no_cluster_is_on_both_sides(store, method, seed):
    options = {"c": 100.0} if method == "logistic" else {}
    found = store.contact_precision(method=method, select=3, seed=seed, cluster_by="length", replicates=2, **options)
    chosen = chosen_on(found)
    assert len(chosen) == len(lengths(chosen)) == 3
    assert not lengths(chosen) & lengths(found["protein"].values)
    left_out = [f"p{place}" for place, length in enumerate(LENGTHS) if length in lengths(chosen)]
    assert found.attrs["left_out"] == len(left_out)
    assert set(found["protein"].values) == {f"p{place}" for place in range(len(LENGTHS))} - set(left_out)


def test_the_draw_follows_from_the_seed(store):
    draws = [chosen_on(store.contacts("p0", select=3, seed=seed, k=1)) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) > 2


@pytest.mark.parametrize("seed", range(12))
def test_what_is_drawn_is_labelled_and_apart_from_what_is_asked_for(store, seed):
    found = store.contact_precision(["p0", "p5"], select=3, seed=seed, cluster_by="length", k=1, replicates=2)
    chosen = chosen_on(found)
    assert not lengths(chosen) & {30, 41}
    # Every fourth protein has no coordinates, p12 no pair six or more apart.
    assert not set(chosen) & {"p3", "p7", "p11", "p12"}
    assert found["protein"].values.tolist() == ["p0", "p5"]


def test_a_protein_that_was_chosen_on_is_refused(store):
    with pytest.raises(QueryError, match=r"^protein p2 is itself one that heads or coefficients were chosen on"):
        store.contact_precision(["p0", "p2"], select=["p2", "p4"])
    with pytest.raises(QueryError, match=r"^protein p2 is itself one"):
        store.contacts("p2", select=["p2", "p4"])


def test_a_protein_of_a_cluster_that_was_chosen_on_is_refused(store):
    message = r"^protein p3 is of the same length as p2, on which heads or coefficients were chosen on"
    with pytest.raises(QueryError, match=message):
        store.contact_precision(["p0", "p3"], select=["p2"], cluster_by="length")
    assert store.contact_precision(["p0", "p3"], select=["p2"], k=1).sizes["protein"] == 2


def test_a_predictor_keeps_what_it_was_chosen_on(store):
    predictor = fit(store, method="topk", k=2, select=["p2", "p5"], cluster_by="length")
    with pytest.raises(QueryError, match="protein p3 is of the same length as p2"):
        evaluate_predictor(store, predictor, ["p0", "p3"])
    with pytest.raises(QueryError, match="protein p6 is of the same length as p5"):
        predict(store, predictor, "p6")
    assert not lengths(evaluate_predictor(store, predictor, replicates=2)["protein"].values) & {26, 41}


def test_an_unknown_cluster_is_one_of_its_own(store):
    # p3, p7 and p11 have no structure; the others name their own, which is their id.
    found = store.contact_precision(select=["p2"], cluster_by="structure", k=1, replicates=2)
    assert found.attrs["left_out"] == 1
    assert {"p3", "p7", "p11"} < set(found["protein"].values)


def test_a_condition_selects_labelled_proteins(store):
    found = store.contact_precision(
        select="length BETWEEN 26 AND 33 -- p3 and p7 have no coordinates", k=1, replicates=2
    )
    assert chosen_on(found) == ["p0", "p1", "p2", "p4", "p8"]
    assert chosen_on(store.contacts("p0", select="id = 'p4'", k=1)) == ["p4"]


def test_the_bootstrap_draws_clusters(store):
    options = {"method": "head", "layer": 0, "head": 0}
    apart = store.contact_precision(**options)
    together = store.contact_precision(**options, cluster_by="length")
    np.testing.assert_array_equal(apart["precision"], together["precision"])
    assert (apart["low"] != together["low"]).any()


def test_without_replicates_there_are_the_same_shares_and_no_intervals(store):
    one, other = (store.contact_precision(method="head", select=3, replicates=number) for number in (0, 9))
    for name in ("precision", "random", "by_protein", "head_precision", "alignment"):
        np.testing.assert_array_equal(one[name], other[name])
    assert one.attrs["replicates"] == 0
    for name in ("low", "high", "head_low", "head_high"):
        assert np.isnan(one[name]).all()
        assert not np.isnan(other[name]).all()


def test_the_steps_are_methods_of_the_store(store):
    predictor = store.fit_contacts(k=2, select=3, seed=1, apart_from=["p0"])
    assert isinstance(predictor, attnstore.ContactPredictor)
    whole = store.contacts("p0", k=2, select=3, seed=1)
    np.testing.assert_array_equal(store.predict_contacts(predictor, "p0").values, whole.values)
    one, several = (store.evaluate_contacts(predictor, each, replicates=0) for each in ("p0", ["p0"]))
    assert one.identical(several)
    with pytest.raises(QueryError, match="timeout=-1"):
        store.fit_contacts(select=3, timeout=-1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method is one of head, topk, logistic, not 'best'"),
        (
            {"method": "topk", "layer": 1},
            "layer=1 belongs to method head, not topk: leave it out, or ask with method='head'",
        ),
        ({"method": "topk", "head": 1}, "head=1 belongs to method head, not topk"),
        ({"method": "logistic", "k": 3}, "k=3 belongs to method topk, not logistic"),
        ({"method": "topk", "c": 1.0}, "c=1.0 belongs to method logistic, not topk"),
        ({"method": "logistic", "rank_top": "L"}, "rank_top='L' belongs to method head or topk"),
        ({"method": "head", "layer": 1}, "layer and head go together"),
        ({"method": "head", "layer": 2, "head": 0}, "there is no layer 2: they run from 0 to 1"),
        ({"method": "head", "layer": 0, "head": 3}, "there is no head 3: they run from 0 to 2"),
        ({"method": "head", "layer": 0, "head": 0, "select": 3}, "a head that is given is not chosen"),
        ({"select": 2, "k": 0}, "k is a number of heads from 1 to 6, not 0"),
        ({"select": 2, "k": 7}, "k is a number of heads from 1 to 6, not 7"),
        ({"select": 2, "method": "logistic", "c": 0}, "c is a positive number, not 0"),
        ({"rank_range": "far"}, "rank_range is one of all, short, medium, long, not 'far'"),
        ({"rank_top": "L/3"}, "rank_top is one of L, L/2, L/5, not 'L/3'"),
        ({"atom": "n"}, "atom is one of cb, ca, not 'n'"),
        ({"apc": "yes"}, "apc is True or False, not 'yes'"),
        ({"seed": -1}, "seed=-1 is not a whole number from 0 on: write seed=0"),
        ({"level": 1.0}, "level=1.0 does not lie between 0 and 1: write level=0.95"),
        ({"replicates": -1}, "replicates=-1 is not a whole number from 0 on"),
        ({"select": 0}, "select draws at least 1 protein, not 0"),
        ({"select": 100}, "select asks for 100 proteins .* and there are 9: ask for fewer"),
        ({"select": 3, "rank_range": "long", "cluster_by": "length", "seed": 1}, None),
        ({"select": ["p0", "p3"]}, "protein p3 of select has no known contact at separation ≥ 6: leave it out"),
        ({"select": ["p0", "p0"]}, "a protein is named twice"),
        ({"select": ["q"]}, "model random holds no protein 'q'"),
        ({"select": []}, "select leaves no protein with a known contact"),
        ({"select": "length > 1000"}, "select leaves no protein with a known contact"),
        ({"select": "lenght > 10"}, "lenght"),
        ({"select": "true); DROP TABLE proteins; --"}, "exactly one SELECT|syntax error"),
        ({"select": "length > 0"}, None),
        (
            {"cluster_by": "family"},
            "is no column of proteins; name protein, or one of protein_index, id",
        ),
        ({"cluster_by": 'length" FROM proteins; --'}, "is no column of proteins"),
        ({"model": "other"}, "the store holds no model 'other'"),
        ({"proteins": ["nobody"]}, "model random holds no protein 'nobody'"),
        ({"proteins": "nobody"}, "model random holds no protein 'nobody'"),
        ({"proteins": [], "select": 2}, "no protein is named to evaluate on"),
        ({"proteins": ["p0", "p0"]}, "a protein is named twice"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(store, options, message):
    if message is None:  # what can be
        assert store.contact_precision(**{"replicates": 2, **options}).sizes["protein"] > 0
        return
    with pytest.raises(QueryError, match=message) as refused:
        store.contact_precision(**options)
    assert "\n" not in str(refused.value)


def test_a_selection_of_everything_leaves_nothing(store):
    with pytest.raises(QueryError, match="every protein is of a cluster that was chosen on: select fewer"):
        store.contact_precision(select=["p0"], cluster_by="members", k=1)


def test_a_predictor_of_another_model_is_refused(store, tmp_path):
    write_store(tmp_path / "other", random_proteins(1, [20, 20], layers=3))
    predictor = fit(attnstore.open(tmp_path / "other"), method="head", layer=2, head=1)
    with pytest.raises(QueryError, match="fit it on this model"):
        predict(store, predictor, "p0")


def test_a_regression_beyond_memory_is_refused(store, monkeypatch):
    monkeypatch.setattr("attnstore.queries.contacts.predictor.machine_memory", lambda: 100)
    with pytest.raises(QueryError, match=r"needs .* GiB of memory, and there are 0: select fewer or shorter"):
        store.contacts("p0", method="logistic", select=["p1"])


def test_a_cluster_of_processes_gives_the_same_numbers(store):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for options in ({"method": "head", "select": 3}, {"method": "logistic", "select": 3, "c": 100.0}):
            here, there = store.contact_precision(**options), store.contact_precision(**options, scheduler=client)
            assert here.identical(there)
