"""Computing a model's pending segments and committing them one by one."""

import shutil
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path

from ..catalog.reader import current_catalog
from ..errors import AttnstoreError, StoreError, first_line
from ..format.documents import SEGMENTS, Manifest, StoreDocument
from ..runtime.libraries import bar
from .compute import SequenceInput, Stopped
from .forecast import check_disk, forecast_ingest, trial_segment
from .model.language_model import LanguageModel
from .plan import PlannedSegment
from .task import Done, Job, run_segment, run_trial
from .workers import Workers


class Interrupted(KeyboardInterrupt):
    """An ingest was stopped with Ctrl-C; the message says which segments are committed."""


@dataclass(frozen=True)
class Summary:
    """Report of an ingest: what this run did, and what the store now holds of the model.

    Attributes
    ----------
    model : str
        Name of the model in the store.
    proteins, residues, entries, arcs : int
        Numbers in all committed segments. Entries are layers × heads × pairs.
    skipped : int
        Number of proteins that were skipped.
    truncated : int
        Number of proteins of which the model read only the beginning.
    segments_written : int
        Number of segments written in this run; 0 if all were complete.
    entries_written : int
        Number of attention entries computed in this run.
    seconds : float
        Duration of this run, without the loading of the model and the start of workers.
    bytes : int
        Size of the model's segments and the catalog.
    excluded : int
        Number of chains of structure files that are not proteins. The table `excluded` lists them.
    """

    model: str
    proteins: int
    residues: int
    entries: int
    arcs: int
    skipped: int
    truncated: int
    segments_written: int
    entries_written: int
    seconds: float
    bytes: int
    excluded: int = 0

    @property
    def bits_per_entry(self) -> float:
        """Size of the segments and the catalog per attention entry, in bits."""
        return 8 * self.bytes / self.entries if self.entries else float("nan")

    @property
    def entries_per_second(self) -> float:
        """Attention entries per second in this run; NaN if it computed none."""
        return self.entries_written / self.seconds if self.entries_written else float("nan")


