"""Properties in the catalog: whose values hold, what the dictionary says, what follows from them."""

import contextlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnstore
from attnstore.catalog import pair_table as listed_pairs
from attnstore.catalog.builtin import FROM_SEQUENCE
from attnstore.catalog.property import (
    ARROW_TYPES,
    NEGATIVE,
    Annotation,
    Property,
    Source,
    along,
    at,
    between,
    whole,
)
from attnstore.catalog.reader import connect
from attnstore.catalog.rows import Structure
from attnstore.catalog.writer import CatalogWriter
from attnstore.errors import SourceError
from attnstore.format.documents import StoreDocument
from tests.synthetic import random_structure

SITE = Property("site", "residue", "boolean", "a site")
SCORE = Property("score", "residue", "float", "a score", "kJ")
CLASS = Property("class_", "residue", "category", "a class")
RANK = Property("rank", "protein", "integer", "a rank")
BOND = Property("bond", "pair", "boolean", "a bond")
A, B = Source("a.tsv", "a" * 64), Source("b.tsv", "b" * 64)


@pytest.fixture
def store(tmp_path):
    StoreDocument().write(tmp_path)
    return tmp_path


def add(store, *records, **options):
    with CatalogWriter(store, **options) as catalog:
        for name, sequence, *annotations in records:
            catalog.add(name, sequence, "f", None, annotations, A)
        catalog.publish()


def annotate(store, source, *records, **options):
    """Each record is an index, a sequence and annotations; returns what was kept."""
    with CatalogWriter(store, **options) as catalog:
        for index, sequence, *annotations in records:
            catalog.annotate(index, "x", sequence, "f", None, annotations, source)
        kept = catalog.kept
        catalog.publish()
    return {name: count for (_, name), count in kept.items()}


def query(store, statement):
    with contextlib.closing(connect(attnstore.open(store).catalog_path)) as catalog:
        return catalog.execute(statement).fetchall()


def column(store, name, table="residues"):
    return [value for (value,) in query(store, f"SELECT {name} FROM {table} ORDER BY rowid")]


def test_values_of_every_level_and_kind_come_back(store):
    bond = between(BOND, [(0, 2)], False)
    add(store, ("p", "ACD", at(SITE, 3, [1]), along(SCORE, [1.5, None, -2.0]), whole(RANK, 7), bond), ("q", "MK"))
    assert column(store, "site") == [False, True, False, None, None]
    assert column(store, "score") == [1.5, None, -2.0, None, None]
    assert column(store, "rank", "proteins") == [7, None]
    assert query(store, "SELECT protein, source, target, bond FROM pairs ORDER BY rowid") == [
        ("p", None, None, False), ("p", 0, 2, True), ("p", 2, 0, True),
    ]  # fmt: skip


def test_the_dictionary_counts_what_is_known_and_true_and_names_the_source(store):
    add(store, ("p", "ACD", at(SITE, 3, [1]), between(BOND, [(0, 2)], False)), ("q", "MK"))
    rows = query(store, "SELECT level, type, unit, source, source_sha256, known, positive FROM properties "
                        "WHERE name IN ('site', 'bond') ORDER BY level")  # fmt: skip
    # Only listed pairs are counted.
    assert rows == [("pair", "boolean", None, "a.tsv", "a" * 64, 2, 2),
                    ("residue", "boolean", None, "a.tsv", "a" * 64, 3, 1)]  # fmt: skip
    assert query(store, "SELECT known, positive FROM properties WHERE name = 'aa'") == [(5, None)]


def test_every_column_is_in_the_dictionary_or_a_key(store):
    add(store, ("p", "ACD", at(SITE, 3, [1])))
    keys = {"protein_index", "protein", "source", "target", "sequence_sha256", "structure_sha256"}
    for level, table in (("protein", "proteins"), ("residue", "residues"), ("pair", "pairs")):
        columns = {name for name, *_ in query(store, f"DESCRIBE {table}")}
        listed = {name for (name,) in query(store, f"SELECT name FROM properties WHERE level = '{level}'")}
        assert columns - listed <= keys
        assert listed <= columns


