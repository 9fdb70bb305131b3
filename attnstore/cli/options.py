"""Arguments and options that several commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..runtime.paths import user_path
from ..runtime.table_output import FORMATS

#: Time limit of every question.
TIMEOUT = click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="Stop with an error after this time, in seconds.  [default: no limit]",
)  # fmt: skip
STORE = click.argument("store", type=click.Path(path_type=Path))


#: How files with properties are read, the same for `ingest` and `annotate`.
_SOURCE_OPTIONS = (
    click.option("--fetch", is_flag=True, help="Download each INPUT that is not a file: PDB id or UniProt accession."),
    click.option(
        "--absent", type=click.Choice(["null", "false"]), default="null",
        help="Value of a feature that a file does not list: null (unknown) or false (the protein has none).",
    ),
    click.option(
        "--ligand-distance", type=click.FloatRange(min=0, min_open=True), metavar="Å",
        help="Largest distance, in Å, between heavy atoms of a binding residue and of its ligand.  "
        "[default: BioLiP's criterion, two pairs of atoms within their van der Waals radii + 0.5 Å]",
    ),
    click.option("--dssp", is_flag=True, help="Run mkdssp on structure files to assign secondary structure."),
    click.option(
        "--predicted", is_flag=True,
        help="Read B-factors as pLDDT in structure files that declare no experiment.",
    ),
)  # fmt: skip


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--fetch``, ``--absent``, ``--ligand-distance``, ``--dssp`` and ``--predicted``."""
    for option in reversed(_SOURCE_OPTIONS):
        function = option(function)
    return function


def files_and_entries(inputs: Sequence[Path], fetch: bool) -> tuple[list[Path], list[str]]:
    """Those of the inputs that are files, and those that are entries to fetch."""
    files = [path for path in inputs if not fetch or user_path(path).exists()]
    return files, [str(path) for path in inputs if path not in files]


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--format`` and ``-o``."""
    function = click.option(
        "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead of stdout."
    )(function)
    return click.option(
        "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True,
        help="Output format: table is for people, the others for programs.",
    )(function)  # fmt: skip


def layer_and_head(layer: int | None, head: str | None) -> tuple[int | None, int | None]:
    """Layer and head of ``--head 5-4``, or of ``--layer 5 --head 4``."""
    parts = [] if head is None else head.split("-")
    if not all(part.isdecimal() and part.isascii() for part in parts) or len(parts) > 2:
        raise click.BadParameter(
            f"{head!r} is not a head: write layer-head, both counted from 0, such as 5-4.", param_hint="--head"
        )
    numbers = [int(part) for part in parts]
    if len(numbers) == (1 if layer is None else 2) or (layer is not None and not numbers):
        raise click.UsageError("The head is not clear. Pass --head 5-4 (layer-head), or --layer 5 --head 4.")
    return (None, None) if not numbers else (layer, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
