"""DSSP: its letters, its output in both formats, and mkdssp where it is installed."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from pathlib import Path

import pytest
from Bio.PDB.DSSP import make_dssp_dict
from hypothesis import given
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.readers.structures import dssp, dssp_output
from attnstore.readers.vocabulary import SS3, SS4, SS8

DATA = Path(__file__).parents[1] / "data"
OUTPUT = DATA / "dssp"
ENTRY = OUTPUT / "2BEG_model1.pdb.gz"
needs_mkdssp = pytest.mark.skipif(shutil.which("mkdssp") is None, reason="mkdssp is not installed")

# Of the issue: G H I helix; E B strand; S T turn or bend; blank, -, C, L, P other, and coil with the last two.
CLASSES = {
    "G": ("G", "helix", "helix"), "H": ("H", "helix", "helix"), "I": ("I", "helix", "helix"),
    "E": ("E", "strand", "strand"), "B": ("B", "strand", "strand"),
    "S": ("S", "turn", "coil"), "T": ("T", "turn", "coil"), "P": ("P", "other", "coil"),
    " ": ("C", "other", "coil"), "-": ("C", "other", "coil"), "C": ("C", "other", "coil"), "L": ("C", "other", "coil"),
    None: (None, None, None),
}  # fmt: skip


def text_of(name: str) -> str:
    return gzip.decompress((OUTPUT / name).read_bytes()).decode()


def write(folder: Path, content: str, name: str = "x.dssp") -> Path:
    (folder / name).write_text(content)
    return folder / name


@given(letters=st.lists(st.sampled_from(list(CLASSES))))
def test_letters_of_every_alphabet_fall_into_their_classes(letters):
    found = dssp.annotations(letters)
    assert [annotation.property for annotation in found] == [SS8, SS4, SS3]
    for column, annotation in enumerate(found):
        assert annotation.values.to_pylist() == [CLASSES[letter][column] for letter in letters]
        assert annotation.values.type == "string"


@pytest.mark.parametrize("letter", ["h", "X", "?", "", "HH", "ß", "."])
def test_other_letters_are_refused(letter):
    with pytest.raises(SourceError, match="for a secondary structure, which is none of DSSP's letters"):
        dssp.annotations(["H", letter])


def by_biopython(path: Path) -> dict[tuple[str, int, str | None], tuple[str, str, int]]:
    found, _ = make_dssp_dict(str(path))
    return {
        (chain, number, code.strip() or None): (aa, letter, accessibility)
        for (chain, (_, number, code)), (aa, letter, accessibility, *_) in found.items()
    }


@pytest.mark.parametrize(("name", "entry"), [("2BEG", "2BEG"), ("2BEG_noheader", "2BEG_noheader")])
def test_classic_output_is_read_as_biopython_reads_it(tmp_path, name, entry):
    path = write(tmp_path, text_of(f"{name}.dssp.gz"), f"{name}.dssp")
    table = dssp.read_table(path)
    assert table.equals(dssp.read_table(OUTPUT / f"{name}.dssp.gz"))
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id", "string"), ("author_number", "int32"), ("insertion_code", "string"),
        ("ss8", "string"), ("ss4", "string"), ("ss3", "string"), ("rsa", "double"),
    ]  # fmt: skip
    expected = by_biopython(path)
    assert table.num_rows == len(expected) == 130
    # Tien et al. 2013, Table 1, theoretical: of the residues that the entry has.
    largest = dict(zip("ADEFGIKLMNSV", (129, 193, 223, 240, 104, 197, 236, 201, 224, 195, 155, 174), strict=True))
    for row, (key, (aa, letter, area)) in zip(table.to_pylist(), expected.items(), strict=True):
        assert (row["id"], row["author_number"], row["insertion_code"]) == (f"{entry}_{key[0]}", key[1], key[2])
        assert (row["ss8"], row["ss4"], row["ss3"]) == CLASSES[letter]
        assert row["rsa"] == pytest.approx(area / largest[aa])


COLUMNS = text_of("2BEG_noheader.dssp.gz").split("RESIDUE AA")[0] + "RESIDUE AA STRUCTURE BP1 BP2  ACC     N-H-->O\n"
LINE = "    1   17 A L              0   0  120      0, 0.0     2,-0.3"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LINE, ("x_A", 17, None, "C", 120 / 201)),
        (LINE.replace("17 A L  ", "-3BA cH "), ("x_A", -3, "B", "C", 120 / 167)),
        # The count of residues is wider than its column.
        ("1" + LINE, None),
        (LINE.replace(" A L", " A X"), ("x_A", 17, None, "C", None)),
        (LINE.replace(" A L  ", "   L  "), ("x", 17, None, "C", 120 / 201)),
        (LINE.replace("L   ", "L  P"), ("x_A", 17, None, "P", 120 / 201)),
        (LINE.replace("L   ", "L  H"), ("x_A", 17, None, "H", 120 / 201)),
    ],
)
def test_columns(tmp_path, line, expected):
    path = write(tmp_path, COLUMNS + line + "\n    2        !              0   0    0      0, 0.0\n")
    if expected is None:
        with pytest.raises(SourceError, match="not a line of DSSP's columns"):
            dssp.read_table(path)
        return
    (row,) = dssp.read_table(path).to_pylist()
    assert (row["id"], row["author_number"], row["insertion_code"], row["ss8"]) == expected[:4]
    assert row["rsa"] == (None if expected[4] is None else pytest.approx(expected[4]))


def test_chains_named_by_more_than_a_letter_have_a_column_of_their_own(tmp_path):
    header = COLUMNS.rstrip("\n").ljust(136) + "            CHAIN AUTHCHAIN     NUMBER     RESNUM\n"
    line = LINE.replace(" A L", " > L").ljust(136) + "               AA        BB          1         17\n"
    assert dssp.read_table(write(tmp_path, header + line))["id"].to_pylist() == ["x_BB"]


def test_annotated_mmcif_is_read(tmp_path):
    """Against what the PDB's own DSSP says of the entry, as sidechainnet has it of chain 1A8O_1_A."""
    table = dssp.read_table(OUTPUT / "1A8O.dssp.cif.gz")
    assert table.num_rows == 70
    assert set(table["id"].to_pylist()) == {"1A8O_A"}
    rows = {row["author_number"]: row for row in table.to_pylist()}
    assert sorted(rows) == list(range(151, 221))
    letters = "".join(rows[number]["ss8"] for number in range(151, 221))
    assert letters == "CCCCCCTTSCHHHHHHHHHHHHHTTTCCHHHHHHHHHTHHHHTSCHHHHHHHHTTCTTCCHHHHHHHTCC"
    # Selenomethionine is none of the 20; aspartic acid has 150.5 Å² of 193.
    assert rows[151]["rsa"] is None
    assert rows[152]["rsa"] == pytest.approx(150.5 / 193)


