"""`align` against brute force over whole float32 matrices, in every tier that can answer."""

import itertools
import json

import numpy as np
import pytest
import xarray as xr

import attnstore
from attnstore.errors import QueryError
from tests.synthetic import contact, distance, matrix, random_proteins, without_origin, write_model, write_store

PREDICATES = {
    "contact": contact,
    "contact_ca": lambda p, i, j: contact(p, i, j, "ca"),
    "target.aa = 'C'": lambda p, i, j: p.sequence[j] == "C",
    "source.aa IN ('A', 'D')": lambda p, i, j: p.sequence[i] in "AD",
    "source.aa = target.aa AND separation > 2": lambda p, i, j: p.sequence[i] == p.sequence[j] and abs(i - j) > 2,
    "target.author_number > 12": lambda p, i, j: (
        None if p.structure is None or not p.structure.author_known[j] else bool(p.structure.author_number[j] > 12)
    ),
    "distance < 10": lambda p, i, j: None if (d := distance(p, i, j, "cb")) is None else d < 10,
    "protein.length > 20": lambda p, i, j: len(p.sequence) > 20,
}
WHERES = {
    None: lambda p, i, j: True,
    "separation >= 6": lambda p, i, j: abs(i - j) >= 6,
    "target.aa <> 'C'": lambda p, i, j: p.sequence[j] != "C",
    "distance_ca < 12": lambda p, i, j: None if (d := distance(p, i, j, "ca")) is None else d < 12,
}


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(7, [17, 30, 9, 25, 41, 1], truncate=35)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("align") / "store"
    write_store(path, proteins)
    return attnstore.open(path)


def sums(proteins, predicate, where, theta, value):
    """Σ value over arcs where the predicate is true, false, unknown: [3, layers, heads]."""
    result = np.zeros((3, *proteins[0].attention.shape[:2]))
    for protein in proteins:
        state = matrix(protein, PREDICATES[predicate])
        passes = matrix(protein, WHERES[where]) == 1
        arcs = protein.weights >= np.float32(theta)
        for row, wanted in enumerate((1, 0, -1)):
            result[row] += (value(protein.weights) * (arcs & passes & (state == wanted))).sum((-1, -2))
    return result


def counted(weights):
    return np.ones(weights.shape)


def weighed(weights):
    return weights.astype(np.float64)


@pytest.mark.parametrize("theta", [0.3, 0.05, 0.012, 0.7])
@pytest.mark.parametrize(("predicate", "where"), list(itertools.product(PREDICATES, WHERES)))
def test_counts_equal_brute_force_to_the_last_arc(store, proteins, predicate, where, theta):
    true, false, unknown = sums(proteins, predicate, where, theta, counted)
    for tier in ("arcs", "codes") if theta >= 0.05 else ("codes",):
        result = store.align(predicate, where=where, threshold=theta, tier=tier, replicates=2)
        np.testing.assert_array_equal(result["count"], true)
        np.testing.assert_array_equal(result["total"], true + false)
        np.testing.assert_array_equal(result["unknown"], unknown)


@pytest.mark.parametrize("theta", [0.123, 0.0501, 0.9999])
def test_a_threshold_between_edges_is_answered_exactly_from_arcs(store, proteins, theta):
    true, false, _ = sums(proteins, "contact", None, theta, counted)
    result = store.align("contact", threshold=theta, replicates=2)
    assert result.attrs["tier"] == "arcs"
    np.testing.assert_array_equal(result["count"], true)
    np.testing.assert_array_equal(result["total"], true + false)


def test_a_threshold_between_edges_below_the_floor_is_refused_with_both_neighbours(store):
    with pytest.raises(QueryError, match=r"0\.0123.*0\.012 and 0\.013"):
        store.align("contact", threshold=0.0123)


