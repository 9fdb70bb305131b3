"""Rows of a block without aggregates: a pair and head each, found segment by segment and handed on in batches."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .cells import Scan
from .count_codes import band_of_codes
from .groups import key_codes, passing_of
from .pairs import AllPairs, ListedPairs, evaluate
from .vectors import SegmentVectors

if TYPE_CHECKING:
    from ...segment import Segment

Array = npt.NDArray[Any]

#: layer, head, protein (local index), the keys, and the weights' columns.
Batch = Mapping[str, Array]


def rows(
    scan: Scan, segment: "Segment", vectors: SegmentVectors, taking_part: npt.NDArray[np.bool_]
) -> Iterator[Batch]:
    """Rows of one segment, at most a row group of arcs or a chunk of codes at a time.

    Parameters
    ----------
    scan : of tier 'arcs' or 'codes'
    segment : Segment
    vectors : of the segment's proteins, in its order
    taking_part : bool [proteins]

    Yields
    ------
    Batch
        Columns `layer`, `head`, `protein`, `__key0` and on, codes or numbers, one for each key, and for "weight" and
        "reverse_weight" as far as they are wanted themselves and, from codes, `_min` and `_max`.

    Raises
    ------
    StoreError
        What is read of the segment is damaged.
    """
    if taking_part.any() and scan.taken.any():
        yield from (_from_arcs if scan.tier == "arcs" else _from_codes)(scan, segment, vectors, taking_part)


def _batch(scan: Scan, pairs: ListedPairs, keep: Array, columns: dict[str, Array]) -> Batch:
    size = len(keep)
    found = {name: values[keep] for name, values in columns.items()}
    for number, key in enumerate(scan.keys):
        # A number of both ends has no codes, and a row has no need of them.
        values = evaluate(key.node, pairs) if key.kind == "number" else key_codes(key, pairs)
        found[f"__key{number}"] = np.broadcast_to(values, size)[keep]
    return found


def _from_arcs(scan: Scan, segment: "Segment", vectors: SegmentVectors, taking_part: Array) -> Iterator[Batch]:
    threshold = scan.bands.lower[np.argmax(scan.taken)]
    for arcs in segment.arc_groups(threshold, heads=None if scan.heads.all() else scan.heads):
        layer, head, protein, source, target, weight = (column.to_numpy() for column in arcs.columns)
        band = np.searchsorted(scan.bands.lower, weight, side="right") - 1
        pairs = ListedPairs(vectors, protein, source, target)
        keep = scan.taken[band] & taking_part[protein] & (np.broadcast_to(passing_of(scan, pairs), len(weight)))
        if keep.any():
            yield _batch(scan, pairs, keep, {"layer": layer, "head": head, "protein": protein, "weight": weight})


def _from_codes(scan: Scan, segment: "Segment", vectors: SegmentVectors, taking_part: Array) -> Iterator[Batch]:
    offset, stored = vectors.pair_offset, vectors.stored
    passing = np.zeros(int(offset[-1]), bool)
    for p, one in enumerate(vectors.proteins()):
        if taking_part[p] and one.length:
            own = passing[offset[p] : offset[p + 1]].reshape(one.length, one.length)
            own[...] = passing_of(scan, AllPairs(one))
    wanted = band_of_codes(scan.bands, scan.taken, scan.codebook) >= 0
    lower, upper = scan.codebook.lower, scan.codebook.upper
    for layer, head in np.argwhere(scan.heads).tolist():
        mean = segment.bin_mean[layer, head]
        whole = segment.codes(layer, head) if scan.reverse is not None else None
        for *_, begin, codes in segment.chunks(layer, head):
            at = np.flatnonzero(wanted[codes] & passing[begin : begin + len(codes)])
            if not len(at):
                continue
            place = begin + at
            protein = np.searchsorted(offset, place, side="right") - 1
            target, source = np.divmod(place - offset[protein], stored[protein])
            code = codes[at]
            columns = {
                "layer": np.full(len(at), layer), "head": np.full(len(at), head), "protein": protein,
                "weight": mean[code], "weight_min": lower[code], "weight_max": upper[code],
            }  # fmt: skip
            if whole is not None:
                back = whole[offset[protein] + source * stored[protein] + target]
                columns |= {
                    "reverse_weight": mean[back],
                    "reverse_weight_min": lower[back],
                    "reverse_weight_max": upper[back],
                }
            pairs = ListedPairs(vectors, protein, source, target)
            yield _batch(scan, pairs, np.ones(len(at), bool), columns)
