"""Frames in memory, of pandas or of any library that supports Arrow, as tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import SourceError, first_line
from ..readers.tables import IDS, Table, without_index

if TYPE_CHECKING:
    import pandas as pd

_KEYS = (*IDS, "pos", "source", "target")


def table_of(frame: Any, name: str, on: Sequence[str] | None, columns: Sequence[str]) -> Table:
    """Convert a frame to a table.

    Levels of a pandas index that are named as keys or in `columns` become columns; the others are left out.

    Parameters
    ----------
    frame : pandas.DataFrame, pyarrow.Table, or an object with ``__arrow_c_stream__``, such as a polars frame
    name : for messages
    on, columns : names of columns that the user gives

    Raises
    ------
    SourceError
        It is not a frame, has columns whose type Arrow does not have, or an index of ids without a name.
    """
    if isinstance(frame, pa.Table):
        return Table(frame, name)
    if hasattr(frame, "to_frame") and hasattr(frame, "index") and not hasattr(frame, "columns"):
        frame = frame.to_frame()  # a column of pandas, with the ids and positions in its index
    if hasattr(frame, "columns") and hasattr(frame, "index"):
        return _pandas(frame, name, on, columns)
    if hasattr(frame, "__arrow_c_stream__"):
        try:
            return Table(pa.table(frame), name)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise SourceError(
                f"{name} cannot be read ({first_line(error)}); give columns of one type and name each."
            ) from error
    raise SourceError(
        f"{name} is a {type(frame).__name__}: give a path, a pandas.DataFrame, a pyarrow.Table or another frame of "
        "Arrow's."
    )


def digest_of(table: pa.Table) -> str:
    """SHA-256 of a table's content."""
    digest = hashlib.sha256()
    for batch in table.to_batches():
        digest.update(batch.serialize())
    return digest.hexdigest()


def _pandas(frame: pd.DataFrame, name: str, on: Sequence[str] | None, columns: Sequence[str]) -> Table:
    names = [str(column).strip() for column in frame.columns]
    parts = [(column, frame.iloc[:, number].reset_index(drop=True)) for number, column in enumerate(names)]
    lower = {column.lower() for column in names}
    wanted = {key.lower() for key in (*(on or _KEYS), *columns)}
    for level in reversed(range(frame.index.nlevels)):
        called = frame.index.names[level]
        if called is not None and str(called).lower() not in lower and str(called).lower() in wanted:
            parts.insert(0, (str(called), frame.index.get_level_values(level).to_series().reset_index(drop=True)))
    if not ({*on} if on else {*IDS}) & {column.lower() if on is None else column for column, _ in parts}:
        _check_index(frame, name)
    try:
        arrays = [_array(column, values, name) for column, values in parts]
        table = pa.table(arrays, names=[column for column, _ in parts])
    except pa.ArrowException as error:
        raise SourceError(f"{name} cannot be read ({first_line(error)}); give columns of one type each.") from error
    return without_index(Table(table, name))


def _array(column: str, values: pd.Series[Any], name: str) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(values, from_pandas=True)
    except (ArithmeticError, TypeError, ValueError, NotImplementedError, pa.ArrowException) as error:
        raise SourceError(
            f"{name}: column {column!r} cannot be read ({first_line(error)}); give columns of one type and name each."
        ) from error


def _check_index(frame: pd.DataFrame, name: str) -> None:
    """Raise SourceError if an index without names seems to contain the ids."""
    index = frame.index
    first = index.get_level_values(0)
    if index.names[0] is not None or not len(index) or not isinstance(first[0], str):
        return
    names = ["id", "pos"] if index.nlevels == 2 else ["id"] if index.nlevels == 1 else ["id", "source", "target"]
    raise SourceError(
        f"{name} has no column id or protein, and an index without names that begins with {index[0]!r}: name it "
        f"(`frame.rename_axis(index={names!r})`), or give a column of ids."
    )