@pytest.mark.parametrize(("predicate", "where"), list(itertools.product(PREDICATES, WHERES)))
def test_weighted_shares_are_exact_or_within_their_bounds(store, proteins, predicate, where):
    true, false, _ = sums(proteins, predicate, where, 0, weighed)
    with np.errstate(invalid="ignore"):
        share = true / (true + false)
    codes = store.align(predicate, where=where, weighted=True, tier="codes", replicates=2)
    assert not codes.attrs["exact"]
    defined = np.isfinite(share)
    assert (codes["share_min"].values <= share + 1e-9)[defined].all()
    assert (codes["share_max"].values >= share - 1e-9)[defined].all()
    np.testing.assert_allclose(codes["share"].values[defined], share[defined], atol=0.02)
    chosen = store.align(predicate, where=where, weighted=True, replicates=2)
    if chosen.attrs["tier"] == "marginals":
        np.testing.assert_allclose(chosen["share"], share, rtol=1e-6)
        assert "share_min" not in chosen


def test_marginals_answer_questions_about_one_end_only(store):
    def tier(*args, **kwargs):
        return store.align(*args, weighted=True, replicates=2, **kwargs).attrs["tier"]

    assert tier("target.aa = 'C'") == "marginals"
    assert tier("source.aa = 'C'", where="source.pos > 3 AND protein.length > 10") == "marginals"
    assert tier("protein.length > 20") == "marginals"
    assert tier("target.aa = 'C'", where="source.aa = 'A'") == "codes"
    assert tier("contact") == "codes"
    assert tier("target.aa = 'C'", threshold=0.1) == "arcs"
    with pytest.raises(QueryError, match="one end"):
        tier("contact", tier="marginals")


def test_weights_above_a_threshold_are_exact_from_arcs(store, proteins):
    true, false, unknown = sums(proteins, "contact", None, 0.1, weighed)
    result = store.align("contact", weighted=True, threshold=0.1, replicates=2)
    np.testing.assert_allclose(result["count"], true, rtol=1e-12)
    np.testing.assert_allclose(result["total"], true + false, rtol=1e-12)
    np.testing.assert_allclose(result["unknown"], unknown, rtol=1e-12)
    assert np.isnan(result["p"]).all()


def test_the_papers_form_counts_unknown_as_false_and_takes_pairs_six_apart_for_its_background(store, proteins):
    true, false, unknown = sums(proteins, "contact", None, 0.3, counted)
    result = store.align("contact", paper=True, min_arcs=5)
    np.testing.assert_array_equal(result["count"], true)
    np.testing.assert_array_equal(result["total"], true + false + unknown)
    states = [
        (state := matrix(p, contact))[np.abs(np.subtract.outer(np.arange(len(state)), np.arange(len(state)))) >= 6]
        for p in proteins
    ]
    known = np.concatenate(states)
    known = known[known >= 0]
    np.testing.assert_allclose(result["background"], known.mean())
    np.testing.assert_array_equal(result["ranked"], result["total"] > 5)


def test_the_papers_background_of_a_residue_property_is_over_residues(store, proteins):
    result = store.align("target.aa = 'C'", paper=True)
    residues = "".join(protein.sequence[: protein.stored] for protein in proteins)
    np.testing.assert_allclose(result["background"], residues.count("C") / len(residues))


@pytest.mark.parametrize("tier", ["arcs", "codes"])
@pytest.mark.parametrize(("predicate", "where"), [("contact", None), ("distance < 10", "separation >= 6")])
def test_backgrounds_equal_brute_force(store, proteins, predicate, where, tier):
    layers, heads = proteins[0].attention.shape[:2]
    longest = max(protein.stored for protein in proteins)
    pair_true, pair_known = np.zeros(longest), np.zeros(longest)
    by_separation = np.zeros((layers, heads, longest))
    expected, arcs_total = np.zeros((layers, heads)), np.zeros((layers, heads))
    for protein in proteins:
        state = np.where(matrix(protein, WHERES[where]) == 1, matrix(protein, PREDICATES[predicate]), -1)
        far = np.abs(np.subtract.outer(np.arange(len(state)), np.arange(len(state))))
        arcs = (protein.weights >= np.float32(0.1)) & (state >= 0)
        for s in range(len(state)):
            pair_true[s] += ((state == 1) & (far == s)).sum()
            pair_known[s] += ((state >= 0) & (far == s)).sum()
            by_separation[..., s] += (arcs & (far == s)).sum((-1, -2))
        if (state >= 0).any():
            expected += arcs.sum((-1, -2)) * (state == 1).sum() / (state >= 0).sum()
            arcs_total += arcs.sum((-1, -2))

    def background(kind):
        result = store.align(predicate, where=where, threshold=0.1, background=kind, tier=tier, replicates=2)
        return result["background"].values

    np.testing.assert_allclose(background("eligible"), pair_true.sum() / pair_known.sum())
    np.testing.assert_allclose(background("protein"), expected / arcs_total)
    ok = pair_known > 0
    weights = by_separation[..., ok]
    np.testing.assert_allclose(background("separation"), (weights @ (pair_true[ok] / pair_known[ok])) / weights.sum(-1))


def test_the_result_does_not_depend_on_how_proteins_fall_into_segments(proteins, tmp_path):
    results = []
    for per_segment in (1, 4):
        path = tmp_path / str(per_segment)
        write_store(path, proteins, per_segment=per_segment)
        results.append(attnstore.open(path).align("contact", background="separation", threshold=0.1))
    xr.testing.assert_identical(*map(without_origin, results))


def test_what_was_asked_stands_in_the_attributes_and_survives_a_file(store, tmp_path):
    result = store.align("contact", where="separation >= 6", threshold=0.1)
    assert result.attrs["predicate"] == "contact"
    assert result.attrs["where"] == "separation >= 6"
    assert result.attrs["threshold"] == 0.1
    assert result.attrs["proteins"] == 6
    assert all(value is not None for value in result.attrs.values())
    result.to_zarr(tmp_path / "result.zarr", zarr_format=3, consolidated=False)
    loaded = xr.open_zarr(tmp_path / "result.zarr", consolidated=False).load()
    assert loaded.attrs == result.attrs
    assert set(loaded) == set(result)
    for name in result:
        np.testing.assert_array_equal(loaded[name], result[name])


@pytest.mark.parametrize(("rank_by", "column"), [("lower", "bootstrap_low"), ("share", "share")])
def test_the_table_lists_ranked_heads_in_their_order_first(store, rank_by, column):
    table = store.align("contact", threshold=0.05, min_arcs=60, rank_by=rank_by).to_table()
    assert len(table) == 6
    assert table["ranked"].is_monotonic_decreasing
    ranked = table[table["ranked"]]
    below = ranked["enrichment"] < 1
    assert below.any()
    assert not below.all()
    # Those below their background last.
    assert below.is_monotonic_increasing
    for part in (ranked[below], ranked[~below]):
        assert part[column].is_monotonic_decreasing
    assert ranked["rank"].tolist() == list(range(1, len(ranked) + 1))
    assert (table["rank"][~table["ranked"]] == 0).all()


@pytest.mark.parametrize("tier", ["arcs", "codes"])
def test_the_proteins_that_hold_a_heads_arcs_are_counted(store, proteins, tier):
    holding = sum(arc_states(protein, contact, 0.3) for protein in proteins)
    result = store.align("contact", threshold=0.3, tier=tier, min_arcs=1, replicates=0, min_proteins=5)
    np.testing.assert_array_equal(result["clusters"], holding)
    assert len(np.unique(holding)) > 1
    np.testing.assert_array_equal(result["ranked"], (holding >= 5) & (result["total"] >= 1))
    assert "proteins that hold" in result["clusters"].attrs["description"]
    everyone = store.align("contact", threshold=0.3, tier=tier, min_arcs=1, replicates=0, min_proteins=0)
    np.testing.assert_array_equal(everyone["ranked"], everyone["total"] >= 1)


def arc_states(protein, condition, theta):
    """Whether a protein has arcs with the condition known, bool [layers, heads]."""
    known = matrix(protein, condition) >= 0
    return ((protein.weights >= np.float32(theta)) & known).any((-1, -2)).astype(int)


