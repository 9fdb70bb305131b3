"""How far shares of attention move in sixteen bits: the demo's model and chains, ten heads, in percentage points.

Run: python benchmarks/precision.py [--store FOLDER]

The store is kept where it is named, and not made again.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

import attnstore
from attnstore import fetch
from attnstore.ingest import ingest
from attnstore.runtime.table_output import text_table

PRECISIONS = ("float32", "bfloat16", "float16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(options.store or Path(scratch) / "store")


def run(path: Path) -> None:
    model, chains = str(fetch.esm2_model()), fetch.cgdms_chains()
    for precision in PRECISIONS:
        ingest(path, chains, model=model, name=precision, precision=precision, progress=True)
    store = attnstore.open(path)
    for title, options in (("separation ≥ 6", {"where": "separation >= 6"}), ("the paper's form", {"paper": True})):
        shares = {
            precision: store.align("contact", model=precision, replicates=2, **options) for precision in PRECISIONS
        }
        enough = shares["float32"]["total"].to_series() >= 100
        share = {precision: shares[precision]["share"].to_series()[enough] * 100 for precision in PRECISIONS}
        top = share["float32"].nlargest(10).index
        moved = {precision: (share[precision] - share["float32"]).loc[top] for precision in PRECISIONS[1:]}
        table = pd.DataFrame({
            "layer": top.get_level_values("layer"), "head": top.get_level_values("head"),
            "arcs": shares["float32"]["total"].to_series().loc[top].to_numpy(),
            "contacts, float32, %": share["float32"].loc[top].to_numpy(),
            **{f"{precision}, points": points.to_numpy() for precision, points in moved.items()},
        })  # fmt: skip
        print(f"\nContacts, θ 0.3, {title}: the ten heads with the largest share in float32\n")
        print(text_table(table))
        for precision, points in moved.items():
            print(
                f"{precision}: at most {points.abs().max():.3f} points, {int((points.abs() < 0.2).sum())} of 10 < 0.2"
            )


if __name__ == "__main__":
    main()
