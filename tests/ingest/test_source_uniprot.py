"""UniProt XML and flat text: what is read of an entry, the same from both, and what is refused."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import re
import textwrap
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.readers.uniprot import uniprot_features, uniprot_text, uniprot_xml

BACSU = Path(__file__).parents[1] / "data" / "uniprot" / "bacsu.xml.gz"
WHOLE = os.environ.get("ATTNSTORE_UNIPROT_XML")
TYPES = {
    "BINDING": "binding site",
    "METAL": "metal ion-binding site",
    "NP_BIND": "nucleotide phosphate-binding region",
    "CA_BIND": "calcium-binding region",
    "ACT_SITE": "active site",
    "MOD_RES": "modified residue",
    "CARBOHYD": "glycosylation site",
    "LIPID": "lipid moiety-binding region",
    "CROSSLNK": "cross-link",
    "DISULFID": "disulfide bond",
    "TRANSMEM": "transmembrane region",
    "SIGNAL": "signal peptide",
    "DOMAIN": "domain",
    "HELIX": "helix",
    "STRAND": "strand",
    "TURN": "turn",
}
FLAGS = {
    **dict.fromkeys(["BINDING", "METAL", "NP_BIND", "CA_BIND"], "binding_site"),
    "ACT_SITE": "active_site",
    "MOD_RES": "modified_residue",
    "CARBOHYD": "glycosylation",
    "LIPID": "lipidation",
    "CROSSLNK": "cross_link",
    "DISULFID": "disulfide_bonded",
    "TRANSMEM": "transmembrane",
    "SIGNAL": "signal",
    "DOMAIN": "domain",
    "HELIX": "helix",
    "STRAND": "strand",
    "TURN": "turn",
}

# One invented entry in both formats, the text laid out as UniProt lays it out.
XML = """<?xml version="1.0" encoding="UTF-8"?>
<uniprot xmlns="http://uniprot.org/uniprot">
<entry dataset="Swiss-Prot" created="2000-01-01" modified="2024-01-01" version="1">
  <accession>P00001</accession>
  <accession>Q00002</accession>
  <name>MADE_TEST</name>
  <protein>
    <recommendedName><fullName evidence="1">β-lyase 1;2, membrane-bound</fullName></recommendedName>
    <alternativeName><fullName>Lyase</fullName></alternativeName>
    <component><recommendedName><fullName>Short lyase</fullName></recommendedName></component>
  </protein>
  <gene><name type="synonym">madB</name><name type="primary" evidence="1 2">madA;1</name></gene>
  <gene><name type="primary">other</name></gene>
  <organism>
    <name type="scientific">Testus exemplaris (strain 168)</name>
    <name type="common">Tester</name>
    <dbReference type="NCBI Taxonomy" id="12345"/>
    <lineage><taxon>Bacteria</taxon></lineage>
  </organism>
  <reference key="1"><citation type="submission"><title>Not &amp; read</title></citation></reference>
  <comment type="alternative products">
    <isoform><id>P00001-2</id><sequence type="described" ref="VSP_000001"/></isoform>
  </comment>
  <feature type="signal peptide" evidence="2">
    <location><begin position="1" status="less than"/><end position="4"/></location>
  </feature>
  <feature type="chain" description="Lyase"><location><begin position="5"/><end position="30"/></location></feature>
  <feature type="domain" description="Left" evidence="1">
    <location><begin position="5"/><end position="9"/></location>
  </feature>
  <feature type="domain" description="Right-hand side of the molecule that lyses what it is given to lyse">
    <location><begin position="9"/><end position="11"/></location>
  </feature>
  <feature type="domain" description="Lost">
    <location><begin position="12" status="uncertain"/><end position="15"/></location>
  </feature>
  <feature type="domain" description="Lost"><location><begin position="12"/><end status="unknown"/></location></feature>
  <feature type="binding site" description="axial" evidence="2 3">
    <location><position position="6"/></location>
    <ligand>
      <name>heme b</name><dbReference type="ChEBI" id="CHEBI:60344"/><label>2</label><note>catalytic</note>
    </ligand>
    <ligandPart><name>Fe</name><note>reduced</note></ligandPart>
  </feature>
  <feature type="binding site">
    <location><begin position="6"/><end position="7"/></location>
    <ligand><name>Zn(2+)</name></ligand>
  </feature>
  <feature type="binding site">
    <location sequence="P00001-2"><position position="20"/></location>
    <ligand><name>ATP</name></ligand>
  </feature>
  <feature type="metal ion-binding site" description="Zinc; via tele nitrogen" evidence="1">
    <location><position position="8"/></location>
  </feature>
  <feature type="DNA-binding region" description="H-T-H motif">
    <location><begin position="20"/><end position="25"/></location>
  </feature>
  <feature type="disulfide bond" description="Redox-active" evidence="1">
    <location><begin position="3"/><end position="9"/></location>
  </feature>
  <feature type="disulfide bond"><location><begin position="10"/><end position="12"/></location></feature>
  <feature type="disulfide bond" description="Interchain"><location><position position="14"/></location></feature>
  <feature type="cross-link" description="Isopeptide (Lys-Gln)">
    <location><begin position="18"/><end position="21"/></location>
  </feature>
  <feature type="cross-link" description="(interchain with G-Cter in ubiquitin)">
    <location><position position="18"/></location>
  </feature>
  <feature type="helix" evidence="4"><location><begin position="5"/><end position="8"/></location></feature>
  <evidence type="ECO:0000255" key="1"><source><dbReference type="HAMAP-Rule" id="MF_1"/></source></evidence>
  <evidence type="ECO:0000269" key="2"/>
  <evidence type="ECO:0000305" key="3"/>
  <evidence type="ECO:0007829" key="4"/>
  <sequence length="30" mass="1" checksum="F" modified="2000-01-01" version="1">
