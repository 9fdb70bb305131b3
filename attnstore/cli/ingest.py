"""``attnstore ingest``: from files to a store."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..arguments import MAX_RESIDUES
from ..errors import AttnstoreError
from .options import STORE, files_and_entries, names_option, source_options

if TYPE_CHECKING:
    from ..ingest import Summary


_AT_LEAST_1 = click.IntRange(min=1)


@click.command()
@STORE
@click.argument("inputs", nargs=-1, metavar="INPUT...", type=click.Path(path_type=Path))
@click.option(
    "--model", metavar="ID_OR_DIR", help="Hub id or folder of a saved model.  [default: none; read proteins only]"
)
@click.option("--name", help="Name of the model in the store.  [default: last part of its id]")
@names_option(
    "--keep", metavar="TIER,…", default=("codes", "arcs", "marginals"),
    help="Tiers to store: codes, arcs, marginals, hidden.",
)  # fmt: skip
@click.option(
    "--max-residues",
    type=_AT_LEAST_1,
    default=MAX_RESIDUES,
    help="Largest number of residues that the model reads of a protein.",
)
@click.option(
    "--long",
    type=click.Choice(["truncate", "skip"]),
    default="truncate",
    help="How to treat proteins longer than --max-residues.",
)
@click.option("--device", default="auto", help="Where the model runs: auto, cpu, cuda, cuda:1, …")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto",
              help="Number format of the model's computation.")  # fmt: skip
@click.option(
    "--batch-pairs", type=_AT_LEAST_1, help="Largest sum of squared lengths in a batch.  [default: 2^19; GPU: 2^24]"
)
@click.option(
    "--segment-entries", type=_AT_LEAST_1, help="Number of attention entries in a segment.  [default: 2^27; GPU: 2^32]"
)
@click.option("--limit", type=_AT_LEAST_1, help="Read only the first N records, for a trial.")
@click.option("--sample", type=_AT_LEAST_1, help="Read only N records, drawn at random with --seed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Random seed of --sample and --randomize.")
@click.option(
    "--randomize",
    type=click.Choice(["weights", "sequence"]),
    help="Ingest a null model: random weights, or shuffled sequences.",
)
@click.option(
    "--residue-map",
    metavar="MAP",
    help="Replace letters that the model lacks, such as UZOB>X, or keep them.  [default: by the vocabulary]",
)
@click.option(
    "--keep-duplicates", is_flag=True, help="Ingest each of several identical sequences, instead of the first alone."
)
@source_options
@click.option(
    "--glycine-cb", type=click.Choice(["virtual", "ca"]),
    help="Atom used for glycine in distances and contacts: a virtual Cβ, or its Cα as in CASP.  "
    "[default: that of STORE; virtual in a new one]",
)  # fmt: skip
@click.option(
    "--strict", is_flag=True, help="Stop at the first protein that fails, instead of skipping and recording it."
)
@click.option(
    "--workers", type=_AT_LEAST_1, help="Number of processes on this machine.  [default: one per GPU, or one]"
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Address of a Dask scheduler whose workers compute the segments.  [default: this machine]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option(
    "--force", is_flag=True, help="Continue although the disk may be too small, or another host holds the lock."
)
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
    """Run a model over proteins and store all of its attention in STORE.

    \b
    Example (a second model over the proteins of the demo):
      attnstore ingest demo.attn --model facebook/esm2_t12_35M_UR50D

    INPUT is a FASTA, PDB, mmCIF, UniProt, ProteinNet, cgdms or sidechainnet file, plain or gzip, TAPE's LMDB, or a
    folder of such files. Without INPUT, the model runs over the proteins that STORE already contains. Without --model,
    proteins and their properties are read and no model is run.

    If an ingest stops, run the same command again to resume it. Ctrl-C finishes the segment that is being written and
    discards the one that is being computed.
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


#: Options that apply to proteins, not to a model.
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
            raise click.UsageError(
                f"--{name.replace('_', '-')} sets how a model is run, and no model is given. Pass --model too."
            )
    from ..ingest import ingest_proteins

    document = ingest_proteins(store, files, fetch=entries, **{name: options[name] for name in _OF_PROTEINS})
    if as_json:
        click.echo(json.dumps({"proteins": document.proteins, "residues": document.residues}, indent=2))
    else:
        click.echo(f"proteins     {document.proteins:,}\nresidues     {document.residues:,}\nno model was run")


def summary_text(summary: "Summary") -> str:
    """The summary that is printed after an ingest."""
    lines = [
        f"model        {summary.model}",
        f"proteins     {summary.proteins:,}  ({summary.skipped:,} skipped, {summary.truncated:,} truncated)",
        f"residues     {summary.residues:,}",
        f"attention    {summary.entries:,} entries, {summary.arcs:,} arcs",
        f"on disk      {summary.bytes / 1e6:,.1f} MB, {summary.bits_per_entry:.2f} bits per entry in total",
    ]
    if summary.excluded:
        lines.insert(2, f"excluded     {summary.excluded:,} chains of structure files (SELECT * FROM excluded)")
    if summary.entries_written:
        rate = f"{summary.entries_per_second / 1e6:,.1f} M entries/s"
        lines.append(f"this run     {summary.segments_written} segments in {summary.seconds:.1f} s, {rate}")
    else:
        lines.append("this run     nothing to do: the store is complete")
    return "\n".join(lines)
