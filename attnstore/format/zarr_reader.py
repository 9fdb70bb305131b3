"""Reading a store's Zarr arrays, chunk by chunk, straight from their shards.

A query reads each code once and keeps none. A Zarr library returns whole selections, which have left the cache before a
kernel reads them, and some libraries skip checksums when they decode a part of a shard. Here a chunk is read, checked,
decoded without the GIL, and passed on. ``docs/format.md`` specifies the bytes.
"""

import contextlib
import itertools
import json
import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..runtime.faults import damage

#: Entry of a shard's index: offset and size of a chunk.
INDEX_ENTRY = struct.Struct("<QQ")
_MISSING = 2**64 - 1
_CHECKSUM = 4
_BLOSC_HEADER, _ZSTD_HEADER = 16, 9

#: Most bytes of a decoded chunk: the limit of Blosc.
_LARGEST_CHUNK = 1 << 31


@dataclass(frozen=True)
class Values:
    """What an array must contain, whatever its own description says.

    Attributes
    ----------
    dtype : name of its type
    shape : of the array; None where a dimension is free
    least, most : bounds of its values
    """

    dtype: str
    shape: tuple[int | None, ...]
    least: float
    most: float


@dataclass(frozen=True)
class ShardedArray:
    """An array of a segment, open for reading.

    Attributes
    ----------
    directory : where its ``zarr.json`` is
    shape : of the array
    shard, chunk : shapes of a shard, and of a chunk in it
    dtype : unsigned, or floating
    compressor : 'zstd' or 'blosc'
    bounds : smallest and largest possible value; None if any are possible
    """

    directory: Path
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    compressor: str
    bounds: tuple[float, float] | None = None

    @classmethod
    def open(cls, directory: Path, wanted: Values | None = None) -> "ShardedArray":
        """Read the description of an array.

        Parameters
        ----------
        directory : where its ``zarr.json`` is
        wanted : what the array must contain

        Raises
        ------
        StoreError
            If it is not one of a store's arrays, or not the one wanted.
        """
        path = directory / "zarr.json"
        try:
            content = json.loads(path.read_bytes())
            (sharding,) = content["codecs"]
            options = sharding["configuration"]
            chain, index = ([codec["name"] for codec in options[key]] for key in ("codecs", "index_codecs"))
            if (
                (sharding["name"], options["index_location"], index) != ("sharding_indexed", "end", ["bytes", "crc32c"])
                or chain not in (["bytes", "zstd", "crc32c"], ["bytes", "blosc", "crc32c"])
            ):  # fmt: skip
                raise ValueError("other codecs than a store's")
            array = cls(
                directory,
                tuple(content["shape"]),
                tuple(content["chunk_grid"]["configuration"]["chunk_shape"]),
                tuple(options["chunk_shape"]),
                np.dtype(content["data_type"]).newbyteorder("<"),
                chain[1],
                None if wanted is None else (wanted.least, wanted.most),
            )
            array._check(content["data_type"], wanted)
            return array
        except (OSError, MemoryError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise damage(path, error) from error

    def _check(self, dtype: str, wanted: Values | None) -> None:
        """Raise ValueError unless the sizes fit each other: they determine buffers before anything is decoded."""
        for size, shard, chunk in zip(self.shape, self.shard, self.chunk, strict=True):
            if any(type(number) is not int or number < 1 for number in (size, shard, chunk)):
                raise ValueError("a size is not a number of at least 1")
            if chunk > size or shard % chunk or shard > -(-size // chunk) * chunk:
                raise ValueError("its chunks do not fit its shards, or these the array")
        if self.dtype.kind not in "uf" or math.prod(self.chunk) * self.dtype.itemsize > _LARGEST_CHUNK:
            raise ValueError("a chunk of it is too large, or not of numbers")
        if wanted is not None:
            # A free dimension is that of a chunk, so no array is larger than the number of its chunks.
            same = len(wanted.shape) == len(self.shape) and all(
                size == (chunk if own is None else own)
                for own, size, chunk in zip(wanted.shape, self.shape, self.chunk, strict=True)
            )
            if dtype != wanted.dtype or not same:
                listed = ", ".join("any" if size is None else str(size) for size in wanted.shape)
                raise ValueError(f"it is {dtype} {list(self.shape)} and has to be {wanted.dtype} [{listed}]")

    def parts(self, selection: tuple[slice, ...]) -> Iterator[tuple[tuple[int, ...], npt.NDArray[Any]]]:
        """Yield the part of a selection in each chunk that it touches, in the order of the array.

        Parameters
        ----------
        selection : a slice of step 1 for each dimension

        Yields
        ------
        place, values
            Position of the values in the array; they are read-only.

        Raises
        ------
        StoreError
            If a chunk is missing, damaged, or contains the fill value.
        """
        bounds = self._bounds(selection)
        touched = [range(begin // size, -(-end // size)) for (begin, end), size in zip(bounds, self.chunk, strict=True)]
        counts = tuple(shard // chunk for shard, chunk in zip(self.shard, self.chunk, strict=True))

        def shard_of(chunk: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(number // count for number, count in zip(chunk, counts, strict=True))

        for shard, chunks in itertools.groupby(itertools.product(*touched), shard_of):
            path = self.directory.joinpath("c", *map(str, shard))
            try:
                with _open_shard(path, math.prod(counts)) as encoded:
                    for chunk in chunks:
                        inner = [number % count for number, count in zip(chunk, counts, strict=True)]
                        data = encoded(int(np.ravel_multi_index(inner, counts)))
                        values = self._decoded(data)
                        corner = [number * size for number, size in zip(chunk, self.chunk, strict=True)]
                        place = tuple(max(begin, at) for (begin, _), at in zip(bounds, corner, strict=True))
                        cut = [slice(p - at, e - at) for p, (_, e), at in zip(place, bounds, corner, strict=True)]
                        yield place, _checked_values(values[tuple(cut)], self.bounds)
            except (OSError, MemoryError, ValueError, RuntimeError) as error:
                raise damage(path, error) from error

    def _decoded(self, data: bytes) -> npt.NDArray[Any]:
        """The values of a chunk, read-only. The buffer has the size of a chunk, whatever its header claims."""
        values = np.empty(math.prod(self.chunk), self.dtype)
        if _content_size(self.compressor, data) not in (None, values.nbytes):
            raise ValueError("a chunk has another size than it has to have")
        _decoder(self.compressor)(data, values)
        values.flags.writeable = False
        return values.reshape(self.chunk)

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """The values of a selection, in new memory; parameters and errors as in :meth:`parts`."""
        bounds = self._bounds(selection)
        try:
            values = np.empty([end - begin for begin, end in bounds], self.dtype)
        except MemoryError as error:
            raise damage(self.directory, error) from error
        for place, part in self.parts(selection):
            at = [p - begin for p, (begin, _) in zip(place, bounds, strict=True)]
            values[tuple(slice(a, a + size) for a, size in zip(at, part.shape, strict=True))] = part
        return values

    def _bounds(self, selection: tuple[slice, ...]) -> list[tuple[int, int]]:
        """Begin and end in each dimension; 0 and 0 for nothing."""
        found = [chosen.indices(size) for chosen, size in zip(selection, self.shape, strict=True)]
        return [(begin, end) if begin < end else (0, 0) for begin, end, _ in found]


def _content_size(compressor: str, data: bytes) -> int | None:
    """Number of decoded bytes that a chunk claims; None if a zstd frame (RFC 8878, 3.1.1) does not state it."""
    if compressor == "blosc":
        if len(data) < _BLOSC_HEADER:
            raise ValueError("a chunk is cut short")
        return int.from_bytes(data[4:8], "little")
    if len(data) < _ZSTD_HEADER:
        raise ValueError("a chunk is cut short")
    descriptor = data[4]
    single = descriptor >> 5 & 1
    begin = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    size = (single, 2, 4, 8)[descriptor >> 6]
    claimed = int.from_bytes(data[begin : begin + size], "little")
    return None if size == 0 else claimed + 256 * (size == 2)


@contextlib.contextmanager
def _open_shard(path: Path, chunks: int) -> Iterator[Callable[[int], bytes]]:
    """A function from the number of a chunk in a shard to its bytes, checked and still encoded."""
    size = INDEX_ENTRY.size * chunks + _CHECKSUM
    with open(path, "rb", buffering=0) as file:
        whole = file.seek(0, os.SEEK_END)
        if whole < size:
            raise ValueError("it is cut short")
        file.seek(whole - size)
        index = _checked(file.read(size), "its index")

        def encoded(number: int) -> bytes:
            offset, size = INDEX_ENTRY.unpack_from(index, INDEX_ENTRY.size * number)
            if _MISSING in (offset, size):
                raise ValueError(f"chunk {number} is missing")
            if offset + size > whole:
                raise ValueError(f"chunk {number} lies outside the file")
            file.seek(offset)
            return _checked(file.read(size), f"chunk {number}")

        yield encoded


def _checked(data: bytes, what: str) -> bytes:
    """Return the content before the CRC-32C at its end."""
    import google_crc32c

    content = data[:-_CHECKSUM]
    if google_crc32c.value(content) != int.from_bytes(data[-_CHECKSUM:], "little"):
        raise ValueError(f"{what} does not have its checksum")
    return content


@lru_cache
def _decoder(compressor: str) -> Callable[[bytes, npt.NDArray[Any]], Any]:
    from numcodecs import blosc, zstd  # 0.06 s, which a query of arcs does not need

    decoders: dict[str, Callable[[bytes, npt.NDArray[Any]], Any]] = {"zstd": zstd.decompress, "blosc": blosc.decompress}
    return decoders[compressor]


def _checked_values(values: npt.NDArray[Any], bounds: tuple[float, float] | None) -> npt.NDArray[Any]:
    """Check that no value is the fill value: the largest, or NaN, which is then NumPy's maximum, too."""
    largest = values.max()
    floating = values.dtype.kind == "f"
    if np.isnan(largest) if floating else largest == np.iinfo(values.dtype).max:
        raise ValueError("a part of it was never written")
    if bounds is not None:
        for value in (largest, values.min()) if floating else (largest,):
            if not bounds[0] <= value <= bounds[1]:
                raise ValueError(f"a value of it is {value:.7g} and has to be from {bounds[0]:.7g} to {bounds[1]:.7g}")
    return values
