"""mmCIF files: one record per protein chain of the first model."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from Bio.PDB.MMCIF2Dict import MMCIF2Dict

from ...errors import SourceError
from .. import text
from ..record import DEFAULT, Excluded, Options, Record
from .chain_properties import STRUCTURE_PROPERTIES, chain_records
from .chemistry import WATERS, Parents, element, is_protein, why_no_protein
from .confidence import cif_declares, local_confidence
from .entry import Atom, Chain, Entry, Group, Key, Residue, left_over
from .mmcif_categories import ABSENT, Cif, number_and_code, read_categories
from .naming import chain_id, distinct_ids, entry_id
from .placement import with_strays
from .residues import alternatives, amino_acids, check_polymer, is_peptide, of_polymer, residues, segments

NAME = "mmCIF (.cif .mmcif)"
PROPERTIES = STRUCTURE_PROPERTIES

# Names of people stand in a category's rows as those of atoms do.
_ANY = re.compile(rb"")
_SUFFIXES = frozenset({".cif", ".mmcif"})
# Lines at most before the entry's id: a licence may stand before it.
_HEAD_LINES = 200


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file's suffix is that of an mmCIF file."""
    return text.suffix(path) in _SUFFIXES


def declared(path: Path) -> str:
    """Return the entry's id at the head of the file; "" where it has none."""
    for number, line in text.lines(path, windows=_ANY):
        if line.startswith("_entry.id"):
            return _declared(line.removeprefix("_entry.id").strip().strip("'\""))
        if line.startswith("_atom_site.") or number > _HEAD_LINES:
            break
    return ""


def _declared(code: str) -> str:
    return "" if code in ABSENT or any(map(str.isspace, code)) else code


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield one record per protein chain of the first model, sorted by author chain id; see `read_entry`."""
    return chain_records(path, read_entry(path, options), options)


def read_entry(path: Path, options: Options = DEFAULT) -> Entry:
    """Return the chains of the first model, sorted by author chain id.

    The sequence is that of pdbx_poly_seq_scheme (or entity_poly_seq), on which the atoms have their
    places by label_seq_id; without these categories it is the sequence of the observed residues. Residues that are no
    standard amino acids have their letters from pdbx_seq_one_letter_code_can.

    Raises
    ------
    SourceError
        The file cannot be read, is not mmCIF, has no chain, or its atoms contradict its sequence.
    """
    cif = _parse(path)
    entry = entry_id(_declared(next(iter(cif.get("_entry.id", [])), "")), path)
    parents: dict[str, str] = {}
    for name, parent in zip(
        cif.get("_pdbx_struct_mod_residue.label_comp_id", []),
        cif.get("_pdbx_struct_mod_residue.parent_comp_id", []),
        strict=False,
    ):
        # Of what was made of several, as a chromophore, the first.
        parents.setdefault(name, parent)
    rows, waters = _rows(path, cif)
    # Where atoms have places in a sequence, those without are of no polymer.
    labelled = any(row.place is not None for row in rows)
    others = [row for row in rows if labelled and row.place is None]
    rows = [row for row in rows if not labelled or row.place is not None]
    polymers = _scheme(path, cif) or _entities(path, cif, rows)
    by_label: dict[str, list[_Row]] = defaultdict(list)
    undeclared: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.label in polymers:
            by_label[row.label].append(row)
        else:
            undeclared[row.chain].append(row)

    chains: list[Chain] = []
    reasons: dict[str, str] = {}
    known = _declared_polymers(path, cif, rows)
    for label, polymer in polymers.items():
        names = [choices[0] for choices in polymer.names]
        kind, letters = known.get(label, ("", ""))
        where = f"{path} chain {polymer.chain}"
        if is_protein(names, parents) or kind.startswith("polypeptide"):
            observed = _placed(polymer, by_label[label], where)
            letters = letters if len(letters) == len(names) else ""
            chains.append(Chain(chain_id(entry, polymer.chain), where, polymer.chain, label, names, observed, letters))
        else:
            reasons.setdefault(polymer.chain, why_no_protein(names))
    ligands = _ligands(others)
    for chain, members in undeclared.items():
        behind = residues(row.atom for row in others if row.chain == chain)
        found, groups, reason = _undeclared(path, entry, chain, members, behind, parents)
        chains += found
        ligands = [
            one for one in ligands if one.key not in {key for each in found for _, key in each.numbered()}
        ] + groups
        if reason is not None:
            reasons.setdefault(chain, reason)
    for chain in (*(row.chain for row in others), *waters):
        reasons.setdefault(chain, why_no_protein(()))
    chains.sort(key=lambda one: one.author)
    chains = distinct_ids(entry, chains)
    if cif_declares(path, cif, predicted=options.predicted):
        local = local_confidence(cif)
        chains = [replace(one, confidence=_confidence(one, local)) for one in chains]
    excluded = [
        Excluded(chain_id(entry, chain), path.name, reason, entry)
        for chain, reason in sorted(reasons.items())
        if chain not in {one.author for one in chains}
    ]
    features = read_categories(path, cif, _labelled(rows))
    return Entry(entry, chains, ligands, parents, features, excluded=excluded)


def _undeclared(
    path: Path, entry: str, chain: str, rows: Sequence[_Row], behind: Sequence[Residue], parents: Parents
) -> tuple[list[Chain], list[Group], str | None]:
    """Return the chains of an author's name whose sequence is not declared, the ligands, and why it is no protein."""
    chains: list[Chain] = []
    ligands: list[Group] = []
    reason = None
    places = {row.atom.place: row.place for row in rows}
    for label, atoms in segments([row.atom for row in rows], parents, nameless=False).items():
        where = f"{path} chain {chain}" if chain.strip() else str(path)
        asym = label or rows[0].label
        if any(places[atom.place] is not None for atom in atoms):
            by_place: dict[int, list[Atom]] = defaultdict(list)
            for atom in atoms:
                by_place[places[atom.place] or 0].append(atom)
            seen = [one for _, members in sorted(by_place.items()) for one in residues(members)]
        else:
            seen = residues(atoms)
        kept = check_polymer(with_strays(amino_acids(seen, parents), behind, parents, where, declared=False))
        ligands += left_over(chain, asym, seen, kept)
        names = [residue.name for residue in kept]
        if is_protein(names, parents) or is_peptide(kept):
            observed = dict(enumerate(kept))
            chains.append(Chain(chain_id(entry, chain), where, chain, asym, names, observed))
        else:
            reason = why_no_protein(names or of_polymer(seen))
    return chains, ligands, reason