MKCDEFGHCA CKLCNPQRST
VWYACDEFGH
</sequence>
</entry>
<copyright>None</copyright>
</uniprot>
"""
TEXT = """ID   MADE_TEST               Reviewed;          30 AA.
AC   P00001; Q00002;
DT   01-JAN-2000, integrated into UniProtKB/Swiss-Prot.
DE   RecName: Full=β-lyase 1;2, membrane-bound {ECO:0000255|HAMAP-Rule:MF_1};
DE   AltName: Full=Lyase;
DE   Contains:
DE     RecName: Full=Short lyase;
GN   Name=madA;1 {ECO:0000255|HAMAP-Rule:MF_1, ECO:0000269|PubMed:1};
GN   Synonyms=madB;
GN   and
GN   Name=other;
OS   Testus exemplaris (strain 168)
OS   (Tester).
OC   Bacteria.
OX   NCBI_TaxID=12345 {ECO:0000313};
RN   [1]
RX   of no known form
FT   SIGNAL          <1..4
FT                   /evidence="ECO:0000269|PubMed:1"
FT   CHAIN           5..30
FT                   /note="Lyase"
FT                   /id="PRO_0000000001"
FT   DOMAIN          5..9
FT                   /note="Left"
FT                   /evidence="ECO:0000255|HAMAP-Rule:MF_1"
FT   DOMAIN          9..11
FT                   /note="Right-hand side of the molecule that lyses what it
FT                   is given to lyse"
FT   DOMAIN          ?12..15
FT                   /note="Lost"
FT   DOMAIN          12..?
FT                   /note="Lost"
FT   BINDING         6
FT                   /note="axial"
FT                   /ligand="heme b"
FT                   /ligand_id="ChEBI:CHEBI:60344"
FT                   /ligand_label="2"
FT                   /ligand_note="catalytic"
FT                   /ligand_part="Fe"
FT                   /ligand_part_note="reduced"
FT                   /evidence="ECO:0000269|PubMed:1,
FT                   ECO:0000305"
FT   BINDING         6..7
FT                   /ligand="Zn(2+)"
FT   BINDING         P00001-2:20
FT                   /ligand="ATP"
FT   METAL           8
FT                   /note="Zinc; via tele nitrogen"
FT                   /evidence="ECO:0000255|HAMAP-Rule:MF_1"
FT   DNA_BIND        20..25
FT                   /note="H-T-H motif"
FT   DISULFID        3..9
FT                   /note="Redox-active"
FT                   /evidence="ECO:0000255|HAMAP-Rule:MF_1"
FT   DISULFID        10..12
FT   DISULFID        14
FT                   /note="Interchain"
FT   CROSSLNK        18..21
FT                   /note="Isopeptide (Lys-Gln)"
FT   CROSSLNK        18
FT                   /note="(interchain with G-Cter in ubiquitin)"
FT   HELIX           5..8
FT                   /evidence="ECO:0007829|PDB:1ABC"
SQ   SEQUENCE   30 AA;  1 MW;  F CRC64;
     MKCDEFGHCA CKLCNPQRST VWYACDEFGH
