"""The dictionary of a catalog that is being written: its properties, and the sources of their values."""

import hashlib
import itertools
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import duckdb
import pyarrow as pa

from .builtin import CORE, KEYS, is_site, site_distance
from .connection import identifier
from .property import TABLES, Level, Property, Source
from .transaction import incoming

#: Separator of the definitions of a column whose values follow several; at most so many are listed.
_OR, _MORE, _DEFINITIONS = "; or ", "others", 4


class PropertyKey(NamedTuple):
    """The key of a property; names differ by more than case."""

    level: Level
    name: str


class Dictionary:
    """The properties of a catalog that is open for writing, with their sources.

    Parameters
    ----------
    connection : with the catalog's tables in its search path

    Attributes
    ----------
    entries : the properties, the catalog's own included
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._core = {PropertyKey(prop.level, prop.name) for prop in CORE}
        self.entries: dict[PropertyKey, Property] = {}
        #: By property and digest of the source: the source's name, and the meaning of absence.
        self._before: dict[PropertyKey, dict[str, tuple[str, str]]] = {}
        self._now: dict[PropertyKey, dict[str, tuple[str, str]]] = {}
        self._described: dict[PropertyKey, dict[str, None]] = {}
        for name, level, kind, unit, description, absent in connection.execute(
            "SELECT name, level, type, unit, description, absent FROM properties"
        ).fetchall():
            self.entries[PropertyKey(level, name)] = Property(name, level, kind, description, unit, absent)
        for name, level, source, sha256, absent in connection.execute("FROM property_sources").fetchall():
            self._before.setdefault(PropertyKey(level, name), {})[sha256] = (source, absent)
        for prop in CORE:
            self.entries.setdefault(PropertyKey(prop.level, prop.name), prop)

    def is_reserved(self, key: PropertyKey) -> bool:
        """Whether a name is that of a column of the catalog itself."""
        if key in self._core or key.name.lower() in KEYS[key.level]:
            return True
        sites = (prop.name for prop in self.entries.values() if is_site(prop))
        return key.level == "residue" and key.name.lower() in {site_distance(site).name.lower() for site in sites}

    def had_source(self, key: PropertyKey, source: Source) -> bool:
        """Whether the current catalog has values of a property from this source."""
        return source.sha256 in self._before.get(key, {})

    def add_source(self, key: PropertyKey, source: Source, prop: Property) -> None:
        """Record that values of a property are from this source, which defines it so."""
        self._now.setdefault(key, {})[source.sha256] = (source.name, prop.absent)
        self._described.setdefault(key, {})[prop.description] = None

    def withdraw_sources(self, key: PropertyKey) -> None:
        """Take back what was recorded of a property's sources."""
        self._now.pop(key, None)

    def remove(self, key: PropertyKey) -> None:
        """Remove a property."""
        for table in (self.entries, self._before, self._now, self._described):
            table.pop(key, None)

    def write(self, replaced: Collection[PropertyKey]) -> None:
        """Write the dictionary, with the number of known values and of true values.

        Parameters
        ----------
        replaced : properties of which no protein has values from before
        """
        rows = []
        all_sources = {key: self._sources(key, stays=key not in replaced) for key in self.entries}
        for level, table in TABLES.items():
            entries = {key: prop for key, prop in self.entries.items() if key.level == level}
            if not entries:
                continue
            # A row for the pairs that are not listed is not a pair.
            listed = " WHERE source IS NOT NULL" if level == "pair" else ""
            counted = ", ".join(
                f"count({name}), {f'count_if({name})' if prop.kind == 'boolean' else 'NULL'}"
                for name, prop in ((identifier(key.name), prop) for key, prop in entries.items())
            )
            counts = self._connection.execute(f"SELECT {counted} FROM {table}{listed}").fetchone()
            assert counts is not None
            for place, (key, prop) in enumerate(entries.items()):
                sources = all_sources[key]
                absent = "; or ".join(dict.fromkeys(said for _, said in sources.values())) or prop.absent
                description = self._description(key, stays=key not in replaced)
                self.entries[key] = replace(prop, absent=absent, description=description)
                rows.append((prop.name, level, prop.kind, prop.unit, description, absent,
                             *_summary(sources), *counts[2 * place : 2 * place + 2]))  # fmt: skip
        self._connection.execute("DELETE FROM properties")
        self._connection.execute("DELETE FROM property_sources")
        if rows:
            places = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))
            self._connection.execute(f"INSERT INTO properties VALUES {places}", [*itertools.chain(*rows)])
        listed_sources = [
            (key.name, key.level, source, sha256, absent)
            for key, sources in all_sources.items()
            for sha256, (source, absent) in sources.items()
        ]
        if listed_sources:
            columns = zip(
                ("name", "level", "source", "sha256", "absent"), zip(*listed_sources, strict=True), strict=True
            )
            with incoming(
                self._connection, pa.table({name: pa.array(values, pa.string()) for name, values in columns})
            ):
                self._connection.execute("INSERT INTO property_sources BY NAME FROM incoming")

    def _sources(self, key: PropertyKey, *, stays: bool) -> dict[str, tuple[str, str]]:
        """Name and meaning of absence by digest; existing sources stay while a protein has values from them."""
        return (self._before.get(key, {}) if stays else {}) | self._now.get(key, {})

    def _description(self, key: PropertyKey, *, stays: bool) -> str:
        """Every definition that values of the column follow, existing ones first."""
        said = self.entries[key].description.split(_OR) if stays else []
        said = list(dict.fromkeys([*said, *self._described.get(key, {})])) or [self.entries[key].description]
        more = [_MORE] if len(said) > _DEFINITIONS else []
        return _OR.join([*said[:_DEFINITIONS], *more])


def type_text(prop: Property) -> str:
    """The type of a property for messages, with its unit."""
    return prop.kind + (f" in {prop.unit}" if prop.unit else "")


def _summary(sources: dict[str, tuple[str, str]]) -> tuple[str | None, str | None]:
    """The source for the dictionary; for several, their number and one digest over their digests."""
    if len(sources) < 2:
        return next(((name, sha256) for sha256, (name, _) in sources.items()), (None, None))
    return f"{len(sources)} files", hashlib.sha256("".join(sorted(sources)).encode()).hexdigest()
