"""What PDB and mmCIF files tell of residues: hand-checked facts, both formats alike, and brute force for distances."""

from __future__ import annotations

import gzip
import itertools
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from Bio.Data.PDBData import residue_sasa_scales
from Bio.PDB.MMCIF2Dict import MMCIF2Dict
from Bio.PDB.PDBParser import PDBParser
from Bio.PDB.SASA import ShrakeRupley
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.readers.inputs import Record, read_inputs
from attnstore.readers.record import Options
from attnstore.readers.structures import mmcif, pdb
from attnstore.readers.structures.chemistry import element, is_metal
from attnstore.readers.structures.ligands import BIOLIP

from .structure_files import FORMATS, Atom, Described, as_cif, as_pdb, chain_of, read

DATA = Path(__file__).parents[1] / "data" / "structures"
BOTH = ["1A8O", "1LCD", "2XHE_backbone"]
IDENTITY = np.eye(3, 4)
#: Of a single atom no residue has two pairs, which BioLiP's criterion asks for.
NEAR = Options(ligand_distance=5.0, accessibility=False)


def record_of(name: str, chain: str = "A", **options: Any) -> Record:
    reader = pdb if ".pdb" in name else mmcif
    (found,) = (one for one in reader.read(DATA / name, Options(**options)) if one.id.endswith(f"_{chain}"))
    return found


def values(record: Record, name: str) -> list[Any] | None:
    """Return a residue property's values, None where the record has none."""
    return next((one.values.to_pylist() for one in record.annotations if one.property.name == name), None)


#: The properties that tell kinds of modification apart.
KINDS = (
    "modified_residue", "glycosylation", "lipidation", "attached_group", "cross_link", "disulfide_bonded",
    "metal_coordination",
)  # fmt: skip


def kinds(record: Record) -> list[str]:
    """Return how each residue is modified, "" for one that is not, and see that the mixture holds these residues."""
    found = {name: values(record, name) for name in KINDS}
    assert all(True in flags for flags in found.values() if flags is not None)
    each = [[name for name, flags in found.items() if flags and flags[i]] for i in range(len(record.sequence))]
    assert (values(record, "protein_modification") or [False] * len(each)) == [bool(names) for names in each]
    return [" ".join(names) for names in each]


def where(record: Record, name: str, value: Any = True) -> list[str]:
    """Return the author's numbers of the residues with a value."""
    structure = record.structure
    labels = [
        f"{number}{code or ''}" for number, code in zip(structure.author_number, structure.insertion_code, strict=True)
    ]
    return [label for label, here in zip(labels, values(record, name) or [], strict=False) if here == value]


def pairs(record: Record, name: str = "disulfide") -> set[tuple[int, int]] | None:
    for one in record.annotations:
        if one.property.name == name:
            assert one.otherwise is False
            return set(zip(one.source.tolist(), one.target.tolist(), strict=True))
    return None


