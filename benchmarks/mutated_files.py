"""Damaged files of every reader: each is read or refused in one sentence, in bounded time, and nothing is left behind.

    python benchmarks/mutated_files.py --files 3000 --seed 0

Whole files of every format are changed at random: bytes flipped, parts cut, repeated or swapped, numbers made huge,
other encodings, gzip that is damaged. Whatever is neither read nor refused with an AttnstoreError is printed with the
seed that makes it again (``--only N``), and counted.
"""

import argparse
import gzip
import io
import json
import os
import pickle
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attnstore.annotate.annotation import FORMATS, Annotator
from attnstore.annotate.matching import Proteins
from attnstore.annotate.table_keys import TableOptions
from attnstore.catalog.reader import connect, current_catalog
from attnstore.errors import AttnstoreError
from attnstore.format.documents import StoreDocument
from attnstore.ingest import ingest_proteins
from attnstore.readers.inputs import find
from attnstore.readers.record import Options

DATA = Path(__file__).parents[1] / "tests" / "data"
#: A file that takes longer is taken for a hang.
SECONDS = 30
_SEQUENCES = {"P1": "MKTAYIAKQRQISFVKSHFSRQ", "P2": "GSHMLEDPVDAFKLWQNRTYEE", "1ABC_A": "ACDEFGHIKLMNPQRSTVWY"}
_NUMBERS = (
    "99999999999999999999", "-1", "1e400", "nan", "0", "2147483648", "1e-400", "0x1F", "", "1,5", "-0", "9" * 400,
)  # fmt: skip
_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp1252", "cp037")
_UNIPROT = """ID   A_TEST                  Reviewed;          22 AA.
AC   P1;
DE   RecName: Full=Test protein;
OS   Homo sapiens (Human).
OX   NCBI_TaxID=9606;
FT   BINDING         3..5
FT                   /ligand="ATP"
FT                   /evidence="ECO:0000250|UniProtKB:P2"
FT   HELIX           7..12
FT   DISULFID        2..20
FT                   /note="x"
SQ   SEQUENCE   22 AA;  2500 MW;  0123456789ABCDEF CRC64;
     MKTAYIAKQR QISFVKSHFS RQ
//
"""


def _packed(name: str) -> bytes:
    return gzip.decompress((DATA / name).read_bytes())


def _cut(content: bytes, lines: int) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:lines])


def _entries(content: bytes) -> bytes:
    return content.rpartition(b"</entry>")[0] + b"</entry></uniprot>"


def _proteinnet() -> bytes:
    rng = np.random.default_rng(0)
    sequence = _SEQUENCES["1ABC_A"]
    xyz = rng.normal(size=(3, 3 * len(sequence))) * 1000
    rows = "\n".join("\t".join(f"{value:.1f}" for value in row) for row in xyz)
    evolution = "\n".join("\t".join(["0.05"] * len(sequence)) for _ in range(21))
    return (
        f"[ID]\n1ABC_1_A\n[PRIMARY]\n{sequence}\n[EVOLUTIONARY]\n{evolution}\n[TERTIARY]\n{rows}\n[MASK]\n"
        f"{'+' * len(sequence)}\n\n"
    ).encode()


def _cgdms() -> bytes:
    rng = np.random.default_rng(0)
    sequence = _SEQUENCES["1ABC_A"]
    rows = "\n".join(" ".join(f"{value:.3f}" for value in row) for row in rng.normal(size=(len(sequence), 12)))
    return f"{sequence}\n{'H' * len(sequence)}\n{rows}\n".encode()


def _lmdb() -> bytes:
    import lmdb

    structure = ("evolutionary", "disorder", "interface", "phi", "psi", "rsa", "asa_max", "valid_mask")
    records: list[dict[str, Any]] = [
        {"id": "1ABC_A", "primary": _SEQUENCES["1ABC_A"], "sites": [3, 4], "positions": list(range(1, 21))},
        {"id": "P1", "primary": _SEQUENCES["P1"], "tertiary": np.ones((22, 3)), "valid_mask": np.ones(22, bool)},
        {"id": b"P2", "primary": _SEQUENCES["P2"], "protein_length": 22, "ss3": np.zeros(22, int),
         "ss8": np.zeros(22, int), **{name: np.ones(22, np.float32) for name in structure}},
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
            for number, record in enumerate(records):
                transaction.put(str(number).encode(), pickle.dumps(record))
            transaction.put(b"num_examples", pickle.dumps(len(records)))
        return Path(folder, "data.mdb").read_bytes()


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"id": ["P1", "P1", "P2", "x"], "pos": [0, 1, 2, 3], "ddg": [1.5, None, 2.5, 3],
         "site": [True, False, None, True], "note": ["a", "NA", "ü", ""]}
    )  # fmt: skip


