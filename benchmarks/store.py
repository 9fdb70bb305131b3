"""What a store weighs and how fast it is written and read, compared with float16 with the best lossless codec.

Run: python benchmarks/store.py [--chains 60]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numcodecs import Blosc
from real_chains import write_chains
from timing import median_seconds

import attnstore
from attnstore import fetch
from attnstore.ingest import ingest
from attnstore.ingest.model.language_model import load
from attnstore.runtime.table_output import text_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(Path(scratch), options.chains, options.repeats)


def run(scratch: Path, chains: int, repeats: int) -> None:
    import pandas as pd

    fasta, model = scratch / "chains.fasta", str(fetch.esm2_model())
    write_chains(fasta, chains)
    path = scratch / "store"
    summary = ingest(path, [fasta], model=model, name="esm2")
    store = attnstore.open(path)
    entries = summary.entries
    print(f"ESM-2 8M (fine-tuned on haemolytic peptides), {chains} PDB chains of 100–510 residues: "
          f"{entries:,} attention entries, {len(store.model().segments)} segments\n")  # fmt: skip

    sizes = {**parts(path), "all of it": summary.bytes}
    float16, codec = lossless_float16(path, model)
    rows = [{"what": name, "bits per entry": 8 * size / entries} for name, size in sizes.items()]
    rows.append({"what": f"float16, {codec} (for comparison)", "bits per entry": float16})
    rows.append({"what": "float32, as it is (for comparison)", "bits per entry": 32.0})
    print(text_table(pd.DataFrame(rows)))
    print(f"\nfloat16 lossless / all of it: {float16 / (8 * summary.bytes / entries):.1f}×\n")

    print(text_table(pd.DataFrame(reading(path, repeats))))
    print(f"\nimport attnstore: {import_time():.2f} s (median of 5, new processes; no torch)")


def parts(path: Path) -> dict[str, int]:
    """Bytes of the codes, arcs, marginals and the rest."""
    sizes = {"codes": 0, "bin means and counts": 0, "arcs": 0, "marginals": 0, "catalog": 0, "rest": 0}
    for file in path.rglob("*"):
        if file.is_file():
            text = file.relative_to(path).as_posix()
            kind = (
                "codes" if "codes.zarr/codes/" in text
                else "bin means and counts" if "codes.zarr/" in text
                else "arcs" if text.endswith("arcs.parquet")
                else "marginals" if "marginals.zarr/" in text
                else "catalog" if text.endswith(".duckdb") else "rest"
            )  # fmt: skip
            sizes[kind] += file.stat().st_size
    return sizes


def lossless_float16(path: Path, source: str) -> tuple[float, str]:
    """Bits per entry of float16 attention of eight chains, under the best of the usual lossless codecs."""
    language_model = load(source)
    store = attnstore.open(path)
    sequences = [sequence for (sequence,) in store.sql("SELECT sequence FROM proteins LIMIT 8").fetchall()]
    codecs = {
        f"{name}-{level} {kind}": Blosc(name, level, shuffle)
        for name, level in (("zstd", 3), ("zstd", 9), ("lz4hc", 9))
        for kind, shuffle in (("shuffle", Blosc.SHUFFLE), ("bitshuffle", Blosc.BITSHUFFLE))
    }
    sizes, count = dict.fromkeys(codecs, 0), 0

    for sequence in sequences:
        (weights,) = language_model.attention([language_model.tokens.encode(sequence)])
        halves = weights.to(torch.float16).numpy()
        count += halves.size
        for name, codec in codecs.items():
            sizes[name] += sum(len(codec.encode(np.ascontiguousarray(layer))) for layer in halves)
    best = min(sizes, key=sizes.__getitem__)
    return 8 * sizes[best] / count, best


def reading(path: Path, repeats: int) -> list[dict[str, object]]:
    """Rates of reading, warm page cache."""

    store = attnstore.open(path)
    model = store.model()
    layers = range(model.document.layers)
    protein = store.sql("SELECT id FROM proteins ORDER BY abs(length - 300) LIMIT 1").fetchall()[0][0]
    codes = median_seconds(
        lambda: [segment.codes(layer, slice(None)) for segment in model.segments for layer in layers], repeats
    )
    arcs = median_seconds(lambda: [segment.arcs(0.3) for segment in model.segments], repeats)
    rows = [
        ("open the store", median_seconds(lambda: attnstore.open(path), repeats), None),
        ("one attention matrix of 300 residues", median_seconds(lambda: store.attention(protein, 5, 4), repeats), None),
        ("all matrices of that protein", median_seconds(lambda: store.attention(protein), repeats), None),
        ("all codes", codes, model.entries / codes / 1e6),
        ("all arcs from 0.3", arcs, model.entries / arcs / 1e6),
    ]
    return [{"reading": name, "ms": 1000 * seconds, "M entries/s": rate} for name, seconds, rate in rows]


def import_time() -> float:
    code = "import time; t = time.perf_counter(); import attnstore; print(time.perf_counter() - t)"
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5)]
    return statistics.median(times)


if __name__ == "__main__":
    main()
