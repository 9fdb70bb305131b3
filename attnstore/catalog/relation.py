"""Rows of a statement, computed on demand, with errors that say what to do."""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from ..errors import QueryError, first_line
from ..runtime.faults import machine_error
from ..runtime.time_limit import run, time_limit
from .connection import open_in_memory, translated
from .reader import lock

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

T = TypeVar("T")

#: Rows in memory at a time when a relation is iterated.
_BATCH = 10_000


@dataclass(frozen=True, eq=False, repr=False)
class Relation:
    """Rows of a SELECT over the tables of a store, computed when they are read, as by ``.df()``.

    They are computed again each time. A copy is the same relation; a pickle contains the rows. The connection is
    locked to the files of the store, and no method can write.

    Examples
    --------
    >>> counts = store.sql("SELECT aa, count(*) AS n FROM residues GROUP BY aa").order("n DESC")
    >>> counts.limit(3).df().columns.tolist()
    ['aa', 'n']
    """

    _connection: duckdb.DuckDBPyConnection
    _rows: duckdb.DuckDBPyRelation
    _timeout: float | None = None
    _process: int = field(default_factory=os.getpid)

    # --- the rows

    def df(self) -> "pd.DataFrame":
        """Return the rows as a pandas frame.

        Returns
        -------
        pandas.DataFrame
            The rows.
        """
        frame: pd.DataFrame = self._found(self._rows.df)
        return frame

    to_df = df

    def to_arrow_table(self) -> pa.Table:
        """Return the rows as an Arrow table.

        Returns
        -------
        pyarrow.Table
            The rows, of DuckDB's types.
        """
        return self._found(self._rows.to_arrow_table)

    arrow = to_arrow_table

    def pl(self) -> Any:
        """Return the rows as a polars frame.

        Returns
        -------
        polars.DataFrame
            The rows.

        Raises
        ------
        QueryError
            If polars is not installed.
        """
        return self._found(self._rows.pl)

    def fetchnumpy(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Return the columns as NumPy arrays.

        Returns
        -------
        dict of str to ndarray
            Columns by name, masked where there are NULLs.
        """
        return self._found(self._rows.fetchnumpy)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows.

        Returns
        -------
        list of tuple
            Rows of Python objects.
        """
        return self._found(self._rows.fetchall)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the first row.

        Returns
        -------
        tuple or None
            The row; None if there is none.
        """
        found = self.limit(1).fetchall()
        return found[0] if found else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Return the first rows.

        Parameters
        ----------
        size : int, default 1
            Number of rows.

        Returns
        -------
        list of tuple
            Rows of Python objects.
        """
        return self.limit(size).fetchall()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        rows = self._found(self._rows.iter_rows)
        while batch := self._found(lambda: list(itertools.islice(rows, _BATCH))):
            yield from batch

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and number of columns."""
        return self._found(lambda: self._rows.shape)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._rows.columns)

    @property
    def types(self) -> list[str]:
        """DuckDB's types of the columns."""
        return list(map(str, self._rows.types))

    dtypes = types

    @property
    def description(self) -> list[tuple[Any, ...]]:
        """Name and type of each column, as in Python's DB-API."""
        return list(self._rows.description)

    # --- another relation

    def filter(self, condition: str) -> "Relation":
        """Keep the rows for which a condition is true.

        Parameters
        ----------
        condition : str
            SQL condition over the columns.

        Returns
        -------
        Relation
            The remaining rows.
        """
        return self._then(lambda: self._rows.filter(condition))

    def project(self, *columns: str) -> "Relation":
        """Compute other columns.

        Parameters
        ----------
        *columns : str
            SQL expressions over the columns.

        Returns
        -------
        Relation
            The same rows with these columns.
        """
        return self._then(lambda: self._rows.project(", ".join(columns)))

    select = project

    def aggregate(self, columns: str, group_by: str = "") -> "Relation":
        """Aggregate the rows.

        Parameters
        ----------
        columns : str
            SQL expressions, such as ``"aa, count(*)"``.
        group_by : str, default ''
            SQL expressions to group by (default: those that are not aggregates).

        Returns
        -------
        Relation
            A row for each group.
        """
        return self._then(lambda: self._rows.aggregate(columns, group_by))

    def order(self, by: str) -> "Relation":
        """Sort the rows.

        Parameters
        ----------
        by : str
            SQL expressions, such as ``"pos DESC"``.

        Returns
        -------
        Relation
            The sorted rows.
        """
        return self._then(lambda: self._rows.order(by))

    sort = order

    def limit(self, rows: int, offset: int = 0) -> "Relation":
        """Keep the first rows.

        Parameters
        ----------
        rows : int
            Number of rows.
        offset : int, default 0
            Number of rows to leave out before them.

        Returns
        -------
        Relation
            The remaining rows.

        Raises
        ------
        QueryError
            If a number is not a whole number from 0.
        """
        if not all(isinstance(number, int) and number >= 0 for number in (rows, offset)):
            raise QueryError(f"limit({rows!r}, {offset!r}) is not a number of rows from 0 on: write e.g. limit(10).")
        return self._then(lambda: self._rows.limit(rows, offset))

    def distinct(self) -> "Relation":
        """Remove repeated rows.

        Returns
        -------
        Relation
            The rows, equal ones once.
        """
        return self._then(self._rows.distinct)

    # --- to look at

    def show(self, max_rows: int = 20) -> None:
        """Print the first rows.

        Parameters
        ----------
        max_rows : int, default 20
            Largest number of rows to print.
        """
        print(self._text(max_rows))

    def __repr__(self) -> str:
        return self._text(20)

    def _text(self, rows: int) -> str:
        from ..runtime.table_output import text_table

        found = self.limit(rows + 1).df()
        more = f"\n… and more rows than these {rows}" if len(found) > rows else ""
        return text_table(found[:rows]) + more

    # --- copies

    def __copy__(self) -> "Relation":
        return self

    def __deepcopy__(self, _: object) -> "Relation":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return relation_of, (self.to_arrow_table(), self._timeout)

    # --- errors

    def _then(self, make: Callable[[], duckdb.DuckDBPyRelation]) -> "Relation":
        return Relation(self._connection, self._found(make), self._timeout)

    def _found(self, find: Callable[[], T]) -> T:
        """Call a function of DuckDB and translate its errors.

        Raises
        ------
        QueryError
            DuckDB, or the library that receives the rows, refuses the statement; the time is over; or the relation
            belongs to the process from which this one was forked.
        MachineError
            The machine failed.
        """
        if os.getpid() != self._process:  # a fork has none of the parent's threads, for which DuckDB would wait forever
            raise QueryError(
                "these rows were asked for in the process that this one was forked from, and cannot be read here: ask "
                "again in this process, as in attnstore.open(PATH).sql('SELECT …')."
            )
        try:
            with time_limit(self._timeout):
                return run(self._connection, find)
        except duckdb.Error as error:
            if isinstance(error, duckdb.ResourceInUseException):
                raise QueryError(
                    "an answer to the same statement is still under way or being stopped: ask again, as in "
                    "store.sql('SELECT …')."
                ) from error
            if isinstance(error, duckdb.OutOfMemoryException):
                raise translated(error) from error
            raise machine_error(error, "answering the query") or translated(error) from error
        except ModuleNotFoundError as error:
            raise QueryError(f"this needs {error.name}, which is not installed: pip install {error.name}.") from error
        except (ValueError, TypeError, ArithmeticError, MemoryError, OSError, RuntimeError, pa.ArrowException) as error:
            raise machine_error(error, "answering the query") or QueryError(
                f"the rows cannot be held as asked for ({first_line(error)}): take them with to_arrow_table(), or cast "
                "them in the statement."
            ) from error


def relation_of(table: pa.Table, timeout: float | None = None) -> Relation:
    """A relation of rows that were computed before."""
    connection = open_in_memory()
    lock(connection, ())
    return Relation(connection, connection.from_arrow(table), timeout)
