"""What a GPU makes of the model alone, of its attention, and of the ingest up to bytes ready to write.

Run: python benchmarks/ingest_gpu.py
To try it on a CPU: --device cpu --layers 2 --heads 4 --width 64 --lengths 32 64 --seconds 0.2

The model has ProtBert's shape and random weights, scaled so that arcs are about as many as in trained models: 0.4 % of
510 × 510 weights, 3 % of 128 × 128. All chains of a measurement are of one length. A segment is the unit: its batches
through the model, over and over, for as long as `--seconds` says, after once to warm up.

forward, SDPA       the model alone, with the fused attention that shows no weights
forward, eager      with output_attentions=True, the attention thrown away
capture             attnstore's forward, softmax in float32, the weights handed over and dropped
ingest              quantised on the device, copied to pinned memory during the next segment's forward, codes
                    compressed as a store's are, on all cores, while the device goes on; with codes and without

Idle is the share of the time in which no kernel ran, by torch's profiler, of a run of its own.
"""

import argparse
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from numcodecs import zstd

from attnstore.format.codebook import DEFAULT
from attnstore.format.segment_values import LocalProteins
from attnstore.format.segment_writer import ARC_FLOOR, CHUNK_PAIRS, KEPT
from attnstore.ingest.model.capture import IMPLEMENTATION
from attnstore.ingest.model.language_model import LanguageModel, choose_device, choose_precision, pad_batch
from attnstore.ingest.model.tokens import AMINO_ACIDS, KEEP, ResidueTokens
from attnstore.ingest.plan import BATCH_PAIRS, plan_segments
from attnstore.ingest.receiver_cpu import Items
from attnstore.ingest.receiver_gpu import DeviceReceiver, Pending
from attnstore.runtime.table_output import text_table

#: Attention entries of a segment where the user does not say.
SEGMENT_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 32}

#: Standard deviation of a query's product with the keys, before the softmax.
SPREAD = 2.6

#: Segments that wait to be compressed while the next one is computed.
WAITING = 2


@dataclass(frozen=True, eq=False)
class Work:
    """A segment of proteins of one length.

    Attributes
    ----------
    model : LanguageModel
    proteins : of the segment
    batches : the tokens of each protein of each batch
    items : of each batch
    """

    model: LanguageModel
    proteins: LocalProteins
    batches: list[list[list[int]]]
    items: list[Items]

    @property
    def residues(self) -> int:
        return int(self.proteins.residue_offset[-1])

    @property
    def entries(self) -> int:
        return self.model.layers * self.model.heads * int(self.proteins.pair_offset[-1])


