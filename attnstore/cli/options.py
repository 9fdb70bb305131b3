"""Arguments and options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..tables import FORMATS

STORE = click.argument("store", type=click.Path(path_type=Path))


#: How files that tell of properties are read, alike for `ingest` and `annotate`.
_SOURCE_OPTIONS = (
    click.option("--fetch", multiple=True, metavar="ID", help="PDB id or UniProt accession to fetch; may be repeated."),
    click.option(
        "--absent", type=click.Choice(["null", "false"]), default="null",
        help="What it means that a source names no feature of a kind: nothing is known, or there is none.",
    ),
    click.option(
        "--ligand-distance", type=click.FloatRange(min=0, min_open=True), default=5.0, metavar="Å",
        help="From ligand to binding site, both heavy atoms.",
    ),
    click.option("--dssp", is_flag=True, help="Run mkdssp on structure files."),
)  # fmt: skip


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--fetch``, ``--absent``, ``--ligand-distance`` and ``--dssp``."""
    for option in reversed(_SOURCE_OPTIONS):
        function = option(function)
    return function


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--format`` and ``-o``."""
    function = click.option(
        "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of stdout."
    )(function)
    return click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)(function)