def test_annotated_mmcif_without_accessibility_has_none(tmp_path):
    content = text_of("1A8O.dssp.cif.gz").replace("_dssp_struct_summary.accesssibility", "_dssp_struct_summary.other")
    assert dssp.read_table(write(tmp_path, content, "x.cif"))["rsa"].null_count == 70


def test_what_is_accepted():
    for name in ("2BEG.dssp.gz", "2BEG_noheader.dssp.gz", "1A8O.dssp.cif.gz"):
        assert dssp.accepts(OUTPUT / name, text_of(name).encode()[:4096])
    other = DATA / "structures" / "1A8O.cif.gz"
    assert not dssp.accepts(other, gzip.decompress(other.read_bytes())[:4096])
    assert not dssp.accepts(Path("missing.cif"), b"")
    assert not dssp.accepts(Path("x.dssp"), b">a\nACD")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.dssp", "==== Secondary Structure Definition\n", "cut off"),
        ("x.dssp", ">a\nACD\n", "not a readable mmCIF|not DSSP output"),
        ("x.dssp", COLUMNS + LINE[:30] + "\n", "not a line of DSSP's columns"),
        ("x.dssp", COLUMNS + LINE.replace("17", "1x") + "\n", r"x\.dssp:\d+ is not a line of DSSP's columns"),
        ("x.dssp", COLUMNS + LINE.replace("120", "1 0") + "\n", "not a line of DSSP's columns"),
        ("x.dssp", COLUMNS + LINE.replace("L   ", "L  Z") + "\n", "'Z' for a secondary structure"),
        ("x.dssp", COLUMNS + "\n".join([LINE, LINE.replace("17", "18"), LINE]) + "\n", "second residue 17 of chain A"),
        ("x.cif", "data_x\n_entry.id x\n", "not DSSP output"),
        ("x.cif", "loop_\n_dssp_struct_summary.label_asym_id\nA\n", "not a readable mmCIF|has no _atom_site"),
        ("x.cif", "", "not DSSP output|not a readable mmCIF"),
    ],
)
def test_bad_output_is_refused(tmp_path, name, content, words):
    with pytest.raises(SourceError, match=words) as caught:
        dssp.read_table(write(tmp_path, content, name))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["2BEG.dssp.gz", "1A8O.dssp.cif.gz"])
