"""``attnstore info``, ``sql`` and ``verify``: what a store holds, and whether it is sound."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..errors import AttnstoreError
from ..tables import write_table
from .options import STORE, output_options


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def info(store: Path, as_json: bool) -> None:
    """Say what STORE holds."""
    from ..store import open_store

    opened = open_store(store)
    models: list[dict[str, Any]] = [model.summary() for model in opened.models.values()]
    document = opened.document
    if as_json:
        content = {"path": str(store), "proteins": document.proteins, "residues": document.residues, "models": models}
        click.echo(json.dumps(content, indent=2))
        return
    click.echo(f"{store}: {document.proteins:,} proteins, {document.residues:,} residues, {len(models)} model(s)")
    for model in models:
        click.echo(
            f"\n{model['name']}  ({model['architecture']}, {model['layers']} layers × {model['heads']} heads, "
            f"{model['precision']}, from {model['source']})\n"
            f"  {model['proteins']:,} proteins ({model['skipped']:,} skipped), {model['residues']:,} residues\n"
            f"  {model['entries']:,} attention entries, {model['arcs']:,} arcs, {model['segments']:,} segments, "
            f"{model['bytes'] / 1e6:,.1f} MB of {', '.join(model['keep'].split(','))}"
        )


@click.command()
@STORE
@click.argument("statement", metavar="SQL")
@output_options
def sql(store: Path, statement: str, form: str, output: Path | None) -> None:
    """Run one SELECT over proteins, members, residues, pairs, properties, arcs, heads, models and skipped."""
    import pandas as pd

    from ..sql import duckdb_errors
    from ..store import open_store

    with duckdb_errors():
        table = open_store(store).sql(statement).to_arrow_table()
    # Arrow's types: pandas' own would turn large and missing integers into floats.
    write_table(table.to_pandas(types_mapper=pd.ArrowDtype), form, output)


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(store: Path, as_json: bool) -> None:
    """Check every digest, checksum, count and sum of STORE; exit 1 if anything is damaged."""
    from ..store import open_store
    from ..verify import verify as check

    problems = check(store, progress=sys.stderr.isatty())
    if as_json:
        content = {"path": str(store), "sound": not problems, "problems": [asdict(problem) for problem in problems]}
        click.echo(json.dumps(content, indent=2))
    else:
        for problem in problems:
            click.echo(problem)
    if problems:
        raise AttnstoreError(f"{store} is damaged in {len(problems)} place(s): `attnstore repair` mends it.")
    if not as_json:
        segments = sum(len(model.manifest.segments) for model in open_store(store).models.values())
        click.echo(f"{store} is sound: the catalog and {segments} segment(s) are as they were written.")
