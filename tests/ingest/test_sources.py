"""Which files and folders are read, in which order, and what is said about the others."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import pytest

from attnstore.errors import SourceError
from attnstore.readers.inputs import READERS, read_inputs


def ids(*inputs: Path | str) -> list[str]:
    return [record.id for record in read_inputs(inputs)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, identifier in [("b.fasta", "b"), ("a/z.fa", "z"), ("a/y.txt", "y"), ("c.fasta", "c")]:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f">{identifier}\nACD\n")
    return tmp_path / "in"


def test_inputs_are_read_in_the_given_order_and_folders_by_name(folder):
    assert ids(folder / "c.fasta", str(folder)) == ["c", "y", "z", "b", "c"]


def test_gzip_is_known_by_its_content_not_by_its_name(tmp_path):
    path = tmp_path / "packed.fasta"
    path.write_bytes(gzip.compress(b">a\nACD\n"))
    assert ids(path) == ["a"]


def test_files_of_no_known_format_in_a_folder_are_counted_in_one_warning(folder, caplog):
    (folder / "a" / "notes.md").write_text("words")
    (folder / "table.csv").write_text("1,2")
    (folder / "broken.csv.gz").write_bytes(b"\x1f\x8bbroken")
    with caplog.at_level(logging.WARNING):
        assert ids(folder) == ["y", "z", "b", "c"]
    first = Path("a", "notes.md")
    assert [record.getMessage() for record in caplog.records] == [
        f"3 files in {folder} were not read: not a known format (first: {first})"
    ]


def test_hidden_files_are_left_out_silently(folder, caplog):
    (folder / "._b.fasta").write_bytes(b"\x00\xff")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "d.fasta").write_text(">d\nACD\n")
    assert ids(folder) == ["y", "z", "b", "c"]
    assert not caplog.records


def test_named_file_of_no_known_format_is_an_error_that_names_the_known_ones(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("1,2")
    with pytest.raises(SourceError) as caught:
        read_inputs([path])
    assert all(word in str(caught.value) for word in [str(path), "FASTA", "PDB", "mmCIF", "cgdms"])


def test_missing_path_is_reported_before_anything_is_read(folder):
    with pytest.raises(SourceError, match=r"nowhere\.fasta does not exist"):
        read_inputs([folder, folder / "nowhere.fasta"])


def test_folder_with_nothing_to_read_is_an_error(tmp_path):
    (tmp_path / "notes.md").write_text("words")
    with pytest.raises(SourceError, match="no file of a known format"):
        read_inputs([tmp_path])


def test_no_input_is_an_error():
    with pytest.raises(SourceError, match="No input"):
        read_inputs([])


def test_file_with_a_format_s_suffix_goes_to_that_format_even_if_damaged(tmp_path):
    path = tmp_path / "x.pdb"
    path.write_text(">a\nACD\n")
    with pytest.raises(SourceError, match="not a PDB file"):
        ids(path)


def test_every_reader_has_a_name_for_messages():
    names = [reader.NAME for reader in READERS]
    assert len(set(names)) == len(names) == 9
