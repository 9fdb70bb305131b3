"""UniProt flat text, plain or gzip."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from Bio import SwissProt
from Bio.SeqFeature import UncertainPosition, UnknownPosition

from ...catalog.property import Property
from ...errors import SourceError
from .. import text
from ..record import DEFAULT, Options, Record
from . import uniprot_features
from .uniprot_features import ENTRY_BYTES, KEYS, QUALIFIERS, Feature, UniprotEntry

NAME = "UniProt flat text (.dat .txt, or any file starting as one)"
PROPERTIES: tuple[Property, ...] = uniprot_features.PROPERTIES

_FIRST_LINE = re.compile(rb"ID   \S+\s+(?:Reviewed|Unreviewed|STANDARD|PRELIMINARY);")
#: The line types that are read. Biopython does not get the others, most of an entry, which may make it fail.
_LINES = frozenset({"ID", "AC", "DE", "GN", "OS", "OX", "FT", "SQ", "  ", "//"})
_NOTES = ("note", "ligand_note", "ligand_part", "ligand_part_note")
#: The most lines of one item: Biopython's time grows with the square of their number.
_ITEM_LINES = 1000
_PROTEIN_NAME = re.compile(r"(?:RecName|SubName): Full=")
_PROTEIN_NAME_END = re.compile(r";(?: |$)")
#: Evidence in the older layout of the feature table.
_EVIDENCE = re.compile(r" ?\{(ECO:[^}]*)\}\.?$")
#: The same until 2014.
_QUALIFIER = re.compile(rf"(?:^| ?\()({'|'.join(QUALIFIERS)})\)?\.?$", re.IGNORECASE)


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file starts with the ID line of a UniProt entry."""
    return _FIRST_LINE.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield one record per entry, in constant memory.

    The annotations are those of `uniprot_features.record`.

    Raises
    ------
    SourceError
        The file is not UniProt flat text, ends within an entry, has no entry, or has one that Biopython cannot read or
        `uniprot_features.record` refuses.
    """
    return map(uniprot_features.entry_record, entries(path))


def entries(path: Path) -> Iterator[UniprotEntry]:
    """Yield the entries of a file.

    Raises
    ------
    SourceError
        As `read`, except for sequences.
    """
    first = size = 0
    kept: list[str] = []
    for number, line in text.lines(path):
        if not kept:
            if not line.strip():
                continue
            first, size = number, 0
        if line[:2] in _LINES:
            kept.append(line)
        elif not kept:
            raise SourceError(f"{path}:{number} starts no UniProt entry; entries start with a line 'ID   '.")
        size += len(line)
        if size > ENTRY_BYTES:
            raise SourceError(
                f"{path}:{first} starts an entry of more than {ENTRY_BYTES >> 20} MiB, as UniProt has none; "
                f"name the file that was meant."
            )
        if line[:2] == "//":
            yield _entry(f"{path}:{first}", kept)
            kept = []
    if kept:
        raise SourceError(f"{path}:{first} starts an entry that does not end with '//'; fetch or copy the file again.")
    if not first:
        raise SourceError(f"{path} has no entry; give a UniProt flat text file that has one.")


def _entry(place: str, lines: Sequence[str]) -> UniprotEntry:
    _check_items(place, lines)
    try:
        found = SwissProt.read(io.StringIO("\n".join(lines)))
        if not found.accessions:
            raise ValueError("it has no AC line")
        return UniprotEntry(
            place=place,
            accession=found.accessions[0],
            name=found.entry_name,
            reviewed=found.data_class in {"Reviewed", "STANDARD"},
            protein=_protein(found.description),
            gene=_gene(found.gene_name),
            organism=found.organism.removesuffix(".") or None,
            taxon=int(found.taxonomy_id[0]) if found.taxonomy_id else None,
            length=found.sequence_length,
            sequence=found.sequence,
            features=[_feature(feature) for feature in found.features if feature.type in KEYS],
        )
    except (ValueError, AssertionError, LookupError, AttributeError, TypeError) as error:
        # Biopython checks little of what it parses.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"{place} starts an entry that cannot be read ({reason}); fetch or copy it again.") from error


def _check_items(place: str, lines: Sequence[str]) -> None:
    size = 0
    for before, line in itertools.pairwise(lines):
        kind = line[:2]
        goes_on = kind == before[:2] and kind != "  " and not (kind == "FT" and line[5:13].strip())
        size = size + 1 if goes_on else 0
        if size > _ITEM_LINES:
            raise SourceError(
                f"{place} starts an entry with more than {_ITEM_LINES} lines {kind} for one thing, as UniProt has "
                f"none; fetch or copy it again."
            )


def _protein(description: str) -> str | None:
    match = _PROTEIN_NAME.search(description)
    return _bare(_PROTEIN_NAME_END.split(description[match.end() :], maxsplit=1)[0]) if match else None


def _gene(genes: Sequence[dict[str, Any]]) -> str | None:
    """Return the first gene's name, or else its first ordered locus or open reading frame."""
    if not genes:
        return None
    gene = genes[0]
    names = [gene.get("Name"), *gene.get("OrderedLocusNames", [])[:1], *gene.get("ORFNames", [])[:1]]
    return next((_bare(name) for name in names if name), None)


def _bare(name: str) -> str:
    """Remove the evidence; it may be truncated, since Biopython splits the names of genes at its commas."""
    return name.partition(" {ECO:")[0]


def _feature(feature: Any) -> Feature:
    said = feature.qualifiers
    notes = [said[qualifier] for qualifier in _NOTES if qualifier in said]
    evidence = said.get("evidence", "")
    if description := said.get("description"):
        if match := _EVIDENCE.search(description):
            evidence = match[1]
        elif match := _QUALIFIER.search(description):
            evidence = QUALIFIERS[match[1].lower()]
        notes.append(description[: match.start() if match else None].removesuffix("."))
    begin, end = _position(feature.location.start), _position(feature.location.end)
    elsewhere = feature.location.ref is not None
    return Feature(
        key=feature.type,
        begin=None if elsewhere or begin is None else begin + 1,
        end=None if elsewhere else end,
        notes=tuple(" ".join(note.split()) for note in notes if note.strip()),
        ligands=tuple(ligand for ligand in [said.get("ligand")] if ligand),
        evidence=tuple(code for code in re.findall(r"ECO:\d+", evidence)),
    )


def _position(position: Any) -> int | None:
    return None if isinstance(position, UnknownPosition | UncertainPosition) else int(position)
