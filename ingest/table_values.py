"""From a table to values of properties: which columns they are, and of which proteins, residues or pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError, first_line
from ..properties import ARROW_TYPES, NEGATIVE, NOT_GIVEN, Kind, Level, Property
from .matching import Proteins
from .sources.tables import IDS

if TYPE_CHECKING:
    from .table_rows import Rows

Numbering = Literal["0", "1", "author"]
NUMBERINGS: tuple[Numbering, ...] = ("0", "1", "author")


@dataclass(frozen=True)
class TableOptions:
    """What a user may say of a table.

    Attributes
    ----------
    on
        Its key columns: the protein's id; for residues, the position too; for pairs, source and target. By default `id`
        or `protein`, and `pos`, or `source` and `target`, if the table has them.
    columns
        Those to take, and the property that each becomes; by default all but the keys and `aa`, which is compared
        with the store.
    kinds, units, descriptions
        By property; a kind is told by the values otherwise.
    numbering
        Of positions: from '0', from '1', or 'author' as the structure has them, any insertion code after the number.
    absent
        What it means that a protein of the table has no row for a residue or pair: 'null', that nothing is known, or
        'false', for booleans.
    symmetric
        Pairs hold in both directions.
    """

    on: Sequence[str] | None = None
    columns: Mapping[str, str] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    numbering: Numbering = "0"
    absent: Literal["null", "false"] = "null"
    symmetric: bool = False


@dataclass(frozen=True)
class Keys:
    """Which of a table's columns say what a row is of."""

    protein: str
    level: Level
    places: tuple[str, ...]


def keys_of(table: pa.Table, options: TableOptions, place: str) -> Keys:
    """Find the key columns.

    Raises
    ------
    SourceError
        There is none for the protein's id, a named one is not there, or two columns have one name.
    """
    names = table.column_names
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SourceError(f"{place} has two columns {twice!r}; rename one of them.")
    if options.on is not None:
        missing = next((name for name in options.on if name not in names), None)
        if missing is not None or not 1 <= len(options.on) <= 3:
            what = f"no column {missing!r}" if missing else "no such keys"
            raise SourceError(
                f"{place} has {what}: name its columns of the protein's id, and of pos, or source and target, as "
                f"on=['ID', 'POS'] (it has {', '.join(names)})."
            )
        levels: tuple[Level, ...] = ("protein", "residue", "pair")
        return Keys(options.on[0], levels[len(options.on) - 1], tuple(options.on[1:]))
    protein = next((name for name in IDS if name in names), None)
    if protein is None:
        raise SourceError(
            f"{place} has no column id or protein: name the one that holds ids, and the others, as on=['ID', 'POS']."
        )
    if {"source", "target"} <= {*names}:
        return Keys(protein, "pair", ("source", "target"))
    return Keys(protein, "residue", ("pos",)) if "pos" in names else Keys(protein, "protein", ())


def properties_of(table: pa.Table, keys: Keys, options: TableOptions, place: str) -> dict[str, Property]:
    """The property that each column becomes.

    Raises
    ------
    SourceError
        There is no column left, a named one is not there, two are to get one name, or one holds values of no known
        type.
    """
    own = {keys.protein, *keys.places, *(("aa",) if keys.level == "residue" else ())}
    chosen = options.columns
    if chosen is None:
        chosen = {name: name for name in table.column_names if name not in own}
    missing = next((name for name in chosen if name not in table.column_names), None)
    if missing is not None or not chosen:
        what = f"no column {missing!r}" if missing else "no column beside its keys"
        raise SourceError(f"{place} has {what}: it has {', '.join(table.column_names)}.")
    twice = next((name for name, count in Counter(chosen.values()).items() if count > 1), None)
    if twice is not None:
        raise SourceError(f"two columns of {place} are to become {twice}; give each a name of its own.")
    for said in (options.kinds, options.units, options.descriptions):
        other = next((name for name in said if name not in chosen.values()), None)
        if other is not None:
            raise SourceError(f"{place} gives no property {other!r}: it gives {', '.join(chosen.values())}.")
    return {
        column: Property(
            name, keys.level, options.kinds.get(name) or _kind(table[column].type, f"{place}: column {column!r}"),
            options.descriptions.get(name, f"column {column} of {place}"), options.units.get(name),
            NOT_GIVEN,
        )
        for column, name in chosen.items()
    }  # fmt: skip


def _kind(kind: pa.DataType, where: str) -> Kind:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "category"
    what = "no value" if pa.types.is_null(kind) else f"values of type {kind}"
    cure = " (kinds={'NAME': 'category'} takes times as text)" if pa.types.is_temporal(kind) else ""
    raise SourceError(f"{where} holds {what}; booleans, numbers and text can become a property{cure}.")


def plain(table: pa.Table) -> pa.Table:
    """The table with text in the one type that Arrow can do everything with."""
    views = [number for number, field in enumerate(table.schema) if pa.types.is_string_view(field.type)]
    for number in views:
        table = table.set_column(number, table.column_names[number], table.column(number).cast(pa.string()))
    return table


