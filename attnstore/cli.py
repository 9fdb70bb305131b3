"""The command `attnstore`. Results go to stdout, progress and warnings to stderr.

Exit status: 0, 1 for a task that failed, 2 for wrong usage.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from . import __version__
from .errors import AttnstoreError
from .tables import FORMATS, aligned, write_table

if TYPE_CHECKING:
    import pandas as pd

    from .ingest import Summary
    from .queries import Alignment

_STORE = click.argument("store", type=click.Path(path_type=Path))


def _output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option(
        "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of stdout."
    )(function)
    return click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)(function)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="attnstore")
def cli() -> None:
    """Ingest the attention of protein language models once; ask it anything afterwards."""


@cli.command()
@_STORE
@click.argument("inputs", nargs=-1, metavar="INPUT...", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="ID_OR_DIR", help="Hub id, or folder of a saved model.")
@click.option("--name", help="The model's name in the store.  [default: last part of its id]")
@click.option("--max-residues", type=click.IntRange(min=1), default=510, help="What a model sees of a protein at most.")
@click.option(
    "--long", type=click.Choice(["truncate", "skip"]), default="truncate", help="What to do with longer ones."
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto")
@click.option("--batch-residues", type=click.IntRange(min=1), help="Residues in a batch.  [default: 2048; GPU: 16384]")
@click.option("--limit", type=click.IntRange(min=1), help="Read only the first N records, for a trial.")
@click.option("--keep-duplicates", is_flag=True, help="Ingest identical sequences apart.")
def ingest(store: Path, inputs: tuple[Path, ...], **options: Any) -> None:
    """Run a model over proteins and keep all its attention in STORE.

    INPUT is a FASTA, PDB, mmCIF or cgdms file, plain or gzip, or a folder of them; without any, another model is
    run over the proteins that STORE holds. The same command again goes on where it was stopped.
    """
    try:
        from .ingest import ingest as run
    except ModuleNotFoundError as error:
        raise AttnstoreError(
            f"ingest needs {error.name}, which is not installed: pip install 'attnstore[ingest]'."
        ) from error
    click.echo(summary_text(run(store, inputs, progress=True, **options)))


def summary_text(summary: "Summary") -> str:
    """What an ingest ends with."""
    lines = [
        f"model        {summary.model}",
        f"proteins     {summary.proteins:,}  ({summary.skipped:,} skipped, {summary.truncated:,} truncated)",
        f"residues     {summary.residues:,}",
        f"attention    {summary.entries:,} entries, {summary.arcs:,} arcs",
        f"on disk      {summary.bytes / 1e6:,.1f} MB, {summary.bits_per_entry:.2f} bits per entry, all in",
    ]
    if summary.entries_written:
        rate = f"{summary.entries_per_second / 1e6:,.1f} M entries/s"
        lines.append(f"this run     {summary.segments_written} segments in {summary.seconds:.1f} s, {rate}")
    else:
        lines.append("this run     nothing to do: everything is there")
    return "\n".join(lines)


@cli.command()
@_STORE
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def info(store: Path, as_json: bool) -> None:
    """Say what STORE holds."""
    from .store import open_store

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
            f"{model['bytes'] / 1e6:,.1f} MB"
        )


@cli.command()
@_STORE
@click.argument("predicate")
@click.option("--where", metavar="EXPR", help="Pairs for which this is not true take no part.")
@click.option("--threshold", metavar="θ", default="auto", help="auto: 0.3; with --weighted none.")
@click.option("--model", help="Which model, where the store has several.")
@click.option("--weighted", is_flag=True, help="Share of attention weight rather than of arcs.")
@click.option("--paper", is_flag=True, help="The form of Vig et al. 2021: unknown counts as false.")
@click.option("--background", type=click.Choice(["eligible", "separation", "protein", "paper"]), default="eligible")
@click.option("--min-arcs", type=click.IntRange(min=0), default=100, help="A head with fewer is marked, not ranked.")
@click.option("--tier", type=click.Choice(["marginals", "arcs", "codes"]), help="Read this tier, whatever is cheapest.")
@click.option("--top", type=click.IntRange(min=1), default=10, help="Heads shown by --format table.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw all heads: .png, .svg or .pdf.")
@_output_options
def align(
    store: Path,
    predicate: str,
    threshold: str,
    top: int,
    plot: Path | None,
    form: str,
    output: Path | None,
    **options: Any,
) -> None:
    """Measure what share of each head's attention goes to pairs where PREDICATE is true.

    PREDICATE is an SQL condition such as "contact", "target.aa = 'C'" or "distance < 10 AND separation >= 12".
    """
    from .store import open_store

    if plot is not None:
        from .queries.plot import check_suffix, save_figure

        check_suffix(plot)
    result = open_store(store).align(
        predicate, threshold=_threshold(threshold), progress=sys.stderr.isatty(), **options
    )
    frame = result.to_table()
    write_table(frame, form, output, alignment_text(result, frame, top))
    if plot is not None:
        save_figure(result.plot(), plot)
        click.echo(f"wrote {plot}", err=True)


def _threshold(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor auto.", param_hint="--threshold") from None


def alignment_text(result: "Alignment", frame: "pd.DataFrame", top: int) -> str:
    """The question, the best heads and what was left out, to be read by people."""
    attributes = result.attrs
    what = "attention weight" if attributes["form"] == "weighted" else f"arcs with α ≥ {attributes['threshold']:g}"
    form = ", the paper's form (unknown counts as false)" if attributes["paper"] else ""
    where = f" WHERE {attributes['where']}" if attributes["where"] else ""
    ranked = frame[frame["ranked"]]
    shown = ranked.head(top)
    lines = [
        f"{attributes['predicate']}{where}: share of {what}{form}",
        f"model {attributes['model']}, {attributes['proteins']:,} proteins, from {attributes['tier']}: "
        + attributes["tier_reason"],
        "",
        aligned(_readable(shown, attributes["form"] == "weighted")),
        "",
    ]
    few = len(frame) - len(ranked)
    rule = "at most" if attributes["paper"] else "fewer than"
    known = "" if attributes["paper"] else " with the predicate known"
    lines.append(
        f"{len(shown)} of {len(ranked)} ranked heads; "
        f"{few} more have {rule} {attributes['min_arcs']} arcs{known} and are not ranked."
    )
    if not frame["total"].any():
        lines.append("No head has any arc with the predicate known: it is NULL, or nothing passes the where clause.")
    if not attributes["paper"] and attributes["form"] == "count":
        lines.append("Interval: 95 % bootstrap over proteins; p treats arcs as independent, which they are not.")
    return "\n".join(lines)


def _readable(frame: "pd.DataFrame", weighted: bool) -> "pd.DataFrame":
    import pandas as pd

    def percent(values: "pd.Series[float]") -> list[str]:
        return [f"{value:.1%}" if value == value else "–" for value in values]

    number = "{:,.2f}" if weighted else "{:,}"
    columns = {
        "layer": frame["layer"],
        "head": frame["head"],
        "share": percent(frame["share"]),
        "95 % interval": [
            f"{low} – {high}"
            for low, high in zip(percent(frame["bootstrap_low"]), percent(frame["bootstrap_high"]), strict=True)
        ],
        "true": [number.format(value) for value in frame["count"]],
        "of": [number.format(value) for value in frame["total"]],
        "background": percent(frame["background"]),
        "enrichment": [f"{value:.1f}×" if value == value else "–" for value in frame["enrichment"]],
    }
    if frame["unknown"].any():
        columns["unknown"] = [number.format(value) for value in frame["unknown"]]
    if "share_min" in frame:
        bounds = zip(percent(frame["share_min"]), percent(frame["share_max"]), strict=True)
        columns["exact within"] = [f"{low} – {high}" for low, high in bounds]
    if not weighted:
        columns["log10 p"] = [f"{value:.1f}" if value == value else "–" for value in frame["log10_p"]]
    return pd.DataFrame(columns)


@cli.command()
@_STORE
@click.argument("statement", metavar="SQL")
@_output_options
def sql(store: Path, statement: str, form: str, output: Path | None) -> None:
    """Run one SELECT over proteins, members, residues, pairs, properties, arcs, heads, models and skipped."""
    import pandas as pd

    from .sql import duckdb_errors
    from .store import open_store

    with duckdb_errors():
        table = open_store(store).sql(statement).to_arrow_table()
    # Arrow's types: pandas' own would turn large and missing integers into floats.
    write_table(table.to_pandas(types_mapper=pd.ArrowDtype), form, output)


@cli.command()
@_STORE
def verify(store: Path) -> None:
    """Check every digest, checksum and count of STORE; exit 1 if anything is damaged."""
    from .progress import bar
    from .store import open_store
    from .verify import verify as check

    segments = sum(len(model.manifest.segments) for model in open_store(store).models.values())
    with bar(segments, "segment", shown=sys.stderr.isatty(), leave=False) as counted:
        problems = check(store, counted.update)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise AttnstoreError(f"{store} is damaged in {len(problems)} place(s).")
    click.echo(f"{store} is sound: the catalog and {segments} segment(s) are as they were written.")


@cli.command()
@click.argument("store", type=click.Path(path_type=Path), default=Path("demo.attn"))
def demo(store: Path) -> None:
    """Ingest 2,204 real protein chains through a real model into STORE, and ask which heads follow contacts."""
    from .demo import run

    run(store)


def _show_warning(message: Warning | str, *_: Any) -> None:
    click.echo(f"warning: {message}", err=True)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point: errors that are the user's to mend become one line on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        cli(arguments, prog_name="attnstore", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except AttnstoreError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; an ingest keeps what it committed, and the same command goes on from there.", err=True)
        sys.exit(130)
    sys.exit(0)
