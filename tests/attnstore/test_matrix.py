"""One protein's attention as labelled matrices."""

import numpy as np
import pytest

import attnstore
from attnstore.errors import QueryError
from attnstore.format.documents import Manifest, Skipped
from tests.synthetic import random_proteins, write_store


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(11, [12, 26, 7, 31], layers=3, heads=2, truncate=28)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("matrix") / "store"
    write_store(path, proteins)
    return attnstore.open(path)


def test_every_weight_lies_within_the_bounds_given_source_first(store, proteins):
    for protein in proteins:
        found = store.attention_bounds(protein.id, 1, 0)
        assert found["weight"].dims == ("source", "target")
        weights = protein.weights[1, 0]
        for array in (weights, found["weight"].values):
            assert (found["lower"].values <= array).all()
            assert (array <= found["upper"].values).all()


def test_all_layers_and_heads_at_once_are_the_single_ones_stacked(store, proteins):
    name = proteins[1].id
    everything = store.attention(name)
    assert everything.dims == ("layer", "head", "source", "target")
    for layer in range(3):
        for head in range(2):
            single = store.attention(name, layer, head)
            np.testing.assert_array_equal(everything.sel(layer=layer, head=head), single)
            np.testing.assert_array_equal(everything["special"].sel(layer=layer, head=head), single["special"])
    np.testing.assert_array_equal(store.attention(name, layer=2), everything.sel(layer=2))
    np.testing.assert_array_equal(store.attention(name, head=1), everything.sel(head=1))


def test_residues_are_labelled_and_rows_sum_to_one_with_the_special_tokens(store, proteins):
    protein = proteins[3]
    found = store.attention(protein.id, 0, 1)
    assert "".join(found["target_aa"].values) == protein.sequence[: protein.stored]
    assert found.sizes == {"source": 28, "target": 28}
    np.testing.assert_allclose(found.sum("target") + found["special"], 1, atol=0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "no protein 'nobody'"),
        (("p0", 3), "no layer 3"),
        (("p0", 0, 2), "no head 2"),
        (("p0", -1), "no layer -1"),
    ],
)
def test_what_is_not_there_is_refused(store, arguments, message):
    with pytest.raises(QueryError, match=message):
        store.attention(*arguments)


def test_a_skipped_protein_is_refused_with_its_reason(proteins, tmp_path):
    write_store(tmp_path / "s", proteins)
    directory = tmp_path / "s" / "attention" / "random"
    manifest = Manifest.read(directory)
    Manifest(manifest.segments, (Skipped("long", "9 residues are more than 8"),)).write(directory)
    with pytest.raises(QueryError, match="skipped protein long: 9 residues are more than 8"):
        attnstore.open(tmp_path / "s").attention("long")
