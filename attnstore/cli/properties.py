"""``attnstore annotate``, ``properties`` and ``export``: what is known of proteins, residues and pairs."""

import csv
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..errors import AttnstoreError
from ..runtime.table_output import aligned, json_records
from .options import STORE, files_and_entries, source_options


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, repeated."""
    split = [value.partition("=") for value in values]
    if not all(name and separator for name, separator, _ in split):
        raise click.BadParameter("give NAME=VALUE.")
    return {name: value for name, _, value in split}


def _columns(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, str] | None:
    """A,B=C: which columns to take, and what to call them; a name of a column may have "=" in it."""
    if value is None:
        return None
    split = [word.rpartition("=") for word in _listed(value)]
    return {name if separator else new: new for name, separator, new in split}


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(_listed(value))


def _listed(value: str) -> list[str]:
    """Words separated by commas; one that has a comma itself stands in double quotes, as in a CSV file."""
    return [word.strip() for word in next(csv.reader([value], skipinitialspace=True), [])]


@click.command()
@STORE
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=click.Path(path_type=Path))
@source_options
@click.option("--on", callback=_names, metavar="ID[,POS]", help="Key columns of a table; ID,SOURCE,TARGET for pairs.")
@click.option("--columns", callback=_columns, metavar="A,B=NEW",
              help="Columns of a table, or properties of another file, to take or rename.")  # fmt: skip
@click.option("--kind", "kinds", multiple=True, callback=_pairs, metavar="NAME=KIND",
              help="boolean, integer, float or category.  [default: what the values show]")  # fmt: skip
@click.option("--unit", "units", multiple=True, callback=_pairs, metavar="NAME=UNIT", help="For the dictionary.")
@click.option("--describe", "descriptions", multiple=True, callback=_pairs, metavar="NAME=TEXT", help="The same.")
@click.option("--numbering", type=click.Choice(["0", "1", "author"]), default="0", help="How tables count residues.")
@click.option("--symmetric", is_flag=True, help="Pairs of a table hold in both directions.")
@click.option("--missing", callback=_names, metavar="NA,…", default="", show_default=False,
              help="Cells of tables that are missing values, in columns of text too.")  # fmt: skip
@click.option("--delimiter", metavar="CHAR", help="What separates cells of a table; tab.  [default: what it shows]")
@click.option("--decimal", type=click.Choice([".", ","]), help="What stands before decimals.  [default: what is shown]")
@click.option("--encoding", metavar="NAME", help="Of a table of text, as cp1252.  [default: what it shows]")
@click.option("--match", type=click.Choice(["id", "sequence"]), default="id", help="How a record finds its protein.")
@click.option("--mismatch", type=click.Choice(["refuse", "align", "skip"]), default="refuse",
              help="What to do with a record whose sequence is not the store's.")  # fmt: skip
@click.option("--replace", is_flag=True, help="Let values take the place of those that were known before.")
@click.option("--drop", multiple=True, metavar="NAME", help="Drop a property first; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def annotate(store: Path, inputs: tuple[Path, ...], fetch: bool, as_json: bool, **options: Any) -> None:
    """Give the proteins of STORE properties, from any INPUT that tells of them.

    INPUT is a structure file, UniProt XML or text, TAPE's LMDB, ProteinNet, DSSP's output, or a table (.csv, .tsv,
    .parquet; MMseqs2's clusters) with a column id, and pos for residues, or source and target for pairs. What it tells
    of proteins that are not in STORE is passed over. Attention stays as it is.
    """
    from ..api import open_store
    from ..ingest import annotate as run

    files, entries = files_and_entries(inputs, fetch)
    done = run(store, files, fetch=entries, **options)
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
        return
    if done.skipped:
        click.echo(f"{done.skipped:,} left out: another sequence than the store's", err=True)
    frame = _dictionary(open_store(store))
    given = [f"{level} {name}" in done.properties for level, name in zip(frame["level"], frame["name"], strict=True)]
    if any(given):
        click.echo(aligned(frame[given], left=("name", "level")))
    elif inputs:
        click.echo("no property was given a value")
    if options["drop"]:
        click.echo(f"dropped {', '.join(options['drop'])}", err=True)


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="For programs; with descriptions and digests.")
def properties(store: Path, as_json: bool) -> None:
    """List what STORE knows of proteins, residues and pairs: type, unit, source, and how much of it."""
    from ..api import open_store

    opened = open_store(store)
    click.echo(json_records(opened.properties().df()) if as_json else aligned(_dictionary(opened), left=("name",)))


def _dictionary(store: Any) -> Any:
    """The dictionary as people read it."""
    import pandas as pd

    frame = store.properties().to_arrow_table().to_pandas(types_mapper=pd.ArrowDtype)
    # A store that was made before stores had properties does not count them.
    shown = frame.reindex(columns=["level", "name", "type", "unit", "known", "positive", "absent", "source"])
    return shown.rename(columns={"positive": "true"}).assign(source=[_last(path) for path in shown["source"]])


def _last(path: Any) -> str:
    """The name of a file without its folders."""
    return os.path.basename(path) if isinstance(path, str) else ""


@click.command()
@STORE
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["duckdb", "parquet"]), default="duckdb",
              help="One DuckDB file, or a folder of Parquet files.")  # fmt: skip
@click.option("--arcs", is_flag=True, help="Also the arcs of every model, most of a store's size.")
def export(store: Path, target: Path, form: Any, arcs: bool) -> None:
    """Write the tables of STORE to OUT, which any tool opens."""
    from ..api import open_store

    try:
        names = open_store(store).export(target, form, arcs=arcs)
    except OSError as error:
        raise AttnstoreError(f"{target} cannot be written: {error.strerror}.") from error
    click.echo(f"{target}: {', '.join(names)}")
