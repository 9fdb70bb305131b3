"""Adding properties to the proteins of a store, from any supported file, without changing attention."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc

from ..catalog.property import ARROW_TYPES, Annotation, Kind, Property, Source
from ..catalog.reader import catalog_errors, connect, current_catalog
from ..catalog.writer import CatalogWriter
from ..errors import SourceError, check_choice
from ..format.documents import StoreDocument
from ..format.lock import waiting
from ..readers import tables, text
from ..readers.download import fetch_files
from ..readers.inputs import READERS, Format, Reader, entry_names, find, read_file, source_of
from ..readers.record import Excluded, Options, Record, reasons
from ..readers.structures import dssp as dssp_output
from ..readers.tables import Table
from ..runtime.paths import database_path, user_path
from .frames import digest_of, table_of
from .matching import MATCHES, MISMATCHES, Match, Mismatch, Proteins
from .store_directory import storage_errors
from .table_cells import DECIMALS, Decimal, convert_cells
from .table_keys import NUMBERINGS, Keys, Numbering, TableOptions, keys_of
from .table_rows import check_letters, rows_of
from .table_values import chosen_columns, plain, properties_of, property_rows, values_of

if TYPE_CHECKING:
    import pandas as pd


#: The readers used here; those that look at the content come before those that look at the suffix only.
FORMATS: tuple[Format, ...] = (*cast(tuple[Format, ...], (dssp_output, tables)), *READERS)


#: Number of records without a protein that a message lists, and one more to show that there are more.
_LISTED = 4


@dataclass(frozen=True)
class Annotated:
    """The result of annotating.

    Attributes
    ----------
    properties : names of the properties with a value, as "residue ss8", sorted
    matched, passed_over : records, and ids in tables, that belong to a protein in the store, and that do not
    skipped : records left out because their sequence differs
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
    missing: Sequence[str] = (),
    delimiter: str | None = None,
    decimal: Decimal | None = None,
    encoding: str | None = None,
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
    """Add properties to the proteins of a store, and coordinates to those that have none; see
    :meth:`attnstore.Store.annotate`.
    """
    check_choice("absent", absent, ("null", "false"), SourceError)
    check_choice("match", match, MATCHES, SourceError)
    check_choice("mismatch", mismatch, MISMATCHES, SourceError)
    check_choice("numbering", numbering, NUMBERINGS, SourceError)
    for kind in (kinds or {}).values():
        check_choice("kind", kind, tuple(ARROW_TYPES), SourceError)
    check_choice("decimal", decimal, (*DECIMALS, None), SourceError)
    lists = (("inputs", inputs), ("fetch", fetch), ("on", on), ("drop", drop), ("missing", missing))
    for what, given in lists:
        if given is not None and not isinstance(given, list | tuple):
            raise SourceError(
                f"{what} is not a list but a {type(given).__name__}: give a list, of one where it is one."
            )
    if not (inputs or fetch or drop):
        raise SourceError("nothing to annotate with was given: name a file, or entries to fetch.")
    if isinstance(columns, str):
        raise SourceError(f"columns={columns!r} is not a list: give columns={[columns]!r}.")
    named = columns if columns is None or isinstance(columns, Mapping) else {column: column for column in columns}
    if named is not None:
        named = {str(column): called for column, called in named.items()}  # names in frames may be numbers
    delimiter = _delimiter(delimiter)
    said = TableOptions(
        on, named, kinds or {}, units or {}, descriptions or {}, numbering, absent, symmetric, missing, delimiter,
        decimal, encoding,
    )  # fmt: skip
    excluded: list[Excluded] = []
    options = Options(
        absent=absent, ligand_distance=ligand_distance, dssp=dssp, predicted=predicted, excluding=excluded.append
    )
    path = database_path(store)
    frames = [item for item in inputs if not isinstance(item, str | os.PathLike)]
    files = [item for item in inputs if isinstance(item, str | os.PathLike)]
    found = find([user_path(file) for file in (*files, *fetch_files(fetch))], FORMATS)
    _check_options(said, frames, found)
    names = entry_names(found)
    with storage_errors(path), waiting(path), contextlib.ExitStack() as stack:
        catalog = current_catalog(path, StoreDocument.read(path))
        proteins = Proteins.of(stack.enter_context(contextlib.closing(connect(catalog))), match)
        writer = stack.enter_context(CatalogWriter(path, replace=replace))
        for property_name in drop:
            writer.drop(property_name)
        annotator = Annotator(writer, proteins, said, mismatch)
        with catalog_errors(catalog):
            for frame in frames:
                table = table_of(frame, name, on, tuple(named or ()))
                annotator.table(table, Source(name, digest_of(table.content)))
            for file, reader in found:
                reading = dataclasses.replace(options, glycine_cb=writer.glycine_cb)
                annotator.file(file, reader, reading, names.get(file))
            annotator.check()
        if excluded and not (annotator.matched or annotator.passed_over or annotator.skipped):
            raise SourceError(f"no input has a protein chain: {reasons(excluded)}. Give a structure that has one.")
        writer.publish()
    return Annotated(tuple(sorted(annotator.properties)), annotator.matched, annotator.passed_over, annotator.skipped)


