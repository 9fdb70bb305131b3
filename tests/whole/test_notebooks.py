"""The notebooks run from top to bottom as a reader would run them, and their pages show them as they are."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from attnstore.runtime.durable import sha256_file

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
PAGES = ROOT / "docs" / "notebooks"

#: What a page has of a cell's outputs: text, pictures, and the word that there is something to interact with.
_OUTPUT = re.compile(
    r"```text\n.*?\n```\n\n?|!\[[^\]]*\]\([\w-]+\.png\)\n\n?|\*A notebook shows [^*]*\*\n\n?", re.DOTALL
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks_render", NOTEBOOKS / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


render = _renderer()


#: Before a notebook's own code: fewer chains for what it ingests itself.
FEWER = """
from attnstore import fetch

fetch.cgdms_chains = lambda chains=fetch.cgdms_chains()[::50]: chains
"""


def _outputs(page: str) -> list[str]:
    """The kinds of outputs of a page, in order."""
    return [match[0][0] for match in _OUTPUT.finditer(page)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, esm2_model, antiberty_model, cgdms_chains):
    """A folder with a store as `make demo` leaves it, of one chain in eighteen."""
    from attnstore.cli.demo import NAME
    from attnstore.ingest import ingest

    path = tmp_path_factory.mktemp("notebooks")
    ingest(path / "demo.attn", cgdms_chains[::18], model=str(esm2_model), name=NAME)
    return path


def _digests(store: Path) -> dict[str, str]:
    return {str(path.relative_to(store)): sha256_file(path) for path in store.rglob("*") if path.is_file()}


def test_every_notebook_is_run_and_listed():
    assert {path.stem for path in NOTEBOOKS.glob("*.py")} == {*render.NAMES, "render"}
    listed = _LINK.findall((PAGES / "index.md").read_text())
    assert [target for target in listed if "/" not in target] == [f"{name}.md" for name in render.NAMES]


@pytest.mark.parametrize("name", render.NAMES)
def test_it_runs_leaves_the_demo_alone_and_gives_what_its_page_shows(name, folder):
    before = _digests(folder / "demo.attn")
    notebook = render.run(name, folder, FEWER)
    assert _digests(folder / "demo.attn") == before
    page, pictures = render.page(notebook, name)
    assert _outputs(page) == _outputs((PAGES / f"{name}.md").read_text())
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())


@pytest.mark.parametrize("name", render.NAMES)
def test_its_page_has_its_prose_and_code(name):
    written, _ = render.page(render.read(name), name)
    shown = (PAGES / f"{name}.md").read_text()
    assert _outputs(shown), "rendered without being run"
    assert _OUTPUT.sub("", shown).rstrip() == written.rstrip(), f"python notebooks/render.py {name}"


@pytest.mark.parametrize("name", render.NAMES)
def test_its_page_has_its_pictures_and_leads_somewhere(name):
    page = (PAGES / f"{name}.md").read_text()
    targets = [target for target in _LINK.findall(page) if "://" not in target]
    assert [target for target in targets if not (PAGES / target).exists()] == []
    shown = [target for target in targets if target.endswith(".png")]
    assert sorted(shown) == sorted(path.name for path in PAGES.glob(f"{name}-*.png"))


def test_pages_are_small_and_tell_nothing_of_the_machine_they_were_made_on():
    assert sum(path.stat().st_size for path in PAGES.iterdir()) < 1.5e6
    for name in render.NAMES:
        page = (PAGES / f"{name}.md").read_text()
        assert os.fspath(Path.home()) not in page
        assert not re.search(r"/(tmp|root|home|work)/", page)


def test_a_notebook_leads_from_one_to_the_next():
    told = set(_LINK.findall((PAGES / "quick_start.md").read_text()))
    assert {f"{name}.md" for name in render.NAMES[1:]} <= told


def test_a_cell_that_fails_stops_the_run(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("# %%\n1 / 0\n")
    monkeypatch.setattr(render, "NOTEBOOKS", tmp_path)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        render.run("broken", tmp_path)


def test_a_page_shows_text_tables_pictures_and_what_to_interact_with(tmp_path, monkeypatch):
    cells = [
        "# %% [markdown]\n# # Title",
        "# %%\nimport sys\nprint('out')\nprint('err', file=sys.stderr)",
        "# %%\nimport pandas as pd\npd.DataFrame({'a': [1, 2], 'wide': ['x' * 150, 'y']})",
        "# %%\nfrom IPython.display import HTML\nHTML('<iframe srcdoc=\"page\"></iframe>')",
        "# %%\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    ]
    (tmp_path / "all.py").write_text("\n\n".join(cells) + "\n")
    monkeypatch.setattr(render, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(render, "PAGES", tmp_path / "pages")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "all-7.png").write_text("of an earlier run")
    render.write("all", tmp_path)
    page = (tmp_path / "pages" / "all.md").read_text()
    assert page.startswith("# Title\n\n```python\nimport sys\n")
    assert "```text\nout\n```" in page
    assert "err\n```" not in page
    assert f"1  {'x' * 150}\n2  y\n" in page
    assert "srcdoc" not in page.split("```")[-1]
    assert _outputs(page) == ["`", "`", "*", "!"]
    assert [path.name for path in sorted((tmp_path / "pages").iterdir())] == ["all-1.png", "all.md"]
    assert "![Title: figure 1](all-1.png)" in page