def _declared_polymers(path: Path, cif: Cif, rows: Sequence[_Row]) -> dict[str, tuple[str, str]]:
    """Return the type and the canonical sequence of polymers by label_asym_id, as entity_poly declares them."""
    columns = ("entity_id", "type", "pdbx_seq_one_letter_code_can")
    ids = cif.get("_entity_poly.entity_id", [])
    said = [cif.get(f"_entity_poly.{name}", []) for name in columns[1:]]
    types, sequences = (column if len(column) == len(ids) else [""] * len(ids) for column in said)
    entities = {
        entity: (kind.lower(), "".join(sequence.split()).upper())
        for entity, kind, sequence in zip(ids, types, sequences, strict=True)
    }
    homes = dict(zip(cif.get("_struct_asym.id", []), cif.get("_struct_asym.entity_id", []), strict=False))
    homes |= dict(
        zip(cif.get("_pdbx_poly_seq_scheme.asym_id", []), cif.get("_pdbx_poly_seq_scheme.entity_id", []), strict=False)
    )
    homes |= {row.label: row.entity for row in rows if row.label not in homes}
    return {label: entities[entity] for label, entity in homes.items() if entity in entities}


def _confidence(chain: Chain, local: Mapping[tuple[str, int], float]) -> dict[int, float]:
    """Return the declared pLDDT of each place of a chain; the Cα's B-factors where it lists none."""
    places = range(len(chain.names))
    listed = {place: local[chain.asym, place + 1] for place in places if (chain.asym, place + 1) in local}
    return listed or chain.b_factors()


@dataclass(frozen=True)
class _Row:
    """An atom with its label_asym_id, entity, label_seq_id (None where absent) and author chain."""

    label: str
    entity: str
    place: int | None
    chain: str
    atom: Atom


