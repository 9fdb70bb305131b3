"""The catalog: proteins, their residues and properties, in one immutable DuckDB file.

A catalog follows from inputs alone and is complete before the first step of a model. It is never opened
read-write once published: adding proteins writes a new file, and replacing ``store.json`` makes it current.
A reader keeps the file it opened.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

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


@dataclass(frozen=True, eq=False)
class Structure:
    """Positions and author numbering of a chain of L residues.

    Attributes
    ----------
    author_number
        int32 [L]; the number the authors gave the residue, 0 where `author_known` is False.
    author_known
        bool [L]; False where the residue has no author number, as no unresolved residue has.
    insertion_code
        Length L; None where there is none.
    ca
        float32 [L, 3], Å; Cα, NaN where it is unresolved.
    cb
        float32 [L, 3], Å; Cβ of the file or, where it has none (as glycine), the virtual one placed
        from N, Cα and C; NaN where one of these is missing too.
    """

    author_number: npt.NDArray[np.int32]
    author_known: npt.NDArray[np.bool_]
    insertion_code: tuple[str | None, ...]
    ca: npt.NDArray[np.float32]
    cb: npt.NDArray[np.float32]


def _digest(structure: Structure) -> str:
    parts = (structure.author_number, structure.author_known, structure.ca, structure.cb)
    content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
    return hashlib.sha256(content + repr(structure.insertion_code).encode()).hexdigest()


@dataclass
class _Known:
    """What the writer remembers of a protein: enough to tell a repetition from a contradiction."""

    index: int
    sequence_sha256: str
    structure: str | None
    place: str


class CatalogWriter:
    """Builds the next catalog of a store beside the current one; `publish` makes it current.

    Use as a context manager: leaving it without `publish` leaves the store as it was. Identical sequences are one
    protein with several members, unless `keep_duplicates`; the protein bears the id of its first member, and
    coordinates of the first member that has any.

    Parameters
    ----------
    store : directory of the store, which exists
    keep_duplicates : keep identical sequences apart
    """

    _BATCH = 200_000

    def __init__(self, store: Path, *, keep_duplicates: bool = False) -> None:
        self._store = store
        self._document = StoreDocument.read(store)
        self._keep_duplicates = keep_duplicates
        self._path = store / f".catalog.{os.getpid()}.tmp"
        self._connection = duckdb.connect(":memory:")
        self._known: dict[str, _Known] = {}
        self._by_sequence: dict[str, str] = {}
        self._member_of: dict[str, tuple[str, str | None]] = {}
        self._changed = False
        self._rows: dict[str, list[Any]] = {"proteins": [], "members": [], "upgrades": []}
        self._residues: list[pa.RecordBatch] = []
        self._residue_count = 0

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
                leftover.unlink(missing_ok=True)
            self._connection.execute(f"ATTACH {literal(self._path)} AS next (STORAGE_VERSION '{_STORAGE_VERSION}')")
            self._connection.execute("USE next")
            self._connection.execute(_SCHEMA)
            self._connection.execute(
                "CREATE TABLE memory.main.upgrades (protein_index INTEGER, structure VARCHAR, structure_sha256 VARCHAR)"
            )
            if self._document.catalog is not None:
                self._load_current()
            else:
                self._connection.executemany("INSERT INTO properties VALUES (?, ?, ?, ?, ?, ?)", _PROPERTIES)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clean_up()

    def _clean_up(self) -> None:
        self._connection.close()
        for leftover in (self._path, self._path.with_name(self._path.name + ".wal")):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)

    def _load_current(self) -> None:
        attach(self._connection, current_catalog(self._store, self._document), "current")
        tables = self._connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'current'"
        ).fetchall()
        for (table,) in tables:
            name = '"' + table.replace('"', '""') + '"'
            self._connection.execute(f"CREATE OR REPLACE TABLE next.{name} AS FROM current.main.{name}")
        for index, name, digest, structure in self._connection.execute(
            "SELECT protein_index, id, sequence_sha256, structure FROM proteins ORDER BY protein_index"
        ).fetchall():
            self._known[name] = _Known(index, digest, structure, "the store")
            self._by_sequence.setdefault(digest, name)
        digests = dict(
            self._connection.execute(
                "SELECT structure, structure_sha256 FROM proteins WHERE structure IS NOT NULL"
            ).fetchall()
        )
        for protein, member in self._connection.execute("SELECT protein, member FROM members").fetchall():
            self._member_of[member] = (protein, digests.get(member))
        self._connection.execute("DETACH current")

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
            If the id stands for another sequence or other coordinates already.
        """
        sequence_sha256 = hashlib.sha256(sequence.encode()).hexdigest()
        structure_sha256 = _digest(structure) if structure is not None else None
        if name in self._member_of:
            self._check_repetition(name, sequence_sha256, structure_sha256, place)
            return
        self._changed = True
        member = name if structure is not None else None
        owner = None if self._keep_duplicates else self._by_sequence.get(sequence_sha256)
        if owner is None:
            owner = name
            index = len(self._known)
            self._known[name] = _Known(index, sequence_sha256, member, place)
            self._by_sequence.setdefault(sequence_sha256, name)
            self._rows["proteins"].append(
                (index, name, len(sequence), sequence, sequence_sha256, 1, member, structure_sha256)
            )
            self._residues.append(_residue_rows(index, name, sequence, structure))
            self._residue_count += len(sequence)
        else:
            known = self._known[owner]
            if known.structure is None and structure is not None:
                known.structure = name
                self._rows["upgrades"].append((known.index, name, structure_sha256))
                rows = pa.Table.from_batches([_residue_rows(known.index, owner, sequence, structure)])
                self._insert("memory.main.upgrade_residues", rows, create=True)
        self._rows["members"].append((self._known[owner].index, owner, name, place))
        self._member_of[name] = (owner, structure_sha256)
        if self._residue_count >= self._BATCH:
            self._flush()

    def _check_repetition(self, name: str, sequence: str, structure: str | None, place: str) -> None:
        owner, known_structure = self._member_of[name]
        known = self._known[owner]
        if known.sequence_sha256 != sequence:
            raise SourceError(
                f"{place}: {name} stands for another sequence already (in {known.place}): give one of them another id."
            )
        if structure is not None and known_structure is not None and structure != known_structure:
            raise SourceError(
                f"{place}: {name} stands for other coordinates already (in {known.place}): give one of them another id."
            )

    def _insert(self, table: str, rows: pa.Table, *, create: bool = False) -> None:
        self._connection.register("incoming", rows)
        if create:
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table} AS FROM incoming LIMIT 0")
        self._connection.execute(f"INSERT INTO {table} BY NAME FROM incoming")
        self._connection.unregister("incoming")

    def _flush(self) -> None:
        with _storage_errors("writing the catalog"):
            if self._residues:
                self._insert("residues", pa.Table.from_batches(self._residues))
            self._residues, self._residue_count = [], 0
            for table, names in _ROW_COLUMNS.items():
                rows = self._rows[table]
                if rows:
                    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
                    self._insert(f"memory.main.{table}" if table == "upgrades" else table, pa.table(columns))
                    rows.clear()

    def publish(self) -> StoreDocument:
        """Finish the catalog and make it current; returns the store's description.

        If nothing was added, the current catalog stays.
        """
        if not self._changed:
            return self._document
        self._flush()
        with _storage_errors("writing the catalog"):
            con = self._connection
            upgraded = con.execute("SELECT count(*) FROM memory.main.upgrades").fetchone() != (0,)
            con.execute(
                "UPDATE proteins SET members = counts.n FROM "
                "(SELECT protein_index, count(*)::INTEGER AS n FROM members GROUP BY 1) AS counts "
                "WHERE proteins.protein_index = counts.protein_index AND members <> counts.n"
            )
            if upgraded:
                con.execute(
                    "UPDATE proteins SET structure = u.structure, structure_sha256 = u.structure_sha256 "
                    "FROM memory.main.upgrades u WHERE proteins.protein_index = u.protein_index"
                )
                sets = ", ".join(f"{column} = u.{column}" for column in _RESIDUE_COLUMNS[4:])
                con.execute(
                    f"UPDATE residues SET {sets} FROM memory.main.upgrade_residues u "
                    "WHERE residues.protein_index = u.protein_index AND residues.pos = u.pos"
                )
            counted = con.execute("SELECT count(*), coalesce(sum(length), 0)::BIGINT FROM proteins").fetchone()
            assert counted is not None
            content = hashlib.sha256()
            for row in con.execute(
                "SELECT id, sequence_sha256, coalesce(structure_sha256, ''), members FROM proteins "
                "ORDER BY protein_index"
            ).fetchall():
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