def _delimiter(given: str | None) -> str | None:
    """Read a separator as it is written: "tab" and a backslash with t mean a tab."""
    found = {"tab": "\t", "\\t": "\t"}.get(given, given) if given is not None else None
    if found is not None and (len(found) != 1 or found in '"\r\n\0' or not found.isascii()):
        raise SourceError(
            f"delimiter={given!r} is not one character: give what separates cells, as delimiter=';' or delimiter='tab'."
        )
    return found


def _check_options(options: TableOptions, frames: Sequence[object], found: Sequence[tuple[Path, Format]]) -> None:
    """Refuse options of tables if no input is a table, and of text files if none is a text file."""
    is_table = [reader.NAME == tables.NAME for _, reader in found]
    of_text = [table and text.suffix(path) != ".parquet" for table, (path, _) in zip(is_table, found, strict=True)]
    given = {
        "on": options.on, "kinds": options.kinds, "units": options.units, "descriptions": options.descriptions,
        "numbering": options.numbering != "0", "symmetric": options.symmetric, "missing": options.missing,
    }  # fmt: skip
    written = {"delimiter": options.delimiter, "decimal": options.decimal, "encoding": options.encoding}
    for names, there, what in (
        (given, bool(frames) or any(is_table), "a table"),
        (written, any(of_text), "a table of text"),
    ):
        name = next((name for name, value in names.items() if value), None)
        if name is not None and not there:
            raise SourceError(f"{name}=… says how {what} is read, and no input is one: leave {name}=… out.")


