"""The wheel and the sdist as they are built: complete, typed, and of use where the source is not."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import attnstore
from tests.synthetic import random_proteins, write_store

ROOT = Path(__file__).parents[2]
USE = """
import sys
import attnstore, attnstore.ingest, attnstore.queries
assert attnstore.__file__.startswith(sys.argv[1]), attnstore.__file__
print(attnstore.open(sys.argv[2]).query("SELECT count(*) AS n FROM attention WHERE weight >= 0.5").n[0])
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist, built without the network from a copy of the tree."""
    tree, dist = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("attnstore", "ingest", "queries"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    build = f"import setuptools.build_meta as b; print(b.build_sdist({str(dist)!r}), b.build_wheel({str(dist)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(dist.glob("*.whl")), next(dist.glob("*.tar.gz"))


def expected() -> set[str]:
    """Modules and data of the package, as paths below the root of a wheel."""
    kinds = {".py", ".typed", ".jinja", ".css", ".js", ".json", ".html", ".txt"}
    folders = (ROOT / "attnstore", ROOT / "ingest", ROOT / "queries")
    found = set()
    for folder in folders:
        below = "" if folder.name == "attnstore" else "attnstore/"
        for file in folder.rglob("*"):
            if file.suffix in kinds and file.is_file():
                found.add(below + file.relative_to(ROOT).as_posix())
    return {re.sub(r"^attnstore/(attnstore/)", r"\1", name) for name in found}


def test_wheel_and_sdist_hold_every_module_and_its_data(built):
    wheel, sdist = built
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {"attnstore/py.typed", "attnstore/ingest/__init__.py", "attnstore/queries/__init__.py"} <= inside
    assert {Path(name).suffix for name in inside} >= {".jinja", ".css", ".js", ".json"}
    assert expected() - inside == set()
    assert not [name for name in inside if not name.startswith(("attnstore/", "attnstore-"))]
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[-1] for member in archive.getmembers()}
    assert expected() - names == set()


def test_the_wheel_is_of_use_where_the_source_is_not(built, tmp_path):
    target = tmp_path / "target"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(built[0])], check=True, capture_output=True)
    write_store(tmp_path / "small", random_proteins(1, [20, 30]))
    ours = attnstore.open(tmp_path / "small").query("SELECT count(*) AS n FROM attention WHERE weight >= 0.5").n[0]
    packages = [path for path in sys.path if path.endswith("site-packages")]
    # -S: no site, and so nothing of an editable installation.
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", USE, str(target), str(tmp_path / "small")],
        cwd=tmp_path,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(target), *packages])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == ours


def test_one_version_everywhere(built):
    metadata = next(name for name in zipfile.ZipFile(built[0]).namelist() if name.endswith(".dist-info/METADATA"))
    text = zipfile.ZipFile(built[0]).read(metadata).decode()
    assert re.search(r"^Version: (.*)$", text, re.MULTILINE)[1] == attnstore.__version__
    cited = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", cited, re.MULTILINE)[1] == attnstore.__version__