_RESIDUE_COLUMNS = ["protein_index", "protein", "pos", "aa", "author_number", "insertion_code",
                    "ca_x", "ca_y", "ca_z", "cb_x", "cb_y", "cb_z"]  # fmt: skip
_ROW_COLUMNS = {
    "proteins": ("protein_index", "id", "length", "sequence", "sequence_sha256", "members", "structure",
                 "structure_sha256"),
    "members": ("protein_index", "protein", "member", "place"),
    "upgrades": ("protein_index", "structure", "structure_sha256"),
}  # fmt: skip


def _residue_rows(index: int, name: str, sequence: str, structure: Structure | None) -> pa.RecordBatch:
    length = len(sequence)
    columns: list[Any] = [
        pa.array(np.full(length, index, np.int32)),
        pa.array([name] * length, pa.string()),
        pa.array(np.arange(length, dtype=np.int32)),
        pa.array(list(sequence), pa.string()),
    ]
    if structure is None:
        columns += [pa.nulls(length, pa.int32()), pa.nulls(length, pa.string())]
        columns += [pa.nulls(length, pa.float32())] * 6
    else:
        columns.append(pa.array(structure.author_number, pa.int32(), mask=~structure.author_known))
        columns.append(pa.array(structure.insertion_code, pa.string()))
        for atoms in (structure.ca, structure.cb):
            missing = np.isnan(atoms).any(axis=1)
            columns += [pa.array(np.ascontiguousarray(atoms[:, axis]), pa.float32(), mask=missing) for axis in range(3)]
    return pa.RecordBatch.from_arrays(columns, names=_RESIDUE_COLUMNS)


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