def _parquet() -> bytes:
    buffer = io.BytesIO()
    _frame().to_parquet(buffer, index=False)
    return buffer.getvalue()


#: By reader, a file's name and the function that makes a whole one.
WHOLE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "fasta": ("a.fasta", lambda: "".join(f">{k} x\n{v}\n;c\n" for k, v in _SEQUENCES.items()).encode()),
    "pdb": ("1a8o.pdb", lambda: _packed("structures/1A8O.pdb.gz")),
    "pdb of a chain": ("m.ent", lambda: _cut((DATA / "structures/disordered.pdb").read_bytes(), 300)),
    "mmcif": ("3jqh.cif", lambda: _packed("structures/3JQH.cif.gz")),
    "uniprot xml": ("u.xml", lambda: _entries(_packed("uniprot/bacsu.xml.gz")[:60_000])),
    "uniprot text": ("u.txt", _UNIPROT.encode),
    "dssp": ("2beg.dssp", lambda: _packed("dssp/2BEG.dssp.gz")),
    "dssp in mmcif": ("1a8o.cif", lambda: _packed("dssp/1A8O.dssp.cif.gz")),
    "proteinnet": ("training_30", _proteinnet),
    "cgdms": ("1ABC_A.txt", _cgdms),
    "tape": ("data.mdb", _lmdb),
    "sidechainnet": (
        "s.json",
        lambda: json.dumps({k: {"Sequence": v, "DSSP": "H" * len(v)} for k, v in _SEQUENCES.items()}).encode(),
    ),
    "csv": ("t.csv", lambda: _frame().to_csv(index=False).encode()),
    "csv with semicolons": ("t.csv", lambda: _frame().to_csv(index=False, sep=";", decimal=",").encode()),
    "tsv with comments": ("t.tsv", lambda: b"# made\n#id\tpos\taa\tx\nP1\t0\tMet\t1.5\nP2\t1\ts\t-\n"),
    "clusters": ("c_cluster.tsv", lambda: b"P1\tP1\nP1\tP2\n1ABC_A\t1ABC_A\n"),
    "pairs": ("p.csv", lambda: b"id,source,target,w\nP1,0,1,0.5\nP1,1,0,0.5\nP2,3,4,.\n"),
    "parquet": ("t.parquet", _parquet),
}  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A whole file, changed in one to three ways."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = rng.choice(_CHANGES)(content, rng)[: 4 << 20]
    return content


def _places(content: bytes, rng: random.Random, number: int) -> list[int]:
    return sorted(rng.randrange(len(content) + 1) for _ in range(number))


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 3, 30))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 10, 13, 32, 34, 255, rng.randrange(256)))
    return bytes(changed)


def _truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _remove(content: bytes, rng: random.Random) -> bytes:
    begin, end = _places(content, rng, 2)
    return content[:begin] + content[min(end, begin + rng.choice((1, 10, 1000))) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    begin, end = _places(content, rng, 2)
    part = content[begin : min(end, begin + rng.choice((1, 100, 10_000)))]
    return content[:begin] + part * rng.choice((2, 2, 50)) + content[begin:]


def _swap_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    for _ in range(min(len(lines), rng.choice((1, 5)))):
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _drop_lines(content: bytes, rng: random.Random) -> bytes:
    return b"".join(line for line in content.splitlines(keepends=True) if rng.random() > 0.05)


def _renumber(content: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:200_000]))
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 4)))), key=lambda m: -m.start()):
        content = content[: match.start()] + rng.choice(_NUMBERS).encode() + content[match.end() :]
    return content


def _reword(content: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"[A-Za-z_]+", content[:200_000]))
    words = (
        b"",
        b"'",
        b'"',
        b"\xc3\x85",
        b"\xf0\x9f\x98\x80",
        b"\0",
        b"?",
        b"#",
        b"\xff",
        b"NA",
        b"a" * 5000,
        b"{}",
        b"[[",
    )
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 4)))), key=lambda m: -m.start()):
        content = content[: match.start()] + rng.choice(words) + content[match.end() :]
    return content


def _encode(content: bytes, rng: random.Random) -> bytes:
    return content.decode("latin-1").encode(rng.choice(_ENCODINGS), errors="replace")


def _end_lines(content: bytes, rng: random.Random) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"")))


def _pack(content: bytes, rng: random.Random) -> bytes:
    packed = gzip.compress(content, compresslevel=1)
    return rng.choice((packed, packed[:-5], _flip(packed, rng), packed + b"x", packed + packed, _truncate(packed, rng)))


def _whole_twice(content: bytes, rng: random.Random) -> bytes:
    return content * 2


_CHANGES = (
    _flip, _flip, _truncate, _remove, _repeat, _swap_lines, _drop_lines, _renumber, _renumber, _reword, _encode,
    _end_lines, _pack, _whole_twice,
)  # fmt: skip


