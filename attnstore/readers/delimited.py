"""Tables as text: detection of encoding, separator and heading, and the cells as they are written."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError, first_line
from . import text

#: Separators that are detected.
DELIMITERS = (",", "\t", ";", "|")
#: The separator that a file's suffix suggests, which is used if several are possible.
SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "pipes", " ": "spaces"}
#: Byte order marks, the longest first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: The encoding of Excel under Windows in western Europe and the Americas; most Latin-1 files can be read with it.
_WINDOWS = "cp1252"
#: Number of characters from which separator and heading are detected, and of rows.
_SAMPLE = 1 << 18
_SAMPLE_ROWS = 200
_BLOCK_BYTES = 1 << 20
_EXCEL = re.compile(r"sep=(.)")

# A cell may be as long as a file, whose size was limited before.
csv.field_size_limit(1 << 30)


@dataclass(frozen=True)
class TextLayout:
    """The format of a file.

    Attributes
    ----------
    path : Path
    encoding : encoding of its characters, as Python names it
    delimiter : separator of its cells
    heading : names of its columns; '' for a column without a name
    lines : number of lines before the first row, heading and comments
    """

    path: Path
    encoding: str
    delimiter: str
    heading: tuple[str, ...]
    lines: int

    @property
    def separated(self) -> str:
        """Its separator, for messages: "separated by semicolons"."""
        return f"separated by {_NAMES.get(self.delimiter, repr(self.delimiter))}"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of each row's first line, from 1, and its cells; slow, for messages only."""
        with _opened(self.path, self.encoding) as stream:
            for _ in range(self.lines):
                stream.readline()
            reader = csv.reader(stream, delimiter=self.delimiter)
            line = self.lines + 1
            for cells in reader:
                if cells:
                    yield line, cells
                line = self.lines + reader.line_num + 1

    def line(self, row: int) -> int:
        """The line at which a row, counted from 0, begins."""
        return next(itertools.islice(self.rows(), row, None), (0, []))[0]


def read_delimited(
    path: Path, keys: Collection[str], delimiter: str | None, encoding: str | None
) -> tuple[pa.Table, TextLayout | None]:
    """Read a table of text.

    Parameters
    ----------
    path : plain or gzip
    keys : possible names of the key column
    delimiter, encoding : given by the user; None to detect them

    Returns
    -------
    table
        One column of text per column of the file, with surrounding white space removed from cells.
    written
        Format of the file; None for the clusters that ``mmseqs`` writes, which have no heading (two columns,
        separated by a tab: representative, member) and become the columns `cluster` and `id`.

    Raises
    ------
    SourceError
        Its encoding or separator cannot be detected, it has no heading, or rows of unequal length.
    """
    encoding = _encoding(path, encoding)
    with _opened(path, encoding) as stream:
        sample = stream.read(_SAMPLE)
    whole = len(sample) < _SAMPLE
    lines = list(io.StringIO(sample.removeprefix("\ufeff"), newline=""))
    if not whole:
        lines = lines[:-1] or lines
    comments = list(itertools.takewhile(lambda line: not line.strip() or line.lstrip(' "').startswith("#"), lines))
    rest = lines[len(comments) :]
    if rest and (found := _EXCEL.fullmatch(rest[0].strip())):
        comments, rest, delimiter = [*comments, rest[0]], rest[1:], delimiter or found[1]
    commented = next((line for line in reversed(comments) if line.strip()), "")
    hidden = commented.lstrip(' "').lstrip("#").lstrip() if commented.lstrip(' "').startswith("#") else ""
    if not rest and not hidden:
        raise SourceError(f"{path} is not a readable table: it has no heading; begin it with a line of column names.")
    delimiter = delimiter or _delimiter(path, rest, hidden, keys)
    heading, begins = _heading(path, rest, hidden, keys, delimiter)
    if delimiter == "\t" and len(heading) == 2 and not comments and not _known(heading, keys):
        written = TextLayout(path, encoding, delimiter, ("cluster", "id"), 0)
        return _cells(written), None
    written = TextLayout(path, encoding, delimiter, heading, len(comments) + begins)
    return _cells(written), written


