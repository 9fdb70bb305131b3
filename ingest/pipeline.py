"""The whole ingest: sources to catalog, then model to attention to committed segments."""

import contextlib
import importlib.metadata
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ..catalog import CatalogWriter, connect, current_catalog
from ..codebook import DEFAULT
from ..durable import make_directories
from ..errors import ModelError, StoreError
from ..layout import (
    ATTENTION,
    MANIFEST_FILE,
    MODEL_FILE,
    PLAN_FILE,
    SEGMENTS,
    STORE_FILE,
    Manifest,
    ModelDocument,
    Skipped,
    StoreDocument,
    checked_name,
)
from ..progress import bar
from ..segment_writer import write_segment
from .compute import Protein, compute_segment
from .language_model import LanguageModel, load
from .plan import SEGMENT_ENTRIES, PlannedSegment, plan_segments, read_plan, write_plan
from .quantise import Quantiser
from .sources import read_inputs

#: Residues in one batch, padding included, where the user does not say.
BATCH_RESIDUES = {"cpu": 2048, "cuda": 16384}

#: The paper's: 512 tokens, two of them special.
MAX_RESIDUES = 510

#: Weights at or above it are kept as float32 arcs.
ARC_FLOOR = 0.05

#: Pairs of one head in a chunk of codes.
CHUNK_PAIRS = 512 * 1024

_VERSIONED = ("attnstore", "torch", "transformers", "zarr", "zarrs", "numpy", "pyarrow")


@dataclass(frozen=True)
class Summary:
    """What an ingest did, and what the store holds of the model afterwards.

    Attributes
    ----------
    model : its name in the store
    proteins, residues, entries, arcs : committed; entries = layers × heads × pairs
    skipped : proteins that the model did not take
    truncated : proteins longer than what the model saw of them
    segments_written : in this run; 0 where everything was there
    entries_written : attention entries computed in this run
    seconds : spent on them, loading of the model left out
    bytes : of the model's segments and the catalog
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

    @property
    def bits_per_entry(self) -> float:
        """Everything in: codes, arcs, marginals and catalog."""
        return 8 * self.bytes / self.entries if self.entries else float("nan")

    @property
    def entries_per_second(self) -> float:
        """Rate of this run; NaN where it computed nothing."""
        return self.entries_written / self.seconds if self.entries_written else float("nan")


def ingest(
    store: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]] = (),
    *,
    model: str,
    name: str | None = None,
    max_residues: int = MAX_RESIDUES,
    long: str = "truncate",
    device: str = "auto",
    precision: str = "auto",
    batch_residues: int | None = None,
    segment_entries: int = SEGMENT_ENTRIES,
    limit: int | None = None,
    keep_duplicates: bool = False,
    progress: bool = False,
) -> Summary:
    """Ingest proteins and the attention a model pays to them; the same call again resumes.

    Parameters
    ----------
    store : directory, made if it does not exist
    inputs : files and folders; none to run another model over the proteins that are there
    model : hub id or local folder
    name : the model's name in the store; by default the last part of its id
    max_residues : longer proteins are truncated to it or skipped; the model's own limit holds too
    long : 'truncate' or 'skip'
    device : 'auto', 'cpu', 'cuda', 'cuda:1', …
    precision : 'auto' (float32 on a CPU, bfloat16 on a GPU), 'float32', 'bfloat16', 'float16'
    batch_residues : residues in a batch, padding included; by default 2048 on a CPU, 16384 on a GPU
    segment_entries : attention entries in a segment, about the memory it takes in bytes
    limit : read only the first so many records, for a trial
    keep_duplicates : ingest identical sequences apart
    progress : draw a progress bar on standard error

    Raises
    ------
    AttnstoreError
        In one sentence what is wrong with an input, the model or the disk. What was committed stays.
    """
    _check_settings(
        max_residues=max_residues, batch_residues=batch_residues, segment_entries=segment_entries, limit=limit
    )
    if long not in ("truncate", "skip"):
        raise StoreError(f"long={long!r} is not one of 'truncate' and 'skip'.")
    path = Path(store)
    default_name = Path(os.path.expanduser(model)).name.replace(" ", "_")
    model_name = checked_name(default_name if name is None else name, "model name")
    with _storage_errors(path), _store_directory(path):
        language_model = load(model, device=device, precision=precision)
        with _one_at_a_time(path):
            _fill_catalog(path, inputs, limit, keep_duplicates)
    document = ModelDocument(
        name=model_name,
        source=model,
        weights_sha256=language_model.weights_sha256,
        architecture=language_model.architecture,
        layers=language_model.layers,
        heads=language_model.heads,
        tokenizer=language_model.tokens.describe(),
        precision=language_model.precision,
        max_residues=min(max_residues, language_model.max_residues or max_residues),
        long=long,
        batch_residues=batch_residues or BATCH_RESIDUES.get(language_model.device.type, BATCH_RESIDUES["cuda"]),
        segment_entries=segment_entries,
        arc_floor=ARC_FLOOR,
        chunk_pairs=CHUNK_PAIRS,
        codebook=tuple(DEFAULT.to_json()),
        check=language_model.check,
        versions={package: importlib.metadata.version(package) for package in _VERSIONED if _installed(package)},
    )
    directory = path / ATTENTION / model_name
    with _storage_errors(path), _model_directory(directory, document) as document:
        return _run(path, directory, document, language_model, progress)


def _check_settings(**settings: int | None) -> None:
    for name, value in settings.items():
        if value is not None and value < 1:
            raise StoreError(f"{name}={value} must be at least 1.")


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _store_directory(path: Path) -> Iterator[None]:
    """Make the store where there is none; if the first steps fail, leave no trace of it."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is a file: give a directory for the store.")
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_directories(path)
    new = not (path / STORE_FILE).exists()
    if new and any(path.iterdir()):
        raise StoreError(f"{path} is neither empty nor an attnstore store: give another directory.")
    try:
        if new:
            StoreDocument().write(path)
        else:
            StoreDocument.read(path)
        yield
    except BaseException:
        if new and not _has_catalog(path):
            (path / STORE_FILE).unlink(missing_ok=True)
            for folder in missing:
                with contextlib.suppress(OSError):  # another process may have put something there
                    folder.rmdir()
        raise


