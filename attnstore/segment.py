"""Reading a segment: the attention of some proteins under one model, immutable once its manifest lists it.

Opening it checks that every file is there with its recorded size and that the small ones have their digest; row groups,
chunks and pages are checked when they are read, once.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from . import codecs, durable
from .errors import StoreError, first_line
from .layout import SEGMENT_FILE, SEGMENTS, SegmentEntry, check_version, checked_name

Array = npt.NDArray[Any]

#: One layer or head, or several.
Index = int | slice
ALL = slice(None)

#: Files up to this size are digested when a segment is opened, larger ones by `attnstore verify` alone.
SMALL_FILE = 1 << 16

ARC_SCHEMA = pa.schema(
    [
        pa.field("layer", pa.uint16(), nullable=False),
        pa.field("head", pa.uint16(), nullable=False),
        pa.field("protein", pa.uint32(), nullable=False),
        pa.field("source", pa.uint32(), nullable=False),
        pa.field("target", pa.uint32(), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
    ]
)
#: Sums of weights kept for every residue.
MARGINALS = ("received", "emitted", "special")


@dataclass(frozen=True, eq=False)
class LocalProteins:
    """The proteins of a segment, in its order.

    Attributes
    ----------
    id : string per protein
    sequence_sha256 : digest of the whole sequence
    length : int64, residues of the whole sequence
    stored : int64, residues that the model saw
    """

    id: tuple[str, ...]
    sequence_sha256: tuple[str, ...]
    length: Array
    stored: Array

    @cached_property
    def pair_offset(self) -> Array:
        """Where each protein's pairs begin, and where the last one's end; int64 [proteins + 1]."""
        return np.concatenate([[0], np.cumsum(self.stored.astype(np.int64) ** 2)])

    @cached_property
    def residue_offset(self) -> Array:
        """The same for residues."""
        return np.concatenate([[0], np.cumsum(self.stored.astype(np.int64))])


def bytes_at(path: Path, offset: int, size: int) -> bytes:
    """A stretch of a file."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


@lru_cache(maxsize=1 << 16)
def _check_part(path: Path, part: "Part") -> None:
    """Raise StoreError unless a part of a file has its digest; what has passed once is not read again."""
    if durable.sha256_bytes(bytes_at(path, part.offset, part.size)) != part.sha256:
        raise StoreError(f"{path} is damaged: bytes from {part.offset} do not have the digest they were written with.")


