"""Every command and option: results on stdout in the format asked for, nothing else there, equal to Python's."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import attnstore
from attnstore import cli

from ..models import CHAINS, HEADS, LAYERS

Run = Callable[..., bytes]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command line, which must succeed without a word on stderr; returns stdout."""

    def command(*arguments: object) -> bytes:
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(list(map(str, arguments)))
        printed = capfdbinary.readouterr()
        assert stop.value.code == 0
        assert printed.err == b""
        return printed.out

    return command


def parsed(content: bytes, form: str) -> pd.DataFrame:
    if form == "csv":
        return pd.read_csv(io.BytesIO(content))
    if form == "parquet":
        return pd.read_parquet(io.BytesIO(content))
    return pd.DataFrame(json.loads(content))


def assert_tables_agree(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(found.columns) == list(expected.columns)
    assert len(found) == len(expected)
    for column in expected.columns:
        one, other = found[column].to_numpy(), expected[column].to_numpy()
        if expected[column].dtype.kind in "iufb":
            rtol = 1e-7 if expected[column].dtype == np.float32 else 1e-12  # CSV has as many digits as it takes
            np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=rtol, err_msg=column)
        else:
            assert one.tolist() == other.tolist(), column


#: Options of the command, and the same in Python.
QUESTIONS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--where", "separation >= 6"], {"where": "separation >= 6"}),
    (["--threshold", "0.1"], {"threshold": 0.1}),
    (["--threshold", "auto"], {"threshold": "auto"}),
    (["--model", "tiny_esm"], {"model": "tiny_esm"}),
    (["--weighted"], {"weighted": True}),
    (["--paper"], {"paper": True}),
    (["--background", "separation"], {"background": "separation"}),
    (["--background", "protein"], {"background": "protein"}),
    (["--min-arcs", "1"], {"min_arcs": 1}),
    (["--tier", "codes"], {"tier": "codes"}),
    (["--tier", "arcs", "--threshold", "0.05"], {"tier": "arcs", "threshold": 0.05}),
]


@pytest.mark.parametrize(("options", "asked"), QUESTIONS, ids=lambda value: " ".join(value) or "plain")
def test_align_says_what_python_says(small_store, run, options, asked):
    expected = attnstore.open(small_store).align("contact", **asked).to_table()
    content = run("align", small_store, "contact", "--format", "json", *options)
    rows = json.loads(content)
    assert isinstance(rows, list)
    assert len(rows) == LAYERS * HEADS
    assert {"layer", "head", "share", "count", "total", "background"} <= rows[0].keys()
    assert_tables_agree(parsed(content, "json"), expected)


def test_align_of_one_end_reads_marginals(small_store, run):
    question = "target.aa = 'C'"
    expected = attnstore.open(small_store).align(question, weighted=True, tier="marginals").to_table()
    content = run("align", small_store, question, "--weighted", "--tier", "marginals", "--format", "json")
    assert_tables_agree(parsed(content, "json"), expected)


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_align_gives_the_same_table_in_every_format_on_stdout_and_in_a_file(tmp_path, small_store, run, form):
    expected = attnstore.open(small_store).align("contact").to_table()
    printed = run("align", small_store, "contact", "--format", form)
    assert_tables_agree(parsed(printed, form), expected)
    output = tmp_path / "out"
    assert run("align", small_store, "contact", "--format", form, "-o", output) == b""
    assert output.read_bytes() == printed


def test_align_for_people_shows_the_best_heads(tmp_path, small_store, run):
    expected = attnstore.open(small_store).align("contact", min_arcs=1).to_table()
    shown = run("align", small_store, "contact", "--min-arcs", "1", "--top", "3").decode()
    lines = shown.splitlines()
    assert lines[0] == "contact: share of arcs with α ≥ 0.3"
    assert lines[1].startswith("model tiny_esm, 6 proteins, from arcs: ")
    rows = [line.split() for line in lines[5:8]]
    assert [(int(row[0]), int(row[1])) for row in rows] == list(
        expected.head(3)[["layer", "head"]].itertuples(index=False, name=None)
    )
    assert rows[0][2] == f"{expected['share'][0]:.1%}"
    assert any(line.startswith(f"3 of {LAYERS * HEADS} ranked heads") for line in lines)
    output = tmp_path / "out.txt"
    assert run("align", small_store, "contact", "--min-arcs", "1", "--top", "3", "--output", output) == b""
    assert output.read_text() == shown


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_align_draws_a_plot_beside_its_table(tmp_path, small_store, capfdbinary, suffix):
    plot = tmp_path / f"heads{suffix}"
    with pytest.raises(SystemExit) as stop:
        cli.main(["align", str(small_store), "contact", "--format", "csv", "--plot", str(plot)])
    printed = capfdbinary.readouterr()
    assert stop.value.code == 0
    assert len(parsed(printed.out, "csv")) == LAYERS * HEADS
    assert printed.err.decode() == f"wrote {plot}\n"
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert plot.read_bytes().startswith(magic)


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id, length, members FROM proteins ORDER BY id",
        "SELECT model, protein, layer, head, source, target, weight FROM arcs ORDER BY ALL LIMIT 50",
        "SELECT layer, head, entries, arcs_0_3, special FROM heads ORDER BY ALL",
        "SELECT model, layers, heads, proteins, residues, arcs FROM models",
        "SELECT name, unit FROM properties WHERE unit IS NULL",
    ],
)
def test_sql_says_what_python_says_in_every_format(tmp_path, small_store, run, form, statement):
    expected = attnstore.open(small_store).sql(statement).df()
    printed = run("sql", small_store, statement, "--format", form)
    found = parsed(printed, form)
    if "unit" in expected:
        assert found["unit"].isna().all()
        assert expected["unit"].isna().all()
        found, expected = found[["name"]], expected[["name"]]
    assert_tables_agree(found, expected)
    output = tmp_path / "out"
    assert run("sql", small_store, statement, "--format", form, "-o", output) == b""
    assert output.read_bytes() == printed


