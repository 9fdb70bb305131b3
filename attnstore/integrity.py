"""Checking a store from end to end."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .catalog.reader import catalog_errors, connect, current_catalog
from .errors import StoreError
from .format.consistency import disagreements
from .format.documents import (
    ATTENTION,
    FORMAT,
    MANIFEST_FILE,
    MODEL_FILE,
    PLAN_FILE,
    SEGMENT_FILE,
    SEGMENTS,
    STORE_FILE,
    VERSION,
    Manifest,
    ModelDocument,
    SegmentEntry,
    StoreDocument,
    check_folders,
    check_version,
    read_document,
)
from .format.segment import Segment, open_segment
from .format.segment_files import RecordedFile, recorded_files
from .runtime import durable
from .runtime.faults import check_address_space, machine_error
from .runtime.libraries import bar
from .runtime.paths import database_path


@dataclass(frozen=True)
class Problem:
    """A damaged part of a store; ``str(problem)`` is the sentence.

    Attributes
    ----------
    model : str or None
        Model that it belongs to; None for the catalog and ``store.json``.
    segment : str or None
        Segment that it belongs to; None for the model as a whole.
    sentence : str
        What is damaged, and where.
    """

    model: str | None
    segment: str | None
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def verify(path: str | os.PathLike[str], *, progress: bool = False) -> list[Problem]:
    """Check every digest, checksum, count and sum of a store as it is on disk.

    Parameters
    ----------
    path : path
        Folder of the store.
    progress : bool, default False
        Show a progress bar on standard error.

    Returns
    -------
    list of Problem
        One for each damaged part; empty if the store is intact.

    Raises
    ------
    StoreError
        If it is not a store, or a newer version wrote a part of it.

    Examples
    --------
    >>> attnstore.verify("demo.attn")
    []
    """
    check_address_space()
    store = database_path(path)
    refuse_newer(store)
    problems: list[Problem] = []
    known: dict[str, str] = {}
    directories = model_directories(store)
    try:
        document = StoreDocument.read(store)
        said, known = catalog_problems(store, document)
        problems += (Problem(None, None, one) for one in said)
    except StoreError as error:
        if not directories:
            raise
        problems.append(Problem(None, None, str(error)))
    manifests: dict[Path, Manifest] = {}
    for directory in directories:
        try:
            manifests[directory] = Manifest.read(directory)
        except StoreError as error:
            manifests[directory] = Manifest()
            problems.append(Problem(directory.name, None, str(error)))
    segments = sum(len(manifest.segments) for manifest in manifests.values())
    with bar(segments, "segment", shown=progress, leave=False) as counted:
        for directory, manifest in manifests.items():
            problem = partial(Problem, directory.name)
            model = None
            try:
                model = ModelDocument.read(directory)
            except StoreError as error:
                problems.append(problem(None, str(error)))
            problems += (problem(None, said) for said in _plan_problems(directory, manifest))
            problems += (problem(None, said) for said in _repetitions(directory, manifest))
            for entry in manifest.segments:
                problems += (problem(entry.id, said) for said in segment_problems(directory, model, entry, known))
                counted.update()
    return problems


def refuse_newer(path: Path) -> None:
    """Raise StoreError if a document of a store is of another format or a newer version: its damage cannot be assessed.

    Documents that cannot be understood at all pass.
    """
    places = model_directories(path)
    documents = [place / name for place in places for name in (MODEL_FILE, PLAN_FILE, MANIFEST_FILE)]
    segments = (file for place in places for file in place.glob(f"{SEGMENTS}/*/{SEGMENT_FILE}"))
    for file in (path / STORE_FILE, *documents, *segments):
        content: Mapping[str, object] = {}
        with contextlib.suppress(StoreError):
            content = durable.parse_json(durable.read_bytes(file, file.name), file, file.name)
        if file.name == STORE_FILE and content.get("format", FORMAT) != FORMAT:
            StoreDocument.read(path)
        version = content.get("version")
        if type(version) is int and version > VERSION:
            check_version(content, file)


def model_directories(path: Path) -> list[Path]:
    """Where models are, those included that have lost the documents by which a reader knows them."""
    check_folders(path)
    attention, marks = path / ATTENTION, (MODEL_FILE, MANIFEST_FILE, PLAN_FILE, SEGMENTS)
    places = sorted(attention.iterdir()) if attention.is_dir() else []
    return [place for place in places if any((place / mark).exists() for mark in marks)]


def catalog_problems(path: Path, document: StoreDocument) -> tuple[list[str], dict[str, str]]:
    """A sentence for each thing that is wrong with the catalog that ``store.json`` names.

    Returns
    -------
    list of str
        The sentences.
    dict of str to str
        Digest of the sequence of each of its proteins, by id; empty where something is wrong, or there is no catalog.
    """
    if document.catalog is None:
        lost = any(any(place.glob(f"{SEGMENTS}/*")) for place in model_directories(path))
        return ([f"{path / STORE_FILE} names no catalog, though segments are there."] if lost else []), {}
    problems = []
    try:
        catalog = current_catalog(path, document)
        if catalog.name != document.catalog:
            document = StoreDocument.read(path)  # replaced meanwhile
        if durable.sha256_file(catalog) != document.catalog_sha256:
            problems.append(f"the catalog {catalog} does not have the digest it was written with.")
        with contextlib.closing(connect(catalog, check=True)) as connection, catalog_errors(catalog):
            found = connection.execute(
                "SELECT (SELECT count(*) FROM proteins), (SELECT count(*) FROM residues)"
            ).fetchone()
            others = connection.execute(
                "SELECT p.id, r.pos FROM residues AS r JOIN proteins AS p USING (protein_index) "
                "WHERE r.protein <> p.id OR r.aa IS DISTINCT FROM array_extract(p.sequence, r.pos + 1) "
                "ORDER BY ALL LIMIT 1"
            ).fetchone()
            known = dict(connection.execute("SELECT id, sequence_sha256 FROM proteins").fetchall())
        if found != (document.proteins, document.residues):
            problems.append(
                f"the catalog {catalog} does not hold {document.proteins} proteins and {document.residues} residues."
            )
        if others is not None:
            problems.append(
                f"the catalog {catalog} lists another residue {others[1]} of {others[0]} than its sequence has."
            )
    except StoreError as error:
        problems.append(str(error))
    return problems, {} if problems else known


def _plan_problems(directory: Path, manifest: Manifest) -> list[str]:
    """Nothing is asked of the plan, but the next ingest goes by it."""
    path = directory / PLAN_FILE
    if not manifest.segments and not path.exists():
        return []
    try:
        planned = len(read_document(path, f"the plan of model {directory.name}")["segments"])
    except (StoreError, KeyError, TypeError) as error:
        return [str(error) if isinstance(error, StoreError) else f"{path} is damaged: {error!r}."]
    numbers = sorted(entry.number for entry in manifest.segments)
    if len(set(numbers)) < len(numbers) or not all(0 <= number < planned for number in numbers):
        return [f"the manifest of model {directory.name} lists segments that are not of its plan {path}."]
    return []


def _repetitions(directory: Path, manifest: Manifest) -> list[str]:
    held: Counter[str] = Counter()
    for entry in manifest.segments:
        with contextlib.suppress(StoreError):  # a segment that cannot be read is reported elsewhere
            held.update(open_segment(directory, entry).proteins.id)
    skipped = {entry.protein for entry in manifest.skipped}
    return [
        f"model {directory.name}: protein {name} is in several segments." for name, count in held.items() if count > 1
    ] + [f"model {directory.name}: protein {name} is in a segment, and skipped." for name in held if name in skipped]


def segment_problems(
    directory: Path, model: ModelDocument | None, entry: SegmentEntry, known: Mapping[str, str]
) -> Iterator[str]:
    """A sentence for each thing that is wrong with a segment; only one whose files are as written is decoded.

    Parameters
    ----------
    directory : of the model
    model : None where it is damaged; files are held against their digests then, and not decoded
    entry : the segment
    known : digest of the sequence of each protein of the catalog; empty where that is damaged
    """
    place, of = directory / SEGMENTS / entry.id, f"segment {entry.id} of model {directory.name}"
    damaged = False
    try:
        listed = recorded_files(place, entry)
    except StoreError as error:
        yield str(error)
        return
    total = (place / SEGMENT_FILE).stat().st_size + sum(file.size for file in listed)
    if total != entry.bytes or not entry.id.startswith(f"{entry.number:06d}-"):
        yield f"{of}: its number or size is not what the manifest says."
    for relative, size, sha256, _ in listed:
        problem = _file_problem(place / relative, size, sha256)
        if problem:
            damaged = True
            yield f"{of}: {place / relative} {problem}."
    for path in strays(place, listed):
        yield f"{of}: {path.relative_to(place).as_posix()} does not belong there."
    if not damaged and model is not None:
        try:
            segment = open_segment(directory, entry)
            yield from _content_problems(model, segment, known)
        except StoreError as error:
            yield str(error)


def strays(place: Path, listed: Iterable[RecordedFile]) -> list[Path]:
    """Files that lie in a segment's folder and are none of those that its own list names."""
    own = {place / SEGMENT_FILE, *(place / file.path for file in listed)}
    return [path for path in durable.files_below(place) if path not in own]


def _file_problem(file: Path, size: int, sha256: str) -> str | None:
    try:
        found = file.stat().st_size
        if found != size:
            return f"has {found} bytes where {size} were written"
        if durable.sha256_file(file) != sha256:
            return "does not have the digest it was written with"
    except OSError as error:
        fault = machine_error(error, f"reading {file}")
        if fault is not None:
            raise fault from error
        return f"is missing ({error.strerror})"
    return None


def _content_problems(model: ModelDocument, segment: Segment, known: Mapping[str, str]) -> Iterator[str]:
    """Do the tiers agree with each other, with the manifest and with the catalog?"""
    entry, proteins = segment.entry, segment.proteins
    if (len(proteins.id), proteins.residue_offset[-1], proteins.pair_offset[-1]) != (
        entry.proteins, entry.residues, entry.pairs,
    ):  # fmt: skip
        yield f"{segment.title}: its proteins are not those the manifest counts."
        return
    for name, sha256 in zip(proteins.id, proteins.sequence_sha256, strict=True):
        if known and known.get(name) != sha256:
            yield f"{segment.title}: its protein {name} is not that of the catalog."
    yield from disagreements(model, segment)
