"""``attnstore probe``: how much of a property can be read off each layer."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.libraries import load_matplotlib
from ..runtime.table_output import text_table, write_table
from .options import LEVEL, MODEL, PLOT, REPLICATES, SCHEDULER, STORE, TIMEOUT, names_option, output_options

if TYPE_CHECKING:
    import pandas as pd

    from ..queries.probe.probe_result import Probing


@click.command()
@STORE
@click.argument("condition")
@click.option(
    "--metric",
    type=click.Choice(["auto", "f1", "precision"]),
    default="auto",
    help="Score. auto: precision for pairs and rare properties, else F1.",
)
@names_option(
    "--sources", metavar="NAME,…", default=("embeddings", "attention"),
    help="Representations to probe: embeddings, attention, or both.",
)  # fmt: skip
@click.option(
    "--cluster-by",
    metavar="COLUMN",
    default="protein",
    help="protein, or a column of the table proteins, such as a family: no cluster is both trained and tested on.",
)
@click.option(
    "--test-share", type=float, default=0.2, help="Share of the clusters that are tested on, between 0 and 1."
)
@click.option(
    "--examples", type=click.IntRange(min=2), default=131_072, help="Largest number of residues or pairs to train on."
)
@click.option("--balanced", is_flag=True, help="Give true and false examples the same total weight.")
@MODEL
@LEVEL
@REPLICATES
@click.option("--seed", type=click.IntRange(min=0), default=0,
              help="Random seed of the split into clusters, the draw of examples and the bootstrap.")  # fmt: skip
@SCHEDULER
@PLOT
@TIMEOUT
@output_options
def probe(
    store: Path,
    condition: str,
    plot: Path | None,
    form: str,
    output: Path | None,
    **options: Any,
) -> None:
    """Train a linear classifier of CONDITION on every layer, and measure it on other proteins.

    \b
    Example:
      attnstore probe demo.attn contact --sources attention

    CONDITION is an SQL condition on columns of residues, such as "ss4 = 'helix'" or "binding_site", or on pairs, such
    as "contact".
    """
    from ..api import open_store

    if plot is not None:
        load_matplotlib()
        from ..queries.figure import check_suffix, save_figure

        check_suffix(plot)
    result = open_store(store).probe(condition, progress=sys.stderr.isatty(), **options)
    frame = result.to_table()
    write_table(frame, form, output, probing_text(result, frame))
    if plot is not None:
        save_figure(result.plot(), plot)
        click.echo(f"wrote {plot}", err=True)


def probing_text(result: "Probing", frame: "pd.DataFrame") -> str:
    """The question, a row for each layer and what was learnt from, to be read by people."""
    from ..queries.probe.probe_tasks import score_words

    attributes = result.attrs
    by = "" if attributes["cluster_by"] == "protein" else f" by {attributes['cluster_by']}"
    rows = {
        side: f"{attributes[f'{side}_proteins']:,} proteins in {attributes[f'{side}_clusters']:,} clusters{by}, "
        f"{attributes[f'{side}_examples']:,} {attributes['of']}, {_share(attributes, side)} true"
        for side in ("train", "test")
    }
    drawn = attributes["learnt_from"]
    of = f" ({drawn:,} of them drawn)" if drawn < attributes["train_examples"] else ""
    what = "calling everything true" if attributes["metric"] == "f1" else "a random order"
    return "\n".join(
        [
            f"{attributes['condition']}: {score_words(attributes)} of a linear probe, by layer",
            f"model {attributes['model']}",
            "",
            text_table(_readable(frame, attributes["level"]), left=["layer"]),
            "",
            f"Layers count from 0; in: what the first is given. Chance ({what}): {attributes['chance']:.1%}.",
            f"Learnt from {rows['train']}{of}.",
            f"Tested on {rows['test']}.",
            _interval_text(attributes),
        ]
    )


def _interval_text(attributes: dict[str, Any]) -> str:
    if attributes["replicates"] < 2:
        return "Interval: none, for lack of bootstrap replicates (--replicates)."
    return f"Interval: {100 * attributes['level']:g} % bootstrap over the clusters tested on."


def _share(attributes: dict[str, Any], side: str) -> str:
    return f"{attributes[f'{side}_true'] / attributes[f'{side}_examples']:.1%}"


def _readable(frame: "pd.DataFrame", level: float) -> "pd.DataFrame":
    """A row for each layer: score, interval and difference of each probe side by side."""
    import pandas as pd

    layers = sorted(frame["layer"].unique())
    columns: dict[str, Any] = {"layer": ["in" if layer < 0 else str(layer) for layer in layers]}
    for name, own in frame.groupby("probe", sort=False):
        own = own.set_index("layer").reindex(layers)
        columns[str(name)] = [_percent(score) for score in own["score"]]
        ends = zip(own["low"], own["high"], strict=True)
        columns[f"{100 * level:g} % bootstrap" + " " * (len(columns) > 3)] = [_range(*each) for each in ends]
        columns["difference" + " " * (len(columns) > 3)] = [
            "" if value != value else f"{100 * value:+.1f}" for value in own["difference"]
        ]
    return pd.DataFrame(columns)


def _percent(value: float) -> str:
    return "–" if value != value else f"{value:.1%}"


def _range(low: float, high: float) -> str:
    return "" if low != low else f"{low:.1%} – {high:.1%}"
