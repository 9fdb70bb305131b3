"""A damaged store says so or answers as before; it never answers otherwise, and `verify` names what is damaged.

Every file of a store is damaged in turn: bits flipped at seeded places, the end cut off, emptied, removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import attnstore
from attnstore import cli, matrix
from attnstore.errors import StoreError
from attnstore.format import documents as layout
from attnstore.format import segment, segment_files
from attnstore.format import zarr_reader as shards
from attnstore.format.documents import Manifest
from attnstore.runtime.durable import files_below, replace_json
from tests.synthetic import random_proteins, write_model, write_store

FLIPS = 140
#: What a query reads chunk by chunk, and what grows with the data: too large to be digested whenever it is opened.
GROWING = ("codes.zarr/codes/c", "codes.zarr/mean/c", "codes.zarr/count/c", "marginals.zarr", ".parquet")

Answers = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def damaged_store(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for the module: `damage` restores each file, bytes and all."""
    copy = tmp_path_factory.mktemp("damage") / "store"
    shutil.copytree(small_store, copy)
    return copy


@pytest.fixture(scope="module")
def sound(damaged_store: Path) -> Answers:
    return answers(damaged_store)


def forget() -> None:
    """Nothing read before the damage may answer after it."""
    segment.open_segment.cache_clear()
    segment_files.check_part.cache_clear()
    matrix._residues.cache_clear()


def answers(store: Path) -> Answers:
    """What every tier and the matrices say."""
    forget()
    opened = attnstore.open(store)
    asked = {
        "arcs": opened.align("contact", tier="arcs", replicates=10),
        "codes": opened.align("contact", tier="codes", threshold=0.3, weighted=True, replicates=10),
        "marginals": opened.align("target.aa IN ('A', 'C', 'L')", weighted=True, tier="marginals", replicates=10),
        "emitted": opened.align("source.aa IN ('A', 'C', 'L')", weighted=True, tier="marginals", replicates=10),
    }
    found = {f"{name} {key}": array.values for name, result in asked.items() for key, array in result.items()}
    for part in opened.model().segments:
        protein = part.proteins.id[-1]
        bounded = opened.attention_bounds(protein)
        found |= {f"{protein} {key}": array.values for key, array in bounded.variables.items()}
        found[f"{protein} bins"] = part.bin_count
    return found


def assert_as_before_or_refused(store: Path, before: Answers) -> bool:
    """Say which it was; any other exception than a StoreError of one sentence passes through and fails the test."""
    refusal = None
    try:
        after = answers(store)
    except StoreError as error:
        refusal = str(error)
    if refusal is not None:
        assert refusal
        assert "\n" not in refusal
        return False
    assert after.keys() == before.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name, strict=True)
    return True


def problems_of(store: Path) -> list[str]:
    """What verify finds; a store that cannot be opened is a finding, too."""
    forget()
    try:
        return list(map(str, attnstore.verify(store)))
    except StoreError as error:
        return [str(error)]


def assert_reported(store: Path, file: Path) -> None:
    """By a sentence that names the file, or the segment it is of."""
    problems = problems_of(store)
    names = [file.name, *(part for part in file.parts if part[:6].isdigit())]
    assert any(name in problem for problem in problems for name in names), f"{file}: {problems}"
    assert all("\n" not in problem for problem in problems)


@contextlib.contextmanager
def damage(path: Path, content: bytes | None) -> Iterator[None]:
    """Give a file other content, or remove it, and bring it back."""
    kept = path.read_bytes()
    try:
        path.unlink() if content is None else path.write_bytes(content)
        yield
    finally:
        path.write_bytes(kept)
        forget()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flip_places(store: Path) -> list[tuple[Path, int]]:
    """Bits over all files, each file several times: within it, and in its last bytes, where formats keep an index."""
    rng = np.random.default_rng(20240607)
    files = list(vouched_files(store))
    places = []
    for index in range(FLIPS):
        file = files[index % len(files)]
        size = file.stat().st_size
        late = index // len(files) % 2 == 1
        first = max(0, size - 200) if late else 0
        places.append((file, int(rng.integers(8 * first, 8 * size))))
    return places


def vouched_files(store: Path) -> Iterator[Path]:
    return (path for path in files_below(store) if path.name != "lock")


def test_the_damaged_places_are_in_every_kind_of_file(small_store):
    segments = sorted((small_store / "attention" / "tiny_esm" / "segments").iterdir())
    assert len(segments) > 1
    files = {path.relative_to(small_store).as_posix() for path, _ in flip_places(small_store)}
    for kind in (*GROWING, "zarr.json", "segment.json", "manifest.json", "model.json", "plan.json", "store.json",
                 ".duckdb"):  # fmt: skip
        assert any(kind in file for file in files), kind


@pytest.mark.parametrize("part", range(8))
def test_a_flipped_bit_changes_no_answer_and_is_reported(damaged_store, sound, part):
    for path, bit in flip_places(damaged_store)[part::8]:
        with damage(path, flipped(path.read_bytes(), bit)):
            try:
                assert_as_before_or_refused(damaged_store, sound)
                assert_reported(damaged_store, path)
            except BaseException as error:
                error.add_note(f"bit {bit} of {path}")
                raise


@pytest.mark.parametrize("how", ["cut", "cut by one byte", "emptied", "removed", "lengthened"])
def test_a_file_cut_short_emptied_or_gone_changes_no_answer_and_is_reported(damaged_store, sound, how):
    for path in vouched_files(damaged_store):
        if any(part.startswith(("000001-", "000002-")) for part in path.parts):
            continue  # the first segment's files stand for theirs
        content = path.read_bytes()
        changed = {
            "cut": content[: len(content) // 2],
            "cut by one byte": content[:-1],
            "emptied": b"",
            "removed": None,
            "lengthened": content + b"\0",
        }[how]
        if how == "cut by one byte" and path.suffix == ".json" and "segments" not in path.parts:
            changed = content[:-3]  # the final line end alone says nothing
        with damage(path, changed):
            try:
                assert_as_before_or_refused(damaged_store, sound)
                assert_reported(damaged_store, path)
            except BaseException as error:
                error.add_note(f"{path} {how}")
                raise


@pytest.mark.parametrize("kind", GROWING)
def test_checksums_alone_find_a_flipped_bit_in_a_file_too_large_to_digest(damaged_store, sound, monkeypatch, kind):
    monkeypatch.setattr(segment, "SMALL_FILE", 0)
    rng = np.random.default_rng(len(kind))
    files = [path for path in vouched_files(damaged_store) if kind in path.as_posix() and path.name != "zarr.json"]
    refused = 0
    for index in range(6):
        path = files[index % len(files)]
        size = path.stat().st_size
        bit = int(rng.integers(0, 8 * size))
        with damage(path, flipped(path.read_bytes(), bit)):
            try:
                refused += not assert_as_before_or_refused(damaged_store, sound)
            except BaseException as error:
                error.add_note(f"bit {bit} of {path}")
                raise
    assert refused > 0


@pytest.mark.parametrize("name", ["arcs.parquet", "proteins.parquet"])
def test_a_flipped_bit_in_the_footer_of_a_large_parquet_file_is_refused(damaged_store, sound, monkeypatch, name):
    # Nothing in Parquet covers the footer: Arrow would skip row groups by false statistics, or abort the process.
    monkeypatch.setattr(segment, "SMALL_FILE", 0)
    path = next(damaged_store.rglob(name))
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    for bit in np.linspace(8 * (len(content) - footer), 8 * len(content) - 1, 25, dtype=int).tolist():
        with damage(path, flipped(content, bit)):
            assert not assert_as_before_or_refused(damaged_store, sound), bit


def test_a_chunk_that_vanishes_from_an_open_store_is_not_read_as_zeros(store_copy):
    opened = attnstore.open(store_copy).model().segments[0]
    for path in opened.directory.rglob("c/0/0/0"):
        path.unlink()
    reads = {
        "codes.zarr/codes": [
            lambda: opened.codes(0, 0),
            lambda: opened.codes(0, slice(None), 3, 9),
            lambda: opened.codes(slice(None), slice(1, 3), 3, 9),
            lambda: next(opened.chunks(0, 1)),
        ],
        "codes.zarr/mean": [lambda: opened.bin_mean],
        "codes.zarr/count": [lambda: opened.bin_count],
        "marginals.zarr/received": [lambda: opened.marginal("received")],
        "marginals.zarr/special": [
            lambda: opened.marginal("special", 0, 0, 3, 9),
            lambda: opened.marginal("special", slice(0, 1), 1, 3, 9),
        ],
    }
    for name, asked in reads.items():
        place = re.escape(str(opened.directory / name / "c/0/0/0"))
        for read in asked:
            with pytest.raises(StoreError, match=rf"^{place} is damaged \(.*\): `store.verify\(\)` .*\.$"):
                read()


def written_by_zarr(path: Path, data: np.ndarray, fill: float) -> None:
    """An array in a store's layout, of which zarr-python leaves out the chunks that hold nothing but the fill value."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

    compressor = ZstdCodec() if data.dtype.itemsize == 1 else BloscCodec(cname="zstd")
    zarr.create_array(
        path, data=data, chunks=(1, 1, 7), shards=(1, 3, 21), compressors=(compressor, Crc32cCodec()), filters=None,
        fill_value=fill,
    )  # fmt: skip


@pytest.mark.parametrize(("dtype", "fill"), [("u1", 255), ("u4", 2**32 - 1), ("f4", np.nan)])
def test_a_chunk_that_was_never_written_is_not_read_as_values(tmp_path, dtype, fill):
    values = np.arange(2 * 3 * 20).reshape(2, 3, 20).astype(dtype)
    values[0, 1, 7:14] = fill  # a whole chunk
    values[1, 2, 16] = fill  # a value in one
    written_by_zarr(tmp_path / "array", values, fill)
    array = shards.ShardedArray.open(tmp_path / "array")
    whole = slice(None)
    for selection in (
        (whole, slice(0, 1), whole),
        (slice(0, 1), whole, slice(0, 7)),
        (slice(1, 2), whole, slice(17, 20)),
    ):
        np.testing.assert_array_equal(array.read(selection), values[selection], strict=True)
    with pytest.raises(StoreError, match=r"c/0/0/0 is damaged \(chunk 4 is missing\)"):
        array.read((whole, whole, whole))
    with pytest.raises(StoreError, match=r"c/1/0/0 is damaged \(a part of it was never written\)"):
        array.read((slice(1, 2), whole, slice(14, 17)))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["codecs"][0]["configuration"].update(index_location="start"),
        lambda content: content["codecs"][0]["configuration"]["codecs"].pop(),
        lambda content: content["codecs"][0]["configuration"]["codecs"][1].update(name="gzip"),
        lambda content: content["codecs"].append(content["codecs"][0]),
        lambda content: content.update(data_type="uint7"),
        lambda content: content.pop("shape"),
    ],
)
def test_an_array_of_another_layout_than_a_stores_is_refused(tmp_path, change):
    written_by_zarr(tmp_path, np.zeros((2, 3, 20), np.uint8), 255)
    content = json.loads((tmp_path / "zarr.json").read_bytes())
    change(content)
    (tmp_path / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"zarr\.json is damaged \("):
        shards.ShardedArray.open(tmp_path)


def test_verify_command_prints_each_problem_and_exits_1(store_copy, capfd):
    first, second = list(store_copy.rglob("arcs.parquet"))[:2]
    first.write_bytes(flipped(first.read_bytes(), 999))
    second.unlink()
    forget()
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", str(store_copy)])
    printed = capfd.readouterr()
    assert stop.value.code == 1
    assert (
        printed.err == f"error: {store_copy} is damaged in 2 places. Run `attnstore repair {store_copy}` to fix it.\n"
    )
    lines = printed.out.splitlines()
    assert len(lines) == 2
    assert any(str(first) in line and "does not have the digest" in line for line in lines)
    assert any(str(second) in line and "is missing" in line for line in lines)


def test_a_stray_file_in_a_segment_is_reported(store_copy):
    directory = next((store_copy / "attention" / "tiny_esm" / "segments").iterdir())
    (directory / "codes.zarr" / "stray").write_text("?")
    (problem,) = problems_of(store_copy)
    assert directory.name in problem
    assert "codes.zarr/stray" in problem


@pytest.mark.parametrize("field", ["number", "proteins", "residues", "pairs", "arcs", "bytes"])
def test_a_manifest_that_counts_otherwise_is_reported_though_its_digest_is_right(store_copy, field):
    path = store_copy / "attention" / "tiny_esm" / "manifest.json"
    content = json.loads(path.read_bytes())
    content["segments"][0][field] += 1
    del content["sha256"], content["version"]
    layout.write_document(path, content)
    assert problems_of(store_copy)


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    """A store of two models, each with a plan."""
    proteins = random_proteins(34, [12, 9, 14, 8])
    store = tmp_path / "two"
    write_store(store, proteins, name="one")
    write_model(store, proteins, name="other")
    for model in attnstore.open(store).models.values():
        planned = [{"number": part.entry.number, "batches": [list(part.proteins.id)]} for part in model.segments]
        layout.write_document(model.directory / "plan.json", {"segments": planned})
    assert problems_of(store) == []
    return store


@pytest.mark.parametrize("name", ["store.json", "catalog", "manifest.json", "plan.json", "model.json"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_damaged_document_is_named_and_hides_nothing_else(two_models, name, gone):
    path = two_models / name if name == "store.json" else two_models / "attention" / "one" / name
    if name == "catalog":
        path = attnstore.open(two_models).catalog_path
    arcs = next((two_models / "attention" / "other").rglob("arcs.parquet"))
    codes = next((two_models / "attention" / "one").rglob("codes.zarr/codes/c/1/0/0"))
    for file in (path, arcs, codes):
        file.unlink() if gone else file.write_bytes(file.read_bytes()[:-4])
    forget()
    found = attnstore.verify(two_models)
    at = {(problem.model, problem.segment is not None): str(problem) for problem in found}
    assert str(arcs) in at["other", True]
    assert path.name in at[(None if path.parent == two_models else "one"), False]
    assert (("one", True) in at) == (name != "manifest.json"), "what the manifest lists is not known without it"
    if name == "store.json" or not gone or name == "manifest.json":
        with pytest.raises(StoreError):
            attnstore.open(two_models).align("contact", model="one", replicates=0)


def test_models_without_a_document_and_segments_without_a_catalog_are_named(two_models):
    for name in ("model.json", "manifest.json"):
        (two_models / "attention" / "one" / name).unlink()
    layout.StoreDocument().write(two_models)
    problems = problems_of(two_models)
    assert len(problems) == 3
    for part in ("model.json", "manifest.json", f"{two_models / 'store.json'} names no catalog, though segments are"):
        assert any(part in problem for problem in problems), part


def test_a_protein_that_is_in_a_segment_and_skipped_is_reported(two_models):
    directory = two_models / "attention" / "one"
    manifest = Manifest.read(directory)
    dataclasses.replace(manifest, skipped=(layout.Skipped("p2", "for no reason"),)).write(directory)
    assert problems_of(two_models) == ["model one: protein p2 is in a segment, and skipped."]


def test_verify_command_for_programs(two_models, capfd):
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", str(two_models), "--json"])
    assert stop.value.code == 0
    assert json.loads(capfd.readouterr().out) == {"path": str(two_models), "sound": True, "problems": []}
    arcs = next((two_models / "attention" / "other").rglob("arcs.parquet"))
    arcs.unlink()
    forget()
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", str(two_models), "--json"])
    printed = capfd.readouterr()
    assert stop.value.code == 1
    (problem,) = json.loads(printed.out)["problems"]
    assert (problem["model"], problem["segment"]) == ("other", arcs.parent.name)
    assert str(arcs) in problem["sentence"]
    assert printed.err == f"error: {two_models} is damaged in 1 place. Run `attnstore repair {two_models}` to fix it.\n"


@pytest.mark.parametrize("codebook", [["3F000000"], [1, 2], ["3f800001"], None, [], "3e99999a"])
def test_a_codebook_that_is_none_is_refused_though_its_seal_holds(store_copy, codebook):
    path = store_copy / "attention" / "tiny_esm" / "model.json"
    content = json.loads(path.read_bytes())
    del content["sha256"], content["version"]
    layout.write_document(path, content | {"codebook": codebook})
    with pytest.raises(StoreError, match=r"model\.json is damaged: .*\.$"):
        attnstore.open(store_copy)


def test_a_codebook_whose_edge_moved_answers_nothing(store_copy):
    path = store_copy / "attention" / "tiny_esm" / "model.json"
    content = json.loads(path.read_bytes())
    content["codebook"][50] = f"{int(content['codebook'][50], 16) + 1:08x}"
    replace_json(path, content)
    with pytest.raises(StoreError, match=r"model\.json is damaged"):
        attnstore.open(store_copy)


def test_a_segment_put_in_the_place_of_another_is_reported(store_copy, tmp_path):
    one, other = sorted((store_copy / "attention" / "tiny_esm" / "segments").iterdir())[:2]
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    with pytest.raises(StoreError, match=r"segment\.json does not have the digest in the manifest"):
        answers(store_copy)
    problems = "\n".join(problems_of(store_copy))
    assert one.name in problems
    assert other.name in problems
