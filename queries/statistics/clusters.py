"""Clusters of proteins, which are drawn, averaged and split together: each protein by itself, or families.

Homologous proteins repeat the same observation. Taken one by one they make intervals too narrow, and a half with one
member of a family is not an independent check of the half with another.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from ...arguments import check_text, nearest
from ...catalog.connection import identifier
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
    keys : one per protein; random draws depend on it and the seed
    spans : bool [proteins], whether the cluster also has proteins in other tasks
    """

    keys: tuple[str, ...]
    spans: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the clusters of some of the proteins."""
        keys = tuple(key for key, taken in zip(self.keys, chosen.tolist(), strict=True) if taken)
        return type(self)(keys, self.spans[chosen])

    def spanning(self) -> Self:
        """Return the same, with every cluster marked as having proteins in other tasks."""
        return type(self)(self.keys, np.ones(len(self.keys), bool))


def read_clusters(connection: "duckdb.DuckDBPyConnection", cluster_by: str) -> list[str | None]:
    """The value that defines each protein's cluster, in the order of protein_index: a value of a column, as text.

    `align`, `contacts`, `probe` and `report` all read clusters with this function, so that they accept the same names.

    Parameters
    ----------
    connection : of the catalog
    cluster_by : 'protein', or a column of `proteins` in any case

    Returns
    -------
    list of str or None
        None if a protein is a cluster by itself: with 'protein' always, with a column if it is NULL or NaN.

    Raises
    ------
    QueryError
        If `cluster_by` is not text, or `proteins` has no such column; the message names the nearest.
    """
    check_text("cluster_by", cluster_by)
    value = "NULL"
    if cluster_by != "protein":
        types = {name: kind for name, kind, *_ in connection.execute("DESCRIBE proteins").fetchall()}
        column = next((name for name in types if name.lower() == cluster_by.lower()), None)
        if column is None:
            near = nearest(cluster_by, ["protein", *types])
            hint = f": did you mean {near}? Name" if near else "; name"
            raise QueryError(
                f"cluster_by={cluster_by!r} is no column of proteins{hint} protein, or one of {', '.join(types)}."
            )
        value = identifier(column)
        if types[column] in ("FLOAT", "DOUBLE"):
            value = f"nullif({value}, 'NaN')"
    rows = connection.execute(f"SELECT CAST({value} AS VARCHAR) FROM proteins ORDER BY protein_index").fetchall()
    return [name for (name,) in rows]


def read_keys(connection: "duckdb.DuckDBPyConnection", cluster_by: str) -> list[str]:
    """The key of every protein's cluster, in the order of protein_index.

    With 'protein' it is the protein's id. With a column it is "cluster:" and the value as text, or, if that is NULL (or
    NaN), "protein:" and the id: such a protein is a cluster by itself, and no value can be mistaken for an id.

    Raises
    ------
    QueryError
        As :func:`read_clusters`.
    """
    values = read_clusters(connection, cluster_by)
    ids = [name for (name,) in connection.execute("SELECT id FROM proteins ORDER BY protein_index").fetchall()]
    if cluster_by == "protein":
        return ids
    return [f"protein:{name}" if value is None else f"cluster:{value}" for name, value in zip(ids, values, strict=True)]


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
    """Whether a cluster is in the half that is reported rather than in the half on which heads are ranked.

    It is if the first byte of ``blake2b(seed as 16 little-endian bytes + key in UTF-8, digest_size=16,
    person=b"attnstore-half/1")`` is odd. This is a random draw for every cluster, independent of its segment, of other
    clusters, and of the bootstrap's draws.

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