//
"""
READERS = pytest.mark.parametrize(
    ("reader", "content"), [(uniprot_xml, XML), (uniprot_text, TEXT)], ids=["xml", "text"]
)


def write(folder: Path, content: str | bytes, name: str = "in") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(record: Any) -> dict[str, Any]:
    """What a record tells: of residues and pairs what is TRUE or named, from 1; of the protein the value."""
    known: dict[str, Any] = {}
    for annotation in record.annotations:
        name, values = annotation.property.name, annotation.values.to_pylist()
        assert annotation.property in uniprot_features.PROPERTIES
        assert name not in known
        if annotation.property.level == "protein":
            (known[name],) = values
        elif annotation.property.level == "residue":
            assert len(values) == len(record.sequence)
            known[name] = {place: value for place, value in enumerate(values, 1) if value not in (None, False)}
            if annotation.property.kind == "boolean":
                assert None not in values
                known[name] = set(known[name])
        else:
            ends = zip(annotation.source.tolist(), annotation.target.tolist(), strict=True)
            known[name] = {(a + 1, b + 1): value for (a, b), value in zip(ends, values, strict=True)}
            assert annotation.otherwise is (False if annotation.property.kind == "boolean" else None)
    return known


def both_ways(pairs: dict[tuple[int, int], Any]) -> dict[tuple[int, int], Any]:
    return {**pairs, **{(b, a): value for (a, b), value in pairs.items()}}


@READERS
def test_an_entry_is_read(tmp_path, reader, content):
    path = write(tmp_path, content)
    (record,) = reader.read(path)
    assert (record.id, record.sequence, record.structure) == ("P00001", "MKCDEFGHCACKLCNPQRSTVWYACDEFGH", None)
    assert record.place == f"{path}:{3 if reader is uniprot_xml else 1}"
    right = "Right-hand side of the molecule that lyses what it is given to lyse"
    assert told(record) == {
        "entry_name": "MADE_TEST",
        "protein_name": "β-lyase 1;2, membrane-bound",
        "gene": "madA;1",
        "organism": "Testus exemplaris (strain 168) (Tester)",
        "taxon": 12345,
        "reviewed": True,
        "signal": {1, 2, 3, 4},
        "signal_evidence": dict.fromkeys(range(1, 5), "ECO:0000269"),
        "domain": {5, 6, 7, 8, 9, 10, 11},
        "domain_note": {**dict.fromkeys(range(5, 9), "Left"), 9: f"Left; {right}", 10: right, 11: right},
        "domain_evidence": dict.fromkeys(range(5, 10), "ECO:0000255"),
        "binding_site": {6, 7, 8},
        "binding_site_molecule": {6: "heme b; Zn(2+)", 7: "Zn(2+)"},
        "binding_site_note": {6: "axial; catalytic; Fe; reduced", 8: "Zinc; via tele nitrogen"},
        "binding_site_evidence": {6: "ECO:0000269; ECO:0000305", 8: "ECO:0000255"},
        "disulfide": both_ways({(3, 9): True, (10, 12): True}),
        "disulfide_bonded": {3, 9, 10, 12, 14},
        "disulfide_note": both_ways({(3, 9): "Redox-active"}),
        "disulfide_evidence": both_ways({(3, 9): "ECO:0000255"}),
        "cross_link": {18, 21},
        "cross_link_note": {
            18: "Isopeptide (Lys-Gln); (interchain with G-Cter in ubiquitin)",
            21: "Isopeptide (Lys-Gln)",
        },
        "cross_linked": both_ways({(18, 21): True}),
        "helix": {5, 6, 7, 8},
        "helix_evidence": dict.fromkeys(range(5, 9), "ECO:0007829"),
        "strand": set(),
        "turn": set(),
    }


@READERS
@pytest.mark.parametrize(
    "change",
    [
        lambda content: gzip.compress(content.encode()),
        lambda content: b"\xef\xbb\xbf" + content.encode(),
        lambda content: content.replace("\n", "\r\n").encode(),
        lambda content: content.replace("http://uniprot.org", "https://uniprot.org").encode(),
        lambda content: re.sub(r"\n(  )*(?=<evidence)", "", content).encode(),
    ],
    ids=["gzip", "byte order mark", "CRLF", "https", "white space"],
)
def test_the_same_entry_in_other_clothes(tmp_path, reader, content, change):
    (plain,) = reader.read(write(tmp_path, content))
    (other,) = reader.read(write(tmp_path, change(content), "other"))
    assert (other.id, other.sequence, told(other)) == (plain.id, plain.sequence, told(plain))


def test_xml_may_be_utf_16_and_prefix_its_names(tmp_path):
    (plain,) = uniprot_xml.read(write(tmp_path, XML))
    prefixed = re.sub(r"<(/?)(?=[a-z])", r"<\1u:", XML).replace("xmlns=", "xmlns:u=").replace("UTF-8", "UTF-16")
    (other,) = uniprot_xml.read(write(tmp_path, prefixed.encode("utf-16")))
    assert told(other) == told(plain)


def test_evidence_of_before_2014_and_the_older_layout_of_features(tmp_path):
    table = """FT   SIGNAL        1      4       Potential.
