"""Constants that public calls share, and checks of their arguments: what cannot be meant is refused, with a cure."""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from .errors import QueryError

#: Names that are compared letter by letter to find the nearest: more would take seconds.
_MOST_COMPARED = 20_000

#: Residues that a model sees of a protein, unless more are asked for; the paper's (Vig et al. 2021): 512 tokens, two of
#: them special.
MAX_RESIDUES = 510

#: A contact: residues at least so far apart along the sequence, and nearer than so many Å (Vig et al. 2021).
CONTACT_SEPARATION = 6
CONTACT_DISTANCE = 8.0


def check_text(name: str, value: Any) -> None:
    """Raise QueryError unless an argument is text, as a name, an id or a condition is."""
    if isinstance(value, str):
        return
    if isinstance(value, list | tuple) and value and isinstance(value[0], str):
        raise QueryError(f"{name}={value!r} is a list, and one is asked for: write {name}={value[0]!r}.")
    if value is None:
        raise QueryError(f"{name} is None: give text.")
    raise QueryError(f"{name}={value!r} is not text: write it in quotes, e.g. {name}={str(value)!r}.")


def check_index(name: str, value: Any, size: int) -> int:
    """The layer or head that an argument names.

    Parameters
    ----------
    name : "layer" or "head"
    value : what was given
    size : how many there are

    Raises
    ------
    QueryError
        If it is not a whole number from 0 to `size` − 1.
    """
    if isinstance(value, list | tuple) and value and _is_whole(value[0]):
        raise QueryError(f"{name}={value!r} is a list, and one is asked for: write {name}={int(value[0])}.")
    if _is_whole(value):
        if 0 <= value < size:
            return int(value)
        raise QueryError(
            f"there is no {name} {value}: they run from 0 to {size - 1}, and the last is {name}={size - 1}."
        )
    number = re.fullmatch(r"\s*(\d{1,9})(?:\.0*)?\s*", str(value))
    cure = (
        f"write {name}={int(number[1])}" if number and int(number[1]) < size else f"give a number from 0 to {size - 1}"
    )
    raise QueryError(f"{name}={value!r} is not a whole number: {cure}.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_whole(name: str, value: Any, least: int, usual: int) -> None:
    """Raise QueryError unless an argument is a whole number from `least` on; `usual` is its default."""
    if not _is_whole(value) or not least <= int(value) < 2**128:
        raise QueryError(f"{name}={value!r} is not a whole number from {least} on: write {name}={usual}.")


def check_share(name: str, value: Any, usual: float) -> None:
    """Raise QueryError unless an argument lies between 0 and 1; `usual` is its default."""
    if not isinstance(value, int | float | np.number) or not 0 < float(value) < 1:
        raise QueryError(f"{name}={value!r} does not lie between 0 and 1: write {name}={usual}.")


def check_head(layer: Any, head: Any) -> None:
    """Raise QueryError if `head` names a layer, too, as '5-4' and (5, 4) do."""
    pair = re.fullmatch(r"\s*(\d+)\s*[-,:.]\s*(\d+)\s*", head) if isinstance(head, str) else None
    both = [int(part) for part in pair.groups()] if pair else head
    if layer is None and isinstance(both, list | tuple) and len(both) == 2:
        raise QueryError(f"head={head!r} names a layer and a head: write layer={both[0]}, head={both[1]}.")


def nearest(name: str, names: Collection[str]) -> str | None:
    """The one of some names that was most probably meant: in another case, longer or shorter, or nearly alike."""
    folded = name.casefold()
    same = next((other for other in names if other.casefold() == folded), None)
    if same is not None:
        return same
    longer = _shortest(other for other in names if folded and other.casefold().startswith(folded))
    if longer is not None or len(names) > _MOST_COMPARED:
        return longer
    found = difflib.get_close_matches(folded, {other.casefold() for other in names}, 1, 0.6)
    return next((other for other in names if found and other.casefold() == found[0]), None)


def _shortest(names: Iterable[str]) -> str | None:
    return min(names, key=len, default=None)
