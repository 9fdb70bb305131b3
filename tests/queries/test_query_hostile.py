"""Wrong and hostile statements: each is refused in one sentence, and nothing in the store or beside it changes."""

import hashlib
from pathlib import Path

import pytest

import attnstore
from attnstore import cli
from attnstore.errors import QueryError
from tests.synthetic import random_proteins, write_model, write_store

from .brute_force import add_properties

# Each with what the message must say: the clause or the name at fault, and the cure.
NAMES = [
    ("SELECT count(*) FROM attention WHERE weigth >= 0.3", ["weigth", "did you mean weight"]),
    ("SELECT layr, count(*) FROM attention GROUP BY layr", ["layr", "did you mean layer"]),
    ("SELECT avg(contacts) FROM attention", ["contacts", "did you mean contact"]),
    ("SELECT avg(contact) FILTER (WHERE seperation > 5) FROM attention", ["seperation", "did you mean separation"]),
    ("SELECT count(*) FROM attention WHERE source.hydropaty > 1", ["source.hydropaty", "source.hydropathy"]),
    ("SELECT protein.lenght, count(*) FROM attention GROUP BY 1", ["protein.lenght", "protein.length"]),
    ("SELECT aa, count(*) FROM attention GROUP BY aa", ["aa", "source.aa or target.aa"]),
    ("SELECT count(*) FROM attention WHERE length > 5", ["length", "protein.length"]),
    ("SELECT avg(pair.coupling) FROM attention", ["pair.coupling"]),
    ("SELECT count(*) FROM attention WHERE sourc.aa = 'C'", ["sourc.aa", "source.…"]),
    ("SELECT count(*) FROM attention WHERE target.aa.x = 'C'", ["target.aa.x"]),
    ("SELECT a.weight FROM attention AS b WHERE weight >= 0.3", ["a.weight"]),
    ("SELECT count(*) FROM atention", ["atention"]),
    ("SELECT count(*) FROM attention ORDER BY nothing", ["nothing"]),
    ("SELECT layer, count(*) FROM attention GROUP BY layer HAVING nothing > 1", ["nothing"]),
    ("SELECT layer, count(*) FROM attention GROUP BY 3", ["GROUP BY"]),
    ("SELECT frobnicate(source.score) FROM attention WHERE weight >= 0.3", ["frobnicate"]),
    ("SELECT frobnicate(weight) FROM attention", ["frobnicate"]),
]
AGGREGATES = [
    ("SELECT sum() FROM attention", ["sum()"]),
    ("SELECT avg() FROM attention", ["avg()"]),
    ("SELECT weighted_avg() FROM attention", ["weighted_avg()"]),
    ("SELECT weighted_avg(contact, weight) FROM attention", ["weighted_avg"]),
    ("SELECT weighted_avg(DISTINCT contact) FROM attention", ["weighted_avg", "DISTINCT"]),
    ("SELECT weighted_avg(length) FROM proteins", ["weighted_avg"]),
    ("SELECT avg(target.aa) FROM attention", ["avg(target.aa)"]),
    ("SELECT weighted_avg(target.aa) FROM attention", ["weighted_avg(target.aa)"]),
    ("SELECT sum(source.fold) FROM attention", ["sum(source.fold)"]),
    ("SELECT layer, count(*) FROM attention", ["layer", "GROUP BY"]),
    ("SELECT separation, count(*) FROM attention GROUP BY layer", ["separation", "GROUP BY"]),
    ("SELECT *, count(*) FROM attention", ["*"]),
    ("SELECT * FROM attention GROUP BY layer", ["*"]),
    ("SELECT avg(sum(weight)) FROM attention", ["sum(weight)"]),
    ("SELECT weighted_avg(avg(contact)) FROM attention", ["avg(contact)"]),
    ("SELECT layer FROM attention WHERE count(*) > 3 GROUP BY layer", ["count", "HAVING"]),
    ("SELECT count(*) FROM attention GROUP BY count(*)", ["GROUP BY"]),
    ("SELECT abs(separation) FILTER (WHERE contact) FROM attention WHERE weight >= 0.3", ["FILTER"]),
    ("SELECT layer, separation FROM attention WHERE weight >= 0.3 HAVING weight > 0.5", ["weight > 0.5", "GROUP BY"]),
]
TYPES = [
    ("SELECT count(*) FROM attention WHERE weight >= 'high'", ["weight >= 'high'"]),
    ("SELECT count(*) FROM attention WHERE source.aa > 3", ["VARCHAR"]),
    ("SELECT count(*) FROM attention WHERE source.aa AND contact", ["source.aa"]),
    ("SELECT count(*) FROM attention WHERE separation", ["separation"]),
    ("SELECT count(*) FROM attention WHERE weight", ["weight"]),
    ("SELECT sum(contact + 1) FROM attention", ["contact + 1"]),
    ("SELECT count(*) FROM attention WHERE layer = 'last'", ["'last'"]),
    ("SELECT count(*) FROM attention LIMIT 'x'", ["'x'"]),
]
WEIGHTS = [
    ("SELECT count(*) FROM attention WHERE weight >= 0.0123", ["0.0123", "0.012", "0.013"]),
    ("SELECT count(*) FILTER (WHERE weight >= 0.0123) FROM attention", ["0.0123", "0.012", "0.013"]),
    ("SELECT weight >= 0.0123, count(*) FROM attention GROUP BY 1", ["0.0123", "0.012", "0.013"]),
    ("SELECT count(*) FROM attention WHERE weight > 0.01", ["weight > 0.01"]),
    ("SELECT count(*) FROM attention WHERE weight <= 0.3", ["weight <= 0.3"]),
    ("SELECT count(*) FROM attention WHERE weight = 0.01", ["weight = 0.01"]),
    ("SELECT count(*) FROM attention WHERE NOT weight > 0.0501", ["0.0501"]),
    ("SELECT count(*) FROM attention WHERE weight >= 0.3 OR weight > 0.01", ["weight > 0.01"]),
    ("SELECT count(*) FROM attention WHERE weight >= target.score", ["weight >= target.score"]),
    ("SELECT count(*) FROM attention WHERE weight > reverse_weight", ["weight > reverse_weight"]),
    ("SELECT floor(weight * 1000), count(*) FROM attention GROUP BY 1", ["floor(weight * 1000)"]),
    ("SELECT weight, count(*) FROM attention GROUP BY weight", ["weight"]),
    ("SELECT median(weight) FROM attention", ["median()", "weight >= 0.05"]),
    ("SELECT stddev(weight) FROM attention WHERE weight >= 0.01", ["stddev", "weight >= 0.05"]),
    ("SELECT quantile_cont(weight, 0.5) FROM attention", ["quantile_cont", "weight >= 0.05"]),
    ("SELECT avg(weight * weight) FROM attention", ["weight * weight", "weight >= 0.05"]),
    ("SELECT sum(reverse_weight * weight) FROM attention", ["reverse_weight", "weight >= 0.05"]),
]
FROMS = [
    ("WITH attention AS (SELECT 1 AS x) SELECT * FROM attention", ["attention"]),
    ("WITH source AS (SELECT 1 AS x) SELECT count(*) FROM attention", ["source"]),
    ("WITH protein AS (SELECT layer, count(*) FROM attention GROUP BY ALL) SELECT * FROM protein", ["protein"]),
    ("SELECT count(*) FROM attention AS source", ["source"]),
    ("SELECT count(*) FROM attention target", ["target"]),
    ("SELECT count(*) FROM attention AS protein", ["protein"]),
    ("SELECT count(*) FROM attention AS pair", ["pair"]),
    ("SELECT attention.id FROM proteins AS attention", ["attention"]),
    ("SELECT n FROM (SELECT count(*) AS n FROM attention) AS attention", ["attention"]),
    ("SELECT count(*) FROM attention JOIN proteins ON proteins.id = attention.protein", ["JOIN", "CTE"]),
    ("SELECT count(*) FROM proteins LEFT JOIN attention ON proteins.id = attention.protein", ["JOIN", "CTE"]),
    ("SELECT count(*) FROM attention, residues", ["joined", "CTE"]),
    ("SELECT count(*) FROM attention AS a, attention AS b", ["CTE"]),
    ("SELECT id, (SELECT count(*) FROM attention WHERE protein = p.id) FROM proteins AS p", ["p.id"]),
    ("SELECT * FROM proteins p, LATERAL (SELECT count(*) FROM attention WHERE protein = p.id) n", ["p.id"]),
    ("SELECT count(*) FROM attention WHERE source.aa IN (SELECT aa FROM residues)", ["subquery", "protein IN"]),
    ("SELECT count(*) FROM attention WHERE EXISTS (SELECT 1)", ["EXISTS"]),
    ("SELECT count(*) FROM attention WHERE weight >= (SELECT 0.3)", ["subquery"]),
    ("SELECT count(*) FROM attention WHERE row_number() OVER () < 3", ["window"]),
    ("SELECT count(*) FROM attention GROUP BY rank() OVER (ORDER BY layer)", ["window"]),
    ("SELECT count(*) FROM main.attention", ["main.attention"]),
    ("SELECT count(*) FROM catalog.main.attention", ["attention"]),
    ("SELECT count(*) FROM attention USING SAMPLE 10", ["sampled"]),
    ("SELECT count(*) FROM attention TABLESAMPLE 10%", ["sampled"]),
    ("SELECT count(*) FROM attention(3)", ["attention"]),
    ("PIVOT attention ON layer USING count(*)", ["exactly one SELECT", "PIVOT", "IN (0, 1)"]),
    ("SELECT count(*) FROM attention PIVOT (count(*) FOR layer IN (0, 1))", ["cannot be pivoted", "as in `SELECT"]),
    ("UNPIVOT attention ON separation", ["cannot be pivoted"]),
    ("DESCRIBE attention", ["described", "`SELECT * FROM attention LIMIT 3`"]),
    ("SUMMARIZE SELECT * FROM attention", ["summarized"]),
    ("SELECT * FROM proteins POSITIONAL JOIN attention", ["JOIN"]),
    ("SELECT COLUMNS('nothing') FROM attention WHERE weight >= 0.3", ["COLUMNS", "model, protein"]),
    ("SELECT * EXCLUDE (separation) FROM attention WHERE weight >= 0.3", ["* stands for", "separation"]),
    ("SELECT count(*) FROM attention WHERE COLUMNS('layer|head') = 1", ["COLUMNS(…) works in the select list"]),
    ("SELECT source.* FROM attention WHERE weight >= 0.3", ["source.*"]),
]
EXPRESSIONS = [
    ("SELECT count(*) FROM attention WHERE random() < 0.5", ["random()"]),
    ("SELECT count(*) FILTER (WHERE random() < 0.5) FROM attention", ["random()"]),
    ("SELECT random() < 0.5 AS r, count(*) FROM attention GROUP BY r", ["random()"]),
    ("SELECT uuid(), count(*) FROM attention GROUP BY 1", ["uuid()"]),
    ("SELECT count(*) FROM attention WHERE weight >= ?", ["parameter"]),
    ("SELECT count(*) FROM attention WHERE weight >= $1", ["parameter"]),
    ("SELECT count(*) FROM attention WHERE weight >= $theta", ["parameter"]),
    ("SELECT count(*) FROM attention LIMIT ?", ["parameter"]),
    ("SELECT count(*) FROM attention WHERE len(list_filter([1], lambda x: x > 0)) = 1", ["lambda"]),
    ("SELECT count(*) FROM attention WHERE unnest([TRUE])", ["unnest([TRUE])", "table function"]),
    ("SELECT getenv('HOME')", ["getenv"]),
    ("SELECT getenv('HOME'), count(*) FROM attention", ["getenv"]),
    ("SELECT count(*) FROM attention WHERE getenv('HOME') = source.aa", ["getenv"]),
]
SYNTAX = [
    ("SELECT count(* FROM attention", ["does not parse"]),
    ("SELECT count(*) FROM attention WHERE", ["does not parse"]),
    ("SELECT 'abc FROM attention", ["does not parse"]),
    ('SELECT "abc FROM attention', ["does not parse"]),
    ("SELECT $$abc FROM attention", ["does not parse"]),
    ("SELECT count(*) /* FROM attention", ["does not parse"]),
    ("SELECT count(*) FROM attention WHERE contact contact", ["does not parse"]),
    ("SELECT count(*) FROM attention\x00WHERE contact", []),
    ("SELEC count(*) FROM attention", ["does not parse"]),
    (f"SELECT count(*) FROM attention WHERE {'(' * 5000}contact{')' * 5000}", []),
    (f"SELECT count(*) FROM attention WHERE {'NOT ' * 5000}contact", []),
    (f"SELECT {'(SELECT ' * 500}1{')' * 500}, count(*) FROM attention", []),
]
NOT_SELECTS = [
    (statement, ["exactly one SELECT"])
    for statement in (
        "",
        "   ",
        ";",
        "-- nothing",
        "SELECT count(*) FROM attention; SELECT count(*) FROM attention",
        "SELECT count(*) FROM attention; DROP VIEW arcs",
        "COPY (SELECT count(*) FROM attention) TO '{out}'",
        "COPY arcs TO '{out}' (FORMAT parquet)",
        "COPY proteins FROM '{secret}'",
        "EXPORT DATABASE '{out}'",
        "IMPORT DATABASE '{out}'",
        "ATTACH '{out}' AS x",
        "DETACH catalog",
        "USE memory",
        "PRAGMA database_list",
        "PRAGMA memory_limit = '1KB'",
        "SET memory_limit = '1GB'",
        "RESET memory_limit",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE t AS SELECT count(*) FROM attention",
        "CREATE OR REPLACE VIEW attention AS SELECT 1",
        "CREATE MACRO weighted_avg(x) AS 1",
        "INSERT INTO proteins SELECT * FROM proteins",
        "WITH x AS (SELECT 1) INSERT INTO proteins SELECT * FROM proteins",
        "UPDATE proteins SET length = 0",
        "DELETE FROM proteins",
        "DELETE FROM catalog.main.proteins",
        "DROP TABLE catalog.main.proteins",
        "ALTER TABLE proteins ADD COLUMN x INTEGER",
        "TRUNCATE proteins",
        "CALL pragma_version()",
        "EXPLAIN SELECT count(*) FROM attention",
        "EXPLAIN ANALYZE SELECT count(*) FROM attention",
        "CHECKPOINT",
        "VACUUM",
        "PREPARE p AS SELECT count(*) FROM attention",
        "EXECUTE p",
        "BEGIN TRANSACTION",
    )
]
FILES = [
    (statement, [said])
    for statement, said in (
        ("SELECT * FROM read_csv('{secret}')", "Cannot access file"),
        ("SELECT * FROM read_csv_auto('{secret}')", "Cannot access file"),
        ("SELECT * FROM read_parquet('{arcs}')", "Cannot access file"),
        ("SELECT * FROM parquet_scan('{arcs}')", "Cannot access file"),
        ("SELECT * FROM parquet_metadata('{arcs}')", "Cannot access file"),
        ("SELECT * FROM read_text('{secret}')", "Cannot access file"),
        ("SELECT * FROM read_blob('{secret}')", "Cannot access file"),
        ("SELECT * FROM read_json('{secret}')", "Cannot access file"),
        ("SELECT * FROM sniff_csv('{secret}')", "Cannot access file"),
        ("SELECT * FROM glob('/*')", "Cannot access file"),
        ("SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')", "Cannot access file"),
        ("SELECT * FROM '{secret}'", "secret"),
        ("SELECT * FROM '{arcs}'", "arcs.parquet"),
        ("SELECT * FROM secret_frame", "secret_frame"),
        ("SELECT * FROM read_csv('https://example.org/x.csv')", "Cannot access file"),
        ("SELECT (SELECT content FROM read_text('{secret}')) AS x, count(*) FROM attention", "Cannot access file"),
        (
            "SELECT count(*) FROM attention WHERE protein IN (FROM read_text('{secret}') SELECT content)",
            "Cannot access file",
        ),
        (
            "WITH b AS (SELECT count(*) AS n FROM attention) SELECT * FROM b, read_text('{secret}')",
            "Cannot access file",
        ),
    )
]
HOSTILE = [*NAMES, *AGGREGATES, *TYPES, *WEIGHTS, *FROMS, *EXPRESSIONS, *SYNTAX, *NOT_SELECTS, *FILES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores, of one model and of two, and the files beside them."""
    folder = tmp_path_factory.mktemp("hostile")
    proteins = random_proteins(11, [12, 20, 7])
    for name in ("one", "two"):
        write_store(folder / name, proteins, name="first")
        add_properties(folder / name)
    write_model(folder / "two", proteins[:2], name="second")
    (folder / "secret.csv").write_text("a,b\n1,2\n")
    return folder


def digests(folder: Path) -> dict[Path, str]:
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def before(folder: Path) -> dict[Path, str]:
    return digests(folder)


@pytest.fixture(autouse=True)
def nothing_changes(folder: Path, before: dict[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every test here runs in an empty folder, which stays empty, and leaves the stores as they were."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []
    assert digests(folder) == before


def spelt(statement: str, folder: Path) -> str:
    """The statement with paths for the names in braces."""
    arcs = next((folder / "one").rglob("arcs.parquet"))
    for name, path in (("out", folder / "out"), ("secret", folder / "secret.csv"), ("arcs", arcs)):
        statement = statement.replace(f"{{{name}}}", str(path))
    return statement


@pytest.mark.parametrize(("statement", "said"), HOSTILE, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_it_is_refused_in_one_sentence(folder, statement, said):
    import pandas as pd

    secret_frame = pd.DataFrame({"a": [1]})  # noqa: F841 - DuckDB would find it by name in the caller's frame
    with pytest.raises(QueryError) as caught:
        attnstore.open(folder / "one").query(spelt(statement, folder)).to_arrow()
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message
    assert "\n" not in message
    assert len(message) < 700
    assert "__" not in message


@pytest.mark.parametrize("statement", [statement for statement, said in (*WEIGHTS, *NOT_SELECTS, *SYNTAX) if said])
def test_what_cannot_be_planned_is_not_explained(folder, statement):
    with pytest.raises(QueryError):
        attnstore.open(folder / "one").explain(spelt(statement, folder))


@pytest.mark.parametrize(
    ("statement", "options", "said"),
    [
        ("SELECT count(*) FROM attention", {"tier": "tape"}, ["tape", "marginals", "arcs", "codes"]),
        ("SELECT count(*) FROM attention WHERE weight >= 0.3", {"tier": "marginals"}, ["marginals"]),
        ("SELECT sum(weight) FILTER (WHERE contact) FROM attention", {"tier": "marginals"}, ["marginals", "one end"]),
        ("SELECT sum(weight) FROM attention WHERE source.aa = target.aa", {"tier": "marginals"}, ["one end"]),
        ("SELECT source.aa, target.aa, sum(weight) FROM attention GROUP BY ALL", {"tier": "marginals"}, ["one end"]),
        ("SELECT max(weight) FROM attention", {"tier": "marginals"}, ["sums of weights"]),
        ("SELECT sum(weight) FROM attention", {"tier": "arcs"}, ["arcs begin at 0.05"]),
        ("SELECT count(*) FROM attention WHERE weight >= 0.01", {"tier": "arcs"}, ["arcs begin at 0.05"]),
        ("SELECT count(*) FROM attention WHERE weight >= 0.123", {"tier": "codes"}, ["0.123", "0.12", "0.13"]),
        ("SELECT count(*) FROM attention WHERE weight > 0.3", {"tier": "codes"}, ["weight > 0.3"]),
        ("SELECT median(weight) FROM attention WHERE weight >= 0.3", {"tier": "codes"}, ["median()"]),
        ("SELECT count(*) FROM attention", {"memory_limit": "lots"}, ["memory", "lots"]),
        ("SELECT source, target, protein, count(*) FROM attention GROUP BY ALL", {"memory_limit": "1KB"}, ["memory"]),
    ],
)
def test_options_that_cannot_be_are_refused(folder, statement, options, said):
    with pytest.raises(QueryError) as caught:
        attnstore.open(folder / "one").query(statement, **options).to_arrow()
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message
    assert "\n" not in message


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM attention",
        "SELECT layer, head, avg(contact) FROM attention GROUP BY ALL",
        "SELECT count(*) FROM attention WHERE model <> 'third'",
        "WITH b AS (SELECT count(*) AS n FROM attention) SELECT * FROM b, models",
        "SELECT count(*) FROM attention WHERE model = 'first' UNION ALL SELECT count(*) FROM attention",
        "SELECT protein, source, target FROM attention WHERE weight >= 0.3",
    ],
)
def test_a_block_over_two_models_must_say_which(folder, statement):
    with pytest.raises(QueryError, match=r"first.*second") as caught:
        attnstore.open(folder / "two").query(statement).to_arrow()
    assert "add model = '…' to WHERE, or group by model" in str(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM attention WHERE weigth >= 0.3",
        "SELECT count(*) FROM attention WHERE weight >= 0.0123",
        "SELECT count(* FROM attention",
        "COPY (SELECT 1) TO 'out.csv'",
        "SELECT median(weight) FROM attention",
        "SELECT count(*) FROM attention; SELECT 1",
        "",
    ],
)
@pytest.mark.parametrize("options", [[], ["--explain"], ["--format", "json", "-o", "out.json"]])
def test_the_command_line_says_it_in_one_line_on_stderr(folder, capfd, statement, options):
    with pytest.raises(SystemExit) as stop:
        cli.main(["query", str(folder / "one"), statement, *options])
    printed = capfd.readouterr()
    assert stop.value.code == 1
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_a_path_that_is_no_store_is_one_line_too(tmp_path, capfd):
    with pytest.raises(SystemExit) as stop:
        cli.main(["query", str(tmp_path / "nowhere"), "SELECT count(*) FROM attention"])
    assert stop.value.code == 1
    assert "does not exist" in capfd.readouterr().err