FT   NP_BIND       5      7       ATP (By similarity).
FT   CA_BIND       9     10       {ECO:0000255}.
FT   ACT_SITE     11     11       Proton donor. {ECO:0000269|PubMed:1,
FT                                ECO:0000305}.
FT   MOD_RES      12     12       Phosphoserine (by host) (Probable).
"""
    features = (
        ("signal peptide", (1, 4), 'status="potential"'),
        ("nucleotide phosphate-binding region", (5, 7), 'description="ATP" status="by similarity"'),
        ("calcium-binding region", (9, 10), 'evidence="1"'),
        ("active site", (11, 11), 'description="Proton donor" evidence="2 3"'),
        ("modified residue", (12, 12), 'description="Phosphoserine (by host)" status="probable"'),
    )
    elements = "".join(
        f'<feature type="{kind}" {rest}><location><begin position="{a}"/><end position="{b}"/></location></feature>'
        for kind, (a, b), rest in features
    )
    old_text = re.sub(r"(?ms)^FT   SIGNAL.*^(?=SQ)", table, TEXT)
    old_xml = re.sub(r'(?s)<feature type="signal.*</feature>', elements, XML)
    known = told(next(uniprot_text.read(write(tmp_path, old_text))))
    assert known == told(next(uniprot_xml.read(write(tmp_path, old_xml))))
    assert "signal_note" not in known
    assert known["signal_evidence"] == dict.fromkeys(range(1, 5), "ECO:0000255")
    assert known["binding_site_note"] == dict.fromkeys(range(5, 8), "ATP")
    assert known["binding_site_evidence"] == {
        **dict.fromkeys(range(5, 8), "ECO:0000250"), 9: "ECO:0000255", 10: "ECO:0000255",
    }  # fmt: skip
    assert (known["active_site_note"], known["active_site_evidence"]) == (
        {11: "Proton donor"}, {11: "ECO:0000269; ECO:0000305"},
    )  # fmt: skip
    assert (known["modified_residue_note"], known["modified_residue_evidence"]) == (
        {12: "Phosphoserine (by host)"}, {12: "ECO:0000305"},
    )  # fmt: skip


def test_an_entry_of_trembl(tmp_path):
    xml = XML.replace("Swiss-Prot", "TrEMBL").replace("recommendedName", "submittedName")
    text = TEXT.replace("Reviewed;", "Unreviewed;").replace("RecName", "SubName")
    for reader, content in ((uniprot_xml, xml), (uniprot_text, text)):
        (record,) = reader.read(write(tmp_path, content))
        assert told(record)["reviewed"] is False
        assert told(record)["protein_name"] == "β-lyase 1;2, membrane-bound"


def test_a_gene_without_a_name_goes_by_its_locus(tmp_path):
    xml = re.sub(
        r"<gene>.*?</gene>", '<gene><name type="ORF">o1</name><name type="ordered locus">b1</name></gene>', XML, count=1
    )
    text = re.sub(
        r"(?s)GN   Name=madA.*?GN   and", "GN   OrderedLocusNames=b1 {ECO:1, ECO:2}, b2; ORFNames=o1;\nGN   and", TEXT
    )
    for reader, content in ((uniprot_xml, xml), (uniprot_text, text)):
        (record,) = reader.read(write(tmp_path, content))
        assert told(record)["gene"] == "b1"


def test_what_an_entry_does_not_tell_is_left_out(tmp_path):
    xml = '<uniprot xmlns="http://uniprot.org/uniprot"><entry><accession>A</accession><sequence>MK</sequence></entry></uniprot>'
    assert told(next(uniprot_xml.read(write(tmp_path, xml)))) == {"reviewed": False}
    text = "ID   A_B   Unreviewed;   2 AA.\nAC   A;\nSQ   SEQUENCE   2 AA;  1 MW;  F CRC64;\n     MK\n//\n"
    assert told(next(uniprot_text.read(write(tmp_path, text)))) == {"entry_name": "A_B", "reviewed": False}


@READERS
@pytest.mark.parametrize("place", ["0", "-3", "31", "1" + "0" * 30, "9" * 50])
def test_a_position_outside_the_sequence_leaves_the_feature_out(tmp_path, reader, content, place):
    (record,) = reader.read(
        write(tmp_path, content.replace('position="8"/></location>\n  </feature>\n  <feature type="DNA',
                                        f'position="{place}"/></location>\n  </feature>\n  <feature type="DNA')
              .replace("METAL           8\n", f"METAL           {place}\n"))
    )  # fmt: skip
    assert told(record)["binding_site"] == {6, 7}


def test_real_entries():
    """Facts of the entries as UniProt's pages show them."""
    known = {record.id: told(record) for record in uniprot_xml.read(BACSU)}
    assert known["O07623"]["cross_linked"] == both_ways(dict.fromkeys([(9, 43), (12, 39), (15, 36), (21, 30)], True))
    assert known["O07623"]["cross_link_note"][12] == "2-cysteinyl-D-phenylalanine (Cys-Phe)"
    assert known["O07623"]["helix"] == set(range(37, 43))
    assert known["O07623"]["strand"] == set()
    assert known["P68577"]["disulfide"] == both_ways({(26, 55): True, (33, 48): True})
    assert known["P68577"]["glycosylation_note"] == {41: "S-linked (Glc) cysteine"}
    assert "domain" not in known["P96658"]
    assert known["P96658"]["active_site_note"] == {98: "Nucleophile"}
    assert known["P39620"]["cross_link"] == {2, 4, 5}
    assert "cross_linked" not in known["P39620"]
    assert known["O32103"]["binding_site_molecule"] == dict.fromkeys([75, 144, 149], "Mo-molybdopterin")
    assert known["O32103"]["binding_site_note"] == {75: "Mo"}
    assert "disulfide" not in known["P25959"]
    assert known["C0H3R7"]["lipidation_note"] == {17: "N-palmitoyl cysteine; S-diacylglycerol cysteine"}
    assert known["P39789"]["modified_residue_note"] == {117: "Phosphoserine"}
    assert known["O31797"]["organism"] == "Bacillus subtilis (strain 168)"
    assert known["A0A2K4Z9K9"]["reviewed"] is False


