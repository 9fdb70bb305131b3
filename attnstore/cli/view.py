"""``attnstore view``: the attention of one protein, on its structure or as a figure."""

from pathlib import Path
from typing import Any

import click

from ..runtime.drawing import load_matplotlib
from .options import STORE, TIMEOUT, layer_and_head


@click.command()
@STORE
@click.argument("protein")
@click.option("--model", help="Name of the model; needed if the store has several.")
@click.option(
    "--head",
    metavar="L-H",
    help="Layer and head, such as 5-4, or the head alone with --layer.  [default: the best for contacts]",
)
@click.option("--layer", type=click.IntRange(min=0), help="Layer, from 0; with --head.")
@click.option(
    "--threshold", type=float, default=0.3, metavar="θ", help="Minimum attention weight for an arc to be drawn."
)
@click.option(
    "--separation", type=click.IntRange(min=0), default=6, help="Minimum separation of the ends of an arc, in residues."
)
@click.option("--sites", metavar="PROPERTY", help="Boolean property of residues to highlight.")
@click.option(
    "--structure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PDB or mmCIF file to draw.  [default: the Cα atoms in the store]",
)
@click.option("--chain", help="Chain of that file to draw.  [default: the chain that best matches the protein]")
@click.option(
    "--figure", type=click.Choice(["matrix", "arcs"]), help="Kind of figure in a .png, .svg or .pdf.  [default: matrix]"
)
@click.option(
    "--track", "tracks", multiple=True, metavar="PROPERTY", help="Property to draw along the figure. May be repeated."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="File to write: .html is a page that needs no network; .png, .svg and .pdf are figures.",
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
    """Show the attention of a head in PROTEIN: on its structure, as a matrix, or as arcs.

    \b
    Example:
      attnstore view demo.attn 1ABA_A --head 5-4 -o 1ABA_A.html

    Layers and heads count from 0. Without --head, the head is the one whose share of contacts in this protein has the
    highest lower bound. In the page every head can be selected.
    """
    load_matplotlib()
    from ..api import open_store
    from ..queries.heads_plot import check_suffix
    from ..queries.view.view import PAGES

    if output.suffix.lower() not in PAGES:
        check_suffix(output)
    elif figure is not None or tracks:
        raise click.UsageError(
            "--figure and --track apply to .png, .svg and .pdf, and the output is a page. Leave them out."
        )
    layer, number = layer_and_head(layer, head)
    shown = open_store(store).view(protein, layer=layer, head=number, **options)
    shown.save(output, figure or "matrix", tracks)
    click.echo(f"wrote {output}", err=True)
