"""Which heads attend to helices, strands and turns? cgdms' chains, DSSP as sidechainnet has it, and ESM-2 8M.

Run: python benchmarks/secondary_structure.py [--store FOLDER]

The store is kept where it is named, and not made again.
"""

import argparse
import tempfile
import time
from pathlib import Path

import attnstore
from attnstore import fetch
from attnstore.annotate.annotation import annotate
from attnstore.ingest import ingest
from attnstore.runtime.table_output import text_table

SHARES = """
SELECT layer, head, count(target.ss4) AS arcs,
       avg(target.ss4 = 'helix') AS helix, avg(target.ss4 = 'strand') AS strand, avg(target.ss4 = 'turn') AS turn
FROM attention WHERE weight >= 0.3 GROUP BY layer, head HAVING count(target.ss4) >= 100
"""
BOTH = """
SELECT layer, head, avg(source.ss4 = 'strand' AND target.ss4 = 'strand' AND contact) AS strands_in_contact,
       avg(contact) AS contacts, count(contact) AS arcs
FROM attention WHERE weight >= 0.3 AND separation >= 6 AND source.ss4 IS NOT NULL AND target.ss4 IS NOT NULL
GROUP BY layer, head HAVING count(contact) >= 100 ORDER BY strands_in_contact DESC LIMIT 5
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(options.store or Path(scratch) / "store")


def run(path: Path) -> None:
    ingest(path, fetch.cgdms_chains(), model=str(fetch.esm2_model()), progress=True)
    began = time.perf_counter()
    done = annotate(path, [fetch.sidechainnet_dssp()], mismatch="align")
    took = time.perf_counter() - began
    store = attnstore.open(path)
    proteins, residues = store.sql(
        "SELECT count(DISTINCT protein), count(*) FROM residues WHERE ss4 IS NOT NULL"
    ).fetchall()[0]
    print(
        f"{store.document.proteins:,} proteins of cgdms; {done.matched:,} of sidechainnet's "
        f"{done.matched + done.skipped + done.passed_over:,} chains are of them, found by id and aligned "
        f"({done.skipped:,} were too different): secondary structure of {residues:,} residues of {proteins:,} "
        f"proteins, in {took:.1f} s"
    )
    shares = store.sql("SELECT ss4, count(*) AS residues, count(*) / sum(count(*)) OVER () AS share FROM residues "
                       "WHERE ss4 IS NOT NULL GROUP BY ss4 ORDER BY ss4")  # fmt: skip
    print(f"\n{text_table(shares.df())}")
    heads = store.query(SHARES)
    for kind in ("helix", "strand", "turn"):
        result = store.align(f"target.ss4 = '{kind}'").to_table()
        columns = ["layer", "head", "share", "bootstrap_low", "bootstrap_high", "total", "background", "enrichment"]
        heading = f"Arcs from 0.3 whose target is in a {kind}: five heads of {len(heads)}"
        print(f"\n{heading}\n\n{text_table(result[columns].head(5))}")
    print(f"\nStrand to strand, in contact, six or more apart\n\n{text_table(store.query(BOTH))}")
    print(f"\nEvery head with 100 arcs, by layer\n\n{text_table(heads.sort_values(['layer', 'head']))}")


if __name__ == "__main__":
    main()
