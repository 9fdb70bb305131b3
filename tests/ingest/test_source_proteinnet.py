"""ProteinNet's text records: what is read, and what is refused with which words."""

from __future__ import annotations

import gzip
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from attnstore.errors import SourceError
from attnstore.readers import proteinnet
from attnstore.readers.inputs import Record
from attnstore.readers.record import virtual_cb


def write(folder: Path, content: str | bytes, name: str = "training_30") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, name: str = "training_30") -> list[Record]:
    return list(proteinnet.read(write(folder, content, name)))


def text_of(identifier: str, sequence: str, backbone: np.ndarray, mask: str) -> str:
    """A record of positions in Å, as ProteinNet writes it: an axis a line, N, Cα and C of each residue in turn."""
    lines = ["[ID]", identifier, "[PRIMARY]", sequence, "[EVOLUTIONARY]"]
    lines += ["\t".join(["0.5"] * len(sequence))] * 21
    lines += [
        "[TERTIARY]",
        *("\t".join(repr(float(x) * 100) for x in backbone[:, :, axis].ravel()) for axis in range(3)),
    ]
    return "\n".join([*lines, "[MASK]", mask, "", ""])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    data=st.data(),
    sequences=st.lists(st.text("ACDEFGHIKLMNPQRSTVWY", min_size=1, max_size=30), min_size=1, max_size=4),
    end=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
)
def test_what_is_written_is_read(tmp_path, data, sequences, end, packed):
    given_ = []
    for sequence in sequences:
        positions = st.floats(-999, 999, width=32).map(lambda x: round(x, 3))
        backbone = data.draw(of_numpy.arrays(np.float64, (len(sequence), 3, 3), elements=positions, fill=st.nothing()))
        given_.append((sequence, backbone, data.draw(st.text("+-", min_size=len(sequence), max_size=len(sequence)))))
    content = "".join(text_of(f"1A2X_{index}_B", *one) for index, one in enumerate(given_)).replace("\n", end).encode()
    records = read(tmp_path, gzip.compress(content) if packed else content)
    assert [record.sequence for record in records] == sequences
    for record, (_, backbone, mask) in zip(records, given_, strict=True):
        expected = backbone.copy()
        for residue, atom in itertools.product(range(len(mask)), range(3)):
            if mask[residue] == "-" or not expected[residue, atom].any():
                expected[residue, atom] = np.nan
        assert record.structure is not None
        np.testing.assert_allclose(record.structure.ca, expected[:, 1], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(record.structure.cb, virtual_cb(*np.moveaxis(expected, 1, 0)), rtol=1e-5, atol=1e-4)
        assert not record.structure.author_known.any()


def test_an_atom_at_the_origin_is_missing_whatever_the_mask_says(tmp_path):
    backbone = np.arange(1, 28, dtype=float).reshape(3, 3, 3)
    backbone[0, 1] = backbone[1, 0] = 0
    (record,) = read(tmp_path, text_of("x", "ACD", backbone, "+++"))
    assert record.structure is not None
    assert np.isnan(record.structure.ca).any(axis=1).tolist() == [True, False, False]
    assert np.isnan(record.structure.cb).any(axis=1).tolist() == [True, True, False]
    # A single coordinate of zero is a coordinate.
    assert record.structure.ca[1].tolist() == [13, 14, 15]


@pytest.mark.parametrize(
    ("given_", "name"),
    [
        ("1A2X_1_B", "1A2X_B"),
        ("1a2x_12_AA", "1a2x_AA"),
        ("4V4Z_9_9", "4V4Z_9"),
        ("30#1A2X_1_B", "1A2X_B"),
        ("2CM_d1a2xa1", "2CM_d1a2xa1"),
        ("1A9X_d1a9xa1", "1A9X_d1a9xa1"),
        ("TBM#T0123", "TBM#T0123"),
        ("TBM-hard#T0859", "TBM-hard#T0859"),
        ("1A2X_B", "1A2X_B"),
    ],
)
def test_chains_are_named_as_the_readers_of_structures_name_them(tmp_path, given_, name):
    assert [record.id for record in read(tmp_path, f"[ID]\n{given_}\n[PRIMARY]\nACD\n")] == [name]


def test_structure_and_mask_may_be_wanting(tmp_path):
    backbone = np.ones((1, 3, 3))
    content = "[ID]\na\n[PRIMARY]\nA\n" + text_of("b", "A", backbone, "+").replace("[MASK]\n+", "[SECONDARY]\nL")
    first, second = read(tmp_path, content)
    assert first.structure is None
    assert second.structure is not None
    assert np.isfinite(second.structure.ca).all()


def test_place_is_the_line_of_the_id(tmp_path):
    path = write(tmp_path, "\n[ID]\na\n[PRIMARY]\nA\n\n[ID]\nb\n[PRIMARY]\nC\n")
    assert [record.place for record in proteinnet.read(path)] == [f"{path}:2", f"{path}:7"]


def test_records_come_one_by_one(tmp_path):
    records = proteinnet.read(write(tmp_path, "[ID]\na\n[PRIMARY]\nA\n[ID]\nb\n[PRIMARY]\n1\n"))
    assert next(records).id == "a"
    with pytest.raises(SourceError):
        next(records)


GOOD = "[ID]\na\n[PRIMARY]\nAC\n"
ROW = "1 2 3 4 5 6\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("a\n[ID]\na\n", [":1", "before the first [ID]"]),
        ("[PRIMARY]\nAC\n", [":1", "before the first [ID]"]),
        ("[ID]\n[PRIMARY]\nAC\n", [":1", "0 lines of [ID]"]),
        ("[ID]\na\n", [":1", "0 lines of [PRIMARY]"]),
        ("[ID]\na\n[PRIMARY]\n\n", [":1", "0 lines of [PRIMARY]"]),
        ("[ID]\na\nb\n[PRIMARY]\nAC\n", [":3", "too many for [ID]"]),
        ("[ID]\na\n[PRIMARY]\nAC\nAC\n", [":5", "too many for [PRIMARY]"]),
        ("[ID]\na\n[PRIMARY]\nAC\n[PRIMARY]\nAC\n", [":5", "second [PRIMARY]"]),
        ("[ID]\na\n[PRIMARY]\nA-\n", [":1", "record a", "'-'", "not an amino acid"]),
        (GOOD + "[TERTIARY]\n" + ROW * 2, [":1", "2 lines of [TERTIARY]"]),
        (GOOD + "[TERTIARY]\n" + ROW * 4, [":9", "too many for [TERTIARY]"]),
        (GOOD + "[TERTIARY]\n" + "1 2 3\n" * 3, [":1", "record a", "6 finite numbers"]),
        (GOOD + "[TERTIARY]\n" + "1 2 3 4 5 6 7\n" * 3, [":1", "6 finite numbers"]),
        (GOOD + "[TERTIARY]\n" + "1 2 3 4 5 x\n" * 3, [":1", "not a number"]),
        (GOOD + "[TERTIARY]\n" + "1 2 3 4 5 nan\n" * 3, [":1", "6 finite numbers"]),
        (GOOD + "[TERTIARY]\n" + "1 2 3 4 5 1e300\n" * 3, [":1", "6 finite numbers"]),
        (GOOD + "[TERTIARY]\n" + ROW * 3 + "[MASK]\n+\n", [":1", "mask"]),
        (GOOD + "[TERTIARY]\n" + ROW * 3 + "[MASK]\n+x\n", [":1", "mask"]),
        (b"[ID]\na\xff\n[PRIMARY]\nAC\n", ["0xff"]),
    ],
)
def test_bad_input_is_refused_with_its_place(tmp_path, content, words):
    with pytest.raises(SourceError) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "training_30") in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("seed", range(200))
def test_damage_raises_or_goes_unnoticed(tmp_path, seed):
    chance = random.Random(seed)
    backbone = np.random.default_rng(seed).normal(size=(6, 3, 3))
    damaged = bytearray((text_of("1A2X_1_B", "ACDEFG", backbone, "++++-+") * 2).encode())
    for _ in range(chance.randrange(1, 5)):
        damaged[chance.randrange(len(damaged))] = chance.choice(b"[]\n\t0.+-AEe\xff\0")
    try:
        read(tmp_path, bytes(damaged[: chance.randrange(len(damaged)) if seed % 4 == 0 else None]))
    except SourceError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017 - it need not raise


@pytest.mark.parametrize(
    ("head", "accepted"),
    [
        (b"[ID]\n1A2X_1_B\n", True),
        (b"\xef\xbb\xbf\r\n[ID]\r\n1A2X_1_B\r\n", True),
        (b"[IDENTITY]\n", False),
        (b">a\n[ID]\n", False),
        (b"", False),
    ],
)
def test_accepts_by_the_first_line(head, accepted):
    assert proteinnet.accepts(Path("training_30"), head) is accepted
