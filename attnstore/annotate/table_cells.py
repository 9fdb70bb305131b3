"""Conversion of text cells to numbers, booleans and text; each change of meaning is reported."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..catalog.property import Kind
from ..errors import SourceError
from ..readers.tables import Table

Decimal = Literal[".", ","]
DECIMALS: tuple[Decimal, ...] = (".", ",")

#: Cells that mean a missing value in a column of numbers or booleans, in any case: those of R, pandas, Excel, SQL,
#: Python, and of tables in bioinformatics, where a minus or a point are common.
MISSING = ("", "na", "n/a", "#n/a", "<na>", "null", "none", "nan", "-", ".")
#: The ones among them that may be values in a column of text.
_TEXTS = ("-", ".")

_INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?$"
_DECIMAL_COMMA = r"^[+-]?(\d+|\d*,\d+)([eE][+-]?\d+)?$"
#: Numbers with a comma that may be a decimal comma or separate thousands.
_EITHER = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2}((,\d{3})+(\.\d*)?|(\.\d{3}){2,}|(\.\d{3})+,\d*|([ '’]\d{3})+)$"


def convert_cells(
    table: Table,
    columns: Iterable[str],
    kinds: Mapping[str, Kind],
    missing: Collection[str],
    decimal: Decimal | None,
) -> Table:
    """Convert columns of text to numbers or booleans, where all their cells are numbers or booleans, or missing.

    Each warning is given once: how many cells are read as missing, and which columns of numbers a few cells make text.

    Parameters
    ----------
    table : Table
    columns : names of the columns to convert
    kinds : by column, if given by the user; cells then have that kind, or are missing
    missing : cells that are missing in every column, also in columns of text
    decimal : decimal mark of a text file; None to detect it

    Raises
    ------
    SourceError
        A cell does not have the requested kind, or the meaning of a comma in a number is ambiguous.
    """
    chosen = [name for name in columns if name not in kinds or kinds[name] != "category"]
    texts = {name: _plain(table.content[name], missing) for name in columns if _is_text(table.content[name].type)}
    looked = {name: texts[name] for name in chosen if name in texts and (table.text or name in kinds)}
    commas = _decimal_commas(table, looked, kinds, decimal)
    content, absent = table.content, dict[str, int]()
    for name, cells in texts.items():
        column = cells
        if name in looked:
            pattern = _DECIMAL_COMMA if name in commas else _NUMBER
            column = _read(table, name, cells, kinds.get(name), pattern)
            count = pc.sum(pc.and_(column.is_null(), pc.not_equal(pc.fill_null(cells, ""), ""))).as_py() or 0
            if count:
                absent[name] = count
        if pa.types.is_string(column.type):
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        content = content.set_column(content.column_names.index(name), name, column)
    for name in chosen:
        column = _without_numbers(content[name], missing)
        content = content.set_column(content.column_names.index(name), name, column)
    if absent:
        said = ", ".join(f"{count} in column {name!r}" for name, count in absent.items())
        first = next(iter(absent))
        found = _tokens(texts[first])
        warnings.warn(
            f"{table.place}: cells such as {found!r} are missing values in columns of numbers: {said}; "
            f"kinds={{{first!r}: 'category'}} takes a column as text.",
            stacklevel=2,
        )
    return replace(table, content=content)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(column: pa.ChunkedArray, missing: Collection[str]) -> pa.ChunkedArray:
    """Text without surrounding white space, NULL where `missing` lists it."""
    column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    if missing:
        absent = pc.is_in(column, pa.array([word.strip() for word in missing], pa.string()))
        column = pc.if_else(absent, pa.scalar(None, pa.string()), column)
    return column


def _without_numbers(column: pa.ChunkedArray, missing: Collection[str]) -> pa.ChunkedArray:
    """Numbers, NULL where they equal one that `missing` lists: -999 also means -999.0."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return column
    words = [word.strip() for word in missing if re.fullmatch(_NUMBER, word.strip())]
    wide = pa.float64()
    absent = pa.array(map(float, words), wide)
    if pa.types.is_integer(column.type):
        whole = {int(word) if re.fullmatch(_INTEGER, word) else float(word) for word in words}
        wide = column.type
        bits = np.iinfo(wide.to_pandas_dtype())
        absent = pa.array([int(word) for word in whole if bits.min <= word <= bits.max and word == int(word)], wide)
    return pc.if_else(pc.is_in(column.cast(wide), absent), pa.scalar(None, column.type), column)


