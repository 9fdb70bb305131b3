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
from ..format.lock import held
from ..format.segment_writer import ARC_FLOOR, CHUNK_PAIRS, KEPT
from ..readers.download import fetched
from ..readers.record import Options
from ..runtime.durable import make_directories
from ..runtime.paths import database_path, expanded, user_path
from .model.language_model import choose_precision, load
from .plan import BATCH_PAIRS, SEGMENT_ENTRIES, read_plan
from .run import Run, Summary
from .selection import catalog_proteins, extended_plan, taken
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
    long: str = "truncate",
    device: str = "auto",
    precision: str = "auto",
    batch_pairs: int | None = None,
    segment_entries: int | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    randomize: str | None = None,
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
    """Ingest proteins and a model's attention; the same call again resumes an ingest that stopped.

    Parameters
    ----------
    store : directory, created if it does not exist
    inputs : files and folders; none to run another model over the proteins in the store
    model : hub id or local folder
    name : name of the model in the store; by default the last part of its id
    keep : some of 'codes' (every weight, one byte), 'arcs' (weights from 0.05), 'marginals' (sums by residue) and
        'hidden' (float16 residue representations of every layer)
    max_residues : longer proteins are truncated to it or skipped; the model's own limit applies too
    long : 'truncate' or 'skip'
    device : 'auto', 'cpu', 'cuda', 'cuda:1', …
    precision : 'auto' (float32 on a CPU, bfloat16 on a GPU), 'float32', 'bfloat16', 'float16'; softmax is float32
    batch_pairs : residues² in a batch, padding included; by default 2¹⁹ on a CPU, 2²⁴ on a GPU. A batch that does not
        fit in memory is halved
    segment_entries : attention entries in a segment, about as many bytes of memory; two are in memory at a time. By
        default 2²⁷, on a GPU 2³²
    limit, sample : for a trial: the first records of the inputs, this many, or this many drawn with `seed`; without
        inputs, proteins of the catalog
    seed : of `sample` and `randomize`
    randomize : 'weights' runs the model's architecture with random weights, 'sequence' the model on shuffled residues,
        to show the attention expected by chance
    residue_map : letters to replace before the tokenizer, as 'UZOB>X', or 'keep'; by default the rule that the model's
        vocabulary shows
    keep_duplicates : ingest identical sequences separately
    fetch : PDB ids and UniProt accessions to fetch, in addition to the inputs
    absent : meaning of a protein without any feature of a kind in a source: 'null', unknown, or 'false',
        there is none
    ligand_distance : residues with a heavy atom at most this far (Å) from one of a ligand are its binding site; by
        default those of BioLiP's criterion, two pairs of atoms within the sum of their van der Waals radii + 0.5 Å
    dssp : run mkdssp on structure files
    predicted : read B-factors of structure files that declare no experiment as pLDDT, also if they declare no
        prediction
    glycine_cb : atom used for glycine's Cβ in distances and contacts: 'virtual', a Cβ computed from N, Cα and C, or
        'ca', its Cα, as in CASP; by default as in the store, and 'virtual' in a new one
    strict : stop at a protein that fails, instead of recording and skipping it
    workers : number of processes on this machine, each with its share of the cores or its own GPU; a script must call
        this under ``if __name__ == "__main__":``, since each process imports the script
    scheduler : address of a Dask scheduler, whose workers see the same files
    force : continue if the disk seems too small, or if another host holds the model's lock
    progress : draw a progress bar on standard error, and print a forecast before it

    Raises
    ------
    AttnstoreError
        One sentence that says what is wrong with an input, the model or the disk. Committed segments stay.
    Interrupted
        On Ctrl-C, after the segments that were being written are committed; a KeyboardInterrupt.
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
    path, model = database_path(store), expanded(model)
    model_name = checked_name(name or default_name(model, randomize, seed), "model name")
    kept = _checked_keep(keep)
    files = [*map(user_path, inputs), *fetched(fetch)]
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
            proteins, manifest = taken(proteins, document, language_model.tokens, manifest, strict=strict)
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
    last = Path(os.path.abspath(expanded(model))).name.replace(" ", "_")
    return last if randomize is None else f"{last}-random-{randomize}-{seed}"


@contextlib.contextmanager
def _model_directory(directory: Path, document: ModelDocument, force: bool) -> Iterator[ModelDocument]:
    """Hold the model's lock in the store; yields its document there."""
    make_directories(directory)
    with held(directory, f"model {document.name}", force=force):
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
