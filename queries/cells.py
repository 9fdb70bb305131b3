"""One segment's cells: pairs of each head counted by keys and band of weight; and how two segments' combine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import QueryError
from .pairs import TRUE, AllPairs, ListedPairs, Pairs, evaluate
from .steps import Bands
from .tree import Kind, Node
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ..codebook import Codebook
    from ..segment import Segment

Array = npt.NDArray[Any]
Tier = Literal["pairs", "marginals", "arcs", "codes"]

#: Up to so many groups a histogram of code × group stays in the cache, and is the faster.
_HISTOGRAM_GROUPS = 1024
#: Up to so many counts the codes are passed over once for each, by vector instructions, and that is the fastest.
_RANGES = 16
#: Groups up to this number are counted in arrays as long as it; beyond, only those that occur get a place.
_DENSE = 1 << 16
#: Whole numbers that a key may take which is no property but computed from two.
_LEAST, _MOST = -(1 << 20), 1 << 20

_SIDES = ("", "_min", "_max")


@dataclass(frozen=True)
class KeyCode:
    """A key as whole numbers from 0, 0 being NULL but for truth values, which are Kleene codes.

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
    protein_groups : number of groups that proteins are told apart by
    end : 'source' or 'target', of a scan of marginals
    """

    tier: Tier
    codebook: "Codebook"
    heads: npt.NDArray[np.bool_]
    where: tuple[Node, ...]
    keys: tuple[KeyCode, ...]
    measures: tuple[MeasureCode, ...]
    bands: Bands
    taken: npt.NDArray[np.bool_]
    reverse: Bands | None
    sums: frozenset[str]
    extremes: frozenset[str]
    protein_groups: int
    end: str | None

    @property
    def groups(self) -> int:
        """Combinations of the keys, whether they occur or not."""
        return int(np.prod([key.size for key in self.keys], dtype=object)) if self.keys else 1

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


def run(scan: Scan, segment: "Segment", vectors: SegmentVectors, protein_group: Array, memory_limit: int) -> CellTable:
    """Count one segment.

    Parameters
    ----------
    scan : Scan
    segment : Segment
    vectors : of the segment's proteins, in its order
    protein_group : int64 [proteins], in which group of proteins each is; −1 for those that take no part
    memory_limit : bytes that the cells may take

    Raises
    ------
    QueryError
        A key is no whole number, or there are more cells than fit the memory.
    StoreError
        What is read of the segment is damaged.
    """
    if not (protein_group >= 0).any():
        return _Counted(scan, np.zeros(0, np.int64)).table([])
    present, local = np.unique(protein_group[protein_group >= 0], return_inverse=True)
    of_protein = np.full(len(protein_group), -1, np.int64)
    of_protein[protein_group >= 0] = local
    read = {"arcs": _from_arcs, "codes": _from_codes, "marginals": _from_residues, "pairs": _from_residues}
    if scan.tier == "pairs" and scan.end is None:
        found = _from_pairs(scan, segment, vectors, present, of_protein)
    else:
        found = read[scan.tier](scan, segment, vectors, present, of_protein)
    size = found.id.nbytes + sum(values.nbytes for values in found.columns.values())
    if size > memory_limit:
        raise QueryError(
            f"the groups of one segment alone take {size / 1e9:.3g} GB: group by fewer or coarser properties, or "
            "raise memory_limit."
        )
    return found


class _Counted:
    """Flat arrays of one head's cells, [groups · bands · reverse bands], and the ids of its groups.

    Parameters
    ----------
    scan : Scan
    groups : int64 [groups], id of each without the head and the bands
    """

    def __init__(self, scan: Scan, groups: Array) -> None:
        self.scan, self.groups = scan, groups
        *_, self.bands, self.reverse_bands = scan.shape
        self.size = len(groups) * self.bands * self.reverse_bands

    def ids(self, head: int | Array, places: Array) -> Array:
        """Ids of cells of a head, by their places."""
        group, band = np.divmod(places, self.bands * self.reverse_bands)
        per_head = self.scan.protein_groups * self.scan.groups
        return (head * per_head + self.groups[group]) * (self.bands * self.reverse_bands) + band

    def table(self, parts: list[tuple[Array, dict[str, Array]]]) -> CellTable:
        """Cells of several heads, by increasing head."""
        if not parts:
            empty: dict[str, Array] = {name: np.zeros(0, kind) for name, kind in columns_of(self.scan).items()}
            return CellTable(np.zeros(0, np.int64), empty)
        ids = np.concatenate([part[0] for part in parts])
        columns = {name: np.concatenate([part[1][name] for part in parts]) for name in columns_of(self.scan)}
        order = np.argsort(ids, kind="stable")
        return CellTable(ids[order], {name: values[order] for name, values in columns.items()})


def columns_of(scan: Scan) -> dict[str, type]:
    """Names and types of the columns of a scan's cells."""
    sides = _SIDES if scan.tier == "codes" else ("",)
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


