"""Libraries in place of attnstore's own readers of untrusted files: what they do with files made to be wrong.

Run: python benchmarks/reader_trials.py gemmi|lmdb|pickle

- gemmi: records of PDB files, and assemblies of mmCIF files, that cannot be read as they stand. Needs gemmi.
- lmdb: damaged LMDB files that pass a check of their size, read by the library and by attnstore, each in a process.
- pickle: pickles that ask for time or memory, read by `pickle.Unpickler` with a list of allowed names and by attnstore.
"""

import argparse
import gzip
import io
import json
import pickle
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attnstore.errors import SourceError
from attnstore.readers.tape import lmdb_map, pickles

STRUCTURE = Path(__file__).parents[1] / "tests/data/structures/1GBT.cif.gz"
ATOM = "ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 20.00           C  "
RECORDS = {
    "coordinate of letters": ATOM[:30] + "  abcdef" + ATOM[38:],
    "no coordinate": ATOM[:30] + "        " + ATOM[38:],
    "coordinate 12.3.4": ATOM[:30] + "  12.3.4" + ATOM[38:],
    "occupancy of letters": ATOM[:54] + "  abcd" + ATOM[60:],
    "residue number abcd": ATOM[:22] + "abcd" + ATOM[26:],
    "residue NALA of Amber": ATOM[:17] + "NALA" + ATOM[21:],
    "water TIP3 of CHARMM": ATOM[:17] + "TIP3" + ATOM[21:],
    "HELIX from residue x": "HELIX    1   1 ALA A    x  ALA A   10  1" + " " * 35 + "9",
    "SHEET cut short": "SHEET    1   A 1 ALA A",
    "SSBOND of residue ?": "SSBOND   1 CYS A    ?    CYS A   11",
}
#: An expression, a number of the matrices, and how many operators are due; 0 where the file has to be refused.
OPERATORS = (("1,2", "1", 2), ("(1-60)", "1", 60), ("(1-3)(4-60)", "1", 171), ("1,99", "1", 0), ("1", "x", 0))


def gemmi_trial() -> None:
    import gemmi

    for kind, line in RECORDS.items():
        structure = gemmi.read_pdb_string(f"{line}\n", ignore_ter=True)
        atoms = [
            f"{residue.name} {residue.seqid} of chain {chain.name} at {atom.pos.tolist()}, occupancy {atom.occ:g}"
            for model in structure for chain in model for residue in chain for atom in residue
        ]  # fmt: skip
        spans = [f"helix from {one.start.res_id.seqid} to {one.end.res_id.seqid}" for one in structure.helices]
        spans += [f"strand from {one.start} to {one.end}" for sheet in structure.sheets for one in sheet.strands]
        spans += [f"bond of {one.partner1} and {one.partner2}" for one in structure.connections]
        print(f"{kind:24} gemmi reads {'; '.join([*atoms, *spans]) or 'nothing'}")
    content = gzip.decompress(STRUCTURE.read_bytes()).decode()
    begin = content.index("_pdbx_struct_oper_list.id")
    names = [
        "id",
        "type",
        *(f"matrix[{i}][{j}]" for i in (1, 2, 3) for j in (1, 2, 3)),
        *(f"vector[{i}]" for i in (1, 2, 3)),
    ]
    for expression, matrix, due in OPERATORS:
        rows = "\n".join(f"{number} x {matrix} 0 0 0 1 0 0 0 1 0 0 0" for number in range(1, 61))
        table = "loop_\n" + "".join(f"_pdbx_struct_oper_list.{name}\n" for name in names) + f"{rows}\n"
        changed = content[:begin] + table + content[content.index("#", begin) :]
        changed = changed.replace(
            "assembly_gen.oper_expression   1 ", f"assembly_gen.oper_expression   '{expression}' "
        )
        (assembly,) = gemmi.make_structure_from_block(gemmi.cif.read_string(changed).sole_block()).assemblies
        operators = assembly.generators[0].operators
        first = operators[0].transform.mat.tolist()[0][0]
        print(f"operators {expression}, of {matrix}: {due or 'refusal'} due; gemmi has {len(operators)}, first {first}")


