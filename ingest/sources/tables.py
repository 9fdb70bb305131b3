"""Tables of properties: CSV, TSV and Parquet, and the clusters that MMseqs2 writes."""

from __future__ import annotations

from collections.abc import Collection
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


#: What a column of ids is called, unless that is said.
IDS = ("id", "protein")


def read(path: Path, ids: Collection[str] = IDS) -> pa.Table:
    """Read a table: one column for each of the file's, of the types that its values show; columns `ids` are text.

    A file of two tab-separated columns whose first line is no heading is what ``mmseqs`` writes of clusters
    (``*_cluster.tsv``: representative, member); it becomes the columns `id` and `cluster`.

    Raises
    ------
    SourceError
        It cannot be read, or has rows of unequal length.
    """
    return _parquet(path) if text.suffix(path) == ".parquet" else _delimited(path, ids)


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            return pyarrow.parquet.read_table(file)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; check the path.") from error
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path} is no readable Parquet file ({first_line(error)}); write it again.") from error


def _delimited(path: Path, ids: Collection[str]) -> pa.Table:
    import pyarrow.csv

    delimiter = _DELIMITERS[text.suffix(path)]
    heading = text.head(path).removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()[:1]
    columns = heading[0].split(delimiter) if heading else []
    clusters = delimiter == "\t" and len(columns) == 2 and not {*IDS, *ids} & {*columns}
    try:
        with text.opened(path) as stream:
            return pyarrow.csv.read_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(column_names=["cluster", "id"] if clusters else None),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    null_values=_NULLS, strings_can_be_null=True,
                    column_types=dict.fromkeys(("cluster", "id") if clusters else ids, pa.string()),
                ),
            )  # fmt: skip
    except pa.ArrowException as error:
        raise SourceError(f"{path} is no readable table ({first_line(error)}); correct that row.") from error
