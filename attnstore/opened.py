"""A store, open for reading: its models, its matrices, and the questions one can ask it."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .arguments import check_text, nearest
from .errors import QueryError, StoreError
from .format.codebook import Codebook
from .format.documents import ATTENTION, MANIFEST_FILE, MODEL_FILE, STORE_FILE, Manifest, ModelDocument, StoreDocument
from .format.segment import Segment, open_segment
from .runtime.faults import check_address_space
from .runtime.paths import database_path, user_path

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray as xr

    from .catalog.relation import Relation
    from .queries.alignment import Alignment
    from .queries.contacts.contact_result import ContactEvaluation, ContactMap
    from .queries.probe.probe_result import Probing
    from .queries.query_result import Result
    from .queries.report.report import Report
    from .queries.view.view import View


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
    """Proteins and the attention that models pay to them. Open one with :func:`attnstore.open`.

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
        from .catalog.reader import current_catalog

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

    def attention(
        self,
        protein: str,
        layer: int | None = None,
        head: int | None = None,
        *,
        model: str | None = None,
        bounds: bool = False,
    ) -> "xr.DataArray | xr.Dataset":
        """The attention matrix of a protein.

        Weights come from the codes: each is the mean of its bin in its head, and lies within the bin's edges.

        Parameters
        ----------
        protein : id
        layer, head : from 0; all of them where None
        model : may be left out where the store has one
        bounds : return a Dataset of weight, lower and upper instead

        Returns
        -------
        xarray.DataArray or xarray.Dataset
            float32 [source, target], after [layer] and [head] where all were asked for. Source attends to target.
            Rows do not sum to one: what goes to special tokens is in the coordinate `special` of `source`, where
            marginals were kept.

        Raises
        ------
        QueryError
            If there is no such protein, layer, head or model, or the model's codes were not kept.
        StoreError
            If the codes are damaged.
        """
        from .matrix import attention

        with self._as_opened():
            return attention(self, protein, layer, head, model, bounds)

    def hidden(self, protein: str, layer: int | None = None, *, model: str | None = None) -> "xr.DataArray":
        """The representations of a protein's residues, as each layer hands them on.

        Parameters
        ----------
        protein : id
        layer : 0 is what the first layer is given, the embeddings, and n what layer n, counted from 1, hands on; all
            of them where None
        model : may be left out where the store has one

        Returns
        -------
        xarray.DataArray
            float16 [residue, feature], after [layer] where all were asked for.

        Raises
        ------
        QueryError
            If there is no such protein, layer or model, or hidden representations were not kept.
        StoreError
            If they are damaged.
        """
        from .matrix import hidden

        with self._as_opened():
            return hidden(self, protein, layer, model)

    def sql(self, statement: str, *, timeout: float | None = None) -> "Relation":
        """One SELECT over ``proteins``, ``members``, ``residues``, ``pairs``, ``properties``, ``property_sources``,
        ``excluded``, ``arcs``, ``heads``, ``models`` and ``skipped``, in DuckDB, which can touch no other file.

        Parameters
        ----------
        statement : exactly one SELECT of DuckDB's SQL
        timeout : seconds that an answer may take; None for any

        Returns
        -------
        Relation
            The rows are found when they are asked for: ``.df()``, ``.fetchall()``, ``.to_arrow_table()``, …

        Raises
        ------
        QueryError
            If it is not exactly one SELECT, or does not bind.
        """
        from .catalog_sql import relation

        with self._as_opened():
            return relation(self, statement, timeout=timeout)

    def proteins(self) -> "Relation":
        """The proteins, a row each with id, length, sequence and properties: ``.df()``, ``.to_arrow_table()``, …"""
        return self.sql("SELECT * FROM proteins ORDER BY protein_index")

    def residues(self) -> "Relation":
        """The residues, a row each with protein, pos, aa, coordinates and properties."""
        return self.sql("SELECT * FROM residues ORDER BY protein_index, pos")

    def pairs(self) -> "Relation":
        """The pairs of which a property is listed; a row without ends is for all others of its protein."""
        return self.sql("SELECT * FROM pairs ORDER BY protein_index, source NULLS FIRST, target")

    def properties(self) -> "Relation":
        """The dictionary of properties: type, unit, meaning, source, and how many values are known and true."""
        return self.sql("SELECT * FROM properties")

    def annotate(self, *inputs: Any, **options: Any) -> "Store":
        """Give proteins properties from files, pandas or Arrow tables; returns the store as it is then.

        See :func:`attnstore.ingest.annotate` for what is read and the options.
        """
        from .annotate.annotation import annotate

        annotate(self.path, inputs, **options)
        return open_store(self.path)

    def export(self, target: str | os.PathLike[str], form: str = "duckdb", *, arcs: bool = False) -> list[str]:
        """Write the store's tables to one DuckDB file or a folder of Parquet; see :func:`attnstore.export.export`."""
        from .export import export

        with self._as_opened():
            return export(self, user_path(target), form, arcs=arcs)

    def query(self, sql: str, **options: Any) -> "Result":
        """Answer one SELECT over the virtual table `attention` and the store's other tables; a pandas frame.

        See :func:`attnstore.queries.query.query` for the language, the options and what comes back.
        """
        from .queries.query import query

        with self._as_opened():
            return query(self, sql, **options)

    def stream(self, sql: str, **options: Any) -> "pa.RecordBatchReader":
        """The same answer in Arrow batches, found while they are read; see :func:`attnstore.queries.query.stream`."""
        from .queries.query import stream

        with self._as_opened():
            return stream(self, sql, **options)

    def explain(self, sql: str, **options: Any) -> str:
        """How :meth:`query` would answer, in words; see :func:`attnstore.queries.query.explain`."""
        from .queries.query import explain

        with self._as_opened():
            return explain(self, sql, **options)

    def align(self, predicate: str, **options: Any) -> "Alignment":
        """Share of each head's attention that goes to pairs where a predicate is true.

        See :func:`attnstore.queries.align.align` for the options and what comes back.
        """
        from .queries.align import align

        with self._reading():
            return align(self, predicate, **options)

    def contacts(
        self, proteins: "str | Sequence[str] | None" = None, **options: Any
    ) -> "ContactMap | ContactEvaluation":
        """Contacts predicted from attention: the map of one protein, or precision over several, or all.

        See :func:`attnstore.queries.contacts.prediction.contacts` for the options and what comes back.
        """
        from .queries.contacts.prediction import contacts

        with self._reading():
            return contacts(self, proteins, **options)

    def probe(self, condition: str, **options: Any) -> "Probing":
        """How well a linear probe finds a property in each layer's representations, and in its attention.

        See :func:`attnstore.queries.probe.probe.probe` for the options and what comes back.
        """
        from .queries.probe.probe import probe

        with self._reading():
            return probe(self, condition, **options)

    def view(self, protein: str, **options: Any) -> "View":
        """One protein to look at: a head's matrix, its arcs along the chain, its structure in 3D.

        See :func:`attnstore.queries.view.view.view` for the options and what comes back.
        """
        from .queries.view.view import view

        with self._reading():
            return view(self, protein, **options)

    def report(self, directory: str | os.PathLike[str], **options: Any) -> "Report":
        """Every model and every property on one page, with its figures and tables beside it.

        See :func:`attnstore.queries.report.report.report` for the options and what comes back.
        """
        from .runtime.drawing import load_matplotlib

        load_matplotlib()
        from .queries.report.report import report

        with self._reading():
            return report(self, user_path(directory), **options)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What a damaged catalog says, in one sentence."""
        from .catalog.reader import catalog_errors

        with self._as_opened(), catalog_errors(self.path / str(self.document.catalog)):
            yield

    @contextmanager
    def _as_opened(self) -> Iterator[None]:
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

    def verify(self) -> list[str]:
        """Check every digest, checksum, count and sum; returns a sentence for each thing that is damaged."""
        from .verify import verify

        return list(map(str, verify(self.path)))


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
