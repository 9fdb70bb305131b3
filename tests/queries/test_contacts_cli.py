"""``attnstore contacts``: what Python says, in every format."""

import io
import json

import numpy as np
import pandas as pd
import pytest

import attnstore
from attnstore import cli


@pytest.fixture
def run(capfdbinary):
    def command(*arguments, status=0):
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(["contacts", *map(str, arguments)])
        printed = capfdbinary.readouterr()
        assert stop.value.code == status
        assert (printed.err == b"") == (status == 0)
        return printed.out if status == 0 else printed.err.decode()

    return command


READERS = {
    "csv": lambda content: pd.read_csv(io.BytesIO(content)),
    "json": lambda content: pd.DataFrame(json.loads(content)),
    "parquet": lambda content: pd.read_parquet(io.BytesIO(content)),
}
#: Options of the command, and the same in Python.
ASKED = [
    (["--select", 2], {"select": 2}),
    (["--select", 2, "--seed", 3, "-k", 2, "--rank-range", "short"], {"select": 2, "seed": 3, "k": 2,
                                                                      "rank_range": "short"}),
    (["--method", "head", "--layer", 1, "--head", 2, "--no-apc"], {"method": "head", "layer": 1, "head": 2,
                                                                   "apc": False}),
    (["--method", "logistic", "--c", 50, "--select", "length > 20", "--atom", "ca"],
     {"method": "logistic", "c": 50.0, "select": "length > 20", "atom": "ca"}),
    (["--cluster-by", "length", "--select", 2, "--rank-top", "L/5", "--model", "tiny_esm", "--level",
      0.8, "--replicates", 0],
     {"cluster_by": "length", "select": 2, "rank_top": "L/5", "model": "tiny_esm", "level": 0.8,
      "replicates": 0}),
]  # fmt: skip


def assert_same(found, expected):
    assert list(found.columns) == list(expected.columns)
    for column in expected:
        if expected[column].dtype.kind in "iufb":
            one, other = (frame[column].to_numpy(float, na_value=np.nan) for frame in (found, expected))
            np.testing.assert_allclose(one, other, rtol=1e-12, err_msg=column)
        else:
            assert found[column].tolist() == expected[column].tolist()


@pytest.mark.parametrize(("arguments", "options"), ASKED)
def test_precision_is_pythons(small_store, run, arguments, options):
    expected = attnstore.open(small_store).contact_precision(**options).to_table()
    for form, read in READERS.items():
        assert_same(read(run(small_store, *arguments, "--format", form)), expected)
    text = run(small_store, *arguments).decode()
    for value in expected["precision"]:
        assert (f"{value:.1%}" if value == value else "–") in text


def test_the_contacts_of_a_protein_are_pythons(small_store, run, tmp_path):
    options = {"method": "head", "layer": 1, "head": 2}
    arguments = [small_store, "1CCC_A", "--method", "head", "--layer", 1, "--head", 2]
    found = attnstore.open(small_store).contacts("1CCC_A", **options)
    assert len(found.to_table()) == 40
    for form, read in READERS.items():
        table = read(run(*arguments, "--format", form))
        # cgdms chains have no author numbers: a column of nothing has no type of its own.
        empty = ["i_number", "j_number"]
        assert table[empty].isna().all(axis=None)
        assert_same(table.drop(columns=empty), found.to_table().drop(columns=empty))
    text = run(*arguments, "--top", 3, "-o", tmp_path / "table.txt")
    assert text == b""
    lines = (tmp_path / "table.txt").read_text().splitlines()
    assert lines[0].startswith("1CCC_A: the 3 best-scored pairs six or more apart; ")
    assert len(lines) == 4 + 2 + 3
    best = found.to_table(1).iloc[0]
    assert lines[6].split()[:4] == [str(best["i"]), str(best["j"]), best["i_aa"], best["j_aa"]]


def test_all_heads_are_listed_where_none_is_given(small_store, run):
    expected = attnstore.open(small_store).contact_precision(method="head", select=2)
    arguments = [small_store, "--method", "head", "--select", 2]
    for form, read in READERS.items():
        assert_same(read(run(*arguments, "--format", form)), expected.heads)
    text = run(*arguments, "--top", 4).decode()
    assert "Heads by P@L, separation ≥ 6, 4 of 12" in text
    assert f"head {expected.attrs['heads']} (layer-head, from 0)" in text


def test_wrong_usage_is_refused(small_store, run):
    assert "--level applies to" in run(small_store, "1CCC_A", "--level", 0.9, status=2)
    assert "--replicates applies to" in run(small_store, "1CCC_A", "--replicates", 9, status=2)
    assert "--top limits a list" in run(small_store, "--top", 3, status=2)
    assert "'--method'" in run(small_store, "--method", "best", status=2)
    assert run(small_store, "nobody", status=1) == (
        f"error: model tiny_esm holds no protein 'nobody': `attnstore sql {small_store} 'SELECT id FROM proteins'` "
        "lists them.\n"
    )
    assert "cannot be reached" in run(small_store, "--select", 2, "--scheduler", "nowhere://here", status=1)
