"""``attnstore contacts``: contacts predicted from attention, and how good the prediction is."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.table_output import text_table, write_table
from .options import HEAD, LEVEL, MODEL, REPLICATES, SCHEDULER, STORE, TIMEOUT, output_options

if TYPE_CHECKING:
    import pandas as pd

    from ..queries.contacts.contact_result import ContactEvaluation, ContactMap


def _selected(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """A number of proteins, or a condition."""
    return int(value) if value is not None and value.strip().isdecimal() else value


@click.command()
@STORE
@click.argument("protein", required=False)
@click.option(
    "--method",
    type=click.Choice(["head", "topk", "logistic"]),
    default="topk",
    help="head: one head. topk: mean of the best heads. logistic: regression on all heads.",
)
@click.option("--layer", type=click.IntRange(min=0), help="Layer of the head for --method head, from 0; with --head.")
@click.option(
    "--head", type=HEAD, help="Head for --method head, from 0; with --layer.  [default: the best; all are listed]"
)
@click.option(
    "-k", "--k", type=int, help="Number of heads for --method topk.  [default: chosen on the selected proteins]"
)
@click.option("--c", type=float, help="Inverse strength of the L1 penalty of --method logistic.  [default: 0.15]")
@click.option("--apc/--no-apc", default=True, help="Apply the average product correction.")
@click.option(
    "--select",
    metavar="N|SQL",
    callback=_selected,
    help="Proteins to select heads or fit the regression on: a number to draw, or a condition.  [default: 10]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Random seed of the draw and of the bootstrap.")
@click.option(
    "--cluster-by",
    metavar="COLUMN",
    default="protein",
    help="protein, or a column of the table proteins, such as a family: whole clusters are selected or evaluated.",
)
@click.option(
    "--rank-range",
    type=click.Choice(["all", "short", "medium", "long"]),
    help="Range of separations in which the precision of heads is ranked.  [default: all]",
)
@click.option(
    "--rank-top",
    type=click.Choice(["L", "L/2", "L/5"]),
    help="Length of the list of contacts in which the precision of heads is ranked.  [default: L]",
)
@click.option(
    "--atom",
    type=click.Choice(["cb", "ca"]),
    default="cb",
    help="Atoms that are less than 8 Å apart in a contact: Cβ or Cα.",
)
@LEVEL
@REPLICATES
@MODEL
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help="Number of contacts of PROTEIN to list, or of heads.  [default: the length of PROTEIN; 10 heads]",
)
@SCHEDULER
@TIMEOUT
@output_options
@click.pass_context
def contacts(
    context: click.Context,
    /,
    store: Path,
    protein: str | None,
    top: int | None,
    level: float,
    replicates: int,
    form: str,
    output: Path | None,
    **options: Any,
) -> None:
    """Predict the contacts of PROTEIN from attention, or measure the precision of such predictions.

    \b
    Example:
      attnstore contacts demo.attn 1ABA_A --top 5

    Without PROTEIN, the precision is measured on all proteins that were not selected. With --method head and no --head,
    the formats csv, json and parquet contain the ranking of all heads.
    """
    from ..api import open_store

    ranked = protein is None and options["method"] == "head" and options["layer"] is None
    if top is not None and protein is None and not ranked:
        raise click.UsageError(
            "--top limits a list of contacts or heads, and none is printed here. Name a PROTEIN, or leave out --top."
        )
    if protein is not None:
        for name in ("level", "replicates"):
            if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
                raise click.UsageError(f"--{name} applies to intervals of the precision. Leave it out, or PROTEIN.")
    opened = open_store(store)
    options["progress"] = sys.stderr.isatty()
    if protein is not None:
        predicted = opened.contacts(protein, **options)
        frame = predicted.to_table(top)
        write_table(frame, form, output, map_text(predicted, frame))
    else:
        evaluated = opened.contact_precision(level=level, replicates=replicates, **options)
        frame = evaluated.heads if ranked else evaluated.to_table()
        write_table(frame, form, output, evaluation_text(evaluated, 10 if top is None else top))


def map_text(result: "ContactMap", frame: "pd.DataFrame") -> str:
    """The predicted contacts of one protein, to be read by people."""
    known = frame["contact"].dropna()
    truth = f"{known.sum()} of the {len(known)} whose distance is known are contacts"
    shown = frame.assign(score=_digits(frame["score"], ".4f"), distance=_digits(frame["distance"], ".1f"))
    if not len(known):
        truth, shown = "no distance is known", shown.drop(columns=["distance", "contact"])
    heading = f"{result.attrs['protein']}: the {len(frame)} best-scored pairs six or more apart; {truth}"
    return "\n".join([heading, *_method(result.attrs), "", text_table(shown, left=["contact"])])


def evaluation_text(result: "ContactEvaluation", top: int) -> str:
    """Precision by range and, where every head was evaluated, the best of them, to be read by people."""
    attributes = result.attrs
    left_out = attributes["left_out"]
    without = f", {left_out:,} left out because their cluster was chosen on" if left_out else ""
    frame = result.to_table()
    shown = frame[["range", "top"]].assign(
        precision=_percent(frame["precision"]),
        interval=_ranges(frame),
        random=_percent(frame["random"]),
        proteins=frame["proteins"],
        exhausted=frame["exhausted"],
    )
    lines = [
        f"Precision of predicted contacts over {result.sizes['protein']:,} proteins{without}",
        *_method(attributes),
        "",
        text_table(shown.rename(columns={"interval": _interval_heading(attributes)})),
        "",
        "proteins: with a known contact in the range; exhausted: of them, with no more pairs than the list asks for.",
    ]
    if attributes["replicates"] < 2:
        lines.append("There are no intervals, for lack of bootstrap replicates (--replicates).")
    elif frame["low"].isna().any():
        lines.append("No interval is given of fewer than five clusters.")
    if "head_precision" in result:
        lines += ["", _heads(result, top)]
    return "\n".join(lines)


def _heads(result: "ContactEvaluation", top: int) -> str:
    frame = result.heads.head(top)
    shown = frame[["layer", "head"]].assign(
        precision=_percent(frame["precision"]),
        interval=_ranges(frame),
        chosen=_percent(frame["chosen"]),
        alignment=_percent(frame["alignment"]),
        arcs=frame["arcs"],
    )
    names = {"interval": _interval_heading(result.attrs), "chosen": "on the selected"}
    heading = f"Heads by {result.attrs['ranked_by']}, {len(frame)} of {result.sizes['layer'] * result.sizes['head']}"
    note = "alignment: the share of its arcs (α ≥ 0.3, six or more apart) that are contacts."
    return "\n".join([heading, "", text_table(shown.rename(columns=names)), "", note])


def _interval_heading(attributes: dict[str, Any]) -> str:
    unit = "proteins" if attributes["cluster_by"] == "protein" else f"clusters by {attributes['cluster_by']}"
    return f"{100 * attributes['level']:g} % bootstrap over {unit}"


def _ranges(frame: "pd.DataFrame") -> list[str]:
    ends = zip(_percent(frame["low"]), _percent(frame["high"]), strict=True)
    return [f"{low} – {high}" if low != "–" else "–" for low, high in ends]


def _method(attributes: dict[str, Any]) -> list[str]:
    heads = attributes["heads"].split()
    named = ", ".join(heads[:10]) + (f" and {len(heads) - 10} more" if len(heads) > 10 else "")
    how = {"head": "head {}", "topk": "mean of heads {}", "logistic": "logistic regression on heads {}"}
    chosen = len(json.loads(attributes["chosen_on"]))
    ranked = f" by {attributes['ranked_by']}" if "ranked_by" in attributes else ""
    return [
        f"model {attributes['model']}, {how[attributes['method']].format(named)} (layer-head, from 0), "
        + ("corrected by the average product" if attributes["apc"] else "not corrected"),
        f"chosen on {chosen} proteins{ranked}" if chosen else "a given head, chosen on nothing here",
    ]


def _percent(values: "pd.Series[float]") -> list[str]:
    return ["–" if value != value else f"{value:.1%}" for value in values]


def _digits(values: "pd.Series[float]", form: str) -> list[str]:
    return ["" if value != value else format(value, form) for value in values.to_numpy(float, na_value=float("nan"))]
