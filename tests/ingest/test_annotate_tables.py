"""Tables that are not what one would wish for: what of them lands, and where; what is refused."""

import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.annotate.matching import Ids, fit_record
from attnstore.catalog.property import Property, along, between
from attnstore.catalog.rows import Structure
from attnstore.catalog.writer import CatalogWriter
from attnstore.errors import SourceError
from attnstore.format.documents import StoreDocument
from attnstore.ingest import ingest_proteins
from attnstore.integrity import verify
from attnstore.readers.record import Record

N = None


@pytest.fixture
def store(tmp_path):
    (tmp_path / "f.fa").write_text(">p\nACDEF\n>q\nMKLV\n>1E10\nGGGW\n>007\nKKKK\n")
    ingest_proteins(tmp_path / "store", [tmp_path / "f.fa"])
    return tmp_path / "store"


def rows(store, statement):
    return attnstore.open(store).sql(statement).fetchall()


def csv(tmp_path, content, name="t.csv"):
    (tmp_path / name).write_text(content)
    return tmp_path / name


@pytest.mark.parametrize("unknown", [["z"], ["z", "y"]])
@pytest.mark.parametrize("known", ["p", "q", "007"])
def test_ids_that_are_not_in_the_store_take_nothing_from_those_that_are(store, unknown, known):
    done = annotate(store, [pd.DataFrame({"id": [*unknown, known], "x": [*[1] * len(unknown), 2]})])
    assert (done.matched, done.passed_over) == (1, len(unknown))
    assert rows(store, "SELECT id, x FROM proteins WHERE x IS NOT NULL") == [(known, 2)]


def test_ids_that_look_like_numbers_are_text(store, tmp_path):
    annotate(store, [csv(tmp_path, "id,x\n1E10,5\n007,6\n")])
    assert rows(store, "SELECT id, x FROM proteins WHERE x > 0") == [("1E10", 5), ("007", 6)]
    annotate(store, [csv(tmp_path, "name,y\n007,6\n")], on=["name"])
    assert rows(store, "SELECT id, y FROM proteins WHERE y > 0") == [("007", 6)]


def test_a_heading_of_two_names_is_none_of_clusters_where_keys_are_named(store, tmp_path):
    annotate(store, [csv(tmp_path, "name\ty\nq\t6\n", "t.tsv")], on=["name"])
    assert rows(store, "SELECT id, y FROM proteins WHERE y > 0") == [("q", 6)]


