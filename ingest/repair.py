"""Mending a store: what is damaged is made again, and nothing else.

While a segment is damaged the manifest goes on listing it, so that no query is answered from the rest; it gives way to
its replacement in one step. Hence a repair may be killed at any moment and is finished by the next.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..durable import files_below
from ..errors import AttnstoreError, ModelError, StoreError
from ..layout import MANIFEST_FILE, MODEL_FILE, PLAN_FILE, SEGMENT_FILE, SEGMENTS, Manifest, ModelDocument, SegmentEntry, StoreDocument
from ..progress import bar
from ..segment import recorded_files
from ..verify import catalog_problems, model_directories, refuse_newer, segment_problems
from .language_model import load
from .lock import held, waiting
from .plan import PlannedSegment, read_plan, write_plan
from .recovery import (
    proteins_of,
    rebuild_catalog,
    recovered_entries,
    recovered_plan,
    recovered_skips,
    recovered_store_document,
)
from .run import Run
from .selection import catalog_proteins, taken
from .store_directory import storage_errors
from .task import Job
from .workers import start_workers


@dataclass
class Repaired:
    """What a repair did.

    Attributes
    ----------
    mended : a sentence for each thing that was damaged and is whole again
    left : a sentence for each thing that is still damaged, with the cure
    segments : how many were computed again
    """

    mended: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    segments: int = 0


def repair(
    store: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]] = (),
    *,
    model: str | None = None,
    model_source: str | None = None,
    device: str = "auto",
    keep_duplicates: bool = False,
    progress: bool = False,
    force: bool = False,
) -> Repaired:
    """Find what is damaged in a store and make it again: documents from what they describe, segments by their model.

    Parameters
    ----------
    store : directory
    inputs : files and folders that were ingested, to build a damaged catalog again
    model : its name in the store, to mend that one alone; by default all
    model_source : hub id or folder to load it from; by default where it was loaded from
    device : as of :func:`~attnstore.ingest.ingest`
    keep_duplicates : identical sequences were ingested apart; of concern for `inputs`
    progress : draw progress bars on standard error
    force : take over a lock that a process of another host left

    Returns
    -------
    Repaired
        What could not be mended is in `left`; it stays as it was.

    Raises
    ------
    StoreError
        If it is no store, a newer version wrote a part of it, or it holds no such model.
    """
    path = Path(store)
    refuse_newer(path)
    directories = model_directories(path)
    if not directories:
        StoreDocument.read(path)
    chosen = [directory for directory in directories if model in (None, directory.name)]
    if model is not None and not chosen:
        raise StoreError(f"{path} holds no model {model!r}.")
    ...
