"""``attnstore align``: which heads attend to a property."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ..runtime.libraries import load_matplotlib
from ..runtime.table_output import text_table, write_table
from .options import LEVEL, MODEL, PLOT, SCHEDULER, STORE, TIMEOUT, output_options

if TYPE_CHECKING:
    import pandas as pd

    from ..queries.alignment import Alignment

#: Thresholds of a curve that are shown to people; all are in the other formats.
_SHOWN = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def _threshold(context: click.Context, parameter: click.Parameter, value: str) -> float | Literal["auto"] | None:
    if value == "auto":
        return "auto"
    if value == "all":
        return None
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number from 0 to 1, such as 0.3, nor auto nor all.") from None


@click.command()
@STORE
@click.argument("predicate")
@click.option(
    "--where", metavar="EXPR", help="SQL condition; only pairs for which it is true are counted.  [default: all pairs]"
)
@click.option(
    "--threshold",
    metavar="θ",
    default="auto",
    callback=_threshold,
    help="Minimum attention weight for a pair to count as an arc. auto: 0.3, or none with --weighted. "
    "all: the curve over all thresholds.",
)
@MODEL
@click.option("--weighted", is_flag=True, help="Measure the share of attention weight instead of the share of arcs.")
@click.option(
    "--paper", is_flag=True, help="Use the form of Vig et al. 2021: all arcs count, and unknown counts as false."
)
@click.option(
    "--background",
    type=click.Choice(["eligible", "separation", "protein", "paper", "none"]),
    default="eligible",
    help="Pairs that the share is compared with. eligible: all pairs that could be arcs. separation: pairs at the same "
    "separations as the arcs. protein: pairs of the same proteins. paper: as in Vig et al. 2021.",
)
@click.option(
    "--average",
    type=click.Choice(["micro", "macro"]),
    default="micro",
    help="micro: share of all arcs. macro: mean of the shares of single clusters.",
)
@click.option(
    "--cluster-by",
    metavar="COLUMN",
    default="protein",
    help="protein, or a column of the table proteins, such as a family: the bootstrap draws whole clusters.",
)
@click.option(
    "--split", is_flag=True, help="Rank the heads on one half of the clusters and report them on the other half."
)
@click.option(
    "--min-arcs", type=click.IntRange(min=0), default=100, help="Minimum number of arcs for a head to be ranked."
)
@click.option(
    "--min-proteins",
    type=click.IntRange(min=0),
    default=None,
    show_default="5; 0 with --paper",
    help="Minimum number of proteins (clusters, with --cluster-by) with arcs for a head to be ranked.",
)
@click.option(
    "--rank-by",
    type=click.Choice(["lower", "share", "enrichment"]),
    default=None,
    show_default="lower; share with --paper",
    help="Order of the heads. lower: lower bound of the interval, so that a head with few arcs does not lead by luck.",
)
@LEVEL
@click.option(
    "--replicates",
    type=click.IntRange(min=0),
    default=None,
    show_default="1000; 0 with --threshold all",
    help="Number of bootstrap replicates (0: Wilson intervals, which assume independent arcs).",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Random seed of the bootstrap and of --split.")
@click.option(
    "--tier",
    type=click.Choice(["marginals", "arcs", "codes"]),
    help="Tier to read.  [default: the cheapest that answers]",
)
@SCHEDULER
@click.option("--top", type=click.IntRange(min=1), default=10, help="Number of heads that --format table shows.")
@PLOT
@TIMEOUT
@output_options
def align(
    store: Path,
    predicate: str,
    top: int,
    plot: Path | None,
    form: str,
    output: Path | None,
    **options: Any,
) -> None:
    """Measure the share of each head's attention that goes to pairs for which PREDICATE is true.

    \b
    Example:
      attnstore align demo.attn contact --where "separation >= 6" --top 5

    PREDICATE is an SQL condition such as "contact", "target.aa = 'C'" or "distance < 10 AND separation >= 12".
    """
    from ..api import open_store

    if plot is not None:
        load_matplotlib()
        from ..queries.figure import check_suffix, save_figure

        check_suffix(plot)
    result = open_store(store).align(predicate, progress=sys.stderr.isatty(), **options)
    frame = result.to_table()
    text = curve_text(result, top) if "threshold" in result.dims else alignment_text(result, frame, top)
    write_table(frame, form, output, text)
    if plot is not None:
        save_figure(result.plot(), plot)
        click.echo(f"wrote {plot}", err=True)


def alignment_text(result: "Alignment", frame: "pd.DataFrame", top: int) -> str:
    """The question, the best heads and what was left out, to be read by people."""
    attributes = result.attrs
    weighted = attributes["form"] == "weighted"
    ranked = frame[frame["ranked"]]
    leading = _leading(ranked, attributes)
    shown = leading.head(top)
    lines = [
        *_heading(attributes, "attention weight" if weighted else f"arcs with α ≥ {attributes['threshold']:g}"),
        "",
        text_table(_readable(shown, attributes, with_unknown=bool(frame["unknown"].any()))),
        "",
    ]
    few = len(frame) - len(ranked)
    comma = "," if attributes["split"] or attributes["min_proteins"] > 1 else ""
    half = ", in one of the halves" if attributes["split"] else ""
    lines.append(
        f"{len(shown)} of {len(ranked)} ranked heads; {few} more have {_too_few(attributes)}{half}{comma} "
        "and are not ranked."
    )
    below = len(ranked) - len(leading)
    if below and not len(leading):
        lines.append("No ranked head has a share above its background; the other formats list them.")
    elif attributes["split"]:
        lines += _fallen(ranked, shown)
    elif below and len(shown) == len(leading):
        lines.append(f"{below} ranked heads have a share below their background and are not shown.")
    if not frame["total"].any():
        lines.append(_nothing_known(float(frame["unknown"].sum()), attributes))
    lines.append(_order_note(attributes))
    if (note := _interval_note(frame, attributes)) is not None:
        lines.append(note)
    return "\n".join(lines)


def _nothing_known(unknown: float, attributes: dict[str, Any]) -> str:
    """Why no head has a share."""
    said = "No head has any arc with the predicate known"
    if not unknown:
        passes = "the threshold and the where clause" if attributes["where"] else "the threshold"
        return f"{said}: nothing passes {'the where clause' if attributes['form'] == 'weighted' else passes}."
    if attributes["form"] == "weighted":
        return f"{said}: it is unknown (NULL) for all attention."
    return f"{said}: it is unknown (NULL) for all {unknown:,.0f} arcs."


def _leading(ranked: "pd.DataFrame", attributes: dict[str, Any]) -> "pd.DataFrame":
    """The ranked heads that are shown: in the paper's form all, else those whose share is not below the background."""
    if attributes["paper"] or "enrichment" not in ranked:
        return ranked
    return ranked[~(ranked["enrichment"] < 1)]


