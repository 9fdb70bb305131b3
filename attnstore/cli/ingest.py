"""``attnstore ingest``: from files to a store."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..arguments import MAX_RESIDUES
from ..errors import AttnstoreError
from .options import STORE, files_and_entries, source_options

if TYPE_CHECKING:
    from ..ingest import Summary


_AT_LEAST_1 = click.IntRange(min=1)


def _tiers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(","))


@click.command()
@STORE
@click.argument("inputs", nargs=-1, metavar="INPUT...", type=click.Path(path_type=Path))
@click.option("--model", metavar="ID_OR_DIR", help="Hub id, or folder of a saved model.")
@click.option("--name", help="The model's name in the store.  [default: last part of its id]")
@click.option("--keep", default="codes,arcs,marginals", callback=_tiers, help="Of codes, arcs, marginals and hidden.")
@click.option("--max-residues", type=_AT_LEAST_1, default=MAX_RESIDUES, help="What a model sees of a protein at most.")
@click.option(
    "--long", type=click.Choice(["truncate", "skip"]), default="truncate", help="What to do with longer ones."
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto")
@click.option("--batch-pairs", type=_AT_LEAST_1, help="Residues² in a batch.  [default: 2^19; GPU: 2^24]")
@click.option("--segment-entries", type=_AT_LEAST_1, help="Attention entries of a segment.  [default: 2^27; GPU: 2^32]")
@click.option("--limit", type=_AT_LEAST_1, help="Take only the first N records, for a trial.")
@click.option("--sample", type=_AT_LEAST_1, help="Take only N records, drawn with --seed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of --sample and --randomize.")
@click.option(
    "--randomize", type=click.Choice(["weights", "sequence"]), help="Run a random twin, or shuffled residues: chance."
)
@click.option("--residue-map", metavar="MAP", help="As UZOB>X, or keep.  [default: what the model's vocabulary tells]")
@click.option("--keep-duplicates", is_flag=True, help="Ingest identical sequences apart.")
@source_options
@click.option(
    "--glycine-cb", type=click.Choice(["virtual", "ca"]),
    help="What stands for glycine's Cβ in distances and contacts: a virtual Cβ, or its Cα as in CASP.  "
    "[default: what STORE has; virtual in a new one]",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Stop at a protein that fails, rather than skip and record it.")
@click.option("--workers", type=_AT_LEAST_1, help="Processes on this machine; one per GPU where there are several.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers compute the segments.")
@click.option("--json", "as_json", is_flag=True, help="Say what was done for programs.")
@click.option("--force", is_flag=True, help="Go on though the disk seems full, or another host holds the lock.")
@click.pass_context
def ingest(
    context: click.Context,
    /,
    store: Path,
    inputs: tuple[Path, ...],
    model: str | None,
    fetch: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a model over proteins and keep all its attention in STORE.

    INPUT is a FASTA, PDB, mmCIF, UniProt, ProteinNet, cgdms or sidechainnet file, plain or gzip, TAPE's LMDB, or a
    folder of them; without any, another model is run over the proteins that STORE holds, and without --model, proteins
    and what is known of them are read and nothing is run. The same command again goes on where it was stopped; Ctrl-C
    finishes what is being written and drops what is being computed.
    """
    files, entries = files_and_entries(inputs, fetch)
    if model is None:
        _proteins(context, store, files, entries, as_json, options)
        return
    try:
        from ..ingest import ingest as run
    except ModuleNotFoundError as error:
        raise AttnstoreError(
            f"ingest needs {error.name}, which is not installed: pip install 'attnstore[ingest]'."
        ) from error
    summary = run(store, files, fetch=entries, model=model, progress=True, **options)
    click.echo(json.dumps(asdict(summary), indent=2) if as_json else summary_text(summary))


#: Options that say something of proteins, not of a model.
_OF_PROTEINS = ("limit", "sample", "seed", "keep_duplicates", "absent", "ligand_distance", "dssp", "predicted",
    "glycine_cb",
)  # fmt: skip


def _proteins(
    context: click.Context,
    store: Path,
    files: list[Path],
    entries: list[str],
    as_json: bool,
    options: dict[str, Any],
) -> None:
    for name in options.keys() - {*_OF_PROTEINS}:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} says how a model is run: give --model too.")
    from ..ingest import ingest_proteins

    document = ingest_proteins(store, files, fetch=entries, **{name: options[name] for name in _OF_PROTEINS})
    if as_json:
        click.echo(json.dumps({"proteins": document.proteins, "residues": document.residues}, indent=2))
    else:
        click.echo(f"proteins     {document.proteins:,}\nresidues     {document.residues:,}\nno model was run")


def summary_text(summary: "Summary") -> str:
    """What an ingest ends with."""
    lines = [
        f"model        {summary.model}",
        f"proteins     {summary.proteins:,}  ({summary.skipped:,} skipped, {summary.truncated:,} truncated)",
        f"residues     {summary.residues:,}",
        f"attention    {summary.entries:,} entries, {summary.arcs:,} arcs",
        f"on disk      {summary.bytes / 1e6:,.1f} MB, {summary.bits_per_entry:.2f} bits per entry, all in",
    ]
    if summary.excluded:
        lines.insert(2, f"excluded     {summary.excluded:,} chains of structure files (SELECT * FROM excluded)")
    if summary.entries_written:
        rate = f"{summary.entries_per_second / 1e6:,.1f} M entries/s"
        lines.append(f"this run     {summary.segments_written} segments in {summary.seconds:.1f} s, {rate}")
    else:
        lines.append("this run     nothing to do: everything is there")
    return "\n".join(lines)
