"""``attnstore reproduce``: a published experiment by one command."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import AttnstoreError
from ..runtime.table_output import json_records
from .messages import typed

if TYPE_CHECKING:
    from ..queries.vig2021 import Reproduction

_AT_LEAST_1 = click.IntRange(min=1)


@click.group()
def reproduce() -> None:
    """Do a published experiment, and put what it measures beside what was published."""


def _tiers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(","))


@reproduce.command()
@click.option("--model", required=True, metavar="ID_OR_DIR", help="Hub id, or folder of a saved model.")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path),
    help="Folder of the data sets, as TAPE and the paper's code lay them out.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for stores, reports and the page.  [default: vig2021-MODEL]",
)  # fmt: skip
@click.option(
    "--compare-with", metavar="NAME",
    help="Compare with this model of the paper, or with none: other.  [default: told by name or shape]",
)  # fmt: skip
@click.option(
    "--as-published", is_flag=True,
    help="Move the labels of sites and modifications by one residue, as the paper's code does for ProtXLNet.",
)  # fmt: skip
@click.option("--split", type=click.Choice(["train", "valid"]), default="train", help="The paper's is train.")
@click.option("--sample", type=_AT_LEAST_1, help="Sequences of each data set, drawn with --seed.  [default: 5000]")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the sample and the reports.")
@click.option("--limit", type=_AT_LEAST_1, help="Take only the first N sequences of each data set, for a trial.")
@click.option("--keep", default="arcs,marginals", callback=_tiers, help="Of codes, arcs, marginals and hidden.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="float32",
    help="The paper's is float32.",
)  # fmt: skip
@click.option("--batch-pairs", type=_AT_LEAST_1, help="Residues² in a batch.  [default: 2^19; GPU: 2^24]")
@click.option("--segment-entries", type=_AT_LEAST_1, help="Attention entries of a segment.  [default: 2^27; GPU: 2^32]")
@click.option("--workers", type=_AT_LEAST_1, help="Processes on this machine; one per GPU where there are several.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers do the work.")
@click.option("--replicates", type=click.IntRange(min=0), default=1000, help="Of the reports' bootstrap; 0: none.")
@click.option("--json", "as_json", is_flag=True, help="For programs: every table, the files and what is missing.")
@click.option("--force", is_flag=True, help="Go on though the disk seems full, or another host holds the lock.")
def vig2021(as_json: bool, **options: Any) -> None:
    """Vig et al. 2021, BERTology Meets Biology (arXiv 2006.15222).

    Ingests 5,000 sequences of each of the paper's data sets that is in the folder, reports on them in the paper's form,
    and puts the ten best heads for contacts, binding sites and modifications beside those published. The same command
    again goes on where it was stopped.
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
