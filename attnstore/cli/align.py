"""``attnstore align``: which heads follow a property."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..tables import aligned, write_table
from .options import STORE, TIMEOUT, output_options

if TYPE_CHECKING:
    import pandas as pd

    from ..queries import Alignment

#: Thresholds of a curve that are shown to people; all are in the other formats.
_SHOWN = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@click.command()
@STORE
@click.argument("predicate")
@click.option("--where", metavar="EXPR", help="Pairs for which this is not true take no part.")
@click.option(
    "--threshold", metavar="θ", default="auto", help="auto: 0.3; with --weighted none. all: the curve over all of them."
)
@click.option("--model", help="Which model, where the store has several.")
@click.option("--weighted", is_flag=True, help="Share of attention weight rather than of arcs.")
@click.option("--paper", is_flag=True, help="The form of Vig et al. 2021: unknown counts as false.")
@click.option(
    "--background", type=click.Choice(["eligible", "separation", "protein", "paper", "none"]), default="eligible"
)
@click.option(
    "--average", type=click.Choice(["micro", "macro"]), default="micro", help="macro: the mean of clusters' own shares."
)
@click.option(
    "--cluster-by", metavar="COLUMN", default="protein", help="protein, or a column of proteins: families count once."
)
@click.option("--split", is_flag=True, help="Rank heads on one half of the clusters, report them on the other.")
@click.option("--min-arcs", type=click.IntRange(min=0), default=100, help="A head with fewer is marked, not ranked.")
@click.option("--level", type=float, default=0.95, help="Confidence of the intervals.")
@click.option(
    "--replicates",
    type=click.IntRange(min=0),
    default=None,
    show_default="1000; 0 with --threshold all",
    help="Of the bootstrap; 0: none.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the bootstrap and the halves.")
@click.option("--tier", type=click.Choice(["marginals", "arcs", "codes"]), help="Read this tier, whatever is cheapest.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster, to spread the work over it.")
@click.option("--top", type=click.IntRange(min=1), default=10, help="Heads shown by --format table.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw a figure: .png, .svg or .pdf.")
@TIMEOUT
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
    text = curve_text(result, top) if "threshold" in result.dims else alignment_text(result, frame, top)
    write_table(frame, form, output, text)
    if plot is not None:
        save_figure(result.plot(), plot)
        click.echo(f"wrote {plot}", err=True)


def _threshold(text: str) -> float | str | None:
    if text == "auto":
        return text
    if text == "all":
        return None
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither a number from 0 to 1, such as 0.3, nor auto nor all.", param_hint="--threshold"
        ) from None


def alignment_text(result: "Alignment", frame: "pd.DataFrame", top: int) -> str:
    """The question, the best heads and what was left out, to be read by people."""
    attributes = result.attrs
    weighted = attributes["form"] == "weighted"
    ranked = frame[frame["ranked"]]
    shown = ranked.head(top)
    lines = [
        *_heading(attributes, "attention weight" if weighted else f"arcs with α ≥ {attributes['threshold']:g}"),
        "",
        aligned(_readable(shown, attributes)),
        "",
    ]
    few = len(frame) - len(ranked)
    half = " in both halves" if attributes["split"] else ""
    lines.append(
        f"{len(shown)} of {len(ranked)} ranked heads; {few} more have {_too_few(attributes)}{half} and are not ranked."
    )
    if not frame["total"].any():
        lines.append("No head has any arc with the predicate known: it is NULL, or nothing passes the where clause.")
    if attributes["split"]:
        lines.append(
            f"Ranked by the share in {attributes['selection_clusters']:,} other clusters, beside the rank; "
            "all else is of those that had no say in it."
        )
    if not attributes["paper"] and attributes["form"] == "count":
        lines.append(_interval_note(frame, attributes))
    return "\n".join(lines)


def curve_text(result: "Alignment", top: int) -> str:
    """The question and, at some thresholds, the shares of the leading heads, to be read by people."""
    import pandas as pd

    from ..queries.result import leading_heads

    attributes = result.attrs
    weighted = attributes["form"] == "weighted"
    heads = leading_heads(result, top)
    thresholds = result["threshold"].to_numpy()
    shown = result.sel(threshold=[theta for theta in _SHOWN if theta in thresholds])
    columns = {"α ≥": [f"{theta:g}" for theta in shown["threshold"].to_numpy()]}
    for layer, head in heads:
        of_head = shown.isel(layer=layer, head=head)
        columns[f"{layer}-{head}"] = _percent(of_head["share"].where(of_head["ranked"]).to_numpy())
    lines = [
        *_heading(attributes, "attention weight with α ≥ θ" if weighted else "arcs with α ≥ θ"),
        "",
        aligned(pd.DataFrame(columns)),
        "",
        f"Heads as layer-head, those with the largest share at any threshold; – where one has {_too_few(attributes)}.",
        (
            f"{len(columns['α ≥'])} of {len(thresholds)} thresholds: all of them, with background and intervals, "
            "by --format csv, json or parquet, or as a picture by --plot."
        ),
    ]
    return "\n".join(lines)


def _heading(attributes: dict[str, Any], what: str) -> list[str]:
    form = ", the paper's form (unknown counts as false)" if attributes["paper"] else ""
    where = f" WHERE {attributes['where']}" if attributes["where"] else ""
    share = "mean share" if attributes["average"] == "macro" else "share"
    clusters = ""
    if attributes["cluster_by"] != "protein":
        clusters = f" in {attributes['clusters']:,} clusters by {attributes['cluster_by']}"
    return [
        f"{attributes['predicate']}{where}: {share} of {what}{form}",
        f"model {attributes['model']}, {attributes['proteins']:,} proteins{clusters}, from {attributes['tier']}: "
        + attributes["tier_reason"],
    ]


def _too_few(attributes: dict[str, Any]) -> str:
    rule = "at most" if attributes["paper"] else "fewer than"
    known = "" if attributes["paper"] else " with the predicate known"
    return f"{rule} {attributes['min_arcs']} arcs{known}"


def _interval_note(frame: "pd.DataFrame", attributes: dict[str, Any]) -> str:
    level = f"{100 * attributes['level']:g} %"
    if "bootstrap_low" not in frame:
        note = f"Interval: {level} Wilson, which treats arcs as independent, which they are not"
        return note + ("; so does p." if "p" in frame else ".")
    unit = "proteins" if attributes["cluster_by"] == "protein" else f"clusters by {attributes['cluster_by']}"
    note = f"Interval: {level} bootstrap over {unit}"
    if attributes["average"] == "macro" or "p" not in frame:
        return note + "."
    return note + "; p treats arcs as independent, which they are not."


def _percent(values: Any) -> list[str]:
    return [f"{value:.1%}" if value == value else "–" for value in values]


def _ranges(frame: "pd.DataFrame", name: str) -> list[str]:
    ends = zip(_percent(frame[f"{name}_low"]), _percent(frame[f"{name}_high"]), strict=True)
    return [f"{low} – {high}" for low, high in ends]


def _readable(frame: "pd.DataFrame", attributes: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    weighted = attributes["form"] == "weighted"
    number = "{:,.2f}" if weighted else "{:,}"
    columns: dict[str, Any] = {"layer": frame["layer"], "head": frame["head"]}
    if "selection_rank" in frame:
        columns["rank"] = frame["selection_rank"]
        columns["ranked by"] = _percent(frame["selection_share"])
    columns["share"] = _percent(frame["share"])
    interval = f"{100 * attributes['level']:g} % interval"
    if "bootstrap_low" in frame:
        columns[interval] = _ranges(frame, "bootstrap")
    elif not weighted and attributes["average"] == "micro":
        columns[interval] = _ranges(frame, "wilson")
    columns["true"] = [number.format(value) for value in frame["count"]]
    columns["of"] = [number.format(value) for value in frame["total"]]
    if "background" in frame:
        columns["background"] = _percent(frame["background"])
        columns["enrichment"] = [f"{value:.1f}×" if value == value else "–" for value in frame["enrichment"]]
    if frame["unknown"].any():
        columns["unknown"] = [number.format(value) for value in frame["unknown"]]
    if "share_min" in frame:
        bounds = zip(_percent(frame["share_min"]), _percent(frame["share_max"]), strict=True)
        columns["exact within"] = [f"{low} – {high}" for low, high in bounds]
    if "log10_p" in frame and not weighted and attributes["average"] == "micro":
        columns["log10 p"] = [f"{value:.1f}" if value == value else "–" for value in frame["log10_p"]]
    return pd.DataFrame(columns)
