"""PDB files: one record per protein chain of the first model."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...errors import SourceError
from .. import text
from ..record import DEFAULT, Excluded, Options, Record
from .chain_properties import STRUCTURE_PROPERTIES, chain_records
from .chemistry import WATERS, element, is_amino_acid, is_protein, why_no_protein
from .confidence import pdb_declares
from .entry import UNREADABLE, Atom, Chain, Entry, Group, Residue, left_over
from .naming import chain_id, entry_id
from .pdb_header import Header, number_or_text, read_header, residue_and_chain
from .placement import place, with_strays
from .residues import amino_acids, check_polymer, is_peptide, of_polymer, residues, segments

_log = logging.getLogger(__name__)

NAME = "PDB (.pdb .ent)"
PROPERTIES = STRUCTURE_PROPERTIES

_SUFFIXES = frozenset({".pdb", ".ent"})
_CODE = re.compile(r"[1-9][A-Za-z0-9]{3}")
# Records in which people have names, or programs: all but those with ids of chains and residues.
_REMARKS = re.compile(rb"(?!ATOM|HETATM|SEQRES|MODRES|HELIX|SHEET|SSBOND|LINK|SITE)")
_COORDINATES = ("ATOM  ", "HETATM")
# HEADER comes first, if at all; some programs put a licence before it.
_HEAD_LINES = 200


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file's suffix is that of a PDB file."""
    return text.suffix(path) in _SUFFIXES


def declared(path: Path) -> str:
    """Return the entry's code in the file's HEADER; "" where it has none."""
    for number, line in text.lines(path, windows=_REMARKS):
        if line.startswith("HEADER"):
            return _code(line[62:66].strip())
        if line.startswith(_COORDINATES) or number > _HEAD_LINES:
            break
    return ""


