"""``attnstore align``: which heads follow a property."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..tables import aligned, write_table
from .options import STORE, output_options

if TYPE_CHECKING:
    import pandas as pd

    from ..queries import Alignment


@click.command()
@STORE
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
@output_options
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
    from ..store import open_store

    if plot is not None:
        from ..queries.plot import check_suffix, save_figure

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
