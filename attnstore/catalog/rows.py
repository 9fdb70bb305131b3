"""Rows of the catalog's tables: proteins, and their residues from sequence and structure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .builtin import FROM_SEQUENCE, contact_numbers
from .property import Annotation, Property


@dataclass(frozen=True, eq=False)
class Structure:
    """Positions and author numbering of a chain of L residues.

    Attributes
    ----------
    author_number
        int32 [L]; residue number given by the authors, 0 where `author_known` is False.
    author_known
        bool [L]; False where the residue has no author number, such as an unresolved residue.
    insertion_code
        Length L; None where there is none.
    ca
        float32 [L, 3], Å; Cα, NaN where it is unresolved.
    cb
        float32 [L, 3], Å; Cβ of the file or, if it has none (as glycine), the virtual one computed
        from N, Cα and C; NaN where one of these is missing too.
    """

    author_number: npt.NDArray[np.int32]
    author_known: npt.NDArray[np.bool_]
    insertion_code: tuple[str | None, ...]
    ca: npt.NDArray[np.float32]
    cb: npt.NDArray[np.float32]

    @property
    def resolved(self) -> int:
        """Number of Cα and Cβ with coordinates: 0 if there is only numbering."""
        return sum(int(np.isfinite(xyz).all(axis=1).sum()) for xyz in (self.ca, self.cb))


def structure_digest(structure: Structure) -> str:
    """SHA-256 of everything in a structure, hexadecimal."""
    parts = (structure.author_number, structure.author_known, structure.ca, structure.cb)
    content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
    return hashlib.sha256(content + repr(structure.insertion_code).encode()).hexdigest()


#: More positions than any chain has.
SETTLED = 2**31 - 1


@dataclass
class Protein:
    """A row of the table `proteins`; `member` is its column `structure`, whose coordinates it has.

    `structure` is None if there is none, or if the catalog has it already. `resolved` is the number of positions in its
    coordinates, `SETTLED` if these are not to be replaced.
    """

    index: int
    id: str
    sequence: str
    sequence_sha256: str
    member: str | None = None
    structure_sha256: str | None = None
    structure: Structure | None = None
    resolved: int = 0

    def adopt(self, member: str, structure: Structure | None, structure_sha256: str | None) -> bool:
        """Take coordinates and numbering from a member with more of them, or only numbering if there is none.

        Returns whether anything was taken.
        """
        if structure is None:
            return False
        resolved = structure.resolved
        if resolved > self.resolved:
            self.member, self.structure_sha256, self.resolved = member, structure_sha256, resolved
        elif resolved or self.member is not None or self.structure is not None:
            return False
        self.structure = structure
        return True


NUMBERING_COLUMNS = ("author_number", "insertion_code")
STRUCTURE_COLUMNS = (
    *NUMBERING_COLUMNS, "ca_x", "ca_y", "ca_z", "cb_x", "cb_y", "cb_z", "contact_number",
)  # fmt: skip

_LISTS = ", ".join(f"unnest({column}) AS {column}" for column in STRUCTURE_COLUMNS)

#: SQL that makes one row per residue from one row per protein; lists are unnested together, NULL has their length.
RESIDUES = (
    f"SELECT * EXCLUDE (length), {', '.join(f'{sql} AS {prop.name}' for prop, sql in FROM_SEQUENCE)} FROM ("
    "SELECT protein_index, id AS protein, length(sequence) AS length, unnest(range(length))::INTEGER AS pos, "
    f"unnest(string_split(sequence, '')) AS aa, {_LISTS} FROM incoming)"
)


def protein_table(proteins: Sequence[Protein]) -> pa.Table:
    """One row per protein; residue columns are lists, NULL if there is no structure."""
    structures = [protein.structure for protein in proteins if protein.structure is not None]
    lengths = [0 if protein.structure is None else len(protein.sequence) for protein in proteins]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    unknown = pa.array([protein.structure is None for protein in proteins])
    columns = {
        "protein_index": pa.array([protein.index for protein in proteins], pa.int32()),
        "id": pa.array([protein.id for protein in proteins], pa.string()),
        "sequence": pa.array([protein.sequence for protein in proteins], pa.string()),
        "sequence_sha256": pa.array([protein.sequence_sha256 for protein in proteins], pa.string()),
        "structure": pa.array([protein.member for protein in proteins], pa.string()),
        "structure_sha256": pa.array([protein.structure_sha256 for protein in proteins], pa.string()),
    }
    for name, values in zip(STRUCTURE_COLUMNS, _structure_values(structures), strict=True):
        columns[name] = pa.ListArray.from_arrays(offsets, values, mask=unknown)
    return pa.table(columns)


def _structure_values(structures: Sequence[Structure]) -> list[pa.Array]:
    """The residue columns of all structures, one after the other."""
    number = np.concatenate([np.empty(0, np.int32), *(structure.author_number for structure in structures)])
    known = np.concatenate([np.empty(0, np.bool_), *(structure.author_known for structure in structures)])
    codes = [code for structure in structures for code in structure.insertion_code]
    columns = [pa.array(number, pa.int32(), mask=~known), pa.array(codes, pa.string())]
    for atoms in ("ca", "cb"):
        xyz = np.concatenate([np.empty((0, 3), np.float32), *(getattr(structure, atoms) for structure in structures)])
        missing = np.isnan(xyz).any(axis=1)
        columns += [pa.array(np.ascontiguousarray(xyz[:, axis]), pa.float32(), mask=missing) for axis in range(3)]
    numbers = np.concatenate([np.empty(0), *(contact_numbers(structure.cb) for structure in structures)])
    return [*columns, pa.array(np.nan_to_num(numbers).astype(np.int64), mask=np.isnan(numbers))]


def annotation_rows(prop: Property, given: Sequence[tuple[int, Annotation]], first_rows: Sequence[int]) -> pa.Table:
    """Values of a property in several proteins, by increasing index, as `PropertyColumns.put` takes them.

    Parameters
    ----------
    prop : Property
    given : index of each protein, and its values
    first_rows : index of each protein's first residue among all residues, and the end of the last
    """
    index = np.array([index for index, _ in given], np.int64)
    values = pa.concat_arrays([annotation.values for _, annotation in given])
    if prop.level == "protein":
        return pa.table({"protein_index": index, "value": values})
    if prop.level == "residue":
        rows: npt.NDArray[np.int64] = np.concatenate(
            [np.arange(first_rows[protein], first_rows[protein + 1]) for protein in index.tolist()]
        )
        return pa.table({"row": rows, "value": values})
    # The value for the pairs that are not listed follows a protein's listed pairs.
    rest = [(protein, each.otherwise) for protein, each in given if each.otherwise is not None]
    owner = np.repeat(index, [len(annotation.values) for _, annotation in given])
    others = pa.nulls(len(rest), pa.int32())
    source, target = (
        pa.concat_arrays([pa.array(np.concatenate(ends), pa.int32()), others])
        for ends in zip(*((each.source, each.target) for _, each in given), strict=True)
    )
    otherwise = pa.array([value for _, value in rest], values.type)
    protein = np.append(owner, [each for each, _ in rest]).astype(np.int64)
    value = pa.concat_arrays([values, otherwise])
    return pa.table({"protein_index": protein, "source": source, "target": target, "value": value})
