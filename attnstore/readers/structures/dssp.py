"""Secondary structure by DSSP (Kabsch and Sander 1983, Biopolymers 22:2577): its letters, its program, its output."""

import functools
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...catalog.property import Annotation, Property
from ...errors import SourceError
from .. import text
from ..vocabulary import DSSP_CLASSES, RSA, SS3, SS4, SS8
from .chemistry import LARGEST_SURFACE
from .dssp_output import Row, is_output, read_output
from .naming import chain_id, entry_id

NAME = "DSSP output (classic, or mkdssp's annotated mmCIF)"
PROPERTIES: tuple[Property, ...] = (SS8, SS4, SS3, RSA)

_LETTERS = list(DSSP_CLASSES)
_INDEX: Mapping[str | None, int | None] = {letter: index for index, letter in enumerate(_LETTERS)} | {None: None}
_NAMES = [pa.array(column) for column in zip(*DSSP_CLASSES.values(), strict=True)]

_MMCIF = frozenset({".cif", ".mmcif"})
_PDB_CODE, _CIF_CODE = r"[1-9][A-Za-z0-9]{3}", r"[^\s?.]\S*"
# The part of a PDB file that mkdssp needs: the chains, and which of the HETATM records belong to them. It requires the
# rest to be complete and in order, HEADER and CRYST1 above all, although its result does not depend on it.
_RECORDS = frozenset(
    {
        "SEQRES", "MODRES", "HET", "HETNAM", "FORMUL", "SSBOND", "LINK",
        "ATOM", "HETATM", "TER",
    }
)  # fmt: skip
_COORDINATES = frozenset({"ATOM", "HETATM"})
_HEADER = f"{'HEADER    PROTEIN':<50}01-JAN-00   XXXX{'':14}"
_CELL = f"{'CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1':<80}"
_SECONDS = 600
# The end of mkdssp's messages says why it stopped.
_SAID = 200


@dataclass(frozen=True)
class Assignment:
    """DSSP's result for a residue: its letter, a blank for none, and its accessible surface, Å² (NaN if unknown)."""

    ss8: str
    accessibility: float


def annotations(
    letters: Sequence[str | None],
    place: str = "the structure",
    properties: tuple[Property, Property, Property] = (SS8, SS4, SS3),
) -> tuple[Annotation, ...]:
    """Return the secondary structure of a chain in eight, four and three classes.

    Parameters
    ----------
    letters
        Length L; DSSP's letters (blank, ``-``, ``C`` and ``L`` all mean none of the classes), None if the residue has
        no structure, which becomes NULL.
    place
        Their location, for messages.
    properties
        Properties of eight, four and three classes.

    Raises
    ------
    SourceError
        A letter is not one of DSSP's.
    """
    try:
        index = pa.array([_INDEX[letter] for letter in letters], pa.int8())
    except KeyError as error:
        raise SourceError(
            f"{place} has {str(error.args[0])[:1]!r} for a secondary structure, which is none of DSSP's letters "
            f"{''.join(_LETTERS)}; correct it."
        ) from error
    none = np.empty(0, np.int32)
    return tuple(
        Annotation(prop, names.take(index), none, none) for prop, names in zip(properties, _NAMES, strict=True)
    )


def assign_by_mkdssp(path: Path) -> Mapping[tuple[str, int, str | None], Assignment]:
    """Run mkdssp on a PDB or mmCIF file.

    mkdssp gets an unpacked copy; of a PDB file only the part that it needs for the structure, so that a file without
    HEADER and CRYST1 works like any other. The arguments of version 4 and of earlier versions are supported.

    Returns
    -------
    The assignments by author chain id, author number and insertion code (None if there is none). Residues that lack
    backbone atoms have none.

    Raises
    ------
    SourceError
        mkdssp is not installed, refuses the file, or takes more than ten minutes; or the file cannot be read.
    """
    program = shutil.which("mkdssp")
    if program is None:
        raise SourceError(
            f"{path} needs the program mkdssp for its secondary structure, and it is not installed; install it "
            f"(`apt install dssp` or `conda install -c conda-forge dssp`), or give DSSP's output instead."
        )
    mmcif = text.suffix(path) in _MMCIF
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "given.cif" if mmcif else "given.pdb")
        with given.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in _copy(path, mmcif))
        output = Path(folder, "output.cif" if mmcif else "output.dssp")
        _run(path, [program, *_flags(program, mmcif), str(given), str(output)])
        # If mkdssp finds no protein it succeeds, and writes a file without residues, or none.
        rows = read_output(output)[1] if is_output(output, text.head(output)) else []
    if not rows:
        raise SourceError(
            f"{path} has no residue with a whole backbone that mkdssp finds; of an mmCIF file it needs entity_poly and "
            f"pdbx_poly_seq_scheme, too: complete it, or read it without DSSP."
        )
    return {(row.chain, row.number, row.insertion_code): Assignment(row.letter, row.accessibility) for row in rows}