def _absent(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells that usually mean a missing value in columns of numbers."""
    return pc.or_(cells.is_null(), pc.fill_null(pc.is_in(pc.utf8_lower(cells), pa.array(MISSING)), True))


def _tokens(cells: pa.ChunkedArray) -> str:
    there = cells.filter(pc.and_(_absent(cells), pc.not_equal(pc.fill_null(cells, ""), "")))
    return str(there[0])


def _read(table: Table, name: str, cells: pa.ChunkedArray, kind: Kind | None, number: str) -> pa.ChunkedArray:
    """Convert a column to the kind that fits all its cells, or text; to `kind`, if given."""
    absent = _absent(cells)
    values = pc.if_else(absent, pa.scalar(None, pa.string()), cells)
    known = values.drop_null()
    if not len(known):
        # All cells are missing; but a column of minuses or points may mean them.
        if kind is None and pc.any(pc.is_in(cells, pa.array(_TEXTS))).as_py():
            return cells
        return pa.chunked_array([pa.nulls(len(cells), _nothing(kind))])
    if kind == "boolean" or (kind is None and _all(known, r"^(?i:true|false)$")):
        lower = pc.utf8_lower(values)
        _require(table, name, cells, values, r"^(?i:true|false|0|1)$", "boolean (true, false, 1 or 0)")
        return pc.if_else(values.is_null(), pa.scalar(None, pa.bool_()), pc.is_in(lower, pa.array(["true", "1"])))
    if kind is None and not _all(known, number):
        _warn_of_few(table, name, cells, values, number)
        return cells
    if kind is not None:
        _require(table, name, cells, values, number, "a number")
    if "," in number:
        values = pc.replace_substring(values, ",", ".")
    values = pc.replace_substring_regex(values, r"^\+", "")
    if kind != "float" and _all(values.drop_null(), _INTEGER):
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits
            if kind is None:
                warnings.warn(
                    f"{table.place}: column {name!r} is read as text, for it has whole numbers of more than 64 bits: "
                    f"kinds={{{name!r}: 'float'}} rounds them.",
                    stacklevel=2,
                )
                return cells
    numbers = values.cast(pa.float64())
    if kind == "integer":
        broken = pc.fill_null(pc.not_equal(numbers, pc.floor(numbers)), False)
        _refuse(table, name, cells, broken, "a whole number")
        try:
            return numbers.cast(pa.int64())
        except pa.ArrowInvalid:
            _refuse(
                table,
                name,
                cells,
                pc.fill_null(pc.greater(pc.abs(numbers), 2.0**53), False),
                "a whole number of 64 bits",
            )
            raise
    return numbers


def _nothing(kind: Kind | None) -> pa.DataType:
    types = {None: pa.null(), "boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64()}
    return types.get(kind, pa.string())


def _all(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())


def _require(table: Table, name: str, cells: pa.ChunkedArray, values: pa.ChunkedArray, pattern: str, what: str) -> None:
    _refuse(table, name, cells, pc.invert(pc.fill_null(pc.match_substring_regex(values, pattern), True)), what)


def _refuse(table: Table, name: str, cells: pa.ChunkedArray, wrong: pa.ChunkedArray, what: str) -> None:
    """Raise SourceError with the first wrong cell, if there is one."""
    rows = np.flatnonzero(wrong.to_numpy())
    if len(rows):
        row = int(rows[0])
        cell = cells[row].as_py()
        raise SourceError(
            f"{table.at(row)}: column {name!r} has {cell!r}, which is not {what}: correct the cell, or take such cells "
            f"as missing (missing={[cell]!r}) or the column as text (kinds={{{name!r}: 'category'}})."
        )


def _warn_of_few(table: Table, name: str, cells: pa.ChunkedArray, values: pa.ChunkedArray, number: str) -> None:
    """Warn if most cells are numbers and the others make the column text; refuse separators of thousands."""
    known = values.drop_null()
    numbers = pc.match_substring_regex(known, number)
    grouped = pc.match_substring_regex(values, _THOUSANDS)
    if pc.any(grouped).as_py() and _all(known, f"{number}|{_THOUSANDS}|{_DECIMAL_COMMA}"):
        row = int(np.flatnonzero(pc.fill_null(grouped, False).to_numpy())[0])
        raise SourceError(
            f"{table.at(row)}: column {name!r} has {cells[row].as_py()!r}: write numbers without a mark between "
            f"thousands, or take the column as text (kinds={{{name!r}: 'category'}})."
        )
    count = pc.sum(numbers).as_py()
    if 2 * count > len(known):
        row = int(np.flatnonzero(pc.invert(pc.fill_null(pc.match_substring_regex(values, number), True)).to_numpy())[0])
        cell = cells[row].as_py()
        warnings.warn(
            f"{table.at(row)}: column {name!r} is read as text, for {len(known) - count} of its {len(known)} cells are "
            f"not numbers, as {cell!r}: missing={[cell]!r} takes such cells as missing, kinds={{{name!r}: 'category'}} "
            "says that it is text.",
            stacklevel=2,
        )


def _decimal_commas(
    table: Table, columns: Mapping[str, pa.ChunkedArray], kinds: Mapping[str, Kind], decimal: Decimal | None
) -> set[str]:
    """Names of the columns whose numbers have a decimal comma."""
    if decimal == ".":
        return set()
    sure, possible, points = set[str](), dict[str, int](), dict[str, int]()
    for name, cells in columns.items():
        values = pc.if_else(_absent(cells), pa.scalar(None, pa.string()), cells)
        known = values.drop_null()
        commas = pc.match_substring(known, ",")
        if not pc.any(commas).as_py():
            fraction = pc.fill_null(pc.match_substring_regex(values, r"^[+-]?\d*\.\d+$"), False)
            if len(known) and pc.any(fraction).as_py() and _all(known, _NUMBER):
                points[name] = int(np.flatnonzero(fraction.to_numpy())[0])
            continue
        if not _all(known, _DECIMAL_COMMA):
            continue
        either = pc.match_substring_regex(known, _EITHER)
        if decimal == "," or pc.any(pc.and_not(commas, either)).as_py():
            sure.add(name)
        else:
            possible[name] = int(np.flatnonzero(pc.fill_null(pc.match_substring(values, ","), False).to_numpy())[0])
    if points and (sure or decimal == ","):
        name, row = next(iter(points.items()))
        cell, other = columns[name][row].as_py(), next(iter(sure), None)
        why = f"column {other!r} has decimal commas" if other is not None else "decimal=','"
        raise SourceError(
            f"{table.at(row)}: column {name!r} has {cell!r}, and {why}: write all numbers of the file one way, or take "
            f"the column as text (kinds={{{name!r}: 'category'}})."
        )
    if possible and not sure:
        name, row = next(iter(possible.items()))
        raise SourceError(
            f"{table.at(row)}: column {name!r} has {columns[name][row].as_py()!r}, where the comma may stand before "
            "decimals or between thousands: say decimal=',' for decimals, else write numbers without it."
        )
    return sure | possible.keys()
