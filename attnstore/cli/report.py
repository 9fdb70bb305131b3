"""``attnstore report``: what the models of a store attend to, as a page, figures and tables."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.table_output import json_records, text_table
from .messages import typed
from .options import REPLICATES, SCHEDULER, STORE, TIMEOUT, names_option

if TYPE_CHECKING:
    import pandas as pd

    from ..queries.report.report import Report


@click.command()
@STORE
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the page, figures and tables.  [default: name of STORE with -report]",
)  # fmt: skip
@names_option("--models", metavar="NAME,…", help="Names of the models to report.  [default: all models]")
@names_option(
    "--properties", metavar="NAME,…", help="contact, aa (amino acids), or properties.  [default: all properties]"
)
@click.option(
    "--paper",
    is_flag=True,
    help="Also report the form of Vig et al. 2021: all arcs count, and unknown counts as false.",
)
@click.option(
    "--threshold", type=float, metavar="θ", default=0.3, help="Minimum attention weight for a pair to count as an arc."
)
@click.option(
    "--cluster-by",
    metavar="COLUMN",
    default="protein",
    help="protein, or a column of the table proteins, such as a family: the bootstrap draws whole clusters.",
)
@click.option(
    "--min-arcs", type=click.IntRange(min=0), default=100, help="Minimum number of arcs for a head to be ranked."
)
@click.option(
    "--min-proteins", type=click.IntRange(min=0), default=5,
    help="Minimum number of proteins (clusters, with --cluster-by) with arcs for a head to be ranked.",
)  # fmt: skip
@REPLICATES
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Random seed of the bootstrap and of the halves.")
@SCHEDULER
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: the files, the best heads and the parts that are missing."
)
@TIMEOUT
def report(
    store: Path,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write a page that shows what each head attends to, with all figures and tables as files.

    \b
    Example:
      attnstore report demo.attn -o demo-report

    The page needs no network and no other file.
    """
    from ..api import open_store

    folder = output if output is not None else Path(f"{store.resolve().stem}-report")
    done = open_store(store).report(folder, progress=sys.stderr.isatty(), **options)
    click.echo(_for_programs(done) if as_json else _summary(done))


def _for_programs(done: "Report") -> str:
    found = {
        "page": str(done.page),
        "figures": [str(path.with_suffix(each)) for path in done.figures.values() for each in (".svg", ".png")],
        "tables": [str(done.page.parent / "tables" / f"{name}.csv") for name in done.tables],
        "best_heads": json.loads(json_records(done.tables["best-heads"])),
        "missing": [
            {"what": one.what, "reason": typed(one.reason, click.get_current_context()), "model": one.model}
            for one in done.missing
        ],
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _summary(done: "Report") -> str:
    """The page, the best head of each property, and how much is not shown."""
    frame = done.tables["best-heads"]
    shown = frame[~frame["key"].str.startswith("aa-")]
    lines = [str(done.page), ""]
    if len(shown):
        lines += [
            text_table(_readable(shown)),
            "",
            "Best heads, picked on one half of the clusters and measured on the other.",
        ]
    lines.append(f"{len(done.figures)} figures and {len(done.tables)} tables in the same folder.")
    if done.missing:
        lines.append(f"{len(done.missing)} not shown: the page says what and why.")
    return "\n".join(lines)


def _readable(frame: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, Any] = {"model": frame["model"]} if frame["model"].nunique() > 1 else {}
    heads = zip(frame["layer"], frame["head"], strict=True)
    columns |= {
        "property": frame["property"],
        "head": ["–" if pd.isna(layer) else f"{layer}-{head}" for layer, head in heads],
        "share": _percent(frame["share"]),
        "background": _percent(frame["background"]),
        "enrichment": ["–" if pd.isna(value) else f"{value:.1f}×" for value in frame["enrichment"]],
        "centre": ["–" if pd.isna(value) else f"{value:.2f}" for value in frame["centre"]],
    }
    return pd.DataFrame(columns)


def _percent(values: "pd.Series[float]") -> list[str]:
    return ["–" if value != value else f"{value:.1%}" for value in values]