def damages(data: bytes, rng: random.Random) -> dict[str, Callable[[bytearray], None]]:
    """Ways in which an LMDB file can be damaged, by name; each changes the bytes in place."""
    size, pages = 4096, len(data) // 4096
    long_values = [
        page * size + node
        for page in range(2, pages) if struct.unpack_from("<H", data, page * size + 10)[0] == 2
        for node in _nodes(data, page * size) if struct.unpack_from("<H", data, page * size + node + 4)[0] == 1
    ]  # fmt: skip

    def flip(content: bytearray) -> None:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)

    def head(content: bytearray) -> None:
        content[rng.randrange(2, pages) * size + rng.randrange(64)] ^= 1 << rng.randrange(8)

    def child(content: bytearray) -> None:
        at = rng.randrange(2, pages) * size
        if nodes := [node for node in _nodes(content, at) if node + 6 <= size]:
            struct.pack_into("<HHH", content, at + rng.choice(nodes), rng.randrange(1 << 16), rng.randrange(4), 0)

    def offset(content: bytearray) -> None:
        struct.pack_into(
            "<H", content, rng.randrange(2, pages) * size + 16 + 2 * rng.randrange(8), rng.choice((40000, 65535))
        )

    def cut(content: bytearray) -> None:
        del content[rng.randrange(len(content)) :]

    def cut_and_fitted(content: bytearray) -> None:
        left = rng.randrange(3, pages)
        for meta in (0, 1):
            struct.pack_into("<Q", content, meta * size + 136, left - 1)
        del content[left * size :]

    def map_size(content: bytearray) -> None:
        for meta in (0, 1):
            struct.pack_into("<Q", content, meta * size + 32, rng.choice((1 << 62, 1 << 47, 0)))

    def long_size(content: bytearray) -> None:
        struct.pack_into("<HH", content, rng.choice(long_values), rng.randrange(1 << 16), rng.choice((1, 16, 0xFFFF)))

    def long_place(content: bytearray) -> None:
        at = rng.choice(long_values)
        key = struct.unpack_from("<H", content, at + 6)[0]
        struct.pack_into("<Q", content, at + 8 + key, rng.choice((pages, pages + 5, 1 << 40, 1 << 63)))

    return {
        "a bit": flip, "head of a page": head, "a node": child, "place of a node": offset, "cut off": cut,
        "cut off, last page made to fit": cut_and_fitted, "size of the map": map_size,
        "size of a long value": long_size, "place of a long value": long_place,
    }  # fmt: skip


def _nodes(data: bytes | bytearray, at: int) -> list[int]:
    flags, lower = struct.unpack_from("<HH", data, at + 10)
    count = (lower - 16) // 2
    return list(struct.unpack_from(f"<{count}H", data, at + 16)) if flags in (1, 2) and 0 < count < 2000 else []


def lmdb_trial(files: int) -> None:
    import lmdb

    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.mdb")
        with lmdb.open(str(path), subdir=False, map_size=1 << 24, lock=False) as made, made.begin(write=True) as put:
            for number in range(400):
                put.put(str(number).encode(), bytes(8000 if number % 10 == 0 else 150))
        with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as made:
            data = path.read_bytes()[: (made.info()["last_pgno"] + 1) * 4096]
        total: Counter[tuple[str, str]] = Counter()
        for kind, change in damages(data, rng).items():
            count: Counter[tuple[str, str]] = Counter()
            for _ in range(files):
                content = bytearray(data)
                change(content)
                for reader in ("library", "attnstore"):
                    path.write_bytes(content)
                    child = [sys.executable, __file__, "read-lmdb", reader, str(path)]
                    done = subprocess.run(child, capture_output=True, text=True, check=False)
                    ended = signal.Signals(-done.returncode).name if done.returncode < 0 else done.stdout.strip()
                    count[reader, ended] += 1
            total += count
            print(f"{kind:32}", json.dumps({" ".join(key): number for key, number in sorted(count.items())}))
        print(f"{'all':32}", json.dumps({" ".join(key): number for key, number in sorted(total.items())}))


def read_lmdb(reader: str, path: Path) -> str:
    """Read the 400 values of a file: 'read', 'refused' or 'other', with values that were never written."""
    keys = [str(number).encode() for number in range(400)]
    try:
        if reader == "attnstore":
            with lmdb_map.open_map(path) as file:
                values = [file.get(key) for key in keys]
        else:
            import lmdb

            start = path.read_bytes()[: 2 * 4096]
            if len(start) < 2 * 4096:
                return "refused"
            metas = [struct.unpack_from("<QQ", start, meta + 136) for meta in (0, 4096)]
            last, _ = max(metas, key=lambda meta: meta[1])
            size = path.stat().st_size
            if (last + 1) * 4096 > size or struct.unpack_from("<Q", start, 32)[0] > size + (1 << 30):
                return "refused"
            with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as made, made.begin() as got:
                values = [got.get(key) for key in keys]
    except (SourceError, OSError, MemoryError, ValueError):
        return "refused"
    except Exception as error:
        return "refused" if type(error).__module__.startswith("lmdb") else "traceback"
    written = [bytes(8000 if number % 10 == 0 else 150) for number in range(400)]
    return "read" if values == written else "other"