def _encoding(path: Path, given: str | None) -> str:
    """The encoding of a file: as given, by its byte order mark, or UTF-8; else that of Windows, with a warning."""
    if given is not None:
        try:
            "".encode(given)  # some codecs are not of text
        except (LookupError, TypeError, ValueError) as error:
            raise SourceError(
                f"encoding={given!r} is not an encoding of text; give a name such as encoding='cp1252' (Windows), "
                "encoding='latin-1' or encoding='utf-16'."
            ) from error
        return given
    with text.open_file(path) as stream:
        begin = stream.read(text.HEAD_BYTES)
    for mark, name in _MARKS:
        if begin.startswith(mark):
            return name
    if len(begin) >= 8 and b"\0" in begin[:8]:
        for name, zeros in (("utf-16-le", begin[1:8:2]), ("utf-16-be", begin[0:8:2])):
            if not any(zeros):
                return name
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with text.open_file(path) as stream:
        while True:
            block = stream.read(_BLOCK_BYTES)
            if (zero := block.find(b"\0")) >= 0:
                raise SourceError(
                    f"{path}:{line + block[:zero].count(10)} holds a NUL byte, as no text does; "
                    "give encoding='utf-16' if it is that, or name the file that was meant."
                )
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                data = error.object
                line += data[: error.start].count(b"\n")
                byte = data[error.start]
                break
            if not block:
                return "utf-8"
            line += block.count(b"\n")
    try:
        word = _word(text.content(path).decode(_WINDOWS).splitlines()[line - 1])
    except (UnicodeDecodeError, IndexError) as error:
        raise SourceError(
            f"{path}:{line} holds the byte 0x{byte:02x}, which is not UTF-8 text: save the file as UTF-8, or say what "
            "it is, as encoding='latin-1'."
        ) from error
    warnings.warn(
        f"{path}:{line} is not UTF-8 text and is read as Windows-1252, which makes it {word!r}: if that is wrong, save "
        "the file as UTF-8, or say what it is, as encoding='cp1250'.",
        stacklevel=2,
    )
    return _WINDOWS


def _word(line: str) -> str:
    """The first word that is not ASCII, at most 40 characters of it."""
    words = re.findall(r"[^\s,;|\"]+", line)
    return next((word for word in words if not word.isascii()), line)[:40]


@contextlib.contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a file as text; raises SourceError if it cannot be decoded."""
    with text.open_file(path) as stream:
        decoded = io.TextIOWrapper(io.BufferedReader(_Unclosed(stream)), encoding=encoding, newline="")
        try:
            yield decoded
        except UnicodeError as error:
            raise SourceError(
                f"{path} cannot be read as {encoding} ({first_line(error)}); say what it is, as encoding='utf-8'."
            ) from error
        except csv.Error as error:
            raise SourceError(
                f"{path} is not a readable table ({first_line(error)}); save it again as text."
            ) from error


class _Unclosed(io.RawIOBase):
    """Passes on a stream that another object closes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _split(lines: Sequence[str], delimiter: str, most: int = _SAMPLE_ROWS) -> list[list[str]]:
    """The first rows, with surrounding white space removed from cells."""
    rows = itertools.islice((row for row in csv.reader(lines, delimiter=delimiter) if row), most)
    return [[cell.strip() for cell in row] for row in rows]


def _known(heading: Sequence[str], keys: Collection[str]) -> bool:
    known = {key.lower() for key in keys}
    return any(name.lower() in known for name in heading)


