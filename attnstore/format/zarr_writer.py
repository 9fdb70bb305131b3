"""Writing a store's Zarr arrays, shard by shard: compressed on several threads, digested in the same pass.

zarr-python also writes the same bytes every time (a test), but a shard's chunks in Morton order, not in C order. It is
not used for the values because it cannot give the digest of what it writes, which would have to be read back from the
disk, and leaves flushing to the caller: here one pass compresses, digests and flushes. ``docs/format.md`` specifies the
bytes.
"""

import itertools
import json
import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..runtime.durable import Written, write_digested
from .zarr_reader import INDEX_ENTRY

Array = npt.NDArray[Any]
Place = tuple[int, ...]
T = TypeVar("T")

#: For codes, level 3 takes twice as long for 5 % fewer bytes; for marginals, 1.5 times as long for 2 % fewer.
_LEVEL = 1


def write_group(path: Path) -> Written:
    """Write an empty group, so that any Zarr library opens the arrays in it together."""
    path.mkdir()
    content = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    return write_digested(path / "zarr.json", [json.dumps(content, indent=2).encode()])


def write_array(
    path: Path,
    data: Array,
    *,
    chunks: Sequence[int],
    shards: Sequence[int],
    dimensions: Sequence[str],
    fill_value: float,
    threads: int,
) -> list[Written]:
    """Write a whole array, each shard once and sequentially.

    Chunks are compressed with zstd (bytes of wider types shuffled first) and followed by crc32c, in C order; the
    shard's index with its crc32c comes last. A chunk that extends beyond the array is padded with `fill_value`.

    Parameters
    ----------
    path : a new directory
    data : of any type of numbers
    chunks, shards : their shapes; a shard's is a multiple of a chunk's
    dimensions : their names
    fill_value : not a value of `data`
    threads : number of threads that compress; at most twice as many chunks are in memory at a time

    Returns
    -------
    list of Written
        ``zarr.json`` and every shard.

    Raises
    ------
    OSError
        If the disk is full or fails.
    """
    path.mkdir()
    written = [write_digested(path / "zarr.json", [_description(data, chunks, shards, dimensions, fill_value)])]
    grid = [-(-size // shard) for size, shard in zip(data.shape, shards, strict=True)]
    counts = [shard // chunk for shard, chunk in zip(shards, chunks, strict=True)]
    encode = _encoder(data, chunks, fill_value)
    places = (
        tuple(number * count + inner for number, count, inner in zip(shard, counts, chunk, strict=True))
        for shard in np.ndindex(*grid)
        for chunk in np.ndindex(*counts)
    )
    with ThreadPoolExecutor(threads, thread_name_prefix="compress") as pool:
        encoded = _in_order(pool, encode, places, 2 * threads)
        for shard in np.ndindex(*grid):
            file = path.joinpath("c", *map(str, shard))
            file.parent.mkdir(parents=True, exist_ok=True)
            written.append(write_digested(file, _shard(itertools.islice(encoded, math.prod(counts)))))
    return written


def _shard(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the blocks of a shard's file: its chunks, then their positions."""
    index, offset = bytearray(), 0
    for chunk in chunks:
        checksum = _checksum(chunk)
        yield chunk
        yield checksum
        size = len(chunk) + len(checksum)
        index += INDEX_ENTRY.pack(offset, size)
        offset += size
    yield bytes(index)
    yield _checksum(bytes(index))


def _checksum(data: bytes) -> bytes:
    import google_crc32c

    return struct.pack("<I", google_crc32c.value(data))


def _encoder(data: Array, chunks: Sequence[int], fill_value: float) -> Callable[[Place], bytes]:
    """Return a function from a chunk's position in the grid of all chunks to its bytes, compressed without the GIL."""
    from numcodecs import blosc, zstd

    width = data.dtype.itemsize

    def encode(place: Place) -> bytes:
        corner = [number * size for number, size in zip(place, chunks, strict=True)]
        part = data[tuple(slice(begin, begin + size) for begin, size in zip(corner, chunks, strict=True))]
        if part.shape != tuple(chunks):
            whole = np.full(chunks, fill_value, data.dtype)
            whole[tuple(map(slice, part.shape))] = part
            part = whole
        part = np.ascontiguousarray(part)
        if width == 1:
            return bytes(zstd.compress(part, _LEVEL))
        # Outside the main thread Blosc uses one thread, and so writes its blocks in order.
        return bytes(blosc.compress(part, b"zstd", _LEVEL, blosc.SHUFFLE, 0, width))

    return encode


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Place], T], places: Iterable[Place], most: int
) -> Iterator[T]:
    """Yield the results of a function for each position, in order; at most `most` are running or waiting."""
    waiting: deque[Future[T]] = deque()
    try:
        for place in places:
            if len(waiting) == most:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, place))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _description(
    data: Array, chunks: Sequence[int], shards: Sequence[int], dimensions: Sequence[str], fill_value: float
) -> bytes:
    """``zarr.json``, as zarr-python writes it."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
    from zarr.storage import MemoryStore

    width = data.dtype.itemsize
    compressor = (
        ZstdCodec(level=_LEVEL)
        if width == 1
        else BloscCodec(typesize=width, cname="zstd", clevel=_LEVEL, shuffle="shuffle")
    )
    files: dict[str, Any] = {}
    zarr.create_array(
        MemoryStore(files),
        shape=data.shape,
        dtype=data.dtype,
        chunks=tuple(chunks),
        shards=tuple(shards),
        compressors=(compressor, Crc32cCodec()),
        filters=None,
        fill_value=fill_value,
        dimension_names=tuple(dimensions),
    )
    return bytes(files["zarr.json"].to_bytes())
