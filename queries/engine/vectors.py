"""The one-ended terms of clauses, evaluated by DuckDB once for every residue and protein.

Truth values are Kleene codes (uint8: FALSE 0, NULL 1, TRUE 2), numbers are float64 with NaN for NULL, and
strings are int32 codes into one sorted dictionary of all terms, −1 for NULL, so that codes of any two terms
compare as their strings do. A NaN that is stored in a FLOAT or DOUBLE column is read as NULL.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...catalog.connection import identifier, translated
from ...catalog.reader import catalog_errors, connect
from ...errors import QueryError, StoreError
from ...runtime import time_limit
from ...runtime.faults import machine_error
from ..sql.condition import quoted
from ..sql.dialect import reason
from ..sql.tree import Columns, Expression, Term

if TYPE_CHECKING:
    from ...format.segment import Segment

_CONVERSIONS = {
    "boolean": "CAST(coalesce(CAST(CAST({} AS BOOLEAN) AS TINYINT) * 2, 1) AS UTINYINT)",
    "number": "coalesce(CAST({} AS DOUBLE), CAST('NaN' AS DOUBLE))",
    "string": "CAST({} AS VARCHAR)",
}

#: Columns that say which pair a row of `pairs` is about.
PAIR_KEYS = ("protein_index", "protein", "source", "target")


@dataclass(frozen=True, eq=False)
class SegmentVectors:
    """Evaluated terms for some proteins, one after the other: all that a segment's task needs of the catalog.

    Attributes
    ----------
    stored : ndarray
        int64 [proteins], the residues that take part of each.
    values : mapping of Term to ndarray
        uint8, float64 or int32 by the term's kind. Over residues: those of all proteins in turn; over proteins:
        one each; over separations: from 0 to the longest; over pairs: one for each row of `listed`, then for each
        protein the value of its pairs that are not listed; a constant: one.
    coordinates : mapping of str to ndarray
        float32 [residues, 3] for each needed atom, "ca" or "cb"; NaN where missing.
    listed : ndarray
        int64, increasing: the place of each listed pair, `pair_offset[protein] + target · stored + source`.
    """

    stored: NDArray[np.int64]
    values: Mapping[Term, NDArray[Any]]
    coordinates: Mapping[str, NDArray[np.float32]]
    listed: NDArray[np.int64]

    @property
    def residue_offset(self) -> NDArray[np.int64]:
        """Where each protein's residues begin, and the last one's end."""
        return np.concatenate([[0], np.cumsum(self.stored)])

    @property
    def pair_offset(self) -> NDArray[np.int64]:
        """The same for pairs."""
        return np.concatenate([[0], np.cumsum(self.stored**2)])

    def proteins(self) -> list["ProteinVectors"]:
        """Views of each protein's part."""
        residues, pairs = self.residue_offset.tolist(), self.pair_offset.tolist()
        rows = np.searchsorted(self.listed, pairs).tolist() if len(self.listed) else [0] * len(pairs)
        of_pairs = any(term.table == "pairs" for term in self.values)
        found = []
        for p, length in enumerate(self.stored.tolist()):
            own = slice(residues[p], residues[p + 1])
            cuts: dict[str, Any] = {"residues": own, "proteins": slice(p, p + 1)}
            if of_pairs:
                cuts["pairs"] = np.append(np.arange(rows[p], rows[p + 1]), len(self.listed) + p)
            values = {term: values[cuts.get(term.table, _ALL)] for term, values in self.values.items()}
            xyz = {atom: points[own] for atom, points in self.coordinates.items()}
            found.append(ProteinVectors(length, values, xyz, self.listed[rows[p] : rows[p + 1]] - pairs[p]))
        return found


