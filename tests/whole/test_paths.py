"""Paths as people name them: the home folder, and names that DuckDB, Arrow and glob read as patterns."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.cli import cli
from attnstore.errors import AttnstoreError
from attnstore.ingest import ingest, ingest_proteins
from attnstore.integrity import verify
from attnstore.queries.figure import save_figure
from attnstore.runtime.paths import CACHE_VARIABLE, cache_directory, database_path, user_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, and another one to work in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "home"
    assert not [name for name in os.listdir(tmp_path / "work") if "~" in name]


def command(*arguments):
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, (done.output, done.exception)


def test_a_tilde_is_the_home_folder_wherever_a_path_is_given(home, store_copy, tiny_esm, monkeypatch):
    (home / "a.fa").write_text(">p\nACDEFGHIKL\n")
    (home / "t.csv").write_text("id,x\np,1\n")
    shutil.copytree(store_copy, home / "s.attn")
    shutil.copytree(tiny_esm, home / "model")
    ingest("~/new.attn", ["~/a.fa"], model="~/model")
    assert attnstore.open("~/new.attn").model().document.source == str(home / "model")
    ingest_proteins("~/proteins.attn", ["~/a.fa"])
    annotate("~/proteins.attn", ["~/t.csv"])
    store = attnstore.open(Path("~/s.attn"))
    assert verify(Path("~/s.attn")) == []
    store.export("~/x.duckdb")
    store.export("~/x", "parquet")
    align = store.align("contact", threshold=0.05, min_arcs=0)
    save_figure(align.plot(), "~/f.svg")
    store.query("SELECT layer, head, count(*) AS n FROM attention WHERE weight >= 0.3 GROUP BY ALL").save("~/q.parquet")
    store.view(next(iter(store.model().places)), layer=0, head=0).save("~/v.html")
    command("sql", "~/s.attn", "SELECT 1", "-o", "~/o.csv", "--format", "csv")
    command("query", "~/s.attn", "SELECT count(*) AS n FROM attention", "-o", "~/o2.csv", "--format", "csv")
    command("verify", "~/s.attn")
    command("ingest", "~/cli.attn", "~/a.fa")
    made = {"new.attn", "proteins.attn", "x.duckdb", "x", "f.svg", "q.parquet", "v.html", "o.csv", "o2.csv", "cli.attn"}
    assert made <= {*os.listdir(home)}
    monkeypatch.setenv(CACHE_VARIABLE, "~/cache")
    assert cache_directory() == home / "cache"


def test_a_file_whose_name_begins_with_a_tilde_is_reached_from_its_folder(home):
    Path("~x.fa").write_text(">p\nACD\n")
    assert user_path("./~x.fa").exists()
    assert ingest_proteins("s.attn", ["./~x.fa"]).proteins == 1
    Path("~x.fa").unlink()


FOLDERS = ("a b#%20c[d]{e,f}", 'it\'s "q"; & $x\n[!y] 日本', "sqlite:x")


@pytest.mark.parametrize("folder", FOLDERS)
def test_stores_and_files_may_have_names_that_are_patterns_elsewhere(tmp_path, store_copy, folder, monkeypatch):
    # What a pattern would match instead.
    for other in ("a b#%20cd{e,f}", "a b#%20cde", "x"):
        (tmp_path / other).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    place = Path(folder)
    place.mkdir()
    arcs = "SELECT count(*), sum(weight) FROM arcs"
    expected = attnstore.open(store_copy).sql(arcs).fetchall()
    ((name,),) = attnstore.open(store_copy).sql("SELECT id FROM proteins LIMIT 1").fetchall()
    shutil.copytree(store_copy, place / "s.attn")
    pd.DataFrame({"id": [name], "x": [1]}).to_parquet(place / "t.parquet")
    annotate(place / "s.attn", [place / "t.parquet"])
    store = attnstore.open(place / "s.attn")
    assert store.sql(arcs).fetchall() == expected
    store.export(place / "x.duckdb", arcs=True)
    store.export(place / "x", "parquet", arcs=True)
    store.query("SELECT layer, head, count(*) AS n FROM attention GROUP BY ALL").save(place / "q.zarr")
    assert verify(place / "s.attn") == []
    assert {*os.listdir(place)} == {"s.attn", "t.parquet", "x.duckdb", "x", "q.zarr"}


@pytest.mark.parametrize("folder", ["a?b*", "a\\b"])
def test_paths_that_duckdb_reads_otherwise_are_refused_for_stores_alone(tmp_path, store_copy, folder):
    place = tmp_path / folder
    place.mkdir()
    (place / "a.fa").write_text(">p\nACDEF\n")
    (place / "t.csv").write_text("id,x\np,1\n")
    ingest_proteins(tmp_path / "s.attn", [place / "a.fa"])
    annotate(tmp_path / "s.attn", [place / "t.csv"])
    attnstore.open(tmp_path / "s.attn").export(place / "x", "parquet")
    for attempt in (
        lambda: ingest_proteins(place / "s.attn", [place / "a.fa"]),
        lambda: attnstore.open(shutil.copytree(store_copy, place / "c.attn")),
        lambda: attnstore.open(store_copy).export(place / "x.duckdb"),
        lambda: annotate(place / "c.attn", [place / "t.csv"]),
    ):
        with pytest.raises(AttnstoreError, match=r"opened by DuckDB, which takes the .* in its path for a pattern"):
            attempt()
    assert {*os.listdir(place)} == {"a.fa", "t.csv", "x", "c.attn"}


@pytest.mark.parametrize("path", ["a\0b", 5, None])
def test_what_is_no_path_is_refused(path):
    for make in (user_path, database_path, attnstore.open):
        with pytest.raises(AttnstoreError, match="no path"):
            make(path)