def group_of(scan: Scan, pairs: Pairs) -> Array:
    """Group of pairs by their keys, int64, of a shape that broadcasts to the pairs; −1 where WHERE is not TRUE."""
    kind = np.int32 if scan.groups < 1 << 31 else np.int64
    group: Array = np.zeros(1 if isinstance(pairs, ListedPairs) else (1, 1), kind)
    for key in scan.keys:
        codes = key_codes(key, pairs)
        group = group * kind(key.size) + codes if group.any() else codes
    for condition in scan.where:
        group = np.where(evaluate(condition, pairs) == TRUE, group, -1)
    return group


def key_codes(key: KeyCode, pairs: Pairs) -> Array:
    values = evaluate(key.node, pairs)
    if key.kind == "boolean":
        return values.astype(np.int32)
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


def key_values(key: KeyCode, codes: Array) -> Array:
    """Values of a free number's codes, float64 with NaN for NULL."""
    return np.where(codes == 0, np.nan, codes.astype(np.float64) + _LEAST)


#: Size of a key that is computed from both ends.
FREE_SIZE = _MOST - _LEAST + 1


def _flat_groups(scan: Scan, vectors: SegmentVectors, present: Array, of_protein: Array) -> tuple[_Counted, Array]:
    """The cells' groups, and the place among them of every pair of the segment; −1 for those that take no part."""
    offset = vectors.pair_offset
    groups = np.full(int(offset[-1]), -1, np.int64)
    for p, protein in enumerate(vectors.proteins()):
        if of_protein[p] >= 0 and protein.length:
            own = groups[offset[p] : offset[p + 1]].reshape(protein.length, protein.length)
            own[...] = group_of(scan, AllPairs(protein))
    of_pair = np.repeat(of_protein, vectors.stored**2)
    return _placed(scan, groups, of_pair, present)


def _ids(scan: Scan, present: Array) -> Array:
    """Ids of all groups of some groups of proteins, without the head and the bands."""
    return (present[:, None] * scan.groups + np.arange(scan.groups)).ravel()


def _placed(scan: Scan, groups: Array, of_protein: Array, present: Array) -> tuple[_Counted, Array]:
    """Groups by keys and of proteins, made one, and each pair's place among those; −1 stays −1."""
    size = scan.groups
    if len(present) * size <= _DENSE:
        ids = _ids(scan, present)
        places = np.where(groups < 0, -1, of_protein * size + groups)
    else:
        whole = np.where(groups < 0, -1, present[of_protein] * size + groups)
        ids, places = np.unique(whole, return_inverse=True)
        if len(ids) and ids[0] < 0:
            ids, places = ids[1:], places - 1
    return _Counted(scan, ids), places.astype(np.int32)


def _from_codes(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array
) -> CellTable:
    from . import cell_kernels as kernels

    counted, groups = _flat_groups(scan, vectors, present, of_protein)
    band = band_of_codes(scan.bands, scan.taken, scan.codebook)
    measured = _measured(scan, vectors, of_protein)
    simple = scan.reverse is None and not measured and len(counted.groups) <= _HISTOGRAM_GROUPS
    weighed = bool(scan.sums or scan.extremes)
    counted_only = simple and not weighed and len(counted.groups) * counted.bands <= _RANGES
    if simple:
        # A group of their own for pairs that take no part; the smaller the type, the faster.
        groups = np.where(groups < 0, len(counted.groups), groups).astype(
            np.uint8 if len(counted.groups) < 256 else np.uint16
        )
    ranges = _ranges(band)
    edges = np.zeros((3, 256))
    edges[1, : scan.codebook.size], edges[2, : scan.codebook.size] = scan.codebook.lower, scan.codebook.upper
    parts = []
    for layer in np.flatnonzero(scan.heads.any(axis=1)).tolist():
        for head in np.flatnonzero(scan.heads[layer]).tolist():
            values = edges.copy()
            if weighed or measured:
                values[0, : scan.codebook.size] = segment.bin_mean[layer, head]
            if counted_only:
                found = _of_ranges(counted, segment.chunks(layer, head), groups, ranges)
            elif simple:
                table = np.zeros((len(counted.groups) + 1, 256), np.int64)
                for *_, begin, codes in segment.chunks(layer, head):
                    kernels.histogram(codes, groups[begin : begin + len(codes)], table)
                found = _of_histogram(scan, counted, table[:-1], values, band)
            else:
                found = _of_pairs(scan, counted, segment, layer, head, groups, values, band, measured)
            full = np.flatnonzero(found["__n"])
            row = layer * scan.heads.shape[1] + head
            parts.append((counted.ids(row, full), {name: found[name][full] for name in columns_of(scan)}))
    return counted.table(parts)


