"""Depth and likeness of amino acids, against loops over whole matrices and other libraries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import attnstore
from attnstore.queries.report.amino_acids import blosum62, measure_amino_acids, similarity
from attnstore.queries.report.calls import Settings
from attnstore.queries.report.depth import by_centre, centre_of_gravity, depth, layer_means
from attnstore.queries.report.questions import LETTERS, ask_of
from tests.queries.report_stores import write_two

SETTINGS = Settings(min_arcs=12, replicates=0)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    path = tmp_path_factory.mktemp("measures") / "store"
    proteins, others, values = write_two(path)
    return attnstore.open(path), {"trained": proteins, "chance": others}, values


def counted(proteins, of_target):
    """Arcs ≥ 0.3 of each head where a property of the target is true, and where it is known."""
    shape = proteins[0].weights.shape[:2]
    true, known = np.zeros(shape, int), np.zeros(shape, int)
    for protein in proteins:
        for layer, head, source, target in zip(*np.nonzero(protein.weights >= np.float32(0.3)), strict=True):
            del source
            value = of_target(protein, target)
            known[layer, head] += value is not None
            true[layer, head] += value is True
    return true, known


@pytest.mark.parametrize("model", ["trained", "chance"])
def test_arcs_to_each_amino_acid(two, model):
    store, proteins, _ = two
    acids = measure_amino_acids(store, model, SETTINGS)
    assert sorted(acids.letters) == sorted("ACDEFGHIKLMNPQRSTVWY")
    for letter, arcs, share in zip(acids.letters, acids.arcs, acids.shares, strict=True):
        true, known = counted(proteins[model], lambda p, j, letter=letter: p.sequence[j] == letter)
        np.testing.assert_array_equal(arcs, true)
        np.testing.assert_array_equal(acids.total, known)
        np.testing.assert_array_equal(share, np.where(known >= 12, true / np.maximum(known, 1), np.nan))
        aligned = store.align(f"target.aa = '{letter}'", model=model, min_arcs=12, replicates=0)
        np.testing.assert_array_equal(share, aligned["share"].where(aligned["ranked"]).to_numpy())


@pytest.mark.parametrize("model", ["trained", "chance"])
def test_likeness_is_pearsons_over_heads(two, model):
    store, *_ = two
    acids = measure_amino_acids(store, model, SETTINGS)
    alike = similarity(acids)
    shares = acids.shares[:, acids.ranked]
    assert alike.heads == shares.shape[1] > 3
    pairs = []
    for i, first in enumerate(LETTERS):
        for j, second in enumerate(LETTERS):
            expected = stats.pearsonr(shares[i], shares[j]).statistic
            assert alike.attention[i, j] == pytest.approx(expected, abs=1e-12)
            if i < j:
                pairs.append((expected, blosum62(first + second)[0, 1]))
    assert alike.pairs == len(pairs) == 190
    assert alike.correlation == pytest.approx(stats.pearsonr(*np.transpose(pairs)).statistic, abs=1e-12)
    assert len(alike.table) == 190


def test_heads_with_too_few_arcs_take_no_part_and_what_does_not_vary_has_no_likeness(two):
    from dataclasses import replace

    store, *_ = two
    acids = measure_amino_acids(store, "trained", SETTINGS)
    arcs, total = acids.arcs.copy(), acids.total.copy()
    total[0, 0] = 11
    arcs[3] = 0
    fewer = similarity(replace(acids, arcs=arcs, total=total))
    assert fewer.heads == similarity(acids).heads - 1
    assert np.isnan(fewer.attention[3]).all()
    assert fewer.pairs == 190 - 19
    nothing = similarity(replace(acids, total=np.zeros_like(total)))
    assert (nothing.heads, nothing.pairs) == (0, 0)
    assert np.isnan(nothing.correlation)


def test_blosum62_is_blosum62():
    # Henikoff and Henikoff 1992, figure 2.
    matrix = blosum62("CWIVDE")
    assert matrix.diagonal().tolist() == [9, 11, 4, 4, 6, 5]
    assert matrix[2, 3] == matrix[3, 2] == 3
    assert (matrix[0, 5], matrix[4, 5]) == (-4, 2)


def test_layer_means_and_centres_of_a_store(two):
    store, proteins, values = two
    known = {protein.id: own for protein, own in zip(proteins["trained"], values["binding_site"], strict=True)}
    question = next(one for one in ask_of(store)[0] if one.key == "binding_site")
    for model in ("trained", "chance"):
        true, total = counted(proteins[model], lambda p, j: known[p.id][j])
        found = depth(question, store.align(question.predicate, model=model, min_arcs=60, replicates=0))
        for layer in range(len(total)):
            shares = [t / n for t, n in zip(true[layer], total[layer], strict=True) if n >= 60]
            assert found.heads[layer] == len(shares)
            assert found.means[layer] == pytest.approx(sum(shares) / len(shares) if shares else np.nan, nan_ok=True)
        means = [(layer, mean) for layer, mean in enumerate(found.means) if mean == mean]
        assert len(means) > 1
        assert found.centre == pytest.approx(sum(l * m for l, m in means) / sum(m for _, m in means))  # noqa: E741
        everything = [known[p.id][j] for p in proteins[model] for j in range(p.stored) for _ in range(p.stored)]
        assert found.background == pytest.approx(everything.count(True) / (len(everything) - everything.count(None)))


shares = st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=40)


@given(shares)
def test_the_centre_is_the_mean_layer_weighted_by_share(means):
    found = centre_of_gravity(np.array(means))
    known = [(layer, mean) for layer, mean in enumerate(means) if mean == mean]
    if sum(mean for _, mean in known) > 1e-290:
        layers, weights = zip(*known, strict=True)
        assert found == pytest.approx(np.average(layers, weights=weights))
        assert min(layers) - 1e-9 <= found <= max(layers) + 1e-9
    elif not any(mean for _, mean in known):
        assert np.isnan(found)


@given(st.integers(1, 50), st.floats(0.01, 1))
def test_even_shares_have_it_in_the_middle(layers, share):
    assert centre_of_gravity(np.full(layers, share)) == pytest.approx((layers - 1) / 2)


def test_all_heads_of_a_layer_weigh_the_same():
    means, heads = layer_means(np.array([[0.1, 0.3, np.nan], [np.nan] * 3, [0.5, 0.5, 0.2]]))
    np.testing.assert_allclose(means, [0.2, np.nan, 0.4])
    assert heads.tolist() == [2, 0, 3]


def test_properties_are_ordered_by_centre_and_those_without_come_last(two):
    from dataclasses import replace

    store, *_ = two
    question = ask_of(store)[0][0]
    one = depth(question, store.align("contact", model="trained", replicates=0, min_arcs=12))
    courses = [replace(one, centre=centre) for centre in (2.0, float("nan"), 0.5, 1.0)]
    assert [course.centre for course in by_centre(courses)][:3] == [0.5, 1.0, 2.0]
    assert np.isnan(by_centre(courses)[3].centre)


@pytest.mark.parametrize("kinds", [(), ("glycosylation",), ("disulfide_bonded", "metal_coordination")])
def test_the_mixture_of_modifications_is_asked_for_where_no_kind_is_known(tmp_path, kinds):
    from attnstore.catalog.property import Property, Source, along
    from attnstore.catalog.writer import CatalogWriter
    from attnstore.format.documents import StoreDocument

    StoreDocument().write(tmp_path)
    names = [*kinds, "protein_modification"]
    given = [along(Property(name, "residue", "boolean", "x"), [True, False, None]) for name in names]
    with CatalogWriter(tmp_path) as catalog:
        catalog.add("p", "ACD", "f", None, given, Source("f", "0" * 64))
        catalog.publish()
    opened = attnstore.open(tmp_path)
    asked, missing = ask_of(opened)
    assert {one.key for one in asked} & {*names} == set(kinds or names)
    assert ("protein_modification" in {one.what for one in missing}) == bool(kinds)
    named, _ = ask_of(opened, ["protein_modification"])
    assert [one.predicate for one in named] == ["target.protein_modification"]
