"""The measure of an alignment: which share, compared with which background, over which samples."""

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Literal, get_args

from ...errors import QueryError
from .cluster_intervals import MIN_CLUSTERS

Average = Literal["micro", "macro"]
BackgroundKind = Literal["eligible", "separation", "protein", "paper", "none"]
RankBy = Literal["lower", "share", "enrichment"]

BACKGROUNDS: tuple[BackgroundKind, ...] = get_args(BackgroundKind)
AVERAGES: tuple[Average, ...] = get_args(Average)
RANKINGS: tuple[RankBy, ...] = get_args(RankBy)

#: Default number of replicates of the bootstrap.
REPLICATES = 1000

#: Default minimum number of proteins (or clusters) with a ranked head's arcs: as many as an interval needs, see
#: `MIN_CLUSTERS`.
MIN_PROTEINS = MIN_CLUSTERS


@dataclass(frozen=True)
class Measure:
    """What is computed, for any tier; small and picklable.

    Attributes
    ----------
    weighted : sums of weights rather than numbers of arcs
    paper : unknown counts as FALSE
    background : kind of the background
    average : 'micro', one ratio of sums, or 'macro', the mean of the clusters' shares
    cluster_by : units of the bootstrap: 'protein', or the column of proteins with a protein's cluster
    split : rank heads on one half of the clusters, report them on the other
    min_arcs : a head with fewer known arcs is not ranked (`paper`: with as many or fewer)
    min_proteins : a head whose known arcs are in fewer proteins, or clusters by `cluster_by`, is not ranked
    rank_by : order of heads: by the lower bound of the interval, the share, or the enrichment
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
    min_proteins: int = MIN_PROTEINS
    rank_by: RankBy = "lower"
    level: float = 0.95
    replicates: int = REPLICATES
    seed: int = 0

    @property
    def of_selection(self) -> "Measure":
        """The measure for the half on which heads are ranked."""
        return replace(self, split=False)


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
    min_proteins: int | None,
    rank_by: str | None,
    level: float,
    replicates: int | None,
    seed: int,
) -> Measure:
    """Make a measure from options, with their defaults.

    Parameters
    ----------
    curve : whether every threshold is requested
    replicates : None for the default, which is 1,000 at one threshold and 0 for a curve
    min_proteins : None for the default, which is `MIN_PROTEINS`, and 0 in the paper's form
    rank_by : None for the default, which is 'lower', and 'share' in the paper's form and without an interval

    The other parameters are as in :class:`Measure`.

    Raises
    ------
    QueryError
        If a value is out of range, or two options exclude each other.
    """
    if replicates is None:
        replicates = 0 if curve else REPLICATES
    if not (_whole(min_arcs) and _whole(replicates) and _whole(seed) and seed < 2**128 and _fraction(level)):
        raise QueryError(
            f"min_arcs={min_arcs!r}, replicates={replicates!r} and seed={seed!r} must be whole numbers from 0 on, "
            f"seed below 2**128, and level={level!r} between 0 and 1."
        )
    if min_proteins is not None and not _whole(min_proteins):
        raise QueryError(f"min_proteins={min_proteins!r} must be a whole number from 0 on.")
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
    return Measure(
        weighted=weighted,
        paper=paper,
        background=kind,
        average=average,
        cluster_by=cluster_by,
        split=split,
        min_arcs=min_arcs,
        min_proteins=_least_proteins(min_proteins, paper=paper),
        rank_by=_ranking(
            rank_by, paper=paper, background=kind, interval=replicates > 1 or not (weighted or average == "macro")
        ),
        level=level,
        replicates=replicates,
        seed=seed,
    )


def _least_proteins(min_proteins: int | None, *, paper: bool) -> int:
    if paper and min_proteins is not None:
        raise QueryError(
            f"the paper's form ranks heads by their number of arcs alone; leave out min_proteins={min_proteins!r}."
        )
    return (0 if paper else MIN_PROTEINS) if min_proteins is None else min_proteins


def _ranking(rank_by: str | None, *, paper: bool, background: BackgroundKind, interval: bool) -> RankBy:
    if rank_by is None:
        return "lower" if interval and not paper else "share"
    if rank_by not in RANKINGS:
        raise QueryError(f"rank_by={rank_by!r} is not one of {', '.join(RANKINGS)}.")
    if paper and rank_by != "share":
        raise QueryError(f"the paper's form ranks heads by share; leave out rank_by={rank_by!r}.")
    if rank_by == "enrichment" and background == "none":
        raise QueryError("rank_by='enrichment' needs a background; leave out background='none'.")
    if rank_by == "lower" and not interval:
        raise QueryError(
            "rank_by='lower' needs an interval, which sums of weights and mean shares have from the bootstrap alone: "
            "give replicates=1000."
        )
    return rank_by


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 0


def _fraction(value: object) -> bool:
    return isinstance(value, Real) and 0 < float(value) < 1
