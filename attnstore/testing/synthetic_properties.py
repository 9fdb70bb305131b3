"""Properties that are given with synthetic proteins, as the catalog takes them."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..catalog.property import Annotation, Kind, Property, Source, along, whole
from ..errors import StoreError
from .synthetic_protein import SyntheticProtein

#: What the dictionary of properties names as their source: no file, the digest of nothing.
SOURCE = Source("attnstore.testing", hashlib.sha256(b"").hexdigest())


def annotations(proteins: Sequence[SyntheticProtein]) -> list[list[Annotation]]:
    """The properties of each protein; the type of a property follows from all its values."""
    names = list(dict.fromkeys(name for protein in proteins for name in protein.properties))
    known = {name: _property(name, [protein for protein in proteins if name in protein.properties]) for name in names}
    return [
        [_annotation(protein, known[name], value) for name, value in protein.properties.items()] for protein in proteins
    ]


def _property(name: str, proteins: Sequence[SyntheticProtein]) -> Property:
    levels = {_dimensions(protein.properties[name]) for protein in proteins}
    if len(levels) > 1 or not levels <= {0, 1, 2}:
        raise StoreError(
            f"property {name} has values of several shapes. Pass one value for a protein, a list for its "
            "residues, or a square array for its pairs."
        )
    level = levels.pop()
    values = [each for protein in proteins for each in _single(protein.properties[name]) if not pd.isna(each)]
    kinds: tuple[tuple[Kind, Any], ...] = (
        ("boolean", (bool, np.bool_)), ("integer", (int, np.integer)), ("float", (int, float, np.number)),
        ("category", str),
    )  # fmt: skip
    kind = next((kind for kind, types in kinds if all(isinstance(value, types) for value in values)), None)
    if kind is None or (level == 2 and kind != "boolean"):
        raise StoreError(
            f"property {name} has values of several types, or a property of pairs that is not boolean. Pass booleans, "
            "numbers or text, and booleans for pairs."
        )
    return Property(name, ("protein", "residue", "pair")[level], kind, "synthetic")


def _annotation(protein: SyntheticProtein, prop: Property, value: Any) -> Annotation:
    length = len(protein.sequence)
    if prop.level == "protein":
        return whole(prop, None if pd.isna(value) else value)
    size = np.shape(value)
    expected = (length,) if prop.level == "residue" else (length, length)
    if size != expected:
        raise StoreError(
            f"property {prop.name} of protein {protein.id} has the shape {size}. Pass {expected}, a value for each "
            f"{prop.level}."
        )
    if prop.level == "residue":
        return along(prop, [None if pd.isna(each) else each for each in value])
    source, target = (ends.astype(np.int32) for ends in np.nonzero(np.asarray(value, np.bool_)))
    listed = along(prop, [True] * len(source))
    return Annotation(prop, listed.values, source, target, otherwise=False)


def _dimensions(value: Any) -> int:
    return 0 if isinstance(value, str) or value is None else np.ndim(value)


def _single(value: Any) -> Iterator[Any]:
    if _dimensions(value) == 0:
        yield value
    else:
        for each in value:
            yield from _single(each)
