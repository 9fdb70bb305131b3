"""Which heads lead by raw share, and which by the lower bound of the interval? And do they hold on other proteins?

Run: python benchmarks/ranking.py demo.attn [--sites sites.attn]

The store, of `attnstore demo`, is copied. Its copy gets the residues before and after each helix (DSSP as sidechainnet
has it), and twenty properties that mean nothing: runs of eight residues in one protein of twenty, drawn at random.
`--sites` is a store of binding_site_valid.lmdb and the same model. Printed are the first three heads of one half of the
proteins, with their share there and on the other half, and of the properties that mean nothing the mean over them of
the first head, and how many first heads are below their background on the other half.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import attnstore
from attnstore import fetch
from attnstore.annotate.annotation import annotate
from attnstore.runtime.table_output import text_table

#: What is asked of the copy, and of the store of binding sites.
QUESTIONS = (
    ("contact", "separation >= 6"),
    ("target.before_helix", None),
    ("target.after_helix", None),
)
ORDERS = ("share", "lower")
MADE_UP = [f"made_up_{number}" for number in range(20)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--sites", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy.attn"
        shutil.copytree(options.store, copy)
        annotate(copy, [fetch.sidechainnet_dssp()], mismatch="align")
        store = attnstore.open(copy)
        store = store.annotate(properties(store), name="ends of helices, and properties that mean nothing")
        rows = [row for predicate, where in QUESTIONS for row in leaders(store, predicate, where)]
        nothing = [of_nothing(store, order) for order in ORDERS]
    if options.sites is not None:
        rows += leaders(attnstore.open(options.sites), "target.binding_site", None)
    print(text_table(pd.DataFrame(rows)))
    print(f"\nMeans of the first heads of {len(MADE_UP)} properties that mean nothing\n")
    print(text_table(pd.DataFrame(nothing)))


def properties(store: attnstore.Store) -> pd.DataFrame:
    """Of each residue: whether a helix begins after it, whether one ends before it, and the made-up properties."""
    frame = store.sql("SELECT protein AS id, pos, ss8 FROM residues ORDER BY protein, pos").df()
    helix = frame["ss8"].map(lambda state: state == "H", na_action="ignore")
    for name, step in (("before_helix", -1), ("after_helix", 1)):
        beside = helix.groupby(frame["id"]).shift(step)
        known = helix.notna() & beside.notna()
        frame[name] = ((helix == False) & (beside == True)).where(known).astype("boolean")  # noqa: E712
    rng = np.random.default_rng(1)
    lengths = frame.groupby("id").size()
    for name in MADE_UP:
        chosen = rng.permutation(len(lengths)) < len(lengths) // 20
        start = np.where(chosen, rng.integers(0, np.maximum(lengths - 7, 1)), 1 << 20)
        begins = frame["id"].map(pd.Series(start, lengths.index))
        frame[name] = (frame["pos"] >= begins) & (frame["pos"] < begins + 8)
    return frame.drop(columns="ss8")


def leaders(store: attnstore.Store, predicate: str, where: str | None) -> list[dict[str, str]]:
    """The first three heads of one half by each order, with their share there and on the other half."""
    rows = []
    for order in ORDERS:
        rows += [
            {
                "property": predicate,
                "ranked by": order,
                "head": f"{row.layer}-{row.head}",
                "picked at": f"{row.selection_share:.1%}",
                "held out": f"{row.share:.1%}",
                "of": f"{row.total:,}",
                "proteins": f"{row.clusters:,}",
                "enrichment": f"{row.enrichment:.1f}×",
            }
            for row in first(store, predicate, where, order).itertuples()
        ]
    return rows


def of_nothing(store: attnstore.Store, order: str) -> dict[str, str]:
    """The first head of one half, and what the other half makes of it, over all the properties that mean nothing."""
    leading = pd.concat([first(store, f"target.{name}", None, order).head(1) for name in MADE_UP])
    return {
        "ranked by": order,
        "picked at": f"{leading['selection_share'].mean():.1%}",
        "held out": f"{leading['share'].mean():.1%}",
        "background": f"{leading['background'].mean():.1%}",
        "proteins": f"{leading['clusters'].median():,.0f}",
        "below background": f"{(leading['enrichment'] < 1).sum()} of {len(MADE_UP)}",
    }


def first(store: attnstore.Store, predicate: str, where: str | None, order: str) -> pd.DataFrame:
    """The first three heads of the half on which heads are ranked."""
    table = store.align(predicate, where=where, split=True, rank_by=order).to_table()
    return table[table["selection_rank"] > 0].sort_values("selection_rank").head(3)


if __name__ == "__main__":
    main()
