"""Comparison of several models of a store: trained ones, and those with random weights or shuffled sequences."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...catalog.connection import literal
from ...errors import QueryError
from .calls import Settings
from .depth import Depth, depth
from .measures import Measurement, measure_property
from .questions import PropertyQuestion

if TYPE_CHECKING:
    from ...format.documents import ModelDocument
    from ...opened import Store

_RANDOM = {"weights": "random weights", "sequence": "shuffled sequences"}


def model_label(document: "ModelDocument") -> str:
    """The name of a model, with what is random in it."""
    random = _RANDOM.get(document.randomize or "")
    return f"{document.name} ({random}, seed {document.seed})" if random else document.name


@dataclass(frozen=True, eq=False)
class ModelMeasurement:
    """One model's result for one question, on the proteins that all models have.

    Attributes
    ----------
    model : str
        Name of the model.
    layers : int
        Number of its layers.
    measured : Measured
        The result.
    depth : Depth or None
        Depth over all heads; None for an amino acid.
    """

    model: str
    layers: int
    measured: Measurement
    depth: Depth | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models on the same proteins.

    Attributes
    ----------
    labels : mapping of str to str
        Labels of the models, by name.
    proteins : int
        Number of proteins that all of them have.
    unlike : int
        Number of these of which the models saw different lengths, because some truncated them more than others.
    among : str or None
        Condition on proteins that selects them; None if every model has exactly these.
    rows : sequence of Compared
        One for each question and model.
    """

    labels: Mapping[str, str]
    proteins: int
    unlike: int
    among: str | None
    rows: Sequence[ModelMeasurement]

    def of(self, key: str) -> list[ModelMeasurement]:
        """The models' results for one question."""
        return [row for row in self.rows if row.measured.question.key == key]

    @property
    def questions(self) -> list[PropertyQuestion]:
        """The questions in the order in which they were asked."""
        return list({row.measured.question.key: row.measured.question for row in self.rows}.values())

    @property
    def table(self) -> pd.DataFrame:
        """One row per question and model: :func:`best_head_table`."""
        return best_head_table([(self.labels[row.model], row.layers, row.measured, row.depth) for row in self.rows])


def best_head_table(rows: Iterable[tuple[str, int, Measurement, Depth | None]]) -> pd.DataFrame:
    """One row per result of a model: its best head, chosen and measured on different clusters, and the centre.

    Parameters
    ----------
    rows : sequence of tuple of (str, int, Measured, Depth or None)
        The model's label, its number of layers, the answer, and the property's course, None of an amino acid.

    Returns
    -------
    pandas.DataFrame
        Layer, head, share with its interval, count of total arcs, number of clusters with these arcs, background and
        enrichment of the best head; `relative_centre` is the centre of gravity with the first layer at 0 and the
        last at 1.
    """
    numbers = ("share", "bootstrap_low", "bootstrap_high", "background", "enrichment")
    counts = ("count", "total", "clusters")
    table = []
    for label, layers, one, course in rows:
        best = {} if one.best is None else one.best.to_dict()
        centre = course.centre if course is not None else math.nan
        table.append(
            {
                "model": label,
                "property": one.question.label,
                "key": one.question.key,
                "layer": best.get("layer"),
                "head": best.get("head"),
                **{name: best.get(name, math.nan) for name in numbers},
                **{name: best.get(name) for name in counts},
                "centre": centre,
                "relative_centre": centre / (layers - 1) if layers > 1 else math.nan,
            }
        )
    columns = ["model", "property", "key", "layer", "head", *numbers, *counts, "centre", "relative_centre"]
    types: Any = dict.fromkeys(["layer", "head", *counts], "Int64") | dict.fromkeys([*numbers, *columns[-2:]], float)
    return pd.DataFrame(table, columns=columns).astype(types)


def shared_proteins(store: "Store", models: Sequence[str]) -> tuple[int, int, str | None]:
    """The proteins that all of some models have.

    Returns
    -------
    number : of them
    unlike : number of these of which the models saw different lengths, because some truncated them more than others
    among : the condition that selects them; None if every model has exactly these
    """
    held = [
        {name: int(segment.proteins.stored[index]) for name, (segment, index) in store.models[model].places.items()}
        for model in models
    ]
    shared = set(held[0]).intersection(*held[1:])
    others = set().union(*held) - shared
    unlike = sum(len({lengths[name] for lengths in held}) > 1 for name in shared)
    if not others:
        return len(shared), unlike, None
    names, operator = (shared, "IN") if len(shared) <= len(others) else (others, "NOT IN")
    listed = ", ".join(map(literal, sorted(names)))
    return len(shared), unlike, f"protein.id {operator} ({listed})"


def compare(
    store: "Store",
    models: Sequence[str],
    measured: Mapping[str, Sequence[Measurement]],
    settings: Settings,
    done: Callable[[], object],
) -> Comparison:
    """Compare models on the proteins that all of them have.

    Parameters
    ----------
    store : Store
    models : names, two or more
    measured : each model's results on all its proteins; asked again if these are not just the shared ones
    settings : Settings
    done : called after each question

    Raises
    ------
    QueryError
        If the models share no protein.
    """
    number, unlike, among = shared_proteins(store, models)
    if not number:
        raise QueryError("the models share no protein")
    rows = []
    for name in models:
        for one in measured[name]:
            again = (
                one
                if among is None
                else measure_property(store, name, one.question, replace(settings, paper=False), among)
            )
            course = depth(one.question, again.whole.result) if again.whole is not None else None
            rows.append(ModelMeasurement(name, store.models[name].document.layers, again, course))
            done()
    labels = {name: model_label(store.models[name].document) for name in models}
    return Comparison(labels, number, unlike, among, rows)