def numbered(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def assert_alike(ours: list[Record], theirs: list[Record]) -> None:
    assert [one.sequence for one in ours] == [one.sequence for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert [a.property for a in one.annotations] == [a.property for a in other.annotations]
        for a, b in zip(one.annotations, other.annotations, strict=True):
            assert a.values.is_null().to_pylist() == b.values.is_null().to_pylist(), a.property.name
            if a.property.kind == "float":
                np.testing.assert_allclose(a.values.drop_null(), b.values.drop_null(), atol=1e-6)
            else:
                assert a.values.equals(b.values), a.property.name
            assert (a.source.tolist(), a.target.tolist()) == (b.source.tolist(), b.target.tolist())
            assert a.otherwise == b.otherwise


# Facts of entries, read off the files themselves.


@pytest.mark.parametrize("entry", BOTH)
def test_pdb_and_mmcif_of_an_entry_give_the_same_properties(entry):
    ours = list(pdb.read(DATA / f"{entry}.pdb.gz"))
    assert all(one.annotations for one in ours)
    assert_alike(ours, list(mmcif.read(DATA / f"{entry}.cif.gz")))


@pytest.mark.parametrize("name", ["1A8O.pdb.gz", "1A8O.cif.gz"])
def test_1a8o_has_five_helices_and_a_disulfide_and_its_selenomethionines_are_no_modification(name):
    record = record_of(name)
    helices = [(161, 175), (179, 187), (189, 192), (196, 205), (211, 217)]
    assert where(record, "helix") == [label for ends in helices for label in numbered(*ends)]
    # No strand is recorded, but the secondary structure is, so none is known to be there.
    assert values(record, "strand") == [False] * 70
    assert values(record, "turn") is None
    assert pairs(record) == {(198 - 151, 218 - 151), (218 - 151, 198 - 151)}
    assert where(record, "protein_modification") == ["198", "218"]
    assert where(record, "disulfide_bonded") == ["198", "218"]
    assert {*kinds(record)} == {"", "disulfide_bonded"}
    assert values(record, "binding_site_ligand") is None
    assert values(record, "binding_site_record") is None
    # The second line of HETATM: CA MSE A 151 ... 18.64.
    assert values(record, "b_factor")[0] == pytest.approx(18.64, abs=1e-4)


@pytest.mark.parametrize("name", ["1LCD.pdb.gz", "1LCD.cif.gz"])
def test_1lcd_lists_one_site_whose_only_residue_of_the_protein_is_valine_24(name):
    record = record_of(name)
    assert where(record, "binding_site_record") == ["24"]
    assert values(record, "binding_site_evidence") == [None] * 23 + ["SOFTWARE"] + [None] * 27
    assert where(record, "helix") == numbered(5, 14) + numbered(16, 25) + numbered(31, 45)
    # By NMR: the file has 0 for every B-factor, which is no measurement.
    assert values(record, "b_factor") is None
    # Sodium is on BioLiP's list and kept as a metal; no residue has two atoms in contact with one.
    assert "24" in where(record_of(name, ligand_distance=5.0), "binding_site_ligand")
    assert values(record, "binding_site_ligand") is None


def test_1gbt_has_an_attached_inhibitor_a_calcium_six_disulfides_and_insertion_codes():
    record = record_of("1GBT.cif.gz")
    codes = zip(record.structure.author_number.tolist(), record.structure.insertion_code, strict=True)
    assert [one for one in codes if one[1]] == [(65, "A"), (184, "A"), (188, "A"), (221, "A")]
    assert record.sequence[where_is(record, "195")] == "S"
    assert where(record, "attached_group") == ["195"]
    assert where(record, "metal_coordination") == ["70", "72", "75", "80"]
    joined = [(22, 157), (42, 58), (128, 232), (136, 201), (168, 182), (191, 220)]
    at = {(where_is(record, str(one)), where_is(record, str(other))) for one, other in joined}
    assert pairs(record) == at | {(other, one) for one, other in at}
    assert where(record, "disulfide_bonded") == sorted((str(number) for pair in joined for number in pair), key=int)
    # AC1 (calcium), AC2 (sulfate) and AC3 (the inhibitor), waters left out.
    sites = [70, 72, 75, 80, 174, 189, 190, 191, 192, 193, 195, 213, 214, 215, 216, 219, 226]
    assert where(record, "binding_site_record") == [str(number) for number in sites]
    assert set(where(record, "binding_site_evidence", "SOFTWARE")) == {str(number) for number in sites}


def where_is(record: Record, number: str) -> int:
    structure = record.structure
    labels = [f"{n}{code or ''}" for n, code in zip(structure.author_number, structure.insertion_code, strict=True)]
    return labels.index(number)


def test_1gbt_s_sulfates_are_no_ligands_and_its_distances_are_those_of_its_lines():
    with gzip.open(DATA / "1GBT.cif.gz", "rt") as stream:
        cif = MMCIF2Dict(stream)
    names = ["group_PDB", "auth_comp_id", "auth_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z"]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(cif[f"_atom_site.{n}"] for n in names), strict=True)]
    position = np.array([[float(row[f"Cartn_{axis}"]) for axis in "xyz"] for row in rows])
    ligand = np.array([row["auth_comp_id"] in {"GBS", "CA"} and row["group_PDB"] == "HETATM" for row in rows])
    assert {row["auth_comp_id"] for row in rows if row["group_PDB"] == "HETATM"} == {"GBS", "CA", "SO4", "HOH"}
    reach = np.linalg.norm(position[:, None] - position[ligand], axis=2).min(axis=1)
    for distance in (3.0, 5.0):
        near = {
            row["auth_seq_id"] + row["pdbx_PDB_ins_code"].strip("?")
            for row, d in zip(rows, reach, strict=True)
            if row["group_PDB"] == "ATOM" and d <= distance
        }
        assert set(where(record_of("1GBT.cif.gz", ligand_distance=distance), "binding_site_ligand")) == near
        assert near
    # By BioLiP's criterion, with Bondi's radii and Mantina's of calcium.
    radius = {"C": 1.7, "N": 1.55, "O": 1.52, "S": 1.8, "CA": 2.31}
    radii = np.array([radius[symbol] for symbol in cif["_atom_site.type_symbol"]])
    touching = np.linalg.norm(position[:, None] - position[ligand], axis=2) <= radii[:, None] + radii[ligand] + 0.5
    found = []
    for label in dict.fromkeys(row["auth_seq_id"] + row["pdbx_PDB_ins_code"].strip("?") for row in rows):
        mine = [
            row["auth_seq_id"] + row["pdbx_PDB_ins_code"].strip("?") == label and row["group_PDB"] == "ATOM"
            for row in rows
        ]
        per_ligand = [
            touching[np.ix_(mine, [rows[i]["auth_comp_id"] == name for i in np.flatnonzero(ligand)])].sum()
            for name in ("GBS", "CA")
        ]
        found += [label] * int(max(per_ligand) >= 2)
    record = record_of("1GBT.cif.gz")
    assert where(record, "binding_site_ligand") == found
    assert len(found) == 16
    assert len(set(found) & set(where(record, "binding_site_record"))) == 13


def test_2n0n_has_a_modified_residue_and_an_isopeptide_cross_link():
    record = record_of("2N0N.pdb.gz")
    # MODRES AIB 2; LINK NZ LYS 5 - CD GLU 9; the other LINKs are the backbone's.
    assert kinds(record) == ["", "modified_residue", "", "", *["cross_link", "", "", ""] * 2]
    # HELIX 1 - 3 and 4 - 11; in this version of the file the phenylalanine between 9 and 11 is numbered 9A.
    assert where(record, "helix") == [*numbered(1, 9), "9A", "11"]
    # AIB, PH8 and NH2 have no largest surface to compare with, and glutamate 9 gave an oxygen for its bond.
    assert [index for index, value in enumerate(values(record, "rsa")) if value is None] == [1, 8, 10, 11]


def test_2xhe_is_null_where_it_is_not_resolved_and_its_helices_span_the_breaks():
    for name in ("2XHE_backbone.pdb.gz", "2XHE_backbone.cif.gz"):
        for chain, first in (("A", (2, 16)), ("B", (4, 10))):
            record = record_of(name, chain)
            hidden = ~record.structure.author_known
            assert 0 < hidden.sum() < len(hidden)
            for one in record.annotations:
                assert all(one.values.is_null().to_numpy(zero_copy_only=False)[hidden])
            assert where(record, "helix")[: first[1] - first[0] + 1] == numbered(*first)
        # No residue of this file has its carbonyl oxygen, so none is whole.
        assert values(record_of(name, "A"), "rsa") is None


def test_surface_is_biopython_s_own_over_the_largest():
    record = record_of("1A8O.pdb.gz")
    with gzip.open(DATA / "1A8O.pdb.gz", "rt") as stream:
        model = PDBParser(QUIET=True).get_structure("x", stream)[0]
    for residue in list(model["A"]):
        if residue.resname == "HOH":
            model["A"].detach_child(residue.id)
    ShrakeRupley().compute(model, level="R")
    largest = residue_sasa_scales["Wilke"] | {"MSE": residue_sasa_scales["Wilke"]["MET"]}
    expected = [residue.sasa / largest[residue.resname] for residue in model["A"]]
    np.testing.assert_allclose(values(record, "rsa"), expected, atol=1e-6)
    # Table 1 of Tien et al. 2013, column "Theoretical", three of its values.
    assert [largest[name] for name in ("ALA", "GLY", "TRP")] == [129.0, 104.0, 285.0]


