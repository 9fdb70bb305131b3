"""The cgdms text format, on a file made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnstore.errors import SourceError
from attnstore.readers import cgdms
from attnstore.readers.record import virtual_cb

ROWS = [
    "-1.944 -4.582 6.038 -0.726 -5.224 6.629 0.507 -4.327 6.593 0.48 -7.903 7.003",
    "0.736 -3.68 5.461 1.87 -2.787 5.312 1.266 -1.404 5.181 2.158 -3.876 2.294",
    "-0.054 -1.369 5.123 -0.792 -0.121 5.007 -0.747 0.531 6.369 -3.852 0.514 3.058",
]


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "1ABC_D.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_reads_sequence_and_ca_and_places_cb_from_the_backbone(tmp_path):
    path = write(tmp_path, ["EGK", "CHH", *ROWS])
    (record,) = cgdms.read(path)
    numbers = np.array([[float(word) for word in row.split()] for row in ROWS])
    assert (record.id, record.sequence) == ("1ABC_D", "EGK")
    np.testing.assert_allclose(record.structure.ca, numbers[:, 3:6], atol=1e-5)
    expected = virtual_cb(numbers[:, 0:3], numbers[:, 3:6], numbers[:, 6:9])
    np.testing.assert_allclose(record.structure.cb, expected, atol=1e-5)
    assert not np.isclose(record.structure.cb, numbers[:, 9:12], atol=0.3).all(axis=1).any()


def test_has_no_author_numbering(tmp_path):
    (record,) = cgdms.read(write(tmp_path, ["EGK", "CHH", *ROWS]))
    assert not record.structure.author_known.any()
    assert record.structure.insertion_code == (None, None, None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["EGK", "CHH", *ROWS[:2]], ["2 rows", "sequence of 3"]),
        (["EGK", "CHH", *ROWS, ROWS[0]], ["4 rows", "sequence of 3"]),
        (["EGK", "CHH", ROWS[0], ROWS[1][:-6], ROWS[2]], [":4", "11 columns", "12"]),
        (["EGK", "CHH", ROWS[0], ROWS[1] + " 1.0", ROWS[2]], [":4", "13 columns"]),
        (["EGK", "CHH", ROWS[0], ROWS[1].replace("1.87", "x"), ROWS[2]], [":4", "'x'"]),
        (["EGK", "CHH", ROWS[0], ROWS[1].replace("1.87", "nan"), ROWS[2]], [":4", "'nan'"]),
        (["E1K", "CHH", *ROWS], [":1", "not an amino acid sequence"]),
        ([""], ["is empty"]),
    ],
)
def test_malformed_file_is_refused(tmp_path, lines, words):
    path = write(tmp_path, lines)
    with pytest.raises(SourceError) as caught:
        list(cgdms.read(path))
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


@pytest.mark.parametrize(
    ("name", "lines", "accepted"),
    [
        ("a.txt", ["EGK", "CHH", *ROWS], True),
        ("a.txt.gz", ["EGK", "CHH", *ROWS], True),
        ("a.txt", ["EGK", "CHH", "1.0 2.0"], True),
        ("a.txt", ["EGK", "CHH", "words"], False),
        ("a.txt", ["EGK", "see below", *ROWS], False),
        ("a.txt", ["Some words", "CHH", *ROWS], False),
        ("a.txt", ["E" * 3000, "H" * 3000], True),
        ("a.dat", ["EGK", "CHH", *ROWS], False),
    ],
)
def test_accepts_a_txt_file_by_its_content_only(name, lines, accepted):
    assert cgdms.accepts(Path(name), "\n".join(lines).encode()[:4096]) is accepted
