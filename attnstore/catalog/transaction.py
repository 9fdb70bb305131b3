"""The file of the next catalog: it is written next to the current one, and then replaces it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

from ..errors import StoreError, first_line
from ..format.documents import StoreDocument
from ..runtime.durable import check_regular, sha256_file, sync_directory, sync_file
from ..runtime.faults import machine_error
from .connection import Limits, literal, open_in_memory
from .reader import current_catalog, lock, written_here
from .schema import check_catalog

#: Oldest version of DuckDB that reads a catalog of this format version.
_STORAGE_VERSION = "v2.0.0"

#: SHA-256 of catalogs that this process has checked before it added to them, or written.
_SOUND: set[str] = set()

#: Bytes of DuckDB's memory while it writes.
_MEMORY = 96_000_000
#: Of the files that DuckDB writes for a database.
_SUFFIXES = ("", ".wal", ".wal.checkpoint", ".wal.recovery")


class NextCatalog:
    """A copy of a store's current catalog, or an empty database if there is none, open for writing.

    Use as a context manager: leaving it without `publish` leaves the store unchanged.

    Attributes
    ----------
    connection : a DuckDB with the tables of the copy in its search path. Its memory depends neither on the catalog's
        size nor on the machine's cores
    document : the store's document, which names the current catalog
    """

    def __init__(self, store: Path) -> None:
        self.document = StoreDocument.read(store)
        self._store = store
        self._path = store / f".catalog.{os.getpid()}.tmp"
        self.connection = open_in_memory(Limits(_MEMORY, Limits.of().disk), threads=1)

    def __enter__(self) -> "NextCatalog":
        try:
            with writing_errors():
                # The file of a killed writer: the caller ensures that there is one writer at a time.
                for leftover in (*self._store.glob(".catalog.*.tmp*"), *self._store.glob(".store.json.*.tmp")):
                    _remove(leftover)
                current = None if self.document.catalog is None else self._copy_current()
                lock(self.connection, [Path(f"{self._path}{suffix}") for suffix in _SUFFIXES])
                self.connection.execute(f"ATTACH {literal(self._path)} AS next (STORAGE_VERSION '{_STORAGE_VERSION}')")
                digest = self.document.catalog_sha256
                if current is not None and digest is not None and digest not in _SOUND:
                    check_catalog(self.connection, "next", current)
                    _SOUND.add(digest)
                self.connection.execute("USE next")
        except BaseException:
            self._clean_up()
            raise
        return self

    def _copy_current(self) -> Path:
        current = current_catalog(self._store, self.document)
        check_regular(current, "the catalog")
        shutil.copyfile(current, self._path)
        # The copy gets a new digest, which must not cover up damage.
        if sha256_file(self._path) != self.document.catalog_sha256:
            raise StoreError(f"the catalog {current} is damaged: it does not have the digest it was written with.")
        return current

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clean_up()

    def _clean_up(self) -> None:
        self.connection.close()
        for leftover in self._store.glob(f"{self._path.name}*"):
            with contextlib.suppress(OSError):
                _remove(leftover)

    def publish(self, mark: str, proteins: int, residues: int) -> StoreDocument:
        """Make it current; returns the store's document.

        Parameters
        ----------
        mark : hexadecimal, different from those of all earlier catalogs; names the file
        proteins, residues : numbers of them
        """
        with writing_errors():
            self.connection.execute("USE memory")
            self.connection.execute("CHECKPOINT next")
            self.connection.execute("DETACH next")
            sync_file(self._path)
            sha256 = sha256_file(self._path)
            name = f"catalog-{mark[:16]}.duckdb"
            os.replace(self._path, self._store / name)
            sync_directory(self._store)
            written_here(self._store / name)
            _SOUND.add(sha256)
        document = StoreDocument(name, sha256, proteins, residues)
        document.write(self._store)
        # The previous one stays for a reader that has read store.json but not yet opened the catalog.
        for path in self._store.glob("catalog-*.duckdb"):
            if path.name not in (name, self.document.catalog):
                with contextlib.suppress(OSError):
                    path.unlink()
        return document


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_errors() -> Iterator[None]:
    """Translate errors in writing a catalog into a StoreError of one sentence."""
    try:
        yield
    except (duckdb.Error, OSError, MemoryError) as error:
        raise machine_error(error, "writing the catalog") or StoreError(
            f"writing the catalog failed: {first_line(error).rstrip('.')}."
        ) from error


@contextlib.contextmanager
def incoming(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> Iterator[None]:
    """Rows as the table `incoming`."""
    connection.register("incoming", rows)
    try:
        yield
    finally:
        connection.unregister("incoming")
