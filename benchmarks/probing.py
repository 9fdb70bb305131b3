"""Probes of secondary structure and contacts by layer, from embeddings and from attention: scores, time and memory.

Each question runs in a process of its own, so that its peak memory is its own.

Run: python benchmarks/probing.py [STORE] [--chains 600] [--figures DIR] [--examples]
STORE is made where there is none: `cgdms` chains with the labels of `sidechainnet`, and hidden states.
--examples shows instead what the number of examples that are learnt from changes.
"""

import argparse
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

import attnstore
from attnstore import fetch
from attnstore.annotate.annotation import annotate
from attnstore.ingest import ingest
from attnstore.queries.figure import save_figure
from attnstore.queries.probe.probe import probe
from attnstore.runtime.table_output import text_table

CONDITIONS = {"helix": "ss4 = 'helix'", "strand": "ss4 = 'strand'", "turn": "ss4 = 'turn'", "contact": "contact"}
EXAMPLES = [1 << power for power in range(14, 20)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?", type=Path, default=Path("probing.attn"))
    parser.add_argument("--chains", type=int, default=600)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--examples", action="store_true")
    options = parser.parse_args()
    if not options.store.exists():
        keep = ("codes", "arcs", "marginals", "hidden")
        ingest(options.store, fetch.cgdms_chains()[: options.chains], model=str(fetch.esm2_model()), keep=keep)
        annotate(options.store, [fetch.sidechainnet_dssp()], mismatch="align")
    if options.examples:
        asked = {f"{number:,} pairs": ("contact", {"examples": number}) for number in EXAMPLES}
    else:
        asked = {name: (condition, {}) for name, condition in CONDITIONS.items()}
    rows = []
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned, max_tasks_per_child=1) as pool:
        for name, (condition, given) in asked.items():
            figure = options.figures / f"{name}.png" if options.figures else None
            rows += pool.submit(measure, options.store, name, condition, given, figure).result()
    print(text_table(pd.DataFrame(rows)))


def measure(store: Path, name: str, condition: str, given: dict[str, Any], figure: Path | None) -> list[dict[str, str]]:
    """A row for each probe."""
    started = time.perf_counter()
    result = probe(attnstore.open(store), condition, **given)
    seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if figure is not None:
        save_figure(result.plot(), figure)
    rows = []
    for source in result["probe"].to_numpy():
        own = result.sel(probe=source)
        scores = {"in" if layer < 0 else str(layer): "–" if score != score else f"{100 * score:.1f}"
                  for layer, score in zip(own["layer"].to_numpy(), own["score"].to_numpy(), strict=True)}  # fmt: skip
        last = own.isel(layer=-1)
        rows.append(
            {"property": name, "probe": str(source)} | scores
            | {"last, interval": f"{100 * float(last['low']):.1f}–{100 * float(last['high']):.1f}",
               "chance": f"{100 * result.attrs['chance']:.1f}", "s": f"{seconds:.1f}", "GiB": f"{peak:.2f}"}
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
