"""From a table to values of properties: which columns they are, and of which proteins, residues or pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError, first_line
from ..properties import ARROW_TYPES, NEGATIVE, NOT_GIVEN, Kind, Level, Property
from .matching import Proteins

Numbering = Literal["0", "1", "author"]
NUMBERINGS: tuple[Numbering, ...] = ("0", "1", "author")

_IDS = ("id", "protein")


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


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table that are of proteins in the store.

    Attributes
    ----------
    kept : int64, which rows
    protein : int64, index of the protein of each
    places : for residues, pos; for pairs, source and target; int64, from 0
    ids : how many are of a protein in the store
    passed_over : those that are of none
    """

    kept: npt.NDArray[np.int64]
    protein: npt.NDArray[np.int64]
    places: tuple[npt.NDArray[np.int64], ...]
    ids: int
    passed_over: list[str]


def keys_of(table: pa.Table, options: TableOptions, place: str) -> Keys:
    """Find the key columns.

    Raises
    ------
    SourceError
        There is none for the protein's id, or a named one is not there.
    """
    names = table.column_names
    if options.on is not None:
        missing = next((name for name in options.on if name not in names), None)
        if missing is not None or not 1 <= len(options.on) <= 3:
            what = f"no column {missing!r}" if missing else "no such keys"
            raise SourceError(
                f"{place} has {what}: name with --on its columns of the protein's id, and of pos, or source and target "
                f"(it has {', '.join(names)})."
            )
        levels: tuple[Level, ...] = ("protein", "residue", "pair")
        return Keys(options.on[0], levels[len(options.on) - 1], tuple(options.on[1:]))
    protein = next((name for name in _IDS if name in names), None)
    if protein is None:
        raise SourceError(
            f"{place} has no column id or protein: name the one that holds ids, and the others, with --on."
        )
    if {"source", "target"} <= {*names}:
        return Keys(protein, "pair", ("source", "target"))
    return Keys(protein, "residue", ("pos",)) if "pos" in names else Keys(protein, "protein", ())


def properties_of(table: pa.Table, keys: Keys, options: TableOptions, place: str) -> dict[str, Property]:
    """The property that each column becomes.

    Raises
    ------
    SourceError
        There is no column left, a named one is not there, or one holds values of no known type.
    """
    own = {keys.protein, *keys.places, *(("aa",) if keys.level == "residue" else ())}
    chosen = options.columns
    if chosen is None:
        chosen = {name: name for name in table.column_names if name not in own}
    missing = next((name for name in chosen if name not in table.column_names), None)
    if missing is not None or not chosen:
        what = f"no column {missing!r}" if missing else "no column beside its keys"
        raise SourceError(f"{place} has {what}: it has {', '.join(table.column_names)}.")
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
    raise SourceError(f"{where} holds {what}; booleans, numbers and text can become a property.")


def rows_of(table: pa.Table, keys: Keys, proteins: Proteins, numbering: Numbering, place: str) -> Rows:
    """Find the proteins, and the residues in them, that a table's rows are of.

    Of several ids of one protein, as chains of equal sequence are, the first in the table counts.

    Raises
    ------
    SourceError
        No row is of a protein in the store, a key is missing or given twice, or a position is not in its protein.
    """
    ids = _dictionary(
        _text(table[keys.protein], f"{place}: column {keys.protein!r}"), f"{place}: column {keys.protein!r}"
    )
    names: list[str] = ids.dictionary.to_pylist()
    of = np.array([-1 if (found := proteins.ids.find(name)) is None else found for name in names], np.int64)
    code = ids.indices.to_numpy().astype(np.int64)
    passed_over = [name for name, protein in zip(names, of.tolist(), strict=True) if protein < 0]
    if not (of >= 0).any():
        raise SourceError(
            f"{place} is of no protein in the store ({names[0]!r} is not there): check the ids, or name their column "
            "with --on." if names else f"{place} has no rows; give a table that has some."
        )  # fmt: skip
    # Codes are in the order in which ids appear.
    first = np.full(int(of.max()) + 1, -1, np.int64)
    first[of[::-1]] = np.arange(len(of))[::-1]
    first_code = np.where(of >= 0, first[of], -1) == np.arange(len(of))
    kept = np.flatnonzero(first_code[code] & (of[code] >= 0))
    protein = of[code[kept]]
    chosen = table.take(pa.array(kept))
    if numbering == "author" and keys.places:
        places = tuple(
            _by_author(chosen[column], protein, kept, names, code, proteins, f"{place}: column {column!r}")
            for column in keys.places
        )
    else:
        shift = 1 if numbering == "1" else 0
        places = tuple(_integers(chosen[column], f"{place}: column {column!r}") - shift for column in keys.places)
        _check_places(places, protein, kept, names, code, proteins, shift, place)
    _check_repetitions(protein, places, kept, names, code, place)
    return Rows(kept, protein, places, len(names) - len(passed_over), passed_over)


