"""Writing a segment, under its final and unique name; the manifest makes it visible.

The same contents give the same bytes in every file, for any number of threads.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError, first_line
from ..runtime import durable
from ..runtime.durable import Written
from .arc_kernels import order_keys
from .codebook import FILL
from .documents import KEEP, SEGMENT_FILE, SEGMENTS, VERSION, SegmentEntry
from .segment_values import ARC_BANDS, ARC_ROWS, ARC_SCHEMA, MARGINALS, Array, LocalProteins
from .zarr_writer import write_array, write_group

#: Tiers that are kept by default.
KEPT = ("codes", "arcs", "marginals")

#: Entries with at least this weight are kept as float32 arcs.
ARC_FLOOR = 0.05

#: Pairs of one head in a chunk of codes.
CHUNK_PAIRS = 512 * 1024

#: Smallest size of a chunk of hidden representations, unless the segment is smaller.
_HIDDEN_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class SegmentContents:
    """The contents of a segment, ready to be written; None for tiers that are not kept.

    Attributes
    ----------
    proteins : LocalProteins
    layers, heads : of the model
    codes : uint8 [layers, heads, pairs]
        Protein after protein; within one, index = target · length + source.
    bin_mean, bin_count : float32, uint32 [layers, heads, codes]
        Mean and number of the weights of each code; kept with the codes.
    received, emitted, special : float32 [layers, heads, residues]
        The marginals, kept together.
    arcs : layer, head, protein (local index), source, target, weight
        Any order.
    hidden : float16 [layers + 1, residues, features]
        Output of each layer; the embeddings come first.
    """

    proteins: LocalProteins
    layers: int
    heads: int
    codes: Array | None = None
    bin_mean: Array | None = None
    bin_count: Array | None = None
    received: Array | None = None
    emitted: Array | None = None
    special: Array | None = None
    arcs: dict[str, Array] | None = None
    hidden: Array | None = None

    @property
    def kept(self) -> tuple[str, ...]:
        """The tiers of ``layout.KEEP`` that are present; raises ValueError if a tier lacks one of its arrays."""
        parts = {
            "codes": (self.codes, self.bin_mean, self.bin_count),
            "arcs": (self.arcs,),
            "marginals": (self.received, self.emitted, self.special),
            "hidden": (self.hidden,),
        }
        for name, arrays in parts.items():
            if len({array is None for array in arrays}) > 1:
                raise ValueError(f"{name} are not complete")
        return tuple(name for name in KEEP if parts[name][0] is not None)


def write_segment(
    model_directory: Path, number: int, contents: SegmentContents, chunk_pairs: int, threads: int
) -> SegmentEntry:
    """Write a segment under a new name, flush and digest it; the caller lists it in the manifest.

    Parameters
    ----------
    model_directory, number : directory of the model, and number of the segment in the plan
    contents : SegmentContents
    chunk_pairs : pairs of one head in a chunk of codes
    threads : number of threads that compress chunks

    Raises
    ------
    StoreError
        If the disk is full or fails. The files written so far are garbage that the next run clears.
    """
    identity = f"{number:06d}-{secrets.token_hex(4)}"
    directory = model_directory / SEGMENTS / identity
    kept = contents.kept
    try:
        directory.mkdir(parents=True)
        durable.sync_directory(model_directory)
        files = _write_proteins(directory / "proteins.parquet", contents.proteins)
        if "codes" in kept:
            files |= _write_codes(directory / "codes.zarr", contents, chunk_pairs, threads)
        if "marginals" in kept:
            files |= _write_marginals(directory / "marginals.zarr", contents, threads)
        if "arcs" in kept:
            files |= _write_arcs(directory / "arcs.parquet", contents)
        if "hidden" in kept:
            files |= _write_hidden(directory / "hidden.zarr", contents, threads)
        arcs = contents.arcs["weight"].size if contents.arcs is not None else 0
        return seal(directory, number, contents.proteins, arcs, files)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"segment {identity} could not be written: {first_line(error)}.") from error


#: Entries of ``segment.json``, by path.
Files = dict[Path, dict[str, Any]]


def _files(written: Iterable[Written]) -> Files:
    return {path: {"bytes": size, "sha256": sha256} for path, size, sha256 in written}


def _write_proteins(path: Path, proteins: LocalProteins) -> Files:
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
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return write_parquet(path, buffer.getvalue())


def _write_codes(path: Path, contents: SegmentContents, chunk_pairs: int, threads: int) -> Files:
    assert contents.codes is not None
    assert contents.bin_mean is not None
    assert contents.bin_count is not None
    _, heads, pairs = contents.codes.shape
    # A segment smaller than a chunk is one chunk: no padding is stored.
    chunk = min(chunk_pairs, pairs)
    written = [write_group(path)]
    written += write_array(
        path / "codes",
        contents.codes,
        chunks=(1, 1, chunk),
        shards=(1, heads, -(-pairs // chunk) * chunk),
        dimensions=("layer", "head", "pair"),
        fill_value=FILL,
        threads=threads,
    )
    for name, data, fill in (
        ("mean", contents.bin_mean, float("nan")),
        ("count", contents.bin_count, 2**32 - 1),
    ):
        written += write_array(
            path / name,
            data,
            chunks=data.shape,
            shards=data.shape,
            dimensions=("layer", "head", "code"),
            fill_value=fill,
            threads=1,
        )
    return _files(written)


def _write_marginals(path: Path, contents: SegmentContents, threads: int) -> Files:
    written = [write_group(path)]
    for name in MARGINALS:
        data = getattr(contents, name)
        written += write_array(
            path / name,
            data,
            chunks=(1, *data.shape[1:]),
            shards=data.shape,
            dimensions=("layer", "head", "residue"),
            fill_value=float("nan"),
            threads=threads,
        )
    return _files(written)


def _write_hidden(path: Path, contents: SegmentContents, threads: int) -> Files:
    assert contents.hidden is not None
    _, residues, features = contents.hidden.shape
    chunk = min(residues, -(-_HIDDEN_BYTES // (contents.hidden.itemsize * features)))
    written = [write_group(path)]
    written += write_array(
        path / "hidden",
        contents.hidden,
        chunks=(1, chunk, features),
        shards=(1, -(-residues // chunk) * chunk, features),
        dimensions=("layer", "residue", "feature"),
        fill_value=float("nan"),
        threads=threads,
    )
    return _files(written)


def _write_arcs(path: Path, contents: SegmentContents) -> Files:
    """Sorted by weight band, layer, head, protein, source and target; row groups do not cross a band."""
    arcs = contents.arcs
    assert arcs is not None
    proteins, layers, heads = contents.proteins, contents.layers, contents.heads
    entries = layers * heads * int(proteins.pair_offset[-1])
    # Sorting by six keys took a sixth of an ingest, so they are combined into one.
    keys = np.empty(arcs["weight"].size, np.int64)
    columns = [arcs[name] for name in ARC_SCHEMA.names]
    order_keys(*columns, proteins.stored, proteins.pair_offset, layers, heads, np.array(ARC_BANDS, np.float32), keys)
    order = _order(keys, (len(ARC_BANDS) + 1) * entries)
    table = pa.table({name: arcs[name][order] for name in ARC_SCHEMA.names}, schema=ARC_SCHEMA)
    ends = np.searchsorted(keys, entries * np.arange(1, len(ARC_BANDS) + 2), sorter=order).tolist()
    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(
        buffer,
        ARC_SCHEMA,
        # Every query reads these columns: 4.3 ns per row against 7.5 with zstd, and the file is 1.5 % larger.
        compression={name: "zstd" if name == "weight" else "lz4" for name in ARC_SCHEMA.names},
        use_dictionary=["layer", "head", "protein"],
        column_encoding={
            "source": "DELTA_BINARY_PACKED",
            "target": "DELTA_BINARY_PACKED",
            "weight": "BYTE_STREAM_SPLIT",
        },
        write_page_checksum=True,
    ) as writer:
        for begin, end in zip([0, *ends], ends, strict=False):
            for first in range(begin, end, ARC_ROWS):
                writer.write_table(table.slice(first, min(ARC_ROWS, end - first)), row_group_size=ARC_ROWS)
    return write_parquet(path, buffer.getvalue())


def _order(keys: Array, limit: int) -> Array:
    """Return ``np.argsort`` of keys below `limit`, which are all different."""
    shift = keys.size.bit_length()
    if limit << shift >= 1 << 63:
        return np.argsort(keys)
    # NumPy sorts integers three times as fast as it sorts indices by integers.
    packed = keys << shift
    packed |= np.arange(keys.size)
    packed.sort()
    packed &= (1 << shift) - 1
    return packed


def write_parquet(path: Path, content: pa.Buffer) -> Files:
    """Write a Parquet file and return its entry of ``segment.json``, with its row groups and its footer.

    Parquet's own checksums leave out page headers and the footer, where a flipped bit changes values silently.
    """
    data = memoryview(content)
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        metadata = file.metadata
        first = [metadata.row_group(group).column(0) for group in range(metadata.num_row_groups)]
    starts = [min(c.dictionary_page_offset or c.data_page_offset, c.data_page_offset) for c in first]
    # The footer: the metadata, four bytes that count it, and a magic word of four.
    starts.append(len(data) - int.from_bytes(data[-8:-4], "little") - 8)
    ends = [*starts[1:], len(data)]
    parts = [
        [begin, end - begin, durable.sha256_bytes(data[begin:end])] for begin, end in zip(starts, ends, strict=True)
    ]
    _, size, sha256 = durable.write_digested(path, [data])
    return {path: {"bytes": size, "sha256": sha256, "parts": parts}}


def seal(directory: Path, number: int, proteins: LocalProteins, arcs: int, files: Files) -> SegmentEntry:
    """List a segment's files, flush everything, and return its entry for the manifest."""
    listed = {path.relative_to(directory).as_posix(): files[path] for path in sorted(files)}
    document = durable.json_bytes({"version": VERSION, "files": listed})
    written = durable.write_digested(directory / SEGMENT_FILE, [document])
    durable.sync_tree(directory)
    durable.sync_directory(directory.parent)
    return SegmentEntry(
        id=directory.name,
        number=number,
        sha256=written.sha256,
        proteins=len(proteins.id),
        residues=int(proteins.residue_offset[-1]),
        pairs=int(proteins.pair_offset[-1]),
        arcs=arcs,
        bytes=written.size + sum(file["bytes"] for file in listed.values()),
    )
