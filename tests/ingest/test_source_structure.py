"""PDB and mmCIF: the two formats agree with one another, with Biopython and with the file's own lines."""

from __future__ import annotations

import gzip
import io
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO
from Bio.PDB.MMCIF2Dict import MMCIF2Dict
from Bio.PDB.PDBParser import PDBParser

from attnstore.errors import SourceError
from attnstore.ingest import ingest_proteins
from attnstore.readers.inputs import Record
from attnstore.readers.record import DEFAULT, Options, virtual_cb
from attnstore.readers.structures import mmcif, pdb

DATA = Path(__file__).parents[1] / "data" / "structures"
AGREED = ["1A8O", "1LCD", "2XHE_backbone"]


def text_of(name: str) -> str:
    return gzip.decompress((DATA / name).read_bytes()).decode()


def read_pdb(folder: Path, content: str, name: str = "given.pdb", options: Options = DEFAULT) -> list[Record]:
    (folder / name).write_text(content)
    return list(pdb.read(folder / name, options))


def read_cif(folder: Path, content: str, options: Options = DEFAULT) -> list[Record]:
    (folder / "given.cif").write_text(content)
    return list(mmcif.read(folder / "given.cif", options))


def assert_same(ours: list[Record], theirs: list[Record]) -> None:
    assert [(record.id, record.sequence) for record in ours] == [(r.id, r.sequence) for r in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.structure.author_known, other.structure.author_known)
        np.testing.assert_array_equal(one.structure.author_number, other.structure.author_number)
        assert one.structure.insertion_code == other.structure.insertion_code
        np.testing.assert_allclose(one.structure.ca, other.structure.ca, atol=1e-3)
        np.testing.assert_allclose(one.structure.cb, other.structure.cb, atol=1e-3)


def atom(
    serial: int,
    name: str,
    residue: str,
    number: str,
    position: tuple[float, float, float],
    chain: str = "A",
    kind: str = "ATOM",
    alternative: str = " ",
    occupancy: float = 1.0,
) -> str:
    """Return one PDB coordinate line; `number` may end in an insertion code."""
    digits = number.rstrip("ABCDEFGH")
    x, y, z = position
    return (
        f"{kind:<6}{serial:>5}  {name:<3}{alternative}{residue:>3} {chain}{digits:>4}{number[len(digits) :]:1}   "
        f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{20.0:6.2f}\n"
    )


def chain_of(residues: list[tuple[str, str]], chain: str = "A") -> str:
    """Return CA atoms for (name, number) pairs, the i-th at (i, 0, 0)."""
    return "".join(
        atom(i, "CA", name, number, (float(i), 0.0, 0.0), chain) for i, (name, number) in enumerate(residues)
    )


def seqres(names: str, chain: str = "A") -> str:
    return f"SEQRES   1 {chain} {len(names.split()):>4}  {names}\n"


@pytest.mark.parametrize("entry", AGREED)
def test_pdb_and_mmcif_of_an_entry_give_the_same_records(entry):
    ours = list(pdb.read(DATA / f"{entry}.pdb.gz"))
    assert ours
    assert_same(ours, list(mmcif.read(DATA / f"{entry}.cif.gz")))


def test_alignment_finds_the_places_that_mmcif_states(tmp_path):
    lines = text_of("2XHE_backbone.pdb.gz").splitlines(keepends=True)
    without = "".join(line for line in lines if not line.startswith("REMARK 465"))
    assert len(without.splitlines()) < len(lines)
    assert_same(read_pdb(tmp_path, without), list(mmcif.read(DATA / "2XHE_backbone.cif.gz")))


@pytest.mark.parametrize("entry", AGREED)
def test_sequences_are_those_biopython_reads_from_seqres(entry):
    with gzip.open(DATA / f"{entry}.pdb.gz", "rt") as stream:
        chains = {one.annotations["chain"]: str(one.seq) for one in SeqIO.parse(stream, "pdb-seqres")}
    ours = {record.id[-1]: record.sequence for record in pdb.read(DATA / f"{entry}.pdb.gz")}
    assert ours
    assert ours == {chain: chains[chain] for chain in ours}


