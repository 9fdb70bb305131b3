"""``attnstore info``, ``sql``, ``verify`` and ``repair``: what a store holds, and whether it is sound."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..errors import AttnstoreError
from ..runtime.table_output import framed, write_table
from .messages import typed
from .options import STORE, TIMEOUT, output_options


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def info(store: Path, as_json: bool) -> None:
    """Say what STORE holds."""
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
@click.argument("statement", metavar="SQL")
@TIMEOUT
@output_options
def sql(store: Path, statement: str, timeout: float | None, form: str, output: Path | None) -> None:
    """Run one SELECT over proteins, members, residues, pairs, properties, property_sources, excluded, arcs, heads,
    models and skipped."""
    import pandas as pd

    from ..api import open_store
    from ..catalog_sql import duckdb_errors

    with duckdb_errors():
        table = open_store(store).sql(statement, timeout=timeout).to_arrow_table()
    # Arrow's types: pandas' own would turn large and missing integers into floats.
    write_table(framed(table, pd.ArrowDtype), form, output)


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(store: Path, as_json: bool) -> None:
    """Check every digest, checksum, count and sum of STORE; exit 1 if anything is damaged."""
    from ..api import open_store
    from ..verify import verify as check

    problems = check(store, progress=sys.stderr.isatty())
    if as_json:
        content = {"path": str(store), "sound": not problems, "problems": [asdict(problem) for problem in problems]}
        click.echo(json.dumps(content, indent=2))
    else:
        for problem in problems:
            click.echo(typed(str(problem), click.get_current_context()))
    if problems:
        raise AttnstoreError(
            f"{store} is damaged in {len(problems)} place(s): `attnstore.ingest.repair.repair(store.path)` repairs it."
        )
    if not as_json:
        segments = sum(len(model.manifest.segments) for model in open_store(store).models.values())
        click.echo(f"{store} is sound: the catalog and {segments} segment(s) are as they were written.")


def _consents(model: str, source: str) -> bool:
    """Ask on the terminal whether a model may be loaded from where a store says that it is."""
    return click.confirm(
        f"Segments of model {model} have to be computed again. The store says that the model is at {source!r}. "
        "Load it from there?", err=True,
    )  # fmt: skip


@click.command()
@STORE
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=click.Path(path_type=Path))
@click.option("--model", help="Mend this model alone, by its name in the store.")
@click.option("--model-source", metavar="ID_OR_DIR", help="Hub id or folder to load the model from.")
@click.option(
    "--trust-source",
    is_flag=True,
    help="Load the model from where STORE says that it was loaded from, without asking. Trust whoever made STORE.",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
@click.option("--keep-duplicates", is_flag=True, help="Identical sequences were ingested apart.")
@click.option("--force", is_flag=True, help="Take over a lock that another host's process left.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def repair(store: Path, inputs: tuple[Path, ...], as_json: bool, trust_source: bool, **options: Any) -> None:
    """Find what is damaged in STORE and make it again; exit 1 if anything is left.

    Segments are computed again by their model, documents made from what they describe. A damaged catalog is built
    from INPUT, which is all that was ingested, and not read otherwise.
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
        for sentence in (*repaired.mended, *repaired.left):
            click.echo(typed(sentence, click.get_current_context()))
    if repaired.left:
        raise AttnstoreError(f"{store} is still damaged in {len(repaired.left)} place(s).")
    if not repaired.mended and not as_json:
        click.echo(f"{store} is sound: there was nothing to mend.")
