"""Rows of attention: LIMIT stops the reading, ORDER BY … LIMIT keeps the first, and both say what brute force says."""

import functools
import gc
import subprocess
import sys
import time

import pytest

import attnstore
from attnstore.catalog import connection as duckdb_connection
from attnstore.errors import QueryError, StoreError
from attnstore.format.segment import Segment
from attnstore.queries import forecasts
from attnstore.queries.engine import pair_rows as row_tasks
from attnstore.queries.engine import top_rows as tops
from tests.synthetic import random_proteins, write_store

from .brute_force import FROM, random_sample

#: How rows that tie follow one another.
TIES = "attention.model, attention.layer, attention.head, protein.protein_index, attention.source, attention.target"
COLUMNS = "model, protein.id AS protein, layer, head, attention.source AS source, attention.target AS target"
ASKED = COLUMNS.replace("protein.id AS protein", "protein").replace("attention.", "")
ORDERS = (
    "weight DESC",
    "weight",
    "weight DESC, source.aa",
    "source.score NULLS FIRST, weight DESC",
    "target.ss8 DESC, layer",
    "contact, distance DESC NULLS LAST",
    "head DESC, 5, target.binding DESC NULLS FIRST",
    "separation DESC, protein.resolution",
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return functools.cache(lambda seed: random_sample(folder / str(seed), seed))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "store"
    write_store(path, random_proteins(5, [30, 1, 40, 25, 35, 2]), per_segment=2)
    return attnstore.open(path)


def _listed(table):
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_the_first_rows_of_arcs_are_those_of_brute_force(samples, seed, order):
    sample = samples(seed)
    where = "weight >= 0.05 AND attention.source <> attention.target"
    tails = ("LIMIT 7", "LIMIT 1000000", "LIMIT 0") if order == "weight DESC" else ("LIMIT 5 OFFSET 20",)
    for tail in tails:
        expected = sample.answer(f"SELECT {COLUMNS}, weight FROM {FROM} WHERE {where} ORDER BY {order}, {TIES} {tail}")
        asked = where.replace("attention.", "")
        found = sample.store.query(f"SELECT {ASKED}, weight FROM attention WHERE {asked} ORDER BY {order} {tail}")
        assert _listed(found.to_arrow()) == _listed(expected)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_the_first_rows_of_codes_are_those_of_all_rows_in_order(samples, seed, order):
    sample = samples(seed)
    sql = (
        "SELECT model, protein, layer, head, source, target, protein.protein_index AS place, weight, source.aa AS aa, "
        "source.score AS score, target.ss8 AS ss8, contact, distance, target.binding AS binding, separation, "
        "protein.resolution AS resolution FROM attention WHERE separation < 9"
    )
    rows = sample.store.query(sql, tier="codes").to_arrow()
    by = order.replace("source.", "").replace("target.", "").replace("protein.", "")
    sample.connection.register("all_rows", rows)
    tie = "model, layer, head, place, source, target"
    tail = "LIMIT 6 OFFSET 30"
    expected = sample.answer(f"SELECT * FROM all_rows ORDER BY {by}, {tie} {tail}")
    found = sample.store.query(f"{sql} ORDER BY {order} {tail}", tier="codes")
    assert _listed(found.to_arrow()) == _listed(expected)
    sample.connection.unregister("all_rows")


@pytest.mark.parametrize("seed", [0, 2])
def test_the_largest_weights_are_exact_without_a_condition_on_them(samples, seed):
    sample = samples(seed)
    expected = sample.answer(f"SELECT {COLUMNS}, weight FROM {FROM} ORDER BY weight DESC, {TIES} LIMIT 9")
    found = sample.store.query(f"SELECT {ASKED}, weight FROM attention ORDER BY weight DESC LIMIT 9")
    assert _listed(found.to_arrow()) == _listed(expected)
    assert found.attrs["approximate"] == []
    # Where arcs do not hold so many, all are found, within bounds.
    everything = sample.store.query(f"SELECT {ASKED}, weight FROM attention ORDER BY weight DESC LIMIT 900000")
    assert len(everything) == sample.connection.sql("SELECT count(*) FROM entries").fetchall()[0][0]
    assert list(everything.columns[-2:]) == ["weight_min", "weight_max"]


@pytest.mark.parametrize("tier", ["arcs", "codes"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT protein, layer, source, target FROM attention {where} LIMIT 5 OFFSET 11",
        "SELECT * FROM (SELECT protein, source, target, layer FROM attention {where}) LIMIT 4",
        (
            "WITH a AS (SELECT protein, layer, head, source, target FROM attention {where}) "
            "SELECT a.*, p.length FROM a JOIN proteins AS p ON p.id = a.protein LIMIT 3"
        ),
        (
            "SELECT p.length, a.source FROM (SELECT * FROM attention {where}) AS a, proteins AS p "
            "WHERE p.id = a.protein LIMIT 3"
        ),
        (
            "SELECT layer, source FROM (SELECT * FROM attention {where}) WHERE layer < 9 AND layer IN "
            "(SELECT layer FROM heads) LIMIT 6"
        ),
        "SELECT EXISTS (SELECT * FROM attention {where}) AS there",
        "SELECT count(*) AS n FROM (SELECT * FROM attention {where} LIMIT 10)",
        "SELECT (SELECT source FROM attention {where} LIMIT 1) AS first",
    ],
)
def test_limit_stops_the_reading(store, monkeypatch, sql, tier):
    read = []
    batches = row_tasks.rows

    def counted(*args):
        for batch in batches(*args):
            read.append(len(batch["layer"]))
            yield batch

    monkeypatch.setattr(row_tasks, "rows", counted)
    where = "WHERE weight >= 0.05" if tier == "arcs" else ""
    found = store.query(sql.format(where=where), tier=tier)
    assert len(found) in (1, 3, 4, 5, 6)
    total = store.query(f"SELECT count(*) AS n FROM attention {where}", tier=tier)["n"][0]
    assert 0 < sum(read) <= 3 * row_tasks._FIRST
    assert sum(read) < total


def test_rows_of_one_protein_are_read_from_its_part_alone(store, monkeypatch):
    asked = []
    chunks = Segment.chunks

    def noted(self, layer, head, begin=0, end=None):
        asked.append((begin, end))
        return chunks(self, layer, head, begin, end)

    monkeypatch.setattr(Segment, "chunks", noted)
    segment, local = store.model().locate("p5")
    length = int(segment.proteins.stored[local])
    found = store.query("SELECT layer, head, source, target FROM attention WHERE protein = 'p5'")
    model = store.model().document
    assert len(found) == model.layers * model.heads * length**2
    assert set(asked) == {tuple(segment.proteins.pair_offset[local : local + 2].tolist())}


def test_a_block_that_is_named_twice_is_read_twice(store):
    found = store.query(
        "WITH a AS (SELECT protein, layer, head, source, target, weight FROM attention WHERE weight >= 0.4) "
        "SELECT count(*) AS n FROM a AS x JOIN a AS y USING (protein, layer, head, source, target)"
    )
    assert found["n"][0] == store.query("SELECT count(*) AS n FROM attention WHERE weight >= 0.4")["n"][0] > 0


def test_a_stream_that_is_dropped_reads_no_further_and_closes_its_connection(store, monkeypatch):
    read = []
    batches = row_tasks.rows

    def endless(*args):
        first = next(batches(*args))
        while True:
            read.append(len(first["layer"]))
            yield first

    monkeypatch.setattr(row_tasks, "rows", endless)
    reader = store.stream("SELECT * FROM attention")
    still_open = len(duckdb_connection._open)
    assert next(reader).num_rows > 0
    del reader
    gc.collect()
    begun = len(read)
    time.sleep(0.3)
    assert len(read) == begun
    assert len(duckdb_connection._open) < still_open


def test_a_stream_that_fails_between_two_batches_says_why(store, monkeypatch):
    batches = row_tasks.rows
    read = []

    def failing(*args):
        for batch in batches(*args):
            read.append(batch)
            if len(read) > 3:
                raise StoreError("the chunk is damaged")
            yield batch

    with pytest.raises(QueryError, match=r"out of range|can't be cast"):
        list(store.stream("SELECT (n + 250)::UTINYINT AS x FROM (SELECT row_number() OVER () AS n FROM attention)"))
    monkeypatch.setattr(row_tasks, "rows", failing)
    with pytest.raises(StoreError, match=r"^the chunk is damaged\.?$"):
        list(store.stream("SELECT * FROM attention"))


def test_rows_that_do_not_fit_are_refused_beforehand_with_what_to_type(store):
    everything = "SELECT * FROM attention"
    with pytest.raises(QueryError, match=r"rows of attention, about .* LIMIT .* memory_limit='1GB'"):
        store.query(everything, memory_limit="300kB")
    assert len(store.query(f"{everything} LIMIT 3", memory_limit="300kB")) == 3
    assert sum(batch.num_rows for batch in store.stream(everything, memory_limit="300kB")) > 10_000
    # What does not stop the reading before the rows are too many is no way round it.
    for limit in ("OFFSET 3", "LIMIT ALL", "LIMIT 10000000", "LIMIT NULL OFFSET 2"):
        with pytest.raises(QueryError, match=r"rows of attention, about .* LIMIT .* memory_limit='1GB'"):
            store.query(f"{everything} {limit}", memory_limit="300kB")
    assert len(store.query(f"{everything} LIMIT 3 OFFSET 40", memory_limit="300kB")) == 3
    ranked = f"SELECT weight AS w, row_number() OVER (ORDER BY weight) AS r FROM ({everything})"
    held = f"SELECT sum(w * r) AS s FROM ({ranked})"
    with pytest.raises(QueryError, match=r"rows of attention, .* disk_limit='1GB'"):
        store.query(held, memory_limit="100kB", disk_limit="100kB")
    assert store.query(held)["s"][0] > 0


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT source, target, weight FROM attention", None),
        ("SELECT source, weight FROM attention WHERE weight >= 0.1", None),
        ("SELECT source, weight FROM attention WHERE separation >= 3", None),
        ("SELECT source, weight FROM (SELECT * FROM attention) LIMIT 17", 17),
        ("SELECT source, weight FROM attention ORDER BY weight DESC LIMIT 8", 8),
    ],
)
def test_explain_foretells_the_rows(store, monkeypatch, sql, rows):
    told = []
    measured = forecasts.forecast_block

    def noted(*args):
        told.append(measured(*args))
        return told[-1]

    monkeypatch.setattr("attnstore.queries.forecasts.forecast_block", noted)
    last = store.explain(sql).splitlines()[-1]
    assert last.startswith("in total: about ")
    found = store.query(sql)
    assert len(found) == (rows or len(found))
    if rows is None:
        assert len(found) / 1.5 <= told[0].rows <= len(found) * 1.5
        assert found.to_arrow().nbytes / 2 <= told[0].size <= found.to_arrow().nbytes * 2
    else:
        assert f" {rows} rows" in last


def test_the_first_of_many_batches_are_those_of_all_at_once(store, monkeypatch):
    """However rows come in batches, and however seldom they are put in order."""
    sql = "SELECT protein, layer, head, source, target, weight FROM attention ORDER BY separation, weight DESC LIMIT 50"
    expected = _listed(store.query(sql).to_arrow())
    monkeypatch.setattr(row_tasks, "_FIRST", 7)
    monkeypatch.setattr(row_tasks, "_LARGEST", 13)
    monkeypatch.setattr(tops, "_SLACK", 30)
    assert _listed(store.query(sql).to_arrow()) == expected


@pytest.mark.parametrize("begun", ["", "; rows.read_next_batch()"])
def test_a_stream_that_is_left_open_ends_without_a_word(store, begun):
    script = f"import attnstore, sys; rows = attnstore.open(sys.argv[1]).stream('SELECT * FROM attention'){begun}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
