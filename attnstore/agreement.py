"""Whether the tiers of a segment agree: codes, arcs and marginals tell of the same weights, each in its own way."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .codebook import TOP, Codebook
from .layout import ModelDocument
from .segment import ARC_SCHEMA, Array, LocalProteins, Segment
from .segment_writer import ARC_BANDS

#: What a sum of weights, rounded to float32, may be off by: a share of itself, and of the largest weight.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6

#: Entries whose bounds are in memory at a time, in float64, unless one protein has more.
_BLOCK = 1 << 22


class _Bounds(NamedTuple):
    """Least and largest that the marginals of a layer can be, as a tier has it: float64 [bound, head, residue]."""

    tier: str
    received: Array
    emitted: Array


def disagreements(model: ModelDocument, segment: Segment) -> Iterator[str]:
    """What the tiers of a segment say otherwise than each other, or than can be: clauses without a full stop.

    Every entry is decoded. Memory is that of a layer, and of the segment's arcs.

    Raises
    ------
    StoreError
        If one of them cannot be read.
    """
    if segment.kept != model.keep:
        yield f"it holds {', '.join(segment.kept)} where the model keeps {', '.join(model.keep)}"
        return
    kept, codebook, proteins = segment.kept, model.edges, segment.proteins
    arcs: dict[str, Array] | None = None
    if "arcs" in kept:
        found = segment.arcs(0.0)
        arcs = {name: found[name].to_numpy() for name in ARC_SCHEMA.names}
        problem = _arc_problem(arcs, model, segment)
        if problem is not None:
            yield problem
            arcs = None
    if "codes" in kept:
        yield from _bin_problems(model, segment, codebook, arcs)
    for layer in range(model.layers):
        bounds = []
        in_layer = None
        if arcs is not None:
            chosen = arcs["layer"] == layer
            in_layer = {name: column[chosen] for name, column in arcs.items()}
            bounds.append(_bounds_of_arcs(in_layer, proteins, model))
        if "codes" in kept:
            codes = segment.codes(layer)
            wrong = [
                head
                for head, count in enumerate(segment.bin_count[layer])
                if not np.array_equal(np.bincount(codes[head], minlength=codebook.size), count)
            ]
            yield from (f"the codes of layer {layer}, head {head} are not those that were counted" for head in wrong)
            if in_layer is not None and not np.array_equal(
                codes[in_layer["head"], _places(in_layer, proteins)], codebook.codes(in_layer["weight"])
            ):
                yield f"the arcs of layer {layer} have other codes"
            if not wrong:
                bounds.append(_bounds_of_codes(codes, proteins, codebook))
        if "marginals" in kept:
            yield from _marginal_problems(segment, layer, bounds)
    if "hidden" in kept:
        for layer in range(model.layers + 1):
            if not np.isfinite(segment.hidden(layer)).all():
                yield f"the hidden representations of layer {layer} are not finite"


def _places(arcs: dict[str, Array], proteins: LocalProteins) -> Array:
    """The pair of each arc: where its code is."""
    protein = arcs["protein"]
    places: Array = proteins.pair_offset[protein] + arcs["target"] * proteins.stored[protein] + arcs["source"]
    return places


def _arc_problem(arcs: dict[str, Array], model: ModelDocument, segment: Segment) -> str | None:
    proteins, weight = segment.proteins, arcs["weight"]
    if weight.size != segment.entry.arcs:
        return "its arcs are not as many as the manifest counts"
    if not ((weight >= np.float32(model.arc_floor)) & (weight <= TOP)).all():
        return "the weight of an arc is below the floor, or above one"
    limits = {"layer": model.layers, "head": model.heads, "protein": len(proteins.id)}
    if any((arcs[name] >= limit).any() for name, limit in limits.items()):
        return "an arc is of a layer, a head or a protein that is not there"
    stored = proteins.stored[arcs["protein"]]
    if (arcs["source"] >= stored).any() or (arcs["target"] >= stored).any():
        return "an arc is of a residue that is not there"
    band = sum((weight < np.float32(edge)).astype(np.int64) for edge in ARC_BANDS)
    source_major = proteins.pair_offset[arcs["protein"]] + arcs["source"] * stored + arcs["target"]
    place = ((band * model.layers + arcs["layer"]) * model.heads + arcs["head"]) * segment.entry.pairs + source_major
    if not (np.diff(place) > 0).all():
        return "its arcs are not in order"
    return None


def _bin_problems(
    model: ModelDocument, segment: Segment, codebook: Codebook, arcs: dict[str, Array] | None
) -> Iterator[str]:
    counts, mean = segment.bin_count.astype(np.int64), segment.bin_mean
    if not ((counts == 0) | ((mean >= codebook.lower) & (mean <= codebook.upper))).all():
        yield "the mean of a bin lies outside it"
    floor = codebook.code_of(model.arc_floor)
    if arcs is not None and floor is not None:
        index = arcs["layer"].astype(np.int64) * model.heads + arcs["head"]
        per_head = np.bincount(index, minlength=model.layers * model.heads).reshape(model.layers, model.heads)
        if not np.array_equal(per_head, counts[..., floor:].sum(axis=-1)):
            yield "its arcs are not as many as its codes at or above the floor"


def _bounds_of_codes(codes: Array, proteins: LocalProteins, codebook: Codebook) -> _Bounds:
    """From the edges of each entry's bin; codes are uint8 [head, pair]."""
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
    """From the arcs of a layer: what is no arc weighs from 0 to the floor."""
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


def _marginal_problems(segment: Segment, layer: int, bounds: list[_Bounds]) -> Iterator[str]:
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