@dataclass(frozen=True)
class _Polymer:
    """A declared chain: its author id and, per place, the residue names there, the main one first."""

    chain: str
    names: list[list[str]]


def _parse(path: Path) -> Cif:
    blocks = _blocks(line for _, line in text.lines(path, whole=True, windows=_ANY))
    # Programs that refine a structure add blocks of what they know of its ligands.
    structures = [block for block in blocks if any(line.startswith("_atom_site.") for line in block)] or blocks
    if len(structures) != 1:
        raise SourceError(
            f"{path} has {len(structures)} data blocks where an mmCIF structure has one; "
            f"give a file with the one block that has the structure."
        )
    try:
        cif: Cif = MMCIF2Dict(io.StringIO("\n".join(structures[0])))
    except Exception as error:
        # Damaged text makes the tokenizer fail in many ways, and all mean the same to the user.
        raise SourceError(f"{path} is not a readable mmCIF ({error}); fetch it again.") from error
    return cif


def _blocks(lines: Iterable[str]) -> list[list[str]]:
    """Return the lines of each data block."""
    blocks: list[list[str]] = []
    in_text = False
    for line in lines:
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text and line[:5].lower() == "data_":
            blocks.append([])
        if blocks and (line or in_text):
            blocks[-1].append(line)
    return blocks


def _rows(path: Path, cif: Cif) -> tuple[list[_Row], list[str]]:
    """Return the atoms of the first model, and the chains that waters are of, which are not read."""
    if "_atom_site.Cartn_x" not in cif:
        return [], []
    columns = [
        _column(path, cif, names, default)
        for names, default in (
            (("label_asym_id", "auth_asym_id"), " "),
            (("auth_asym_id", "label_asym_id"), " "),
            (("label_entity_id",), "?"),
            (("label_seq_id",), "?"),
            (("auth_seq_id", "label_seq_id"), None),
            (("pdbx_PDB_ins_code",), "?"),
            (("label_comp_id", "auth_comp_id"), None),
            (("group_PDB",), "?"),
            (("label_atom_id", "auth_atom_id"), None),
            (("label_alt_id",), "?"),
            (("occupancy",), "1"),
            (("Cartn_x",), None),
            (("Cartn_y",), None),
            (("Cartn_z",), None),
            (("type_symbol",), "?"),
            (("B_iso_or_equiv",), "?"),
            (("pdbx_PDB_model_num",), "1"),
        )
    ]
    first_model = columns[-1][0]
    rows = []
    waters = []
    for index, (*fields, model) in enumerate(zip(*columns, strict=True), start=1):
        if model == first_model and fields[6].upper() in WATERS:
            waters.append(fields[1])
        elif model == first_model:
            try:
                rows.append(_row(fields, f"{path}, atom_site row {index}"))
            except ValueError as error:
                raise SourceError(
                    f"{path}: row {index} of atom_site is not valid ({error}); correct or fetch it again."
                ) from error
    return rows, waters


def _ligands(rows: Iterable[_Row]) -> list[Group]:
    atoms: dict[tuple[str, str], list[Atom]] = defaultdict(list)
    for row in rows:
        if row.atom.hetero:
            atoms[row.chain, row.label].append(row.atom)
    return [group for (chain, label), members in atoms.items() for group in left_over(chain, label, residues(members))]


def _labelled(rows: Iterable[_Row]) -> dict[tuple[str, str], Key]:
    """Return the author's names of each residue by label_asym_id and label_seq_id."""
    return {
        (row.label, str(row.place)): (row.chain, row.atom.number, row.atom.insertion_code)
        for row in rows
        if row.place is not None
    }


def _column(path: Path, cif: Cif, names: Sequence[str], default: str | None) -> list[str]:
    """Return the first of the atom_site columns that is there, of the length that all must have."""
    length = len(cif["_atom_site.Cartn_x"])
    for name in names:
        column = cif.get(f"_atom_site.{name}")
        if column is not None and any(value not in ABSENT for value in column):
            if len(column) != length:
                raise SourceError(f"{path} is cut short in its atom_site rows; fetch it again.")
            return column
    if default is None:
        raise SourceError(f"{path} lacks the column _atom_site.{names[0]}; give a complete mmCIF file.")
    return [default] * length


