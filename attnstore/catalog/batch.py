"""A batch of input records for the next catalog: what it holds of them already, and the statements that write them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from ..errors import SourceError
from .property import Annotation, Source
from .rows import NUMBERING_COLUMNS, RESIDUES, STRUCTURE_COLUMNS, Protein, Structure, protein_table
from .transaction import incoming


class InputRecord(NamedTuple):
    """A record with its digests; `protein` is the index of the protein that it annotates, None for a new member."""

    name: str
    sequence: str
    place: str
    structure: Structure | None
    sequence_sha256: str
    structure_sha256: str | None
    annotations: Sequence[Annotation]
    source: Source | None
    protein: int | None


class Member(NamedTuple):
    """The part of a used id's record that distinguishes a repetition from a contradiction, and its origin."""

    protein: int
    sequence_sha256: str
    structure_sha256: str | None
    place: str


def recall(
    connection: duckdb.DuckDBPyConnection, batch: Sequence[InputRecord], current: int
) -> tuple[dict[str, Member], list[Protein]]:
    """Return the catalog's members of a batch's ids, and its proteins of the batch's sequences, by index.

    `current` is the number of proteins of the current catalog.
    """
    columns = {
        "name": pa.array([record.name if record.protein is None else None for record in batch], pa.string()),
        "sequence_sha256": [record.sequence_sha256 for record in batch],
    }
    with incoming(connection, pa.table(columns)):
        members = connection.execute(
            "SELECT m.member, m.protein_index, p.sequence_sha256, "
            "coalesce(g.structure_sha256, if(p.structure = m.member, p.structure_sha256, NULL)), "
            f"if(p.protein_index < {current}, 'the store', m.place) "
            "FROM (SELECT DISTINCT name FROM incoming) i JOIN members m ON m.member = i.name "
            "JOIN proteins p USING (protein_index) LEFT JOIN given g ON g.member = m.member"
        ).fetchall()
        proteins = connection.execute(
            "SELECT protein_index, id, sequence, sequence_sha256, structure, structure_sha256 FROM proteins "
            "WHERE sequence_sha256 IN (SELECT sequence_sha256 FROM incoming) ORDER BY protein_index"
        ).fetchall()
    return {name: Member(*rest) for name, *rest in members}, [Protein(*row) for row in proteins]


def insert_members(
    connection: duckdb.DuckDBPyConnection, members: Sequence[tuple[int, str, str, str, str | None]]
) -> None:
    """Insert members: index and id of the protein, the member's id, its place, and the digest of its structure."""
    if not members:
        return
    columns = map(list, zip(*members, strict=True))
    names = ("protein_index", "protein", "member", "place", "structure_sha256")
    with incoming(connection, pa.table(dict(zip(names, columns, strict=True)))):
        connection.execute("INSERT INTO members BY NAME SELECT * EXCLUDE (structure_sha256) FROM incoming")
        connection.execute(
            "INSERT INTO given SELECT member, structure_sha256 FROM incoming WHERE structure_sha256 IS NOT NULL"
        )


def insert_proteins(connection: duckdb.DuckDBPyConnection, proteins: Sequence[Protein]) -> None:
    """Insert proteins with their residues."""
    if proteins:
        with incoming(connection, protein_table(proteins)):
            connection.execute(
                "INSERT INTO proteins BY NAME SELECT protein_index, id, length(sequence) AS length, sequence, "
                "sequence_sha256, 1 AS members, structure, structure_sha256 FROM incoming"
            )
            connection.execute(f"INSERT INTO residues BY NAME {RESIDUES}")


def update_structures(connection: duckdb.DuckDBPyConnection, proteins: Sequence[Protein]) -> None:
    """Add coordinates to proteins in the catalog; or only numbering, if there is none yet."""
    located = [protein for protein in proteins if protein.member is not None]
    numbered = [protein for protein in proteins if protein.member is None]
    for some, columns, where in (
        (located, STRUCTURE_COLUMNS, ""),
        (numbered, NUMBERING_COLUMNS, " AND residues.author_number IS NULL"),
    ):
        if not some:
            continue
        with incoming(connection, protein_table(some)):
            connection.execute(
                "UPDATE proteins SET structure = i.structure, structure_sha256 = i.structure_sha256 "
                "FROM incoming i WHERE proteins.protein_index = i.protein_index"
            )
            values = ", ".join(f"{column} = i.{column}" for column in columns)
            connection.execute(
                f"UPDATE residues SET {values} FROM ({RESIDUES}) i "
                f"WHERE residues.protein_index = i.protein_index AND residues.pos = i.pos{where}"
            )


def carriers_first(
    records: Sequence[tuple[int, InputRecord]], carriers: Mapping[int, InputRecord]
) -> list[tuple[int, InputRecord]]:
    """Order records so that, for each protein, the record whose coordinates it has comes first."""
    place: dict[int, int] = {}
    ranks = []
    for number, (index, record) in enumerate(records):
        if record.structure is None or not record.structure.resolved:
            ranks.append((number, 1))
            continue
        first = place.setdefault(index, number)
        ranks.append((first, 0) if record is carriers.get(index) else (number, 1))
    return [records[number] for number in sorted(range(len(records)), key=ranks.__getitem__)]


def check_repetition(record: InputRecord, member: Member) -> None:
    """Raise SourceError if a record of a used id has another sequence or other coordinates than its member."""
    stands = f"{record.place}: {record.name} stands for"
    cure = f"already (in {member.place}): give one of them another id."
    if member.sequence_sha256 != record.sequence_sha256:
        raise SourceError(f"{stands} another sequence {cure}")
    if None not in (digests := {member.structure_sha256, record.structure_sha256}) and len(digests) > 1:
        raise SourceError(f"{stands} other coordinates {cure}")
