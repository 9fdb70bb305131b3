"""Every question ends: at its time limit, at Ctrl-C, and at the limits of memory and disk."""

import os
import signal
import threading
import time

import duckdb
import pytest

import attnstore
from attnstore.catalog.connection import Limits, open_in_memory, translated
from attnstore.errors import QueryError
from attnstore.runtime import time_limit
from tests.synthetic import random_proteins, write_store

#: DuckDB looks at no interruption while it compares two long texts: about a second for a few of them.
SLOW = "levenshtein(repeat({0}, 20000), repeat('A', 20000)) > 3"
ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT count(*) FROM r"
STATEMENTS = (
    ENDLESS,
    "SELECT count(*) FROM range(1000000000000)",
    "SELECT count(*) FROM range(100000) AS a, range(100000) AS b, range(100000) AS c WHERE a.range + b.range = c.range",
    f"SELECT count(*) FROM attention WHERE {SLOW.format('source.aa')}",
    f"SELECT count(*) FROM attention WHERE protein IN (SELECT id FROM proteins WHERE {SLOW.format('id')})",
    f"SELECT floor(weight * CAST({SLOW.format('chr(66)')} AS INTEGER)) AS x, count(*) FROM attention GROUP BY ALL",
    f"SELECT count(*) FROM (SELECT * FROM attention) WHERE {SLOW.format('protein')}",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("limits") / "store"
    write_store(path, random_proteins(5, [30, 1, 40, 25]), per_segment=2)
    return attnstore.open(path)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_ends_at_its_time_limit(store, sql):
    with pytest.raises(QueryError, match=r"not answered within 0\.2 s: .* timeout=2"):
        store.query(sql, timeout=0.2)


def test_other_questions_end_at_theirs(store, tmp_path):
    slow = SLOW.format("source.aa")
    questions = (
        lambda: store.align("contact", where=slow, timeout=0.2),
        lambda: store.explain(f"SELECT count(*) FROM attention WHERE {slow}", timeout=0.2),
        lambda: list(store.stream(ENDLESS, timeout=0.2)),
        lambda: store.contact_precision(select=1, timeout=1e-6),
        lambda: store.probe(SLOW.format("aa"), sources=["attention"], timeout=0.2),
        lambda: store.report(tmp_path / "report", timeout=1e-6),
        lambda: store.view("p0", layer=0, head=0, timeout=1e-6),
    )
    for ask in questions:
        with pytest.raises(QueryError, match="not answered within"):
            ask()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "soon", True])
def test_a_time_limit_is_a_number_of_seconds(store, seconds):
    with pytest.raises(QueryError, match="timeout="):
        store.query("SELECT 1", timeout=seconds)


def _press_at_work(before):
    """Press Ctrl-C once DuckDB has been at work on one thing for a while; before, a clean-up might swallow it."""
    since = {}
    while not any(time.monotonic() - begun > 0.2 for begun in since.values()):
        time.sleep(0.02)
        since = {each: since.get(each, time.monotonic()) for each in set(time_limit._busy) - before}
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    "sql", [STATEMENTS[0], STATEMENTS[3], "SELECT sum(weight) FROM (SELECT * FROM attention) GROUP BY source"]
)
def test_ctrl_c_is_answered_while_duckdb_is_at_work(store, monkeypatch, sql):
    if sql == STATEMENTS[0] or "levenshtein" in sql:
        threading.Thread(target=_press_at_work, args=(set(time_limit._busy),), daemon=True).start()
    else:
        # In a batch of our own, as DuckDB asks for it.
        monkeypatch.setattr(time_limit.TimeLimit, "check", lambda self: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        store.query(sql)
    # The next question is answered.
    monkeypatch.undo()
    assert store.query("SELECT count(*) AS n FROM attention")["n"][0] == store.model().entries


def test_ctrl_c_does_not_wait_for_an_export(store, tmp_path, monkeypatch):
    from attnstore import export

    write = export._write

    def slow(connection, out, names, form):
        connection.execute(f"CREATE VIEW slow AS SELECT {SLOW.format('chr(range::INTEGER)')} FROM range(66, 67)")
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        write(connection, out, ["slow", *names], form)

    monkeypatch.setattr(export, "_write", slow)
    monkeypatch.setattr(time_limit, "_PATIENCE", 0.01)
    before = set(time_limit._busy)
    with pytest.raises(KeyboardInterrupt):
        store.export(tmp_path / "out", format="parquet")
    assert set(time_limit._busy) > before  # DuckDB looks at no interruption in there: nobody has waited for it
    assert list(tmp_path.iterdir()) == []
    end = time.monotonic() + 60
    while set(time_limit._busy) > before and time.monotonic() < end:  # a process must not end under it
        time.sleep(0.05)


def test_a_connection_whose_thread_could_not_start_is_not_left_behind(monkeypatch):
    def none(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    with time_limit.closing(open_in_memory()) as connection:
        with pytest.raises(RuntimeError, match="new thread"):
            time_limit.run(connection, lambda: connection.execute("SELECT 1"))
        assert not time_limit.is_left_behind(connection)


def test_limits_of_memory_and_disk_are_kept_and_named(store):
    table = "SELECT sum(n) FROM (SELECT count(*) AS n FROM range(20000000) GROUP BY md5(range::VARCHAR))"
    with pytest.raises(QueryError, match=r"more than 0\.0\d+ GB of memory: .* memory_limit="):
        store.query(table, memory_limit="70MB", disk_limit=0)
    with pytest.raises(QueryError, match=r"of temporary files: .* disk_limit=|of memory: .* memory_limit="):
        store.query(table, memory_limit="70MB", disk_limit="5MB")


def test_a_limit_within_a_limit_is_the_shorter(store):
    with time_limit.time_limit(0.2), pytest.raises(QueryError, match=r"within 0\.2 s"):
        store.query(ENDLESS, timeout=60)


def test_connections_have_limits_set_on_purpose():
    with time_limit.closing(open_in_memory(Limits(10**8, 10**7))) as connection:
        settings = ("memory_limit", "max_temp_directory_size", "threads")
        found = [connection.execute(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in settings]
        assert found[:2] == ["95.3 MiB", "9.5 MiB"]
        folder = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
        assert "attnstore-" in folder
    with time_limit.closing(open_in_memory(Limits(10**8, 0))) as connection:
        assert connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0] == ""


def test_an_error_of_duckdb_that_is_of_no_limit_keeps_its_first_line():
    connection = open_in_memory(Limits(10**8, 0))
    with time_limit.closing(connection), pytest.raises(duckdb.CatalogException, match="nothing") as caught:
        connection.execute("SELECT * FROM nothing")
    assert "\n" not in str(translated(caught.value))
