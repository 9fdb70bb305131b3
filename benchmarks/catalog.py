"""Reading real sequences into a catalog: time and peak memory, each measured in a process of its own.

Run: python benchmarks/catalog.py [--counts 10000 30000 100000] [--repeats 3]
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from real_sequences import write_sequences

from attnstore.catalog.reader import current_catalog
from attnstore.format.documents import StoreDocument
from attnstore.runtime.table_output import text_table

#: Reads a FASTA file into a store, as ingest does before it runs the model, and prints what it took.
MEASURED = """
import json, re, sys, time
from pathlib import Path
from attnstore.catalog.writer import CatalogWriter
from attnstore.readers.inputs import read_inputs

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1000

before, records, started, busy = peak(), 0, time.perf_counter(), time.process_time()
with CatalogWriter(Path(sys.argv[2])) as catalog:
    for record in read_inputs([sys.argv[1]]):
        catalog.add(record.id, record.sequence, record.place, record.structure)
        records += 1
    document = catalog.publish()
seconds, busy = time.perf_counter() - started, time.process_time() - busy
print(json.dumps([records, document.residues, seconds, busy, before, peak()]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--added", type=int, default=100, help="sequences to add to the largest catalog")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(Path(scratch), sorted(options.counts), options.added, options.repeats)


def run(scratch: Path, counts: list[int], added: int, repeats: int) -> None:
    import pandas as pd

    rows = []
    for count in counts:
        fasta, store = scratch / f"{count}.fasta", scratch / f"{count}.attn"
        write_sequences(fasta, count)
        runs = []
        for _ in range(repeats):
            shutil.rmtree(store, ignore_errors=True)
            store.mkdir()
            StoreDocument().write(store)
            runs.append(measure(fasta, store))
        rows.append(row(f"{count:,}", runs, store))
    fasta = scratch / "more.fasta"
    write_reversed(scratch / f"{counts[0]}.fasta", fasta, added)
    runs = []
    for repeat in range(repeats):
        copy = scratch / f"copy{repeat}.attn"
        shutil.copytree(store, copy)
        runs.append(measure(fasta, copy))
    rows.append(row(f"{added:,} more into {counts[-1]:,}", runs, copy))
    print(text_table(pd.DataFrame(rows), left=("sequences",)))


def measure(fasta: Path, store: Path) -> list[float]:
    """Records, residues in the catalog, seconds, seconds of processor, MB before reading, peak MB."""
    found: list[float] = json.loads(subprocess.check_output([sys.executable, "-c", MEASURED, fasta, store]))
    return found


def row(what: str, runs: list[list[float]], store: Path) -> dict[str, object]:
    records, residues, seconds, busy, before, peak = (statistics.median(column) for column in zip(*runs, strict=True))
    catalog = current_catalog(store, StoreDocument.read(store))
    return {
        "sequences": what,
        "residues in the catalog": f"{residues:,.0f}",
        "seconds": f"{seconds:.2f}",
        "of processor": f"{busy:.2f}",
        "sequences/s": f"{records / seconds:,.0f}",
        "peak MB": f"{peak:.0f}",
        "of it before": f"{before:.0f}",
        "catalog MB": f"{catalog.stat().st_size / 1e6:.1f}",
    }


def write_reversed(fasta: Path, target: Path, count: int) -> None:
    """Write the first sequences backwards under names of their own: like real ones, and new."""
    lines = fasta.read_text().splitlines()[: 2 * count]
    pairs = zip(lines[::2], lines[1::2], strict=True)
    target.write_text("".join(f"{header}/reversed\n{sequence[::-1]}\n" for header, sequence in pairs))


if __name__ == "__main__":
    main()
