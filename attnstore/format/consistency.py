"""Check that the tiers of a segment agree: codes, arcs and marginals describe the same weights in different forms."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..errors import StoreError
from .codebook import Codebook
from .documents import ModelDocument
from .segment import Segment
from .segment_values import ARC_BANDS, ARC_SCHEMA, Array, LocalProteins, WrongArcsError

#: Tolerance of a sum of weights that was rounded to float32: relative to the sum, and to the largest weight.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6

#: Number of entries whose bounds are in memory at a time, in float64, unless one protein has more.
_BLOCK = 1 << 22


class _Bounds(NamedTuple):
    """Smallest and largest possible marginals of a layer according to a tier: float64 [bound, head, residue]."""

    tier: str
    received: Array
    emitted: Array


def disagreements(model: ModelDocument, segment: Segment) -> Iterator[str]:
    """Yield a sentence for each contradiction between the tiers of a segment, and for each impossible value.

    Every entry is decoded, a layer at a time. An array or table that cannot be read does not stop the checks of the
    others.
    """
    reported: set[str] = set()
    for problem in _problems(model, segment):
        sentence = f"{segment.title}: {problem}." if isinstance(problem, str) else str(problem)
        if sentence not in reported:  # means and counts of codes are read for each layer
            reported.add(sentence)
            yield sentence


def _problems(model: ModelDocument, segment: Segment) -> Iterator[str | StoreError]:
    """Yield clauses without a full stop, and the errors of what cannot be read."""
    if segment.kept != model.keep:
        yield f"it holds {', '.join(segment.kept)} where the model keeps {', '.join(model.keep)}"
        return
    with_arcs = "arcs" in segment.kept
    if with_arcs:
        try:
            problem: str | StoreError | None = _arc_problem(model, segment)
        except WrongArcsError as error:
            problem = error.problem
        except StoreError as error:
            problem = error
        if problem is not None:
            yield problem
            with_arcs = False
    for layer in range(model.layers):
        arcs = _arcs_of(layer, model, segment) if with_arcs else None
        bounds = [] if arcs is None else [_bounds_of_arcs(arcs, segment.proteins, model)]
        if "codes" in segment.kept:
            try:
                codes = segment.codes(layer)
                problems = list(_code_problems(layer, codes, arcs, model, segment))
                yield from problems
                if not problems:
                    bounds.append(_bounds_of_codes(codes, segment.proteins, model.edges))
            except StoreError as error:
                yield error
        if "marginals" in segment.kept:
            try:
                yield from _marginal_problems(layer, bounds, segment)
            except StoreError as error:
                yield error
    if "hidden" in segment.kept:
        for layer in range(model.layers + 1):
            try:
                if not np.isfinite(segment.hidden(layer)).all():
                    yield f"the hidden representations of layer {layer} are not finite"
            except StoreError as error:
                yield error


def _arc_problem(model: ModelDocument, segment: Segment) -> str | None:
    """What is wrong with the arcs of several row groups, which are checked one at a time."""
    proteins, rows, last = segment.proteins, 0, -1
    for table in segment.arc_groups(0.0):
        arcs = _columns(table)
        stored = proteins.stored[arcs["protein"]]
        band = sum((arcs["weight"] < np.float32(edge)).astype(np.int64) for edge in ARC_BANDS)
        head = (band * model.layers + arcs["layer"]) * model.heads + arcs["head"]
        source_major = proteins.pair_offset[arcs["protein"]] + arcs["source"] * stored + arcs["target"]
        places = head * segment.entry.pairs + source_major
        if not (np.diff(places, prepend=last) > 0).all():
            return "its arcs are not in order"
        rows, last = rows + places.size, places[-1]
    return None if rows == segment.entry.arcs else "its arcs are not as many as the manifest counts"


def _arcs_of(layer: int, model: ModelDocument, segment: Segment) -> dict[str, Array]:
    heads = np.zeros((model.layers, model.heads), bool)
    heads[layer] = True
    return _columns(segment.arcs(0.0, heads=heads))


def _columns(table: pa.Table) -> dict[str, Array]:
    return {name: table[name].to_numpy() for name in ARC_SCHEMA.names}


def _code_problems(
    layer: int, codes: Array, arcs: dict[str, Array] | None, model: ModelDocument, segment: Segment
) -> Iterator[str]:
    """Compare codes, uint8 [head, pair], with their recorded counts and with arcs."""
    codebook, proteins = model.edges, segment.proteins
    counts, mean = segment.bin_count[layer], segment.bin_mean[layer]
    for head in range(model.heads):
        if not np.array_equal(np.bincount(codes[head], minlength=codebook.size), counts[head]):
            yield f"the codes of layer {layer}, head {head} are not those that were counted"
    if not ((counts == 0) | ((mean >= codebook.lower) & (mean <= codebook.upper))).all():
        yield f"the mean of a bin of layer {layer} lies outside it"
    if arcs is None:
        return
    floor = codebook.code_of(model.arc_floor)
    per_head = np.bincount(arcs["head"], minlength=model.heads)
    if floor is not None and not np.array_equal(per_head, counts[:, floor:].sum(axis=-1)):
        yield f"the arcs of layer {layer} are not as many as its codes at or above the floor"
    stored, offset = proteins.stored[arcs["protein"]], proteins.pair_offset[arcs["protein"]]
    found = codes[arcs["head"], offset + arcs["target"] * stored + arcs["source"]]
    if not np.array_equal(found, codebook.codes(arcs["weight"])):
        yield f"the arcs of layer {layer} have other codes"


def _bounds_of_codes(codes: Array, proteins: LocalProteins, codebook: Codebook) -> _Bounds:
    """Bounds from the edges of each entry's bin; codes are uint8 [head, pair]."""
    heads, residues = codes.shape[0], int(proteins.residue_offset[-1])
    bounds = _Bounds("codes", np.empty((2, heads, residues)), np.empty((2, heads, residues)))
    edges = np.stack([codebook.lower, codebook.upper]).astype(np.float64)
    for index, stored in enumerate(proteins.stored.tolist()):
        pairs = slice(*proteins.pair_offset[index : index + 2])
        own = slice(*proteins.residue_offset[index : index + 2])
        step = max(1, _BLOCK // stored**2)
        for first in range(0, heads, step):
            some = slice(first, first + step)
            block = codes[some, pairs].reshape(-1, stored, stored)  # [head, target, source]
            for bound, edge in enumerate(edges):
                weights = edge[block]
                bounds.received[bound, some, own] = weights.sum(axis=2)
                bounds.emitted[bound, some, own] = weights.sum(axis=1)
    return bounds


def _bounds_of_arcs(arcs: dict[str, Array], proteins: LocalProteins, model: ModelDocument) -> _Bounds:
    """Bounds from the arcs of a layer: every other entry has a weight from 0 to the floor."""
    residues = int(proteins.residue_offset[-1])
    stored = np.repeat(proteins.stored, proteins.stored)

    def sums(end: str) -> Array:
        index = arcs["head"].astype(np.int64) * residues + proteins.residue_offset[arcs["protein"]] + arcs[end]
        number, weight = (
            np.bincount(index, weights, model.heads * residues).reshape(model.heads, residues)
            for weights in (None, arcs["weight"])
        )
        return np.stack([weight, weight + (stored - number) * np.float32(model.arc_floor)])

    return _Bounds("arcs", received=sums("target"), emitted=sums("source"))


def _marginal_problems(layer: int, bounds: list[_Bounds], segment: Segment) -> Iterator[str]:
    received, emitted, special = (
        segment.marginal(name, layer).astype(np.float64) for name in ("received", "emitted", "special")
    )
    if not (np.abs(emitted + special - 1) < 1e-3).all():
        yield f"attention of a residue in layer {layer} does not sum to one"
    if not np.allclose(received.sum(-1), emitted.sum(-1), rtol=_RELATIVE):
        yield f"attention received and emitted in layer {layer} differ in sum"
    for tier, *allowed in bounds:
        for name, sums, (least, most) in zip(("received", "emitted"), (received, emitted), allowed, strict=True):
            slack = _RELATIVE * sums + _ABSOLUTE
            if not ((sums >= least - slack) & (sums <= most + slack)).all():
                yield f"attention {name} in layer {layer} is not what its {tier} sum to"