def _has_catalog(store: Path) -> bool:
    try:
        return StoreDocument.read(store).catalog is not None
    except StoreError:  # store.json could not even be written
        return False


@contextlib.contextmanager
def _storage_errors(store: Path) -> Iterator[None]:
    """A full or failing disk, a folder that may not be written to: in one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        place = error.filename or store
        raise StoreError(f"{place} cannot be written ({reason}): what was committed before is untouched.") from error


@contextlib.contextmanager
def _one_at_a_time(store: Path) -> Iterator[None]:
    """Wait until no other process adds to the catalog: the later of two would drop what the earlier added."""
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = os.open(store, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            _warn_without_locks(store, error)
        yield
    finally:
        os.close(descriptor)


def _warn_without_locks(path: Path, error: OSError) -> None:
    warnings.warn(
        f"{path} lies on a file system without locks ({error.strerror}): ingest by one command at a time.", stacklevel=3
    )


def _fill_catalog(
    store: Path, inputs: Sequence[str | os.PathLike[str]], limit: int | None, keep_duplicates: bool
) -> None:
    if not inputs:
        current_catalog(store, StoreDocument.read(store))
        return
    with CatalogWriter(store, keep_duplicates=keep_duplicates) as catalog:
        for record in islice(read_inputs([Path(entry) for entry in inputs]), limit):
            catalog.add(record.id, record.sequence, record.place, record.structure)
        catalog.publish()


@contextlib.contextmanager
def _model_directory(directory: Path, document: ModelDocument) -> Iterator[ModelDocument]:
    """The model's place in the store, held by this process alone; yields the document that is in force."""
    make_directories(directory)
    with _held(directory):
        if (directory / MODEL_FILE).exists() or (directory / MANIFEST_FILE).exists():
            recorded = ModelDocument.read(directory)
            difference = document.difference(recorded)
            if difference is not None:
                raise StoreError(
                    f"model {document.name} is in the store with other settings ({difference}): "
                    "use the same, or another --name."
                )
            document = recorded
        else:
            document.write(directory)
        yield document


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """An advisory lock that dies with its process."""
    if os.name != "posix":
        yield
        return
    import fcntl

    with open(directory / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"model {directory.name} is being ingested by another process: wait for it, or stop it."
            ) from None
        except OSError as error:
            _warn_without_locks(directory, error)
        yield