@pytest.mark.parametrize(
    "path",
    [
        BACSU,
        pytest.param(
            Path(WHOLE or ""), marks=pytest.mark.skipif(not WHOLE, reason="ATTNSTORE_UNIPROT_XML names no file")
        ),
    ],
    ids=["ten entries", "whole file"],
)
def test_counts_are_those_of_the_raw_file(path):
    raw = path.read_bytes()
    raw = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    features: Counter[str] = Counter()
    residues: Counter[str] = Counter()
    proteins: Counter[str] = Counter()
    sequences: dict[str, str] = {}
    names = {kind: FLAGS[key] for key, kind in TYPES.items()}
    for entry in re.findall(r"<entry\s.*?</entry>", raw, re.DOTALL):
        accession = re.search(r"<accession>([^<]*)<", entry)[1]
        sequences[accession] = re.search(r"<sequence\s[^>]*length=[^>]*>([^<]*)<", entry)[1]
        places: defaultdict[str, set[Any]] = defaultdict(set)
        for kind, body in re.findall(r'<feature\s[^>]*?type="([^"]*)"[^>]*>(.*?)</feature>', entry, re.DOTALL):
            if kind not in names:
                continue
            features[kind] += 1
            if re.search(r'<location sequence|status="un', body):
                continue
            numbers = [int(number) for number in re.findall(r'position="(\d+)"', body)]
            first, last = min(numbers), max(numbers)
            if kind == "disulfide bond":
                places["disulfide"] |= {(first, last), (last, first)} if first < last else set()
                places["disulfide_bonded"] |= {first, last}
            elif kind == "cross-link":
                places["cross_link"] |= {first, last}
            else:
                places[names[kind]] |= set(range(first, last + 1))
        for name, found in places.items():
            residues[name] += len(found)
            proteins[name] += bool(found)

    read = list(uniprot_xml.read(path))
    known = [told(record) for record in read]
    assert {record.id: record.sequence for record in read} == sequences
    assert Counter(TYPES[one.key] for entry in uniprot_xml.entries(path) for one in entry.features) == features
    assert features["helix"] > 0
    for name in [*names.values(), "disulfide"]:
        true = [len(one.get(name, ())) for one in known]
        assert (sum(true), sum(map(bool, true))) == (residues[name], proteins[name]), name


WORDS = st.from_regex(r"[A-Za-z0-9(),'&<é]{1,12}(-[A-Za-z]{1,6})?", fullmatch=True)
NOTES = st.lists(WORDS, min_size=1, max_size=20).map(" ".join)
PLACE = st.tuples(st.integers(1, 45), st.sampled_from(["", "", "", "<", ">", "?", "unknown"]))
CODES = st.lists(st.sampled_from(["ECO:0000269", "ECO:0000305", "ECO:0000255"]), max_size=3, unique=True)


@st.composite
def features(draw):
    first, last = draw(PLACE), draw(PLACE)
    if draw(st.booleans()):
        last = first
    key = draw(st.sampled_from(sorted(TYPES)))
    return {
        "key": key,
        "ends": sorted([first, last], key=lambda end: end[0]),
        "isoform": draw(st.sampled_from([None, None, None, "A-2"])),
        "note": draw(st.none() | NOTES),
        "ligand": draw(st.none() | NOTES) if key == "BINDING" else None,
        "codes": draw(CODES),
    }


