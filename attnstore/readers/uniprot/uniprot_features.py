"""UniProt entries, whichever format they came in: from their features to annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from ...catalog.property import ARROW_TYPES, UNKNOWN_IF_NONE, Annotation, Property, along, between, whole
from ...errors import SourceError
from ..record import LETTERS, Record
from ..vocabulary import (
    BINDING_SITE,
    CROSS_LINK,
    DISULFIDE,
    DISULFIDE_BONDED,
    GLYCOSYLATION,
    HELIX,
    LIPIDATION,
    MODIFIED_RESIDUE,
    STRAND,
    TURN,
)

#: The largest entry in a file: far larger than any real one, but still small enough for the memory.
ENTRY_BYTES = 512 << 20
#: The words for evidence until 2014, and the codes with which UniProt replaced them.
QUALIFIERS = {"by similarity": "ECO:0000250", "potential": "ECO:0000255", "probable": "ECO:0000305"}
#: The most characters in a column of one entry: long overlapping notes would fill the memory.
_COLUMN_CHARACTERS = 32 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of an entry, of a kind that becomes a property.

    Attributes
    ----------
    key
        As in the flat text: "ACT_SITE".
    begin, end
        Its first and last residue, from 1. None if UniProt does not know the position, is not certain of it, or
        numbers another isoform. A feature that extends beyond a position ("<1", ">200") has that position.
    notes
        Its description and, for a binding site, further words on the ligand.
    ligands
        The ligand of a binding site. Before release 2022_03 it was in the description.
    evidence
        Codes of the Evidence and Conclusion Ontology: "ECO:0000269".
    """

    key: str
    begin: int | None
    end: int | None
    notes: tuple[str, ...] = ()
    ligands: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UniprotEntry:
    """The parts of an entry that are read; None if the entry does not have them.

    Attributes
    ----------
    place
        For messages: "file.xml:12".
    accession
        The primary one.
    name
        Name of the entry: "YUKE_BACSU".
    reviewed
        Whether it is from Swiss-Prot, not from TrEMBL.
    organism
        The scientific name, then its other names in parentheses.
    length
        Length of the sequence, as declared.
    sequence
        As written, not checked.
    """

    place: str
    accession: str
    name: str | None
    reviewed: bool
    protein: str | None
    gene: str | None
    organism: str | None
    taxon: int | None
    length: int | None
    sequence: str
    features: Sequence[Feature]


@dataclass(frozen=True)
class _Kind:
    """Features that become one boolean property of residues.

    Attributes
    ----------
    keys
        Keys of the features.
    flag
        The property.
    texts
        Properties with further text, and the attribute of Feature that each contains.
    known_by
        Keys of which an entry must have at least one, or the property is unknown in it.
    ends
        Whether only the ends of the feature have the property, not the residues between.
    """

    keys: frozenset[str]
    flag: Property
    texts: tuple[tuple[Property, str], ...]
    known_by: frozenset[str]
    ends: bool = False


def _evidence(of: Property) -> tuple[Property, str]:
    described = f"{of.name}: codes of the evidence (Evidence and Conclusion Ontology)"
    return Property(f"{of.name}_evidence", of.level, "category", described), "evidence"


def _note(of: Property, description: str) -> tuple[Property, str]:
    return Property(f"{of.name}_note", of.level, "category", f"{of.name}: {description}"), "notes"


def _flag(name: str, description: str) -> Property:
    return Property(name, "residue", "boolean", description, absent=UNKNOWN_IF_NONE)


def _noted(key: str, flag: Property, note: str, ends: bool = False) -> _Kind:
    keys = frozenset({key})
    return _Kind(keys, flag, (_note(flag, note), _evidence(flag)), keys, ends)


