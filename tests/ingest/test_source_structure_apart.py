"""Residues and chains that share numbers: read where the file tells them apart, else refused with the cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.errors import SourceError
from attnstore.ingest import ingest_proteins
from attnstore.readers.inputs import Record
from attnstore.readers.structures import mmcif, pdb

from .peptides import Place, cif_lines, pdb_lines, peptide

STRIPPED = [Place(name, number, at) for at, (name, number) in enumerate(
    [("ALA", "51"), ("SER", "52"), ("GLY", "52"), ("LYS", "52"), ("TRP", "53")])]  # fmt: skip


def read(folder: Path, content: str, name: str = "given.pdb") -> list[Record]:
    (folder / name).write_text(content)
    return list((mmcif if name.endswith("cif") else pdb).read(folder / name))


def sequences(records: list[Record]) -> dict[str, str]:
    return {record.id: record.sequence for record in records}


@pytest.mark.parametrize(
    "places",
    [
        STRIPPED,
        [replace(one, name="SER") if one.number == "52" else one for one in STRIPPED],
        [replace(one, atoms=("CA",)) for one in STRIPPED],
        [replace(one, kind="HETATM") if one.name == "GLY" else one for one in STRIPPED],
    ],
)
@pytest.mark.parametrize("suffix", ["pdb", "cif"])
def test_neighbours_whose_insertion_codes_were_stripped_are_residues_of_their_own(tmp_path, places, suffix):
    content = pdb_lines(places) if suffix == "pdb" else cif_lines(places)
    (record,) = read(tmp_path, content, f"given.{suffix}")
    letters = {"ALA": "A", "SER": "S", "GLY": "G", "LYS": "K", "TRP": "W"}
    assert record.sequence == "".join(letters[one.name] for one in places)
    assert record.structure.author_number.tolist() == [51, 52, 52, 52, 53]
    assert record.structure.ca[:, 0].tolist() == pytest.approx([3.8 * one.at + 1.2 for one in places], abs=1e-3)


def test_alternatives_are_one_residue_where_they_are_marked_or_have_a_share_of_the_occupancy(tmp_path):
    first, last = Place("ALA", "1", 0), Place("GLY", "3", 2)
    marked = [replace(Place("SER", "2", 1), alternative="A", occupancy=0.4)]
    marked.append(replace(marked[0], name="THR", alternative="B", occupancy=0.6))
    assert sequences(read(tmp_path, pdb_lines([first, *marked, last]))) == {"given_A": "ATG"}
    shares = [replace(one, alternative="") for one in marked]
    assert sequences(read(tmp_path, pdb_lines([first, *shares, last]))) == {"given_A": "ATG"}
    assert sequences(read(tmp_path, cif_lines([first, *shares, last]), "given.cif")) == {"given_A": "ATG"}


@pytest.mark.parametrize("name", ["SER", "THR"])
@pytest.mark.parametrize("suffix", ["pdb", "cif"])
def test_residues_that_overlap_and_are_not_marked_are_refused_by_name(tmp_path, name, suffix):
    places = [Place("ALA", "1", 0), Place("SER", "2", 1), Place(name, "2", 1), Place("GLY", "3", 2)]
    content = pdb_lines(places) if suffix == "pdb" else cif_lines(places)
    with pytest.raises(SourceError, match=rf"{name} 2 .*mark alternative locations.*column 17.*or remove one"):
        read(tmp_path, content, f"given.{suffix}")
    # What the message says to do works.
    marked = [replace(one, alternative="AB"[at - 1]) if one.number == "2" else one for at, one in enumerate(places)]
    content = pdb_lines(marked) if suffix == "pdb" else cif_lines(marked)
    assert sequences(read(tmp_path, content, f"given.{suffix}")) == {"given_A": "ASG"}


@pytest.mark.parametrize("other", ["ALA GLY SER", "TRP TYR PHE", "MET ALA ALA LYS"])
@pytest.mark.parametrize("between", ["", "TER\n"])
def test_two_molecules_under_one_chain_id_are_refused_until_they_have_ids(tmp_path, other, between):
    one, two = peptide("ALA GLY SER"), peptide(other, row=1)
    with pytest.raises(SourceError, match=r"given\.pdb:\d+.* 1 .*give every molecule a chain id of its own"):
        read(tmp_path, pdb_lines(one) + between + pdb_lines(two))
    with pytest.raises(SourceError, match="give every molecule a chain id of its own"):
        read(tmp_path, cif_lines([*one, *two]), "given.cif")
    apart = pdb_lines(one) + between + pdb_lines([replace(each, chain="B") for each in two])
    assert list(sequences(read(tmp_path, apart))) == ["given_A", "given_B"]


@pytest.mark.parametrize(
    ("chain", "names"),
    [("", ["given_PROA", "given_PROB"]), ("P", ["given_P_PROA", "given_P_PROB"])],
)
@pytest.mark.parametrize("between", ["", "TER\n"])
def test_segment_ids_tell_chains_apart(tmp_path, chain, names, between):
    one = peptide("ALA LYS LEU", chain=chain, segment="PROA")
    two = peptide("TRP TYR", chain=chain, segment="PROB", row=1)
    ions = [Place("CLA", "1", 9, row=2, chain=chain, segment="IONS", atoms=("CA",))]
    ions.append(replace(ions[0], name="TIP", number="271a", segment="W1"))
    records = read(tmp_path, pdb_lines(one) + between + pdb_lines([*two, *ions]))
    assert sequences(records) == dict(zip(names, ["AKL", "WY"], strict=True))


def test_segments_without_shared_numbers_are_parts_of_one_chain_that_has_an_id(tmp_path):
    one, two = peptide("ALA LYS", segment="1ABC"), peptide("TRP", first=3, segment="DOM2")
    assert sequences(read(tmp_path, pdb_lines([*one, *two]))) == {"given_A": "AKW"}


def test_chain_ids_of_two_letters_are_read_and_amber_s_terminal_names_are_none(tmp_path):
    one, two = peptide("ALA LYS", chain="AA"), peptide("TRP TYR", chain="BA", row=1)
    assert sequences(read(tmp_path, pdb_lines([*one, *two]))) == {"given_AA": "AK", "given_BA": "WY"}
    terminal = pdb_lines(peptide("MET GLY")).replace("MET A", "NMETA").replace("GLY A", "CGLYA")
    assert sequences(read(tmp_path, terminal)) == {"given_A": "MG"}


def test_label_seq_id_tells_residues_apart_and_orders_them(tmp_path):
    places = [*STRIPPED[:2], STRIPPED[2], STRIPPED[4], replace(STRIPPED[3], kind="HETATM")]
    columns = {"label_asym_id": ["A"] * 5, "label_seq_id": ["1", "2", "3", "5", "4"]}
    (record,) = read(tmp_path, cif_lines(places, columns), "given.cif")
    assert (record.sequence, record.structure.author_number.tolist()) == ("ASGKW", [51, 52, 52, 52, 53])
    # Even where they overlap.
    together = cif_lines([replace(one, at=0) for one in places], columns)
    assert read(tmp_path, together, "given.cif")[0].sequence == "ASGKW"


def test_label_asym_id_tells_chains_of_one_author_s_name_apart(tmp_path):
    places = [*peptide("ALA LYS LEU"), *peptide("TRP TYR", row=1)]
    records = read(tmp_path, cif_lines(places, {"label_asym_id": list("CCCDD")}), "given.cif")
    assert sequences(records) == {"given_C": "AKL", "given_D": "WY"}
    columns = {"label_asym_id": list("CCCDD"), "label_seq_id": list("12312")}
    assert sequences(read(tmp_path, cif_lines(places, columns), "given.cif")) == {"given_C": "AKL", "given_D": "WY"}


def test_a_number_of_two_residues_is_refused_in_tables_by_author_number(tmp_path):
    (tmp_path / "given.pdb").write_text(pdb_lines(STRIPPED))
    ingest_proteins(tmp_path / "s.attn", [tmp_path / "given.pdb"])
    (tmp_path / "t.csv").write_text("id,pos,v\ngiven_A,52,1\n")
    with pytest.raises(SourceError, match="given_A has several residues numbered 52"):
        annotate(tmp_path / "s.attn", [tmp_path / "t.csv"], numbering="author")
    (tmp_path / "t.csv").write_text("id,pos,v\ngiven_A,53,1\n")
    annotate(tmp_path / "s.attn", [tmp_path / "t.csv"], numbering="author")
    assert attnstore.open(tmp_path / "s.attn").sql("SELECT pos FROM residues WHERE v = 1").fetchall() == [(4,)]


def test_what_is_listed_by_a_number_of_two_residues_is_left_out_with_a_warning(tmp_path, caplog):
    helix = f"HELIX    1   1 ALA A{51:>5}  TRP A{53:>5}  1{'':30} {5:>5}\n"
    (record,) = read(tmp_path, helix + pdb_lines(STRIPPED))
    assert not {"helix", "strand"} & {one.property.name for one in record.annotations}
    assert "residue 52 of chain 'A' stands for 3 residues" in caplog.text


@pytest.mark.parametrize("end", ["TER\n", ""])
def test_selenomethionine_at_the_end_of_the_file_goes_where_its_number_puts_it(tmp_path, caplog, end):
    places = peptide("MSE ALA MSE MSE LYS GLY MSE")
    late = [replace(one, kind="HETATM") for one in places if one.name == "MSE"]
    body = [one for one in places if one.name != "MSE"]
    (record,) = read(tmp_path, pdb_lines(body) + end + pdb_lines(late))
    assert record.sequence == "MAMMKGM"
    assert record.structure.author_number.tolist() == list(range(1, 8))
    assert record.structure.ca[:, 0].tolist() == pytest.approx([3.8 * at + 1.2 for at in range(7)], abs=1e-3)
    assert sequences(read(tmp_path, cif_lines([*body, *late]), "given.cif")) == {"given_A": "MAMMKGM"}
    declared = "SEQRES   1 A    7  MSE ALA MSE MSE LYS GLY MSE\n"
    (whole,) = read(tmp_path, declared + pdb_lines(body) + end + pdb_lines(late))
    assert whole.structure.author_number.tolist() == list(range(1, 8))
    assert not caplog.text


@pytest.mark.parametrize(("number", "at"), [("3", 40), ("401", 40), ("2", 40)])
def test_an_amino_acid_that_is_bound_nowhere_is_a_ligand_and_named(tmp_path, caplog, number, at):
    places = [one for one in peptide("ALA GLY MET LYS") if one.name != "MET"]
    free = Place("GLU", number, at, kind="HETATM")
    (record,) = read(tmp_path, pdb_lines(places) + "TER\n" + pdb_lines([free]))
    assert record.sequence == "AGK"
    assert f"GLU {number} of HETATM records stands behind the chain" in caplog.text
    (record,) = read(tmp_path, pdb_lines([*places, free]))
    assert record.sequence == "AGK"


@pytest.mark.parametrize("name", ["SAH", "SAM", "MSE"])
@pytest.mark.parametrize("suffix", ["pdb", "cif"])
def test_a_ligand_with_the_atoms_of_an_amino_acid_lengthens_no_chain(tmp_path, name, suffix):
    places = [*peptide("ALA GLY LYS"), Place(name, "301", 40, kind="HETATM")]
    content = pdb_lines(places) if suffix == "pdb" else cif_lines(places)
    assert sequences(read(tmp_path, content, f"given.{suffix}")) == {"given_A": "AGK"}
    bound = [*places[:3], Place(name, "4", 3, kind="HETATM")]
    content = pdb_lines(bound) if suffix == "pdb" else cif_lines(bound)
    assert len(read(tmp_path, content, f"given.{suffix}")[0].sequence) == 4


def test_a_single_atom_that_comes_twice_is_no_residue(tmp_path):
    calcium = replace(Place("SER", "2", 9, row=1), atoms=("CA",))
    with pytest.raises(SourceError, match="CA of SER 2 is given a second time"):
        read(tmp_path, pdb_lines([*peptide("ALA SER"), calcium]))


@pytest.mark.parametrize("name", ["ALA", "LYS"])
def test_residues_of_one_number_far_apart_are_two_molecules(tmp_path, name):
    with pytest.raises(SourceError, match="give every molecule a chain id of its own"):
        read(tmp_path, pdb_lines([Place("ALA", "1", 0), Place(name, "1", 1, row=1)]))


@pytest.mark.parametrize("chain", ["A", " "])
def test_a_chain_that_goes_on_after_a_ter_is_named_in_a_warning(tmp_path, caplog, chain):
    first, second = peptide("ALA GLY", chain=chain), peptide("LYS TRP", 3, chain=chain, row=1)
    ion = Place("NA", "9", 9, chain=chain, row=2, atoms=("NA",), kind="HETATM")
    content = f"{pdb_lines(first)}TER\n{pdb_lines(second)}TER\n{pdb_lines([ion])}"
    (record,) = read(tmp_path, content)
    assert record.sequence == "AGKW"
    (message,) = caplog.messages
    assert "given.pdb:10: " in message
    assert "if another molecule begins there, give it a chain id of its own (column 22)" in message
    caplog.clear()
    read(tmp_path, f"SEQRES   1 A    4  ALA GLY LYS TRP\n{content}" if chain == "A" else pdb_lines(first) + "TER\n")
    assert caplog.messages == []


@pytest.mark.parametrize("case", [str.lower, str.title])
def test_names_of_residues_in_lower_case_are_those_of_the_dictionary(tmp_path, case):
    places = peptide("ALA MSE LYS DAL")
    written = [replace(one, name=case(one.name)) for one in places]
    assert sequences(read(tmp_path, pdb_lines(written))) == {"given_A": "AMKA"}
    assert sequences(read(tmp_path, cif_lines(written), "given.cif")) == {"given_A": "AMKA"}
    declared = f"SEQRES   1 A    5  {case('ALA MSE LYS DAL TRP')}\n"
    assert sequences(read(tmp_path, declared + pdb_lines(written))) == {"given_A": "AMKAW"}


@pytest.mark.parametrize("remark", ["REMARK   3 Å. Müller\n", "JRNL  AUTH J.Nuñez\n", "REMARK \x81 unassigned\n"])
def test_names_of_people_in_latin_1_refuse_no_structure(tmp_path, remark):
    (tmp_path / "given.pdb").write_bytes((remark + pdb_lines(peptide("ALA GLY"))).encode("latin-1"))
    assert [record.sequence for record in pdb.read(tmp_path / "given.pdb")] == ["AG"]
    cif = cif_lines(peptide("ALA GLY"), head=f"data_x\n_citation.title '{remark.strip()}'\n")
    (tmp_path / "given.cif").write_bytes(cif.encode("latin-1"))
    assert [record.sequence for record in mmcif.read(tmp_path / "given.cif")] == ["AG"]


@pytest.mark.parametrize("name", ["DPP", "DAB", "ORN"])
def test_a_lipid_with_the_name_of_an_amino_acid_is_no_chain(tmp_path, name):
    lipid = replace(peptide(name)[0], atoms=("N", "CB", "O"), chain="C", row=2)
    content = pdb_lines([*peptide("ALA TRP GLY"), lipid, replace(lipid, number="2", at=3)])
    assert sequences(read(tmp_path, content)) == {"given_A": "AWG"}
