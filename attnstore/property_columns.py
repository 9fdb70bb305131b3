"""Columns of properties in a catalog that is being written, and the dictionary that says what they are."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .derived import CONTACT_NUMBER, FROM_SEQUENCE, is_site, site_distance, site_distances
from .errors import SourceError
from .properties import SQL_TYPES, TABLES, UNRESOLVED, Level, Property, Source

SCHEMA = """
CREATE TABLE pairs (protein_index INTEGER, protein VARCHAR, source INTEGER, target INTEGER);
CREATE TABLE properties (
    name VARCHAR, level VARCHAR, type VARCHAR, unit VARCHAR, description VARCHAR, absent VARCHAR,
    source VARCHAR, source_sha256 VARCHAR, known BIGINT, positive BIGINT);
CREATE TABLE property_sources (name VARCHAR, level VARCHAR, source VARCHAR, sha256 VARCHAR, absent VARCHAR);
"""

_NEVER = "never NULL"

#: What the catalog holds of any protein.
CORE = (
    Property("id", "protein", "category", "identifier in its source", absent=_NEVER),
    Property("length", "protein", "integer", "length of the whole sequence", "residues", _NEVER),
    Property("sequence", "protein", "category", "one-letter sequence", absent=_NEVER),
    Property("members", "protein", "integer", "inputs with this same sequence", absent=_NEVER),
    Property(
        "structure", "protein", "category", "member whose coordinates and numbering the residues carry",
        absent="NULL where no coordinates are known",
    ),
    Property("pos", "residue", "integer", "position in the sequence, from 0", absent=_NEVER),
    Property("aa", "residue", "category", "one-letter amino acid", absent=_NEVER),
    Property(
        "author_number", "residue", "integer", "residue number in the structure file", absent="NULL where not observed"
    ),
    Property(
        "insertion_code", "residue", "category", "insertion code in the structure file",
        absent="NULL where there is none",
    ),
    *(
        Property(f"{atom}_{axis}", "residue", "float", f"{axis} of {label}", "Å", UNRESOLVED)
        for atom, label in (("ca", "Cα"), ("cb", "Cβ, virtual where the structure has none")) for axis in "xyz"
    ),
    *(prop for prop, _ in FROM_SEQUENCE),
    CONTACT_NUMBER,
)  # fmt: skip

#: Columns that are no properties, and cannot become any.
_KEYS = {
    "protein": {"protein_index", "sequence_sha256", "structure_sha256"},
    "residue": {"protein_index", "protein"},
    "pair": {"protein_index", "protein", "source", "target"},
}

#: Rows that one statement changes, which has them in memory several times over.
_ROWS = 100_000

_UNKNOWN, _BEFORE, _NOW = 0, 1, 2


class Key(NamedTuple):
    """What a property is known by; names differ by more than case."""

    level: Level
    name: str


class PropertyColumns:
    """The property columns of a catalog that is open for writing.

    A protein gets each of its properties from one source: the first that has it, or with `replace` the last.

    Parameters
    ----------
    connection : with the catalog's tables in its search path
    replace : whether values take the place of those that were known before

    Attributes
    ----------
    kept : how many proteins kept, of each property, what was known of them before from another source
    changed : whether any value was written
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, replace: bool) -> None:
        self._connection = connection
        self._replace = replace
        self._core = {Key(prop.level, prop.name) for prop in CORE}
        self._entries: dict[Key, Property] = {}
        self._sources: dict[Key, dict[str, tuple[str, str]]] = {}
        self._states: dict[Key, npt.NDArray[np.uint8]] = {}
        self._staged: dict[Key, str] = {}
        self._written: set[Key] = set()
        self.kept: Counter[Key] = Counter()
        for name, level, kind, unit, description, absent in connection.execute(
            "SELECT name, level, type, unit, description, absent FROM properties"
        ).fetchall():
            self._entries[Key(level, name)] = Property(name, level, kind, description, unit, absent)
        for name, level, source, sha256, absent in connection.execute("FROM property_sources").fetchall():
            self._sources.setdefault(Key(level, name), {})[sha256] = (source, absent)
        for prop in CORE:
            self._entries.setdefault(Key(prop.level, prop.name), prop)

    @property
    def changed(self) -> bool:
        return bool(self._written)

    def admit(self, prop: Property, source: Source, proteins: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Say of which proteins values of a property are to be put, and make ready for them.

        Parameters
        ----------
        prop : Property
        source : where the values are from
        proteins : indices; of one that is named twice, the first counts

        Raises
        ------
        SourceError
            If the name is taken by something else.
        """
        key = self._column(prop)
        states = self._state(key, int(proteins.max(initial=-1)) + 1)
        first = np.zeros(len(proteins), np.bool_)
        first[np.unique(proteins, return_index=True)[1]] = True
        before = first & (states[proteins] == _BEFORE)
        admitted: npt.NDArray[np.bool_] = first & (states[proteins] == _UNKNOWN)
        if self._replace:
            admitted |= before
            self._clear(key, proteins[before])
        elif source.sha256 not in self._sources.get(key, {}):
            self.kept[key] += int(before.sum())
        if admitted.any():
            states[proteins[admitted]] = _NOW
            self._written.add(key)
            self._sources.setdefault(key, {})[source.sha256] = (source.name, prop.absent)
        return admitted

    def put(self, prop: Property, rows: pa.Table) -> None:
        """Write values of admitted proteins.

        Parameters
        ----------
        prop : Property
        rows : a column `value`, and what they are of: `protein_index`; or `row`, the place of the residue among all
            residues, increasing; or `protein_index`, `source` and `target`, NULL for the pairs that are not listed
        """
        key, name = Key(prop.level, prop.name), identifier(prop.name)
        for start in range(0, len(rows), _ROWS):
            part = rows.slice(start, _ROWS)
            if prop.level == "pair":
                with self._incoming(part):
                    self._connection.execute(f"INSERT INTO {self._stage(key)} BY NAME FROM incoming")
                continue
            with self._incoming(part):
                if prop.level == "protein":
                    where = "proteins.protein_index = incoming.protein_index"
                else:
                    ends = part["row"]
                    where = f"residues.rowid = incoming.row AND residues.rowid BETWEEN {ends[0]} AND {ends[-1]}"
                self._connection.execute(
                    f"UPDATE {TABLES[prop.level]} SET {name} = incoming.value FROM incoming WHERE {where}"
                )

    def drop(self, name: str) -> None:
        """Take a property off every level that has it.

        Raises
        ------
        SourceError
            If there is none of that name, or the catalog cannot be without it.
        """
        keys = [key for key in self._entries if key.name == name and not self._reserved(key)]
        if not keys:
            own = any(key.name == name for key in self._entries)
            reason = "is the catalog's own" if own else "is not in the store"
            raise SourceError(f"the property {name} {reason}: `attnstore properties` lists those that can be dropped.")
        for key in keys:
            self._forget(key)
            self._written.add(key)

    def finish(self, *, structures: bool) -> None:
        """Settle pairs, distances to sites and the dictionary.

        Parameters
        ----------
        structures : whether proteins have got coordinates
        """
        if self._staged:
            self._merge_pairs()
        for key, prop in list(self._entries.items()):
            if is_site(prop) and (structures or key in self._written):
                self._measure(prop)
        self._describe()

    def _column(self, prop: Property) -> Key:
        """The column of a property, made if there is none."""
        key = Key(prop.level, prop.name)
        known = self._entries.get(key)
        if self._reserved(key):
            raise SourceError(f"{prop.name} is a column of the catalog itself: give the property another name.")
        namesake = next((other for other in self._entries if other.level == key.level
                         and other.name.lower() == key.name.lower() and other != key), None)  # fmt: skip
        if namesake is not None:
            raise SourceError(f"the property {prop.name} differs from {namesake.name} by case alone: rename it.")
        if known is not None and (known.kind, known.unit) != (prop.kind, prop.unit):
            if not self._replace:
                raise SourceError(
                    f"the property {prop.name} is in the store as {_typed(known)}, and not as {_typed(prop)}: give it "
                    "another name, or --replace the one that is there."
                )
            self._forget(key)
            known = None
        if known is None:
            self._connection.execute(
                f"ALTER TABLE {TABLES[prop.level]} ADD COLUMN {identifier(prop.name)} {SQL_TYPES[prop.kind]}"
            )
            self._entries[key] = prop
        elif self._replace:
            self._entries[key] = prop
        return key

    def _reserved(self, key: Key) -> bool:
        if key in self._core or key.name.lower() in _KEYS[key.level]:
            return True
        return key.level == "residue" and any(
            key.name == site_distance(prop.name).name for prop in self._entries.values() if is_site(prop)
        )

    def _forget(self, key: Key) -> None:
        names = [key.name]
        if is_site(self._entries[key]) and Key("residue", site_distance(key.name).name) in self._entries:
            names.append(site_distance(key.name).name)
        for name in names:
            self._connection.execute(f"ALTER TABLE {TABLES[key.level]} DROP COLUMN {identifier(name)}")
            for table in (self._entries, self._sources, self._states):
                table.pop(Key(key.level, name), None)

    def _state(self, key: Key, size: int) -> npt.NDArray[np.uint8]:
        """Whether each protein's value is unknown, known from before, or from now."""
        states = self._states.get(key)
        if states is None:
            states = np.zeros(size, np.uint8)
            known = self._connection.execute(
                f"SELECT DISTINCT protein_index FROM {TABLES[key.level]} WHERE {identifier(key.name)} IS NOT NULL"
            ).fetchnumpy()["protein_index"]
            known = np.asarray(known, np.int64)
            states = np.zeros(max(size, int(known.max(initial=-1)) + 1), np.uint8)
            states[known] = _BEFORE
        if len(states) < size:
            states = np.concatenate([states, np.zeros(max(size, 2 * len(states)) - len(states), np.uint8)])
        self._states[key] = states
        return states

    def _clear(self, key: Key, proteins: npt.NDArray[np.integer]) -> None:
        if not len(proteins):
            return
        with self._incoming(pa.table({"protein_index": pa.array(proteins, pa.int32())})):
            self._connection.execute(
                f"UPDATE {TABLES[key.level]} SET {identifier(key.name)} = NULL "
                "WHERE protein_index IN (SELECT protein_index FROM incoming)"
            )

    def _stage(self, key: Key) -> str:
        if key not in self._staged:
            self._staged[key] = f"staged_{len(self._staged)}"
            kind = SQL_TYPES[self._entries[key].kind]
            self._connection.execute(
                f"CREATE TEMP TABLE {self._staged[key]} "
                f"(protein_index INTEGER, source INTEGER, target INTEGER, value {kind})"
            )
        return self._staged[key]

    def _merge_pairs(self) -> None:
        """Put what was staged into the table of pairs, so that no row is left open that another row answers."""
        same = " AND ".join(
            f"coalesce(q.{column}, -1) = coalesce(g.{column}, -1)" for column in ("protein_index", "source", "target")
        )
        keys = ("protein_index", "source", "target")
        for key, stage in self._staged.items():
            name = identifier(key.name)
            united = ", ".join(f"coalesce(q.{column}, g.{column}) AS {column}" for column in keys)
            self._remake_pairs(
                f"SELECT q.* REPLACE ({united}, coalesce(g.value, q.{name}) AS {name}) "
                f"FROM pairs q FULL JOIN {stage} g ON {same}"
            )
            self._connection.execute(f"DROP TABLE {stage}")
        names = [identifier(prop.name) for prop in self._entries.values() if prop.level == "pair"]
        filled = ", ".join(f"coalesce(q.{name}, d.{name}) AS {name}" for name in names)
        self._remake_pairs(
            f"SELECT q.* REPLACE (p.id AS protein, {filled}) FROM pairs q JOIN proteins p USING (protein_index) "
            "LEFT JOIN (FROM pairs WHERE source IS NULL) d USING (protein_index) "
            f"WHERE coalesce({', '.join(f'q.{name}::VARCHAR' for name in names)}) IS NOT NULL "
            "ORDER BY q.protein_index, q.source NULLS FIRST, q.target"
        )
        self._staged.clear()

    def _remake_pairs(self, select: str) -> None:
        self._connection.execute(f"CREATE TABLE pairs_next AS {select}")
        self._connection.execute("DROP TABLE pairs")
        self._connection.execute("ALTER TABLE pairs_next RENAME TO pairs")

    def _measure(self, site: Property) -> None:
        """Distances to the nearest residue of a site, of every protein."""
        prop = site_distance(site.name)
        key = Key(prop.level, prop.name)
        if key not in self._entries:
            if not self._connection.execute("SELECT 1 FROM residues WHERE cb_x IS NOT NULL LIMIT 1").fetchall():
                return
            self._connection.execute(f"ALTER TABLE residues ADD COLUMN {identifier(prop.name)} DOUBLE")
            self._entries[key] = prop
        for lengths, first in self._ranges():
            found = self._connection.sql(
                f"SELECT cb_x, cb_y, cb_z, coalesce({identifier(site.name)}, false) AS site FROM residues "
                f"WHERE rowid BETWEEN {first} AND {first + int(lengths.sum()) - 1} ORDER BY rowid"
            ).to_arrow_table()
            cb = np.stack([found[f"cb_{axis}"].to_numpy() for axis in "xyz"], axis=1).astype(np.float32)
            distances = site_distances(lengths.tolist(), cb, found["site"].to_numpy())
            rows = pa.array(first + np.arange(len(distances)))
            self.put(prop, pa.table({"row": rows, "value": pa.array(distances, pa.float64(), from_pandas=True)}))

    def _ranges(self) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
        """Lengths of consecutive proteins, so many that their residues fit in memory, and the first one's first row."""
        rows = self._connection.execute("SELECT length FROM proteins ORDER BY protein_index").fetchnumpy()
        lengths = np.asarray(rows["length"], np.int64)
        ends = np.cumsum(lengths)
        begin = 0
        while begin < len(lengths):
            first = int(ends[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, first + _ROWS, "right")))
            yield lengths[begin:end], first
            begin = end

    def _describe(self) -> None:
        """Write the dictionary, with how many values are known and how many are true."""
        rows = []
        for level, table in TABLES.items():
            entries = {key: prop for key, prop in self._entries.items() if key.level == level}
            if not entries:
                continue
            # A row that stands for the pairs that are not listed is no pair.
            listed = " WHERE source IS NOT NULL" if level == "pair" else ""
            counted = ", ".join(
                f"count({name}), {f'count_if({name})' if prop.kind == 'boolean' else 'NULL'}"
                for name, prop in ((identifier(key.name), prop) for key, prop in entries.items())
            )
            counts = self._connection.execute(f"SELECT {counted} FROM {table}{listed}").fetchone()
            assert counts is not None
            for place, (key, prop) in enumerate(entries.items()):
                sources = self._sources.get(key, {})
                absent = "; or ".join(dict.fromkeys(said for _, said in sources.values())) or prop.absent
                self._entries[key] = replace(prop, absent=absent)
                rows.append((prop.name, level, prop.kind, prop.unit, prop.description, absent,
                             *_summary(sources), *counts[2 * place : 2 * place + 2]))  # fmt: skip
        self._connection.execute("DELETE FROM properties")
        self._connection.execute("DELETE FROM property_sources")
        self._connection.executemany(f"INSERT INTO properties VALUES ({', '.join('?' * 10)})", rows)
        listed_sources = [
            (key.name, key.level, source, sha256, absent)
            for key, sources in self._sources.items()
            for sha256, (source, absent) in sources.items()
        ]
        if listed_sources:
            columns = zip(
                ("name", "level", "source", "sha256", "absent"), zip(*listed_sources, strict=True), strict=True
            )
            with self._incoming(pa.table({name: pa.array(values, pa.string()) for name, values in columns})):
                self._connection.execute("INSERT INTO property_sources BY NAME FROM incoming")

    @contextmanager
    def _incoming(self, rows: pa.Table) -> Iterator[None]:
        self._connection.register("incoming", rows)
        try:
            yield
        finally:
            self._connection.unregister("incoming")


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _typed(prop: Property) -> str:
    return prop.kind + (f" in {prop.unit}" if prop.unit else "")


def _summary(sources: dict[str, tuple[str, str]]) -> tuple[str | None, str | None]:
    """One source for the dictionary; of several their number, and one digest of all of theirs."""
    import hashlib

    if len(sources) < 2:
        return next(((name, sha256) for sha256, (name, _) in sources.items()), (None, None))
    return f"{len(sources)} files", hashlib.sha256("".join(sorted(sources)).encode()).hexdigest()
