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

#: Commands by purpose, in the order of the help.
_PURPOSES: dict[str, tuple[click.Command, ...]] = {
    "Store (what a store contains)": (info, properties, sql, export),
    "Ingest (from files and a model to a store)": (demo, ingest, annotate, convert_tape),
    "Ask (measure what the heads attend to)": (align, query, contacts, probe, reproduce),
    "Look (pages and figures)": (report, view),
    "Care (check and repair)": (verify, repair),
}


class _ByPurpose(click.Group):
    """The group of all commands; its help lists them by purpose."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for purpose, commands in _PURPOSES.items():
            with formatter.section(purpose):
                formatter.write_dl([(str(command.name), command.get_short_help_str(150)) for command in commands])


@click.group(cls=_ByPurpose, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="attnstore")
def cli() -> None:
    """Store the attention of a protein language model once, and query it afterwards without the model.

    \b
    Example:
      attnstore demo demo.attn
      attnstore align demo.attn contact --where "separation >= 6"

    `attnstore COMMAND --help` explains a command and shows an example that works on the store of `attnstore demo`.
    """


for commands in _PURPOSES.values():
    for command in commands:
        cli.add_command(speaking(command))


def _show_warning(message: Warning | str, *_: Any) -> None:
    context = click.get_current_context(silent=True)
    text = str(message) if context is None else typed(str(message), context)
    click.echo(f"warning: {text}", err=True)


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
