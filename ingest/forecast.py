"""The forecast of an ingest: space and time, measured before it starts."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError
from ..format.documents import Manifest, ModelDocument
from .compute import SequenceInput
from .plan import PlannedSegment
from .task import Done

#: Attention entries from which a trial is run: with fewer, an ingest takes seconds.
_WORTH_A_TRIAL = 1 << 28

#: Smallest trial, in attention entries: a tenth of a second on two cores, enough to fill a GPU.
_TRIAL_ENTRIES = {"cpu": 1 << 24, "cuda": 1 << 30}

#: The trial may take this part of the whole, up to this many times the smallest trial: in a small trial the fixed time
#: of a segment would be counted as a part of every entry.
_TRIAL_SHARE, _TRIAL_AT_MOST = 32, 4

#: If nothing was measured: bytes per entry for each tier, before compression; per residue and head (three float32);
#: and of a segment's documents.
_ENTRY = {"codes": 1.0, "arcs": 0.3, "marginals": 0.0, "hidden": 0.0}
_RESIDUE = 12
_SEGMENT = 100_000


@dataclass(frozen=True)
class IngestForecast:
    """The pending work and its forecast.

    Attributes
    ----------
    segments, residues, entries : numbers to compute
    bytes : expected bytes on disk
    seconds : expected seconds; None if nothing was measured
    free : bytes free on the store's disk
    """

    segments: int
    residues: int
    entries: int
    bytes: int
    seconds: float | None
    free: int

    def __str__(self) -> str:
        time = "" if self.seconds is None else f", about {_duration(self.seconds)}"
        return (
            f"{self.segments:,} segments, {self.residues:,} residues, {self.entries:,} attention entries: "
            f"about {_size(self.bytes)} of {_size(self.free)} free{time}"
        )


def trial_segment(pending: Sequence[PlannedSegment], proteins: dict[str, SequenceInput], heads: int, device: str) \
        -> PlannedSegment | None:  # fmt: skip
    """A few proteins from the middle of the pending ones, in few batches; None if the ingest is small."""
    total = _entries(pending, proteins, heads)
    if total < _WORTH_A_TRIAL:
        return None
    batches = pending[len(pending) // 2].batches
    least = _TRIAL_ENTRIES["cuda" if device.startswith("cuda") else "cpu"]
    wanted = min(max(least, total // _TRIAL_SHARE), _TRIAL_AT_MOST * least)
    middle, taken, chosen = len(batches) // 2, 0, []
    for number in sorted(range(len(batches)), key=lambda number: abs(number - middle)):
        names: list[str] = []
        for name in batches[number]:
            if taken >= wanted:
                break
            names.append(name)
            taken += heads * proteins[name].stored ** 2
        if names:
            chosen.append(tuple(names))
    return PlannedSegment(0, tuple(chosen))


def forecast_ingest(
    store: Path,
    document: ModelDocument,
    pending: Sequence[PlannedSegment],
    proteins: dict[str, SequenceInput],
    manifest: Manifest,
    trial: Done | None,
    processes: int,
    device: str,
) -> IngestForecast:
    """Combine the measures of a trial with the size of the pending work.

    Parameters
    ----------
    store : store, for the free space of its disk
    document, manifest : of the model; committed segments give the best estimate of bytes per entry
    pending : segments to compute
    proteins : by id, those of the segments
    trial : measures of the trial segment, if there was one
    processes : number of segments computed at the same time
    device : on a GPU a segment is computed while the previous one is written; on a CPU both use the same cores
    """
    heads = document.layers * document.heads
    entries = _entries(pending, proteins, heads)
    residues = sum(protein.stored for segment in pending for protein in segment.among(proteins).values())
    seconds, measured = None, [(manifest.total("pairs"), manifest.total("bytes"))]
    if trial is not None and trial.entry is not None:
        measured.append((trial.entry.pairs, trial.entry.bytes))
        both = (trial.computing, trial.writing)
        taken = max(both) if device.startswith("cuda") else sum(both)
        seconds = taken / (heads * trial.entry.pairs) * entries / processes
    pairs, size = max(measured)  # the larger gives the better estimate
    if pairs:
        expected = entries * size / (heads * pairs)
    else:
        expected = entries * sum(_ENTRY[tier] for tier in document.keep) + residues * heads * _RESIDUE
        expected += len(pending) * _SEGMENT
    return IngestForecast(
        segments=len(pending),
        residues=residues,
        entries=entries,
        bytes=round(expected),
        seconds=seconds,
        free=shutil.disk_usage(store).free,
    )


def check_disk(told: IngestForecast, store: Path) -> None:
    """Raise StoreError if the disk has too little space for the forecast."""
    if told.bytes > told.free:
        raise StoreError(
            f"{store} has {_size(told.free)} of disk left where about {_size(told.bytes)} are needed: make room, keep "
            "less (keep=['arcs', 'marginals']), or continue with force=True."
        )


def _entries(segments: Sequence[PlannedSegment], proteins: dict[str, SequenceInput], heads: int) -> int:
    return heads * sum(protein.stored**2 for segment in segments for protein in segment.among(proteins).values())


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
