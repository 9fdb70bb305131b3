"""Which group of cells each pair belongs to, by its keys and by its protein."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import QueryError
from ..sql.tree import TRUE
from ..sql.weight_bands import Bands
from .cells import Array, Counted, KeyCode, Scan
from .pairs import AllPairs, ListedPairs, Pairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.codebook import Codebook

#: Groups up to this number are counted in arrays as long as it; beyond, only those that occur get a place.
DENSE = 1 << 16
#: So many cells of all heads together are counted in one array.
MOST_TOTALS = 1 << 20

#: Whole numbers that a key may take which is no property but computed from both ends.
_LEAST, _MOST = -(1 << 20), 1 << 20
#: Size of such a key.
FREE_SIZE = _MOST - _LEAST + 1


def group_of(scan: Scan, pairs: Pairs) -> Array:
    """Group of pairs by their keys, unsigned, of a shape that broadcasts to the pairs."""
    kind = np.min_scalar_type(scan.groups)
    group: Array = np.zeros(1 if isinstance(pairs, ListedPairs) else (1, 1), kind)
    for number, key in enumerate(scan.keys):
        codes = key_codes(key, pairs).astype(kind, copy=False)
        group = group * kind.type(key.size) + codes if number else codes
    return group


def passing_of(scan: Scan, pairs: Pairs) -> Array:
    """Whether pairs pass WHERE and can be attended to, bool, of a shape that broadcasts to the pairs."""
    passing: Array | None = None
    for condition in scan.where:
        true = evaluate(condition, pairs) == TRUE
        passing = true if passing is None else passing & true
    if passing is None:
        passing = np.ones(1 if isinstance(pairs, ListedPairs) else (1, 1), bool)
    if scan.causal and isinstance(pairs, AllPairs):
        passing = passing & ~np.tri(pairs.length, k=-1, dtype=bool)
    return passing


def key_codes(key: KeyCode, pairs: Pairs) -> Array:
    """Codes of a key from 0, integers of a shape that broadcasts to the pairs.

    Raises
    ------
    QueryError
        It is a number computed from both ends that is not whole.
    """
    values = evaluate(key.node, pairs)
    if key.kind == "boolean":
        return values
    if key.kind == "string":
        return values + np.int32(1)
    with np.errstate(invalid="ignore"):
        whole = (values == np.floor(values)) & (values > _LEAST) & (values < _MOST)
    if not (whole | np.isnan(values)).all():
        raise QueryError(
            "a number computed from both ends of a pair is grouped by, and is no whole number everywhere: "
            "bin it, e.g. floor(distance / 2)."
        )
    return np.where(np.isnan(values), 0, np.nan_to_num(values) - _LEAST).astype(np.int32)


def key_values(codes: Array) -> Array:
    """Values of the codes of a number computed from both ends, float64 with NaN for NULL."""
    return np.where(codes == 0, np.nan, codes.astype(np.float64) + _LEAST)


def group_ids(scan: Scan, present: Array) -> Array:
    """Ids of all groups of some groups of proteins, without the head and the bands; int64."""
    return (present[:, None] * scan.groups + np.arange(scan.groups)).ravel()


@dataclass(frozen=True, eq=False)
class Flat:
    """The group of every pair of a segment by the keys of pairs, and the runs of proteins that share a group.

    Attributes
    ----------
    begin : the first pair that the groups are of
    groups : unsigned [pairs], `size` for those that take no part; of proteins that take none they are not set
    size : number of groups
    bounds : int64 [runs, 2], where the pairs of each run begin and end
    owner : int64 [runs], its group of proteins
    proteins : number of those groups
    """

    begin: int
    groups: Array
    size: int
    bounds: Array
    owner: Array
    proteins: int

    @property
    def end(self) -> int:
        return self.begin + len(self.groups)

    def of(self, begin: int, codes: Array) -> Array:
        """Groups of the pairs from `begin` on, as many as there are codes."""
        return self.groups[begin - self.begin : begin - self.begin + len(codes)]


def flat_groups(scan: Scan, vectors: SegmentVectors, of_protein: Array, proteins: int) -> Flat:
    """Groups of pairs by the keys of pairs alone, and runs of proteins.

    Parameters
    ----------
    scan, vectors : of the segment
    of_protein : int64 [proteins], group of each, −1 for those that take no part
    proteins : number of those groups
    """
    offset = vectors.pair_offset
    starts = np.flatnonzero(np.diff(of_protein, prepend=-2))
    ends = np.append(starts[1:], len(of_protein))
    taking = of_protein[starts] >= 0
    bounds = np.stack([offset[starts[taking]], offset[ends[taking]]], axis=1)
    begin, end = (int(bounds[0, 0]), int(bounds[-1, 1])) if len(bounds) else (0, 0)
    kind = np.min_scalar_type(scan.groups)
    flat = np.empty(end - begin, kind)
    for p, protein in enumerate(vectors.proteins()):
        if of_protein[p] >= 0 and protein.length:
            own = flat[offset[p] - begin : offset[p + 1] - begin].reshape(protein.length, protein.length)
            pairs = AllPairs(protein)
            own[...] = group_of(scan, pairs)
            if scan.where:
                np.copyto(own, kind.type(scan.groups), where=~passing_of(scan, pairs))
    return Flat(begin, flat, scan.groups, bounds, of_protein[starts[taking]], proteins)


def flat_places(scan: Scan, vectors: SegmentVectors, present: Array, of_protein: Array) -> tuple[Counted, Array]:
    """The place of every pair of a segment among the groups that exist, with proteins distinguished in them.

    Parameters
    ----------
    scan, vectors : of the segment
    present : int64, groups of proteins that occur in it
    of_protein : int64 [proteins], index into `present`, −1 for those that take no part

    Returns
    -------
    counted, places
        Places are unsigned [pairs], of the smallest type that will do; the number of groups for pairs that take no
        part.
    """
    size, offset = scan.groups, vectors.pair_offset
    dense = len(present) * size < DENSE
    kind = np.min_scalar_type(len(present) * size) if dense else np.dtype(np.int64)
    excluded = len(present) * size if dense else -1
    flat = np.full(int(offset[-1]), excluded, kind)
    for p, protein in enumerate(vectors.proteins()):
        if of_protein[p] >= 0 and protein.length:
            own = flat[offset[p] : offset[p + 1]].reshape(protein.length, protein.length)
            pairs = AllPairs(protein)
            group, passing = group_of(scan, pairs), passing_of(scan, pairs)
            if dense:
                np.add(group, kind.type(of_protein[p] * size), out=own, casting="unsafe")
            else:
                np.add(group, present[of_protein[p]] * size, out=own, casting="unsafe")
            if scan.where:
                np.copyto(own, excluded, where=~passing, casting="unsafe")
    if dense:
        return Counted(scan, group_ids(scan, present)), flat
    return numbered(scan, flat)


def numbered(scan: Scan, groups: Array) -> tuple[Counted, Array]:
    """Places of group ids among those that occur; −1, for what takes no part, becomes their number."""
    ids, places = np.unique(groups, return_inverse=True)
    if len(ids) and ids[0] < 0:
        ids, places = ids[1:], np.where(places == 0, len(ids) - 1, places - 1)
    return Counted(scan, ids), places.astype(np.min_scalar_type(len(ids)))


def band_of_codes(bands: Bands, taken: Array, codebook: "Codebook") -> Array:
    """Place of each code's band among those that take part, int16 [256]; −1 for those that take none."""
    band = np.full(256, -1, np.int16)
    of_codes = bands.of_codes(codebook)
    slots = np.where(taken, np.cumsum(taken) - 1, -1)
    band[: codebook.size] = np.where(of_codes < 0, -1, slots[of_codes])
    return band