def band_of_codes(bands: Bands, taken: Array | None, codebook: "Codebook") -> Array:
    """Band of each code, int16 [256]; −1 for those that take no part."""
    band = np.full(256, -1, np.int16)
    band[: codebook.size] = bands.of_codes(codebook)
    if taken is not None:
        band[band >= 0] = np.where(taken[band[band >= 0]], band[band >= 0], -1)
    return band


def _ranges(band: Array) -> tuple[Array, Array, Array]:
    """Bands that take part, with the first and last code of each: the codes of a band lie together."""
    taken = np.unique(band[band >= 0])
    low = np.array([np.flatnonzero(band == one)[0] for one in taken], np.uint8)
    high = np.array([np.flatnonzero(band == one)[-1] for one in taken], np.uint8)
    return taken, low, high


def _of_ranges(
    counted: _Counted,
    chunks: Iterator[tuple[int, int, int, Array]],
    groups: Array,
    ranges: tuple[Array, Array, Array],
) -> dict[str, Array]:
    from . import cell_kernels as kernels

    taken, low, high = ranges
    counts = np.zeros((len(counted.groups), len(taken)), np.int64)
    for *_, begin, codes in chunks:
        kernels.count_ranges(codes, groups[begin : begin + len(codes)], low, high, counts)
    found = np.zeros((len(counted.groups), counted.bands), np.int64)
    found[:, taken] = counts
    return {"__n": found.ravel()}


def _of_histogram(scan: Scan, counted: _Counted, table: Array, values: Array, band: Array) -> dict[str, Array]:
    member = (band[:, None] == np.arange(counted.bands)).astype(np.float64)
    found = {"__n": (table @ member.astype(np.int64)).ravel()}
    for which, side in enumerate(_SIDES):
        if "weight" in scan.sums:
            found[f"__weight_sum{side}"] = ((table * values[which]) @ member).ravel()
        if "weight" in scan.extremes:
            # Codes are in the order of weights.
            occurs = (table > 0)[:, :, None] & (member > 0)
            first, last = occurs.argmax(axis=1), 255 - occurs[:, ::-1].argmax(axis=1)
            found[f"__weight_minimum{side}"] = values[which][first].ravel()
            found[f"__weight_maximum{side}"] = values[which][last].ravel()
    return found


def _of_pairs(
    scan: Scan,
    counted: _Counted,
    segment: "Segment",
    layer: int,
    head: int,
    groups: Array,
    values: Array,
    band: Array,
    measured: dict[str, Array],
) -> dict[str, Array]:
    """The cells of one head, pair by pair: for keys of many values, measures, and the pair the other way round."""
    from . import cell_kernels as kernels

    size, proteins = counted.size, segment.proteins
    codes = segment.codes(layer, head)
    reverse, reverse_band = codes, np.zeros(256, np.int16)
    if scan.reverse is not None:
        reverse, reverse_band = np.empty_like(codes), band_of_codes(scan.reverse, None, scan.codebook)
        kernels.transpose_pairs(codes, proteins.pair_offset, proteins.stored, reverse)
    counts, sums, reverse_sums = np.zeros(size, np.int64), np.zeros((3, size)), np.zeros((3, size))
    extremes, reverse_extremes = (np.repeat(np.array([[255], [0]], np.uint8), size, axis=1) for _ in range(2))
    shape = (counted.bands, counted.reverse_bands)
    kernels.count_codes(
        codes, reverse, groups, band, reverse_band, *shape, values, values, counts, sums, extremes, reverse_sums,
        reverse_extremes,
    )  # fmt: skip
    found: dict[str, Array] = {"__n": counts}
    for which, side in enumerate(_SIDES):
        for column, total, most in (("weight", sums, extremes), ("reverse_weight", reverse_sums, reverse_extremes)):
            found[f"__{column}_sum{side}"] = total[which]
            found[f"__{column}_minimum{side}"] = values[which][most[0]]
            found[f"__{column}_maximum{side}"] = values[which][most[1]]
    for own, measure in measured.items():
        known, summed = np.zeros(size, np.int64), np.zeros(size)
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        weighted, weight = np.zeros((2, 3, size))
        kernels.measure_codes(
            codes, reverse, groups, band, reverse_band, *shape, values, measure, known, summed, low, high, weighted,
            weight,
        )  # fmt: skip
        found |= {f"{own}_n": known, f"{own}_sum": summed, f"{own}_low": low, f"{own}_high": high}
        for which, side in enumerate(_SIDES):
            found[f"{own}_weighted{side}"], found[f"{own}_weight{side}"] = weighted[which], weight[which]
    return found


