"""Arguments and options that several commands share."""

import csv
import re
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
MODEL = click.option("--model", help="Name of the model; needed if the store has several.")
LEVEL = click.option("--level", type=float, default=0.95, help="Confidence level of the intervals, between 0 and 1.")
REPLICATES = click.option(
    "--replicates", type=click.IntRange(min=0), default=1000,
    help="Number of bootstrap replicates (0 disables the intervals).",
)  # fmt: skip
SCHEDULER = click.option(
    "--scheduler", metavar="ADDRESS",
    help="Address of a Dask scheduler that does the work, such as tcp://host:8786.  [default: threads of this machine]",
)  # fmt: skip
PLOT = click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw a figure to this file: .png, .svg or .pdf."
)


class _Head(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2
    """A number from 0; layer and head in one word, as tables print them, are two options."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value)
        both = re.fullmatch(r"(\d+)-(\d+)", text, re.ASCII)
        if both:
            self.fail(f"{text} names a layer and a head. Pass --layer {both[1]} --head {both[2]}.", param, ctx)
        return click.IntRange(min=0).convert(value, param, ctx)


HEAD = _Head()


class _Names(click.ParamType):  # type: ignore[type-arg]
    """Words separated by commas; a word that contains a comma is in double quotes, as in a CSV file."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(listed(value))


def listed(value: str) -> list[str]:
    """Words separated by commas; a word that contains a comma is in double quotes, as in a CSV file."""
    return [word.strip() for word in next(csv.reader([value], skipinitialspace=True), [])]


def names_option(
    flag: str,
    *,
    metavar: str,
    help: str,  # noqa: A002 - as click has it
    default: tuple[str, ...] | None = None,
) -> Callable[..., Any]:
    """Option for several words, separated by commas, or given several times.

    Parameters
    ----------
    flag : str
        Name of the option.
    metavar : str
        What its value looks like.
    help : str
        What it is for.
    default : tuple of str, optional
        Words if the option is not given.
    """

    def joined(context: click.Context, parameter: click.Parameter, values: tuple[tuple[str, ...], ...]) -> Any:
        return tuple(word for words in values for word in words) if values else default

    shown = f"{help}  [default: {','.join(default)}]" if default else help
    return click.option(
        flag, multiple=True, type=_Names(), callback=joined, show_default=False, metavar=metavar, help=shown
    )


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
