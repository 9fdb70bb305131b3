"""Rebuilding documents of a store: manifest and plan from the segments, ``store.json`` from the catalog."""

import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from ..annotate.store_directory import fill_catalog
from ..catalog.reader import catalog_errors, connect, current_catalog
from ..errors import StoreError
from ..format.documents import SEGMENT_FILE, SEGMENTS, ModelDocument, SegmentEntry, Skipped, StoreDocument
from ..format.segment import Segment, open_segment
from ..format.segment_files import recorded_files
from ..format.segment_values import LocalProteins
from ..runtime.durable import sha256_file, sync_directory
from ..runtime.faults import damage_suppressed
from .plan import PlannedSegment, plan_segments

#: Digest in entries of unfinished segments: no file has it.
_NO_DIGEST = "0" * 64


def recovered_entries(directory: Path) -> list[SegmentEntry]:
    """Make a manifest entry for each directory in a model's ``segments/``, by name.

    ``segment.json`` is written last, so if it exists, all files that it lists were complete. An unfinished segment gets
    a digest that no file has, and counts are 0 if a file that is needed cannot be read: no reader accepts either as
    intact.
    """
    entries = []
    for place in sorted((directory / SEGMENTS).glob("*-*")):
        number = place.name.partition("-")[0]
        if number.isdecimal():
            entry = SegmentEntry(place.name, int(number), _NO_DIGEST, 0, 0, 0, 0, 0)
            with damage_suppressed():
                entry = replace(entry, sha256=sha256_file(place / SEGMENT_FILE))
                entry = _counted(directory, entry)
            entries.append(entry)
    return entries


def _counted(directory: Path, entry: SegmentEntry) -> SegmentEntry:
    place = directory / SEGMENTS / entry.id
    segment = open_segment(directory, entry)
    return replace(
        entry,
        proteins=len(segment.proteins.id),
        residues=int(segment.proteins.residue_offset[-1]),
        pairs=int(segment.proteins.pair_offset[-1]),
        arcs=pq.read_metadata(segment.arcs_path).num_rows if "arcs" in segment.kept else 0,
        bytes=(place / SEGMENT_FILE).stat().st_size + sum(file.size for file in recorded_files(place, entry)),
    )


def proteins_of(directory: Path, entry: SegmentEntry) -> LocalProteins | None:
    """The proteins of a segment of which other files may be damaged; None if they cannot be determined."""
    place = directory / SEGMENTS / entry.id
    with damage_suppressed():
        digests = {file.path: file.sha256 for file in recorded_files(place, entry)}
        if sha256_file(place / "proteins.parquet") == digests.get("proteins.parquet"):
            return Segment(place, entry, (), ()).proteins
    return None


def recovered_plan(document: ModelDocument, held: Mapping[int, LocalProteins], size: int) -> list[PlannedSegment]:
    """Make a plan of `size` segments: existing ones, by number, with their proteins, and the others empty.

    Batches are cut as before, except that proteins that failed are in no segment.
    """
    plan = [PlannedSegment(number, ()) for number in range(size)]
    for number, proteins in held.items():
        entries = document.layers * document.heads * int(proteins.pair_offset[-1])
        (plan[number],) = plan_segments(
            list(zip(proteins.id, proteins.stored.tolist(), strict=True)),
            heads=document.layers * document.heads,
            segment_entries=entries,
            batch_pairs=document.batch_pairs,
            first_number=number,
        )
    return plan


def recovered_skips(plan: Sequence[PlannedSegment], held: Mapping[int, LocalProteins]) -> tuple[Skipped, ...]:
    """The proteins that were planned for segments and are not in them."""
    reason = "failed when its segment was computed; why, was lost with the manifest"
    return tuple(
        Skipped(name, reason)
        for number, proteins in sorted(held.items())
        for name in plan[number].proteins
        if name not in set(proteins.id)
    )


def recovered_store_document(path: Path, needed: Mapping[str, str]) -> StoreDocument | None:
    """Make ``store.json`` for an existing catalog; None if no catalog is intact and has the needed proteins.

    Of several catalogs, the one with the most proteins: catalogs only grow.

    Parameters
    ----------
    path : the store
    needed : digest of the sequence of each protein in segments, by id
    """
    found = []
    for catalog in path.glob("catalog-*.duckdb"):
        with damage_suppressed():
            found.append((_described(catalog, needed), catalog.stat().st_mtime_ns))
    return max(found, key=lambda entry: (entry[0].proteins, entry[1]))[0] if found else None


def rebuild_catalog(path: Path, inputs: Sequence[Path], needed: Mapping[str, str], *, keep_duplicates: bool) -> None:
    """Read the inputs again, and make the resulting catalog that of the store.

    Raises
    ------
    AttnstoreError
        If they cannot be read, or lack a protein that is needed; the store is unchanged then.
    """
    for leftover in path.glob(".catalog-*"):  # from a run that was killed
        leftover.unlink() if leftover.is_symlink() else shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=".catalog-", dir=path) as folder:
        scratch = Path(folder)
        StoreDocument().write(scratch)
        fill_catalog(scratch, inputs, limit=None, sample=None, seed=0, keep_duplicates=keep_duplicates)
        built = current_catalog(scratch, StoreDocument.read(scratch))
        document = _described(built, needed)
        built.replace(path / built.name)
        sync_directory(path)
        document.write(path)


def _described(catalog: Path, needed: Mapping[str, str]) -> StoreDocument:
    """Make ``store.json`` for a catalog; every block is read, and so checked by DuckDB. Raises StoreError."""
    with contextlib.closing(connect(catalog)) as connection, catalog_errors(catalog):
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'catalog'").fetchall()
        for (table,) in tables:
            connection.execute(f'SELECT bit_xor(hash(t)) FROM "{table}" AS t').fetchall()
        digests = dict(connection.execute("SELECT id, sequence_sha256 FROM proteins").fetchall())
        residues, wrong = connection.execute(
            "SELECT (SELECT count(*) FROM residues), (SELECT count(*) FROM proteins WHERE "
            "sha256(sequence) <> sequence_sha256 OR length(sequence) <> length)"
        ).fetchall()[0]
    if wrong:
        raise StoreError(f"the catalog {catalog} is damaged: {wrong} of its sequences are not those it had.")
    lacking = [name for name, digest in needed.items() if digests.get(name) != digest]
    if lacking:
        more = f" and {len(lacking) - 1} more proteins" if len(lacking) > 1 else ""
        raise StoreError(f"{lacking[0]}{more} of the store's segments are missing: give all inputs that were ingested.")
    return StoreDocument(catalog.name, sha256_file(catalog), len(digests), residues)
