"""One question to one model: the shares of all heads, the best heads on other clusters, and the paper's form."""

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

#: Number of heads that a table on the page shows.
TOP = 10

#: Columns of such a table, if present.
_SHOWN = [
    "layer", "head", "selection_rank", "selection_lower", "selection_share", "share", "bootstrap_low",
    "bootstrap_high", "wald_low", "wald_high", "count", "total", "clusters", "background", "enrichment",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answer:
    """A result of the engine, and the call that asked for it."""

    result: "Alignment"
    call: Call

    @cached_property
    def table(self) -> pd.DataFrame:
        """All heads, the best first."""
        return self.result.to_table()

    @property
    def ranked(self) -> int:
        """Number of heads with enough arcs and proteins."""
        return int(self.result["ranked"].sum())

    @property
    def top(self) -> pd.DataFrame:
        """The ten best of the ranked heads, in the columns that are shown."""
        frame = self.table
        best = frame[frame["ranked"] & frame["share"].notna()].head(TOP)
        return best[[name for name in _SHOWN if name in best]].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Measurement:
    """The results of one question.

    Attributes
    ----------
    question : Question
        The question that was asked.
    whole : Answer or None
        Result of all heads on all proteins; None for an amino acid, whose shares `AminoAcids` has from one query.
    held_out : Answer or None
        Result with heads chosen on one half of the clusters and measured on the other; None if there are no two
        halves.
    paper : Answer or None
        Result in the paper's form, over all arcs; None if it was not requested.
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
        """The best head of one half of the clusters, measured on the other half.

        None if no head is ranked, or if the other half shows that head below its background: it was best by luck.
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
    among : a condition on proteins that selects those to use

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
        # The paper's contacts are measured over all arcs, including those to neighbours.
        paper = Answer(*call_align(store, settings, predicate, where=among, model=model, paper=True))
    return Measurement(question, whole, held_out, paper, note)


def ranked_shares(result: xr.Dataset) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Shares of a result, float64 [layers, heads]; NaN for a head with too few arcs or proteins."""
    return result["share"].where(result["ranked"]).transpose("layer", "head").to_numpy()
