"""The catalog: proteins, their residues and properties, in one immutable DuckDB file.

A catalog follows from inputs alone and is complete before the first step of a model. It is never opened
read-write once published: adding proteins writes a new file, and replacing ``store.json`` makes it current.
A reader keeps the file it opened.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import duckdb
import pyarrow as pa

from .catalog_rows import RESIDUES, STRUCTURE_COLUMNS, Protein, protein_table, structure_digest
from .catalog_rows import Structure as Structure
from .durable import sha256_file, sync_directory, sync_file
from .errors import SourceError, StoreError, first_line
from .layout import StoreDocument

#: Oldest DuckDB that reads a catalog of this format version.
_STORAGE_VERSION = "v2.0.0"

_SCHEMA = """
CREATE TABLE proteins (
    protein_index INTEGER, id VARCHAR, length INTEGER, sequence VARCHAR, sequence_sha256 VARCHAR,
    members INTEGER, structure VARCHAR, structure_sha256 VARCHAR);
CREATE TABLE members (protein_index INTEGER, protein VARCHAR, member VARCHAR, place VARCHAR);
CREATE TABLE residues (
    protein_index INTEGER, protein VARCHAR, pos INTEGER, aa VARCHAR, author_number INTEGER, insertion_code VARCHAR,
    ca_x FLOAT, ca_y FLOAT, ca_z FLOAT, cb_x FLOAT, cb_y FLOAT, cb_z FLOAT);
CREATE TABLE pairs (protein_index INTEGER, protein VARCHAR, source INTEGER, target INTEGER);
CREATE TABLE properties (
    name VARCHAR, level VARCHAR, type VARCHAR, unit VARCHAR, description VARCHAR, absent VARCHAR);