def test_two_sources_are_both_named(store):
    add(store, ("p", "ACD", at(SITE, 3, [1])), ("q", "MK"))
    negative = Property("site", "residue", "boolean", "a site", absent=NEGATIVE)
    annotate(store, B, (1, "MK", at(negative, 2, [])))
    assert column(store, "site") == [False, True, False, False, False]
    source, digest, absent = query(
        store, "SELECT source, source_sha256, absent FROM properties WHERE name = 'site'"
    )[0]  # fmt: skip
    assert (source, len(digest)) == ("2 files", 64)
    assert digest not in (A.sha256, B.sha256)
    assert absent == f"{SITE.absent}; or FALSE"
    assert query(store, "SELECT source, sha256 FROM property_sources ORDER BY source") == [
        ("a.tsv", "a" * 64), ("b.tsv", "b" * 64),
    ]  # fmt: skip


def test_the_first_source_holds_unless_replaced(store):
    add(store, ("p", "ACD", at(SITE, 3, [1])), ("q", "MK"))
    assert annotate(store, B, (0, "ACD", at(SITE, 3, [0])), (1, "MK", at(SITE, 2, [0]))) == {"site": 1}
    assert column(store, "site") == [False, True, False, True, False]
    assert annotate(store, B, (0, "ACD", along(SITE, [True, None, None])), replace=True) == {}
    assert column(store, "site") == [True, None, None, True, False]


def test_the_same_file_again_changes_nothing_and_is_no_conflict(store):
    add(store, ("p", "ACD", at(SITE, 3, [1])))
    before = attnstore.open(store).document
    assert annotate(store, A, (0, "ACD", at(SITE, 3, [1]))) == {}
    assert attnstore.open(store).document == before


def test_of_identical_sequences_the_first_that_has_a_property_gives_it(store):
    add(store, ("p", "ACD"), ("q", "ACD", at(SITE, 3, [1])), ("r", "ACD", at(SITE, 3, [2]), whole(RANK, 1)))
    assert column(store, "site") == [False, True, False]
    assert column(store, "rank", "proteins") == [1]


def test_identical_sequences_that_are_kept_apart_have_properties_apart(store):
    add(store, ("p", "ACD", at(SITE, 3, [0])), ("q", "ACD", at(SITE, 3, [1])), keep_duplicates=True)
    assert column(store, "site") == [True, False, False, False, True, False]
    add(store, ("q", "ACD", whole(RANK, 2)), ("p", "ACD", whole(RANK, 1)), keep_duplicates=True)
    assert column(store, "rank", "proteins") == [1, 2]


def test_pairs_of_one_property_leave_those_of_another_known(store):
    other = Property("link", "pair", "float", "a link")
    add(store, ("p", "ACD", between(BOND, [(0, 2)], False)), ("q", "MK"))
    links = pa.table({"protein_index": [0, 1], "source": [0, 0], "target": [1, 1], "value": [0.5, 0.25]})
    with CatalogWriter(store) as catalog:
        catalog.annotate_rows(other, B, links)
        catalog.publish()
    # The new row of p says of the bond what was said of all that were not listed.
    assert query(store, "SELECT protein, source, target, bond, link FROM pairs ORDER BY rowid") == [
        ("p", None, None, False, None), ("p", 0, 1, False, 0.5), ("p", 0, 2, True, None), ("p", 2, 0, True, None),
        ("q", 0, 1, None, 0.25),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["aa", "pos", "hydrophobic", "contact_number", "ca_x", "protein_index", "protein", "AA"]
)
def test_what_the_catalog_itself_holds_is_no_name_for_a_property(store, name):
    with pytest.raises(SourceError, match=r"itself|case"):
        add(store, ("p", "ACD", at(Property(name, "residue", "boolean", "x"), 3, [])))
    assert attnstore.open(store).document.catalog is None


@pytest.mark.parametrize("name", ["", "a b", "1a", 'a"b', "a;DROP", "é", "x" * 64])
def test_a_name_that_is_no_word_is_refused(name):
    with pytest.raises(SourceError, match="name it with letters"):
        Property(name, "residue", "boolean", "x")


