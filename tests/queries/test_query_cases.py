"""Statements whose answers can be worked out by hand, from two proteins and nine arcs.

Every weight is 0.001 but those listed in `ARCS`. Protein a is ACCD, without coordinates. Protein b is ACDEFGHA; by Cβ
its residues 0 and 6 touch and residue 7 is not resolved, by Cα residue 7 touches 0 and 1. So, by Cβ, of the 80 pairs of
a head two are contacts, four, between 7 and 0, 1, 7 and 0, are six or more apart and unknown, and 74 are none.
"""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

import attnstore
from attnstore import cli
from attnstore.catalog.rows import Structure
from attnstore.errors import QueryError
from tests.synthetic import Protein, write_model, write_store

from .brute_force import add_columns

BASE = 0.001
#: (head, protein, source, target): weight
ARCS = {
    (0, "a", 0, 1): 0.5,
    (0, "a", 0, 2): 0.25,
    (0, "a", 3, 3): 0.05,
    (0, "b", 0, 6): 0.5,  # a contact
    (0, "b", 6, 0): 0.3,  # a contact
    (0, "b", 1, 7): 0.4,  # unknown; a contact by Cα
    (0, "b", 0, 7): 0.75,  # unknown; a contact by Cα
    (0, "b", 2, 3): float(np.nextafter(np.float32(0.3), np.float32(0))),
    (1, "b", 7, 0): 0.9,  # unknown; a contact by Cα
}


def f32(value: float) -> float:
    return float(np.float32(value))


def by_hand(name: str, sequence: str, structure: Structure | None, arcs: dict[Any, float], heads: int = 2) -> Protein:
    size = len(sequence) + 2
    attention = np.full((1, heads, size, size), BASE, np.float32)
    for (head, protein, source, target), weight in arcs.items():
        if protein == name:
            attention[0, head, source + 1, target + 1] = weight
    return Protein(name, sequence, structure, attention)


def proteins(arcs: dict[Any, float], heads: int = 2) -> list[Protein]:
    ca, cb = np.zeros((8, 3), np.float32), np.zeros((8, 3), np.float32)
    cb[:, 0] = [0, 100, 200, 300, 400, 500, 3, np.nan]
    ca[:, 0] = [0, 4, 8, 12, 16, 20, 24, 5]
    structure = Structure(np.arange(8, dtype=np.int32), np.ones(8, bool), (None,) * 8, ca, cb)
    return [by_hand("a", "ACCD", None, arcs, heads), by_hand("b", "ACDEFGHA", structure, arcs, heads)]


def write(path: Path) -> None:
    write_store(path, proteins(ARCS), per_segment=1, name="first")
    binding = "CASE WHEN protein = 'b' AND pos = 7 THEN NULL ELSE pos = if(protein = 'a', 1, 0) END"
    family = "CASE WHEN id = 'a' THEN 'kinase' END"
    add_columns(path, residues={"binding": ("BOOLEAN", binding)}, proteins={"family": ("VARCHAR", family)})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "one"
    write(path)
    return path


@pytest.fixture(scope="module")
def store(path: Path) -> attnstore.Store:
    return attnstore.open(path)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> attnstore.Store:
    """The same, and a second model of one head, in which residue 0 of b attends to residue 6 by 0.6."""
    path = tmp_path_factory.mktemp("cases") / "two"
    write(path)
    write_model(path, proteins({(0, "b", 0, 6): 0.6}, heads=1), name="second")
    return attnstore.open(path)


def rows(table: pa.Table, columns: int | None = None) -> list[tuple[Any, ...]]:
    names = table.column_names[:columns]
    return list(zip(*(table.column(index).to_pylist() for index in range(len(names))), strict=True))


