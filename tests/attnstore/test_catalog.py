"""The catalog: identical sequences, members, structures, and replacement as a whole."""

import contextlib
import copy
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import attnstore
from attnstore.catalog.reader import connect
from attnstore.catalog.rows import STRUCTURE_COLUMNS
from attnstore.catalog.writer import CatalogWriter
from attnstore.errors import SourceError, StoreError
from attnstore.format.documents import StoreDocument
from tests.synthetic import random_structure


@pytest.fixture
def store(tmp_path):
    StoreDocument().write(tmp_path)
    return tmp_path


def add(store, *records, **options):
    return add_from(store, records, **options)


def add_from(store, records, **options):
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


# --- against the rules of docs/format.md, followed record by record


@dataclass
class Known:
    id: str
    sequence: str
    members: int = 1
    structure: str | None = None
    seed: int | None = None


@dataclass
class Rules:
    """Sections 6.7 and 6.8, with everything in memory."""

    proteins: list[Known] = field(default_factory=list)
    members: list[tuple[str, str, str]] = field(default_factory=list)
    owner: dict[str, Known] = field(default_factory=dict)
    recorded: dict[str, int | None] = field(default_factory=dict)

    def add(self, name, sequence, seed, place, keep):
        if name in self.owner:
            before = self.recorded[name]
            if self.owner[name].sequence != sequence or (before is not None and seed is not None and before != seed):
                raise ValueError(name)
            return
        same = [protein for protein in self.proteins if protein.sequence == sequence and not keep]
        if same:
            same[0].members += 1
        else:
            self.proteins.append(Known(name, sequence))
        protein = same[0] if same else self.proteins[-1]
        if protein.structure is None and seed is not None:
            protein.structure, protein.seed = name, seed
        self.owner[name], self.recorded[name] = protein, seed
        self.members.append((protein.id, name, place))

    def published(self):
        """The catalog records coordinates of the members alone whose residues it carries."""
        carried = {protein.structure: protein.seed for protein in self.proteins}
        self.recorded = {name: carried.get(name) for name in self.owner}

    def residues(self):
        for index, protein in enumerate(self.proteins):
            for pos, letter in enumerate(protein.sequence):
                row = [index, protein.id, pos, letter, *[None] * 8]
                if protein.seed is not None:
                    given = STRUCTURES[protein.sequence, protein.seed]
                    row[4] = int(given.author_number[pos]) if given.author_known[pos] else None
                    row[5] = given.insertion_code[pos]
                    for start, atoms in ((6, given.ca), (9, given.cb)):
                        if not np.isnan(atoms[pos]).any():
                            row[start : start + 3] = atoms[pos].tolist()
                yield tuple(row)


SEQUENCES = ["W", "MKV", "ACD", "ACDEFGH"]
STRUCTURES = {(text, seed): structure(len(text), seed) for text in SEQUENCES for seed in (1, 2)}
RECORDS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(SEQUENCES), st.sampled_from([None, None, 1, 2])), max_size=12
)


