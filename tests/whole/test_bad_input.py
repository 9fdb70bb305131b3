"""What goes wrong at the command line ends in one sentence, exit status 1, and a store as it was before."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import attnstore
from attnstore import cli
from attnstore.runtime.durable import files_below, replace_json

from ..models import CHAINS, HIDDEN, save_bert, save_esm, write_chains

Refused = Callable[..., str]


def tree_digest(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files_below(directory)
    }


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refused:
    """Run the command line, which must end with one line of error and status 1; returns what it says."""

    def run(*arguments: object) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(list(map(str, arguments)))
        printed = capfd.readouterr()
        assert stop.value.code == 1
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("error: ")
        assert "Traceback" not in line
        return line.removeprefix("error: ")

    return run


@pytest.fixture
def misused(capfd: pytest.CaptureFixture[str]) -> Refused:
    """The same for wrong usage: status 2, and the last line is the error."""

    def run(*arguments: object) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(list(map(str, arguments)))
        printed = capfd.readouterr()
        assert stop.value.code == 2
        assert printed.out == ""
        assert "Traceback" not in printed.err
        line = printed.err.splitlines()[-1]
        assert line.startswith("Error: ")
        return line.removeprefix("Error: ")

    return run


def text(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


NUCLEIC = (
    "ATOM      1  P    DA A   1       1.000   1.000   1.000  1.00  0.00           P  \n"
    "ATOM      2  P    DC A   2       5.000   1.000   1.000  1.00  0.00           P  \nEND\n"
)

#: Name, content, and what the message has to say: where, what, and the cure.
BAD_FILES = {
    "empty": ("x.fasta", "", "{path} is empty", "give a file with '>id' lines"),
    "no sequence": ("x.fasta", ">a\nACD\n>b\n>c\nACD\n", "{path}:3: record b has no sequence", "add it or remove"),
    "one id, two sequences": (
        "x.fasta", ">a\nACDEF\n>a\nACDEG\n", "{path}:3: a stands for another sequence already (in {path}:1)",
        "give one of them another id",
    ),
    "no amino acid": ("x.fasta", ">a\nACD\nA1D\n", "{path}:3: record a has '1'", "correct it or write X"),
    "cut gzip": (
        "x.fasta.gz", gzip.compress(b">a\nACDEFGHIKL\n" * 40)[:-12], "{path} ends in the middle of its gzip",
        "copy it again",
    ),
    "no gzip": ("x.fasta.gz", ">a\nACD\n", "{path} is named .gz but is not gzip", "take the .gz off"),
    "PDB without protein": ("x.pdb", NUCLEIC, "{path} has no protein", ""),
    "unknown format": ("x.csv", "1,2\n", "{path} has an unknown format", "the known ones are"),
    "cgdms short of rows": ("x.txt", "ACD\nHHH\n" + " ".join(["1.0"] * 12), "{path} has 1 rows", "one row per residue"),
    "not text": ("x.fasta", b">a\nAC\xff\n", "{path}:2 holds the byte 0xff", "save the file as UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_input_is_named_with_its_place_and_leaves_no_store(tmp_path, tiny_esm, refused, kind):
    name, content, what, cure = BAD_FILES[kind]
    path = text(tmp_path, name, content)
    store = tmp_path / "new" / "store"
    message = refused("ingest", store, path, "--model", tiny_esm)
    assert message.startswith(what.format(path=path))
    assert cure in message
    assert not store.parent.exists()


@pytest.mark.parametrize("kind", ["one id, two sequences", "no sequence", "cut gzip"])
def test_a_bad_input_leaves_an_existing_store_as_it_was(tmp_path, store_copy, tiny_esm, refused, kind):
    name, content, what, _ = BAD_FILES[kind]
    path = text(tmp_path, name, content)
    good = text(tmp_path, "good.fasta", ">new\nACDEFGHIKL\n")
    before = tree_digest(store_copy)
    assert refused("ingest", store_copy, good, path, "--model", tiny_esm).startswith(what.format(path=path))
    assert tree_digest(store_copy) == before


def test_an_id_of_the_store_with_another_sequence_is_refused(tmp_path, store_copy, tiny_esm, refused):
    name = next(iter(CHAINS))
    path = text(tmp_path, "x.fasta", f">{name}\nACDEFG\n")
    before = tree_digest(store_copy)
    message = refused("ingest", store_copy, path, "--model", tiny_esm)
    assert message == (
        f"{path}:1: {name} stands for another sequence already (in the store): give one of them another id."
    )
    assert tree_digest(store_copy) == before


def test_the_same_record_twice_is_one_protein(tmp_path, tiny_esm, capfd):
    path = text(tmp_path, "x.fasta", ">a\nACDEF\n>a\nACDEF\n")
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", str(tmp_path / "store"), str(path), "--model", str(tiny_esm)])
    assert stop.value.code == 0
    opened = attnstore.open(tmp_path / "store")
    assert opened.sql("SELECT id, length, members FROM proteins").fetchall() == [("a", 5, 1)]


def test_a_missing_input_is_found_before_any_is_read(tmp_path, tiny_esm, refused):
    good = text(tmp_path, "good.fasta", ">a\nACDEF\n")
    missing = tmp_path / "missing.fasta"
    message = refused("ingest", tmp_path / "store", good, missing, "--model", tiny_esm)
    assert message == f"{missing} does not exist; check the path."
    assert not (tmp_path / "store").exists()


# --- models


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    return text(tmp_path, "good.fasta", ">a\nACDEFGHIKLMNPQRSTVWY\n>b\nMKTAYIAKQR\n")


def test_a_model_folder_that_does_not_exist_is_named(tmp_path, fasta, refused):
    message = refused("ingest", tmp_path / "store", fasta, "--model", tmp_path / "nowhere")
    assert message == f"model folder '{tmp_path / 'nowhere'}' does not exist: give a hub id, or a folder that is there."
    assert not (tmp_path / "store").exists()


def test_a_model_folder_without_weights_says_which_files_are_wanted(tmp_path, fasta, refused):
    model = save_esm(tmp_path / "model")
    (model / "model.safetensors").unlink()
    message = refused("ingest", tmp_path / "store", fasta, "--model", model)
    folder = re.escape(str(model))
    said = rf"model folder {folder} has no weights \(there are .*\): it needs one of model\.safetensors, "
    assert re.match(said, message), message
    assert not (tmp_path / "store").exists()


def test_a_model_folder_without_config_is_refused(tmp_path, fasta, refused):
    (tmp_path / "model").mkdir()
    message = refused("ingest", tmp_path / "store", fasta, "--model", tmp_path / "model")
    assert "is empty: give the folder that transformers saved" in message
    (save_esm(tmp_path / "other") / "config.json").unlink()
    message = refused("ingest", tmp_path / "store", fasta, "--model", tmp_path / "other")
    assert "has no config.json" in message
    assert not (tmp_path / "store").exists()


def test_a_model_file_is_refused(tmp_path, fasta, refused):
    message = refused("ingest", tmp_path / "store", fasta, "--model", fasta)
    assert "is a file: give a hub id, or the folder" in message
    assert not (tmp_path / "store").exists()


def test_a_model_whose_weights_lack_a_tensor_is_not_run_on_random_ones(tmp_path, fasta, refused):
    from safetensors.torch import load_file, save_file

    model = save_esm(tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    lost = next(name for name in tensors if name.endswith("layer.1.attention.self.key.weight"))
    del tensors[lost]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    message = refused("ingest", tmp_path / "store", fasta, "--model", model)
    assert "lacks weights for 1 of its parameters" in message
    assert lost in message
    assert "its attention would be random" in message
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("how", ["cut", "emptied"])
def test_weights_that_are_cut_short_are_refused(tmp_path, fasta, refused, how):
    model = save_esm(tmp_path / "model")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000] if how == "cut" else b"")
    message = refused("ingest", tmp_path / "store", fasta, "--model", model)
    assert message == f"{weights} is not a whole file of safetensors (its header is cut short): copy it again."
    assert not (tmp_path / "store").exists()


def test_a_tokenizer_that_merges_residues_is_refused_and_shown(tmp_path, fasta, refused):
    from tokenizers import Tokenizer, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    model = save_bert(tmp_path / "model")
    for path in model.glob("*token*"):
        path.unlink()
    (model / "vocab.txt").unlink()
    tokenizer = Tokenizer(BPE(unk_token="[UNK]"))
    tokenizer.train_from_iterator(
        ["ACDEFGHIKLMNPQRSTVWY" * 3] * 5, trainers.BpeTrainer(vocab_size=28, special_tokens=["[UNK]", "[PAD]"])
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(model)
    message = refused("ingest", tmp_path / "store", fasta, "--model", model)
    assert "does not give one token per residue (ACDEFG becomes " in message
    assert "residue-level vocabulary" in message
    assert not (tmp_path / "store").exists()


def test_a_tokenizer_that_lower_cases_by_mistake_is_put_right(tmp_path, fasta, capfd):
    model = save_bert(tmp_path / "model", lower_case=True)
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", str(tmp_path / "store"), str(fasta), "--model", str(model), "--name", "m"])
    assert stop.value.code == 0
    assert attnstore.open(tmp_path / "store").model().document.tokenizer["settings"] == {"do_lower_case": False}


def test_a_model_outside_the_attention_interface_is_refused(tmp_path, fasta, refused):
    import torch
    from transformers import BertTokenizer, DebertaConfig, DebertaModel

    bert = save_bert(tmp_path / "bert")
    model = tmp_path / "model"
    torch.manual_seed(0)
    shape = {"hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    DebertaModel(DebertaConfig(vocab_size=30, **shape)).save_pretrained(model)
    BertTokenizer.from_pretrained(bert, do_lower_case=False).save_pretrained(model)
    message = refused("ingest", tmp_path / "store", fasta, "--model", model)
    assert message == (
        "DebertaModel gave 0 layers of attention where it has 2: it does not dispatch through transformers' "
        "attention interface."
    )
    assert not (tmp_path / "store").exists()


def poison(parameter: str, row: int | None = None) -> Callable[[object], None]:
    """Put NaN into a parameter, or a row of it."""
    import torch

    def change(module: object) -> None:
        with torch.no_grad():
            module.get_parameter(parameter)[... if row is None else row] = float("nan")  # type: ignore[attr-defined]

    return change


@pytest.mark.parametrize("layer", [0, 2])
def test_a_model_of_nan_weights_is_refused_before_anything_is_written(tmp_path, fasta, refused, layer):
    model = save_esm(tmp_path / "model", poison(f"encoder.layer.{layer}.attention.self.key.weight"))
    message = refused("ingest", tmp_path / "store", fasta, "--model", model)
    assert message == f"EsmModel: the attention of layer {layer} is NaN on a probe of ordinary residues."
    assert not (tmp_path / "store").exists()


def test_strict_makes_nan_attention_fatal_and_names_the_protein_and_the_layer(tmp_path, capfd):
    # Only selenocysteine is NaN, which no probe of the twenty amino acids finds.
    model = save_esm(tmp_path / "model", poison("embeddings.word_embeddings.weight", row=26))
    path = text(tmp_path, "x.fasta", ">long\nACDEFGHIKLMNPQRSTVWY\n>seleno\nACDEUGHIKL\n>short\nACD\n")
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", str(tmp_path / "store"), str(path), "--model", str(model), "--strict"])
    last = capfd.readouterr().err.splitlines()[-1]
    assert stop.value.code == 1
    assert last == "error: seleno: attention of layer 0 holds a weight that is NaN, negative or above one."
    opened = attnstore.open(tmp_path / "store")
    assert opened.model().manifest.segments == ()
    assert opened.verify() == []
    assert not list((tmp_path / "store").rglob("codes.zarr"))


# --- stores


def newer(store: Path) -> str:
    path = store / "store.json"
    replace_json(path, json.loads(path.read_bytes()) | {"version": 2})
    return f"{path} is of format version 2, newer than the 1 that this attnstore reads: upgrade attnstore."


def newer_model(store: Path) -> str:
    path = store / "attention" / "tiny_esm" / "model.json"
    replace_json(path, json.loads(path.read_bytes()) | {"version": 2})
    return f"{path} is of format version 2, newer than the 1 that this attnstore reads: upgrade attnstore."


def another_format(store: Path) -> str:
    path = store / "store.json"
    replace_json(path, {"format": "other", "version": 1})
    return f"{store} is not an attnstore store: store.json names another format."


COMMANDS = {
    "align": ("align", "{store}", "contact"),
    "sql": ("sql", "{store}", "SELECT 1"),
    "info": ("info", "{store}"),
    "verify": ("verify", "{store}"),
    "ingest": ("ingest", "{store}", "{fasta}", "--model", "{model}", "--name", "tiny_esm"),
}


def command(name: str, **places: Path) -> list[str]:
    return [word.format(**places) for word in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("change", [newer, newer_model, another_format])
def test_a_store_of_a_newer_version_or_another_format_is_refused(store_copy, fasta, tiny_esm, refused, change, name):
    message = change(store_copy)
    if name == "ingest" and change is newer_model:
        fasta = text(fasta.parent, "same.fasta", "".join(f">{n}\n{s}\n" for n, s in sequences(store_copy)))
    before = tree_digest(store_copy)
    assert refused(*command(name, store=store_copy, fasta=fasta, model=tiny_esm)) == message
    assert tree_digest(store_copy) == before


def sequences(store: Path) -> list[tuple[str, str]]:
    import duckdb

    (catalog,) = store.glob("catalog-*.duckdb")
    with duckdb.connect(str(catalog), read_only=True) as connection:
        return connection.execute("SELECT id, sequence FROM proteins").fetchall()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "ingest"])
def test_a_directory_that_is_no_store_is_refused(tmp_path, refused, name):
    (tmp_path / "folder").mkdir()
    message = refused(*command(name, store=tmp_path / "folder"))
    assert message == f"{tmp_path / 'folder'} is not an attnstore store: it has no store.json."
    missing = refused(*command(name, store=tmp_path / "missing"))
    path = tmp_path / "missing"
    assert missing == f"{path} does not exist: `attnstore ingest {path} INPUT --model MODEL` makes one."


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_in_the_place_of_a_store_is_refused_and_left_alone(tmp_path, fasta, tiny_esm, refused, name):
    path = text(tmp_path, "file", "mine")
    assert refused(*command(name, store=path, fasta=fasta, model=tiny_esm)).startswith(f"{path} is ")
    assert path.read_text() == "mine"


def test_ingest_into_a_folder_of_other_files_is_refused_and_leaves_them(tmp_path, fasta, tiny_esm, refused):
    folder = tmp_path / "thesis"
    folder.mkdir()
    text(folder, "chapter.tex", "words")
    message = refused("ingest", folder, fasta, "--model", tiny_esm)
    assert message == f"{folder} is neither empty nor an attnstore store: give another directory."
    assert tree_digest(folder).keys() == {"chapter.tex"}


def test_a_failed_ingest_into_an_empty_folder_leaves_it_empty(tmp_path, tiny_esm, refused):
    folder = tmp_path / "empty"
    folder.mkdir()
    refused("ingest", folder, tmp_path / "missing", "--model", tiny_esm)
    assert list(folder.iterdir()) == []


def test_a_store_below_a_file_is_refused(tmp_path, fasta, tiny_esm, refused):
    path = text(tmp_path, "file", "mine")
    message = refused("ingest", path / "store", fasta, "--model", tiny_esm)
    assert str(path) in message
    assert "cannot be written" in message


def test_ingest_without_inputs_into_a_store_without_proteins_is_refused(tmp_path, tiny_esm, refused):
    message = refused("ingest", tmp_path / "store", "--model", tiny_esm)
    path = tmp_path / "store"
    assert message == f"{path} holds no proteins yet: `attnstore ingest {path} INPUT --model MODEL` adds some."
    assert not (tmp_path / "store").exists()


# --- questions


def test_an_unknown_model_is_refused_with_those_there_are(small_store, refused):
    message = refused("align", small_store, "contact", "--model", "esm9")
    assert message == "the store holds no model 'esm9': it has tiny_esm."


def test_an_unknown_column_is_refused_with_the_closest(small_store, refused):
    message = refused("align", small_store, "target.lenght > 3")
    assert "there is no target.lenght" in message
    assert "target." in message


def test_an_unknown_column_of_sql_is_refused(small_store, refused):
    assert "lenght" in refused("sql", small_store, "SELECT lenght FROM proteins")


@pytest.mark.parametrize("statement", ["DROP TABLE proteins", "SELECT 1; SELECT 2", "COPY proteins TO 'x.csv'", "  "])
def test_sql_that_is_not_one_select_is_refused(small_store, refused, statement):
    assert refused("sql", small_store, statement).startswith("a query is exactly one SELECT statement; this is ")


def test_sql_cannot_read_another_file(tmp_path, small_store, refused):
    secret = text(tmp_path, "secret.csv", "a\n1\n")
    assert "secret" in refused("sql", small_store, f"SELECT * FROM read_csv('{secret}')")


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
@pytest.mark.parametrize("asked", [("align", "contact"), ("sql", "SELECT 1 AS one")])
def test_an_output_in_a_missing_directory_is_refused(tmp_path, small_store, refused, asked, form):
    output = tmp_path / "missing" / "out"
    message = refused(asked[0], small_store, asked[1], "--format", form, "-o", output)
    assert message == f"{output} cannot be written: No such file or directory."


def test_a_plot_of_unknown_suffix_is_refused_before_the_question_is_answered(tmp_path, small_store, refused):
    plot = tmp_path / "x.bmp"
    message = refused("align", small_store, "contact", "--plot", plot)
    assert message == f"{plot} names no kind of figure that can be written: end it in one of .png, .svg, .pdf."
    assert not plot.exists()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--threshold", "abc"), "--threshold"),
        (("--background", "guess"), "--background"),
        (("--tier", "guess"), "--tier"),
        (("--format", "xml"), "--format"),
        (("--top", "0"), "--top"),
        (("--min-arcs", "-1"), "--min-arcs"),
        (("--nonsense",), "--nonsense"),
        (("more",), "more"),
    ],
)
def test_wrong_usage_names_the_option(small_store, misused, options, name):
    assert name in misused("align", small_store, "contact", *options)


@pytest.mark.parametrize("threshold", ["1.5", "-0.1", "nan", "inf"])
def test_a_threshold_out_of_range_is_refused(small_store, refused, threshold):
    assert "is not a number from 0 to 1" in refused("align", small_store, "contact", f"--threshold={threshold}")


# --- a file system without locks


def test_a_store_on_a_file_system_without_locks_is_written_with_a_warning(tmp_path, fasta, tiny_esm, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    from attnstore.ingest import ingest

    flock = fcntl.flock

    def without_directories(file: object, how: int) -> None:
        if isinstance(file, int):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", without_directories)
    store = tmp_path / "store"
    with pytest.warns(UserWarning, match="file system without locks") as caught:
        summary = ingest(store, [fasta], model=str(tiny_esm), device="cpu")
    (said,) = {str(warning.message) for warning in caught if "file system" in str(warning.message)}
    assert said == (
        f"{store} lies on a file system without locks ({os.strerror(errno.ENOLCK)}): ingest by one command at a time."
    )
    assert summary.proteins > 0
    assert attnstore.open(store).verify() == []


# --- a full disk

# A file may not grow beyond a limit that is set after everything is loaded and compiled: as on a full disk, a write
# of anything larger fails. Each limit gets a store of its own.
LIMITED = """
import json, resource, shutil, signal, sys
from pathlib import Path
from attnstore.ingest import ingest
from attnstore.errors import AttnstoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
scratch, model, before = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
chains, settings, limits = map(json.loads, sys.argv[4:])
# Everything is loaded and compiled before the first limit; what this makes, the kind "segments" begins with.
shutil.copytree(before, scratch / "warm")
ingest(scratch / "warm", chains, model=model, **settings | {"name": "other"})
for kind, sizes in limits.items():
    for size in sizes:
        store = scratch / f"{kind}-{size}"
        if kind != "fresh":
            shutil.copytree(before if kind == "catalog" else scratch / "warm", store)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            ingest(store, () if kind == "segments" else chains, model=model, **settings)
            said = None
        except AttnstoreError as error:
            said = [type(error).__name__, str(error)]
        except BaseException as error:
            said = ["not meant for users: " + type(error).__name__, str(error)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        print(json.dumps([kind, size, said]))
"""

#: Bytes that a file may grow to. "fresh" makes a store; "catalog" adds proteins to one; "segments" runs the model over
#: proteins that the catalog has, and meets the plan first, then the parts of a segment.
LIMITS = {
    "fresh": [0, 100, 1_000, 100_000, 1_000_000],
    "catalog": [0, 1_000, 1_000_000],
    "segments": [0, 300, 600, 900, 1_100, 1_300, 1_500, 2_000, 2_700, 4_000, 5_000],
}
SETTINGS = {"name": "tiny_esm", "device": "cpu", "batch_pairs": 64 * 128, "segment_entries": 25_000}


@pytest.fixture(scope="module")
def full_disks(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, small_store: Path) -> dict[str, object]:
    """What each ingest said, the folder of the stores, and the chains."""
    pytest.importorskip("resource")
    scratch = tmp_path_factory.mktemp("full")
    chains = [str(path) for path in write_chains(tmp_path_factory.mktemp("more"), {"3AAA_A": 35, "3BBB_B": 22})]
    arguments = (scratch, tiny_esm, small_store, *map(json.dumps, (chains, SETTINGS, LIMITS)))
    done = subprocess.run([sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=True)
    said = {(kind, limit): words for kind, limit, words in map(json.loads, done.stdout.splitlines())}
    return {"scratch": scratch, "said": said, "chains": chains}


@pytest.mark.parametrize(("kind", "limit"), [(kind, limit) for kind, sizes in LIMITS.items() for limit in sizes])
def test_a_full_disk_is_one_sentence_and_keeps_what_was_committed(full_disks, small_store, tiny_esm, kind, limit):
    from attnstore.ingest import ingest

    said = full_disks["said"][kind, limit]
    store = full_disks["scratch"] / f"{kind}-{limit}"
    assert said is not None, "nothing was too large"
    assert said[0] == "StoreError", said
    assert "\n" not in said[1]
    assert "File too large" in said[1], said
    if kind == "fresh":
        assert not store.exists()
    else:
        assert attnstore.open(store).verify() == []
        before = attnstore.open(small_store).attention("1CCC_A", layer=0)
        assert attnstore.open(store).attention("1CCC_A", layer=0, model="tiny_esm").identical(before)
    summary = ingest(store, full_disks["chains"], model=str(tiny_esm), **SETTINGS)
    assert summary.proteins == (2 if kind == "fresh" else len(CHAINS) + 2)
    assert attnstore.open(store).verify() == []


def test_the_limits_meet_every_part_of_a_store(full_disks):
    said = "\n".join(str(words) for words in full_disks["said"].values())
    for part in ("store.json", "catalog", "plan.json", "segment 0"):
        assert part in said, said


def test_a_manifest_that_cannot_be_written_commits_nothing_and_says_so(
    tmp_path, store_copy, tiny_esm, monkeypatch, capfd
):
    (chain,) = write_chains(tmp_path / "chains", {"3AAA_A": 35})
    arguments = ["ingest", store_copy, chain, "--model", tiny_esm, "--device", "cpu", "--name", "second"]
    manifest = store_copy / "attention" / "second" / "manifest.json"
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target) == manifest and any(manifest.parent.glob("segments/*")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(SystemExit) as stop:
            cli.main(list(map(str, arguments)))
    assert stop.value.code == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"error: {manifest} cannot be written (No space left on device): what was committed before is untouched."
    )
    opened = attnstore.open(store_copy)
    assert opened.verify() == []
    assert opened.model("second").manifest.segments == ()
    assert set(opened.model("tiny_esm").places) == set(CHAINS)


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A file system of 1.6 MB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = hasattr(os, "geteuid") and os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1600k", "tmpfs", place], capture_output=True, check=False
    ).returncode  # fmt: skip
    if not mounted:
        pytest.skip("this process may not mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_file_system_that_is_full_ends_an_ingest_in_one_sentence(tmp_path, tiny_disk, tiny_esm, capfd):
    chains = write_chains(tmp_path / "chains", {f"4C{number:02d}_A": 90 - number for number in range(12)})
    store = tiny_disk / "store"
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", str(store), str(chains[0]), "--model", str(tiny_esm), "--device", "cpu"])
    assert stop.value.code == 0
    before = attnstore.open(store).attention("4C00_A")
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", str(store), str(tmp_path / "chains"), "--model", str(tiny_esm), "--device", "cpu"])
    assert stop.value.code == 1
    assert capfd.readouterr().err.splitlines()[-1].startswith("error: ")
    assert attnstore.open(store).verify() == []
    assert attnstore.open(store).attention("4C00_A").identical(before)
    assert np.isfinite(before.values).all()
