"""Run the notebooks and write them, with what came out, as pages of the documentation.

``python notebooks/render.py`` in a folder with the demo's store (`make notebooks`). A notebook is run in the current
folder, in a separate kernel, and becomes `docs/notebooks/NAME.md` with its pictures in the same folder.
"""

from __future__ import annotations

import base64
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

NOTEBOOKS = Path(__file__).parent
PAGES = NOTEBOOKS.parent / "docs" / "notebooks"

#: In the order in which they are to be read.
NAMES = ("quick_start", "paper", "own_property", "two_models", "contacts")

#: Tables as text, in full width; a notebook shows them as HTML.
_SETUP = """
import pandas as pd
from attnstore.runtime.table_output import text_table

def _table(frame, printer, cycle):
    printer.text(text_table(frame))

get_ipython().display_formatter.formatters["text/plain"].for_type(pd.DataFrame, _table)
"""

#: A picture is named by the heading it stands under.
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def read(name: str) -> nbformat.NotebookNode:
    """A notebook, not yet run."""
    return jupytext.read(NOTEBOOKS / f"{name}.py")


def run(name: str, folder: Path, before: str = "") -> nbformat.NotebookNode:
    """The same with its outputs, run from top to bottom in a folder, after code that is not shown.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; the message quotes it.
    """
    notebook = read(name)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(_SETUP + before))
    with tempfile.TemporaryDirectory() as sockets:
        # Through files of this user's own, not through ports that everyone on the machine can reach.
        kernel = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, kernel_name="python3", timeout=600, resources=where, config=kernel).execute()
    del notebook.cells[0]
    return notebook


def page(notebook: nbformat.NotebookNode, name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures by file name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            heading = [heading, *_HEADING.findall(cell.source)][-1]
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for kind, content in _shown(cell.outputs):
            if kind == "image/png":
                picture = f"{name}-{len(pictures) + 1}.png"
                pictures[picture] = base64.b64decode(content)
                parts.append(f"![{heading}: figure {len(pictures)}]({picture})")
            elif kind == "text/html":
                parts.append("*A notebook shows something to interact with here.*")
            else:
                parts.append(f"```text\n{_clean(content)}\n```")
    return "\n\n".join(parts) + "\n", pictures


def _shown(outputs: list[Any]) -> Iterator[tuple[str, str]]:
    """Type and content of what a page shows of a cell's outputs; nothing of standard error, where progress goes."""
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stdout":
                yield "text/plain", output.text
            continue
        data = output.data
        interactive = "<iframe" in data.get("text/html", "")
        kind = "image/png" if "image/png" in data else "text/html" if interactive else "text/plain"
        yield kind, data[kind]


def _clean(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def write(name: str, folder: Path) -> None:
    """Run a notebook and write its page; pictures of an earlier run are removed."""
    text, pictures = page(run(name, folder), name)
    PAGES.mkdir(parents=True, exist_ok=True)
    for old in PAGES.glob(f"{name}-*.png"):
        old.unlink()
    for picture, content in pictures.items():
        (PAGES / picture).write_bytes(content)
    (PAGES / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        print(each, file=sys.stderr)
        write(each, Path.cwd())