def test_values_of_another_type_or_unit_are_not_taken_unless_replaced(store):
    add(store, ("p", "ACD", along(SCORE, [1.0, 2.0, 3.0])), ("q", "MK", along(SCORE, [4.0, 5.0])))
    for other in (Property("score", "residue", "float", "s", "kcal"), Property("score", "residue", "category", "s")):
        values = along(other, ["1", "2", "3"] if other.kind == "category" else [1, 2, 3])
        annotate(store, B, (0, "ACD", values))
        assert column(store, "score") == [1.0, 2.0, 3.0, 4.0, 5.0]
    annotate(store, B, (0, "ACD", values), replace=True)
    assert column(store, "score") == ["1", "2", "3", None, None]
    assert query(store, "SELECT type, unit, source FROM properties WHERE name = 'score'") == [
        ("category", None, "b.tsv")
    ]


def test_names_that_differ_by_case_alone_are_refused(store):
    add(store, ("p", "ACD", at(SITE, 3, [1])))
    with pytest.raises(SourceError, match="case"):
        annotate(store, B, (0, "ACD", at(Property("Site", "residue", "boolean", "x"), 3, [])))


def test_a_property_is_dropped_with_what_follows_from_it(store):
    site = at(Property("binding_site", "residue", "boolean", "x"), 3, [1])
    with CatalogWriter(store) as catalog:
        catalog.add("p", "ACD", "f", random_structure(np.random.default_rng(0), 3, 0.0), [site], A)
        catalog.publish()
    assert {"binding_site", "binding_site_distance"} <= {name for name, *_ in query(store, "DESCRIBE residues")}
    with CatalogWriter(store) as catalog:
        catalog.drop("binding_site")
        catalog.publish()
    assert not [name for name, *_ in query(store, "DESCRIBE residues") if "binding" in name]
    assert not query(store, "FROM properties WHERE name LIKE 'binding%'")
    for name, reason in (("aa", "own"), ("binding_site", "not in the store")):
        with pytest.raises(SourceError, match=reason), CatalogWriter(store) as catalog:
            catalog.drop(name)


def test_of_a_dropped_property_no_pairs_stay(store):
    other = Property("link", "pair", "boolean", "a link")
    add(store, ("p", "ACD", between(BOND, [(0, 2)], False), between(other, [(0, 1)], None)))
    for name, left in (("bond", [(0, 1, True), (1, 0, True)]), ("link", [])):
        with CatalogWriter(store) as catalog:
            catalog.drop(name)
            catalog.publish()
        assert query(store, "SELECT * EXCLUDE (protein_index, protein) FROM pairs") == left


@pytest.mark.parametrize("lot", [1, 7, 40, 1_000])
def test_pairs_come_together_in_lots(store, monkeypatch, lot):
    """A lot ends within a protein of many pairs, and takes several proteins of few."""
    monkeypatch.setattr(listed_pairs, "ROWS", lot)
    rng = np.random.default_rng(lot)
    link = Property("link", "pair", "boolean", "a link")
    sequences = ["A" * length for length in (9, 2, 1, 30, 4, 5)]
    expected = {}
    add(store, *((f"p{number}", sequence) for number, sequence in enumerate(sequences)), keep_duplicates=True)
    for prop, source in ((BOND, A), (link, B)):
        records = []
        for number, sequence in enumerate(sequences):
            length, otherwise = len(sequence), [None, False, None, False][(number + (prop is link)) % 4]
            pairs = [tuple(pair) for pair in rng.integers(0, length, (length, 2)).tolist()]
            records.append((number, sequence, between(prop, pairs, otherwise)))
            said = np.full((length, length), otherwise)
            for one, other in pairs:
                said[one, other] = said[other, one] = True
            expected[number, prop.name] = said
        # Not in the order of the proteins.
        annotate(store, source, *records[::-1])
    found = query(store, "SELECT protein_index, source, target, bond, link FROM pairs ORDER BY rowid")
    assert found == sorted(found, key=lambda row: [-1 if end is None else end for end in row[:3]])
    assert len({row[:3] for row in found}) == len(found)
    for name, place in (("bond", 3), ("link", 4)):
        for number, sequence in enumerate(sequences):
            rest = next((row[place] for row in found if row[:2] == (number, None)), None)
            said = np.full((len(sequence),) * 2, rest)
            for row in found:
                if row[0] == number and row[1] is not None:
                    said[row[1:3]] = row[place]
            assert np.array_equal(said, expected[number, name])


