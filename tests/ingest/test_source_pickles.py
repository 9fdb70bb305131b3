"""Pickles from strangers: plain values as the standard unpickler reads them, and nothing called, whatever is wanted."""

from __future__ import annotations

import builtins
import copyreg
import os
import pickle
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from attnstore.errors import SourceError
from attnstore.readers.tape import pickles

PROTOCOLS = [2, 3, 4, 5]
TYPES = st.one_of(
    of_numpy.boolean_dtypes(),
    of_numpy.integer_dtypes(),
    of_numpy.unsigned_integer_dtypes(),
    of_numpy.floating_dtypes(sizes=(16, 32, 64)),
    of_numpy.unicode_string_dtypes(max_len=9),
    of_numpy.byte_string_dtypes(max_len=9),
)
ARRAYS = of_numpy.arrays(TYPES, of_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
SCALARS = TYPES.flatmap(lambda dtype: of_numpy.from_dtype(dtype)).filter(lambda value: value.dtype.itemsize > 0)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**60), 10**60), st.floats(), st.text(), st.binary(),
    SCALARS,
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(PLAIN, ARRAYS, ARRAYS.map(np.asfortranarray)),
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.text() | st.binary(), inner),
        inner.map(lambda value: [value, value]),
    ),
    max_leaves=12,
)


def assert_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            assert_same(ours[key], value)
    else:
        np.testing.assert_equal(ours, theirs)


@settings(deadline=None)
@given(value=VALUES, protocol=st.sampled_from(PROTOCOLS))
def test_plain_values_are_read_as_the_standard_unpickler_reads_them(value, protocol):
    data = pickle.dumps(value, protocol)
    assert_same(pickles.load_plain(data, "here"), pickle.loads(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_both_spellings_of_numpys_modules_are_known(protocol):
    value = {"ca": np.arange(6, dtype=np.float32).reshape(2, 3), "id": np.bytes_(b"1abc"), "n": np.int64(3)}
    new = pickle.dumps(value, protocol)
    old = new
    for module in (b"multiarray", b"numeric"):
        name = b"numpy._core." + module
        old = old.replace(bytes([len(name)]) + name, bytes([len(name) - 1]) + b"numpy.core." + module)
        old = old.replace(b"c" + name, b"cnumpy.core." + module)
    assert b"numpy._core" in new
    assert b"numpy.core" in old
    assert b"numpy._core" not in old
    assert_same(pickles.load_plain(old, "here"), value)
    assert_same(pickles.load_plain(new, "here"), value)


def test_what_is_shared_stays_shared():
    array = np.arange(4.0)
    first, second, types = pickles.load_plain(pickle.dumps([array, array, [np.arange(3, dtype=">i4")] * 2], 4), "here")
    assert first is second
    assert types[0] is types[1]


class Calling:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.call


class Plain:
    pass


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda canary: Calling(os.system, f"touch {canary}"), "system"),
        (lambda canary: Calling(eval, f"open({str(canary)!r}, 'w')"), "eval"),
        (lambda canary: Calling(exec, f"open({str(canary)!r}, 'w')"), "exec"),
        (lambda canary: Calling(builtins.open, str(canary), "w"), "open"),
        (lambda canary: Calling(getattr, "", "format"), "getattr"),
        (lambda canary: Calling(copyreg._reconstructor, Plain, object, None), "_reconstructor"),
        (lambda canary: Calling(np.load, str(canary), None, True), "load"),
        (lambda canary: Calling(pickle.loads, b"N."), "loads"),
        (lambda canary: Plain(), ""),
        (lambda canary: Plain, "Plain"),
        (lambda canary: {"record": [Calling(Path, canary)]}, ""),
        (lambda canary: Calling(os.system, f"touch {canary}", state={"x": 1}), "system"),
        (lambda canary: 1j, "complex"),
        (lambda canary: {1, 2}, ""),
    ],
)
def test_nothing_is_called(tmp_path, protocol, made, named):
    canary = tmp_path / "canary"
    data = pickle.dumps(made(canary), protocol)
    with pytest.raises(SourceError, match=r"here is a pickle that wants .*may be made to harm") as caught:
        pickles.load_plain(data, "here")
    assert named in str(caught.value) or protocol < 2
    assert not canary.exists()


RECONSTRUCT = np.empty(0).__reduce__()[0]
SCALAR = np.float64(1).__reduce__()[0]
FROM_BUFFER = np.arange(3.0).__reduce_ex__(5)[0]


