"""Matching records to proteins of the catalog, and transferring their values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..catalog.property import Annotation
from ..errors import SourceError
from ..readers.record import Record, Structure

Match = Literal["id", "sequence"]
Mismatch = Literal["refuse", "align", "skip"]

MATCHES: tuple[Match, ...] = ("id", "sequence")
MISMATCHES: tuple[Mismatch, ...] = ("refuse", "align", "skip")

#: Smallest share of identical residues in an alignment; with fewer, the proteins are considered different.
IDENTITY = 0.9
#: Number of cells of the largest alignment, two bytes each.
_CELLS = 1 << 30

#: Smallest Jaro-Winkler similarity (Winkler 1990) of a name that is suggested.
_NEAR = 0.8

_ENTRY = re.compile(r"(?:sp|tr)\|([^|]+)\|([^|]+)")
_CHAIN = re.compile(r"([0-9][A-Za-z0-9]{3}|pdb_[0-9a-z]{8})[._:-]([A-Za-z0-9]+)")


class Ids:
    """The proteins of a catalog by their names in files.

    An id is that of a member; if there is none, accession or name of UniProt's ``sp|P12345|NAME``, on either side, or a
    chain of a PDB entry in another spelling (``4udx.X`` for ``4UDX_X``), if it fits exactly one protein.
    """

    def __init__(self, members: Iterable[tuple[str, int]]) -> None:
        self._exact = dict(members)
        # P12345 in one record may be sp|P12345|NAME in another.
        self._aliases = dict(self._exact)
        taken: set[str] = set()
        for name, protein in self._exact.items():
            for alias in _aliases(name):
                if self._aliases.setdefault(alias, protein) != protein:
                    taken.add(alias)
        for alias in taken:
            del self._aliases[alias]

    def find(self, name: str) -> int | None:
        """Index of the protein with that name; None if there is none, or if parts of the name fit several."""
        if name in self._exact:
            return self._exact[name]
        found = {self._aliases[alias] for alias in (name, *_aliases(name)) if alias in self._aliases}
        return found.pop() if len(found) == 1 else None

    @staticmethod
    def names(name: str, member: str | None) -> bool:
        """Whether it is the name of that member, as written or in part."""
        return member is not None and bool({name, *_aliases(name)} & {member, *_aliases(member)})


def _aliases(name: str) -> list[str]:
    if entry := _ENTRY.fullmatch(name):
        return [entry[1], entry[2]]
    chain = _CHAIN.fullmatch(name)
    return [f"{chain[1].upper()}_{chain[2]}"] if chain else []


#: Number of ids that a message lists.
_LISTED = 3


@dataclass(frozen=True, eq=False)
class Proteins:
    """The part of a catalog that is needed to match records to proteins.

    Attributes
    ----------
    connection : of the catalog
    ids : of its proteins
    digests : SHA-256 of each protein's sequence, by index
    by_digest : first protein of each sequence, by its digest; empty unless matched by sequence
    """

    connection: duckdb.DuckDBPyConnection
    ids: Ids
    digests: list[str]
    by_digest: dict[str, int]

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, match: Match) -> Proteins:
        """Read them from a catalog."""
        members = connection.execute("SELECT member, protein_index FROM members").fetchall()
        rows = connection.execute("SELECT sequence_sha256 FROM proteins ORDER BY protein_index").fetchall()
        digests = [digest for (digest,) in rows]
        by_digest: dict[str, int] = {}
        if match == "sequence":
            for protein, digest in enumerate(digests):
                by_digest.setdefault(digest, protein)
        return cls(connection, Ids(members), digests, by_digest)

    def find(self, record: Record) -> int | None:
        """Index of a record's protein, by its id, or by its sequence if `match` allows it."""
        # A structure file that was read with others may be named by its file instead of its id: that name is closer.
        known = (self.ids.find(name) for name in (*record.aliases, record.id))
        found = next((index for index in known if index is not None), None)
        if found is None and self.by_digest:
            return self.by_digest.get(_digest(record.sequence))
        return found

    def fit(self, protein: int, record: Record, mismatch: Mismatch) -> Record | None:
        """The record fitted to that protein, see :func:`fit_record`; if the sequences are equal it is unchanged."""
        if _digest(record.sequence) == self.digests[protein]:
            return record
        return fit_record(record, self.sequence(protein), mismatch)

    @cached_property
    def numbered(self) -> dict[int, str]:
        """The member whose author numbering a protein has, if it is known."""
        rows = self.connection.execute(
            "SELECT protein_index, coalesce(structure, if(members = 1, id, NULL)) AS member FROM proteins "
            "WHERE member IS NOT NULL"
        ).fetchall()
        return dict(rows)

    def nearest(self, name: str) -> str | None:
        """The member whose name is most similar to one that is not a member's, in any case; None if none is similar."""
        ((nearest, similarity),) = self.connection.execute(
            "SELECT max_by(member, similarity), max(similarity) FROM (SELECT member, "
            "jaro_winkler_similarity(lower(member), lower(?)) AS similarity FROM members)", [name]
        ).fetchall()  # fmt: skip
        return str(nearest) if similarity is not None and similarity >= _NEAR else None

    def quote_names(self, names: Sequence[str]) -> str:
        """List the first names that belong to no protein, for messages, each with the store's name for it."""
        words = []
        for name in names[:_LISTED]:
            near = self.nearest(name)
            if near is not None and near.lower() == name.lower():
                words.append(f"{name!r} (the store has {near!r})")
            else:
                words.append(f"{name!r}" + (f" (nearest in the store: {near!r})" if near is not None else ""))
        return ", ".join(words) + (", …" if len(names) > _LISTED else "")

    def id(self, protein: int) -> str:
        """Id of a protein."""
        rows = self.connection.execute("SELECT id FROM proteins WHERE protein_index = ?", [protein]).fetchall()
        return str(rows[0][0])

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Residues of each protein, int64."""
        rows = self.connection.execute("SELECT length FROM proteins ORDER BY protein_index").fetchnumpy()
        return np.asarray(rows["length"], np.int64)

    def sequence(self, protein: int) -> str:
        """Sequence of a protein."""
        rows = self.connection.execute("SELECT sequence FROM proteins WHERE protein_index = ?", [protein]).fetchall()
        return str(rows[0][0])


def _digest(sequence: str) -> str:
    return hashlib.sha256(sequence.encode()).hexdigest()


def fit_record(record: Record, sequence: str, mismatch: Mismatch) -> Record | None:
    """Fit a record to a protein of another sequence.

    Parameters
    ----------
    record : Record
    sequence : of the protein in the catalog
    mismatch : 'align' to transfer values to the residues that an alignment pairs with theirs, the others NULL; 'skip'
        to leave the record out; 'refuse'

    Returns
    -------
    The record itself if the sequences are the same; None if it is to be left out, also because the sequences are too
    different to be aligned: fewer than nine in ten residues are the same.

    Raises
    ------
    SourceError
        They differ, and `mismatch` is 'refuse'.
    """
    if record.sequence == sequence:
        return record
    if mismatch == "skip":
        return None
    if mismatch == "refuse":
        raise SourceError(
            f"{record.place}: {record.id} is not the sequence that the store has of it "
            f"({_difference(record.sequence, sequence)}): "
            "mismatch='align' carries over what fits, mismatch='skip' leaves it out."
        )
    places = _places(record.sequence, sequence)
    if places is None:
        return None
    structure = None if record.structure is None else _carried(record.structure, places)
    annotations = tuple(_moved(annotation, places, len(record.sequence)) for annotation in record.annotations)
    return replace(record, sequence=sequence, structure=structure, annotations=annotations)


def _difference(given: str, stored: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(given, stored, strict=False)) if a != b), None)
    if place is None:
        return f"{len(given)} residues, and {len(stored)} in the store"
    return f"{given[place]} at residue {place + 1}, and {stored[place]} in the store"


def _places(given: str, stored: str) -> npt.NDArray[np.int64] | None:
    """As :func:`align_sequences`; None if the sequences are too different, or too long."""
    places = align_sequences(given, stored)
    if places is None:
        return None
    across = np.flatnonzero(places >= 0)
    same = sum(stored[at] == given[places[at]] for at in across.tolist())
    enough = same >= IDENTITY * min(len(given), len(stored))
    return places if enough and same >= IDENTITY * len(across) else None


def align_sequences(given: str, stored: str, extension: float = -2) -> npt.NDArray[np.int64] | None:
    """Align a sequence to another one globally.

    A match scores 2, a mismatch −3 and the first residue of a gap −5, as in searches for close homologues; gaps at the
    ends cost nothing.

    Parameters
    ----------
    given, stored : the sequences
    extension : score of each further residue of a gap; closer to 0 if long parts may be missing, as in a structure

    Returns
    -------
    ndarray of int64 [len(stored)] or None
        For each residue of `stored`, the index of the residue of `given` aligned with it, −1 for none; None if the
        alignment would take more than 2 GiB.
    """
    if len(given) * len(stored) > _CELLS:
        return None
    places = np.full(len(stored), -1, np.int64)
    if not given or not stored:
        return places
    from Bio.Align import PairwiseAligner

    aligner = PairwiseAligner(
        mode="global", match_score=2, mismatch_score=-3, open_gap_score=-5, extend_gap_score=extension
    )
    aligner.end_gap_score = 0
    for (begin, end), (of, _) in zip(*aligner.align(stored, given)[0].aligned, strict=True):
        places[begin:end] = np.arange(of, of + end - begin)
    return places


def _carried(structure: Structure, places: npt.NDArray[np.int64]) -> Structure:
    there = places >= 0
    ca, cb = (np.where(there[:, None], xyz[places], np.float32(np.nan)) for xyz in (structure.ca, structure.cb))
    codes = tuple(structure.insertion_code[place] if place >= 0 else None for place in places.tolist())
    return Structure(
        np.where(there, structure.author_number[places], 0).astype(np.int32),
        there & structure.author_known[places], codes, ca.astype(np.float32), cb.astype(np.float32),
    )  # fmt: skip


def _moved(annotation: Annotation, places: npt.NDArray[np.int64], length: int) -> Annotation:
    level = annotation.property.level
    if level == "protein":
        return annotation
    if level == "residue":
        return replace(annotation, values=annotation.values.take(pa.array(places, mask=places < 0)))
    at = np.full(length, -1, np.int32)
    across = np.flatnonzero(places >= 0)
    at[places[across]] = across
    source, target = at[annotation.source], at[annotation.target]
    kept = (source >= 0) & (target >= 0)
    return replace(
        annotation, values=annotation.values.filter(pa.array(kept)), source=source[kept], target=target[kept]
    )
