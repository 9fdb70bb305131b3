"""The text files of the cgdms package: a sequence and four positions per residue.

Line 1 is the sequence, line 2 a predicted secondary structure (not read: a prediction is not a label). Then each line
has the x, y and z of N, Cα, C and the side chain's centroid of one residue.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..catalog.property import Property
from ..errors import SourceError
from . import text
from .record import DEFAULT, LETTERS, Options, Record, Structure, virtual_cb

NAME = "cgdms text (.txt)"
PROPERTIES: tuple[Property, ...] = ()

_COLUMNS = 12
#: Å; no atom is farther from the origin.
_FARTHEST = 1e6
_SEQUENCE = re.compile(rf"[{''.join(sorted(LETTERS))}]+")
_PREDICTION = re.compile(r"[HEC]+")


def accepts(path: Path, head: bytes) -> bool:
    """Say whether a .txt file starts as a cgdms file does: a sequence, then a line of H, E and C."""
    if text.suffix(path) != ".txt":
        return False
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    if len(lines) < 2 or not (_SEQUENCE.fullmatch(lines[0].rstrip()) and _PREDICTION.fullmatch(lines[1].rstrip())):
        return False
    if len(head) >= text.HEAD_BYTES and len(lines) <= 3:  # a long protein, whose first row is cut off or missing
        return True
    words = "".join(lines[2:3]).split(maxsplit=1)
    return bool(words) and _coordinate(words[0]) is not None


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the one record of a cgdms file; its id is the file's stem.

    Cα is the file's; Cβ is always the virtual one, because the centroid is not a Cβ. There is no author numbering.

    Raises
    ------
    SourceError
        The first line is not a sequence, or there is not one row of 12 coordinates per residue.
    """
    content = ((number, line) for number, line in text.lines(path) if line.strip())
    number, line = next(content, (0, ""))
    if not number:
        raise SourceError(f"{path} is empty; give a cgdms file of a sequence and its coordinates.")
    sequence = line.strip()
    if not _SEQUENCE.fullmatch(sequence):
        raise SourceError(f"{path}:{number} is not an amino acid sequence; line 1 of a cgdms file must be one.")
    next(content, None)
    rows = [_row(path, number, line) for number, line in itertools.islice(content, len(sequence))]
    surplus = sum(1 for _ in content)
    if surplus or len(rows) < len(sequence):
        raise SourceError(
            f"{path} has {len(rows) + surplus} rows of coordinates for a sequence of {len(sequence)}; "
            f"give one row per residue from line 3 on."
        )
    n, ca, c, _centroid = np.moveaxis(np.array(rows).reshape(-1, 4, 3), 1, 0)
    length = len(sequence)
    structure = Structure(
        author_number=np.zeros(length, dtype=np.int32),
        author_known=np.zeros(length, dtype=np.bool_),
        insertion_code=(None,) * length,
        ca=ca.astype(np.float32),
        cb=virtual_cb(n, ca, c),
    )
    yield Record(id=text.stem(path), sequence=sequence, place=str(path), structure=structure)


def _row(path: Path, number: int, line: str) -> list[float]:
    words = line.split()
    if len(words) != _COLUMNS:
        raise SourceError(
            f"{path}:{number} has {len(words)} columns where {_COLUMNS} are due (x, y, z of N, CA, C and "
            f"centroid); correct the line."
        )
    values = []
    for word in words:
        value = _coordinate(word)
        if value is None:
            raise SourceError(f"{path}:{number} has {word!r} where a coordinate is due; correct the line.")
        values.append(value)
    return values


def _coordinate(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if abs(value) < _FARTHEST else None
