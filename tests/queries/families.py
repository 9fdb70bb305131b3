"""Brute force over whole float32 matrices for statistics over clusters of proteins, and stores that name clusters."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from scipy import optimize, stats

from attnstore.format.documents import StoreDocument
from tests.synthetic import Condition, Protein, matrix, write_store


def write_families(path: Path, proteins: list[Protein], families: Sequence[Any], per_segment: int = 2) -> None:
    """A store whose proteins say their `family` in a column of text, None where they have none."""
    write_store(path, proteins, per_segment=per_segment)
    add_column(path, "family", "VARCHAR", families)


def add_column(path: Path, name: str, kind: str, values: Sequence[Any]) -> None:
    """Give the table proteins of a store a column, one value a protein."""
    catalog = path / str(StoreDocument.read(path).catalog)
    quoted = '"' + name.replace('"', '""') + '"'
    with duckdb.connect(str(catalog)) as connection:
        connection.execute(f"CREATE TEMP TABLE added (place INTEGER, value {kind})")
        connection.executemany("INSERT INTO added VALUES (?, ?)", [list(row) for row in enumerate(values)])
        connection.execute(
            f"CREATE OR REPLACE TABLE proteins AS SELECT proteins.*, added.value AS {quoted} "
            "FROM proteins JOIN added ON place = protein_index ORDER BY protein_index"
        )


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums per protein, [proteins, layers, heads], and pairs per protein."""

    true: np.ndarray
    known: np.ndarray
    pairs_true: np.ndarray
    pairs_known: np.ndarray

    def of(self, rows: Iterable[int]) -> "Tally":
        at = np.array(list(rows), int)
        return Tally(self.true[at], self.known[at], self.pairs_true[at], self.pairs_known[at])

    @property
    def share(self) -> np.ndarray:
        """The ratio of sums."""
        with np.errstate(invalid="ignore"):
            return self.true.sum(0) / self.known.sum(0)


def tally(
    proteins: list[Protein],
    condition: Condition,
    theta: float,
    *,
    where: Condition | None = None,
    weighted: bool = False,
) -> Tally:
    rows: list[tuple[Any, ...]] = []
    for protein in proteins:
        state = matrix(protein, condition)
        if where is not None:
            state[matrix(protein, where) != 1] = -1
        value = protein.weights.astype(float) if weighted else np.ones(protein.weights.shape, int)
        value = value * (protein.weights >= np.float32(theta))
        rows.append(
            (
                (value * (state == 1)).sum((-1, -2)),
                (value * (state >= 0)).sum((-1, -2)),
                (state == 1).sum(),
                (state >= 0).sum(),
            )
        )
    return Tally(*(np.array(column) for column in zip(*rows, strict=True)))


def members(keys: Sequence[str]) -> dict[str, list[int]]:
    """Proteins of each cluster."""
    found: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return found


def keys_of(proteins: list[Protein], families: Sequence[Any]) -> list[str]:
    """Keys as the documentation of `cluster_by` has them."""
    return [
        f"protein:{protein.id}" if family is None else f"cluster:{family}"
        for protein, family in zip(proteins, families, strict=True)
    ]


def draws(key: str, replicates: int, seed: int) -> np.ndarray:
    """Poisson(1) weights of a cluster, int [replicates], from their published definition."""
    digest = hashlib.blake2b(seed.to_bytes(16, "little") + key.encode(), digest_size=16, person=b"attnstore-boot/1")
    raw = np.random.Philox(key=int.from_bytes(digest.digest(), "little")).random_raw(replicates)
    return stats.poisson(1).ppf(raw / 2**64).astype(int)


def in_reported_half(key: str, seed: int) -> bool:
    """The half of a cluster, from its published definition."""
    digest = hashlib.blake2b(seed.to_bytes(16, "little") + key.encode(), digest_size=16, person=b"attnstore-half/1")
    return digest.digest()[0] % 2 == 1


def intervals(numer: np.ndarray, denom: np.ndarray, weights: np.ndarray, level: float) -> np.ndarray:
    """[2, layers, heads], from the definition in `cluster_interval`, a head at a time.

    Clusters come first in `numer` and `denom`; weights are [clusters, replicates].
    """
    ends = np.full((2, *numer.shape[1:]), np.nan)
    for at in np.ndindex(numer.shape[1:]):
        rows = (slice(None), *at)
        if (denom[rows] > 0).sum() >= 5:
            ends[rows] = _interval(numer[rows].astype(float), denom[rows].astype(float), weights, level)
    return ends


def _interval(x: np.ndarray, y: np.ndarray, weights: np.ndarray, level: float) -> tuple[float, float]:
    p, whole, replicates = x.sum() / y.sum(), y.sum(), weights.shape[1]
    residual = [w @ x - p * (w @ y) for w in weights.T.astype(float)]
    beyond = [w @ y - whole for w in weights.T.astype(float)]
    second, third = np.mean(np.power(residual, 2)), np.mean(np.power(residual, 3))
    mixed, sizes = np.mean(np.power(residual, 2) * beyond), np.mean(np.power(beyond, 2))
    effective = max(whole**2 / sizes, 1)
    degrees = max(1 / (1 / (effective - 1) + 1 / (replicates - 1)), 1) if effective > 1 else 1
    t = stats.t(degrees).ppf((1 + level) / 2)
    trials, skew = effective, 0.0
    if 0 < p < 1 and second > (1e-9 * whole) ** 2:
        trials = p * (1 - p) / (second / whole**2 * (1 + 2 * min(max(mixed / second / whole, 0), 1)))
        skew = min(max(third / second**1.5, -1), 1)

    def end(extreme: float, reach: float) -> float:
        def excess(q: float) -> float:
            return (p - q) ** 2 - reach**2 * q * (1 - q) / trials

        # At p = 0 and 1 one end is p itself.
        if p == extreme:
            return extreme
        return optimize.brentq(excess, p + 1e-12 * (1 if extreme else -1), extreme, xtol=1e-14, rtol=1e-14)

    longer = t + abs(skew) * (1 + 2 * t**2) / 6
    return end(0.0, longer if skew < 0 else t), end(1.0, longer if skew > 0 else t)
