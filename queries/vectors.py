"""The one-ended terms of clauses, evaluated by DuckDB once for every residue and protein.

Truth values are Kleene codes (uint8: FALSE 0, NULL 1, TRUE 2), numbers are float64 with NaN for NULL, and
strings are int32 codes into one sorted dictionary of all terms, −1 for NULL, so that codes of any two terms
compare as their strings do. A NaN that is stored in a FLOAT or DOUBLE column is read as NULL.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import QueryError, StoreError
from .dialect import reason
from .expression import quoted
from .tree import Expression, Term

_CONVERSIONS = {
    "boolean": "CAST(coalesce(CAST(CAST({} AS BOOLEAN) AS TINYINT) * 2, 1) AS UTINYINT)",
    "number": "coalesce(CAST({} AS DOUBLE), CAST('NaN' AS DOUBLE))",
    "string": "CAST({} AS VARCHAR)",
}


@dataclass(frozen=True, eq=False)
class ProteinVectors:
    """What evaluating clauses on the pairs of one protein needs.

    Attributes
    ----------
    length : int
        Residues of the protein.
    values : mapping of Term to ndarray
        Shape (length,) for a term over residues, (1,) for one over proteins and for a constant; uint8,
        float64 or int32 by the term's kind.
    coordinates : mapping of str to ndarray
        float32 [length, 3] for each needed atom, "ca" or "cb"; NaN where missing.
    """

    length: int
    values: Mapping[Term, NDArray[Any]]
    coordinates: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Evaluated terms for a run of consecutive proteins, in the order of the catalog.

    Attributes
    ----------
    first : int
        protein_index of the first protein.
    offsets : ndarray
        int64 [proteins + 1]: rows offsets[k] to offsets[k + 1] are the residues of protein first + k.
    values : mapping of Term to ndarray
        One value per residue, per protein, or one in all for a constant.
    coordinates : mapping of str to ndarray
        float32 [residues, 3] for each needed atom.
    dictionary : pyarrow.Array or None
        The sorted strings that codes index. None in a part that `between` cut out: pairs do not need it.
    """

    first: int
    offsets: NDArray[np.int64]
    values: Mapping[Term, NDArray[Any]]
    coordinates: Mapping[str, NDArray[np.float32]]
    dictionary: pa.Array | None = None

    def between(self, start: int, stop: int) -> "Vectors":
        """The part of proteins start ≤ protein_index < stop; pickles no more than that part.

        Raises
        ------
        IndexError
            These proteins are not all here.
        """
        low, high = start - self.first, stop - self.first
        if not 0 <= low <= high < len(self.offsets):
            raise IndexError(f"proteins {start} to {stop} are not among these vectors")
        rows = slice(int(self.offsets[low]), int(self.offsets[high]))
        return replace(
            self,
            first=start,
            offsets=self.offsets[low : high + 1] - self.offsets[low],
            values=self._cut(rows, slice(low, high)),
            coordinates={atom: xyz[rows] for atom, xyz in self.coordinates.items()},
            dictionary=None,
        )

    def of(self, protein_index: int) -> ProteinVectors:
        """The vectors of one protein, as views.

        Raises
        ------
        IndexError
            The protein is not here.
        """
        at = protein_index - self.first
        if not 0 <= at < len(self.offsets) - 1:
            raise IndexError(f"protein {protein_index} is not among these vectors")
        rows = slice(int(self.offsets[at]), int(self.offsets[at + 1]))
        return ProteinVectors(
            rows.stop - rows.start,
            self._cut(rows, slice(at, at + 1)),
            {atom: xyz[rows] for atom, xyz in self.coordinates.items()},
        )

    def _cut(self, rows: slice, proteins: slice) -> dict[Term, NDArray[Any]]:
        cuts = {"residues": rows, "proteins": proteins, "constant": slice(None)}
        return {term: values[cuts[term.table]] for term, values in self.values.items()}


def evaluate_terms(connection: duckdb.DuckDBPyConnection, expressions: Iterable[Expression]) -> Vectors:
    """Evaluate the one-ended terms of clauses, each distinct one once, and fetch needed coordinates.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A catalog with the tables `proteins` and `residues`, stored in the order of protein_index and of
        (protein_index, pos).
    expressions : iterable of Expression
        From `parse`, for the columns of this catalog.

    Returns
    -------
    Vectors
        For all proteins of the catalog.

    Raises
    ------
    QueryError
        A term fails on the data, as a cast of 'abc' to INTEGER does.
    StoreError
        The tables are not in their order, or do not belong together.
    """
    expressions = list(expressions)
    asked = {term: expression for expression in expressions for term in expression.terms}
    # Truth values and numbers are final as they arrive; strings wait for the common dictionary.
    values: dict[Term, NDArray[Any]] = {}
    strings: dict[Term, pa.ChunkedArray] = {}
    for table in ("residues", "proteins", "constant"):
        terms = [term for term in asked if term.table == table]
        columns = _evaluate(connection, table, terms, lambda term: asked[term]) if terms else []
        for term, column in zip(terms, columns, strict=True):
            if term.kind == "string":
                strings[term] = column
            else:
                values[term] = _numpy(column)
    codes, dictionary = _factorise(strings)
    atoms = sorted({atom for expression in expressions for atom in expression.atoms})
    coordinates = {atom: _coordinates(connection, atom) for atom in atoms}
    return Vectors(0, _offsets(connection), values | codes, coordinates, dictionary)


def _evaluate(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    terms: Sequence[Term],
    asked_by: Callable[[Term], Expression],
) -> list[pa.ChunkedArray]:
    selected = ", ".join(
        f"{_CONVERSIONS[term.kind].format(f'({term.sql})')} AS c{number}" for number, term in enumerate(terms)
    )
    source = "" if table == "constant" else f" FROM {_without_nan(connection, table)}"
    try:
        return _columns(connection, f"SELECT {selected}{source}")
    except duckdb.Error as error:
        if len(terms) == 1:
            expression = asked_by(terms[0])
            raise QueryError(
                f"{expression.clause} {quoted(expression.text)} cannot be answered: DuckDB fails on the data"
                f" ({reason(error)}); use TRY_CAST or guard the part that fails"
            ) from error
        # One query for all terms reads the table once; only a failure has to be told apart.
        return [column for term in terms for column in _evaluate(connection, table, [term], asked_by)]


def _columns(connection: duckdb.DuckDBPyConnection, query: str) -> list[pa.ChunkedArray]:
    table: pa.Table = connection.sql(query).to_arrow_table()
    return list(table.columns)


def _without_nan(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """A FROM clause of a table in which no column holds a NaN, which DuckDB orders above all numbers."""
    columns = connection.execute(f"DESCRIBE {table}").fetchall()
    replaced = ", ".join(
        f"nullif({_identifier(name)}, CAST('NaN' AS {kind})) AS {_identifier(name)}"
        for name, kind, *_ in columns
        if kind in ("FLOAT", "DOUBLE")
    )
    return f"(SELECT * REPLACE ({replaced}) FROM {table})" if replaced else table


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
        raise StoreError("table proteins is not in the order of protein_index from 0; ingest the store anew")
    if len(rows) and (np.any(rows[1:] < rows[:-1]) or rows[0] < 0 or rows[-1] >= len(proteins)):
        raise StoreError("table residues is not in the order of protein_index; ingest the store anew")
    return np.searchsorted(rows, np.arange(len(proteins) + 1)).astype(np.int64)