@pytest.mark.parametrize("name", ["1A8O.pdb.gz", "1LCD.pdb.gz", "1GBT.cif.gz", "3JQH.cif.gz"])
def test_surface_is_between_nothing_and_a_little_more_than_the_largest(name):
    known = [value for value in values(record_of(name), "rsa") if value is not None]
    assert min(known) >= 0.0
    # Chain ends and selenium exceed what Tien et al. allow a residue inside a chain.
    assert 0.5 < max(known) < 1.25
    assert np.mean(known) < 0.8


def test_surface_is_left_out_when_it_is_not_asked_for():
    assert values(record_of("1A8O.pdb.gz", accessibility=False), "rsa") is None


@pytest.mark.skipif(shutil.which("mkdssp") is None, reason="mkdssp is not installed")
def test_mkdssp_is_run_where_it_is_asked_for_and_both_formats_agree():
    assert values(record_of("1A8O.pdb.gz"), "ss8") is None
    ours, theirs = (record_of(name, dssp=True) for name in ("1A8O.pdb.gz", "1A8O.cif.gz"))
    assert_alike([ours], [theirs])
    # The second helix of the entry, 179 to 187, and the ends of it that DSSP sees.
    assert values(ours, "ss8")[179 - 151 : 187 - 151] == ["H"] * 8
    assert values(ours, "ss3")[:2] == ["coil", "coil"]
    hidden = ~record_of("3JQH.cif.gz", dssp=True).structure.author_known
    assert [one is None for one in values(record_of("3JQH.cif.gz", dssp=True), "ss8")] == hidden.tolist()


# What the entries at hand do not show, in small ones written to the formats.

SIX = {"A": "ALA CYS SER CYS ASN GLY".split()}  # noqa: SIM905


def six(**features: Any) -> Described:
    return Described(chain_of("ALA CYS SER CYS ASN GLY"), SIX, **features)


def ligand(name: str, position: tuple[float, float, float], number: str = "301", chain: str = "A", **more: Any) -> Atom:
    return Atom(chain, name, number, more.pop("atom", "C1"), position, polymer=False, **more)


@pytest.mark.parametrize("kind", FORMATS)
def test_helix_strand_and_turn_are_apart_and_polyproline_is_no_helix(tmp_path, kind):
    entry = six(
        helices=[("A ALA 1", "A CYS 2")], strands=[("A CYS 4", "A CYS 4")], turns=[("A CYS 2", "A SER 3")],
        polyproline=[("A ASN 5", "A GLY 6")],
    )  # fmt: skip
    (record,) = read(tmp_path, entry, kind)
    assert where(record, "helix") == ["1", "2"]
    assert where(record, "strand") == ["4"]
    assert where(record, "turn") == ["2", "3"]
    (record,) = read(tmp_path, six(polyproline=[("A ALA 1", "A CYS 2")]), kind)
    assert values(record, "helix") is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_helix_whose_end_was_not_observed_covers_what_was(tmp_path, kind):
    atoms = [one for one in chain_of("ALA CYS SER CYS ASN GLY") if one.number not in {"2", "5"}]
    missing = "" if kind == "cif" else "REMARK 465     CYS A     2\nREMARK 465     ASN A     5"
    entry = Described([*atoms, ligand("ATP", (20.0, 3.0, 0.0))], SIX, helices=[("A CYS 2", "A CYS 4")], more=missing)
    text = {"pdb": as_pdb, "cif": as_cif}[kind](entry)
    if kind == "cif":
        # The writer numbers what it is given; the entry has places 1, 3, 4 and 6.
        for place, number in ((4, 6), (3, 4), (2, 3)):
            text = text.replace(f" AP {place} {number} A ", f" AP {number} {number} A ")
    (tmp_path / f"x.{kind}").write_text(text)
    (record,) = (pdb if kind == "pdb" else mmcif).read(tmp_path / f"x.{kind}", NEAR)
    assert values(record, "helix") == [False, None, True, True, None, False]
    assert values(record, "binding_site_ligand") == [False, None, True, False, None, False]


def test_predicted_models_give_their_strands_and_turns_in_struct_conf(tmp_path):
    text = as_cif(six(helices=[("A ALA 1", "A CYS 2")], turns=[("A CYS 4", "A ASN 5")]))
    for old, new in (("HELX_P", "STRN"), ("TURN_P", "TURN_TY1_P")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "x.cif").write_text(text)
    (record,) = mmcif.read(tmp_path / "x.cif")
    assert where(record, "strand") == ["1", "2"]
    assert where(record, "turn") == ["4", "5"]
    assert values(record, "helix") == [False] * 6
    (tmp_path / "x.cif").write_text(text.replace("STRN 1", "HELX_LH_PP_P ?"))
    (record,) = mmcif.read(tmp_path / "x.cif")
    assert values(record, "helix") is None
    assert where(record, "turn") == ["4", "5"]


