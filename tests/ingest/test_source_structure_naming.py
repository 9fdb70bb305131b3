"""What entries are called, which chains are left out and said to be, and where pLDDT is a property."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.catalog.writer import CatalogWriter
from attnstore.ingest import ingest_proteins
from attnstore.readers.inputs import Options, Record, read_inputs
from attnstore.readers.record import Excluded
from attnstore.readers.structures import mmcif, pdb

from .peptides import Place, cif_lines, pdb_lines, peptide

AKL, GSH, WYF = (peptide(names) for names in ("ALA LYS LEU", "GLY SER HIS", "TRP TYR PHE"))
POLY = """loop_
_entity_poly.entity_id
_entity_poly.type
_entity_poly.pdbx_seq_one_letter_code_can
"""


def cif(places: list[Place], entry: str) -> str:
    return cif_lines(places, head=f"data_{entry or 'x'}\n" + f"_entry.id '{entry}'\n" * bool(entry))


def header(code: str) -> str:
    return f"{'HEADER':<62}{code}\n"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def ids(*inputs: Path) -> list[str]:
    return [record.id for record in read_inputs(inputs)]


@pytest.mark.parametrize("constant", ["model", "Model", "MODEL_1", "XXXX", "xxxx", "1", "", "?", ".", "unnamed"])
def test_an_id_that_programs_write_into_every_file_gives_way_to_the_file_s_name(tmp_path, constant):
    write(tmp_path, {"a.cif": cif(AKL, constant), "B.cif": cif(GSH, constant)})
    assert ids(tmp_path) == ["B_A", "a_A"]
    assert ids(tmp_path / "a.cif") == ["a_A"]


@pytest.mark.parametrize("entry", ["job_a", "job_A", "my_Design", "x1", "1abcd", "fold_2024_MODEL_0"])
def test_an_id_keeps_its_case(tmp_path, entry):
    assert ids(write(tmp_path, {"given.cif": cif(AKL, entry)})) == [f"{entry}_A"]


def test_a_code_of_the_pdb_has_no_case(tmp_path):
    write(tmp_path, {"a.cif": cif(AKL, "2abc"), "b.pdb": header("1abc") + pdb_lines(GSH)})
    assert ids(tmp_path) == ["2ABC_A", "1ABC_A"]


def test_an_id_that_several_files_declare_gives_way_to_their_names(tmp_path):
    samples = {
        f"job/seed-{seed}_sample-{i}/model.cif": cif([replace(one, row=seed + i) for one in AKL], "job")
        for seed in (1, 2) for i in (0, 1)
    }  # fmt: skip
    decoys = {f"relax/1abc_000{i}.pdb": header("1ABC") + pdb_lines([replace(each, row=i) for each in GSH])
              for i in (1, 2)}  # fmt: skip
    folders = {f"af2/{job}/ranked_0.pdb": pdb_lines(places) for job, places in (("p", AKL), ("q", WYF))}
    other = {"alone.cif": cif(WYF, "single"), "job.cif": cif(AKL, "job")}
    write(tmp_path, samples | decoys | folders | other)
    assert sorted(ids(tmp_path)) == sorted([
        *(f"seed-{seed}_sample-{i}_model_A" for seed in (1, 2) for i in (0, 1)),
        "1abc_0001_A", "1abc_0002_A", "p_ranked_0_A", "q_ranked_0_A", "single_A", "job_A",
    ])  # fmt: skip
    assert len(set(ids(tmp_path))) == len(ids(tmp_path))


def test_folders_of_one_name_are_told_apart_by_those_before_them(tmp_path):
    files = {f"{job}/seed-1/model.cif": cif(AKL, "model") for job in ("one", "two")}
    assert ids(write(tmp_path, files)) == ["one_seed-1_model_A", "two_seed-1_model_A"]


def test_one_entry_in_two_formats_keeps_its_id(tmp_path):
    write(tmp_path, {"1abc.pdb": header("1ABC") + pdb_lines(AKL), "1abc.cif": cif(AKL, "1ABC")})
    assert ids(tmp_path) == ["1ABC_A", "1ABC_A"]
    nameless = {"x.pdb": pdb_lines(AKL), "x.cif": cif(AKL, "model")}
    assert ids(write(tmp_path / "nameless", nameless)) == ["x_A", "x_A"]


def test_a_file_annotates_the_protein_that_it_was_read_as_with_others(tmp_path):
    moved = [replace(one, row=3) for one in GSH]
    write(tmp_path / "in", {"a.cif": cif(AKL, "job"), "b.cif": cif(GSH, "job"), "c/model.cif": cif(WYF, "job")})
    ingest_proteins(tmp_path / "s.attn", [tmp_path / "in"])
    store = attnstore.open(tmp_path / "s.attn")
    assert [name for (name,) in store.sql("SELECT id FROM proteins").fetchall()] == ["a_A", "b_A", "c_model_A"]
    write(tmp_path / "again", {"b.cif": cif(moved, "job"), "c/model.cif": cif(WYF, "job")})
    for name in ("b.cif", "c/model.cif"):
        done = annotate(tmp_path / "s.attn", [tmp_path / "again" / name], replace=True)
        assert (done.matched, done.skipped) == (1, 0)


def test_samples_of_one_protein_are_members_and_the_coordinates_are_said_to_be_the_first_s(tmp_path):
    write(tmp_path / "in", {f"m_{i}.cif": cif([replace(one, row=i) for one in AKL], "model") for i in (0, 1)})
    ingest_proteins(tmp_path / "s.attn", [tmp_path / "in"])
    store = attnstore.open(tmp_path / "s.attn")
    assert store.sql("SELECT id, members, structure FROM proteins").fetchall() == [("m_0_A", 2, "m_0_A")]
    assert store.sql("SELECT member FROM members ORDER BY 1").fetchall() == [("m_0_A",), ("m_1_A",)]
    assert store.sql("SELECT DISTINCT ca_z FROM residues").fetchall() == [(0.0,)]


def left_out(path: Path) -> tuple[list[Record], list[Excluded]]:
    found: list[Excluded] = []
    reader = mmcif if path.suffix == ".cif" else pdb
    return list(reader.read(path, Options(excluding=found.append))), found


@pytest.mark.parametrize("suffix", ["pdb", "cif"])
def test_every_chain_that_is_left_out_is_named_with_its_reason(tmp_path, suffix):
    dna = peptide("DA DG DC", chain="B", row=1, atoms=("P",))
    sugar = peptide("NAG BMA", chain="C", row=2, atoms=("C1",))
    water = peptide("HOH HOH", chain="W", row=3, kind="HETATM", atoms=("O",))
    ligand = peptide("HEM", chain="L", row=4, kind="HETATM", atoms=("FE",))
    places = [*AKL, *dna, *sugar, *ligand, *water]
    content = pdb_lines(places) if suffix == "pdb" else cif_lines(places)
    (tmp_path / f"x.{suffix}").write_text(content)
    records, excluded = left_out(tmp_path / f"x.{suffix}")
    assert [record.id for record in records] == ["x_A"]
    assert {one.id: one.reason for one in excluded} == {
        "x_B": "nucleic acid", "x_C": "no residue is a known amino acid: NAG, BMA",
        "x_L": "waters and ligands alone", "x_W": "waters and ligands alone",
    }  # fmt: skip


def test_inputs_of_waters_alone_are_refused_as_what_they_are(tmp_path):
    (tmp_path / "w.pdb").write_text(pdb_lines(peptide("HOH HOH", kind="HETATM", atoms=("O",))))
    with pytest.raises(attnstore.AttnstoreError, match=r"w.pdb has no protein chain: w_A \(waters and ligands alone\)"):
        ingest_proteins(tmp_path / "s.attn", [tmp_path / "w.pdb"])
    assert not (tmp_path / "s.attn").exists()
    (tmp_path / "x.pdb").write_text(pdb_lines(AKL))
    ingest_proteins(tmp_path / "s.attn", [tmp_path / "x.pdb"])
    with pytest.raises(attnstore.AttnstoreError, match="no input has a protein chain: w_A"):
        annotate(tmp_path / "s.attn", [tmp_path / "w.pdb"])


def test_chains_left_out_stand_in_the_store_and_stay_there(tmp_path):
    dna = peptide("DA DG", chain="B", row=1, atoms=("P",))
    write(tmp_path / "in", {"x.pdb": pdb_lines([*AKL, *dna]), "dna.pdb": pdb_lines(dna)})
    with pytest.warns(UserWarning, match=r"2 chains were left out of structure files: dna_B, x_B \(nucleic acid\)"):
        ingest_proteins(tmp_path / "s.attn", [tmp_path / "in"])

    def rows() -> list[tuple[str, ...]]:
        return attnstore.open(tmp_path / "s.attn").sql("FROM excluded ORDER BY id").fetchall()

    expected = [("dna_B", "dna.pdb", "nucleic acid"), ("x_B", "x.pdb", "nucleic acid")]
    assert rows() == expected
    before = attnstore.open(tmp_path / "s.attn").document.catalog
    with pytest.warns(UserWarning, match="left out"):
        ingest_proteins(tmp_path / "s.attn", [tmp_path / "in"])
    assert attnstore.open(tmp_path / "s.attn").document.catalog == before
    (tmp_path / "t.csv").write_text("id,v\nx_A,1\n")
    annotate(tmp_path / "s.attn", [tmp_path / "t.csv"])
    assert rows() == expected
    exported = attnstore.open(tmp_path / "s.attn").export(tmp_path / "out", "parquet")
    assert "excluded" in exported


def test_a_store_from_before_reads_as_one_that_left_nothing_out_and_gets_the_table(tmp_path, monkeypatch):
    from attnstore.catalog import writer as catalog_writer

    (tmp_path / "x.pdb").write_text(pdb_lines([*AKL, *peptide("DA", chain="B", atoms=("P",))]))
    monkeypatch.setattr(catalog_writer, "_EXCLUDED", "SELECT 1")
    monkeypatch.setattr(CatalogWriter, "exclude", lambda *_: None)
    monkeypatch.setattr(CatalogWriter, "_MARKED", CatalogWriter._MARKED[:-1])
    with pytest.warns(UserWarning, match="left out"):
        ingest_proteins(tmp_path / "s.attn", [tmp_path / "x.pdb"])
    monkeypatch.undo()
    assert attnstore.open(tmp_path / "s.attn").sql("FROM excluded").fetchall() == []
    with pytest.warns(UserWarning, match="left out"):
        ingest_proteins(tmp_path / "s.attn", [tmp_path / "x.pdb"])
    assert attnstore.open(tmp_path / "s.attn").sql("SELECT id FROM excluded").fetchall() == [("x_B",)]


def test_a_chain_of_d_amino_acids_has_their_parents_letters(tmp_path):
    names = "DAL DAR DSG DAS DCY DGN DGL DHI DIL DLE DLY MED DPN DPR DSN DTH DTR DTY DVA GLY"
    for kind in ("ATOM", "HETATM"):
        (tmp_path / "x.pdb").write_text(pdb_lines(peptide(names, kind=kind)))
        assert [record.sequence for record in pdb.read(tmp_path / "x.pdb")] == ["ARNDCQEHILKMFPSTWYVG"]
    # A D-peptide's component to which the dictionary gives neither a letter nor a parent.
    (tmp_path / "x.pdb").write_text(pdb_lines(peptide("28J 28J")))
    assert [record.sequence for record in pdb.read(tmp_path / "x.pdb")] == ["XX"]


def test_a_peptide_of_names_that_no_table_knows_is_read_as_x_or_as_its_canonical_sequence(tmp_path):
    places = peptide("QQ1 QQ2 ALA QQ3")
    (tmp_path / "x.pdb").write_text(pdb_lines([one for one in places if one.name != "ALA"]))
    assert [record.sequence for record in pdb.read(tmp_path / "x.pdb")] == ["XXX"]
    sequence = "".join(f"1 {i} {one.name}\n" for i, one in enumerate(places, start=1))
    declared = "loop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n" + sequence
    columns = {"label_asym_id": ["A"] * 4, "label_entity_id": ["1"] * 4, "label_seq_id": list("1234")}
    for canonical, expected in (("KWGY", "KWAY"), ("KW", "XXAX"), ("K?!z", "KXAZ")):
        content = cif_lines(places, columns, f"data_x\n{POLY}1 'polypeptide(D)' '{canonical}'\n{declared}")
        (tmp_path / "x.cif").write_text(content)
        # Alanine is alanine, whatever else the file says.
        assert [record.sequence for record in mmcif.read(tmp_path / "x.cif")] == [expected]


@pytest.mark.parametrize("number", ["271a", "****", "A000", "7fff", "zzzz"])
@pytest.mark.parametrize("name", ["TIP", "HOH", "SOD", "POP"])
def test_numbers_of_what_is_not_read_refuse_no_file(tmp_path, number, name):
    for kind in ("ATOM", "HETATM"):
        other = replace(Place(name, number, 9, row=2, kind=kind, atoms=("O",)), chain="S")
        link = f"LINK         O   {name:>3} S{number}                 O   {name:>3} S{number}\n"
        site = f"SITE     1 AC1  1 {name:>3} S{number}\n"
        (tmp_path / "x.pdb").write_text(link + site + pdb_lines([*AKL, other, replace(other, at=12)]))
        assert [record.sequence for record in pdb.read(tmp_path / "x.pdb")] == ["AKL"]
    other = replace(other, kind="HETATM")
    (tmp_path / "x.cif").write_text(cif_lines([*AKL, other, other]))
    assert [record.sequence for record in mmcif.read(tmp_path / "x.cif")] == ["AKL"]


def test_a_number_of_an_amino_acid_that_cannot_be_read_is_refused_in_a_pdb_file(tmp_path):
    (tmp_path / "x.pdb").write_text(pdb_lines([*AKL, replace(GSH[0], number="****", at=3)]))
    with pytest.raises(attnstore.AttnstoreError, match=r"x\.pdb:13: the number of residue GLY .* renumber"):
        list(pdb.read(tmp_path / "x.pdb"))


def test_an_insertion_code_may_stand_in_auth_seq_id(tmp_path):
    places = [replace(one, number=number) for one, number in zip(AKL, ["82", "82A", "-5B"], strict=True)]
    (tmp_path / "x.cif").write_text(cif_lines(places))
    (record,) = mmcif.read(tmp_path / "x.cif")
    assert record.structure.author_number.tolist() == [82, 82, -5]
    assert record.structure.insertion_code == (None, "A", "B")


def plddt(record: Record) -> list[float] | None:
    found = (one.values.to_pylist() for one in record.annotations if one.property.name == "plddt")
    return next(found, None)


CONFIDENT = [replace(one, b=value) for one, value in zip(AKL, (90.5, 70.0, 50.25), strict=True)]
UNIT = [replace(one, b=one.b / 100) for one in CONFIDENT]
METRIC = "_ma_qa_metric.id 1\n_ma_qa_metric.mode local\n_ma_qa_metric.name pLDDT\n_ma_qa_metric.type '{}'\n"


@pytest.mark.parametrize(
    ("name", "head", "places"),
    [
        ("AF-P12345-F1-model_v4.pdb", "", CONFIDENT),
        ("p_unrelaxed_rank_001_alphafold2_ptm_model_3_seed_000.pdb", "", CONFIDENT),
        ("ranked_0.pdb", "MODEL     1\n", CONFIDENT),
        ("p_model_1_ptm_unrelaxed.pdb", "", CONFIDENT),
        ("x.pdb", "TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR P12345\n", CONFIDENT),
        ("x.pdb", "TITLE     ESMFOLD V1 PREDICTION FOR INPUT\n", CONFIDENT),
        ("esmfold.pdb", "PARENT N/A\n", UNIT),
        ("rf.pdb", "REMARK   1 RoseTTAFold, predicted lDDT\n", UNIT),
        ("x.pdb", "EXPDTA    THEORETICAL MODEL\nREMARK   1 ALPHAFOLD\n", CONFIDENT),
    ],
)
def test_plddt_is_a_property_where_a_pdb_file_declares_a_prediction(tmp_path, name, head, places):
    (tmp_path / name).write_text(head + pdb_lines(places))
    (record,) = pdb.read(tmp_path / name)
    assert plddt(record) == pytest.approx([90.5, 70.0, 50.25], abs=0.5)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("x.pdb", ""),
        ("x.pdb", "EXPDTA    X-RAY DIFFRACTION\nTITLE     PHASED WITH ALPHAFOLD\n"),
        ("AF-P12345-F1-model_v4.pdb", "EXPDTA    ELECTRON MICROSCOPY\n"),
        ("x.pdb", "REMARK   3 REFINEMENT.\nTITLE     ALPHAFOLD MODEL, REFINED\n"),
        ("ranked_0.pdb", f"CRYST1{61.0:9.3f}{61.0:9.3f}{110.0:9.3f}  90.00  90.00 120.00 P 61\n"),
        ("S_0001_relaxed_rank_1.pdb", "#BEGIN_POSE_ENERGIES_TABLE S_0001.pdb\n"),
        ("T1104TS.pdb", "PFRMAT TS\nPARENT N/A\n"),
    ],
)
def test_other_b_factors_never_are_plddt(tmp_path, name, head):
    (tmp_path / name).write_text(head + pdb_lines(CONFIDENT))
    (record,) = pdb.read(tmp_path / name)
    assert plddt(record) is None
    assert any(one.property.name == "b_factor" for one in record.annotations)


@pytest.mark.parametrize(("kind", "places"), [("pLDDT", CONFIDENT), ("pLDDT in [0,1]", UNIT)])
def test_plddt_of_an_mmcif_is_that_of_its_metric_or_of_its_b_factors(tmp_path, kind, places):
    head = "data_x\n_entry.id model\n" + METRIC.format(kind)
    (tmp_path / "x.cif").write_text(cif_lines(places, head=head))
    assert plddt(next(mmcif.read(tmp_path / "x.cif"))) == pytest.approx([90.5, 70.0, 50.25], abs=0.5)
    sequence = "".join(f"1 {i} {one.name}\n" for i, one in enumerate(places, start=1))
    head += "loop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n" + sequence
    head += "loop_\n" + "".join(
        f"_ma_qa_metric_local.{column}\n"
        for column in ("ordinal_id", "model_id", "metric_id", "label_asym_id", "label_seq_id", "metric_value")
    )
    head += "".join(f"{i} 1 1 A {i} {value}\n" for i, value in ((1, places[0].b), (3, places[2].b)))
    columns = {"label_asym_id": ["A"] * 3, "label_entity_id": ["1"] * 3, "label_seq_id": list("123")}
    (tmp_path / "x.cif").write_text(cif_lines([replace(one, b=1.0) for one in places], columns, head))
    values = plddt(next(mmcif.read(tmp_path / "x.cif")))
    assert values == [pytest.approx(90.5), None, pytest.approx(50.25)]
    experiment = head + "_exptl.method 'X-RAY DIFFRACTION'\n"
    (tmp_path / "x.cif").write_text(cif_lines(places, columns, experiment))
    assert plddt(next(mmcif.read(tmp_path / "x.cif"))) is None


@pytest.mark.parametrize("places", [CONFIDENT, UNIT])
def test_a_bare_file_is_a_prediction_where_its_user_says_so_and_an_experiment_is_not(tmp_path, places):
    (tmp_path / "x.pdb").write_text(pdb_lines(places))
    (tmp_path / "y.cif").write_text(cif_lines(places))
    (tmp_path / "z.pdb").write_text("EXPDTA    X-RAY DIFFRACTION\n" + pdb_lines(GSH))
    ingest_proteins(tmp_path / "s.attn", [tmp_path / "x.pdb", tmp_path / "z.pdb"], predicted=True)
    store = attnstore.open(tmp_path / "s.attn")
    values = [value for (value,) in store.sql("SELECT plddt FROM residues").fetchall()]
    assert values[:3] == pytest.approx([90.5, 70.0, 50.25], abs=0.5)
    assert values[3:] == [None] * 3
    assert plddt(next(mmcif.read(tmp_path / "y.cif", Options(predicted=True)))) == pytest.approx(values[:3], abs=0.5)


def test_confidence_out_of_range_is_not_plddt(tmp_path, caplog):
    (tmp_path / "ranked_0.pdb").write_text(pdb_lines([*CONFIDENT[:2], replace(CONFIDENT[2], b=250.0)]))
    assert plddt(next(pdb.read(tmp_path / "ranked_0.pdb"))) is None
    assert "not within 0 to 100" in caplog.text
