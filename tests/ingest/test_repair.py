"""What is damaged is made again, byte for byte, and nothing else is touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import attnstore
from attnstore import cli
from attnstore.errors import StoreError
from attnstore.format import documents as layout
from attnstore.format.documents import Manifest
from attnstore.format.lock import lock_model
from attnstore.ingest import ingest
from attnstore.ingest.repair import Repaired, repair
from attnstore.runtime.durable import files_below, sha256_file

from ..models import CHAINS, ESM_VOCABULARY, save_esm

MODEL = Path("attention") / "tiny_esm"


def forget() -> None:
    """Nothing that was read of another store under the same name may answer."""
    from attnstore.format import segment, segment_files

    segment.open_segment.cache_clear()
    segment_files.check_part.cache_clear()


def digests(store: Path, model: str = "tiny_esm") -> dict[str, dict[str, str]]:
    """Of every file of every listed segment, by number."""
    directory = store / "attention" / model
    return {
        f"{entry.number}": {
            path.relative_to(directory / "segments" / entry.id).as_posix(): sha256_file(path)
            for path in files_below(directory / "segments" / entry.id)
        }
        for entry in Manifest.read(directory).segments
    }


def ids(store: Path) -> list[str]:
    return [entry.id for entry in Manifest.read(store / MODEL).segments]


def segment_file(store: Path, number: int, name: str) -> Path:
    (entry,) = (entry for entry in Manifest.read(store / MODEL).segments if entry.number == number)
    return store / MODEL / "segments" / entry.id / name


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def assert_refused(store: Path) -> None:
    """No question about the model is answered."""
    forget()
    with pytest.raises(StoreError):
        attnstore.open(store).align("contact", replicates=0)
    forget()


def assert_whole(store: Path, sound: Path, repaired: Repaired) -> None:
    """Sound, and the same as before to the last byte."""
    forget()
    assert repaired.left == []
    assert repaired.rebuilt
    assert attnstore.open(store).verify() == []
    assert digests(store) == digests(sound)
    assert Manifest.read(store / MODEL).skipped == Manifest.read(sound / MODEL).skipped
    again = repair(store, trust_source=True)
    assert (again.rebuilt, again.left, again.segments) == ([], [], 0)


def test_a_sound_store_is_left_alone(store_copy):
    before = {path: path.stat().st_mtime_ns for path in files_below(store_copy) if path.name != "lock"}
    assert repair(store_copy, trust_source=True) == Repaired()
    assert {path: path.stat().st_mtime_ns for path in files_below(store_copy) if path.name != "lock"} == before


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("codes.zarr/codes/c/1/0/0", flip),
        ("codes.zarr/codes/c/0/0/0", Path.unlink),
        ("marginals.zarr/received/c/0/0/0", lambda path: path.write_bytes(b"")),
        ("marginals.zarr/special/zarr.json", cut),
        ("arcs.parquet", cut),
        ("arcs.parquet", flip),
        ("proteins.parquet", flip),
        ("segment.json", flip),
        ("", shutil.rmtree),
    ],
)
def test_a_damaged_segment_alone_is_computed_again(store_copy, small_store, name, damage):
    before = ids(store_copy)
    damage(segment_file(store_copy, 1, name))
    assert_refused(store_copy)
    repaired = repair(store_copy, trust_source=True)
    assert repaired.segments == 1
    assert before[1] in repaired.rebuilt[0]
    after = ids(store_copy)
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]
    assert_whole(store_copy, small_store, repaired)


def test_a_file_that_does_not_belong_there_is_removed_and_nothing_computed(store_copy, small_store):
    stray = segment_file(store_copy, 1, "codes.zarr/stray")
    stray.write_text("?")
    before = ids(store_copy)
    repaired = repair(store_copy, trust_source=True)
    assert (repaired.segments, stray.exists(), ids(store_copy)) == (0, False, before)
    assert_whole(store_copy, small_store, repaired)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["manifest.json", "plan.json"])
def test_a_damaged_manifest_or_plan_is_made_of_the_segments(store_copy, small_store, name, damage):
    before = ids(store_copy)
    damage(store_copy / MODEL / name)
    repaired = repair(store_copy, trust_source=True)
    assert repaired.segments == 0
    assert (store_copy / MODEL / name).read_bytes() == (small_store / MODEL / name).read_bytes()
    assert ids(store_copy) == before
    assert_whole(store_copy, small_store, repaired)


def test_manifest_and_plan_and_a_segment_may_be_damaged_at_once(store_copy, small_store):
    codes = segment_file(store_copy, 2, "codes.zarr/codes/c/1/0/0")
    (store_copy / MODEL / "manifest.json").unlink()
    cut(store_copy / MODEL / "plan.json")
    flip(codes)
    repaired = repair(store_copy, trust_source=True)
    assert repaired.segments == 1
    assert_whole(store_copy, small_store, repaired)


def test_of_several_attempts_at_a_segment_a_sound_one_is_listed(store_copy, small_store):
    sound = segment_file(store_copy, 1, "")
    other, torn = sound.with_name("000001-00000000"), sound.with_name("000001-ffffffff")
    shutil.copytree(sound, other)
    flip(other / "arcs.parquet")
    shutil.copytree(sound, torn)
    (torn / "segment.json").unlink()
    before = ids(store_copy)
    (store_copy / MODEL / "manifest.json").unlink()
    repaired = repair(store_copy, trust_source=True)
    assert (repaired.segments, ids(store_copy)) == (0, before)
    assert_whole(store_copy, small_store, repaired)


def test_a_segment_that_was_under_way_when_the_manifest_was_lost_is_computed(store_copy, small_store):
    place = segment_file(store_copy, 0, "")
    (place / "segment.json").unlink()
    (place / "arcs.parquet").unlink()
    (store_copy / MODEL / "manifest.json").unlink()
    repaired = repair(store_copy, trust_source=True)
    assert repaired.segments == 1
    assert_whole(store_copy, small_store, repaired)


def test_a_segment_of_which_nothing_is_known_is_given_up_and_the_same_ingest_brings_it_back(
    store_copy, tiny_esm, chain_files
):
    shutil.rmtree(segment_file(store_copy, 1, ""))
    (store_copy / MODEL / "plan.json").unlink()
    repaired = repair(store_copy, trust_source=True)
    (said,) = repaired.left
    assert said.startswith("segment 000001-")
    assert said.endswith("is dropped, because nothing records its proteins: run the same ingest again.")
    forget()
    assert len(attnstore.open(store_copy).model().places) < len(CHAINS)
    ingest(store_copy, chain_files, model=str(tiny_esm), device="cpu", batch_pairs=64 * 128, segment_entries=25_000)
    forget()
    assert set(attnstore.open(store_copy).model().places) == set(CHAINS)
    assert attnstore.open(store_copy).verify() == []


def test_proteins_that_were_planned_and_are_not_there_are_skipped_where_the_manifest_was_lost(store_copy):
    plan = json.loads((store_copy / MODEL / "plan.json").read_bytes())
    del plan["sha256"], plan["version"]
    plan["segments"][1]["batches"].append(["failed"])
    layout.write_document(store_copy / MODEL / "plan.json", plan)
    (store_copy / MODEL / "manifest.json").unlink()
    assert repair(store_copy, trust_source=True).left == []
    (skipped,) = Manifest.read(store_copy / MODEL).skipped
    assert skipped.protein == "failed"
    assert "manifest" in skipped.reason


def test_until_it_is_computed_again_a_damaged_segment_stays_listed(store_copy, tiny_esm, tmp_path):
    flip(segment_file(store_copy, 1, "arcs.parquet"))
    (store_copy / MODEL / "manifest.json").unlink()
    elsewhere = tmp_path / "gone"
    for source in (elsewhere, save_esm(tmp_path / "other", seed=9)):
        repaired = repair(store_copy, model_source=str(source))
        (said,) = repaired.left
        assert said.startswith("model tiny_esm: 000001-")
        assert str(source) in said
        assert len(ids(store_copy)) == 3
        assert_refused(store_copy)
    assert repair(store_copy, model_source=str(tiny_esm)).segments == 1


def test_a_repair_that_was_killed_is_finished_by_the_next(store_copy, small_store, monkeypatch):
    from attnstore.ingest import repair as module

    for number in (0, 1):
        flip(segment_file(store_copy, number, "arcs.parquet"))
    write, written = layout.Manifest.write, []

    def killed(manifest: Manifest, directory: Path) -> None:
        write(manifest, directory)
        written.append(len(manifest.segments))
        if len(written) == 2:  # with the first replacement beside what it replaces
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(layout.Manifest, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            module.repair(store_copy, trust_source=True)
    assert_refused(store_copy)
    repaired = repair(store_copy, trust_source=True)
    assert repaired.segments <= 1
    forget()
    assert attnstore.open(store_copy).verify() == []
    assert digests(store_copy) == digests(small_store)


def test_a_model_being_ingested_is_left_to_its_ingest(store_copy):
    flip(segment_file(store_copy, 1, "arcs.parquet"))
    with lock_model(store_copy / MODEL, "model tiny_esm"):
        (said,) = repair(store_copy, trust_source=True).left
    assert said.startswith("model tiny_esm is being ingested by process ")


def test_a_damaged_description_of_a_model_is_named_and_the_other_model_repaired(store_copy, tiny_bert):
    ingest(store_copy, [], model=str(tiny_bert), device="cpu")
    flip(store_copy / MODEL / "model.json")
    codes = next((store_copy / "attention" / "tiny_bert").rglob("codes/c/0/0/0"))
    flip(codes)
    repaired = repair(store_copy, trust_source=True)
    assert repaired.segments == 1
    (said,) = repaired.left
    assert str(store_copy / MODEL / "model.json") in said
    assert " is damaged" in said
    assert said.endswith("so bring it back from a copy, or ingest under another name (name=…).")
    flip(store_copy / MODEL / "model.json")
    assert attnstore.open(store_copy).verify() == []


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_store_document_names_the_catalog_that_is_there_again(store_copy, small_store, damage):
    damage(store_copy / "store.json")
    repaired = repair(store_copy, trust_source=True)
    assert (store_copy / "store.json").read_bytes() == (small_store / "store.json").read_bytes()
    assert_whole(store_copy, small_store, repaired)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
@pytest.mark.parametrize("also", [None, "store.json"])
def test_a_damaged_catalog_is_built_again_from_the_inputs_alone(store_copy, small_store, chain_files, damage, also):
    catalog = attnstore.open(store_copy).catalog_path
    before = attnstore.open(store_copy).sql("SELECT * FROM residues ORDER BY ALL").df()
    damage(catalog)
    if also is not None:
        (store_copy / also).unlink()
    (said,) = repair(store_copy, trust_source=True).left
    assert said.endswith(f": `attnstore.repair({str(store_copy)!r}, [INPUT])` builds it again from what was ingested.")
    (said,) = repair(store_copy, chain_files[1:]).left
    assert said == "1AAA_A of the store's segments are missing: give all inputs that were ingested."
    assert not list(store_copy.glob(".catalog*"))
    repaired = repair(store_copy, chain_files)
    assert attnstore.open(store_copy).sql("SELECT * FROM residues ORDER BY ALL").df().equals(before)
    assert_whole(store_copy, small_store, repaired)


@pytest.mark.parametrize("name", ["store.json", "manifest.json", "plan.json", "model.json", "segment.json"])
def test_what_a_newer_version_wrote_is_not_touched(store_copy, name):
    path = next(store_copy.rglob(name))
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(content | {"version": 99}))
    before = {path: path.read_bytes() for path in files_below(store_copy)}
    with pytest.raises(StoreError, match=r"is of format version 99, newer than .* upgrade attnstore\.$"):
        repair(store_copy, trust_source=True)
    assert {path: path.read_bytes() for path in files_below(store_copy)} == before


def test_what_is_no_store_and_a_model_that_is_not_there_are_refused(store_copy, tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        repair(tmp_path / "nothing")
    with pytest.raises(StoreError, match="is not an attnstore store"):
        repair(tmp_path)
    with pytest.raises(StoreError, match=r"holds no model 'other'\.$"):
        repair(store_copy, model="other")


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    forget()
    return stop.value.code, *capfd.readouterr()


def test_the_command_says_what_it_did_and_what_is_left(store_copy, capfd):
    assert run(capfd, "repair", store_copy) == (0, f"{store_copy} is intact: there was nothing to repair.\n", "")
    arcs = segment_file(store_copy, 1, "arcs.parquet")
    flip(arcs)
    (identity,) = (part for part in arcs.parts if part.startswith("000001-"))
    code, out, err = run(capfd, "repair", store_copy, "--model-source", store_copy / "nowhere")
    assert (code, err) == (1, f"error: {store_copy} is still damaged in 1 place.\n")
    assert out.startswith(f"model tiny_esm: {identity} cannot be computed again: ")
    code, out, err = run(capfd, "repair", store_copy, "--json", "--trust-source")
    assert code == 0
    (said,) = (said for said in ids(store_copy) if said.startswith("000001-"))
    assert json.loads(out) == {
        "path": str(store_copy), "left": [], "segments": 1,
        "rebuilt": [f"segment {identity} of model tiny_esm was computed again, as {said}."],
    }  # fmt: skip
    assert run(capfd, "verify", store_copy)[0] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"randomize": "weights", "seed": 3},
        {"randomize": "sequence", "seed": 3},
        {"keep": ("arcs", "marginals", "hidden")},
        {"max_residues": 20, "precision": "bfloat16"},
    ],
)
def test_a_segment_is_computed_again_by_the_settings_that_were_recorded(store_copy, tiny_esm, tmp_path, settings):
    ingest(store_copy, [], model=str(tiny_esm), name="other", device="cpu", segment_entries=15_000, **settings)
    sound = tmp_path / "sound"
    shutil.copytree(store_copy, sound)
    directory = store_copy / "attention" / "other"
    entry = Manifest.read(directory).segments[1]
    (directory / "segments" / entry.id / "arcs.parquet").unlink()
    assert repair(store_copy, trust_source=True).segments == 1
    forget()
    assert attnstore.open(store_copy).verify() == []
    assert digests(store_copy, "other") == digests(sound, "other")


def test_a_protein_that_failed_stays_skipped(tmp_path):
    import torch

    def poison(module: torch.nn.Module) -> None:
        with torch.no_grad():
            module.get_parameter("embeddings.word_embeddings.weight")[ESM_VOCABULARY.index("U")] = float("nan")

    model = save_esm(tmp_path / "poisoned", poison)
    fasta = tmp_path / "x.fasta"
    fasta.write_text(">good\nACDEFGHIKLMNPQ\n>bad\nACDEUGHIKLMNP\n>other\nMKTAYIAKQRQI\n")
    store = tmp_path / "store"
    ingest(store, [fasta], model=str(model), name="tiny_esm", device="cpu")
    before, manifest = digests(store), Manifest.read(store / MODEL)
    assert [entry.protein for entry in manifest.skipped] == ["bad"]
    flip(segment_file(store, 0, "arcs.parquet"))
    assert repair(store, trust_source=True).segments == 1
    forget()
    assert attnstore.open(store).verify() == []
    assert digests(store) == before
    assert Manifest.read(store / MODEL).skipped == manifest.skipped