class Restricted(pickle.Unpickler):
    """The standard library's, with the names that numpy's arrays need and no others."""

    NAMES = frozenset(
        {"numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "numpy.core.numeric._frombuffer",
         "numpy.ndarray", "numpy.dtype", "_codecs.encode", "__builtin__.bytes"}
    )  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        known = re.sub(r"^numpy\._core\.", "numpy.core.", f"{module}.{name}")
        if known not in self.NAMES:
            raise pickle.UnpicklingError(known)
        return super().find_class(module, name)

    def persistent_load(self, _: Any) -> Any:
        raise pickle.UnpicklingError("a persistent id")


def bombs() -> Iterator[tuple[str, bytes]]:
    start = b"\x80\x04"

    def name(module: str, what: str) -> bytes:
        return f"c{module}\n{what}\n".encode()

    def doubled(kind: bytes, key: bool) -> bytes:
        body = b"N\x85q\x000"
        for number in range(1, 60):
            body += bytes([*b"h", number - 1, *b"h", number - 1, *b"\x86q", number, *b"0"])
        return start + (b"}" if key else b"") + body + b"h\x3b" + kind + b"."

    yield "a name that runs a command", b"cos\nsystem\n(X\x04\x00\x00\x00truetR."
    yield "a key of doubled tuples, 60 deep", doubled(b"Ns", key=True)
    yield "memo at 2^28", start + b"Nr" + struct.pack("<I", 1 << 28) + b"."
    yield "bytearray of 3 GiB in 12 bytes", b"\x80\x05\x96" + struct.pack("<Q", 3 << 30) + b"x."
    yield "60 million empty dicts in 60 MB", start + b"(" + b"}" * 60_000_000 + b"l."
    yield "lists, a million deep", start + b"]" * 1_000_000 + b"a" * 999_999 + b"."
    yield "a type of Python objects", start + name("numpy", "dtype") + b"X\x02\x00\x00\x00O8\x85R."
    yield (
        "a type of 2 million fields",
        (start + name("numpy", "dtype") + b"X" + struct.pack("<I", 6_000_000) + b"f8," * 2_000_000 + b"\x85R."),
    )
    text = b"X" + struct.pack("<I", 50_000_000) + b"a" * 50_000_000 + b"q\x000"
    encode = name("_codecs", "encode") + b"h\x00X\x06\x00\x00\x00latin1\x86R"
    yield "50 MB encoded 40 times", start + text + b"(" + encode * 40 + b"l."
    array = (
        name("numpy.core.multiarray", "_reconstruct")
        + name("numpy", "ndarray")
        + b"\x8a\x08"
        + struct.pack("<q", 1 << 30)
    )
    yield "8 arrays of 1 GiB in 600 bytes", start + b"(" + (array + b"\x85C\x01b\x87R") * 8 + b"l."


def pickle_trial() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.pkl")
        for kind, data in bombs():
            path.write_bytes(data)
            for reader in ("Unpickler", "attnstore"):
                child = [sys.executable, __file__, "read-pickle", reader, str(path)]
                done = subprocess.run(child, capture_output=True, text=True, check=False)
                ended = signal.Signals(-done.returncode).name if done.returncode < 0 else done.stdout.strip()
                print(f"{kind:34} {reader:10} {ended}", flush=True)
    rng = np.random.default_rng(0)
    records = [
        pickle.dumps({"id": "x", "primary": "A" * 250, "ss8": rng.integers(0, 8, 250), "phi": rng.normal(size=250)})
        for _ in range(1000)
    ]
    for reader, load in (("Unpickler", _restricted), ("attnstore", _own)):
        began = time.process_time()
        for record in records:
            load(record)
        print(f"1,000 records of 250 residues, {reader}: {time.process_time() - began:.2f} s")


def _restricted(data: bytes) -> object:
    return Restricted(io.BytesIO(data)).load()


def _own(data: bytes) -> object:
    return pickles.load_plain(data, "a pickle")


def read_pickle(reader: str, path: Path) -> str:
    data = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    try:
        ended = f"reads a {type((_restricted if reader == 'Unpickler' else _own)(data)).__name__}"
    except Exception:
        ended = "refuses"
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return f"{ended} after {time.perf_counter() - began:.1f} s and {used:,} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=["gemmi", "lmdb", "pickle", "read-lmdb", "read-pickle"])
    parser.add_argument("arguments", nargs="*", help="what a trial's own processes are given")
    parser.add_argument("--files", type=int, default=30, help="damaged LMDB files of each kind")
    options = parser.parse_args()
    if options.trial == "gemmi":
        gemmi_trial()
    elif options.trial == "lmdb":
        lmdb_trial(options.files)
    elif options.trial == "pickle":
        pickle_trial()
    else:
        reader, path = options.arguments
        print((read_lmdb if options.trial == "read-lmdb" else read_pickle)(reader, Path(path)))


if __name__ == "__main__":
    main()