_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class ProteinVectors:
    """The same for one protein: `length` residues, and `listed` counted from its own first pair."""

    length: int
    values: Mapping[Term, NDArray[Any]]
    coordinates: Mapping[str, NDArray[np.float32]]
    listed: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Evaluated terms for all proteins of a catalog, in its order.

    Attributes
    ----------
    offsets : ndarray
        int64 [proteins + 1]: rows offsets[k] to offsets[k + 1] are the residues of the protein with index k.
    values : mapping of Term to ndarray
        As in `SegmentVectors`, for all proteins; over pairs: one for each row of `listed`, then NULL's.
    coordinates : mapping of str to ndarray
        float32 [residues, 3] for each needed atom.
    listed : ndarray
        int64 [rows, 3]: protein_index, source and target of the rows of `pairs`, empty where no term asks for them;
        source and target are −1 in a row that is for all pairs of a protein that no other row lists.
    dictionary : pyarrow.Array
        The sorted strings that codes index.
    """

    offsets: NDArray[np.int64]
    values: Mapping[Term, NDArray[Any]]
    coordinates: Mapping[str, NDArray[np.float32]]
    listed: NDArray[np.int64]
    dictionary: pa.Array

    def select(self, proteins: Sequence[int], stored: Sequence[int] | NDArray[np.int64]) -> SegmentVectors:
        """The part of some proteins, by index, each cut to its first `stored` residues.

        Raises
        ------
        ValueError
            A protein has fewer residues than that.
        """
        index, lengths = np.asarray(proteins, np.int64), np.asarray(stored, np.int64)
        if np.any(lengths < 0) or np.any(lengths > self.offsets[index + 1] - self.offsets[index]):
            raise ValueError("a protein has fewer residues than are asked for")
        begins = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(begins[-1]) + np.repeat(self.offsets[index] - begins[:-1], lengths)
        listed, places = self._listed(index, lengths)
        unlisted = self._unlisted(index)
        longest = int(lengths.max(initial=0))
        cuts: dict[str, Any] = {
            "residues": rows,
            "proteins": index,
            "separations": slice(longest),
            "pairs": np.concatenate([listed, unlisted]),
            "constant": _ALL,
        }
        return SegmentVectors(
            lengths,
            {term: values[cuts[term.table]] for term, values in self.values.items()},
            {atom: xyz[rows] for atom, xyz in self.coordinates.items()},
            places,
        )

    def _listed(
        self, index: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of `listed` that lie within the proteins, and their places, by increasing place."""
        if not len(self.listed):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        local = np.full(len(self.offsets) - 1, -1, np.int64)
        local[index] = np.arange(len(index))
        protein, source, target = self.listed.T
        at = local[protein]
        length = lengths[at]
        rows = np.flatnonzero((at >= 0) & (source >= 0) & (source < length) & (target < length))
        pair_offset = np.concatenate([[0], np.cumsum(lengths**2)])
        places = pair_offset[at[rows]] + target[rows] * length[rows] + source[rows]
        order = np.argsort(places, kind="stable")
        return rows[order], places[order]

    def _unlisted(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of `values` over pairs for each protein's pairs that are not listed."""
        rows = np.full(len(self.offsets) - 1, -1, np.int64)
        rest = np.flatnonzero(self.listed[:, 1] < 0)
        rows[self.listed[rest, 0]] = rest
        return rows[index]


class Directory(NamedTuple):
    """What a catalog has: its columns, and place and sequence digest of each protein by id."""

    columns: Columns
    proteins: Mapping[str, tuple[int, str]]

    def places(self, segment: "Segment") -> list[int]:
        """Index of each of a segment's proteins.

        Raises
        ------
        StoreError
            The catalog does not hold one with that sequence.
        """
        found = []
        for name, sha256 in zip(segment.proteins.id, segment.proteins.sequence_sha256, strict=True):
            place, expected = self.proteins.get(name, (-1, ""))
            if sha256 != expected:
                raise StoreError(
                    f"segment {segment.directory.name} holds protein {name}, which the catalog does not hold with that "
                    "sequence: `store.verify()` names what is damaged."
                )
            found.append(place)
        return found


def directory(catalog: Path) -> Directory:
    """The directory of a catalog's file, read once: a catalog does not change.

    Raises
    ------
    StoreError
        The catalog is damaged.
    """
    status = catalog.stat()
    return _directory(catalog, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _directory(catalog: Path, changed: int, size: int) -> Directory:
    with time_limit.closing(connect(catalog)) as connection, catalog_errors(catalog):
        rows = connection.execute("SELECT id, protein_index, sequence_sha256 FROM proteins").fetchall()
        return Directory(catalog_columns(connection), {name: (index, sha256) for name, index, sha256 in rows})


def catalog_columns(connection: duckdb.DuckDBPyConnection) -> Columns:
    """The columns of a catalog's tables."""
    found = {
        table: tuple((name, kind) for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall())
        for table in ("residues", "proteins", "pairs")
    }
    properties = tuple(column for column in found["pairs"] if column[0] not in PAIR_KEYS)
    dictionary = [name for name, *_ in connection.execute("DESCRIBE properties").fetchall()]
    counted = "known" in dictionary  # not so in a catalog of an earlier version
    empty = connection.execute("SELECT level, name FROM properties WHERE known = 0").fetchall() if counted else []
    return Columns(found["residues"], found["proteins"], properties, frozenset(empty))


def evaluate_terms(connection: duckdb.DuckDBPyConnection, expressions: Iterable[Expression]) -> Vectors:
    """Evaluate the one-ended terms of clauses, each distinct one once, and fetch needed coordinates.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A catalog with the tables `proteins` and `residues`, stored in the order of protein_index and of
        (protein_index, pos), and `pairs`.
    expressions : iterable of Expression
        From `parse`, for the columns of this catalog.

    Returns
    -------
    Vectors
        For all proteins of the catalog.

    Raises
    ------
    QueryError
        A term fails on the data, as a cast of 'abc' to INTEGER does, or a pair is listed twice.
    StoreError
        The tables are not in their order, or do not belong together.
    """
    expressions = list(expressions)
    asked = {term: expression for expression in expressions for term in expression.terms}
    offsets = _offsets(connection)
    longest = int(np.diff(offsets).max(initial=0))
    # Truth values and numbers are final as they arrive; strings wait for the common dictionary.
    values: dict[Term, NDArray[Any]] = {}
    strings: dict[Term, pa.ChunkedArray] = {}
    for table in dict.fromkeys(term.table for term in asked):
        terms = [term for term in asked if term.table == table]
        source = _from(connection, table, longest)
        columns = _evaluate(connection, source, terms, lambda term: asked[term])
        for term, column in zip(terms, columns, strict=True):
            if term.kind == "string":
                strings[term] = column
            else:
                values[term] = _numpy(column)
    codes, dictionary = _factorise(strings)
    atoms = sorted({atom for expression in expressions for atom in expression.atoms})
    coordinates = {atom: _coordinates(connection, atom) for atom in atoms}
    listed = _listed_pairs(connection) if any(term.table == "pairs" for term in asked) else np.zeros((0, 3), np.int64)
    return Vectors(offsets, values | codes, coordinates, listed, dictionary)


def _from(connection: duckdb.DuckDBPyConnection, table: str, longest: int) -> str:
    """FROM clause of a table in which no column holds a NaN, which DuckDB orders above all numbers."""
    if table == "constant":
        return ""
    if table == "separations":
        return f" FROM (SELECT CAST(range AS INTEGER) AS separation FROM range({longest}))"
    columns = connection.execute(f"DESCRIBE {table}").fetchall()
    replaced = ", ".join(
        f"nullif({identifier(name)}, CAST('NaN' AS {kind})) AS {identifier(name)}"
        for name, kind, *_ in columns
        if kind in ("FLOAT", "DOUBLE")
    )
    rows = f"(SELECT * REPLACE ({replaced}) FROM {table})" if replaced else table
    if table == "pairs":
        rows = f"(FROM {rows} UNION ALL BY NAME SELECT NULL AS protein_index)"  # the last: of a pair not listed
    return f" FROM {rows}"


def _evaluate(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    terms: Sequence[Term],
    asked_by: Callable[[Term], Expression],
) -> list[pa.ChunkedArray]:
    selected = ", ".join(
        f"{_CONVERSIONS[term.kind].format(f'({term.sql})')} AS c{number}" for number, term in enumerate(terms)
    )
    try:
        return _columns(connection, f"SELECT {selected}{source}")
    except duckdb.OutOfMemoryException as error:
        raise translated(error) from error
    except duckdb.Error as error:
        fault = machine_error(error, "answering the query")
        if fault is not None:
            raise fault from error
        if len(terms) == 1:
            expression = asked_by(terms[0])
            raise QueryError(
                f"{expression.clause} {quoted(expression.text)} cannot be answered: DuckDB fails on the data"
                f" ({reason(error)}); use TRY_CAST or guard the part that fails."
            ) from error
        # One query for all terms reads the table once; only a failure needs the terms one by one.
        return [column for term in terms for column in _evaluate(connection, source, [term], asked_by)]


def _columns(connection: duckdb.DuckDBPyConnection, query: str) -> list[pa.ChunkedArray]:
    table: pa.Table = time_limit.run(connection, lambda: connection.sql(query).to_arrow_table())
    return list(table.columns)


def _listed_pairs(connection: duckdb.DuckDBPyConnection) -> NDArray[np.int64]:
    columns = _columns(
        connection,
        "SELECT protein_index::BIGINT, coalesce(source, -1)::BIGINT, coalesce(target, -1)::BIGINT FROM pairs",
    )
    rows = np.stack([_numpy(column) for column in columns], axis=1)
    if len(np.unique(rows, axis=0)) < len(rows):
        raise QueryError("the table pairs lists a pair twice, so that its properties are ambiguous")
    return rows


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.asarray(column.to_numpy())


def _factorise(strings: Mapping[Term, pa.ChunkedArray]) -> tuple[dict[Term, NDArray[Any]], pa.Array]:
    """Codes of string columns over the sorted union of their values, in the order of their bytes."""
    encoded = {term: column.dictionary_encode().unify_dictionaries() for term, column in strings.items()}
    chunks = [column.chunk(0).dictionary for column in encoded.values() if column.num_chunks]
    union = pa.chunked_array(chunks, type=pa.string()).unique() if chunks else pa.array([], pa.string())
    dictionary = union.take(pc.array_sort_indices(union))
    codes: dict[Term, NDArray[Any]] = {}
    for term, column in encoded.items():
        found = np.full(len(column), -1, dtype=np.int32)
        if column.num_chunks:
            place = pc.index_in(column.chunk(0).dictionary, value_set=dictionary).to_numpy()
            # The last place is where an index of −1, a NULL, lands.
            place = np.append(place.astype(np.int32), np.int32(-1))
            start = 0
            for chunk in column.chunks:
                indices = pc.fill_null(chunk.indices, -1).to_numpy()
                found[start : start + len(indices)] = place[indices]
                start += len(indices)
        codes[term] = found
    return codes, dictionary


def _coordinates(connection: duckdb.DuckDBPyConnection, atom: str) -> NDArray[np.float32]:
    listed = ", ".join(f"coalesce({atom}_{axis}, CAST('NaN' AS FLOAT))::FLOAT AS {axis}" for axis in "xyz")
    axes = _columns(connection, f"SELECT {listed} FROM residues")
    return np.stack([_numpy(axis) for axis in axes], axis=1)


def _offsets(connection: duckdb.DuckDBPyConnection) -> NDArray[np.int64]:
    proteins = _numpy(_columns(connection, "SELECT protein_index FROM proteins")[0])
    rows = _numpy(_columns(connection, "SELECT protein_index FROM residues")[0])
    if not np.array_equal(proteins, np.arange(len(proteins))):
        raise StoreError("table proteins is not in the order of protein_index from 0. Ingest the store again.")
    if len(rows) and (np.any(rows[1:] < rows[:-1]) or rows[0] < 0 or rows[-1] >= len(proteins)):
        raise StoreError("table residues is not in the order of protein_index. Ingest the store again.")
    return np.searchsorted(rows, np.arange(len(proteins) + 1)).astype(np.int64)
