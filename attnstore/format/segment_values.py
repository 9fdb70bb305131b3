"""The valid content of a segment: the columns of its tables, the limits of its values, and checks of both.

Readers of a segment use its numbers as indices, so each is checked here first.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError
from .codebook import TOP
from .documents import ModelDocument
from .zarr_reader import Values

Array = npt.NDArray[Any]

ARC_SCHEMA = pa.schema(
    [
        pa.field("layer", pa.uint16(), nullable=False),
        pa.field("head", pa.uint16(), nullable=False),
        pa.field("protein", pa.uint32(), nullable=False),
        pa.field("source", pa.uint32(), nullable=False),
        pa.field("target", pa.uint32(), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
    ]
)
#: Boundaries of the bands of weights; a row group contains arcs of one band.
ARC_BANDS = (0.3, 0.1)

_BANDS = np.array(ARC_BANDS, np.float32)

#: Most rows of a row group.
ARC_ROWS = 1 << 17

#: Of proteins.parquet.
PROTEIN_SCHEMA = pa.schema(
    [
        ("protein", pa.uint32()),
        ("id", pa.string()),
        ("sequence_sha256", pa.string()),
        ("length", pa.uint32()),
        ("stored", pa.uint32()),
        ("pair_offset", pa.uint64()),
        ("residue_offset", pa.uint64()),
    ]
)
#: Sums of weights kept for every residue.
MARGINALS = ("received", "emitted", "special")

#: Most residues of a protein in a segment, which has at most 2³² − 2 pairs.
_LONGEST = (1 << 16) - 1

#: Largest finite float16.
_HALF = 65504.0

#: Possible faults of an arc.
_UNKNOWN = "a value of an arc is missing"
_NO_WEIGHT = "the weight of an arc is below the floor, or above one"
_NO_PROTEIN = "an arc is of a layer, a head or a protein that is not there"
_NO_RESIDUE = "an arc is of a residue that is not there"


@dataclass(frozen=True, eq=False)
class LocalProteins:
    """The proteins of a segment, in its order.

    Attributes
    ----------
    id : tuple of str
        Identifier of each protein.
    sequence_sha256 : tuple of str
        Digest of the whole sequence.
    length : ndarray
        int64, residues of the whole sequence.
    stored : ndarray
        int64, residues that the model saw.
    """

    id: tuple[str, ...]
    sequence_sha256: tuple[str, ...]
    length: Array
    stored: Array

    @cached_property
    def pair_offset(self) -> Array:
        """Offset of each protein's pairs, and the end of the last; int64 [proteins + 1]."""
        return np.concatenate([[0], np.cumsum(self.stored.astype(np.int64) ** 2)])

    @cached_property
    def residue_offset(self) -> Array:
        """The same offsets of residues."""
        return np.concatenate([[0], np.cumsum(self.stored.astype(np.int64))])


def check_proteins(proteins: LocalProteins, table: pa.Table, what: str, path: Path) -> None:
    """Raise StoreError if a table of proteins contradicts itself.

    Parameters
    ----------
    proteins : read from it
    table : table of ``PROTEIN_SCHEMA``
    what, path : the segment and the file, for the message
    """
    length, stored = proteins.length, proteins.stored
    if (
        not np.array_equal(table["protein"].to_numpy(), np.arange(len(table)))
        or ((stored < 1) | (stored > length) | (stored > _LONGEST) | (length >= 1 << 31)).any()
        or not np.array_equal(table["pair_offset"].to_numpy(), proteins.pair_offset[:-1])
        or not np.array_equal(table["residue_offset"].to_numpy(), proteins.residue_offset[:-1])
        or len(set(proteins.id)) < len(proteins.id)
    ):
        raise StoreError(f"{what} is damaged: {path} contradicts itself in indices, lengths or offsets.")


def array_values(name: str, document: ModelDocument, proteins: LocalProteins) -> Values:
    """What an array of a segment must be: its type, its shape, and the range of its values."""
    layers, heads = document.layers, document.heads
    residues, pairs = int(proteins.residue_offset[-1]), int(proteins.pair_offset[-1])
    codes = document.edges.size
    top = float(TOP)
    return {
        "codes.zarr/codes": Values("uint8", (layers, heads, pairs), 0, codes - 1),
        "codes.zarr/mean": Values("float32", (layers, heads, codes), 0, top),
        "codes.zarr/count": Values("uint32", (layers, heads, codes), 0, pairs),
        "marginals.zarr/received": Values("float32", (layers, heads, residues), 0, top * _LONGEST),
        "marginals.zarr/emitted": Values("float32", (layers, heads, residues), 0, top * _LONGEST),
        "marginals.zarr/special": Values("float32", (layers, heads, residues), 0, top * _LONGEST),
        "hidden.zarr/hidden": Values("float16", (layers + 1, residues, None), -_HALF, _HALF),
    }[name]


class WrongArcsError(StoreError):
    """Arcs that do not belong to their segment.

    Attributes
    ----------
    problem : what is wrong with them, as a clause
    """

    def __init__(self, segment: str, group: int, path: Path, problem: str) -> None:
        super().__init__(f"segment {segment} is damaged: {problem} (row group {group} of {path}).")
        self.arguments = segment, group, path, problem
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return WrongArcsError, self.arguments


