"""TAPE's LMDB files: the datasets of TAPE and of the paper, and what is refused."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from attnstore.errors import SourceError
from attnstore.readers.inputs import Record
from attnstore.readers.tape import lmdb_map, pickles, tape_lmdb

BINDING_SITES = Path(__file__).parents[3] / "shared" / "data" / "binding_site_valid.lmdb"


def write(folder: Path, records: list[Any], name: str = "x.lmdb", protocol: int = 3, **more: Any) -> Path:
    content = {"num_examples": len(records), **{str(index): record for index, record in enumerate(records)}, **more}
    with lmdb.open(str(folder / name), map_size=1 << 26) as environment, environment.begin(write=True) as transaction:
        for key, value in content.items():
            if value is not None:
                transaction.put(key.encode(), pickle.dumps(value, protocol))
    return folder / name


def read(folder: Path, records: list[Any], **more: Any) -> list[Record]:
    return list(tape_lmdb.read(write(folder, records, **more)))


def values(record: Record) -> dict[str, list[Any]]:
    return {annotation.property.name: annotation.values.to_pylist() for annotation in record.annotations}


def secondary_structure() -> dict[str, Any]:
    """A record as TAPE's serialiser writes it: residue 2 is disordered, and its ss8 is then 0, the code of G."""
    return {
        "id": b"1abc-A",
        "primary": "ACDEFGHIKL",
        "protein_length": 10,
        "evolutionary": np.zeros((10, 30), np.float32),
        "ss3": np.array([2, 0, 0, 0, 0, 1, 1, 2, 2, 2]),
        "ss8": np.array([7, 0, 0, 1, 2, 3, 4, 5, 6, 7]),
        "disorder": np.array([1, 1, 0, 1, 1, 1, 1, 1, 1, 1]),
        "interface": np.array([0, 1, 0, 0, 0, 0, 0, 0, 0, 1]),
        "phi": np.array([360, -60, 0, -57, -57, -120, -120, 60, 60, 100], np.float32),
        "psi": np.array([120, -45, 0, -47, -47, 130, 130, 30, 30, 360], np.float32),
        "rsa": np.linspace(0, 0.9, 10, dtype=np.float32),
        "asa_max": np.full(10, 200, np.float32),
        "valid_mask": np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 1], np.float32),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_secondary_structure_is_null_where_unresolved_or_masked(tmp_path, protocol):
    (record,) = read(tmp_path, [secondary_structure()], protocol=protocol)
    assert (record.id, record.sequence, record.structure) == ("1abc-A", "ACDEFGHIKL", None)
    found = values(record)
    helix, strand, turn = "helix", "strand", "turn"
    assert found["ss8"] == ["C", "G", None, "H", "I", "B", "E", "S", None, "C"]
    assert found["ss4"] == ["other", helix, None, helix, helix, strand, strand, turn, None, "other"]
    assert found["ss3"] == ["coil", helix, None, helix, helix, strand, strand, "coil", None, "coil"]
    assert found["disordered"] == [index == 2 for index in range(10)]
    assert found["interface"] == [False, True, None, False, False, False, False, False, None, True]
    assert found["phi"] == [None, -60, None, -57, -57, -120, -120, 60, None, 100]
    assert found["psi"] == [120, -45, None, -47, -47, 130, 130, 30, None, None]
    assert found["rsa"][2] is None
    assert found["rsa"][9] == pytest.approx(0.9, abs=1e-6)
    assert set(found) == {prop.name for prop in tape_lmdb.PROPERTIES} - {"binding_site", "protein_modification"}


def test_classes_are_those_of_tapes_own_ss3():
    """TAPE codes ss8 as GHIBESTC and ss3 as HEC, of which its serialiser makes the one from the other so."""
    for code, three in enumerate([0, 0, 0, 1, 1, 2, 2, 2]):
        content = {"primary": "A", "ss8": [code]}
        record = tape_lmdb._record(content, "0", "here")
        assert values(record)["ss3"] == [["helix", "strand", "coil"][three]]


def test_proteinnet_has_alpha_carbons_only(tmp_path):
    ca = np.array([[1, 2, 3], [0, 0, 0], [4, 5, 6], [7, 8, 9], [np.nan, 1, 1]], np.float32)
    record = {
        "id": b"1A2X_1_B",
        "primary": "ACDEF",
        "tertiary": ca,
        "valid_mask": np.array([True, True, False, True, True]),
    }
    (read_,) = read(tmp_path, [record])
    structure = read_.structure
    assert read_.id == "1A2X_B"
    assert structure is not None
    np.testing.assert_array_equal(structure.ca, ca * np.array([[1], [np.nan], [np.nan], [1], [np.nan]], np.float32))
    assert np.isnan(structure.cb).all()
    assert not structure.author_known.any()
    assert read_.annotations == ()