@dataclass
class Annotator:
    """Adds the values of sources to the next catalog, and counts them."""

    writer: CatalogWriter
    proteins: Proteins
    options: TableOptions
    mismatch: Mismatch
    properties: set[str] = field(default_factory=set)
    matched: int = 0
    passed_over: int = 0
    skipped: int = 0
    strange: list[str] = field(default_factory=list)

    def file(self, file: Path, reader: Format, options: Options, name: str | None = None) -> None:
        """Add the values of a file; `name` is the id of its entry, if the file has to provide it."""
        if reader.NAME == tables.NAME:
            keys = self.options.on[:1] if self.options.on else tables.IDS
            delimiter, encoding = self.options.delimiter, self.options.encoding
            self.table(tables.read(file, keys, delimiter=delimiter, encoding=encoding), source_of(file))
        elif reader.NAME == dssp_output.NAME:
            self.dssp(file)
        else:
            self.check_columns(file, cast(Reader, reader).PROPERTIES)
            for record in read_file(file, cast(Reader, reader), options, name):
                self.record(record)

    def check_columns(self, file: Path, offered: Sequence[Property]) -> None:
        """Raise SourceError if a file that is not a table cannot provide one of the requested properties."""
        names = {prop.name for prop in offered}
        other = next((name for name in self.options.columns or () if name not in names), None)
        if other is not None:
            gives = f"it may give {', '.join(sorted(names))}" if names else "it gives none"
            raise SourceError(f"{file} is a file without a property {other!r}: {gives}.")

    def record(self, record: Record) -> None:
        """Add the values of a record to its protein."""
        protein = self.proteins.find(record)
        if protein is None:
            self.passed_over += 1
            if len(self.strange) < _LISTED:
                self.strange.append(record.id)
            return
        fit = self.proteins.fit(protein, record, self.mismatch)
        if fit is None:
            self.skipped += 1
            return
        self.matched += 1
        annotations = tuple(map(self._renamed, filter(self._wanted, fit.annotations)))
        self.properties |= {_called(annotation.property) for annotation in annotations if annotation.tells()}
        self.writer.annotate(protein, fit.id, fit.sequence, fit.place, fit.structure, annotations, fit.source)

    def _wanted(self, annotation: Annotation) -> bool:
        return self.options.columns is None or annotation.property.name in self.options.columns

    def _renamed(self, annotation: Annotation) -> Annotation:
        prop = annotation.property
        name = prop.name if self.options.columns is None else self.options.columns[prop.name]
        return annotation if name == prop.name else replace(annotation, property=replace(prop, name=name))

    def table(self, table: Table, source: Source) -> None:
        """Add the columns of a table."""
        table = plain(table)
        keys = keys_of(table, self.options)
        chosen = chosen_columns(table, keys, self.options)
        kinds = {column: self.options.kinds[name] for column, name in chosen.items() if name in self.options.kinds}
        table = convert_cells(table, chosen, kinds, self.options.missing, self.options.decimal)
        properties = properties_of(table, chosen, keys.level, self.options)
        self._put(table, source, keys, properties, self.options)

    def dssp(self, file: Path) -> None:
        """Add the values of a file of DSSP's output, which identifies residues by their author numbers."""
        self.check_columns(file, dssp_output.PROPERTIES)
        table = dssp_output.read_table(file)
        number = pc.binary_join_element_wise(
            table["author_number"].cast(pa.string()), pc.fill_null(table["insertion_code"], ""), ""
        )
        table = table.append_column("author", number)
        keys = Keys("id", "residue", ("author",))
        columns = self.options.columns
        properties = {
            prop.name: prop if columns is None else replace(prop, name=columns[prop.name])
            for prop in dssp_output.PROPERTIES
            if columns is None or prop.name in columns
        }
        self._put(Table(table, str(file)), source_of(file), keys, properties, TableOptions(numbering="author"))

    def _put(
        self, table: Table, source: Source, keys: Keys, properties: Mapping[str, Property], options: TableOptions
    ) -> None:
        rows = rows_of(table, keys, self.proteins, options.numbering)
        self.matched += rows.ids
        self.passed_over += len(rows.passed_over)
        if rows.passed_over:
            warnings.warn(
                f"{len(rows.passed_over):,} of {rows.ids + len(rows.passed_over):,} ids of {table.place} are not in "
                f"the store and left out: {self.proteins.quote_names(rows.passed_over)}.",
                stacklevel=2,
            )
        if keys.level == "residue":
            check_letters(table, rows, self.proteins)
        for column, prop in properties.items():
            values = values_of(table, column, prop, rows)
            recorded, content = property_rows(prop, rows, values, options, self.proteins)
            if len(content):
                self.properties.add(_called(recorded))
            self.writer.annotate_rows(recorded, source, content)

    def check(self) -> None:
        """Warn about proteins that are not in the store, and about properties that keep their values.

        Raises
        ------
        SourceError
            No protein was found, or every property has values in every protein already.
        """
        if self.passed_over and not self.matched + self.skipped:
            raise SourceError(
                f"no record belongs to a protein in the store, for example {self.proteins.quote_names(self.strange)}: "
                "check the ids, or find proteins by their sequence (match='sequence')."
            )
        if self.strange:
            warnings.warn(
                "records of proteins that are not in the store are left out: "
                f"{self.proteins.quote_names(self.strange)}{', …' if len(self.strange) == _LISTED else ''}.",
                stacklevel=2,
            )
        kept = self.writer.kept
        if not kept:
            return
        names = {self._column(name): self._free(name) for _, name in kept}
        listed = ", ".join(
            f"{level} {name}{_as_types(self.writer.types.get((level, name)))} of {count:,} protein{'s' * (count > 1)}"
            for (level, name), count in kept.items()
        )
        for level, name in kept:
            self.writer.withdraw(level, name)
        others = self.properties - {f"{level} {name}" for level, name in kept}
        said = (
            f"{listed} {'is' if len(kept) == 1 else 'are'} known already, from another source or from this one read "
            "otherwise"
        )
        cure = f"replace=True replaces the values, columns={names!r} adds the new ones under another name"
        if not others and not self.writer.adds:
            raise SourceError(f"{said}: {cure}.")
        self.properties = others
        stay = "stays as it was" if len(kept) == 1 else "stay as they were"
        warnings.warn(f"{said}, and {stay}: {cure}.", stacklevel=2)

    def _column(self, name: str) -> str:
        """The name of a property in the inputs."""
        return next((old for old, new in (self.options.columns or {}).items() if new == name), name)

    def _free(self, name: str) -> str:
        """A name for another property of the kind that is not used in the store."""
        taken = self.writer.names
        return next(word for number in itertools.count(2) if (word := f"{name[:59]}_{number}").lower() not in taken)


def _as_types(types: tuple[str, str] | None) -> str:
    """The existing and the given type, if they differ."""
    return f" (given as {types[1]}, in the store as {types[0]})" if types else ""


def _called(prop: Property) -> str:
    return f"{prop.level} {prop.name}"
