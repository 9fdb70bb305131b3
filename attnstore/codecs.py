"""Writing a store's Zarr arrays: sharded, checksummed, through the fastest pipeline there is."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .errors import StoreError

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
