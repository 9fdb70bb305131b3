"""``attnstore annotate``, ``properties`` and ``export``: the properties of proteins, residues and pairs."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from ..errors import AttnstoreError
from ..runtime.table_output import json_records, text_table
from .options import STORE, files_and_entries, listed, names_option, source_options


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    """NAME=VALUE, repeated; None if there is none."""
    split = [value.partition("=") for value in values]
    if not all(name and separator for name, separator, _ in split):
        raise click.BadParameter("The form is NAME=VALUE.")
    return {name: value for name, _, value in split} or None


def _columns(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, str] | None:
    """A,B=C: the columns to read and their new names; the name of a column may contain "="."""
    if value is None:
        return None
    split = [word.rpartition("=") for word in listed(value)]
    return {name if separator else new: new for name, separator, new in split}


@click.command()
@STORE
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=click.Path(path_type=Path))
@source_options
@names_option("--on", metavar="ID[,POS]", help="Key columns of a table; ID,SOURCE,TARGET for pairs.  "
              "[default: id, pos, source, target, as far as the table has them]")  # fmt: skip
@click.option("--columns", callback=_columns, metavar="A,B=NEW",
              help="Columns of a table, or properties of another file, to read or rename.  [default: all]")  # fmt: skip
@click.option("--kinds", multiple=True, callback=_pairs, metavar="NAME=KIND",
              help="Type of a column: boolean, integer, float or category. May be repeated.  "
              "[default: by its values]")  # fmt: skip
@click.option("--units", multiple=True, callback=_pairs, metavar="NAME=UNIT",
              help="Unit of a property, shown by `attnstore properties`. May be repeated.")  # fmt: skip
@click.option("--descriptions", multiple=True, callback=_pairs, metavar="NAME=TEXT",
              help="Description of a property, shown by `attnstore properties --json`. May be repeated.")  # fmt: skip
@click.option("--numbering", type=click.Choice(["0", "1", "author"]), default="0",
              help="How tables number residues: from 0, from 1, or as the authors of the structure.")  # fmt: skip
@click.option("--symmetric", is_flag=True, help="Each pair of a table also applies with source and target exchanged.")
@names_option("--missing", metavar="NA,…", default=(),
              help="Cells of tables that mean a missing value, in text columns too, such as NA,-.")  # fmt: skip
@click.option(
    "--delimiter", metavar="CHAR", help="Character between the cells of a table, or the word tab.  [default: detected]"
)
@click.option(
    "--decimal", type=click.Choice([".", ","]), help="Decimal mark of numbers in tables.  [default: detected]"
)
@click.option("--encoding", metavar="NAME", help="Encoding of a text table, such as cp1252.  [default: detected]")
@click.option("--match", type=click.Choice(["id", "sequence"]), default="id",
              help="How records are matched to proteins: by identifier, or by sequence.")  # fmt: skip
@click.option("--mismatch", type=click.Choice(["refuse", "align", "skip"]), default="refuse",
              help="How to treat a record whose sequence differs from the store's.")  # fmt: skip
@click.option("--replace", is_flag=True, help="Replace values that are already known.")
@names_option("--drop", metavar="NAME,…", default=(), help="Properties to remove first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def annotate(store: Path, inputs: tuple[Path, ...], fetch: bool, as_json: bool, **options: Any) -> None:
    """Add properties of proteins, residues and pairs to STORE, from files or tables.

    \b
    Example (a table with the columns id, pos and ddg):
      printf 'id,pos,ddg\\n1ABA_A,9,1.2\\n1ABA_A,10,0.3\\n' > stability.csv
      attnstore annotate demo.attn stability.csv --units ddg=kcal/mol

    INPUT is a structure file, UniProt XML or text, TAPE's LMDB, ProteinNet, the output of DSSP, or a table (.csv, .tsv,
    .parquet; clusters of MMseqs2) with a column id, and pos for residues, or source and target for pairs. Records of
    proteins that are not in STORE are ignored. The attention is not changed.
    """
    from ..annotate import annotation
    from ..api import open_store

    files, entries = files_and_entries(inputs, fetch)
    done = annotation.annotate(store, files, fetch=entries, **options)
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
        return
    if done.skipped:
        click.echo(f"{done.skipped:,} records were skipped: their sequence differs from the store's.", err=True)
    frame = _dictionary(open_store(store))
    given = [f"{level} {name}" in done.properties for level, name in zip(frame["level"], frame["name"], strict=True)]
    if any(given):
        click.echo(text_table(frame[given], left=("name", "level")))
    elif inputs:
        click.echo("No property received a value.")
    if options["drop"]:
        click.echo(f"dropped {', '.join(options['drop'])}", err=True)


@click.command()
@STORE
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with descriptions and digests.")
def properties(store: Path, as_json: bool) -> None:
    """List the properties in STORE: type, unit, source, and number of known values.

    \b
    Example:
      attnstore properties demo.attn
    """
    from ..api import open_store

    opened = open_store(store)
    click.echo(json_records(opened.properties().df()) if as_json else text_table(_dictionary(opened), left=("name",)))


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
@click.option("--format", type=click.Choice(["duckdb", "parquet"]), default="duckdb",
              help="duckdb: one file. parquet: a folder with a file for each table.")  # fmt: skip
@click.option("--arcs", is_flag=True, help="Also write the arcs of every model, the largest part of a store.")
def export(store: Path, target: Path, format: Literal["duckdb", "parquet"], arcs: bool) -> None:  # noqa: A002
    """Write the tables of STORE to a DuckDB file or to Parquet files, for other programs.

    \b
    Example:
      attnstore export demo.attn demo.duckdb
    """
    from ..api import open_store

    try:
        names = open_store(store).export(target, format, arcs=arcs)
    except OSError as error:
        raise AttnstoreError(f"{target} cannot be written: {error.strerror}.") from error
    click.echo(f"{target}: {', '.join(names)}")
