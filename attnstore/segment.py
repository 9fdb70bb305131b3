"""A segment: the attention of some proteins under one model, immutable once its manifest lists it.

It is written under its final, unique name, flushed and digested; the manifest makes it visible. Reading checks
that every file is there with its recorded size and that the small ones have their digest; chunks and pages carry
checksums of their own, which are checked whenever they are decoded.
"""

import os
import secrets
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
from .codebook import FILL
from .errors import StoreError
from .layout import SEGMENT_FILE, SEGMENTS, VERSION, SegmentEntry, checked_name

Array = npt.NDArray[Any]

#: Files up to this size are digested when a segment is opened, larger ones by `attnstore verify` alone.
SMALL_FILE = 1 << 16

#: Row groups of arcs are cut at these weights, so that a threshold skips whole groups.
ARC_BANDS = (0.3, 0.1)
_ARC_ROWS = 1 << 17

_ARC_SCHEMA = pa.schema(
    [
        pa.field("layer", pa.uint16(), nullable=False),
        pa.field("head", pa.uint16(), nullable=False),
        pa.field("protein", pa.uint32(), nullable=False),
        pa.field("source", pa.uint32(), nullable=False),
        pa.field("target", pa.uint32(), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
    ]
)
_MARGINALS = ("received", "emitted", "special")


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


@dataclass(frozen=True, eq=False)
class SegmentContents:
    """Everything a segment holds, ready to be written.

    Attributes
    ----------
    proteins : LocalProteins
    codes : uint8 [layers, heads, pairs]
        Protein after protein; within one, index = target · length + source.
    bin_mean, bin_count : float32, uint32 [layers, heads, codes]
        Mean and number of the weights of each code.
    received, emitted, special : float32 [layers, heads, residues]
    arcs : layer, head, protein (local index), source, target, weight
        Any order.
    """

    proteins: LocalProteins
    codes: Array
    bin_mean: Array
    bin_count: Array
    received: Array
    emitted: Array
    special: Array
    arcs: dict[str, Array]


def write_segment(model_directory: Path, number: int, contents: SegmentContents, chunk_pairs: int) -> SegmentEntry:
    """Write a segment under a new name, flush and digest it; the caller lists it in the manifest.

    Raises
    ------
    StoreError
        If the disk is full or fails. What was written is then garbage that the next run clears.
    """
    identity = f"{number:06d}-{secrets.token_hex(4)}"
    directory = model_directory / SEGMENTS / identity
    try:
        directory.mkdir(parents=True)
        _write_proteins(directory / "proteins.parquet", contents.proteins)
        _write_codes(directory / "codes.zarr", contents, chunk_pairs)
        for name in _MARGINALS:
            data = getattr(contents, name)
            codecs.write_array(
                directory / "marginals.zarr" / name,
                data,
                chunks=(1, *data.shape[1:]),
                shards=data.shape,
                dimensions=("layer", "head", "residue"),
                fill_value=float("nan"),
            )
        _write_arcs(directory / "arcs.parquet", contents.arcs)
        return _seal(directory, number, contents)
    except (OSError, pa.ArrowException, RuntimeError) as error:
        # zarrs reports a full disk as a RuntimeError, Arrow as an OSError.
        raise StoreError(f"segment {identity} could not be written: {str(error).splitlines()[0]}.") from error


def _write_proteins(path: Path, proteins: LocalProteins) -> None:
    table = pa.table(
        {
            "protein": pa.array(np.arange(len(proteins.id)), pa.uint32()),
            "id": pa.array(proteins.id, pa.string()),
            "sequence_sha256": pa.array(proteins.sequence_sha256, pa.string()),
            "length": pa.array(proteins.length, pa.uint32()),
            "stored": pa.array(proteins.stored, pa.uint32()),
            "pair_offset": pa.array(proteins.pair_offset[:-1], pa.uint64()),
            "residue_offset": pa.array(proteins.residue_offset[:-1], pa.uint64()),
        }
    )
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _write_codes(path: Path, contents: SegmentContents, chunk_pairs: int) -> None:
    _, heads, pairs = contents.codes.shape
    # A segment smaller than a chunk is one chunk: no padding is stored.
    chunk = min(chunk_pairs, pairs)
    codecs.write_array(
        path / "codes",
        contents.codes,
        chunks=(1, 1, chunk),
        shards=(1, heads, -(-pairs // chunk) * chunk),
        dimensions=("layer", "head", "pair"),
        fill_value=FILL,
    )
    for name, data, fill in (
        ("mean", contents.bin_mean, float("nan")),
        ("count", contents.bin_count, 2**32 - 1),
    ):
        codecs.write_array(
            path / name,
            data,
            chunks=data.shape,
            shards=data.shape,
            dimensions=("layer", "head", "code"),
            fill_value=fill,
        )


def _write_arcs(path: Path, arcs: dict[str, Array]) -> None:
    """Sorted by weight band, layer, head, protein, source and target; row groups do not cross a band."""
    band = np.zeros(arcs["weight"].size, np.uint8)
    for edge in ARC_BANDS:
        band += arcs["weight"] < np.float32(edge)
    order = np.lexsort((arcs["target"], arcs["source"], arcs["protein"], arcs["head"], arcs["layer"], band))
    table = pa.table({name: arcs[name][order] for name in _ARC_SCHEMA.names}, schema=_ARC_SCHEMA)
    ends = np.cumsum(np.bincount(band, minlength=len(ARC_BANDS) + 1)).tolist()
    with pq.ParquetWriter(
        path,
        _ARC_SCHEMA,
        compression="zstd",
        use_dictionary=["layer", "head", "protein", "source"],
        column_encoding={"target": "DELTA_BINARY_PACKED", "weight": "BYTE_STREAM_SPLIT"},
        write_page_checksum=True,
    ) as writer:
        for begin, end in zip([0, *ends], ends, strict=False):
            for first in range(begin, end, _ARC_ROWS):
                writer.write_table(table.slice(first, min(_ARC_ROWS, end - first)), row_group_size=_ARC_ROWS)


def _seal(directory: Path, number: int, contents: SegmentContents) -> SegmentEntry:
    paths = list(durable.files_below(directory))
    sizes = [path.stat().st_size for path in paths]
    files = {
        path.relative_to(directory).as_posix(): {"bytes": size, "sha256": durable.sha256_file(path), **_footer(path)}
        for path, size in zip(paths, sizes, strict=True)
    }
    document = durable.json_bytes({"version": VERSION, "files": files})
    (directory / SEGMENT_FILE).write_bytes(document)
    durable.sync_tree(directory)
    durable.sync_directory(directory.parent)
    return SegmentEntry(
        id=directory.name,
        number=number,
        sha256=durable.sha256_bytes(document),
        proteins=len(contents.proteins.id),
        residues=int(contents.proteins.residue_offset[-1]),
        pairs=int(contents.proteins.pair_offset[-1]),
        arcs=int(contents.arcs["weight"].size),
        bytes=sum(sizes) + len(document),
    )


def _footer(path: Path) -> dict[str, Any]:
    """Size and digest of a Parquet file's footer, which no checksum of the format covers; nothing for other files."""
    if path.suffix != ".parquet":
        return {}
    # The metadata, four bytes that count it, and a magic word of four.
    size = int.from_bytes(_tail(path, 8)[:4], "little") + 8
    return {"footer_bytes": size, "footer_sha256": durable.sha256_bytes(_tail(path, size))}


def _tail(path: Path, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(-size, os.SEEK_END)
        return file.read()


@dataclass(frozen=True, eq=False)
class Segment:
    """A committed segment, open for reading. Small, so that a task can carry it.

    Attributes
    ----------
    directory : Path
    entry : what the manifest says of it
    """

    directory: Path
    entry: SegmentEntry

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

    @cached_property
    def _codes(self) -> Any:
        return codecs.open_array(self.directory / "codes.zarr" / "codes")

    def codes(self, layer: int | slice, head: int | slice, begin: int = 0, end: int | None = None) -> Array:
        """Codes of pairs ``begin : end``, uint8; dimensions as selected from [layer, head, pair].

        Raises
        ------
        StoreError
            If a chunk is missing or fails its checksum.
        """
        what = f"codes of layer {layer}, head {head} in segment {self.directory.name}"
        codes = codecs.read(self._codes, (layer, head, slice(begin, end)), what)
        if codes.size and codes.max() == FILL:
            raise StoreError(f"{what} are damaged (a chunk is missing): `attnstore verify` names what else is.")
        return codes

    @cached_property
    def bin_mean(self) -> Array:
        """Mean weight of each code, float32 [layer, head, code]; 0 where the code does not occur."""
        return self._small_array("codes.zarr/mean")

    @cached_property
    def bin_count(self) -> Array:
        """Number of weights of each code, uint32 [layer, head, code]."""
        return self._small_array("codes.zarr/count")

    def marginal(self, name: str) -> Array:
        """'received', 'emitted' or 'special': float32 [layer, head, residue]."""
        return self._small_array(f"marginals.zarr/{name}")

    def _small_array(self, name: str) -> Array:
        what = f"{name} of segment {self.directory.name}"
        values = codecs.read(codecs.open_array(self.directory / name), (...,), what)
        missing = np.isnan(values) if values.dtype.kind == "f" else values == np.iinfo(values.dtype).max
        if missing.any():
            raise StoreError(f"{what} is damaged (a chunk is missing): `attnstore verify` names what else is.")
        return values

    def arcs(self, threshold: float, columns: Sequence[str] = _ARC_SCHEMA.names) -> pa.Table:
        """Arcs whose row group may hold weights ≥ threshold; the caller compares the weights themselves.

        Returns
        -------
        pyarrow.Table
            The columns asked for.
        """
        path = self.directory / "arcs.parquet"
        with _open_parquet(path) as file:
            theta = np.float32(threshold)
            weight = _ARC_SCHEMA.get_field_index("weight")
            groups = [
                index
                for index in range(file.metadata.num_row_groups)
                if np.float32(file.metadata.row_group(index).column(weight).statistics.max) >= theta
            ]
            try:
                return file.read_row_groups(groups, columns=list(columns), use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StoreError:
    text = str(error).splitlines()[0]
    return StoreError(f"{path} is damaged ({text}): `attnstore verify` names what else is.")


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
    for relative, size, sha256, footer in recorded_files(directory, entry):
        path = directory / relative
        try:
            found = path.stat().st_size
        except OSError:
            raise StoreError(f"segment {entry.id} is damaged: {path} is missing.") from None
        if found != size:
            raise StoreError(f"segment {entry.id} is damaged: {path} has {found} bytes where {size} were written.")
        if size <= SMALL_FILE:
            intact = durable.sha256_file(path) == sha256
        else:
            intact = footer is None or durable.sha256_bytes(_tail(path, footer[0])) == footer[1]
        if not intact:
            raise StoreError(f"segment {entry.id} is damaged: {path} does not have the digest it was written with.")
    return Segment(directory, entry)


class RecordedFile(NamedTuple):
    """A file of a segment: relative path, size, SHA-256, and size and SHA-256 of its footer if it is Parquet."""

    path: str
    size: int
    sha256: str
    footer: tuple[int, str] | None


def recorded_files(directory: Path, entry: SegmentEntry) -> list[RecordedFile]:
    """Every file of a segment, as its own sealed list says.

    Raises
    ------
    StoreError
        If the list is missing or not the one the manifest vouches for.
    """
    path = directory / SEGMENT_FILE
    try:
        document = path.read_bytes()
    except OSError:
        raise StoreError(f"segment {entry.id} is damaged: {path} is missing.") from None
    if durable.sha256_bytes(document) != entry.sha256:
        raise StoreError(f"segment {entry.id} is damaged: {path} does not have the digest in the manifest.")
    files = durable.read_json(path, f"segment {entry.id}")["files"]
    recorded = []
    for relative, file in files.items():
        if os.path.isabs(relative) or ".." in Path(relative).parts:
            raise StoreError(f"{path} names a file outside its segment: {relative}.")
        footer = (int(file["footer_bytes"]), str(file["footer_sha256"])) if "footer_bytes" in file else None
        recorded.append(RecordedFile(relative, int(file["bytes"]), str(file["sha256"]), footer))
    return recorded
