"""Stores for reports: properties of every kind, some of them hostile, and several models on some of the proteins."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from attnstore.catalog.property import ARROW_TYPES, Annotation, Property, Source
from attnstore.catalog.writer import CatalogWriter
from attnstore.format.documents import ATTENTION, ModelDocument
from tests.synthetic import Protein, random_proteins, softmax, write_model, write_store

#: A value that would be markup, SQL and mathematics at once.
HOSTILE = "<script>alert('$x_{1$')</script>"
LENGTHS = [34, 21, 40, 28, 25, 37, 30, 22]

SOURCE = Source("made up", "0" * 64)
SITE = Property("binding_site", "residue", "boolean", "in a site & <b>bold</b>")
SELECT = Property("select", "residue", "boolean", "named as a word of SQL")
NEVER = Property("never", "residue", "boolean", "TRUE nowhere")
SS4 = Property("ss4", "residue", "category", "four classes")
KIND = Property("kind", "residue", "category", "a kind")
MANY = Property("many", "residue", "category", "many values")
NUMBER = Property("number", "residue", "float", "a number")
BOND = Property("bond", "pair", "boolean", "a bond")


def with_letters(proteins: Sequence[Protein], seed: int = 0) -> list[Protein]:
    """The same with all twenty letters, and X."""
    rng = np.random.default_rng(seed)
    letters = list("ACDEFGHIKLMNPQRSTVWYX")
    return [replace(one, sequence="".join(rng.choice(letters, len(one.sequence)))) for one in proteins]


def values_of(prop: Property, length: int, rng: np.random.Generator) -> list[Any]:
    """Some values of a property, with unknown ones among those of residues."""
    choices: dict[str, list[Any]] = {
        "binding_site": [True, False, False, None],
        "select": [True, False],
        "never": [False, None],
        "ss4": ["helix", "strand", "turn", "other", None],
        "kind": [HOSTILE, "plain", None],
        "many": [f"value {number}" for number in range(12)],
        "number": [0.5, None],
    }
    options = choices[prop.name]
    return [options[index] for index in rng.integers(0, len(options), length).tolist()]


def annotate(path: Path, proteins: Sequence[Protein], seed: int = 7) -> dict[str, list[list[Any]]]:
    """Give proteins all these properties; returns the residues' values, by name and protein."""
    rng = np.random.default_rng(seed)
    given: dict[str, list[list[Any]]] = {}
    none = np.empty(0, np.int32)
    with CatalogWriter(path, keep_duplicates=True) as catalog:
        for index, protein in enumerate(proteins):
            length = len(protein.sequence)
            annotations = []
            for prop in (SITE, SELECT, NEVER, SS4, KIND, MANY, NUMBER):
                values = values_of(prop, length, rng)
                given.setdefault(prop.name, []).append(values)
                annotations.append(Annotation(prop, pa.array(values, ARROW_TYPES[prop.kind]), none, none))
            ends = np.array([[0, length - 1], [length - 1, 0], [1, 9], [9, 1]], np.int32)
            annotations.append(Annotation(BOND, pa.array([True] * 4), ends[:, 0], ends[:, 1], False))
            catalog.annotate(index, protein.id, protein.sequence, "f", None, annotations, SOURCE)
        catalog.publish()
    return given


def other_attention(proteins: Sequence[Protein], seed: int, layers: int, heads: int) -> list[Protein]:
    """The same proteins under a model of another shape."""
    rng = np.random.default_rng(seed)
    return [
        replace(one, attention=softmax(3 * rng.normal(size=(layers, heads, *one.attention.shape[-2:]))))
        for one in proteins
    ]


def randomised(path: Path, name: str, what: str) -> None:
    """Let a model of a store say that something in it is random."""
    directory = path / ATTENTION / name
    replace(ModelDocument.read(directory), randomize=what, seed=3).write(directory)


def write_two(path: Path) -> tuple[list[Protein], list[Protein], dict[str, list[list[Any]]]]:
    """A trained model of 3 × 4 heads on all proteins, and a random one of 2 × 5 on all but the first two.

    Returns the proteins under each, and the residues' values.
    """
    proteins = with_letters(random_proteins(3, LENGTHS, 3, 4))
    write_store(path, proteins, name="trained", per_segment=3)
    given = annotate(path, proteins)
    others = other_attention(proteins[2:], 5, 2, 5)
    write_model(path, others, name="chance", per_segment=4)
    randomised(path, "chance", "weights")
    return proteins, others, given
