"""Zarr arrays as a store writes and reads them: sharded, checksummed, through the fastest pipeline there is."""

import contextlib
import itertools
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import StoreError, first_line

#: Environment variable that forces one of the two codec pipelines: "zarrs" or "zarr-python".
PIPELINE_VARIABLE = "ATTNSTORE_CODEC_PIPELINE"

_PIPELINES = {
    "zarrs": "zarrs.ZarrsCodecPipeline",
    "zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline",
}
_lock = threading.Lock()


def pipeline() -> str:
    """Name of the codec pipeline in use: zarrs (compiled) where installed, else zarr-python; same bytes' meaning.

    Raises
    ------
    StoreError
        If the environment names a pipeline that does not exist.
    """
    name = os.environ.get(PIPELINE_VARIABLE)
    if name is None:
        try:
            import zarrs  # noqa: F401
        except ImportError:
            return "zarr-python"
        return "zarrs"
    if name not in _PIPELINES:
        raise StoreError(f"{PIPELINE_VARIABLE}={name} names no codec pipeline: use one of {', '.join(_PIPELINES)}.")
    return name


@contextlib.contextmanager
def _configured() -> Iterator[None]:
    """Zarr picks a pipeline when an array object is made; the user's own configuration is left as it was."""
    import zarr

    name = pipeline()
    settings: dict[str, Any] = {"codec_pipeline.path": _PIPELINES[name]}
    if name == "zarrs":
        # Otherwise zarrs falls back to zarr-python without a word, five times slower.
        settings["codec_pipeline.strict"] = True
    with _lock, zarr.config.set(settings):
        yield


def write_group(path: Path) -> None:
    """Write an empty group, so that any Zarr library opens the arrays in it together."""
    import zarr

    zarr.create_group(path, zarr_format=3)


def write_array(
    path: Path,
    data: npt.NDArray[Any],
    *,
    chunks: Sequence[int],
    shards: Sequence[int],
    dimensions: Sequence[str],
    fill_value: float,
) -> None:
    """Write an array whole, each shard once.

    Chunks are zstd level 1 (bytes of wider types shuffled first) and then crc32c; shards carry a crc32c index.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

    width = data.dtype.itemsize
    compressor = (
        ZstdCodec(level=1) if width == 1 else BloscCodec(typesize=width, cname="zstd", clevel=3, shuffle="shuffle")
    )
    with _configured():
        array = zarr.create_array(
            path,
            shape=data.shape,
            dtype=data.dtype,
            chunks=tuple(chunks),
            shards=tuple(shards),
            compressors=(compressor, Crc32cCodec()),
            filters=None,
            fill_value=fill_value,
            dimension_names=tuple(dimensions),
        )
    array[...] = data


def open_array(path: Path) -> Any:
    """Open an array for reading; raises StoreError if its description is damaged."""
    import zarr

    try:
        with _configured():
            return zarr.open_array(path, mode="r", zarr_format=3)
    except Exception as error:
        raise StoreError(f"{path} is damaged: {error}.") from error


def read(array: Any, selection: tuple[Any, ...], what: str) -> npt.NDArray[Any]:
    """Read a part of an array.

    Raises
    ------
    StoreError
        If a chunk fails its checksum or cannot be decoded.
    """
    try:
        _check_chunks(array, selection)
        return np.asarray(array[selection])
    except Exception as error:  # each pipeline has errors of its own for a damaged chunk
        raise StoreError(f"{what} is damaged ({first_line(error)}): `attnstore verify` names what else is.") from error


_ENTRY = struct.Struct("<QQ")
_CHECKSUM = 4


def _check_chunks(array: Any, selection: tuple[Any, ...]) -> None:
    """Raise ValueError unless the chunks of a selection have their checksums.

    zarrs checks them where it decodes a shard whole, and passes over them where it decodes a part of one.
    """
    directory = Path(array.store.root) / array.path
    shape, shards, chunks = array.shape, array.shards, array.chunks
    if selection == (...,):
        selection = (slice(None),) * len(shape)
    touched = []
    for size, chunk, index in zip(shape, chunks, selection, strict=True):
        index = index if isinstance(index, slice) else slice(index, index + 1)
        begin, end, _ = index.indices(size)
        touched.append(range(begin // chunk, -(-end // chunk)) if begin < end else range(0))
    counts = tuple(shard // chunk for shard, chunk in zip(shards, chunks, strict=True))
    for place in itertools.product(*touched):
        shard, inner = zip(*map(divmod, place, counts), strict=True)
        _check_chunk(directory.joinpath("c", *map(str, shard)), counts, int(np.ravel_multi_index(inner, counts)))


@lru_cache(maxsize=1 << 10)
def _shard_index(path: Path, entries: int) -> bytes:
    size = _ENTRY.size * entries + _CHECKSUM
    with open(path, "rb") as file:
        file.seek(-size, os.SEEK_END)
        return _checked(file.read(size), f"the index of {path}")


@lru_cache(maxsize=1 << 16)
def _check_chunk(path: Path, counts: tuple[int, ...], number: int) -> None:
    """What has passed once is not read again."""
    entries = int(np.prod(counts))
    offset, size = _ENTRY.unpack_from(_shard_index(path, entries), _ENTRY.size * number)
    if offset == size == 2**64 - 1:
        return  # missing: it reads as the fill value, which is never a value
    with open(path, "rb") as file:
        file.seek(offset)
        _checked(file.read(size), f"chunk {number} of {path}")


def _checked(data: bytes, what: str) -> bytes:
    """Content before the CRC-32C at its end."""
    import google_crc32c

    content = data[:-_CHECKSUM]
    if google_crc32c.value(content) != int.from_bytes(data[-_CHECKSUM:], "little"):
        raise ValueError(f"{what} does not have its checksum")
    return content
