"""Bootstraps over clusters against brute force, and what makes a cluster."""

import contextlib
import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import attnstore
from attnstore.catalog.reader import connect
from attnstore.errors import QueryError
from attnstore.queries.contacts.contact_proteins import roster
from attnstore.queries.statistics.clusters import assign, held_out, read_keys
from tests.queries.families import (
    add_column,
    draws,
    in_reported_half,
    intervals,
    keys_of,
    members,
    tally,
    write_families,
)
from tests.synthetic import contact, random_proteins, without_origin, write_store

#: Families over several segments, within one, and proteins without one, between them.
FAMILIES = ["a", "b", "a", None, "b", "c", None, "a", "p3"]
LENGTHS = [17, 30, 9, 25, 31, 12, 22, 28, 14]


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(11, LENGTHS)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("clusters") / "store"
    write_families(path, proteins, FAMILIES)
    return attnstore.open(path)


def test_intervals_draw_whole_clusters(store, proteins):
    result = store.align("contact", threshold=0.05, cluster_by="family", replicates=60, seed=4, level=0.8)
    found = tally(proteins, contact, 0.05)
    clusters = members(keys_of(proteins, FAMILIES))
    # p3 is the name of a family and, elsewhere, of a protein without one.
    assert len(clusters) == 6
    numer, denom = (
        np.array([values[rows].sum(0) for rows in clusters.values()]) for values in (found.true, found.known)
    )
    weights = np.array([draws(key, 60, 4) for key in clusters])
    low, high = intervals(numer, denom, weights, 0.8)
    np.testing.assert_allclose(result["bootstrap_low"], low, rtol=1e-12)
    np.testing.assert_allclose(result["bootstrap_high"], high, rtol=1e-12)
    np.testing.assert_array_equal(result["share"], found.share)
    assert result.attrs["cluster_by"] == "family"
    assert result.attrs["clusters"] == 6
    alone = store.align("contact", threshold=0.05, replicates=60, seed=4, level=0.8)
    assert alone.attrs["clusters"] == 9
    assert not np.allclose(alone["bootstrap_low"], low)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_results_do_not_depend_on_segments(proteins, tmp_path, average):
    results = []
    for per_segment in (1, 2, 4, 9):
        path = tmp_path / str(per_segment)
        write_families(path, proteins, FAMILIES, per_segment=per_segment)
        results.append(
            without_origin(
                attnstore.open(path).align(
                    "contact", threshold=0.05, cluster_by="family", average=average, background="protein", replicates=30
                )
            )
        )
    for other in results[1:]:
        if average == "micro":
            xr.testing.assert_identical(other.drop_vars(BY_FRACTIONS), results[0].drop_vars(BY_FRACTIONS))
        xr.testing.assert_allclose(other, results[0], rtol=1e-12)


#: What comes of a sum of fractions, whose last bits may show the order of adding.
BY_FRACTIONS = ["background", "enrichment", "z", "p", "p_bonferroni", "p_bh", "log10_p"]


def test_one_cluster_alone_says_nothing_of_how_clusters_differ(proteins, tmp_path):
    path = tmp_path / "one"
    write_families(path, proteins, ["x"] * len(proteins))
    store = attnstore.open(path)
    for average in ("micro", "macro"):
        result = store.align("contact", threshold=0.05, cluster_by="family", average=average, replicates=20)
        assert np.isnan(result["bootstrap_low"]).all()
        assert np.isfinite(result["share"]).all()