class Discarded:
    """Takes what is read, in a catalog writer's place, and keeps nothing."""

    kept: dict[Any, int] = {}  # noqa: RUF012 - never written to
    adds = True

    def annotate(self, *_: object) -> None:
        """Take a record."""

    def annotate_rows(self, *_: object) -> None:
        """Take the rows of a property."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file: 'read', 'refused', or 'raised' and 'hung', with a description."""

    kind: str
    said: str = ""


class Hung(BaseException):
    """Raised in the place of a file that takes too long."""


def _too_long(*_: object) -> None:
    raise Hung


def outcome(path: Path, proteins: Proteins, rng: random.Random) -> Outcome:
    """Read a file as `annotate` does, without writing; signals are used to see a hang, so in the main thread."""
    options = TableOptions(
        numbering=rng.choice((*["0"] * 8, "1", "author")), missing=rng.choice(((), ("NA", "x"))),
        symmetric=rng.random() < 0.3, absent=rng.choice(("null", "false")),
        decimal=rng.choice((*[None] * 8, ",", ".")), delimiter=rng.choice((*[None] * 8, ";", "\t")),
        encoding=rng.choice((*[None] * 8, "utf-16", "latin-1")),
    )  # fmt: skip
    if path.suffix == ".parquet":
        options = TableOptions(numbering=options.numbering)
    annotator = Annotator(Discarded(), proteins, options, rng.choice(("align", "skip", "refuse")))  # type: ignore[arg-type]
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        for file, reader in find([path], FORMATS):
            annotator.file(file, reader, Options(absent=options.absent, accessibility=False))
        if annotator.matched:
            annotator.check()
    except AttnstoreError as error:
        said = str(error)
        return Outcome("refused") if said.endswith(".") and "\n" not in said else Outcome("raised", f"unfit: {said}")
    except Hung:
        return Outcome("hung", f"more than {SECONDS} s")
    except Exception:
        return Outcome("raised", traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Outcome("read")


def run(numbers: range, seed: int, report: Callable[[int, str, Path, Outcome], None]) -> Counter[tuple[str, str]]:
    """Read one damaged file for each number; counts outcomes by reader.

    Parameters
    ----------
    numbers : of the files: the same number and seed is the same file
    seed : of all of them
    report : called with number, reader, file and outcome where a file was neither read nor refused
    """
    counts: Counter[tuple[str, str]] = Counter()
    whole = {name: (file, make()) for name, (file, make) in WHOLE.items()}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proteins_file = Path(folder, "p.fasta")
        proteins_file.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in _SEQUENCES.items()))
        store = Path(folder, "p.attn")
        known = (DATA / "structures/1A8O.pdb.gz", DATA / "structures/3JQH.cif.gz", DATA / "dssp/2BEG_model1.pdb.gz")
        ingest_proteins(store, [proteins_file, *known])
        connection = connect(current_catalog(store, StoreDocument.read(store)))
        proteins = Proteins.of(connection, "id")
        inputs, here = Path(folder, "in"), Path(folder, "here")
        inputs.mkdir()
        here.mkdir()
        before = Path.cwd()
        os.chdir(here)
        try:
            for number in numbers:
                rng = random.Random(f"{seed} {number}")
                name = rng.choice(list(whole))
                file, content = whole[name]
                path = inputs / (file + (".gz" if rng.random() < 0.1 else ""))
                path.write_bytes(mutated(content, rng))
                found = outcome(path, proteins, rng)
                stray = [*here.iterdir(), *(each for each in inputs.iterdir() if each != path)]
                if stray:
                    found = Outcome("raised", f"files left behind: {stray}")
                if found.kind in ("raised", "hung"):
                    report(number, name, path, found)
                counts[name, found.kind] += 1
                path.unlink()
        finally:
            os.chdir(before)
            connection.close()
    return counts


def main() -> None:
    """Read so many damaged files, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the file of this number alone")
    parser.add_argument("--keep", type=Path, help="folder for the files that were neither read nor refused")
    options = parser.parse_args()

    def report(number: int, name: str, path: Path, found: Outcome) -> None:
        print(f"--- file {number} of {name}: {found.kind}\n{found.said}", file=sys.stderr)
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{number}-{path.name}").write_bytes(path.read_bytes())

    numbers = range(options.files) if options.only is None else range(options.only, options.only + 1)
    started = time.perf_counter()
    counts = run(numbers, options.seed, report)
    kinds = ("read", "refused", "raised", "hung")
    for name in [*WHOLE, None]:
        totals = [sum(n for (of, kind), n in counts.items() if name in (of, None) and kind == each) for each in kinds]
        print(f"{name or 'all':22}" + "".join(f"{total:7} {kind}" for kind, total in zip(kinds, totals, strict=True)))
    print(f"{len(numbers)} files in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
