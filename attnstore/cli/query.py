"""``attnstore query``: SQL over attention."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..runtime.table_output import write_batches, write_table
from .options import SCHEDULER, STORE, TIMEOUT, output_options


@click.command()
@STORE
@click.argument("sql", metavar="SQL")
@click.option(
    "--explain", "explained", is_flag=True, help="Show the plan (tiers, conditions, cost) instead of the answer."
)
@click.option(
    "--tier",
    type=click.Choice(["pairs", "marginals", "arcs", "codes"]),
    help="Tier to read.  [default: the cheapest that answers]",
)
@click.option("--memory-limit", metavar="SIZE", help="Largest memory, such as 4GB.  [default: half of the memory]")
@click.option(
    "--disk-limit",
    metavar="SIZE",
    help="Largest size of temporary files, such as 50GB.  [default: 10GB, at most half of the free space]",
)
@TIMEOUT
@SCHEDULER
@output_options
def query(
    store: Path,
    sql: str,
    explained: bool,
    tier: Any,
    memory_limit: str | None,
    disk_limit: str | None,
    timeout: float | None,
    scheduler: str | None,
    form: str,
    output: Path | None,
) -> None:
    """Answer one SQL SELECT over the attention weights and the other tables of STORE.

    \b
    Example:
      attnstore query demo.attn "
        SELECT layer, head, avg(contact) AS share, count(*) AS arcs
        FROM attention WHERE weight >= 0.3 AND separation >= 6
        GROUP BY ALL ORDER BY share DESC LIMIT 10"

    The table attention has a row for each model, protein, layer, head, source and target.
    """
    from ..api import open_store

    opened = open_store(store)
    limits: dict[str, Any] = {"memory_limit": memory_limit, "disk_limit": disk_limit, "timeout": timeout}
    if explained:
        click.echo(opened.explain(sql, tier=tier, **limits))
        return
    options: dict[str, Any] = {"tier": tier, **limits, "scheduler": scheduler, "progress": sys.stderr.isatty()}
    if form in ("csv", "parquet"):
        batches = opened.stream(sql, **options)
        write_batches(batches, form, output)
        approximate = json.loads(batches.schema.metadata[b"attnstore"])["approximate"]
    else:
        result = opened.query(sql, **options)
        write_table(result.df(), form, output)
        approximate = result.attrs["approximate"]
    for name in approximate:
        click.echo(f"{name} is approximate: the exact value lies from {name}_min to {name}_max.", err=True)
