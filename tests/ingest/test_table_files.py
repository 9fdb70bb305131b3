"""Tables as people's programs write them: what is read without being told, and what is asked for or refused by name."""

import codecs
import gzip
import io
import random
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attnstore.annotate.table_cells import convert_cells
from attnstore.errors import SourceError
from attnstore.readers import tables

N = None


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, *, kinds=None, missing=(), decimal=N, **options):
    """A table's columns by name, as numbers, booleans and text, and the warnings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = tables.read(path, **options)
        others = [name for name in table.columns if name not in ("id", "pos")]
        table = convert_cells(table, others, kinds or {}, missing, decimal)
    return table.content.to_pydict(), [str(each.message) for each in said]


FRAME = pd.DataFrame(
    {"id": ["p", "q", "q"], "pos": ["0", "1", "2"], "x": [1.5, -0.25, 300.0], "n": [1, 2, 30],
     "site": [True, False, True], "note": ["a b", "c;d,e|f", "ü"]}
)  # fmt: skip
EXPECTED = FRAME.to_dict("list")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.tab", "t.psv", "t.csv.gz"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("comma", [False, True])
def test_separator_and_decimal_comma_are_found_whatever_the_suffix(tmp_path, name, separator, comma):
    """pandas writes the file, and quotes what holds the separator."""
    text = FRAME.to_csv(index=False, sep=separator, decimal="," if comma else ".")
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    assert read(write(tmp_path, content, name)) == (EXPECTED, [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "bom be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_of_unicode_are_found(tmp_path, encoding, end):
    text = FRAME.to_csv(index=False, lineterminator=end)
    content = codecs.BOM_UTF16_BE + text.encode("utf-16-be") if encoding == "bom be" else text.encode(encoding)
    assert read(write(tmp_path, content)) == (EXPECTED, [])


def test_what_is_not_utf_8_is_windows_1252_and_said_so_or_as_the_user_says(tmp_path):
    path = write(tmp_path, "id,note\np,a\nq,5 Å µ\n".encode("cp1252"))
    columns, said = read(path)
    assert columns["note"] == ["a", "5 Å µ"]
    (warning,) = said
    assert f"{path}:3 is not UTF-8 text and is read as Windows-1252, which makes it 'Å'" in warning
    assert read(path, encoding="cp1252") == (columns, [])
    assert read(path, encoding="latin-1") == (columns, [])
    assert read(write(tmp_path, "id,note\np,ł\n".encode("cp1250")), encoding="cp1250")[0]["note"] == ["ł"]
    with pytest.raises(SourceError, match=r"t.csv:2 holds the byte 0x81, which is not UTF-8 .* encoding='latin-1'"):
        read(write(tmp_path, b"id,x\n\x81,1\n"))
    for given in ("utf-9", "hex", "rot13", 5):
        with pytest.raises(SourceError, match=f"encoding={given!r} is not an encoding of text"):
            read(path, encoding=given)
    with pytest.raises(SourceError, match="cannot be read as ascii"):
        read(path, encoding="ascii")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# made by hand\nid,x\np,1\n", {"id": ["p"], "x": [1]}),
        ("# 2024/01/01 - 12:00 | PDB: 01.24\t\n#\n\nid\tx\np\t1\n", {"id": ["p"], "x": [1]}),
        ('"# quoted, as a spreadsheet does"\nid;x\np;1,5\n', {"id": ["p"], "x": [1.5]}),
        ("#id\tx\np\t1\n", {"id": ["p"], "x": [1]}),
        ("# a comment\n# id, x\np,1\n", {"id": ["p"], "x": [1]}),
        ("sep=;\nid;x\np;1\n", {"id": ["p"], "x": [1]}),
        # A comment that names a key is none of the heading where the heading has one.
        ("# id, the protein\nid,x\np,1\n", {"id": ["p"], "x": [1]}),
        (" id , x \n p , 1 \n", {"id": ["p"], "x": [1]}),
        ("id,x\n\np,1\n\n", {"id": ["p"], "x": [1]}),
        ('id,"x"\n"p","1"\n', {"id": ["p"], "x": [1]}),
    ],
)  # fmt: skip
def test_the_heading_is_found_below_comments_and_in_one(tmp_path, content, expected):
    for name in ("t.csv", "t.tsv"):
        assert read(write(tmp_path, content, name)) == (expected, [])


def test_two_columns_below_a_comment_are_no_clusters(tmp_path):
    content = "p\tp\np\tq\n"
    assert read(write(tmp_path, content, "c_cluster.tsv"))[0] == {"cluster": ["p", "p"], "id": ["p", "q"]}
    assert "id" not in tables.read(write(tmp_path, f"# SIFTS\t\nPDB\tCHAIN\n{content}", "c.tsv")).columns


@pytest.mark.parametrize(
    "content",
    [
        ",id,x\n0,p,1\n1,q,2\n", "Unnamed: 0,id,x\n0,p,1\n7,q,2\n", "id,x,\np,1,\nq,2,\n",
        '"","id","x"\n"1","p",1\n"2","q",2\n',
        # R's write.table, whose heading is short of the names of rows.
        '"id" "x"\n"1" "p" 1\n"2" "q" 2\n'.replace(" ", "\t"),
    ],
)  # fmt: skip
def test_an_index_without_a_name_is_no_property(tmp_path, content):
    assert read(write(tmp_path, content)) == ({"id": ["p", "q"], "x": [1, 2]}, [])


def test_a_column_without_a_name_that_counts_no_rows_is_said(tmp_path):
    columns, said = read(write(tmp_path, "id,,x\np,a,1\nq,b,2\n"))
    assert columns == {"id": ["p", "q"], "x": [1, 2]}
    assert len(said) == 1
    assert "column 2, which has no name, is left out" in said[0]


MISSING = ["NA", "N/A", "#N/A", "null", "None", "nan", "-", ".", "", "NaN", "na", "NULL"]


@pytest.mark.parametrize("token", MISSING)
@pytest.mark.parametrize(
    ("cells", "values"),
    [(["1.5", "2"], [1.5, 2]), (["3", "-4"], [3, -4]), (["TRUE", "false"], [True, False]), (["1e3", ".5"], [1e3, 0.5])],
)
def test_what_stands_for_a_missing_number_is_missing_and_counted(tmp_path, token, cells, values):
    rows = "".join(f"p{number},{cell},{cell}\n" for number, cell in enumerate([cells[0], token, cells[1], token]))
    columns, said = read(write(tmp_path, f"id,x,y\n{rows}"), kinds={"y": "category"})
    assert columns["x"] == [values[0], N, values[1], N]
    assert [type(value) for value in columns["x"] if value is not N] == [type(values[0])] * 2
    # As text it is text.
    assert columns["y"] == [cells[0], token or N, cells[1], token or N]
    expected = [f"cells such as {token!r} are missing values in columns of numbers: 2 in column 'x';"] * (token != "")
    assert len(said) == len(expected)
    assert all(words in warning for words, warning in zip(expected, said, strict=True))


def test_in_columns_of_text_they_are_text_unless_it_is_asked_for(tmp_path):
    path = write(tmp_path, "id,ion,strand\np,NA,-\nq,CL,+\nr,none,.\n")
    assert read(path) == ({"id": ["p", "q", "r"], "ion": ["NA", "CL", "none"], "strand": ["-", "+", "."]}, [])
    asked = read(path, missing=["NA", "."])[0]
    assert (asked["ion"], asked["strand"]) == ([N, "CL", "none"], ["-", "+", N])
    only = read(write(tmp_path, "id,x,y\np,-,NA\nq,-,NA\n"))[0]
    assert only == {"id": ["p", "q"], "x": ["-", "-"], "y": [N, N]}


def test_a_column_of_numbers_but_for_a_few_cells_is_text_with_a_warning(tmp_path):
    path = write(tmp_path, "id,x,label\np,1.5,52\nq,<0.1,52A\nr,2,b\n")
    columns, said = read(path)
    assert columns["x"] == ["1.5", "<0.1", "2"]
    assert len(said) == 1
    assert f"{path}:3: column 'x' is read as text, for 1 of its 3 cells are not numbers, as '<0.1'" in said[0]
    assert read(path, missing=["<0.1"])[0]["x"] == [1.5, N, 2.0]
    assert read(path, kinds={"x": "category"}) == (columns, [])


@pytest.mark.parametrize(
    ("kind", "cells", "bad", "what"),
    [
        ("float", ["1", "NA", "1.2.3"], 2, "a number"), ("float", ["high", "1"], 0, "a number"),
        ("integer", ["1", "2.0", "2.5"], 2, "a whole number"), ("boolean", ["1", "true", "yes"], 2, "boolean"),
        ("float", ["1", '"two\nlines"', "x"], 1, "a number"),
    ],
)  # fmt: skip
def test_a_kind_that_is_asked_for_names_the_first_cell_that_is_not_of_it(tmp_path, kind, cells, bad, what):
    path = write(tmp_path, "# c\nid,x\n" + "".join(f"p{number},{cell}\n" for number, cell in enumerate(cells)))
    cell = cells[bad].strip('"')
    with pytest.raises(SourceError) as refused:
        read(path, kinds={"x": kind})
    assert str(refused.value).startswith(f"{path}:{3 + bad}: column 'x' has {cell!r}, which is not {what}")


def test_whole_numbers_of_more_than_64_bits_lose_no_digit(tmp_path):
    path = write(tmp_path, f"id,x\np,{2**70 + 1}\nq,5\n")
    columns, said = read(path)
    assert columns["x"] == [str(2**70 + 1), "5"]
    assert len(said) == 1
    assert "column 'x' is read as text, for it has whole numbers of more than 64 bits" in said[0]
    assert read(path, kinds={"x": "float"})[0]["x"] == [float(2**70 + 1), 5.0]
    with pytest.raises(SourceError, match=rf":2: column 'x' has '{2**70 + 1}', which is not a whole number of 64 bits"):
        read(path, kinds={"x": "integer"})


def test_parquet_whose_text_is_none_is_refused(tmp_path):
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff")])
    pq.write_table(pa.table({"id": bad}), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=r"is not a readable Parquet file .*UTF8"):
        tables.read(tmp_path / "t.parquet")


def test_kinds_that_are_asked_for(tmp_path):
    path = write(tmp_path, "id,x\np,1\nq,0\nr,NA\n")
    for kind, values in (("float", [1.0, 0.0, N]), ("boolean", [True, False, N]), ("category", ["1", "0", "NA"])):
        found = read(path, kinds={"x": kind})[0]["x"]
        assert found == values
        assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # Sure by one cell of the file; a sign, an exponent, no digit before it.
        ("id;x\np;1,5\nq;1,234\n", [1.5, 1.234]), ("id;x\np;0,125\nq;12\n", [0.125, 12.0]),
        ("id;x\np;-,5\nq;+2,5e3\n", [-0.5, 2500.0]), ('id,x\np,"1,5"\nq,"2,5"\n', [1.5, 2.5]),
        ("id;y;x\np;2,50;1,234\nq;1;2,345\n", [1.234, 2.345]), ("id\tx\np\t1234,567\nq\t1\n", [1234.567, 1.0]),
    ],
)  # fmt: skip
def test_a_decimal_comma_loses_no_digit(tmp_path, content, expected):
    columns, said = read(write(tmp_path, content))
    assert (columns["x"], said) == (expected, [])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("id;x\np;1,234\nq;2,345\n", {}, ":2: column 'x' has '1,234', where the comma may stand before .*decimal=','"),
        ('id,x\np,5\nq,"12,345"\n', {}, ":3: column 'x' has '12,345', where the comma may stand"),
        ("id;x\np;1,234,567\nq;5\n", {}, ":2: column 'x' has '1,234,567': write numbers without a mark"),
        ("id;x\np;1.234,5\nq;5\n", {}, ":2: column 'x' has '1.234,5': write numbers without a mark"),
        ("id;x\np;1,234.5\nq;5\n", {}, ":2: column 'x' has '1,234.5': write numbers without a mark"),
        ("id;x\np;1,234\nq;5\n", {"decimal": "."}, ":2: column 'x' has '1,234': write numbers without a mark"),
        ("id;x;y\np;1,5;2.500\n", {}, ":2: column 'y' has '2.500', and column 'x' has decimal commas"),
        ("id;x\np;1.5\n", {"decimal": ","}, ":2: column 'x' has '1.5', and decimal=','"),
    ],
)  # fmt: skip
def test_a_comma_that_may_be_either_is_asked_for(tmp_path, content, options, message):
    with pytest.raises(SourceError, match=message):
        read(write(tmp_path, content), **options)


def test_the_decimal_comma_that_is_asked_for(tmp_path):
    assert read(write(tmp_path, "id;x\np;1,234\nq;5\n"), decimal=",")[0]["x"] == [1.234, 5.0]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("id,x\np,1\nq,1,2\n", {}, ":3 is not a readable table: 3 cells where the heading has 2, separated by commas"),
        ("id;x\np;1\n# end\n", {}, ":3 .*1 cell where .*semicolons .comments are left out only before the heading"),
        ('id,x\np,"a\nb"\nq\n', {}, ":4 is not a readable table: 1 cell where"),
        ("", {}, "it has no heading"), ("\n\n", {}, "it has no heading"), ("#\n", {}, "it has no heading"),
        ("a b;c,d\n1 2;3,4\n", {}, "may be separated by commas or semicolons: say which, as delimiter=',"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_with_its_line(tmp_path, content, options, message):
    path = write(tmp_path, content, "t.tsv" if "a b" in content else "t.csv")
    with pytest.raises(SourceError, match=message):
        read(path, **options)


def test_a_separator_that_is_asked_for(tmp_path):
    path = write(tmp_path, "a b;id,x\n1 2;3,4\n")
    assert tables.read(path, delimiter=";").columns == ["a b", "id,x"]
    assert tables.read(path, delimiter=",").columns == ["a b;id", "x"]
    parquet = tmp_path / "t.parquet"
    FRAME.to_parquet(parquet)
    with pytest.raises(SourceError, match="is Parquet, which has no delimiter"):
        tables.read(parquet, delimiter=",")


def test_lines_are_named_where_cells_have_some(tmp_path):
    table = tables.read(write(tmp_path, '# c\n# c\n"id",x\n"p","a\nb"\n\nq,2\nr,3\n'))
    assert [table.at(row).rpartition(":")[2] for row in range(3)] == ["4", "7", "8"]


@pytest.mark.parametrize("seed", range(8))
def test_what_pandas_reads_is_read_the_same(tmp_path, seed):
    """Random tables, written in ways that pandas is told and attnstore is not."""
    rng = random.Random(seed)
    rows = rng.randrange(1, 40)
    numbers = np.random.default_rng(seed).normal(size=rows).round(rng.choice([1, 2, 5]))
    frame = pd.DataFrame(
        {"id": [f"p{rng.randrange(9)}" for _ in range(rows)], "x": np.where(numbers > 1, np.nan, numbers),
         "n": [rng.randrange(10**9) for _ in range(rows)],
         "t": [rng.choice(["a,b", "c;d", 'e"f', "g|h"]) for _ in range(rows)]}
    )  # fmt: skip
    separator, decimal = rng.choice([(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ".")])
    encoding, token = rng.choice(["utf-8", "utf-16", "utf-8-sig"]), rng.choice(["", "NA", "nan", "-", "N/A"])
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, sep=separator, decimal=decimal, na_rep=token)
    path = write(tmp_path, (rng.choice(["", "# c\n"]) + buffer.getvalue()).encode(encoding))
    columns, _ = read(path)
    expected = frame.to_dict("list")
    found_x = [np.nan if value is N else value for value in columns.pop("x")]
    np.testing.assert_array_equal(found_x, expected.pop("x"))
    assert columns == expected