"""

_PROPERTIES = (
    ("id", "protein", "VARCHAR", None, "identifier in its source", None),
    ("length", "protein", "INTEGER", "residues", "length of the whole sequence", None),
    ("sequence", "protein", "VARCHAR", None, "one-letter sequence", None),
    ("members", "protein", "INTEGER", None, "inputs with this same sequence", None),
    ("structure", "protein", "VARCHAR", None, "member whose coordinates and numbering the residues carry",
     "no coordinates known"),
    ("pos", "residue", "INTEGER", None, "position in the sequence, from 0", None),
    ("aa", "residue", "VARCHAR", None, "one-letter amino acid", None),
    ("author_number", "residue", "INTEGER", None, "residue number in the structure file", "not observed"),
    ("insertion_code", "residue", "VARCHAR", None, "insertion code in the structure file", "none"),
    *((f"{atom}_{axis}", "residue", "FLOAT", "Å", f"{axis} of {label}", "not resolved")
      for atom, label in (("ca", "Cα"), ("cb", "Cβ, virtual where the structure has none")) for axis in "xyz"),
)  # fmt: skip


class _Record(NamedTuple):
    name: str
    sequence: str
    sequence_sha256: str
    place: str
    structure: Structure | None
    structure_sha256: str | None


class _Member(NamedTuple):
    """Enough of an id that is taken to tell a repetition from a contradiction."""

    sequence_sha256: str
    structure_sha256: str | None
    place: str


class CatalogWriter:
    """Builds the next catalog of a store beside the current one; `publish` makes it current.

    Use as a context manager: leaving it without `publish` leaves the store as it was. Identical sequences are one
    protein with several members, unless `keep_duplicates`; the protein bears the id of its first member, and
    coordinates of the first member that has any.

    Records are taken in batches, and what was taken before is looked up in the file, so that memory does not grow
    with the number of proteins.

    Parameters
    ----------
    store : directory of the store, which exists
    keep_duplicates : keep identical sequences apart
    """

    #: Residues after which a batch is full.
    _BATCH = 500_000
    #: Proteins that are given coordinates in one statement, which has all of them in memory several times over.
    _UPGRADES = 200

    def __init__(self, store: Path, *, keep_duplicates: bool = False) -> None:
        self._store = store
        self._document = StoreDocument.read(store)
        self._keep_duplicates = keep_duplicates
        self._path = store / f".catalog.{os.getpid()}.tmp"
        self._connection = duckdb.connect(":memory:", config=_bounded(self._path))
        self._batch: list[_Record] = []
        self._batch_residues = 0
        self._count = self._document.proteins
        self._changed = False

    def __enter__(self) -> "CatalogWriter":
        try:
            self._begin()
        except BaseException:
            self._clean_up()
            raise
        return self

    def _begin(self) -> None:
        with _storage_errors("writing the catalog"):
            # A killed writer's: the caller sees to it that there is one writer at a time.
            for leftover in (*self._store.glob(".catalog.*.tmp*"), *self._store.glob(".store.json.*.tmp")):
                _remove(leftover)
            new = self._document.catalog is None
            if not new:
                self._copy_current()
            self._connection.execute(f"ATTACH {literal(self._path)} AS next (STORAGE_VERSION '{_STORAGE_VERSION}')")
            self._connection.execute("USE next")
            if new:
                self._connection.execute(_SCHEMA)
                self._connection.executemany("INSERT INTO properties VALUES (?, ?, ?, ?, ?, ?)", _PROPERTIES)
            # What the catalog itself does not record: coordinates of members beyond the first that has any.
            self._connection.execute("CREATE TEMP TABLE given (member VARCHAR, structure_sha256 VARCHAR)")

    def _copy_current(self) -> None:
        current = current_catalog(self._store, self._document)
        shutil.copyfile(current, self._path)
        # The copy gets a digest of its own: damage must not come to be vouched for by it.
        if sha256_file(self._path) != self._document.catalog_sha256:
            raise StoreError(f"the catalog {current} is damaged: it does not have the digest it was written with.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clean_up()

    def _clean_up(self) -> None:
        self._connection.close()
        for leftover in self._store.glob(f"{self._path.name}*"):
            with contextlib.suppress(OSError):
                _remove(leftover)

    def add(self, name: str, sequence: str, place: str, structure: Structure | None) -> None:
        """Add one input record.

        Parameters
        ----------
        name : its id
        sequence : one-letter, upper case
        place : file and line or chain, for messages
        structure : None where no coordinates are known

        Raises
        ------
        SourceError
            If the id of this record, or of one before it, stands for another sequence or other coordinates already.
        """
        sequence_sha256 = hashlib.sha256(sequence.encode()).hexdigest()
        structure_sha256 = None if structure is None else structure_digest(structure)
        self._batch.append(_Record(name, sequence, sequence_sha256, place, structure, structure_sha256))
        self._batch_residues += len(sequence)
        if self._batch_residues >= self._BATCH:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._batch_residues = self._batch, [], 0
        if not batch:
            return
        with _storage_errors("writing the catalog"):
            taken, by_sequence = self._recall(batch)
            known = {protein.index for protein in by_sequence.values()}
        proteins: dict[int, Protein] = {}
        members: list[tuple[int, str, str, str, str | None]] = []
        for record in batch:
            if record.name in taken:
                _check_repetition(record, taken[record.name])
                continue
            taken[record.name] = _Member(record.sequence_sha256, record.structure_sha256, record.place)
            protein = None if self._keep_duplicates else by_sequence.get(record.sequence_sha256)
            if protein is None:
                protein = Protein(self._count, record.name, record.sequence, record.sequence_sha256)
                self._count += 1
                by_sequence.setdefault(record.sequence_sha256, protein)
                proteins[protein.index] = protein
            if protein.member is None and record.structure is not None and record.structure_sha256 is not None:
                protein.adopt(record.name, record.structure, record.structure_sha256)
                proteins[protein.index] = protein
            members.append((protein.index, protein.id, record.name, record.place, record.structure_sha256))
        if members:
            self._changed = True
            with _storage_errors("writing the catalog"):
                self._insert_members(members)
                upgraded = [protein for protein in proteins.values() if protein.index in known]
                for start in range(0, len(upgraded), self._UPGRADES):
                    self._update(upgraded[start : start + self._UPGRADES])
                self._insert([protein for protein in proteins.values() if protein.index not in known])

    def _recall(self, batch: Sequence[_Record]) -> tuple[dict[str, _Member], dict[str, Protein]]:
        """What the catalog holds of a batch's ids and of its sequences."""
        names, digests = [record.name for record in batch], [record.sequence_sha256 for record in batch]
        with self._incoming(pa.table({"name": names, "sequence_sha256": digests})):
            members = self._connection.execute(
                "SELECT m.member, p.sequence_sha256, "
                "coalesce(g.structure_sha256, if(p.structure = m.member, p.structure_sha256, NULL)), "
                f"if(p.protein_index < {self._document.proteins}, 'the store', m.place) "
                "FROM (SELECT DISTINCT name FROM incoming) i JOIN members m ON m.member = i.name "
                "JOIN proteins p USING (protein_index) LEFT JOIN given g ON g.member = m.member"
            ).fetchall()
            proteins = self._connection.execute(
                "SELECT protein_index, id, sequence, sequence_sha256, structure, structure_sha256 FROM proteins "
                "WHERE sequence_sha256 IN (SELECT sequence_sha256 FROM incoming) ORDER BY protein_index DESC"
            ).fetchall()
        # Of identical sequences that were kept apart, the first counts.
        return {name: _Member(*rest) for name, *rest in members}, {row[3]: Protein(*row) for row in proteins}

    @contextlib.contextmanager
    def _incoming(self, rows: pa.Table) -> Iterator[None]:
        self._connection.register("incoming", rows)
        try:
            yield
        finally:
            self._connection.unregister("incoming")

    def _insert_members(self, members: Sequence[tuple[int, str, str, str, str | None]]) -> None:
        columns = map(list, zip(*members, strict=True))
        names = ("protein_index", "protein", "member", "place", "structure_sha256")
        with self._incoming(pa.table(dict(zip(names, columns, strict=True)))):
            self._connection.execute("INSERT INTO members BY NAME SELECT * EXCLUDE (structure_sha256) FROM incoming")
            self._connection.execute(
                "INSERT INTO given SELECT member, structure_sha256 FROM incoming WHERE structure_sha256 IS NOT NULL"
            )

    def _insert(self, proteins: Sequence[Protein]) -> None:
        if proteins:
            with self._incoming(protein_table(proteins)):
                self._connection.execute(
                    "INSERT INTO proteins BY NAME SELECT protein_index, id, length(sequence) AS length, sequence, "
                    "sequence_sha256, 1 AS members, structure, structure_sha256 FROM incoming"
                )
                self._connection.execute(f"INSERT INTO residues BY NAME {RESIDUES}")

    def _update(self, proteins: Sequence[Protein]) -> None:
        if proteins:
            with self._incoming(protein_table(proteins)):
                self._connection.execute(
                    "UPDATE proteins SET structure = i.structure, structure_sha256 = i.structure_sha256 "
                    "FROM incoming i WHERE proteins.protein_index = i.protein_index"
                )
                values = ", ".join(f"{column} = i.{column}" for column in STRUCTURE_COLUMNS)
                self._connection.execute(
                    f"UPDATE residues SET {values} FROM ({RESIDUES}) i "
                    "WHERE residues.protein_index = i.protein_index AND residues.pos = i.pos"
                )

    def publish(self) -> StoreDocument:
        """Finish the catalog and make it current; returns the store's description.

        If nothing was added, the current catalog stays.

        Raises
        ------
        SourceError
            As :meth:`add`.
        """
        self._flush()
        if not self._changed:
            return self._document
        with _storage_errors("writing the catalog"):
            con = self._connection
            con.execute(
                "UPDATE proteins SET members = counts.n FROM "
                "(SELECT protein_index, count(*)::INTEGER AS n FROM members GROUP BY 1 HAVING n > 1) AS counts "
                "WHERE proteins.protein_index = counts.protein_index AND members <> counts.n"
            )
            counted = con.execute("SELECT count(*), coalesce(sum(length), 0)::BIGINT FROM proteins").fetchone()
            assert counted is not None
            content = hashlib.sha256()
            rows = con.execute(
                "SELECT id, sequence_sha256, coalesce(structure_sha256, ''), members FROM proteins "
                "ORDER BY protein_index"
            )
            while some := rows.fetchmany(1_000):
                for row in some:
                    content.update(repr(row).encode())
            con.execute("USE memory")
            con.execute("CHECKPOINT next")
            con.execute("DETACH next")
            sync_file(self._path)
            sha256 = sha256_file(self._path)
            name = f"catalog-{content.hexdigest()[:16]}.duckdb"
            # A catalog of this name may be open in a reader; it keeps its file, as the new one is another inode.
            os.replace(self._path, self._store / name)
            sync_directory(self._store)
        document = StoreDocument(name, sha256, int(counted[0]), int(counted[1]))
        document.write(self._store)
        # The one before stays for a reader that has read store.json but not yet opened what it names.
        for path in self._store.glob("catalog-*.duckdb"):
            if path.name not in (name, self._document.catalog):
                with contextlib.suppress(OSError):
                    path.unlink()
        return document


