"""FASTA: what is read, and what is refused with which words."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.ingest.sources import fasta

LETTERS = "ACDEFGHIKLMNPQRSTVWYBJOUXZ"
IDS = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=20)
RECORDS = st.lists(st.tuples(IDS, st.text(LETTERS + LETTERS.lower(), min_size=1)), min_size=1, max_size=8)


def write(folder: Path, content: str | bytes, name: str = "in.fasta") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, name: str = "in.fasta") -> list[tuple[str, str]]:
    return [(record.id, record.sequence) for record in fasta.read(write(folder, content, name))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    records=RECORDS,
    width=st.integers(1, 30),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    packed=st.booleans(),
    bom=st.booleans(),
    stop=st.booleans(),
)
def test_what_is_written_is_read(tmp_path, records, width, end, packed, bom, stop):
    lines = []
    for name, sequence in records:
        sequence += "*" * stop
        lines += [f">{name} some words", *(sequence[i : i + width] for i in range(0, len(sequence), width))]
    content = (("\ufeff" if bom else "") + end.join(lines) + end).encode()
    content = gzip.compress(content) if packed else content
    assert read(tmp_path, content) == [(name, sequence.upper()) for name, sequence in records]


def test_white_space_and_blank_lines_are_ignored(tmp_path):
    assert read(tmp_path, "\n \n>a\n\nAC DE\n\tFG \n\n>b\nK") == [("a", "ACDEFG"), ("b", "K")]


def test_place_is_the_line_of_the_header(tmp_path):
    path = write(tmp_path, "\n>a\nAC\nDE\n>b\nK\n")
    assert [record.place for record in fasta.read(path)] == [f"{path}:2", f"{path}:5"]


def test_records_come_one_by_one(tmp_path):
    records = fasta.read(write(tmp_path, ">a\nAC\n>b\nK1\n"))
    assert next(records).id == "a"
    with pytest.raises(SourceError):
        next(records)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        (">a\n>b\nAC\n", [":1", "record a", "no sequence"]),
        (">a\nAC\n>b\n", [":3", "record b", "no sequence"]),
        (">a\n*\n", [":1", "record a", "no sequence"]),
        ("ACD\n>a\nAC\n", [":1", "before the first '>'"]),
        (">a\nAC\n>b\nAC\nDE1F\n", [":5", "record b", "'1'", "no amino acid"]),
        (">a\nAC*DE\n", [":2", "record a", "stop '*'"]),
        (">a\nAC*\nDE\n", [":2", "record a", "stop '*'"]),
        (">a\nACD**\n", [":2", "record a", "stop '*'"]),
        (">a\nAC\nD-E\n", [":3", "record a", "gap '-'"]),
        (">\nAC\n", [":1", "header without an id"]),
        (">  \nAC\n", [":1", "header without an id"]),
        (">a\nAßC\n", [":2", "'ß'", "no amino acid"]),
        (b">a\nAC\n>b\xff\nAC\n", [":3", "0xff", "UTF-8"]),
        (gzip.compress(b">a\nACDEFGHIKLMNP\n" * 50, mtime=0)[:-12], ["gzip", "again"]),
        (b"\x1f\x8bnot a gzip at all", ["damaged gzip"]),
    ],
)
def test_bad_input_is_refused_with_its_place(tmp_path, content, words):
    with pytest.raises(SourceError) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "in.fasta") in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_gz_that_is_no_gzip_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"named \.gz but is not gzip"):
        read(tmp_path, ">a\nAC\n", "in.fasta.gz")


@pytest.mark.parametrize(
    ("name", "head", "accepted"),
    [
        ("a.fasta", b"", True),
        ("a.FA.gz", b"", True),
        ("a.faa", b"", True),
        ("a.fas", b"", True),
        ("a.fsa", b"", True),
        ("sequences", b">a\nAC", True),
        ("sequences.txt", b"\xef\xbb\xbf\n>a\nAC", True),
        ("sequences", b"a\n>b", False),
    ],
)
def test_accepts_by_suffix_or_by_the_first_character(name, head, accepted):
    assert fasta.accepts(Path(name), head) is accepted
