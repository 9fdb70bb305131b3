"""Columns of properties in a catalog that is being written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import SourceError
from .builtin import CB, GlycineCb, is_site, site_distance, site_distances
from .connection import identifier
from .dictionary import Dictionary, PropertyKey, type_text
from .pair_table import ROWS, lots, merge_pairs
from .property import SQL_TYPES, TABLES, Property, Source
from .transaction import incoming

_UNKNOWN, _BEFORE, _SEEN, _NOW, _MEASURED = range(5)


class Admitted(NamedTuple):
    """Proteins whose values are to be written, and proteins that have values from this source; bool [proteins]."""

    new: npt.NDArray[np.bool_]
    again: npt.NDArray[np.bool_]


class PropertyColumns:
    """The property columns of a catalog that is open for writing.

    A protein gets each of its properties from one source: the first that has it, or with `replace` the last.

    Parameters
    ----------
    connection : with the catalog's tables in its search path
    replace : whether new values replace existing ones

    Attributes
    ----------
    kept : for each property, how many proteins kept their existing values: from another source, or from the same one
        read with other options
    changed : whether any value was written, or a property dropped
    types : of properties that were kept because the new values have another type: the existing and the new type
    added : properties of which proteins got values
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, replace: bool) -> None:
        self._connection = connection
        self._replace = replace
        self._dictionary = Dictionary(connection)
        self._entries = self._dictionary.entries
        self._states: dict[PropertyKey, npt.NDArray[np.uint8]] = {}
        self._staged: dict[PropertyKey, str] = {}
        self._written: set[PropertyKey] = set()
        self.kept: Counter[PropertyKey] = Counter()
        self.types: dict[PropertyKey, tuple[str, str]] = {}
        self.added: set[PropertyKey] = set()

    @property
    def changed(self) -> bool:
        return bool(self._written)

    @property
    def names(self) -> set[str]:
        """Names of the existing properties, in lower case."""
        return {key.name.lower() for key in self._entries}

    def admit(
        self, prop: Property, source: Source, proteins: npt.NDArray[np.integer], *, measured: bool = False
    ) -> Admitted:
        """Return the proteins for which values of a property are to be written, and prepare its column.

        Parameters
        ----------
        prop : Property
        source : source of the values
        proteins : indices; if one occurs twice, the first counts
        measured : the values belong to the coordinates, and are dropped with them

        Raises
        ------
        SourceError
            If something else has the name, or the property was written with another type before.
        """
        key = PropertyKey(prop.level, prop.name)
        known = self._entries.get(key)
        stays = not self._dictionary.is_reserved(key) and not self._replace and key not in self._written
        if known is not None and stays and type_text(known) != type_text(prop):
            self.kept[key] += len(np.unique(proteins))
            self.types[key] = (type_text(known), type_text(prop))
            return Admitted(np.zeros(len(proteins), np.bool_), np.zeros(len(proteins), np.bool_))
        self._column(prop)
        states = self._state(key, int(proteins.max(initial=-1)) + 1)
        first = np.zeros(len(proteins), np.bool_)
        first[np.unique(proteins, return_index=True)[1]] = True
        before = first & (states[proteins] == _BEFORE)
        new: npt.NDArray[np.bool_] = first & (states[proteins] == _UNKNOWN)
        again = np.zeros_like(before)
        if self._replace:
            new |= before
            self._clear(key, proteins[before])
        elif self._dictionary.had_source(key, source):
            again = before
        else:
            self.kept[key] += int(before.sum())
        states[proteins[new]] = _MEASURED if measured else _NOW
        states[proteins[again]] = _SEEN
        if new.any():
            self._written.add(key)
            self.added.add(key)
            self._dictionary.add_source(key, source, prop)
        return Admitted(new, again)

    def put(self, prop: Property, rows: pa.Table) -> None:
        """Write values of admitted proteins.

        Parameters
        ----------
        prop : Property
        rows : a column `value` and keys: `protein_index`; or `row`, the index of the residue among all residues,
            increasing; or `protein_index`, `source` and `target`, NULL for the pairs that are not listed
        """
        key, name = PropertyKey(prop.level, prop.name), identifier(prop.name)
        for start in range(0, len(rows), ROWS):
            part = rows.slice(start, ROWS)
            if prop.level == "pair":
                with incoming(self._connection, part):
                    self._connection.execute(f"INSERT INTO {self._stage(key)} BY NAME FROM incoming")
                continue
            with incoming(self._connection, part):
                if prop.level == "protein":
                    where = "proteins.protein_index = incoming.protein_index"
                else:
                    ends = part["row"]
                    where = f"residues.rowid = incoming.row AND residues.rowid BETWEEN {ends[0]} AND {ends[-1]}"
                self._connection.execute(
                    f"UPDATE {TABLES[prop.level]} SET {name} = incoming.value FROM incoming WHERE {where}"
                )

    def forget_measured(self, proteins: npt.NDArray[np.integer]) -> None:
        """Undo admitted values that were measured on the coordinates of proteins that get other coordinates."""
        for key, states in self._states.items():
            there = proteins[proteins < len(states)]
            which = there[states[there] == _MEASURED]
            self._clear(key, which)
            states[which] = _UNKNOWN

    def glycine_cb(self, asked: GlycineCb | None) -> GlycineCb:
        """Decide which atom is used for glycine's Cβ in the catalog, and describe the columns accordingly.

        Parameters
        ----------
        asked : None for the catalog's choice, or 'virtual' if it has no coordinates yet

        Raises
        ------
        SourceError
            If the catalog has coordinates with another choice.
        """
        keys = {axis: PropertyKey("residue", f"cb_{axis}") for axis in "xyz"}
        stored: GlycineCb = "ca" if self._entries[keys["x"]].description == f"x of {CB['ca']}" else "virtual"
        if asked is None or asked == stored:
            return stored
        if self._connection.execute("SELECT 1 FROM residues WHERE cb_x IS NOT NULL LIMIT 1").fetchall():
            raise SourceError(
                f"the store's coordinates are of glycine_cb={stored!r}: leave glycine_cb={asked!r} out, or ingest into "
                "another store."
            )
        for axis, key in keys.items():
            self._entries[key] = replace(self._entries[key], description=f"{axis} of {CB[asked]}")
        return asked

    def compare(self, prop: Property, rows: pa.Table) -> None:
        """Count proteins with other existing values as kept; parameters as those of :meth:`put`."""
        name, table = identifier(prop.name), TABLES[prop.level]
        # Pairs may be listed for other properties, too: only the row for pairs that are not listed is counted.
        counted = " AND source IS NULL" if prop.level == "pair" else ""
        if prop.level == "residue":
            same, owner = "t.rowid = i.row", "t.protein_index"
        else:
            keys = ("protein_index",) if prop.level == "protein" else ("protein_index", "source", "target")
            same = " AND ".join(f"coalesce(t.{key}, -1) = coalesce(i.{key}, -1)" for key in keys)
            owner = "i.protein_index"
        given: Counter[int] = Counter()
        others: set[int] = set()
        for start in range(0, len(rows), ROWS):
            with incoming(self._connection, rows.slice(start, ROWS)):
                found = self._connection.execute(
                    f"SELECT {owner} AS p, bool_or(t.{name} IS DISTINCT FROM i.value), "
                    f"count_if(i.value IS NOT NULL{counted.replace('source', 'i.source')}) "
                    f"FROM incoming i LEFT JOIN {table} t ON {same} GROUP BY p"
                ).fetchall()
            given.update({protein: count for protein, _, count in found})
            others |= {protein for protein, differs, _ in found if differs}
        stored = self._connection.execute(
            f"SELECT protein_index, count_if({name} IS NOT NULL{counted}) FROM {table} GROUP BY protein_index"
        ).fetchall()
        others |= {protein for protein, count in stored if protein in given and count != given[protein]}
        self.kept[PropertyKey(prop.level, prop.name)] += len(others)

    def withdraw(self, key: PropertyKey) -> None:
        """Undo the values written for a property if none replaced others, so that it is as before."""
        if key not in self._states:
            return
        states = self._states[key]
        new = np.flatnonzero(np.isin(states, (_NOW, _MEASURED)))
        if key in self._staged:
            self._connection.execute(f"DROP TABLE {self._staged.pop(key)}")
        else:
            self._clear(key, new)
        states[new] = _UNKNOWN
        self._dictionary.withdraw_sources(key)
        self._written.discard(key)
        self.added.discard(key)

    def drop(self, name: str) -> None:
        """Drop a property from every level that has it.

        Raises
        ------
        SourceError
            If no property has the name, or the catalog requires it.
        """
        keys = [key for key in self._entries if key.name == name and not self._dictionary.is_reserved(key)]
        if not keys:
            own = any(key.name == name for key in self._entries)
            reason = "is the catalog's own" if own else "is not in the store"
            raise SourceError(f"the property {name} {reason}: `store.properties()` lists those that can be dropped.")
        for key in keys:
            self._forget(key)
            self._written.add(key)

    def finish(self, first_rows: Sequence[int], *, structures: bool) -> None:
        """Complete pairs, distances to sites and the dictionary.

        Parameters
        ----------
        first_rows : index of each protein's first residue among all residues, and the end of the last
        structures : whether proteins got coordinates
        """
        if any(key.level == "pair" for key in self._written):
            staged = {key.name: table for key, table in self._staged.items()}
            merge_pairs(self._connection, staged, [name for level, name in self._entries if level == "pair"])
        for key, prop in list(self._entries.items()):
            if is_site(prop) and (structures or key in self._written):
                self._measure(prop, np.asarray(first_rows, np.int64))
        self._dictionary.write([key for key in self._states if not self._stays(key)])

    def _column(self, prop: Property) -> None:
        """Make the column of a property if it does not exist, or has another type and is to be replaced."""
        key = PropertyKey(prop.level, prop.name)
        known = self._entries.get(key)
        if self._dictionary.is_reserved(key):
            raise SourceError(
                f"{prop.name} is a column of the catalog itself: give the property another name, as "
                f"columns={{{prop.name!r}: {f'{prop.name}_2'!r}}}."
            )
        namesake = next((other for other in self._entries if other.level == key.level
                         and other.name.lower() == key.name.lower() and other != key), None)  # fmt: skip
        if namesake is not None:
            raise SourceError(f"the property {prop.name} differs from {namesake.name} by case alone: rename it.")
        if known is not None and (known.kind, known.unit) != (prop.kind, prop.unit):
            if key in self._written:
                raise SourceError(
                    f"the property {prop.name} is given as {type_text(known)} and as {type_text(prop)}: say what it is "
                    f"(kinds={{{prop.name!r}: {prop.kind!r}}}, units=…), or give one of them another name."
                )
            self._forget(key)
            known = None
        if known is None:
            self._check_distance(prop)
            self._connection.execute(
                f"ALTER TABLE {TABLES[prop.level]} ADD COLUMN {identifier(prop.name)} {SQL_TYPES[prop.kind]}"
            )
            self._entries[key] = prop

    def _check_distance(self, prop: Property) -> None:
        """Refuse a site if another property already has the name of the distance to it."""
        if is_site(prop):
            name = site_distance(prop.name).name
            taken = next((key.name for key in self._entries if key.level == "residue"
                          and key.name.lower() == name.lower()), None)  # fmt: skip
            if taken is not None:
                raise SourceError(
                    f"the distance to {prop.name} is to be called {name}, and the store has a property {taken}: "
                    f"drop={[taken]!r} takes that off, or give one of them another name."
                )

    def _forget(self, key: PropertyKey) -> None:
        names = [key.name]
        if is_site(self._entries[key]) and PropertyKey("residue", site_distance(key.name).name) in self._entries:
            names.append(site_distance(key.name).name)
        for name in names:
            self._connection.execute(f"ALTER TABLE {TABLES[key.level]} DROP COLUMN {identifier(name)}")
            self._dictionary.remove(PropertyKey(key.level, name))
            self._states.pop(PropertyKey(key.level, name), None)

    def _state(self, key: PropertyKey, size: int) -> npt.NDArray[np.uint8]:
        """For each protein, whether its value is unknown, existing, equal to the new one, new, or newly measured."""
        states = self._states.get(key)
        if states is None:
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

    def _clear(self, key: PropertyKey, proteins: npt.NDArray[np.integer]) -> None:
        if not len(proteins):
            return
        with incoming(self._connection, pa.table({"protein_index": pa.array(proteins, pa.int32())})):
            self._connection.execute(
                f"UPDATE {TABLES[key.level]} SET {identifier(key.name)} = NULL "
                "WHERE protein_index IN (SELECT protein_index FROM incoming)"
            )

    def _stage(self, key: PropertyKey) -> str:
        if key not in self._staged:
            self._staged[key] = f"staged_{len(self._entries)}_{len(self._staged)}"
            kind = SQL_TYPES[self._entries[key].kind]
            self._connection.execute(
                f"CREATE TEMP TABLE {self._staged[key]} "
                f"(protein_index INTEGER, source INTEGER, target INTEGER, value {kind})"
            )
        return self._staged[key]

    def _measure(self, site: Property, first_rows: npt.NDArray[np.int64]) -> None:
        """Compute the distance to the nearest residue of each site, for every protein."""
        prop = site_distance(site.name)
        key = PropertyKey(prop.level, prop.name)
        if key not in self._entries:
            if not self._connection.execute("SELECT 1 FROM residues WHERE cb_x IS NOT NULL LIMIT 1").fetchall():
                return
            self._connection.execute(f"ALTER TABLE residues ADD COLUMN {identifier(prop.name)} DOUBLE")
            self._entries[key] = prop
        lengths = np.diff(first_rows)
        for begin, end in lots(lengths, ROWS):
            first, after = first_rows[begin], first_rows[end]
            found = self._connection.sql(
                f"SELECT cb_x, cb_y, cb_z, coalesce({identifier(site.name)}, false) AS site FROM residues "
                f"WHERE rowid BETWEEN {first} AND {after - 1} ORDER BY rowid"
            ).to_arrow_table()
            cb = np.stack([found[f"cb_{axis}"].to_numpy() for axis in "xyz"], axis=1).astype(np.float32)
            distances = site_distances(lengths[begin:end].tolist(), cb, found["site"].to_numpy())
            rows = pa.array(np.arange(first, after))
            self.put(prop, pa.table({"row": rows, "value": pa.array(distances, pa.float64(), from_pandas=True)}))

    def _stays(self, key: PropertyKey) -> bool:
        """Whether a protein's value may be an existing one."""
        return bool(np.isin(self._states[key], (_BEFORE, _SEEN)).any())
