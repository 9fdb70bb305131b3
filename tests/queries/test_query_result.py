"""What a query comes back as, on disk too, from a cluster, and streamed."""

import hashlib
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

import attnstore
from attnstore.errors import QueryError
from tests.synthetic import random_proteins, write_store

BY_HEAD = (
    "SELECT layer, head, avg(contact) AS contacts, count(*) AS arcs, min(target.author_number) AS least FROM attention "
    "WHERE weight >= 0.1 GROUP BY ALL ORDER BY ALL"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("query") / "store"
    write_store(path, random_proteins(3, [17, 30, 9, 25, 41, 1], truncate=35))
    return path


@pytest.fixture(scope="module")
def store(path):
    return attnstore.open(path)


def test_numbers_are_typed_and_null_is_null(store):
    frame = store.query(
        "SELECT layer, count(*) AS n, sum(contact) AS s, avg(distance) AS d, "
        "avg(contact) FILTER (WHERE FALSE) AS none, "
        "min(weight) AS low, any_value(target.insertion_code) FILTER (WHERE FALSE) AS text FROM attention "
        "WHERE weight >= 0.3 GROUP BY layer ORDER BY layer"
    )
    assert isinstance(frame, pd.DataFrame)
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds == {
        "layer": "Int32", "n": "Int64", "s": "Int64", "d": "Float64", "none": "Float64", "low": "Float32",
        "text": "str",
    }  # fmt: skip
    assert frame["none"].isna().all()
    types = {field.name: str(field.type) for field in frame.to_arrow().schema}
    assert types["n"] == "int64"
    assert types["low"] == "float"
    assert frame.to_arrow()["none"].null_count == len(frame)


def test_what_was_asked_stays_with_the_answer(store, tmp_path):
    frame = store.query(BY_HEAD)
    assert frame.attrs["sql"] == BY_HEAD
    assert "arcs" in frame.attrs["plan"]
    assert frame.plan == store.explain(BY_HEAD).rsplit("\n", 2)[0]
    (model,) = frame.attrs["models"].values()
    listed = "".join(f"{entry.id} {entry.sha256}\n" for entry in store.model().manifest.segments)
    assert model["segments_sha256"] == hashlib.sha256(listed.encode()).hexdigest()
    assert frame.attrs["catalog_sha256"] == store.document.catalog_sha256
    frame.save(tmp_path / "f.parquet")
    read = pq.read_table(tmp_path / "f.parquet")
    assert json.loads(read.schema.metadata[b"attnstore"]) == frame.attrs
    assert read.equals(frame.to_arrow())
    for name in ("f.nc", "f.zarr"):
        frame.save(tmp_path / name)
        dataset = xr.open_dataset(tmp_path / name, engine="scipy") if name == "f.nc" else xr.open_zarr(
            tmp_path / name, consolidated=False
        )  # fmt: skip
        assert dataset.attrs["sql"] == BY_HEAD
        assert json.loads(dataset.attrs["models"]) == frame.attrs["models"]
        xr.testing.assert_allclose(dataset.load(), frame.to_xarray())
    with pytest.raises(QueryError, match=r"end in \.parquet, \.nc or \.zarr"):
        frame.save(tmp_path / "f.csv")


def test_a_row_a_head_becomes_a_dataset(store):
    frame = store.query(BY_HEAD)
    dataset = frame.to_xarray()
    assert dict(dataset.sizes) == {"layer": 2, "head": 3}
    for row in frame.itertuples():
        assert int(dataset["arcs"].sel(layer=row.layer, head=row.head)) == row.arcs
    with pytest.raises(QueryError, match="columns layer and head"):
        store.query("SELECT count(*) FROM attention").to_xarray()
    with pytest.raises(QueryError, match="one row a head"):
        store.query("SELECT layer, head, contact, count(*) FROM attention GROUP BY ALL").to_xarray()


def test_what_is_cut_out_of_a_result_is_a_plain_frame(store):
    frame = store.query(BY_HEAD)
    assert type(frame[["layer", "arcs"]]) is pd.DataFrame
    assert type(frame.head(2)) is pd.DataFrame
    assert type(frame.df()) is pd.DataFrame


def test_rows_are_streamed_and_no_more_are_found_than_are_read(store, monkeypatch):
    from attnstore.format.segment import Segment

    whole = store.query("SELECT * FROM attention WHERE weight >= 0.05 ORDER BY ALL")
    batches = store.stream("SELECT * FROM attention WHERE weight >= 0.05")
    assert json.loads(batches.schema.metadata[b"attnstore"])["sql"].startswith("SELECT *")
    streamed = pa.Table.from_batches(list(batches)).to_pandas()
    columns = list(streamed.columns)
    pd.testing.assert_frame_equal(
        streamed.sort_values(columns, ignore_index=True), whole.df().astype(streamed.dtypes.to_dict())
    )
    opened = []
    original = Segment.arc_groups

    def counted(self, *arguments, **options):
        opened.append(self.directory.name)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Segment, "arc_groups", counted)
    assert sum(len(batch) for batch in store.stream("SELECT * FROM attention WHERE weight >= 0.05 LIMIT 2")) == 2
    assert len(set(opened)) < len(store.model().segments)


def test_a_cluster_gives_the_same_numbers(store):
    distributed = pytest.importorskip("distributed")
    statements = [
        BY_HEAD,
        "SELECT layer, source.aa, sum(weight), avg(distance) FROM attention GROUP BY ALL ORDER BY ALL",
        "SELECT protein, head, weighted_avg(target.aa = 'C') AS c FROM attention GROUP BY ALL ORDER BY ALL",
    ]
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        for statement in statements:
            here = store.query(statement).to_arrow()
            for scheduler in (client, cluster.scheduler_address):
                assert store.query(statement, scheduler=scheduler).to_arrow().equals(here)
    with pytest.raises(QueryError, match="cannot be reached"):
        store.query(BY_HEAD, scheduler="tcp://127.0.0.1:1")


def test_more_than_the_memory_holds_is_refused_before_anything_is_read(store, monkeypatch):
    from attnstore.queries.engine import count

    monkeypatch.setattr(count, "run", lambda *_: pytest.fail("it was started"))
    with pytest.raises(QueryError, match=r"may need .* GB .* limit is .* memory_limit"):
        store.query("SELECT protein, source, target, count(*) FROM attention GROUP BY ALL", memory_limit="1kB")
    with pytest.raises(QueryError, match="'much' is not a size"):
        store.query("SELECT count(*) FROM attention", memory_limit="much")


def test_one_pass_answers_every_threshold_of_a_statement(store):
    edges = [0.3, 0.1, 0.02, 0.001]
    listed = ", ".join(f"count(*) FILTER (WHERE weight >= {edge})" for edge in edges)
    frame = store.query(f"SELECT layer, head, {listed} FROM attention GROUP BY ALL ORDER BY ALL")
    for column, edge in zip(frame.columns[2:], edges, strict=True):
        single = store.query(f"SELECT layer, head, count(*) FROM attention WHERE weight >= {edge} GROUP BY ALL")
        expected = single.set_index(["layer", "head"]).iloc[:, 0]
        found = frame.set_index(["layer", "head"])[column]
        np.testing.assert_array_equal(found[expected.index].astype(int), expected.astype(int))