@dataclass(frozen=True, eq=False)
class Segment:
    """A committed segment, open for reading. Small, so that a task can carry it.

    Attributes
    ----------
    directory : Path
    entry : what the manifest says of it
    arc_parts : the row groups of arcs.parquet, and its footer
    """

    directory: Path
    entry: SegmentEntry
    arc_parts: tuple["Part", ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return open_segment, (self.directory.parent.parent, self.entry)

    @cached_property
    def proteins(self) -> LocalProteins:
        """Its proteins."""
        columns = _read_parquet(self.directory / "proteins.parquet").to_pydict()
        return LocalProteins(
            tuple(columns["id"]),
            tuple(columns["sequence_sha256"]),
            np.array(columns["length"], np.int64),
            np.array(columns["stored"], np.int64),
        )

    def codes(self, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None) -> Array:
        """Codes of pairs ``begin : end``, uint8; dimensions as selected from [layer, head, pair].

        Raises
        ------
        StoreError
            If a chunk is missing or fails its checksum.
        """
        return self._read("codes.zarr/codes", layer, head, begin, end)

    def marginal(
        self, name: str, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None
    ) -> Array:
        """'received', 'emitted' or 'special' of residues ``begin : end``, float32; raises as :meth:`codes` does."""
        return self._read(f"marginals.zarr/{name}", layer, head, begin, end)

    @cached_property
    def bin_mean(self) -> Array:
        """Mean weight of each code, float32 [layer, head, code]; 0 where the code does not occur."""
        return self._read("codes.zarr/mean")

    @cached_property
    def bin_count(self) -> Array:
        """Number of weights of each code, uint32 [layer, head, code]."""
        return self._read("codes.zarr/count")

    def _read(self, name: str, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None) -> Array:
        what = f"{name}, layer {_words(layer)}, head {_words(head)}, of segment {self.directory.name}"
        if name not in self._arrays:
            self._arrays[name] = codecs.open_array(self.directory / name)
        # zarrs reads an integer between slices wrongly: every dimension is kept, and dropped afterwards.
        kept = tuple(index if isinstance(index, slice) else slice(index, index + 1) for index in (layer, head))
        values = codecs.read(self._arrays[name], (*kept, slice(begin, end)), what)
        missing = np.isnan(values).any() if values.dtype.kind == "f" else (values == np.iinfo(values.dtype).max).any()
        if missing:
            raise StoreError(f"{what} is damaged (a chunk is missing): `attnstore verify` names what else is.")
        return values[tuple(ALL if isinstance(index, slice) else 0 for index in (layer, head))]

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        return {}

    @property
    def arcs_path(self) -> Path:
        """The Parquet file of arcs."""
        return self.directory / "arcs.parquet"

    def check_arcs(self) -> None:
        """Check all of arcs.parquet, for a reader that does not do so itself; raises StoreError."""
        for part in self.arc_parts:
            _check_part(self.arcs_path, part)

    def arcs(self, threshold: float, columns: Sequence[str] = ARC_SCHEMA.names) -> pa.Table:
        """Arcs whose row group may hold weights ≥ threshold; the caller compares the weights themselves.

        Returns
        -------
        pyarrow.Table
            The columns asked for.

        Raises
        ------
        StoreError
            If a row group does not have its digest.
        """
        theta = np.float32(threshold)
        weight = ARC_SCHEMA.get_field_index("weight")
        with _open_parquet(self.arcs_path) as file:
            groups = []
            for group in range(file.metadata.num_row_groups):
                statistics = file.metadata.row_group(group).column(weight).statistics
                if statistics is None or not statistics.has_min_max or np.float32(statistics.max) >= theta:
                    _check_part(self.arcs_path, self.arc_parts[group])
                    groups.append(group)
            try:
                return file.read_row_groups(groups, columns=list(columns), use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise _damaged(self.arcs_path, error) from error


def _words(index: Index) -> str:
    if not isinstance(index, slice):
        return str(index)
    return "all" if index == ALL else f"{index.start} to {index.stop}"


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} is damaged ({first_line(error)}): `attnstore verify` names what else is.")


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _read_parquet(path: Path) -> pa.Table:
    with _open_parquet(path) as file:
        try:
            return file.read(use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, error) from error


@lru_cache(maxsize=1024)
def open_segment(model_directory: Path, entry: SegmentEntry) -> Segment:
    """Open a committed segment, having checked that its files are all there as recorded.

    Raises
    ------
    StoreError
        If a file is missing, has another size, or (if small) another digest, or a Parquet file another footer.
    """
    directory = model_directory / SEGMENTS / checked_name(entry.id, "segment")
    parts: dict[str, tuple[Part, ...]] = {}
    for file in recorded_files(directory, entry):
        path = directory / file.path
        parts[file.path] = file.parts
        try:
            found = path.stat().st_size
        except OSError:
            raise StoreError(f"segment {entry.id} is damaged: {path} is missing.") from None
        if found != file.size:
            raise StoreError(f"segment {entry.id} is damaged: {path} has {found} bytes where {file.size} were written.")
        if file.size <= SMALL_FILE:
            if durable.sha256_file(path) != file.sha256:
                raise StoreError(f"segment {entry.id} is damaged: {path} does not have the digest it was written with.")
        elif file.parts:
            # The footer says where everything else is; row groups of arcs are checked when they are read.
            for part in file.parts if file.path == "proteins.parquet" else file.parts[-1:]:
                _check_part(path, part)
    return Segment(directory, entry, parts.get("arcs.parquet", ()))


class Part(NamedTuple):
    """A stretch of a file: offset, size and SHA-256."""

    offset: int
    size: int
    sha256: str


class RecordedFile(NamedTuple):
    """A file of a segment: relative path, size, SHA-256; of Parquet its row groups and footer."""

    path: str
    size: int
    sha256: str
    parts: tuple[Part, ...]


def recorded_files(directory: Path, entry: SegmentEntry) -> list[RecordedFile]:
    """Every file of a segment, as its own sealed list says.

    Raises
    ------
    StoreError
        If the list is missing or not the one the manifest vouches for.
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
            if os.path.isabs(relative) or ".." in Path(relative).parts:
                raise StoreError(f"{path} names a file outside its segment: {relative}.")
            parts = tuple(Part(*part) for part in file.get("parts", ()))
            recorded.append(RecordedFile(relative, int(file["bytes"]), str(file["sha256"]), parts))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{what} is damaged: {path} does not list files as it should ({error!r}).") from None
    return recorded
