"""LMDB files, read page by page and never mapped into memory.

The C library trusts the file it maps: on a truncated one the operating system ends the process (SIGBUS), and a flipped
bit can do the same. These files are downloads, so here every page, node and length is checked before it is followed.
What is read is the data format 1 of LMDB 0.9 (its source, mdb.c: MDB_meta, MDB_page, MDB_node) on 64-bit
little-endian machines, and of it the unnamed database with plain keys.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import SourceError

#: The longest value that is read; a record of a protein of 35,000 residues has about 10 MB.
VALUE_BYTES = 64 << 20

# A page starts with its number, two bytes unused here, its flags, and either where its free space starts and ends or,
# for a value of its own, how many pages that fills.
_PAGE = struct.Struct("<QHHHH")
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
# The meta page goes on with magic, version, address and size of the map; for the free list and for the database the
# page size (in the free list's; a pad in the other), flags, depth, four counts and the root; last page and transaction.
_STAMP = struct.Struct("<IIQQ")
_DATABASE = struct.Struct("<IHHQQQQQ")
_LAST = struct.Struct("<QQ")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_EMPTY = 2**64 - 1
# A node: low and high half of the value's size, or of a child's page number; flags, or its highest part; key's size.
_NODE = struct.Struct("<HHHH")
_ON_PAGES_OF_ITS_OWN = 1
_DEEPEST = 32
_PAGE_SIZES = frozenset(1 << power for power in range(9, 17))


def is_map(head: bytes) -> bool:
    """Say whether a file starts as an LMDB file does."""
    stamp = head[_PAGE.size : _PAGE.size + 8]
    return stamp == struct.pack("<II", _MAGIC, _VERSION)


@contextlib.contextmanager
def open_map(path: Path) -> Iterator[Map]:
    """Open an LMDB file for reading; nothing is written or locked.

    Parameters
    ----------
    path
        The file, or the folder that holds it as ``data.mdb``.

    Raises
    ------
    SourceError
        It cannot be read, or is not an LMDB file.
    """
    path = path / "data.mdb" if path.is_dir() else path
    try:
        with path.open("rb") as file:
            yield _map(path, file)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror or error}); check the file and its permissions."
        ) from error


@dataclass(frozen=True)
class Map:
    """The database of an open LMDB file."""

    path: Path
    file: BinaryIO
    page_size: int
    pages: int
    root: int

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None where there is none.

        Raises
        ------
        SourceError
            The file is damaged, or the value has more than `VALUE_BYTES`.
        """
        if self.root == _EMPTY:
            return None
        number = self.root
        for _ in range(_DEEPEST):
            page, flags, nodes = self._page(number)
            if flags not in {_BRANCH, _LEAF}:
                raise _damaged(self.path, number)
            # The first key of a branch page stands for everything below the second and is not stored.
            low, high = (1 if flags == _BRANCH else 0), len(nodes)
            while low < high:
                middle = (low + high) // 2
                if self._key(page, number, nodes[middle]) <= key:
                    low = middle + 1
                else:
                    high = middle
            if low == 0:
                return None
            node = nodes[low - 1]
            if flags == _LEAF:
                return self._value(page, number, node) if self._key(page, number, node) == key else None
            low_half, high_half, top, _ = _NODE.unpack_from(page, node)
            number = low_half | high_half << 16 | top << 32
        raise _damaged(self.path, number)

    def _page(self, number: int) -> tuple[bytes, int, tuple[int, ...]]:
        """Return a page, its flags and where its nodes start."""
        page = self._read(number, self.page_size)
        _, _, flags, lower, _ = _PAGE.unpack_from(page)
        count = (lower - _PAGE.size) // 2
        if not 0 < count <= (self.page_size - _PAGE.size) // 2:
            raise _damaged(self.path, number)
        nodes = struct.unpack_from(f"<{count}H", page, _PAGE.size)
        if max(nodes) + _NODE.size > self.page_size:
            raise _damaged(self.path, number)
        return page, flags, nodes

    def _key(self, page: bytes, number: int, node: int) -> bytes:
        size = _NODE.unpack_from(page, node)[3]
        start = node + _NODE.size
        if start + size > self.page_size:
            raise _damaged(self.path, number)
        return page[start : start + size]

    def _value(self, page: bytes, number: int, node: int) -> bytes:
        low_half, high_half, flags, key_size = _NODE.unpack_from(page, node)
        size = low_half | high_half << 16
        start = node + _NODE.size + key_size
        if size > VALUE_BYTES:
            raise SourceError(
                f"{self.path} has a value of {size:,} bytes, more than the {VALUE_BYTES >> 20} MiB that a record may "
                f"have; name the file that was meant."
            )
        if not flags:
            if start + size > self.page_size:
                raise _damaged(self.path, number)
            return page[start : start + size]
        if flags != _ON_PAGES_OF_ITS_OWN or start + 8 > self.page_size:
            raise _damaged(self.path, number)
        (number,) = struct.unpack_from("<Q", page, start)
        value = self._read(number, _PAGE.size + size)
        if _PAGE.unpack_from(value)[2] != _OVERFLOW:
            raise _damaged(self.path, number)
        return value[_PAGE.size :]

    def _read(self, number: int, size: int) -> bytes:
        """Return as many bytes from where a page starts."""
        if number >= self.pages:
            raise _damaged(self.path, number)
        self.file.seek(number * self.page_size)
        data = self.file.read(size)
        if len(data) < size:
            raise _damaged(self.path, number)
        return data


def _map(path: Path, file: BinaryIO) -> Map:
    """The map that the later of the two meta pages describes."""
    start = file.read(_PAGE.size + _STAMP.size + _DATABASE.size)
    if not is_map(start) or len(start) < _PAGE.size + _STAMP.size + _DATABASE.size:
        raise SourceError(
            f"{path} is not an LMDB file of format {_VERSION} (64-bit, little-endian), as TAPE's are; check the file."
        )
    page_size = _DATABASE.unpack_from(start, _PAGE.size + _STAMP.size)[0]
    if page_size not in _PAGE_SIZES:
        raise _damaged(path, 0)
    pages = os.fstat(file.fileno()).st_size // page_size
    file.seek(0)
    metas = [meta for number in (0, 1) if (meta := _meta(file.read(page_size))) is not None]
    if not metas:
        raise _damaged(path, 0)
    _, root, flags = max(metas)
    if flags:
        raise SourceError(f"{path} is an LMDB database of sorted duplicates or numbers, as TAPE's is not; check it.")
    return Map(path, file, page_size, pages, root)


def _meta(page: bytes) -> tuple[int, int, int] | None:
    """The transaction of a meta page, and its database's root and flags; None if it is none."""
    start = _PAGE.size + _STAMP.size
    if len(page) < start + 2 * _DATABASE.size + _LAST.size or not is_map(page) or _PAGE.unpack_from(page)[2] != _META:
        return None
    _, flags, _, _, _, _, _, root = _DATABASE.unpack_from(page, start + _DATABASE.size)
    _, transaction = _LAST.unpack_from(page, start + 2 * _DATABASE.size)
    return transaction, root, flags


def _damaged(path: Path, page: int) -> SourceError:
    return SourceError(f"{path} is damaged or cut off at its page {page}; fetch or copy it again.")