def test_proteins_without_a_family_are_drawn_alone_and_never_taken_for_one(tmp_path):
    proteins = random_proteins(3, [8] * 4)
    path = tmp_path / "store"
    write_store(path, proteins)
    add_column(path, "family", "VARCHAR", [None, "p0", "protein:p0", "p0"])
    add_column(path, "Order", "DOUBLE", [float("nan"), 1.0, None, 1])
    add_column(path, "flag", "BOOLEAN", [True, False, True, None])
    with contextlib.closing(connect(attnstore.open(path).catalog_path)) as connection:
        assert read_keys(connection, "protein") == ["p0", "p1", "p2", "p3"]
        assert read_keys(connection, "family") == ["protein:p0", "cluster:p0", "cluster:protein:p0", "cluster:p0"]
        assert read_keys(connection, "FAMILY") == read_keys(connection, "family")
        assert read_keys(connection, "order") == ["protein:p0", "cluster:1.0", "protein:p2", "cluster:1.0"]
        assert read_keys(connection, "flag") == ["cluster:true", "cluster:false", "cluster:true", "protein:p3"]
        with pytest.raises(QueryError, match=r"'famly' is no column of proteins: did you mean family\?"):
            read_keys(connection, "famly")
        with pytest.raises(QueryError, match=r"no column of proteins; .* one of .*family"):
            read_keys(connection, "zzz")


@pytest.mark.parametrize(
    ("cluster_by", "refused"),
    [
        ("protein", None),
        ("family", None),
        ("FAMILY", None),
        ("Sequence_Length", "is no column of proteins"),
        ("famly", "is no column of proteins: did you mean family"),
        ("", "is no column of proteins"),
        ('family" FROM proteins; --', "is no column of proteins"),
        (["family"], "is a list"),
        (None, "cluster_by is None"),
    ],
)
def test_align_contacts_and_probe_accept_and_refuse_the_same_clusters(store, cluster_by, refused):
    asked = (
        lambda: store.align("contact", threshold=0.05, cluster_by=cluster_by, replicates=2),
        lambda: store.contact_precision(select=["p0"], k=1, replicates=2, cluster_by=cluster_by),
        lambda: store.probe("contact", sources=("attention",), test_share=0.5, replicates=2, cluster_by=cluster_by),
    )
    if refused is None:
        assert [ask().attrs["cluster_by"] for ask in asked] == [cluster_by] * 3
        return
    messages = set()
    for ask in asked:
        with pytest.raises(QueryError, match=refused) as error:
            ask()
        messages.add(str(error.value))
    assert len(messages) == 1


def test_a_cluster_of_nan_is_as_unknown_to_contacts_as_to_align(tmp_path):
    proteins = random_proteins(3, [20] * 3)
    path = tmp_path / "store"
    write_store(path, proteins)
    add_column(path, "order", "DOUBLE", [float("nan"), float("nan"), 1.0])
    held = roster(attnstore.open(path), attnstore.open(path).model(), "Order")
    assert len(held.clusters_of(["p0", "p1", "p2"])) == 3


@given(
    keys=st.lists(st.sampled_from("abcde"), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 12), max_size=4),
)
@settings(deadline=None, max_examples=60)
def test_a_cluster_spans_segments_where_two_of_them_hold_it(keys, order, cuts):
    places = list(range(len(keys)))
    order.shuffle(places)
    ends = [0, *sorted(min(cut, len(keys)) for cut in cuts), len(keys)]
    segments = [places[begin:end] for begin, end in itertools.pairwise(ends)]
    found = assign(keys, segments)
    for clusters, segment in zip(found, segments, strict=True):
        assert clusters.keys == tuple(keys[place] for place in segment)
        for key, spans in zip(clusters.keys, clusters.spans, strict=True):
            assert spans == (sum(any(keys[place] == key for place in other) for other in segments) > 1)


def test_halves_follow_their_definition_and_are_halves():
    keys = [f"cluster:{n}" for n in range(3000)]
    halves = held_out(keys, 5)
    assert halves.tolist() == [in_reported_half(key, 5) for key in keys]
    assert abs(halves.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(keys))
    assert abs((held_out(keys, 6) == halves).mean() - 0.5) < 5 * 0.5 / np.sqrt(len(keys))
    np.testing.assert_array_equal(held_out(keys[::-1], 5), halves[::-1])
    # Nothing to do with how often the bootstrap draws them.
    drawn = np.array([draws(key, 1, 5)[0] for key in keys])
    assert abs(np.corrcoef(drawn, halves)[0, 1]) < 5 / np.sqrt(len(keys))