class Run:
    """Computes pending segments and adds them to the manifest, which only this process writes."""

    def __init__(
        self,
        store: Path,
        job: Job,
        where: Workers,
        language_model: LanguageModel,
        manifest: Manifest,
        proteins: dict[str, SequenceInput],
        pending: Sequence[PlannedSegment],
        *,
        progress: bool,
    ) -> None:
        self.store = store
        self.job = job
        self.where = where
        self.language_model = language_model
        self.manifest = manifest
        self.proteins = proteins
        self.pending = [segment for segment in pending if segment.among(proteins)]
        self.progress = progress
        self.stop = threading.Event()
        self.segments_written = self.entries_written = 0
        manifest.write(job.directory)
        _clear_garbage(job, manifest)

    def forecast(self, force: bool) -> None:
        """Print the forecast; raises StoreError if the disk has too little space, unless forced."""
        if not self.pending:
            return
        document, tried = self.job.document, None
        trial = trial_segment(self.pending, self.proteins, document.layers * document.heads, self.where.device)
        if trial is not None:
            tried = self._submit(run_trial, trial).result()
            shutil.rmtree(self.job.scratch, ignore_errors=True)
        told = forecast_ingest(
            self.store,
            document,
            self.pending,
            self.proteins,
            self.manifest,
            tried,
            self.where.processes,
            self.where.device,
        )
        if self.progress:
            print(f"{document.name}: {told}", file=sys.stderr)
        if not force:
            check_disk(told, self.store)

    def all(self) -> None:
        """Compute every pending segment, and commit each when it is done."""
        residues = sum(self._residues(segment) for segment in self.pending)
        waiting, running = deque(self.pending), dict[Future[Done], PlannedSegment]()
        with bar(residues, "res", shown=self.progress, unit_scale=True, desc=self.job.document.name,
                 smoothing=0.05) as counted:  # fmt: skip
            try:
                while waiting or running:
                    while waiting and len(running) < self.where.slots:
                        planned = waiting.popleft()
                        running[self._submit(run_segment, planned, counted.update)] = planned
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        planned = running.pop(future)
                        self._commit(planned, future)
                        if self.where.remote:
                            counted.update(self._residues(planned))
            except BaseException as error:
                finished, dropped = self._wind_up(running)
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted(_interruption(finished, dropped)) from None
                raise
        _clear_garbage(self.job, self.manifest)  # left by workers that died

    def _residues(self, segment: PlannedSegment) -> int:
        return sum(protein.stored for protein in segment.among(self.proteins).values())

    def _submit(
        self,
        function: Callable[..., Done],
        planned: PlannedSegment,
        advance: Callable[[int], object] | None = None,
    ) -> Future[Done]:
        proteins = planned.among(self.proteins)
        if self.where.remote:
            return self.where.submit(function, self.job, planned, proteins)
        options = {} if advance is None else {"advance": advance, "stopped": self.stop.is_set}
        return self.where.submit(function, self.job, planned, proteins, language_model=self.language_model, **options)

    def _commit(self, planned: PlannedSegment, future: Future[Done]) -> None:
        try:
            done = future.result()
        except (AttnstoreError, OSError, Stopped, CancelledError):
            raise
        except MemoryError as error:
            raise StoreError(
                f"segment {planned.number} does not fit in memory ({first_line(error)}): free some, or ingest under "
                "another name (name=…) with smaller segments (segment_entries=…) or fewer residues (max_residues=…)."
            ) from error
        except Exception as error:
            if not self.where.remote:
                raise
            raise StoreError(f"segment {planned.number} could not be computed by a worker: {first_line(error)}.") \
                from error  # fmt: skip
        entries = self.manifest.segments if done.entry is None else (*self.manifest.segments, done.entry)
        self.manifest = replace(
            self.manifest,
            segments=tuple(sorted(entries, key=lambda entry: entry.number)),
            skipped=(*self.manifest.skipped, *done.skipped),
        )
        self.manifest.write(self.job.directory)
        if done.entry is not None:
            self.segments_written += 1
            self.entries_written += self.job.document.layers * self.job.document.heads * done.entry.pairs

    def _wind_up(self, running: dict[Future[Done], PlannedSegment]) -> tuple[list[int], list[int]]:
        """Drop segments being computed, commit those being written; returns the numbers of kept and dropped ones."""
        self.stop.set()
        finished, dropped = [], []
        for future in running:
            future.cancel()
        for future, planned in running.items():
            try:
                self._commit(planned, future)
                finished.append(planned.number)
            except (Exception, CancelledError):
                dropped.append(planned.number)
        return finished, dropped

    def summary(self, seconds: float) -> Summary:
        """What was done."""
        document, manifest = self.job.document, self.manifest
        catalog = current_catalog(self.store, StoreDocument.read(self.store))
        return Summary(
            model=document.name,
            proteins=manifest.total("proteins"),
            residues=manifest.total("residues"),
            entries=document.layers * document.heads * manifest.total("pairs"),
            arcs=manifest.total("arcs"),
            skipped=len(manifest.skipped),
            truncated=sum(len(protein.sequence) > protein.stored for protein in self.proteins.values()),
            segments_written=self.segments_written,
            entries_written=self.entries_written,
            seconds=seconds,
            bytes=manifest.total("bytes") + catalog.stat().st_size,
        )


def _interruption(finished: Sequence[int], dropped: Sequence[int]) -> str:
    def listed(numbers: Sequence[int]) -> str:
        return ", ".join(map(str, sorted(numbers))) or "none"

    return (
        f"interrupted: of the segments under way {listed(finished)} finished and kept, {listed(dropped)} dropped; "
        "run the same command again to resume."
    )


def _clear_garbage(job: Job, manifest: Manifest) -> None:
    """Remove what a killed run left: segments that no manifest lists, and incomplete documents."""
    for half in job.directory.glob(".*.tmp"):
        half.unlink(missing_ok=True)
    shutil.rmtree(job.scratch, ignore_errors=True)
    listed = {segment.id for segment in manifest.segments}
    segments = job.directory / SEGMENTS
    for leftover in segments.iterdir() if segments.exists() else ():
        if leftover.name not in listed:
            # A cluster's worker may still write a segment of an ingest that was stopped: the next run clears that.
            shutil.rmtree(leftover, ignore_errors=True)
