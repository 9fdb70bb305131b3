"""Tables and frames onto a store: keys called or written otherwise, rows of no protein, properties already there."""

import shlex
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.catalog.property import is_name, legal_name
from attnstore.cli import cli
from attnstore.errors import SourceError
from attnstore.ingest import ingest_proteins

DSSP = Path(__file__).parents[1] / "data" / "dssp"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "f.fa").write_text(">P1\nACDEF\n>P2\nMKLV\n>sp|Q12345|NAME\nGGGW\n")
    ingest_proteins(folder / "s.attn", [folder / "f.fa"])
    return folder / "s.attn"


@pytest.fixture
def store(tmp_path, whole):
    return Path(shutil.copytree(whole, tmp_path / "s.attn"))


def write(store, content, name="t.csv"):
    path = store.parent / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def values(store, name):
    rows = attnstore.open(store).sql(f"SELECT protein, pos, {name} FROM residues WHERE {name} IS NOT NULL ORDER BY ALL")
    return rows.fetchall()


def command(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


BASE = pd.DataFrame({"id": ["P1", "P1", "P2"], "pos": [0, 1, 0], "x": [1.5, 2.5, None]})


class Stream:
    """A frame of whatever library, by Arrow's protocol alone."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def frames(x):
    """The same two values in frames of every make, in a column `x`."""
    base = BASE.rename(columns={"x": x})
    unnamed = pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("c", 3)])
    return {
        "nullable": base.astype({"id": "string", "pos": "Int64", x: "Float64"}),
        "arrow dtypes": base.astype({"id": "string[pyarrow]", "pos": "int64[pyarrow]", x: "double[pyarrow]"}),
        "objects": base.astype(object),
        "lists of None": pd.DataFrame({**base.to_dict("list"), x: [1.5, 2.5, None]}),
        "categories": base.astype({"id": "category"}),
        "int8": base.astype({"pos": np.int8}),
        "uint64": base.astype({"pos": np.uint64}),
        "float positions": base.astype({"pos": float}),
        "index of keys": base.set_index(["id", "pos"]),
        "index of keys, the other way": base.set_index(["pos", "id"]),
        "index of ids": base.set_index("id"),
        "index with gaps": base.set_axis([5, 9, 40]),
        "index with a name": base.rename_axis("row"),
        "index of text": base.set_axis(["a", "b", "c"]),
        "index of both, unnamed": base.set_axis(unnamed),
        "spaces": base.assign(id=[" P1", "P1 ", "P2"]),
        "headings in other cases": base.rename(columns={"id": "ID", "pos": "Pos"}),
        "an index as a column": base.reset_index(names="Unnamed: 0"),
        "any frame": Stream(pa.Table.from_pandas(base)),
        "a reader": pa.Table.from_pandas(base, preserve_index=False).to_reader(),
        "a protein column": base.rename(columns={"id": "protein"}),
    }


def test_frames_of_every_make_annotate_the_same_values(store):
    names = list(frames("x"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annotate(store, [frames(f"x{number}")[name] for number, name in enumerate(names)])
    for number, name in enumerate(names):
        assert values(store, f"x{number}") == [("P1", 0, 1.5), ("P1", 1, 2.5)], name
    assert not {"row", "index", "level_0"} & {*attnstore.open(store).residues().columns}


def test_an_index_of_ids_without_a_name_is_refused_with_what_to_type(store):
    for names in (["id", "pos"], ["id"]):
        frame = BASE.set_index(names)
        frame.index.names = [None] * len(names)
        frame = frame[["x"]].dropna()
        with pytest.raises(
            SourceError, match=r"an index without names that begins with .*`frame.rename_axis"
        ) as refused:
            annotate(store, [frame])
        cure = str(refused.value).split("`")[1]
        named = eval(cure, {"frame": frame})
        assert {*named.index.names} == {*names}
    annotate(store, [frame.iloc[:1].rename_axis(index=["id"])])


@pytest.mark.parametrize("frame", ["bool", "Int64"])
def test_missing_values_of_nullable_columns(store, frame):
    column = pd.array([True, None, False], "boolean") if frame == "bool" else pd.array([7, None, 8], "Int64")
    annotate(store, [BASE.assign(x=column)])
    assert values(store, "x") == [("P1", 0, column[0]), ("P2", 0, column[2])]


def test_amino_acids_may_be_letters_in_any_case_or_codes_of_three(store):
    written = (["A", "C", "M"], ["a", "c", "m"], ["Ala", "CYS", "met"], ["ala", " cys", "MSE"])
    annotate(store, [BASE.rename(columns={"x": f"x{n}"}).assign(AA=letters) for n, letters in enumerate(written)])
    assert all(len(values(store, f"x{number}")) == 2 for number in range(len(written)))
    for wrong in ("ALA", "z", "Alanine"):
        with pytest.raises(SourceError, match=f"row 2: the residue is {wrong} there and C in the store"):
            annotate(store, [BASE.assign(aa=["A", wrong, "M"])])


@pytest.mark.parametrize("numbering", ["0", "1", "author"])
def test_a_column_of_positions_of_another_name_never_makes_properties_of_proteins(whole, tmp_path, numbering):
    for name in ("position", "Residue_Number", "resi", "PDB_ResNum", "auth_seq_id"):
        table = tmp_path / f"{name}.csv"
        table.write_text(f"id,{name},ddg\nP1,1,1.5\nP2,2,2.5\n")
        with pytest.raises(SourceError, match=f"has no column pos, and '{name}' seems to hold positions") as refused:
            annotate(whole, [table], numbering=numbering)
        assert f"on=['id', '{name}']" in str(refused.value)
        assert "on=['id'] if every row is of a whole protein" in str(refused.value)


def test_what_is_said_of_positions_of_another_name_works_when_typed(store):
    table = write(store, "id,resid,ddg\nP1,1,1.5\nP2,2,2.5\n")
    annotate(store, [table], on=["id", "resid"])
    assert values(store, "ddg") == [("P1", 1, 1.5), ("P2", 2, 2.5)]
    annotate(store, [table], on=["id"], columns={"ddg": "of_protein"})
    assert attnstore.open(store).sql("SELECT of_protein FROM proteins LIMIT 2").fetchall() == [(1.5,), (2.5,)]


def test_numbering_without_positions_and_pairs_without_ends_are_refused(store):
    with pytest.raises(
        SourceError, match=r"no column pos, so numbering='author' has nothing to number: .*on=\['id', 'POS'\]"
    ):
        annotate(store, [write(store, "id,ddg\nP1,1.5\n")], numbering="author")
    with pytest.raises(SourceError, match=r"'i' and 'j' seem to hold positions of pairs: say on=\['id', 'i', 'j'\]"):
        annotate(store, [write(store, "id,i,j,w\nP1,0,1,2.5\nP1,1,2,0.5\n")])
    with pytest.raises(SourceError, match=r"t.csv:3: P1 is given a second time there; .*as on=\['id', 'pos'\]"):
        annotate(store, [write(store, "id,number,ddg\nP1,1,1.5\nP1,2,2.5\n")])


def test_positions_that_are_none_are_named_with_line_and_cure(store):
    with pytest.raises(
        SourceError, match=r"t.csv:3: column 'pos' has '52A', which is not a whole .*numbering='author'"
    ):
        annotate(store, [write(store, "id,pos,x\nP1,0,1\nP1,52A,2\n")])
    with pytest.raises(SourceError, match=r"t.csv:2: column 'pos' has no value"):
        annotate(store, [write(store, "id,pos,x\nP1,,1\n")])
    annotate(store, [write(store, "id,pos,x\nP1,0.0,1\nP1,+2,2\n")])
    assert values(store, "x") == [("P1", 0, 1), ("P1", 2, 2)]


def test_ids_of_no_protein_are_listed_with_what_the_store_has(store):
    table = write(
        store, "id,x\np1,1\nP2,2\nQ12346,3\n ,4\n".replace(" ,4", "zzz,4") + "".join(f"w{n},1\n" for n in range(50))
    )
    with pytest.warns(UserWarning, match="53 of 54 ids of .*t.csv are not in the store and left out: ") as said:
        assert annotate(store, [table]).passed_over == 53
    (message,) = [str(each.message) for each in said]
    assert message.endswith("'p1' (the store has 'P1'), 'Q12346', 'zzz', ….") or "nearest in the store" in message
    assert "'p1' (the store has 'P1')" in message
    with pytest.raises(SourceError, match=r"is in the store, for example 'p2' .the store has 'P2'.: check the ids"):
        annotate(store, [write(store, "id,x\np2,1\n")])
    records = write(store, ">p1\nACDEF\n>P2\nMKLV\n", "o.fa")
    with pytest.warns(UserWarning, match=r"proteins that are not in the store are left out: 'p1' .the store has 'P1'"):
        annotate(store, [records])


HEADINGS = {
    "ΔΔG (kcal/mol)": "ddG_kcal_mol", "Länge (Å)": "Laenge_a", "3D score": "x3D_score", "% buried": "percent_buried",
    "a,b": "a_b", "k=v": "k_v", '5"': "x5", "it's": "it_s", "蛋白": "value", "x" * 80: "x" * 63, "C-α": "C_alpha",
}  # fmt: skip


def test_headings_that_cannot_be_names_are_given_some_that_work_when_typed(store):
    quoted = ",".join('"' + heading.replace('"', '""') + '"' for heading in HEADINGS)
    table = write(store, f"id,pos,{quoted},y\nP1,0{',1.5' * len(HEADINGS)},7\n")
    with pytest.raises(SourceError, match=r"column 'ΔΔG \(kcal/mol\)' cannot give a property its name") as refused:
        annotate(store, [table])
    columns = eval(str(refused.value).partition("say columns=")[2].rstrip("."))
    assert columns == HEADINGS | {"y": "y"}
    assert all(legal_name(heading) == name and is_name(name) for heading, name in HEADINGS.items())
    annotate(store, [table], columns=columns)
    assert all(values(store, name) == [("P1", 0, 1.5)] for name in HEADINGS.values())
    annotate(store, drop=[*HEADINGS.values(), "y"])
    # On the command line a name with a comma stands in double quotes.
    said = str(command("annotate", store, table).exception)
    typed = shlex.split(said[said.index("--columns") :].removesuffix("."))
    done = command("annotate", store, table, *typed)
    assert done.exit_code == 0, done.output
    assert all(values(store, name) == [("P1", 0, 1.5)] for name in HEADINGS.values())


def test_names_that_are_made_are_not_given_twice(store):
    with pytest.raises(SourceError, match=r"columns=\{'a b': 'a_b_2', 'a-b': 'a_b_3', 'a_b': 'a_b'\}"):
        annotate(store, [write(store, "id,a b,a-b,a_b\nP1,1,2,3\n")])


def test_of_several_properties_those_that_are_there_stay_and_the_others_are_added(store):
    annotate(store, [BASE], name="first")
    more = BASE.assign(x=[9.0, 8.0, 7.0], y=[1, 2, 3])
    with pytest.warns(
        UserWarning, match=r"residue x of 1 protein is known already, .* and stays as it was: replace=True"
    ):
        done = annotate(store, [more], name="second")
    assert done.properties == ("residue y",)
    # Of P2, too, x stays: a property comes from one source or from the other.
    assert values(store, "x") == [("P1", 0, 1.5), ("P1", 1, 2.5)]
    assert len(values(store, "y")) == 3
    before = attnstore.open(store).document
    with pytest.warns(UserWarning, match="stays as it was"):
        annotate(store, [more], name="second")
    assert attnstore.open(store).document == before
    with pytest.raises(SourceError, match=r"residue x of 1 protein .*columns=\{'x': 'x_2'\} adds the new ones"):
        annotate(store, [more[["id", "pos", "x"]]], name="third")
    annotate(store, [more], columns={"x": "x_2"}, name="third")
    with pytest.warns(
        UserWarning, match=r"residue x \(given as category, in the store as float\) of 2 proteins is known"
    ):
        annotate(store, [more[["id", "pos"]].assign(x=list("abc"), z=True)], name="fourth")
    assert len(values(store, "z")) == 3
    annotate(store, [more], replace=True, name="second")
    assert values(store, "x") == [("P1", 0, 9.0), ("P1", 1, 8.0), ("P2", 0, 7.0)] == values(store, "x_2")


def test_pairs_that_are_there_stay_and_others_are_added(store):
    pairs = pd.DataFrame({"id": ["P1"], "source": [0], "target": [1], "w": [1.0]})
    annotate(store, [pairs], name="first")
    with pytest.warns(UserWarning, match="pair w of 1 protein is known already"):
        annotate(store, [pd.concat([pairs, pairs.assign(id="P2")]).assign(w=5.0, v=2)], name="second")
    found = attnstore.open(store).sql("SELECT protein, source, target, w, v FROM pairs ORDER BY ALL").fetchall()
    assert found == [("P1", 0, 1, 1.0, 2), ("P2", 0, 1, None, 2)]
    assert attnstore.open(store).verify() == []


def test_columns_chooses_and_renames_what_every_kind_of_file_gives(tmp_path):
    store = tmp_path / "s.attn"
    ingest_proteins(store, [DSSP / "2BEG_model1.pdb.gz"])
    dssp = DSSP / "2BEG.dssp.gz"
    with pytest.warns(UserWarning, match="residue rsa of 1 protein is known already"):
        assert annotate(store, [dssp]).properties == ("residue ss3", "residue ss4", "residue ss8")
    assert annotate(store, [dssp], columns={"rsa": "rsa_dssp"}).properties == ("residue rsa_dssp",)
    assert annotate(store, [dssp], columns=["ss8"], replace=True).properties == ("residue ss8",)
    structure = DSSP / "2BEG_model1.pdb.gz"
    assert annotate(store, [structure], columns={"rsa": "rsa_pdb"}).properties == ("residue rsa_pdb",)
    assert "rsa_pdb" in attnstore.open(store).residues().columns
    with pytest.raises(SourceError, match=r"is a file without a property 'foo': it may give .*ss8"):
        annotate(store, [dssp], columns=["foo"])
    fasta = tmp_path / "x.fa"
    fasta.write_text(">a\nACD\n")
    with pytest.raises(SourceError, match="without a property 'x': it gives none"):
        annotate(store, [fasta], columns=["x"])


@pytest.mark.parametrize(
    "options",
    [{"on": ["id"]}, {"kinds": {"x": "float"}}, {"units": {"x": "Å"}}, {"descriptions": {"x": "y"}}, {"numbering": "1"},
     {"symmetric": True}, {"missing": ["NA"]}, {"delimiter": ";"}, {"decimal": ","}, {"encoding": "cp1252"}],
)  # fmt: skip
def test_options_of_tables_are_refused_where_no_input_is_one(store, options):
    (name,) = options
    fasta = write(store, ">P1\nACDEF\n", "o.fa")
    with pytest.raises(SourceError, match=f"{name}=… says how a table .*leave {name}=… out"):
        annotate(store, [fasta], **options)
    if name in ("delimiter", "decimal", "encoding"):
        with pytest.raises(SourceError, match=f"{name}=… says how a table of text"):
            annotate(store, [BASE], **options)


def test_on_the_command_line(store):
    table = write(store, "id|pos|x|note\nP1|0|1,5|NA\nP1|1|-|b\n".encode("utf-16"), "t.csv")
    done = command(
        "annotate", store, table, "--missing", "NA,-", "--delimiter", "|", "--decimal", ",", "--encoding", "utf-16"
    )
    assert done.exit_code == 0, done.output
    assert (values(store, "x"), values(store, "note")) == ([("P1", 0, 1.5)], [("P1", 1, "b")])
    for separator in ("tab", "\\t"):
        table = write(store, f"id\tpos\t{separator[-1]}1\nP1\t0\t1\n", "u.csv")
        done = command("annotate", store, table, "--delimiter", separator)
        assert done.exit_code == 0, done.output
    with pytest.raises(SourceError, match="delimiter='ab' is not one character"):
        annotate(store, [table], delimiter="ab")


@pytest.mark.parametrize(
    ("given", "missing", "expected"),
    [
        ("id;pos;x\nP1;0;-999,0\nP1;1;2,5\nP1;2;-9\n", ["-999"], [("P1", 1, 2.5), ("P1", 2, -9.0)]),
        (BASE.assign(x=[-999, 2, 3]), ["-999.0"], [("P1", 1, 2), ("P2", 0, 3)]),
        (BASE.assign(x=np.array([9.5, 9999, 1], np.float32)), ["9999", "NA"], [("P1", 0, 9.5), ("P2", 0, 1.0)]),
        (BASE.assign(x=[2**60 + 1, 7, 2**60]), [str(2**60), "1e400", "x"], [("P1", 0, 2**60 + 1), ("P1", 1, 7)]),
        (BASE.assign(x=["1", "1.0", "2"]), ["1"], [("P1", 1, "1.0"), ("P2", 0, "2")]),
    ],
)
def test_a_number_that_stands_for_missing_does_so_however_it_is_written(store, given, missing, expected):
    annotate(store, [write(store, given) if isinstance(given, str) else given], missing=missing)
    assert values(store, "x") == expected


def test_an_index_that_pandas_saved_without_a_name_becomes_no_property(store):
    mixed = BASE.iloc[[2, 0, 1]]
    mixed.to_parquet(store.parent / "mixed.parquet")
    with pytest.warns(UserWarning, match=r"'__index_level_0__', the index .* \(frame\.rename_axis\(index='NAME'\)\)"):
        assert annotate(store, [store.parent / "mixed.parquet"]).properties == ("residue x",)
    twice = "Unnamed: 0.1,Unnamed: 0,id,pos,y\n0,0,P1,3,1\n1,1,P1,2,5\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert annotate(store, [write(store, twice)]).properties == ("residue y",)
    assert values(store, "y") == [("P1", 2, 5), ("P1", 3, 1)]


def test_a_column_of_pandas_is_read_with_its_index(store):
    annotate(store, [BASE.set_index(["id", "pos"])["x"]])
    assert values(store, "x") == [("P1", 0, 1.5), ("P1", 1, 2.5)]


@pytest.mark.parametrize("cells", [("1.234,5", "2,5"), ("1.234.567", "8,25"), ("-1.000,0", "1e-3")])
def test_thousands_beside_decimal_commas_are_refused_and_do_not_become_text(store, cells):
    first, second = cells
    with pytest.raises(SourceError, match=r"t\.csv:2: column 'x' has .* without a mark between thousands"):
        annotate(store, [write(store, f"id;pos;x\nP1;0;{first}\nP1;1;{second}\n")])


@pytest.mark.parametrize("line", ["My table", "! made by a program", "// v1", '"Table 1"'])
def test_a_line_before_the_heading_is_named_as_that(store, line):
    words = r"its heading, '.*', has 1 cell and line 2 has 3, .*: remove the lines before the names of the columns"
    with pytest.raises(SourceError, match=words):
        annotate(store, [write(store, f"{line}\nid,pos,x\nP1,0,1\n")])
    annotate(store, [write(store, f"# {line}\nid,pos,x\nP1,0,1\n")])
    assert values(store, "x") == [("P1", 0, 1)]