def _fallen(ranked: "pd.DataFrame", shown: "pd.DataFrame") -> list[str]:
    """The heads of a split that come before the last one shown, and are below their background in the other half."""
    if "enrichment" not in ranked:
        return []
    before = ranked[(ranked["selection_rank"] < shown["selection_rank"].max()) & (ranked["enrichment"] < 1)]
    named = [f"{layer}-{head} (rank {rank})" for layer, head, rank in
             zip(before["layer"], before["head"], before["selection_rank"], strict=True)]  # fmt: skip
    if not named:
        return []
    return [f"Not shown, because their share here is below the background: {', '.join(named)}."]


def _order_note(attributes: dict[str, Any]) -> str:
    by = {"lower": "the lower bound of the interval", "share": "share", "enrichment": "enrichment"}
    order = by[attributes["rank_by"]]
    if attributes["split"]:
        return (
            f"Ranked by {order} in {attributes['selection_clusters']:,} other clusters, shown next to the rank; "
            "the other columns are of clusters that were not used for it."
        )
    return f"Ranked by {order}."


def curve_text(result: "Alignment", top: int) -> str:
    """The question and, at some thresholds, the shares of the leading heads, to be read by people."""
    import pandas as pd

    from ..queries.statistics.shown_heads import leading_heads

    attributes = result.attrs
    weighted = attributes["form"] == "weighted"
    heads = leading_heads(result, top)
    thresholds = result["threshold"].to_numpy()
    shown = result.sel(threshold=[theta for theta in _SHOWN if theta in thresholds])
    columns = {"α ≥": [f"{theta:g}" for theta in shown["threshold"].to_numpy()]}
    for layer, head in heads:
        of_head = shown.isel(layer=layer, head=head)
        columns[f"{layer}-{head}"] = _percent(of_head["share"].where(of_head["ranked"]).to_numpy())
    # A curve knows its proteins where the bootstrap read them apart.
    few = _too_few(attributes, proteins="clusters" in result)
    lines = [
        *_heading(attributes, "attention weight with α ≥ θ" if weighted else "arcs with α ≥ θ"),
        "",
        text_table(pd.DataFrame(columns)),
        "",
        f"Heads as layer-head, those that lead at any threshold; – for a head with {few}.",
        (
            f"{len(columns['α ≥'])} of {len(thresholds)} thresholds: all of them, with background and intervals ("
            f"{attributes['interval']}), "
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


def _too_few(attributes: dict[str, Any], *, proteins: bool = True) -> str:
    if attributes["paper"]:
        return f"at most {attributes['min_arcs']} arcs"
    few = f"fewer than {attributes['min_arcs']} arcs with the predicate known"
    if attributes["min_proteins"] < 2 or not proteins:
        return few
    return f"{few}, or have them in fewer than {attributes['min_proteins']} {_unit(attributes)}"


def _unit(attributes: dict[str, Any]) -> str:
    return "proteins" if attributes["cluster_by"] == "protein" else "clusters"


def _interval_note(frame: "pd.DataFrame", attributes: dict[str, Any]) -> str | None:
    """What the interval is made of, and what it takes for granted; None where there is none."""
    if attributes["paper"]:
        return (
            "Wald, 0.05/m: the paper's interval, m the number of ranked heads. It and the z-test assume "
            "independent arcs, but arcs of one protein are not independent."
        )
    if "bootstrap_low" not in frame:
        return (
            "Wilson's interval assumes independent arcs, but arcs of one protein are not independent."
            if _has_wilson(attributes)
            else None
        )
    undefined = frame["ranked"] & frame["bootstrap_low"].isna()
    return "There is no interval for fewer than five clusters." if undefined.any() else None


def _has_wilson(attributes: dict[str, Any]) -> bool:
    return bool(attributes["form"] == "count" and attributes["average"] == "micro")


def _percent(values: Any) -> list[str]:
    return [f"{value:.1%}" if value == value else "–" for value in values]


def _ranges(frame: "pd.DataFrame", name: str) -> list[str]:
    ends = zip(_percent(frame[f"{name}_low"]), _percent(frame[f"{name}_high"]), strict=True)
    return [f"{low} – {high}" if low != "–" else "–" for low, high in ends]


def _readable(frame: "pd.DataFrame", attributes: dict[str, Any], *, with_unknown: bool) -> "pd.DataFrame":
    import pandas as pd

    weighted = attributes["form"] == "weighted"
    number = "{:,.2f}" if weighted else "{:,}"
    columns: dict[str, Any] = {"layer": frame["layer"], "head": frame["head"]}
    if "selection_rank" in frame:
        columns["rank"] = frame["selection_rank"]
        lower = "selection_lower" in frame
        columns["ranked by"] = _percent(frame["selection_lower" if lower else "selection_share"])
    columns["share"] = _percent(frame["share"])
    level = f"{100 * attributes['level']:g} %"
    if "bootstrap_low" in frame:
        columns[f"{level} bootstrap over {_unit(attributes)}"] = _ranges(frame, "bootstrap")
    elif _has_wilson(attributes):
        columns[f"{level} Wilson"] = _ranges(frame, "wilson")
    if "wald_low" in frame:
        columns["Wald, 0.05/m"] = _ranges(frame, "wald")
    columns["true"] = [number.format(value) for value in frame["count"]]
    columns["of"] = [number.format(value) for value in frame["total"]]
    columns[_unit(attributes)] = [f"{value:,}" for value in frame["clusters"]]
    if "background" in frame:
        columns["background"] = _percent(frame["background"])
        columns["enrichment"] = [f"{value:.1f}×" if value == value else "–" for value in frame["enrichment"]]
    if with_unknown:
        columns["unknown"] = [number.format(value) for value in frame["unknown"]]
    if "share_min" in frame:
        bounds = zip(_percent(frame["share_min"]), _percent(frame["share_max"]), strict=True)
        columns["exact within"] = [f"{low} – {high}" for low, high in bounds]
    if attributes["paper"] and not weighted:
        # Elsewhere it is in the other formats alone: over thousands of arcs of few proteins any share passes it.
        columns["log10 p (z-test)"] = [f"{value:.1f}" if value == value else "–" for value in frame["log10_p"]]
    return pd.DataFrame(columns)
