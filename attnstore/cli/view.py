"""``attnstore view``: one protein's attention, on its structure or as a figure."""

from pathlib import Path
from typing import Any

import click

from ..runtime.drawing import load_matplotlib
from .options import STORE, TIMEOUT, layer_and_head


@click.command()
@STORE
@click.argument("protein")
@click.option("--model", help="Which model, where the store has several.")
@click.option(
    "--head", metavar="L-H", help="As 5-4: layer 5, head 4, both from 0; or with --layer H alone. Without it: chosen."
)
@click.option("--layer", type=click.IntRange(min=0), help="From 0, with --head.")
@click.option("--threshold", type=float, default=0.3, metavar="θ", help="Arcs of this weight or more are shown.")
@click.option("--separation", type=click.IntRange(min=0), default=6, help="And whose ends lie so far apart.")
@click.option("--sites", metavar="PROPERTY", help="Boolean property of residues to highlight.")
@click.option(
    "--structure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PDB or mmCIF file to draw for the store's Cα.",
)
@click.option("--chain", help="Of that file, where the one that agrees best is not meant.")
@click.option("--figure", type=click.Choice(["matrix", "arcs"]), help="Of a .png, .svg or .pdf; matrix if not given.")
@click.option("--track", "tracks", multiple=True, metavar="PROPERTY", help="Along a figure, too; may be repeated.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="A page, .html, that works without a network; or a figure.",
)  # fmt: skip
@TIMEOUT
def view(
    store: Path,
    protein: str,
    head: str | None,
    layer: int | None,
    figure: str | None,
    tracks: tuple[str, ...],
    output: Path,
    **options: Any,
) -> None:
    """Look at the attention of a head in PROTEIN: on its structure (.html), as a matrix, or as arcs (.png, .svg, .pdf).

    Layers and heads count from 0. Without --head it is the one whose share of contacts in this protein has the
    largest lower bound. In the page every head can be chosen.
    """
    load_matplotlib()
    from ..api import open_store
    from ..queries.heads_plot import check_suffix
    from ..queries.view.view import PAGES

    if output.suffix.lower() not in PAGES:
        check_suffix(output)
    elif figure is not None or tracks:
        raise click.UsageError("--figure and --track belong to .png, .svg and .pdf: a page shows all of it.")
    layer, number = layer_and_head(layer, head)
    shown = open_store(store).view(protein, layer=layer, head=number, **options)
    shown.save(output, figure or "matrix", tracks)
    click.echo(f"wrote {output}", err=True)
