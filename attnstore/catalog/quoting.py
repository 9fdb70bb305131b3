"""Names and strings quoted for SQL."""

from pathlib import Path


def identifier(name: str) -> str:
    """A name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """Quote a string; a path is made absolute, so that it is not read as a kind of database or the home folder."""
    written = str(value.absolute()) if isinstance(value, Path) else value
    return "'" + written.replace("'", "''") + "'"
