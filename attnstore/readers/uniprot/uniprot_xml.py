"""UniProt XML, plain or gzip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ...catalog.property import Property
from ...errors import SourceError
from .. import text
from ..record import DEFAULT, Options, Record
from . import uniprot_features
from .uniprot_features import ENTRY_BYTES, QUALIFIERS, Feature, UniprotEntry

NAME = "UniProt XML (.xml)"
PROPERTIES: tuple[Property, ...] = uniprot_features.PROPERTIES

_ROOT = re.compile(rb"<(?:[\w.-]+:)?uniprot[\s/>]")
_NAMESPACES = ("http://uniprot.org/uniprot", "https://uniprot.org/uniprot")
#: The parts of an entry that are read; the others are ignored.
_PARTS = frozenset({"accession", "name", "protein", "gene", "organism", "feature", "evidence", "sequence"})
_KEYS = {
    "binding site": "BINDING",
    "metal ion-binding site": "METAL",
    "nucleotide phosphate-binding region": "NP_BIND",
    "calcium-binding region": "CA_BIND",
    "active site": "ACT_SITE",
    "modified residue": "MOD_RES",
    "glycosylation site": "CARBOHYD",
    "lipid moiety-binding region": "LIPID",
    "cross-link": "CROSSLNK",
    "disulfide bond": "DISULFID",
    "transmembrane region": "TRANSMEM",
    "signal peptide": "SIGNAL",
    "domain": "DOMAIN",
    "helix": "HELIX",
    "strand": "STRAND",
    "turn": "TURN",
}
_LIGAND_NOTES = ("ligand/note", "ligandPart/name", "ligandPart/note")
_PROTEIN_NAMES = ("recommendedName/fullName", "submittedName/fullName")
_GENE_NAMES = ("name[@type='primary']", "name[@type='ordered locus']", "name[@type='ORF']")
_NOTHING = Element("nothing")
# Expat scans a tag from its start with every chunk until it has its end: so few chunks for the longest tag.
_CHUNK_BYTES = 1 << 20
#: Nested elements; UniProt's schema has at most ten levels.
_DEEPEST = 50


def accepts(path: Path, head: bytes) -> bool:
    """Say whether an .xml file starts like UniProt's, or cannot be read."""
    return text.suffix(path) == ".xml" and (not head or _ROOT.search(head) is not None)


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield one record per entry, in constant memory.

    The annotations are those of `uniprot_features.record`.

    Raises
    ------
    SourceError
        The file is not UniProt XML, is not well-formed, declares a document type (and with it entities), has no entry,
        or
        has one that `uniprot_features.record` refuses.
    """
    return map(uniprot_features.entry_record, entries(path))


def entries(path: Path) -> Iterator[UniprotEntry]:
    """Yield the entries of a file.

    Raises
    ------
    SourceError
        As `read`, except for sequences.
    """
    handler = _Handler(path)
    empty = True
    since = 0
    with text.open_file(path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            since += len(chunk)
            handler.feed(chunk)
            if handler.done:
                empty, since = False, 0
                yield from handler.done
                handler.done.clear()
            if since > ENTRY_BYTES:
                raise SourceError(
                    f"{path} has an entry of more than {ENTRY_BYTES >> 20} MiB, as UniProt has none; "
                    f"name the file that was meant."
                )
        handler.close()
    if empty:
        raise SourceError(f"{path} has no entry; give a UniProt XML file that has one.")


@dataclass
class _Open:
    """An entry whose end has not been read."""

    line: int
    reviewed: bool
    parts: dict[str, Element] = field(default_factory=dict)
    features: list[Feature] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)


class _Handler:
    """Collects entries from expat's events; complete ones are in `done`.

    Expat is used directly, because ElementTree gives neither line numbers nor a way to refuse a document type, and
    would also build the citations and cross-references of an entry.
    """

    def __init__(self, path: Path) -> None:
        self.done: list[UniprotEntry] = []
        self._path = path
        self._depth = 0
        self._prefix = ""
        self._entry: _Open | None = None
        self._part: TreeBuilder | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._document_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def feed(self, chunk: bytes) -> None:
        self._parse(chunk, False)

    def close(self) -> None:
        self._parse(b"", True)

    def _parse(self, chunk: bytes, final: bool) -> None:
        try:
            self._parser.Parse(chunk, final)
        except (expat.ExpatError, ValueError, LookupError) as error:
            # The last two if the XML declaration names an encoding that Python does not have or expat cannot use.
            reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else error
            raise SourceError(
                f"{self._where()} is not well-formed XML ({reason}); fetch or copy the file again."
            ) from error

    def _where(self) -> str:
        return f"{self._path}:{self._parser.CurrentLineNumber}"

    def _refuse(self, what: str) -> NoReturn:
        raise SourceError(f"{self._where()} {what}")

    def _document_type(self, *declared: object) -> None:
        self._refuse("declares a document type, as no UniProt file does and as can be abused; remove the declaration.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"has more than {_DEEPEST} elements within one another, as no UniProt file does; check it.")
        if self._depth == 1:
            self._root(name)
            return
        name = name.removeprefix(self._prefix)
        if self._part is not None:
            self._part.start(name, attributes)
        elif self._depth == 2:
            if name == "entry":
                self._entry = _Open(self._parser.CurrentLineNumber, attributes.get("dataset") == "Swiss-Prot")
        elif (
            self._depth == 3
            and self._entry is not None
            and name in _PARTS
            and (name != "feature" or attributes.get("type") in _KEYS)
        ):
            self._part = TreeBuilder()
            self._part.start(name, attributes)
            self._parser.CharacterDataHandler = self._part.data

    def _root(self, name: str) -> None:
        namespace, _, local = name.rpartition(" ")
        if local != "uniprot" or namespace not in _NAMESPACES:
            self._refuse(f"starts with <{local}> of {namespace or 'no name space'}, not as UniProt XML does; check it.")
        self._prefix = f"{namespace} "

    def _end(self, name: str) -> None:
        if self._part is not None:
            self._part.end(name.removeprefix(self._prefix))
            if self._depth == 3:
                self._take(self._part.close())
                self._part = None
                self._parser.CharacterDataHandler = None
        elif self._depth == 2 and self._entry is not None:
            self.done.append(self._finished(self._entry))
            self._entry = None
        self._depth -= 1

    def _take(self, part: Element) -> None:
        assert self._entry is not None
        if part.tag == "feature":
            self._entry.features.append(self._feature(part))
        elif part.tag == "evidence":
            self._entry.codes[part.get("key", "")] = part.get("type", "")
        else:
            # The first accession is the primary one, and the first gene names the protein.
            self._entry.parts.setdefault(part.tag, part)

    def _feature(self, element: Element) -> Feature:
        begin, end = self._location(element.find("location"))
        notes = (element.get("description"), *(element.findtext(path) for path in _LIGAND_NOTES))
        return Feature(
            key=_KEYS[element.attrib["type"]],
            begin=begin,
            end=end,
            notes=_words(notes),
            ligands=_words(ligand.text for ligand in element.iterfind("ligand/name")),
            # Numbers of evidences, which follow the features, and the word used before 2014.
            evidence=(*element.get("evidence", "").split(), element.get("status", "")),
        )

    def _location(self, element: Element | None) -> tuple[int | None, int | None]:
        if element is None or element.get("sequence"):
            return None, None
        if (position := element.find("position")) is not None:
            begin = end = self._position(position)
            return begin, end
        return self._position(element.find("begin")), self._position(element.find("end"))

    def _position(self, element: Element | None) -> int | None:
        if element is None or element.get("status") in {"unknown", "uncertain"}:
            return None
        return self._integer(element.get("position"), "a position")

    def _integer(self, word: str | None, what: str) -> int | None:
        if word is None:
            return None
        try:
            return int(word)
        except ValueError:
            self._refuse(f"has {word[:20]!r} where {what} is due; correct it.")

    def _finished(self, entry: _Open) -> UniprotEntry:
        accession = _text(entry.parts.get("accession"))
        if accession is None:
            self._refuse("ends an entry that has no accession; give it one.")
        sequence = entry.parts.get("sequence", _NOTHING)
        organism = entry.parts.get("organism", _NOTHING)
        taxon = organism.find("dbReference[@type='NCBI Taxonomy']")
        return UniprotEntry(
            place=f"{self._path}:{entry.line}",
            accession=accession,
            name=_text(entry.parts.get("name")),
            reviewed=entry.reviewed,
            protein=_first(entry.parts.get("protein", _NOTHING), _PROTEIN_NAMES),
            gene=_first(entry.parts.get("gene", _NOTHING), _GENE_NAMES),
            organism=_organism(organism),
            taxon=None if taxon is None else self._integer(taxon.get("id"), "a taxon"),
            length=self._integer(sequence.get("length"), "a length"),
            sequence="".join((sequence.text or "").split()),
            features=[_evident(feature, entry.codes) for feature in entry.features],
        )


def _evident(feature: Feature, codes: dict[str, str]) -> Feature:
    """Replace the numbers of evidences by codes."""
    found = (codes.get(number) or QUALIFIERS.get(number, "") for number in feature.evidence)
    return replace(feature, evidence=tuple(code for code in found if code.startswith("ECO:")))


def _organism(element: Element) -> str | None:
    """Join the names as the flat text's OS line does."""
    names = _words(name.text for name in element.iterfind("name"))
    return " ".join([names[0], *(f"({name})" for name in names[1:])]) if names else None


def _first(element: Element, paths: Iterable[str]) -> str | None:
    return next(iter(_words(element.findtext(path) for path in paths)), None)


def _text(element: Element | None) -> str | None:
    return next(iter(_words([None if element is None else element.text])), None)


def _words(texts: Iterable[str | None]) -> tuple[str, ...]:
    """Return the texts that are not empty, with single spaces."""
    return tuple(words for text in texts if text and (words := " ".join(text.split())))