def test_sql_for_people_is_a_table_of_all_rows(small_store, run):
    shown = run("sql", small_store, "SELECT id, length FROM proteins ORDER BY id").decode().splitlines()
    assert shown[0].split() == ["id", "length"]
    assert [line.split() for line in shown[2:]] == [[name, str(CHAINS[name])] for name in sorted(CHAINS)]


@pytest.mark.parametrize("form", ["table", "csv", "parquet", "json"])
def test_sql_without_rows_is_no_error(small_store, run, form):
    content = run("sql", small_store, "SELECT id, length FROM proteins WHERE length > 10000", "--format", form)
    if form == "json":
        assert json.loads(content) == []
    elif form != "table":
        assert list(parsed(content, form).columns) == ["id", "length"]


def test_info_counts_what_is_there(small_store, run):
    content = json.loads(run("info", small_store, "--json"))
    residues, pairs = sum(CHAINS.values()), sum(length**2 for length in CHAINS.values())
    assert (content["path"], content["proteins"], content["residues"]) == (str(small_store), len(CHAINS), residues)
    (model,) = content["models"]
    wanted = {"name": "tiny_esm", "architecture": "EsmModel", "layers": LAYERS, "heads": HEADS, "skipped": 0,
              "precision": "float32", "proteins": len(CHAINS), "residues": residues,
              "entries": LAYERS * HEADS * pairs}  # fmt: skip
    assert {key: model[key] for key in wanted} == wanted
    opened = attnstore.open(small_store)
    assert model["segments"] == len(opened.model().segments)
    assert model["bytes"] == sum(
        path.stat().st_size for path in (small_store / "attention").rglob("segments/**/*") if path.is_file()
    )
    shown = run("info", small_store).decode()
    assert shown == f"{opened!r}\n"
    assert repr(opened).endswith(f"\n\n{opened.model()!r}")
    assert f"{len(CHAINS)} proteins, {residues} residues, 1 model" in shown
    assert f"{LAYERS} layers × {HEADS} heads" in shown


def test_verify_of_a_sound_store_says_so(small_store, run):
    count = len(attnstore.open(small_store).model().segments)
    segments = "1 segment" if count == 1 else f"{count} segments"
    assert run("verify", small_store).decode() == (
        f"{small_store} is intact: the catalog and {segments} are as they were written.\n"
    )


