"""Segments read back: any part of an array, and row groups of arcs, digest by digest; and written again, alike."""

import contextlib
import dataclasses
import errno
import hashlib
import io
import itertools
import json
import os
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import attnstore
from attnstore.errors import StoreError
from attnstore.format import documents as layout
from attnstore.format import segment, segment_files, segment_values, segment_writer
from attnstore.format.documents import KEEP
from attnstore.format.segment_writer import write_segment
from attnstore.runtime import durable
from tests.synthetic import contents, kept, random_proteins, write_store

LAYERS, HEADS = 3, 4
SUMS = "SELECT sum(weight), sum(source), sum(target) FROM arcs"


@pytest.fixture(scope="module")
def proteins():
    # 1026 pairs: two full chunks of 512, and one of 2.
    return random_proteins(3, [21, 18, 15, 6], LAYERS, HEADS)


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("segment") / "store"
    write_store(path, proteins, per_segment=len(proteins))
    return path


def forget():
    """Nothing read before the damage may answer after it."""
    segment.open_segment.cache_clear()
    segment_files.check_part.cache_clear()


@contextlib.contextmanager
def damage(file, byte, mask):
    """Flip bits of one byte of a file, and bring it back."""
    content = file.read_bytes()
    changed = bytearray(content)
    changed[byte] ^= mask
    file.write_bytes(changed)
    forget()
    try:
        yield
    finally:
        file.write_bytes(content)
        forget()


# --- arrays

WHOLE = slice(None)
LAYER_INDICES = (0, 2, WHOLE, slice(1, 3), slice(1, 2), slice(0, 0))
HEAD_INDICES = (0, 3, WHOLE, slice(0, 2), slice(2, 3), slice(2, 2))
STRETCHES = ((0, None), (0, 1), (511, 513), (512, 1024), (5, 700), (1025, 1026), (1000, None), (7, 7))


def test_any_part_of_the_codes_is_that_part_of_what_was_written(store, proteins):
    (opened,) = attnstore.open(store).model().segments
    written = contents(proteins).codes
    assert written.shape == (LAYERS, HEADS, 1026)
    for layer, head, (begin, end) in itertools.product(LAYER_INDICES, HEAD_INDICES, STRETCHES):
        np.testing.assert_array_equal(
            opened.codes(layer, head, begin, end), written[layer, head, begin:end],
            err_msg=f"{layer}, {head}, {begin}:{end}", strict=True,
        )  # fmt: skip
    np.testing.assert_array_equal(opened.codes(1, WHOLE), written[1], strict=True)
    np.testing.assert_array_equal(opened.codes(), written, strict=True)


@pytest.mark.parametrize("layer", LAYER_INDICES)
@pytest.mark.parametrize(("begin", "end"), STRETCHES)
def test_chunks_are_the_codes_of_one_head_after_the_other_in_stretches_of_at_most_a_chunk(
    store, proteins, layer, begin, end
):
    (opened,) = attnstore.open(store).model().segments
    written = contents(proteins).codes
    for head in HEAD_INDICES:
        found = np.full(written.shape, 255, np.uint8)
        places = []
        for at, h, first, codes in opened.chunks(layer, head, begin, end):
            assert codes.dtype == np.uint8
            assert codes.ndim == 1
            assert first // 512 == (first + codes.size - 1) // 512
            found[at, h, first : first + codes.size] = codes
            places.append((at, h, first))
        kept = tuple(index if isinstance(index, slice) else slice(index, index + 1) for index in (layer, head))
        chosen = (*kept, slice(begin, end))
        expected = np.full(written.shape, 255, np.uint8)
        expected[chosen] = written[chosen]
        np.testing.assert_array_equal(found, expected)
        assert places == sorted(set(places))


def test_chunks_that_outlive_the_next_are_not_overwritten(store, proteins):
    (opened,) = attnstore.open(store).model().segments
    written = contents(proteins).codes
    for layer, head, begin, codes in list(opened.chunks()):
        np.testing.assert_array_equal(codes, written[layer, head, begin : begin + codes.size])