def _measured(scan: Scan, vectors: SegmentVectors, of_protein: Array) -> dict[str, Array]:
    """Measures of every pair of the segment, float64; those of proteins that take no part are not computed."""
    offset = vectors.pair_offset
    found = {measure.column: np.full(int(offset[-1]), np.nan) for measure in scan.measures}
    for p, protein in enumerate(vectors.proteins() if found else ()):
        if of_protein[p] >= 0 and protein.length:
            pairs = AllPairs(protein)
            for measure in scan.measures:
                own = found[measure.column][offset[p] : offset[p + 1]].reshape(protein.length, protein.length)
                own[...] = evaluate(measure.node, pairs)
    return found


def _from_arcs(scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array) -> CellTable:
    from . import cell_kernels as kernels

    row = np.where(scan.heads, np.arange(scan.heads.size).reshape(scan.heads.shape), -1)
    threshold = scan.bands.lower[np.argmax(scan.taken)]
    size = scan.heads.size * len(present) * scan.groups * len(scan.bands.lower)
    numbered = np.append(of_protein, len(present))
    empty = _Counted(scan, np.zeros(0, np.int64)).table([])
    dense = size <= _DENSE * 16
    counted = _Counted(scan, _ids(scan, present)) if dense else None
    totals = _Totals(scan, size) if dense else None
    sparse: list[CellTable] = []
    for arcs in segment.arc_groups(threshold, heads=None if scan.heads.all() else scan.heads):
        layer, head, protein, source, target, weight = (column.to_numpy() for column in arcs.columns)
        pairs = ListedPairs(vectors, protein, source, target)
        at = np.empty(len(weight), np.int64)
        kernels.places(
            layer, head, protein, weight, group_of(scan, pairs), numbered, row, scan.bands.lower, scan.taken,
            scan.groups, at,
        )  # fmt: skip
        if totals is not None:
            totals.add(pairs, at, weight)
            continue
        # Too many places for an array of all of them: those that occur are numbered.
        occurring, inverse = np.unique(at, return_inverse=True)
        if len(occurring) and occurring[0] < 0:
            occurring, inverse = occurring[1:], inverse - 1
        part = _Totals(scan, len(occurring))
        part.add(pairs, inverse.astype(np.int64), weight)
        bands = len(scan.bands.lower)
        heads, within = np.divmod(occurring, len(present) * scan.groups * bands)
        group, band = np.divmod(within, bands)
        local, own = np.divmod(group, scan.groups)
        ids = ((heads * scan.protein_groups + present[local]) * scan.groups + own) * bands + band
        sparse.append(CellTable(ids, part.columns()))
    if totals is not None and counted is not None:
        full = np.flatnonzero(totals.found["__n"])
        heads, within = np.divmod(full, counted.size)
        return counted.table([(counted.ids(heads, within), totals.columns(full))])
    return reduce(CellTable.combine, sparse, empty)


class _Totals:
    """Flat arrays of cells that arcs are added to, row group after row group."""

    def __init__(self, scan: Scan, size: int) -> None:
        self._scan = scan
        self.found: dict[str, Array] = {
            "__n": np.zeros(size, np.int64), "__weight_sum": np.zeros(size),
            "__weight_minimum": np.full(size, np.inf), "__weight_maximum": np.zeros(size),
        }  # fmt: skip
        for measure in scan.measures:
            own = measure.column
            self.found |= {f"{own}_n": np.zeros(size, np.int64), f"{own}_low": np.full(size, np.inf)}
            self.found |= {f"{own}_{what}": np.zeros(size) for what in ("sum", "weighted", "weight")}
            self.found[f"{own}_high"] = np.full(size, -np.inf)

    def add(self, pairs: ListedPairs, at: Array, weight: Array) -> None:
        """Add arcs at their places, −1 for those that take no part."""
        from . import cell_kernels as kernels

        found = self.found
        names = ("__n", "__weight_sum", "__weight_minimum", "__weight_maximum")
        kernels.count_arcs(at, weight, *(found[name] for name in names))
        for measure in self._scan.measures:
            values = np.broadcast_to(evaluate(measure.node, pairs), len(weight)).astype(np.float64)
            whats = ("n", "sum", "low", "high", "weighted", "weight")
            kernels.measure_arcs(at, weight, values, *(found[f"{measure.column}_{what}"] for what in whats))

    def columns(self, at: Array | slice = slice(None)) -> dict[str, Array]:
        """The columns wanted, of some places."""
        return {name: self.found[name][at] for name in columns_of(self._scan)}


