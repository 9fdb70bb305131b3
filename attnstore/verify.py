"""Checking a store from end to end."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from . import durable
from .catalog import catalog_errors, connect, current_catalog
from .errors import AttnstoreError
from .layout import PLAN_FILE, SEGMENT_FILE, SEGMENTS, SegmentEntry, StoreDocument, read_document
from .segment import Segment, open_segment, recorded_files
from .store import Model, open_store


def verify(path: Path, on_segment: Callable[[], object] = lambda: None) -> list[str]:
    """Check digests, checksums, counts and sums of everything a store vouches for.

    Parameters
    ----------
    path : the store
    on_segment : called when a segment is done

    Returns
    -------
    list of str
        One sentence for each thing that is damaged; empty if the store is sound.

    Raises
    ------
    StoreError
        If it cannot be opened at all.
    """
    store = open_store(path)
    problems: list[str] = []
    catalog = list(_catalog_problems(path, store.document))
    problems += catalog
    known = {} if catalog or store.document.catalog is None else _sequences(path, store.document)
    for model in store.models.values():
        problems += _plan_problems(model)
        try:
            held = Counter(name for segment in model.segments for name in segment.proteins.id)
            repeated = (name for name, count in held.items() if count > 1)
            problems += [f"model {model.name}: protein {name} is in several segments." for name in repeated]
        except AttnstoreError:
            pass  # the segment in question is named below
        for entry in model.manifest.segments:
            problems += _segment_problems(model, entry, known)
            on_segment()
    return problems


def _catalog_problems(path: Path, document: StoreDocument) -> Iterator[str]:
    if document.catalog is None:
        return
    try:
        catalog = current_catalog(path, document)
        if catalog.name != document.catalog:
            document = StoreDocument.read(path)  # replaced meanwhile
        if durable.sha256_file(catalog) != document.catalog_sha256:
            yield f"the catalog {catalog} does not have the digest it was written with."
        with contextlib.closing(connect(catalog)) as connection, catalog_errors(catalog):
            found = connection.execute(
                "SELECT (SELECT count(*) FROM proteins), (SELECT count(*) FROM residues)"
            ).fetchone()
        if found != (document.proteins, document.residues):
            yield f"the catalog {catalog} does not hold {document.proteins} proteins and {document.residues} residues."
    except AttnstoreError as error:
        yield str(error)


def _sequences(path: Path, document: StoreDocument) -> dict[str, str]:
    catalog = current_catalog(path, document)
    with contextlib.closing(connect(catalog)) as connection, catalog_errors(catalog):
        return dict(connection.execute("SELECT id, sequence_sha256 FROM proteins").fetchall())


def _plan_problems(model: Model) -> list[str]:
    """Nothing is asked of the plan, but the next ingest goes by it."""
    path = model.directory / PLAN_FILE
    if not model.manifest.segments and not path.exists():
        return []
    try:
        planned = len(read_document(path, f"the plan of model {model.name}")["segments"])
    except AttnstoreError as error:
        return [str(error)]
    numbers = sorted(entry.number for entry in model.manifest.segments)
    if len(set(numbers)) < len(numbers) or not all(0 <= number < planned for number in numbers):
        return [f"the manifest of model {model.name} lists segments that are not of its plan {path}."]
    return []


def _segment_problems(model: Model, entry: SegmentEntry, known: dict[str, str]) -> Iterator[str]:
    """Digests first; only a segment whose files are as written is worth decoding."""
    directory = model.directory / SEGMENTS / entry.id
    damaged = False
    try:
        listed = recorded_files(directory, entry)
    except AttnstoreError as error:
        yield str(error)
        return
    total = (directory / SEGMENT_FILE).stat().st_size + sum(file.size for file in listed)
    if total != entry.bytes or not entry.id.startswith(f"{entry.number:06d}-"):
        yield f"segment {entry.id} of model {model.name}: its number or size is not what the manifest says."
    for relative, size, sha256, _ in listed:
        file = directory / relative
        problem = _file_problem(file, size, sha256)
        if problem:
            damaged = True
            yield f"segment {entry.id} of model {model.name}: {file} {problem}."
    extra = {path.relative_to(directory).as_posix() for path in durable.files_below(directory)} - {
        SEGMENT_FILE, *(file.path for file in listed)
    }  # fmt: skip
    for relative in sorted(extra):
        yield f"segment {entry.id} of model {model.name}: {relative} does not belong there."
    if not damaged:
        try:
            segment = open_segment(model.directory, entry)
            for problem in _content_problems(model, segment, known):
                yield f"segment {entry.id} of model {model.name}: {problem}."
        except AttnstoreError as error:
            yield str(error)


def _file_problem(file: Path, size: int, sha256: str) -> str | None:
    try:
        found = file.stat().st_size
        if found != size:
            return f"has {found} bytes where {size} were written"
        if durable.sha256_file(file) != sha256:
            return "does not have the digest it was written with"
    except OSError as error:
        return f"is missing ({error.strerror})"
    return None


def _content_problems(model: Model, segment: Segment, known: dict[str, str]) -> Iterator[str]:
    """Do the tiers agree with each other and with the manifest?"""
    document, entry, proteins = model.document, segment.entry, segment.proteins
    shape = (document.layers, document.heads)
    if (len(proteins.id), proteins.residue_offset[-1], proteins.pair_offset[-1]) != (
        entry.proteins, entry.residues, entry.pairs,
    ):  # fmt: skip
        yield "its proteins are not those the manifest counts"
        return
    for name, sha256 in zip(proteins.id, proteins.sequence_sha256, strict=True):
        if known and known.get(name) != sha256:
            yield f"its protein {name} is not that of the catalog"
    counts = segment.bin_count.astype(np.int64)
    for layer in range(document.layers):
        codes = segment.codes(layer, slice(None))
        for head in range(document.heads):
            if not np.array_equal(np.bincount(codes[head], minlength=counts.shape[-1]), counts[layer, head]):
                yield f"the codes of layer {layer}, head {head} are not those that were counted"
    mean, codebook = segment.bin_mean, model.codebook
    if not ((counts == 0) | ((mean >= codebook.lower) & (mean <= codebook.upper))).all():
        yield "the mean of a bin lies outside it"
    arcs = segment.arcs(0.0, ("layer", "head", "weight"))
    weight = arcs["weight"].to_numpy()
    if arcs.num_rows != entry.arcs or (weight < np.float32(document.arc_floor)).any():
        yield "its arcs are not those the manifest counts"
    index = arcs["layer"].to_numpy().astype(np.int64) * document.heads + arcs["head"].to_numpy()
    code = model.codebook.code_of(document.arc_floor)
    per_head = np.bincount(index, minlength=document.layers * document.heads).reshape(shape)
    if code is not None and not np.array_equal(per_head, counts[..., code:].sum(axis=-1)):
        yield "its arcs do not agree with its codes"
    sums = {name: segment.marginal(name).astype(np.float64) for name in ("received", "emitted", "special")}
    rows = sums["emitted"] + sums["special"]
    if not (np.abs(rows - 1) < 1e-3).all():
        yield "attention of a residue does not sum to one"
    if not np.allclose(sums["received"].sum(-1), sums["emitted"].sum(-1), rtol=1e-5):
        yield "attention received and emitted differ in sum"
