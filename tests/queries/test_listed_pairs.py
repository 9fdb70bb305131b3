"""Properties of pairs: of those that the catalog lists, and of the others of a protein of which something is said."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import attnstore
from attnstore.catalog.property import ARROW_TYPES, Annotation, Property, Source
from attnstore.catalog.writer import CatalogWriter
from tests.synthetic import random_proteins, write_store

BOND = Property("bond", "pair", "boolean", "a bond")
COUPLING = Property("coupling", "pair", "float", "a coupling")
SOURCE = Source("made up", "0" * 64)
LENGTHS = [14, 3, 1, 20, 9]
#: Of these proteins, unlisted pairs are no bond; of the others nothing is known.
ANSWERED = (0, 3, 4)


@pytest.fixture(scope="module", params=[10**6, 11], ids=["whole", "truncated"])
def sample(request, tmp_path_factory):
    """A store, its proteins, and their pairs' properties as float64 [source, target], NaN where unknown."""
    path = tmp_path_factory.mktemp("pairs") / "store"
    proteins = random_proteins(5, LENGTHS, truncate=request.param)
    write_store(path, proteins, per_segment=2)
    rng = np.random.default_rng(5)
    known = {BOND: [], COUPLING: []}
    with CatalogWriter(path, keep_duplicates=True) as catalog:
        for index, protein in enumerate(proteins):
            length = len(protein.sequence)
            for prop, matrices in known.items():
                otherwise = False if prop is BOND and index in ANSWERED else None
                matrix = np.full((length, length), np.nan if otherwise is None else 0.0)
                listed = rng.random((length, length)) < 0.1
                matrix[listed] = rng.integers(0, 2, listed.sum()) if prop is BOND else rng.integers(-4, 4, listed.sum())
                source, target = np.nonzero(listed)
                values = [bool(v) if prop is BOND else v for v in matrix[listed].tolist()]
                annotation = Annotation(prop, pa.array(values, ARROW_TYPES[prop.kind]), source, target, otherwise)
                catalog.annotate(index, "x", protein.sequence, "f", None, [annotation], SOURCE)
                matrices.append(matrix[: protein.stored, : protein.stored])
        catalog.publish()
    return attnstore.open(path), proteins, known


def flat(proteins, matrices):
    """Weights [layers, heads, pairs] and a property [pairs] of all proteins."""
    weights = np.concatenate([p.weights.reshape(*p.weights.shape[:2], -1) for p in proteins], axis=2)
    return weights, np.concatenate([matrix.ravel() for matrix in matrices])


@pytest.mark.parametrize("theta", [0.05, 0.3])
@pytest.mark.parametrize("tier", ["arcs", "codes"])
def test_shares_among_arcs(sample, theta, tier):
    store, proteins, known = sample
    weights, bond = flat(proteins, known[BOND])
    _, coupling = flat(proteins, known[COUPLING])
    found = store.query(
        f"SELECT layer, head, count(pair.bond) AS known, avg(pair.bond) AS share, sum(pair.coupling) AS total, "
        f"count(*) AS arcs FROM attention WHERE weight >= {theta} GROUP BY ALL ORDER BY ALL", tier=tier,
    )  # fmt: skip
    expected = []
    for layer, head in np.ndindex(weights.shape[:2]):
        arcs = weights[layer, head] >= np.float32(theta)
        said = arcs & ~np.isnan(bond)
        linked = arcs & ~np.isnan(coupling)
        total = coupling[linked].sum() if linked.any() else np.nan
        expected.append((layer, head, said.sum(), bond[said].mean(), total, arcs.sum()))
    assert found.to_numpy(float, na_value=np.nan) == pytest.approx(np.array(expected, float), nan_ok=True)