def values_of(table: pa.Table, column: str, prop: Property, rows: Rows, place: str) -> pa.Array:
    """Values of one column, in the property's type, for the kept rows; NaN is NULL.

    Raises
    ------
    SourceError
        A value is not of the kind that was asked for.
    """
    chosen = table[column].take(pa.array(rows.kept)).combine_chunks()
    if pa.types.is_dictionary(chosen.type):
        chosen = chosen.cast(chosen.type.value_type)
    kind = ARROW_TYPES[prop.kind]
    try:
        if prop.kind == "boolean" and not pa.types.is_boolean(chosen.type):
            if pa.types.is_integer(chosen.type) or pa.types.is_floating(chosen.type):
                other = pc.invert(pc.is_in(chosen, pa.array([0, 1, None], chosen.type)))
                if pc.any(other).as_py():
                    raise pa.ArrowInvalid(f"{chosen.filter(other)[0]} is neither 0 nor 1")
            else:
                chosen = pc.utf8_lower(chosen.cast(pa.string()))
        values = chosen.cast(kind)
    except pa.ArrowException as error:
        raise SourceError(f"{place}: column {column!r} cannot be read as {prop.kind}: {first_line(error)}.") from error
    if prop.kind == "float":
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
    return values


def _mirrored(
    prop: Property,
    protein: npt.NDArray[np.int64],
    places: Sequence[npt.NDArray[np.int64]],
    values: pa.Array,
    proteins: Proteins,
) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]], pa.Array]:
    """Pairs, and the same the other way round; raises SourceError where both are given and differ."""
    source, target = np.concatenate(places), np.concatenate(places[::-1])
    protein, values = np.tile(protein, 2), pa.concat_arrays([values, values])
    order = np.lexsort((target, source, protein))
    protein, source, target = protein[order], source[order], target[order]
    values = values.take(pa.array(order))
    same = (protein[1:] == protein[:-1]) & (source[1:] == source[:-1]) & (target[1:] == target[:-1])
    differing = np.flatnonzero(same & pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False))
    if len(differing):
        at = int(differing[0])
        raise SourceError(
            f"{prop.name} of residues {source[at]} and {target[at]} (from 0) of {proteins.id(int(protein[at]))} is "
            f"{values[at]} in one direction and {values[at + 1]} in the other: correct one, or leave out "
            "symmetric=True."
        )
    once = np.append(True, ~same)[: len(order)]
    return protein[once], [source[once], target[once]], values.filter(pa.array(once))


def property_rows(
    prop: Property, rows: Rows, values: pa.Array, options: TableOptions, proteins: Proteins
) -> tuple[Property, pa.Table]:
    """The property as it is recorded, and its rows as `CatalogWriter.annotate_rows` takes them.

    Raises
    ------
    SourceError
        Pairs hold in both directions, and a value differs between them.
    """
    protein, places = rows.protein, list(rows.places)
    known = values.is_valid().to_numpy(zero_copy_only=False)
    protein, places = protein[known], [place[known] for place in places]
    values = values.filter(pa.array(known))
    negative = options.absent == "false" and prop.kind == "boolean" and prop.level != "protein"
    if negative:
        prop = replace(prop, absent=NEGATIVE)
    if prop.level == "pair" and options.symmetric:
        protein, places, values = _mirrored(prop, protein, places, values, proteins)
    mentioned = np.unique(rows.protein)
    if negative and prop.level == "residue":
        lengths = proteins.lengths[mentioned]
        ends = np.cumsum(lengths)
        flags = np.zeros(int(ends[-1]), np.bool_)
        unknown = np.zeros(len(flags), np.bool_)
        begin = np.zeros(int(mentioned[-1]) + 1, np.int64)
        begin[mentioned] = ends - lengths
        flags[begin[protein] + places[0]] = values.to_numpy(zero_copy_only=False)
        unknown[begin[rows.protein[~known]] + rows.places[0][~known]] = True
        protein = np.repeat(mentioned, lengths)
        places = [np.arange(len(flags)) - np.repeat(ends - lengths, lengths)]
        return prop, pa.table({"protein_index": protein, "pos": places[0], "value": pa.array(flags, mask=unknown)})
    columns: dict[str, Any] = {"protein_index": protein, "value": values}
    order = np.lexsort((*places[::-1], protein))
    columns |= dict(zip(("pos",) if prop.level == "residue" else ("source", "target"), places, strict=False))
    table = pa.table(columns).take(pa.array(order))
    if negative:
        nowhere = pa.nulls(len(mentioned), pa.int64())
        rest = {"protein_index": mentioned, "value": pa.array(np.zeros(len(mentioned), np.bool_))}
        others = pa.table({**rest, "source": nowhere, "target": nowhere})
        table = pa.concat_tables([table, others.select(table.column_names)])
    return prop, table
