"""What the records of a PDB file around its coordinates say, format version 3.3 (wwPDB)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import SourceError
from .chemistry import STANDARD, WATERS, is_amino_acid
from .entry import (
    Assembly,
    Bond,
    End,
    Features,
    Key,
    Modified,
    Operator,
    Site,
    Span,
    modification_listed,
    operator,
    unreadable,
)
from .placement import Missing

_UNRESOLVED = re.compile(r"REMARK 465\s+(?:\d+\s+)?(\w{1,3})\s(.{1,2}?)\s*(-?\d+)([A-Za-z]?)\s*")
# Polyproline II, which is no helix by hydrogen bonds, and which DSSP does not count as one either.
_POLYPROLINE = "10"
_HYBRID = re.compile(r"[A-Z][A-Z0-9]{3}|[a-z][a-z0-9]{3}")


@dataclass
class Header:
    """What a PDB file declares.

    Attributes
    ----------
    code
        The entry's.
    sequences
        Residue names by chain, as in SEQRES.
    missing
        Unresolved residues by chain, as in REMARK 465.
    parents
        As in MODRES.
    features
        Everything else.
    """

    code: str = ""
    sequences: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, list[Missing]] = field(default_factory=lambda: defaultdict(list))
    parents: dict[str, str] = field(default_factory=dict)
    features: Features = field(default_factory=Features)


def read_header(path: Path, content: Sequence[str]) -> Header:
    """Read the records of a file's lines.

    Raises
    ------
    SourceError
        A record that gives a feature cannot be read.
    """
    header = Header()
    spans: list[Span] = []
    bonds: list[Bond] = []
    modified: list[Modified] = []
    evidence: dict[str, str] = {}
    sites: dict[str, list[Key]] = defaultdict(list)
    assemblies = _Assemblies()
    site = ""
    for number, raw in enumerate(content, start=1):
        if not raw:
            continue
        line = f"{raw:<80}"
        try:
            match line[:6].rstrip():
                case "HEADER":
                    header.code = line[62:66].strip()
                case "SEQRES":
                    header.sequences[_chain(line, 11)] += line[19:70].upper().split()
                case "MODRES":
                    name, parent = line[12:15].strip(), line[24:27].strip()
                    header.parents.setdefault(name, parent)
                    modified.append(modification_listed(_key(line, 16, 18), name, parent, line[29:70]))
                case "HELIX" if line[38:40].strip() != _POLYPROLINE:
                    spans.append(Span("helix", _key(line, 19, 21), _key(line, 31, 33)))
                case "SHEET":
                    spans.append(Span("strand", _key(line, 21, 22), _key(line, 32, 33)))
                case "TURN":
                    spans.append(Span("turn", _key(line, 19, 20), _key(line, 30, 31)))
                case "SSBOND":
                    ends = (_end(line, 11, 15, 17, "SG"), _end(line, 25, 29, 31, "SG"))
                    bonds.append(Bond((ends[0], ends[1]), True, _crossing(line)))
                case "LINK" if not {line[17:20].strip(), line[47:50].strip()} & WATERS:
                    # Numbers of ligands and ions may be none, where there are very many.
                    pair = (_end(line, 17, 21, 22, line[12:16].strip()), _end(line, 47, 51, 52, line[42:46].strip()))
                    bonds.append(Bond(pair, False, _crossing(line)))
                case "SITE":
                    sites[line[11:14].strip()] += _site(line)
                case "REMARK" if line[7:10] == "350":
                    assemblies.take(line[11:])
                case "REMARK" if line[7:10] == "465":
                    if match := _UNRESOLVED.fullmatch(raw):
                        name, chain, seq, code = match.groups()
                        header.missing[chain].append((int(seq), code or None, name))
                case "REMARK" if line[7:10] == "800":
                    term, _, value = line[11:].partition(":")
                    if term == "SITE_IDENTIFIER":
                        site = value.strip()
                    elif term == "EVIDENCE_CODE":
                        evidence[site] = value.strip().upper()
        except ValueError as error:
            record = line[:10] if line.startswith("REMARK") else line[:6]
            raise SourceError(
                f"{path}:{number} is not a valid {record.strip()} record ({error}); correct or remove the line."
            ) from error
    header.features = Features(
        spans=spans,
        sites=[Site(evidence.get(name) or None, tuple(keys)) for name, keys in sites.items()],
        bonds=bonds,
        modified=modified,
        assemblies=assemblies.all(),
    )
    return header


def _key(line: str, chain: int, number: int, name: str = "ALA") -> Key:
    """Return the residue whose chain is in a column, from 0, and whose number and insertion code start in another.

    The number of what is not an amino acid by its name need not be readable.
    """
    digits = line[number : number + 4]
    read = residue_number if is_amino_acid(name, {}) else number_or_text
    return _chain(line, chain), read(digits), line[number + 4].strip() or None


def _chain(line: str, column: int) -> str:
    """Return the chain id that ends in a column, from 0: its second letter, where it has two, stands there."""
    return line[column - 1 : column + 1].strip() or " "


def residue_and_chain(line: str) -> tuple[str, str]:
    """Return the residue name and the chain id of a line of coordinates, " " where it has none.

    The column between the two, blank in the format, is the first of a chain id of two letters or the last of a name of
    four: a water of CHARMM (TIP3), or a terminal amino acid of Amber (NALA, CGLY), which is called as within a chain.
    """
    name = line[17:21].upper()  # as the dictionary has it
    if len(name) == 4 and name[3] != " ":
        if name in WATERS:
            return name, line[21:22] or " "
        if name[0] in "NC" and name[1:] in STANDARD:
            return name[1:], line[21:22] or " "
    return name[:3].strip(), line[20:22].strip() or " "


def number_or_text(field: str) -> int:
    """Return the number in the four columns of a residue, from `UNREADABLE` on where they hold none."""
    try:
        return residue_number(field)
    except ValueError:
        return unreadable(field)


def residue_number(field: str) -> int:
    """Return the number in the four columns of a residue.

    From 10000 on they hold hybrid-36 (Grosse-Kunstleve, cctbx): A000 to ZZZZ and then a000 to zzzz, to the base of 36.

    Raises
    ------
    ValueError
        They hold no number.
    """
    if _HYBRID.fullmatch(field):
        return int(field, 36) + 10_000 - (10 if field[0].isupper() else -16) * 36**3
    return int(field)


def _end(line: str, name: int, chain: int, number: int, atom: str) -> End:
    residue = line[name : name + 3].strip()
    return End(_key(line, chain, number, residue), residue, atom)


def _crossing(line: str) -> bool:
    one, other = line[59:65].strip(), line[66:72].strip()
    return bool(one and other) and one != other


def _site(line: str) -> list[Key]:
    starts = [start for start in (18, 29, 40, 51) if line[start : start + 10].strip()]
    named = [(line[start : start + 3].strip(), start) for start in starts]
    return [_key(line, start + 4, start + 5, name) for name, start in named if name not in WATERS]


class _Assemblies:
    """Collects the biological assemblies of REMARK 350."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, list[Operator]]] = {}
        self._names: list[str] = []
        self._chains: list[str] = []
        self._rows: list[list[float]] = []

    def take(self, text: str) -> None:
        """Take in what a line says after its number."""
        head, _, tail = text.partition(":")
        if head == "BIOMOLECULE":
            self._names = tail.replace(",", " ").split()
        elif head.strip() in {"APPLY THE FOLLOWING TO CHAINS", "AND CHAINS"}:
            listed = [" " if name == "NULL" else name for name in tail.replace(",", " ").split()]
            self._chains = listed if "APPLY" in head else [*self._chains, *listed]
        elif text.strip().startswith("BIOMT"):
            self._row(text.split())

    def _row(self, fields: list[str]) -> None:
        row = [float(value) for value in fields[2:]]
        if len(row) != 4 or fields[0] != f"BIOMT{len(self._rows) + 1}":
            raise ValueError("an operator has the rows BIOMT1 to BIOMT3, of four numbers each")
        self._rows.append(row)
        if len(self._rows) == 3:
            for name in self._names or ["1"]:
                for chain in self._chains:
                    self._found.setdefault(name, {}).setdefault(chain, []).append(operator(self._rows))
            self._rows = []

    def all(self) -> list[Assembly]:
        """Return them in the file's order."""
        return list(self._found.values())
