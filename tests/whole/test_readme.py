"""The Python of the README, run as it stands on a small store that is made as the demo's is."""

import gzip
import re
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest

import attnstore
from attnstore.cli.demo import NAME
from attnstore.ingest import ingest

README = Path(__file__).resolve().parents[2] / "README.md"
STRUCTURE = README.parent / "tests" / "data" / "structures" / "1A8O.cif.gz"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, from which a notebook is run without a screen."""
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    return tmp_path


def lines(block: str) -> list[str]:
    """Statements of a block, which are a line each."""
    return [line for line in block.splitlines() if line.strip()]


@pytest.mark.filterwarnings("ignore:More than 20 figures")
def test_each_line_works_on_the_demos_store(here: Path, esm2_model: Path, cgdms_chains: list[Path]) -> None:
    (block,) = [block for block in BLOCKS if "demo.attn" in block]
    named = set(re.findall(r"\b\d[A-Z0-9]{3}_[A-Z]\b", block))
    assert named
    chosen = [path for path in cgdms_chains if path.name.split(".")[0] in named]
    ingest("demo.attn", [*chosen, *sorted(set(cgdms_chains) - set(chosen))[:20]], model=str(esm2_model), name=NAME)
    names: dict[str, object] = {}
    assert len(lines(block)) > 15
    for line in lines(block):
        exec(compile(line, line, "exec"), names)
    assert (here / "report" / "index.html").exists()
    assert isinstance(names["store"], attnstore.Store)
    found = names["store"].residues().df()
    assert found["ddg"].notna().sum() == 2


def test_proteins_of_ones_own_are_ingested_by_the_line(here: Path, tiny_esm: Path) -> None:
    (block,) = [block for block in BLOCKS if "my.attn" in block]
    (here / "structures").mkdir()
    shutil.copy(STRUCTURE, here / "structures")
    with gzip.open(here / "more.fasta.gz", "wt") as file:
        file.write(">one\nMKTAYIAKQR\n")
    source, replaced = re.subn(r'model="[^"]+"', f"model={str(tiny_esm)!r}", block)
    assert replaced == 1
    names: dict[str, object] = {}
    for line in lines(source):
        exec(compile(line, line, "exec"), names)
    assert attnstore.open("my.attn").document.proteins > 1