@pytest.mark.parametrize("name", ["received", "emitted", "special"])
def test_any_part_of_a_marginal_is_that_part_of_what_was_written(store, proteins, name):
    (opened,) = attnstore.open(store).model().segments
    written = getattr(contents(proteins), name)
    assert written.shape == (LAYERS, HEADS, 60)
    for layer, head, (begin, end) in itertools.product(LAYER_INDICES, HEAD_INDICES, ((0, None), (21, 39), (59, 60))):
        np.testing.assert_array_equal(
            opened.marginal(name, layer, head, begin, end), written[layer, head, begin:end],
            err_msg=f"{layer}, {head}, {begin}:{end}", strict=True,
        )  # fmt: skip
    np.testing.assert_array_equal(opened.marginal(name), written, strict=True)


def test_means_and_counts_of_bins_are_what_was_written(store, proteins):
    (opened,) = attnstore.open(store).model().segments
    written = contents(proteins)
    np.testing.assert_array_equal(opened.bin_mean, written.bin_mean, strict=True)
    np.testing.assert_array_equal(opened.bin_count, written.bin_count, strict=True)


def test_attention_of_any_layers_and_heads_is_the_mean_of_each_weights_bin(store, proteins):
    opened, written = attnstore.open(store), contents(proteins)
    means = np.take_along_axis(written.bin_mean, written.codes.astype(np.intp), axis=-1)
    offset = written.proteins.pair_offset
    for local, protein in enumerate(proteins):
        expected = means[..., offset[local] : offset[local + 1]]
        expected = expected.reshape(LAYERS, HEADS, protein.stored, protein.stored).swapaxes(-1, -2)
        for layer, head in itertools.product((None, 0, 2), (None, 0, 3)):
            index = tuple(WHOLE if value is None else value for value in (layer, head))
            found = opened.attention(protein.id, layer, head)
            np.testing.assert_array_equal(found.values, expected[index], strict=True)


@pytest.mark.parametrize(
    ("layer", "head", "begin", "end"),
    [
        (0, WHOLE, 0, None),
        (WHOLE, WHOLE, 0, None),
        (0, 1, 0, None),
        (0, WHOLE, 3, 11),
        (0, 2, 5, 30),
        (0, 0, 512, None),
    ],
)
@pytest.mark.parametrize("name", ["codes", "received", "special"])
def test_a_flipped_bit_in_a_large_shard_is_refused_by_any_read_that_decodes_it_or_says_nothing(
    store, monkeypatch, name, layer, head, begin, end
):
    monkeypatch.setattr(segment, "SMALL_FILE", 0)
    (file,) = (path for path in store.rglob("c/0/0/0") if path.parts[-5] == name)

    def ask():
        forget()
        (opened,) = attnstore.open(store).model().segments
        which = (layer, head, begin, end)
        return opened.codes(*which) if name == "codes" else opened.marginal(name, *which)

    before = ask()
    refusals = 0
    for bit in np.random.default_rng(20240610).integers(0, 8 * file.stat().st_size, 40).tolist():
        with damage(file, bit // 8, 1 << bit % 8):
            said = None
            try:
                after = ask()
            except StoreError as error:
                said = str(error)
            assert said is None or "is damaged" in said
            refusals += said is not None
            assert said is not None or after.tobytes() == before.tobytes(), bit
    assert refusals > 0 or before.size == 0


# --- arcs


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A store whose one file of arcs is too large to be digested whole when it is opened."""
    path = tmp_path_factory.mktemp("large") / "store"
    write_store(path, random_proteins(8, [110, 100, 90], LAYERS, HEADS, sharpness=2.5), per_segment=3)
    (file,) = path.rglob("arcs.parquet")
    assert file.stat().st_size > segment.SMALL_FILE
    assert pq.read_metadata(file).num_row_groups == 3
    return path


def arcs_of(path, threshold=0.0):
    forget()
    (opened,) = attnstore.open(path).model().segments
    return opened.arcs(threshold)


def sums_of(path):
    forget()
    return attnstore.open(path).sql(SUMS).fetchall()


def same(found: pa.Table, expected: pa.Table) -> bool:
    return found.equals(expected) and found["weight"].to_numpy().tobytes() == expected["weight"].to_numpy().tobytes()


def refused(ask) -> bool:
    """True if it raises StoreError of one sentence; any other answer than before fails in `ask` itself."""
    said = None
    try:
        ask()
    except StoreError as error:
        said = str(error)
    assert said is None or ("arcs.parquet" in said and "\n" not in said)
    return said is not None


def seeded_bits(size: int) -> list[int]:
    """Bits over a file, some in its magic, and some in its footer."""
    rng = np.random.default_rng(20240609)
    return [3, 21, *rng.integers(32, 8 * size, 60).tolist(), *rng.integers(8 * (size - 900), 8 * size, 8).tolist()]


def test_a_flipped_bit_anywhere_in_large_arcs_is_refused_or_says_nothing_by_arcs_and_by_sql(large):
    (file,) = large.rglob("arcs.parquet")
    rows, sums = arcs_of(large), sums_of(large)
    assert rows.num_rows > 10_000

    def rows_are_the_same():
        assert same(arcs_of(large), rows)

    def sums_are_the_same():
        # To the bit: float64 holds every sum of these float32 exactly, whatever their order.
        assert sums_of(large) == sums

    for bit in seeded_bits(file.stat().st_size):
        with damage(file, bit // 8, 1 << bit % 8):
            said = [refused(rows_are_the_same), refused(sums_are_the_same)]
            # The magic at the start is in no part; whether a reader looks at it is its own affair.
            assert all(said) or bit < 32, bit


def test_a_damaged_page_header_of_large_arcs_is_refused(large):
    # Parquet's own checksum is of a page's content: a header that counts otherwise moves values without a word.
    (file,) = large.rglob("arcs.parquet")
    metadata = pq.read_metadata(file)
    starts = set()
    for group, column in itertools.product(range(metadata.num_row_groups), range(metadata.num_columns)):
        chunk = metadata.row_group(group).column(column)
        starts |= {chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset}
    for start in sorted(starts):
        for byte in (start + 1, start + 3, start + 7, start + 13):
            with damage(file, byte, 4):
                assert refused(lambda: arcs_of(large)), byte
                assert refused(lambda: sums_of(large)), byte


def test_a_damaged_row_group_is_met_by_the_thresholds_that_need_it_and_by_no_other(large):
    (file,) = large.rglob("arcs.parquet")
    document = json.loads(next(large.rglob("segment.json")).read_bytes())
    parts = document["files"]["arcs.parquet"]["parts"]
    assert len(parts) == 4
    # Row groups hold weights from 0.3, from 0.1 and from 0.05 on.
    needed = {0.0: 3, 0.05: 3, 0.1: 2, 0.2: 2, 0.3: 1, 0.9: 1}
    before = {threshold: arcs_of(large, threshold) for threshold in needed}
    for group, (offset, size, _) in enumerate(parts[:-1]):
        with damage(file, offset + size // 2, 1):
            for threshold, rows in before.items():
                forget()
                if group < needed[threshold]:
                    with pytest.raises(StoreError, match=f"bytes from {offset} do not have the digest"):
                        arcs_of(large, threshold)
                else:
                    assert same(arcs_of(large, threshold), rows)
            assert refused(lambda: sums_of(large))


def test_large_proteins_are_checked_whole_when_they_are_opened(store, monkeypatch):
    monkeypatch.setattr(segment, "SMALL_FILE", 0)
    (file,) = store.rglob("proteins.parquet")
    for byte in range(4, file.stat().st_size, 61):
        with (
            damage(file, byte, 64),
            pytest.raises(StoreError, match=r"proteins\.parquet is damaged: bytes from \d+ do"),
        ):
            _ = attnstore.open(store).model().segments


@pytest.fixture(scope="module")
def cut(proteins, tmp_path_factory):
    """A store whose arcs lie in row groups of at most 20, several to a head, and what was written of them."""
    path = tmp_path_factory.mktemp("cut") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_writer, "ARC_ROWS", 20)
        write_store(path, proteins, per_segment=len(proteins))
    (opened,) = attnstore.open(path).model().segments
    assert pq.read_metadata(opened.arcs_path).num_row_groups > 50
    return opened, contents(proteins).arcs


def some_heads(seed):
    rng = np.random.default_rng(seed)
    one, layer, none = (np.zeros((LAYERS, HEADS), bool) for _ in range(3))
    one[2, 1] = layer[1] = True
    return [None, one, layer, none, ~one, *(rng.random((LAYERS, HEADS)) < 0.3 for _ in range(5))]


@pytest.mark.parametrize("columns", [segment_values.ARC_SCHEMA.names, ["target", "source"], ["weight"], ["head"]])
@pytest.mark.parametrize(
    "threshold", [0.0, 0.05, 0.07, 0.1, float(np.nextafter(np.float32(0.1), 1)), 0.25, 0.3, 0.9, 2.0]
)
def test_arcs_are_those_at_or_above_the_threshold_of_the_heads_asked_for(cut, threshold, columns):
    opened, written = cut
    for heads in some_heads(5):
        chosen = written["weight"] >= np.float32(threshold)
        if heads is not None:
            chosen &= heads[written["layer"], written["head"]]
        found = opened.arcs(threshold, columns, heads)
        assert found.schema.names == list(columns)
        rows = sorted(zip(*(found[name].to_pylist() for name in columns), strict=True))
        assert rows == sorted(zip(*(written[name][chosen].tolist() for name in columns), strict=True))


def test_arcs_of_a_row_group_come_in_one_piece_and_in_order(cut):
    opened, _ = cut
    key = ["layer", "head", "protein", "source", "target"]
    for table in opened.arc_groups(0.07, heads=some_heads(1)[1]):
        assert table.num_rows <= 20
        assert all(column.num_chunks <= 1 for column in table.columns)
        rows = list(zip(*(table[name].to_pylist() for name in key), strict=True))
        assert rows == sorted(rows)


def test_only_the_row_groups_and_weights_that_may_matter_are_read(cut, monkeypatch):
    opened, written = cut
    read = []
    plain = pq.ParquetFile.read_row_group

    def recorded(file, group, columns, **options):
        read.append((group, set(columns)))
        return plain(file, group, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", recorded)
    one = np.zeros((LAYERS, HEADS), bool)
    one[1, 2] = True
    opened.arcs(0.1, ["source"])
    whole = len(read)
    assert all(columns == {"source"} for _, columns in read)
    read.clear()
    opened.arcs(0.1, ["source"], one)
    # The head's own, and in each of two bands one at either end of its layer.
    of_head = (written["weight"] >= np.float32(0.1)) & (written["layer"] == 1) & (written["head"] == 2)
    assert 0 < len(read) <= of_head.sum() // 20 + 8 < whole // 2
    read.clear()
    opened.arcs(0.2, ["source"])
    assert {"weight" in columns for _, columns in read} == {False, True}
    read.clear()
    opened.arcs(0.0, heads=np.zeros((LAYERS, HEADS), bool))
    assert read == []


# --- writing


def files_of(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_the_same_contents_are_the_same_bytes_whatever_the_threads_and_the_order_of_arcs(proteins, tmp_path):
    whole = kept(contents(proteins), KEEP)
    order = np.random.default_rng(1).permutation(whole.arcs["weight"].size)
    shuffled = {name: column[order] for name, column in whole.arcs.items()}
    wider = {name: shuffled[name].astype(np.int64) for name in shuffled if name != "weight"}
    written = []
    for threads, arcs in ((1, whole.arcs), (4, shuffled), (3, shuffled | wider)):
        entry = write_segment(tmp_path, 5, dataclasses.replace(whole, arcs=arcs), 100, threads)
        written.append(files_of(tmp_path / "segments" / entry.id))
        assert entry.id.startswith("000005-")
    assert written[0] == written[1] == written[2]
    assert len(written[0]) == 1 + 1 + 1 + (1 + 4 + 2 + 2) + (1 + 3 * 2) + (1 + 1 + LAYERS + 1)
    assert len({path.name for path in (tmp_path / "segments").iterdir()}) == 3


def test_a_segments_list_has_the_digest_of_every_file_and_of_its_parts(proteins, tmp_path):
    entry = write_segment(tmp_path, 0, kept(contents(proteins), KEEP), 100, 2)
    files = files_of(tmp_path / "segments" / entry.id)
    listed = json.loads(files["segment.json"])["files"]
    assert hashlib.sha256(files.pop("segment.json")).hexdigest() == entry.sha256
    assert listed.keys() == files.keys()
    assert list(listed) == sorted(listed)
    for name, content in files.items():
        assert (listed[name]["bytes"], listed[name]["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert ("parts" in listed[name]) == name.endswith(".parquet")
        for begin, size, sha256 in listed[name].get("parts", ()):
            assert hashlib.sha256(content[begin : begin + size]).hexdigest() == sha256


@pytest.mark.parametrize("limit", [1 << 63, 1 << 40])
def test_keys_are_put_in_order_whether_or_not_an_index_fits_beside_them(limit):
    keys = np.random.default_rng(3).permutation(1 << 12) * ((limit - 1) >> 12)
    np.testing.assert_array_equal(segment_writer._order(keys, limit), np.argsort(keys))
    assert segment_writer._order(keys[:0], limit).size == 0


class FullDisk:
    """A file that takes a number of bytes, over all files, and then no more."""

    def __init__(self, path, mode, room):
        self.file, self.room = io.FileIO(path, mode), room

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.room[0] -= len(data)
        if self.room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.2, 0.5, 0.7, 0.95, 0.9999])
def test_a_disk_that_is_full_at_any_write_is_said_in_a_sentence_and_nothing_is_listed(
    proteins, tmp_path, monkeypatch, share
):
    path = tmp_path / "store"
    write_store(path, proteins[:2], per_segment=1)
    directory = path / "attention" / "random"
    whole = kept(contents(proteins[2:]), KEEP)
    size = write_segment(tmp_path / "measured", 2, whole, 100, 2).bytes
    before = layout.Manifest.read(directory)
    room = [int(share * size)]
    monkeypatch.setattr(durable, "open", lambda path, mode: FullDisk(path, mode, room), raising=False)
    with pytest.raises(StoreError, match=r"^segment 000002-[0-9a-f]{8} could not be written: .*No space left.*\.$"):
        write_segment(directory, 2, whole, 100, 2)
    monkeypatch.undo()
    assert layout.Manifest.read(directory) == before
    forget()
    assert set(attnstore.open(path).model().places) == {"p0", "p1"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("compress")]


def test_a_disk_that_fails_while_flushing_is_said_in_a_sentence(proteins, tmp_path, monkeypatch):
    def fails(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoreError, match=r"^segment 000000-.* could not be written: .*Input/output error"):
        write_segment(tmp_path, 0, contents(proteins), 100, 1)


def test_every_file_is_flushed_before_the_segment_is_handed_over(proteins, tmp_path, monkeypatch):
    flushed = set()
    plain = durable.sync_file
    monkeypatch.setattr(durable, "sync_file", lambda path: (plain(path), flushed.add(path)))
    entry = write_segment(tmp_path, 0, kept(contents(proteins), KEEP), 100, 2)
    directory = tmp_path / "segments" / entry.id
    assert {directory, directory.parent, directory.parent.parent, *directory.rglob("*")} <= flushed


def test_contents_of_which_a_part_is_missing_are_not_written(proteins, tmp_path):
    whole = contents(proteins)
    for missing in ("bin_mean", "codes", "emitted"):
        with pytest.raises(ValueError, match="not complete"):
            write_segment(tmp_path, 0, dataclasses.replace(whole, **{missing: None}), 100, 1)
    assert not (tmp_path / "segments").exists()