@pytest.mark.parametrize("seed", range(40))
def test_damage_raises_or_goes_unnoticed(tmp_path, name, seed):
    chance = random.Random(seed)
    damaged = bytearray(text_of(name).encode())
    for _ in range(chance.randrange(1, 30)):
        # Most of it where the residues are.
        damaged[chance.choice([-1, 1]) * chance.randrange(len(damaged))] = chance.choice(b"\n\t '\";_#x0. \xff")
    path = tmp_path / name.removesuffix(".gz")
    path.write_bytes(damaged[: chance.randrange(len(damaged)) if seed % 4 == 0 else None])
    try:
        dssp.read_table(path)
    except SourceError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017 - it need not raise


@needs_mkdssp
def test_mkdssp_gives_the_letters_that_others_gave():
    assigned = dssp.assign_by_mkdssp(ENTRY)
    for name in ("2BEG", "2BEG_noheader"):
        _, rows = dssp_output.read_output(OUTPUT / f"{name}.dssp.gz")
        assert {key: one.ss8 for key, one in assigned.items()} == {
            (row.chain, row.number, row.insertion_code): row.letter for row in rows
        }


@needs_mkdssp
def test_pdb_and_mmcif_of_an_entry_are_assigned_alike():
    pdb = dssp.assign_by_mkdssp(DATA / "structures" / "1A8O.pdb.gz")
    cif = dssp.assign_by_mkdssp(DATA / "structures" / "1A8O.cif.gz")
    assert {key: one.ss8 for key, one in pdb.items()} == {key: one.ss8 for key, one in cif.items()}
    assert sorted(pdb) == [("A", number, None) for number in range(151, 221)]
    for key, one in pdb.items():
        # The classic format rounds to whole Å².
        assert one.accessibility == pytest.approx(cif[key].accessibility, abs=0.51)


@needs_mkdssp
def test_chains_of_mmcif_files_may_have_long_names(tmp_path):
    lines = gzip.decompress((DATA / "structures" / "1A8O.cif.gz").read_bytes()).decode().splitlines()
    assigned = dssp.assign_by_mkdssp(write(tmp_path, "\n".join(map(_renamed, lines)) + "\n", "x.cif"))
    assert sorted(assigned) == [("AAb", number, None) for number in range(151, 221)]


def _renamed(line: str) -> str:
    """A row of atom_site or pdbx_poly_seq_scheme with another chain id of the authors."""
    if line.startswith(("ATOM", "HETATM")):
        *before, _, atom, model = line.split()
        return " ".join([*before, "AAb", atom, model])
    return line.removesuffix(" A . n ") + " AAb . n " if line.endswith(" A . n ") else line