def test_only_the_protein_chain_of_a_complex_with_dna_is_read():
    assert [record.id for record in pdb.read(DATA / "1LCD.pdb.gz")] == ["1LCD_A"]


@pytest.mark.parametrize("entry", AGREED)
def test_coordinates_are_those_of_the_file_s_lines_in_its_first_model(entry):
    expected: dict[tuple[str, int], dict[str, list[float]]] = {}
    occupancy: dict[str, float] = {}
    for line in text_of(f"{entry}.pdb.gz").splitlines():
        if line.startswith("ENDMDL"):
            break
        atom_of_chain = line[12:16] + line[21:27]
        if line.startswith(("ATOM", "HETATM")) and float(line[54:60]) > occupancy.get(atom_of_chain, -1.0):
            occupancy[atom_of_chain] = float(line[54:60])
            position = [float(line[start : start + 8]) for start in (30, 38, 46)]
            expected.setdefault((line[21], int(line[22:26])), {})[line[12:16].strip()] = position
    for record in pdb.read(DATA / f"{entry}.pdb.gz"):
        structure = record.structure
        assert structure.author_known.any()
        for place in np.flatnonzero(structure.author_known):
            atoms = expected[record.id[-1], int(structure.author_number[place])]
            n, ca, c = (atoms.get(name, [np.nan] * 3) for name in ("N", "CA", "C"))
            np.testing.assert_allclose(structure.ca[place], ca, atol=1e-3)
            cb = atoms.get("CB", virtual_cb(n, ca, c))
            np.testing.assert_allclose(structure.cb[place], cb, atol=1e-3)
            assert ("CB" in atoms) == (record.sequence[place] != "G") or "CA" not in atoms


def test_unresolved_residues_have_neither_number_nor_position():
    record = next(pdb.read(DATA / "2XHE_backbone.pdb.gz"))
    lines = text_of("2XHE_backbone.pdb.gz").splitlines()
    seen = {line[22:27] for line in lines if line.startswith("ATOM") and line[21] == "A"}
    structure = record.structure
    assert structure.author_known.sum() == len(seen) < len(record.sequence)
    hidden = ~structure.author_known
    assert (structure.author_number[hidden] == 0).all()
    assert np.isnan(structure.ca[hidden]).all()
    assert np.isnan(structure.cb[hidden]).all()


def test_modified_residues_have_their_parent_s_letter_and_are_observed():
    (record,) = pdb.read(DATA / "1A8O.pdb.gz")
    assert [record.sequence[i] for i in (0, 34, 63, 64)] == ["M"] * 4
    assert "MSE" in text_of("1A8O.pdb.gz")
    assert record.structure.author_number.tolist() == list(range(151, 221))


def test_alternative_locations_are_those_biopython_selects():
    content = text_of("3JQH.cif.gz")
    cif = MMCIF2Dict(io.StringIO(content))
    rows = zip(
        *(cif[f"_atom_site.{name}"] for name in ("label_seq_id", "label_atom_id", "occupancy", "Cartn_x")),
        strict=True,
    )
    best: dict[int, tuple[float, float]] = {}
    for place, name, occupancy, x in rows:
        if name == "CA" and place != "." and float(occupancy) > best.get(int(place), (-1.0, 0.0))[0]:
            best[int(place)] = (float(occupancy), float(x))
    (record,) = mmcif.read(DATA / "3JQH.cif.gz")
    got = {int(i) + 1: float(record.structure.ca[i, 0]) for i in np.flatnonzero(record.structure.author_known)}
    assert got == pytest.approx({place: x for place, (_, x) in best.items()}, abs=1e-3)
    assert record.sequence[3] == "P"