def as_xml(sequence: str, table: list[dict[str, Any]]) -> str:
    status = {"<": "less than", ">": "greater than", "?": "uncertain"}
    elements = []
    for feature in table:

        def end(name: str, place: tuple[int, str]) -> str:
            number, sign = place
            if sign == "unknown":
                return f'<{name} status="unknown"/>'
            return f'<{name} position="{number}"' + (f' status="{status[sign]}"/>' if sign else "/>")

        first, last = feature["ends"]
        ends = end("position", first) if first == last else end("begin", first) + end("end", last)
        keys = " ".join(code[-3:] for code in feature["codes"])
        elements.append(
            f'<feature type="{TYPES[feature["key"]]}"'
            + (f" description={quoteattr(feature['note'])}" if feature["note"] else "")
            + (f' evidence="{keys}"' if keys else "")
            + "><location"
            + (f' sequence="{feature["isoform"]}">' if feature["isoform"] else ">")
            + ends
            + "</location>"
        )
        if feature["ligand"]:
            ligand = ElementTree.Element("name")
            ligand.text = feature["ligand"]
            elements.append(f"<ligand>{ElementTree.tostring(ligand, 'unicode')}</ligand>")
        elements.append("</feature>")
    codes = "".join(f'<evidence key="{n}" type="ECO:0000{n}"/>' for n in ("269", "305", "255"))
    return (
        '<uniprot xmlns="http://uniprot.org/uniprot"><entry><accession>A</accession><name>A_B</name>'
        f'{"".join(elements)}{codes}<sequence length="{len(sequence)}">{sequence}</sequence></entry></uniprot>'
    )


def as_text(sequence: str, table: list[dict[str, Any]]) -> str:
    lines = [f"ID   A_B   Unreviewed;   {len(sequence)} AA.", "AC   A;"]
    for feature in table:
        first, last = ("?" if sign == "unknown" else f"{sign}{number}" for number, sign in feature["ends"])
        place = first if feature["ends"][0] == feature["ends"][1] else f"{first}..{last}"
        lines.append(f"FT   {feature['key']:15} {feature['isoform'] + ':' if feature['isoform'] else ''}{place}")
        said = {**{name: feature[name] for name in ("note", "ligand")}, "evidence": ", ".join(feature["codes"])}
        for name, value in said.items():
            if value:
                lines += [
                    f"FT{'':19}{line}" for line in textwrap.wrap(f'/{name}="{value}"', 57, break_long_words=False)
                ]
    return "\n".join([*lines, "SQ   SEQUENCE   1 AA;  1 MW;  F CRC64;", f"     {sequence}", "//", ""])


def expected(length: int, table: list[dict[str, Any]]) -> dict[str, Any]:
    """The same by asking at every residue."""
    known: dict[str, Any] = {"entry_name": "A_B", "reviewed": False}
    placed = []
    for feature in table:
        (first, sign), (last, other) = feature["ends"]
        if not feature["isoform"] and not {sign, other} & {"?", "unknown"} and last <= length:
            placed.append({**feature, "first": first, "last": last})
    keys = {feature["key"] for feature in placed}
    if keys & {"HELIX", "STRAND", "TURN"}:
        keys |= {"HELIX", "STRAND", "TURN"}
    for key in keys:
        flag = FLAGS[key]
        notes = key not in {"HELIX", "STRAND", "TURN"}
        columns: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        known[flag] = set()
        for place in range(1, length + 1):
            for feature in placed:
                ends = {feature["first"], feature["last"]}
                inside = (
                    place in ends if key in {"CROSSLNK", "DISULFID"} else feature["first"] <= place <= feature["last"]
                )
                if FLAGS.get(feature["key"]) == flag and inside:
                    known[flag].add(place)
                    columns["evidence"][place] += feature["codes"]
                    columns["note"][place] += [feature["note"]] if feature["note"] and notes else []
                    columns["molecule"][place] += [feature["ligand"]] if feature["ligand"] else []
        for name, texts in columns.items() if key != "DISULFID" else ():
            found = {place: "; ".join(dict.fromkeys(text)) for place, text in texts.items() if text}
            if found:
                known[f"{flag}_{name}"] = found
    for key, flag in (("DISULFID", "disulfide"), ("CROSSLNK", "cross_linked")):
        pairs: defaultdict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for feature in placed:
            if feature["key"] == key and feature["first"] < feature["last"]:
                pairs[feature["first"], feature["last"]].append(feature)
        if pairs:
            known[flag] = both_ways(dict.fromkeys(pairs, True))
        if key == "DISULFID":
            notes_of = {p: dict.fromkeys(f["note"] for f in fs if f["note"]) for p, fs in pairs.items()}
            codes_of = {p: dict.fromkeys(code for f in fs for code in f["codes"]) for p, fs in pairs.items()}
            for name, found in (("note", notes_of), ("evidence", codes_of)):
                if texts := {pair: "; ".join(text) for pair, text in found.items() if text}:
                    known[f"{flag}_{name}"] = both_ways(texts)
    return known


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sequence=st.text("ACDEFGHIKLMNPQRSTVWYBJOUXZ", min_size=1, max_size=40), table=st.lists(features(), max_size=12))
def test_both_formats_tell_what_is_at_each_residue(tmp_path, sequence, table):
    (from_xml,) = uniprot_xml.read(write(tmp_path, as_xml(sequence, table), "in.xml"))
    (from_text,) = uniprot_text.read(write(tmp_path, as_text(sequence, table), "in.txt"))
    assert from_xml.sequence == from_text.sequence == sequence
    assert told(from_xml) == expected(len(sequence), table)
    assert told(from_text) == told(from_xml)