@needs_mkdssp
def test_a_pdb_file_of_atoms_alone_is_served(tmp_path):
    content = gzip.decompress(ENTRY.read_bytes()).decode().splitlines()
    atoms = [line for line in content if line.startswith(("ATOM", "TER"))]
    assert dssp.assign_by_mkdssp(
        write(tmp_path, "\n".join(["REMARK of a program", *atoms]), "-v.pdb")
    ) == dssp.assign_by_mkdssp(ENTRY)


@needs_mkdssp
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.pdb", "", r"x\.pdb is refused by mkdssp \(.*no atom records"),
        ("x.cif", "data_x\n_entry.id x\n", "no residue with a whole backbone|refused by mkdssp"),
        ("x.cif", "", "refused by mkdssp"),
        ("x.pdb", f"ATOM      1  CA  ALA A   1    {'1.000':>8}{'2.000':>8}{'3.000':>8}\n", "no residue|refused"),
    ],
)
def test_what_mkdssp_refuses_is_refused_with_its_reason(tmp_path, name, content, words):
    with pytest.raises(SourceError, match=words) as caught:
        dssp.assign_by_mkdssp(write(tmp_path, content, name))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(SourceError, match=r"missing\.pdb does not exist"):
        dssp.assign_by_mkdssp(tmp_path / "missing.pdb")


def test_without_mkdssp_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(SourceError, match=r"apt install dssp.*conda-forge dssp"):
        dssp.assign_by_mkdssp(ENTRY)


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, usage: str = "mkdssp [options] in out") -> Path:
    """Put a program of that name in the way, which writes its arguments to a file beside it."""
    path = folder / "bin" / "mkdssp"
    path.parent.mkdir()
    log = folder / "arguments"
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = --help ]; then echo "{usage}"; exit 0; fi\n'
        f'for word; do last=$word; done\necho "$@" > {log}\n{script}\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return log


@pytest.mark.parametrize(
    ("usage", "source", "style"),
    [
        ("mkdssp [OPTION] pdbfile [dsspfile]", "x.pdb", ""),
        ("mkdssp [OPTION] pdbfile [dsspfile]", "x.cif", ""),
        ("--output-format arg", "x.pdb", "--output-format dssp"),
        ("--output-format arg", "x.cif", "--output-format dssp"),
        ("--output-format arg --write-experimental", "x.pdb", "--output-format dssp"),
        ("--output-format arg --write-experimental", "x.cif", "--output-format mmcif --write-experimental"),
        ("--output-format arg --no-dssp-categories", "x.cif", "--output-format mmcif"),
        (
            "--output-format arg --no-dssp-categories --calculate-accessibility", "x.cif",
            "--output-format mmcif --calculate-accessibility",
        ),
    ],
)  # fmt: skip
def test_every_version_is_asked_in_its_own_way(tmp_path, monkeypatch, usage, source, style):
    mmcif = "mmcif" in style
    answer = write(tmp_path, text_of("1A8O.dssp.cif.gz" if mmcif else "2BEG.dssp.gz"), "answer")
    log = program(tmp_path, monkeypatch, f'cp {answer} "$last"', usage)
    assigned = dssp.assign_by_mkdssp(write(tmp_path, "ATOM\n", source))
    *flags, given_, output = log.read_text().split()
    assert " ".join(flags) == style
    assert (Path(given_).name, Path(output).parent) == (f"given{source[1:]}", Path(given_).parent)
    assert not Path(given_).exists()
    assert len(assigned) == (70 if mmcif else 130)
    assert (("A", 152, None) if mmcif else ("A", 17, None)) in assigned


def test_a_program_that_never_ends_is_ended(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "exec sleep 600")
    monkeypatch.setattr(dssp, "_SECONDS", 1)
    with pytest.raises(SourceError, match="takes mkdssp more than"):
        dssp.assign_by_mkdssp(ENTRY)


def test_a_program_that_breaks_off_is_reported(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "kill -9 $$")
    with pytest.raises(SourceError, match="exit status -9"):
        dssp.assign_by_mkdssp(ENTRY)


def test_a_program_that_writes_nothing_is_reported(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(SourceError, match="no residue with a whole backbone"):
        dssp.assign_by_mkdssp(ENTRY)
