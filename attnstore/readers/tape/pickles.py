"""A reader of untrusted pickles: plain values and numpy arrays; nothing is called.

The standard unpickler runs whatever a pickle contains, and may fill the memory before anything can be refused. This
one follows the instructions that pickle protocols 2 to 5 write for plain values (as `pickletools` documents them) and
does by itself what numpy's arrays and scalars ask for. No name in a pickle is ever imported or called.
"""

from __future__ import annotations

import math
import pickletools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import SourceError

#: The most that a pickle may have of bytes, and of instructions: what is built takes a few hundred MB at worst.
PICKLE_BYTES = 64 << 20
INSTRUCTIONS = 1 << 20

_LITERALS = frozenset(
    {
        "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
        "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    }
)  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NAMES = frozenset(
    {
        "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "numpy.core.numeric._frombuffer",
        "numpy.ndarray", "numpy.dtype", "_codecs.encode", "__builtin__.bytes",
    }
)  # fmt: skip
# Booleans, integers, floats, byte strings and strings: no Python objects, no records.
_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,4}")
_BYTE_ORDERS = frozenset({"<", ">", "|", "="})
_MOST_DIMENSIONS = 8


def load_plain(data: bytes, place: str) -> object:
    """Return what a pickle holds.

    Parameters
    ----------
    data
        A pickle of protocol 2 to 5.
    place
        Its location, for messages.

    Returns
    -------
    None, booleans, integers, floats, strings, bytes, numpy scalars and arrays, and lists, tuples and dicts of them (the
    keys strings or bytes). An array may be read-only.

    Raises
    ------
    SourceError
        It wants anything else, which is named; it is damaged; or it has more than `PICKLE_BYTES` or `INSTRUCTIONS`.
    """
    if len(data) > PICKLE_BYTES:
        raise SourceError(
            f"{place} is a pickle of more than {PICKLE_BYTES >> 20} MiB, as no protein has; name the file "
            f"that was meant."
        )
    machine = _Machine(place, room=2 * len(data))
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(data)):
            if count == INSTRUCTIONS:
                raise SourceError(
                    f"{place} is a pickle of more than {INSTRUCTIONS:,} instructions, as no protein has; name the file "
                    f"that was meant."
                )
            machine.follow(instruction.name, argument)
        (value,) = machine.stack
    # What genops and the machine run into in bytes that no pickler wrote.
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SourceError(f"{place} is a damaged pickle; fetch or copy the file again.") from error
    return value


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle refers to."""

    name: str


@dataclass
class _Machine:
    """The pickle machine: a stack, the marks on it, and what is remembered for later reference.

    `room` is how many bytes may yet be made of others: repeating a reference must not multiply what it stands for.
    """

    place: str
    room: int
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def follow(self, instruction: str, argument: Any) -> None:
        """Follow one instruction."""
        stack = self.stack
        if instruction in _LITERALS:
            stack.append(argument)
        elif instruction in _CONSTANTS:
            stack.append(_CONSTANTS[instruction])
        elif instruction in _EMPTY:
            stack.append(_EMPTY[instruction]())
        elif instruction in {"BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = stack[-1]
        elif instruction == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif instruction in {"BINGET", "LONG_BINGET"}:
            stack.append(self.memo[argument])
        elif instruction == "MARK":
            self.marks.append(len(stack))
        elif instruction in _TUPLES:
            stack.append(tuple(self._take(_TUPLES[instruction])))
        elif instruction == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif instruction in {"APPEND", "APPENDS"}:
            items = self._take(1) if instruction == "APPEND" else self._since_mark()
            list.extend(stack[-1], items)
        elif instruction in {"SETITEM", "SETITEMS"}:
            items = self._take(2) if instruction == "SETITEM" else self._since_mark()
            dict.update(stack[-1], zip(map(self._key, items[::2]), items[1::2], strict=True))
        elif instruction in {"GLOBAL", "STACK_GLOBAL"}:
            # GLOBAL's two words are one argument, with a blank between them.
            words = argument.split(" ") if instruction == "GLOBAL" else self._take(2)
            stack.append(self._name(".".join(words)))
        elif instruction == "REDUCE":
            function, arguments = self._take(2)
            stack.append(self._reduce(function.name, arguments))
        elif instruction == "BUILD":
            (state,) = self._take(1)
            self._build(stack[-1], state)
        elif instruction not in {"PROTO", "FRAME", "STOP"}:
            raise self._refused(f"the instruction {instruction}")

    def _take(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        if len(items) < count:
            raise LookupError
        del self.stack[-count:]
        return items

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _name(self, name: str) -> _Name:
        # numpy 2 moved what numpy 1 has in numpy.core.
        known = re.sub(r"^numpy\._core\.", "numpy.core.", name)
        if known not in _NAMES:
            raise self._refused(name)
        return _Name(known)

    def _reduce(self, name: str, arguments: tuple[Any, ...]) -> object:
        """Do what a pickle wants called."""
        if name == "numpy.core.multiarray._reconstruct" and arguments == (_Name("numpy.ndarray"), (0,), b"b"):
            return np.empty(0, np.int8)
        if name == "numpy.core.numeric._frombuffer":
            data, dtype, shape, order = arguments
            return self._array(data, dtype, shape, order)
        if name == "numpy.core.multiarray.scalar":
            dtype, data = arguments
            return self._array(data, dtype, (1,), "C")[0]
        if name == "numpy.dtype":
            code, *_ = arguments
            if not _TYPE.fullmatch(code):
                raise self._refused(f"an array of the numpy type {code!r}")
            return np.dtype(code, copy=True)
        # How protocol 2, which has no bytes, writes them, and none at all.
        if name == "_codecs.encode" and arguments[1:] == ("latin1",):
            self._make(len(arguments[0]))
            return str.encode(arguments[0], "latin1")
        if name == "__builtin__.bytes" and arguments == ():
            return b""
        raise self._refused(f"{name} with other arguments than numpy gives it")

    def _build(self, target: object, state: tuple[Any, ...]) -> None:
        """Give an array, or the type of one, what it holds."""
        if isinstance(target, np.dtype):
            _, order, *_ = state
            if order not in _BYTE_ORDERS:
                raise ValueError
            # Types are shared by reference, so this one has to change in place; the rest of its state is numpy's own.
            ordered = np.dtype(target.str).newbyteorder(order)
            target.__setstate__(ordered.__reduce__()[2])  # type: ignore[attr-defined]
        elif isinstance(target, np.ndarray):
            _, shape, dtype, fortran, data = state
            array = self._array(data, dtype, shape, "F" if fortran else "C")
            target.__setstate__(array.__reduce__()[2])
        else:
            raise self._refused(f"the state of a {type(target).__name__} set")

    def _array(self, data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> Any:
        if not isinstance(dtype, np.dtype) or order not in {"C", "F"} or len(shape) > _MOST_DIMENSIONS:
            raise ValueError
        self._make(len(data))
        # Compared before anything of that size is made.
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError
        if not len(data):
            return np.empty(shape, dtype)
        return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")

    def _key(self, key: object) -> object:
        # Python chooses by itself how strings and bytes are hashed; other keys could be made to collide.
        if not isinstance(key, str | bytes):
            raise self._refused(f"a {type(key).__name__} for a key")
        return key

    def _make(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise self._refused("the same bytes many times over")

    def _refused(self, wanted: str) -> SourceError:
        wanted = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in wanted)
        return SourceError(
            f"{self.place} is a pickle that wants {wanted}, where only plain values and numpy arrays are read: it may "
            f"be made to harm; fetch the file from its publisher again."
        )
