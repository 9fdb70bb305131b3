"""A segment as one task: from the model to the disk, in this process or on a worker."""

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from ..errors import ModelError, StoreError
from ..format.documents import ModelDocument, SegmentEntry, Skipped
from ..format.segment_writer import write_segment
from ..runtime.durable import check_folder
from ..runtime.machine import cores
from .compute import Budget, SequenceInput, compute_segment
from .model.language_model import LanguageModel, load
from .plan import PlannedSegment

#: One forward pass at a time: while a segment is compressed and written, the next one is computed.
_forward = threading.Lock()

#: Number of segments in a process's memory at a time.
SEGMENTS_AT_ONCE = 2
_in_memory = threading.Semaphore(SEGMENTS_AT_ONCE)


@dataclass(frozen=True)
class Job:
    """The settings for computing the segments of a model, small enough to send to a worker.

    Attributes
    ----------
    directory : directory of the model in the store
    document : the model and what to keep
    source : hub id or folder from which to load it
    device : 'cpu', 'cuda', 'cuda:1', …
    threads : of a worker; None for one per core
    strict : whether a protein that fails stops the ingest
    """

    directory: Path
    document: ModelDocument
    source: str
    device: str
    threads: int | None
    strict: bool

    @property
    def scratch(self) -> Path:
        """Directory of trials, inside the store because the trial also measures the disk."""
        return self.directory / ".trial"


@dataclass(frozen=True)
class Done:
    """The result of a task.

    Attributes
    ----------
    entry : entry of the segment for the manifest; None if every protein of it failed
    skipped : proteins that failed
    computing, writing : seconds that it took, without waiting
    """

    entry: SegmentEntry | None
    skipped: tuple[Skipped, ...]
    computing: float
    writing: float


def run_segment(
    job: Job,
    planned: PlannedSegment,
    proteins: dict[str, SequenceInput],
    *,
    language_model: LanguageModel | None = None,
    stopped: Callable[[], bool] = lambda: False,
    advance: Callable[[int], object] = lambda residues: None,
) -> Done:
    """Compute a segment and write it under a name that no manifest lists yet.

    Parameters
    ----------
    job, planned, proteins : settings, segment, and its proteins
    language_model : the loaded model; by default this process loads it once
    stopped, advance : see :func:`~attnstore.ingest.compute.compute_segment`

    Raises
    ------
    StoreError
        If the disk is full or fails.
    ModelError
        If the model cannot be loaded here, is another one here, or, with `strict`, a protein fails.
    Stopped
        If `stopped` returns true.
    """
    if language_model is None and not job.directory.is_dir():
        raise StoreError(
            f"a worker does not see the store at {job.directory.parent.parent}: every worker needs the store, and the "
            "model, under the same path."
        )
    threads = job.threads or cores()
    with _in_memory:
        with _forward:
            began = time.perf_counter()
            model = language_model or _loaded(job)
            # The setting belongs to this thread: torch keeps one per thread.
            torch.set_num_threads(threads)
            budget = _budget(job.source, str(model.device), job.document.precision)
            computed = compute_segment(planned, proteins, job.document, model, budget, stopped=stopped, advance=advance)
            computing = time.perf_counter() - began
        began = time.perf_counter()
        if job.strict:
            for failed in computed.skipped:
                raise ModelError(f"{failed.protein}: {failed.reason}.")
        contents, entry = computed.contents(), None
        if contents is not None:
            entry = write_segment(job.directory, planned.number, contents, job.document.chunk_pairs, threads)
        return Done(entry, computed.skipped, computing, writing=time.perf_counter() - began)


def run_trial(
    job: Job,
    planned: PlannedSegment,
    proteins: dict[str, SequenceInput],
    *,
    language_model: LanguageModel | None = None,
) -> Done:
    """Compute and write a segment that is discarded, to measure space and time of the others.

    Run twice, because the first run loads libraries and compiles; the second one counts.
    """
    check_folder(job.scratch)
    job.scratch.mkdir(exist_ok=True)
    # In a separate folder: a cluster's worker may still run the trial of an ingest that was stopped.
    with tempfile.TemporaryDirectory(dir=job.scratch, ignore_cleanup_errors=True) as folder:
        elsewhere = replace(job, directory=Path(folder))
        first = PlannedSegment(0, ((planned.proteins[-1],),))
        run_segment(elsewhere, first, first.among(proteins), language_model=language_model)
        return run_segment(elsewhere, planned, proteins, language_model=language_model)


@lru_cache(maxsize=1)
def _budget(source: str, device: str, precision: str) -> Budget:
    """The budget that this process has learned for a model's batches."""
    return Budget()


@lru_cache(maxsize=1)
def _loaded_from(
    source: str, device: str, precision: str, randomize_seed: int | None, residue_map: str, weights_sha256: str
) -> LanguageModel:
    model = load(source, device=device, precision=precision, randomize_seed=randomize_seed, residue_map=residue_map)
    if model.weights_sha256 != weights_sha256:
        raise ModelError(f"model {source} has other weights on this worker than where the ingest was started.")
    return model


def _loaded(job: Job) -> LanguageModel:
    """The model, loaded by this process at the first call."""
    document = job.document
    device, residue_map = _own_device(job.device), document.tokenizer["residue_map"]
    return _loaded_from(
        job.source, device, document.precision, document.weights_seed, residue_map, document.weights_sha256
    )


def _own_device(device: str) -> str:
    """The GPU of this worker on a machine with several, if none was chosen for it."""
    count = torch.cuda.device_count()
    if device != "cuda" or count < 2:
        return device
    from distributed import get_worker

    name = str(get_worker().name)
    return f"cuda:{int(name) % count}" if name.isdigit() else device
