"""Properties given to a store's proteins: from tables, frames and records, before attention or after."""

import contextlib
import gzip
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.cli import main
from attnstore.errors import AttnstoreError, SourceError
from attnstore.ingest import ingest_proteins

FASTA = ">p\nACDEF\n>q desc\nMKLV\n>sp|P12345|R_ORG\nGGGWW\n>s\nACDEF\n"


@pytest.fixture
def store(tmp_path):
    source = tmp_path / "proteins.fasta"
    source.write_text(FASTA)
    ingest_proteins(tmp_path / "store", [source])
    return tmp_path / "store"


def column(store, name, table="residues"):
    order = "protein_index" if table == "proteins" else "protein_index, pos"
    rows = attnstore.open(store).sql(f"SELECT {name} FROM {table} ORDER BY {order}").fetchall()
    return [value for (value,) in rows]


def entry(store, name):
    rows = attnstore.open(store).properties().df().set_index("name").loc[name]
    return {key: None if pd.isna(value) else value for key, value in rows.items()}


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


N = None
RESIDUES = 'id,pos,score,site,label\np,0,1.5,true,a\np,4,,false,\nq,1,2,true,"b, c"\nP12345,0,-1e3,false,é\n'
EXPECTED = {
    "score": [1.5, N, N, N, N, N, 2.0, N, N, -1000.0, N, N, N, N],
    "site": [True, N, N, N, False, N, True, N, N, False, N, N, N, N],
    "label": ["a", N, N, N, N, N, "b, c", N, N, "é", N, N, N, N],
}


@pytest.mark.parametrize(
    "form", ["csv", "tsv", "tab", "gz", "bom", "crlf", "cr", "mixed", "parquet", "pandas", "arrow"]
)
def test_a_table_of_residues_in_every_form(store, tmp_path, form):
    lines = RESIDUES
    frame = pd.read_csv(io.StringIO(RESIDUES))
    given = {
        "csv": lambda: write(tmp_path, "t.csv", lines),
        "tsv": lambda: write(tmp_path, "t.TSV", lines.replace('"b, c"', "b; c").replace(",", "\t").replace(";", ",")),
        "tab": lambda: write(tmp_path, "t.tab", lines.replace('"b, c"', "b; c").replace(",", "\t").replace(";", ",")),
        "gz": lambda: write(tmp_path, "t.csv.gz", gzip.compress(lines.encode())),
        "bom": lambda: write(tmp_path, "t.csv", b"\xef\xbb\xbf" + lines.encode()),
        "crlf": lambda: write(tmp_path, "t.csv", lines.replace("\n", "\r\n")),
        "cr": lambda: write(tmp_path, "t.csv", lines.replace("\n", "\r")),
        "mixed": lambda: write(tmp_path, "t.csv", lines.replace("\n", "\r\n", 2)),
        "parquet": lambda: frame.to_parquet(tmp_path / "t.parquet") or tmp_path / "t.parquet",
        "pandas": lambda: frame,
        "arrow": lambda: pa.Table.from_pandas(frame),
    }[form]()
    done = annotate(store, [given])
    assert (done.matched, done.passed_over) == (3, 0)
    assert done.properties == ("residue label", "residue score", "residue site")
    for name, values in EXPECTED.items():
        assert column(store, name) == values, name
    kinds = {name: entry(store, name)["type"] for name in EXPECTED}
    assert kinds == {"score": "float", "site": "boolean", "label": "category"}
    assert (entry(store, "site")["known"], entry(store, "site")["positive"]) == (4, 2)


def test_tables_of_proteins_and_of_pairs(store, tmp_path):
    annotate(store, [write(tmp_path, "p.tsv", "protein\tfamily\trank\nq\tkinase\t2\ns\tglobin\t1\n")])
    # s has the sequence of p, so that they are one protein.
    assert column(store, "family", "proteins") == ["globin", "kinase", None]
    pairs = "id,source,target,link,strength\np,0,3,true,0.5\nq,2,0,false,1\n"
    annotate(store, [write(tmp_path, "pairs.csv", pairs)], absent="false", symmetric=True)
    rows = attnstore.open(store).pairs().df()[["protein", "source", "target", "link", "strength"]]
    listed = {(r.protein, *(-1 if pd.isna(e) else int(e) for e in (r.source, r.target))): (r.link, r.strength)
              for r in rows.itertuples()}  # fmt: skip
    assert {key: link for key, (link, _) in listed.items()} == {
        ("p", -1, -1): False, ("p", 0, 3): True, ("p", 3, 0): True,
        ("q", -1, -1): False, ("q", 0, 2): False, ("q", 2, 0): False,
    }  # fmt: skip
    assert listed["p", 3, 0][1] == 0.5
    assert listed["q", 0, 2][1] == 1
    assert entry(store, "link")["absent"] == "FALSE"
    assert pd.isna(listed["p", -1, -1][1])


