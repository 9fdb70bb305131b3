"""Which group of cells each pair belongs to, by its keys and by its protein."""

import numpy as np

from ...errors import QueryError
from ..sql.tree import TRUE
from .cells import Array, Counted, KeyCode, Scan
from .pairs import AllPairs, ListedPairs, Pairs, evaluate
from .vectors import SegmentVectors

#: Groups up to this number are counted in arrays as long as it; beyond, only those that occur get a place.
DENSE = 1 << 16

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
    """Whether pairs pass WHERE, bool, of a shape that broadcasts to the pairs."""
    passing: Array = np.ones(1 if isinstance(pairs, ListedPairs) else (1, 1), bool)
    for condition in scan.where:
        passing = passing & (evaluate(condition, pairs) == TRUE)
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


def flat_groups(scan: Scan, vectors: SegmentVectors, present: Array, of_protein: Array) -> tuple[Counted, Array]:
    """The place of every pair of a segment among the groups that there are.

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