def test_a_quoted_value_may_have_lines_wherever_in_a_file_it_is(store, tmp_path):
    # More than one block of what Arrow reads at once.
    many = "".join(f'z{n},"a\nb"\n' for n in range(150_000))
    annotate(store, [csv(tmp_path, f'id,x\n{many}p,"c\nd"\n')])
    assert rows(store, "SELECT x FROM proteins WHERE id = 'p'") == [("c\nd",)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None], pa.string_view()), pa.array(["a", None], pa.large_string()),
        pa.array(["a", None]).dictionary_encode(), pa.array(["a", None], pa.large_string()).dictionary_encode(),
    ],
)  # fmt: skip
def test_text_of_every_type_of_arrow(store, column):
    ids = pa.array(["p", "q"], pa.string_view())
    annotate(store, [pa.table({"id": ids, "x": column})])
    assert rows(store, "SELECT x FROM proteins WHERE x IS NOT NULL") == [("a",)]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (pd.DataFrame([["p", 1, 2]], columns=["id", "x", "x"]), {}, "two columns 'x'; rename one"),
        (pa.table([["p"], [1], [2]], names=["id", "x", "x"]), {}, "two columns 'x'; rename one"),
        (pd.DataFrame({"id": ["p"], "x": [2**70]}), {}, "cannot be read .*; give columns of one type"),
        (pd.DataFrame({"id": ["p", "q"], "x": [1, "a"]}), {}, "cannot be read .*; give columns of one type"),
        (pd.DataFrame({"id": ["p"], "x": [1j]}), {}, "cannot be read .*; give columns of one type"),
        ({"id": ["p"]}, {}, "is a dict: give a path, a pandas.DataFrame, a pyarrow.Table"),
        (pd.DataFrame({"id": ["p"], "x": [1]}), {"kinds": {"x": "bool"}}, "kind='bool' is not one of"),
        (pd.DataFrame({"id": ["p"], "x": [1], "y": [2]}), {"columns": {"x": "z", "y": "z"}}, "two columns .* become z"),
        (pd.DataFrame({"id": ["p"], "pos": [True], "x": [1]}), {}, "values of type bool.*; give positions there"),
        (pd.DataFrame({"id": ["p"], "x": [pd.Timestamp(0)]}), {}, r"kinds=\{'x': 'category'\} takes times as text"),
        (pd.DataFrame({"id": ["p"], "rowid": [1]}), {}, "rowid is a column of the catalog itself"),
        (pd.DataFrame({"id": ["p"], "pos": [0], "rowid": [1]}), {}, "rowid is a column of the catalog itself"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_taken_is_refused_in_a_sentence(store, frame, options, message):
    with pytest.raises(SourceError, match=message):
        annotate(store, [frame], **options)


def test_inputs_are_a_list(store):
    frame = pd.DataFrame({"id": ["p"], "x": [1]})
    for given, options in ((frame, {}), ("f.csv", {}), ([], {"drop": "x"}), ([frame], {"on": "id"})):
        with pytest.raises(SourceError, match="give a list"):
            annotate(store, given, **options)


def test_pairs_that_hold_in_both_directions_have_one_value(store):
    pairs = pd.DataFrame({"id": ["p"] * 2, "source": [1, 2], "target": [2, 1], "x": [1.0, 2.0]})
    with pytest.raises(
        SourceError, match=r"x of residues 1 and 2 .from 0. of p is 1.0 in one direction and 2.0 in the"
    ):
        annotate(store, [pairs], symmetric=True)
    annotate(store, [pairs.assign(x=[3.0, N])], symmetric=True)
    assert rows(store, "SELECT source, target, x FROM pairs ORDER BY ALL") == [(1, 2, 3.0), (2, 1, 3.0)]


@pytest.mark.parametrize("options", [{"absent": "false"}, {"numbering": "1"}])
def test_a_table_that_is_read_otherwise_is_no_repetition(store, options):
    frame = pd.DataFrame({"id": ["p"], "pos": [1], "x": [True]})
    annotate(store, [frame])
    with pytest.raises(SourceError, match=r"residue x of 1 protein is known already, .* read otherwise: replace=True"):
        annotate(store, [frame], **options)
    annotate(store, [frame], **options, replace=True)
    with pytest.raises(SourceError, match="known already"):
        annotate(store, [frame])


def test_pairs_that_are_read_otherwise_are_no_repetition(store):
    frame = pd.DataFrame({"id": ["p"], "source": [1], "target": [2], "x": [True]})
    annotate(store, [frame])
    annotate(store, [pd.DataFrame({"id": ["p"], "source": [3], "target": [2], "y": [1]})], name="other")
    before = attnstore.open(store).document
    annotate(store, [frame])
    assert attnstore.open(store).document == before
    for options in ({"absent": "false"}, {"symmetric": True}):
        with pytest.raises(SourceError, match="known already"):
            annotate(store, [frame], **options)


@pytest.mark.parametrize("replace", [False, True])
def test_a_property_has_one_type_in_one_run(store, tmp_path, replace):
    tables = [csv(tmp_path, "id,x\np,1\n", "a.csv"), csv(tmp_path, "id,x\nq,1.5\n", "b.csv")]
    with pytest.raises(SourceError, match="x is given as integer and as float: say what it is"):
        annotate(store, tables, replace=replace)
    annotate(store, tables, replace=replace, kinds={"x": "float"})
    assert rows(store, "SELECT x FROM proteins LIMIT 2") == [(1.0,), (1.5,)]


def test_a_table_without_values_gives_no_property(store):
    frame = pd.DataFrame({"id": ["p"], "x": [np.nan], "y": [1.0]})
    assert annotate(store, [frame]).properties == ("protein y",)


def test_author_numbers_are_those_of_the_chain_that_the_store_has(tmp_path):
    StoreDocument().write(tmp_path)

    def numbered(first):
        numbers = np.arange(first, first + 4, dtype=np.int32)
        return Structure(numbers, np.ones(4, np.bool_), (N,) * 4, *[np.ones((4, 3), np.float32)] * 2)

    with CatalogWriter(tmp_path) as catalog:
        catalog.add("1ABC_A", "ACDE", "f", numbered(5))
        catalog.add("1ABC_B", "ACDE", "f", numbered(7))
        catalog.publish()
    other = pd.DataFrame({"id": ["1ABC_B"], "pos": [7], "x": [1]})
    with pytest.raises(SourceError, match="1ABC_B go by its own numbers there, and in the store by those of 1ABC_A"):
        annotate(tmp_path, [other], numbering="author")
    both = pd.DataFrame({"id": ["1ABC_B", "1abc.A"], "pos": [8, 7], "x": [1, 2]})
    annotate(tmp_path, [both], numbering="author")
    assert rows(tmp_path, "SELECT x FROM residues ORDER BY pos") == [(N,), (N,), (2,), (N,)]
    with pytest.raises(SourceError, match="the residue is A there and D in the store"):
        annotate(tmp_path, [other.assign(aa="A", y=1)], numbering="author")


def test_ids_in_part():
    ids = Ids([("sp|P1|A_B", 0), ("P2", 1), ("4UDX_X", 2), ("gi|9|ref|NP_1", 3), ("P3", 4), ("sp|P3|C_D", 5)])
    found = {
        "P1": 0, "A_B": 0, "tr|P1|Z": 0, "sp|P2|Z": 1, "4udx.X": 2, "4UDX:X": 2, "P3": 4, "sp|P3|C_D": 5,
        # Neither a part that tells nothing, nor one that is of two.
        "gi|8|ref|NP_2": N, "gi": N, "P1-2": N, "4udx.x": N, "tr|P3|Z": N, "sp|P1|Z|P2": N, "sp|P1|P2": N,
    }  # fmt: skip
    assert {name: ids.find(name) for name in found} == found


@pytest.mark.parametrize("seed", range(20))
def test_aligned_values_land_on_the_residues_that_they_are_of(seed):
    """Known edits: what is put in, taken out or changed, and more or less at the ends."""
    letters, rng = "ACDEFGHIKLMNPQRSTVWY", random.Random(seed)
    given = rng.choices(letters, k=150)
    stored, of = list(given), list(range(150))
    for edit in rng.sample(["insert", "delete", "change", "head", "tail", "no head", "no tail"], 3):
        at, width = rng.randrange(20, 100), rng.randint(1, 4)
        begin, end, put = {
            "insert": (at, at, width), "delete": (at, at + width, 0), "change": (at, at + 1, 1), "head": (0, 0, 15),
            "tail": (len(stored), len(stored), 15), "no head": (0, width, 0),
            "no tail": (len(stored) - width, len(stored), 0),
        }[edit]  # fmt: skip
        of[begin:end] = of[begin:end] if edit == "change" else [-1] * put
        stored[begin:end] = rng.choices(letters, k=put)
    pairs = [(rng.randrange(150), rng.randrange(150)) for _ in range(20)]
    place, bond = Property("place", "residue", "integer", "x"), Property("bond", "pair", "boolean", "x")
    annotations = (along(place, list(range(150))), between(bond, pairs, False))
    fit = fit_record(Record("p", "".join(given), "f", N, annotations, N), "".join(stored), "align")
    values = fit.annotations[0].values.to_pylist()
    # Beside a gap, equal letters leave open which of them it is beside.
    wrong = [k for k, (value, true) in enumerate(zip(values, of, strict=True)) if (-1 if value is N else value) != true]
    assert len(wrong) <= 6
    assert all(values[k] is N or given[values[k]] == stored[k] or of[k] == -1 for k in wrong)
    across = {value: k for k, value in enumerate(values) if value is not N}
    moved = {(across[a], across[b]) for a, b in pairs if a in across and b in across}
    found = fit.annotations[1]
    assert {*zip(found.source.tolist(), found.target.tolist(), strict=True)} == moved | {(b, a) for a, b in moved}
    assert found.otherwise is False


def test_every_catalog_of_a_store_has_a_name_of_its_own(store):
    frame = pd.DataFrame({"id": ["p"], "pos": [1], "x": [1]})
    names = [attnstore.open(store).document.catalog]
    for numbering in ("0", "1", "0", "1"):
        # As many values from the same source: only the values differ.
        annotate(store, [frame], numbering=numbering, replace=True)
        names.append(attnstore.open(store).document.catalog)
    assert len({*names}) == len(names)
    assert not verify(store)