_BINDING = frozenset({"BINDING", "METAL", "NP_BIND", "CA_BIND"})
_STRUCTURE = {"HELIX": HELIX, "STRAND": STRAND, "TURN": TURN}
_KINDS = (
    _Kind(
        _BINDING,
        BINDING_SITE,
        (
            (Property("binding_site_molecule", "residue", "category", "binding_site: what is bound there"), "ligands"),
            _note(BINDING_SITE, "what more is said of it; before UniProt 2022_03, what is bound there"),
            _evidence(BINDING_SITE),
        ),
        _BINDING,
    ),
    _noted("ACT_SITE", _flag("active_site", "takes part in the enzyme's activity"), "its part in it"),
    _noted("MOD_RES", MODIFIED_RESIDUE, "what it is then"),
    _noted("CARBOHYD", GLYCOSYLATION, "the linkage and the glycan"),
    _noted("LIPID", LIPIDATION, "what the residue is then"),
    _noted("CROSSLNK", CROSS_LINK, "the link", ends=True),
    # Its notes and evidence are in the property of pairs.
    _Kind(frozenset({"DISULFID"}), DISULFIDE_BONDED, (), frozenset({"DISULFID"}), ends=True),
    _noted("TRANSMEM", _flag("transmembrane", "in a stretch that crosses a membrane"), "its kind and name"),
    _noted("SIGNAL", _flag("signal", "in the signal peptide"), "its kind"),
    _noted("DOMAIN", _flag("domain", "in a domain"), "the domain's name"),
    # An entry with any of the three records a structure, so all three are known in it. They have no notes.
    *(
        _Kind(frozenset({key}), flag, (_evidence(flag),), frozenset(_STRUCTURE))
        for key, flag in _STRUCTURE.items()
    ),
)  # fmt: skip

_CROSS_LINKED = Property(
    "cross_linked", "pair", "boolean", "the two ends of a cross_link; both directions are listed",
    absent=UNKNOWN_IF_NONE,
)  # fmt: skip
_BONDS: tuple[tuple[str, Property, tuple[tuple[Property, str], ...]], ...] = (
    ("DISULFID", DISULFIDE, (_note(DISULFIDE, "what more is said of it"), _evidence(DISULFIDE))),
    ("CROSSLNK", _CROSS_LINKED, ()),
)

_WHOLE: tuple[tuple[Property, str], ...] = (
    (Property("entry_name", "protein", "category", "name of the UniProt entry"), "name"),
    (Property("protein_name", "protein", "category", "full name, recommended or else submitted"), "protein"),
    (Property("gene", "protein", "category", "the gene's name, else its ordered locus or open reading frame"), "gene"),
    (Property("organism", "protein", "category", "scientific name, then other names in parentheses"), "organism"),
    (Property("taxon", "protein", "integer", "the organism's identifier in the NCBI taxonomy"), "taxon"),
    (Property("reviewed", "protein", "boolean", "curated: of UniProtKB/Swiss-Prot, not of TrEMBL"), "reviewed"),
)

#: The keys of the features that are read.
KEYS = frozenset[str]().union(*(kind.keys for kind in _KINDS), (key for key, _, _ in _BONDS))
PROPERTIES: tuple[Property, ...] = (
    *(prop for prop, _ in _WHOLE),
    *(prop for kind in _KINDS for prop in (kind.flag, *(text for text, _ in kind.texts))),
    *(prop for _, flag, texts in _BONDS for prop in (flag, *(text for text, _ in texts))),
)


def entry_record(entry: UniprotEntry) -> Record:
    """Return the record of an entry, its id the primary accession.

    A feature is left out if its position is None or not within the sequence. A bond with one position joins another
    molecule and is not a pair. If several features of a kind overlap, their texts are joined by "; ", each once.

    Raises
    ------
    SourceError
        No sequence, one with a letter that is not an amino acid, or of another length than declared; a feature that
        ends
        before it begins; more text than an entry can have.
    """
    _check(entry)
    placed = [(residues, feature) for feature in entry.features if (residues := _residues(entry, feature)) is not None]
    return Record(
        id=entry.accession,
        sequence=entry.sequence,
        place=entry.place,
        structure=None,
        annotations=(*_of_protein(entry), *_of_residues(entry, placed), *_of_pairs(entry, placed)),
    )


_Placed = Sequence[tuple[range, Feature]]


