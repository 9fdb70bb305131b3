"""Which proteins, residues and pairs of a store the rows of a table are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError, first_line
from .matching import Proteins
from .table_values import Keys, Numbering


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


def rows_of(table: pa.Table, keys: Keys, proteins: Proteins, numbering: Numbering, place: str) -> Rows:
    """Find the proteins, and the residues in them, that a table's rows are of.

    Of several ids of one protein, as chains of equal sequence are, the first in the table counts; where residues go by
    author number, the one whose numbering the store has.

    Raises
    ------
    SourceError
        No row is of a protein in the store, a key is missing or given twice, a position is not in its protein, or goes
        by the numbering of a chain that is not the store's.
    """
    where = f"{place}: column {keys.protein!r}"
    ids = _dictionary(_text(table[keys.protein], where), where)
    author = numbering == "author" and bool(keys.places)
    names: list[str] = ids.dictionary.to_pylist()
    of = np.array([-1 if (found := proteins.ids.find(name)) is None else found for name in names], np.int64)
    code = ids.indices.to_numpy().astype(np.int64)
    passed_over = [name for name, protein in zip(names, of.tolist(), strict=True) if protein < 0]
    if not (of >= 0).any():
        raise SourceError(
            f"{place} is of no protein in the store ({names[0]!r} is not there): check the ids, or name their column "
            "with on=['ID']." if names else f"{place} has no rows; give a table that has some."
        )  # fmt: skip
    counting = _counting(of, names, proteins, place, letters="aa" in table.column_names) if author else _first(of)
    kept = np.flatnonzero(counting[code])
    protein = of[code[kept]]
    chosen = table.take(pa.array(kept))
    if author:
        places = tuple(
            _by_author(chosen[column], protein, kept, names, code, proteins, f"{place}: column {column!r}")
            for column in keys.places
        )
    else:
        shift = 1 if numbering == "1" else 0
        counted = tuple(_integers(chosen[column], f"{place}: column {column!r}") for column in keys.places)
        _check_places(counted, protein, kept, names, code, proteins, shift, place)
        places = tuple(numbers - shift for numbers in counted)
    _check_repetitions(protein, places, kept, names, code, place)
    return Rows(kept, protein, places, len(names) - len(passed_over), passed_over)


def _first(of: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which ids count, in the order in which they appear: the first of each protein."""
    counting = np.zeros(len(of), np.bool_)
    counting[np.unique(of, return_index=True)[1]] = True
    return counting & (of >= 0)


def _counting(
    of: npt.NDArray[np.int64], names: Sequence[str], proteins: Proteins, place: str, *, letters: bool
) -> npt.NDArray[np.bool_]:
    """Which ids count where residues go by author number: that of the chain whose numbering the store has.

    Failing that the first of the protein, if the rows' letters are compared with the store.
    """
    numbered = proteins.numbered
    own = np.array([protein >= 0 and proteins.ids.names(name, numbered.get(protein)) for name, protein
                    in zip(names, of.tolist(), strict=True)], np.bool_)  # fmt: skip
    counting = _first(np.where(own | ~np.isin(of, of[own]), of, -1))
    strange = np.flatnonzero(counting & ~own)
    if len(strange) and not letters:
        name, protein = names[strange[0]], int(of[strange[0]])
        raise SourceError(
            f"{place}: residues of {name} go by its own numbers there, and in the store by those of "
            f"{numbered.get(protein) or 'another chain of its sequence'}; add a column aa, which is compared, or give "
            "positions in the sequence instead (numbering='0' or numbering='1')."
        )
    return counting


def _text(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise SourceError(f"{where} holds no text ({first_line(error)}); give ids there.") from error


def _dictionary(column: pa.ChunkedArray, where: str) -> pa.DictionaryArray:
    _check_complete(column, where)
    return pc.dictionary_encode(column.combine_chunks())


def _integers(column: pa.ChunkedArray, where: str) -> npt.NDArray[np.int64]:
    try:
        if pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):
            raise pa.ArrowInvalid(f"but values of type {column.type}")
        whole = column.cast(pa.int64())
    except pa.ArrowException as error:
        raise SourceError(f"{where} holds no whole numbers ({first_line(error)}); give positions there.") from error
    _check_complete(whole, where)
    return np.asarray(whole.to_numpy(), np.int64)


def _check_complete(column: pa.ChunkedArray, where: str) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise SourceError(f"{where} has no value in row {row + 1}; fill it in, or remove the row.")


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
        outside = np.flatnonzero((values < shift) | (values >= lengths + shift))
        if len(outside):
            row = outside[0]
            raise SourceError(
                f"{place}, row {kept[row] + 1}: {names[code[kept[row]]]} has no residue {values[row]}; it has "
                f"{lengths[row]}, counted from {shift} (numbering='1' counts from one)."
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
            "positions in the sequence instead (numbering='0' or numbering='1')."
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
                f"{place}, row {row + 1}: the residue is {letter} there and {stored} in the store; check the ids "
                "and how positions are counted (numbering='1' counts from one), or leave the column aa out."
            )