def test_a_category_without_the_author_s_names_goes_by_labels(tmp_path):
    atoms = [replace(one, number=str(int(one.number) + 100)) for one in chain_of("ALA CYS SER CYS ASN GLY")]
    text = as_cif(Described(atoms, SIX, helices=[("A CYS 102", "A CYS 104")]))
    for old, new in (
        ("beg_auth", "beg_label"),
        ("end_auth", "end_label"),
        ("CYS A 102 ? CYS A 104", "CYS AP 2 ? CYS AP 4"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "x.cif").write_text(text)
    (record,) = mmcif.read(tmp_path / "x.cif")
    assert where(record, "helix") == ["102", "103", "104"]


@pytest.mark.parametrize("kind", FORMATS)
def test_only_a_disulfide_within_the_chain_itself_is_a_pair(tmp_path, kind):
    (record,) = read(tmp_path, six(disulfides=[("A CYS 2", "A CYS 4")]), kind)
    assert pairs(record) == {(1, 3), (3, 1)}
    (record,) = read(tmp_path, six(disulfides=[("A CYS 2", "A CYS 4")], symmetry="2_655"), kind)
    assert pairs(record) is None
    assert where(record, "disulfide_bonded") == ["2", "4"]
    two = Described(
        chain_of("ALA CYS") + chain_of("GLY CYS", "B", origin=50.0), {"A": ["ALA", "CYS"], "B": ["GLY", "CYS"]},
        disulfides=[("A CYS 2", "B CYS 2")],
    )  # fmt: skip
    for record in read(tmp_path, two, kind):
        assert pairs(record) is None
        assert kinds(record) == ["", "disulfide_bonded"]


@pytest.mark.parametrize("kind", FORMATS)
def test_insertion_codes_tell_residues_of_one_number_apart(tmp_path, kind):
    atoms = [Atom("A", name, number, "CA", (10.0 * i, 0.0, 0.0)) for i, (name, number) in enumerate(
        [("ALA", "52"), ("CYS", "52A"), ("SER", "52B"), ("CYS", "53")]
    )]  # fmt: skip
    entry = Described(
        atoms, {"A": ["ALA", "CYS", "SER", "CYS"]}, disulfides=[("A CYS 52A", "A CYS 53")],
        helices=[("A CYS 52A", "A SER 52B")], sites={"AC1": ("AUTHOR", ["A SER 52B"])},
    )  # fmt: skip
    (record,) = read(tmp_path, entry, kind)
    assert pairs(record) == {(1, 3), (3, 1)}
    assert where(record, "helix") == ["52A", "52B"]
    assert where(record, "binding_site_record") == ["52B"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_site_s_evidence_is_kept_and_the_author_s_is_the_stronger(tmp_path, kind):
    sites = {
        "AC1": ("SOFTWARE", ["A ALA 1", "A CYS 2", "A HOH 9", "A SER 3", "A CYS 4"]),
        "AC2": ("AUTHOR", ["A CYS 2"]), "AC3": ("", ["A GLY 6", "B GLY 6"]), "AC4": ("", ["A ALA 1"]),
    }  # fmt: skip
    (record,) = read(tmp_path, six(sites=sites), kind)
    assert where(record, "binding_site_record") == ["1", "2", "3", "4", "6"]
    assert values(record, "binding_site_evidence") == ["SOFTWARE", "AUTHOR", "SOFTWARE", "SOFTWARE", None, None]


@pytest.mark.parametrize("kind", FORMATS)
def test_kinds_of_modification_come_from_the_lists_and_the_bonds(tmp_path, kind):
    names = ["SEP", "CYS", "MSE", "CYS", "ASN", "GLY", "LYS", "ASP"]
    atoms = [
        *chain_of(" ".join(names)),
        *(Atom("A", name, str(number), atom, (10.0 * number - 9, 1.0, 0.0), symbol) for name, number, atom, symbol in [
            ("ASN", 5, "ND2", "N"), ("GLY", 6, "O", "O"), ("LYS", 7, "NZ", "N"), ("ASP", 8, "CG", "C"),
        ]),
        ligand("NAG", (40.0, 2.0, 0.0)), ligand("ZN", (50.0, 2.0, 0.0), "302", atom="ZN", element="ZN"),
    ]  # fmt: skip
    entry = Described(
        atoms, {"A": names}, disulfides=[("A CYS 2", "A CYS 4")],
        links=[
            ("A ASN 5 ND2", "A NAG 301 C1"), ("A GLY 6 O", "A ZN 302 ZN"), ("A LYS 7 NZ", "A ASP 8 CG"),
            ("A SEP 1 C", "A CYS 2 N"), ("A LYS 7 NZ", "A HOH 400 O"),
        ],
        modified=[("A SEP 1", "SER"), ("A MSE 3", "MET"), ("A ASN 5", "ASN")],
    )  # fmt: skip
    (record,) = read(tmp_path, entry, kind)
    assert record.sequence == "SCMCNGKD"
    disulfide, link = "disulfide_bonded", "cross_link"
    assert kinds(record) == [
        "modified_residue", disulfide, "", disulfide, "glycosylation", "metal_coordination", link, link
    ]  # fmt: skip
    # A residue may be modified in several ways.
    (record,) = read(tmp_path, replace(entry, disulfides=[("A CYS 2", "A SEP 1")]), kind)
    assert kinds(record)[:2] == [f"modified_residue {disulfide}", disulfide]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("name", "listed", "bound", "expected"),
    [
        ("NAG", True, True, "glycosylation"), ("MAN", False, True, "glycosylation"), ("NAG", False, False, ""),
        ("INH", True, True, "attached_group"), ("HEM", False, True, "attached_group"),
        ("NAG", True, False, "attached_group"),
    ],
)  # fmt: skip
def test_what_is_attached_is_what_the_bond_names_and_else_unknown(tmp_path, kind, name, listed, bound, expected):
    atoms = [
        *chain_of("ALA SER GLY"),
        Atom("A", "SER", "2", "OG", (10.0, 1.0, 0.0), "O"),
        ligand(name, (10.0, 2.4, 0.0)),
    ]
    entry = Described(
        atoms, {"A": ["ALA", "SER", "GLY"]}, links=[("A SER 2 OG", f"A {name} 301 C1")] * bound,
        modified=[("A SER 2", "SER")] * listed,
    )  # fmt: skip
    (record,) = read(tmp_path, entry, kind)
    assert kinds(record) == ["", expected, ""]


@pytest.mark.parametrize("comment", ["GLYCOSYLATION SITE", "Glycosylation"])
def test_a_list_that_speaks_of_glycosylation_means_it(tmp_path, comment):
    line = f"MODRES XXXX ASN A    2  ASN  {comment}"
    path = tmp_path / "given.pdb"
    path.write_text("\n".join([line, as_pdb(Described(chain_of("ALA ASN GLY"), {"A": ["ALA", "ASN", "GLY"]}))]))
    (record,) = pdb.read(path)
    assert kinds(record) == ["", "glycosylation", ""]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_peptide_bond_between_the_ends_of_a_chain_is_a_cross_link(tmp_path, kind):
    atoms = [Atom("A", name, str(i), atom, (10.0 * i, x, 0.0)) for i, name in enumerate(["ALA", "CYS", "SER"], start=1)
             for atom, x in (("CA", 0.0), ("N", 1.0), ("C", 2.0))]  # fmt: skip
    entry = Described(
        atoms, {"A": ["ALA", "CYS", "SER"]}, links=[("A SER 3 C", "A ALA 1 N"), ("A ALA 1 C", "A CYS 2 N")]
    )
    (record,) = read(tmp_path, entry, kind)
    assert kinds(record) == ["cross_link", "", "cross_link"]


FEATURES = """\
loop_
_pdbx_modification_feature.ordinal
_pdbx_modification_feature.label_comp_id
_pdbx_modification_feature.auth_asym_id
_pdbx_modification_feature.auth_seq_id
_pdbx_modification_feature.PDB_ins_code
_pdbx_modification_feature.modified_residue_label_comp_id
_pdbx_modification_feature.modified_residue_auth_asym_id
_pdbx_modification_feature.modified_residue_auth_seq_id
_pdbx_modification_feature.modified_residue_PDB_ins_code
_pdbx_modification_feature.category
1 SEP A 1   ? .   . . . 'Named protein modification'
2 MSE A 3   ? .   . . . 'Named protein modification'
3 CYS A 2   ? CYS A 4 ? 'Disulfide bridge'
4 NAG A 301 ? ASN A 5 ? Carbohydrate
5 SF4 A 302 ? GLY A 6 ? 'Metal coordination'
6 LYS A 7   ? ASP A 8 ? 'Isopeptide bond'
7 HEM A 303 ? ASP A 8 ? 'Heme/heme-like'
8 MYR A 304 ? LYS A 7 ? Lipid/lipid-like
#"""


def test_pdbx_modification_feature_goes_before_every_other_list(tmp_path):
    names = ["SEP", "CYS", "MSE", "CYS", "ASN", "GLY", "LYS", "ASP", "TYR"]
    entry = Described(chain_of(" ".join(names)), {"A": names}, modified=[("A TYR 9", "PHE")], more=FEATURES)
    (record,) = read(tmp_path, entry, "cif")
    disulfide = "disulfide_bonded"
    assert kinds(record) == [
        "modified_residue", disulfide, "", disulfide, "glycosylation", "metal_coordination", "lipidation cross_link",
        "attached_group cross_link", "",
    ]  # fmt: skip
    (record,) = read(tmp_path, replace(entry, more=""), "cif")
    assert where(record, "modified_residue") == ["9"]


@pytest.mark.parametrize("kind", FORMATS)
def test_additives_waters_and_hydrogens_are_no_ligands_and_metals_are(tmp_path, kind):
    for name, element_of, counts in (
        ("ATP", "C", True), ("GOL", "C", False), ("SO4", "S", False), ("NA", "NA", True), ("CL", "CL", False),
        ("CD", "CD", True), ("HOH", "O", False), ("LIG", "H", False), ("LIG", "D", False), ("MO6", "MG", True),
    ):  # fmt: skip
        atoms = [*chain_of("ALA CYS SER"), ligand(name, (10.0, 4.0, 0.0), element=element_of)]
        (record,) = read(tmp_path, Described(atoms, {"A": ["ALA", "CYS", "SER"]}), kind, NEAR)
        assert where(record, "binding_site_ligand") == (["2"] if counts else []), name
        assert (values(record, "binding_site_ligand") is not None) == counts


@pytest.mark.parametrize("kind", FORMATS)
def test_five_angstroms_are_within_reach_and_more_is_not(tmp_path, kind):
    entry = Described([*chain_of("ALA CYS SER"), ligand("ATP", (10.0, 5.0, 0.0))], {"A": ["ALA", "CYS", "SER"]})
    assert where(read(tmp_path, entry, kind, NEAR)[0], "binding_site_ligand") == ["2"]
    entry = replace(entry, atoms=[*chain_of("ALA CYS SER"), ligand("ATP", (10.0, 5.001, 0.0))])
    assert values(read(tmp_path, entry, kind, NEAR)[0], "binding_site_ligand") is None
    assert where(read(tmp_path, entry, kind, Options(ligand_distance=5.002))[0], "binding_site_ligand") == ["2"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_glycan_goes_with_its_first_sugar_and_an_attached_inhibitor_stays(tmp_path, kind):
    chain = [*chain_of("ASN CYS SER"), Atom("A", "ASN", "1", "ND2", (0.0, 1.0, 0.0), "N")]
    sugars = [ligand("NAG", (0.0, 2.0, 0.0)), ligand("BMA", (10.0, 3.0, 0.0), "302")]
    links = [("A ASN 1 ND2", "A NAG 301 C1"), ("A NAG 301 C1", "A BMA 302 C1")]
    entry = Described([*chain, *sugars], {"A": ["ASN", "CYS", "SER"]}, links=links)
    assert values(read(tmp_path, entry, kind, NEAR)[0], "binding_site_ligand") is None
    assert where(read(tmp_path, replace(entry, links=()), kind, NEAR)[0], "binding_site_ligand") == ["2"]
    attached = replace(entry, atoms=[*chain, ligand("INH", (0.0, 2.0, 0.0))], links=[("A ASN 1 ND2", "A INH 301 C1")])
    assert where(read(tmp_path, attached, kind, NEAR)[0], "binding_site_ligand") == ["1"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_ligand_reaches_a_copy_of_the_chain_in_its_assembly(tmp_path, kind):
    # The ligand is far from the chain; shifted by 100 Å, it is 3 Å from the second residue.
    shift = np.hstack([np.eye(3), [[100.0], [0.0], [0.0]]])
    atoms = [*chain_of("ALA CYS SER"), ligand("ATP", (-90.0, 3.0, 0.0))]
    entry = Described(atoms, {"A": ["ALA", "CYS", "SER"]}, assemblies=[("A", [IDENTITY, shift])])
    assert where(read(tmp_path, entry, kind, NEAR)[0], "binding_site_ligand") == ["2"]
    assert values(read(tmp_path, replace(entry, assemblies=()), kind, NEAR)[0], "binding_site_ligand") is None
    # The second assembly is not looked at, for the chain is in the first.
    later = replace(entry, assemblies=[("A", [IDENTITY]), ("A", [IDENTITY, shift])])
    assert values(read(tmp_path, later, kind, NEAR)[0], "binding_site_ligand") is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_chain_s_own_assembly_decides_which_ligands_it_sees(tmp_path, kind):
    atoms = [
        *chain_of("ALA CYS SER"), *chain_of("ALA CYS SER", "B", origin=3.0), ligand("ATP", (10.0, 2.0, 0.0)),
    ]  # fmt: skip
    entry = Described(atoms, {name: ["ALA", "CYS", "SER"] for name in "AB"}, assemblies=[("A", [IDENTITY])])
    one, other = read(tmp_path, entry, kind, NEAR)
    # Chain B is in no assembly: as deposited.
    assert where(one, "binding_site_ligand") == where(other, "binding_site_ligand") == ["2"]
    apart = replace(entry, assemblies=[("A", [IDENTITY]), ("B", [IDENTITY])])
    one, other = read(tmp_path, apart, kind, NEAR)
    assert where(one, "binding_site_ligand") == ["2"]
    assert values(other, "binding_site_ligand") is None


def test_an_assembly_s_chains_may_go_on_in_a_second_line(tmp_path):
    atoms = [
        *chain_of("ALA CYS SER"),
        *chain_of("ALA CYS", "B", origin=-90.0),
        ligand("ATP", (-90.0, 3.0, 0.0), chain="B"),
    ]
    shift = np.hstack([np.eye(3), [[100.0], [0.0], [0.0]]])
    names = {"A": ["ALA", "CYS", "SER"], "B": ["ALA", "CYS"]}
    text = as_pdb(Described(atoms, names, assemblies=[("BA", [IDENTITY, shift])]))
    assert "CHAINS: B, A" in text
    (tmp_path / "x.pdb").write_text(
        text.replace("CHAINS: B, A", "CHAINS: B,\nREMARK 350                    AND CHAINS: A")
    )
    one, other = pdb.read(tmp_path / "x.pdb", NEAR)
    assert where(one, "binding_site_ligand") == ["2"]
    assert where(other, "binding_site_ligand") == ["1"]


def test_each_list_of_chains_has_operators_of_its_own(tmp_path):
    shift = np.hstack([np.eye(3), [[100.0], [0.0], [0.0]]])
    atoms = [*chain_of("ALA CYS SER"), ligand("ATP", (-90.0, 3.0, 0.0), chain="L")]
    names = {"A": ["ALA", "CYS", "SER"]}
    text = as_pdb(Described(atoms, names, assemblies=[("A", [IDENTITY]), ("L", [shift])]))
    (tmp_path / "x.pdb").write_text(text.replace("REMARK 350 BIOMOLECULE: 2\n", ""))
    (record,) = pdb.read(tmp_path / "x.pdb", NEAR)
    assert where(record, "binding_site_ligand") == ["2"]
    # With the chain moved along, the ligand stays as far from it as it was.
    text = as_pdb(Described(atoms, names, assemblies=[("AL", [shift])]))
    (tmp_path / "x.pdb").write_text(text)
    assert values(next(pdb.read(tmp_path / "x.pdb", NEAR)), "binding_site_ligand") is None
    text = as_pdb(Described(atoms, names, assemblies=[("A", [shift]), ("L", [shift])]))
    (tmp_path / "x.pdb").write_text(text.replace("REMARK 350 BIOMOLECULE: 2\n", ""))
    assert values(next(pdb.read(tmp_path / "x.pdb", NEAR)), "binding_site_ligand") is None


def test_a_b_factor_that_is_not_there_is_null(tmp_path):
    lines = as_pdb(Described(chain_of("ALA CYS SER"), {"A": ["ALA", "CYS", "SER"]})).splitlines()
    at = next(index for index, line in enumerate(lines) if " CYS A   2" in line)
    lines[at] = lines[at][:60] + " " * 6 + lines[at][66:]
    (tmp_path / "x.pdb").write_text("\n".join(lines))
    (record,) = pdb.read(tmp_path / "x.pdb")
    assert values(record, "b_factor") == [20.0, None, 20.0]
    text = as_cif(Described(chain_of("ALA CYS SER"), {"A": ["ALA", "CYS", "SER"]}))
    (tmp_path / "x.cif").write_text(text.replace("1.00 20.00", "1.00 ?", 1))
    (record,) = mmcif.read(tmp_path / "x.cif")
    assert values(record, "b_factor") == [None, 20.0, 20.0]


def test_waters_numbered_beyond_the_columns_do_not_matter(tmp_path):
    text = as_pdb(six(sites={"AC1": ("AUTHOR", ["A ALA 1", "A HOH 9"])}, links=[("A ALA 1 N", "A HOH 9 O")]))
    water = "HETATM  999  O   HOH AA000      10.000   3.000   0.000  1.00 20.00           O"
    (tmp_path / "x.pdb").write_text(text.replace("HOH A   9", "HOH AA000").replace("END\n", f"{water}\nEND\n"))
    (record,) = pdb.read(tmp_path / "x.pdb")
    assert where(record, "binding_site_record") == ["1"]


def test_products_and_ranges_of_operators_are_applied_from_the_right(tmp_path):
    turn = np.array([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    shift = np.hstack([np.eye(3), [[100.0], [0.0], [0.0]]])
    chain = chain_of("ALA CYS SER")
    entry = Described([*chain, ligand("ATP", (90.0, 3.0, 0.0))], {"A": ["ALA", "CYS", "SER"]})
    text = as_cif(replace(entry, assemblies=[("A", [IDENTITY, shift, turn])]))
    for expression, operators in (
        ("(0x0-0x2)", None), ("(0x1)(0x2)", [shift_of(shift, turn)]), ("(0x2)(0x1)", [shift_of(turn, shift)]),
        ("(0x0,0x1)(0x2)", [turn, shift_of(shift, turn)]),
    ):  # fmt: skip
        (tmp_path / "x.cif").write_text(text.replace("0x0,0x1,0x2", f"'{expression}'"))
        if operators is None:
            with pytest.raises(SourceError, match="not in pdbx_struct_oper_list"):
                list(mmcif.read(tmp_path / "x.cif"))
            continue
        (record,) = mmcif.read(tmp_path / "x.cif")
        expected = brute_force([*chain], [np.array([[90.0, 3.0, 0.0]])], operators, 5.0)
        assert where(record, "binding_site_ligand") == expected


def shift_of(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    return np.hstack([outer[:, :3] @ inner[:, :3], (outer[:, :3] @ inner[:, 3] + outer[:, 3])[:, None]])


def brute_force(
    chain: list[Atom], ligands: list[np.ndarray], operators: list[np.ndarray], distance: float
) -> list[str]:  # fmt: skip
    """Compare every copy of every residue with every copy of every ligand, atom by atom."""
    found = set()
    for one in operators:
        for other in operators:
            for atom in chain:
                here = one[:, :3] @ np.array(atom.position) + one[:, 3]
                for points in ligands:
                    for point in points:
                        if np.linalg.norm(here - (other[:, :3] @ point + other[:, 3])) <= distance:
                            found.add(int(atom.number))
    return [str(number) for number in sorted(found)]


coordinate = st.integers(-12000, 12000).map(lambda milli: milli / 1000)
position = st.tuples(coordinate, coordinate, coordinate)


@st.composite
def operator(draw):
    # Quarter turns keep the numbers of the file exact.
    axes = draw(st.permutations([0, 1, 2]))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    matrix = np.zeros((3, 4))
    for row, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[row, axis] = sign
    matrix[:, 3] = draw(position)
    return matrix


@settings(max_examples=40, deadline=None)
@given(
    chain=st.lists(position, min_size=1, max_size=8),
    ligands=st.lists(position, min_size=1, max_size=4),
    operators=st.lists(operator(), max_size=3),
    distance=st.sampled_from([2.5, 5.0, 8.0]),
    kind=st.sampled_from(FORMATS),
)
def test_ligand_residues_are_those_that_all_pairs_of_atoms_give(
    tmp_path_factory, chain, ligands, operators, distance, kind
):
    atoms = [Atom("A", "ALA", str(i), "CA", here) for i, here in enumerate(chain, start=1)]
    others = [ligand("ATP", here, str(300 + i)) for i, here in enumerate(ligands)]
    assemblies = [("A", operators)] if operators else []
    entry = Described([*atoms, *others], {"A": ["ALA"] * len(atoms)}, assemblies=assemblies)
    folder = tmp_path_factory.mktemp("x")
    (record,) = read(folder, entry, kind, Options(ligand_distance=distance, accessibility=False))
    seen = [np.float32(here).astype(float)[None] for here in ligands]
    single = [replace(atom, position=tuple(np.float32(atom.position).astype(float))) for atom in atoms]
    expected = brute_force(single, seen, operators or [IDENTITY], distance)
    assert where(record, "binding_site_ligand") == expected


def test_two_pairs_of_atoms_of_one_ligand_make_a_residue_bind(tmp_path):
    names = {"A": ["ALA", "SER"]}
    chain = [*chain_of("ALA SER"), Atom("A", "SER", "2", "OG", (10.0, 1.4, 0.0), "O")]
    carbon, oxygen = (10.0, 3.8, 0.0), (10.0, 4.6, 0.0)  # C to CA: 3.8 Å, of 2 · 1.70 + 0.5
    for ligands, binds in (
        # The carbon is near CA and OG: two pairs with one atom of the ligand.
        ([ligand("LIG", carbon)], True),
        ([ligand("LIG", oxygen, element="O")], False),
        # Two atoms of one ligand with the same atom of the residue, or of two ligands.
        ([ligand("LIG", oxygen, element="O"), ligand("LIG", (11.5, 4.4, 0.0), atom="O2", element="O")], True),
        ([ligand("LIG", oxygen, element="O"), ligand("LIG", (11.5, 4.4, 0.0), "302", element="O")], False),
        # Hydrogens do not count.
        ([ligand("LIG", oxygen, element="O"), ligand("LIG", (10.0, 3.0, 0.0), atom="H1", element="H")], False),
    ):
        (record,) = read(tmp_path, Described([*chain, *ligands], names), "cif")
        assert (values(record, "binding_site_ligand") == [False, True]) == binds
        assert (values(record, "binding_site_ligand") is not None) == binds


near = st.integers(-6000, 6000).map(lambda milli: milli / 1000)
some_atoms = st.lists(
    st.tuples(st.tuples(near, near, near), st.sampled_from(["C", "N", "O", "S", "FE"])), min_size=1, max_size=3
)


@settings(max_examples=40, deadline=None)
@given(
    chain=st.lists(some_atoms, min_size=1, max_size=4), ligands=st.lists(some_atoms, min_size=1, max_size=3),
    kind=st.sampled_from(FORMATS), copies=st.booleans(),
)  # fmt: skip
def test_residues_bind_by_biolip_s_criterion_as_all_pairs_of_atoms_have_it(
    tmp_path_factory, chain, ligands, kind, copies
):
    shift = np.hstack([np.eye(3), [[5.0], [0.0], [0.0]]])
    radius = {"C": 1.7, "N": 1.55, "O": 1.52, "S": 1.8, "FE": 2.0}
    operators = [IDENTITY, shift] if copies else [IDENTITY]
    atoms = [
        Atom("A", "ALA", str(i), ["CA", "N", "C"][j], here, symbol)
        for i, residue in enumerate(chain, 1) for j, (here, symbol) in enumerate(residue)
    ]  # fmt: skip
    others = [
        ligand("LIG", here, str(300 + i), atom=f"X{j}", element=symbol)
        for i, group in enumerate(ligands) for j, (here, symbol) in enumerate(group)
    ]  # fmt: skip
    expected = set()
    for i, residue in enumerate(chain, 1):
        for one, other, group in itertools.product(operators, operators, ligands):
            pairs = 0
            for (here, a), (there, b) in itertools.product(residue, group):
                moved = np.float32(here) + one[:, 3], np.float32(there) + other[:, 3]
                gap = np.linalg.norm(moved[0] - moved[1]) - radius[a] - radius[b] - 0.5
                assume(abs(gap) > 1e-5)
                pairs += gap < 0
            if pairs >= 2:
                expected.add(str(i))
    entry = Described(
        [*atoms, *others], {"A": ["ALA"] * len(chain)}, assemblies=[("A", operators)] if copies else []
    )  # fmt: skip
    (record,) = read(tmp_path_factory.mktemp("x"), entry, kind, Options(accessibility=False))
    assert set(where(record, "binding_site_ligand")) == expected


def test_the_description_says_by_which_criterion(tmp_path):
    entry = Described([*chain_of("ALA CYS"), *(ligand("LIG", (10.0, 3.0, z), atom=f"C{z}") for z in (0.0, 1.0))],
                      {"A": ["ALA", "CYS"]})  # fmt: skip
    for options, words in (
        (Options(), "BioLiP's criterion"), (Options(ligand_distance=4.5), "within 4.5 Å"),
        (Options(absent="false", ligand_distance=2.0), "within 2 Å"),
    ):  # fmt: skip
        path = tmp_path / "x.pdb"
        path.write_text(as_pdb(entry))
        (record,) = read_inputs([path], options)
        (prop,) = {one.property for one in record.annotations if one.property.name == "binding_site_ligand"}
        assert words in prop.description


@pytest.mark.parametrize(
    ("stated", "name", "group", "expected"),
    [
        ("SE", "SE  ", "MSE", "SE"), ("", " CA ", "ALA", "C"), ("", "CA  ", "CA", "CA"), ("", "CA  ", "ALA", "C"),
        ("", "FE  ", "HEM", "FE"), ("", "HG11", "LIG", "H"), ("", "HG  ", "HG", "HG"), ("", "1HB ", "ALA", "H"),
        ("Zn", "ZN", "ZN", "ZN"), ("", "O1A", "ATP", "O"), ("", "?", "X", ""), ("D", " D1 ", "DOD", "D"),
    ],
)  # fmt: skip
def test_element_is_as_stated_or_by_the_name_s_place_in_its_columns(stated, name, group, expected):
    assert element(stated, name, group) == expected


def test_metals_are_told_from_the_rest():
    assert all(map(is_metal, ["NA", "K", "MG", "CA", "MN", "FE", "CO", "NI", "CU", "ZN", "CD", "HG", "W", "U"]))
    assert not any(map(is_metal, ["", "C", "CL", "BR", "I", "SE", "AS", "B", "SI", "XE", "QQ"]))


def test_the_list_of_additives_is_biolip_s():
    assert len(BIOLIP) == 463
    assert {"GOL", "EDO", "PEG", "SO4", "PO4", "ACT", "DMS", "NAG", "CL", "MSE"} <= BIOLIP
    assert not BIOLIP & {"ATP", "HEM", "NAD", "FAD", "ZN", "MG", "GBS"}


# Files that are wrong.


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("HELIX    1   1 ALA A    x  CYS A    2  1", "HELIX"), ("SHEET    1   A 1 ALA A", "SHEET"),
        ("SSBOND   1 CYS A    ?    CYS A   4", "SSBOND"), ("REMARK 350   BIOMT1   1  1.0 0.0", "REMARK 350"),
        ("REMARK 350   BIOMT2   1  0.0 1.0 0.0 0.0", "REMARK 350"), ("SITE     1 AC1  1 ALA A   x", "SITE"),
        ("LINK         SG  CYS A   x                 C1  LIG A 301     1555   1555  1.8", "LINK"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_refused_with_its_line(tmp_path, line, kind):
    (tmp_path / "x.pdb").write_text(f"REMARK\n{line}\n" + as_pdb(six()))
    with pytest.raises(SourceError, match=rf"x\.pdb:2 is not a valid {kind} record"):
        list(pdb.read(tmp_path / "x.pdb"))


def test_a_category_that_cannot_be_read_is_refused(tmp_path):
    text = as_cif(six(helices=[("A ALA 1", "A CYS 2")]))
    (tmp_path / "x.cif").write_text(text.replace("HELX_P 1 ALA A 1", "HELX_P 1 ALA A x"))
    with pytest.raises(SourceError, match="row 1 of struct_conf is not valid"):
        list(mmcif.read(tmp_path / "x.cif"))


@pytest.mark.parametrize("name", ["1GBT.cif.gz", "2N0N.pdb.gz", "1LCD.pdb.gz"])
def test_damage_around_the_coordinates_never_escapes_as_another_error(tmp_path, name):
    generator = random.Random(11)
    whole = gzip.decompress((DATA / name).read_bytes())
    reader, path = (pdb, tmp_path / "x.pdb") if ".pdb" in name else (mmcif, tmp_path / "x.cif")
    # What precedes the atoms, where most of the damage is to be.
    head = whole.index(b"\nATOM")
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(6):
            damaged[generator.randrange(head)] = generator.randrange(32, 127)
        start = generator.randrange(head)
        del damaged[start : start + generator.randrange(200)]
        path.write_bytes(damaged)
        try:
            list(reader.read(path, Options(accessibility=False)))
        except SourceError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused


def test_every_property_that_a_record_has_is_declared():
    for name in ("1GBT.cif.gz", "2N0N.pdb.gz", "1LCD.pdb.gz", "2XHE_backbone.cif.gz"):
        reader = pdb if ".pdb" in name else mmcif
        for record in reader.read(DATA / name):
            given_here = [one.property for one in record.annotations]
            assert set(given_here) <= set(reader.PROPERTIES)
            assert len({one.name for one in given_here}) == len(given_here)
            for one in record.annotations:
                assert one.property.level == "pair" or len(one.values) == len(record.sequence)
