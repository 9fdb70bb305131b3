"""How far shares of attention move in bfloat16: the demo's model and chains, ten heads, in percentage points.

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
from attnstore.tables import aligned

PRECISIONS = ("float32", "bfloat16")


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
            precision: store.align("contact", model=precision, replicates=2, min_arcs=100, **options)
            for precision in PRECISIONS
        }
        exact, half = (shares[precision]["share"].to_series() * 100 for precision in PRECISIONS)
        top = exact.nlargest(10).index
        table = pd.DataFrame({
            "layer": top.get_level_values("layer"), "head": top.get_level_values("head"),
            "arcs": shares["float32"]["total"].to_series().loc[top].to_numpy(),
            **{f"contacts, {precision}, %": series.loc[top].to_numpy()
               for precision, series in zip(PRECISIONS, (exact, half), strict=True)},
            "difference, points": (half - exact).loc[top].to_numpy(),
        })  # fmt: skip
        print(f"\nContacts, θ 0.3, {title}: the ten heads with the largest share in float32\n")
        print(aligned(table))
        print(f"\nlargest difference: {table['difference, points'].abs().max():.3f} points")


if __name__ == "__main__":
    main()