@dataclass(frozen=True, eq=False)
class ArcChecks:
    """Checks whether the arcs of a segment refer to existing layers, heads, proteins and residues.

    Attributes
    ----------
    segment, path : its id and its file of arcs, for messages
    parts : recorded parts of that file: its row groups and its footer
    document : of the model
    proteins : of the segment
    """

    segment: str
    path: Path
    parts: int
    document: ModelDocument
    proteins: LocalProteins

    def weights(self, file: pq.ParquetFile, group: int) -> tuple[Any, Any]:
        """Smallest and largest weight of a row group, as recorded, or else the limits.

        Raises
        ------
        WrongArcsError
            If the row group has too many rows, or its statistics show weights of two bands, or weights that are not
            arcs.
        """
        metadata = file.metadata.row_group(group)
        statistics = metadata.column(ARC_SCHEMA.get_field_index("weight")).statistics
        recorded = statistics is not None and statistics.has_min_max
        floor = np.float32(self.document.arc_floor)
        least, most = map(np.float32, (statistics.min, statistics.max) if recorded else (floor, TOP))
        if self.parts != file.metadata.num_row_groups + 1:
            raise self._wrong(group, f"its arcs are not in the {self.parts - 1} row groups that were written")
        if not 0 < metadata.num_rows <= ARC_ROWS:
            raise self._wrong(group, f"a row group has {metadata.num_rows} arcs, and may have from 1 to {ARC_ROWS}")
        if not (floor <= least and most <= TOP):
            raise self._wrong(group, _NO_WEIGHT)
        if recorded and any(least < edge <= most for edge in _BANDS):
            raise self._wrong(group, f"arcs above and below a weight of {' or '.join(map(str, ARC_BANDS))} are mixed")
        return least, most

    def check_statistics(self, file: pq.ParquetFile, group: int) -> None:
        """Raise WrongArcsError if the statistics of a row group show NULLs, or values that do not exist."""
        self.weights(file, group)
        longest = int(self.proteins.stored.max())
        limits = self._limits | {"source": longest, "target": longest}
        for index, name in enumerate(ARC_SCHEMA.names):
            statistics = file.metadata.row_group(group).column(index).statistics
            if statistics is None:
                continue
            if statistics.has_null_count and statistics.null_count:
                raise self._wrong(group, _UNKNOWN)
            if name in limits and statistics.has_min_max and not statistics.max < limits[name]:
                raise self._wrong(group, _NO_PROTEIN if name in self._limits else _NO_RESIDUE)

    def check_values(self, group: int, table: pa.Table, least: Any, most: Any) -> None:
        """Raise WrongArcsError unless the arcs of a row group refer to what exists, and are in order."""
        read = (group, *table.column_names)
        if read in self._passed:
            return
        if any(table[name].null_count for name in table.column_names):
            raise self._wrong(group, _UNKNOWN)
        values = {name: table[name].to_numpy() for name in table.column_names}
        if values.keys() >= set(ARC_SCHEMA.names[:-1]):
            from .arc_kernels import wrong_arcs

            wrong = wrong_arcs(
                *(values[name] for name in ARC_SCHEMA.names[:-1]),
                values.get("weight", np.empty(0, np.float32)), self.proteins.stored, self.proteins.pair_offset,
                self.document.layers, self.document.heads, least, most,
            )  # fmt: skip
            problem = self._problem(values, least, most) or "its arcs are not in order" if wrong else None
        else:
            problem = self._problem(values, least, most)
        if problem:
            raise self._wrong(group, problem)
        self._passed.add(read)

    def _problem(self, values: dict[str, Array], least: Any, most: Any) -> str | None:
        """What is wrong with the columns of some arcs, apart from their order."""
        weight = values.get("weight", np.empty(0, np.float32))
        if not ((weight >= np.float32(self.document.arc_floor)) & (weight <= TOP)).all():
            return _NO_WEIGHT
        if not ((weight >= least) & (weight <= most)).all():
            return "the weight of an arc lies outside what its row group has recorded of the least and the largest"
        if any((values[name] >= limit).any() for name, limit in self._limits.items() if name in values):
            return _NO_PROTEIN
        if "protein" in values:
            stored = self.proteins.stored[values["protein"]]
            if any((values[name] >= stored).any() for name in ("source", "target") if name in values):
                return _NO_RESIDUE
        return None

    @property
    def _limits(self) -> dict[str, int]:
        """Numbers of layers, heads and proteins."""
        return {"layer": self.document.layers, "head": self.document.heads, "protein": len(self.proteins.id)}

    @cached_property
    def _passed(self) -> set[tuple[int | str, ...]]:
        """Row groups whose values were checked: number, and columns. They cannot change after that."""
        return set()

    def _wrong(self, group: int, problem: str) -> WrongArcsError:
        return WrongArcsError(self.segment, group, self.path, problem)


def recorded_range(file: pq.ParquetFile, group: int, column: str) -> tuple[Any, Any]:
    """Smallest and largest value in a row group, as recorded; else no limits."""
    statistics = file.metadata.row_group(group).column(ARC_SCHEMA.get_field_index(column)).statistics
    if statistics is None or not statistics.has_min_max:
        return (-np.inf, np.inf) if column == "weight" else (0, 1 << 16)
    return statistics.min, statistics.max
