"""Reading a segment: the attention of some proteins under one model, immutable once the manifest lists it.

Opening it checks that every file is there with its recorded size and that the small ones have their digest; row groups,
chunks and pages are checked when they are read, once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import StoreError, first_line
from ..runtime import durable, time_limit
from ..runtime.faults import damage, machine_error
from .documents import KEEP, SEGMENTS, ModelDocument, SegmentEntry, checked_name, lacking
from .segment_files import Part, check_part, open_parquet, read_parquet, recorded_files
from .segment_values import (
    ARC_SCHEMA,
    PROTEIN_SCHEMA,
    ArcChecks,
    Array,
    LocalProteins,
    array_values,
    check_proteins,
    recorded_range,
)
from .zarr_reader import ShardedArray

#: One layer or head, or several.
Index = int | slice
ALL = slice(None)

#: Digests of files up to this size are checked when a segment is opened; larger ones only by `attnstore verify`.
SMALL_FILE = 1 << 16

#: For each tier, a file without which a segment does not contain it.
_MARKS = {
    "codes": "codes.zarr/codes/zarr.json",
    "arcs": "arcs.parquet",
    "marginals": "marginals.zarr/received/zarr.json",
    "hidden": "hidden.zarr/hidden/zarr.json",
}


@dataclass(frozen=True, eq=False)
class Segment:
    """A committed segment, open for reading. Small, so that a task can carry it.

    Attributes
    ----------
    directory : Path
        Folder of the segment.
    entry : SegmentEntry
        Its entry in the manifest.
    kept : tuple of str
        Tiers of ``layout.KEEP`` that it contains.
    arc_parts : tuple of Part
        The row groups of arcs.parquet, and its footer.
    """

    directory: Path
    entry: SegmentEntry
    kept: tuple[str, ...]
    arc_parts: tuple[Part, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return open_segment, (self.directory.absolute().parent.parent, self.entry)

    @cached_property
    def proteins(self) -> LocalProteins:
        """Its proteins; raises StoreError if their table contradicts itself."""
        path = self.directory / "proteins.parquet"
        table = read_parquet(path, PROTEIN_SCHEMA)
        numbers = {name: table[name].to_numpy().astype(np.int64) for name in ("protein", "length", "stored")}
        proteins = LocalProteins(
            tuple(table["id"].to_pylist()),
            tuple(table["sequence_sha256"].to_pylist()),
            numbers["length"],
            numbers["stored"],
        )
        check_proteins(proteins, table, f"segment {self.entry.id}", path)
        return proteins

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"segment {self.entry.id} of model {self.directory.parent.parent.name}"

    @cached_property
    def document(self) -> ModelDocument:
        """The document of the segment's model."""
        return ModelDocument.read(self.directory.parent.parent)

    def check_counts(self) -> None:
        """Raise StoreError unless it has as many proteins, residues and pairs as the manifest says."""
        proteins, entry = self.proteins, self.entry
        found = (len(proteins.id), int(proteins.residue_offset[-1]), int(proteins.pair_offset[-1]))
        if found != (entry.proteins, entry.residues, entry.pairs):
            raise StoreError(f"segment {entry.id} is damaged: its proteins are not those the manifest counts.")

    def chunks(
        self, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None
    ) -> Iterator[tuple[int, int, int, Array]]:
        """Yield the codes of :meth:`codes` as they are on disk: only one chunk is in memory at a time.

        Yields
        ------
        layer, head, begin, codes
            By layer, head and pair; uint8 of the pairs of one head from `begin` on, read-only. The boundaries of the
            arrays are not boundaries of proteins.

        Raises
        ------
        StoreError
            If a chunk is missing or fails its checksum, or codes were not kept.
        """
        array = self._array("codes", "codes.zarr/codes")
        for (at, h, first), codes in array.parts(_selection(layer, head, begin, end)):
            time_limit.check()
            yield at, h, first, codes[0, 0]

    def codes(self, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None) -> Array:
        """Codes of pairs ``begin : end``, uint8; dimensions as selected from [layer, head, pair].

        Raises
        ------
        StoreError
            If a chunk is missing or fails its checksum, or codes were not kept.
        """
        return self._read("codes", "codes.zarr/codes", layer, head, begin, end)

    def marginal(
        self, name: str, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None
    ) -> Array:
        """'received', 'emitted' or 'special' of residues ``begin : end``, float32; raises as :meth:`codes` does."""
        return self._read("marginals", f"marginals.zarr/{name}", layer, head, begin, end)

    def hidden(self, layer: Index = ALL, begin: int = 0, end: int | None = None) -> Array:
        """Representations of residues ``begin : end``, float16; dimensions as selected from [layer, residue, feature].

        Layer 0 is the embeddings. Raises as :meth:`codes` does.
        """
        slices = (layer if isinstance(layer, slice) else slice(layer, layer + 1), slice(begin, end), ALL)
        values = self._array("hidden", "hidden.zarr/hidden").read(slices)
        return values if isinstance(layer, slice) else values[0]

    @property
    def bin_mean(self) -> Array:
        """Mean weight of each code, float32 [layer, head, code]; 0 where the code does not occur."""
        return _read_bins(self, "mean")

    @property
    def bin_count(self) -> Array:
        """Number of weights of each code, uint32 [layer, head, code]."""
        return _read_bins(self, "count")

    def _read(
        self, tier: str, name: str, layer: Index = ALL, head: Index = ALL, begin: int = 0, end: int | None = None
    ) -> Array:
        time_limit.check()
        values = self._array(tier, name).read(_selection(layer, head, begin, end))
        return values[tuple(ALL if isinstance(index, slice) else 0 for index in (layer, head))]

    def _need(self, tier: str) -> None:
        if tier not in self.kept:
            model = self.directory.parent.parent.name
            raise StoreError(f"segment {self.entry.id} holds no {tier}: {lacking(model, self.kept, tier)}.")

    def _array(self, tier: str, name: str) -> ShardedArray:
        self._need(tier)
        if name not in self._arrays:
            self._arrays[name] = ShardedArray.open(
                self.directory / name, array_values(name, self.document, self.proteins)
            )
        return self._arrays[name]

    @cached_property
    def _arrays(self) -> dict[str, ShardedArray]:
        return {}

    @property
    def arcs_path(self) -> Path:
        """The Parquet file of arcs; raises StoreError where they were not kept."""
        self._need("arcs")
        return self.directory / "arcs.parquet"

    @cached_property
    def _arc_checks(self) -> ArcChecks:
        return ArcChecks(self.entry.id, self.arcs_path, len(self.arc_parts), self.document, self.proteins)

    def check_arcs(self, *, values: bool = False) -> None:
        """Check all of arcs.parquet, for a reader that does not check it itself.

        Parameters
        ----------
        values : bool, default False
            Check each value, too, not only the minima and maxima in the footer.

        Raises
        ------
        StoreError
            If a digest is wrong, or an arc refers to something that does not exist.
        """
        path = self.arcs_path
        if not path.exists():
            raise StoreError(f"segment {self.entry.id} is damaged: {path} is missing.")
        for part in self.arc_parts:
            check_part(path, part)
        with open_parquet(path, ARC_SCHEMA) as file:
            for group in range(file.metadata.num_row_groups):
                self._arc_checks.check_statistics(file, group)
        if values:
            for _ in self.arc_groups(0.0):
                pass

    def arcs(self, threshold: float, columns: Sequence[str] = ARC_SCHEMA.names, heads: Array | None = None) -> pa.Table:
        """The arcs of :meth:`arc_groups` in one table."""
        chosen = pa.schema([ARC_SCHEMA.field(name) for name in columns])
        return pa.concat_tables([chosen.empty_table(), *self.arc_groups(threshold, columns, heads)])

    def arc_groups(
        self, threshold: float, columns: Sequence[str] = ARC_SCHEMA.names, heads: Array | None = None
    ) -> Iterator[pa.Table]:
        """Yield arcs with weight ≥ threshold, at most one row group at a time; groups without such arcs are not read.

        Weights, by far the largest column, are read only if asked for or needed: not for counts at a threshold of 0.3,
        0.1 or the arc floor, which are the boundaries of row groups.

        Parameters
        ----------
        threshold : float
            Compared as float32.
        columns : sequence of str, default ARC_SCHEMA.names
            Columns of ``ARC_SCHEMA`` to read.
        heads : ndarray, optional
            bool [layers, heads], True for those to read; None for all.

        Yields
        ------
        pyarrow.Table
            The columns read, each in one chunk; rows by band of weight, layer, head, protein, source and target.

        Raises
        ------
        StoreError
            If a row group has a wrong digest, or an arc of it refers to something that does not exist; or arcs were
            not kept.
        """
        theta = np.float32(threshold)
        with open_parquet(self.arcs_path, ARC_SCHEMA) as file:
            for group in range(file.metadata.num_row_groups):
                time_limit.check()
                least, most = self._arc_checks.weights(file, group)
                if not np.float32(most) >= theta:
                    continue
                if heads is not None:
                    (layer, last_layer), (head, last_head) = (
                        recorded_range(file, group, name) for name in ("layer", "head")
                    )
                    among = heads[layer : last_layer + 1, head : last_head + 1]
                    if not among.any():
                        continue
                check_part(self.arcs_path, self.arc_parts[group])
                by_weight = not np.float32(least) >= theta
                by_head = heads is not None and not among.all()
                needed = ["weight"] * by_weight + ["layer", "head"] * by_head
                try:
                    table = file.read_row_group(group, list(dict.fromkeys([*columns, *needed])), use_threads=False)
                except (OSError, MemoryError, pa.ArrowException) as error:
                    raise damage(self.arcs_path, error) from error
                self._arc_checks.check_values(group, table, least, most)
                if by_weight:
                    table = table.filter(pa.array(table["weight"].to_numpy() >= theta))
                if heads is not None and by_head:
                    table = table.filter(pa.array(heads[table["layer"].to_numpy(), table["head"].to_numpy()]))
                yield table.select(columns)


