"""What questions cost on a store of 10 G attention entries, compared with computing the attention again for each.

Run: python benchmarks/query.py [--store DIR] [--chains 600] [--copies 2] [--repeats 5]

The store is built where --store says, which takes two minutes and 2.4 GB, and is kept there and used again; without
--store it is built in a temporary folder.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from large_store import build, replicate
from timing import median_seconds

import attnstore
from attnstore.format.documents import ATTENTION, Manifest
from attnstore.opened import Model, Store
from attnstore.runtime.table_output import text_table

FAR = "separation >= 6"
PER_HEAD = (
    f"SELECT layer, head, avg(contact), count(*) FROM attention WHERE weight >= 0.3 AND {FAR} {{}} GROUP BY layer, head"
)
#: What the scaling part asks, in a process of its own: store, tier, threshold.
ASK = """
import re, statistics, sys, time
import attnstore
path, tier, threshold = sys.argv[1:]
times = []
for _ in range(4):
    started = time.perf_counter()
    attnstore.open(path).align("contact", where="separation >= 6", tier=tier, threshold=float(threshold))
    times.append(time.perf_counter() - started)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
print(times[0], statistics.median(times[1:]), peak)
"""
IMPORTS = """
import time
started = time.perf_counter()
import attnstore
print(time.perf_counter() - started)
import dask, duckdb, numba, numcodecs, pandas, pyarrow.parquet, scipy.stats, xarray
import attnstore.queries.align
print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--chains", type=int, default=600)
    parser.add_argument("--copies", type=int, default=2, help="how often each segment is there")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = (options.store or Path(scratch) / "store").resolve()
        build(path, options.chains)
        replicate(path, options.copies)
        run(path, Path(scratch), options.copies, options.repeats)


def run(path: Path, scratch: Path, copies: int, repeats: int) -> None:
    for file in path.rglob("*"):
        if file.is_file():
            file.read_bytes()  # into the page cache
    model = attnstore.open(path).model()
    known = contact_share(attnstore.open(path))
    print(f"ESM-2 8M (fine-tuned on haemolytic peptides), {len(model.places) // copies} PDB chains of 100–510 "
          f"residues with made-up coordinates ({known:.1%} of pairs 6 or more apart in contact), each segment there "
          f"{copies} times:\n{model.entries:,} attention "
          f"entries, {model.manifest.total('arcs'):,} arcs, {len(model.segments)} segments; "
          f"{os.cpu_count()} cores, warm page cache, median of {repeats}\n")  # fmt: skip
    once(path, scratch)
    rates = questions(path, model, repeats)
    others(path, rates)
    scaling(path, model, scratch)


def contact_share(store: Store) -> float:
    result = store.align("contact", where=FAR, threshold=0.3)
    return float(np.asarray(result["background"]).flat[0])


def once(path: Path, scratch: Path) -> None:
    """What a process pays once, apart from everything below."""

    def fresh(code: str, *arguments: str, cache: str | None = None) -> list[float]:
        environment = os.environ | ({"NUMBA_CACHE_DIR": str(scratch / cache)} if cache else {})
        command = [sys.executable, "-c", code, *arguments]
        return [float(word) for word in subprocess.check_output(command, env=environment).split()]

    store_alone, everything = fresh(IMPORTS)
    ask = (ASK, str(path), "arcs", "0.3")
    (compiled, again, _), (cached, _, _) = fresh(*ask, cache="numba"), fresh(*ask, cache="numba")
    rows = [
        ("import attnstore", store_alone),
        ("import it and the libraries that queries use", everything),
        ("first query of a process: imports, digests of what it reads, compilation", compiled),
        ("the same, kernels from numba's cache", cached),
        ("the same query afterwards", again),
    ]
    show([{"paid once in a process": what, "seconds": seconds} for what, seconds in rows])


