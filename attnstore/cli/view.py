"""``attnstore view``: the attention of one protein, on its structure or as a figure."""

from pathlib import Path
from typing import Any, Literal

import click

from ..runtime.libraries import load_matplotlib
from .options import HEAD, MODEL, STORE, TIMEOUT, names_option


@click.command()
@STORE
@click.argument("protein")
@MODEL
@click.option("--layer", type=click.IntRange(min=0), help="Layer of the head to show, from 0; with --head.")
@click.option("--head", type=HEAD, help="Head to show, from 0; with --layer.  [default: the best for contacts]")
@click.option(
    "--threshold", type=float, default=0.3, metavar="θ", help="Minimum attention weight for an arc to be drawn."
)
@click.option(
    "--separation", type=click.IntRange(min=0), default=6, help="Minimum separation of the ends of an arc, in residues."
)
@click.option(
    "--sites",
    metavar="PROPERTY",
    help="Boolean property of residues to highlight.  [default: a binding or active site]",
)
@click.option(
    "--structure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PDB or mmCIF file to draw.  [default: the Cα atoms in the store]",
)
@click.option("--chain", help="Chain of that file to draw.  [default: the chain that best matches the protein]")
@click.option(
    "--figure", type=click.Choice(["matrix", "arcs"]), default="matrix", help="Kind of figure in a .png, .svg or .pdf."
)
@names_option("--tracks", metavar="NAME,…", default=(), help="Properties of residues to draw along the figure.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="File to write: .html is a page that needs no network; .png, .svg and .pdf are figures.",
)  # fmt: skip
@TIMEOUT
@click.pass_context
def view(
    context: click.Context,
    /,
    store: Path,
    protein: str,
    figure: Literal["matrix", "arcs"],
    tracks: tuple[str, ...],
    output: Path,
    **options: Any,
) -> None:
    """Show the attention of a head in PROTEIN: on its structure, as a matrix, or as arcs.

    \b
    Example:
      attnstore view demo.attn 1ABA_A --layer 5 --head 4 -o 1ABA_A.html

    Without --layer and --head, the head is the one whose share of contacts in this protein has the highest lower bound.
    In the page every head can be selected.
    """
    load_matplotlib()
    from ..api import open_store
    from ..queries.figure import check_suffix
    from ..queries.view.view import PAGES

    if output.suffix.lower() not in PAGES:
        check_suffix(output)
    elif tracks or context.get_parameter_source("figure") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError(
            "--figure and --tracks apply to .png, .svg and .pdf, and the output is a page. Leave them out."
        )
    open_store(store).view(protein, **options).save(output, figure, tracks)
    click.echo(f"wrote {output}", err=True)
