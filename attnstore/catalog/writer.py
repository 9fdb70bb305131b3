"""The writer of the next catalog: it adds proteins, their residues, and properties."""

import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
import pyarrow as pa

from ..errors import StoreError
from ..format.documents import StoreDocument
from .batch import (
    InputRecord,
    Member,
    carriers_first,
    check_repetition,
    insert_members,
    insert_proteins,
    recall,
    update_structures,
)
from .builtin import GlycineCb
from .dictionary import PropertyKey
from .property import Annotation, Level, Property, Source
from .property_columns import PropertyColumns
from .rows import SETTLED, Protein, Structure, annotation_rows, structure_digest
from .schema import create_tables
from .transaction import NextCatalog, incoming, writing_errors

#: Older catalogs lack this table; it is created when they are next written.
_EXCLUDED = "CREATE TABLE IF NOT EXISTS excluded (id VARCHAR, file VARCHAR, reason VARCHAR)"


class CatalogWriter:
    """Builds the next catalog of a store; `publish` makes it current.

    Use as a context manager: leaving it without `publish` leaves the store unchanged. Identical sequences are one
    protein with several members, unless `keep_duplicates`. The protein has the id of its first member and the
    coordinates of the member with the most positions of Cα and Cβ (ties go to the first), with the values measured on
    them; coordinates in the current catalog stay.

    Records are processed in batches, and earlier ones are looked up in the file, so that memory does not grow with the
    number of proteins.

    Parameters
    ----------
    store : directory of the store, which exists
    keep_duplicates : keep identical sequences separate
    replace : let values of properties replace those in the current catalog
    glycine_cb : atom used for glycine's Cβ in the added coordinates: 'virtual' or 'ca'; by default as in the current
        catalog

    Attributes
    ----------
    glycine_cb : the choice in effect
    """

    #: Residues after which a batch is full.
    _BATCH = 500_000
    #: Queries whose results determine the digest in a catalog's name.
    _MARKED = (
        "SELECT id, sequence_sha256, structure_sha256, members FROM proteins ORDER BY protein_index",
        "FROM properties ORDER BY ALL",
        "FROM property_sources ORDER BY ALL",
        "FROM excluded ORDER BY ALL",
    )
    #: Number of proteins that get coordinates in one statement, which has all of them in memory several times.
    _UPGRADES = 200

    def __init__(
        self,
        store: Path,
        *,
        keep_duplicates: bool = False,
        replace: bool = False,
        glycine_cb: GlycineCb | None = None,
    ) -> None:
        self._next = NextCatalog(store)
        self._store = store
        self._connection = self._next.connection
        self._keep_duplicates = keep_duplicates
        self._replace = replace
        self._glycine_cb = glycine_cb
        self._batch: list[InputRecord] = []
        self._batch_residues = 0
        self._count = self._next.document.proteins
        #: Index of each protein's first residue, and the end of the last.
        self._rows = array("q", [0])
        #: For each protein, the number of positions in its coordinates, if better ones may replace these.
        self._resolved = array("i")
        self._structures = self._changed = False

    def __enter__(self) -> "CatalogWriter":
        self._next.__enter__()
        try:
            with writing_errors():
                self._begin()
        except BaseException:
            self._next.__exit__(None, None, None)
            raise
        return self

    def _begin(self) -> None:
        if self._next.document.catalog is None:
            create_tables(self._connection)
        else:
            try:
                self._connection.execute("FROM property_sources LIMIT 0")
            except duckdb.CatalogException:
                raise StoreError(f"{self._store} was made before stores had properties. Ingest it again.") from None
        self._connection.execute(_EXCLUDED)
        # The catalog itself does not record coordinates of members beyond the first that has any.
        self._connection.execute("CREATE TEMP TABLE given (member VARCHAR, structure_sha256 VARCHAR)")
        self._columns = PropertyColumns(self._connection, replace=self._replace)
        self.glycine_cb = self._columns.glycine_cb(self._glycine_cb)
        known = self._connection.execute(
            f"SELECT length, if(structure IS NULL, 0, {SETTLED}) AS resolved FROM proteins ORDER BY protein_index"
        ).fetchnumpy()
        self._rows.extend(np.cumsum(known["length"], dtype=np.int64).tolist())
        self._resolved.extend(known["resolved"].astype(np.int64).tolist())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._next.__exit__(kind, error, traceback)

    def add(
        self,
        name: str,
        sequence: str,
        place: str,
        structure: Structure | None,
        annotations: Sequence[Annotation] = (),
        source: Source | None = None,
    ) -> None:
        """Add one input record.

        Parameters
        ----------
        name : its id
        sequence : one-letter, upper case
        place : file and line or chain, for messages
        structure : None if no coordinates are known
        annotations : values of its properties
        source : their source; not None if there are any

        Raises
        ------
        SourceError
            If the id of this record, or of an earlier one, already has another sequence or other coordinates; or the
            name of a property is used for something else.
        """
        self._take(name, sequence, place, structure, annotations, source, None)

    def annotate(
        self,
        protein: int,
        name: str,
        sequence: str,
        place: str,
        structure: Structure | None,
        annotations: Sequence[Annotation],
        source: Source | None,
    ) -> None:
        """Add a record of a protein in the current catalog: properties and, if the protein has none, coordinates.

        Parameters
        ----------
        protein : its index
        name : id of the record, under which the coordinates are recorded
        sequence : sequence of the protein
        place, structure, annotations, source : as in :meth:`add`

        Raises
        ------
        SourceError
            If the name of a property is used for something else.
        """
        self._take(name, sequence, place, structure, annotations, source, protein)

    def annotate_rows(self, prop: Property, source: Source, rows: pa.Table) -> None:
        """Write values of one property for many proteins.

        Parameters
        ----------
        prop : Property
        source : source of the values
        rows : ordered by `protein_index`, with a column `value` and, for residues, `pos`, or for pairs `source` and
            `target`; no key occurs twice

        Raises
        ------
        SourceError
            If the name of the property is used for something else.
        """
        self._flush()
        with writing_errors():
            index = rows["protein_index"].to_numpy()
            proteins = np.unique(index)
            admitted = self._columns.admit(prop, source, proteins)
            if prop.level == "residue":
                first = np.asarray(self._rows)[index]
                rows = pa.table({"row": first + rows["pos"].to_numpy(), "value": rows["value"]})
            for which, take in ((admitted.new, self._columns.put), (admitted.again, self._columns.compare)):
                if which.all():
                    take(prop, rows)
                elif which.any():
                    take(prop, rows.filter(pa.array(np.isin(index, proteins[which]))))

    def exclude(self, chains: Sequence[tuple[str, str, str]]) -> None:
        """Record chains that were left out, each once.

        Parameters
        ----------
        chains : id, name of the file, reason
        """
        if not chains:
            return
        columns = dict(zip(("id", "file", "reason"), zip(*dict.fromkeys(chains), strict=True), strict=True))
        rows = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        with writing_errors(), incoming(self._connection, rows):
            new = self._connection.execute("FROM incoming EXCEPT FROM excluded").fetchall()
            if new:
                self._connection.execute(
                    "INSERT INTO excluded SELECT * FROM incoming EXCEPT FROM excluded ORDER BY ALL"
                )
                self._changed = True

    def drop(self, name: str) -> None:
        """Drop a property; raises SourceError if no property of that name can be dropped."""
        self._columns.drop(name)

    @property
    def kept(self) -> Counter[tuple[Level, str]]:
        """Number of proteins that kept other values than those given, by level and name of property."""
        self._flush()
        return Counter({key: count for key, count in self._columns.kept.items() if count})

    def withdraw(self, level: Level, name: str) -> None:
        """Undo all values written for properties that proteins kept."""
        with writing_errors():
            self._columns.withdraw(PropertyKey(level, name))

    @property
    def adds(self) -> bool:
        """Whether anything was added that the current catalog does not have."""
        self._flush()
        return self._changed or bool(self._columns.added)

    @property
    def types(self) -> Mapping[tuple[Level, str], tuple[str, str]]:
        """Types of properties that were kept because another type was given: the existing and the given type."""
        return {(level, name): types for (level, name), types in self._columns.types.items()}

    @property
    def names(self) -> set[str]:
        """Names of the existing properties, in lower case."""
        return self._columns.names

    def _take(
        self,
        name: str,
        sequence: str,
        place: str,
        structure: Structure | None,
        annotations: Sequence[Annotation],
        source: Source | None,
        protein: int | None,
    ) -> None:
        sequence_sha256 = hashlib.sha256(sequence.encode()).hexdigest()
        structure_sha256 = None if structure is None else structure_digest(structure)
        digests = sequence_sha256, structure_sha256
        self._batch.append(InputRecord(name, sequence, place, structure, *digests, annotations, source, protein))
        self._batch_residues += len(sequence)
        if self._batch_residues >= self._BATCH:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._batch_residues = self._batch, [], 0
        if not batch:
            return
        with writing_errors():
            taken, recalled = recall(self._connection, batch, self._next.document.proteins)
        known = {one.index: one for one in recalled}
        for index, one in known.items():
            one.resolved = self._resolved[index]
        by_sequence: dict[str, Protein] = {}
        for first in known.values():
            # Of identical sequences that are kept separate, the first counts.
            by_sequence.setdefault(first.sequence_sha256, first)
        proteins: dict[int, Protein] = {}
        carriers: dict[int, InputRecord] = {}
        members: list[tuple[int, str, str, str, str | None]] = []
        annotated: list[tuple[int, InputRecord]] = []
        for record in batch:
            again = record.protein is None and record.name in taken
            if again:
                check_repetition(record, taken[record.name])
            of = taken[record.name].protein if again else record.protein
            protein: Protein | None
            if of is not None:
                protein = known.get(of) or proteins.get(of)
            else:
                protein = None if self._keep_duplicates else by_sequence.get(record.sequence_sha256)
            if protein is None:
                protein = Protein(self._count, record.name, record.sequence, record.sequence_sha256)
                self._count += 1
                self._rows.append(self._rows[-1] + len(record.sequence))
                self._resolved.append(0)
                by_sequence.setdefault(record.sequence_sha256, protein)
                proteins[protein.index] = protein
            annotated.append((protein.index, record))
            if record.name == protein.member:
                carriers.setdefault(protein.index, record)
            if again:
                continue
            if protein.adopt(record.name, record.structure, record.structure_sha256):
                proteins[protein.index] = protein
                carriers[protein.index] = record
                self._structures = True
            if record.protein is None:
                digests = record.sequence_sha256, record.structure_sha256
                taken[record.name] = Member(protein.index, *digests, record.place)
                members.append((protein.index, protein.id, record.name, record.place, record.structure_sha256))
        self._changed = self._changed or bool(members or proteins)
        with writing_errors():
            insert_members(self._connection, members)
            upgraded = [protein for protein in proteins.values() if protein.index in known]
            for start in range(0, len(upgraded), self._UPGRADES):
                update_structures(self._connection, upgraded[start : start + self._UPGRADES])
            insert_proteins(self._connection, [one for one in proteins.values() if one.index not in known])
            replaced = [index for index in proteins if 0 < self._resolved[index] < proteins[index].resolved]
            self._columns.forget_measured(np.array(replaced, np.int64))
            for index, protein in proteins.items():
                self._resolved[index] = protein.resolved
            self._annotate(carriers_first(annotated, carriers), carriers)

    def _annotate(self, records: Sequence[tuple[int, InputRecord]], carriers: Mapping[int, InputRecord]) -> None:
        """Write the properties of a batch: those of the same name and source together.

        Values measured on coordinates that the protein did not get from this record are left out, unless the
        coordinates are in the current catalog, which does not record their origin.
        """
        groups: dict[tuple[Property, Source, bool], list[tuple[int, Annotation]]] = {}
        for index, record in records:
            own = self._resolved[index] == SETTLED or record is carriers.get(index)
            for annotation in record.annotations:
                assert record.source is not None
                if annotation.tells() and (own or not annotation.measured):
                    key = annotation.property, record.source, annotation.measured
                    groups.setdefault(key, []).append((index, annotation))
        for (prop, source, measured), given in groups.items():
            proteins = np.array([index for index, _ in given], np.int64)
            admitted = self._columns.admit(prop, source, proteins, measured=measured)
            for which, take in ((admitted.new, self._columns.put), (admitted.again, self._columns.compare)):
                chosen = sorted(itertools.compress(given, which), key=lambda entry: entry[0])
                if chosen:
                    take(prop, annotation_rows(prop, chosen, self._rows))

    def publish(self) -> StoreDocument:
        """Finish the catalog and make it current; returns the store's document.

        If nothing was added, the current catalog stays.

        Raises
        ------
        SourceError
            As :meth:`add` and :meth:`annotate`.
        """
        self._flush()
        if not (self._changed or self._columns.changed):
            return self._next.document
        with writing_errors():
            con = self._connection
            self._columns.finish(self._rows, structures=self._structures)
            con.execute(
                "UPDATE proteins SET members = counts.n FROM "
                "(SELECT protein_index, count(*)::INTEGER AS n FROM members GROUP BY 1 HAVING n > 1) AS counts "
                "WHERE proteins.protein_index = counts.protein_index AND members <> counts.n"
            )
            counted = con.execute("SELECT count(*), coalesce(sum(length), 0)::BIGINT FROM proteins").fetchone()
            assert counted is not None
            # A catalog that follows another one gets another name, even with the same content: values are not compared.
            content = hashlib.sha256(repr(self._next.document.catalog).encode())
            for rows in self._MARKED:
                found = con.execute(rows)
                while some := found.fetchmany(1_000):
                    for row in some:
                        content.update(repr(row).encode())
        return self._next.publish(content.hexdigest(), int(counted[0]), int(counted[1]))