def test_headless_file_gives_the_observed_sequence_as_biopython_does():
    (record,) = pdb.read(DATA / "disordered.pdb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chain = PDBParser(QUIET=True).get_structure("x", DATA / "disordered.pdb")[0]["A"]
    assert record.id == "disordered_A"
    assert record.sequence == "MSRNTT"
    assert record.structure.author_number.tolist() == [residue.id[1] for residue in chain]
    np.testing.assert_allclose(record.structure.ca, [residue["CA"].coord for residue in chain], atol=1e-3)


def test_highest_occupancy_wins_and_the_first_among_equals(tmp_path):
    content = (
        atom(1, "CA", "ALA", "1", (1, 0, 0), alternative="A", occupancy=0.3)
        + atom(2, "CA", "ALA", "1", (2, 0, 0), alternative="B", occupancy=0.7)
        + atom(3, "CA", "SER", "2", (3, 0, 0), alternative="A", occupancy=0.5)
        + atom(4, "CA", "SER", "2", (4, 0, 0), alternative="B", occupancy=0.5)
        + atom(5, "CA", "LEU", "3", (5, 0, 0), alternative="A", occupancy=0.4)
        + atom(6, "CA", "ILE", "3", (6, 0, 0), alternative="B", occupancy=0.6)
    )
    (record,) = read_pdb(tmp_path, content)
    assert record.sequence == "ASI"
    assert record.structure.ca[:, 0].tolist() == [2.0, 3.0, 6.0]


def test_point_mutation_takes_the_position_of_the_residue_in_seqres(tmp_path):
    content = seqres("ALA LEU GLY") + (
        atom(1, "CA", "ALA", "1", (1, 0, 0))
        + atom(2, "CA", "LEU", "2", (2, 0, 0), alternative="A", occupancy=0.4)
        + atom(3, "CA", "ILE", "2", (3, 0, 0), alternative="B", occupancy=0.6)
        + atom(4, "CA", "GLY", "3", (4, 0, 0))
    )
    (record,) = read_pdb(tmp_path, content)
    assert record.sequence == "ALG"
    assert record.structure.ca[:, 0].tolist() == [1.0, 2.0, 4.0]


def test_insertion_codes_and_negative_numbers_are_kept(tmp_path):
    numbered = [("ALA", "-1"), ("GLY", "52"), ("SER", "52A"), ("SER", "52B"), ("LEU", "53")]
    for head in ("", seqres("ALA GLY SER SER LEU")):
        (record,) = read_pdb(tmp_path, head + chain_of(numbered))
        assert record.structure.author_number.tolist() == [-1, 52, 52, 52, 53]
        assert record.structure.insertion_code == (None, None, "A", "B", None)


def test_gap_in_the_numbering_decides_between_equal_letters(tmp_path):
    head = seqres("MET GLY GLY GLY GLY LEU")
    (record,) = read_pdb(tmp_path, head + chain_of([("MET", "1"), ("GLY", "4"), ("GLY", "5"), ("LEU", "6")]))
    assert record.structure.author_known.tolist() == [True, False, False, True, True, True]


def test_residues_that_fit_at_two_places_are_refused_unless_the_file_lists_the_unresolved(tmp_path):
    head = seqres("ALA ALA ALA ALA")
    seen = chain_of([("ALA", "7"), ("ALA", "8")])
    with pytest.raises(SourceError, match=r"chain A: residue ALA 7 fits .* more than one place"):
        read_pdb(tmp_path, head + seen)
    listed = "REMARK 465     ALA A     6\nREMARK 465     ALA A     9\n"
    (record,) = read_pdb(tmp_path, listed + head + seen)
    assert record.structure.author_known.tolist() == [False, True, True, False]


def test_residue_that_seqres_lacks_is_refused_with_its_chain_and_number(tmp_path):
    head = seqres("MET GLY SER LEU", "B")
    seen = chain_of([("MET", "1"), ("GLY", "2"), ("TRP", "3"), ("LEU", "4")], "B")
    with pytest.raises(SourceError, match="chain B: residue TRP 3 does not fit"):
        read_pdb(tmp_path, head + seen)


def test_ligands_waters_and_what_follows_ter_are_no_residues(tmp_path):
    ligand = atom(8, "CA", "GLU", "301", (8, 0, 0), kind="HETATM")
    inside = atom(3, "C1", "GOL", "201", (7, 0, 0), kind="HETATM")
    water = atom(9, "O", "HOH", "401", (9, 0, 0), kind="HETATM")
    calcium = atom(10, "CA", "CA", "501", (9, 9, 0), kind="HETATM")
    for head in ("", seqres("ALA GLY")):
        content = head + chain_of([("ALA", "1"), ("GLY", "2")]) + inside + calcium + "TER\n" + ligand + water
        (record,) = read_pdb(tmp_path, content)
        assert record.sequence == "AG"


def test_atoms_after_a_ter_inside_the_chain_are_kept(tmp_path):
    content = chain_of([("ALA", "1")]) + "TER\n" + chain_of([("GLY", "5")])
    assert read_pdb(tmp_path, content)[0].sequence == "AG"


def test_rna_that_carries_an_amino_acid_is_no_protein(tmp_path):
    content = seqres("C C A PHE", "R") + seqres("ALA GLY") + chain_of([("ALA", "1"), ("GLY", "2")])
    assert [record.id for record in read_pdb(tmp_path, content)] == ["given_A"]


def test_unknown_residue_is_x_and_modres_gives_a_parent(tmp_path):
    content = chain_of([("ALA", "1"), ("QQQ", "2"), ("UNK", "3")])
    assert read_pdb(tmp_path, content)[0].sequence == "AXX"
    modres = "MODRES 1ABC QQQ A    2  LYS  SOME MODIFICATION\n"
    assert read_pdb(tmp_path, modres + content)[0].sequence == "AKX"


def test_declared_chain_without_a_single_atom_is_a_record_without_positions(tmp_path):
    content = seqres("ALA GLY") + seqres("SER THR", "B") + chain_of([("ALA", "1"), ("GLY", "2")])
    _, unseen = read_pdb(tmp_path, content)
    assert (unseen.id, unseen.sequence) == ("given_B", "ST")
    assert np.isnan(unseen.structure.ca).all()


def test_missing_backbone_atom_leaves_cb_nan_and_never_ca(tmp_path):
    (record,) = read_pdb(tmp_path, chain_of([("ALA", "1"), ("GLY", "2")]))
    assert np.isfinite(record.structure.ca).all()
    assert np.isnan(record.structure.cb).all()


@pytest.mark.parametrize(
    ("header", "name", "expected"),
    [
        (f"{'HEADER    HYDROLASE':<62}1abc\n", "x.pdb", "1ABC_A"),
        (f"{'HEADER    DOMAIN':<62}0000\n", "d1abca_.ent", "d1abca__A"),
        ("", "My.model.pdb", "My.model_A"),
    ],
)
def test_id_is_the_entry_code_or_else_the_stem(tmp_path, header, name, expected):
    assert read_pdb(tmp_path, header + chain_of([("ALA", "1")]), name)[0].id == expected


def test_second_model_is_not_read_even_without_endmdl(tmp_path):
    first, second = chain_of([("ALA", "1")]), chain_of([("GLY", "1"), ("GLY", "2")])
    for end in ("ENDMDL\n", ""):
        (record,) = read_pdb(tmp_path, f"MODEL        1\n{first}{end}MODEL        2\n{second}{end}")
        assert record.sequence == "A"


def test_atom_given_twice_is_refused_with_its_line(tmp_path):
    with pytest.raises(SourceError, match=r"given\.pdb:3: CA of ALA 1 is given a second time"):
        read_pdb(tmp_path, "REMARK\n" + chain_of([("ALA", "1"), ("ALA", "1")]))


def test_broken_coordinate_is_refused_with_its_line(tmp_path):
    content = chain_of([("ALA", "1"), ("GLY", "2")])
    with pytest.raises(SourceError, match=r"given\.pdb:3 is not a valid ATOM"):
        read_pdb(tmp_path, "\n" + content.replace("   1.000", "   x.000", 1))
    with pytest.raises(SourceError, match="not a finite number"):
        read_pdb(tmp_path, content.replace("   1.000", "     nan", 1))


def test_absent_occupancy_and_b_factor_do_not_matter(tmp_path):
    content = "".join(line[:54] + "\n" for line in chain_of([("ALA", "1"), ("GLY", "2")]).splitlines())
    assert read_pdb(tmp_path, content)[0].sequence == "AG"


def test_mmcif_without_a_scheme_uses_entity_poly_seq_and_without_both_the_atoms(tmp_path):
    head = "data_x\nloop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n"
    declared = "1 1 MET\n1 2 GLY\n1 3 SER\n#\n"
    names = "group_PDB id type_symbol label_atom_id label_comp_id label_asym_id label_entity_id label_seq_id"
    names += " auth_seq_id auth_asym_id Cartn_x Cartn_y Cartn_z"
    atoms = "loop_\n" + "".join(f"_atom_site.{name}\n" for name in names.split())
    atoms += "ATOM 1 C CA GLY A 1 2 12 H 1.0 0.0 0.0\nATOM 2 C CA SER A 1 3 13 H 2.0 0.0 0.0\n"
    (record,) = read_cif(tmp_path, head + declared + atoms)
    assert (record.id, record.sequence) == ("given_H", "MGS")
    assert record.structure.author_known.tolist() == [False, True, True]
    (record,) = read_cif(tmp_path, "data_x\n" + atoms)
    assert (record.id, record.sequence) == ("given_H", "GS")
    assert record.structure.author_number.tolist() == [12, 13]
    with pytest.raises(SourceError, match=r"chain H: residue SER 13 .* does not fit the declared sequence"):
        read_cif(tmp_path, head + declared.replace("SER", "TRP") + atoms)


@pytest.mark.parametrize("name", ["garbage.pdb", "garbage.cif", "garbage.ent", "garbage.mmcif"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\xfe\x80" * 500, b"some words\n" * 50, b"data_x\n_entry.id", b"ATOM  \n"]
)
def test_garbage_with_a_structure_s_name_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    reader = pdb if pdb.accepts(path, b"") else mmcif
    with pytest.raises(SourceError, match=name):
        list(reader.read(path))


@pytest.mark.parametrize("reader", [pdb, mmcif])
def test_missing_file_is_refused(tmp_path, reader):
    with pytest.raises(SourceError, match="does not exist"):
        list(reader.read(tmp_path / "nowhere"))


def test_truncated_gzip_and_false_gzip_are_refused(tmp_path):
    for reader, name in ((pdb, "1A8O.pdb.gz"), (mmcif, "1A8O.cif.gz")):
        whole = (DATA / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SourceError, match="middle of its gzip"):
            list(reader.read(tmp_path / name))
        (tmp_path / name).write_bytes(gzip.decompress(whole))
        with pytest.raises(SourceError, match=r"named \.gz but is not gzip"):
            list(reader.read(tmp_path / name))


def test_file_without_a_protein_is_refused(tmp_path):
    dna = chain_of([("DA", "1"), ("DG", "2")]).replace("CA ", "P  ")
    (tmp_path / "given.pdb").write_text(dna)
    with pytest.raises(SourceError, match=r"given.pdb has no protein chain: given_A \(nucleic acid\)"):
        ingest_proteins(tmp_path / "s.attn", [tmp_path / "given.pdb"])
    with pytest.raises(SourceError, match="no chain"):
        read_cif(tmp_path, "data_x\n_entry.id 1ABC\n")


def test_mmcif_of_two_blocks_or_cut_short_is_refused(tmp_path):
    content = text_of("3JQH.cif.gz")
    with pytest.raises(SourceError, match="2 data blocks"):
        read_cif(tmp_path, content + content)
    cut = content[: content.index("ATOM   40 ") + 30]
    with pytest.raises(SourceError, match="cut short"):
        read_cif(tmp_path, cut)


@pytest.mark.parametrize("name", ["1A8O.pdb.gz", "3JQH.cif.gz"])
def test_damaged_text_never_escapes_as_another_error(tmp_path, name):
    generator = random.Random(7)
    whole = gzip.decompress((DATA / name).read_bytes())
    reader, path = (pdb, tmp_path / "x.pdb") if ".pdb" in name else (mmcif, tmp_path / "x.cif")
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        start = generator.randrange(len(damaged))
        del damaged[start : start + generator.randrange(3000)]
        for _ in range(10):
            damaged[generator.randrange(len(damaged))] = generator.randrange(32, 127)
        path.write_bytes(damaged)
        try:
            list(reader.read(path))
        except SourceError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused
