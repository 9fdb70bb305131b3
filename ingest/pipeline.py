"""The whole ingest: from inputs to the catalog, then from a model's attention to committed segments."""

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from ..annotate.store_directory import fill_catalog, storage_errors, store_directory
from ..arguments import MAX_RESIDUES
from ..catalog.builtin import GlycineCb
from ..errors import StoreError, check_choice
from ..format.codebook import DEFAULT
from ..format.documents import ATTENTION, KEEP, MANIFEST_FILE, MODEL_FILE, Manifest, ModelDocument, checked_name
from ..format.lock import lock_model
from ..format.segment_writer import ARC_FLOOR, CHUNK_PAIRS, KEPT
from ..readers.download import fetch_files
from ..readers.record import Options
from ..runtime.durable import make_directories
from ..runtime.paths import database_path, expand, user_path
from .model.language_model import choose_precision, load
from .plan import BATCH_PAIRS, SEGMENT_ENTRIES, read_plan
from .run import Run, Summary
from .selection import catalog_proteins, extended_plan, take_proteins
from .task import Job
from .workers import start_workers

_VERSIONED = ("attnstore", "torch", "transformers", "zarr", "numcodecs", "numpy", "pyarrow")


def ingest(
    store: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]] = (),
    *,
    model: str,
    name: str | None = None,
    keep: Sequence[str] = KEPT,
    max_residues: int = MAX_RESIDUES,
    long: Literal["truncate", "skip"] = "truncate",
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    batch_pairs: int | None = None,
    segment_entries: int | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    randomize: Literal["weights", "sequence"] | None = None,
    residue_map: str | None = None,
    keep_duplicates: bool = False,
    fetch: Sequence[str] = (),
    absent: Literal["null", "false"] = "null",
    ligand_distance: float | None = None,
    dssp: bool = False,
    predicted: bool = False,
    glycine_cb: GlycineCb | None = None,
    strict: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    force: bool = False,
    progress: bool = False,
) -> Summary:
    """Run a model over proteins and store all of its attention.

    If an ingest stops, the same call resumes it.

    Parameters
    ----------
    store : path
        Folder of the store. It is created if it does not exist.
    inputs : sequence of path, default ()
        Files and folders of proteins (default: the proteins that the store already contains).
    model : str
        Hub id or folder of a saved model.
    name : str, optional
        Name of the model in the store (default: last part of its id).
    keep : sequence of {'codes', 'arcs', 'marginals', 'hidden'}, default ('codes', 'arcs', 'marginals')
        Tiers to store. 'codes': every weight, in one byte. 'arcs': weights from 0.05, float32. 'marginals': sums by
        residue. 'hidden': representations of every layer, float16.
    max_residues : int, default 510
        Largest number of residues that the model reads of a protein. The model's own limit holds too.
    long : {'truncate', 'skip'}, default 'truncate'
        How to treat longer proteins.
    device : str, default 'auto'
        Where the model runs: 'auto', 'cpu', 'cuda', or a single GPU such as 'cuda:1'.
    precision : {'auto', 'float32', 'bfloat16', 'float16'}, default 'auto'
        Number format of the model's computation: 'auto' is float32 on a CPU and bfloat16 on a GPU. The softmax is
        always float32.
    batch_pairs : int, optional
        Largest sum of squared lengths in a batch, padding included (default: 2¹⁹ on a CPU, 2²⁴ on a GPU). A batch that
        does not fit in memory is halved.
    segment_entries : int, optional
        Number of attention entries in a segment, about its size in memory in bytes; two are in memory at once (default:
        2²⁷ on a CPU, 2³² on a GPU).
    limit : int, optional
        Read only the first records, so many, for a trial (default: all).
    sample : int, optional
        Read only so many records, drawn at random with `seed` (default: all).
    seed : int, default 0
        Random seed of `sample` and `randomize`.
    randomize : {'weights', 'sequence'}, optional
        Ingest a null model: random weights, or shuffled sequences (default: neither).
    residue_map : str, optional
        Letters to replace before the tokenizer, such as 'UZOB>X', or 'keep' (default: by the model's vocabulary).
    keep_duplicates : bool, default False
        Ingest each of several identical sequences, instead of the first alone.
    fetch : sequence of str, default ()
        PDB ids and UniProt accessions to download and read.
    absent : {'null', 'false'}, default 'null'
        Value of a feature that a file does not list: NULL (unknown) or FALSE (the protein has none).
    ligand_distance : float, optional
        Largest distance, in Å, between heavy atoms of a binding residue and of its ligand (default: BioLiP's criterion,
        two pairs of atoms within their van der Waals radii + 0.5 Å).
    dssp : bool, default False
        Run mkdssp on structure files to assign secondary structure.
    predicted : bool, default False
        Read B-factors as pLDDT in structure files that declare no experiment.
    glycine_cb : {'virtual', 'ca'}, optional
        Atom used for glycine in distances and contacts: a virtual Cβ placed from N, Cα and C, or its Cα, as in CASP
        (default: that of the store; 'virtual' in a new one).
    strict : bool, default False
        Stop at the first protein that fails, instead of skipping and recording it.
    workers : int, optional
        Number of processes on this machine, each with its share of the cores or its own GPU (default: one per GPU, or
        one). A script that starts them calls this function under ``if __name__ == "__main__":``.
    scheduler : str, optional
        Address of a Dask scheduler whose workers compute the segments and see the same files (default: this machine).
    force : bool, default False
        Continue although the disk may be too small, or another host holds the lock.
    progress : bool, default False
        Show a forecast and a progress bar on standard error.

    Returns
    -------
    Summary
        What this run did, and what the store now holds of the model.

    Raises
    ------
    AttnstoreError
        If an input or the model cannot be read, or the disk is too small. Committed segments stay.
    Interrupted
        On Ctrl-C, after the segments that are being written are committed; a KeyboardInterrupt.

    Examples
    --------
    >>> from attnstore.ingest import ingest
    >>> ingest("my.attn", ["proteins.fasta"], model="facebook/esm2_t6_8M_UR50D")  # doctest: +SKIP
    """
    _check_settings(
        max_residues=max_residues, batch_pairs=batch_pairs, segment_entries=segment_entries, limit=limit,
        sample=sample, workers=workers,
    )  # fmt: skip
    check_choice("long", long, ("truncate", "skip"), StoreError)
    check_choice("absent", absent, ("null", "false"), StoreError)
    check_choice("glycine_cb", glycine_cb, (None, "virtual", "ca"), StoreError)
    check_choice("randomize", randomize, (None, "weights", "sequence"), StoreError)
    if limit is not None and sample is not None:
        raise StoreError(f"limit={limit} and sample={sample} exclude each other: leave one of them out.")
    path, model = database_path(store), expand(model)
    model_name = checked_name(name or default_name(model, randomize, seed), "model name")
    kept = _checked_keep(keep)
    files = [*map(user_path, inputs), *fetch_files(fetch)]
    with storage_errors(path), start_workers(workers, scheduler, device) as where, store_directory(path):
        language_model = load(
            model,
            device="cpu" if where.remote else where.device,
            precision=choose_precision(precision, torch.device(where.device)) if where.remote else precision,
            randomize_seed=seed if randomize == "weights" else None,
            residue_map=residue_map,
        )
        began = time.perf_counter()
        excluded = fill_catalog(
            path, files, limit=limit, sample=sample, seed=seed, keep_duplicates=keep_duplicates,
            options=Options(absent=absent, ligand_distance=ligand_distance, dssp=dssp, predicted=predicted),
            glycine_cb=glycine_cb,
        )  # fmt: skip
        kind = "cuda" if where.device.startswith("cuda") else "cpu"
        document = ModelDocument(
            name=model_name,
            source=model,
            weights_sha256=language_model.weights_sha256,
            architecture=language_model.architecture,
            layers=language_model.layers,
            heads=language_model.heads,
            causal=language_model.causal,
            tokenizer=language_model.tokens.describe(),
            precision=language_model.precision,
            randomize=randomize,
            seed=seed if randomize else None,
            keep=kept,
            max_residues=min(max_residues, language_model.max_residues or max_residues),
            long=long,
            batch_pairs=batch_pairs or BATCH_PAIRS[kind],
            segment_entries=segment_entries or SEGMENT_ENTRIES[kind],
            arc_floor=ARC_FLOOR,
            chunk_pairs=CHUNK_PAIRS,
            codebook=tuple(DEFAULT.to_json()),
            check=language_model.check,
            versions={package: importlib.metadata.version(package) for package in _VERSIONED},
        )
        directory = path / ATTENTION / model_name
        with _model_directory(directory, document, force) as document:
            recorded = read_plan(directory)
            # The proteins of the inputs that are in the catalog: a trial's limit applied to the records.
            proteins = catalog_proteins(
                path, document, limit=None if files else limit, sample=None if files else sample, seed=seed,
                plan=recorded,
            )  # fmt: skip
            manifest = Manifest.read(directory)
            committed = {segment.number for segment in manifest.segments}
            proteins, manifest = take_proteins(proteins, document, language_model.tokens, manifest, strict=strict)
            plan = extended_plan(directory, document, recorded, proteins, committed)
            pending = [segment for segment in plan if segment.number not in committed]
            job = Job(directory.absolute(), document, model, where.device, where.threads, strict)
            run = Run(path, job, where, language_model, manifest, proteins, pending, progress=progress)
            run.forecast(force)
            run.all()
            return replace(run.summary(time.perf_counter() - began), excluded=excluded)


