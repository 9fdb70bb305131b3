"""Figures and questions need no display, no home folder and no cache that can be written to, and say nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Where matplotlib_inline and distributed are not installed, as with `pip install .`
SCRIPT = """
import sys
sys.modules.update({"matplotlib_inline": None, "distributed": None})
import attnstore
store = attnstore.open(sys.argv[1])
store.align("target.aa = 'L'", min_arcs=1, replicates=0).plot().savefig(sys.argv[2] + "/heads.png")
store.view("1FFF_A", layer=1, head=2).save(sys.argv[2] + "/matrix.svg")
from attnstore.__main__ import main
sys.argv = ["attnstore", "align", sys.argv[1], "contact", "--min-arcs", "1", "--plot", sys.argv[2] + "/command.pdf"]
main()
"""
#: Nobody can make a folder in these, root included.
NOWHERE = "/dev/null"

ENVIRONMENTS = {
    "a window's backend that nobody knows": {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": f"{NOWHERE}/rc"},
    "a notebook's backend, and nowhere to write": {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline", "HOME": NOWHERE, "XDG_CACHE_HOME": f"{NOWHERE}/c",
        "XDG_CONFIG_HOME": f"{NOWHERE}/c", "MPLCONFIGDIR": f"{NOWHERE}/m", "NUMBA_CACHE_DIR": f"{NOWHERE}/n",
    },
}  # fmt: skip


@pytest.mark.skipif(not Path(NOWHERE).exists(), reason="a file where a folder cannot be made")
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_figures_are_drawn_in_any_environment(small_store: Path, tmp_path: Path, name: str):
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, small_store, tmp_path], env=environment | ENVIRONMENTS[name],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"heads.png", "matrix.svg", "command.pdf"}
    assert "Traceback" not in done.stderr
    said = done.stderr.lower()
    assert not any(word in said for word in ("matplotlib", "mpl", "cache", "mkdir", "numba", "home"))
