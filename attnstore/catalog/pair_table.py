"""The table of pairs of a catalog that is being written: rebuilt from its rows and the staged values."""

from collections.abc import Iterator, Mapping, Sequence

import duckdb
import numpy as np
import numpy.typing as npt

from .connection import identifier

_KEYS = ("protein_index", "source", "target")


def merge_pairs(connection: duckdb.DuckDBPyConnection, staged: Mapping[str, str], properties: Sequence[str]) -> None:
    """Merge staged values into the table of pairs, so that no value stays open that another row provides.

    Parameters
    ----------
    connection : with the catalog's tables in its search path
    staged : for each property, the table with its new values: `protein_index`, `source`, `target` and `value`
    properties : properties of pairs, including the staged ones; rows in which none is known are removed
    """
    known = " OR ".join(f"{identifier(name)} IS NOT NULL" for name in properties) or "false"
    listed = ", ".join([*_KEYS, *map(identifier, properties)])
    held = ", ".join(f"any_value({name}) AS {name}" for name in map(identifier, properties))
    filled = "".join(f", coalesce(q.{name}, d.{name}) AS {name}" for name in map(identifier, properties))
    connection.execute("CREATE TABLE pairs_next AS FROM pairs LIMIT 0")
    for where, first in _parts(connection, [*staged.values()]):
        rows = " UNION ALL BY NAME ".join([
            f"SELECT {listed} FROM pairs WHERE {where}",
            *(f"SELECT {', '.join(_KEYS)}, value AS {identifier(name)} FROM {table} WHERE {where}"
              for name, table in staged.items()),
        ])  # fmt: skip
        connection.execute(
            f"INSERT INTO pairs_next BY NAME WITH merged AS MATERIALIZED ("
            f"SELECT {', '.join(_KEYS)}{', ' if held else ''}{held} FROM ({rows}) WHERE {known} GROUP BY ALL) "
            f"SELECT q.protein_index, p.id AS protein, q.source, q.target{filled} "
            "FROM merged q JOIN proteins p USING (protein_index) "
            "LEFT JOIN (FROM merged WHERE source IS NULL) d USING (protein_index) "
            f"WHERE {'true' if first else 'q.source IS NOT NULL'} "
            "ORDER BY q.protein_index, q.source NULLS FIRST, q.target"
        )
    connection.execute("DROP TABLE pairs")
    connection.execute("ALTER TABLE pairs_next RENAME TO pairs")


def _parts(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Conditions that divide the rows into batches that fit in memory, and whether each is the first of its proteins.

    A protein's row for pairs that are not listed is in each of its batches.
    """
    every = " UNION ALL ".join(f"SELECT protein_index FROM {table}" for table in ("pairs", *tables))
    counts = connection.execute(
        f"SELECT protein_index, count(*) AS n, any_value(length) AS length FROM ({every}) "
        "JOIN proteins USING (protein_index) GROUP BY protein_index ORDER BY protein_index"
    ).fetchnumpy()
    proteins, rows, lengths = (np.asarray(counts[name], np.int64) for name in ("protein_index", "n", "length"))
    for begin, end in lots(rows, ROWS):
        where = f"protein_index BETWEEN {proteins[begin]} AND {proteins[end - 1]}"
        parts = -(-int(rows[begin:end].sum()) // ROWS)
        longest = int(lengths[begin:end].max())
        width = -(-longest // parts) if parts > 1 else longest
        for source in range(0, longest, width):
            some = f" AND (source IS NULL OR source BETWEEN {source} AND {source + width - 1})" if parts > 1 else ""
            yield where + some, source == 0


#: Number of rows that one statement makes or changes; it has them in memory several times.
ROWS = 100_000


def lots(sizes: npt.NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Begin and end of runs of items whose sizes add up to at most `most`; a larger item is a run by itself."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + most, "right")))
        yield begin, end
        begin = end