def test_a_residue_without_a_row_is_unknown_or_false_as_is_said(store):
    frame = pd.DataFrame({"id": ["p", "p"], "pos": [1, 2], "site": [True, None]})
    annotate(store, [frame], absent="false")
    assert column(store, "site") == [False, True, None, False, False] + [None] * 9
    assert entry(store, "site")["absent"] == "FALSE"


@pytest.mark.parametrize("numbering", ["0", "1"])
def test_positions_are_counted_as_is_said(store, numbering):
    annotate(store, [pd.DataFrame({"id": ["q"], "pos": [1], "x": [7]})], numbering=numbering)
    assert column(store, "x").index(7) == 5 + 1 - int(numbering)


def test_columns_kinds_units_and_descriptions(store):
    frame = pd.DataFrame({"name": ["p", "q"], "n": [0, 0], "B": [1, 0], "temp": [1, 2], "left": ["x", "y"]})
    annotate(
        store, [frame], on=["name", "n"], columns={"B": "buried", "temp": "temp"}, name="mine",
        kinds={"buried": "boolean", "temp": "float"}, units={"temp": "K"}, descriptions={"buried": "is buried"},
    )  # fmt: skip
    assert [value for value in column(store, "buried") if value is not None] == [True, False]
    assert entry(store, "buried")["description"] == "is buried"
    found = entry(store, "temp")
    assert (found["type"], found["unit"], found["source"]) == ("float", "K", "mine")
    assert "left" not in attnstore.open(store).residues().columns