@lru_cache(maxsize=16)
def _read_bins(segment: Segment, name: str) -> Array:
    """Only a few are cached, because a query reads head by head and their total grows with the data."""
    return segment._read("codes", f"codes.zarr/{name}")


def _selection(layer: Index, head: Index, begin: int, end: int | None) -> tuple[slice, slice, slice]:
    """Turn a single layer or head into a slice of length 1, so that all selections are slices."""
    layer, head = (index if isinstance(index, slice) else slice(index, index + 1) for index in (layer, head))
    return layer, head, slice(begin, end)


@lru_cache(maxsize=1024)
def open_segment(model_directory: Path, entry: SegmentEntry) -> Segment:
    """Open a committed segment and check that its files are as recorded.

    Raises
    ------
    StoreError
        If a file is missing, has another size, or (if small) another digest, or a Parquet file another footer.
    """
    directory = model_directory / SEGMENTS / checked_name(entry.id, "segment")
    durable.check_folder(directory)
    parts: dict[str, tuple[Part, ...]] = {}
    recorded = recorded_files(directory, entry)
    try:
        durable.check_tree(directory)
    except OSError as error:
        raise machine_error(error, f"reading {directory}") or StoreError(
            f"segment {entry.id} is damaged: {first_line(error)}."
        ) from error
    for file in recorded:
        path = directory / file.path
        parts[file.path] = file.parts
        try:
            found = path.stat().st_size
            digest = durable.sha256_file(path) if found == file.size <= SMALL_FILE else file.sha256
        except (OSError, MemoryError) as error:
            raise machine_error(error, f"reading {path}") or StoreError(
                f"segment {entry.id} is damaged: {path} is missing."
            ) from error
        if found != file.size:
            raise StoreError(f"segment {entry.id} is damaged: {path} has {found} bytes where {file.size} were written.")
        if file.size <= SMALL_FILE:
            if digest != file.sha256:
                raise StoreError(f"segment {entry.id} is damaged: {path} does not have the digest it was written with.")
        elif file.parts:
            # The footer contains the positions of everything else; row groups of arcs are checked when they are read.
            for part in file.parts if file.path == "proteins.parquet" else file.parts[-1:]:
                check_part(path, part)
    kept = tuple(what for what in KEEP if _MARKS[what] in parts)
    return Segment(directory, entry, kept, parts.get("arcs.parquet", ()))
