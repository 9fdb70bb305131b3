"""LMDB files page by page: the library that writes them is the oracle, and no damage does more than raise."""

from __future__ import annotations

import random
from pathlib import Path

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.readers.tape import lmdb_map

# Around what fits in a page, in half a page (the longest that shares one) and in the pages that follow.
VALUES = st.one_of(st.integers(0, 40), st.integers(1900, 2100), st.integers(3990, 4110), st.integers(0, 20_000))
ENTRIES = st.dictionaries(st.binary(min_size=1, max_size=200), VALUES, max_size=200)


def value_of(key: bytes, size: int) -> bytes:
    return random.Random(key).randbytes(size)


def write(path: Path, entries: dict[bytes, bytes], deleted: set[bytes] = frozenset(), **options: object) -> Path:
    with lmdb.open(str(path), map_size=1 << 26, **options) as environment:
        for start in (0, 1):
            with environment.begin(write=True) as transaction:
                for key in list(entries)[start::2]:
                    transaction.put(key, entries[key])
        with environment.begin(write=True) as transaction:
            for key in deleted:
                transaction.delete(key)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(sizes=ENTRIES, absent=st.sets(st.binary(min_size=1, max_size=200), max_size=20), seed=st.integers(0, 1 << 20))
def test_every_key_has_the_value_that_was_written(tmp_path_factory, sizes, absent, seed):
    entries = {key: value_of(key, size) for key, size in sizes.items()}
    deleted = set(random.Random(seed).sample(sorted(entries), len(entries) // 4))
    path = write(tmp_path_factory.mktemp("map") / "x.lmdb", entries, deleted)
    with lmdb_map.open_map(path) as file:
        for key in {*entries, *absent}:
            expected = None if key in deleted else entries.get(key)
            assert file.get(key) == expected


def test_many_keys_make_a_tree_of_branches(tmp_path):
    entries = {str(index).encode(): bytes(index % 700) for index in range(20_000)}
    path = write(tmp_path / "x.lmdb", entries)
    with lmdb.open(str(path), readonly=True, lock=False) as environment:
        assert environment.stat()["depth"] > 2
    with lmdb_map.open_map(path) as file:
        assert all(file.get(key) == value for key, value in entries.items())
        assert file.get(b"20000") is None
        assert file.get(b"") is None
        assert file.get(b"~") is None


def test_a_file_without_a_folder_is_read_too(tmp_path):
    path = write(tmp_path / "x.mdb", {b"a": b"1"}, subdir=False)
    with lmdb_map.open_map(path) as file:
        assert file.get(b"a") == b"1"


def test_nothing_is_written_beside_it(tmp_path):
    path = write(tmp_path / "x.lmdb", {b"a": b"1"}, lock=False)
    before = {item.name: item.read_bytes() for item in path.iterdir()}
    with lmdb_map.open_map(path) as file:
        file.get(b"a")
    assert {item.name: item.read_bytes() for item in path.iterdir()} == before == {"data.mdb": before["data.mdb"]}


@pytest.fixture(scope="module")
def map_of_proteins(tmp_path_factory) -> bytes:
    entries = {str(index).encode(): value_of(b"%d" % index, 300 + 977 * (index % 9)) for index in range(300)}
    path = write(tmp_path_factory.mktemp("whole") / "x.lmdb", entries)
    return (path / "data.mdb").read_bytes()


def read_all(path: Path) -> None:
    with lmdb_map.open_map(path) as file:
        for index in range(300):
            file.get(str(index).encode())


@pytest.mark.parametrize("seed", range(40))
def test_a_cut_map_is_refused(tmp_path, map_of_proteins, seed):
    # The last pages may be free ones, so the cut is before the last page in use.
    (tmp_path / "data.mdb").write_bytes(map_of_proteins[: random.Random(seed).randrange(len(map_of_proteins) // 2)])
    with pytest.raises(SourceError, match=r"data\.mdb (is damaged|is not an LMDB)"):
        read_all(tmp_path)


@pytest.mark.parametrize("seed", range(150))
def test_flipped_bits_raise_or_go_unnoticed(tmp_path, map_of_proteins, seed):
    chance = random.Random(seed)
    damaged = bytearray(map_of_proteins)
    for _ in range(1 + 20 * (seed % 3)):
        # Most of them where the pages have their headers and lists of nodes.
        page = chance.randrange(len(damaged) // 4096) * 4096
        damaged[page + chance.choice([chance.randrange(96), chance.randrange(4096)])] ^= 1 << chance.randrange(8)
    (tmp_path / "data.mdb").write_bytes(damaged)
    try:
        read_all(tmp_path)
    except SourceError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017 - it need not raise


def test_a_page_that_is_its_own_child_is_refused(tmp_path, map_of_proteins):
    with lmdb_map.open_map(write(tmp_path / "x.lmdb", {str(i).encode(): bytes(1000) for i in range(99)})) as file:
        root = file.root
    damaged = bytearray((tmp_path / "x.lmdb" / "data.mdb").read_bytes())
    start = root * 4096
    for node in range(int.from_bytes(damaged[start + 12 : start + 14], "little") // 2 - 8):
        at = start + int.from_bytes(damaged[start + 16 + 2 * node : start + 18 + 2 * node], "little")
        damaged[at : at + 6] = root.to_bytes(6, "little")
    (tmp_path / "data.mdb").write_bytes(damaged)
    with lmdb_map.open_map(tmp_path) as file, pytest.raises(SourceError, match="damaged"):
        file.get(b"50")


def test_a_value_too_long_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_map, "VALUE_BYTES", 1 << 20)
    path = write(tmp_path / "x.lmdb", {b"a": bytes(1 << 20), b"b": bytes((1 << 20) + 1)})
    with lmdb_map.open_map(path) as file:
        assert file.get(b"a") == bytes(1 << 20)
        with pytest.raises(SourceError, match="1,048,577 bytes"):
            file.get(b"b")


def test_a_database_of_duplicates_is_refused(tmp_path):
    content = bytearray((write(tmp_path / "x.lmdb", {b"a": b"1"}) / "data.mdb").read_bytes())
    for page in (0, 4096):
        # The flags of the database in both meta pages; 4 is MDB_DUPSORT.
        content[page + 92] |= 4
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(SourceError, match="duplicates"), lmdb_map.open_map(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" * 400, bytes(4096)])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(SourceError, match="not an LMDB file"):
        read_all(tmp_path)


def test_a_folder_without_a_map_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"data\.mdb cannot be read"):
        read_all(tmp_path)