def _bounded(path: Path) -> dict[str, str | bool | int | float | list[str]]:
    """DuckDB's settings for building a catalog: memory that depends neither on its size nor on the machine's cores.

    What does not fit in it goes to a directory beside the catalog, and not to one in the working directory.
    """
    return {"memory_limit": "96MB", "threads": 1, "temp_directory": f"{path}.spill"}


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _check_repetition(record: _Record, member: _Member) -> None:
    stands = f"{record.place}: {record.name} stands for"
    cure = f"already (in {member.place}): give one of them another id."
    if member.sequence_sha256 != record.sequence_sha256:
        raise SourceError(f"{stands} another sequence {cure}")
    if None not in (digests := {member.structure_sha256, record.structure_sha256}) and len(digests) > 1:
        raise SourceError(f"{stands} other coordinates {cure}")


def literal(path: Path) -> str:
    """A path as a string of DuckDB's SQL."""
    return "'" + str(path).replace("'", "''") + "'"


@contextlib.contextmanager
def _storage_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"{doing} failed: {first_line(error).rstrip('.')}.") from error


@contextlib.contextmanager
def catalog_errors(catalog: Path) -> Iterator[None]:
    """DuckDB's errors in reading a catalog, as damaged blocks raise them, as a StoreError of one sentence."""
    try:
        yield
    except duckdb.Error as error:
        raise StoreError(f"the catalog {catalog} is damaged: {first_line(error).rstrip('.')}.") from error


def current_catalog(store: Path, document: StoreDocument) -> Path:
    """Path of the current catalog; raises StoreError where there is none."""
    if document.catalog is None:
        raise StoreError(f"{store} holds no proteins yet: ingest some.")
    path = store / document.catalog
    if not path.exists():
        # Replaced, more than once, since the document was read: the newer one holds all that this one did.
        newest = StoreDocument.read(store).catalog
        path = store / (newest or document.catalog)
        if not path.exists():
            raise StoreError(f"{store} is damaged: its catalog {path.name} is missing.")
    return path


def attach(connection: duckdb.DuckDBPyConnection, catalog: Path, name: str) -> None:
    """Attach a catalog read-only; raises StoreError if it is damaged."""
    with catalog_errors(catalog):
        connection.execute(f"ATTACH {literal(catalog)} AS {name} (READ_ONLY)")


def connect(catalog: Path) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the catalog's tables in its search path, attached read-only."""
    connection = duckdb.connect(":memory:")
    attach(connection, catalog, "catalog")
    with catalog_errors(catalog):
        connection.execute("USE catalog")
    return connection
