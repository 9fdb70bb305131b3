"""The result of a reproduction, and the sequences that were used."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .comparison import count_words

if TYPE_CHECKING:
    from ..report.depth import Depth
    from ..report.report import Report


@dataclass(frozen=True)
class SequenceDraw:
    """The sequences of a folder's stores: no others may be added to them.

    Attributes
    ----------
    model : str
        Last part of its id or folder; the ingest checks that its weights are the same.
    split : str
        Split of the data sets.
    sample, seed : int or None
        Number of sequences drawn, and seed of the draw; None if the first were used.
    limit : int or None
        Number of first sequences; None if some were drawn.
    """

    model: str
    split: str
    sample: int | None
    seed: int | None
    limit: int | None

    @property
    def words(self) -> str:
        """The sequences, in words."""
        if self.limit is not None:
            return f"The first {count_words(self.limit, 'sequence')} of each data set"
        return f"Up to {count_words(self.sample or 0, 'sequence')} of each data set, drawn with seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Results of the analysis of Vig et al. 2021 on a model.

    Attributes
    ----------
    page : Path
        The page, with links to the reports.
    model : str
        Name of the model in the stores.
    published : str or None
        Model of the paper that it was compared with; None for none of them.
    recognised : str
        How that model was recognised, a phrase.
    drawn : SequenceDraw
        Which sequences were read.
    as_published : bool
        Whether the labels of sites and modifications were shifted by one residue.
    heads : pandas.DataFrame
        The published and the measured ten heads of each property.
    summary : pandas.DataFrame
        Agreement of the two for each property.
    best : pandas.DataFrame
        The best heads of the five models of the paper and of this one.
    depths : tuple of Depth
        Properties of all data sets ordered by centre of gravity, in the paper's form.
    similarity : float or None
        Correlation of the similarity of amino acids by attention with BLOSUM62; None if it was not measured.
    stores : mapping of str to Path
        Store of each data set.
    reports : mapping of str to Report
        Report of each data set.
    notes : tuple of str
        What cannot be compared, a sentence each.
    missing : tuple of str
        What was not run or cannot be shown, a sentence each.
    """

    page: Path
    model: str
    published: str | None
    recognised: str
    drawn: SequenceDraw
    as_published: bool
    heads: pd.DataFrame
    summary: pd.DataFrame
    best: pd.DataFrame
    depths: "tuple[Depth, ...]"
    similarity: float | None
    stores: Mapping[str, Path]
    reports: "Mapping[str, Report]"
    notes: tuple[str, ...]
    missing: tuple[str, ...]