def array_of(state: tuple[Any, ...]) -> Calling:
    return Calling(RECONSTRUCT, np.ndarray, (0,), b"b", state=state)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        np.array([object], dtype=object),
        np.array(["a", None], dtype=object),
        np.zeros(2, dtype="i4,f8"),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.zeros(2, dtype=np.complex128),
        np.zeros(2, dtype="V8"),
        Calling(np.dtype, "O", False, True),
        Calling(np.dtype, "f8", False, True, state=(3, "?", None, None, None, -1, -1, 0)),
        Calling(np.dtype, "f8", False, True, state=()),
        Calling(np.dtype, "S0", False, True),
        Calling(np.dtype, "S" + "9" * 12, False, True),
        Calling(np.dtype, 8),
        Calling(RECONSTRUCT, np.ndarray, (10**12,), b"b"),
        Calling(RECONSTRUCT, np.ndarray, (0,), b"O"),
        Calling(RECONSTRUCT, np.dtype, (0,), b"b"),
        array_of((1, (10**12,), np.dtype("f8"), False, b"12345678")),
        array_of((1, (1 << 40, 1 << 40), np.dtype("f8"), False, b"")),
        array_of((1, (-1, -8), np.dtype("b"), False, b"12345678")),
        array_of((1, (2.0,), np.dtype("f4"), False, b"12345678")),
        array_of((1, (2,), "f4", False, b"12345678")),
        array_of((1, (1,), np.dtype("f8"), False, ["12345678"])),
        array_of((1, (1,) * 65, np.dtype("f8"), False, b"12345678")),
        array_of((1, (1,), np.dtype("f8"), False, "12345678")),
        array_of((1,)),
        Calling(SCALAR, np.dtype("f8"), b"1234"),
        Calling(SCALAR, np.dtype("f8")),
        Calling(FROM_BUFFER, b"12345678", np.dtype("f8"), (10**12,), "C"),
        Calling(FROM_BUFFER, b"12345678", np.dtype("f8"), (1,), "K"),
        Calling(np.ndarray, (10**9,)),
        {1: "a key that is no string"},
        {("a", "b"): 1},
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_other_arrays_are_made(protocol, value):
    data = pickle.dumps(value, protocol)
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match=r"^here is a (damaged )?pickle"):
            pickles.load_plain(data, "here")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


TEXT = b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\0"
LATIN = b"X\6\0\0\0latin1q\1"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x03",
        b"\x80\x03.",
        b"\x80\x03N",
        b"\x80\x03NN.",
        b"\x80\x030.",
        b"\x80\x03h\x07.",
        b"\x80\x03a.",
        b"\x80\x03(t",
        b"\x80\x03t.",
        b"\x80\x03}(X\1\0\0\0au.",
        b"\x80\x03]}a(K\1eK\1.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"short.",
        b"\x80\x03B" + struct.pack("<I", 0xFFFFFFFF) + b"short.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b"short.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N",
        b"\x80\x03X\4\0\0\0\xff\xff\xff\xff.",
        b"\x80\x03\x8a\xff.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02}c__main__\n__dict__\nb.",
        b"\x80\x04\x82\x01.",
        b"\x80\x03Q.",
        b"(dp0\n.",
        b"\x80\x03R.",
        b"\x80\x03NNR.",
        b"\x80\x03N}b.",
        b"\x80\x03cnumpy\ndtype\n}b.",
        b"\x80\x03cnumpy\n.",
        b"\x80\x02c_codecs\nencode\nX\1\0\0\0aX\5\0\0\0rot13\x86R.",
        # The same megabyte made into bytes again and again.
        b"\x80\x02c_codecs\nencode\n" + TEXT + LATIN + b"]" + b"c_codecs\nencode\nh\0h\1\x86Ra" * 500 + b".",
    ],
)
def test_broken_and_greedy_pickles_are_refused(data):
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match=r"^here is a (damaged )?pickle"):
            pickles.load_plain(data, "here")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_far_reference_takes_no_memory():
    # The standard unpickler makes room for all that could stand before it.
    data = b"\x80\x03Nr" + struct.pack("<I", 0xFFFFFFFF) + b"."
    tracemalloc.start()
    try:
        assert pickles.load_plain(data, "here") is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_too_long_and_too_many_are_refused():
    with pytest.raises(SourceError, match="more than 64 MiB"):
        pickles.load_plain(bytes(pickles.PICKLE_BYTES + 1), "here")
    with pytest.raises(SourceError, match="instructions"):
        pickles.load_plain(b"\x80\x03" + b"]" * pickles.INSTRUCTIONS + b".", "here")


def test_the_depth_of_nesting_does_no_harm():
    data = b"\x80\x03" + b"]" * 100_000 + b"a" * 99_999 + b"."
    value = pickles.load_plain(data, "here")
    depth = 0
    while value:
        (value,) = value
        depth += 1
    assert depth == 99_999
    with pytest.raises(SourceError):
        pickles.load_plain(b"\x80\x03})" + b"\x85" * 100_000 + b"Ns.", "here")


@pytest.mark.parametrize("seed", range(300))
def test_damage_raises_or_goes_unnoticed(seed):
    chance = random.Random(seed)
    value = {
        "id": b"1abc",
        "primary": "ACD",
        "ss8": np.arange(3),
        "tertiary": np.ones((3, 3), "f4"),
        "n": np.float32(2),
    }
    data = bytearray(pickle.dumps(value, chance.choice(PROTOCOLS)))
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if seed % 3 == 0:
        del data[chance.randrange(len(data)) :]
    try:
        pickles.load_plain(bytes(data), "here")
    except SourceError as error:
        assert str(error).startswith("here is a")  # noqa: PT017 - it need not raise
