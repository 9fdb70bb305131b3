"""PDB files: one record per protein chain of the first model."""

from __future__ import annotations

import io
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from Bio.PDB.PDBExceptions import PDBConstructionException, PDBConstructionWarning
from Bio.PDB.PDBParser import PDBParser

from ....errors import SourceError
from .. import text
from ..record import DEFAULT, Options, Record
from .chain import (
    WATERS,
    Atom,
    Chain,
    Group,
    Residue,
    amino_acids,
    chain_id,
    checked,
    entry_id,
    is_protein,
    left_over,
    residues,
)
from .chain_properties import STRUCTURE_PROPERTIES, records
from .elements import element
from .entry import Entry
from .pdb_header import Header, read_header, residue_number
from .placement import place

NAME = "PDB (.pdb .ent)"
PROPERTIES = STRUCTURE_PROPERTIES

_SUFFIXES = frozenset({".pdb", ".ent"})
_CODE = r"[1-9][A-Za-z0-9]{3}"
_COORDINATES = ("ATOM  ", "HETATM")


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
    header = read_header(path, content)
    model, after = _first_model(content)
    code = entry_id(header.code, text.stem(path), _CODE)
    atoms = _atoms(path, model, after)
    if not atoms.polymers and not header.sequences:
        raise SourceError(f"{path} is no PDB file: it has neither ATOM nor SEQRES records; check the file.")
    chains: list[Chain] = []
    ligands = [group for name, members in atoms.others.items() for group in left_over(name, name, residues(members))]
    for name in sorted({*header.sequences, *atoms.polymers}):
        chain, others = _chain(path, name, chain_id(code, name), header, atoms.polymers.get(name, []))
        chains += [] if chain is None else [chain]
        ligands += others
    yield from records(path, Entry(chains, ligands, header.parents, header.features), options)


def _first_model(content: Sequence[str]) -> tuple[list[str], set[int]]:
    """Return the file with every line blanked out that is no coordinate of the first model, or a water's.

    With it come the indices of the HETATM after the last TER of their chain.
    """
    end = _end_of_first_model(content)
    last_ter: dict[str, int] = {}
    chain = ""
    for index, line in enumerate(content[:end]):
        if line.startswith(_COORDINATES):
            chain = line[21:22]
            if line.startswith("ATOM") and line[17:20].strip() not in WATERS:
                # That TER was a break within the chain.
                last_ter.pop(chain, None)
        elif line[:6].rstrip() == "TER":
            # The short form of TER names no chain and ends the one before it.
            last_ter[chain] = index
    model = [
        line if line.startswith(_COORDINATES) and line[17:20].strip() not in WATERS else "" for line in content[:end]
    ]
    after = {
        index
        for index, line in enumerate(model)
        if line.startswith("HETATM") and index >= last_ter.get(line[21:22], end)
    }
    return model, after


def _end_of_first_model(content: Sequence[str]) -> int:
    models = 0
    for index, line in enumerate(content):
        name = line[:6].rstrip()
        models += name == "MODEL"
        if name in {"ENDMDL", "END"} or models > 1:
            return index
    return len(content)


def _atoms(path: Path, model: Sequence[str], after: set[int]) -> _Collector:
    collector = _Collector(path, model, after)
    if not collector.shown:
        return collector
    try:
        # A number too large becomes infinite, which the check of the backbone refuses.
        with warnings.catch_warnings(), np.errstate(over="ignore"):
            # They concern absent occupancies and B factors, which are seen to here; what else Biopython
            # would drop with a warning is decided by the collector.
            warnings.simplefilter("ignore", PDBConstructionWarning)
            # The collector reads the numbers, of which Biopython knows but the decimal ones.
            lines = (f"{model[index][:22]}   0{model[index][26:]}" for index in collector.shown)
            PDBParser(PERMISSIVE=True, structure_builder=collector).get_structure("", io.StringIO("\n".join(lines)))
    except (PDBConstructionException, ValueError, IndexError) as error:
        raise SourceError(
            f"{path}:{collector.line} is no valid ATOM or HETATM record ({error}); correct the line."
        ) from error
    return collector


class _Collector:
    """Takes the place of Biopython's structure builder, to keep every atom with its line.

    Biopython's own builder drops atoms it finds contradictory and picks the last of several point
    mutants; here both are settled by `chain.residues`.
    """

    def __init__(self, path: Path, model: Sequence[str], after: set[int]) -> None:
        self.path = path
        self.line = 0
        self.polymers: defaultdict[str, list[Atom]] = defaultdict(list)
        self.others: defaultdict[str, list[Atom]] = defaultdict(list)
        # Indices of the lines that Biopython gets.
        self.shown = [index for index, line in enumerate(model) if line]
        self._model = model
        self._after = after
        self._chain = ""
        self._residue: tuple[str | None, str, bool] = (None, "", False)

    def set_line_counter(self, line: int) -> None:
        self.line = self.shown[line - 1] + 1

    def init_chain(self, chain: str) -> None:
        self._chain = chain

    def init_residue(self, name: str, kind: str, _number: int, insertion_code: str) -> None:
        self._residue = (insertion_code.strip() or None, name, kind != " ")

    def init_atom(
        self,
        name: str,
        position: Any,
        b_factor: float,
        occupancy: float | None,
        alternative: str,
        full_name: str,
        _serial: int,
        symbol: str | None,
    ) -> None:
        x, y, z = position.tolist()
        index = self.line - 1
        # Biopython has 0 for a B-factor that is not there.
        given = bool(self._model[index][60:66].strip())
        atoms = self.others if index in self._after else self.polymers
        atoms[self._chain].append(
            Atom(
                residue_number(self._model[index][22:26]),
                *self._residue,
                name=name,
                alternative=alternative.strip(),
                occupancy=occupancy or 0.0,
                position=(x, y, z),
                place=f"{self.path}:{self.line}",
                element=element(symbol or "", full_name, self._residue[1]),
                b_factor=b_factor if given else float("nan"),
            )
        )

    def init_structure(self, _: str) -> None: ...

    def init_model(self, *_: int) -> None: ...

    def init_seg(self, _: str) -> None: ...

    def set_header(self, _: object) -> None: ...

    def get_structure(self) -> None: ...


def _chain(
    path: Path, name: str, identifier: str, header: Header, atoms: list[Atom]
) -> tuple[Chain | None, list[Group]]:
    """Return a chain, None where it is no protein, and the groups among its atoms."""
    where = f"{path} chain {name}" if name.strip() else str(path)
    seen = residues(atoms)
    names = header.sequences.get(name)
    if names is None:
        polymer = amino_acids(seen, header.parents)
        names = [residue.name for residue in polymer]
    else:
        polymer = _polymer(seen, frozenset(names))
    others = left_over(name, name, seen, polymer)
    # Sorted out before the placement, which a nucleic acid chain need not survive.
    if not is_protein(names, header.parents):
        return None, others
    declared = name in header.sequences
    places = place(names, polymer, header.missing.get(name, []), where) if declared else range(len(names))
    observed = dict(zip(places, polymer, strict=True))
    return Chain(identifier, where, name, name, names, observed), others


def _polymer(observed: Sequence[Residue], names: frozenset[str]) -> Sequence[Residue]:
    """Leave out the ligands: HETATM residues of names that SEQRES does not list."""
    return checked(
        [
            residue
            for residue in observed
            if any(name in names or not variant.hetero for name, variant in residue.variants.items())
        ]
    )
