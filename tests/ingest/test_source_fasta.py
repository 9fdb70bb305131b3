"""FASTA: what is read, and what is refused with which words."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.readers import fasta
from attnstore.readers.inputs import read_inputs

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
        (">a\nAC\n>b\nAC\nDE1F\n", [":5", "record b", "'1'", "not an amino acid"]),
        (">a\nAC*DE\n", [":2", "record a", "stop '*'"]),
        (">a\nAC*\nDE\n", [":2", "record a", "stop '*'"]),
        (">a\nACD**\n", [":2", "record a", "stop '*'"]),
        (">a\nAC\nD-E\n", [":3", "record a", "gap '-'"]),
        (">\nAC\n", [":1", "header without an id"]),
        (">  \nAC\n", [":1", "header without an id"]),
        (">a\nAßC\n", [":2", "'ß'", "not an amino acid"]),
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


@pytest.mark.parametrize(
    "content",
    [
        ">a\n;found by hand\nACD\nEF\n", ";a comment\n;>b\n\n>a\nACD\n;within\nEF\n;after\n",
        ";\r\n>a\r\nACDEF*\r\n;\r\n",
    ],
)  # fmt: skip
def test_lines_that_begin_with_a_semicolon_are_comments(tmp_path, content):
    assert read(tmp_path, content) == [("a", "ACDEF")]
    path = tmp_path / "of no suffix"
    path.write_text(content)
    assert [record.sequence for record in read_inputs([path])] == ["ACDEF"]


def test_an_inner_stop_is_named_by_its_residue(tmp_path):
    with pytest.raises(SourceError, match=r":4: record a has a stop '\*' at residue 6 that is not its last"):
        read(tmp_path, ">a\nACDE\n;c\nF*G\n")


NUCLEOTIDES = [
    ">a\nATGGCGTAACCGATTACAGG\n", ">a\nauggcguaaccg\n>b\nauggnncguaa\n", ">a\n" + "ACGTN" * 50 + "RY\n",
    "".join(f">p{n}\nGAT\n" for n in range(4)) + ">q\nCATCATCAT\n",
]  # fmt: skip
PROTEINS = [
    ">a\nGAT\n", ">a\nGATTACA\n", ">a\n" + "A" * 60 + "\n", ">a\n" + "GA" * 40 + "\n", ">a\n" + "N" * 50 + "\n",
    ">a\nGATTACAGATTACAGATTACAE\n", ">a\n" + "ACGTACGTACGTW" * 3 + "\n",
]  # fmt: skip


def test_files_of_nucleotides_are_read_with_a_warning(tmp_path):
    for content in NUCLEOTIDES:
        with pytest.warns(UserWarning, match="nothing but letters of nucleotides .*give their translation") as said:
            assert read(tmp_path, content)
        assert len(said) == 1
    mixed = ">p\nMKVLLLAAAG\n" + "".join(f">d{n}\nATGGCGTAACCGATTACAGG\n" for n in range(7)) + ">q\nGAT\n"
    with pytest.warns(UserWarning, match=r"7 of 9 records seem to be DNA or RNA.*\(d0, d1, d2, d3, d4, …\)"):
        assert len(read(tmp_path, mixed)) == 9


def test_proteins_of_few_kinds_of_residues_are_proteins(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in PROTEINS:
            assert read(tmp_path, content)


@pytest.mark.parametrize(
    "content", [b">a prot\xe9ine\nAC\n", b"; M\xfcller\n>a\nAC\n", b">a\tna\xefve \xe2\nA\n;\xff\xfe\nC\n"]
)
def test_descriptions_and_comments_may_be_latin_1(tmp_path, content):
    (tmp_path / "a.fasta").write_bytes(content)
    assert [(record.id, record.sequence) for record in fasta.read(tmp_path / "a.fasta")] == [("a", "AC")]


@pytest.mark.parametrize("kind", ["P1", "F1", "XX"])
def test_pir_is_refused_for_its_titles_would_be_read_as_residues(tmp_path, kind):
    from Bio import SeqIO

    path = tmp_path / "a.pir"
    path.write_text(f">{kind};CRAB\nalpha crystallin\nMDIT\n*\n")
    with pytest.raises(SourceError, match=rf"a\.pir:1: record {kind};CRAB is in the PIR format") as raised:
        list(fasta.read(path))
    assert "Bio.SeqIO.convert('IN.pir', 'pir', 'OUT.fasta', 'fasta')" in str(raised.value)
    SeqIO.convert(path, "pir", tmp_path / "out.fasta", "fasta")
    assert [record.sequence for record in fasta.read(tmp_path / "out.fasta")] == ["MDIT"]
