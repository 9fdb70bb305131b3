"""Stores made from given attention, without a model, and what brute force says of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnstore.catalog import CatalogWriter, Structure
from attnstore.codebook import DEFAULT
from attnstore.ingest.quantise import Items, LayerTarget, Quantiser
from attnstore.layout import ATTENTION, Manifest, ModelDocument, StoreDocument
from attnstore.segment import LocalProteins
from attnstore.segment_writer import SegmentContents, write_segment

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


def write_store(path: Path, proteins: list[Protein], *, per_segment: int = 2, name: str = "random") -> None:
    """Write proteins and attention by the store's own writers, `per_segment` proteins to a segment."""
    path.mkdir()
    StoreDocument().write(path)
    with CatalogWriter(path, keep_duplicates=True) as catalog:
        for protein in proteins:
            catalog.add(protein.id, protein.sequence, protein.id, protein.structure)
        catalog.publish()
    write_model(path, proteins, per_segment=per_segment, name=name)


def write_model(path: Path, proteins: list[Protein], *, per_segment: int = 2, name: str = "random") -> None:
    layers, heads = proteins[0].attention.shape[:2]
    directory = path / ATTENTION / name
    directory.mkdir(parents=True)
    ModelDocument(
        name=name, source="random", weights_sha256="0" * 64, architecture="Random", layers=layers, heads=heads,
        tokenizer={}, precision="float32", max_residues=510, long="truncate", batch_residues=1, segment_entries=1,
        arc_floor=0.05, chunk_pairs=512, codebook=tuple(DEFAULT.to_json()), check=0.0,
    ).write(directory)  # fmt: skip
    entries = [
        write_segment(directory, number, contents(proteins[first : first + per_segment]), 512)
        for number, first in enumerate(range(0, len(proteins), per_segment))
    ]
    Manifest(tuple(entries)).write(directory)


def contents(proteins: list[Protein]) -> SegmentContents:
    import hashlib

    layers, heads = proteins[0].attention.shape[:2]
    local = LocalProteins(
        tuple(protein.id for protein in proteins),
        tuple(hashlib.sha256(protein.sequence.encode()).hexdigest() for protein in proteins),
        np.array([len(protein.sequence) for protein in proteins]),
        np.array([protein.stored for protein in proteins]),
    )
    pairs, residues = int(local.pair_offset[-1]), int(local.residue_offset[-1])
    codes = np.zeros((layers, heads, pairs), np.uint8)
    sums, counts = np.zeros((layers, heads, DEFAULT.size)), np.zeros((layers, heads, DEFAULT.size), np.int64)
    received, emitted, special = (np.zeros((layers, heads, residues), np.float32) for _ in range(3))
    quantiser = Quantiser(DEFAULT, 0.05, threads=2)
    columns: dict[str, list[np.ndarray]] = {
        key: [] for key in ("layer", "head", "protein", "source", "target", "weight")
    }
    for index, protein in enumerate(proteins):
        at = [np.array([value]) for value in (1, protein.stored, index)]
        items = Items(*at, local.pair_offset[index : index + 1], local.residue_offset[index : index + 1])
        for layer in range(layers):
            target = LayerTarget(
                codes[layer], sums[layer], counts[layer], received[layer], emitted[layer], special[layer]
            )
            alpha = np.ascontiguousarray(protein.attention[layer][None])
            arcs = quantiser.layer(alpha, items, target)
            columns["layer"].append(np.full(arcs.weight.size, layer))
            for key in ("head", "protein", "source", "target", "weight"):
                columns[key].append(getattr(arcs, key))
    quantiser.close()
    mean = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return SegmentContents(
        local, codes, mean.astype(np.float32), counts.astype(np.uint32), received, emitted, special,
        {key: np.concatenate(values) for key, values in columns.items()},
    )  # fmt: skip


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
