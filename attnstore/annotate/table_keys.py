"""The key columns of a table, and the options that a user may give for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from ..catalog.property import Kind, Level
from ..errors import SourceError
from ..readers.tables import IDS, Table
from .table_cells import Decimal

Numbering = Literal["0", "1", "author"]
NUMBERINGS: tuple[Numbering, ...] = ("0", "1", "author")


@dataclass(frozen=True)
class TableOptions:
    """The options of a table.

    Attributes
    ----------
    on
        Its key columns: the protein's id; for residues, the position too; for pairs, source and target. By default `id`
        or `protein`, and `pos`, or `source` and `target`, if the table has them.
    columns
        Columns to use, and the property that each becomes; by default all except the keys and `aa`, which is compared
        with the store.
    kinds, units, descriptions
        By property; by default the kind is detected from the values.
    numbering
        Numbering of positions: from '0', from '1', or 'author' as in the structure, with insertion codes.
    absent
        Meaning of a residue or pair without a row, in a protein of the table: 'null', unknown, or 'false', for
        booleans.
    symmetric
        Pairs hold in both directions.
    missing
        Cells that mean a missing value in every column, also in columns of text.
    delimiter, decimal, encoding
        Format of a text file; None to detect it.
    """

    on: Sequence[str] | None = None
    columns: Mapping[str, str] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    numbering: Numbering = "0"
    absent: Literal["null", "false"] = "null"
    symmetric: bool = False
    missing: Sequence[str] = ()
    delimiter: str | None = None
    decimal: Decimal | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class Keys:
    """The key columns of a table."""

    protein: str
    level: Level
    places: tuple[str, ...]


#: Other names of a column of positions, only letters, in lower case.
_POSITIONS = frozenset({
    "position", "positions", "resi", "resid", "resids", "resnum", "resno", "residue", "residueid", "residuenumber",
    "residueindex", "residueno", "residuenum", "residuepos", "residueposition", "seqpos", "seqid", "authseqid",
    "labelseqid", "authornumber", "pdbresnum", "pdbpos", "pdbnum", "pdbnumber", "aapos", "aaposition", "uniprotpos",
    "uniprotposition", "sequenceposition", "positionid", "location",
})  # fmt: skip
_PAIRS = (
    ("i", "j"),
    ("pos", "pos"),
    ("position", "position"),
    ("res", "res"),
    ("resi", "resi"),
    ("residue", "residue"),
)


def keys_of(table: Table, options: TableOptions) -> Keys:
    """Find the key columns; a column whose name differs in case is used if no other has the exact name.

    Raises
    ------
    SourceError
        There is none for the protein's id, a named one does not exist, two columns have the same name, or a column
        seems to contain positions and is not called `pos`.
    """
    names, place = table.columns, table.place
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SourceError(f"{place} has two columns {twice!r}; rename one of them.")
    if options.on is not None:
        if not 1 <= len(options.on) <= 3:
            raise SourceError(
                f"on={list(options.on)!r} names {len(options.on)} columns; name one of ids, and of positions one (as "
                "on=['id', 'pos']) or two."
            )
        keys = [_named(names, name) for name in options.on]
        if None in keys:
            raise SourceError(
                f"{place} has no column {options.on[keys.index(None)]!r}: name its columns of ids and positions, as "
                f"on=['id', 'pos'] (it has {table.described})."
            )
        levels: tuple[Level, ...] = ("protein", "residue", "pair")
        return Keys(str(keys[0]), levels[len(keys) - 1], tuple(map(str, keys[1:])))
    protein = next((found for name in IDS if (found := _named(names, name)) is not None), None)
    if protein is None and len(names) == 1 and table.written is not None:
        raise SourceError(
            f"{place} has one column, {names[0][:60]!r}, {table.written.separated}: name the separator, as "
            "delimiter=' '."
        )
    if protein is None:
        raise SourceError(
            f"{place} has no column id or protein: name the one that holds ids, as on={names[:1]!r}, and with it that "
            f"of positions if there is one (it has {table.described})."
        )
    ends = _named(names, "source"), _named(names, "target")
    if ends[0] is not None and ends[1] is not None:
        return Keys(protein, "pair", (ends[0], ends[1]))
    pos = _named(names, "pos")
    if pos is not None:
        return Keys(protein, "residue", (pos,))
    _check_positions(table, protein, options)
    return Keys(protein, "protein", ())


def _named(names: Sequence[str], name: str) -> str | None:
    """The column of that name; if there is none, the only one that has it in another case."""
    if name in names:
        return name
    found = [other for other in names if other.lower() == name.lower()]
    return found[0] if len(found) == 1 else None


def _check_positions(table: Table, protein: str, options: TableOptions) -> None:
    """Refuse a table of residues whose positions would become a property of proteins."""
    others = [name for name in table.columns if name != protein]
    letters = {name: "".join(filter(str.isalnum, name.lower())) for name in others}
    repeated = pc.count_distinct(table.content[protein], mode="all").as_py() < len(table.content)
    pair = next((ends for first, second in _PAIRS if (ends := _ends(letters, first, second)) is not None), None)
    if pair is not None and repeated:
        raise SourceError(
            f"{table.place} has no columns source and target, and {pair[0]!r} and {pair[1]!r} seem to hold positions "
            f"of pairs: say on={[protein, *pair]!r} if they do, or on={[protein]!r} if every row is of a whole protein."
        )
    likely = next((name for name in others if letters[name] in _POSITIONS and _countable(table.content[name])), None)
    if likely is not None:
        raise SourceError(
            f"{table.place} has no column pos, and {likely!r} seems to hold positions: say on={[protein, likely]!r} if "
            f"it does, or on={[protein]!r} if every row is of a whole protein."
        )
    if options.numbering != "0":
        raise SourceError(
            f"{table.place} has no column pos, so numbering={options.numbering!r} has nothing to number: name the "
            f"column of positions, as on={[protein, 'POS']!r} (it has {table.described})."
        )


def _ends(letters: Mapping[str, str], first: str, second: str) -> tuple[str, str] | None:
    """The pair of columns with such names, as i and j, or pos1 and pos2."""
    wanted = [(first, second)] if first != second else [(f"{first}{a}", f"{second}{b}") for a, b in ("12", "ij", "ab")]
    for one, other in wanted:
        found = [next((name for name, word in letters.items() if word == end), None) for end in (one, other)]
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
    return None


def _countable(column: pa.ChunkedArray) -> bool:
    """Whether all known cells may be positions: whole numbers, with or without insertion codes."""
    if pa.types.is_integer(column.type):
        return True
    if not pa.types.is_string(column.type):
        return False
    there = column.filter(pc.not_equal(pc.fill_null(column, ""), ""))
    return len(there) > 0 and bool(pc.all(pc.match_substring_regex(there, r"^-?\d{1,9}[A-Za-z]?$")).as_py())


def letters_of(table: Table) -> str | None:
    """The column of amino acids, if there is one."""
    return _named(table.columns, "aa")
