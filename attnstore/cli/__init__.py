"""The command `attnstore`. Results go to stdout, progress and warnings to stderr.

Exit status: 0, 1 for a task that failed, 2 for wrong usage.
"""

import logging
import sys
import warnings
from typing import Any, NoReturn

import click

from ..errors import AttnstoreError
from ..runtime.faults import check_address_space, machine_error
from ..version import __version__
from .align import align
from .contacts import contacts
from .convert import convert_tape
from .demo import demo
from .ingest import ingest
from .messages import speaking, typed
from .probe import probe
from .properties import annotate, export, properties
from .query import query
from .report import report
from .reproduce import reproduce
from .stores import info, repair, sql, verify
from .view import view


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="attnstore")
def cli() -> None:
    """Ingest the attention of protein language models once; ask it anything afterwards."""


for command in (
    ingest, annotate, info, properties, align, query, contacts, report, reproduce, probe, view, sql, export, verify,
    repair, demo, convert_tape,
):  # fmt: skip
    cli.add_command(speaking(command))


def _show_warning(message: Warning | str, *_: Any) -> None:
    context = click.get_current_context(silent=True)
    said = str(message) if context is None else typed(str(message), context)
    click.echo(f"warning: {said}", err=True)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command: errors that the user can correct become one line on stderr, and an exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        check_address_space()
        cli(arguments, prog_name="attnstore", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except AttnstoreError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt) as stop:
        # click wraps an interruption in this, a RuntimeError; that of an ingest says what became of the segments
        # under way.
        click.echo(str(stop) or str(stop.__cause__ or "") or "interrupted.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        raise
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        fault = machine_error(error, "the command")
        if fault is None:
            raise
        click.echo(f"error: {fault}", err=True)
        sys.exit(1)
    sys.exit(0)
