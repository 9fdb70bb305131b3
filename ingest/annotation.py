"""Properties for the proteins of a store, from any file that tells of them, without touching attention."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc

from ..catalog import catalog_errors, connect, current_catalog
from ..catalog_writer import CatalogWriter
from ..errors import SourceError, check_choice, first_line
from ..layout import StoreDocument
from ..properties import ARROW_TYPES, Kind, Property, Source
from .lock import waiting
from .matching import MATCHES, MISMATCHES, Match, Mismatch, Proteins
from .sources import READERS, Format, Reader, entry_names, find, records, source_of, tables
from .sources.download import fetched
from .sources.record import Options, Record
from .sources.structures import dssp as dssp_output
from .store_directory import storage_errors
from .table_rows import check_letters, rows_of
from .table_values import (
    NUMBERINGS,
    Keys,
    Numbering,
    TableOptions,
    keys_of,
    plain,
    properties_of,
    property_rows,
    values_of,
)

if TYPE_CHECKING:
    import pandas as pd


#: What can be read here; those that go by content before those that go by the suffix alone.
_FORMATS: tuple[Format, ...] = (*cast(tuple[Format, ...], (dssp_output, tables)), *READERS)


@dataclass(frozen=True)
class Annotated:
    """What annotating came to.

    Attributes
    ----------
    properties : names of those that something gives a value for, as "residue ss8", sorted
    matched, passed_over : records, and ids in tables, that are of a protein in the store, and that are not
    skipped : records left out, their sequence being another
    """

    properties: tuple[str, ...]
    matched: int
    passed_over: int
    skipped: int


def annotate(
    store: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str] | pd.DataFrame | pa.Table] = (),
    *,
    fetch: Sequence[str] = (),
    on: Sequence[str] | None = None,
    columns: Sequence[str] | Mapping[str, str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    units: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    numbering: Numbering = "0",
    symmetric: bool = False,
    absent: Literal["null", "false"] = "null",
    match: Match = "id",
    mismatch: Mismatch = "refuse",
    replace: bool = False,
    drop: Sequence[str] = (),
    name: str = "a table in memory",
    ligand_distance: float | None = None,
    dssp: bool = False,
    predicted: bool = False,
) -> Annotated:
    """Give the proteins of a store properties; coordinates too, where a protein has none yet.

    Parameters
    ----------
    store : directory
    inputs : files and folders that `ingest` reads, DSSP's output, tables (.csv, .tsv, .parquet, MMseqs2's clusters),
        and frames; what they tell of proteins that are not in the store is passed over
    fetch : PDB ids and UniProt accessions, to be fetched
    on : key columns of tables: the protein's id, for residues then the position, for pairs then source and target; by
        default `id` or `protein`, `pos`, `source` and `target`
    columns : those of a table to take, or what each is to be called; by default all others
    kinds : 'boolean', 'integer', 'float' or 'category', by property; by default what a table's values show
    units, descriptions : by property
    numbering : of positions in tables: from '0', from '1', or 'author' as in the structure ('52A' with insertion code)
    symmetric : pairs of a table hold in both directions
    absent : what it means that a source names no feature of a kind in a protein, or a table has no row for a residue:
        'null', nothing is known, or 'false', there is none
    match : find a record's protein by its 'id', or failing that by equal 'sequence'
    mismatch : of a record whose sequence is not the store's: 'refuse' it, 'align' both and carry over what fits, if
        nine in ten residues are the same, or 'skip' it
    replace : let values take the place of those that were known before of the same protein
    drop : properties to drop first
    name : of frames, for the dictionary
    ligand_distance : residues with a heavy atom at most so many Å from one of a ligand are its binding site; by default
        those of BioLiP's criterion, two pairs of atoms within the sum of their van der Waals radii + 0.5 Å
    dssp : run mkdssp on structure files
    predicted : B-factors of structure files that declare no experiment are pLDDT, also where no file says so

    Raises
    ------
    AttnstoreError
        In one sentence what is wrong with an input; the store is as it was.
    """
    check_choice("absent", absent, ("null", "false"), SourceError)
    check_choice("match", match, MATCHES, SourceError)
    check_choice("mismatch", mismatch, MISMATCHES, SourceError)
    check_choice("numbering", numbering, NUMBERINGS, SourceError)
    for kind in (kinds or {}).values():
        check_choice("kind", kind, tuple(ARROW_TYPES), SourceError)
    for what, given in (("inputs", inputs), ("fetch", fetch), ("on", on), ("drop", drop)):
        if given is not None and not isinstance(given, list | tuple):
            raise SourceError(
                f"{what} is not a list but a {type(given).__name__}: give a list, of one where it is one."
            )
    if not (inputs or fetch or drop):
        raise SourceError("nothing to annotate with was given: name a file, or entries to fetch.")
    named = columns if columns is None or isinstance(columns, Mapping) else {column: column for column in columns}
    said = TableOptions(on, named, kinds or {}, units or {}, descriptions or {}, numbering, absent, symmetric)
    options = Options(absent=absent, ligand_distance=ligand_distance, dssp=dssp, predicted=predicted)
    path = Path(store)
    frames = [item for item in inputs if not isinstance(item, str | os.PathLike)]
    files = [item for item in inputs if isinstance(item, str | os.PathLike)]
    found = find([Path(file) for file in (*files, *fetched(fetch))], _FORMATS)
    names = entry_names(found)
    with storage_errors(path), waiting(path), contextlib.ExitStack() as stack:
        catalog = current_catalog(path, StoreDocument.read(path))
        proteins = Proteins.of(stack.enter_context(contextlib.closing(connect(catalog))), match)
        writer = stack.enter_context(CatalogWriter(path, replace=replace))
        for property_name in drop:
            writer.drop(property_name)
        annotator = _Annotator(writer, proteins, said, mismatch)
        with catalog_errors(catalog):
            for frame in frames:
                table = _table(frame, name)
                annotator.table(table, Source(name, _digest(table)))
            for file, reader in found:
                if reader.NAME == tables.NAME:
                    annotator.table(tables.read(file, on[:1] if on else tables.IDS), source_of(file))
                elif reader.NAME == dssp_output.NAME:
                    annotator.dssp(file)
                else:
                    reading = dataclasses.replace(options, glycine_cb=writer.glycine_cb)
                    for record in records(file, cast(Reader, reader), reading, names.get(file)):
                        annotator.record(record)
        annotator.check()
        writer.publish()
    return Annotated(tuple(sorted(annotator.properties)), annotator.matched, annotator.passed_over, annotator.skipped)


@dataclass
class _Annotator:
    """Puts what sources tell into the next catalog, and keeps count."""

    writer: CatalogWriter
    proteins: Proteins
    options: TableOptions
    mismatch: Mismatch
    properties: set[str] = field(default_factory=set)
    matched: int = 0
    passed_over: int = 0
    skipped: int = 0
    unknown: str = ""

    def record(self, record: Record) -> None:
        """Put what a record tells of its protein."""
        protein = self.proteins.find(record)
        if protein is None:
            self.passed_over += 1
            self.unknown = self.unknown or f"{record.place}: {record.id}"
            return
        fit = self.proteins.fitted(protein, record, self.mismatch)
        if fit is None:
            self.skipped += 1
            return
        self.matched += 1
        self.properties |= {_called(annotation.property) for annotation in fit.annotations if annotation.tells()}
        self.writer.annotate(protein, fit.id, fit.sequence, fit.place, fit.structure, fit.annotations, fit.source)

    def table(self, table: pa.Table, source: Source) -> None:
        """Put the columns of a table."""
        table = plain(table)
        keys = keys_of(table, self.options, source.name)
        properties = properties_of(table, keys, self.options, source.name)
        self._put(table, source, keys, properties, self.options)

    def dssp(self, file: Path) -> None:
        """Put what a file of DSSP's output says of residues, which are known there by their author numbers."""
        table = dssp_output.read_table(file)
        number = pc.binary_join_element_wise(
            table["author_number"].cast(pa.string()), pc.fill_null(table["insertion_code"], ""), ""
        )
        table = table.append_column("author", number)
        keys = Keys("id", "residue", ("author",))
        properties = {prop.name: prop for prop in dssp_output.PROPERTIES}
        self._put(table, source_of(file), keys, properties, TableOptions(numbering="author"))

    def _put(
        self, table: pa.Table, source: Source, keys: Keys, properties: Mapping[str, Property], options: TableOptions
    ) -> None:
        rows = rows_of(table, keys, self.proteins, options.numbering, source.name)
        self.matched += rows.ids
        self.passed_over += len(rows.passed_over)
        if "aa" in table.column_names and "aa" not in properties and keys.level == "residue":
            check_letters(table, rows, self.proteins, source.name)
        for column, prop in properties.items():
            values = values_of(table, column, prop, rows, source.name)
            recorded, content = property_rows(prop, rows, values, options, self.proteins)
            if len(content):
                self.properties.add(_called(recorded))
            self.writer.annotate_rows(recorded, source, content)

    def check(self) -> None:
        """Raise SourceError if no protein was found, or one has a property from elsewhere already."""
        if self.passed_over and not self.matched + self.skipped:
            raise SourceError(
                f"nothing is of a protein in the store ({self.unknown} is not there): check the ids, or find proteins "
                "by their sequence (match='sequence')."
            )
        for (level, name), count in self.writer.kept.items():
            raise SourceError(
                f"{level} {name} of {count} protein(s) is known already, from another source or from this one read "
                "otherwise: replace it (replace=True), or give the new one another name "
                f"(columns={{{name!r}: {f'{name}_2'!r}}})."
            )


def _called(prop: Property) -> str:
    return f"{prop.level} {prop.name}"


def _table(frame: pd.DataFrame | pa.Table, name: str) -> pa.Table:
    """A frame as an Arrow table, without its index."""
    if isinstance(frame, pa.Table):
        return frame
    if not hasattr(frame, "columns"):
        raise SourceError(f"{name} is a {type(frame).__name__}: give a path, a pandas.DataFrame or a pyarrow.Table.")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (ArithmeticError, TypeError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"{name} cannot be read ({first_line(error)}); give columns of one type and name each."
        ) from error


def _digest(table: pa.Table) -> str:
    """SHA-256 of a table's content."""
    digest = hashlib.sha256()
    for batch in table.to_batches():
        digest.update(batch.serialize())
    return digest.hexdigest()
