"""Matching the rows of a table to proteins, residues and pairs of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from Bio.Data.IUPACData import protein_letters_3to1_extended as standard
from Bio.Data.PDBData import protein_letters_3to1_extended as modified

from ..catalog.transaction import incoming
from ..errors import SourceError, first_line
from ..readers.tables import Table
from .matching import Proteins
from .table_keys import Keys, Numbering, letters_of

#: Three-letter codes and their letters: the twenty amino acids, those with their own letters, B, J, O, U, X and Z.
_LETTERS = {code.upper().strip(): letter for codes in (modified, standard) for code, letter in codes.items()}


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table that belong to proteins in the store.

    Attributes
    ----------
    kept : int64, indices of the rows
    protein : int64, index of the protein of each
    places : for residues, pos; for pairs, source and target; int64, from 0
    ids : number of ids that belong to a protein in the store
    passed_over : ids that belong to none
    """

    kept: npt.NDArray[np.int64]
    protein: npt.NDArray[np.int64]
    places: tuple[npt.NDArray[np.int64], ...]
    ids: int
    passed_over: list[str]


def rows_of(table: Table, keys: Keys, proteins: Proteins, numbering: Numbering) -> Rows:
    """Find the proteins of a table's rows, and the residues in them.

    If several ids belong to one protein, as chains of equal sequence do, the first in the table counts; with author
    numbers, the one whose numbering the store has.

    Raises
    ------
    SourceError
        No row belongs to a protein in the store, a key is missing or given twice, a position is not in its protein, or
        uses the numbering of a chain that is not the store's.
    """
    ids = _dictionary(_text(table, keys.protein), table, keys.protein)
    author = numbering == "author" and bool(keys.places)
    names: list[str] = ids.dictionary.to_pylist()
    of = np.array([-1 if (found := proteins.ids.find(name)) is None else found for name in names], np.int64)
    code = ids.indices.to_numpy().astype(np.int64)
    passed_over = [name for name, protein in zip(names, of.tolist(), strict=True) if protein < 0]
    if not (of >= 0).any():
        raise SourceError(
            f"no id of {table.place} is in the store, for example {proteins.quote_names(names)}: check the ids, or "
            "name another column, as on=['id']." if names else f"{table.place} has no rows; give a table that has some."
        )  # fmt: skip
    of_letters = letters_of(table) is not None
    counting = _counting(of, names, proteins, table.place, letters=of_letters) if author else _first(of)
    kept = np.flatnonzero(counting[code])
    owner = _Owners(of[code[kept]], kept, names, code, table)
    if author:
        places = tuple(_by_author(owner, column, proteins) for column in keys.places)
    else:
        shift = 1 if numbering == "1" else 0
        counted = tuple(_integers(table, column, kept) for column in keys.places)
        _check_places(owner, counted, proteins, shift)
        places = tuple(numbers - shift for numbers in counted)
    _check_repetitions(owner, places, keys.protein)
    return Rows(kept, owner.protein, places, len(names) - len(passed_over), passed_over)


@dataclass(frozen=True, eq=False)
class _Owners:
    """The rows that are kept, each with its protein and its id in the table."""

    protein: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    names: Sequence[str]
    code: npt.NDArray[np.int64]
    table: Table

    def name(self, row: int) -> str:
        """The id in one of the kept rows."""
        return self.names[int(self.code[self.kept[row]])]

    def at(self, row: int) -> str:
        """The location of one of the kept rows, for messages."""
        return self.table.at(int(self.kept[row]))


def _first(of: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """The ids that count, in the order in which they appear: the first of each protein."""
    counting = np.zeros(len(of), np.bool_)
    counting[np.unique(of, return_index=True)[1]] = True
    return counting & (of >= 0)


def _counting(
    of: npt.NDArray[np.int64], names: Sequence[str], proteins: Proteins, place: str, *, letters: bool
) -> npt.NDArray[np.bool_]:
    """The ids that count if residues have author numbers: that of the chain whose numbering the store has.

    If there is none, the first of the protein, if the rows' letters are compared with the store.
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


def _text(table: Table, name: str) -> pa.ChunkedArray:
    """A column of keys as text without surrounding white space, NULL where it is empty."""
    column = table.content[name]
    try:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    except pa.ArrowException as error:
        raise SourceError(
            f"{table.place}: column {name!r} holds no text ({first_line(error)}); give ids there."
        ) from error
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _dictionary(column: pa.ChunkedArray, table: Table, name: str) -> pa.DictionaryArray:
    _check_complete(column, table, name)
    return pc.dictionary_encode(column.combine_chunks())


def _integers(table: Table, name: str, kept: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Positions in the kept rows."""
    column = table.content[name].take(pa.array(kept))
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        wrong = pc.invert(pc.fill_null(pc.match_substring_regex(column, r"^[+-]?\d{1,18}(\.0*)?$"), True))
        rows = np.flatnonzero(wrong.to_numpy())
        if len(rows):
            cell = column[int(rows[0])].as_py()
            author = " (numbering='author' takes numbers of the structure file)" if cell[-1:].isalpha() else ""
            raise SourceError(
                f"{table.at(int(kept[rows[0]]))}: column {name!r} has {cell!r}, which is not a whole number: give "
                f"positions there{author}, or name another column of them, as on=['id', 'pos']."
            )
        column = pc.replace_substring_regex(column, r"^\+|\.0*$", "")
    try:
        if pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):
            raise pa.ArrowInvalid(f"but values of type {column.type}")
        whole = column.cast(pa.int64())
    except pa.ArrowException as error:
        raise SourceError(
            f"{table.place}: column {name!r} holds no whole numbers ({first_line(error)}); give positions there."
        ) from error
    _check_complete(whole, table, name, kept)
    return np.asarray(whole.to_numpy(), np.int64)


