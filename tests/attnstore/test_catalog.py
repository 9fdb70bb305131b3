"""The catalog: identical sequences, members, structures, and replacement as a whole."""

import numpy as np
import pytest

import attnstore
from attnstore.catalog import CatalogWriter
from attnstore.errors import SourceError
from attnstore.layout import StoreDocument
from tests.synthetic import random_structure


@pytest.fixture
def store(tmp_path):
    StoreDocument().write(tmp_path)
    return tmp_path


def add(store, *records, **options):
    with CatalogWriter(store, **options) as catalog:
        for record in records:
            catalog.add(*record)
        return catalog.publish()


def structure(length, seed=0, missing=0.15):
    return random_structure(np.random.default_rng(seed), length, missing)


def query(store, statement):
    return attnstore.open(store).sql(statement).fetchall()


def test_identical_sequences_are_one_protein_whose_members_are_recorded(store):
    document = add(store, ("a", "ACD", "f:1", None), ("b", "MK", "f:3", None), ("c", "ACD", "g:1", None))
    assert (document.proteins, document.residues) == (2, 5)
    assert query(store, "SELECT id, members FROM proteins ORDER BY id") == [("a", 2), ("b", 1)]
    assert query(store, "SELECT protein, member, place FROM members ORDER BY member") == [
        ("a", "a", "f:1"), ("b", "b", "f:3"), ("a", "c", "g:1"),
    ]  # fmt: skip


def test_duplicates_are_kept_apart_on_request(store):
    document = add(store, ("a", "ACD", "f", None), ("c", "ACD", "f", None), keep_duplicates=True)
    assert document.proteins == 2


def test_residues_carry_what_the_structure_says_and_null_where_it_says_nothing(store):
    given = structure(30)
    add(store, ("a", "ACDEF" * 6, "f", given), ("b", "MKV", "f", None))
    rows = query(store, "SELECT * EXCLUDE (protein_index, protein) FROM residues WHERE protein = 'a' ORDER BY pos")
    for pos, row in enumerate(rows):
        assert row[:2] == (pos, "ACDEF"[pos % 5])
        assert row[2] == (given.author_number[pos] if given.author_known[pos] else None)
        assert row[3] == given.insertion_code[pos]
        for atoms, values in ((given.ca, row[4:7]), (given.cb, row[7:10])):
            expected = (None,) * 3 if np.isnan(atoms[pos]).any() else tuple(atoms[pos].tolist())
            assert values == expected
    assert query(
        store, "SELECT count(*) FROM residues WHERE protein = 'b' AND ca_x IS NULL AND author_number IS NULL"
    ) == [(3,)]


@pytest.mark.parametrize("in_one_go", [True, False])
def test_a_structure_that_comes_later_is_adopted_and_the_id_stays(store, in_one_go):
    late = structure(3, missing=0)
    first = [("x", "MKV", "f", structure(3, 5)), ("a", "ACD", "f", None)]
    if in_one_go:
        add(store, *first, ("b", "ACD", "g", late), ("c", "ACD", "g", structure(3, 9)))
    else:
        add(store, *first)
        add(store, ("b", "ACD", "g", late))
        add(store, ("c", "ACD", "g", structure(3, 9)))
    assert query(store, "SELECT id, structure, members FROM proteins ORDER BY id") == [("a", "b", 3), ("x", "x", 1)]
    found = query(store, "SELECT ca_x FROM residues WHERE protein = 'a' ORDER BY pos")
    np.testing.assert_array_equal([x for (x,) in found], late.ca[:, 0])
    order = query(store, "SELECT protein_index, pos FROM residues")
    assert order == sorted(order)


def test_one_id_for_two_sequences_is_refused_and_the_store_stays_as_it_was(store):
    before = add(store, ("a", "ACD", "f:1", None))
    with pytest.raises(SourceError, match=r"g:7: a stands for another sequence"):
        add(store, ("n", "WW", "g:1", None), ("a", "ACDE", "g:7", None))
    assert StoreDocument.read(store) == before
    assert query(store, "SELECT id FROM proteins") == [("a",)]
    assert not [path for path in store.iterdir() if path.name.startswith(".catalog")]


def test_one_id_for_two_structures_is_refused(store):
    add(store, ("a", "ACD", "f:1", structure(3, 1)))
    with pytest.raises(SourceError, match="other coordinates"):
        add(store, ("a", "ACD", "g:1", structure(3, 2)))
    add(store, ("a", "ACD", "g:1", structure(3, 1)))


def test_nothing_new_leaves_the_catalog_file_alone(store):
    records = [("a", "ACD", "f", None), ("b", "MKV", "f", None)]
    before = add(store, *records)
    assert add(store, *records) == before


def test_added_proteins_make_a_new_catalog_and_a_reader_is_never_left_without_one(store):
    add(store, ("a", "ACD", "f", None))
    reader = attnstore.open(store)
    held = reader.sql("SELECT count(*) FROM proteins")
    counts = []
    for number in range(3):
        add(store, (f"n{number}", "MKV" + "A" * number, "f", None))
        counts += reader.sql("SELECT count(*) FROM proteins").fetchall()
    # Its own, as long as that is there; then the current one, which holds all of it.
    assert counts == [(1,), (3,), (4,)]
    assert held.fetchall() == [(1,)]
    assert len(list(store.glob("catalog-*"))) == 2


def test_the_same_inputs_give_a_catalog_of_the_same_name(tmp_path):
    names = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        StoreDocument().write(tmp_path / folder)
        names.append(add(tmp_path / folder, ("a", "ACD", "f", structure(3)), ("b", "MK", "f", None)).catalog)
    assert names[0] == names[1]


def test_every_property_is_described(store):
    add(store, ("a", "ACD", "f", None))
    described = {name for (name,) in query(store, "SELECT name FROM properties")}
    columns = {name for (name,) in query(store, "SELECT column_name FROM (DESCRIBE residues)")}
    assert columns - {"protein_index", "protein"} <= described
