"""Writing a segment, under its final and unique name; the manifest makes it visible."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import codecs, durable
from .codebook import FILL
from .errors import StoreError, first_line
from .layout import SEGMENT_FILE, SEGMENTS, VERSION, SegmentEntry
from .segment import ARC_SCHEMA, MARGINALS, Array, LocalProteins, bytes_at

#: Row groups of arcs are cut at these weights, so that a threshold skips whole groups.
ARC_BANDS = (0.3, 0.1)
_ARC_ROWS = 1 << 17


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
        durable.sync_directory(model_directory)
        _write_proteins(directory / "proteins.parquet", contents.proteins)
        for group in ("codes.zarr", "marginals.zarr"):
            codecs.write_group(directory / group)
        _write_codes(directory / "codes.zarr", contents, chunk_pairs)
        for name in MARGINALS:
            data = getattr(contents, name)
            codecs.write_array(
                directory / "marginals.zarr" / name,
                data,
                chunks=(1, *data.shape[1:]),
                shards=data.shape,
                dimensions=("layer", "head", "residue"),
                fill_value=float("nan"),
            )
        _write_arcs(directory / "arcs.parquet", contents)
        return seal(directory, number, contents.proteins, int(contents.arcs["weight"].size))
    except (OSError, pa.ArrowException, RuntimeError) as error:
        # zarrs reports a full disk as a RuntimeError, Arrow as an OSError.
        raise StoreError(f"segment {identity} could not be written: {first_line(error)}.") from error


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


def _write_arcs(path: Path, contents: SegmentContents) -> None:
    """Sorted by weight band, layer, head, protein, source and target; row groups do not cross a band."""
    arcs = contents.arcs
    band = np.zeros(arcs["weight"].size, np.uint8)
    for edge in ARC_BANDS:
        band += arcs["weight"] < np.float32(edge)
    # The whole order in one integer, below 3 × the segment's entries: sorting by six keys took a sixth of an ingest.
    proteins, (layers, heads, pairs) = contents.proteins, contents.codes.shape
    stored, offset = proteins.stored[arcs["protein"]], proteins.pair_offset[arcs["protein"]]
    place = offset + arcs["source"] * stored + arcs["target"]
    order = np.argsort(((band.astype(np.int64) * layers + arcs["layer"]) * heads + arcs["head"]) * pairs + place)
    table = pa.table({name: arcs[name][order] for name in ARC_SCHEMA.names}, schema=ARC_SCHEMA)
    ends = np.cumsum(np.bincount(band, minlength=len(ARC_BANDS) + 1)).tolist()
    with pq.ParquetWriter(
        path,
        ARC_SCHEMA,
        # Of what every query reads: 4.3 ns a row against 7.5 with zstd, and the file is 1.5 % larger.
        compression={name: "zstd" if name == "weight" else "lz4" for name in ARC_SCHEMA.names},
        use_dictionary=["layer", "head", "protein", "source"],
        column_encoding={"target": "DELTA_BINARY_PACKED", "weight": "BYTE_STREAM_SPLIT"},
        write_page_checksum=True,
    ) as writer:
        for begin, end in zip([0, *ends], ends, strict=False):
            for first in range(begin, end, _ARC_ROWS):
                writer.write_table(table.slice(first, min(_ARC_ROWS, end - first)), row_group_size=_ARC_ROWS)


def seal(directory: Path, number: int, proteins: LocalProteins, arcs: int) -> SegmentEntry:
    """List a segment's files with their digests, flush everything, and say what the manifest has to say of it."""
    paths = list(durable.files_below(directory))
    sizes = [path.stat().st_size for path in paths]
    files = {
        path.relative_to(directory).as_posix(): {"bytes": size, "sha256": durable.sha256_file(path), **_parts(path)}
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
        proteins=len(proteins.id),
        residues=int(proteins.residue_offset[-1]),
        pairs=int(proteins.pair_offset[-1]),
        arcs=arcs,
        bytes=sum(sizes) + len(document),
    )


def _parts(path: Path) -> dict[str, Any]:
    """Offset, size and digest of each row group of a Parquet file and of its footer; nothing for other files.

    Parquet's own checksums leave out page headers and the footer, where a flipped bit moves values silently.
    """
    if path.suffix != ".parquet":
        return {}
    size = path.stat().st_size
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        first = [metadata.row_group(group).column(0) for group in range(metadata.num_row_groups)]
    starts = [min(c.dictionary_page_offset or c.data_page_offset, c.data_page_offset) for c in first]
    # The footer: the metadata, four bytes that count it, and a magic word of four.
    starts.append(size - int.from_bytes(bytes_at(path, size - 8, 4), "little") - 8)
    ends = [*starts[1:], size]
    return {
        "parts": [
            [begin, end - begin, durable.sha256_bytes(bytes_at(path, begin, end - begin))]
            for begin, end in zip(starts, ends, strict=True)
        ]
    }