@pytest.mark.parametrize(("field", "name"), [("sites", "binding_site"), ("modifications", "protein_modification")])
def test_sites_are_matched_by_author_number_exactly_as_given(tmp_path, field, name):
    # 53 stands twice, an insertion code having been lost; 99 is no residue; one number is negative.
    record = {"id": "4upi.A", "primary": "ACDEF", "positions": [-2, 52, 53, 53, 60], field: [53, -2, 99, 53]}
    none = {"id": "1xyz.B", "primary": "ACD", "positions": [1, 2, 3], field: []}
    first, second = read(tmp_path, [record, none])
    assert values(first) == {name: [True, False, True, True, False]}
    assert values(second) == {name: [False, False, False]}
    assert first.annotations[0].property.absent == "FALSE"
    assert (first.id, second.id) == ("4upi.A", "1xyz.B")
    assert first.structure is not None
    assert first.structure.author_number.tolist() == [-2, 52, 53, 53, 60]
    assert first.structure.author_number.dtype == np.int32
    assert first.structure.author_known.all()
    assert np.isnan(first.structure.ca).all()
    assert np.isnan(first.structure.cb).all()


def test_fields_are_given_together_where_a_record_has_them(tmp_path):
    record = {
        **secondary_structure(),
        "positions": list(range(5, 15)),
        "sites": np.array([7], np.int16),
        "modifications": (5,),
        "tertiary": np.ones((10, 3)),
    }
    (one,) = read(tmp_path, [record])
    assert {"ss8", "binding_site", "protein_modification"} < values(one).keys()
    assert one.structure is not None
    assert one.structure.author_number.tolist() == list(range(5, 15))
    # The tenth residue but one is masked.
    assert np.isnan(one.structure.ca).any(axis=1).tolist() == [index == 8 for index in range(10)]


def test_records_without_an_id_are_named_by_their_place(tmp_path):
    assert [record.id for record in read(tmp_path, [{"primary": "A", "ss8": [0]}] * 3)] == ["0", "1", "2"]


def test_records_come_in_order_and_one_by_one(tmp_path):
    good = [{"id": str(index), "primary": "A", "ss8": [0]} for index in range(12)]
    records = tape_lmdb.read(write(tmp_path, [*good, {"id": "bad"}]))
    assert [next(records).id for _ in range(12)] == [str(index) for index in range(12)]
    with pytest.raises(SourceError, match="record 12"):
        next(records)


def test_place_names_file_and_record(tmp_path):
    path = write(tmp_path, [{"primary": "A", "ss8": [0]}])
    assert [record.place for record in tape_lmdb.read(path)] == [f"{path}/data.mdb record 0"]
    assert [record.place for record in tape_lmdb.read(path / "data.mdb")] == [f"{path}/data.mdb record 0"]


class Command:
    def __reduce__(self) -> Any:
        return os.system, ("echo harm",)


