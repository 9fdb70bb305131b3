"""All measurements of one model: every question, amino acids, and depth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from ...errors import QueryError
from ...runtime import time_limit
from .amino_acids import AminoAcids, Similarity, measure_amino_acids, similarity
from .calls import Settings
from .depth import Depth, by_centre, depth
from .measures import Measurement, measure_property
from .model_comparison import best_head_table, model_label
from .questions import Missing, PropertyQuestion

if TYPE_CHECKING:
    from ...opened import Model, Store


@dataclass(frozen=True, eq=False)
class ModelReport:
    """One model's results.

    Attributes
    ----------
    model : Model
        The model.
    measured : tuple of Measured
        One for each question that could be asked, amino acids last.
    acids : AminoAcids or None
        Shares of the amino acids; None where they were not asked for or cannot be.
    missing : tuple of Missing
        What cannot be shown.
    """

    model: "Model"
    measured: tuple[Measurement, ...]
    acids: AminoAcids | None
    missing: tuple[Missing, ...]

    @property
    def label(self) -> str:
        """Its name, with what is random in it."""
        return model_label(self.model.document)

    @property
    def properties(self) -> list[Measurement]:
        """The results other than those of amino acids."""
        return [one for one in self.measured if one.question.kind != "amino acid"]

    @property
    def letters(self) -> list[Measurement]:
        """The results of amino acids."""
        return [one for one in self.measured if one.question.kind == "amino acid"]

    @cached_property
    def similarity(self) -> Similarity | None:
        """The similarity of amino acids by attention."""
        return similarity(self.acids) if self.acids is not None else None

    def depths(self, *, paper: bool = False) -> list[Depth]:
        """Properties ordered by centre of gravity; with the paper's form, those that were asked in it."""
        answers = [(one.question, one.paper if paper else one.whole) for one in self.properties]
        return by_centre([depth(question, answer.result) for question, answer in answers if answer is not None])


def overview(reports: Sequence[ModelReport]) -> pd.DataFrame:
    """The best head of every model for every question, each on all proteins of its model."""
    rows = []
    for report in reports:
        courses = {one.question.key: one for one in report.depths()}
        layers = report.model.document.layers
        rows += [(report.label, layers, one, courses.get(one.question.key)) for one in report.measured]
    return best_head_table(rows)


def measure_model(
    store: "Store", model: str, questions: Sequence[PropertyQuestion], settings: Settings, done: Callable[[], object]
) -> ModelReport:
    """Ask one model all questions; those that it cannot answer are listed in `missing`.

    Parameters
    ----------
    store : Store
    model : name
    questions : Question
    settings : Settings
    done : called after each question
    """
    if not store.models[model].manifest.segments:
        reason = "nothing of the model is committed yet: run its ingest again"
        return ModelReport(store.models[model], (), None, (Missing("Everything", reason, model),))
    measured: list[Measurement] = []
    missing: list[Missing] = []
    acids = None
    if any(question.kind == "amino acid" for question in questions):
        try:
            acids = measure_amino_acids(store, model, settings)
        except QueryError as error:
            time_limit.check()  # of the whole report
            missing.append(Missing("Amino acids", str(error), model))
    for question in questions:
        if question.kind != "amino acid" or acids is not None:
            try:
                measured.append(measure_property(store, model, question, settings))
            except QueryError as error:
                time_limit.check()  # of the whole report
                missing.append(Missing(question.label, str(error), model))
        done()
    missing += [*_without_halves(model, measured), *_without_heads(model, measured, settings)]
    return ModelReport(store.models[model], tuple(measured), acids, tuple(missing))


def _without_halves(model: str, measured: Sequence[Measurement]) -> list[Missing]:
    """Results without two halves of clusters: one entry for each reason."""
    notes = dict.fromkeys(one.note for one in measured if one.note is not None)
    return [Missing("Heads picked and measured on different clusters", note, model) for note in notes]


def _without_heads(model: str, measured: Sequence[Measurement], settings: Settings) -> list[Missing]:
    """Figures that would be empty: one entry per property or, if all are, one."""
    empty = [one for one in measured if one.whole is not None and not one.whole.ranked]
    reason = (
        f"no head has {settings.min_arcs:,} arcs with attention ≥ {settings.threshold:g} and the property known, "
        f"in {settings.min_proteins:,} proteins"
    )
    if len(empty) > 1 and len(empty) == sum(one.whole is not None for one in measured):
        return [Missing("Every figure", reason, model)]
    return [Missing(f"{one.question.label}: the figure", reason, model) for one in empty]
