"""DuckDB over a store: what it sees, and that it sees nothing else."""

import hashlib

import numpy as np
import pytest

import attnstore
from attnstore.errors import QueryError
from tests.synthetic import random_proteins, write_model, write_store

HOSTILE = [
    "COPY (SELECT 1) TO '{out}'",
    "COPY arcs TO '{out}' (FORMAT parquet)",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}' AS x",
    "PRAGMA database_list",
    "SET memory_limit = '1GB'",
    "CREATE TABLE t AS SELECT 1",
    "INSERT INTO proteins SELECT * FROM proteins",
    "DELETE FROM catalog.proteins",
    "DROP VIEW proteins",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW arcs",
    "",
    "-- nothing",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM parquet_scan('{secret}')",
    "SELECT * FROM secret_frame",
    "SELECT * FROM nothing",
    "SELECT nothing FROM proteins",
    "SELEC 1",
]


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(3, [12, 20, 7, 31])


@pytest.fixture(scope="module")
def path(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("sql") / "it's a store"
    write_store(path, proteins)
    write_model(path, proteins[:2], name="second")
    return path


def digests(path):
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("statement", HOSTILE)
def test_anything_but_one_select_over_the_store_is_refused_and_changes_nothing(path, tmp_path, statement):
    import pandas as pd

    secret_frame = pd.DataFrame({"a": [1]})  # noqa: F841 - DuckDB would find it by name in the caller's frame
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    before = digests(path)
    with pytest.raises(QueryError) as caught:
        attnstore.open(path).sql(statement.format(out=tmp_path / "out", secret=secret))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert digests(path) == before


def test_arcs_are_those_of_the_matrices_under_their_proteins_names(path, proteins):
    rows = attnstore.open(path).sql(
        "SELECT protein, layer, head, source, target, weight FROM arcs WHERE model = 'random'"
    )
    found = {row[:5]: row[5] for row in rows.fetchall()}
    expected = {
        (protein.id, *map(int, at)): float(protein.weights[tuple(at)])
        for protein in proteins
        for at in np.argwhere(protein.weights >= np.float32(0.05))
    }
    assert found == expected


def test_heads_sum_up_every_weight(path, proteins):
    frame = attnstore.open(path).sql("SELECT * FROM heads WHERE model = 'random' ORDER BY layer, head").df()
    weights = [protein.weights for protein in proteins]
    np.testing.assert_array_equal(frame["entries"], sum(w[0, 0].size for w in weights))
    for column, theta in (("arcs_0_05", 0.05), ("arcs_0_3", 0.3)):
        np.testing.assert_array_equal(
            frame[column], sum((w >= np.float32(theta)).sum((-1, -2)) for w in weights).ravel()
        )
    mean = sum(w.sum((-1, -2), dtype=float) for w in weights) / sum(w[0, 0].size for w in weights)
    np.testing.assert_allclose(frame["mean_weight"], mean.ravel(), rtol=1e-6)
    special = sum((p.attention[:, :, 1:-1, [0, -1]]).sum((-1, -2), dtype=float) for p in proteins)
    np.testing.assert_allclose(frame["special"], (special / sum(p.stored for p in proteins)).ravel(), rtol=1e-5)


def test_tables_join_by_protein_and_position(path, proteins):
    statement = """
        SELECT count(*) FROM arcs JOIN residues r ON r.protein = arcs.protein AND r.pos = arcs.target
        WHERE model = 'random' AND r.aa = 'C'"""
    expected = sum((p.weights >= np.float32(0.05))[..., np.array(list(p.sequence)) == "C"].sum() for p in proteins)
    assert attnstore.open(path).sql(statement).fetchall() == [(expected,)]


@pytest.mark.parametrize("join", ["JOIN arcs a USING (protein)", "NATURAL JOIN arcs"])
def test_tables_made_as_they_are_named_join_by_shared_columns(path, join):
    store = attnstore.open(path)
    shared = store.sql(f"SELECT count(*) FROM (SELECT id AS protein FROM proteins) p {join}").fetchall()
    assert shared == store.sql("SELECT count(*) FROM arcs").fetchall() != [(0,)]


def test_models_are_listed_and_a_store_of_none_has_empty_tables(path, tmp_path):
    assert attnstore.open(path).sql("SELECT model, proteins FROM models ORDER BY 1").fetchall() == [
        ("random", 4), ("second", 2),
    ]  # fmt: skip
    from attnstore.catalog.writer import CatalogWriter
    from attnstore.format.documents import StoreDocument

    StoreDocument().write(tmp_path)
    with CatalogWriter(tmp_path) as catalog:
        catalog.add("a", "ACD", "f", None)
        catalog.publish()
    empty = attnstore.open(tmp_path)
    for table in ("arcs", "heads", "models", "skipped"):
        assert empty.sql(f"SELECT * FROM {table}").fetchall() == []
