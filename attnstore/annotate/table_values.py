"""Conversion of a table's columns to values of properties."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..catalog.property import ARROW_TYPES, NEGATIVE, NOT_GIVEN, Kind, Level, Property, is_name, legal_name
from ..errors import SourceError, first_line
from ..readers.tables import Table
from .matching import Proteins
from .table_keys import Keys, TableOptions, letters_of

if TYPE_CHECKING:
    from .table_rows import Rows


def chosen_columns(table: Table, keys: Keys, options: TableOptions) -> dict[str, str]:
    """The columns that become properties, and the name of each property.

    Raises
    ------
    SourceError
        No column is left, a named one does not exist, two would get the same name, a name cannot be that of a
        property, or an option names a property that the table does not provide.
    """
    names, place = table.columns, table.place
    own = {keys.protein, *keys.places, *([letters_of(table)] if keys.level == "residue" else ())}
    chosen = options.columns
    if chosen is None:
        chosen = {name: name for name in names if name not in own}
    missing = next((name for name in chosen if name not in names), None)
    if missing is not None or not chosen:
        what = f"no column {missing!r}" if missing is not None else "no column other than its keys"
        raise SourceError(f"{place} has {what}: it has {table.described}.")
    _check_names(place, chosen)
    twice = next((name for name, count in Counter(chosen.values()).items() if count > 1), None)
    if twice is not None:
        raise SourceError(f"two columns of {place} are to become {twice}; give each a name of its own.")
    for said in (options.kinds, options.units, options.descriptions):
        other = next((name for name in said if name not in chosen.values()), None)
        if other is not None:
            raise SourceError(f"{place} gives no property {other!r}: it gives {', '.join(chosen.values())}.")
    return dict(chosen)


#: Number of columns that a message lists.
_FEW = 12


def _check_names(place: str, chosen: Mapping[str, str]) -> None:
    """Raise SourceError if a column's name cannot be that of a property, with a valid name for each."""
    illegal = [column for column, name in chosen.items() if not is_name(name)]
    if not illegal:
        return
    taken = {name.lower() for name in chosen.values()}
    legal = dict(chosen)
    for column in illegal:
        word = legal_name(chosen[column])
        words = itertools.chain([word], (f"{word[:60]}_{number}" for number in itertools.count(2)))
        legal[column] = next(other for other in words if other.lower() not in taken)
        taken.add(legal[column].lower())
    shown = legal if len(legal) <= _FEW else {column: legal[column] for column in illegal[:_FEW]}
    raise SourceError(
        f"{place}: column {illegal[0]!r} cannot give a property its name, which has letters, digits and underscores "
        f"(63 at most) and begins with no digit: say columns={shown!r}."
    )


def properties_of(table: Table, chosen: Mapping[str, str], level: Level, options: TableOptions) -> dict[str, Property]:
    """The property of each column; a column without any value is left out, with a warning.

    Raises
    ------
    SourceError
        A column has values of an unknown type, or no column has a value.
    """
    empty = [column for column in chosen if pa.types.is_null(table.content[column].type)]
    if empty:
        listed = ", ".join(map(repr, empty))
        if len(empty) == len(chosen):
            raise SourceError(f"{table.place} has no value in {listed}: fill it in, or name other columns.")
        warnings.warn(f"{table.place} has no value in {listed}, which is left out.", stacklevel=2)
    return {
        column: Property(
            name, level,
            options.kinds.get(name) or _kind(table.content[column].type, f"{table.place}: column {column!r}", name),
            options.descriptions.get(name, f"column {column} of {table.place}"), options.units.get(name),
            NOT_GIVEN,
        )
        for column, name in chosen.items() if column not in empty
    }  # fmt: skip


def _kind(kind: pa.DataType, where: str, name: str) -> Kind:
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
    cure = f" (kinds={{{name!r}: 'category'}} takes times as text)" if pa.types.is_temporal(kind) else ""
    raise SourceError(f"{where} holds values of type {kind}; booleans, numbers and text can become a property{cure}.")


def plain(table: Table) -> Table:
    """The table with text in the type that supports all functions of Arrow, and names without surrounding spaces."""
    content = table.content.rename_columns([str(name).strip() for name in table.content.column_names])
    for number, one in enumerate(content.schema):
        kind = one.type.value_type if pa.types.is_dictionary(one.type) else one.type
        if kind != one.type or pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
            text = pa.types.is_string_view(kind) or pa.types.is_large_string(kind)
            column = content.column(number)
            column = column.cast(kind) if kind != one.type else column
            content = content.set_column(number, one.name, column.cast(pa.string()) if text else column)
    return replace(table, content=content)


def values_of(table: Table, column: str, prop: Property, rows: Rows) -> pa.Array:
    """Values of one column, in the property's type, for the kept rows; NaN is NULL.

    Raises
    ------
    SourceError
        A value does not have the requested kind.
    """
    chosen = table.content[column].take(pa.array(rows.kept)).combine_chunks()
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
        raise SourceError(
            f"{_at_fault(table, column, chosen, kind, rows)}: column {column!r} cannot be read as {prop.kind} "
            f"({first_line(error)}); name another kind, as kinds={{{prop.name!r}: 'category'}}."
        ) from error
    if prop.kind == "float":
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
    return values


def _at_fault(table: Table, column: str, values: pa.Array, kind: pa.DataType, rows: Rows) -> str:
    """The location of the first value that cannot be cast."""
    for row, value in zip(rows.kept.tolist(), values, strict=True):
        try:
            pa.array([value.as_py()], values.type).cast(kind)
        except pa.ArrowException:
            return table.at(row)
    return table.place


def _mirrored(
    prop: Property,
    protein: npt.NDArray[np.int64],
    places: Sequence[npt.NDArray[np.int64]],
    values: pa.Array,
    proteins: Proteins,
) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]], pa.Array]:
    """Pairs in both directions; raises SourceError if both are given and differ."""
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
