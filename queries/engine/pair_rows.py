"""Rows of a block without aggregates: a pair and head each, found segment by segment and handed on in batches."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...runtime import time_limit
from .cells import Scan
from .groups import band_of_codes, key_codes, passing_of
from .pairs import AllPairs, ListedPairs, evaluate
from .top_rows import Batch, Best, Top, TopRows
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...format.segment import Segment

Array = npt.NDArray[Any]

#: Rows of the first batch, so that whoever reads three waits for no more, and of the largest.
_FIRST, _LARGEST = 1 << 11, 1 << 18
#: Proteins that take part are read in one go where no more pairs than this lie between them: a chunk of codes.
_GAP = 1 << 19


def rows(
    scan: Scan,
    segment: "Segment",
    vectors: SegmentVectors,
    taking_part: npt.NDArray[np.bool_],
    best: Best | None = None,
) -> Iterator[Batch]:
    """Rows of one segment, in growing batches; no more is read than the batches asked for need.

    Parameters
    ----------
    scan : of tier 'arcs' or 'codes'
    segment : Segment
    vectors : of the segment's proteins, in its order
    taking_part : bool [proteins]
    best : the rows found so far of the first ones by weight: what cannot be among them is left out, and the heads
        that promise most come first

    Yields
    ------
    Batch
        Columns `layer`, `head`, `protein`, `source`, `target`, `__key0` and on, codes or numbers, one for each key,
        and for "weight" and "reverse_weight" as far as they are wanted themselves and, from codes, `_min` and `_max`.

    Raises
    ------
    StoreError
        What is read of the segment is damaged.
    QueryError
        The time that the question may take is over.
    """
    if taking_part.any() and scan.taken.any():
        read = _from_arcs if scan.tier == "arcs" else _from_codes
        for batch in read(scan, segment, vectors, taking_part, best):
            time_limit.check()
            yield batch


def first_rows(
    top: Top, scan: Scan, segment: "Segment", vectors: SegmentVectors, taking_part: Array, places: Sequence[int]
) -> TopRows:
    """A task: the first rows of one segment.

    Parameters
    ----------
    top : what is wanted
    scan, segment, vectors, taking_part : as of :func:`rows`, which raises
    places : index of each of the segment's proteins in the catalog
    """
    best = Best(top)
    index = np.asarray(places, np.int64)
    for batch in rows(scan, segment, vectors, taking_part, best):
        best.add({**batch, "__protein": index[batch["protein"]]})
    return best.rows()


def _batches(scan: Scan, pairs: ListedPairs, columns: dict[str, Array], size: int) -> Iterator[Batch]:
    """A batch of some pairs, without those that do not pass; the columns are of the pairs."""
    keep = np.flatnonzero(np.broadcast_to(passing_of(scan, pairs), size))
    if len(keep):
        found = {name: values[keep] for name, values in columns.items()}
        for number, key in enumerate(scan.keys):
            # A number of both ends has no codes, and a row has no need of them.
            values = evaluate(key.node, pairs) if key.kind == "number" else key_codes(key, pairs)
            found[f"__key{number}"] = np.broadcast_to(values, size)[keep]
        yield found


def _slices(size: int, first: int) -> Iterator[slice]:
    """Parts of a growing size, from `first` on."""
    begin = 0
    while begin < size:
        yield slice(begin, begin + first)
        begin, first = begin + first, min(2 * first, _LARGEST)


def _from_arcs(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, taking_part: Array, best: Best | None
) -> Iterator[Batch]:
    size = _FIRST
    for theta in _thresholds(scan, segment, best):
        for arcs in segment.arc_groups(float(theta[0]), heads=None if scan.heads.all() else scan.heads):
            columns = {name: column.to_numpy() for name, column in zip(arcs.column_names, arcs.columns, strict=True)}
            weight = columns["weight"]
            band = np.searchsorted(scan.bands.lower, weight, side="right") - 1
            keep = scan.taken[band] & taking_part[columns["protein"]] & (weight < theta[1])
            if best is not None and best.by_weight:
                keep &= best.may_hold(weight)
            at = np.flatnonzero(keep)
            for part in _slices(len(at), size):
                chosen = {name: values[at[part]] for name, values in columns.items()}
                pairs = ListedPairs(vectors, *(chosen[name] for name in ("protein", "source", "target")))
                yield from _batches(scan, pairs, chosen, len(chosen["layer"]))
            size = min(size + len(at), _LARGEST)


def _thresholds(scan: Scan, segment: "Segment", best: Best | None) -> Iterator[tuple[np.float32, np.float32]]:
    """Ranges of the weight to read one after the other: where the largest are wanted, those come first."""
    least, above = scan.bands.lower[np.argmax(scan.taken)], np.float32(2)
    if best is not None and best.by_weight and best.descending:
        # Row groups are cut at this weight.
        high = np.float32(0.3)
        if least < high:
            yield high, above
            if best.least is not None and best.least >= high:
                return
            above = high
    yield least, above


def _from_codes(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, taking_part: Array, best: Best | None
) -> Iterator[Batch]:
    offset, stored = vectors.pair_offset, vectors.stored
    passing = np.zeros(int(offset[-1]), bool)
    wanted = band_of_codes(scan.bands, scan.taken, scan.codebook) >= 0
    lower, upper = scan.codebook.lower, scan.codebook.upper
    proteins = vectors.proteins()
    seen = np.zeros(len(stored), bool)
    size = _FIRST
    for layer, head in _in_order(scan, segment, wanted, best):
        mean = segment.bin_mean[layer, head]
        for first, last in _stretches(offset, taking_part):
            begin, end = int(offset[first]), int(offset[last])
            whole = segment.codes(layer, head, begin, end) if scan.reverse is not None else None
            for *_, at_pair, codes in segment.chunks(layer, head, begin, end):
                # Conditions on pairs are evaluated once, when the first head comes to the protein.
                among = range(*np.searchsorted(offset, [at_pair + 1, at_pair + len(codes)], side="left") - [1, 0])
                for p in among:
                    if not seen[p] and taking_part[p] and stored[p]:
                        own = passing[offset[p] : offset[p + 1]].reshape(stored[p], stored[p])
                        own[...] = passing_of(scan, AllPairs(proteins[p]))
                    seen[p] = True
                chosen = wanted
                if best is not None and best.by_weight:
                    chosen = wanted & np.append(best.may_hold(mean), np.zeros(256 - len(mean), bool))
                    if not chosen.any():
                        break
                found = np.flatnonzero(chosen[codes] & passing[at_pair : at_pair + len(codes)])
                for part in _slices(len(found), size):
                    place, code = at_pair + found[part], codes[found[part]]
                    yield _of_places(scan, vectors, layer, head, place, code, mean, lower, upper, whole, begin)
                size = min(size + len(found), _LARGEST)


def _of_places(
    scan: Scan, vectors: SegmentVectors, layer: int, head: int, place: Array, code: Array, mean: Array, lower: Array,
    upper: Array, whole: Array | None, begin: int,
) -> Batch:  # fmt: skip
    offset, stored = vectors.pair_offset, vectors.stored
    protein = np.searchsorted(offset, place, side="right") - 1
    target, source = np.divmod(place - offset[protein], stored[protein])
    columns = {
        "layer": np.full(len(place), layer), "head": np.full(len(place), head), "protein": protein, "source": source,
        "target": target, "weight": mean[code], "weight_min": lower[code], "weight_max": upper[code],
    }  # fmt: skip
    if whole is not None:
        back = whole[offset[protein] + source * stored[protein] + target - begin]
        columns |= {"reverse_weight": mean[back], "reverse_weight_min": lower[back], "reverse_weight_max": upper[back]}
    pairs = ListedPairs(vectors, protein, source, target)
    for number, key in enumerate(scan.keys):
        # A number of both ends has no codes, and a row has no need of them.
        values = evaluate(key.node, pairs) if key.kind == "number" else key_codes(key, pairs)
        columns[f"__key{number}"] = np.broadcast_to(values, len(place))
    return columns


def _in_order(scan: Scan, segment: "Segment", wanted: Array, best: Best | None) -> Iterator[tuple[int, int]]:
    """Heads to read: as they are numbered, or those that promise most first, and no more than may hold any."""
    heads = [(int(layer), int(head)) for layer, head in np.argwhere(scan.heads)]
    if best is None or not best.by_weight:
        yield from heads
        return
    count, mean = segment.bin_count, segment.bin_mean
    promise = []
    for layer, head in heads:
        occurring = mean[layer, head][(count[layer, head] > 0) & wanted[: count.shape[-1]]]
        if len(occurring):
            promise.append(float(occurring.max() if best.descending else occurring.min()))
        else:
            promise.append(-np.inf if best.descending else np.inf)
    for number in np.argsort(np.array(promise) * (-1 if best.descending else 1), kind="stable").tolist():
        if not np.isfinite(promise[number]) or not best.may_hold(np.array([promise[number]], np.float32))[0]:
            return
        yield heads[number]


def _stretches(offset: Array, taking_part: Array) -> Iterator[tuple[int, int]]:
    """Runs of proteins to read, first and the one after the last, with what lies between near ones."""
    taking = np.flatnonzero(taking_part)
    gaps = np.flatnonzero(offset[taking[1:]] - offset[taking[:-1] + 1] > _GAP)
    for first, last in zip(np.append(0, gaps + 1), np.append(gaps, len(taking) - 1), strict=True):
        yield int(taking[first]), int(taking[last]) + 1
