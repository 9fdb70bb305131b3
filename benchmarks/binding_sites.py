"""Which heads attend to binding sites? The labels of Vig et al. 2021 (their validation set) and ESM-2 8M.

Run: python benchmarks/binding_sites.py binding_site_valid.lmdb [--store FOLDER]

The labels are in the data folder of the paper's code (salesforce/provis). The store is kept where it is named, and not
made again.
"""

import argparse
import tempfile
from pathlib import Path

import attnstore
from attnstore import fetch
from attnstore.ingest import ingest
from attnstore.runtime.table_output import text_table

#: Vig et al. 2021, section 4: share of binding sites in their training set, in per cent.
PAPER = 4.83

SITE = "target.binding_site"
COLUMNS = ["layer", "head", "share", "bootstrap_low", "bootstrap_high", "total", "background", "enrichment"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(options.labels, options.store or Path(scratch) / "store")


def run(labels: Path, path: Path) -> None:
    # The paper counts every chain, also one whose sequence another has.
    ingest(
        path, [labels], model=str(fetch.esm2_model()), keep=("arcs", "marginals"), keep_duplicates=True, progress=True
    )  # fmt: skip
    store = attnstore.open(path)
    proteins, without = store.sql(
        "SELECT count(*), count_if(n = 0) FROM (SELECT count_if(binding_site) AS n FROM residues GROUP BY protein)"
    ).fetchall()[0]
    sites, residues = store.sql("SELECT count_if(binding_site), count(*) FROM residues WHERE pos < 510").fetchall()[0]
    print(f"{proteins:,} chains, {without:,} of them without a site; ESM-2 8M (fine-tuned on haemolytic peptides)")
    print(f"sites among the first 510 residues: {sites:,} of {residues:,} = {100 * sites / residues:.2f} %; "
          f"in the paper's training set {PAPER} %")  # fmt: skip
    for heading, options in (
        ("The paper's form: all arcs from 0.3, background by residues", {"paper": True}),
        ("Background of all pairs", {"background": "eligible"}),
        ("Background matched to each head's separations", {"background": "separation"}),
        ("Background matched to the proteins that hold its arcs", {"background": "protein"}),
        ("By attention weight", {"weighted": True}),
    ):
        table = store.align(SITE, **options).to_table()
        print(f"\n{heading}\n\n{text_table(table[[name for name in COLUMNS if name in table]].head(10))}")


if __name__ == "__main__":
    main()
