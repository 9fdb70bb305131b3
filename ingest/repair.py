"""Repair of a store: damaged parts are rebuilt, and nothing else.

The manifest lists a damaged segment until its replacement is written, so that no query is answered from the other
segments only. So a repair may be killed at any moment; the next one finishes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..annotate.store_directory import storage_errors
from ..errors import AttnstoreError, MachineError, ModelError, StoreError
from ..format.documents import SEGMENTS, Manifest, ModelDocument, SegmentEntry, StoreDocument
from ..format.lock import lock_model, waiting
from ..format.segment_files import recorded_files
from ..format.segment_values import LocalProteins
from ..integrity import catalog_problems, model_directories, refuse_newer, segment_problems, strays
from ..runtime.libraries import bar
from ..runtime.paths import database_path, expand, user_path
from .model.language_model import LanguageModel, load
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
from .selection import catalog_proteins, take_proteins
from .task import Job
from .workers import start_workers


@dataclass
class Repaired:
    """Report of a repair.

    Attributes
    ----------
    rebuilt : list of str
        A sentence for each part that was damaged and is intact again.
    left : list of str
        A sentence for each part that is still damaged, with what to do.
    segments : int
        Number of segments that were computed again.
    """

    rebuilt: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    segments: int = 0


@dataclass(frozen=True)
class _Source:
    """The source of models: a given one, or, with consent, the one that the store records."""

    given: str | None
    trusted: bool | Callable[[str, str], bool]

    def of(self, document: ModelDocument) -> str:
        """The source of a model; raises ModelError without consent."""
        if self.given is not None:
            return expand(self.given)
        trusted = self.trusted if isinstance(self.trusted, bool) else self.trusted(document.name, document.source)
        if not trusted:
            raise ModelError(
                f"its model has to be loaded, and the store says that it is at {document.source!r}. Pass "
                f"trust_source=True if you trust who made the store, or model_source={document.source!r}."
            )
        return document.source


def repair(
    store: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]] = (),
    *,
    model: str | None = None,
    model_source: str | None = None,
    trust_source: bool | Callable[[str, str], bool] = False,
    device: str = "auto",
    keep_duplicates: bool = False,
    progress: bool = False,
    force: bool = False,
) -> Repaired:
    """Find what is damaged in a store and rebuild it.

    Damaged segments are computed again with their model, and damaged documents are rebuilt from the segments. A damaged
    catalog is rebuilt from `inputs`.

    Parameters
    ----------
    store : path
        Folder of the store.
    inputs : sequence of path, default ()
        All files and folders that were ingested. They are read only if the catalog is damaged.
    model : str, optional
        Repair only this model, by its name in the store (default: all models).
    model_source : str, optional
        Hub id or folder to load the model from.
    trust_source : bool or callable, default False
        Load the model from the place that the store names, which may be any folder or hub id; only for a store that you
        trust. A function ``(name, source) -> bool`` is called if a model must be loaded.
    device : str, default 'auto'
        Where the model runs: 'auto', 'cpu', 'cuda', or a single GPU such as 'cuda:1'.
    keep_duplicates : bool, default False
        The store was ingested with ``keep_duplicates=True``.
    progress : bool, default False
        Show progress bars on standard error.
    force : bool, default False
        Take over a lock that a process of another host left.

    Returns
    -------
    Repaired
        What was rebuilt, and what is still damaged.

    Raises
    ------
    StoreError
        If it is not a store, was written by a newer version, or has no such model.

    Examples
    --------
    >>> attnstore.repair("demo.attn").left
    []
    """
    path, report = database_path(store), Repaired()
    refuse_newer(path)
    directories = model_directories(path)
    if not directories:
        StoreDocument.read(path)
    chosen = [directory for directory in directories if model in (None, directory.name)]
    if model is not None and not chosen:
        raise StoreError(f"{path} holds no model {model!r}.")
    try:
        with storage_errors(path), waiting(path):
            _rebuild_catalog(path, [user_path(entry) for entry in inputs], keep_duplicates, report)
    except MachineError:
        raise
    except AttnstoreError as error:
        report.left.append(str(error))
    for directory in chosen:
        try:
            with storage_errors(path), lock_model(directory, f"model {directory.name}", force=force):
                source = _Source(model_source, trust_source)
                _rebuild_model(path, directory, report, source=source, device=device, progress=progress)
        except MachineError:
            raise
        except AttnstoreError as error:
            report.left.append(str(error))
    return report


def _rebuild_catalog(path: Path, inputs: Sequence[Path], keep_duplicates: bool, report: Repaired) -> None:
    """Raises AttnstoreError if inputs are needed, or other ones."""
    needed: dict[str, str] = {}
    for directory in model_directories(path):
        for entry in recovered_entries(directory):
            proteins = proteins_of(directory, entry)
            if proteins is not None:
                needed |= zip(proteins.id, proteins.sequence_sha256, strict=True)
    problem = _catalog_problem(path, needed)
    if problem is None:
        return
    try:
        StoreDocument.read(path)
    except StoreError:
        document = recovered_store_document(path, needed)
        if document is not None:
            document.write(path)
            report.rebuilt.append(f"store.json names the catalog {document.catalog} again.")
            return
    if not inputs:
        raise StoreError(
            f"{problem.rstrip('.')}: `attnstore.repair({str(path)!r}, [INPUT])` builds it again from what was ingested."
        )
    rebuild_catalog(path, inputs, needed, keep_duplicates=keep_duplicates)
    report.rebuilt.append(
        "the catalog was built again from the inputs: properties that were added afterwards (`store.annotate(INPUT)`) "
        "must be added again."
    )


def _catalog_problem(path: Path, needed: dict[str, str]) -> str | None:
    """The first fault of ``store.json`` or the catalog."""
    try:
        document = StoreDocument.read(path)
        problems, known = catalog_problems(path, document)
        problem = problems[0] if problems else None
        if problem is None and needed:
            other = (name for name, sha256 in needed.items() if known.get(name) != sha256)
            problem = next((f"the catalog does not hold {name} as a segment has it" for name in other), None)
    except StoreError as error:
        problem = str(error)
    return problem


def _model_document(directory: Path) -> ModelDocument:
    try:
        return ModelDocument.read(directory)
    except StoreError as error:
        raise StoreError(
            f"{str(error).rstrip('.')}: nothing else says what was run, so bring it back from a copy, or ingest under "
            "another name (name=…)."
        ) from None


def _rebuild_model(
    path: Path, directory: Path, report: Repaired, *, source: _Source, device: str, progress: bool
) -> None:
    """Repair one model; raises AttnstoreError if a part of it cannot be report."""
    document = _model_document(directory)
    before, plan, damaged = _rebuild_documents(directory, document, report, progress=progress)
    if not damaged:
        return
    try:
        again = [plan[entry.number] for entry in damaged]
        after = _compute_again(
            path, directory, document, before, again, source=source, device=device, progress=progress
        )
    except MachineError:
        raise
    except AttnstoreError as error:
        named = ", ".join(entry.id for entry in damaged)
        raise type(error)(f"model {directory.name}: {named} cannot be computed again: {error}") from None
    made = {entry.number: entry for entry in after.segments if entry not in before.segments}
    for entry in made.values():
        for problem in segment_problems(directory, document, entry, {}):
            raise StoreError(problem)
    report.segments += len(made)
    for entry in damaged:
        outcome = f"as {made[entry.number].id}" if entry.number in made else "and every protein of it failed"
        report.rebuilt.append(f"segment {entry.id} of model {directory.name} was computed again, {outcome}.")


def _rebuild_documents(
    directory: Path, document: ModelDocument, report: Repaired, *, progress: bool
) -> tuple[Manifest, list[PlannedSegment], list[SegmentEntry]]:
    """Repair and record manifest and plan; returns the damaged segments, which the manifest still lists."""
    recorded: Manifest | None = None
    try:
        recorded = Manifest.read(directory)
        entries = list(recorded.segments)
    except StoreError:
        entries = recovered_entries(directory)
    sound: dict[int, SegmentEntry] = {}
    damaged: dict[int, SegmentEntry] = {}
    with bar(len(entries), "segment", shown=progress, leave=False, desc=directory.name) as counted:
        for entry in entries:
            _remove_strays(directory, entry, report)
            whole = next(segment_problems(directory, document, entry, {}), None) is None
            (sound if whole else damaged).setdefault(entry.number, entry)
            counted.update()
    # A repair that was killed leaves a segment together with its replacement.
    damaged = {number: entry for number, entry in damaged.items() if number not in sound}
    held_proteins = {
        number: proteins
        for number, entry in (sound | damaged).items()
        if (proteins := proteins_of(directory, entry)) is not None
    }
    plan = _rebuild_plan(directory, document, sound | damaged, held_proteins, report)
    for number, entry in list(damaged.items()):
        if not plan[number].batches:
            del damaged[number]
            report.left.append(
                f"segment {entry.id} of model {directory.name} is dropped, because nothing records its proteins: "
                "run the same ingest again."
            )
    segments = tuple(entry for _, entry in sorted((sound | damaged).items()))
    if recorded is None:
        manifest = Manifest(segments, recovered_skips(plan, {number: held_proteins[number] for number in sound}))
        report.rebuilt.append(f"the manifest of model {directory.name} lists its {len(segments)} segments again.")
    else:
        manifest = Manifest(segments, recorded.skipped)
    if manifest != recorded:
        manifest.write(directory)
    return manifest, plan, list(damaged.values())


def _remove_strays(directory: Path, entry: SegmentEntry, report: Repaired) -> None:
    """Files in a segment's directory that do not belong to it."""
    place = directory / SEGMENTS / entry.id
    try:
        found = strays(place, recorded_files(place, entry))
    except StoreError:
        return
    for path in found:
        path.unlink()
        report.rebuilt.append(f"{path}, which is of no segment, was removed.")