def accepts(path: Path, head: bytes) -> bool:
    """Say whether a file is DSSP's output, by its first line or, of an mmCIF file, by its categories."""
    return is_output(path, head)


def read_table(path: Path) -> pa.Table:
    """Read DSSP's output, plain or gzip, as a table of residues.

    It has only the residues that DSSP read, so it gives a table of properties and no records.

    Returns
    -------
    One row per residue, in the file's order: ``id`` ("<entry>_<chain>", as the readers of structures name chains; the
    entry is the file's stem if the file names none), ``author_number`` (int32), ``insertion_code`` (NULL if none),
    ``ss8``, ``ss4``, ``ss3``, and ``rsa`` (float64: accessibility divided by the maximum; NULL for a residue that is
    none of the 20 amino acids, or whose accessibility is missing).

    Raises
    ------
    SourceError
        The file is not DSSP output, is damaged, or has a letter that is not one of DSSP's.
    """
    code, rows = read_output(path)
    pattern = _CIF_CODE if text.suffix(path) in _MMCIF else _PDB_CODE
    entry = entry_id(code if re.fullmatch(pattern, code) else "", path)
    classes = annotations([row.letter for row in rows], str(path))
    columns = {
        "id": pa.array([chain_id(entry, row.chain) for row in rows], pa.string()),
        "author_number": pa.array([row.number for row in rows], pa.int32()),
        "insertion_code": pa.array([row.insertion_code for row in rows], pa.string()),
        **{annotation.property.name: annotation.values for annotation in classes},
        RSA.name: pa.array([_relative(row) for row in rows], pa.float64(), from_pandas=True),
    }
    return pa.table(columns)


def _relative(row: Row) -> float:
    return row.accessibility / LARGEST_SURFACE.get(row.residue, math.nan)


def _copy(path: Path, mmcif: bool) -> Iterator[str]:
    """The lines of the file for mkdssp."""
    lines = (line for _, line in text.lines(path, whole=True))
    if mmcif:
        yield from lines
        return
    yield _HEADER
    cell = False
    for line in lines:
        record = line[:6].rstrip()
        if record in _COORDINATES and not cell:
            yield _CELL
            cell = True
        # mkdssp reads only the first model, but fails if another has waters that this one lacks.
        if record == "ENDMDL":
            break
        if record in _RECORDS:
            yield line
    yield "END"


def _flags(program: str, mmcif: bool) -> list[str]:
    """The output format to request, from versions that have more than one."""
    usage = _usage(program)
    if "--output-format" not in usage:
        return []
    # Version 4.2 writes residues in mmCIF only on request, 4.3 to 4.4 always, and later ones with less information.
    asked = [flag for flag in ("--write-experimental", "--calculate-accessibility") if flag in usage]
    # Chains of mmCIF files may have names of several letters, which the classic format cannot contain.
    if mmcif and (asked or "--no-dssp-categories" in usage):
        return ["--output-format", "mmcif", *asked]
    return ["--output-format", "dssp"]


@functools.cache
def _usage(program: str) -> str:
    done = _call([program, "--help"])
    return done.stdout + done.stderr


def _run(path: Path, command: Sequence[str]) -> None:
    try:
        done = _call(command)
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"{path} takes mkdssp more than {_SECONDS // 60} minutes; give DSSP's output instead, or leave it out."
        ) from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-_SAID:] or f"exit status {done.returncode}"
        raise SourceError(f"{path} is refused by mkdssp ({said}); correct the file, or read it without DSSP.")


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - no shell, fixed words, names of our own
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace",
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except OSError as error:
        raise SourceError(f"{command[0]} cannot be run ({error.strerror or error}); install mkdssp again.") from error
