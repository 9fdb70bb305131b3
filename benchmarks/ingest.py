"""How long an ingest and its stages take compared with the model alone, and whether memory grows with the data.

Run: python benchmarks/ingest.py [--chains 60] [--repeats 5] [--no-memory]

The bare forward is transformers' own, eager, with `output_attentions=True`, over the same batches, the attention thrown
away. Ingests and forwards alternate; the model's loading is left out, everything else is in: reading and catalog,
forecast, digests, flushing, manifest.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from real_chains import read_chains, write_chains
from timing import median_seconds

from attnstore import fetch
from attnstore.format.codebook import DEFAULT
from attnstore.format.segment_values import LocalProteins
from attnstore.format.segment_writer import ARC_FLOOR, CHUNK_PAIRS, KEPT, SegmentContents, write_segment
from attnstore.ingest import ingest
from attnstore.ingest.model.language_model import LanguageModel, load, pad_batch, spans_of
from attnstore.ingest.plan import BATCH_PAIRS, SEGMENT_ENTRIES, PlannedSegment, plan_segments
from attnstore.ingest.receiver_cpu import HostReceiver, Items
from attnstore.runtime.table_output import text_table

#: Residues² of batches that eager attention is fastest with here: their weights stay in the third-level cache.
SMALL = BATCH_PAIRS["cpu"] // 2

#: What is kept, with the most that the whole may take of the bare forward.
KINDS = {"codes, arcs, marginals": (KEPT, 1.5), "arcs, marginals": (KEPT[1:], 1.15)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-memory", action="store_true", help="leave out the 600 chains")
    parser.add_argument("--peak", metavar="FASTA", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.peak:
            print(json.dumps(peak_memory(Path(scratch), options.peak)))
            return
        ratios(Path(scratch), options.chains, options.repeats)
        stages(Path(scratch), options.chains, options.repeats)
    if not options.no_memory:
        memory(options.chains)


def ratios(scratch: Path, chains: int, repeats: int) -> None:
    model, fasta = fetch.esm2_model(), scratch / "chains.fasta"
    write_chains(fasta, chains)
    sequences = read_chains(chains)
    bare = load(str(model))
    bare.module.set_attn_implementation("eager")
    batches = {
        pairs: [
            pad_batch(bare.tokens, [bare.tokens.encode(sequences[name]) for name in batch], torch.device("cpu"))
            for segment in planned(bare, sequences, pairs)
            for batch in segment.batches
        ]
        for pairs in (BATCH_PAIRS["cpu"], SMALL)
    }
    entries = bare.layers * bare.heads * sum(len(sequence) ** 2 for sequence in sequences.values())

    def whole(number: int, keep: tuple[str, ...]) -> float:
        store = scratch / f"store{number}-{len(keep)}"
        return ingest(store, [fasta], model=str(model), name="esm2", keep=keep).seconds

    def forward(pairs: int) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for batch in batches[pairs]:
                bare.module(**batch, output_attentions=True)
        return time.perf_counter() - started

    whole(-1, KEPT)  # compiles the kernels and loads every library, so that no repeat pays for it
    forward(SMALL)
    times: dict[str, list[float]] = {name: [] for name in (*KINDS, "bare", "small")}
    for repeat in range(repeats):
        times["bare"].append(forward(BATCH_PAIRS["cpu"]))
        times["small"].append(forward(SMALL))
        for name, (keep, _) in KINDS.items():
            times[name].append(whole(repeat, keep))
    print(f"ESM-2 8M (fine-tuned on haemolytic peptides), {chains} PDB chains of 100–510 residues: "
          f"{entries:,} attention entries\n")  # fmt: skip
    names = {
        "bare": "bare eager forward, attentions thrown away",
        "small": "the same in batches of half the size",
        **{name: f"whole ingest, {name} (at most {most})" for name, (_, most) in KINDS.items()},
    }
    rows = [
        row(what, entries, times[name], [a / b for a, b in zip(times[name], times["bare"], strict=True)])
        for name, what in names.items()
    ]
    print(text_table(pd.DataFrame(rows)))


def row(what: str, entries: int, times: list[float], of_bare: list[float]) -> dict[str, object]:
    return {
        "what": what,
        "seconds": statistics.median(times),
        "M entries/s": entries / statistics.median(times) / 1e6,
        "× bare, median": statistics.median(of_bare),
        "least": min(of_bare),
        "most": max(of_bare),
    }


def planned(model: LanguageModel, sequences: dict[str, str], pairs: int = BATCH_PAIRS["cpu"]) -> list[PlannedSegment]:
    lengths = [(name, len(sequence)) for name, sequence in sequences.items()]
    heads = model.layers * model.heads
    return plan_segments(lengths, heads=heads, segment_entries=SEGMENT_ENTRIES["cpu"], batch_pairs=pairs)


class Nothing:
    """A receiver that drops what it is given."""

    def block(self, layer: int, item: int, head: int, weights: torch.Tensor) -> None:
        pass

    def batch(self, layer: int, weights: torch.Tensor) -> None:
        pass


def stages(scratch: Path, chains: int, repeats: int) -> None:
    """Each stage alone, over the same segments: an ingest overlaps those of a segment with those of the next."""
    model, sequences = load(str(fetch.esm2_model())), read_chains(chains)
    plan = planned(model, sequences)
    entries = model.layers * model.heads * sum(len(sequence) ** 2 for sequence in sequences.values())

    def forward(keep: tuple[str, ...] | None) -> list[SegmentContents]:
        found = []
        for segment in plan:
            local = proteins_of(segment, sequences)
            receiver = HostReceiver(local, model.layers, model.heads, DEFAULT, ARC_FLOOR, keep or ())
            first = 0
            for batch in segment.batches:
                chosen = np.arange(first, first + len(batch))
                first += len(batch)
                tokens = [model.tokens.encode(sequences[name]) for name in batch]
                if keep is None:
                    model.forward(tokens, Nothing())
                    continue
                start = np.array(spans_of(model.tokens, tokens).begin) + len(model.tokens.prefix)
                places = (local.pair_offset[chosen], local.residue_offset[chosen])
                receiver.begin(Items(start, len(model.tokens.prefix), local.stored[chosen], chosen, *places))
                model.forward(tokens, receiver)
                receiver.end()
            if keep is not None:
                found.append(receiver.finish())
        return found

    def write(contents: list[SegmentContents]) -> None:
        for number, segment in enumerate(contents):
            write_segment(scratch / "stages", number, segment, CHUNK_PAIRS, 2)

    whole, less = (forward(keep) for keep, _ in KINDS.values())
    figures = {
        "forward in blocks, weights dropped": median_seconds(lambda: forward(None), repeats),
        "… and all of it quantised": median_seconds(lambda: forward(KEPT), repeats),
        "… and arcs and marginals alone": median_seconds(lambda: forward(KEPT[1:]), repeats),
        "write (compression, digests, flushing): codes, arcs, marginals": median_seconds(lambda: write(whole), repeats),
        "write (compression, digests, flushing): arcs, marginals": median_seconds(lambda: write(less), repeats),
    }
    print("\nStages alone, both cores\n")
    print(text_table(pd.DataFrame(
        {"stage": name, "seconds": time_, "M entries/s": entries / time_ / 1e6} for name, time_ in figures.items()
    )))  # fmt: skip


def proteins_of(segment: PlannedSegment, sequences: dict[str, str]) -> LocalProteins:
    lengths = np.array([len(sequences[name]) for name in segment.proteins], np.int64)
    return LocalProteins(tuple(segment.proteins), ("0" * 64,) * len(lengths), lengths, lengths)


def peak_memory(scratch: Path, fasta: Path) -> dict[str, float]:
    before = peak_so_far()
    summary = ingest(scratch / "store", [fasta], model=str(fetch.esm2_model()), name="esm2")
    return {"chains": summary.proteins, "entries": summary.entries, "segments": summary.segments_written,
            "peak, MB": peak_so_far(), "of it imports, MB": before, "seconds": summary.seconds}  # fmt: skip


def peak_so_far() -> float:
    """Of this process, in MB; the figure of getrusage is at least that of the process that started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def memory(chains: int) -> None:
    rows = []
    for count in (chains, 3 * chains, 10 * chains):
        with tempfile.TemporaryDirectory() as scratch:
            # In this process: reading the package of all chains takes more memory than an ingest.
            fasta = Path(scratch) / "chains.fasta"
            write_chains(fasta, count)
            command = [sys.executable, __file__, "--peak", str(fasta)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print("\nMemory, each in a process of its own\n")
    print(text_table(pd.DataFrame(rows)))
    few, more, most = (row["peak, MB"] for row in rows)
    print(f"\npeak: {most / few:.2f} × that of a tenth of the chains, {most / more:.2f} × that of three tenths")


if __name__ == "__main__":
    main()
