"""Every PDB and mmCIF file among Biopython's own tests: read, or refused with its reason.

The folder is ``Tests/PDB`` of Biopython's source, named by the environment variable ATTNSTORE_BIOPYTHON_TESTS.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from attnstore.errors import SourceError
from attnstore.readers.inputs import Record
from attnstore.readers.record import Options
from attnstore.readers.structures import mmcif, pdb

from .test_source_structure import assert_same
from .test_source_structure_properties import assert_alike, numbered, pairs, values, where, where_is

FOLDER = Path(os.environ.get("ATTNSTORE_BIOPYTHON_TESTS", ""))
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".pdb", ".ent", ".cif"}) if FOLDER.name else []

#: What is refused, and why. Biopython put two residues of one number and name into a_structure.pdb on purpose.
REFUSED = {
    "1MOM_min.cif": "no protein chain",
    "4Q9R_min.cif": "no protein chain",
    "a_structure.pdb": r"a_structure.pdb:18: CA of PCA 1 is given a second time",
    "d256ba_.ent": "neither ATOM nor SEQRES",
    "header.pdb": "neither ATOM nor SEQRES",
    "ions.pdb": "no protein chain",
}
BOTH = ["1A8O", "1LCD", "1SSU_mod", "2BEG", "2XHE"]

pytestmark = pytest.mark.skipif(not FILES, reason="ATTNSTORE_BIOPYTHON_TESTS names no folder")


def read(name: str, options: Options | None = None) -> list[Record]:
    reader = mmcif if name.endswith(".cif") else pdb
    return list(reader.read(FOLDER / name, options or Options()))


def chain(name: str, letter: str) -> Record:
    (found,) = (record for record in read(name) if record.id.endswith(f"_{letter}"))
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_file_reads_or_is_refused_with_its_reason(name):
    if name in REFUSED:
        with pytest.raises(SourceError, match=REFUSED[name]):
            read(name)
        return
    records = read(name)
    assert records
    for record in records:
        assert len(record.sequence) == len(record.structure.author_known)
        for one in record.annotations:
            assert one.property.level == "pair" or len(one.values) == len(record.sequence)


@pytest.mark.parametrize("entry", BOTH)
def test_pdb_and_mmcif_of_an_entry_give_the_same(entry):
    ours, theirs = read(f"{entry}.pdb"), read(f"{entry}.cif")
    assert_same(ours, theirs)
    assert_alike(ours, theirs)


def test_7ddo_s_glycans_are_no_ligands_and_its_zinc_is_one():
    record = chain("7DDO.pdb", "A")
    # LINK: NAG on ASN 53, 90 and 546; zinc on HIS 374, HIS 378 and GLU 402.
    assert where(record, "glycosylation") == ["53", "90", "546"]
    assert where(record, "metal_coordination") == ["374", "378", "402"]
    assert set(where(record, "metal_coordination")) <= set(where(record, "binding_site_ligand"))
    assert not {"53", "90", "546"} & set(where(record, "binding_site_ligand"))
    ends = [(133, 141), (344, 361), (530, 542)]
    at = [tuple(where_is(record, str(number)) for number in pair) for pair in ends]
    assert pairs(record) == {*at, *((other, one) for one, other in at)}


def test_1as5_has_three_hydroxyprolines_and_three_disulfides():
    record = chain("1AS5.cif", "A")
    assert where(record, "modified_residue") == ["2", "3", "14"]
    assert len(pairs(record)) == 6
    assert values(record, "helix") is None


def test_4cup_s_ligand_is_near_the_residues_of_its_listed_site():
    (record,) = read("4CUP.cif", Options(ligand_distance=5.0))
    listed, near = set(where(record, "binding_site_record")), set(where(record, "binding_site_ligand"))
    assert listed
    assert len(listed & near) > 1
    # Of the fragment that is bound there, one residue has two pairs of atoms in contact.
    assert set(where(chain("4CUP.cif", "A"), "binding_site_ligand")) <= listed & near


def test_2xhe_s_first_helix_and_its_breaks():
    record = chain("2XHE.pdb", "B")
    assert where(record, "helix")[:7] == numbered(4, 10)
    hidden = ~record.structure.author_known
    assert hidden.any()
    assert all(np.array(values(record, "helix"), object)[hidden] == None)  # noqa: E711
