"""The share at every threshold at once, against plain numpy at each of them."""

import itertools

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import binomtest

import attnstore
from attnstore.errors import QueryError
from attnstore.format.codebook import DEFAULT
from attnstore.queries.alignment import Alignment
from attnstore.queries.engine import align_tasks
from attnstore.queries.statistics import curve
from attnstore.queries.statistics.shown_heads import leading_heads
from tests.queries.families import draws, intervals, keys_of, members, tally, write_families
from tests.queries.test_clusters import FAMILIES, LENGTHS
from tests.synthetic import contact, distance, random_proteins, without_origin

THRESHOLDS = [np.float32(0), *DEFAULT.edges]
QUESTIONS = {
    "contact": (contact, None),
    "target.aa = 'C'": (lambda p, i, j: p.sequence[j] == "C", None),
    "distance < 10": (
        lambda p, i, j: None if (d := distance(p, i, j, "cb")) is None else d < 10,
        lambda p, i, j: abs(i - j) >= 6,
    ),
}


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(14, LENGTHS)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("curve") / "store"
    write_families(path, proteins, FAMILIES)
    return attnstore.open(path)


def ask(store, predicate, **options):
    where = "separation >= 6" if QUESTIONS[predicate][1] else None
    return store.align(predicate, where=where, threshold=None, **options)


def brute(proteins, predicate, thetas, **options):
    condition, where = QUESTIONS[predicate]
    return [tally(proteins, condition, theta, where=where, **options) for theta in thetas]


@pytest.mark.parametrize("predicate", QUESTIONS)
@pytest.mark.parametrize("tier", ["codes", "arcs"])
def test_counts_are_exact_at_every_threshold(store, proteins, predicate, tier):
    result = ask(store, predicate, tier=tier)
    thetas = [theta for theta in THRESHOLDS if tier == "codes" or theta >= np.float32(0.05)]
    assert dict(result.sizes) == {"threshold": len(thetas), "layer": 2, "head": 3}
    np.testing.assert_array_equal(result["threshold"].astype(np.float32), thetas)
    found = brute(proteins, predicate, thetas)
    np.testing.assert_array_equal(result["count"], [each.true.sum(0) for each in found])
    np.testing.assert_array_equal(result["total"], [each.known.sum(0) for each in found])
    np.testing.assert_array_equal(result["share"], [each.share for each in found])
    np.testing.assert_allclose(result["background"], found[0].pairs_true.sum() / found[0].pairs_known.sum())
    np.testing.assert_allclose(result["enrichment"], result["share"] / result["background"])
    np.testing.assert_array_equal(result["ranked"], result["total"] >= 100)
    for at in itertools.product(range(0, len(thetas), 20), range(2), range(3)):
        total = result["total"].values[at]
        if total:
            expected = binomtest(int(result["count"].values[at]), int(total)).proportion_ci(method="wilson")
            assert (result["wilson_low"].values[at], result["wilson_high"].values[at]) == pytest.approx(tuple(expected))
    assert "p" not in result
    assert "bootstrap_low" not in result


def test_a_curve_and_single_thresholds_agree_in_everything(store):
    for options in ({}, {"paper": True, "min_arcs": 5}, {"background": "none"}, {"weighted": True, "tier": "arcs"}):
        result = store.align("contact", threshold=None, level=0.8, **options)
        for theta in (0.05, 0.3, 0.77):
            single = store.align("contact", threshold=theta, level=0.8, replicates=0, **options)
            picked = result.sel(threshold=theta)
            names = set(single) - {"z", "p", "p_bonferroni", "p_bh", "log10_p", "clusters"}
            assert set(picked) == names
            for name in names:
                np.testing.assert_allclose(picked[name], single[name], rtol=1e-12, err_msg=name)


def test_weights_from_arcs_are_exact_and_from_codes_within_bounds(store, proteins):
    above = [theta for theta in THRESHOLDS if theta >= np.float32(0.05)]
    arcs = ask(store, "contact", weighted=True, tier="arcs")
    found = brute(proteins, "contact", above, weighted=True)
    np.testing.assert_allclose(arcs["count"], [each.true.sum(0) for each in found], rtol=1e-12)
    np.testing.assert_allclose(arcs["total"], [each.known.sum(0) for each in found], rtol=1e-12)
    assert arcs.attrs["exact"]
    assert "share_min" not in arcs
    assert np.isnan(arcs["wilson_low"]).all()
    codes = ask(store, "contact", weighted=True)
    assert not codes.attrs["exact"]
    share = np.array([each.share for each in brute(proteins, "contact", THRESHOLDS, weighted=True)])
    known = np.isfinite(share)
    assert known.mean() > 0.9
    assert (codes["share_min"].values <= share + 1e-9)[known].all()
    assert (codes["share_max"].values >= share - 1e-9)[known].all()
    np.testing.assert_allclose(codes["share"].values[known], share[known], atol=0.01)
    # Ranked by numbers of arcs, whatever they weigh.
    np.testing.assert_array_equal(codes["ranked"], ask(store, "contact")["ranked"])


def test_unknown_arcs_are_counted_apart_at_every_threshold(store, proteins):
    result = ask(store, "contact")
    everything = [sum((p.weights >= theta).sum((-1, -2)) for p in proteins) for theta in THRESHOLDS]
    np.testing.assert_array_equal(result["total"] + result["unknown"], everything)
    paper = ask(store, "contact", paper=True)
    np.testing.assert_array_equal(paper["total"], everything)


@pytest.mark.parametrize("tier", ["codes", "arcs"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 30])
def test_backgrounds_by_protein_and_intervals_over_clusters(store, proteins, monkeypatch, tier, weighted, block):
    # One protein at a time, and all of a segment at once.
    monkeypatch.setattr(align_tasks, "_BLOCK_BYTES", block)
    result = ask(
        store, "contact", tier=tier, weighted=weighted, background="protein",
        cluster_by="family", replicates=30, seed=8, level=0.9,
    )  # fmt: skip
    clusters = members(keys_of(proteins, FAMILIES))
    weights = np.array([draws(key, 30, 8) for key in clusters])
    # From codes a weight is the mean of its bin.
    near = {"atol": 0.02} if weighted and tier == "codes" else {"rtol": 1e-9}
    for theta in (0.05, 0.3, 0.7) if tier == "arcs" else (0, 0.012, 0.3, 0.7):
        found = tally(proteins, contact, theta, weighted=weighted)
        at = result.sel(threshold=theta)
        of_protein = found.pairs_true / found.pairs_known
        np.testing.assert_allclose(
            at["background"], np.tensordot(of_protein, found.known, 1) / found.known.sum(0), **near
        )
        numer, denom = (np.array([v[c].sum(0) for c in clusters.values()]) for v in (found.true, found.known))
        low, high = intervals(numer, denom, weights, 0.9)
        np.testing.assert_allclose(at["bootstrap_low"], low, **near)
        np.testing.assert_allclose(at["bootstrap_high"], high, **near)


def test_an_arc_floor_between_edges_begins_the_curve_at_the_next_edge():
    assert curve.first_code(DEFAULT, 0.05, "codes") == 0
    for floor in (0.05, 0.0505, 0.00013):
        first = curve.first_code(DEFAULT, floor, "arcs")
        assert DEFAULT.lower[first] >= np.float32(floor)
        assert DEFAULT.lower[first - 1] < np.float32(floor)


def test_a_curve_does_not_depend_on_segments(proteins, tmp_path):
    results = []
    for per_segment in (1, 4):
        path = tmp_path / str(per_segment)
        write_families(path, proteins, FAMILIES, per_segment=per_segment)
        results.append(attnstore.open(path).align("contact", threshold=None, replicates=20))
    xr.testing.assert_identical(*map(without_origin, results))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": True}, "curve .* split=True"),
        ({"average": "macro"}, "curve .* average='macro'"),
        ({"background": "separation"}, "separation.*background='protein'"),
        ({"tier": "marginals"}, "marginals know no threshold"),
        ({"tier": "tape"}, "tier 'tape' is not one of codes and arcs"),
        ({"cluster_by": "family"}, "cluster_by='family' .* there is none"),
        ({"replicates": 10**6}, r"replicates=1000000 .* ask for 3410 or fewer"),
        ({"replicates": -1}, "whole numbers from 0"),
        ({"paper": True, "background": "protein"}, "paper's background"),
    ],
)
def test_what_a_curve_cannot_be_asked_is_refused(store, options, message):
    with pytest.raises(QueryError, match=message):
        store.align("contact", threshold=None, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"average": "mean"}, "'mean' is neither micro nor macro"),
        ({"average": "macro", "paper": True}, "paper's form .* average='macro'"),
        ({"split": True, "paper": True}, "paper's form .* split=True"),
        ({"average": "macro", "background": "separation"}, "separations for each cluster"),
        ({"cluster_by": "family", "replicates": 0}, "cluster_by='family' .* there is none"),
        ({"cluster_by": "famly"}, "did you mean family"),
    ],
)
def test_what_does_not_go_together_at_one_threshold_is_refused(store, options, message):
    with pytest.raises(QueryError, match=message):
        store.align("contact", **options)


def test_without_replicates_there_is_no_bootstrap(store):
    result = store.align("contact", threshold=0.05, replicates=0)
    assert "bootstrap_low" not in result
    assert np.isfinite(result["wilson_low"]).all()


def test_without_a_background_there_is_nothing_to_compare_with(store):
    result = store.align("contact", threshold=0.05, background="none")
    assert not {"background", "enrichment", "z", "p", "p_bonferroni", "p_bh", "log10_p"} & set(result)
    with_one = store.align("contact", threshold=0.05)
    for name in result:
        np.testing.assert_array_equal(result[name], with_one[name])


# ── What comes back ──────────────────────────────────────────────────────────────────────────────


def test_the_table_has_a_row_for_every_threshold_and_head(store):
    result = ask(store, "contact")
    table = result.to_table()
    assert len(table) == 205 * 6
    assert list(table.columns[:4]) == ["threshold", "layer", "head", "share"]
    at = table[(table["threshold"] == 0.3) & (table["layer"] == 1) & (table["head"] == 2)]
    assert at["count"].item() == result["count"].sel(threshold=0.3, layer=1, head=2).item()
    assert isinstance(result, Alignment)
    picked = result.sel(threshold=0.3)
    assert isinstance(picked, Alignment)
    first = picked.to_table().iloc[0]
    above = picked["ranked"] & (picked["enrichment"] >= 1)
    assert first["wilson_low"] == picked["wilson_low"].where(above).max()
    assert first["rank"] == 1


def test_a_curve_survives_a_file(store, tmp_path):
    result = ask(store, "contact")
    assert "threshold" not in result.attrs
    result.to_zarr(tmp_path / "curve.zarr", zarr_format=3, consolidated=False)
    loaded = xr.open_zarr(tmp_path / "curve.zarr", consolidated=False).load()
    assert loaded.attrs == result.attrs
    assert set(loaded) == set(result)
    for name in result:
        np.testing.assert_array_equal(loaded[name], result[name])


@pytest.mark.parametrize(("rank_by", "name"), [("lower", "wilson_low"), ("share", "share")])
def test_leading_heads_are_the_first_at_any_threshold_where_they_are_ranked(store, rank_by, name):
    result = ask(store, "contact", min_arcs=15, rank_by=rank_by)
    above = result["ranked"] & (result["enrichment"] >= 1)
    best = result.isel(threshold=slice(1, None))[name].where(above).max("threshold").fillna(-1).to_numpy()
    order = [at for at in sorted(np.ndindex(2, 3), key=lambda at: -best[at]) if best[at] >= 0]
    assert leading_heads(result, 4) == order[:4]
    assert leading_heads(result.assign(ranked=result["ranked"] & False), 4) == []
    one = result.assign(ranked=result["ranked"] & (result["layer"] == 1) & (result["head"] == 2))
    assert leading_heads(one, 4) == [(1, 2)]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def test_the_picture_shows_shares_against_thresholds(store):
    result = ask(store, "contact", min_arcs=15)
    figure = result.plot()
    shares, totals = figure.axes
    heads = leading_heads(result, 6)
    lines = {line.get_label(): line for line in shares.lines}
    assert shares.get_xscale() == totals.get_xscale() == "log"
    for layer, head in heads:
        x, y = lines[f"layer {layer}, head {head}"].get_data()
        of_head = result.isel(layer=layer, head=head, threshold=slice(1, None))
        np.testing.assert_array_equal(x, of_head["threshold"])
        np.testing.assert_allclose(y, 100 * of_head["share"].where(of_head["ranked"]))
    background = lines["background, all eligible pairs"]
    np.testing.assert_allclose(background.get_ydata(), 100 * result["background"].values[0, 0, 0])
    assert "95 % Wilson interval" in texts(figure)
    assert "contact\nrandom" in texts(figure)
    one_based = texts(result.plot(one_based=True, title="mine"))
    assert f"layer {heads[0][0] + 1}, head {heads[0][1] + 1}" in one_based
    assert "mine" in one_based
    bands = [band.get_paths()[0].get_extents() for band in shares.collections]
    assert len(bands) == len(heads)
    for (layer, head), band in zip(heads, bands, strict=True):
        ranked = result["ranked"].isel(layer=layer, head=head, threshold=slice(1, None))
        low = result["wilson_low"].isel(layer=layer, head=head, threshold=slice(1, None)).where(ranked)
        assert band.y0 == pytest.approx(100 * float(low.min()))


def test_pictures_of_every_kind_of_curve_draw(store, tmp_path):
    from attnstore.queries.figure import save_figure

    for number, options in enumerate(
        (
            {"replicates": 20, "cluster_by": "family", "min_arcs": 15},
            {"weighted": True, "background": "protein"},
            {"background": "none"},
            {"min_arcs": 10**6},
            {"paper": True},
        )
    ):
        figure = ask(store, "contact", **options).plot()
        save_figure(figure, tmp_path / f"{number}.png")
        words = texts(figure)
        assert ("no head is ranked at any threshold" in words) == (number == 3)
        assert any("6 clusters by family" in " ".join(word.split()) for word in words) == (number == 0)
        assert any("background" in word for word in words) == (number not in (2, 3))
    with pytest.raises(QueryError, match="'share'"):
        ask(store, "contact").drop_vars("share").plot()


def test_a_threshold_picked_out_of_a_curve_draws_as_one(store):
    figure = ask(store, "contact", min_arcs=15).sel(threshold=0.05).plot()
    assert "contact\nrandom, attention ≥ 0.05" in texts(figure)
    assert "95 % Wilson interval" in texts(figure)