class Dropped:
    """A receiver that takes nothing."""

    def block(self, layer: int, item: int, head: int, weights: torch.Tensor) -> None:
        """See attnstore.ingest.model.capture.Receiver."""

    def batch(self, layer: int, weights: torch.Tensor) -> None:
        """See attnstore.ingest.model.capture.Receiver."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 510])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--batch-pairs", type=int, help="residues² in a batch")
    parser.add_argument("--segment-entries", type=int)
    options = parser.parse_args()
    device = choose_device(options.device)
    model = random_model(options, device)
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{kind}, {os.cpu_count()} cores, torch {torch.__version__}; {model.layers} layers × {model.heads} heads, "
          f"width {options.width}, {model.precision}")  # fmt: skip
    for length in options.lengths:
        work = segment_of(
            model,
            length,
            options.batch_pairs or BATCH_PAIRS[device.type],
            options.segment_entries or SEGMENT_ENTRIES[device.type],
        )
        try:
            report(work, length, options.seconds)
        except torch.OutOfMemoryError:
            print(f"{length} residues: out of memory; give smaller --batch-pairs or --segment-entries")


def random_model(options: argparse.Namespace, device: torch.device) -> LanguageModel:
    """A BERT of the shape asked for, as one that was loaded."""
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        intermediate_size=4 * options.width,
        max_position_embeddings=max(options.lengths) + 2,
    )
    precision = choose_precision(options.precision, device)
    torch.manual_seed(0)
    module = transformers.BertModel(config, add_pooling_layer=False).eval()
    # Queries and keys of normalised states have components of deviation `initializer_range` × √width.
    larger = (SPREAD / (config.initializer_range**2 * options.width)) ** 0.5
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("query.weight", "key.weight")):
                parameter *= larger
            elif name.endswith("output.dense.weight"):
                parameter *= options.layers**-0.5  # else the states of all tokens become one, layer by layer
    module.to(device=device, dtype=getattr(torch, precision))
    tokens = ResidueTokens(
        tokenizer=None, spaced=True, ids={letter: 5 + index for index, letter in enumerate(AMINO_ACIDS)}, prefix=(2,),
        suffix=(3,), pad=0, pad_left=False, settings={}, residue_map=KEEP,
    )  # fmt: skip
    return LanguageModel(
        module=module, tokens=tokens, source="random", weights_sha256="", layers=options.layers, heads=options.heads,
        max_residues=max(options.lengths), causal=False, device=device, precision=precision, check=float("nan"),
    )  # fmt: skip


def segment_of(model: LanguageModel, length: int, batch_pairs: int, segment_entries: int) -> Work:
    """As many random proteins of a length as a segment holds, in the batches of an ingest."""
    heads = model.layers * model.heads
    count = max(1, segment_entries // (heads * length**2))
    names = [str(index) for index in range(count)]
    (planned,) = plan_segments(
        [(name, length) for name in names], heads=heads, segment_entries=segment_entries, batch_pairs=batch_pairs
    )
    proteins = LocalProteins(tuple(names), ("",) * count, *[np.full(count, length, np.int64)] * 2)
    drawn = np.random.default_rng(length).choice(list(AMINO_ACIDS), size=(count, length))
    sequences = [model.tokens.encode("".join(row)) for row in drawn]
    prefix = len(model.tokens.prefix)
    chosen = [[int(name) for name in batch] for batch in planned.batches]
    return Work(
        model=model,
        proteins=proteins,
        batches=[[sequences[index] for index in batch] for batch in chosen],
        items=[
            Items(np.full(len(batch), prefix), prefix, proteins.stored[batch], np.array(batch, np.int64),
                  proteins.pair_offset[batch], proteins.residue_offset[batch])
            for batch in chosen
        ],
    )  # fmt: skip


def report(work: Work, length: int, seconds: float) -> None:
    """Measure everything at one length, and print it."""
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="compress") as pool:
        measured = {
            "forward, SDPA": lambda enough: looped(work, lambda: own_forward(work, "sdpa"), enough),
            "forward, eager": lambda enough: looped(work, lambda: own_forward(work, "eager"), enough),
            "capture": lambda enough: looped(work, lambda: captured(work), enough),
            "ingest, codes too": lambda enough: ingested(work, KEPT, pool, enough),
            "ingest, no codes": lambda enough: ingested(work, KEPT[1:], pool, enough),
        }
        rows = {name: row(work, function, seconds) for name, function in measured.items()}
        print(f"\n{length} residues: a segment is {len(work.proteins.id)} proteins, {work.entries / 1e6:,.0f} M "
              f"entries, in batches of up to {len(work.batches[0])}")  # fmt: skip
        print(text_table(pd.DataFrame([{"what": name, **columns} for name, columns in rows.items()])))
        stages = [stage for keep in (KEPT, KEPT[1:]) for stage in stages_of(work, keep, pool, seconds / 2)]
    print()
    print(text_table(pd.DataFrame([stage.row() for stage in stages])))
    for keep, whole in ((KEPT, "ingest, codes too"), (KEPT[1:], "ingest, no codes")):
        slowest = min((stage for stage in stages if stage.keep == keep), key=lambda stage: stage.rate)
        reached = rows[whole]["residues/s"] / slowest.rate
        print(f"{whole}: limited by {slowest.name}, {slowest.rate:,.0f} residues/s alone; "
              f"the whole reaches {reached:.0%} of it")  # fmt: skip


def row(work: Work, function: Callable[[float], float], seconds: float) -> dict[str, Any]:
    """What one of the ways reaches; `function` takes how long to go on, and returns the seconds of a segment."""
    cuda = work.model.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(work.model.device)
    try:
        function(0)
        took = function(seconds)
        idle = f"{idle_share(lambda: function(0)):.1%}" if cuda else "n/a"
    except torch.OutOfMemoryError:
        return {"residues/s": float("nan"), "M entries/s": float("nan"), "idle": "out of memory", "peak GiB": "n/a"}
    peak = f"{torch.cuda.max_memory_allocated(work.model.device) / 2**30:.1f}" if cuda else "n/a"
    return {
        "residues/s": work.residues / took,
        "M entries/s": work.entries / took / 1e6,
        "idle": idle,
        "peak GiB": peak,
    }


def synchronised(device: torch.device) -> float:
    """The time, when the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def looped(work: Work, function: Callable[[], object], seconds: float) -> float:
    """Mean seconds of a call, of as many as take so long, at least one."""
    calls, began = 0, synchronised(work.model.device)
    while calls == 0 or synchronised(work.model.device) - began < seconds:
        function()
        calls += 1
    return (synchronised(work.model.device) - began) / calls


def attending(model: LanguageModel, implementation: str) -> Any:
    """The module, with this attention."""
    if model.module.config._attn_implementation != implementation:
        model.module.set_attn_implementation(implementation)
    return model.module