def _delimiter(path: Path, rest: Sequence[str], hidden: str, keys: Collection[str]) -> str:
    """Detect the separator of the cells.

    A separator is possible if it splits the heading. The detected one is the one that gives a key among the names, else
    the only possible one, else the only one that gives all rows as many cells as the heading, else that of the suffix.
    """
    own = SUFFIXES[text.suffix(path)]
    lines = rest or [hidden]
    tables = {each: _split(lines, each) for each in DELIMITERS}
    headed = {each: _split([hidden], each)[0] for each in DELIMITERS} if hidden else {}
    possible = [each for each, rows in tables.items() if rows and max(len(rows[0]), len(headed.get(each, ()))) > 1]
    if len(possible) < 2:
        return possible[0] if possible else own
    keyed = [each for each in possible if _known([*tables[each][0], *headed.get(each, ())], keys)]
    if len(keyed) == 1:
        return keyed[0]
    even = [each for each in possible if len({len(row) for row in tables[each]}) == 1]
    if len(even) == 1:
        return even[0]
    for some in (keyed, even, possible):
        if own in some:
            return own
    raise SourceError(
        f"{path} may be separated by {' or '.join(_NAMES[each] for each in possible)}: say which, as "
        f"delimiter={('tab' if possible[0].isspace() else possible[0])!r}."
    )


def _heading(
    path: Path, rest: Sequence[str], hidden: str, keys: Collection[str], delimiter: str
) -> tuple[tuple[str, ...], int]:
    """Names of the columns, and the number of lines that they take after the comments.

    The names are in the first line that is not a comment, or in the last comment: in the comment if it has a key or if,
    of the two lines, the other has no key and as many cells.
    """
    reader = csv.reader(rest, delimiter=delimiter)
    first = next((row for row in reader if row), [])
    begins = reader.line_num
    names = [name.strip() for name in first]
    last = _split([hidden], delimiter)[0] if hidden else []
    if last and (not names or (_known(last, keys) and not _known(names, keys) and len(last) == len(names))):
        return tuple(last), 0
    rows = _split(rest, delimiter)[1:]
    # R's write.table leaves out the heading of its first column, the names of rows.
    if rows and all(len(row) == len(names) + 1 for row in rows) and all(row[-1] for row in rows):
        names = ["", *names]
    return tuple(names), begins


def _cells(written: TextLayout) -> pa.Table:
    import pyarrow.csv

    names = [f"{number}" for number in range(len(written.heading))]
    try:
        with _opened(written.path, written.encoding) as stream, contextlib.closing(_Utf8(stream)) as encoded:
            for _ in range(written.lines):
                stream.readline()
            table = pyarrow.csv.read_csv(
                encoded,
                read_options=pyarrow.csv.ReadOptions(column_names=names),
                parse_options=pyarrow.csv.ParseOptions(delimiter=written.delimiter, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    null_values=[], strings_can_be_null=False, column_types=dict.fromkeys(names, pa.string())
                ),
            )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            table = pa.table({name: pa.array([], pa.string()) for name in names})
        else:
            raise _uneven(written, error) from error
    except pa.ArrowException as error:
        raise SourceError(f"{written.path} is not a readable table ({first_line(error)}); save it again.") from error
    trimmed = [pc.utf8_trim_whitespace(column) for column in table.columns]
    return pa.table(trimmed, names=list(written.heading))


def _uneven(written: TextLayout, error: pa.ArrowInvalid) -> SourceError:
    number = len(written.heading)
    for line, cells in written.rows():
        if number == 1 and len(cells) > 1:
            return SourceError(
                f"{written.path}: its heading, {written.heading[0][:60]!r}, has 1 cell and line {line} has "
                f"{len(cells)}, {written.separated}: remove the lines before the names of the columns, or begin them "
                "with #."
            )
        if len(cells) != number:
            what = f"{len(cells)} cell{'s' * (len(cells) != 1)} where the heading has {number}"
            note = " (comments are left out only before the heading)" if cells[0].startswith("#") else ""
            return SourceError(
                f"{written.path}:{line} is not a readable table: {what}, {written.separated}{note}; correct that line, "
                "or name another separator, as delimiter=';'."
            )
    return SourceError(f"{written.path} is not a readable table ({first_line(error)}); save it again as text.")


class _Utf8(io.RawIOBase):
    """Text as UTF-8, for Arrow."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._rest = stream, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = self._stream.read(_BLOCK_BYTES).encode()
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
