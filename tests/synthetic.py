"""Stores made from given attention, without a model, and what brute force says of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attnstore.catalog.rows import Structure
from attnstore.catalog.writer import CatalogWriter
from attnstore.format.documents import ATTENTION, Manifest, ModelDocument, StoreDocument
from attnstore.format.segment_values import LocalProteins
from attnstore.format.segment_writer import KEPT, SegmentContents, write_segment
from attnstore.testing.synthetic_protein import SyntheticProtein
from attnstore.testing.synthetic_segment import segment_contents, synthetic_document

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@dataclass(frozen=True, eq=False)
class Protein:
    """A protein and the whole attention matrix, special tokens first and last included.

    `attention` is float32 [layers, heads, length + 2, length + 2], length being what the model saw.
    """

    id: str
    sequence: str
    structure: Structure | None
    attention: np.ndarray

    @property
    def stored(self) -> int:
        return self.attention.shape[-1] - 2

    @property
    def weights(self) -> np.ndarray:
        """float32 [layers, heads, source, target], residues only."""
        return self.attention[:, :, 1:-1, 1:-1]

    @property
    def synthetic(self) -> SyntheticProtein:
        special = self.attention[:, :, 1:-1, [0, -1]].sum(-1, dtype=np.float64)
        return SyntheticProtein(self.id, self.sequence, self.weights, special)


def softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return (scores / scores.sum(-1, keepdims=True)).astype(np.float32)


def random_structure(rng: np.random.Generator, length: int, missing: float = 0.15) -> Structure:
    # A walk with steps of 3.8 Å folds back on itself, so that there are contacts.
    steps = rng.normal(size=(length, 3))
    ca = (np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0) * 0.45).astype(np.float32)
    cb = (ca + rng.normal(size=ca.shape)).astype(np.float32)
    ca[rng.random(length) < missing] = np.nan
    cb[rng.random(length) < missing] = np.nan
    known = rng.random(length) < 0.9
    codes = tuple(None if rng.random() < 0.9 else "A" for _ in range(length))
    return Structure(np.where(known, np.arange(length) + 5, 0).astype(np.int32), known, codes, ca, cb)


def random_proteins(
    seed: int, lengths: list[int], layers: int = 2, heads: int = 3, *, sharpness: float = 3.0, truncate: int = 10**6
) -> list[Protein]:
    rng = np.random.default_rng(seed)
    proteins = []
    for index, length in enumerate(lengths):
        stored = min(length, truncate)
        scores = rng.normal(size=(layers, heads, stored + 2, stored + 2)) * sharpness
        sequence = "".join(rng.choice(list(LETTERS[:6]), length))
        structure = random_structure(rng, length) if index % 4 != 3 else None
        proteins.append(Protein(f"p{index}", sequence, structure, softmax(scores)))
    return proteins


#: What a store keeps unless asked otherwise.
KEEP = KEPT

#: Pairs of one head in a chunk of the codes of these stores.
CHUNK_PAIRS = 512


def write_store(path: Path, proteins: list[Protein], **options: Any) -> None:
    """Write proteins and attention by the store's own writers; options as `write_model` has them."""
    write_proteins(path, proteins)
    write_model(path, proteins, **options)


def write_proteins(path: Path, proteins: list[Protein]) -> None:
    """Write a store that holds the proteins, and no model."""
    path.mkdir()
    StoreDocument().write(path)
    with CatalogWriter(path, keep_duplicates=True) as catalog:
        for protein in proteins:
            catalog.add(protein.id, protein.sequence, protein.id, protein.structure)
        catalog.publish()


def write_model(
    path: Path,
    proteins: list[Protein],
    *,
    per_segment: int = 2,
    name: str = "random",
    keep: tuple[str, ...] = KEEP,
    causal: bool = False,
) -> None:
    """Write a model's attention into a store that holds the proteins, `per_segment` of them to a segment."""
    layers, heads = proteins[0].attention.shape[:2]
    directory = path / ATTENTION / name
    directory.mkdir(parents=True)
    model_document(name, layers, heads, keep, causal=causal).write(directory)
    entries = [
        write_segment(directory, number, kept(contents(proteins[first : first + per_segment]), keep), CHUNK_PAIRS, 2)
        for number, first in enumerate(range(0, len(proteins), per_segment))
    ]
    Manifest(tuple(entries)).write(directory)


def model_document(
    name: str, layers: int, heads: int, keep: tuple[str, ...] = KEEP, *, causal: bool = False
) -> ModelDocument:
    """A model that was never run; its chunks are small, so that a segment has several."""
    return replace(synthetic_document(name, (layers, heads), keep=keep, causal=causal), chunk_pairs=CHUNK_PAIRS)


def kept(whole: SegmentContents, keep: tuple[str, ...]) -> SegmentContents:
    """What is left of a segment's contents where only some is kept; `hidden` is made up, the same every time."""
    fields = {
        "codes": ("codes", "bin_mean", "bin_count"),
        "arcs": ("arcs",),
        "marginals": ("received", "emitted", "special"),
    }
    dropped = {field: None for what, names in fields.items() if what not in keep for field in names}
    hidden = hidden_of(whole.proteins, whole.layers) if "hidden" in keep else None
    return replace(whole, **dropped, hidden=hidden)


def hidden_of(proteins: LocalProteins, layers: int, features: int = 7) -> np.ndarray:
    """float16 [layers + 1, residues, features]: of each protein's id alone."""
    parts = [
        np.random.default_rng(list(name.encode())).normal(size=(layers + 1, stored, features))
        for name, stored in zip(proteins.id, proteins.stored.tolist(), strict=True)
    ]
    return np.concatenate(parts, axis=1).astype(np.float16)


def contents(proteins: list[Protein]) -> SegmentContents:
    """What a segment of the proteins keeps, hidden representations left out."""
    return segment_contents([protein.synthetic for protein in proteins])


#: A condition on (protein, source, target): True, False or None where unknown.
Condition = Callable[[Protein, int, int], bool | None]


def distance(protein: Protein, i: int, j: int, atom: str) -> float | None:
    if protein.structure is None:
        return None
    xyz = getattr(protein.structure, atom).astype(np.float64)
    value = float(np.sqrt(((xyz[i] - xyz[j]) ** 2).sum()))
    return None if np.isnan(value) else value


def contact(protein: Protein, i: int, j: int, atom: str = "cb") -> bool | None:
    if abs(i - j) < 6:
        return False
    value = distance(protein, i, j, atom)
    return None if value is None else value < 8


def matrix(protein: Protein, condition: Condition) -> np.ndarray:
    """int8 [source, target]: 1 true, 0 false, -1 unknown."""
    length = protein.stored
    values = [[condition(protein, i, j) for j in range(length)] for i in range(length)]
    return np.array([[-1 if value is None else int(value) for value in row] for row in values], np.int8)


def without_origin(result):
    """An alignment without what says which store it is of, to be compared with that of another store."""
    result = result.copy()
    for origin in ("store", "models", "catalog", "catalog_sha256"):
        del result.attrs[origin]
    return result
