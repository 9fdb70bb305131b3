"""Stores that `attnstore.testing` makes: what was given is what comes back, and neither torch nor a model is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import attnstore
from attnstore.errors import AttnstoreError
from attnstore.format.codebook import DEFAULT
from attnstore.testing import SyntheticProtein, add_model, make_store, random_proteins


def uniform(sequence: str = "ACDEFGHIKL", share: float = 0.5, **options) -> SyntheticProtein:
    """Each residue gives the same weight to each residue, `share` in total."""
    size = len(sequence)
    return SyntheticProtein("p", sequence, np.full((1, 2, size, size), share / size), **options)


@pytest.fixture(scope="module")
def proteins():
    return random_proteins([12, 30, 21], layers=2, heads=2, features=4, seed=5)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("testing") / "store"
    return make_store(path, proteins, segment_proteins=2, keep=["codes", "arcs", "marginals", "hidden"])


def test_a_store_is_made_and_asked_with_torch_out_of_reach(tmp_path):
    script = f"""
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Without())
from attnstore.testing import make_store, random_proteins
store = make_store({str(tmp_path / "store")!r}, random_proteins([20, 30]))
assert store.verify() == []
print(store.query("SELECT count(*) AS n FROM attention").n[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(6 * (20**2 + 30**2))]


def test_nothing_of_the_store_is_damaged(store):
    assert store.verify() == []
    assert [len(model.manifest.segments) for model in store.models.values()] == [2]


def test_attention_comes_back_within_the_bounds_of_its_bin(store, proteins):
    for protein in proteins:
        bounds = store.attention_bounds(protein.id)
        weights = np.asarray(protein.attention)
        assert ((bounds.lower <= weights) & (weights <= bounds.upper)).all()
        codes = DEFAULT.codes(weights)
        assert (bounds.lower.values == DEFAULT.lower[codes]).all()


def test_arcs_are_exactly_the_weights_from_the_floor(store, proteins):
    found = store.sql("SELECT protein, layer, head, source, target, weight FROM arcs ORDER BY ALL").fetchall()
    expected = [
        (protein.id, *index, float(np.asarray(protein.attention)[index]))
        for protein in proteins
        for index in np.ndindex(np.shape(protein.attention))
        if np.asarray(protein.attention)[index] >= np.float32(0.05)
    ]
    assert found == sorted(expected)


def test_marginals_and_hidden_representations_come_back(store, proteins):
    for protein in proteins:
        np.testing.assert_allclose(store.attention(protein.id).special, protein.special, rtol=1e-6)
        assert (store.hidden(protein.id).values == protein.hidden).all()
    rows = store.query(
        "SELECT protein.id AS id, source.pos AS pos, sum(weight) AS total FROM attention WHERE layer = 1 AND head = 0 "
        "GROUP BY ALL",
        tier="marginals",
    )
    emitted = {protein.id: np.asarray(protein.attention)[1, 0].sum(-1) for protein in proteins}
    assert rows.total.to_numpy() == pytest.approx([emitted[row.id][row.pos] for row in rows.itertuples()], rel=1e-5)


def test_weight_for_special_tokens_is_what_a_row_leaves(tmp_path):
    store = make_store(tmp_path / "store", [uniform(share=0.75)])
    assert store.attention("p", 0, 0).special.values == pytest.approx([0.25] * 10)


def test_a_truncated_protein_has_attention_among_its_first_residues(tmp_path):
    store = make_store(tmp_path / "store", [replace(uniform(), attention=np.full((1, 1, 4, 4), 0.2))])
    assert store.attention("p", 0, 0).shape == (4, 4)
    assert store.attention("p", 0, 0).attrs["source_length"] == 10


def test_coordinates_make_contacts(tmp_path):
    line = np.arange(10)[:, None] * [10.0, 0, 0]
    line[9] = [-4, 0, 0]  # beside residue 0
    store = make_store(tmp_path / "store", [uniform(ca=line, cb=line)])
    frame = store.query(
        "SELECT source.pos AS i, target.pos AS j FROM attention WHERE contact AND head = 0 ORDER BY ALL"
    )
    assert frame.to_numpy().tolist() == [[0, 9], [9, 0]]


def test_properties_of_proteins_residues_and_pairs(tmp_path):
    bonds = np.zeros((10, 10), bool)
    bonds[2, 7] = bonds[7, 2] = True
    first = uniform(properties={
        "family": "kinase", "tm": 51.5, "site": [True, None] + [False] * 8, "hits": np.arange(10), "bond": bonds,
        "rsa": [0.5, float("nan")] + [1] * 8,
    })  # fmt: skip
    second = replace(uniform("CCCCC"), id="q", attention=np.zeros((1, 2, 5, 5)), properties={"family": None, "tm": 40})
    store = make_store(tmp_path / "store", [first, second])
    assert store.verify() == []
    types = {row[:2]: row[2] for row in store.sql("SELECT level, name, type FROM properties").fetchall()}
    assert types[("protein", "family")] == "category"
    assert types[("protein", "tm")] == "float"
    assert types[("residue", "hits")] == "integer"
    assert types[("residue", "site")] == types[("pair", "bond")] == "boolean"
    assert store.sql("SELECT id, family, tm FROM proteins ORDER BY id").fetchall() == [
        ("p", "kinase", 51.5), ("q", None, 40.0),
    ]  # fmt: skip
    rows = store.sql("SELECT site, hits, rsa FROM residues WHERE protein = 'p' ORDER BY pos LIMIT 3").fetchall()
    assert rows == [(True, 0, 0.5), (None, 1, None), (False, 2, 1.0)]
    counts = "SELECT pair.bond AS bond, count(*) AS n FROM attention WHERE head = 0 GROUP BY ALL ORDER BY ALL"
    assert store.query(counts).n.tolist() == [98, 2, 25]  # false, true, unknown


def test_a_second_model_has_its_own_attention(tmp_path):
    proteins = random_proteins([15, 18], seed=1)
    make_store(tmp_path / "store", proteins)
    others = [
        replace(protein, attention=np.asarray(protein.attention)[:1, :1] / 2, special=None) for protein in proteins
    ]
    store = add_model(tmp_path / "store", others[:1], model="half")
    assert store.verify() == []
    halved = store.attention_bounds("protein-0", 0, 0, model="half")
    weights = np.asarray(others[0].attention)[0, 0]
    assert ((halved.lower <= weights) & (weights <= halved.upper)).all()
    with pytest.raises(AttnstoreError, match="holds no protein 'protein-1'"):
        store.attention("protein-1", model="half")


def test_the_same_seed_gives_the_same_proteins_and_another_does_not():
    one, again, other = (random_proteins([9, 7], seed=seed) for seed in (3, 3, 4))
    assert all((a.attention == b.attention).all() and a.sequence == b.sequence for a, b in zip(one, again, strict=True))
    assert (one[0].attention != other[0].attention).any()
    assert random_proteins([9], coordinates=False)[0].ca is None


def test_random_proteins_have_arcs_and_contacts(store):
    assert store.sql("SELECT count(*) FROM arcs WHERE weight >= 0.3").fetchone()[0] > 50
    assert store.query("SELECT count(*) AS n FROM attention WHERE contact").n[0] > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attention": np.full((1, 2, 9, 10), 0.05)}, "has the shape"),
        ({"attention": np.full((2, 10, 10), 0.05)}, "has the shape"),
        ({"attention": np.full((1, 2, 12, 12), 0.05)}, "Leave special tokens out"),
        ({"attention": np.full((1, 2, 10, 10), np.nan)}, "outside of 0 to 1"),
        ({"attention": np.full((1, 2, 10, 10), -0.01)}, "outside of 0 to 1"),
        ({"attention": np.full((1, 2, 10, 10), 0.2)}, "sums to 2"),
        ({"special": np.zeros((1, 2, 9))}, "special of protein p has the shape"),
        ({"special": np.full((1, 2, 10), 0.4)}, "do not sum to 1"),
        ({"hidden": np.zeros((1, 10, 3))}, "hidden of protein p has the shape"),
        ({"sequence": ""}, "has the sequence ''"),
        ({"sequence": "acdefghikl"}, "capital letters"),
        ({"ca": np.zeros((10, 3))}, "only one of ca and cb"),
        ({"ca": np.zeros((9, 3)), "cb": np.zeros((9, 3))}, "ca of protein p has the shape"),
        ({"properties": {"x": [1, 2]}}, "has the shape"),
        ({"properties": {"x": np.zeros((10, 10))}}, "property x"),
        ({"properties": {"x": ["a", 1] * 5}}, "several types"),
        ({"properties": {"not a name": 1}}, "cannot be a column"),
        ({"properties": {"length": 1}}, "length"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, changed, message):
    with pytest.raises(AttnstoreError, match=message):
        make_store(tmp_path / "store", [replace(uniform(), **changed)])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": []}, "keep="),
        ({"keep": ["hidden"]}, "keep="),
        ({"keep": ["arcs", "hidden"]}, "Pass hidden"),
        ({"keep": ["words"]}, "keep="),
        ({"causal": True}, "after its source"),
        ({"segment_proteins": 0}, "at least 1"),
        ({"model": "../x"}, "model name"),
    ],
)
def test_an_option_that_cannot_be_is_refused(tmp_path, options, message):
    with pytest.raises(AttnstoreError, match=message):
        make_store(tmp_path / "store", [uniform()], **options)
    assert not (tmp_path / "store").exists()


