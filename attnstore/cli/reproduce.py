"""``attnstore reproduce``: a published experiment with one command."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import AttnstoreError
from ..runtime.table_output import json_records
from .messages import typed
from .options import REPLICATES, names_option

if TYPE_CHECKING:
    from ..queries.vig2021 import Reproduction

_AT_LEAST_1 = click.IntRange(min=1)


@click.group()
def reproduce() -> None:
    """Repeat a published experiment, and compare its results with the published ones.

    \b
    Example:
      attnstore reproduce vig2021 --model facebook/esm2_t6_8M_UR50D --data data
    """


@reproduce.command()
@click.option("--model", required=True, metavar="ID_OR_DIR", help="Hub id or folder of a saved model.")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path),
    help="Folder of the data sets, in the layout of TAPE and of the paper's code.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for stores, reports and the page.  [default: vig2021-MODEL]",
)  # fmt: skip
@click.option(
    "--compare-with", metavar="NAME",
    help="Model of the paper to compare with; other compares with none.  [default: recognised by name or shape]",
)  # fmt: skip
@click.option(
    "--as-published", is_flag=True,
    help="Shift the labels of sites and modifications by one residue, as the paper's code does for ProtXLNet.",
)  # fmt: skip
@click.option(
    "--split",
    type=click.Choice(["train", "valid"]),
    default="train",
    help="Part of the data sets; the paper uses train.",
)
@click.option(
    "--sample",
    type=_AT_LEAST_1,
    help="Number of sequences of each data set, drawn at random with --seed.  [default: 5000]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Random seed of the sample and of the reports.")
@click.option("--limit", type=_AT_LEAST_1, help="Read only the first N sequences of each data set, for a trial.")
@names_option(
    "--keep", metavar="TIER,…", default=("arcs", "marginals"), help="Tiers to store: codes, arcs, marginals, hidden."
)
@click.option("--device", default="auto", help="Where the model runs: auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="float32",
    help="Number format of the model's computation; the paper uses float32.",
)  # fmt: skip
@click.option(
    "--batch-pairs", type=_AT_LEAST_1, help="Largest sum of squared lengths in a batch.  [default: 2^19; GPU: 2^24]"
)
@click.option(
    "--segment-entries", type=_AT_LEAST_1, help="Number of attention entries in a segment.  [default: 2^27; GPU: 2^32]"
)
@click.option(
    "--workers", type=_AT_LEAST_1, help="Number of processes on this machine.  [default: one per GPU, or one]"
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Address of a Dask scheduler whose workers do the work.  [default: this machine]",
)
@REPLICATES
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: all tables, the files and the parts that are missing."
)
@click.option(
    "--force", is_flag=True, help="Continue although the disk may be too small, or another host holds the lock."
)
def vig2021(as_json: bool, **options: Any) -> None:
    """Repeat the analysis of Vig et al. 2021, BERTology Meets Biology (arXiv 2006.15222).

    \b
    Example:
      attnstore reproduce vig2021 --model facebook/esm2_t6_8M_UR50D --data data

    Ingests 5,000 sequences of each data set of the paper that is in the folder, reports on them in the paper's form,
    and lists the ten best heads for contacts, binding sites and modifications next to the published ones. If the
    command stops, run it again to resume it.
    """
    try:
        from ..queries.vig2021 import vig2021 as run

        done = run(progress=sys.stderr.isatty(), **options)
    except ModuleNotFoundError as error:
        raise AttnstoreError(
            f"reproduce needs {error.name}, which is not installed: pip install 'attnstore[ingest]'."
        ) from error
    context = click.get_current_context()
    done = replace(done, notes=tuple(typed(note, context) for note in done.notes))
    if as_json:
        click.echo(_for_programs(done))
    else:
        from ..queries.vig2021.paper_page import summary_text

        click.echo(typed(summary_text(done), click.get_current_context()))


def _for_programs(done: "Reproduction") -> str:
    found = {
        "page": str(done.page),
        "model": done.model,
        "published": done.published,
        "recognised": done.recognised,
        "drawn": asdict(done.drawn),
        "as_published": done.as_published,
        "heads": json.loads(json_records(done.heads)),
        "summary": json.loads(json_records(done.summary)),
        "best_heads": json.loads(json_records(done.best)),
        "centres": [
            {"property": one.question.key, "centre": one.centre if one.centre == one.centre else None}
            for one in done.depths
        ],
        "blosum62": done.similarity,
        "stores": {name: str(path) for name, path in done.stores.items()},
        "reports": {name: str(report.page) for name, report in done.reports.items()},
        "notes": list(done.notes),
        "missing": list(done.missing),
    }
    return json.dumps(found, indent=2, ensure_ascii=False)
