"""An independent answer: DuckDB's own, on the table of all pairs."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np

from attnstore.queries.engine.pairs import AllPairs, ListedPairs, evaluate, truth
from attnstore.queries.engine.vectors import evaluate_terms
from attnstore.queries.sql.condition import parse
from attnstore.queries.sql.tree import Columns

RESIDUES = {
    "pos": "INTEGER",
    "aa": "VARCHAR",
    "ca_x": "FLOAT",
    "ca_y": "FLOAT",
    "ca_z": "FLOAT",
    "cb_x": "FLOAT",
    "cb_y": "FLOAT",
    "cb_z": "FLOAT",
    "flag": "BOOLEAN",
    "score": "INTEGER",
    "hydropathy": "FLOAT",
    "weighting": "DOUBLE",
    "label": "VARCHAR",
    "fold": "ENUM('strand', 'helix', 'coil')",
}
PROTEINS = {
    "id": "VARCHAR",
    "length": "INTEGER",
    "sequence": "VARCHAR",
    "class": "VARCHAR",
    "level": "INTEGER",
    "soluble": "BOOLEAN",
}

COLUMNS = Columns(tuple(RESIDUES.items()), tuple(PROTEINS.items()))

# NaN is how a coordinate is missing in the catalog; a pair without one has no distance.
_DISTANCE = (
    "sqrt((nullif(s.{0}_x, 'NaN')::DOUBLE - nullif(t.{0}_x, 'NaN')::DOUBLE) ** 2"
    " + (nullif(s.{0}_y, 'NaN')::DOUBLE - nullif(t.{0}_y, 'NaN')::DOUBLE) ** 2"
    " + (nullif(s.{0}_z, 'NaN')::DOUBLE - nullif(t.{0}_z, 'NaN')::DOUBLE) ** 2)"
)
_CONTACT = "separation >= 6 AND distance_{} < 8"


def catalog(proteins: Sequence[Mapping[str, Any]], residues: Sequence[Mapping[str, Any]]) -> Any:
    """A catalog in memory; rows of residues say protein_index and come in order."""
    connection = duckdb.connect(":memory:")
    for table, columns, rows in (
        ("proteins", {"protein_index": "INTEGER", **PROTEINS}, proteins),
        ("residues", {"protein_index": "INTEGER", "protein": "VARCHAR", **RESIDUES}, residues),
    ):
        listed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f"CREATE TABLE {table} ({listed})")
        if rows:
            marks = ", ".join("?" for _ in columns)
            connection.executemany(
                f"INSERT INTO {table} VALUES ({marks})", [[row.get(name) for name in columns] for row in rows]
            )
    expand(connection)
    return connection


def expand(connection: Any) -> None:
    """Build the pair table: every ordered pair of every protein, with its separation, distances, contacts."""
    connection.execute(
        "CREATE TABLE pair_table AS WITH p AS ("
        " SELECT s.protein_index, s.protein, s.pos AS i, t.pos AS j, abs(s.pos - t.pos)::INTEGER AS separation,"
        f" {_DISTANCE.format('cb')} AS distance_cb, {_DISTANCE.format('ca')} AS distance_ca"
        " FROM residues s JOIN residues t USING (protein_index))"
        " SELECT *, i AS source, j AS target, distance_cb AS distance,"
        f" {_CONTACT.format('cb')} AS contact, {_CONTACT.format('ca')} AS contact_ca FROM p"
    )


def answer(connection: Any, text: str, protein_index: int, length: int) -> np.ndarray:
    """Kleene codes [target, source] of the original text on the pairs of the first `length` residues."""
    # The columns that bare names stand for would be ambiguous between the tables, so only the pair table's
    # are taken from it; a stored NaN counts as missing wherever it is named.
    columns = [row[:2] for row in connection.execute("DESCRIBE residues").fetchall()]
    named = ", ".join(f"nullif({name}, 'NaN') AS {name}" for name, kind in columns if kind in ("FLOAT", "DOUBLE"))
    rows = connection.execute(
        f"""
        WITH r AS (SELECT * REPLACE ({named}) FROM residues)
        SELECT CASE WHEN value IS NULL THEN 1 WHEN value THEN 2 ELSE 0 END FROM (
            SELECT pair_table.i, pair_table.j, ({text}
            ) AS value
            FROM pair_table
            JOIN (SELECT * EXCLUDE (protein) FROM r) AS source
              ON source.protein_index = pair_table.protein_index AND source.pos = pair_table.i
            JOIN (SELECT * EXCLUDE (protein) FROM r) AS target
              ON target.protein_index = pair_table.protein_index AND target.pos = pair_table.j
            JOIN proteins AS protein ON protein.protein_index = pair_table.protein_index
            WHERE pair_table.protein_index = {protein_index} AND pair_table.i < {length} AND pair_table.j < {length}
        ) ORDER BY j, i
        """
    ).fetchall()
    return np.array([row[0] for row in rows], dtype=np.uint8).reshape(length, length)


def ours(connection: Any, texts: Sequence[str], lengths: Mapping[int, int]) -> list[dict[int, np.ndarray]]:
    """The same by attnstore: for each text, protein_index to codes, for proteins cut to `lengths`.

    Evaluated twice, on all pairs at once and on the same pairs listed in another order, which must agree.
    """
    expressions = [parse(text, clause="predicate", columns=COLUMNS) for text in texts]
    vectors = evaluate_terms(connection, expressions)
    found: list[dict[int, np.ndarray]] = [{} for _ in texts]
    selected = vectors.select(list(lengths), list(lengths.values()))
    for index, protein in zip(lengths, selected.proteins(), strict=True):
        pairs = AllPairs(protein)
        for expression, codes in zip(expressions, found, strict=True):
            codes[index] = truth(expression, protein, pairs)
    places = [(p, i, j) for p, length in enumerate(lengths.values()) for i in range(length) for j in range(length)]
    random.Random(0).shuffle(places)
    protein, source, target = np.array(places, np.uint32).reshape(-1, 3).T
    listed = ListedPairs(selected, protein, source, target)
    for expression, codes in zip(expressions, found, strict=True):
        values = np.broadcast_to(evaluate(expression.root, listed), len(places))
        for p, index in enumerate(lengths):
            own = protein == p
            np.testing.assert_array_equal(codes[index][target[own], source[own]], values[own])
    return found