def _row(fields: Sequence[str], place: str) -> _Row:
    label, chain, entity, label_seq, number, code, residue, group, name, alternative, occupancy, *rest = fields
    x, y, z = (float(np.float32(value)) for value in rest[:3])
    symbol, b_factor = rest[3:]
    digits, letter = number_and_code(next((value for value in (number, label_seq) if value not in ABSENT), "0"))
    atom = Atom(
        number=digits,
        insertion_code=letter if code in ABSENT else code,
        residue=residue.upper(),
        # Without a declaration: residues that have no place in a sequence.
        hetero=group == "HETATM" or (group in ABSENT and label_seq in ABSENT),
        name=name,
        alternative="" if alternative in ABSENT else alternative,
        occupancy=0.0 if occupancy in ABSENT else float(occupancy),
        position=(x, y, z),
        place=place,
        element=element(symbol, name, residue),
        b_factor=float("nan") if b_factor in ABSENT else float(b_factor),
        segment=label,
    )
    return _Row(label, entity, None if label_seq in ABSENT else int(label_seq), chain, atom)


def _scheme(path: Path, cif: Cif) -> dict[str, _Polymer]:
    """Return the polymers by label_asym_id as pdbx_poly_seq_scheme declares them."""
    polymers: dict[str, _Polymer] = {}
    for label, chain, place, name in _table(
        path, cif, "_pdbx_poly_seq_scheme", ("asym_id", "pdb_strand_id", "seq_id", "mon_id")
    ):
        polymer = polymers.setdefault(label, _Polymer(label if chain in ABSENT else chain, []))
        _extend(polymer.names, place, name.upper(), f"{path} chain {polymer.chain}")
    return polymers


def _entities(path: Path, cif: Cif, rows: Sequence[_Row]) -> dict[str, _Polymer]:
    """Return the polymers of the atoms by label_asym_id as entity_poly_seq declares them."""
    names: dict[str, list[list[str]]] = defaultdict(list)
    for entity, place, name in _table(path, cif, "_entity_poly_seq", ("entity_id", "num", "mon_id")):
        _extend(names[entity], place, name.upper(), f"{path} entity {entity}")
    return {row.label: _Polymer(row.chain, names[row.entity]) for row in rows if row.entity in names}


def _table(path: Path, cif: Cif, category: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    present = [cif[f"{category}.{name}"] for name in columns if f"{category}.{name}" in cif]
    if not present:
        return iter(())
    if len(present) != len(columns) or len({len(column) for column in present}) != 1:
        raise SourceError(f"{path} has an incomplete {category[1:]}; fetch it again or give a complete file.")
    return zip(*present, strict=True)


def _extend(names: list[list[str]], place: str, name: str, where: str) -> None:
    """Add a residue name at its 1-based place; a second one there is a point mutation."""
    if place == str(len(names) + 1):
        names.append([name])
    elif names and place == str(len(names)):
        names[-1].append(name)
    else:
        raise SourceError(
            f"{where}: its declared sequence goes from residue {len(names)} to {place}; "
            f"number it without gaps or fetch the file again."
        )


def _placed(polymer: _Polymer, rows: Sequence[_Row], where: str) -> dict[int, Residue]:
    atoms: dict[int, list[Atom]] = defaultdict(list)
    for row in rows:
        # `_rows` keeps rows without a place only where no row has one, and then none can be placed.
        if row.place is None:
            raise SourceError(
                f"{where}: its sequence is declared but its atoms have no label_seq_id; "
                f"add that column or remove the declared sequence."
            )
        atoms[row.place].append(row.atom)
    placed: dict[int, Residue] = {}
    for place, here in atoms.items():
        observed = alternatives(here)
        fits = 1 <= place <= len(polymer.names) and not {atom.residue for atom in here} - {*polymer.names[place - 1]}
        if len(observed) != 1 or not fits:
            label = f"{here[0].residue} {here[0].number}{here[0].insertion_code or ''}"
            raise SourceError(
                f"{where}: residue {label} at place {place} does not fit the declared sequence; "
                f"correct the file or fetch it again."
            )
        placed[place - 1] = check_polymer(observed)[0]
    return placed