@settings(deadline=None, max_examples=20)
@example(runs=[([("a", "W", None), ("a", "W", 1), ("a", "W", 2)], False)], batch=1)
@example(runs=[([("a", "MKV", 1), ("b", "MKV", 1), ("b", "MKV", 2)], False)], batch=1)
@example(runs=[([("a", "MKV", 1), ("b", "MKV", 1)], False), ([("b", "MKV", 2)], False)], batch=1)
@given(runs=st.lists(st.tuples(RECORDS, st.booleans()), min_size=1, max_size=3), batch=st.integers(1, 15))
def test_batches_make_what_the_rules_make_of_one_record_after_the_other(tmp_path_factory, runs, batch):
    store = tmp_path_factory.mktemp("store")
    StoreDocument().write(store)
    rules = Rules()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CatalogWriter, "_BATCH", batch)
        for records, keep in runs:
            inputs = [
                (name, sequence, f"f:{number}", STRUCTURES.get((sequence, seed)))
                for number, (name, sequence, seed) in enumerate(records)
            ]
            ahead = copy.deepcopy(rules)
            before = StoreDocument.read(store)
            try:
                for number, record in enumerate(records):
                    ahead.add(*record, f"f:{number}", keep)
            except ValueError:
                with pytest.raises(SourceError, match="already"):
                    add(store, *inputs, keep_duplicates=keep)
                assert StoreDocument.read(store) == before
            else:
                add(store, *inputs, keep_duplicates=keep)
                rules = ahead
                rules.published()
            assert not list(store.glob(".*"))
    if rules.proteins:
        proteins = [(protein.id, protein.sequence, protein.members, protein.structure) for protein in rules.proteins]
        with contextlib.closing(connect(attnstore.open(store).catalog_path)) as catalog:
            found = catalog.execute("SELECT id, sequence, members, structure FROM proteins ORDER BY rowid").fetchall()
            assert found == proteins
            found = catalog.execute("SELECT protein, member, place FROM members ORDER BY rowid").fetchall()
            assert found == rules.members
            given = ", ".join(("protein_index", "protein", "pos", "aa", *STRUCTURE_COLUMNS[:-1]))
            found = catalog.execute(f"SELECT {given} FROM residues ORDER BY rowid").fetchall()
            assert found == list(rules.residues())
        assert attnstore.open(store).verify() == []
    else:
        assert StoreDocument.read(store).catalog is None


# --- many proteins


def test_a_contradiction_is_found_however_far_apart_its_records_are(store, monkeypatch):
    monkeypatch.setattr(CatalogWriter, "_BATCH", 50)
    records = [
        (f"p{number}", "ACDEFGHIKL"[: 1 + number % 10] + "M" * number, f"f:{number}", None) for number in range(90)
    ]
    with pytest.raises(SourceError, match=r"g:1: p3 stands for another sequence already \(in f:3\)"):
        add(store, *records, ("p3", "WWW", "g:1", None))
    assert StoreDocument.read(store).catalog is None


def test_memory_does_not_grow_with_the_number_of_proteins(tmp_path, monkeypatch):
    monkeypatch.setattr(CatalogWriter, "_BATCH", 20_000)
    letters = np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), (12_000, 25))
    peaks = []
    for count in (2_000, 12_000):
        store = tmp_path / str(count)
        store.mkdir()
        StoreDocument().write(store)
        tracemalloc.start()
        with CatalogWriter(store) as catalog:
            for number in range(count):
                catalog.add(f"protein {number}", "".join(letters[number]), f"somewhere:{number}", None)
            catalog.publish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


def test_nothing_is_added_to_a_damaged_catalog(store):
    document = add(store, *[(f"p{number}", "ACDEFGHIKL" * 30 + "M" * number, "f", None) for number in range(20)])
    path = store / document.catalog
    data = bytearray(path.read_bytes())
    data[-10] ^= 1  # in a block that adding has no need to read
    path.write_bytes(data)
    with pytest.raises(StoreError, match=f"{path.name} is damaged: it does not have the digest"):
        add(store, ("new", "MKV", "f", None))
    assert StoreDocument.read(store) == document
    assert not list(store.glob(".*"))


def test_a_bad_record_late_in_a_file_is_named_and_leaves_the_store_as_it_was(store, monkeypatch):
    from attnstore.readers.inputs import read_inputs

    monkeypatch.setattr(CatalogWriter, "_BATCH", 100)
    before = add(store, ("a", "ACD", "f:1", None))
    fasta = store.parent / f"{store.name}.fasta"
    fasta.write_text(
        "".join(f">p{number}\n{'ACDEFGHIKL' * 4}{'M' * number}\n" for number in range(30)) + ">bad\nAC-D\n"
    )
    records = ((record.id, record.sequence, record.place, record.structure) for record in read_inputs([fasta]))
    with pytest.raises(SourceError, match=rf"{fasta.name}:62: record bad has a gap"):
        add_from(store, records)
    assert StoreDocument.read(store) == before
    assert query(store, "SELECT id FROM proteins") == [("a",)]
    assert not list(store.glob(".*"))