def _from_pairs(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array
) -> CellTable:
    """Cells of a question that asks nothing of attention: the same for every head."""
    counted, groups = _flat_groups(scan, vectors, present, of_protein)
    inside = groups >= 0
    found = _of_numbers(counted, groups[inside], np.ones(int(inside.sum()), np.int64), {
        own: values[inside] for own, values in _measured(scan, vectors, of_protein).items()
    })  # fmt: skip
    return _for_each_head(scan, counted, [(row, found) for row in np.flatnonzero(scan.heads.ravel()).tolist()])


def _from_residues(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, present: Array, of_protein: Array
) -> CellTable:
    """Cells of a question about one end only, from the marginals of residues; without them where no weight counts."""
    groups = np.full(int(vectors.residue_offset[-1]), -1, np.int64)
    measured = {measure.column: np.full(len(groups), np.nan) for measure in scan.measures}
    for p, protein in enumerate(vectors.proteins()):
        if of_protein[p] >= 0 and protein.length:
            part = slice(*vectors.residue_offset[p : p + 2].tolist())
            pairs = AllPairs(protein)
            groups[part] = np.broadcast_to(group_of(scan, pairs).ravel(), protein.length)
            for measure in scan.measures:
                measured[measure.column][part] = np.broadcast_to(evaluate(measure.node, pairs).ravel(), protein.length)
    counted, places = _placed(scan, groups, np.repeat(of_protein, vectors.stored), present)
    inside = places >= 0
    at, times = places[inside], np.repeat(vectors.stored, vectors.stored)[inside]
    shared = _of_numbers(counted, at, times, {own: values[inside] for own, values in measured.items()})
    rows = np.flatnonzero(scan.heads.ravel()).tolist()
    if scan.tier == "pairs":
        return _for_each_head(scan, counted, [(row, shared) for row in rows])
    heads = []
    marginal = segment.marginal("received" if scan.end == "target" else "emitted")
    marginal = marginal.reshape(-1, marginal.shape[-1])
    for row in rows:
        weight = marginal[row][inside].astype(np.float64)
        found = {**shared, "__weight_sum": np.bincount(at, weight, counted.size)}
        for own, values in measured.items():
            known = ~np.isnan(values[inside])
            v, w, place = values[inside][known], weight[known], at[known]
            found[f"{own}_weighted"] = np.bincount(place, w * v, counted.size)
            found[f"{own}_weight"] = np.bincount(place, w, counted.size)
        heads.append((row, found))
    return _for_each_head(scan, counted, heads)


def _of_numbers(counted: _Counted, at: Array, times: Array, measured: Mapping[str, Array]) -> dict[str, Array]:
    """What cells hold that is not of attention: rows at places, each standing for `times` pairs."""
    found = {"__n": np.bincount(at, times, counted.size).astype(np.int64)}
    for own, values in measured.items():
        known = ~np.isnan(values)
        v, place = values[known], at[known]
        low, high = np.full(counted.size, np.inf), np.full(counted.size, -np.inf)
        np.minimum.at(low, place, v)
        np.maximum.at(high, place, v)
        found |= {
            f"{own}_n": np.bincount(place, times[known], counted.size).astype(np.int64),
            f"{own}_sum": np.bincount(place, times[known] * v, counted.size),
            f"{own}_low": low,
            f"{own}_high": high,
        }
    return found


def _for_each_head(scan: Scan, counted: _Counted, heads: list[tuple[int, dict[str, Array]]]) -> CellTable:
    parts = []
    for row, found in heads:
        full = np.flatnonzero(found["__n"])
        parts.append((counted.ids(row, full), {name: found[name][full] for name in columns_of(scan)}))
    return counted.table(parts)
