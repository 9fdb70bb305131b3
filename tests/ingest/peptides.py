"""Peptides with the atoms N, CA, C and CB and peptide bonds between neighbours, as lines of PDB and mmCIF files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Place:
    """A residue of a file: the i-th of a straight chain, `row` times 20 Å from the first chain."""

    name: str
    number: str
    at: int
    row: int = 0
    chain: str = "A"
    segment: str = ""
    kind: str = "ATOM"
    alternative: str = ""
    occupancy: float = 1.0
    b: float = 20.0
    atoms: tuple[str, ...] = ("N", "CA", "C", "CB")

    def positions(self) -> list[tuple[str, tuple[float, float, float]]]:
        """The peptide bond from C to the next N is 1.3 Å long, Cα are 3.8 apart."""
        steps = {"N": (0.0, 0.0), "CA": (1.2, 0.0), "C": (2.5, 0.0), "CB": (1.2, 1.5), "O": (2.5, 1.2)}
        return [
            (name, (3.8 * self.at + steps.get(name, (0.0, 0.0))[0], steps.get(name, (0.0, 0.0))[1], 20.0 * self.row))
            for name in self.atoms
        ]


def peptide(names: str, first: int = 1, **fields: object) -> list[Place]:
    """Residues by their three-letter names, numbered on from `first`."""
    return [
        replace(Place(name, str(first + index), index), **fields)  # type: ignore[arg-type]
        for index, name in enumerate(names.split())
    ]


def pdb_lines(places: Sequence[Place]) -> str:
    """Coordinate lines; a number may end in an insertion code, a chain id may have two letters."""
    lines = []
    for place in places:
        digits = place.number.rstrip("ABCDEFGH") if place.number[:1].isdigit() else place.number
        for name, (x, y, z) in place.positions():
            lines.append(
                f"{place.kind:<6}{len(lines) + 1:>5}  {name:<3}{place.alternative:1}{place.name:>3}{place.chain:>2}"
                f"{digits:>4}{place.number[len(digits) :]:1}   {x:8.3f}{y:8.3f}{z:8.3f}{place.occupancy:6.2f}"
                f"{place.b:6.2f}      {place.segment:<4}{name[0]:>2}\n"
            )
    return "".join(lines)


def cif_lines(places: Sequence[Place], columns: dict[str, Sequence[str]] | None = None, head: str = "data_x\n") -> str:
    """An mmCIF file: author's names alone, and such columns as are given, a value for each residue."""
    columns = columns or {}
    names = ["group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "auth_asym_id",
             "auth_seq_id", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv", *columns]  # fmt: skip
    lines = [head.rstrip("\n"), "loop_", *(f"_atom_site.{name}" for name in names)]
    serial = 0
    for index, place in enumerate(places):
        for name, (x, y, z) in place.positions():
            serial += 1
            row = (place.kind, serial, name[0], name, place.alternative or ".", place.name, place.chain, place.number,
                   f"{x:.3f}", f"{y:.3f}", f"{z:.3f}", place.occupancy, place.b,
                   *(values[index] for values in columns.values()))  # fmt: skip
            lines.append(" ".join(map(str, row)))
    return "\n".join([*lines, ""])