SITES = {"id": "a", "primary": "ACD", "positions": [1, 2, 3], "sites": [2]}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Command(), r"record 0 is a pickle that wants posix\.system"),
        ({**SITES, "sites": [Command()]}, r"wants posix\.system"),
        ({**SITES, "primary": np.array([None], object)}, "wants an array of the numpy type 'O8'"),
        ([1, 2], "of the type list"),
        ({}, "fields none"),
        ({"primary": "ACD", "clan": 1, "family": 2}, "fields primary, clan, family: .*none of the datasets"),
        ({**SITES, "id": 3}, "an id that is no"),
        ({**SITES, "id": "a\nb"}, "an id that is no"),
        ({**SITES, "id": b""}, "an id that is no"),
        ({**SITES, "primary": "AC1"}, "no sequence"),
        ({**SITES, "primary": b"ACD"}, "no sequence"),
        ({**SITES, "primary": ""}, "no sequence"),
        ({"primary": "ACD", "sites": [1]}, "no array of numbers for its field positions"),
        ({**SITES, "positions": [1, 2]}, "2 numbers for its field positions and 3 are due"),
        ({**SITES, "positions": [1, 2, None]}, "no array of numbers for its field positions"),
        ({**SITES, "positions": ["1", "2", "3"]}, "no array of numbers for its field positions"),
        ({**SITES, "positions": ["x" * 10**6, *["y"] * 10**5]}, "no array of numbers for its field positions"),
        ({**SITES, "positions": [1, 2, 3.5]}, "residue number in its field positions"),
        ({**SITES, "positions": [1, 2, 2**40]}, "residue number in its field positions"),
        ({**SITES, "positions": [1, 2, 2**99]}, "no array of numbers"),
        ({**SITES, "sites": "2"}, "no array of numbers for its field sites"),
        ({**SITES, "sites": [[1], [2, 3]]}, "no array of numbers for its field sites"),
        ({"primary": "AC", "ss8": [1, 8]}, "none of 0 to 7"),
        ({"primary": "AC", "ss8": [1, 0.5]}, "none of 0 to 7"),
        ({"primary": "AC", "ss8": [1]}, "1 numbers for its field ss8 and 2 are due"),
        ({"primary": "AC", "ss8": [1, 1], "phi": np.zeros((2, 2))}, "2 × 2 numbers for its field phi"),
        ({"primary": "AC", "tertiary": np.zeros((3, 3))}, "3 × 3 numbers for its field tertiary and 2 × 3 are due"),
        ({"primary": "AC", "tertiary": np.full((2, 3), 1e9)}, "Å from the origin"),
        ({"primary": "AC", "tertiary": np.full((2, 3), np.inf)}, "Å from the origin"),
    ],
)
def test_bad_records_are_refused(tmp_path, record, words):
    with pytest.raises(SourceError, match=words) as caught:
        read(tmp_path, [record])
    assert str(tmp_path / "x.lmdb" / "data.mdb") in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"num_examples": None}, "no number of records under 'num_examples'"),
        ({"num_examples": 0}, "says that it has no number of records"),
        ({"num_examples": "two"}, "says that it has no number of records"),
        ({"num_examples": 10**15}, "no record of the 1,000,000,000,000,000 under '1'"),
        ({"num_examples": Command()}, "wants posix.system"),
    ],
)
def test_another_layout_is_refused(tmp_path, more, words):
    with pytest.raises(SourceError, match=words):
        read(tmp_path, [SITES], **more)


@pytest.mark.parametrize("seed", range(60))
def test_damage_raises_or_goes_unnoticed(tmp_path, seed):
    path = (
        write(tmp_path, [{**SITES, "id": f"1abc.{index}"} for index in range(40)] + [secondary_structure()])
        / "data.mdb"
    )
    chance = random.Random(seed)
    damaged = bytearray(path.read_bytes())
    for _ in range(1 + 30 * (seed % 2)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    path.write_bytes(damaged)
    try:
        list(tape_lmdb.read(path))
    except SourceError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017 - it need not raise


def test_accepts_by_the_first_bytes(tmp_path):
    path = write(tmp_path, [SITES])
    assert tape_lmdb.accepts(path / "data.mdb", (path / "data.mdb").read_bytes()[:4096])
    assert not tape_lmdb.accepts(path / "lock.mdb", (path / "lock.mdb").read_bytes()[:4096])
    assert not tape_lmdb.accepts(Path("x.lmdb"), b">a\nACD")


@pytest.mark.skipif(not BINDING_SITES.exists(), reason="the paper's binding sites are not here")
def test_the_papers_binding_sites():
    """Counted independently, by the libraries that the paper's code uses."""
    with lmdb.open(str(BINDING_SITES), readonly=True, lock=False) as environment, environment.begin() as transaction:
        theirs = [pickle.loads(transaction.get(str(index).encode())) for index in range(1418)]
    before = sorted(BINDING_SITES.iterdir())
    ours = list(tape_lmdb.read(BINDING_SITES))
    assert sorted(BINDING_SITES.iterdir()) == before
    assert [record.id for record in ours] == [record["id"] for record in theirs]
    assert [record.sequence for record in ours] == [record["primary"] for record in theirs]
    sites = residues = without = 0
    for record, content in zip(ours, theirs, strict=True):
        expected = [position in content["sites"] for position in content["positions"]]
        assert values(record) == {"binding_site": expected}
        assert record.structure is not None
        assert record.structure.author_number.tolist() == content["positions"]
        without += not content["sites"]
        sites += sum(expected[:510])
        residues += len(expected[:510])
    assert (len(ours), without) == (1418, 402)
    assert (sites, residues) == (17_137, 340_639)


def test_what_a_record_may_take_is_no_more_than_what_a_map_gives():
    assert pickles.PICKLE_BYTES == lmdb_map.VALUE_BYTES
