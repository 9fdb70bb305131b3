"""A model by hub id: from the hub's cache, as on a machine that has fetched it before."""

import os
import shutil
import subprocess
import sys

import attnstore

_INGEST = "import sys; from attnstore.cli import main; main(sys.argv[1:])"


def attnstore_offline(cache, *arguments):
    environment = {**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", _INGEST, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_hub_id_is_loaded_and_names_the_model(tiny_esm, chain_files, tmp_path):
    repository = tmp_path / "cache" / "hub" / "models--someone--tiny_esm"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123456789abcdef")
    shutil.copytree(tiny_esm, repository / "snapshots" / "0123456789abcdef")
    done = attnstore_offline(tmp_path / "cache", "ingest", tmp_path / "s", *chain_files, "--model", "someone/tiny_esm")
    assert done.returncode == 0, done.stderr
    model = attnstore.open(tmp_path / "s").model("tiny_esm")
    assert model.document.source == "someone/tiny_esm"
    assert sum(entry.proteins for entry in model.manifest.segments) == len(chain_files)


def test_a_hub_id_that_cannot_be_had_is_one_sentence(chain_files, tmp_path):
    done = attnstore_offline(tmp_path / "cache", "ingest", tmp_path / "s", *chain_files, "--model", "someone/nothing")
    assert done.returncode == 1
    assert done.stderr.startswith("error: model someone/nothing cannot be loaded")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "s").exists()
