"""``attnstore info``, ``sql``, ``verify`` and ``repair``: what a store contains, and whether it is intact."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..errors import AttnstoreError
from ..runtime.table_output import to_frame, write_table
from .messages import typed
from .options import STORE, TIMEOUT, output_options


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(store: Path, as_json: bool) -> None:
    """Show the proteins, models, tiers and sizes of STORE.

    \b
    Example:
      attnstore info demo.attn
    """
    from ..api import open_store

    opened = open_store(store)
    if not as_json:
        click.echo(repr(opened))
        return
    models = [model.summary() for model in opened.models.values()]
    counts = {"proteins": opened.document.proteins, "residues": opened.document.residues}
    click.echo(json.dumps({"path": str(store), **counts, "models": models}, indent=2))


@click.command()
@STORE
@click.argument("sql", metavar="SQL")
@TIMEOUT
@output_options
def sql(store: Path, sql: str, timeout: float | None, form: str, output: Path | None) -> None:
    """Run one SELECT over the tables of STORE other than attention.

    \b
    Example:
      attnstore sql demo.attn "SELECT layer, head, special FROM heads ORDER BY special DESC LIMIT 5"

    The tables are proteins, members, residues, pairs, properties, property_sources, excluded, arcs, heads, models and
    skipped. `attnstore query` also has the table attention.
    """
    import pandas as pd

    from ..api import open_store
    from ..catalog_sql import duckdb_errors

    with duckdb_errors():
        table = open_store(store).sql(sql, timeout=timeout).to_arrow_table()
    # Arrow's types: pandas' own would turn large and missing integers into floats.
    write_table(to_frame(table, pd.ArrowDtype), form, output)


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(store: Path, as_json: bool) -> None:
    """Check that STORE is intact: every digest, checksum, count and sum.

    \b
    Example:
      attnstore verify demo.attn

    The exit status is 1 if anything is damaged; `attnstore repair` fixes it.
    """
    from ..api import open_store
    from ..integrity import verify as check

    problems = check(store, progress=sys.stderr.isatty())
    if as_json:
        content = {"path": str(store), "sound": not problems, "problems": [asdict(problem) for problem in problems]}
        click.echo(json.dumps(content, indent=2))
    else:
        for problem in problems:
            click.echo(typed(str(problem), click.get_current_context()))
    if problems:
        raise AttnstoreError(
            f"{store} is damaged in {_places(len(problems))}. Run `attnstore.repair(store.path)` to fix it."
        )
    if not as_json:
        segments = sum(len(model.manifest.segments) for model in open_store(store).models.values())
        click.echo(f"{store} is intact: the catalog and {_counted(segments, 'segment')} are as they were written.")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _places(number: int) -> str:
    return _counted(number, "place")


def _consents(model: str, source: str) -> bool:
    """Ask on the terminal whether a model may be loaded from the place that a store names."""
    return click.confirm(
        f"Segments of model {model} must be computed again. The store names {source!r} as the model's place. "
        "Load the model from there?", err=True,
    )  # fmt: skip


@click.command()
@STORE
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=click.Path(path_type=Path))
@click.option("--model", help="Repair only this model, by its name in the store.  [default: all models]")
@click.option("--model-source", metavar="ID_OR_DIR", help="Hub id or folder to load the model from.  [default: ask]")
@click.option(
    "--trust-source",
    is_flag=True,
    help="Load the model from the place that STORE names, without asking. Only for a STORE that you trust.",
)
@click.option("--device", default="auto", help="Where the model runs: auto, cpu, cuda, cuda:1, …")
@click.option("--keep-duplicates", is_flag=True, help="The store was ingested with --keep-duplicates.")
@click.option("--force", is_flag=True, help="Take over a lock that a process of another host left.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def repair(store: Path, inputs: tuple[Path, ...], as_json: bool, trust_source: bool, **options: Any) -> None:
    """Find what is damaged in STORE and rebuild it.

    \b
    Example:
      attnstore repair demo.attn

    Damaged segments are computed again with their model, and damaged documents are rebuilt from the segments. A damaged
    catalog is rebuilt from INPUT, which must be all files that were ingested; otherwise INPUT is not read. The exit
    status is 1 if any damage remains.
    """
    try:
        from ..ingest.repair import repair as run
    except ModuleNotFoundError as error:
        raise AttnstoreError(
            f"repair needs {error.name}, which is not installed: pip install 'attnstore[ingest]'."
        ) from error
    asked = sys.stdin.isatty() and sys.stderr.isatty() and not as_json
    repaired = run(
        store, inputs, trust_source=trust_source or (_consents if asked else False), progress=sys.stderr.isatty(),
        **options,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps({"path": str(store), **asdict(repaired)}, indent=2))
    else:
        for sentence in (*repaired.rebuilt, *repaired.left):
            click.echo(typed(sentence, click.get_current_context()))
    if repaired.left:
        raise AttnstoreError(f"{store} is still damaged in {_places(len(repaired.left))}.")
    if not repaired.rebuilt and not as_json:
        click.echo(f"{store} is intact: there was nothing to repair.")