def test_every_number_says_what_it_is(store):
    for options in ({}, {"paper": True}, {"split": True, "min_arcs": 1}, {"weighted": True}, {"threshold": None}):
        result = store.align("contact", **options)
        assert all(values.attrs["description"] for values in result.values())
    assert store.align("contact").attrs["interval"] == "bootstrap over proteins"
    assert store.align("contact", replicates=0).attrs["interval"] == "Wilson"
    assert store.align("contact", replicates=0, weighted=True).attrs["interval"] == "none"


def test_the_papers_form_keeps_the_papers_ranking(store):
    result = store.align("contact", paper=True, threshold=0.05, min_arcs=60)
    assert (result.attrs["rank_by"], result.attrs["min_proteins"]) == ("share", 0)
    np.testing.assert_array_equal(result["ranked"], result["total"] > 60)
    table = result.to_table()
    assert table[table["ranked"]]["share"].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank_by": "p"}, "rank_by='p' is not one of lower, share, enrichment"),
        ({"rank_by": "lower", "paper": True}, "paper's form ranks heads by share; leave out rank_by='lower'"),
        ({"min_proteins": 3, "paper": True}, "number of arcs alone; leave out min_proteins"),
        ({"rank_by": "enrichment", "background": "none"}, "needs a background"),
        ({"rank_by": "lower", "weighted": True, "replicates": 0}, "give replicates=1000"),
        ({"min_proteins": -1}, "min_proteins"),
    ],
)
def test_rankings_that_cannot_be_are_refused(store, options, message):
    with pytest.raises(QueryError, match=message):
        store.align("contact", **options)


def test_a_model_is_named_where_there_are_several(proteins, tmp_path):
    path = tmp_path / "two"
    write_store(path, proteins)
    write_model(path, proteins[:3], name="other")
    store = attnstore.open(path)
    with pytest.raises(QueryError, match="2 models"):
        store.align("contact")
    assert store.align("contact", model="other", replicates=2).attrs["proteins"] == 3
    with pytest.raises(QueryError, match="no model 'third'"):
        store.align("contact", model="third")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "high"}, "threshold"),
        ({"background": "nothing"}, "background"),
        ({"background": "protein", "paper": True}, "paper"),
        ({"tier": "tape"}, "tier"),
        ({"tier": "marginals"}, "marginals hold sums"),
        ({"min_arcs": -1}, "min_arcs"),
        ({"replicates": -1}, "replicates"),
        ({"replicates": 2.5}, "whole numbers"),
        ({"seed": 2**128}, "seed"),
        ({"level": 1}, "level"),
        ({"level": "high"}, "level"),
        ({"where": "weight > 0.1"}, "threshold="),
    ],
)
def test_options_that_make_no_sense_are_refused(store, options, message):
    with pytest.raises(QueryError, match=message):
        store.align("contact", **options)


def test_the_protein_truncated_by_the_model_counts_only_what_the_model_saw(proteins, tmp_path):
    longer = [p for p in proteins if len(p.sequence) > p.stored]
    assert longer
    path = tmp_path / "long"
    write_store(path, longer)
    result = attnstore.open(path).align("target.pos >= 0", threshold=0.05, replicates=2)
    np.testing.assert_array_equal(result["total"], sum((p.weights >= np.float32(0.05)).sum((-1, -2)) for p in longer))


def test_an_answer_on_disk_says_where_it_comes_from(store, tmp_path):
    result = store.align("contact", replicates=2)
    result.to_netcdf(tmp_path / "answer.nc", engine="scipy")
    read = xr.open_dataset(tmp_path / "answer.nc", engine="scipy")
    (model,) = json.loads(read.attrs["models"]).values()
    assert model["weights_sha256"] == store.model().document.weights_sha256
    assert model["segments"] == len(store.model().manifest.segments)
    assert read.attrs["catalog_sha256"] == store.document.catalog_sha256
    assert read.attrs["predicate"] == "contact"
    assert "duckdb" in json.loads(read.attrs["versions"])
