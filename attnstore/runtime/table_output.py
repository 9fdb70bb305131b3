"""Output of result tables: as a printed table, CSV, JSON or Parquet, to stdout or a file."""

import contextlib
import decimal
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import AttnstoreError
from .paths import user_path
from .scratch import folder_beside

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMATS = ("table", "csv", "json", "parquet")


def to_frame(table: "pa.Table", types: Callable[["pa.DataType"], Any]) -> "pd.DataFrame":
    """Convert an Arrow table to a frame; of two columns of one name the second is called ``<name>_1``, as in DuckDB.

    Parameters
    ----------
    table : pyarrow.Table
    types : pandas' extension type for a type of Arrow; None for pandas' own
    """
    names: list[str] = []
    for name in table.column_names:
        free = (f"{name}_{number}" for number in itertools.count(1))
        taken = {*names, *table.column_names}
        names.append(name if name not in names else next(other for other in free if other not in taken))
    frame: pd.DataFrame = table.rename_columns(names).to_pandas(types_mapper=types)
    return frame


def write_table(frame: "pd.DataFrame", form: str, output: Path | None, text: str | None = None) -> None:
    """Write a table.

    Parameters
    ----------
    frame : table to write
    form : one of `FORMATS`
    output : file, or None for stdout
    text : replaces the table where it is printed for people; by default the whole table

    Raises
    ------
    AttnstoreError
        If the file cannot be written, or Parquet would go to a terminal.
    """
    content: bytes
    if form == "table":
        content = ((text if text is not None else text_table(frame)) + "\n").encode()
    elif form == "csv":
        content = frame.to_csv(index=False).encode()
    elif form == "json":
        content = (json_records(frame) + "\n").encode()
    else:
        content = _parquet(frame)
        if output is None and sys.stdout.isatty():
            raise AttnstoreError("Parquet is not for a terminal: give a file with -o, or pipe it.")
    try:
        if output is not None:
            with _whole(user_path(output)) as file:
                file.write(content)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader of the pipe has closed it
    except OSError as error:
        raise AttnstoreError(f"{output or 'standard output'} cannot be written: {error.strerror}.") from error


def write_batches(batches: "pa.RecordBatchReader", form: str, output: Path | None) -> None:
    """Write a table batch by batch as 'csv' or 'parquet'; otherwise as :func:`write_table`.

    A file appears complete or not at all.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if form == "parquet" and output is None and sys.stdout.isatty():
        raise AttnstoreError("Parquet is not for a terminal: give a file with -o, or pipe it.")
    make = pa.csv.CSVWriter if form == "csv" else pa.parquet.ParquetWriter
    try:
        sys.stdout.flush()
        with (
            os.fdopen(os.dup(1), "wb") if output is None else _whole(user_path(output)) as file,
            make(file, batches.schema) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
    except BrokenPipeError:
        raise  # the reader of the pipe has closed it
    except OSError as error:
        raise AttnstoreError(f"{output or 'standard output'} cannot be written: {error.strerror or error}.") from error


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears complete or not at all; a device or pipe, such as /dev/null, is written directly."""
    if os.path.lexists(path) and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    path = path.resolve()
    with folder_beside(path) as folder:
        with open(folder / path.name, "wb") as file:
            yield file
        os.replace(folder / path.name, path)


def json_records(frame: "pd.DataFrame") -> str:
    """A list of objects, one per row; NULL and NaN become null, because JSON has no other value for them."""
    import json

    rows = [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows) + "\n]"


def _plain(value: Any) -> Any:
    """Convert a value for JSON: NULL and NaN become None, exact integers stay exact, lists and structs are kept."""
    import numpy as np

    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return None if value is None or type(value).__name__ in ("NAType", "NaTType") else value


def _parquet(frame: "pd.DataFrame") -> bytes:
    import io

    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def text_table(frame: "pd.DataFrame", left: Sequence[str] = ()) -> str:
    """Columns of text, numbers to the right, headings above a rule; no truncation."""
    headings = [str(column) for column in frame.columns]
    cells = [[_cell(value) for value in frame[column]] for column in frame.columns]
    texts = {
        index
        for index, column in enumerate(frame.columns)
        if headings[index] in left or not _numeric(frame[column].dtype)
    }
    widths = [max([len(heading), *map(len, column)]) for heading, column in zip(headings, cells, strict=True)]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.ljust(width) if index in texts else value.rjust(width)
            for index, (value, width) in enumerate(zip(values, widths, strict=True))
        ).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([line(headings), rule, *(line(row) for row in zip(*cells, strict=True))])


def _numeric(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "iuf"


def _cell(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
