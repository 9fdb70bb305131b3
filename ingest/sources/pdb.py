"""PDB files: one record per protein chain of the first model."""

from __future__ import annotations

import io
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from Bio.PDB.PDBExceptions import PDBConstructionException, PDBConstructionWarning
from Bio.PDB.PDBParser import PDBParser

from ...errors import SourceError
from ...properties import Property
from . import text
from .placement import Missing, place
from .record import DEFAULT, Options, Record
from .structure import (
    Atom,
    Parents,
    Residue,
    amino_acids,
    at_least_one,
    chain_id,
    entry_id,
    is_protein,
    record,
    residues,
)

NAME = "PDB (.pdb .ent)"
PROPERTIES: tuple[Property, ...] = ()

_SUFFIXES = frozenset({".pdb", ".ent"})
_CODE = r"[1-9][A-Za-z0-9]{3}"
_COORDINATES = ("ATOM  ", "HETATM")
# A record that Biopython skips without a word; put in place of what it is not to see, it keeps the
# line numbers right.
_SKIPPED = "TER   "
_UNRESOLVED = re.compile(r"REMARK 465\s+(?:\d+\s+)?(\w{1,3})\s(.)\s*(-?\d+)([A-Za-z]?)\s*")


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file's suffix is that of a PDB file."""
    return text.suffix(path) in _SUFFIXES


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield one record per protein chain of the first model, sorted by chain id.

    The sequence is SEQRES with the observed residues placed on it or, for a chain without SEQRES, that of
    the observed residues. HETATM records after a chain's last TER are ligands, no part of the polymer.

    Raises
    ------
    SourceError
        The file cannot be read, is no PDB file, has no protein chain, or has a chain whose residues do
        not fit its SEQRES.
    """
    content = [line for _, line in text.lines(path, whole=True)]
    header = _header(content)
    model = _first_model(content)
    entry = entry_id(header.code, text.stem(path), _CODE)
    atoms = _atoms(path, model)
    if not atoms and not header.sequences:
        raise SourceError(f"{path} is no PDB file: it has neither ATOM nor SEQRES records; check the file.")
    records = (
        _record(path, chain, chain_id(entry, chain), header, atoms.get(chain, []))
        for chain in sorted({*header.sequences, *atoms})
    )
    yield from at_least_one(
        (one for one in records if one is not None),
        f"{path} has no protein chain; give a structure that has one.",
    )


@dataclass(frozen=True)
class _Header:
    code: str
    sequences: dict[str, list[str]]
    missing: dict[str, list[Missing]]
    parents: Parents


def _header(content: Sequence[str]) -> _Header:
    code = ""
    sequences: dict[str, list[str]] = defaultdict(list)
    missing: dict[str, list[Missing]] = defaultdict(list)
    parents: dict[str, str] = {}
    for line in content:
        if line.startswith("HEADER"):
            code = line[62:66].strip()
        elif line.startswith("SEQRES"):
            sequences[line[11:12]] += line[19:70].split()
        elif line.startswith("MODRES"):
            parents.setdefault(line[12:15].strip(), line[24:27].strip())
        elif match := _UNRESOLVED.fullmatch(line):
            name, chain, number, code_of_insertion = match.groups()
            missing[chain].append((int(number), code_of_insertion or None, name))
    return _Header(code, dict(sequences), dict(missing), parents)


def _first_model(content: Sequence[str]) -> list[str]:
    """Return the file with every line blanked out that is no polymer coordinate of the first model."""
    end = _end_of_first_model(content)
    last_ter: dict[str, int] = {}
    chain = ""
    for index, line in enumerate(content[:end]):
        if line.startswith(_COORDINATES):
            chain = line[21:22]
        elif line[:6].rstrip() == "TER":
            # The short form of TER names no chain and ends the one before it.
            last_ter[chain] = index
    return [
        line
        if line.startswith("ATOM  ") or (line.startswith("HETATM") and index < last_ter.get(line[21:22], end))
        else _SKIPPED
        for index, line in enumerate(content[:end])
    ]


def _end_of_first_model(content: Sequence[str]) -> int:
    models = 0
    for index, line in enumerate(content):
        name = line[:6].rstrip()
        models += name == "MODEL"
        if name in {"ENDMDL", "END"} or models > 1:
            return index
    return len(content)


def _atoms(path: Path, model: Sequence[str]) -> dict[str, list[Atom]]:
    if all(line == _SKIPPED for line in model):
        return {}
    collector = _Collector(path)
    try:
        # A number too large becomes infinite, which the check of the backbone refuses.
        with warnings.catch_warnings(), np.errstate(over="ignore"):
            # They concern absent occupancies and B factors, which nothing here depends on; what else
            # Biopython would drop with a warning is decided by the collector.
            warnings.simplefilter("ignore", PDBConstructionWarning)
            PDBParser(PERMISSIVE=True, structure_builder=collector).get_structure("", io.StringIO("\n".join(model)))
    except (PDBConstructionException, ValueError, IndexError) as error:
        raise SourceError(
            f"{path}:{collector.line} is no valid ATOM or HETATM record ({error}); correct the line."
        ) from error
    return dict(collector.atoms)


class _Collector:
    """Takes the place of Biopython's structure builder, to keep every atom with its line.

    Biopython's own builder drops atoms it finds contradictory and picks the last of several point
    mutants; here both are settled by `structure.residues`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self.atoms: defaultdict[str, list[Atom]] = defaultdict(list)
        self._chain = ""
        self._residue: tuple[int, str | None, str, bool] = (0, None, "", False)

    def set_line_counter(self, line: int) -> None:
        self.line = line

    def init_chain(self, chain: str) -> None:
        self._chain = chain

    def init_residue(self, name: str, kind: str, number: int, insertion_code: str) -> None:
        self._residue = (number, insertion_code.strip() or None, name, kind != " ")

    def init_atom(
        self,
        name: str,
        position: Any,
        _b_factor: float,
        occupancy: float | None,
        alternative: str,
        *_: object,
    ) -> None:
        x, y, z = position.tolist()
        self.atoms[self._chain].append(
            Atom(*self._residue, name, alternative, occupancy or 0.0, (x, y, z), f"{self.path}:{self.line}")
        )

    def init_structure(self, _: str) -> None: ...

    def init_model(self, *_: int) -> None: ...

    def init_seg(self, _: str) -> None: ...

    def set_header(self, _: object) -> None: ...

    def get_structure(self) -> None: ...


def _record(path: Path, chain: str, identifier: str, header: _Header, atoms: list[Atom]) -> Record | None:
    where = f"{path} chain {chain}" if chain.strip() else str(path)
    observed = residues(atoms)
    names = header.sequences.get(chain)
    if names is None:
        observed = amino_acids(observed, header.parents)
        names = [residue.name for residue in observed]
        places = list(range(len(names)))
        if not is_protein(names, header.parents):
            return None
    else:
        # Sorted out before the placement, which a nucleic acid chain need not survive.
        if not is_protein(names, header.parents):
            return None
        observed = _polymer(observed, frozenset(names))
        places = place(names, observed, header.missing.get(chain, []), where)
    return record(identifier, where, names, dict(zip(places, observed, strict=True)), header.parents)


def _polymer(observed: Sequence[Residue], names: frozenset[str]) -> list[Residue]:
    """Leave out the ligands: HETATM residues of names that SEQRES does not list."""
    return [
        residue
        for residue in observed
        if any(name in names or not variant.hetero for name, variant in residue.variants.items())
    ]
