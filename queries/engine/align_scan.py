"""What an alignment's tasks are given: the question, the tier it is read from, and why."""

from dataclasses import dataclass
from typing import Literal

from ..sql.tree import Expression, one_end

Tier = Literal["marginals", "arcs", "codes"]


@dataclass(frozen=True)
class Plan:
    """How one alignment is computed; small and picklable.

    Attributes
    ----------
    predicate : what is measured
    where : which pairs take part; None for all
    threshold : θ, a float32 value; 0 where every weight takes part
    weighted : sums of weights rather than numbers of arcs
    separations : whether arcs are told apart by separation, as the background matched to it needs
    causal : whether the model cannot attend to what comes after, so that such pairs are no part of a background
    tier : what is read
    exact : whether the numbers are exact rather than within bounds
    reason : why this tier, for people
    """

    predicate: Expression
    where: Expression | None
    threshold: float
    weighted: bool
    separations: bool
    causal: bool
    tier: Tier
    exact: bool
    reason: str

    @property
    def clauses(self) -> tuple[Expression, ...]:
        """The predicate and, if there is one, the where clause."""
        return (self.predicate,) if self.where is None else (self.predicate, self.where)

    @property
    def end(self) -> str | None:
        """'source' or 'target' where predicate and where clause depend on that end alone; else None."""
        return one_end(self.clauses)
