"""Cells: the pairs of a head that agree in every key and whose weights lie in one band; how two segments' combine."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..sql.tree import Kind, Node
from ..sql.weight_bands import Bands

if TYPE_CHECKING:
    from ...format.codebook import Codebook

Array = npt.NDArray[Any]
#: Rows of some heads, and their cells by column, [rows, cells].
Heads = Iterator[tuple[list[int], Mapping[str, Array]]]
Tier = Literal["pairs", "marginals", "arcs", "codes"]

#: Endings of the columns of a sum of weights from codes: by the bins' means, and its bounds by their edges.
SIDES = ("", "_min", "_max")


@dataclass(frozen=True)
class KeyCode:
    """A key as whole numbers from 0, 0 being NULL; truth values are Kleene codes.

    Attributes
    ----------
    node : evaluates to truth values, to codes of strings (−1 for NULL), or to whole numbers
    size : how many there are
    """

    node: Node
    size: int

    @property
    def kind(self) -> Kind:
        return self.node.kind


@dataclass(frozen=True)
class MeasureCode:
    """A measure: its columns' prefix, its expression, and whether it is wanted times the weight."""

    column: str
    node: Node
    weighted: bool


@dataclass(frozen=True, eq=False)
class Scan:
    """What a task reads of its segment, and what it counts; picklable.

    Attributes
    ----------
    tier : what is read
    codebook : of the model
    heads : bool [layers, heads], those that take part
    where : conditions on pairs, all of which must be TRUE
    keys, measures : of the cells
    bands, taken : of the weight, and which of them take part
    reverse : the same of the weight of the pair the other way round; None where nothing asks for it
    sums, extremes : the columns wanted of "weight" and "reverse_weight"
    protein_groups : number of groups of proteins that are distinguished
    end : 'source' or 'target', where everything depends on that end alone
    causal : of a scan of pairs alone: only those whose source is at or after their target
    """

    tier: Tier
    codebook: "Codebook"
    heads: npt.NDArray[np.bool_]
    where: tuple[Node, ...]
    keys: tuple[KeyCode, ...]
    bands: Bands
    taken: npt.NDArray[np.bool_]
    measures: tuple[MeasureCode, ...] = ()
    reverse: Bands | None = None
    sums: frozenset[str] = frozenset()
    extremes: frozenset[str] = frozenset()
    protein_groups: int = 1
    end: str | None = None
    causal: bool = False

    @property
    def groups(self) -> int:
        """Combinations of the keys, whether they occur or not."""
        return math.prod(key.size for key in self.keys)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a cell's id: head, group of proteins, one for each key, band, reverse band."""
        return (
            self.heads.size, self.protein_groups, *(key.size for key in self.keys), len(self.bands.lower),
            len(self.reverse.lower) if self.reverse else 1,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class CellTable:
    """Cells with something in them.

    Attributes
    ----------
    id : int64 [cells], increasing: a place in an array of `Scan.shape`
    columns : by name, [cells]; how two combine follows from the name
    """

    id: Array
    columns: Mapping[str, Array]

    def combine(self, other: "CellTable") -> "CellTable":
        """The cells of both."""
        both = np.concatenate([self.id, other.id])
        if len(self.id) == 0 or len(other.id) == 0 or self.id[-1] < other.id[0]:
            joined = {name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()}
            return CellTable(both, joined)
        order = np.argsort(both, kind="stable")
        both = both[order]
        starts = np.flatnonzero(np.concatenate([[True], both[1:] != both[:-1]]))
        columns = {
            name: reducer(name).reduceat(np.concatenate([values, other.columns[name]])[order], starts)
            for name, values in self.columns.items()
        }
        return CellTable(both[starts], columns)


def reducer(column: str) -> np.ufunc:
    """How a column of two cells becomes one."""
    what = column.removesuffix("_min").removesuffix("_max").rpartition("_")[2]
    return {"minimum": np.minimum, "low": np.minimum, "maximum": np.maximum, "high": np.maximum}.get(what, np.add)


def columns_of(scan: Scan) -> dict[str, type]:
    """Names and types of the columns of a scan's cells."""
    sides = SIDES if scan.tier == "codes" else ("",)
    found: dict[str, type] = {"__n": np.int64}
    for column in sorted(scan.sums):
        found |= {f"__{column}_sum{side}": np.float64 for side in sides}
    for column in sorted(scan.extremes):
        for which in ("minimum", "maximum"):
            found |= {f"__{column}_{which}{side}": np.float64 for side in sides}
    for measure in scan.measures:
        own = measure.column
        found |= {f"{own}_n": np.int64, f"{own}_sum": np.float64, f"{own}_low": np.float64, f"{own}_high": np.float64}
        if measure.weighted:
            found |= {f"{own}_{what}{side}": np.float64 for what in ("weighted", "weight") for side in sides}
    return found


class Counted:
    """Flat arrays of one head's cells, [groups · bands that take part · reverse bands], and the ids of its groups.

    Parameters
    ----------
    scan : Scan
    groups : int64 [groups], id of each without the head and the bands
    """

    def __init__(self, scan: Scan, groups: Array) -> None:
        self.scan, self.groups = scan, groups
        *_, self._all_bands, self.reverse_bands = scan.shape
        self._taken = np.flatnonzero(scan.taken)
        self.bands = len(self._taken)
        self.size = len(groups) * self.bands * self.reverse_bands

    def ids(self, head: int | Array, places: Array) -> Array:
        """Ids of cells of a head, by their places."""
        group, within = np.divmod(places, self.bands * self.reverse_bands)
        band, reverse = np.divmod(within, self.reverse_bands)
        per_head = self.scan.protein_groups * self.scan.groups
        own = (head * per_head + self.groups[group]) * self._all_bands + self._taken[band]
        return own * self.reverse_bands + reverse

    def filled(self, head: int, found: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Ids and columns of a head's cells with something in them."""
        places = np.flatnonzero(found["__n"])
        return self.ids(head, places), {name: found[name][places] for name in columns_of(self.scan)}

    def table(self, parts: list[tuple[Array, dict[str, Array]]]) -> CellTable:
        """Cells of several heads, by increasing head."""
        if not parts:
            empty: dict[str, Array] = {name: np.zeros(0, kind) for name, kind in columns_of(self.scan).items()}
            return CellTable(np.zeros(0, np.int64), empty)
        ids = np.concatenate([part[0] for part in parts])
        columns = {name: np.concatenate([part[1][name] for part in parts]) for name in columns_of(self.scan)}
        order = np.argsort(ids, kind="stable")
        return CellTable(ids[order], {name: values[order] for name, values in columns.items()})