def test_a_site_and_what_would_hold_its_distance_do_not_mix(store):
    site = Property("binding_site", "residue", "boolean", "x")
    for name in ("binding_site_distance", "binding_site_DISTANCE"):
        held = Property(name, "residue", "float", "x")
        with pytest.raises(SourceError, match=rf"the store has a property {name}: drop=\['{name}'\] takes"):
            add(store, ("p", "ACD", along(held, [1, 2, 3]), at(site, 3, [1])))
        with pytest.raises(SourceError, match="a column of the catalog itself"):
            add(store, ("p", "ACD", at(site, 3, [1]), along(held, [1, 2, 3])))
    with pytest.raises(SourceError, match="63 at most"):
        add(store, ("p", "ACD", at(Property("binding_site" + "x" * 50, "residue", "boolean", "x"), 3, [1])))


def test_a_source_that_was_replaced_in_all_proteins_is_one_no_more(store):
    add(store, ("p", "ACD", at(SITE, 3, [1])), ("q", "MK", at(SITE, 2, [1])))
    annotate(store, B, (0, "ACD", at(SITE, 3, [0])), replace=True)
    assert query(store, "SELECT source FROM property_sources ORDER BY ALL") == [("a.tsv",), ("b.tsv",)]
    annotate(store, B, (0, "ACD", at(SITE, 3, [0])), (1, "MK", at(SITE, 2, [0])), replace=True)
    assert query(store, "SELECT source FROM property_sources") == [("b.tsv",)]
    assert query(store, "SELECT source FROM properties WHERE name = 'site'") == [("b.tsv",)]


def test_a_failure_leaves_the_store_as_it_was(store):
    add(store, ("p", "ACD", at(SITE, 3, [1])))
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    new = at(Property("new", "residue", "boolean", "x"), 3, [0])
    own = whole(Property("id", "protein", "category", "x"), "y")
    with pytest.raises(SourceError):
        annotate(store, B, (0, "ACD", new), (0, "ACD", own))
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before


def test_classes_of_amino_acids(store):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    add(store, ("p", letters))
    known = set("ACDEFGHIKLMNPQRSTVWY")
    sets = {"hydrophobic": "ACFILMVW", "polar": "DEHKNQRSTY", "aromatic": "FWY"}
    for name, members in sets.items():
        expected = [letter in members if letter in known else None for letter in letters]
        assert column(store, name) == expected
    charges = {**dict.fromkeys("KR", 1), **dict.fromkeys("DE", -1)}
    assert column(store, "charge") == [charges.get(a, 0) if a in known else None for a in letters]
    assert column(store, "relative_position") == pytest.approx([pos / 25 for pos in range(26)])
    assert {prop.name for prop, _ in FROM_SEQUENCE} == {*sets, "charge", "relative_position"}


def test_a_chain_of_one_residue_has_no_relative_position(store):
    add(store, ("p", "A"))
    assert column(store, "relative_position") == [None]