def agree(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """Compare rows in order, floats to 1e-6."""
    assert len(found) == len(expected), found
    for row, wanted in zip(found, expected, strict=True):
        close = [
            math.isclose(one, other, rel_tol=1e-6) if isinstance(one, float) and other is not None else one == other
            for one, other in zip(row, wanted, strict=True)
        ]
        assert all(close), (found, expected)


STRONG = "FROM attention WHERE weight >= 0.3"
BOTH = ("arcs", "codes")


def case(statement: str, expected: list[tuple[Any, ...]], tiers: tuple[str, ...] = ()) -> Any:
    """A statement, its rows, and the tiers that must give them, beside the one that is chosen.

    A weight is alone in its bin, or equal to those beside it, so codes know it exactly too.
    """
    return pytest.param(statement, expected, tiers, id=statement[:90])


CASES = [
    # Counts and thresholds
    case("SELECT count(*) FROM attention", [(160,)], ("codes",)),
    case("SELECT head, count(*) FROM attention GROUP BY head ORDER BY head", [(0, 80), (1, 80)], ("codes",)),
    case(f"SELECT head, count(*) {STRONG} GROUP BY head ORDER BY head", [(0, 5), (1, 1)], BOTH),
    case("SELECT head, count(*) FROM attention WHERE weight > 0.3 GROUP BY 1 ORDER BY 1", [(0, 4), (1, 1)], ("arcs",)),
    case("SELECT head, count(*) FROM attention WHERE weight >= 0.05 GROUP BY 1 ORDER BY 1", [(0, 8), (1, 1)], BOTH),
    case("SELECT count(*) FROM attention WHERE weight >= 0.001", [(160,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE weight >= 0.0012", [(9,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE weight < 0.3", [(154,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE NOT weight >= 0.3", [(154,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE 0.3 <= weight", [(6,)], BOTH),
    case("SELECT count(*) FROM attention WHERE weight BETWEEN 0.3 AND 0.5", [(4,)], ("arcs",)),
    case("SELECT count(*) FROM attention WHERE weight >= 0.1 AND weight < 0.3", [(2,)], BOTH),
    case("SELECT count(*) FROM attention WHERE weight >= 0.05 AND weight <= 0.26", [(2,)], ("arcs",)),
    case("SELECT count(*) FROM attention WHERE weight >= 0.3 OR weight < 0.0012", [(157,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE weight >= 0.3 OR weight >= 0.1 AND head = 0", [(8,)], BOTH),
    case("SELECT count(*) FROM attention WHERE weight >= 0", [(160,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE weight < 0", [(0,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE weight >= 1.5", [(0,)], ("arcs",)),
    case("SELECT count(*) FROM attention WHERE weight >= 0.3 AND reverse_weight >= 0.3", [(2,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE (NOT weight < 0.3) IS TRUE AND weight IS NOT NULL", [(6,)], ("codes",)),
    case("SELECT count(*) FROM attention WHERE weight IN (0.5, 0.25)", [(3,)], ("arcs",)),
    case(
        "SELECT count(*) FROM attention WHERE weight >= 0.05 AND (weight > 0.5 OR sqrt(distance) < 2)",
        [(4,)],
        ("arcs",),
    ),
    case(
        f"SELECT count_if(contact), count_if(contact) FILTER (WHERE head = 1) {STRONG} AND contact",
        [(2, None)],
        (),
    ),
    # Booleans: shares among the known
    case(
        f"SELECT head, avg(contact), sum(contact), count(contact), count(*), avg(contact_ca) {STRONG}"
        " GROUP BY 1 ORDER BY 1",
        [(0, 2 / 3, 2, 3, 5, 2 / 5), (1, None, None, 0, 1, 1.0)],
        BOTH,
    ),
    case("SELECT avg(contact), count(*) FILTER (WHERE contact IS NULL) FROM attention", [(2 / 76, 8)], ("codes",)),
    case("SELECT sum(contact), count(contact), min(contact), max(contact) FROM attention", [(4, 152, False, True)], ()),
    case(f"SELECT avg(target.aa = 'A'), avg(source.binding) {STRONG}", [(4 / 6, 2 / 5)], BOTH),
    case("SELECT avg(weight >= 0.3), sum(weight < 0.3) FROM attention", [(6 / 160, 154)], ("codes",)),
    # Weights
    case(
        f"SELECT head, sum(weight), avg(weight), min(weight), max(weight) {STRONG} GROUP BY head ORDER BY head",
        [(0, 2.45, 0.49, 0.3, 0.75), (1, 0.9, 0.9, 0.9, 0.9)],
        BOTH,
    ),
    case(
        f"SELECT head, weighted_avg(contact), weighted_avg(separation) {STRONG} GROUP BY head ORDER BY head",
        [(0, 0.8 / 1.3, (0.5 * 1 + 1.2 * 6 + 0.75 * 7) / 2.45), (1, None, 7)],
        BOTH,
    ),
    case(f"SELECT sum(weight * separation) {STRONG}", [(0.5 * 1 + 1.2 * 6 + 0.75 * 7 + 0.9 * 7,)], BOTH),
    case(f"SELECT avg(2 * weight - 1) {STRONG} AND head = 1", [(0.8,)], BOTH),
    case(f"SELECT sum(reverse_weight), max(reverse_weight) {STRONG}", [(0.5 + 0.3 + 4 * BASE, 0.5)], ("codes",)),
    # The attention that a residue receives or emits
    case("SELECT sum(weight) FROM attention", [(2.45 + 0.9 + 0.25 + 0.05 + 0.3 + 151 * BASE,)], ("marginals", "codes")),
    case(
        "SELECT target.aa, sum(weight) FROM attention WHERE head = 1 AND target.aa < 'D' GROUP BY 1 ORDER BY 1",
        [("A", 0.9 + 19 * BASE), ("C", 16 * BASE)],
        ("marginals", "codes"),
    ),
    case(
        "SELECT head, weighted_avg(source.binding), avg(weight) FROM attention WHERE protein = 'b'"
        " GROUP BY 1 ORDER BY 1",
        [
            (0, (1.25 + 6 * BASE) / (1.25 + 6 * BASE + 0.3 + 0.4 + 0.3 + 45 * BASE), (2.25 + 59 * BASE) / 64),
            (1, 8 * BASE / (56 * BASE), (0.9 + 63 * BASE) / 64),
        ],
        ("marginals", "codes"),
    ),
    case(
        "SELECT protein, protein.family, sum(weight) FILTER (WHERE head = 0) FROM attention GROUP BY ALL ORDER BY 1",
        [("a", "kinase", 0.8 + 13 * BASE), ("b", None, 2.25 + 59 * BASE)],
        ("marginals", "codes"),
    ),
    # Nothing known
    case(
        "SELECT protein, avg(distance), weighted_avg(distance), weighted_avg(distance < 5), avg(source.author_number),"
        f" sum(weight * target.author_number), max(distance) {STRONG} AND head = 0 GROUP BY 1 ORDER BY 1",
        [("a", None, None, None, None, None, None), ("b", 3.0, 3.0, 1.0, 1.75, 0.5 * 6 + 0.4 * 7 + 0.75 * 7, 3.0)],
        BOTH,
    ),
    case(
        "SELECT protein, avg(source.author_number), weighted_avg(source.author_number) FROM attention WHERE head = 1"
        " GROUP BY 1 ORDER BY 1",
        [("a", None, None), ("b", 3.5, (0.9 * 7 + (8 * 28 - 7) * BASE) / (0.9 + 63 * BASE))],
        ("marginals", "codes"),
    ),
    # Numbers
    case(f"SELECT sum(separation), avg(separation), min(separation), max(target) {STRONG}", [(33, 5.5, 1, 7)], BOTH),
    case(f"SELECT count(distance), avg(distance), max(distance_ca) {STRONG}", [(2, 3.0, 24.0)], BOTH),
    case(f"SELECT sum(source.pos), sum(target - source), sum(protein.length) {STRONG}", [(14, 7, 44)], BOTH),
    # FILTER, DISTINCT, arithmetic
    case(
        f"SELECT count(*) FILTER (WHERE contact), sum(weight) FILTER (WHERE target.aa = 'A' AND head = 0) {STRONG}",
        [(2, 1.45)],
        BOTH,
    ),
    case(
        f"SELECT count(DISTINCT protein), count(DISTINCT target.aa), count(DISTINCT head) {STRONG}", [(2, 3, 2)], BOTH
    ),
    case(f"SELECT 100.0 * sum(contact) / count(*) AS percent {STRONG} AND head = 0", [(40.0,)], BOTH),
    case(f"SELECT head, coalesce(avg(contact), -1) {STRONG} GROUP BY 1 ORDER BY 1", [(0, 2 / 3), (1, -1.0)], BOTH),
    case(f"SELECT CASE WHEN count(*) > 5 THEN avg(contact) END, nullif(count(*), 6) {STRONG}", [(2 / 3, None)], BOTH),
    case("SELECT avg(contact) FILTER (WHERE weight >= 0.3) / avg(contact) FROM attention", [(2 / 3 * 38,)], ("codes",)),
    # Keys
    case(f"SELECT target.aa, count(*) {STRONG} GROUP BY target.aa ORDER BY 1", [("A", 4), ("C", 1), ("H", 1)], BOTH),
    case(f"SELECT source.binding, count(*) {STRONG} GROUP BY 1 ORDER BY 2", [(None, 1), (True, 2), (False, 3)], BOTH),
    case(f"SELECT contact, count(*) {STRONG} GROUP BY ALL ORDER BY 2", [(False, 1), (True, 2), (None, 3)], BOTH),
    case(f"SELECT protein.family AS f, count(*) {STRONG} GROUP BY f ORDER BY f", [("kinase", 1), (None, 5)], BOTH),
    case(
        f"SELECT model, protein, count(*) {STRONG} GROUP BY 1, 2 ORDER BY 2",
        [("first", "a", 1), ("first", "b", 5)],
        BOTH,
    ),
    case(
        f"SELECT source.aa || target.aa AS letters, count(*) {STRONG} GROUP BY letters ORDER BY letters",
        [("AA", 2), ("AC", 1), ("AH", 1), ("CA", 1), ("HA", 1)],
        BOTH,
    ),
    case(
        f"SELECT source, target, count(*) {STRONG} AND head = 0 GROUP BY 1, 2 ORDER BY 1, 2",
        [(0, 1, 1), (0, 6, 1), (0, 7, 1), (1, 7, 1), (6, 0, 1)],
        BOTH,
    ),
    case(f"SELECT floor(separation / 5), count(*) {STRONG} GROUP BY 1 ORDER BY 1", [(0, 1), (1, 5)], BOTH),
    case(f"SELECT source < target, count(*) {STRONG} GROUP BY 1 ORDER BY 1", [(False, 2), (True, 4)], BOTH),
    case(
        f"SELECT floor(weight * 10) AS b, count(*) {STRONG} GROUP BY b ORDER BY b",
        [(3, 1), (4, 1), (5, 2), (7, 1), (9, 1)],
        ("arcs",),
    ),
    case(
        "SELECT CASE WHEN weight >= 0.3 THEN 'strong' WHEN weight >= 0.05 THEN 'weak' ELSE 'none' END AS b, count(*)"
        " FROM attention GROUP BY b ORDER BY 2",
        [("weak", 3), ("strong", 6), ("none", 151)],
        ("codes",),
    ),
    case(f"SELECT count(*) {STRONG} GROUP BY head ORDER BY 1", [(1,), (5,)], BOTH),
    case(f"SELECT target.aa {STRONG} GROUP BY target.aa ORDER BY 1", [("A",), ("C",), ("H",)], BOTH),
    # After the groups
    case(f"SELECT head, count(*) AS n {STRONG} GROUP BY head HAVING n > 1", [(0, 5)], BOTH),
    case(f"SELECT head {STRONG} GROUP BY head HAVING avg(contact) IS NULL", [(1,)], BOTH),
    case(
        f"SELECT target.aa AS t, count(*) {STRONG} GROUP BY t ORDER BY 2 DESC, t DESC LIMIT 1 OFFSET 1",
        [("H", 1)],
        BOTH,
    ),
    case(
        f"SELECT head, count(*), count(*) / sum(count(*)) OVER () AS part {STRONG} GROUP BY 1 ORDER BY 1",
        [(0, 5, 5 / 6), (1, 1, 1 / 6)],
        BOTH,
    ),
    case(
        f"SELECT head, target.aa, count(*) {STRONG} GROUP BY 1, 2"
        " QUALIFY row_number() OVER (PARTITION BY head ORDER BY count(*) DESC) = 1 ORDER BY 1",
        [(0, "A", 3), (1, "A", 1)],
        BOTH,
    ),
    case(
        f"SELECT head, count(*), sum(weight) {STRONG} GROUP BY ROLLUP (head) ORDER BY 2",
        [(1, 1, 0.9), (0, 5, 2.45), (None, 6, 3.35)],
        BOTH,
    ),
    case(
        f"SELECT head, protein, count(*) {STRONG} GROUP BY GROUPING SETS ((head), (protein)) ORDER BY 1, 2",
        [(0, None, 5), (1, None, 1), (None, "a", 1), (None, "b", 5)],
        BOTH,
    ),
    case(
        f"SELECT head, contact, count(*) {STRONG} GROUP BY CUBE (head, contact) HAVING count(*) > 2 ORDER BY 3, 1, 2",
        [(None, None, 3), (0, None, 5), (None, None, 6)],
        BOTH,
    ),
    # Nothing there
    case("SELECT count(*), sum(weight), avg(contact) FROM attention WHERE weight >= 0.95", [(0, None, None)], BOTH),
    case("SELECT head, count(*) FROM attention WHERE weight >= 0.95 GROUP BY head", [], BOTH),
    case("SELECT max(weight), weighted_avg(contact) FROM attention WHERE protein = 'z'", [(None, None)], ("codes",)),
    case("SELECT protein, source FROM attention WHERE weight >= 0.95", [], BOTH),
    case("SELECT count(*) FROM attention WHERE contact AND NOT contact", [(0,)], ("codes",)),
    # Rows
    case(
        f"SELECT protein, head, source, target, weight {STRONG} ORDER BY weight DESC, protein LIMIT 4",
        [("b", 1, 7, 0, f32(0.9)), ("b", 0, 0, 7, 0.75), ("a", 0, 0, 1, 0.5), ("b", 0, 0, 6, 0.5)],
        ("arcs",),
    ),
    case(
        "SELECT * FROM attention WHERE weight >= 0.3 AND head = 1",
        [("first", "b", 0, 1, 7, 0, f32(0.9))],
        BOTH,
    ),
    case(
        f"SELECT source.aa, target.aa, contact, protein.family, distance {STRONG} AND separation = 6 ORDER BY source",
        [("A", "H", True, None, 3.0), ("C", "A", None, None, None), ("H", "A", True, None, 3.0)],
        BOTH,
    ),
    case(
        "SELECT source, target FROM attention WHERE head = 1 AND contact ORDER BY source", [(0, 6), (6, 0)], ("codes",)
    ),
    case(f"SELECT DISTINCT source.aa {STRONG} ORDER BY 1", [("A",), ("C",), ("H",)], ("arcs",)),
    # What only DuckDB has
    case(f"SELECT median(weight), arg_max(target.aa, weight) {STRONG} AND head = 0", [(0.5, "A")], ("arcs",)),
    case(f"SELECT string_agg(source.aa, '' ORDER BY source.aa) {STRONG} AND target = 7", [("AC",)], ("arcs",)),
    case(f"SELECT count(*) {STRONG} AND source.aa || target.aa IN ('AA', 'CA')", [(3,)], ("arcs",)),
    # Subqueries about proteins and heads
    case(f"SELECT count(*) {STRONG} AND protein IN (SELECT id FROM proteins WHERE length > 5)", [(5,)], BOTH),
    case(f"SELECT count(*) FILTER (WHERE head = (SELECT max(head) FROM heads)) {STRONG}", [(1,)], BOTH),
    # Spellings
    case("select COUNT(*) from Attention where WEIGHT >= .3 and SOURCE.AA = 'A'", [(4,)], BOTH),
    case("FROM attention SELECT count(*) WHERE weight >= 3e-1", [(6,)], BOTH),
    case("SELECT count(*) FROM attention WHERE weight >= 0.3 -- and no more\n;", [(6,)], BOTH),
    case(
        'SELECT a."source"."aa", count(a.weight) FROM attention AS a WHERE a.weight >= 0.3'
        " GROUP BY a.source.aa ORDER BY 1",
        [("A", 4), ("C", 1), ("H", 1)],
        BOTH,
    ),
    # Blocks within statements
    case(
        f"WITH b AS (SELECT head, count(*) AS n {STRONG} GROUP BY head)"
        " SELECT x.head, y.head, x.n - y.n FROM b AS x, b AS y ORDER BY 1, 2",
        [(0, 0, 0), (0, 1, 4), (1, 0, -4), (1, 1, 0)],
        BOTH,
    ),
    case(
        f"SELECT p.id, p.length, n FROM proteins AS p JOIN (SELECT protein, count(*) AS n {STRONG} GROUP BY 1) AS b"
        " ON b.protein = p.id ORDER BY 1",
        [("a", 4, 1), ("b", 8, 5)],
        BOTH,
    ),
    case(
        f"SELECT r.aa, n FROM (SELECT protein, target, count(*) AS n {STRONG} GROUP BY ALL) AS b"
        " JOIN residues AS r ON r.protein = b.protein AND r.pos = b.target ORDER BY n DESC, r.aa",
        [("A", 2), ("A", 2), ("C", 1), ("H", 1)],
        BOTH,
    ),
    case(
        f"SELECT 'strong' AS kind, count(*) {STRONG} UNION ALL"
        " SELECT 'contacts', sum(contact) FROM attention ORDER BY kind",
        [("contacts", 4), ("strong", 6)],
        ("codes",),
    ),
    case(f"SELECT (SELECT count(*) {STRONG}) / (SELECT count(*) FROM attention) AS share", [(6 / 160,)], ("codes",)),
    case(f"SELECT max(n) FROM (SELECT count(*) AS n {STRONG} GROUP BY head) AS b", [(5,)], BOTH),
    case(
        f"SELECT id FROM proteins WHERE id IN (SELECT protein {STRONG} GROUP BY 1 HAVING count(*) > 1)", [("b",)], BOTH
    ),
    case(
        "WITH weak AS (SELECT count(*) AS n FROM attention WHERE weight < 0.3),"
        f" strong AS (SELECT sum(weight) AS w {STRONG}) SELECT n, w FROM weak, strong",
        [(154, 3.35)],
        ("codes",),
    ),
    case(f"SELECT count(*) FROM (SELECT protein, source {STRONG}) AS r WHERE source = 0", [(3,)], BOTH),
    case("SELECT count(*) FROM residues", [(12,)], ()),
    case(
        "SELECT aa, count(*) FROM arcs JOIN residues r ON r.protein = arcs.protein AND r.pos = target"
        " WHERE weight >= 0.5 GROUP BY 1 ORDER BY 1",
        [("A", 2), ("C", 1), ("H", 1)],
        (),
    ),
]


@pytest.mark.parametrize(("statement", "expected", "tiers"), CASES)
def test_the_answer_is_what_one_works_out(store, statement, expected, tiers):
    for tier in (None, *tiers):
        found = store.query(statement, tier=tier).to_arrow()
        # Bounds follow what is asked for.
        agree(rows(found, len(expected[0]) if expected else None), expected)


def test_the_frame_has_duckdbs_names_and_types(store):
    statement = (
        "SELECT layer, source.aa, count(*), avg(contact), sum(contact), weighted_avg(target.binding), sum(weight),"
        " max(weight), min(separation), sum(weight) / count(*) AS mean, max(contact), protein.family,"
        ' weight >= 0.5, avg(distance) FILTER (WHERE separation > 5), count(DISTINCT target.aa) AS "a b"'
        " FROM attention WHERE weight >= 0.3 GROUP BY ALL"
    )
    schema = store.query(statement).to_arrow().schema
    assert [(field.name, str(field.type)) for field in schema] == [
        ("layer", "int32"),
        ("aa", "string"),
        ("count_star()", "int64"),
        ("avg(contact)", "double"),
        ("sum(contact)", "int64"),
        ('weighted_avg("target".binding)', "double"),
        ("sum(weight)", "double"),
        ("max(weight)", "float"),
        ("min(separation)", "int32"),
        ("mean", "double"),
        ("max(contact)", "bool"),
        ("family", "string"),
        ("(weight >= 0.5)", "bool"),
        ('avg("distance") FILTER (WHERE (separation > 5))', "double"),
        ("a b", "int64"),
    ]
    star = store.query("SELECT * FROM attention WHERE weight >= 0.3").to_arrow().schema
    assert [(field.name, str(field.type)) for field in star] == [
        ("model", "string"),
        ("protein", "string"),
        ("layer", "int32"),
        ("head", "int32"),
        ("source", "int32"),
        ("target", "int32"),
        ("weight", "float"),
    ]


@pytest.mark.parametrize(
    ("select", "where", "some", "none"),
    [
        ("head, source.aa, contact, count(*), sum(weight), max(weight), avg(contact)", "weight >=", "0.3", "0.95"),
        ("target.aa, sum(weight), avg(weight), weighted_avg(target.pos), max(target.pos)", "target.aa =", "'A'", "'Z'"),
        ("target.aa, sum(weight), max(weight), avg(contact), min(distance)", "contact AND target.aa <=", "'H'", "'0'"),
        ("protein, source.aa, contact, weight", "weight >=", "0.3", "0.95"),
        ("protein, source.aa, contact, weight", "contact AND target.aa <=", "'H'", "'0'"),
    ],
)
def test_an_empty_answer_has_the_same_types_as_a_full_one(store, select, where, some, none):
    group = "GROUP BY ALL" if "(" in select else ""
    full, empty = (
        store.query(f"SELECT {select} FROM attention WHERE {where} {value} {group}").to_arrow()
        for value in (some, none)
    )
    assert full.num_rows > 0
    assert empty.num_rows == 0
    assert empty.schema.equals(full.schema)


def test_names_that_differ_in_their_end_alone_are_kept(store):
    found = store.query("SELECT source.aa, target.aa, count(*) FROM attention WHERE weight >= 0.75 GROUP BY ALL")
    assert found.to_arrow().column_names == ["aa", "aa", "count_star()"]
    assert sorted(rows(found.to_arrow())) == [("A", "A", 2)]


# Bounds of what codes say


def test_sums_from_codes_come_with_the_edges_of_their_bins(store):
    statement = "SELECT head, sum(weight), avg(weight) AS mean, count(*) FROM attention WHERE contact GROUP BY head"
    found = store.query(f"{statement} ORDER BY head").to_arrow()
    assert found.column_names == [
        "head", "sum(weight)", "mean", "count_star()", "sum(weight)_min", "sum(weight)_max", "mean_min", "mean_max",
    ]  # fmt: skip
    # Of head 0 the weights are 0.5 and 0.3, in [0.5, 0.51) and [0.3, 0.31); of head 1 twice 0.001, in [0.001, 0.0012).
    agree(
        rows(found),
        [(0, 0.8, 0.4, 2, 0.8, 0.82, 0.4, 0.41), (1, 0.002, 0.001, 2, 0.002, 0.0024, 0.001, 0.0012)],
    )


def test_extremes_from_codes_have_bounds_too(store):
    found = store.query("SELECT min(weight) AS low, max(weight) AS high FROM attention WHERE contact", tier="codes")
    table = found.to_arrow()
    assert table.column_names == ["low", "high", "low_min", "low_max", "high_min", "high_max"]
    agree(rows(table), [(BASE, 0.5, BASE, 0.0012, 0.5, 0.51)])


def test_bounds_can_be_asked_for_by_name_around_a_block(store):
    block = "SELECT head AS h, sum(weight) AS w FROM attention WHERE contact GROUP BY head"
    wanted = [(0, 0.8, 0.02), (1, 0.002, 0.0004)]
    for statement in (
        f"WITH b AS ({block}) SELECT h, w, w_max - w_min FROM b ORDER BY h",
        f"SELECT h, w, w_max - w_min FROM ({block}) AS b ORDER BY h",
    ):
        agree(rows(store.query(statement).to_arrow()), wanted)


def test_rows_from_codes_have_their_bounds(store):
    found = store.query("SELECT source, weight FROM attention WHERE contact AND head = 0 ORDER BY source").to_arrow()
    assert found.column_names == ["source", "weight", "weight_min", "weight_max"]
    agree(rows(found), [(0, 0.5, 0.5, 0.51), (6, 0.3, 0.3, 0.31)])


def test_exact_answers_are_preferred_and_have_no_bounds(store):
    for statement in (
        "SELECT head, sum(weight) FROM attention GROUP BY head",
        "SELECT target.aa, avg(weight) FROM attention GROUP BY ALL",
        f"SELECT head, avg(weight), max(weight) {STRONG} AND contact GROUP BY head",
        f"SELECT protein, source, target, weight {STRONG}",
        "SELECT count(*), avg(contact) FROM attention WHERE weight >= 0.001",
    ):
        assert not [name for name in store.query(statement).to_arrow().column_names if name.endswith(("_min", "_max"))]


# Thresholds to the bit


def test_a_threshold_is_a_float32_in_every_tier(tmp_path):
    # Of these, float32 is above the decimal for some, and below it for others.
    edges = [np.float32(edge) for edge in (0.3, 0.7, 0.05, 0.9, 0.01, 1e-4)]
    weights = np.array([np.nextafter(edge, np.float32(to)) for edge in edges for to in (0, edge, 1)])
    attention = np.full((1, 1, 8, 8), 1e-5, np.float32)
    attention[0, 0, 1:4, 1:7] = weights.reshape(3, 6)
    write_store(tmp_path / "store", [Protein("p", "ACDEFG", None, attention)])
    store = attnstore.open(tmp_path / "store")
    stored = attention[0, 0, 1:-1, 1:-1].ravel()
    relations = {">=": np.greater_equal, "<": np.less, ">": np.greater, "<=": np.less_equal, "=": np.equal}
    for edge in edges:
        for sign, relation in relations.items():
            at_edges = sign in (">=", "<")
            floor = "" if at_edges else " AND weight >= 0.05"
            arcs = not at_edges or (sign == ">=" and edge >= np.float32(0.05))
            expected = int(np.sum(relation(stored, edge) & (stored >= np.float32(0 if at_edges else 0.05))))
            for tier in [None, *(["codes"] if at_edges else []), *(["arcs"] if arcs else [])]:
                for theta in (f"{edge:.6g}", *([f"{edge:e}"] if tier is None else [])):
                    statement = f"SELECT count(*) FROM attention WHERE weight {sign} {theta}{floor}"
                    assert rows(store.query(statement, tier=tier).to_arrow()) == [(expected,)], (statement, tier)


# Two models


def test_models_are_compared_in_one_statement(two):
    by_model = (
        "SELECT model, count(*) AS n, avg(contact) AS c FROM attention WHERE weight >= 0.3 GROUP BY model ORDER BY 1"
    )
    agree(rows(two.query(by_model).to_arrow()), [("first", 6, 2 / 3), ("second", 1, 1.0)])
    compared = (
        "WITH b AS (SELECT model, layer, head, count(*) AS n FROM attention WHERE weight >= 0.3 GROUP BY ALL)"
        " SELECT x.head, x.n, y.n FROM b x JOIN b y ON x.layer = y.layer WHERE x.model = 'first' AND y.model = 'second'"
        " ORDER BY x.head"
    )
    assert rows(two.query(compared).to_arrow()) == [(0, 5, 1), (1, 1, 1)]
    joined = (
        "SELECT f.source, f.weight, s.weight FROM"
        " (SELECT protein, source, target, weight FROM attention WHERE model = 'first' AND weight >= 0.3) AS f JOIN"
        " (SELECT protein, source, target, weight FROM attention WHERE model = 'second' AND weight >= 0.3) AS s"
        " USING (protein, source, target)"
    )
    agree(rows(two.query(joined).to_arrow()), [(0, 0.5, 0.6)])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("model = 'first'", 160),
        ("model = 'second'", 80),
        ("'second' = model AND separation >= 6", 6),
        ("model = 'first' AND layer = 0 AND head = 1", 80),
    ],
)
def test_a_condition_restricts_a_block_to_a_model(two, condition, expected):
    assert rows(two.query(f"SELECT count(*) FROM attention WHERE {condition}").to_arrow()) == [(expected,)]


def test_a_model_or_head_that_is_not_there_is_warned_of(two):
    for condition in ("model = 'third'", "layer = 7", "model = 'second' AND head = 1"):
        with pytest.warns(UserWarning, match="no head satisfies"):
            assert (
                rows(two.query(f"SELECT model, count(*) FROM attention WHERE {condition} GROUP BY 1").to_arrow()) == []
            )


# What comes back


def test_a_grid_of_heads_is_an_xarray(store):
    found = store.query(f"SELECT layer, head, avg(contact) AS share, count(*) AS n {STRONG} GROUP BY ALL").to_xarray()
    assert isinstance(found, xr.Dataset)
    assert dict(found.sizes) == {"layer": 1, "head": 2}
    np.testing.assert_allclose(found["share"].values, [[2 / 3, np.nan]])
    np.testing.assert_array_equal(found["n"].values, [[5, 1]])
    for statement, said in (
        (f"SELECT head, count(*) {STRONG} GROUP BY head", "layer and head"),
        (f"SELECT layer, head, source, weight {STRONG}", "one row a head, and here 'source', 'weight'"),
    ):
        with pytest.raises(QueryError, match=said):
            store.query(statement).to_xarray()


def test_the_ways_to_read_a_result_agree(store):
    statement = f"SELECT head, source.binding AS b, count(*) AS n, avg(contact) {STRONG} GROUP BY ALL ORDER BY ALL"
    result = store.query(statement)
    table = result.to_arrow()
    assert isinstance(result, pd.DataFrame)
    assert type(result.df()) is pd.DataFrame
    assert [[None if pd.isna(cell) else cell for cell in row] for row in result.itertuples(index=False)] == [
        list(row) for row in rows(table)
    ]
    assert rows(store.stream(statement).read_all()) == rows(table)


def test_rows_stream_in_batches(store):
    reader = store.stream("SELECT protein, head, source, target FROM attention ORDER BY ALL")
    found = [row for batch in reader for row in zip(*batch.to_pydict().values(), strict=True)]
    assert found == [
        (name, head, source, target)
        for name, length in (("a", 4), ("b", 8))
        for head, source, target in np.ndindex(2, length, length)
    ]


@pytest.mark.parametrize(
    ("statement", "tier"),
    [
        ("SELECT target.aa, sum(weight) FROM attention GROUP BY 1", "marginals"),
        (f"SELECT count(*) {STRONG}", "arcs"),
        ("SELECT count(*) FROM attention WHERE weight >= 0.01", "codes"),
        ("SELECT sum(weight) FROM attention WHERE contact", "codes"),
    ],
)
def test_the_plan_names_the_tier_and_why(store, statement, tier):
    plan = store.explain(statement)
    assert tier in plan
    assert tier in store.query(statement).plan
    assert ("bounds" in plan) == ("sum(weight) FROM attention WHERE contact" in statement)


def test_a_plan_shows_each_block(store):
    plan = store.explain(
        f"WITH strong AS (SELECT count(*) AS n {STRONG}), all_of_it AS (SELECT sum(weight) AS w FROM attention)"
        " SELECT n, w FROM strong, all_of_it"
    )
    assert "arcs" in plan
    assert "marginals" in plan


def test_a_saved_result_says_where_it_came_from(store, tmp_path):
    statement = f"SELECT layer, head, avg(contact) AS share, count(*) AS n {STRONG} GROUP BY ALL ORDER BY ALL"
    result = store.query(statement)
    assert statement in result.attrs.values()
    assert any("first" in str(value) for value in result.attrs.values())
    for name in ("r.parquet", "r.nc", "r.zarr"):
        result.save(tmp_path / name)
    read = pq.read_table(tmp_path / "r.parquet")
    assert read.cast(result.to_arrow().schema).equals(result.to_arrow())
    assert any(statement.encode() in value for value in (read.schema.metadata or {}).values())
    for dataset in (xr.open_dataset(tmp_path / "r.nc"), xr.open_zarr(tmp_path / "r.zarr", consolidated=False)):
        np.testing.assert_allclose(dataset["share"].values, [[2 / 3, np.nan]])
        assert statement in dataset.attrs.values()
        dataset.close()
    with pytest.raises(QueryError, match=r"parquet"):
        result.save(tmp_path / "r.docx")


def test_the_command_prints_what_python_returns(path, store, capfdbinary, tmp_path):
    statement = f"SELECT head, count(*) AS n, avg(contact) AS share {STRONG} GROUP BY ALL ORDER BY head"

    def run(*options: str) -> bytes:
        with pytest.raises(SystemExit) as stop:
            cli.main(["query", str(path), statement, *options])
        assert stop.value.code == 0
        printed: bytes = capfdbinary.readouterr().out
        return printed

    out = tmp_path / "out.parquet"
    assert run("--format", "parquet", "-o", str(out)) == b""
    assert rows(pq.read_table(out)) == rows(store.query(statement).to_arrow()) == [(0, 5, 2 / 3), (1, 1, None)]
    assert list(pd.read_csv(io.BytesIO(run("--format", "csv")))) == ["head", "n", "share"]
    assert len(run("--format", "json").splitlines()) == 4
    assert b"arcs" in run("--explain")