ENTITIES = '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
EMPTY = '<uniprot xmlns="http://uniprot.org/uniprot"/>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", [":1", "not well-formed XML", "no element"]),
        ("MKV", [":1", "not well-formed XML"]),
        (XML[: len(XML) // 2], ["not well-formed XML"]),
        (EMPTY, ["has no entry"]),
        ("<html/>", [":1", "<html>", "no name space"]),
        ('<uniprot xmlns="http://example.org"/>', [":1", "<uniprot>", "http://example.org"]),
        (EMPTY.replace("uniprot xm", "UniRef90 xm"), [":1", "<UniRef90>"]),
        (f"<!DOCTYPE uniprot [{ENTITIES}]>{XML[39:].replace('Lyase', '&b;')}", [":1", "document type"]),
        (f'<!DOCTYPE uniprot [<!ENTITY x SYSTEM "file:///etc/passwd">]>{EMPTY}', [":1", "document type"]),
        (f'<!DOCTYPE uniprot SYSTEM "http://example.org/x.dtd">{EMPTY}', [":1", "document type"]),
        (XML.replace("Lyase", "&undefined;"), ["undefined entity"]),
        (XML.replace('"UTF-8"', '"no-such"'), [":1", "not well-formed XML"]),
        (XML.encode().replace("β".encode(), b"\xff"), [":8", "not well-formed XML"]),
        (re.sub("<accession>.*", "", XML), ["no accession"]),
        (re.sub("(?s)<sequence l.*</sequence>", "", XML), [":3", "P00001", "no sequence"]),
        (re.sub("(?s)(<sequence l.*?>).*?<", r"\1<", XML), [":3", "P00001", "no sequence"]),
        (XML.replace("MKCDE", "MKC1E"), [":3", "P00001", "'1'"]),
        (XML.replace("MKCDE", "mkcde"), [":3", "P00001", "'m'"]),
        (XML.replace("MKCDE", "MKCD"), [":3", "P00001", "30", "29"]),
        (XML.replace('"30" mass', '"many" mass'), ["'many'", "length"]),
        (XML.replace('position="8"', 'position="here"'), ["'here'", "position"]),
        (XML.replace('position="8"', f'position="{"9" * 9999}"'), ["position"]),
        (XML.replace('position="10"', 'position="13"'), [":3", "P00001", "DISULFID", "13 to 12"]),
        (XML.replace('"12345"', f'"1{"0" * 30}"'), [":3", "P00001", "taxon"]),
        (XML.replace('"12345"', '"x"'), ["'x'", "taxon"]),
        (gzip.compress(XML.encode(), mtime=0)[:-12], ["gzip", "again"]),
    ],
)
def test_bad_xml_is_refused_with_its_place(tmp_path, content, words):
    refused(uniprot_xml, write(tmp_path, content), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["has no entry"]),
        ("\n \n", ["has no entry"]),
        (">sp|P00001\nMKV\n", [":1", "starts no UniProt entry"]),
        ("//\n", [":1", "cannot be read"]),
        (TEXT[:-3], [":1", "does not end"]),
        (TEXT + TEXT[:200], [":67", "does not end"]),
        (TEXT.replace("30 AA.", "AA."), [":1", "cannot be read"]),
        (TEXT.replace("30 AA.", "31 AA."), [":1", "P00001", "31", "30"]),
        (re.sub("AC .*\n", "", TEXT), [":1", "no AC line"]),
        (TEXT.replace("METAL           8", "METAL           here"), [":1", "here"]),
        (TEXT.replace("10..12", "13..12"), [":1", "P00001", "DISULFID", "13 to 12"]),
        (TEXT.replace("10..12", "22..12"), [":1", "cannot be read"]),
        (TEXT.replace('/note="Left"', "/note=Left"), [":1", "quote"]),
        (TEXT.replace("NCBI_TaxID=12345", f"NCBI_TaxID=1{'0' * 30}"), [":1", "taxon"]),
        (TEXT.replace("MKCDE", "MKC1E"), [":1", "P00001", "'1'"]),
        (re.sub(r"(?s)\n     .*?//", "\n//", TEXT), [":1", "P00001", "no sequence"]),
        (TEXT.encode().replace("β".encode(), b"\xff"), [":4", "0xff", "UTF-8"]),
        (TEXT.replace("SQ  ", "FT                   more\n" * 1200 + "SQ  "), [":1", "1000", "lines FT"]),
        (TEXT.replace("OX  ", "GN   Name=a;\n" * 1200 + "OX  ", 1), [":1", "1000", "lines GN"]),
        (gzip.compress(TEXT.encode(), mtime=0)[:-12], ["gzip", "again"]),
    ],
)
def test_bad_text_is_refused_with_its_place(tmp_path, content, words):
    refused(uniprot_text, write(tmp_path, content), words)


