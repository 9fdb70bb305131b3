"""Proteins on which heads or coefficients are chosen, and proteins for evaluation: never of one cluster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...arguments import check_text
from ...catalog.reader import connect
from ...catalog_sql import duckdb_errors, relation
from ...errors import QueryError
from ...format.documents import ingest_with, lacking
from ...runtime import time_limit
from ..engine.vectors import directory
from ..statistics.clusters import read_clusters
from .contact_maps import RANGES, labelled_pairs
from .contact_tasks import ContactPart

if TYPE_CHECKING:
    from ...opened import Model, Store

Array = npt.NDArray[Any]

#: Atoms between which distances of contacts are measured.
ATOMS = ("cb", "ca")


@dataclass(frozen=True, eq=False)
class Roster:
    """The proteins of a model.

    Attributes
    ----------
    store, model : their store and model
    index : protein_index in the catalog, by id, increasing
    cluster : key of the cluster of each, by id
    cluster_by : 'protein', or the column of `proteins` with the cluster
    """

    store: "Store"
    model: "Model"
    index: Mapping[str, int]
    cluster: Mapping[str, str]
    cluster_by: str

    def clusters_of(self, names: Iterable[str]) -> set[str]:
        """The clusters of some proteins."""
        return {self.cluster[name] for name in names}

    def check(self, names: Sequence[str]) -> None:
        """Raise QueryError unless the model has each of the proteins, and each is named once."""
        for name in names:
            check_text("protein", name)
            if name not in self.index:
                raise self.model.without(name)
        if len(set(names)) < len(names):
            raise QueryError("a protein is named twice: name each once.")

    def parts(self, names: Sequence[str], atom: str) -> list[ContactPart]:
        """The proteins by segment, with their coordinates; one read of the catalog."""
        found = self.coordinates(names, atom)
        parts = []
        for segment in self.model.segments:
            local = [place for place, name in enumerate(segment.proteins.id) if name in found]
            held = [segment.proteins.id[place] for place in local]
            stored = segment.proteins.stored[local].tolist()
            coordinates = [found[name][:length] for name, length in zip(held, stored, strict=True)]
            if held:
                clusters = tuple(self.cluster[name] for name in held)
                parts.append(ContactPart(segment, tuple(local), tuple(coordinates), clusters))
        return parts

    def coordinates(self, names: Sequence[str], atom: str) -> dict[str, Array]:
        """Position of an atom in every residue, float32 [length, 3] in Å; NaN where it is unknown."""
        wanted = pa.table({"protein_index": pa.array([self.index[name] for name in names], pa.int32())})
        with time_limit.closing(connect(self.store.catalog_path)) as connection:
            connection.register("wanted", wanted)
            rows = connection.execute(
                f"SELECT protein_index, {', '.join(f'{atom}_{axis}' for axis in 'xyz')} FROM residues "
                "SEMI JOIN wanted USING (protein_index) ORDER BY protein_index, pos"
            ).fetchnumpy()
        points = [np.ma.filled(np.ma.asarray(rows[f"{atom}_{axis}"], np.float32), np.nan) for axis in "xyz"]
        ordered = sorted(names, key=self.index.__getitem__)
        ends = np.searchsorted(np.asarray(rows["protein_index"]), [self.index[name] for name in ordered], "right")
        return dict(zip(ordered, np.split(np.stack(points, axis=1), ends[:-1]), strict=True))


def roster(store: "Store", model: "Model", cluster_by: str) -> Roster:
    """The proteins of a model and their clusters.

    Raises
    ------
    QueryError
        If the model has no proteins yet or no codes, or `proteins` has no such column.
    StoreError
        If a segment and the catalog contradict one another.
    """
    if not model.manifest.segments:
        raise QueryError(f"model {model.name} has nothing committed yet: run its ingest again.")
    keep = model.document.keep
    if "codes" not in keep:
        why = f"contacts are predicted from codes, and {lacking(model.name, keep, 'codes')}"
        raise QueryError(f"{why}: {ingest_with(keep, 'codes')}.")
    path = store.catalog_path
    catalog = directory(path)
    for segment in model.segments:
        catalog.places(segment)
    with time_limit.closing(connect(path)) as connection:
        clusters = read_clusters(connection, cluster_by)
        rows = connection.execute("SELECT id, protein_index FROM proteins ORDER BY protein_index").fetchall()
    known = zip(rows, clusters, strict=True)
    held = [(name, index, cluster) for (name, index), cluster in known if name in model.places]
    return Roster(
        store,
        model,
        {name: index for name, index, _ in held},
        # A protein of unknown cluster is a cluster by itself.
        {name: f"protein {name}" if cluster is None else f"cluster {cluster}" for name, _, cluster in held},
        cluster_by,
    )


def choose_proteins(
    roster: Roster,
    select: int | str | Sequence[str],
    *,
    seed: int,
    atom: str,
    span: str,
    apart_from: Sequence[str],
) -> tuple[str, ...]:
    """Select the proteins on which heads are chosen or a regression is fitted, in the order of the catalog.

    Parameters
    ----------
    roster : Roster
    select : number to draw, each from another cluster; an SQL condition on `proteins`; or ids
    seed : seed of the draw
    atom : 'cb' or 'ca'
    span : the range in which each must have a known contact
    apart_from : no protein of the clusters of these is drawn

    Raises
    ------
    QueryError
        If there are none, or fewer than requested.
    """
    if isinstance(select, int) and not isinstance(select, bool):
        return _draw(roster, select, np.random.default_rng(seed), atom, span, roster.clusters_of(apart_from))
    if isinstance(select, str):
        names = _matching(roster, select)
        names = [name for name, labelled in _with_contacts(roster, names, atom, span) if labelled]
    elif not isinstance(select, Sequence):
        raise QueryError(f"select={select!r} is neither a number of proteins, a condition nor a list of ids.")
    else:
        names = list(select)
        roster.check(names)
        for name, labelled in _with_contacts(roster, names, atom, span):
            if not labelled:
                raise QueryError(f"protein {name} of select has no known contact at {RANGES[span]}: leave it out.")
    if not names:
        raise QueryError(f"select leaves no protein with a known contact at {RANGES[span]}: widen it.")
    return tuple(sorted(names, key=roster.index.__getitem__))


def _draw(
    roster: Roster, number: int, rng: np.random.Generator, atom: str, span: str, used: set[str]
) -> tuple[str, ...]:
    if number < 1:
        raise QueryError(f"select draws at least 1 protein, not {number}.")
    drawn: list[str] = []
    names = list(roster.index)
    order = [names[place] for place in rng.permutation(len(names))]
    # In batches: few proteins lack contacts, so most need not be read.
    batch = max(64, 2 * number)
    for first in range(0, len(order), batch):
        for name, labelled in _with_contacts(roster, order[first : first + batch], atom, span):
            if labelled and roster.cluster[name] not in used:
                drawn.append(name)
                used.add(roster.cluster[name])
                if len(drawn) == number:
                    return tuple(sorted(drawn, key=roster.index.__getitem__))
    raise QueryError(
        f"select asks for {number} proteins of different clusters with a known contact at {RANGES[span]}, "
        f"and there are {len(drawn)}: ask for fewer."
    )


def _matching(roster: Roster, condition: str) -> list[str]:
    # The store's own SQL: a single SELECT, sandboxed.
    found = relation(roster.store, f"SELECT id FROM proteins WHERE (\n{condition}\n) ORDER BY protein_index")
    with duckdb_errors():
        rows = found.fetchall()
    return [name for (name,) in rows if name in roster.index]


def _with_contacts(roster: Roster, names: Sequence[str], atom: str, span: str) -> Iterable[tuple[str, bool]]:
    """For each protein, whether it has a known contact in a range, among the residues that the model saw."""
    found = roster.coordinates(names, atom) if names else {}
    for name in names:
        segment, local = roster.model.places[name]
        pairs = labelled_pairs(found[name][: int(segment.proteins.stored[local])])
        yield name, bool(pairs.contacts[list(RANGES).index(span)])


def keep_apart(roster: Roster, proteins: Sequence[str], chosen: Sequence[str]) -> None:
    """Raise QueryError if the model lacks a protein, or if its cluster was chosen on."""
    roster.check(proteins)
    taken = {roster.cluster[name]: name for name in chosen}
    for name in proteins:
        other = taken.get(roster.cluster[name])
        if other is not None:
            shared = "itself one that" if name in chosen else f"of the same {roster.cluster_by} as {other}, on which"
            raise QueryError(
                f"protein {name} is {shared} heads or coefficients were chosen on: leave it out here, or out of select."
            )


def other_proteins(roster: Roster, chosen: Sequence[str]) -> list[str]:
    """The proteins of clusters that were not chosen on; raises QueryError if there are none."""
    taken = roster.clusters_of(chosen)
    names = [name for name in roster.index if roster.cluster[name] not in taken]
    if not names:
        raise QueryError("every protein is of a cluster that was chosen on: select fewer.")
    return names