def _check_settings(**settings: int | None) -> None:
    for name, value in settings.items():
        if value is not None and value < 1:
            raise StoreError(f"{name}={value} must be at least 1.")


def _checked_keep(keep: Sequence[str]) -> tuple[str, ...]:
    """The tiers to keep, each once and in the store's order."""
    for tier in keep:
        check_choice("keep", tier, KEEP, StoreError)
    if not set(keep) - {"hidden"}:
        raise StoreError("keep names no attention: keep at least one of codes, arcs and marginals.")
    return tuple(tier for tier in KEEP if tier in keep)


def default_name(model: str, randomize: str | None = None, seed: int = 0) -> str:
    """The default name of a model in a store: the last part of its id or folder, and how it was randomised."""
    last = Path(os.path.abspath(expand(model))).name.replace(" ", "_")
    return last if randomize is None else f"{last}-random-{randomize}-{seed}"


@contextlib.contextmanager
def _model_directory(directory: Path, document: ModelDocument, force: bool) -> Iterator[ModelDocument]:
    """Hold the model's lock in the store; yields its document there."""
    make_directories(directory)
    with lock_model(directory, f"model {document.name}", force=force):
        if (directory / MODEL_FILE).exists() or (directory / MANIFEST_FILE).exists():
            recorded = ModelDocument.read(directory)
            difference = recorded.difference(document)
            if difference is not None:
                raise StoreError(
                    f"model {document.name} is in the store with other settings ({difference}): "
                    f"use the same, or another name (name={document.name + '-2'!r})."
                )
            document = recorded
        else:
            document.write(directory)
        yield document