def own_forward(work: Work, implementation: str) -> None:
    """The model by transformers' own attention."""
    module = attending(work.model, implementation)
    with torch.inference_mode():
        for batch in work.batches:
            inputs = pad_batch(work.model.tokens, batch, work.model.device)
            module(**inputs, output_attentions=implementation == "eager")


def captured(work: Work) -> None:
    """attnstore's forward pass."""
    attending(work.model, IMPLEMENTATION)
    for batch in work.batches:
        work.model.forward(batch, Dropped())


def received(work: Work, keep: Sequence[str]) -> DeviceReceiver:
    """A segment through the model, kept on the device."""
    model = work.model
    attending(model, IMPLEMENTATION)
    receiver = DeviceReceiver(work.proteins, model.layers, model.heads, DEFAULT, ARC_FLOOR, keep, model.device)
    for batch, items in zip(work.batches, work.items, strict=True):
        receiver.begin(items)
        model.forward(batch, receiver)
        receiver.end()
    return receiver


def chunks(codes: np.ndarray) -> Iterable[np.ndarray]:
    """Codes as a store cuts them."""
    for layer in codes:
        for head in layer:
            yield from (head[begin : begin + CHUNK_PAIRS] for begin in range(0, head.size, CHUNK_PAIRS))


def compressed(pending: Pending, pool: ThreadPoolExecutor) -> int:
    """Wait for a segment, and compress its codes; their bytes then."""
    codes = pending.contents().codes
    return 0 if codes is None else sum(pool.map(lambda chunk: len(zstd.compress(chunk, 1)), chunks(codes)))


def ingested(work: Work, keep: Sequence[str], pool: ThreadPoolExecutor, seconds: float) -> float:
    """Seconds of a segment among several on their way, from tokens to bytes."""
    segments, began = 0, synchronised(work.model.device)
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(1) as packer:
        while segments == 0 or time.perf_counter() - began < seconds:
            if len(waiting) == WAITING:
                waiting.popleft().result()
            waiting.append(packer.submit(compressed, received(work, keep).finish(), pool))
            segments += 1
        for future in waiting:
            future.result()
    return (time.perf_counter() - began) / segments


@dataclass(frozen=True)
class Stage:
    """A part of the ingest, alone.

    Attributes
    ----------
    keep : what is kept
    name : of what does it
    rate : residues/s
    figure : what it did, in its own units
    """

    keep: Sequence[str]
    name: str
    rate: float
    figure: str

    def row(self) -> dict[str, Any]:
        kept = "codes, arcs, marginals" if "codes" in self.keep else "arcs, marginals"
        return {"kept": kept, "stage alone": self.name, "residues/s": self.rate, "that is": self.figure}


def stages_of(work: Work, keep: Sequence[str], pool: ThreadPoolExecutor, seconds: float) -> list[Stage]:
    """The device's part, the bus's and the cores', each without the others."""
    device = work.model.device
    forward = looped(work, lambda: captured(work), seconds)
    both = looped(work, lambda: received(work, keep), seconds)
    receiver = received(work, keep)
    times = []
    for _ in range(4):
        began = synchronised(device)
        pending = receiver.finish()
        contents = pending.contents()
        times.append(time.perf_counter() - began)
    assert contents.arcs is not None
    copying = statistics.median(times[1:])  # the first pins memory
    crossed = sum(tensor.nbytes for tensor in pending.tensors.values())
    arcs = contents.arcs["weight"].size / work.entries
    stages = [
        Stage(keep, "the device", work.residues / both,
              f"{forward:.3g} s forward, {both - forward:.3g} s quantising; {arcs:.2%} arcs"),
        Stage(keep, "the bus", work.residues / copying,
              f"{crossed / copying / 1e9:.3g} GB/s, {crossed / work.entries:.3f} bytes an entry"),
    ]  # fmt: skip
    if device.type == "cpu":
        del stages[1]  # nothing is copied
    if contents.codes is not None:
        began = time.perf_counter()
        size = compressed(pending, pool)
        took = time.perf_counter() - began
        figure = f"{work.entries / took / 1e9:.3g} G entries/s, {8 * size / work.entries:.2f} bits an entry"
        stages.append(Stage(keep, f"compression on {os.cpu_count()} cores", work.residues / took, figure))
    return stages


def idle_share(function: Callable[[], object]) -> float:
    """Share of the time of a call in which no kernel runs; copies are none."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        torch.cuda.synchronize()
        began = time.perf_counter()
        function()
        torch.cuda.synchronize()
        took = time.perf_counter() - began
    kernels = [
        (event.time_range.start, event.time_range.end)
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
        and not event.is_user_annotation
        and not event.name.startswith("Memcpy")
    ]
    return 1 - covered(kernels) / 1e6 / took


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


if __name__ == "__main__":
    main()