def _cb(structure):
    return structure.cb.astype(np.float64)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_contact_numbers_and_distances_to_sites_are_those_of_brute_force(tmp_path_factory, seed, lengths):
    store = tmp_path_factory.mktemp("store")
    StoreDocument().write(store)
    rng = np.random.default_rng(seed)
    site = Property("binding_site", "residue", "boolean", "x")
    structures = [random_structure(rng, length, 0.2) for length in lengths]
    flags = [rng.random(length) < 0.2 for length in lengths]
    with CatalogWriter(store, keep_duplicates=True) as catalog:
        for number, (structure, flag) in enumerate(zip(structures, flags, strict=True)):
            # Every third protein's sites come before its coordinates.
            first = None if number % 3 == 2 else structure
            catalog.add(f"p{number}", "A" * len(flag), "f", first, [along(site, flag)], A)
        catalog.publish()
    with CatalogWriter(store, keep_duplicates=True) as catalog:
        for number, structure in enumerate(structures):
            catalog.annotate(number, "y", "A" * lengths[number], "f", structure, [], A)
        catalog.publish()
    numbers, distances = [], []
    for structure, flag in zip(structures, flags, strict=True):
        cb = _cb(structure)
        between_all = np.sqrt(((cb[:, None] - cb[None]) ** 2).sum(-1))
        near = (between_all < 8).sum(1) - 1
        numbers += [None if np.isnan(one).any() else int(count) for one, count in zip(cb, near, strict=True)]
        to_sites = between_all[:, flag & ~np.isnan(cb).any(1)]
        for one, row in zip(cb, to_sites, strict=True):
            distances.append(None if np.isnan(one).any() or not row.size else row.min())
    assert column(store, "contact_number") == numbers
    if not any(np.isfinite(structure.cb).all(1).any() for structure in structures):
        assert "binding_site_distance" not in {name for name, *_ in query(store, "DESCRIBE residues")}
        return
    found = column(store, "binding_site_distance")
    assert [value is None for value in found] == [value is None for value in distances]
    assert [v for v in found if v is not None] == pytest.approx([v for v in distances if v is not None], abs=1e-6)


_VALUES = {
    "boolean": st.booleans(), "integer": st.integers(-(2**63), 2**63 - 1), "category": st.text(max_size=4),
    "float": st.floats(allow_nan=False),
}  # fmt: skip


@st.composite
def _given(draw):
    """Annotations of three proteins by two sources, in several writes."""
    writes = []
    for _ in range(draw(st.integers(1, 4))):
        protein = draw(st.integers(0, 2))
        length = protein + 1
        kind, level = draw(st.sampled_from(sorted(_VALUES))), draw(st.sampled_from(["protein", "residue", "pair"]))
        prop = Property(f"{level}_{kind}", level, kind, "x")
        value = st.none() | _VALUES[kind]
        if level == "pair":
            ends = draw(st.lists(st.tuples(*[st.integers(0, length - 1)] * 2), unique=True, max_size=3))
            what = ({end: draw(_VALUES[kind]) for end in ends}, draw(value))
        else:
            count = 1 if level == "protein" else length
            what = draw(st.lists(value, min_size=count, max_size=count))
        writes.append((draw(st.booleans()), draw(st.booleans()), protein, prop, what))
    return writes


@settings(max_examples=10, deadline=None)
@given(writes=_given())
def test_what_stands_is_what_the_rule_says_whatever_the_order(tmp_path_factory, writes):
    """The rule: the first source that knows anything of a protein's property holds, or with `replace` the last."""
    store = tmp_path_factory.mktemp("store")
    StoreDocument().write(store)
    sequences = ["A", "AC", "ACD"]
    add(store, *((f"p{number}", sequence) for number, sequence in enumerate(sequences)))
    held = {}
    for second, replace, protein, prop, what in writes:
        if prop.level == "pair":
            listed, otherwise = what
            ends = np.array(sorted(listed), np.int32).reshape(-1, 2)
            values = pa.array([listed[end] for end in sorted(listed)], ARROW_TYPES[prop.kind])
            annotation = Annotation(prop, values, ends[:, 0], ends[:, 1], otherwise)
            known = bool(listed) or otherwise is not None
        else:
            annotation = along(prop, what) if prop.level == "residue" else whole(prop, what[0])
            known = any(value is not None for value in what)
        annotate(store, B if second else A, (protein, sequences[protein], annotation), replace=replace)
        if known and (replace or (protein, prop) not in held):
            held[protein, prop] = what
    for (protein, prop), what in held.items():
        if prop.level == "pair":
            listed, otherwise = what
            rows = query(
                store, f"SELECT source, target, {prop.name} FROM pairs WHERE protein_index = {protein} "
                f"AND {prop.name} IS NOT NULL",
            )  # fmt: skip
            table = {(source, target): value for source, target, value in rows}
            rest = table.pop((None, None), None)
            assert rest == otherwise
            # Rows of other properties repeat what holds of pairs that are not listed.
            assert {end: value for end, value in table.items() if end in listed} == listed
            assert all(value == otherwise for end, value in table.items() if end not in listed)
        else:
            table = "residues" if prop.level == "residue" else "proteins"
            found = query(
                store, f"SELECT {prop.name} FROM {table} WHERE protein_index = {protein} ORDER BY rowid"
            )  # fmt: skip
            assert [value for (value,) in found] == what
    # No values but those.
    for prop in {prop for _, prop in held}:
        table = {"residue": "residues", "protein": "proteins", "pair": "pairs"}[prop.level]
        owners = {p for p, held_prop in held if held_prop == prop}
        assert {
            p for (p,) in query(store, f"SELECT DISTINCT protein_index FROM {table} WHERE {prop.name} IS NOT NULL")
        } == owners
    assert len(column(store, "pos")) == 6


