"""A store, open for reading, as data: where it is, its models and what is committed of them."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .arguments import check_text, nearest
from .catalog.reader import catalog_errors, current_catalog
from .errors import QueryError, StoreError
from .format.codebook import Codebook
from .format.documents import ATTENTION, MANIFEST_FILE, MODEL_FILE, STORE_FILE, Manifest, ModelDocument, StoreDocument
from .format.segment import Segment, open_segment
from .runtime.faults import check_address_space
from .runtime.paths import database_path


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A model's part of a store, as it was when the store was opened.

    Attributes
    ----------
    directory : Path
        Folder of the model in the store.
    document : ModelDocument
        What was run and how its attention is stored.
    manifest : Manifest
        The committed segments and the skipped proteins.
    """

    directory: Path
    document: ModelDocument
    manifest: Manifest

    def __reduce__(self) -> tuple[Any, ...]:
        return _model_again, (self.directory.absolute().parent.parent, self.name)

    def __repr__(self) -> str:
        """What `summary` says, in three lines."""
        told = self.summary()
        return (
            f"{told['name']}  ({told['architecture']}, {told['layers']} layers × {told['heads']} heads, "
            f"{told['precision']}, from {told['source']})\n{self._null()}"
            f"  {told['proteins']:,} proteins ({told['skipped']:,} skipped), {told['residues']:,} residues\n"
            f"  {told['entries']:,} attention entries, {told['arcs']:,} arcs, {told['segments']:,} segments, "
            f"{self.manifest.total('bytes') / 1e6:,.1f} MB of {', '.join(self.document.keep)}"
        )

    def _null(self) -> str:
        """That what the model says is chance, in a line; nothing of a trained model on the proteins themselves."""
        document = self.document
        if document.randomize is None:
            return ""
        random = "random weights" if document.randomize == "weights" else "shuffled sequences"
        return f"  a null model: {random}, seed {document.seed}\n"

    @property
    def name(self) -> str:
        """Name of the model in the store."""
        return self.document.name

    @property
    def entries(self) -> int:
        """Number of attention entries: layers × heads × pairs."""
        return self.document.layers * self.document.heads * self.manifest.total("pairs")

    def summary(self) -> dict[str, str | int | None]:
        """Return identity, shape and counts of the model.

        `randomize` is 'weights' or 'sequence' for a null model, and None for any other, as is its `seed`.

        Returns
        -------
        dict of str to str, int or None
            Name, source, architecture, layers, heads, precision, randomize, seed, keep, max_residues, and numbers of
            proteins, residues, entries, arcs, segments, bytes and skipped proteins.
        """
        document, manifest = self.document, self.manifest
        return {
            "name": document.name,
            "source": document.source,
            "architecture": document.architecture,
            "layers": document.layers,
            "heads": document.heads,
            "precision": document.precision,
            "randomize": document.randomize,
            "seed": document.seed,
            "keep": ",".join(document.keep),
            "max_residues": document.max_residues,
            "proteins": manifest.total("proteins"),
            "residues": manifest.total("residues"),
            "entries": self.entries,
            "arcs": manifest.total("arcs"),
            "segments": len(manifest.segments),
            "bytes": manifest.total("bytes"),
            "skipped": len(manifest.skipped),
        }

    @cached_property
    def codebook(self) -> Codebook:
        """Codebook of the attention weights."""
        return self.document.edges

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Segments, opened; raises StoreError if a file is missing, cut short, or not of a kept tier."""
        segments = tuple(open_segment(self.directory, entry) for entry in self.manifest.segments)
        for segment in segments:
            if segment.kept != self.document.keep:
                raise StoreError(
                    f"segment {segment.entry.id} of model {self.name} is damaged: it holds {','.join(segment.kept)}, "
                    f"and {MODEL_FILE} says {','.join(self.document.keep)}."
                )
            segment.check_counts()
        return segments

    @cached_property
    def places(self) -> Mapping[str, tuple[Segment, int]]:
        """Segment and local index of every protein, by identifier."""
        return {name: (segment, index) for segment in self.segments for index, name in enumerate(segment.proteins.id)}

    def locate(self, protein: str) -> tuple[Segment, int]:
        """Return the segment and local index of a protein.

        Parameters
        ----------
        protein : str
            Identifier of the protein.

        Returns
        -------
        tuple of (Segment, int)
            The segment that holds the protein, and its index in it.

        Raises
        ------
        QueryError
            If the protein was skipped or is not in the store.
        """
        check_text("protein", protein)
        if protein in self.places:
            return self.places[protein]
        raise self.without(protein)

    def without(self, protein: str) -> QueryError:
        """Return the error for a protein that was skipped or is not in the store.

        Parameters
        ----------
        protein : str
            Identifier of the protein.

        Returns
        -------
        QueryError
            Why the model does not hold it.
        """
        for entry in self.manifest.skipped:
            if entry.protein == protein:
                return QueryError(f"model {self.name} skipped protein {protein}: {entry.reason}.")
        meant = nearest(protein, self.places)
        hint = "" if meant is None else f"did you mean {meant!r}? "
        return QueryError(
            f"model {self.name} holds no protein {protein!r}: {hint}`store.sql('SELECT id FROM proteins')` lists them."
        )


@dataclass(frozen=True, eq=False, repr=False)
class Store:
    """Proteins and the attention that models pay to them, as data: :class:`attnstore.Store` adds what can be asked.

    Attributes
    ----------
    path : Path
        Folder of the store.
    models : mapping of str to Model
        Models by name.
    document : StoreDocument
        Name of the current catalog, and numbers of proteins and residues.
    """

    path: Path
    models: Mapping[str, Model]
    document: StoreDocument

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, in another process, too, is the store opened again by its path, as it is then."""
        return open_store, (self.path.absolute(),)

    def __repr__(self) -> str:
        """What it holds, in a few lines for each model."""
        number = f"{len(self.models)} model{'' if len(self.models) == 1 else 's'}"
        head = f"{self.path}: {self.document.proteins:,} proteins, {self.document.residues:,} residues, {number}"
        return "\n\n".join([head, *map(repr, self.models.values())])

    @property
    def catalog_path(self) -> Path:
        """Path of the DuckDB file of proteins and residues; raises StoreError if there is none.

        If proteins or properties were added since the store was opened, and its own catalog is gone, it is the current
        catalog, with a warning: it holds the same proteins in the same order.
        """
        path = current_catalog(self.path, self.document)
        if path.name != self.document.catalog:
            if self._is_other():
                raise StoreError(self._changed())
            _ = self._newer_catalog
        return path

    @cached_property
    def _newer_catalog(self) -> None:
        """Said once."""
        warnings.warn(self._changed(" Proteins and properties are read as they are now."), stacklevel=4)

    def model(self, name: str | None = None) -> Model:
        """Return a model by name.

        Parameters
        ----------
        name : str, optional
            Name of the model; needed if the store has several.

        Returns
        -------
        Model
            The model.

        Raises
        ------
        QueryError
            If there is no such model, or several and none was named.
        """
        if name is not None:
            check_text("model", name)
        names = ", ".join(self.models) or "none"
        if name is None:
            if len(self.models) == 1:
                return next(iter(self.models.values()))
            if not self.models:
                raise QueryError(
                    "the store holds no model: `attnstore.ingest.ingest(store.path, model=MODEL)` runs one over its "
                    "proteins."
                )
            raise QueryError(
                f"the store holds {len(self.models)} models ({names}): name one (model={next(iter(self.models))!r})."
            )
        if name not in self.models:
            meant = nearest(name, self.models)
            raise QueryError(
                f"the store holds no model {name!r}: it has {names}{'' if meant is None else f' (model={meant!r})'}."
            )
        return self.models[name]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Context in which errors of a damaged catalog become one sentence."""
        with self.as_opened(), catalog_errors(self.path / str(self.document.catalog)):
            yield

    @contextmanager
    def as_opened(self) -> Iterator[None]:
        """Context in which errors because the store has changed since it was opened say so."""
        try:
            yield
        except QueryError:
            raise
        except Exception as error:
            if str(error) != self._changed() and self._is_other():
                raise StoreError(self._changed()) from error
            raise

    def _changed(self, consequence: str = "") -> str:
        if not self.path.exists():
            return f"the store {self.path} is no longer there: it was moved or deleted since it was opened."
        return (
            f"the store {self.path} has changed since it was opened.{consequence} Open it again: "
            f"attnstore.open({str(self.path)!r})."
        )

    def _is_other(self) -> bool:
        """Whether the store on disk no longer holds what this one held when it was opened."""
        try:
            now = open_store(self.path)
        except StoreError:
            return not (self.path / STORE_FILE).exists()
        if now.document.proteins < self.document.proteins:
            return True
        listed = {name: set(model.manifest.segments) for name, model in now.models.items()}
        return any(set(model.manifest.segments) - listed.get(name, set()) for name, model in self.models.items())


def _model_again(store: Path, name: str) -> Model:
    """A model that was pickled."""
    return open_store(store).model(name)


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store for reading.

    The manifests are read before the catalog, so that a catalog always holds the proteins a manifest names.

    Raises
    ------
    StoreError
        If it is not a store, is damaged, or was written by a newer version.
    MachineError
        If the machine cannot read it: the disk, open files, or too little address space.
    """
    check_address_space()
    directory = database_path(path)
    StoreDocument.read(directory)
    models: dict[str, Model] = {}
    attention = directory / ATTENTION
    for place in sorted(attention.iterdir()) if attention.is_dir() else ():
        if (place / MODEL_FILE).exists() or (place / MANIFEST_FILE).exists():
            models[place.name] = Model(place, ModelDocument.read(place), Manifest.read(place))
    return Store(directory, MappingProxyType(models), StoreDocument.read(directory))
