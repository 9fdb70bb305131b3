"""Tables of properties: CSV, TSV and Parquet, and the clusters that MMseqs2 writes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError, first_line
from . import delimited, text

NAME = "table (.csv .tsv .tab .psv .parquet)"

#: Default names of a column of ids.
IDS = ("id", "protein")

#: Number of columns that a message lists, and of characters of a name that it shows.
_LISTED, _LONG = 30, 60

#: How pandas names an index that it writes as a column.
_INDEX = re.compile(r"|Unnamed: \d+(\.\d+)?|__index_level_\d+__")


@dataclass(frozen=True, eq=False)
class Table:
    """A table and its origin.

    Attributes
    ----------
    content : pyarrow.Table
    place : file or name, for messages
    written : format of a text file; None for other tables
    text : cells are as in a text file, and not yet converted
    """

    content: pa.Table
    place: str
    written: delimited.TextLayout | None = None
    text: bool = False

    @property
    def columns(self) -> list[str]:
        """Names of its columns."""
        return list(self.content.column_names)

    @property
    def described(self) -> str:
        """Its columns for messages, with their separator if one column may really be several."""
        how = f", {self.written.separated}" if self.written is not None else ""
        names = [name if name.isprintable() and len(name) < _LONG else f"{name[:_LONG]!r}" for name in self.columns]
        return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "") + how

    def at(self, row: int) -> str:
        """The location of a row, counted from 0: "t.csv:3" (the line of a text file) or "t.parquet, row 2"."""
        if self.written is None:
            return f"{self.place}, row {row + 1}"
        return f"{self.place}:{self.written.line(row)}"

    def without(self, column: int) -> Table:
        """The table without one of its columns."""
        return replace(self, content=self.content.remove_column(column))


def accepts(path: Path, head: bytes) -> bool:
    """Say whether a file's suffix is that of a table."""
    return text.suffix(path) in {*delimited.SUFFIXES, ".parquet"}


def read(
    path: Path, keys: Collection[str] = IDS, *, delimiter: str | None = None, encoding: str | None = None
) -> Table:
    """Read a table: all columns of the file, except an index without a name.

    A file of two tab-separated columns whose first line is not a heading is read as ``mmseqs`` clusters
    (``*_cluster.tsv``: representative, member); it becomes the columns `id` and `cluster`.

    Parameters
    ----------
    path : file
    keys : possible names of the key column
    delimiter, encoding : of a text file; None to detect them

    Raises
    ------
    SourceError
        It cannot be read, or has rows of unequal length.
    """
    if text.suffix(path) == ".parquet":
        if delimiter is not None or encoding is not None:
            name = "encoding" if delimiter is None else "delimiter"
            raise SourceError(f"{path} is Parquet, which has no {name}; leave {name}=… out.")
        return without_index(Table(_parquet(path), str(path)))
    content, written = delimited.read_delimited(path, keys, delimiter, encoding)
    return without_index(Table(content, str(path), written, text=True))


def without_index(table: Table) -> Table:
    """The table without columns that have no name: the index that pandas or R wrote as a column.

    A warning names those with anything but row numbers.
    """
    for number in reversed(range(len(table.columns))):
        name = table.columns[number]
        if not _INDEX.fullmatch(name):
            continue
        if not _counts(table.content.column(number)):
            called = f"column {name!r}" if name else f"column {number + 1}, which has no name,"
            cure = "write a name over it"
            if name.startswith("__"):
                called += ", the index of a pandas frame,"
                cure = "name the index before the frame is saved (frame.rename_axis(index='NAME'))"
            warnings.warn(
                f"{table.place}: {called} is left out; {cure} if it is to become a property or holds ids or positions.",
                stacklevel=2,
            )
        table = table.without(number)
    return table


def _counts(column: pa.ChunkedArray) -> bool:
    """Whether a column is empty, or counts its rows from 0 or 1."""
    if pa.types.is_string(column.type):
        if not pc.any(pc.not_equal(column, "")).as_py():
            return True
        if not pc.all(pc.match_substring_regex(column, r"^\d{1,15}$")).as_py():
            return False
    elif not pa.types.is_integer(column.type) or column.null_count:
        return False
    steps = np.diff(column.cast(pa.int64()).to_numpy(), prepend=-1)
    return bool((steps > 0).all()) or len(steps) == 0


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file)
        table.validate(full=True)  # finds, for example, text that is not UTF-8
        return table
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; check the path.") from error
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path} is not a readable Parquet file ({first_line(error)}); write it again.") from error
