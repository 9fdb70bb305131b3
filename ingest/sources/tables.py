"""Tables of properties: CSV, TSV and Parquet, and the clusters that MMseqs2 writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ...errors import SourceError, first_line
from . import text

NAME = "table (.csv .tsv .tab .parquet)"

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}

#: What a cell without a value holds; anything else, as "NA" for sodium or "nan" for a name, is one.
_NULLS = [""]


def accepts(path: Path, head: bytes) -> bool:
    """Say whether a file's suffix is that of a table."""
    return text.suffix(path) in {*_DELIMITERS, ".parquet"}


def read(path: Path) -> pa.Table:
    """Read a table: one column for each of the file's, of the types that its values show.

    A file of two tab-separated columns whose first line is no heading is what ``mmseqs`` writes of clusters
    (``*_cluster.tsv``: representative, member); it becomes the columns `id` and `cluster`.

    Raises
    ------
    SourceError
        It cannot be read, has rows of unequal length, or columns of the same name.
    """
    table = _parquet(path) if text.suffix(path) == ".parquet" else _delimited(path)
    twice = next((name for name in table.column_names if table.column_names.count(name) > 1), None)
    if twice is not None:
        raise SourceError(f"{path} has two columns {twice!r}; rename one of them.")
    return table


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            return pyarrow.parquet.read_table(file)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; check the path.") from error
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path} is no readable Parquet file ({first_line(error)}); write it again.") from error


def _delimited(path: Path) -> pa.Table:
    import pyarrow.csv

    delimiter = _DELIMITERS[text.suffix(path)]
    heading = text.head(path).removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()[:1]
    columns = heading[0].split(delimiter) if heading else []
    clusters = delimiter == "\t" and len(columns) == 2 and not {"id", "protein"} & {*columns}
    try:
        with text.opened(path) as stream:
            return pyarrow.csv.read_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(column_names=["cluster", "id"] if clusters else None),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
                convert_options=pyarrow.csv.ConvertOptions(
                    null_values=_NULLS, strings_can_be_null=True,
                    column_types={"cluster": pa.string(), "id": pa.string()} if clusters else {},
                ),
            )  # fmt: skip
    except pa.ArrowException as error:
        raise SourceError(f"{path} is no readable table ({first_line(error)}); correct that row.") from error
