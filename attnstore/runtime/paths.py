"""Paths as users write them."""

import os
from pathlib import Path

from ..errors import AttnstoreError

#: Environment variable that moves the cache of fetched files.
CACHE_VARIABLE = "ATTNSTORE_CACHE"

#: What DuckDB reads as a pattern, an option or the end of a folder, in paths of files that it opens itself.
_SPECIAL = "?*\\"


def expand(path: str | os.PathLike[str]) -> str:
    """Return a path or the id of a model, with a leading "~" or "~name" replaced by the home folder of the user.

    A file or folder whose name begins with "~" can be given as "./~name".

    Raises
    ------
    AttnstoreError
        It contains a NUL character, or is not a path at all.
    """
    try:
        given = os.fsdecode(path)
    except TypeError as error:
        raise AttnstoreError(f"{path!r} is a {type(path).__name__} and no path: give a str or a Path.") from error
    if "\0" in given:
        raise AttnstoreError(f"{given!r} has a NUL character, as no path has; correct it.")
    return os.path.expanduser(given)


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path given by a user, see :func:`expand`.

    A path with a colon is made absolute: Arrow and DuckDB read "sqlite:x" as a kind of file system or database.
    """
    found = Path(expand(path))
    return found.absolute() if ":" in str(found) else found


def database_path(path: str | os.PathLike[str]) -> Path:
    """Return a path given by a user for a store or another file that DuckDB opens.

    Raises
    ------
    AttnstoreError
        As :func:`expand`; or if DuckDB would interpret one of its characters and open another file.
    """
    found = user_path(path)
    special = next((letter for letter in os.path.abspath(found) if letter in _SPECIAL), None)
    if special is not None:
        raise AttnstoreError(
            f"{found} cannot be opened by DuckDB, which takes the {special} in its path for a pattern; rename the "
            "folder, or give another path."
        )
    return found


def cache_directory() -> Path:
    """Folder of fetched files: $ATTNSTORE_CACHE, or the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return user_path(given)
    from platformdirs import user_cache_path

    return user_cache_path("attnstore")
