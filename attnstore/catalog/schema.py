"""The tables of a catalog, and the check that a catalog contains these and nothing else.

A catalog may come from somebody else. DuckDB runs what a database defines whenever a statement names it: a view named
`residues` reads any file, a macro named `sha256` replaces the function. So only base tables with known columns are
accepted, and the check itself names nothing of the catalog before it has passed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from ..errors import StoreError
from .builtin import FROM_SEQUENCE
from .connection import identifier, literal
from .property import PROPERTY_NAME, SQL_TYPES, TABLES

#: Columns of every catalog and their types, by table.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "proteins": {
        "protein_index": "INTEGER", "id": "VARCHAR", "length": "INTEGER", "sequence": "VARCHAR",
        "sequence_sha256": "VARCHAR", "members": "INTEGER", "structure": "VARCHAR", "structure_sha256": "VARCHAR",
    },
    "members": {"protein_index": "INTEGER", "protein": "VARCHAR", "member": "VARCHAR", "place": "VARCHAR"},
    "residues": {
        "protein_index": "INTEGER", "protein": "VARCHAR", "pos": "INTEGER", "aa": "VARCHAR",
        "author_number": "INTEGER", "insertion_code": "VARCHAR",
        **{f"{atom}_{axis}": "FLOAT" for atom in ("ca", "cb") for axis in "xyz"},
        "contact_number": "BIGINT", **{prop.name: SQL_TYPES[prop.kind] for prop, _ in FROM_SEQUENCE},
    },
    "pairs": {"protein_index": "INTEGER", "protein": "VARCHAR", "source": "INTEGER", "target": "INTEGER"},
    "properties": {
        "name": "VARCHAR", "level": "VARCHAR", "type": "VARCHAR", "unit": "VARCHAR", "description": "VARCHAR",
        "absent": "VARCHAR", "source": "VARCHAR", "source_sha256": "VARCHAR", "known": "BIGINT", "positive": "BIGINT",
    },
    "property_sources": {
        "name": "VARCHAR", "level": "VARCHAR", "source": "VARCHAR", "sha256": "VARCHAR", "absent": "VARCHAR",
    },
}  # fmt: skip

#: Columns of the first catalogs, before properties could be added.
_FIRST_COLUMNS: Mapping[str, Mapping[str, str]] = {
    **{table: COLUMNS[table] for table in ("proteins", "members", "pairs")},
    "residues": {name: kind for name, kind in COLUMNS["residues"].items() if kind in ("INTEGER", "VARCHAR", "FLOAT")},
    "properties": dict.fromkeys(("name", "level", "type", "unit", "description", "absent"), "VARCHAR"),
}

#: Tables that a catalog may lack.
OPTIONAL: Mapping[str, Mapping[str, str]] = {"excluded": {"id": "VARCHAR", "file": "VARCHAR", "reason": "VARCHAR"}}

#: DuckDB's lists of other things in a database: kind, list, column of the name, whether it includes built-ins.
_OTHER_OBJECTS = (
    ("view", "duckdb_views", "view_name", True),
    ("macro", "duckdb_functions", "function_name", True),
    ("sequence", "duckdb_sequences", "sequence_name", False),
    ("index", "duckdb_indexes", "index_name", False),
    ("type", "duckdb_types", "type_name", True),
    ("trigger", "duckdb_triggers", "trigger_name", False),
    ("schema", "duckdb_schemas", "schema_name", True),
)


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of every catalog, empty, in the current database."""
    for table, columns in COLUMNS.items():
        connection.execute(_definition(table, columns))


