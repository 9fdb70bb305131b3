"""Training and test proteins: never of the same cluster."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import QueryError
from ..statistics.bootstrap import SEED_BYTES
from .probe_tasks import ProbePart

Array = npt.NDArray[Any]

_PERSON = b"attnstore-test/1"


def draw_tested(keys: Sequence[str], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Whether a cluster is for test rather than training.

    It is for test if the first eight bytes, little-endian, of ``blake2b(seed as 16 little-endian bytes + key in UTF-8,
    digest_size=16, person=b"attnstore-test/1")`` are below share · 2⁶⁴. This is a random draw for every cluster,
    independent of the other clusters, the property and the model, and of the bootstrap's draws.

    Parameters
    ----------
    keys : sequence of str
        Of clusters.
    share : float
        Expected share of clusters that are tested on.
    seed : int
        In [0, 2¹²⁸).
    """
    prefix, limit = seed.to_bytes(SEED_BYTES, "little"), int(share * 2**64)
    digests = (hashlib.blake2b(prefix + key.encode(), digest_size=16, person=_PERSON).digest() for key in keys)
    return np.array([int.from_bytes(digest[:8], "little") < limit for digest in digests], bool)


@dataclass(frozen=True, eq=False)
class Split:
    """The proteins of a model, those of all segments one after the other.

    Attributes
    ----------
    tested : bool [proteins]
    known, true : int64 [proteins], number of examples, and of those that are true
    rows : training examples of each protein that has any, by its index
    bounds : int64 [segments + 1], index of the first protein of each segment, and the end of the last
    clusters : of each protein
    """

    tested: Array
    known: Array
    true: Array
    rows: Mapping[int, Array]
    bounds: Array
    clusters: tuple[str, ...]

    @classmethod
    def draw(
        cls,
        parts: Sequence[ProbePart],
        order: Sequence[int],
        counts: Sequence[tuple[int, int]],
        *,
        share: float,
        examples: int,
        seed: int,
    ) -> "Split":
        """Separate test clusters, and draw the training examples.

        Parameters
        ----------
        parts : the segments
        order : index in the catalog of each of their proteins; examples are numbered in that order, so that the draw
            does not depend on the segments
        counts : number of examples of each protein, and of those that are true
        share, seed : as of `draw_tested`
        examples : how many to draw, of all that are not tested on; all, where there are no more
        """
        clusters = tuple(key for part in parts for key in part.clusters)
        known, true = np.array(counts, np.int64).reshape(-1, 2).T
        apart = draw_tested(clusters, share, seed)
        ordered = [place for place in np.argsort(order).tolist() if known[place] and not apart[place]]
        ends = np.cumsum(known[ordered])
        total = int(ends[-1]) if ordered else 0
        if total <= examples:
            rows = {place: np.arange(known[place]) for place in ordered}
        else:
            drawn = np.sort(np.random.default_rng(seed).choice(total, examples, replace=False, shuffle=False))
            cuts = np.split(drawn, np.searchsorted(drawn, ends[:-1]))
            begins = ends - known[ordered]
            each = zip(ordered, cuts, begins.tolist(), strict=True)
            rows = {place: own - begin for place, own, begin in each if own.size}
        bounds = np.cumsum([0, *(len(part.clusters) for part in parts)])
        return cls(apart, known, true, rows, bounds, clusters)

    def learnt_in(self, segment: int) -> dict[int, Array]:
        """Rows of the training examples, by the protein's index in a segment."""
        begin, end = self.bounds[segment : segment + 2].tolist()
        return {place - begin: self.rows[place] for place in range(begin, end) if place in self.rows}

    def tested_in(self, segment: int) -> tuple[int, ...]:
        """Indices in a segment of the test proteins."""
        begin, end = self.bounds[segment : segment + 2].tolist()
        return tuple(np.flatnonzero(self.tested[begin:end] & (self.known[begin:end] > 0)).tolist())

    @property
    def true_share(self) -> float:
        """Share of true examples among all training examples."""
        learnt = ~self.tested
        return float(self.true[learnt].sum() / self.known[learnt].sum())

    @property
    def summary(self) -> dict[str, int]:
        """Number of proteins, clusters and examples on each side, and of examples drawn."""
        found: dict[str, int] = {}
        for side, members in (("train", ~self.tested), ("test", self.tested)):
            members = members & (self.known > 0)
            found |= {
                f"{side}_proteins": int(members.sum()),
                f"{side}_clusters": len({self.clusters[place] for place in np.flatnonzero(members).tolist()}),
                f"{side}_examples": int(self.known[members].sum()),
                f"{side}_true": int(self.true[members].sum()),
            }
        return found | {"learnt_from": sum(map(len, self.rows.values()))}

    def by_protein(self, parts: Sequence[ProbePart]) -> dict[str, bool]:
        """Whether each protein with known values is a test protein, by id."""
        ids = [name for part in parts for name in part.segment.proteins.id]
        return {ids[place]: bool(self.tested[place]) for place in np.flatnonzero(self.known).tolist()}

    def check(self, condition: str) -> None:
        """Raise QueryError unless there are examples for training and for test."""
        if not self.known.any():
            raise QueryError(
                f"the condition `{condition}` is known nowhere in what the model saw: `store.annotate(INPUT)` adds "
                "values."
            )
        for side, members in (("learn from", ~self.tested), ("test on", self.tested)):
            known, true = int(self.known[members].sum()), int(self.true[members].sum())
            if not known:
                raise QueryError(
                    f"no cluster with known values of `{condition}` is left to {side}: choose another seed "
                    "(seed=1), more to test on (test_share=0.5), or finer clusters (cluster_by='protein')."
                )
            if true in (0, known):
                what = "true" if true else "false"
                raise QueryError(
                    f"`{condition}` is {what} in all that there is to {side}, {known:,} examples: there is nothing to "
                    "distinguish; choose another condition or seed (seed=1)."
                )
