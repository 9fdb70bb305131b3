"""Reading a store's Zarr arrays, chunk by chunk, straight from their shards.

A query passes over the codes once and keeps none. A Zarr library hands out whole selections, which have left the cache
before a kernel gets to them, and some pass over checksums where they decode a part of a shard. Here a chunk is read,
checked, decoded without the GIL, and handed on. ``docs/format.md`` specifies the bytes.
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

from .errors import damaged

#: Of a shard's index: offset and size of a chunk.
INDEX_ENTRY = struct.Struct("<QQ")
_MISSING = 2**64 - 1
_CHECKSUM = 4


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
    """

    directory: Path
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    compressor: str

    @classmethod
    def open(cls, directory: Path) -> "ShardedArray":
        """Read its description; raises StoreError if it is not one of a store's arrays."""
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
            return cls(
                directory,
                tuple(content["shape"]),
                tuple(content["chunk_grid"]["configuration"]["chunk_shape"]),
                tuple(options["chunk_shape"]),
                np.dtype(content["data_type"]).newbyteorder("<"),
                chain[1],
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise damaged(path, error) from error

    def parts(self, selection: tuple[slice, ...]) -> Iterator[tuple[tuple[int, ...], npt.NDArray[Any]]]:
        """What a selection takes of each chunk that it touches, in the order of the array.

        Parameters
        ----------
        selection : a slice of step 1 for each dimension

        Yields
        ------
        place, values
            Where in the array the values begin; they are read-only.

        Raises
        ------
        StoreError
            If a chunk is missing, damaged, or holds the fill value.
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
                        values = np.frombuffer(_decoder(self.compressor)(data), self.dtype).reshape(self.chunk)
                        corner = [number * size for number, size in zip(chunk, self.chunk, strict=True)]
                        place = tuple(max(begin, at) for (begin, _), at in zip(bounds, corner, strict=True))
                        cut = [slice(p - at, e - at) for p, (_, e), at in zip(place, bounds, corner, strict=True)]
                        yield place, _written(values[tuple(cut)])
            except (OSError, ValueError, RuntimeError) as error:
                raise damaged(path, error) from error

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """The values of a selection, in memory of their own; parameters and errors as of :meth:`parts`."""
        bounds = self._bounds(selection)
        values = np.empty([end - begin for begin, end in bounds], self.dtype)
        for place, part in self.parts(selection):
            at = [p - begin for p, (begin, _) in zip(place, bounds, strict=True)]
            values[tuple(slice(a, a + size) for a, size in zip(at, part.shape, strict=True))] = part
        return values

    def _bounds(self, selection: tuple[slice, ...]) -> list[tuple[int, int]]:
        """Begin and end in each dimension; 0 and 0 for nothing."""
        found = [chosen.indices(size) for chosen, size in zip(selection, self.shape, strict=True)]
        return [(begin, end) if begin < end else (0, 0) for begin, end, _ in found]


@contextlib.contextmanager
def _open_shard(path: Path, chunks: int) -> Iterator[Callable[[int], bytes]]:
    """A function from the number of a chunk in a shard to its bytes, checked and still encoded."""
    size = INDEX_ENTRY.size * chunks + _CHECKSUM
    with open(path, "rb", buffering=0) as file:
        file.seek(-size, os.SEEK_END)
        index = _checked(file.read(size), "its index")

        def encoded(number: int) -> bytes:
            offset, size = INDEX_ENTRY.unpack_from(index, INDEX_ENTRY.size * number)
            if _MISSING in (offset, size):
                raise ValueError(f"chunk {number} is missing")
            file.seek(offset)
            return _checked(file.read(size), f"chunk {number}")

        yield encoded


def _checked(data: bytes, what: str) -> bytes:
    """Content before the CRC-32C at its end."""
    import google_crc32c

    content = data[:-_CHECKSUM]
    if google_crc32c.value(content) != int.from_bytes(data[-_CHECKSUM:], "little"):
        raise ValueError(f"{what} does not have its checksum")
    return content


@lru_cache
def _decoder(compressor: str) -> Callable[[bytes], bytes]:
    from numcodecs import blosc, zstd  # 0.06 s, which a query of arcs need not spend

    decoders: dict[str, Callable[[bytes], bytes]] = {"zstd": zstd.decompress, "blosc": blosc.decompress}
    return decoders[compressor]


def _written(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values none of which is the fill value: the largest, or NaN, which NumPy's maximum is then, too."""
    largest = values.max()
    if np.isnan(largest) if values.dtype.kind == "f" else largest == np.iinfo(values.dtype).max:
        raise ValueError("a part of it was never written")
    return values
