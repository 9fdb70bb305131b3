"""Small entries written as PDB and as mmCIF, from one description, to the formats' specifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attnstore.readers.inputs import Record
from attnstore.readers.record import DEFAULT, Options
from attnstore.readers.structures import mmcif, pdb

FORMATS = ["pdb", "cif"]
ALL_COPIES = "1"


@dataclass(frozen=True)
class Atom:
    """One atom; the residue is chain, name and number, which may end in an insertion code."""

    chain: str
    residue: str
    number: str
    name: str
    position: tuple[float, float, float]
    element: str = "C"
    polymer: bool = True
    b_factor: float = 20.0

    @property
    def place(self) -> tuple[str, str]:
        """Return number and insertion code."""
        digits = self.number.rstrip("ABCDEFGH")
        return digits, self.number[len(digits) :]


@dataclass(frozen=True)
class Described:
    """An entry.

    Residues are written "A ALA 5" or "A ALA 5B", and an atom of one "A CYS 5 SG".
    """

    atoms: Sequence[Atom]
    sequences: dict[str, Sequence[str]]
    helices: Sequence[tuple[str, str]] = ()
    polyproline: Sequence[tuple[str, str]] = ()
    strands: Sequence[tuple[str, str]] = ()
    turns: Sequence[tuple[str, str]] = ()
    disulfides: Sequence[tuple[str, str]] = ()
    links: Sequence[tuple[str, str]] = ()
    symmetry: str = "1_555"
    sites: dict[str, tuple[str, Sequence[str]]] = field(default_factory=dict)
    modified: Sequence[tuple[str, str]] = ()
    assemblies: Sequence[tuple[Sequence[str], Sequence[np.ndarray]]] = ()
    more: str = ""


def read(folder: Path, entry: Described, kind: str, options: Options = DEFAULT) -> list[Record]:
    path = folder / f"given.{kind}"
    path.write_text(as_pdb(entry) if kind == "pdb" else as_cif(entry))
    return list((pdb if kind == "pdb" else mmcif).read(path, options))


def split(residue: str) -> tuple[str, str, str, str, str]:
    """Return chain, name, number, insertion code and atom of "A CYS 5B SG"."""
    chain, name, number, *atom = residue.split()
    digits = number.rstrip("ABCDEFGH")
    return chain, name, digits, number[len(digits) :], atom[0] if atom else ""


def as_pdb(entry: Described) -> str:
    """Write with the columns of format version 3.3."""
    lines = [
        f"SEQRES {i:>3} {chain} {len(names):>4}  {' '.join(names[start : start + 13])}"
        for chain, names in entry.sequences.items()
        for i, start in enumerate(range(0, len(names), 13), start=1)
    ]
    for residue, parent in entry.modified:
        chain, name, number, code, _ = split(residue)
        lines.append(f"MODRES 1ABC {name:>3} {chain} {number:>4}{code:1} {parent:>3}  WORDS")
    helices = [(pair, 1) for pair in entry.helices] + [(pair, 10) for pair in entry.polyproline]
    for i, ((first, last), group) in enumerate(helices, start=1):
        (chain, name, number, code, _), (end_chain, end_name, end, end_code, _) = split(first), split(last)
        lines.append(
            f"HELIX  {i:>3} {i:>3} {name:>3} {chain} {number:>4}{code:1} {end_name:>3} {end_chain} {end:>4}"
            f"{end_code:1}{group:>2}{'':30} {9:>5}"
        )
    for i, (first, last) in enumerate(entry.strands, start=1):
        (chain, name, number, code, _), (end_chain, end_name, end, end_code, _) = split(first), split(last)
        lines.append(
            f"SHEET  {i:>3}   A 1 {name:>3} {chain}{number:>4}{code:1} {end_name:>3} {end_chain}{end:>4}{end_code:1} 0"
        )
    for i, (first, last) in enumerate(entry.turns, start=1):
        (chain, name, number, code, _), (end_chain, end_name, end, end_code, _) = split(first), split(last)
        lines.append(
            f"TURN   {i:>3} T{i:<2} {name:>3} {chain}{number:>4}{code:1} {end_name:>3} {end_chain}{end:>4}{end_code:1}"
        )
    symmetry = entry.symmetry.replace("_", "")
    for i, (first, last) in enumerate(entry.disulfides, start=1):
        (chain, _, number, code, _), (end_chain, _, end, end_code, _) = split(first), split(last)
        lines.append(
            f"SSBOND {i:>3} CYS {chain} {number:>4}{code:1}   CYS {end_chain} {end:>4}{end_code:1}{'':23}"
            f"{'1555':>6} {symmetry:>6}  2.03"
        )
    for first, last in entry.links:
        (chain, name, number, code, atom), (end_chain, end_name, end, end_code, end_atom) = split(first), split(last)
        lines.append(
            f"LINK        {atom:>4} {name:>3} {chain}{number:>4}{code:1}{'':15}{end_atom:>4} {end_name:>3} {end_chain}"
            f"{end:>4}{end_code:1}  {'1555':>6} {'1555':>6}  1.40"
        )
    for name, (evidence, residues) in entry.sites.items():
        lines += ["REMARK 800", "REMARK 800 SITE", f"REMARK 800 SITE_IDENTIFIER: {name}"]
        lines += [f"REMARK 800 EVIDENCE_CODE: {evidence}"] if evidence else []
        for row, start in enumerate(range(0, len(residues), 4), start=1):
            line = f"SITE   {row:>3} {name:>3} {len(residues):>2}"
            for residue in residues[start : start + 4]:
                chain, group, number, code, _ = split(residue)
                line += f" {group:>3} {chain}{number:>4}{code:1}"
            lines.append(line)
    for index, (chains, operators) in enumerate(entry.assemblies, start=1):
        lines.append(f"REMARK 350 BIOMOLECULE: {index}")
        lines.append(f"REMARK 350 APPLY THE FOLLOWING TO CHAINS: {', '.join(chains)}")
        for i, operator in enumerate(operators, start=1):
            for axis, (x, y, z, shift) in enumerate(operator, start=1):
                lines.append(f"REMARK 350   BIOMT{axis} {i:>3}{x:10.6f}{y:10.6f}{z:10.6f}{shift:15.5f}")
    previous = None
    ordered = sorted(entry.atoms, key=lambda atom: not atom.polymer)
    for serial, atom in enumerate(ordered, start=1):
        if previous and (previous.polymer, previous.chain) != (atom.polymer, atom.chain) and previous.polymer:
            lines.append("TER")
        previous = atom
        number, code = atom.place
        name = f"{atom.name:<4}" if len(atom.element) == 2 or len(atom.name) == 4 else f" {atom.name:<3}"
        x, y, z = atom.position
        lines.append(
            f"{'ATOM' if atom.polymer else 'HETATM':<6}{serial:>5} {name} {atom.residue:>3} {atom.chain}{number:>4}"
            f"{code:1}   {x:8.3f}{y:8.3f}{z:8.3f}{1.0:6.2f}{atom.b_factor:6.2f}{'':10}{atom.element:>2}"
        )
    return "\n".join([*lines, entry.more, "END", ""])


def as_cif(entry: Described) -> str:
    """Write with label names that differ from the author's: chain "A" is "AP", its ligands are "AL"."""
    places: dict[tuple[str, str, str], int] = {}
    for atom in entry.atoms:
        if atom.polymer:
            count = len({key for key in places if key[0] == atom.chain})
            places.setdefault((atom.chain, *atom.place), count + 1)
    text = ["data_given"]

    def loop(category: str, columns: str, rows: list[list[object]]) -> None:
        if rows:
            text.append("#\nloop_")
            text.extend(f"_{category}.{column}" for column in columns.split())
            text.extend(" ".join(f'"{value}"' if " " in str(value) else str(value) for value in row) for row in rows)

    scheme = [
        [f"{chain}P", chain, place, name]
        for chain, names in entry.sequences.items()
        for place, name in enumerate(names, start=1)
    ]
    loop("pdbx_poly_seq_scheme", "asym_id pdb_strand_id seq_id mon_id", scheme)

    def residue(text_of: str) -> list[object]:
        chain, name, number, code, _ = split(text_of)
        return [name, chain, number, code or "?"]

    spans: list[list[object]] = []
    for kind, group, pairs in (
        ("HELX_P", "1", entry.helices), ("HELX_P", "10", entry.polyproline), ("TURN_P", "?", entry.turns),
    ):  # fmt: skip
        spans += [[kind, group, *residue(first), *residue(last)] for first, last in pairs]
    ends = "beg_auth_comp_id beg_auth_asym_id beg_auth_seq_id pdbx_beg_PDB_ins_code "
    ends += ends.replace("beg", "end")
    loop("struct_conf", f"conf_type_id pdbx_PDB_helix_class {ends}", spans)
    strands = [["A", *residue(first), *residue(last)] for first, last in entry.strands]
    loop("struct_sheet_range", f"sheet_id {ends}", strands)
    bonds = [("disulf", f"{a} SG", f"{b} SG", entry.symmetry) for a, b in entry.disulfides]
    bonds += [("covale", a, b, "1_555") for a, b in entry.links]
    partners = " ".join(
        f"ptnr{i}_label_comp_id ptnr{i}_auth_asym_id ptnr{i}_auth_seq_id pdbx_ptnr{i}_PDB_ins_code "
        f"ptnr{i}_label_atom_id"
        for i in (1, 2)
    )
    loop(
        "struct_conn", f"conn_type_id {partners} ptnr1_symmetry ptnr2_symmetry",
        [[kind, *residue(a), split(a)[4], *residue(b), split(b)[4], "1_555", far] for kind, a, b, far in bonds],
    )  # fmt: skip
    loop("struct_site", "id pdbx_evidence_code", [[name, code or "?"] for name, (code, _) in entry.sites.items()])
    loop(
        "struct_site_gen", "site_id auth_comp_id auth_asym_id auth_seq_id pdbx_auth_ins_code",
        [[name, *residue(one)] for name, (_, residues) in entry.sites.items() for one in residues],
    )  # fmt: skip
    loop(
        "pdbx_struct_mod_residue", "label_comp_id auth_asym_id auth_seq_id PDB_ins_code parent_comp_id",
        [[*residue(one), parent] for one, parent in entry.modified],
    )  # fmt: skip
    matrix = " ".join(f"matrix[{row}][1] matrix[{row}][2] matrix[{row}][3] vector[{row}]" for row in (1, 2, 3))
    operators = [
        [f"{index}x{i}", *operator.ravel()]
        for index, (_, all_of) in enumerate(entry.assemblies)
        for i, operator in enumerate(all_of)
    ]
    loop("pdbx_struct_oper_list", f"id {matrix}", operators)
    loop(
        "pdbx_struct_assembly_gen", "assembly_id oper_expression asym_id_list",
        [
            [index, ",".join(f"{index}x{i}" for i in range(len(all_of))), ",".join(f"{c}P,{c}L" for c in chains)]
            for index, (chains, all_of) in enumerate(entry.assemblies)
        ],
    )  # fmt: skip
    loop(
        "atom_site",
        "group_PDB id type_symbol label_atom_id label_comp_id label_asym_id label_seq_id auth_seq_id auth_asym_id "
        "pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv",
        [
            [
                "ATOM" if atom.polymer else "HETATM", i, atom.element, atom.name, atom.residue,
                f"{atom.chain}{'P' if atom.polymer else 'L'}",
                places[atom.chain, *atom.place] if atom.polymer else ".", atom.place[0], atom.chain,
                atom.place[1] or "?", *(f"{x:.3f}" for x in atom.position), "1.00", f"{atom.b_factor:.2f}",
            ]
            for i, atom in enumerate(entry.atoms, start=1)
        ],
    )  # fmt: skip
    return "\n".join([*text, "#", entry.more, ""])


def chain_of(names: str, chain: str = "A", spacing: float = 10.0, origin: float = 0.0) -> list[Atom]:
    """Return Cα atoms of residues numbered from 1, the i-th at (origin + spacing · i, 0, 0)."""
    return [
        Atom(chain, name, str(i), "CA", (origin + spacing * (i - 1), 0.0, 0.0))
        for i, name in enumerate(names.split(), start=1)
    ]
