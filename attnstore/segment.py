"""Reading a segment: the attention of some proteins under one model, immutable once its manifest lists it.

Opening it checks that every file is there with its recorded size and that the small ones have their digest; row groups,
chunks and pages are checked when they are read, once.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from . import durable, time_limit
from .codebook import TOP
from .errors import StoreError, first_line
from .faults import damage, machine_error
from .layout import (
    KEEP,
    SEGMENT_FILE,
    SEGMENTS,
    ModelDocument,
    SegmentEntry,
    check_version,
    checked_name,
    lacking,
)
from .shards import ShardedArray, Values

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
#: Weights are cut into bands at these; a row group holds arcs of one.
ARC_BANDS = (0.3, 0.1)

_BANDS = np.array(ARC_BANDS, np.float32)

#: Rows of a row group, at most.
ARC_ROWS = 1 << 17

#: Of proteins.parquet.
PROTEIN_SCHEMA = pa.schema(
    [
        ("protein", pa.uint32()),
        ("id", pa.string()),
        ("sequence_sha256", pa.string()),
        ("length", pa.uint32()),
        ("stored", pa.uint32()),
        ("pair_offset", pa.uint64()),
        ("residue_offset", pa.uint64()),
    ]
)
#: Sums of weights kept for every residue.
MARGINALS = ("received", "emitted", "special")

#: A file without which a segment does not hold what it is of.
_MARKS = {
    "codes": "codes.zarr/codes/zarr.json",
    "arcs": "arcs.parquet",
    "marginals": "marginals.zarr/received/zarr.json",
    "hidden": "hidden.zarr/hidden/zarr.json",
}


#: Residues of a protein that a segment can hold: it has at most 2³² − 2 pairs.
_LONGEST = (1 << 16) - 1

#: Largest finite number of a float16.
_HALF = 65504.0


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
    try:
        content = bytes_at(path, part.offset, part.size)
    except (OSError, MemoryError) as error:
        raise damage(path, error) from error
    if durable.sha256_bytes(content) != part.sha256:
        raise StoreError(f"{path} is damaged: bytes from {part.offset} do not have the digest they were written with.")


@dataclass(frozen=True, eq=False)
class Segment:
    """A committed segment, open for reading. Small, so that a task can carry it.

    Attributes
    ----------
    directory : Path
    entry : what the manifest says of it
    kept : what it holds of ``layout.KEEP``
    arc_parts : the row groups of arcs.parquet, and its footer
    """

    directory: Path
    entry: SegmentEntry
    kept: tuple[str, ...]
    arc_parts: tuple["Part", ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return open_segment, (self.directory.absolute().parent.parent, self.entry)

    @cached_property
    def proteins(self) -> LocalProteins:
        """Its proteins; raises StoreError if their table contradicts itself."""
        table = _read_parquet(self.directory / "proteins.parquet", PROTEIN_SCHEMA)
        numbers = {name: table[name].to_numpy().astype(np.int64) for name in ("protein", "length", "stored")}
        proteins = LocalProteins(
            tuple(table["id"].to_pylist()),
            tuple(table["sequence_sha256"].to_pylist()),
            numbers["length"],
            numbers["stored"],
        )
        length, stored = proteins.length, proteins.stored
        if (
            not np.array_equal(numbers["protein"], np.arange(len(table)))
            or ((stored < 1) | (stored > length) | (stored > _LONGEST) | (length >= 1 << 31)).any()
            or not np.array_equal(table["pair_offset"].to_numpy(), proteins.pair_offset[:-1])
            or not np.array_equal(table["residue_offset"].to_numpy(), proteins.residue_offset[:-1])
            or len(set(proteins.id)) < len(proteins.id)
        ):
            raise StoreError(
                f"segment {self.entry.id} is damaged: {self.directory / 'proteins.parquet'} contradicts itself in "
                "indices, lengths or offsets."
            )
        return proteins

    @cached_property
    def document(self) -> ModelDocument:
        """What the model is that it is of."""
        return ModelDocument.read(self.directory.parent.parent)

    def check_counts(self) -> None:
        """Raise StoreError unless it has as many proteins, residues and pairs as the manifest says."""
        proteins, entry = self.proteins, self.entry
        found = (len(proteins.id), int(proteins.residue_offset[-1]), int(proteins.pair_offset[-1]))
        if found != (entry.proteins, entry.residues, entry.pairs):
            raise StoreError(f"segment {entry.id} is damaged: its proteins are not those the manifest counts.")

    def chunks(
        self, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None
    ) -> Iterator[tuple[int, int, int, Array]]:
        """The same codes as of :meth:`codes`, as they lie on disk: nothing but a chunk is in memory at a time.

        Yields
        ------
        layer, head, begin, codes
            By layer, head and pair; uint8 of the pairs of one head from `begin` on, read-only. Where one array ends
            and the next begins has nothing to do with proteins.

        Raises
        ------
        StoreError
            If a chunk is missing or fails its checksum, or codes were not kept.
        """
        array = self._array("codes", "codes.zarr/codes")
        for (at, h, first), codes in array.parts(_selection(layer, head, begin, end)):
            time_limit.check()
            yield at, h, first, codes[0, 0]

    def codes(self, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None) -> Array:
        """Codes of pairs ``begin : end``, uint8; dimensions as selected from [layer, head, pair].

        Raises
        ------
        StoreError
            If a chunk is missing or fails its checksum, or codes were not kept.
        """
        return self._read("codes", "codes.zarr/codes", layer, head, begin, end)

    def marginal(
        self, name: str, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None
    ) -> Array:
        """'received', 'emitted' or 'special' of residues ``begin : end``, float32; raises as :meth:`codes` does."""
        return self._read("marginals", f"marginals.zarr/{name}", layer, head, begin, end)

    def hidden(self, layer: Index = ALL, begin: int = 0, end: int | None = None) -> Array:
        """Representations of residues ``begin : end``, float16; dimensions as selected from [layer, residue, feature].

        Layer 0 is the embeddings. Raises as :meth:`codes` does.
        """
        slices = (layer if isinstance(layer, slice) else slice(layer, layer + 1), slice(begin, end), ALL)
        values = self._array("hidden", "hidden.zarr/hidden").read(slices)
        return values if isinstance(layer, slice) else values[0]

    @property
    def bin_mean(self) -> Array:
        """Mean weight of each code, float32 [layer, head, code]; 0 where the code does not occur."""
        return _read_bins(self, "mean")

    @property
    def bin_count(self) -> Array:
        """Number of weights of each code, uint32 [layer, head, code]."""
        return _read_bins(self, "count")

    def _read(
        self, tier: str, name: str, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None
    ) -> Array:
        time_limit.check()
        values = self._array(tier, name).read(_selection(layer, head, begin, end))
        return values[tuple(ALL if isinstance(index, slice) else 0 for index in (layer, head))]

    def _need(self, tier: str) -> None:
        if tier not in self.kept:
            model = self.directory.parent.parent.name
            raise StoreError(f"segment {self.entry.id} holds no {tier}: {lacking(model, self.kept, tier)}.")

    def _array(self, tier: str, name: str) -> ShardedArray:
        self._need(tier)
        if name not in self._arrays:
            self._arrays[name] = ShardedArray.open(self.directory / name, self._values(name))
        return self._arrays[name]

    def _values(self, name: str) -> Values:
        """What an array has to be: its type, its shape, and between what its values lie."""
        layers, heads, proteins = self.document.layers, self.document.heads, self.proteins
        residues, pairs = int(proteins.residue_offset[-1]), int(proteins.pair_offset[-1])
        codes = self.document.edges.size
        top = float(TOP)
        return {
            "codes.zarr/codes": Values("uint8", (layers, heads, pairs), 0, codes - 1),
            "codes.zarr/mean": Values("float32", (layers, heads, codes), 0, top),
            "codes.zarr/count": Values("uint32", (layers, heads, codes), 0, pairs),
            "marginals.zarr/received": Values("float32", (layers, heads, residues), 0, top * _LONGEST),
            "marginals.zarr/emitted": Values("float32", (layers, heads, residues), 0, top * _LONGEST),
            "marginals.zarr/special": Values("float32", (layers, heads, residues), 0, top * _LONGEST),
            "hidden.zarr/hidden": Values("float16", (layers + 1, residues, None), -_HALF, _HALF),
        }[name]

    @cached_property
    def _arrays(self) -> dict[str, ShardedArray]:
        return {}

    @property
    def arcs_path(self) -> Path:
        """The Parquet file of arcs; raises StoreError where they were not kept."""
        self._need("arcs")
        return self.directory / "arcs.parquet"

    def check_arcs(self, *, values: bool = False) -> None:
        """Check all of arcs.parquet, for a reader that does not do so itself.

        Parameters
        ----------
        values : look at each value, too, and not only at what the footer says of the least and the largest

        Raises
        ------
        StoreError
            If it does not have its digests, or an arc is of something that is not there.
        """
        path = self.arcs_path
        if not path.exists():
            raise StoreError(f"segment {self.entry.id} is damaged: {path} is missing.")
        for part in self.arc_parts:
            _check_part(path, part)
        with _open_parquet(path, ARC_SCHEMA) as file:
            for group in range(file.metadata.num_row_groups):
                self._check_statistics(file, group)
        if values:
            for _ in self.arc_groups(0.0):
                pass

    def arcs(self, threshold: float, columns: Sequence[str] = ARC_SCHEMA.names, heads: Array | None = None) -> pa.Table:
        """The arcs of :meth:`arc_groups` in one table."""
        chosen = pa.schema([ARC_SCHEMA.field(name) for name in columns])
        return pa.concat_tables([chosen.empty_table(), *self.arc_groups(threshold, columns, heads)])

    def arc_groups(
        self, threshold: float, columns: Sequence[str] = ARC_SCHEMA.names, heads: Array | None = None
    ) -> Iterator[pa.Table]:
        """Arcs with weight ≥ threshold, at most a row group at a time; what cannot hold any is not read.

        Weights, by far the largest column, are read only where asked for or needed: not for the counts at a threshold
        of 0.3, 0.1 or the arc floor, at which row groups are cut.

        Parameters
        ----------
        threshold : compared as float32
        columns : those wanted of ``ARC_SCHEMA``
        heads : bool [layers, heads], True for those wanted; None for all

        Yields
        ------
        pyarrow.Table
            The columns wanted, each in one piece; rows by band of weight, layer, head, protein, source and target.

        Raises
        ------
        StoreError
            If a row group does not have its digest, or an arc of it is of something that is not there; or arcs were
            not kept.
        """
        theta = np.float32(threshold)
        with _open_parquet(self.arcs_path, ARC_SCHEMA) as file:
            for group in range(file.metadata.num_row_groups):
                time_limit.check()
                least, most = self._weights(file, group)
                if not np.float32(most) >= theta:
                    continue
                if heads is not None:
                    (layer, last_layer), (head, last_head) = (_range(file, group, name) for name in ("layer", "head"))
                    among = heads[layer : last_layer + 1, head : last_head + 1]
                    if not among.any():
                        continue
                _check_part(self.arcs_path, self.arc_parts[group])
                by_weight = not np.float32(least) >= theta
                by_head = heads is not None and not among.all()
                needed = ["weight"] * by_weight + ["layer", "head"] * by_head
                try:
                    table = file.read_row_group(group, list(dict.fromkeys([*columns, *needed])), use_threads=False)
                except (OSError, MemoryError, pa.ArrowException) as error:
                    raise damage(self.arcs_path, error) from error
                self._check_values(group, table, least, most)
                if by_weight:
                    table = table.filter(pa.array(table["weight"].to_numpy() >= theta))
                if heads is not None and by_head:
                    table = table.filter(pa.array(heads[table["layer"].to_numpy(), table["head"].to_numpy()]))
                yield table.select(columns)

    def _weights(self, file: pq.ParquetFile, group: int) -> tuple[Any, Any]:
        """Least and largest weight of a row group, as recorded or else as they may be.

        Raises
        ------
        StoreError
            If the row group has too many rows, or by its statistics weights of two bands or none that are arcs.
        """
        metadata = file.metadata.row_group(group)
        statistics = metadata.column(ARC_SCHEMA.get_field_index("weight")).statistics
        recorded = statistics is not None and statistics.has_min_max
        floor = np.float32(self.document.arc_floor)
        least, most = map(np.float32, (statistics.min, statistics.max) if recorded else (floor, TOP))
        if (
            len(self.arc_parts) != file.metadata.num_row_groups + 1
            or not 0 < metadata.num_rows <= ARC_ROWS
            or not floor <= least
            or not most <= TOP
            or (recorded and any(least < edge <= most for edge in _BANDS))
        ):
            raise self._wrong_arcs(group)
        return least, most

    def _check_statistics(self, file: pq.ParquetFile, group: int) -> None:
        """Raise StoreError if by its statistics a row group has NULLs, or arcs of something that is not there."""
        self._weights(file, group)
        limits = {"layer": self.document.layers, "head": self.document.heads, "protein": len(self.proteins.id)}
        longest = int(self.proteins.stored.max())
        limits |= {"source": longest, "target": longest}
        for index, name in enumerate(ARC_SCHEMA.names):
            statistics = file.metadata.row_group(group).column(index).statistics
            if statistics is not None and (
                (statistics.has_null_count and statistics.null_count)
                or (name in limits and statistics.has_min_max and not statistics.max < limits[name])
            ):
                raise self._wrong_arcs(group)

    def _check_values(self, group: int, table: pa.Table, least: Any, most: Any) -> None:
        """Raise StoreError unless the arcs of a row group are of what is there, and in order."""
        read = (group, *table.column_names)
        if read in self._passed:
            return
        document, proteins = self.document, self.proteins
        found = {name: table[name] for name in table.column_names}
        wrong = any(column.null_count for column in found.values())
        if not wrong:
            values = {name: column.to_numpy() for name, column in found.items()}
            if values.keys() >= set(ARC_SCHEMA.names[:-1]):
                from .arc_kernels import wrong_arcs

                wrong = wrong_arcs(
                    *(values[name] for name in ARC_SCHEMA.names[:-1]),
                    values.get("weight", np.empty(0, np.float32)), proteins.stored, proteins.pair_offset,
                    document.layers, document.heads, least, most,
                )  # fmt: skip
            else:
                limits = {"layer": document.layers, "head": document.heads, "protein": len(proteins.id)}
                wrong = any((values[name] >= limit).any() for name, limit in limits.items() if name in values)
                weight = values.get("weight", np.empty(0, np.float32))
                wrong = wrong or not ((weight >= least) & (weight <= most)).all()
        if wrong:
            raise self._wrong_arcs(group)
        self._passed.add(read)

    @cached_property
    def _passed(self) -> set[tuple[int | str, ...]]:
        """Row groups whose values were looked at: number, and columns. What has passed once cannot change."""
        return set()

    def _wrong_arcs(self, group: int) -> StoreError:
        return StoreError(
            f"segment {self.entry.id} is damaged: row group {group} of {self.arcs_path} holds arcs of layers, heads, "
            "proteins, residues or weights that are not there, or out of order."
        )


@lru_cache(maxsize=16)
def _read_bins(segment: Segment, name: str) -> Array:
    """Few are kept, for a query asks head by head: those of all segments grow with the data."""
    return segment._read("codes", f"codes.zarr/{name}")


def _range(file: pq.ParquetFile, group: int, column: str) -> tuple[Any, Any]:
    """Least and largest value in a row group: as recorded, or else any."""
    statistics = file.metadata.row_group(group).column(ARC_SCHEMA.get_field_index(column)).statistics
    if statistics is None or not statistics.has_min_max:
        return (-np.inf, np.inf) if column == "weight" else (0, 1 << 16)
    return statistics.min, statistics.max


def _selection(layer: Index, head: Index, begin: int, end: int | None) -> tuple[slice, slice, slice]:
    """Slices throughout: a layer or head alone is one of length 1."""
    layer, head = (index if isinstance(index, slice) else slice(index, index + 1) for index in (layer, head))
    return layer, head, slice(begin, end)


def _open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """Open a Parquet file whose columns are those of a schema; others may follow."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise damage(path, error) from error
    found = file.schema_arrow
    if found.names[: len(schema)] != schema.names or found.types[: len(schema)] != schema.types:
        file.close()
        raise StoreError(f"{path} is damaged: its columns are not those of a store's.")
    return file


