"""Which proteins are drawn, averaged and set apart together: each alone, or families of them.

Homologous proteins say the same thing many times over. Taken one by one they make intervals too narrow, and a
half that holds one of a family is no independent check of the half that holds another.
"""

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from ...catalog.quoting import identifier
from ...errors import QueryError
from .bootstrap import SEED_BYTES

if TYPE_CHECKING:
    import duckdb

_PERSON = b"attnstore-half/1"


@dataclass(frozen=True, eq=False)
class Clusters:
    """The cluster of each protein of a task.

    Attributes
    ----------
    keys : one per protein; what is drawn at random follows from it and the seed
    spans : bool [proteins], whether the cluster has proteins in other tasks, too
    """

    keys: tuple[str, ...]
    spans: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Return those of some of the proteins."""
        keys = tuple(key for key, taken in zip(self.keys, chosen.tolist(), strict=True) if taken)
        return type(self)(keys, self.spans[chosen])

    def spanning(self) -> Self:
        """Return the same, each taken to have proteins in other tasks."""
        return type(self)(self.keys, np.ones(len(self.keys), bool))


def read_keys(connection: "duckdb.DuckDBPyConnection", cluster_by: str) -> list[str]:
    """The key of every protein's cluster, in the order of protein_index.

    By 'protein' it is the protein's id. By a column it is "cluster:" and the value as text, or, where that is NULL
    (or NaN), "protein:" and the id: such a protein stands alone, and no value can be taken for an id.

    Raises
    ------
    QueryError
        If `proteins` has no such column; the message names the closest.
    """
    if cluster_by == "protein":
        key = "id"
    else:
        types = {name: kind for name, kind, *_ in connection.execute("DESCRIBE proteins").fetchall()}
        column = next((name for name in types if name.lower() == cluster_by.lower()), None)
        if column is None:
            raise QueryError(f"cluster_by={cluster_by!r} is no column of proteins{_nearest(cluster_by, list(types))}.")
        value = identifier(column)
        if types[column] in ("FLOAT", "DOUBLE"):
            value = f"nullif({value}, 'NaN')"
        key = f"coalesce('cluster:' || CAST({value} AS VARCHAR), 'protein:' || id)"
    rows = connection.execute(f"SELECT {key} FROM proteins ORDER BY protein_index").fetchall()
    return [name for (name,) in rows]


def _nearest(name: str, columns: list[str]) -> str:
    found = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], n=1, cutoff=0.5)
    closest = next((column for column in columns if found and column.lower() == found[0]), None)
    hint = f": did you mean {closest}? Name" if closest else "; name"
    return f"{hint} protein, or one of {', '.join(columns)}"


def assign(keys: Sequence[str], segments: Iterable[Sequence[int]]) -> list[Clusters]:
    """The clusters of each segment's proteins.

    Parameters
    ----------
    keys : of all proteins, by protein_index
    segments : protein_index of the proteins of each
    """
    import pandas as pd

    numbers, _ = pd.factorize(np.asarray(keys, object))
    found = np.zeros(len(keys), np.int64)
    parts = [np.array(part, np.int64) for part in segments]
    for part in parts:
        found[np.unique(numbers[part])] += 1
    return [Clusters(tuple(keys[index] for index in part.tolist()), found[numbers[part]] > 1) for part in parts]


def held_out(keys: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Whether a cluster is in the half that is reported rather than the one on which heads are ranked.

    It is where the first byte of ``blake2b(seed as 16 little-endian bytes + key in UTF-8, digest_size=16,
    person=b"attnstore-half/1")`` is odd: a coin for every cluster, whatever its segment and company, and
    independent of the bootstrap's draws.

    Parameters
    ----------
    keys : of clusters
    seed : in [0, 2¹²⁸)

    Returns
    -------
    ndarray of bool [len(keys)]
    """
    prefix = seed.to_bytes(SEED_BYTES, "little")
    digests = (hashlib.blake2b(prefix + key.encode(), digest_size=16, person=_PERSON).digest() for key in keys)
    return np.array([digest[0] & 1 for digest in digests], bool)