def ingested(capfd: pytest.CaptureFixture[str], *arguments: object) -> dict[str, str]:
    """The summary that ingest prints, by its first words."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", *map(str, arguments)])
    assert stop.value.code == 0
    lines = capfd.readouterr().out.splitlines()
    return {line[:13].strip(): line[13:] for line in lines}


def test_ingest_ends_with_a_summary_and_says_when_there_was_nothing_to_do(tmp_path, tiny_esm, chain_files, capfd):
    arguments = (tmp_path / "store", *chain_files, "--model", tiny_esm, "--device", "cpu")
    summary = ingested(capfd, *arguments)
    assert list(summary) == ["model", "proteins", "residues", "attention", "on disk", "this run"]
    assert summary["proteins"] == "6  (0 skipped, 0 truncated)"
    assert summary["residues"] == str(sum(CHAINS.values()))
    assert summary["attention"].startswith(f"{LAYERS * HEADS * sum(n**2 for n in CHAINS.values()):,} entries, ")
    assert summary["this run"].startswith("1 segments in ")
    assert ingested(capfd, *arguments)["this run"] == "nothing to do: the store is complete"
    with pytest.raises(SystemExit):
        cli.main(["ingest", *map(str, arguments), "--json"])
    content = json.loads(capfd.readouterr().out)
    assert (content["proteins"], content["segments_written"]) == (len(CHAINS), 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--max-residues", "20"], "6  (0 skipped, 4 truncated)"),
        (["--max-residues", "20", "--long", "skip"], "2  (4 skipped, 0 truncated)"),
        (["--limit", "2"], "2  (0 skipped, 0 truncated)"),
    ],
)
def test_options_of_ingest_choose_what_the_model_sees(tmp_path, tiny_esm, chain_files, capfd, options, expected):
    summary = ingested(capfd, tmp_path / "store", *chain_files, "--model", tiny_esm, *options)
    assert summary["proteins"] == expected


def test_ingest_takes_a_name_a_precision_and_a_batch_size(tmp_path, tiny_esm, chain_files, capfd):
    options = ["--name", "half", "--precision", "bfloat16", "--device", "cpu", "--batch-pairs", "5000"]
    ingested(capfd, tmp_path / "store", chain_files[0], "--model", tiny_esm, *options)
    document = attnstore.open(tmp_path / "store").model("half").document
    assert (document.name, document.precision, document.batch_pairs) == ("half", "bfloat16", 5000)


@pytest.mark.parametrize(("options", "expected"), [([], [("a", 2)]), (["--keep-duplicates"], [("a", 1), ("b", 1)])])
def test_identical_sequences_are_one_protein_unless_kept_apart(tmp_path, tiny_esm, capfd, options, expected):
    fasta = tmp_path / "x.fasta"
    fasta.write_text(">a\nACDEFGHIKL\n>b\nACDEFGHIKL\n")
    ingested(capfd, tmp_path / "store", fasta, "--model", tiny_esm, *options)
    opened = attnstore.open(tmp_path / "store")
    assert opened.sql("SELECT id, members FROM proteins ORDER BY id").fetchall() == expected
    assert len(opened.model().places) == len(expected)


# --- as a process of its own


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from attnstore.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_its_result_to_stdout_alone(small_store):
    done = process("sql", small_store, "SELECT count(*) AS n FROM proteins", "--format", "csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "n\n6\n", "")


def test_the_command_fails_with_one_line_and_status_1(tmp_path):
    done = process("info", tmp_path / "missing")
    path = tmp_path / "missing"
    wanted = f"error: {path} does not exist: `attnstore ingest {path} INPUT --model MODEL` makes one.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", wanted)


def test_wrong_usage_has_status_2_and_a_hint():
    done = process("align")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Missing argument 'STORE'" in done.stderr


def test_a_reader_that_closes_the_pipe_early_gets_no_traceback(small_store):
    statement = "SELECT a.id, b.pos FROM proteins a, residues b, residues c"
    script = f'{sys.executable} -c "from attnstore.cli import main; main()" sql {small_store} "{statement}" | head -1'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_version_and_help_are_there(run):
    assert run("--version").decode() == f"attnstore, version {attnstore.__version__}\n"
    for command in ((), ("ingest",), ("align",), ("sql",), ("info",), ("verify",), ("demo",)):
        assert run(*command, "--help").startswith(b"Usage: attnstore ")


# --- what loads what

HEAVY = ("torch", "transformers", "duckdb", "dask", "numba", "xarray", "pandas", "matplotlib")


@pytest.mark.parametrize("module", ["attnstore", "attnstore.cli"])
def test_importing_loads_no_heavy_package(module):
    check = f"import {module}, sys; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_querying_loads_no_torch(small_store):
    check = (
        f"import attnstore, sys; store = attnstore.open({str(small_store)!r}); store.align('contact'); "
        "store.attention('1AAA_A'); store.verify(); print(*sorted({'torch', 'transformers', 'Bio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_sql_values_of_every_type_come_out_as_they_are(small_store, run):
    statement = """
        SELECT [1, 2] AS list, {'a': 1} AS struct, 170141183460469231731687303715884105727::HUGEINT AS huge,
               DATE '2020-01-02' AS day, sum(length) AS total, NULL::INTEGER AS nothing, 0.5 AS half FROM proteins"""
    (row,) = json.loads(run("sql", small_store, statement, "--format", "json"))
    assert row == {
        "list": [1, 2], "struct": {"a": 1}, "huge": 170141183460469231731687303715884105727, "day": "2020-01-02",
        "total": sum(CHAINS.values()), "nothing": None, "half": 0.5,
    }  # fmt: skip
    assert b"[1, 2]" in run("sql", small_store, statement)


def test_arcs_whose_predicate_is_unknown_are_shown(small_store, run):
    # cgdms chains have no author numbers.
    found = run("align", small_store, "target.author_number > 0", "--min-arcs", 0)
    arcs = attnstore.open(small_store).sql("SELECT count(*) FROM arcs WHERE weight >= 0.3").fetchone()[0]
    said = f"No head has any arc with the predicate known: it is unknown (NULL) for all {arcs:,} arcs.\n"
    assert said.encode() in found
    assert b"  unknown\n" in found
    known = run("align", small_store, "target.aa = 'C'", "--min-arcs", 0)
    assert b"unknown" not in known
    nothing = run("align", small_store, "target.aa = 'C'", "--where", "protein.length > 9000", "--min-arcs", 0)
    assert b"known: nothing passes the threshold and the where clause.\n" in nothing