def _text(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise SourceError(f"{where} holds no text ({first_line(error)}); give ids there.") from error


def _dictionary(column: pa.ChunkedArray, where: str) -> pa.DictionaryArray:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise SourceError(f"{where} has no value in row {row + 1}; fill it in, or remove the row.")
    return pc.dictionary_encode(column.combine_chunks())


def _integers(column: pa.ChunkedArray, where: str) -> npt.NDArray[np.int64]:
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowException as error:
        raise SourceError(f"{where} holds no whole numbers ({first_line(error)}); give positions there.") from error
    if whole.null_count:
        row = int(np.flatnonzero(whole.is_null().to_numpy())[0])
        raise SourceError(f"{where} has no value in row {row + 1}; fill it in, or remove the row.")
    return np.asarray(whole.to_numpy(), np.int64)


def _check_places(
    places: Sequence[npt.NDArray[np.int64]],
    protein: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    names: Sequence[str],
    code: npt.NDArray[np.int64],
    proteins: Proteins,
    shift: int,
    place: str,
) -> None:
    lengths = proteins.lengths[protein]
    for values in places:
        outside = np.flatnonzero((values < 0) | (values >= lengths))
        if len(outside):
            row = outside[0]
            raise SourceError(
                f"{place}, row {kept[row] + 1}: {names[code[kept[row]]]} has no residue {values[row] + shift}; it has "
                f"{lengths[row]}, counted from {shift} (--numbering says how positions are counted)."
            )


def _by_author(
    column: pa.ChunkedArray,
    protein: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    names: Sequence[str],
    code: npt.NDArray[np.int64],
    proteins: Proteins,
    where: str,
) -> npt.NDArray[np.int64]:
    """Positions of residues by the number, and any insertion code, that the structure's authors gave them."""
    incoming = pa.table({  # noqa: F841 - DuckDB finds it by its name
        "row": np.arange(len(protein)), "protein_index": protein, "author": _text(column, where).combine_chunks(),
    })  # fmt: skip
    found = proteins.connection.sql(
        "SELECT i.row, any_value(r.pos) AS pos, count(r.pos) AS n FROM incoming i LEFT JOIN residues r "
        "ON r.protein_index = i.protein_index AND r.author_number || coalesce(r.insertion_code, '') = trim(i.author) "
        "GROUP BY i.row ORDER BY i.row"
    ).fetchnumpy()
    wrong = np.flatnonzero(np.asarray(found["n"]) != 1)
    if len(wrong):
        row = int(wrong[0])
        number = column[row].as_py()
        count = "no residue" if found["n"][row] == 0 else "several residues"
        raise SourceError(
            f"{where}, row {kept[row] + 1}: {names[code[kept[row]]]} has {count} numbered {number} in the store; give "
            "positions in the sequence instead (--numbering 0 or 1)."
        )
    return np.asarray(np.ma.getdata(found["pos"]), np.int64)


def _check_repetitions(
    protein: npt.NDArray[np.int64],
    places: Sequence[npt.NDArray[np.int64]],
    kept: npt.NDArray[np.int64],
    names: Sequence[str],
    code: npt.NDArray[np.int64],
    place: str,
) -> None:
    columns = (*places[::-1], protein)
    order = np.lexsort(columns)
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    if same.any():
        row = int(kept[order[1:][same].min()])
        raise SourceError(
            f"{place}, row {row + 1}: {names[code[row]]} is given a second time there; keep one row for each."
        )


def check_letters(table: pa.Table, rows: Rows, proteins: Proteins, place: str) -> None:
    """Compare the column `aa` of a table of residues with the store.

    Raises
    ------
    SourceError
        A residue is another amino acid there.
    """
    given = _text(table["aa"].take(pa.array(rows.kept)), f"{place}: column 'aa'").to_pylist()
    sequences: dict[int, str] = {}
    of = zip(rows.kept.tolist(), rows.protein.tolist(), rows.places[0].tolist(), given, strict=True)
    for row, protein, pos, letter in of:
        if protein not in sequences:
            sequences[protein] = proteins.sequence(protein)
        stored = sequences[protein][pos]
        if letter != stored:
            raise SourceError(
                f"{place}, row {row + 1}: the residue is {letter} there and {stored} in the store; check --numbering "
                "and the ids, or leave the column aa out."
            )


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
                chosen = pc.utf8_lower(chosen)
        values = chosen.cast(kind)
    except pa.ArrowException as error:
        raise SourceError(f"{place}: column {column!r} cannot be read as {prop.kind}: {first_line(error)}.") from error
    if prop.kind == "float":
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
    return values


def property_rows(
    prop: Property, rows: Rows, values: pa.Array, options: TableOptions, proteins: Proteins
) -> tuple[Property, pa.Table]:
    """The property as it is recorded, and its rows as `CatalogWriter.annotate_rows` takes them."""
    protein, places = rows.protein, list(rows.places)
    known = values.is_valid().to_numpy(zero_copy_only=False)
    protein, places = protein[known], [place[known] for place in places]
    values = values.filter(pa.array(known))
    negative = options.absent == "false" and prop.kind == "boolean" and prop.level != "protein"
    if negative:
        prop = Property(prop.name, prop.level, prop.kind, prop.description, prop.unit, NEGATIVE)
    if prop.level == "pair" and options.symmetric:
        protein, values = np.tile(protein, 2), pa.concat_arrays([values, values])
        places = [np.concatenate(places), np.concatenate(places[::-1])]
        once = np.unique(np.stack([protein, *places]), axis=1, return_index=True)[1]
        protein, places, values = protein[once], [place[once] for place in places], values.take(pa.array(once))
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
