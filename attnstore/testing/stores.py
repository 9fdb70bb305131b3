"""Synthetic proteins and their attention to a store, by the writers that an ingest uses."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..annotate.store_directory import storage_errors, store_directory
from ..api import Store, open_store
from ..catalog.rows import Structure
from ..catalog.writer import CatalogWriter
from ..errors import StoreError
from ..format.codebook import TOP
from ..format.documents import ATTENTION, KEEP, Manifest, checked_name
from ..format.segment_writer import KEPT, write_segment
from ..ingest.plan import PlannedSegment, write_plan
from ..readers.record import LETTERS
from ..runtime.durable import make_directories
from ..runtime.paths import database_path
from .synthetic_properties import SOURCE, annotations
from .synthetic_protein import SyntheticProtein
from .synthetic_segment import float32_weights, segment_contents, synthetic_document

#: What a row may sum to: rounding, not an error.
_MOST_OF_ROW = 1.001


def make_store(
    path: str | os.PathLike[str],
    proteins: Sequence[SyntheticProtein],
    *,
    model: str = "synthetic",
    keep: Sequence[str] = KEPT,
    causal: bool = False,
    segment_proteins: int = 100,
) -> Store:
    """Write a new store that holds proteins and the attention of one model.

    Neither torch nor a model is needed. The store differs from that of an ingest in nothing but its values.

    Parameters
    ----------
    path : path
        Folder of the store, new or empty.
    proteins : sequence of SyntheticProtein
        Proteins, all with the same numbers of layers and heads.
    model : str, default 'synthetic'
        Name of the model in the store.
    keep : sequence of {'codes', 'arcs', 'marginals', 'hidden'}, default codes, arcs and marginals
        Tiers to store. Hidden representations are stored if the proteins have them.
    causal : bool, default False
        The model is causal: no residue attends to a residue after it.
    segment_proteins : int, default 100
        Number of proteins in a segment.

    Returns
    -------
    attnstore.Store
        The store, opened.

    Raises
    ------
    StoreError
        If the folder is not empty, or a protein, its attention or a property is not possible.

    Examples
    --------
    >>> from attnstore.testing import make_store, random_proteins
    >>> store = make_store("synthetic.attn", random_proteins([30, 40]))
    >>> store.attention("protein-1", layer=0, head=2).shape
    (40, 40)
    """
    place = database_path(path)
    if place.is_dir() and any(place.iterdir()):
        raise StoreError(f"{place} is not empty. Pass the path of a new folder.")
    _check_proteins(proteins)
    properties = annotations(proteins)
    layers, heads = _check_model(model, proteins, keep, causal, segment_proteins)
    with storage_errors(place), store_directory(place):
        with CatalogWriter(place, keep_duplicates=True) as catalog:
            for protein, own in zip(proteins, properties, strict=True):
                catalog.add(protein.id, protein.sequence, protein.id, _structure(protein), own, SOURCE)
            catalog.publish()
        _write_model(place, proteins, (layers, heads), model, keep, causal, segment_proteins)
    return open_store(place)


def add_model(
    path: str | os.PathLike[str],
    proteins: Sequence[SyntheticProtein],
    *,
    model: str,
    keep: Sequence[str] = KEPT,
    causal: bool = False,
    segment_proteins: int = 100,
) -> Store:
    """Write the attention of another model over proteins that a store holds.

    Parameters
    ----------
    path : path
        Folder of the store.
    proteins : sequence of SyntheticProtein
        Proteins of the store, or some of them: identifier, sequence and the attention of this model. Their coordinates
        and properties are not read.
    model : str
        Name of the model, new in the store.
    keep : sequence of {'codes', 'arcs', 'marginals', 'hidden'}, default codes, arcs and marginals
        Tiers to store. Hidden representations are stored if the proteins have them.
    causal : bool, default False
        The model is causal: no residue attends to a residue after it.
    segment_proteins : int, default 100
        Number of proteins in a segment.

    Returns
    -------
    attnstore.Store
        The store, opened.

    Raises
    ------
    StoreError
        If the store has a model of that name or lacks a protein, or the attention is not possible.

    Examples
    --------
    >>> from attnstore.testing import add_model, make_store, random_proteins
    >>> proteins = random_proteins([30, 40])
    >>> store = make_store("two-models.attn", proteins)
    >>> store = add_model("two-models.attn", proteins[:1], model="other")
    >>> sorted(store.models)
    ['other', 'synthetic']
    """
    place = database_path(path)
    store = open_store(place)
    if model in store.models:
        raise StoreError(f"{place} has a model {model} already. Pass another name, such as model={model + '-2'!r}.")
    layers, heads = _check_model(model, proteins, keep, causal, segment_proteins)
    held = dict(store.sql("SELECT id, sequence FROM proteins").fetchall())
    for protein in proteins:
        if protein.id not in held or held[protein.id] != protein.sequence:
            raise StoreError(f"{place} has no protein {protein.id} with this sequence. Pass proteins of the store.")
    with storage_errors(place):
        _write_model(place, proteins, (layers, heads), model, keep, causal, segment_proteins)
    return open_store(place)


def _check_proteins(proteins: Sequence[SyntheticProtein]) -> None:
    if not proteins:
        raise StoreError("proteins is empty. Pass at least one protein.")
    seen: set[str] = set()
    for protein in proteins:
        if protein.id in seen:
            raise StoreError(f"protein {protein.id} is there twice. Give each protein an id of its own.")
        seen.add(protein.id)
        if not protein.sequence or set(protein.sequence) - LETTERS:
            raise StoreError(
                f"protein {protein.id} has the sequence {protein.sequence[:20]!r}. Use capital letters of amino acids."
            )
        if (protein.ca is None) != (protein.cb is None):
            raise StoreError(f"protein {protein.id} has only one of ca and cb. Pass both, or neither.")
        for name in ("ca", "cb"):
            xyz = getattr(protein, name)
            if xyz is not None and np.shape(xyz) != (len(protein.sequence), 3):
                raise StoreError(
                    f"{name} of protein {protein.id} has the shape {np.shape(xyz)}. "
                    f"Pass three coordinates for each residue, {(len(protein.sequence), 3)}."
                )


def _check_model(
    name: str, proteins: Sequence[SyntheticProtein], keep: Sequence[str], causal: bool, segment_proteins: int
) -> tuple[int, int]:
    """Numbers of layers and heads; raises StoreError if what the model gave is not possible."""
    checked_name(name, "model name")
    if not set(keep) <= set(KEEP) or not set(keep) - {"hidden"}:
        raise StoreError(f"keep={list(keep)!r} is not possible. Pass some of {', '.join(KEEP[:3])}, and hidden.")
    if segment_proteins < 1:
        raise StoreError(f"segment_proteins={segment_proteins} must be at least 1.")
    if not proteins:
        raise StoreError("proteins is empty. Pass at least one protein.")
    if "hidden" in keep and any(protein.hidden is None for protein in proteins):
        raise StoreError("a protein has no hidden representations. Pass hidden for each, or leave hidden out of keep.")
    shape = np.shape(proteins[0].attention)[:2]
    for protein in proteins:
        _check_attention(protein, shape, causal)
    return shape[0], shape[1]


def _check_attention(protein: SyntheticProtein, shape: tuple[int, ...], causal: bool) -> None:
    weights = float32_weights(protein)
    length = len(protein.sequence)
    if weights.ndim != 4 or weights.shape[:2] != shape or not weights.size or weights.shape[2] != weights.shape[3]:
        raise StoreError(
            f"attention of protein {protein.id} has the shape {weights.shape}. "
            f"Pass [layer, head, source, target], {(*shape[:2], length, length)}."
        )
    if weights.shape[2] > length:
        raise StoreError(
            f"attention of protein {protein.id} is of {weights.shape[2]} residues, and its sequence has {length}. "
            "Leave special tokens out."
        )
    if not ((weights >= 0) & (weights <= TOP)).all():
        raise StoreError(f"attention of protein {protein.id} has a weight outside of 0 to 1, or NaN. Correct it.")
    most = float(weights.sum(-1, dtype=np.float64).max())
    if most > _MOST_OF_ROW:
        raise StoreError(
            f"a row of the attention of protein {protein.id} sums to {most:.3g}. Divide each row by its sum: a source "
            "gives at most 1 to all its targets."
        )
    if causal and np.triu(weights, 1).any():
        raise StoreError(
            f"attention of protein {protein.id} has a weight for a target after its source, and causal=True says that "
            "there is none. Set these weights to 0, or leave out causal=True."
        )
    layers, stored = weights.shape[0], weights.shape[2]
    if protein.special is not None:
        special = np.asarray(protein.special, np.float64)
        if special.shape != weights.shape[:3]:
            raise StoreError(
                f"special of protein {protein.id} has the shape {special.shape}. "
                f"Pass [layer, head, source], {weights.shape[:3]}."
            )
        if not (np.abs(weights.sum(-1, dtype=np.float64) + special - 1) < _MOST_OF_ROW - 1).all():
            raise StoreError(
                f"special of protein {protein.id} and its attention do not sum to 1 for each source. Leave special out "
                "to have it computed."
            )
    hidden = np.shape(protein.hidden) if protein.hidden is not None else (layers + 1, stored, 1)
    if len(hidden) != 3 or hidden[:2] != (layers + 1, stored):
        raise StoreError(
            f"hidden of protein {protein.id} has the shape {hidden}. Pass [layer + 1, residue, feature], "
            f"{(layers + 1, stored)} and a number of features."
        )


def _structure(protein: SyntheticProtein) -> Structure | None:
    if protein.ca is None or protein.cb is None:
        return None
    length = len(protein.sequence)
    numbers = np.arange(1, length + 1, dtype=np.int32)
    ca, cb = (np.array(xyz, np.float32) for xyz in (protein.ca, protein.cb))
    return Structure(numbers, np.ones(length, np.bool_), (None,) * length, ca, cb)


def _write_model(
    store: Path,
    proteins: Sequence[SyntheticProtein],
    shape: tuple[int, int],
    name: str,
    keep: Sequence[str],
    causal: bool,
    segment_proteins: int,
) -> None:
    hidden = all(protein.hidden is not None for protein in proteins)
    kept = tuple(tier for tier in KEEP if tier in keep or (tier == "hidden" and hidden))
    document = synthetic_document(name, shape, keep=kept, causal=causal)
    directory = store / ATTENTION / name
    make_directories(directory)
    document.write(directory)
    parts = [proteins[first : first + segment_proteins] for first in range(0, len(proteins), segment_proteins)]
    write_plan(
        directory,
        [PlannedSegment(number, (tuple(protein.id for protein in part),)) for number, part in enumerate(parts)],
    )
    entries = [
        write_segment(directory, number, segment_contents(part, kept), document.chunk_pairs, 1)
        for number, part in enumerate(parts)
    ]
    Manifest(tuple(entries)).write(directory)