def _read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    with _open_parquet(path, schema) as file:
        try:
            table = file.read(schema.names, use_threads=False)
        except (OSError, MemoryError, pa.ArrowException) as error:
            raise damage(path, error) from error
    if any(column.null_count for column in table.columns):
        raise StoreError(f"{path} is damaged: it lacks values.")
    return table


@lru_cache(maxsize=1024)
def open_segment(model_directory: Path, entry: SegmentEntry) -> Segment:
    """Open a committed segment, having checked that its files are all there as recorded.

    Raises
    ------
    StoreError
        If a file is missing, has another size, or (if small) another digest, or a Parquet file another footer.
    """
    directory = model_directory / SEGMENTS / checked_name(entry.id, "segment")
    durable.check_folder(directory)
    parts: dict[str, tuple[Part, ...]] = {}
    recorded = recorded_files(directory, entry)
    try:
        durable.check_tree(directory)
    except OSError as error:
        raise machine_error(error, f"reading {directory}") or StoreError(
            f"segment {entry.id} is damaged: {first_line(error)}."
        ) from error
    for file in recorded:
        path = directory / file.path
        parts[file.path] = file.parts
        try:
            found = path.stat().st_size
            digest = durable.sha256_file(path) if found == file.size <= SMALL_FILE else file.sha256
        except (OSError, MemoryError) as error:
            raise machine_error(error, f"reading {path}") or StoreError(
                f"segment {entry.id} is damaged: {path} is missing."
            ) from error
        if found != file.size:
            raise StoreError(f"segment {entry.id} is damaged: {path} has {found} bytes where {file.size} were written.")
        if file.size <= SMALL_FILE:
            if digest != file.sha256:
                raise StoreError(f"segment {entry.id} is damaged: {path} does not have the digest it was written with.")
        elif file.parts:
            # The footer says where everything else is; row groups of arcs are checked when they are read.
            for part in file.parts if file.path == "proteins.parquet" else file.parts[-1:]:
                _check_part(path, part)
    kept = tuple(what for what in KEEP if _MARKS[what] in parts)
    return Segment(directory, entry, kept, parts.get("arcs.parquet", ()))


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


#: A path within a segment: parts that neither begin a path nor leave a folder.
_PATH = re.compile(r"[^/\\:\ud800-\udfff]+(/[^/\\:\ud800-\udfff]+)*")


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
            if not relative.isprintable() or not _PATH.fullmatch(relative) or ".." in Path(relative).parts:
                raise StoreError(f"{path} names a file outside its segment: {relative!r}.")
            parts = tuple(Part(int(offset), int(size), str(sha256)) for offset, size, sha256 in file.get("parts", ()))
            if any(offset < 0 or size < 0 or offset + size > file["bytes"] for offset, size, _ in parts):
                raise ValueError("parts lie outside their file")
            recorded.append(RecordedFile(relative, int(file["bytes"]), str(file["sha256"]), parts))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{what} is damaged: {path} does not list files as it should ({error!r}).") from None
    return recorded
