"""PDB and mmCIF files as docking, dynamics, refinement and prediction programs write them, not as the wwPDB does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from attnstore.errors import SourceError
from attnstore.readers.inputs import Record
from attnstore.readers.record import Options
from attnstore.readers.structures import mmcif, pdb
from attnstore.readers.structures.pdb_header import residue_number

from .test_source_structure import atom, chain_of, read_cif, read_pdb, text_of

WITHIN = Options(ligand_distance=5.0)
PEPTIDE = chain_of([("ALA", "1"), ("GLY", "2"), ("SER", "3")])


def site(record: Record) -> list[bool] | None:
    found = (one.values.to_pylist() for one in record.annotations if one.property.name == "binding_site_ligand")
    return next(found, None)


def near(place: int, name: str, number: str, chain: str = "A", residue: str = "LIG") -> str:
    """Return an atom 4.9 Å from the Cα at that place of the peptide, and farther from the others."""
    return atom(90, name, residue, number, (float(place), 4.9, 0.0), chain, "HETATM")


@pytest.mark.parametrize("chain", ["A", "X"])
@pytest.mark.parametrize("end", ["TER\n", ""])
def test_the_atoms_of_a_docked_ligand_may_share_a_name(tmp_path, chain, end):
    ligand = near(0, "C", "900", chain) + near(2, "C", "900", chain)
    (record,) = read_pdb(tmp_path, PEPTIDE + end + ligand, options=WITHIN)
    assert (record.id, record.sequence, site(record)) == ("given_A", "AGS", [True, False, True])


@pytest.mark.parametrize("end", ["TER\n", ""])
def test_a_ligand_may_have_the_number_of_a_residue(tmp_path, end):
    (record,) = read_pdb(tmp_path, PEPTIDE + end + near(0, "C1", "2"), options=WITHIN)
    assert (record.sequence, site(record)) == ("AGS", [True, False, False])
    np.testing.assert_array_equal(record.structure.ca[:, 0], [0, 1, 2])


def test_a_modified_residue_is_still_a_point_mutation_of_its_place(tmp_path):
    place = (0.0, 0.0, 0.0)
    both = atom(1, "CA", "MET", "1", place, alternative="A", occupancy=0.4) + "".join(
        atom(2, name, "CSO", "1", place, kind="HETATM", alternative="B", occupancy=0.6) for name in ("N", "CA", "C")
    )
    (record,) = read_pdb(tmp_path, both)
    assert record.sequence == "C"


def test_what_follows_a_break_marked_by_ter_is_still_of_the_chain(tmp_path):
    first, last = chain_of([("ALA", "1")]), chain_of([("SER", "8")])
    broken = first + "TER\n" + atom(2, "CA", "MSE", "7", (0.0, 0.0, 0.0), kind="HETATM") + last
    assert [record.sequence for record in read_pdb(tmp_path, broken)] == ["AMS"]


def test_force_fields_have_names_of_their_own(tmp_path):
    names = ["ASH", "CYX", "GLH", "HID", "HIE", "HIP", "HSD", "HSE", "HSP", "LYN", "CYM"]
    chain = chain_of([(name, str(number)) for number, name in enumerate(names, start=1)])
    assert read_pdb(tmp_path, chain)[0].sequence == "DCEHHHHHHKC"
    # To the wwPDB it is homoserine.
    declared = f"MODRES 1ABC HSE A{8:>5}  SER  L-HOMOSERINE\n"
    assert read_pdb(tmp_path, declared + chain)[0].sequence == "DCEHHHHSHKC"


def test_surface_is_measured_of_a_force_field_s_residue_as_of_the_pdb_s(tmp_path):
    def surface(content: str) -> list[float | None]:
        (record,) = read_pdb(tmp_path, content)
        return next(one.values.to_pylist() for one in record.annotations if one.property.name == "rsa")

    atoms = "".join(f"{line}\n" for line in text_of("1A8O.pdb.gz").splitlines() if line.startswith("ATOM"))
    renamed = atoms.replace("GLU A", "GLH A").replace("CYS A", "CYX A")
    assert renamed != atoms
    assert surface(renamed) == surface(atoms)


@pytest.mark.parametrize(
    ("columns", "number"),
    [("   1", 1), ("-999", -999), ("9999", 9999), ("A000", 10_000), ("A001", 10_001), ("ZZZZ", 1_223_055),
     ("a000", 1_223_056), ("zzzz", 2_436_111)],
)  # fmt: skip
def test_residue_numbers_go_on_in_hybrid_36(columns, number):
    assert residue_number(columns) == number


@pytest.mark.parametrize("columns", ["****", "Aa00", "A-00", "1A00", "    "])
def test_what_is_no_residue_number_is_none(columns):
    with pytest.raises(ValueError, match="invalid literal"):
        residue_number(columns)


def test_numbers_beyond_the_columns_are_read_in_coordinates_and_header(tmp_path):
    helix = f"HELIX    1   1 GLY A {'A000'}  SER A {'A001'}  1{'':30}\n"
    (record,) = read_pdb(tmp_path, helix + chain_of([("ALA", "9999"), ("GLY", "A000"), ("SER", "A001")]))
    np.testing.assert_array_equal(record.structure.author_number, [9999, 10_000, 10_001])
    assert next(one.values.to_pylist() for one in record.annotations if one.property.name == "helix") == [
        False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [("", "", True), ("1555", "1555", True), ("1555", "", True), ("", "2655", True), ("1555", "2655", False)],
)
def test_a_bond_without_operators_is_within_the_copy(tmp_path, one, other, found):
    bond = f"SSBOND   1 CYS A    1    CYS A    2{'':24}{one:>6} {other:>6}\n"
    (record,) = read_pdb(tmp_path, bond + chain_of([("CYS", "1"), ("CYS", "2")]))
    assert any(annotation.property.name == "disulfide" for annotation in record.annotations) is found


def test_mmcif_of_a_refinement_may_have_blocks_of_its_ligands(tmp_path):
    content = text_of("3JQH.cif.gz")
    (alone,) = read_cif(tmp_path, content)
    for added in (
        f"data_comp_list\nloop_\n_chem_comp.id\nLIG\n{content}",
        f"{content}\ndata_comp_LIG\n_chem_comp.id LIG\n",
    ):
        (record,) = read_cif(tmp_path, added)
        assert (record.id, record.sequence) == (alone.id, alone.sequence)
        np.testing.assert_array_equal(record.structure.ca, alone.structure.ca)


def rows(*atoms: tuple[str, ...], columns: tuple[str, ...]) -> str:
    names = "\n".join(f"_atom_site.{name}" for name in columns)
    return f"data_x\nloop_\n{names}\n" + "\n".join(" ".join(each) for each in atoms) + "\n"


PLAIN = ("label_atom_id", "label_comp_id", "label_asym_id", "label_seq_id", "Cartn_x", "Cartn_y", "Cartn_z")


def test_mmcif_may_name_no_chain(tmp_path):
    content = rows(
        ("CA", "ALA", ".", "1", "0", "0", "0"), ("CA", "GLY", ".", "2", "1", "0", "0"), columns=PLAIN
    )  # fmt: skip
    (record,) = read_cif(tmp_path, content)
    assert (record.id, record.sequence) == ("given", "AG")


@pytest.mark.parametrize("author", [(), ("auth_seq_id",)])
def test_mmcif_may_tell_neither_records_nor_numbers_of_ligands(tmp_path, author):
    blank = ("?",) * len(author)
    content = rows(
        ("CA", "ALA", "A", "1", "0", "0", "0", *blank),
        ("CA", "GLY", "A", "2", "9", "0", "0", *blank),
        ("C", "LIG", "B", ".", "0", "4", "0", *blank),
        ("C", "LIG", "B", ".", "9", "4", "0", *blank),
        columns=PLAIN + author,
    )
    (record,) = read_cif(tmp_path, content, WITHIN)
    assert (record.id, record.sequence, site(record)) == ("given_A", "AG", [True, True])
    np.testing.assert_array_equal(record.structure.author_number, [1, 2])


def test_of_the_parents_of_a_chromophore_the_first_counts(tmp_path):
    parents = (
        "loop_\n_pdbx_struct_mod_residue.label_comp_id\n_pdbx_struct_mod_residue.parent_comp_id\nCRO THR\nCRO TYR\n"
    )
    content = rows(("CA", "CRO", "A", "1", "0", "0", "0"), columns=PLAIN) + parents
    assert read_cif(tmp_path, content)[0].sequence == "T"
    modres = "".join(f"MODRES 1EMA CRO A   66  {parent}\n" for parent in ("THR", "TYR", "GLY"))
    assert read_pdb(tmp_path, modres + chain_of([("CRO", "66")]))[0].sequence == "T"


def test_more_copies_of_ligands_than_a_capsid_has_are_refused(tmp_path):
    rows = enumerate(("1.0 0.0 0.0 0.0", "0.0 1.0 0.0 0.0", "0.0 0.0 1.0 0.0"), start=1)
    one = "".join(f"REMARK 350   BIOMT{axis}   1  {row}\n" for axis, row in rows)
    copies = one * 1100
    assembly = "REMARK 350 BIOMOLECULE: 1\nREMARK 350 APPLY THE FOLLOWING TO CHAINS: A\n" + copies
    ligands = "".join(near(0, "C1", str(number)) for number in range(1000, 1910))
    with pytest.raises(SourceError, match="more than 1,000,000 copies of ligands"):
        read_pdb(tmp_path, assembly + PEPTIDE + ligands)


@pytest.mark.skipif(shutil.which("mkdssp") is None, reason="mkdssp is not installed")
def test_mkdssp_gets_the_first_model_alone():
    """In 1LCD the models do not have the same waters, at which mkdssp would stop."""
    folder = Path(__file__).parents[1] / "data" / "structures"
    (one,), (other,) = (
        list(reader.read(folder / name, Options(dssp=True)))
        for reader, name in ((pdb, "1LCD.pdb.gz"), (mmcif, "1LCD.cif.gz"))
    )
    ss8 = [
        next(a.values.to_pylist() for a in record.annotations if a.property.name == "ss8") for record in (one, other)
    ]
    assert ss8[0] == ss8[1]
    assert ss8[0].count("H") > 20
