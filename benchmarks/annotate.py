"""How long it takes to give a store properties: one column for a million residues, and a table of ten million rows.

    python benchmarks/annotate.py [RESIDUES]

Prints a table. A reader asks for residues in a loop all the while, and says how long its slowest question took.
"""

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.catalog.writer import CatalogWriter
from attnstore.format.documents import StoreDocument

LENGTH = 250


def make(path: Path, residues: int) -> pa.Table:
    """A store of chains of 250 residues, and the keys of them all."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8)
    path.mkdir()
    StoreDocument().write(path)
    names = [f"chain{number}" for number in range(residues // LENGTH)]
    with CatalogWriter(path, keep_duplicates=True) as catalog:
        for name in names:
            catalog.add(name, letters[rng.integers(0, 20, LENGTH)].tobytes().decode(), "benchmark", None)
        catalog.publish()
    ids = pa.array(np.repeat(names, LENGTH))
    return pa.table({"id": ids, "pos": np.tile(np.arange(LENGTH), len(names))})


def reading(store: attnstore.Store, stop: threading.Event, seconds: list[float]) -> None:
    """Ask until asked to stop."""
    while not stop.is_set():
        began = time.perf_counter()
        rows = store.sql("SELECT aa, count(*), avg(pos) FROM residues GROUP BY aa ORDER BY aa").fetchall()
        assert len(rows) == 20
        seconds.append(time.perf_counter() - began)


def main() -> None:
    residues = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rng = np.random.default_rng(1)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        keys = make(store, residues)
        columns = {
            "boolean": rng.random(residues) < 0.05,
            "float": rng.normal(size=residues),
            "category": rng.choice(np.array(list("HGIEBTSC")), residues),
        }
        for form in ("frame", "parquet", "csv"):
            for kind, values in columns.items():
                table = keys.append_column(f"{form}_{kind}", pa.array(values))
                given: object = table
                if form != "frame":
                    given = Path(scratch) / f"{kind}.{form}"
                    write = pa.parquet.write_table if form == "parquet" else pa.csv.write_csv
                    write(table, given)
                stop, seconds = threading.Event(), []
                reader = threading.Thread(target=reading, args=(attnstore.open(store), stop, seconds))
                with contextlib.ExitStack() as stack:
                    reader.start()
                    stack.callback(reader.join)
                    stack.callback(stop.set)
                    began = time.perf_counter()
                    annotate(store, [given])
                    took = time.perf_counter() - began
                rows.append((form, kind, residues, took, len(seconds), statistics.median(seconds), max(seconds)))
    frame = pd.DataFrame(rows, columns=["given as", "kind", "residues", "seconds", "questions", "median", "slowest"])
    print(frame.to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