@pytest.mark.parametrize("batch", [1, 500_000])
def test_numbering_alone_gives_way_to_coordinates(store, monkeypatch, batch):
    monkeypatch.setattr(CatalogWriter, "_BATCH", batch)

    def numbered(first, xyz):
        numbers = np.arange(first, first + 3, dtype=np.int32)
        return Structure(numbers, np.ones(3, np.bool_), (None,) * 3, *[np.full((3, 3), xyz, np.float32)] * 2)

    with CatalogWriter(store) as catalog:
        catalog.add("p", "ACD", "f", numbered(5, np.nan))
        catalog.add("q", "ACD", "f", numbered(9, np.nan))
        catalog.publish()
    assert column(store, "author_number") == [5, 6, 7]
    assert column(store, "structure", "proteins") == [None]
    with CatalogWriter(store) as catalog:
        catalog.add("r", "ACD", "f", numbered(20, 1.0))
        catalog.add("s", "ACD", "f", numbered(30, 2.0))
        catalog.publish()
    assert column(store, "author_number") == [20, 21, 22]
    assert column(store, "ca_x") == [1.0] * 3
    assert column(store, "structure", "proteins") == ["r"]


def test_structures_do_not_depend_on_annotations(store):
    one = Structure(np.zeros(3, np.int32), np.zeros(3, np.bool_), (None,) * 3,
                    np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32))  # fmt: skip
    with CatalogWriter(store) as catalog:
        catalog.add("p", "ACD", "f", one, [at(SITE, 3, [1])], A)
        catalog.publish()
    assert column(store, "contact_number") == [2, 2, 2]
    assert column(store, "site") == [False, True, False]


def test_a_column_of_several_definitions_says_each(store):
    def given(words):
        return along(Property("site", "residue", "boolean", words), [True, False])

    def described():
        return query(store, "SELECT description FROM properties WHERE name = 'site'")[0][0]

    add(store, ("a", "AC", given("within 5 Å")), ("b", "CA"), ("c", "AA"), ("d", "CC"))
    assert described() == "within 5 Å"
    annotate(store, B, (1, "CA", given("by BioLiP")), (2, "AA", given("by BioLiP")))
    assert described() == "within 5 Å; or by BioLiP"
    # A definition stays while a value from before is there, and goes when all were replaced.
    annotate(store, B, (0, "AC", given("by hand")), replace=True)
    assert described() == "within 5 Å; or by BioLiP; or by hand"
    every = [(index, sequence, given("anew")) for index, sequence in enumerate(("AC", "CA", "AA", "CC"))]
    annotate(store, A, *every, replace=True)
    assert described() == "anew"


def test_beyond_four_definitions_the_others_are_not_named(store):
    rules = [Property("site", "residue", "boolean", f"rule {name}") for name in "abcdef"]
    add(
        store,
        *(("p" + rule.description[-1], "A" * size, along(rule, [True] * size)) for size, rule in enumerate(rules, 1)),
    )
    (said,) = query(store, "SELECT description FROM properties WHERE name = 'site'")
    assert said == ("rule a; or rule b; or rule c; or rule d; or others",)
