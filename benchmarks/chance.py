"""Is it more than chance? The demo's model compared with random weights, and with itself on shuffled residues.

Run: python benchmarks/chance.py [--store FOLDER] [--seed 0]

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

REAL, TWIN, SHUFFLED = "real", "random weights", "shuffled residues"

#: What each head does in each of the models, the two that stand for chance at its side.
QUESTION = """
SELECT layer, head, model,
       avg(contact) FILTER (WHERE weight >= 0.3) AS contacts,
       count(contact) FILTER (WHERE weight >= 0.3) AS arcs,
       weighted_avg(contact) AS weighted
FROM attention WHERE separation >= 6
GROUP BY layer, head, model
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(options.store or Path(scratch) / "store", options.seed)


def run(path: Path, seed: int) -> None:
    model, chains = str(fetch.esm2_model()), fetch.cgdms_chains()
    for name, randomize in (("real", None), ("twin", "weights"), ("shuffled", "sequence")):
        ingest(path, chains, model=model, name=name, randomize=randomize, seed=seed, progress=True)
    store = attnstore.open(path)
    heads = store.query(QUESTION).set_index(["layer", "head", "model"]).unstack("model")
    names = {"real": REAL, "twin": TWIN, "shuffled": SHUFFLED}
    known = heads["contacts"].where(heads["arcs"] >= 100)
    top = heads["contacts"]["real"].where(heads["arcs"]["real"] >= 100).nlargest(10).index
    print(f"ESM-2 8M (fine-tuned on haemolytic peptides), {store.document.proteins:,} chains of cgdms, pairs six or "
          f"more apart; seed {seed}\n\nThe ten heads of the real model with the largest share of arcs (≥ 0.3) on "
          "contacts, and the same heads by chance\n")  # fmt: skip
    table = pd.DataFrame({
        "layer": top.get_level_values("layer"), "head": top.get_level_values("head"),
        **{f"arcs, {names[m]}": heads["arcs"][m].loc[top].to_numpy() for m in names},
        **{f"contacts, {names[m]}": known[m].loc[top].to_numpy() for m in names},
        **{f"of weight, {names[m]}": heads["weighted"][m].loc[top].to_numpy() for m in names},
    })  # fmt: skip
    print(text_table(table))
    print("\nOver all heads\n")
    print(text_table(pd.DataFrame(
        {
            "model": names[m],
            "arcs": int(heads["arcs"][m].sum()),
            "heads with 100": int((heads["arcs"][m] >= 100).sum()),
            "largest share": known[m].max(),
            "largest share of weight": heads["weighted"][m].max(),
            "background": float(store.align("contact", where="separation >= 6", model=m, replicates=2)
                                ["background"].isel(layer=0, head=0)),
        }
        for m in names
    )))  # fmt: skip


if __name__ == "__main__":
    main()
