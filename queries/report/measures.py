"""One question to one model: the shares of all heads, the best of them on other clusters, and the paper's form."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from ...errors import QueryError
from ...runtime import time_limit
from .calls import Call, Settings, call_align
from .questions import PropertyQuestion

if TYPE_CHECKING:
    from ...opened import Store
    from ..alignment import Alignment

#: Heads that a table on the page shows.
TOP = 10

#: Columns of such a table, where there are.
_SHOWN = [
    "layer", "head", "selection_rank", "selection_lower", "selection_share", "share", "bootstrap_low",
    "bootstrap_high", "wald_low", "wald_high", "count", "total", "clusters", "background", "enrichment",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answer:
    """What the engine answers, and how it was asked."""

    result: "Alignment"
    call: Call

    @cached_property
    def table(self) -> pd.DataFrame:
        """All heads, the best first."""
        return self.result.to_table()

    @property
    def ranked(self) -> int:
        """How many heads have arcs and proteins enough."""
        return int(self.result["ranked"].sum())

    @property
    def top(self) -> pd.DataFrame:
        """The ten best of the heads that are ranked, in the columns that are shown."""
        frame = self.table
        best = frame[frame["ranked"] & frame["share"].notna()].head(TOP)
        return best[[name for name in _SHOWN if name in best]].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Measurement:
    """The answers to one question.

    Attributes
    ----------
    question : Question
        The question that was asked.
    whole : Answer or None
        Of all heads on all proteins; None of an amino acid, whose shares `AminoAcids` has from one query.
    held_out : Answer or None
        With heads picked on one half of the clusters and measured on the other; None where they do not fall into
        halves.
    paper : Answer or None
        In the paper's form, over all arcs; None where it was not asked for.
    note : str or None
        Why there is no `held_out`.
    """

    question: PropertyQuestion
    whole: Answer | None
    held_out: Answer | None
    paper: Answer | None
    note: str | None = None

    @property
    def best(self) -> "pd.Series[Any] | None":
        """The head that led one half of the clusters, as the other half shows it.

        None where no head is ranked, or where the other half shows that head below its background: it led by luck.
        """
        top = self.held_out.top if self.held_out is not None else pd.DataFrame()
        return top.iloc[0] if len(top) and not top["enrichment"].iloc[0] < 1 else None


def measure_property(
    store: "Store", model: str, question: PropertyQuestion, settings: Settings, among: str | None = None
) -> Measurement:
    """Ask a question of one model.

    Parameters
    ----------
    store : Store
    model : name
    question : Question
    settings : Settings
    among : a condition on proteins, of those that take part

    Raises
    ------
    QueryError
        If the engine cannot answer it.
    """
    where = " AND ".join(f"({part})" if among else part for part in (question.where, among) if part) or None
    predicate, whole = question.predicate, None
    if question.kind != "amino acid":
        whole = Answer(*call_align(store, settings, predicate, where=where, model=model))
    held_out, note = None, None
    try:
        held_out = Answer(*call_align(store, settings, predicate, where=where, model=model, split=True))
    except QueryError as error:
        time_limit.check()  # of the whole report
        note = str(error)
    paper = None
    if settings.paper:
        # The paper's contacts are of all arcs, those to neighbours included.
        paper = Answer(*call_align(store, settings, predicate, where=among, model=model, paper=True))
    return Measurement(question, whole, held_out, paper, note)


def ranked_shares(result: xr.Dataset) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Shares of a result, float64 [layers, heads]; NaN where a head has too few arcs or proteins."""
    return result["share"].where(result["ranked"]).transpose("layer", "head").to_numpy()
