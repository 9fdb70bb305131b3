"""What is asked of the attention that is read: which share, against what, over which samples."""

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Literal, get_args

from ...errors import QueryError

Average = Literal["micro", "macro"]
BackgroundKind = Literal["eligible", "separation", "protein", "paper", "none"]

BACKGROUNDS: tuple[BackgroundKind, ...] = get_args(BackgroundKind)
AVERAGES: tuple[Average, ...] = get_args(Average)

#: Replicates of the bootstrap unless said otherwise.
REPLICATES = 1000


@dataclass(frozen=True)
class Measure:
    """What is computed, however the attention is read; small and picklable.

    Attributes
    ----------
    weighted : sums of weights rather than numbers of arcs
    paper : unknown counts as FALSE
    background : which pairs the share is compared with
    average : 'micro', one ratio of sums, or 'macro', the mean of the clusters' own shares
    cluster_by : what the bootstrap draws: 'protein', or the column of proteins that names a protein's cluster
    split : rank heads on one half of the clusters, report them on the other
    min_arcs : a head with fewer known arcs is not ranked (`paper`: with as many or fewer)
    level : confidence of the intervals
    replicates : of the bootstrap; 0 for none
    seed : of the bootstrap and the halves
    """

    weighted: bool = False
    paper: bool = False
    background: BackgroundKind = "eligible"
    average: Average = "micro"
    cluster_by: str = "protein"
    split: bool = False
    min_arcs: int = 100
    level: float = 0.95
    replicates: int = REPLICATES
    seed: int = 0

    @property
    def of_selection(self) -> "Measure":
        """What is computed of the half on which heads are ranked: shares alone."""
        return replace(self, background="none", split=False, replicates=0)


def check_measure(
    *,
    curve: bool,
    weighted: bool,
    paper: bool,
    background: str,
    average: str,
    cluster_by: str,
    split: bool,
    min_arcs: int,
    level: float,
    replicates: int | None,
    seed: int,
) -> Measure:
    """The measure in force.

    Parameters
    ----------
    curve : whether every threshold is asked for
    replicates : None for the default, which is 1,000 at one threshold and 0 for a curve

    The rest is as in :class:`Measure`.

    Raises
    ------
    QueryError
        If a value is out of range, or two options do not go together.
    """
    if replicates is None:
        replicates = 0 if curve else REPLICATES
    if not (_whole(min_arcs) and _whole(replicates) and _whole(seed) and seed < 2**128 and _fraction(level)):
        raise QueryError(
            f"min_arcs={min_arcs!r}, replicates={replicates!r} and seed={seed!r} must be whole numbers from 0 on, "
            f"seed below 2**128, and level={level!r} between 0 and 1."
        )
    if background not in BACKGROUNDS:
        raise QueryError(f"background {background!r} is not one of {', '.join(BACKGROUNDS)}.")
    if average not in AVERAGES:
        raise QueryError(f"average {average!r} is neither micro nor macro.")
    if paper and background not in ("eligible", "paper"):
        raise QueryError(f"the paper's form has the paper's background; leave out background={background!r}.")
    for refused, option in ((average == "macro", "average='macro'"), (split, "split=True")):
        if paper and refused:
            raise QueryError(f"the paper's form is one ratio of sums over all proteins; leave out {option}.")
        if curve and refused:
            raise QueryError(f"a curve over all thresholds is one ratio of sums; ask for one threshold with {option}.")
    if background == "separation" and (curve or average == "macro"):
        each = "threshold" if curve else "cluster"
        raise QueryError(
            f"background='separation' would need a table of separations for each {each}; "
            "background='protein' is matched too, and does not."
        )
    if cluster_by != "protein" and not (replicates or split or average == "macro"):
        raise QueryError(
            f"cluster_by={cluster_by!r} says what a bootstrap draws, and there is none: give replicates=1000."
        )
    kind: BackgroundKind = "paper" if paper else background
    return Measure(weighted, paper, kind, average, cluster_by, split, min_arcs, level, replicates, seed)


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 0


def _fraction(value: object) -> bool:
    return isinstance(value, Real) and 0 < float(value) < 1
