"""Hostile and odd files: each reads as the clean one does, or is refused in one sentence with its name and the cure."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from attnstore.errors import SourceError
from attnstore.readers import cgdms, fasta, text
from attnstore.readers.inputs import Record, read_inputs
from attnstore.readers.structures import mmcif, pdb

STRUCTURES = Path(__file__).parents[1] / "data" / "structures"
CHAIN = b"""EGK
CHH
-1.944 -4.582 6.038 -0.726 -5.224 6.629 0.507 -4.327 6.593 0.48 -7.903 7.003
0.736 -3.68 5.461 1.87 -2.787 5.312 1.266 -1.404 5.181 2.158 -3.876 2.294
-0.054 -1.369 5.123 -0.792 -0.121 5.007 -0.747 0.531 6.369 -3.852 0.514 3.058
"""
#: Of each text format: its reader, a file's name, and what a clean file holds.
CLEAN: dict[str, tuple[ModuleType, str, bytes]] = {
    "fasta": (fasta, "clean.fasta", b">one first words\nACDEFGHIKL\nMNPQR\n\n>two\nstvwy*\n"),
    "cgdms": (cgdms, "1ABC_D.txt", CHAIN),
    "pdb": (pdb, "1A8O.pdb", gzip.decompress((STRUCTURES / "1A8O.pdb.gz").read_bytes())),
    "mmcif": (mmcif, "3JQH.cif", gzip.decompress((STRUCTURES / "3JQH.cif.gz").read_bytes())),
}
#: What each format's file begins with, and an endless line that could go on in it.
BEGINNINGS = {"fasta": b">a\nAC", "cgdms": b"AC\nHH\n1.0", "pdb": b"HEADER\nATOM", "mmcif": b"data_x\n_entry.id "}

each_format = pytest.mark.parametrize("name", CLEAN)


def told(record: Record) -> tuple[Any, ...]:
    """All that a record tells, but its place."""
    structure: Any = ()
    if record.structure is not None:
        one = record.structure
        structure = [one.author_number.tolist(), one.author_known.tolist(), one.insertion_code]
        structure += [np.nan_to_num(one.ca, nan=-999).tolist(), np.nan_to_num(one.cb, nan=-999).tolist()]
    annotations = [
        (one.property, one.values.to_pylist(), one.source.tolist(), one.target.tolist(), one.otherwise)
        for one in record.annotations
    ]
    return record.id, record.sequence, structure, annotations


def written(folder: Path, name: str, content: bytes | None = None) -> Path:
    """A file of the format, clean unless it is to hold something else."""
    _, file, clean = CLEAN[name]
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(clean if content is None else content)
    return path


def assert_clean(path: Path, name: str, folder: Path) -> None:
    """The file reads as the clean one, by its reader and by whoever finds the reader for it."""
    reader = CLEAN[name][0]
    expected = [told(record) for record in reader.read(written(folder / "clean", name))]
    assert expected
    assert [told(record) for record in reader.read(path)] == expected
    assert [told(record) for record in read_inputs([path])] == expected


def refusal(path: Path, name: str) -> str:
    """The sentence that refuses it: with the file's name, a cure after a semicolon, and an end."""
    with pytest.raises(SourceError) as caught:
        list(CLEAN[name][0].read(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert re.fullmatch(r"[^\n]+[;:] [^\n]+\.", message), message
    return message


# What reads as the clean file


@each_format
@pytest.mark.parametrize("ends", [[b"\r\n"], [b"\r"], [b"\n", b"\r\n", b"\r"], [b"\r\n", b"\n"]], ids=repr)
def test_line_ends_may_be_mixed(tmp_path, name, ends):
    lines = CLEAN[name][2].splitlines()
    mixed = b"".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    assert_clean(written(tmp_path, name, mixed), name, tmp_path)


@each_format
def test_the_last_line_needs_no_end(tmp_path, name):
    assert_clean(written(tmp_path, name, CLEAN[name][2].rstrip()), name, tmp_path)


@each_format
def test_a_byte_order_mark_is_dropped(tmp_path, name):
    assert_clean(written(tmp_path, name, b"\xef\xbb\xbf" + CLEAN[name][2]), name, tmp_path)


@each_format
@pytest.mark.parametrize("cut", [0, 1, 1000])
def test_a_gzip_may_have_several_members(tmp_path, name, cut):
    clean = CLEAN[name][2]
    members = gzip.compress(clean[:cut]) + gzip.compress(clean[cut:]) + gzip.compress(b"")
    path = written(tmp_path, name, members)
    assert_clean(path, name, tmp_path)
    assert_clean(path.rename(path.with_name(path.name + ".gz")), name, tmp_path)


@each_format
@pytest.mark.parametrize(
    "folder", ["with space", "ünïcödé 蛋白", 'it\'s "quoted"', "C:\\Users\\me", "a;b & $(c) %d {e}", "-r", "a.gz"]
)
def test_a_path_may_have_any_name(tmp_path, name, folder):
    assert_clean(written(tmp_path / folder, name), name, tmp_path)


@pytest.mark.parametrize("stem", ["with space", "蛋白", 'it"s', "C:\\data\\1abc", "a.b.c", "-"])
def test_a_record_that_is_named_by_its_file_has_that_name(tmp_path, stem):
    path = tmp_path / f"{stem}.TXT.GZ"
    path.write_bytes(gzip.compress(CHAIN))
    (record,) = read_inputs([path])
    assert record.id == stem


@each_format
def test_a_link_is_followed(tmp_path, name):
    path = written(tmp_path / "elsewhere", name)
    link = tmp_path / path.name
    link.symlink_to(path)
    assert_clean(link, name, tmp_path)


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_lines_may_end_where_a_block_does(tmp_path, monkeypatch, step):
    """However a file is cut into blocks, its lines are those of Python's own universal line ends."""
    monkeypatch.setattr(text, "_BLOCK_BYTES", step)
    path = tmp_path / "lines"
    for content in (
        b"",
        b"\n",
        b"\r",
        b"\r\n",
        b"a\r\nb\rc\n\r\rd\n\n\r\ne",
        b"\r\r\n\n\rab\r",
        b"\xc3\xa9\r\n\xc3\xa9",
    ):
        path.write_bytes(content)
        with path.open(encoding="utf-8") as file:
            expected = [line.rstrip("\n") for line in file]
        assert list(text.lines(path)) == list(enumerate(expected, start=1))


# What is refused


@each_format
@pytest.mark.parametrize(
    ("encoding", "words"),
    [("utf-16", "0xff, which is not UTF-8"), ("utf-16-le", "a NUL byte"), ("utf-16-be", "a NUL byte"),
     ("utf-32", "0xff, which is not UTF-8")],
)  # fmt: skip
def test_other_encodings_are_refused(tmp_path, name, encoding, words):
    message = refusal(written(tmp_path, name, CLEAN[name][2].decode().encode(encoding)), name)
    assert f":1 holds {'the byte ' if 'x' in words else ''}{words}" in message
    assert "save the file as UTF-8" in message


@each_format
def test_a_nul_byte_is_refused_with_its_line(tmp_path, name):
    lines = CLEAN[name][2].split(b"\n")
    lines[1] += b"\0"
    assert ":2 holds a NUL byte" in refusal(written(tmp_path, name, b"\n".join(lines)), name)


def test_a_byte_order_mark_in_the_middle_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, "fasta", b"\xef\xbb\xbf>a\nAC\n\xef\xbb\xbf>b\nDE\n")
    assert f"{path}:3: record a has '\\ufeff'" in refusal(path, "fasta")


@each_format
@pytest.mark.parametrize("content", [b"", b"\n\r\n", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf", b" \t\n"], ids=repr)
def test_a_file_with_nothing_in_it_is_refused(tmp_path, name, content):
    assert re.search("is empty|neither ATOM nor SEQRES|0 data blocks", refusal(written(tmp_path, name, content), name))


@each_format
def test_a_gz_that_is_no_gzip_is_refused(tmp_path, name):
    path = written(tmp_path, name)
    for content in (path.read_bytes(), b"", b"\x1f", b"BZh91AY&SY"):
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(content)
        assert "is named .gz but is not gzip" in refusal(packed, name)


@each_format
def test_a_damaged_gzip_is_refused(tmp_path, name):
    packed = gzip.compress(CLEAN[name][2], mtime=0)
    middle = len(packed) // 2
    damages = {
        packed[:2]: "ends in the middle",
        packed[:-1]: "ends in the middle",
        packed[:middle]: "ends in the middle",
        packed[:-8] + bytes(8): "damaged gzip",
        packed + b"more": "damaged gzip",
        packed[:middle] + bytes(20) + packed[middle + 20 :]: "gzip",
    }
    for content, words in damages.items():
        assert words in refusal(written(tmp_path, name, content), name)


@each_format
def test_what_is_no_file_is_refused(tmp_path, name):
    file = Path(CLEAN[name][1])
    (tmp_path / "folder" / file).mkdir(parents=True)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / file).symlink_to(tmp_path / "loop" / file)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / file).symlink_to(tmp_path / "nowhere")
    assert "is not a file but a folder" in refusal(tmp_path / "folder" / file, name)
    assert "cannot be read (Too many levels of symbolic links)" in refusal(tmp_path / "loop" / file, name)
    assert "does not exist" in refusal(tmp_path / "broken" / file, name)
    assert "cannot be read (File name too long)" in refusal(tmp_path / ("a" * 300 + file.suffix), name)


@each_format
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    pipe = tmp_path / CLEAN[name][1]
    os.mkfifo(pipe)
    assert "is not a file but a folder, a pipe or a device" in refusal(pipe, name)
    with pytest.raises(SourceError, match=r"not a file|unknown format"):
        list(read_inputs([pipe]))


@each_format
def test_a_device_is_refused(tmp_path, name):
    path = tmp_path / CLEAN[name][1]
    path.symlink_to("/dev/zero")
    assert "is not a file" in refusal(path, name)


@contextlib.contextmanager
def as_somebody_else() -> Iterator[None]:
    """Without root's leave to read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@each_format
def test_what_may_not_be_read_is_refused(tmp_path, name):
    path = written(tmp_path, name)
    path.chmod(0)
    with as_somebody_else():
        assert "cannot be read (Permission denied); check the file and its permissions" in refusal(path, name)


@each_format
def test_a_name_that_no_text_can_hold_is_refused(tmp_path, name):
    """It could be neither printed nor kept in the catalog."""
    folder = tmp_path / os.fsdecode(b"prot\xe9ine")
    try:
        path = written(folder, name)
    except OSError:
        pytest.skip("the file system holds UTF-8 names only")
    with pytest.raises(SourceError, match=r"prot\\xe9ine.* is a name that is not UTF-8; rename the file\.$"):
        list(CLEAN[name][0].read(path))


# What is made to fill a memory


def bomb(unit: bytes) -> bytes:
    """A gzip of one or two MB that holds a unit repeated for 1 GiB."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = pack.compress(unit * ((64 << 20) // len(unit))) + pack.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing refers back, so that the same block may follow itself.
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 16


MEASURE = """
import importlib, json, os, sys
from pathlib import Path
from attnstore.errors import SourceError
from attnstore.readers.inputs import cgdms, fasta
from attnstore.readers.structures import mmcif, pdb

def kilobytes(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

readers = {"fasta": fasta, "cgdms": cgdms, "pdb": pdb, "mmcif": mmcif}
for name, path in json.load(sys.stdin):
    sys.stdout.flush()
    process = os.fork()
    if not process:
        before = kilobytes("VmRSS")
        try:
            told = f"{sum(len(record.sequence) for record in readers[name].read(Path(path)))} residues"
        except SourceError as error:
            told = str(error)
        print(json.dumps([told, kilobytes("VmHWM") - before]), flush=True)
        os._exit(0)
    os.waitpid(process, 0)
"""


def measured(files: Iterable[tuple[str, Path]]) -> list[tuple[str, float]]:
    """What reading each file told, and the MiB of memory that it took at most, each in a process of its own."""
    given = json.dumps([(name, str(path)) for name, path in files])
    ran = subprocess.run([sys.executable, "-c", MEASURE], input=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr
    return [(told, kilobytes / 1024) for told, kilobytes in map(json.loads, ran.stdout.splitlines())]


in_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory is told by Linux")


@in_proc
def test_a_gzip_bomb_is_refused_in_little_memory(tmp_path):
    """What is 1 GiB when unpacked takes less than an eighth of it, whatever it is made of."""
    bombs = {unit: bomb(unit) for unit in (b"\0", b"A", b"ACDEFGHIKL\n")}
    files = []
    for name, (_, file, _) in CLEAN.items():
        for number, (unit, tail) in enumerate(bombs.items()):
            beginning = BEGINNINGS[name] + (b"\n" if unit.endswith(b"\n") else b"")
            path = tmp_path / f"{number}-{file}.gz"
            path.write_bytes(gzip.compress(beginning) + tail)
            assert path.stat().st_size < 2.2e6
            files.append((name, path))
    results = measured(files)
    assert len(results) == len(files)
    for (_, path), (told, memory) in zip(files, results, strict=True):
        assert told.startswith(str(path))
        assert re.search(r"grows to more than 200 times|more than 1,048,576 residues|1 columns where 12", told), told
        assert memory < 128, (told, memory)


@in_proc
def test_a_line_of_100_mb_is_refused_in_little_memory(tmp_path):
    endless = b"A" * 100_000_000
    files = []
    for name, (_, file, _) in CLEAN.items():
        files.append((name, tmp_path / f"long-{file}"))
        files[-1][1].write_bytes(BEGINNINGS[name] + endless + b"\n")
    files.append(("fasta", tmp_path / "header.fasta"))
    files[-1][1].write_bytes(b">" + endless + b"\nAC\n")
    results = measured(files)
    assert len(results) == 5
    for (_, path), (told, memory) in zip(files, results, strict=True):
        line = 1 if path.name == "header.fasta" else 2 + (path.suffix == ".txt")
        assert told == (
            f"{path}:{line} is a line of more than 16 MiB; break its lines, or name the file that was meant."
        )
        assert memory < 128, (told, memory)
        path.unlink()


@in_proc
def test_a_fasta_record_of_100_mb_is_refused_in_little_memory(tmp_path):
    path = tmp_path / "genome.fasta"
    path.write_bytes(b">chr1\n" + (b"ACGT" * 15 + b"\n") * (100_000_000 // 61))
    ((told, memory),) = measured([("fasta", path)])
    assert told.startswith(f"{path}:1 begins a record of more than 1,048,576 residues")
    assert memory < 128


def test_a_name_of_a_million_letters_is_refused_in_a_short_sentence(tmp_path):
    message = refusal(written(tmp_path, "fasta", b">" + b"a" * 1_000_000 + b"\nAC\n"), "fasta")
    assert "a word of 1000000 characters" in message
    assert len(message) < 1000


def test_many_small_lines_count_for_the_memory_that_they_take(tmp_path, monkeypatch):
    """An empty line takes some sixty times the byte that it is in the file."""
    path = tmp_path / "lines"
    path.write_bytes(b"\n" * 100_000)
    monkeypatch.setattr(text, "_WHOLE_BYTES", 1 << 20)
    assert sum(1 for _ in text.lines(path)) == 100_000
    with pytest.raises(SourceError, match="split it into smaller files"):
        list(text.lines(path, whole=True))


def test_a_file_may_be_as_repetitive_as_proteins_are(tmp_path):
    """Copies of one sequence under different names grow by less than the factor that is refused."""
    copies = b"".join(
        b">p%d\n%s\n" % (number, b"MNEKLRILVADDHPVVREGLRALLESEPDIEVVGEAADGEEALRLARE" * 4) for number in range(120_000)
    )
    assert len(copies) > 16 << 20
    path = tmp_path / "copies.fasta.gz"
    path.write_bytes(gzip.compress(copies, compresslevel=6))
    assert sum(1 for _ in fasta.read(path)) == 120_000


@pytest.mark.parametrize("value", ["1e300", "inf", "nan", "-1e6"])
def test_a_coordinate_that_no_atom_has_is_refused(tmp_path, value):
    path = written(tmp_path, "cgdms", CHAIN.replace(b"1.87", value.encode()))
    assert f":4 has '{value}' where a coordinate is due" in refusal(path, "cgdms")
