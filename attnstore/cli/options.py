"""Arguments and options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..tables import FORMATS

STORE = click.argument("store", type=click.Path(path_type=Path))


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--format`` and ``-o``."""
    function = click.option(
        "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of stdout."
    )(function)
    return click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)(function)