def _rebuild_plan(
    directory: Path,
    document: ModelDocument,
    listed: Collection[int],
    held_proteins: dict[int, LocalProteins],
    report: Repaired,
) -> list[PlannedSegment]:
    """The plan, rebuilt if it is damaged or lacks the number of a segment."""
    try:
        plan = read_plan(directory)
        if all(number < len(plan) for number in listed):
            return plan
    except StoreError:
        pass
    plan = recovered_plan(document, held_proteins, max(listed, default=-1) + 1)
    write_plan(directory, plan)
    report.rebuilt.append(
        f"the plan of model {directory.name} was made again from its segments; of what is in none, the next ingest "
        "makes new ones."
    )
    return plan


def _compute_again(
    path: Path,
    directory: Path,
    document: ModelDocument,
    manifest: Manifest,
    planned: Sequence[PlannedSegment],
    *,
    source: _Source,
    device: str,
    progress: bool,
) -> Manifest:
    """Compute segments that the manifest lists, and replace them."""
    place = source.of(document)
    with start_workers(None, None, device) as where:
        model = _recorded_model(document, place, where.device)
        proteins, _ = take_proteins(catalog_proteins(path, document), document, model.tokens, manifest)
        job = Job(directory.absolute(), document, place, where.device, where.threads, strict=False)
        run = Run(path, job, where, model, manifest, proteins, planned, progress=progress)
        run.all()
    replaced = {entry.id for entry in manifest.segments if entry.number in {segment.number for segment in planned}}
    manifest = replace(run.manifest, segments=tuple(e for e in run.manifest.segments if e.id not in replaced))
    manifest.write(directory)
    return manifest


def _recorded_model(document: ModelDocument, source: str, device: str) -> LanguageModel:
    """Load the model that a document records; raises ModelError if it is another one."""
    model = load(
        source,
        device=device,
        precision=document.precision,
        randomize_seed=document.weights_seed,
        residue_map=document.tokenizer.get("residue_map"),
    )
    if model.weights_sha256 != document.weights_sha256 or model.tokens.describe() != document.tokenizer:
        raise ModelError(
            f"{source} is not the model that {document.name} was ingested with: say where that one is (model_source=…)."
        )
    return model