def test_author_numbers_with_insertion_codes(tmp_path):
    pdb = Path(__file__).parents[1] / "data" / "structures"
    sources = [path for path in sorted(pdb.iterdir()) if path.suffix in (".pdb", ".cif")]
    ingest_proteins(tmp_path / "store", sources[:3])
    rows = attnstore.open(tmp_path / "store").sql(
        "SELECT protein, pos, author_number || coalesce(insertion_code, '') AS number, aa FROM residues "
        "WHERE author_number IS NOT NULL ORDER BY protein_index, pos"
    ).df()  # fmt: skip
    frame = pd.DataFrame({"id": rows["protein"], "pos": rows["number"], "aa": rows["aa"], "place": rows["pos"]})
    annotate(tmp_path / "store", [frame.sample(frac=1, random_state=0)], numbering="author")
    found = attnstore.open(tmp_path / "store").sql(
        "SELECT count(*), count_if(place = pos) FROM residues WHERE place >= 0"
    )
    assert found.fetchall() == [(len(rows), len(rows))]
    with pytest.raises(SourceError, match="no residue numbered 9999 in the store"):
        annotate(tmp_path / "store", [frame.assign(pos="9999", other=1)[:1]], numbering="author")


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        ({"id": ["z"], "x": [1]}, {}, "no id of a table in memory is in the store, for example 'z'"),
        ({"id": [], "x": []}, {}, "has no rows"),
        ({"name": ["p"], "x": [1]}, {}, "no column id or protein"),
        ({"id": ["p"]}, {}, "no column other than its keys"),
        ({"id": ["p"], "pos": [5], "x": [1]}, {}, "row 1: p has no residue 5; it has 5, counted from 0"),
        ({"id": ["p"], "pos": [0], "x": [1]}, {"numbering": "1"}, "p has no residue 0; it has 5, counted from 1"),
        ({"id": ["p"], "pos": [-1], "x": [1]}, {}, "has no residue -1"),
        ({"id": ["p", "p"], "pos": [1, 1], "x": [1, 2]}, {}, "row 2: p is given a second time"),
        ({"id": ["q", "p", "p"], "x": [1, 2, 3]}, {}, "row 3: p is given a second time"),
        ({"id": ["p", None], "x": [1, 2]}, {}, "row 2: column 'id' has no value"),
        ({"id": ["p"], "pos": [1.5], "x": [1]}, {}, "no whole numbers"),
        ({"id": ["p"], "pos": [0], "aa": ["C"], "x": [1]}, {}, "row 1: the residue is C there and A in the store"),
        ({"id": ["p"], "pos": [0], "x": [[1, 2]]}, {}, "values of type list"),
        ({"id": ["p"], "x y": [1]}, {}, "say columns={'x y': 'x_y'}"),
        ({"id": ["p"], "length": [1]}, {}, "length is a column of the catalog itself"),
        ({"id": ["p"], "x": [1]}, {"columns": ["y"]}, "no column 'y'"),
        ({"id": ["p"], "x": [1]}, {"units": {"y": "Å"}}, "gives no property 'y'"),
        ({"id": ["p"], "x": [2]}, {"kinds": {"x": "boolean"}}, "2 is neither 0 nor 1"),
        ({"id": ["p"], "x": ["a"]}, {"kinds": {"x": "float"}}, "row 1: column 'x' has 'a', which is not a number"),
        ({"id": ["p"], "x": [1]}, {"on": ["nope"]}, "no column 'nope'"),
        ({"id": ["p"], "x": [1]}, {"numbering": "2"}, "numbering='2' is not one of"),
        ({"id": ["p"], "x": [1]}, {"absent": "maybe"}, "absent='maybe' is not one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_the_store_stays_as_it_was(store, frame, options, message):
    before = {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}
    with pytest.raises(SourceError, match=message) as raised:
        annotate(store, [pd.DataFrame(frame)], **options)
    assert "\n" not in str(raised.value)
    assert {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "id,x\np,1,2\nq,1\n", ":2 is not a readable table: 3 cells where the heading has 2"),
        ("t.csv", "", "not a readable table"),
        ("t.csv", b"id,x\np,\x81\xfe\n", ":2 holds the byte 0x81, which is not UTF-8"),
        ("t.csv", "id,x,x\np,1,2\n", "two columns 'x'"),
        ("t.parquet", "PAR1 not really PAR1", "not a readable Parquet"),
        ("t.parquet", "", "not a readable Parquet"),
        ("t.csv.gz", "id,x\np,1\n", "named .gz but is not gzip"),
        ("t.txt", "id,x\np,1\n", "has an unknown format"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(store, tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    with pytest.raises(SourceError, match=message) as raised:
        annotate(store, [path])
    assert str(path) in str(raised.value)


def test_clusters_of_mmseqs(store, tmp_path):
    # The representative comes first; q is in p's cluster.
    annotate(store, [write(tmp_path, "x_cluster.tsv", "p\tp\np\tq\ns\ts\nR\tsp|P12345|R_ORG\nz\tz\n")])
    assert column(store, "cluster", "proteins") == ["p", "p", "R"]
    assert entry(store, "cluster")["type"] == "category"


def test_what_is_not_in_the_store_is_passed_over(store):
    done = annotate(store, [pd.DataFrame({"id": ["p", "z", "y"], "x": [1, 2, 3]})])
    assert (done.matched, done.passed_over) == (1, 2)


def test_a_property_that_is_there_from_another_source_is_replaced_on_request_alone(store):
    annotate(store, [pd.DataFrame({"id": ["p"], "pos": [0], "x": [1]})], name="first")
    with pytest.raises(
        SourceError, match=r"residue x of 1 protein is known already, from another source .*: replace=True"
    ):
        annotate(store, [pd.DataFrame({"id": ["p", "q"], "pos": [1, 1], "x": [2, 2]})], name="second")
    annotate(store, [pd.DataFrame({"id": ["q"], "pos": [1], "x": [3]})], name="third")
    annotate(store, [pd.DataFrame({"id": ["p"], "pos": [1], "x": [2]})], name="second", replace=True)
    # Of p, the later source holds as a whole.
    assert column(store, "x")[:7] == [None, 2, None, None, None, None, 3]
    assert entry(store, "x")["source"] == "3 files"


def test_the_same_table_again_is_no_conflict(store):
    frame = pd.DataFrame({"id": ["p"], "pos": [0], "x": [1]})
    annotate(store, [frame])
    before = attnstore.open(store).document
    annotate(store, [frame])
    assert attnstore.open(store).document == before


def test_properties_are_dropped(store):
    annotate(store, [pd.DataFrame({"id": ["p"], "x": [1]})])
    annotate(store, drop=["x"])
    assert "x" not in attnstore.open(store).proteins().columns
    with pytest.raises(SourceError, match="not in the store"):
        annotate(store, drop=["x"])
    with pytest.raises(SourceError, match="nothing to annotate with"):
        annotate(store)


def test_a_record_brings_coordinates_to_a_protein_without_any(tmp_path):
    structures = Path(__file__).parents[1] / "data" / "structures"
    source = next(path for path in sorted(structures.iterdir()) if path.suffix == ".pdb")
    ingest_proteins(tmp_path / "whole", [source])
    whole = attnstore.open(tmp_path / "whole")
    sequences = whole.proteins().df()
    fasta = write(tmp_path, "f.fa", "".join(f">{r.id}\n{r.sequence}\n" for r in sequences.itertuples()))
    ingest_proteins(tmp_path / "bare", [fasta])
    done = annotate(tmp_path / "bare", [source])
    assert done.passed_over == 0
    columns = "protein, pos, aa, author_number, ca_x, cb_z, contact_number"
    query = f"SELECT {columns} FROM residues ORDER BY protein, pos"
    assert attnstore.open(tmp_path / "bare").sql(query).fetchall() == whole.sql(query).fetchall()


def test_records_are_matched_by_part_of_an_id_or_by_sequence(store, tmp_path):
    other = write(tmp_path, "o.fa", ">P12345\nGGGWW\n>elsewhere\nMKLV\n")
    done = annotate(store, [other])
    assert (done.matched, done.passed_over) == (1, 1)
    assert annotate(store, [other], match="sequence").matched == 2
    with pytest.raises(SourceError, match=r"no record belongs to a protein in the store, for example .elsewhere"):
        annotate(store, [write(tmp_path, "e.fa", ">elsewhere\nMKLV\n")])


def test_another_sequence_is_refused_skipped_or_aligned(store, tmp_path):
    other = write(tmp_path, "o.fa", ">q\nMKIV\n")
    with pytest.raises(SourceError, match=r"o.fa:1: q is not the sequence .*\(I at residue 3, and L in the store\)"):
        annotate(store, [other])
    assert annotate(store, [other], mismatch="skip").skipped == 1
    # Of another protein nothing is carried over.
    assert annotate(store, [write(tmp_path, "d.fa", ">q\nWWWW\n")], mismatch="align").skipped == 1


def test_two_at_once_lose_nothing_of_each_other(store, tmp_path):
    script = (
        "import sys, pandas as pd; from attnstore.annotate.annotation import annotate; n = sys.argv[2]; "
        "annotate(sys.argv[1], [pd.DataFrame({'id': ['p', 'q'], 'x' + n: [int(n), 0]})], name=n)"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(store), str(n)]) for n in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    frame = attnstore.open(store).proteins().df().set_index("id")
    assert [int(frame.loc["p", f"x{n}"]) for n in range(4)] == [0, 1, 2, 3]


def test_a_reader_goes_on_with_what_it_opened(store):
    opened = attnstore.open(store)
    relation = opened.residues()
    for n in range(3):
        annotate(store, [pd.DataFrame({"id": ["p"], f"x{n}": [n]})], name=str(n))
    assert len(relation.fetchall()) == 14
    assert {"x0", "x1", "x2"} <= {*attnstore.open(store).proteins().columns}


def test_from_python_the_store_comes_back_as_it_is_then(store):
    annotated = attnstore.open(store).annotate(pd.DataFrame({"id": ["p"], "x": [1]}), units={"x": "Å"})
    assert annotated.proteins().df()["x"].dropna().tolist() == [1]


def test_many_rows_in_any_order(tmp_path):
    rng = np.random.default_rng(1)
    lengths = rng.integers(20, 400, 500)
    names = [f"n{i}" for i in range(len(lengths))]
    ingest_proteins(tmp_path / "store", [
        write(tmp_path, "many.fa", "".join(f">{n}\n{''.join(rng.choice(list('ACDEFGHIKL'), k))}\n"
                                           for n, k in zip(names, lengths, strict=True)))
    ])  # fmt: skip
    ids = np.repeat(names, lengths)
    pos = np.concatenate([np.arange(k) for k in lengths])
    x = rng.integers(0, 10**6, len(ids))
    order = rng.permutation(len(ids))
    table = pa.table({"id": ids[order], "pos": pos[order], "x": x[order]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    annotate(tmp_path / "store", [tmp_path / "t.parquet"])
    rows = attnstore.open(tmp_path / "store").sql("SELECT protein, pos, x FROM residues ORDER BY protein_index, pos")
    found = rows.to_arrow_table()
    expected = dict(zip(zip(ids.tolist(), pos.tolist(), strict=True), x.tolist(), strict=True))
    assert dict(zip(zip(found["protein"].to_pylist(), found["pos"].to_pylist(), strict=True), found["x"].to_pylist(),
                    strict=True)) == expected  # fmt: skip


@pytest.fixture
def cli(monkeypatch, capsys):
    """The command line, without the time that a process of its own takes to start."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["attnstore", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code or 0
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


def test_on_the_command_line(store, tmp_path, cli):
    table = write(tmp_path, "t.csv", "id,pos,x,y\np,1,1,2.5\nz,0,0,1\n")
    done = cli("annotate", store, table, "--kinds", "x=boolean", "--units", "y=Å", "--descriptions", "x=is x")
    assert done.returncode == 0, done.stderr
    assert "t.csv are not in the store and left out: 'z'" in done.stderr
    assert [line.split()[:4] for line in done.stdout.splitlines()[2:]] == [
        ["residue", "x", "boolean", "1"], ["residue", "y", "float", "Å"],
    ]  # fmt: skip
    listed = cli("properties", store)
    assert "t.csv" in listed.stdout
    assert "hydrophobic" in listed.stdout
    content = json.loads(cli("properties", store, "--json").stdout)
    (x,) = [row for row in content if row["name"] == "x"]
    assert (x["description"], x["known"], x["positive"], x["type"]) == ("is x", 1, 1, "boolean")
    again = cli("annotate", store, table, "--columns", "x=z", "--json")
    assert json.loads(again.stdout)["properties"] == ["residue z"]
    refused = cli("annotate", store, write(tmp_path, "u.csv", "id,pos,x\np,9,1\n"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: ")
    assert len(refused.stderr.splitlines()) == 1


def test_proteins_without_a_model_on_the_command_line(tmp_path, cli):
    source = write(tmp_path, "f.fa", FASTA)
    done = cli("ingest", tmp_path / "s", source)
    assert done.returncode == 0, done.stderr
    assert "proteins     3" in done.stdout
    refused = cli("ingest", tmp_path / "s", source, "--keep", "arcs")
    assert refused.returncode == 2
    assert "Pass --model too" in refused.stderr


@pytest.mark.parametrize("form", ["duckdb", "parquet"])
def test_export_holds_what_the_store_does(store, tmp_path, form):
    annotate(store, [pd.DataFrame({"id": ["p"], "pos": [0], "x": [1]})])
    target = tmp_path / "out"
    names = attnstore.open(store).export(target, form)
    with contextlib.closing(duckdb.connect()) as connection:
        if form == "duckdb":
            connection.execute(f"ATTACH '{target}' AS o (READ_ONLY)")
        for name in names:
            table = f"o.{name}" if form == "duckdb" else f"'{target / name}.parquet'"
            given = connection.sql(f"FROM {table} ORDER BY ALL").fetchall()
            assert given == attnstore.open(store).sql(f"SELECT * FROM {name} ORDER BY ALL").fetchall(), name
    with pytest.raises(AttnstoreError, match="exists already"):
        attnstore.open(store).export(target, form)
    with pytest.raises(AttnstoreError, match="no format"):
        attnstore.open(store).export(tmp_path / "other", "xlsx")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_store_from_before_there_were_properties_answers_or_refuses_in_a_sentence(tmp_path, cli):
    with tarfile.open(Path(__file__).parents[1] / "data" / "stores" / "0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    old = tmp_path / "store"
    listed = cli("properties", old)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "insertion_code" in listed.stdout
    exported = cli("export", old, tmp_path / "out")
    assert (exported.returncode, exported.stderr) == (0, "")
    with contextlib.closing(duckdb.connect(tmp_path / "out", read_only=True)) as connection:
        assert connection.sql("SELECT count(*) FROM residues").fetchall() == [(95,)]
    more = (cli("annotate", old, write(tmp_path, "t.csv", "id,x\n1AAA_A,1\n")), cli("annotate", old, "--drop", "x"),
            cli("ingest", old, write(tmp_path, "n.fa", ">n\nMKLV\n")))  # fmt: skip
    for refused in more:
        assert refused.returncode == 1
        assert refused.stderr.endswith("was made before stores had properties. Ingest it again.\n")
        assert len(refused.stderr.splitlines()) == 1