def _definition(table: str, columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{identifier(name)} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {identifier(table)}({listed})"


def check_catalog(connection: duckdb.DuckDBPyConnection, database: str, catalog: Path) -> None:
    """Refuse a catalog with anything but the tables of the format, or with rows that contradict each other.

    Parameters
    ----------
    connection : locked, with the catalog attached and not in its search path
    database : name under which the catalog is attached
    catalog : file, for messages

    Raises
    ------
    StoreError
        It contains a view, a macro or anything else that is not a table of the format; a table has other columns or
        constraints; or values are missing or contradict each other.
    """
    for problem in _schema_problems(connection, database):
        raise StoreError(f"the catalog {catalog} is not one that attnstore wrote: {problem}. Do not use this store.")
    for problem in _content_problems(connection, database):
        raise StoreError(f"the catalog {catalog} is damaged: {problem}.")


def _schema_problems(connection: duckdb.DuckDBPyConnection, database: str) -> Iterator[str]:
    held = " UNION ALL ".join(
        f"SELECT '{kind}', {column} FROM {listing}() WHERE database_name = {literal(database)}"
        + (" AND NOT internal" if built_in else "")
        for kind, listing, column, built_in in _OTHER_OBJECTS
    )
    for kind, name in connection.execute(held).fetchall():
        yield f"it holds the {kind} {name!r}"
    definitions = dict(_definitions(connection, database))
    found = {table: _columns(connection, database, table) for table in sorted(definitions)}
    wanted = COLUMNS if "property_sources" in found else _FIRST_COLUMNS
    for table, columns in wanted.items():
        if table not in found:
            yield f"it has no table {table}"
            continue
        yield from _column_problems(table, found[table], columns)
    for table in found.keys() - wanted.keys():
        if found[table] != OPTIONAL.get(table):
            yield f"it holds the table {table!r}, which is none of the format's"
    # Defaults, generated columns, constraints and collations: anything that a plain table of these columns lacks.
    for table, columns in found.items():
        connection.execute(_definition(table, columns))
    plain = dict(_definitions(connection, "memory"))
    for table in found:
        connection.execute(f"DROP TABLE {identifier(table)}")
        if definitions.get(table) != plain[table]:
            yield f"its table {table} has more than columns (a default, a constraint, a collation or an expression)"


def _definitions(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str]]:
    return connection.execute(
        f"SELECT table_name, sql FROM duckdb_tables() WHERE database_name = {literal(database)} AND NOT temporary"
    ).fetchall()


def _columns(connection: duckdb.DuckDBPyConnection, database: str, table: str) -> dict[str, str]:
    """Type of each column; a tenth of the time of duckdb_columns(), which lists those of DuckDB's own tables, too."""
    described = connection.execute(f"DESCRIBE {identifier(database)}.main.{identifier(table)}").fetchall()
    return {name: kind for name, kind, *_ in described}


def _column_problems(table: str, found: Mapping[str, str], columns: Mapping[str, str]) -> Iterator[str]:
    """Columns of the format come first, in any order; properties may follow."""
    for name, kind in columns.items():
        if found.get(name) != kind:
            yield f"column {name} of its table {table} is {found.get(name, 'missing')}, and has to be {kind}"
    given = {name: kind for name, kind in found.items() if name not in columns}
    kinds = set(SQL_TYPES.values()) if table in TABLES.values() else set()
    for name, kind in given.items():
        if kind not in kinds or not PROPERTY_NAME.fullmatch(name):
            yield f"its table {table} has a column {name!r} of type {kind}, which cannot be a property"
    if len({name.lower() for name in found}) < len(found):
        yield f"columns of its table {table} differ by case alone"