def questions(path: Path, model: Model, repeats: int) -> dict[str, float]:
    """Seconds from opening the store to the result, as tables; entries/s by name."""
    rows: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}

    def row(name: str, target: float | None, ask: Callable[[Store], object]) -> None:
        seconds[name] = median_seconds(lambda: ask(attnstore.open(path)), repeats)
        rate = model.entries / seconds[name] / 1e9
        rows.append(
            {"from store to result": name, "seconds": seconds[name], "G entries/s": rate, "target": target,
             "rate / target": rate / target if target else None}
        )  # fmt: skip

    for background, words in (("eligible", ""), ("none", ", no background")):
        common: dict[str, Any] = {"where": FAR, "background": background}
        for target, options, what in (
            (50.0, {"tier": "arcs", "threshold": 0.3}, "contacts at 0.3, arcs"),
            (10.0, {"tier": "arcs", "threshold": 0.05}, "contacts at 0.05, arcs"),
            (1.0, {"tier": "codes", "threshold": 0.3}, "contacts at 0.3, codes"),
            (0.6, {"threshold": None}, "contacts at every threshold, codes"),
        ):
            asked = common | options
            row(what + words, target, lambda store, asked=asked: store.align("contact", **asked))
    show(rows)

    rows.clear()
    row("share of weight on cysteines, marginals", None, lambda store: store.align("target.aa = 'C'", weighted=True))
    row("SQL: contacts per head, arcs", None, lambda store: store.query(PER_HEAD.format(""), tier="arcs"))
    row("SQL: contacts per head, codes", None, lambda store: store.query(PER_HEAD.format(""), tier="codes"))
    one = PER_HEAD.format("AND layer = 5 AND head = 4")
    row("SQL: contacts of one head, codes", None, lambda store: store.query(one, tier="codes"))
    for given in rows:
        del given["target"], given["rate / target"]
    show(rows)
    ratio = seconds["SQL: contacts per head, codes"] / seconds["SQL: contacts of one head, codes"]
    print(f"marginals in {seconds['share of weight on cysteines, marginals']:.3f} s (target: under 0.2); "
          f"one head {ratio:.1f} times as fast as all (target: 20)\n")  # fmt: skip
    return {name: model.entries / value for name, value in seconds.items()}


def others(path: Path, rates: dict[str, float]) -> None:
    """The same question without a store: the paper's loop, and the model run again with masks in torch."""
    import torch

    from attnstore import fetch
    from attnstore.ingest.model.language_model import load, pad_batch

    store = attnstore.open(path)
    chosen = store.sql("SELECT id, sequence FROM proteins ORDER BY length, id").fetchall()[::10]
    language_model = load(str(fetch.esm2_model()))
    language_model.module.set_attn_implementation("eager")

    def attention(sequence: str) -> torch.Tensor:
        """float32 [layers, heads, source, target], residues only."""
        tokens = language_model.tokens
        batch = pad_batch(tokens, [tokens.encode(sequence)], torch.device("cpu"))
        with torch.inference_mode():
            weights = language_model.module(**batch, output_attentions=True).attentions
        return torch.cat(weights)[..., 1:-1, 1:-1]

    attention(chosen[0][1])
    proteins = [(sequence, *truth(store, name)) for name, sequence in chosen]

    def vectorised() -> tuple[int, int]:
        counts = torch.zeros(2, 6, 20, dtype=torch.int64)
        for sequence, contact, far in proteins:
            arcs = attention(sequence) >= 0.3
            for at, mask in enumerate((contact, far)):
                counts[at] += (arcs & torch.from_numpy(mask)).sum((-1, -2))
        return tuple(counts.sum((-1, -2)).tolist())

    started = time.perf_counter()
    recounted = vectorised()
    entries = 120 * sum(len(sequence) ** 2 for sequence, _, _ in proteins)
    recompute = entries / (time.perf_counter() - started)

    few = proteins[::15]
    matrices = [attention(sequence).numpy() for sequence, _, _ in few]
    started = time.perf_counter()
    for alpha, (_, contact, _) in zip(matrices, few, strict=True):
        paper_loop(alpha, contact, np.float32(0.3))
    loop = 120 * sum(len(sequence) ** 2 for sequence, _, _ in few) / (time.perf_counter() - started)

    names = ", ".join(f"'{name}'" for name, _ in chosen)
    stored = store.align("contact", where=f"{FAR} AND protein.id IN ({names})", threshold=0.3)
    found = tuple(int(np.asarray(stored[key]).sum()) for key in ("count", "total"))
    print(f"the same {len(chosen)} chains, contacts among arcs ≥ 0.3 six or more apart: {recounted[0]:,} of "
          f"{recounted[1]:,} by the model run again, {found[0]:,} of {found[1]:,} from the store\n")  # fmt: skip
    arcs, codes = (rates[f"contacts at 0.3, {tier}"] for tier in ("arcs", "codes"))
    show(
        [
            {
                "without a store": what,
                "M entries/s": rate / 1e6,
                "arcs / this": arcs / rate,
                "codes / this": codes / rate,
            }
            for what, rate in (
                (f"the paper's loop over pairs of residues, {len(few)} chains, attention in memory", loop),
                ("the same, each question after a forward pass", 1 / (1 / loop + 1 / recompute)),
                (f"forward pass and masks in torch, {len(chosen)} chains", recompute),
            )
        ]
    )


