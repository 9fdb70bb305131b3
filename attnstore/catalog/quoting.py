"""Names and strings as SQL writes them."""

from pathlib import Path


def identifier(name: str) -> str:
    """A name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """A string; or a path as one, from the root, where nothing is read as a kind of database or the home folder."""
    written = str(value.absolute()) if isinstance(value, Path) else value
    return "'" + written.replace("'", "''") + "'"