def _run(
    store: Path, directory: Path, document: ModelDocument, language_model: LanguageModel, progress: bool
) -> Summary:
    manifest = Manifest.read(directory)
    proteins, manifest = _choose_proteins(store, document, language_model, manifest)
    committed = {segment.number for segment in manifest.segments}
    plan = _extend_plan(directory, document, proteins, committed)
    manifest.write(directory)
    _clear_garbage(directory, manifest)
    pending = [segment for segment in plan if segment.number not in committed]
    total = sum(proteins[name].stored for segment in pending for batch in segment.batches for name in batch)
    codebook = document.edges
    quantiser = Quantiser(codebook, document.arc_floor, threads=os.cpu_count() or 1)
    entries_written = 0
    started = time.perf_counter()
    try:
        with bar(total, "res", shown=progress, unit_scale=True, desc=document.name, smoothing=0.05) as counted:
            for planned in pending:
                contents = compute_segment(planned, proteins, language_model, codebook, quantiser, counted.update)
                entry = write_segment(directory, planned.number, contents, document.chunk_pairs)
                manifest = replace(manifest, segments=(*manifest.segments, entry))
                manifest.write(directory)
                entries_written += contents.codes.size
    finally:
        quantiser.close()
    catalog = current_catalog(store, StoreDocument.read(store))
    return Summary(
        model=document.name,
        proteins=manifest.total("proteins"),
        residues=manifest.total("residues"),
        entries=document.layers * document.heads * manifest.total("pairs"),
        arcs=manifest.total("arcs"),
        skipped=len(manifest.skipped),
        truncated=sum(len(proteins[name].sequence) > proteins[name].stored for name in proteins),
        segments_written=len(pending),
        entries_written=entries_written,
        seconds=time.perf_counter() - started,
        bytes=manifest.total("bytes") + catalog.stat().st_size,
    )


def _choose_proteins(
    store: Path, document: ModelDocument, language_model: LanguageModel, manifest: Manifest
) -> tuple[dict[str, Protein], Manifest]:
    """The catalog's proteins that the model takes, by id; the others are recorded with their reason."""
    with contextlib.closing(connect(current_catalog(store, StoreDocument.read(store)))) as connection:
        rows = connection.execute(
            "SELECT id, sequence, sequence_sha256 FROM proteins ORDER BY protein_index"
        ).fetchall()
    known_skips = {entry.protein for entry in manifest.skipped}
    skipped = list(manifest.skipped)
    proteins: dict[str, Protein] = {}
    for name, sequence, sha256 in rows:
        if name in known_skips:
            continue
        stored = min(len(sequence), document.max_residues)
        reason = None
        if stored < len(sequence) and document.long == "skip":
            reason = f"{len(sequence)} residues are more than {document.max_residues}"
        else:
            try:
                language_model.tokens.encode(sequence[:stored])
            except ModelError as error:
                reason = str(error)
        if reason is None:
            proteins[name] = Protein(sequence, sha256, stored)
        else:
            skipped.append(Skipped(name, reason))
    return proteins, replace(manifest, skipped=tuple(skipped))


def _extend_plan(
    directory: Path, document: ModelDocument, proteins: dict[str, Protein], committed: set[int]
) -> list[PlannedSegment]:
    """The recorded plan, with segments added for proteins that are new since."""
    plan = read_plan(directory)
    if any(number >= len(plan) for number in committed):
        raise StoreError(f"{directory / PLAN_FILE} is missing or not that of the segments there: bring it back.")
    planned = {name for segment in plan for batch in segment.batches for name in batch}
    new = [(name, protein.stored) for name, protein in proteins.items() if name not in planned]
    if new:
        plan += plan_segments(
            new,
            heads=document.layers * document.heads,
            segment_entries=document.segment_entries,
            batch_residues=document.batch_residues,
            first_number=len(plan),
        )
        write_plan(directory, plan)
    return plan


def _clear_garbage(directory: Path, manifest: Manifest) -> None:
    """Remove what a killed run left: segments that no manifest lists, and half-written documents."""
    for half in directory.glob(".*.tmp"):
        half.unlink(missing_ok=True)
    listed = {segment.id for segment in manifest.segments}
    segments = directory / SEGMENTS
    for leftover in segments.iterdir() if segments.exists() else ():
        if leftover.name not in listed:
            shutil.rmtree(leftover)