def truth(store: Store, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Contacts, and pairs six or more apart; bool [length, length]."""
    query = f"SELECT cb_x, cb_y, cb_z FROM residues WHERE protein = '{name}' ORDER BY pos"
    xyz = np.array(store.sql(query).fetchall())
    apart = np.linalg.norm(xyz[:, None] - xyz, axis=-1)
    position = np.arange(len(xyz))
    far = np.abs(position[:, None] - position) >= 6
    return far & (apart < 8), far


def paper_loop(alpha: np.ndarray, contact: np.ndarray, theta: np.float32) -> np.ndarray:
    """p(f) of Vig et al. 2021, section 3: Σ f(i, j)·1[α > θ] / Σ 1[α > θ], pair by pair in Python, all heads at once.

    Parameters
    ----------
    alpha : float32 [layers, heads, source, target]
    contact : bool [source, target]
    theta : θ, at or above which an arc counts

    Returns
    -------
    numpy.ndarray
        float64 [layers, heads]; NaN where a head has no arcs.
    """
    true = np.zeros(alpha.shape[:2], np.int64)
    total = np.zeros(alpha.shape[:2], np.int64)
    for i in range(alpha.shape[2]):
        for j in range(alpha.shape[3]):
            arc = alpha[:, :, i, j] >= theta
            total += arc
            if contact[i, j]:
                true += arc
    with np.errstate(invalid="ignore"):
        return true / total


def scaling(path: Path, model: Model, scratch: Path) -> None:
    """The same question of every tenth, fifth, second segment and of all, each in a process of its own."""
    for tier, threshold in (("arcs", 0.05), ("codes", 0.3)):
        rows: list[dict[str, Any]] = []
        for stride in (10, 5, 2, 1):
            part = some_segments(path, model, scratch / f"{tier}{stride}", stride)
            command = [sys.executable, "-c", ASK, str(part), tier, str(threshold)]
            _, seconds, kilobytes = map(float, subprocess.check_output(command).split())
            entries = attnstore.open(part).model().entries
            base = rows[0] if rows else {"G entries": entries / 1e9, "seconds": seconds}
            rows.append(
                {f"contacts at {threshold}, {tier}: segments": len(attnstore.open(part).model().segments),
                 "G entries": entries / 1e9, "× data": entries / 1e9 / base["G entries"], "seconds": seconds,
                 "× time": seconds / base["seconds"], "peak memory, MB": kilobytes / 1024}
            )  # fmt: skip
        show(rows)


def some_segments(path: Path, model: Model, part: Path, stride: int) -> Path:
    """A store of some of the segments, the files themselves being those of the whole one."""
    directory = part / ATTENTION / model.name
    directory.mkdir(parents=True)
    for file in path.iterdir():
        if file.is_file():
            (part / file.name).symlink_to(file)
    for name in ("model.json", "plan.json", "segments"):
        (directory / name).symlink_to(model.directory / name)
    Manifest(model.manifest.segments[::stride]).write(directory)
    return part


def show(rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    print(text_table(pd.DataFrame(rows)), flush=True)
    print(flush=True)


if __name__ == "__main__":
    main()