def refused(reader: Any, path: Path, words: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        list(reader.read(path))
    assert str(path) in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@READERS
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path, reader, content, data):
    raw = bytearray(content.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        if data.draw(st.booleans()):
            raw[place] = data.draw(st.integers(0, 255))
        else:
            del raw[place : place + data.draw(st.integers(1, 40))]
    with contextlib.suppress(SourceError):
        for record in reader.read(write(tmp_path, bytes(raw))):
            told(record)


@READERS
def test_records_come_one_by_one_in_constant_memory(tmp_path, reader, content):
    def peak(copies: int) -> int:
        # With as much in it that is not read as real entries have.
        if reader is uniprot_xml:
            before, entry, after = re.fullmatch(r"(?s)(.*?)(<entry.*</entry>)(.*)", content).groups()
            entry = entry.replace("<comment", "<comment><text>" + "words " * 8000 + "</text></comment><comment", 1)
            path = write(tmp_path, before + entry * copies + after)
        else:
            path = write(tmp_path, content.replace("OX", "CC   -!- FUNCTION: many words.\n" * 1500 + "OX", 1) * copies)
        tracemalloc.start()
        try:
            assert sum(1 for _ in reader.read(path)) == copies
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(240) < 1.2 * peak(120)


def test_many_features_in_one_entry(tmp_path):
    count, length = 40_000, 1_000
    table = [
        {"key": "BINDING", "ends": [(n % length + 1, "")] * 2, "isoform": None, "note": f"n{n % 7}", "ligand": "ATP",
         "codes": ["ECO:0000269"]}
        for n in range(count)
    ]  # fmt: skip
    sequence = "MKTAYIAKQR" * (length // 10)
    for reader, content in ((uniprot_xml, as_xml(sequence, table)), (uniprot_text, as_text(sequence, table))):
        known = told(next(reader.read(write(tmp_path, content))))
        assert known["binding_site"] == set(range(1, length + 1))
        assert known["binding_site_molecule"] == dict.fromkeys(range(1, length + 1), "ATP")
        assert all(set(note.split("; ")) == {f"n{n}" for n in range(7)} for note in known["binding_site_note"].values())


@READERS
def test_an_entry_beyond_all_measure_is_refused(tmp_path, monkeypatch, reader, content):
    path = write(tmp_path, content)
    monkeypatch.setattr(uniprot_features, "_COLUMN_CHARACTERS", 100)
    refused(reader, path, ["P00001", "domain_note"])
    monkeypatch.setattr(reader, "ENTRY_BYTES", 1000)
    monkeypatch.setattr(uniprot_xml, "_CHUNK_BYTES", 100)
    refused(reader, path, ["an entry of more than"])


@pytest.mark.parametrize(
    ("name", "head", "xml", "text"),
    [
        ("a.xml", XML[:4096].encode(), True, False),
        ("a.XML.gz", b"\xef\xbb\xbf" + XML[:4096].encode(), True, False),
        ("a.xml", b'<?xml version="1.0"?>\n<uniprot\n  xmlns=', True, False),
        ("a.xml", b'<u:uniprot xmlns:u="', True, False),
        ("damaged.xml.gz", b"", True, False),
        ("a.xml", b"<UniRef90 xmlns=", False, False),
        ("a.xml", b"<PDBx:datablock", False, False),
        ("a", XML[:4096].encode(), False, False),
        ("uniprot_sprot.dat.gz", TEXT[:4096].encode(), False, True),
        ("a.txt", b"\xef\xbb\xbf\n" + TEXT[:4096].encode(), False, True),
        ("a", b"ID   CYC_BOVIN     STANDARD;      PRT;   104 AA.", False, True),
        ("a.dat", b"ID   X56734; SV 1; linear; mRNA; STD; PLN; 1859 BP.", False, False),
        ("a.dat", b"", False, False),
    ],
)
def test_accepts(name, head, xml, text):
    assert uniprot_xml.accepts(Path(name), head) is xml
    assert uniprot_text.accepts(Path(name), head) is text


def test_every_property_is_named_once():
    names = [prop.name for prop in uniprot_features.PROPERTIES]
    assert len(set(names)) == len(names)
    assert uniprot_xml.PROPERTIES == uniprot_text.PROPERTIES == uniprot_features.PROPERTIES
    assert set(itertools.chain(FLAGS.values(), ["disulfide", "cross_linked"])) <= set(names)


def test_elements_within_one_another_beyond_any_schema_are_refused(tmp_path):
    path = tmp_path / "deep.xml"
    for start in ("", "<entry>", '<entry><feature type="helix">'):
        path.write_text(f'<uniprot xmlns="http://uniprot.org/uniprot">{start}{"<a>" * 100_000}')
        with pytest.raises(SourceError, match=r"deep\.xml:1 has more than 50 elements within one another"):
            list(uniprot_xml.read(path))
