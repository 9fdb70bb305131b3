"""Names and strings as SQL writes them."""

from pathlib import Path


def identifier(name: str) -> str:
    """A name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """A string, or a path as one."""
    return "'" + str(value).replace("'", "''") + "'"