def test_what_is_there_stays(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AttnstoreError, match="is not empty"):
        make_store(tmp_path, [uniform()])
    with pytest.raises(AttnstoreError, match="is there twice"):
        make_store(tmp_path / "store", [uniform(), uniform()])
    with pytest.raises(AttnstoreError, match="at least one"):
        make_store(tmp_path / "store", [])
    store = make_store(tmp_path / "store", [uniform()])
    with pytest.raises(AttnstoreError, match="has a model synthetic already"):
        add_model(store.path, [uniform()], model="synthetic")
    with pytest.raises(AttnstoreError, match="no protein p with this sequence"):
        add_model(store.path, [uniform("AAAA")], model="other")
    assert list(attnstore.open(store.path).models) == ["synthetic"]


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_any_shape_makes_a_whole_store(tmp_path_factory, lengths, layers, heads, seed):
    proteins = random_proteins(lengths, layers=layers, heads=heads, seed=seed)
    store = make_store(tmp_path_factory.mktemp("shape") / "store", proteins, segment_proteins=2)
    assert store.verify() == []
    total = store.query("SELECT count(*) AS n, sum(weight) AS s FROM attention")
    assert total.n[0] == layers * heads * sum(length**2 for length in lengths)
    exact = sum(np.asarray(protein.attention).sum(dtype=np.float64) for protein in proteins)
    assert total.s[0] == pytest.approx(exact, rel=1e-5)  # from the marginals


def test_the_page_runs(tmp_path, monkeypatch):
    """The examples of docs/how-to/testing.md, one after the other."""
    monkeypatch.chdir(tmp_path)
    page = Path(attnstore.__file__).parents[1] / "docs" / "how-to" / "testing.md"
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    names["test_every_head_has_a_row"](make_store("six.attn", random_proteins(seed=1)))
