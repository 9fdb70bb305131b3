"""The files of a segment, as its sealed list records them: digests of whole files, and of parts of Parquet files."""

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError
from ..runtime import durable
from ..runtime.faults import damage
from .documents import SEGMENT_FILE, SegmentEntry, check_version


class Part(NamedTuple):
    """A part of a file: offset, size and SHA-256."""

    offset: int
    size: int
    sha256: str


class RecordedFile(NamedTuple):
    """A file of a segment: relative path, size, SHA-256; for Parquet its row groups and footer."""

    path: str
    size: int
    sha256: str
    parts: tuple[Part, ...]


#: A path within a segment: no part may start at the root or leave the folder.
_PATH = re.compile(r"[^/\\:\ud800-\udfff]+(/[^/\\:\ud800-\udfff]+)*")


def recorded_files(directory: Path, entry: SegmentEntry) -> list[RecordedFile]:
    """Read the list of a segment's files, ``segment.json``.

    Raises
    ------
    StoreError
        If the list is missing or does not have the digest in the manifest.
    """
    path, what = directory / SEGMENT_FILE, f"segment {entry.id}"
    document = durable.read_bytes(path, what)
    if durable.sha256_bytes(document) != entry.sha256:
        raise StoreError(f"{what} is damaged: {path} does not have the digest in the manifest.")
    content = durable.parse_json(document, path, what)
    check_version(content, path)
    recorded = []
    try:
        for relative, file in content["files"].items():
            if not relative.isprintable() or not _PATH.fullmatch(relative) or ".." in Path(relative).parts:
                raise StoreError(f"{path} names a file outside its segment: {relative!r}.")
            parts = tuple(Part(int(offset), int(size), str(sha256)) for offset, size, sha256 in file.get("parts", ()))
            if any(offset < 0 or size < 0 or offset + size > file["bytes"] for offset, size, _ in parts):
                raise ValueError("parts lie outside their file")
            recorded.append(RecordedFile(relative, int(file["bytes"]), str(file["sha256"]), parts))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{what} is damaged: {path} does not list files as it should ({error!r}).") from None
    return recorded


def bytes_at(path: Path, offset: int, size: int) -> bytes:
    """Read a part of a file."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


@lru_cache(maxsize=1 << 16)
def check_part(path: Path, part: Part) -> None:
    """Raise StoreError unless a part of a file has its digest; a part that has passed is not read again."""
    try:
        content = bytes_at(path, part.offset, part.size)
    except (OSError, MemoryError) as error:
        raise damage(path, error) from error
    if durable.sha256_bytes(content) != part.sha256:
        raise StoreError(f"{path} is damaged: bytes from {part.offset} do not have the digest they were written with.")


def open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """Open a Parquet file that must start with the columns of a schema."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise damage(path, error) from error
    found = file.schema_arrow
    if found.names[: len(schema)] != schema.names or found.types[: len(schema)] != schema.types:
        file.close()
        raise StoreError(f"{path} is damaged: its columns are not those of a store's.")
    return file


def read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    """The columns of a schema; raises StoreError if one has NULLs."""
    with open_parquet(path, schema) as file:
        try:
            table = file.read(schema.names, use_threads=False)
        except (OSError, MemoryError, pa.ArrowException) as error:
            raise damage(path, error) from error
    if any(column.null_count for column in table.columns):
        raise StoreError(f"{path} is damaged: it lacks values.")
    return table
