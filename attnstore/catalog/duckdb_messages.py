"""DuckDB's messages about a statement, as one sentence that says what to write instead."""

import re

import duckdb

from ..errors import first_line

#: A pattern of the whole message and what is said in its place, with the groups of the pattern.
_SAID = (
    (
        r'Referenced column "(.*?)" not found in FROM clause!(?:\s*Candidate bindings: (.*))?',
        "there is no column {0}{nearest}; text stands in single quotes, as '{0}'",
    ),
    (
        r'Referenced table "(.*?)" not found!(?:\s*Candidate tables: (.*))?',
        "there is no table {0} in FROM{nearest}",
    ),
    (r"Table with name (.*?) does not exist!.*", "there is no table {0}: there are {tables}"),
    (
        r"Cannot extract field '(.*?)' from expression \"(source|target|protein|pair)\".*",
        "{1}.{0} is a column of the table attention, which `query` answers: here, join residues or proteins",
    ),
    (
        r'(?:Scalar|Table|Aggregate) Function with name (.*?) does not exist!(?:\s*Did you mean "(.*?)")?',
        "there is no function {0}(){nearest}",
    ),
    (
        r'Alias with name "+(.*?)"+ exists, but aliases cannot be used as part of an expression in the GROUP BY',
        "GROUP BY names a column that is computed from the column {0}: write GROUP BY ALL",
    ),
    (
        r'Cannot access file "(.*?)" - file system operations are disabled.*',
        'Cannot access file "{0}": a statement reads the tables of the store and nothing else',
    ),
    (r"(.*?)\.? You might need to add explicit type casts.*", "{0}: cast them"),
    (r"Division by zero in expression (.*?)\. Use TRY.*", "division by zero in {0}: write TRY({0}) for NULL there"),
)
_TABLES = (
    "attention (in `query`), arcs, heads, models, skipped, excluded, proteins, members, residues, pairs, properties "
    "and property_sources"
)
_MOST = 500


def in_words(error: duckdb.Error) -> str:
    """What DuckDB says of a statement, as a sentence without its class of error and with a full stop."""
    text = str(error).strip()
    head, colon, tail = text.partition(" Error: ")
    text = tail if colon and len(head.split()) < 4 else text
    for pattern, said in _SAID:
        found = re.match(pattern, text, re.DOTALL)
        if found:
            groups = [group or "" for group in found.groups()]
            near = " ".join(groups[1].split()) if len(groups) > 1 else ""
            return _short(said.format(*groups, nearest=f" (the nearest: {near})" if near else "", tables=_TABLES))
    return _short(text.splitlines()[0] if text else first_line(error))


def _short(sentence: str) -> str:
    sentence = sentence if len(sentence) <= _MOST else f"{sentence[: _MOST - 1]}…"
    return sentence.strip().rstrip(".") + "."