def _code(declared: str) -> str:
    return declared if _CODE.fullmatch(declared) else ""


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield one record per protein chain of the first model, sorted by chain id; see `read_entry`."""
    return chain_records(path, read_entry(path, options), options)


def read_entry(path: Path, options: Options = DEFAULT) -> Entry:
    """Return the chains of the first model, sorted by chain id.

    The sequence is SEQRES with the observed residues placed on it or, for a chain without SEQRES, that of
    the observed residues. HETATM records after a chain's last TER are ligands, not of the polymer, except
    residues that fit a gap of it. Chains without an id, or whose residues have the same numbers, are distinguished by
    segment ids.

    Raises
    ------
    SourceError
        The file cannot be read, is not a PDB file, has no chain, or has a chain whose residues cannot be distinguished
        or do not fit its SEQRES.
    """
    content = [line for _, line in text.lines(path, whole=True, windows=_REMARKS)]
    header = read_header(path, content)
    model = _first_model(path, content)
    code = entry_id(_code(header.code), path)
    if not model.names and not header.sequences:
        raise SourceError(f"{path} is not a PDB file: it has neither ATOM nor SEQRES records; check the file.")
    predicted = pdb_declares(path, content, predicted=options.predicted)
    chains: list[Chain] = []
    ligands: list[Group] = []
    excluded: list[Excluded] = []
    for part in _parts(header, model):
        chain, others = _chain(path, part, chain_id(code, part.id), header)
        ligands += others
        if isinstance(chain, Chain):
            if part.id == part.chain in model.continued and part.chain not in header.sequences:
                _log.warning(
                    "%s:%d: %s goes on after a TER and is read as one chain: if another molecule begins there, give it "
                    "a chain id of its own (column 22)",
                    path,
                    model.continued[part.chain],
                    f"chain {part.id}" if part.id.strip() else "the chain without an id",
                )
            chains.append(replace(chain, confidence=chain.b_factors()) if predicted else chain)
        else:
            excluded.append(Excluded(chain_id(code, part.id), path.name, chain, code))
    seen = {*header.sequences, *model.polymers, *model.others}
    excluded += [
        Excluded(chain_id(code, name), path.name, why_no_protein(()), code) for name in sorted(model.names - seen)
    ]
    return Entry(code, chains, ligands, header.parents, header.features, excluded=excluded)


@dataclass(frozen=True)
class _Model:
    """The atoms of a model.

    Attributes
    ----------
    names
        Every chain id, those of waters alone too.
    continued
        By chain, the line at which amino acids first go on after a TER.
    polymers, others
        The atoms of each chain, and the HETATM after its last TER.
    """

    names: set[str]
    continued: Mapping[str, int]
    polymers: defaultdict[str, list[Atom]] = field(default_factory=lambda: defaultdict(list))
    others: defaultdict[str, list[Atom]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class _Part:
    """The atoms of a chain: those of its polymer and those that stand after its last TER."""

    id: str
    chain: str
    polymer: Sequence[Atom]
    behind: Sequence[Atom]


def _parts(header: Header, model: _Model) -> Iterator[_Part]:
    """Yield the chains of the file, those of one id by segment where they are several."""
    for name in sorted({*header.sequences, *model.polymers, *model.others}):
        polymer, behind = model.polymers.get(name, []), model.others.get(name, [])
        known = name in header.sequences
        found = {"": polymer} if known else segments(polymer, header.parents, nameless=not name.strip())
        for segment, members in found.items():
            # A chain id in front, where there is one, keeps segment A of chain B from chain A.
            full = "_".join(filter(str.strip, (name, segment))) if segment else name
            yield _Part(full, name, members, [atom for atom in behind if not segment or atom.segment == segment])


def _first_model(path: Path, content: Sequence[str]) -> _Model:
    """Return the atoms of the first model, without waters.

    Raises
    ------
    SourceError
        A record of an atom cannot be read.
    """
    end = _end_of_first_model(content)
    atoms: list[tuple[int, str, str]] = []
    last_ter: dict[str, int] = {}
    continued: dict[str, int] = {}
    chain = ""
    for index, line in enumerate(content[:end]):
        if line.startswith(_COORDINATES):
            residue, chain = residue_and_chain(line)
            atoms.append((index, residue, chain))
            # That TER was a break within the chain, if ATOM records go on after it.
            goes_on = line.startswith("ATOM") and residue not in WATERS and last_ter.pop(chain, None) is not None
            if goes_on and is_amino_acid(residue, {}):
                continued.setdefault(chain, index + 1)
        elif line[:6].rstrip() == "TER":
            # The short form of TER names no chain and ends the one before it.
            last_ter[chain] = index
    model = _Model({chain for _, _, chain in atoms}, continued)
    # A number too large becomes infinite, which the check of the backbone refuses.
    with np.errstate(over="ignore"):
        for index, residue, chain in atoms:
            if residue not in WATERS:
                atom = _atom(f"{path}:{index + 1}", content[index], residue)
                behind = atom.hetero and index >= last_ter.get(chain, end)
                (model.others if behind else model.polymers)[chain].append(atom)
    return model


def _atom(place: str, line: str, residue: str) -> Atom:
    """Read a record of an atom by its columns."""
    name, occupancy, b_factor = line[12:16], line[54:60], line[60:66]
    try:
        x, y, z = (float(np.float32(line[start : start + 8])) for start in (30, 38, 46))
        return Atom(
            number_or_text(line[22:26]),
            line[26:27].strip() or None,
            residue,
            line.startswith("HETATM"),
            name=name.strip() if len(name.split()) == 1 else name,
            alternative=line[16:17].strip(),
            occupancy=float(occupancy) if occupancy.strip() else 0.0,
            position=(x, y, z),
            place=place,
            element=element(line[76:78], name, residue),
            b_factor=float(b_factor) if b_factor.strip() else float("nan"),
            segment=line[72:76].strip(),
        )
    except ValueError as error:
        raise SourceError(f"{place} is not a valid ATOM or HETATM record ({error}); correct the line.") from error


def _end_of_first_model(content: Sequence[str]) -> int:
    models = 0
    for index, line in enumerate(content):
        name = line[:6].rstrip()
        models += name == "MODEL"
        if name in {"ENDMDL", "END"} or models > 1:
            return index
    return len(content)


def _chain(path: Path, part: _Part, identifier: str, header: Header) -> tuple[Chain | str, list[Group]]:
    """Return a chain, the reason where it is no protein, and the groups among its atoms."""
    name = part.chain
    where = f"{path} chain {part.id}" if part.id.strip() else str(path)
    seen, behind = residues(part.polymer), residues(part.behind)
    names = header.sequences.get(name)
    known = names is not None
    body = amino_acids(seen, header.parents) if names is None else _polymer(seen, frozenset(names))
    strays = behind if names is None else _polymer(behind, frozenset(names))
    # Sorted out before the placement, which a nucleic acid chain need not survive.
    found = [residue.name for residue in body] if names is None else names
    if not (is_protein(found, header.parents) or is_peptide(body)):
        everything = [*seen, *behind]
        return why_no_protein(found or of_polymer(seen)), left_over(name, name, everything)
    polymer = check_polymer(with_strays(body, strays, header.parents, where, declared=known))
    _check_numbers(polymer)
    others = left_over(name, name, [*seen, *behind], polymer)
    names = names or [residue.name for residue in polymer]
    places = place(names, polymer, header.missing.get(name, []), where) if known else range(len(names))
    observed = dict(zip(places, polymer, strict=True))
    return Chain(identifier, where, name, name, names, observed), others


def _check_numbers(polymer: Sequence[Residue]) -> None:
    for residue in polymer:
        if residue.number >= UNREADABLE:
            atom = next(iter(residue.named(residue.name).atoms.values()))
            raise SourceError(
                f"{atom.place}: the number of residue {residue.name} is neither decimal nor hybrid-36; renumber the "
                "residues, or give the structure as mmCIF."
            )


def _polymer(observed: Sequence[Residue], names: frozenset[str]) -> list[Residue]:
    """Leave out the ligands: HETATM residues of names that SEQRES does not list."""
    return [
        residue
        for residue in observed
        if any(name in names or not variant.hetero for name, variant in residue.variants.items())
    ]
