"""Arrays as they are written: read alike by zarr-python and by the store's own reader, and always the same bytes."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from attnstore.errors import StoreError
from attnstore.format.zarr_reader import ShardedArray
from attnstore.format.zarr_writer import _in_order, write_array, write_group

FILLS = {"u1": 255, "u4": 2**32 - 1, "f4": np.nan, "f2": np.nan}


def values(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Any values but the fill value."""
    rng = np.random.default_rng(seed)
    if kind[0] == "u":
        return rng.integers(0, FILLS[kind], shape).astype(kind)
    found = rng.normal(size=shape).astype(kind)
    found[rng.random(shape) < 0.05] = np.inf
    return found


def dimensions(size: int) -> st.SearchStrategy[tuple[int, int, int]]:
    """A size with a chunk and a number of chunks in a shard that fit it: others are no store's."""
    return st.integers(1, min(size, 5)).flatmap(
        lambda chunk: st.tuples(st.just(size), st.just(chunk), st.integers(1, -(-size // chunk)))
    )


#: Shape, chunks, and chunks in a shard.
layouts = st.tuples(*[st.integers(1, 9).flatmap(dimensions)] * 3).map(lambda each: tuple(zip(*each, strict=True)))


@given(layout=layouts, kind=st.sampled_from(sorted(FILLS)), threads=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_library_reads_what_was_written(tmp_path_factory, layout, kind, threads, seed):
    shape, chunks, multiples = layout
    shards = tuple(chunk * multiple for chunk, multiple in zip(chunks, multiples, strict=True))
    data = values(kind, shape, seed)
    path = tmp_path_factory.mktemp("array")
    options = {"dimensions": ("a", "b", "c"), "fill_value": FILLS[kind]}
    written = write_array(path / "one", data, chunks=chunks, shards=shards, threads=threads, **options)
    array = zarr.open_array(path / "one", mode="r", zarr_format=3)
    np.testing.assert_array_equal(array[...], data, strict=True)
    assert (array.chunks, array.shards) == (chunks, shards)
    assert array.metadata.dimension_names == ("a", "b", "c")
    ours = ShardedArray.open(path / "one")
    for selection in itertools.product((slice(None), slice(1, 4)), repeat=3):
        np.testing.assert_array_equal(ours.read(selection), data[selection], strict=True)

    write_array(path / "two", data[::-1][::-1], chunks=chunks, shards=shards, threads=4, **options)
    assert len(written) == len([file for file in (path / "one").rglob("*") if file.is_file()])
    for file, size, _ in written:
        assert file.stat().st_size == size
        assert file.read_bytes() == (path / "two" / file.relative_to(path / "one")).read_bytes()


@pytest.mark.parametrize(("chunks", "shards"), [((1, 1, 1), (1, 1, 2)), ((2, 1, 1), (2, 1, 1)), ((1, 2, 1), (1, 4, 1))])
def test_chunks_and_shards_that_do_not_fit_the_array_are_not_read(tmp_path, chunks, shards):
    data = values("f2", (1, 2, 1), 1)
    options = {"dimensions": "abc", "fill_value": np.nan, "threads": 1}
    write_array(tmp_path / "array", data, chunks=chunks, shards=shards, **options)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "array", mode="r")[...], data)
    with pytest.raises(StoreError, match="its chunks do not fit its shards, or these the array"):
        ShardedArray.open(tmp_path / "array")


def test_an_array_that_does_not_lie_in_order_is_written_as_one_that_does(tmp_path):
    data = values("u1", (4, 3, 50), 1)
    options = {"chunks": (1, 1, 7), "shards": (1, 3, 56), "dimensions": "abc", "fill_value": 255, "threads": 2}
    write_array(tmp_path / "one", data, **options)
    write_array(tmp_path / "two", np.asfortranarray(data), **options)
    for file in (tmp_path / "one" / "c").rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()


def test_an_array_is_never_written_over_another(tmp_path):
    data = values("f4", (1, 2, 3), 1)
    options = {"chunks": (1, 2, 3), "shards": (1, 2, 3), "dimensions": "abc", "fill_value": np.nan, "threads": 1}
    write_array(tmp_path / "array", data, **options)
    with pytest.raises(FileExistsError):
        write_array(tmp_path / "array", data, **options)


def test_a_group_holds_the_arrays_that_are_put_into_it(tmp_path):
    write_group(tmp_path / "group")
    data = values("f2", (2, 3, 4), 1)
    write_array(
        tmp_path / "group" / "hidden", data, chunks=(1, 2, 4), shards=(1, 4, 4), dimensions="abc", fill_value=np.nan,
        threads=1,
    )  # fmt: skip
    group = zarr.open_group(tmp_path / "group", mode="r", zarr_format=3)
    assert [name for name, _ in group.arrays()] == ["hidden"]
    np.testing.assert_array_equal(group["hidden"][...], data, strict=True)


def test_no_more_chunks_than_asked_for_are_under_way_and_they_come_in_order():
    lock = threading.Lock()
    begun, taken, most = 0, 0, 0

    def work(place):
        nonlocal begun, most
        with lock:
            begun += 1
            most = max(most, begun - taken)
        return place

    with ThreadPoolExecutor(3) as pool:
        found = []
        for place in _in_order(pool, work, ((n,) for n in range(200)), 5):
            found.append(place)
            with lock:
                taken += 1
    assert found == [(n,) for n in range(200)]
    # The one that is being handed over counts as well.
    assert 3 <= most <= 6


def test_an_error_while_compressing_is_raised_and_what_waits_is_dropped():
    done = []

    def work(place):
        if place == (3,):
            raise ValueError("no")
        done.append(place)
        return place

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="no"):
        list(_in_order(pool, work, ((n,) for n in range(1000)), 4))
    assert len(done) < 20


def files(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("kind", "shape", "chunks", "shards", "alike"),
    [
        ("u1", (3, 4, 5000), (1, 1, 5000), (1, 4, 5000), True),
        ("f4", (4, 50, 6), (1, 20, 6), (1, 60, 6), True),  # a chunk that reaches past the array
        ("u4", (8, 2), (2, 2), (4, 2), True),
        ("u1", (2, 4, 800), (1, 1, 300), (1, 4, 900), False),  # chunks side by side along two axes
    ],
)
def test_zarr_python_writes_the_same_bytes_every_time(tmp_path, kind, shape, chunks, shards, alike):
    """The reason for a writer of attnstore's own (docs/design.md) is not that libraries write other bytes each time.

    zarr-python has attnstore's bytes where the chunks of a shard lie along one axis; else its order is Morton's.
    """
    data, names = values(kind, shape, 7), ("a", "b", "c")[: len(shape)]
    options = {"dimensions": names, "fill_value": FILLS[kind], "threads": 2}
    write_array(tmp_path / "own", data, chunks=chunks, shards=shards, **options)
    width = data.dtype.itemsize
    codec = ZstdCodec(level=1) if width == 1 else BloscCodec(typesize=width, cname="zstd", clevel=1, shuffle="shuffle")
    for name in ("one", "two"):
        array = zarr.create_array(
            tmp_path / name, shape=shape, dtype=kind, chunks=chunks, shards=shards, fill_value=FILLS[kind],
            compressors=(codec, Crc32cCodec()), filters=None, dimension_names=names,
        )  # fmt: skip
        array[...] = data
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert (files(tmp_path / "one") == files(tmp_path / "own")) is alike