def _check(entry: UniprotEntry) -> None:
    where = f"{entry.place}: entry {entry.accession}"
    if not entry.sequence:
        raise SourceError(f"{where} has no sequence; add it or remove the entry.")
    for letter in entry.sequence:
        if letter not in LETTERS:
            raise SourceError(f"{where} has {letter!r} in its sequence, which is not an amino acid; correct it.")
    if entry.taxon is not None and not 0 <= entry.taxon < 1 << 31:
        raise SourceError(f"{where} has the taxon {entry.taxon}, which is none of NCBI's; correct it.")
    if entry.length is not None and entry.length != len(entry.sequence):
        raise SourceError(
            f"{where} declares {entry.length} residues and has {len(entry.sequence)}; fetch or copy the file again."
        )


def _residues(entry: UniprotEntry, feature: Feature) -> range | None:
    """Return the residues from the feature's first to its last, from 0."""
    if feature.begin is None or feature.end is None:
        return None
    if feature.begin > feature.end:
        raise SourceError(
            f"{entry.place}: entry {entry.accession} has a {feature.key} from {feature.begin} to {feature.end}; "
            f"correct its position."
        )
    return range(feature.begin - 1, feature.end) if feature.begin >= 1 and feature.end <= len(entry.sequence) else None


def _of_protein(entry: UniprotEntry) -> Iterator[Annotation]:
    for prop, attribute in _WHOLE:
        if (value := getattr(entry, attribute)) is not None:
            yield whole(prop, value)


def _of_residues(entry: UniprotEntry, placed: _Placed) -> Iterator[Annotation]:
    present = {feature.key for _, feature in placed}
    length = len(entry.sequence)
    for kind in _KINDS:
        if not kind.known_by & present:
            continue
        spans = [
            (span, feature)
            for residues, feature in placed
            if feature.key in kind.keys
            for span in (_ends(residues) if kind.ends else (residues,))
        ]
        flags = np.zeros(length, np.bool_)
        for span, _ in spans:
            flags[span.start : span.stop] = True
        yield along(kind.flag, flags)
        for prop, attribute in kind.texts:
            if texts := _joined(entry, prop, spans, attribute):
                yield along(prop, [texts.get(residue) for residue in range(length)])


def _ends(residues: range) -> tuple[range, ...]:
    return residues[:1], residues[-1:]


def _of_pairs(entry: UniprotEntry, placed: _Placed) -> Iterator[Annotation]:
    for key, flag, texts in _BONDS:
        bonds = [
            (((residues[0], residues[-1]),), feature)
            for residues, feature in placed
            if feature.key == key and len(residues) > 1
        ]
        if not bonds:
            continue
        yield between(flag, {pair for pairs, _ in bonds for pair in pairs}, otherwise=False)
        for prop, attribute in texts:
            if found := _joined(entry, prop, bonds, attribute):
                yield _between_texts(prop, found)


def _between_texts(prop: Property, texts: dict[tuple[int, int], str]) -> Annotation:
    both = sorted([*texts.items(), *(((target, source), text) for (source, target), text in texts.items())])
    ends = np.array([pair for pair, _ in both], np.int32)
    return Annotation(prop, pa.array([text for _, text in both], ARROW_TYPES[prop.kind]), ends[:, 0], ends[:, 1])


def _joined(
    entry: UniprotEntry, prop: Property, features: Iterable[tuple[Sequence[T], Feature]], attribute: str
) -> dict[T, str]:
    """Return the texts of the features at each position that has any, each text once."""
    spans = dict.fromkeys((places, text) for places, feature in features for text in getattr(feature, attribute))
    if sum(len(places) * len(text) for places, text in spans) > _COLUMN_CHARACTERS:
        raise SourceError(
            f"{entry.place}: entry {entry.accession} has more than {_COLUMN_CHARACTERS >> 20} million characters of "
            f"{prop.name}, as no entry does; remove the features that lie over one another."
        )
    found: dict[T, dict[str, None]] = defaultdict(dict)
    for places, text in spans:
        for place in places:
            found[place][text] = None
    return {place: "; ".join(texts) for place, texts in found.items()}
