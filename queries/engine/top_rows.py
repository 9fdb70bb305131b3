"""The first rows of a block by ORDER BY … LIMIT, kept while rows are found: never more than that, and one batch.

Rows that tie in all that is ordered by stand in the order of model, layer, head, protein (as the catalog has it),
source and target, so that the same question has the same answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: layer, head, protein (local index), source, target, the keys, and the weights' columns.
Batch = Mapping[str, Array]

#: Batches are put together until there are so many rows more than wanted.
_SLACK = 1 << 16
_TIES = ("layer", "head", "__protein", "source", "target")


@dataclass(frozen=True)
class Order:
    """One part of ORDER BY: a column of a batch, NULL being 0 in codes of strings, 1 in truth values, or NaN."""

    column: str
    kind: str
    descending: bool
    nulls_first: bool


@dataclass(frozen=True)
class Top:
    """What is wanted: the first rows by some columns."""

    orders: tuple[Order, ...]
    number: int


@dataclass(frozen=True, eq=False)
class TopRows:
    """Rows in their order.

    Attributes
    ----------
    top : what they are the first of
    columns : as of `rows`, and `__protein`, int64: the protein's index in the catalog
    """

    top: Top
    columns: Batch

    def combine(self, other: "TopRows") -> "TopRows":
        """The first rows of both."""
        return _first(self.top, [self.columns, other.columns])

    def __len__(self) -> int:
        return len(self.columns["layer"]) if self.columns else 0

    def sort_keys(self) -> list[Array]:
        """What sorts as ORDER BY does, the first first, without the ties."""
        return _sort_keys(self.top, self.columns)[: -len(_TIES)]


class Best:
    """The first rows of those that were added."""

    def __init__(self, top: Top) -> None:
        self._top = top
        self._found = TopRows(top, {})
        self._waiting: list[Batch] = []
        self._number = 0

    @property
    def by_weight(self) -> bool:
        """Whether the weight decides first."""
        return self._top.orders[0].column == "weight"

    @property
    def descending(self) -> bool:
        """Whether the largest are wanted of what decides first."""
        return self._top.orders[0].descending

    @property
    def least(self) -> float | None:
        """Weight of the last row; None while there are fewer rows than wanted."""
        if len(self._found) < self._top.number:
            return None
        return float(self._found.columns["weight"][-1])

    def may_hold(self, weight: Array) -> npt.NDArray[np.bool_]:
        """Which weights a row may have that is still to be among the first."""
        least = self.least
        if least is None:
            return np.ones(len(weight), bool)
        return np.asarray(weight >= least if self.descending else weight <= least)

    def add(self, batch: Batch) -> None:
        """Look at further rows."""
        found = len(self._found)
        if found == self._top.number:
            batch = _before(self._top, batch, self._found.columns)
        self._waiting.append(batch)
        self._number += len(batch["layer"])
        if self._number > max(self._top.number, _SLACK) or found < self._top.number <= found + self._number:
            self._settle()

    def _settle(self) -> None:
        found = [self._found.columns] if self._found.columns else []
        self._found = _first(self._top, [*found, *self._waiting])
        self._waiting, self._number = [], 0

    def rows(self) -> TopRows:
        """The first rows of all that were added."""
        if self._waiting:
            self._settle()
        return self._found


def _first(top: Top, parts: list[Batch]) -> TopRows:
    parts = [part for part in parts if part]
    if not parts:
        return TopRows(top, {})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    chosen = np.lexsort(_sort_keys(top, columns)[::-1])[: top.number]
    return TopRows(top, {name: values[chosen] for name, values in columns.items()})


def _before(top: Top, batch: Batch, found: Batch) -> Batch:
    """The rows of a batch that come before the last of those found."""
    last = _sort_keys(top, {name: values[-1:] for name, values in found.items()})
    before, same = np.zeros(len(batch["layer"]), bool), np.ones(len(batch["layer"]), bool)
    for key, worst in zip(_sort_keys(top, batch), last, strict=True):
        before |= same & (key < worst)
        same &= key == worst
    return {name: values[before] for name, values in batch.items()}


def _sort_keys(top: Top, columns: Batch) -> list[Array]:
    """What sorts as ORDER BY does, the first first: of each column whether it is NULL, and the value; then the ties."""
    keys: list[Array] = []
    for order in top.orders:
        values = columns[order.column]
        null = np.isnan(values) if order.kind == "number" else values == _NULL.get(order.kind, -1)
        shown = np.where(null, 0, values.astype(np.float64))
        keys += [null != order.nulls_first, -shown if order.descending else shown]
    return keys + [columns[name] for name in _TIES]


_NULL = {"string": 0, "boolean": 1}