def _content_problems(connection: duckdb.DuckDBPyConnection, database: str) -> Iterator[str]:
    """Check values that a reader relies on: those that connect rows."""
    of = f"{identifier(database)}.main."
    checks = {
        "a protein lacks its id, its length or its sequence, or has another length than its sequence": (
            f"SELECT count(*) FROM {of}proteins WHERE protein_index IS NULL OR id IS NULL OR id = '' OR length IS NULL "
            "OR sequence_sha256 IS NULL OR members IS NULL OR length(sequence) IS DISTINCT FROM length OR length < 1"
        ),
        "its proteins are not numbered from 0, or two have the same id": (
            f"SELECT count(*) FROM (SELECT count(*) AS n, count(DISTINCT protein_index) AS numbers, count(DISTINCT id) "
            f"AS ids, min(protein_index) AS first, max(protein_index) AS last FROM {of}proteins) "
            "WHERE n > 0 AND (numbers <> n OR ids <> n OR first <> 0 OR last <> n - 1)"
        ),
        # A row's number less its position is the same throughout a protein: none is listed twice, or out of order.
        "a protein does not have its residues in residues, one row each, by position": (
            "SELECT count(*) FROM (SELECT protein_index, count(*) AS n, min(pos) AS first, max(pos) AS last, "
            "min(rowid - pos) AS least, max(rowid - pos) AS most, "
            f"bool_or(pos IS NULL OR aa IS NULL OR protein IS NULL) AS missing FROM {of}residues GROUP BY ALL) r "
            f"FULL JOIN {of}proteins p ON r.protein_index = p.protein_index WHERE n IS DISTINCT FROM p.length "
            "OR first IS DISTINCT FROM 0 OR last <> n - 1 OR least <> most OR missing"
        ),
        "a coordinate of a residue is not a finite number": (
            f"SELECT count(*) FROM {of}residues WHERE NOT (isfinite(coalesce(ca_x, 0)) AND isfinite(coalesce(ca_y, 0)) "
            "AND isfinite(coalesce(ca_z, 0)) AND isfinite(coalesce(cb_x, 0)) AND isfinite(coalesce(cb_y, 0)) "
            "AND isfinite(coalesce(cb_z, 0)))"
        ),
        "its table pairs has a row of a protein or a residue that is not there": (
            f"SELECT count(*) FROM {of}pairs q LEFT JOIN {of}proteins p ON q.protein_index = p.protein_index "
            "WHERE p.protein_index IS NULL OR (q.source IS NULL) <> (q.target IS NULL) "
            "OR NOT coalesce(q.source BETWEEN 0 AND p.length - 1 AND q.target BETWEEN 0 AND p.length - 1, true)"
        ),
        "its table pairs lists a pair of a protein twice": (
            f"SELECT count(*) FROM (SELECT 1 FROM {of}pairs GROUP BY protein_index, source, target HAVING count(*) > 1)"
        ),
        "its table members lacks a value": (
            f"SELECT count(*) FROM {of}members WHERE protein_index IS NULL OR protein IS NULL OR member IS NULL"
        ),
    }
    for problem, rows in checks.items():
        if connection.execute(rows).fetchall() != [(0,)]:
            yield problem
    yield from _dictionary_problems(connection, database)


def _dictionary_problems(connection: duckdb.DuckDBPyConnection, database: str) -> Iterator[str]:
    """Check that the tables that describe columns describe existing columns."""
    of = f"{identifier(database)}.main."
    columns = {table: _columns(connection, database, table) for table, _ in _definitions(connection, database)}
    first = "property_sources" not in columns
    rows = connection.execute(f"SELECT name, level, type, description, absent FROM {of}properties").fetchall()
    for name, level, kind, description, absent in rows:
        table = TABLES.get(level, "")
        if (
            name not in columns.get(table, {})
            or None in (kind, description)
            or not (first or (absent is not None and kind in SQL_TYPES))
            or not (first or name in COLUMNS[table] or columns[table][name] == SQL_TYPES[kind])
        ):
            yield f"its table properties describes {name!r} ({level}, {kind}), which is not such a column"
    if len({row[:2] for row in rows}) < len(rows):
        yield "its table properties describes a column twice"
    if (
        not first
        and connection.execute(
            f"SELECT 1 FROM {of}property_sources WHERE name IS NULL OR level IS NULL OR source IS NULL OR "
            "sha256 IS NULL OR absent IS NULL LIMIT 1"
        ).fetchall()
    ):
        yield "its table property_sources lacks a value"