def test_a_condition_takes_the_pairs_that_are_not_listed_where_something_is_said_of_them(sample):
    store, proteins, known = sample
    weights, bond = flat(proteins, known[BOND])
    for condition, chosen in (
        ("NOT pair.bond", bond == 0), ("pair.bond", bond == 1), ("pair.bond IS NULL", np.isnan(bond)),
        ("pair.bond AND pair.coupling > 0", (bond == 1) & (flat(proteins, known[COUPLING])[1] > 0)),
    ):  # fmt: skip
        found = store.query(f"SELECT count(*) AS n FROM attention WHERE weight >= 0.3 AND {condition}")
        assert found["n"].item() == ((weights >= np.float32(0.3)) & chosen).sum(), condition
        pairs = store.query(f"SELECT count(*) AS n FROM attention WHERE layer = 0 AND head = 0 AND {condition}")
        assert pairs["n"].item() == chosen.sum(), condition


def test_alignment_with_every_background(sample):
    store, proteins, known = sample
    weights, bond = flat(proteins, known[BOND])
    for background in ("eligible", "separation", "protein"):
        result = store.align("pair.bond", threshold=0.3, background=background)
        said = (weights >= np.float32(0.3)) & ~np.isnan(bond)
        assert np.array_equal(result["total"], said.sum(-1))
        assert np.array_equal(result["count"], (said & (bond == 1)).sum(-1))
    assert store.align("pair.bond").background.values.ravel()[0] == pytest.approx(np.nanmean(bond))


def test_properties_may_be_called_what_attention_and_sql_have(sample, tmp_path):
    store = attnstore.open(shutil.copytree(sample[0].path, tmp_path / "store"))
    names = ["weight", "layer", "head", "model", "contact", "distance", "separation", "order", "group", "table", "end"]
    flags = [True, False, True, False, False]
    frame = pd.DataFrame({"id": [f"p{n}" for n in range(5)], **dict.fromkeys(["plain", *names], flags)})
    store = store.annotate(frame, name="of proteins").annotate(frame.assign(pos=0), name="of residues")
    arcs = "FROM attention WHERE weight >= 0.3 AND layer = 1"
    for end in ("protein", "target"):
        plain = store.query(f"SELECT head, weight, protein, {end}.plain {arcs} ORDER BY ALL")
        for name in names:
            rows = store.query(f"SELECT head, weight, protein, {end}.{name} {arcs} ORDER BY ALL")
            assert rows.set_axis(plain.columns, axis=1).equals(plain), (end, name)
        assert np.array_equal(store.align(f"{end}.weight")["count"], store.align(f"{end}.plain")["count"])
    assert rows.columns[-1] == "end"
    twice = store.query(f"SELECT weight, protein.weight {arcs} ORDER BY ALL")
    assert list(twice.columns) == ["weight", "weight_1"]
    assert twice["weight_1"].dtype == "boolean"


def test_rows_and_groups_say_what_is_known_of_a_pair(sample):
    store, proteins, known = sample
    rows = store.query("SELECT protein, source, target, pair.bond, pair.coupling FROM attention "
                       "WHERE weight >= 0.3 AND layer = 0 AND head = 1")  # fmt: skip
    index = {protein.id: place for place, protein in enumerate(proteins)}
    assert len(rows) > 10
    for protein, source, target, bond, coupling in rows.itertuples(index=False):
        for prop, value in ((BOND, bond), (COUPLING, coupling)):
            truth = known[prop][index[protein]][source, target]
            assert pd.isna(value) if np.isnan(truth) else value == truth
    groups = store.query("SELECT pair.bond AS bond, count(*) AS n FROM attention WHERE weight >= 0.3 GROUP BY 1")
    weights, bond = flat(proteins, known[BOND])
    arcs = (weights >= np.float32(0.3)).sum((0, 1))
    counted = {None if pd.isna(value) else bool(value): n for value, n in groups.itertuples(index=False)}
    assert counted == {None: arcs[np.isnan(bond)].sum(), False: arcs[bond == 0].sum(), True: arcs[bond == 1].sum()}
