"""What a reproduction comes back as, and which sequences it is of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .comparison import counted

if TYPE_CHECKING:
    from ..report.depth import Depth
    from ..report.report import Report


@dataclass(frozen=True)
class Drawn:
    """Which sequences a folder's stores are of: no other may be added to them.

    Attributes
    ----------
    model : last part of its id or folder; that its weights are the same, an ingest sees
    split : of the data sets
    sample, seed : how many were drawn, and by what; None where the first were taken
    limit : how many of the first; None where some were drawn
    """

    model: str
    split: str
    sample: int | None
    seed: int | None
    limit: int | None

    @property
    def words(self) -> str:
        """What was taken, for people."""
        if self.limit is not None:
            return f"The first {counted(self.limit, 'sequence')} of each data set"
        return f"Up to {counted(self.sample or 0, 'sequence')} of each data set, drawn with seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Reproduction:
    """What came out, and where it lies.

    Attributes
    ----------
    page : the page that links the reports
    model : its name in the stores
    published : the paper's model that it was compared with; None where it is none of them
    recognised : by what it was told, a phrase
    drawn : which sequences
    as_published : whether the labels of sites and modifications were moved by one residue
    heads : the published ten heads and the measured ten of each property, see
        :func:`attnstore.queries.vig2021.comparison.compare_heads`
    summary : how near they are, see :func:`attnstore.queries.vig2021.comparison.summarise`
    best : the best heads of the five models and of this one,
        see :func:`attnstore.queries.vig2021.comparison.paper_best_heads`
    depths : the properties of all data sets ordered by centre of gravity, in the paper's form
    similarity : correlation of amino acids' likeness by attention with BLOSUM62; None where it was not measured
    stores : by data set
    reports : by data set
    notes : what cannot be compared, a sentence each
    missing : what was not run or cannot be shown, a sentence each
    """

    page: Path
    model: str
    published: str | None
    recognised: str
    drawn: Drawn
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
