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
    """A model's part of a store, as its manifest was when the store was opened.

    Attributes
    ----------
    directory : Path
    document : what was run and how it is stored
    manifest : what is committed
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
        """Its name in the store."""
        return self.document.name

    @property
    def entries(self) -> int:
        """Attention entries: layers × heads × pairs."""
        return self.document.layers * self.document.heads * self.manifest.total("pairs")

    def summary(self) -> dict[str, str | int | None]:
        """What the model is and what is committed of it: identity, shape and counts.

        `randomize` is 'weights' or 'sequence' of a null model, and None of any other, as is its `seed`.
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
        """Its codebook."""
        return self.document.edges

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Its segments, opened; raises StoreError if a file of one is missing, cut short, or not of what is kept."""
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
        """Segment and local index of every protein, by id."""
        return {name: (segment, index) for segment in self.segments for index, name in enumerate(segment.proteins.id)}

    def locate(self, protein: str) -> tuple[Segment, int]:
        """Segment and local index of one protein; raises QueryError where it was skipped or is not there."""
        check_text("protein", protein)
        if protein in self.places:
            return self.places[protein]
        raise self.without(protein)

    def without(self, protein: str) -> QueryError:
        """What to raise of a protein that was skipped or is not there."""
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
    models : by name
    document : which catalog is current, and what it holds
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
        """The DuckDB file of proteins and residues; raises StoreError where there is none.

        Where others have added proteins or properties since the store was opened, and its own catalog is gone, that
        is the current one, with a warning: it holds the same proteins in the same order.
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
        """A model by name; without one, the only model there is.

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
        """What a damaged catalog says, in one sentence."""
        with self.as_opened(), catalog_errors(self.path / str(self.document.catalog)):
            yield

    @contextmanager
    def as_opened(self) -> Iterator[None]:
        """Whatever fails because the store is no longer the one that was opened says that."""
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
