"""The questions of a report: contacts, each property of the store, and each amino acid."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from ...arguments import CONTACT_DISTANCE, CONTACT_SEPARATION, nearest
from ...catalog.builtin import CB
from ...catalog.connection import identifier, literal
from ...catalog_sql import relation
from ...errors import QueryError
from ..sql.dialect import locked_parser

if TYPE_CHECKING:
    from ...opened import Store

#: The letters of the twenty amino acids, similar ones next to each other: the order of Henikoff and Henikoff 1992,
#: Proc. Natl.
#: Acad. Sci. USA 89:10915–10919, figure 2.
LETTERS = "CSTPAGNDEQHRKMILVFYW"

#: Names of contacts and amino acids among the names of properties.
CONTACT, AMINO_ACIDS = "contact", "aa"

#: Categories with more values are left out unless they are named, and always with more than the second number.
FEW_VALUES, MOST_VALUES = 8, 50

#: Classes of secondary structure that are asked about. The others say what a residue is not.
_CLASSES = {
    "ss4": {"helix": "Helix", "strand": "Strand", "turn": "Turn or bend"},
    "ss3": {"helix": "Helix", "strand": "Strand"},
}
#: Finer or coarser divisions than `ss4`, left out if that is known, unless they are named.
_SAME_AS_SS4 = ("ss8", "ss3")

#: Columns that identify a residue and its position.
_PLACE = {
    "id",
    AMINO_ACIDS,
    "pos",
    "author_number",
    "insertion_code",
    *(f"{a}_{x}" for a in ("ca", "cb") for x in "xyz"),
}

#: Beginnings of names that come first: those of Vig et al. 2021. The others follow in the order of the dictionary.
_FIRST = (
    "binding_site", "active_site", "protein_modification", "modified_residue", "glycosylation", "lipidation",
    "attached_group", "cross_link", "disulfide_bonded", "metal_coordination", "helix", "strand", "turn", "ss4", "ss3",
)  # fmt: skip
#: The paper's combination of modifications, left out if one of its kinds is known, unless it is named.
_MIXTURE, _ITS_KINDS = "protein_modification", _FIRST[3:10]

Kind = Literal["pair", "residue", "amino acid"]


@dataclass(frozen=True)
class PropertyQuestion:
    """A question about a model's heads.

    Attributes
    ----------
    key : str
        Name of its files and of its place on the page; letters, digits, underscores and hyphens.
    label : str
        Name for people.
    kind : Kind
        Whether it is about a pair, the residue that is attended to, or its letter.
    predicate : str
        Predicate of :meth:`attnstore.Store.align`.
    where : str or None
        Condition of :meth:`attnstore.Store.align`.
    meaning : str
        A phrase.
    """

    key: str
    label: str
    kind: Kind
    predicate: str
    where: str | None
    meaning: str


@dataclass(frozen=True)
class Missing:
    """What a report does not show, and why.

    Attributes
    ----------
    what : str
        The property, figure or model.
    reason : str
        A phrase.
    model : str or None
        Name of the model; None if it concerns the store.
    """

    what: str
    reason: str
    model: str | None = None


def ask_of(store: "Store", names: Sequence[str] | None = None) -> tuple[list[PropertyQuestion], list[Missing]]:
    """The questions to ask, and properties that cannot be asked about.

    Parameters
    ----------
    store : Store
    names : 'contact', 'aa', or properties of residues or pairs; None for all

    Raises
    ------
    QueryError
        If a name is none of these.
    """
    entries = [
        entry
        for entry in relation(store, "SELECT * FROM properties").to_arrow_table().to_pylist()
        if entry["level"] != "protein"
    ]
    if names is not None:
        _check(names, {CONTACT, AMINO_ACIDS} | {entry["name"] for entry in entries} - _PLACE)
    named = frozenset(names or ())
    found: list[PropertyQuestion | Missing] = []
    if names is None or CONTACT in named:
        found.append(_contact(entries))
    known = {entry["name"] for entry in entries if entry["known"]}
    offered = [entry for entry in entries if entry["name"] not in _PLACE and (names is None or entry["name"] in named)]
    for entry in sorted(offered, key=_place):
        found += _of_property(store, entry, named, known)
    if names is None or AMINO_ACIDS in named:
        found += (_amino_acid(letter) for letter in LETTERS)
    questions = [one for one in found if isinstance(one, PropertyQuestion)]
    return _told_apart(questions), [one for one in found if isinstance(one, Missing)]


def _check(names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            near = nearest(name, known) or ", ".join(sorted(known))
            raise QueryError(f"the store holds no property {name!r} of residues or pairs to report: try {near}.")


def _place(entry: dict[str, Any]) -> tuple[bool, int]:
    prefixes = [number for number, prefix in enumerate(_FIRST) if entry["name"].startswith(prefix)]
    return entry["level"] != "pair", prefixes[0] if prefixes else len(_FIRST)


def _contact(entries: Sequence[dict[str, Any]]) -> PropertyQuestion | Missing:
    known = {entry["name"]: entry["known"] for entry in entries}
    words = {entry["name"]: entry["description"] for entry in entries}
    for atom, predicate, carbon in (("cb", "contact", "Cβ"), ("ca", "contact_ca", "Cα")):
        if known.get(f"{atom}_x"):
            if atom == "cb" and words["cb_x"].endswith(CB["ca"]):
                carbon = "Cβ (of glycine Cα)"
            meaning = f"{carbon} nearer than {CONTACT_DISTANCE:g} Å, of residues six or more apart along the chain"
            return PropertyQuestion(
                CONTACT, "Contacts", "pair", predicate, f"separation >= {CONTACT_SEPARATION}", meaning
            )
    return Missing("contacts", "no coordinates are known")


def _of_property(
    store: "Store", entry: dict[str, Any], named: frozenset[str], known: set[str]
) -> Iterator[PropertyQuestion | Missing]:
    name, level = entry["name"], entry["level"]
    end = "pair" if level == "pair" else "target"
    column = f"{end}.{_column_name(name)}"
    kind: Kind = "pair" if level == "pair" else "residue"
    key = f"pair-{name}" if level == "pair" else name
    meaning = entry["description"] or ""
    if not entry["known"]:
        yield Missing(name, "no value is known")
    elif name == _MIXTURE and known.intersection(_ITS_KINDS) and name not in named:
        yield Missing(name, f"a mixture of the kinds of modification: properties={[name]!r} asks for it")
    elif entry["type"] == "boolean":
        if entry["positive"]:
            yield PropertyQuestion(key, _words(name), kind, column, None, meaning)
        else:
            yield Missing(name, "it is TRUE nowhere")
    elif entry["type"] != "category":
        condition = f"{column} >= {_high(store, level, name)}"
        yield Missing(name, f"a number: ask for a condition, such as `store.align({condition!r})`")
    elif name in _SAME_AS_SS4 and "ss4" in known and name not in named:
        yield Missing(name, f"another division of ss4: properties={[name]!r} asks for it")
    else:
        table = "pairs" if level == "pair" else "residues"
        values = _values(store, table, name)
        classes = _CLASSES.get(name)
        if classes is not None:
            values = [value for value in classes if value in values]
        most = MOST_VALUES if name in named else FEW_VALUES
        if len(values) > most:
            some = f"{len(values)} values: properties={[name]!r} asks for each"
            yield Missing(
                name, "a category of " + (some if len(values) <= MOST_VALUES else f"over {MOST_VALUES} values")
            )
            return
        for value in values:
            words = f"{classes[value]} ({name})" if classes is not None else f"{_words(name)}: {value}"
            yield PropertyQuestion(f"{key}-{_slug(value)}", words, kind, f"{column} = {literal(value)}", None, meaning)


def _amino_acid(letter: str) -> PropertyQuestion:
    from Bio.SeqUtils import seq3

    return PropertyQuestion(f"aa-{letter}", letter, "amino acid", f"target.aa = '{letter}'", None, seq3(letter))


def _values(store: "Store", table: str, name: str) -> list[str]:
    """The distinct values of a category, at most one more than can be asked about."""
    column = _column_name(name)
    rows = relation(
        store,
        f"SELECT DISTINCT {column} AS value FROM {table} WHERE {column} IS NOT NULL "
        f"ORDER BY value LIMIT {MOST_VALUES + 1}",
    ).fetchall()
    return [str(value) for (value,) in rows]


def _high(store: "Store", level: str, name: str) -> str:
    """A number that a tenth of the values reach, with two digits, rounded down so that some values reach it."""
    column, table = _column_name(name), "pairs" if level == "pair" else "residues"
    finite = f"FROM {table} WHERE isfinite({column}::DOUBLE)"
    ((value,),) = relation(store, f"SELECT quantile_disc({column}, 0.9) {finite}").fetchall()
    if isinstance(value, int):
        return str(value)
    number = Decimal(repr(value))
    return f"{number.quantize(Decimal(1).scaleb(min(0, number.adjusted() - 1)), ROUND_FLOOR):f}"


def _column_name(name: str) -> str:
    """A property's name, quoted only if SQL needs it."""
    return identifier(name) if name.lower() in _reserved() else name


@cache
def _reserved() -> frozenset[str]:
    with locked_parser() as connection:
        rows = connection.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'")
        return frozenset(name for (name,) in rows.fetchall())


def _words(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _slug(value: str) -> str:
    """A value as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", value)[:40].strip("-") or "value"


def _told_apart(questions: list[PropertyQuestion]) -> list[PropertyQuestion]:
    """The same with keys that also differ on a file system that ignores case."""
    taken: set[str] = set()
    apart = []
    for question in questions:
        key, number = question.key, 2
        while key.lower() in taken:
            key, number = f"{question.key}-{number}", number + 1
        taken.add(key.lower())
        apart.append(replace(question, key=key))
    return apart