def _check_complete(
    column: pa.ChunkedArray, table: Table, name: str, kept: npt.NDArray[np.int64] | None = None
) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise SourceError(
            f"{table.at(row if kept is None else int(kept[row]))}: column {name!r} has no value; fill it in, or remove "
            "the row."
        )


def _check_places(owner: _Owners, places: Sequence[npt.NDArray[np.int64]], proteins: Proteins, shift: int) -> None:
    lengths = proteins.lengths[owner.protein]
    for values in places:
        outside = np.flatnonzero((values < shift) | (values >= lengths + shift))
        if len(outside):
            row = int(outside[0])
            other = "numbering='1' counts from 1" if shift == 0 else "numbering='0' counts from 0"
            raise SourceError(
                f"{owner.at(row)}: {owner.name(row)} has no residue {values[row]}; it has {lengths[row]}, counted from "
                f"{shift} ({other}, numbering='author' as the structure file does)."
            )


def _by_author(owner: _Owners, name: str, proteins: Proteins) -> npt.NDArray[np.int64]:
    """Positions of residues by their author numbers, with any insertion code."""
    column = _text(owner.table, name).take(pa.array(owner.kept))
    rows = pa.table({
        "row": np.arange(len(column)), "protein_index": owner.protein, "author": column.combine_chunks(),
    })  # fmt: skip
    with incoming(proteins.connection, rows):
        found = proteins.connection.sql(
            "SELECT i.row, any_value(r.pos) AS pos, count(r.pos) AS n FROM incoming i LEFT JOIN residues r ON "
            "r.protein_index = i.protein_index AND r.author_number || coalesce(r.insertion_code, '') = trim(i.author) "
            "GROUP BY i.row ORDER BY i.row"
        ).fetchnumpy()
    wrong = np.flatnonzero(np.asarray(found["n"]) != 1)
    if len(wrong):
        row = int(wrong[0])
        count = "no residue" if found["n"][row] == 0 else "several residues"
        raise SourceError(
            f"{owner.at(row)}: column {name!r}: {owner.name(row)} has {count} numbered {column[row].as_py()} in the "
            "store; give positions in the sequence instead (numbering='0' or numbering='1')."
        )
    return np.asarray(np.ma.getdata(found["pos"]), np.int64)


def _check_repetitions(owner: _Owners, places: Sequence[npt.NDArray[np.int64]], name: str) -> None:
    columns = (*places[::-1], owner.protein)
    order = np.lexsort(columns)
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    if same.any():
        row = int(order[1:][same].min())
        cure = "" if places else f", or name the column of positions, as on={[name, 'pos']!r}"
        raise SourceError(
            f"{owner.at(row)}: {owner.name(row)} is given a second time there; keep one row for each{cure}."
        )


def check_letters(table: Table, rows: Rows, proteins: Proteins) -> None:
    """Compare the column `aa` of a table of residues with the store: letters in any case, or three-letter codes.

    Raises
    ------
    SourceError
        A residue is another amino acid in the store.
    """
    name = letters_of(table)
    if name is None:
        return
    column = _text(table, name).take(pa.array(rows.kept)).combine_chunks().dictionary_encode()
    letters = [_LETTERS.get(word.upper(), word.upper()) for word in column.dictionary.to_pylist()]
    sequences: dict[int, str] = {}
    of = zip(
        rows.kept.tolist(), rows.protein.tolist(), rows.places[0].tolist(), column.indices.to_pylist(), strict=True
    )
    for row, protein, pos, code in of:
        if protein not in sequences:
            sequences[protein] = proteins.sequence(protein)
        stored = sequences[protein][pos]
        if code is None or letters[code] != stored:
            given = "missing" if code is None else column.dictionary[code].as_py()
            raise SourceError(
                f"{table.at(row)}: the residue is {given} there and {stored} in the store: check the ids and how "
                "positions are counted (numbering='1' counts from 1), or leave the column aa out."
            )
