"""From a question to how it is answered: which tier of the store, and whether exactly or within bounds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import QueryError
from ...format.codebook import Codebook, parse_threshold
from ..sql.tree import Expression
from .kept import STORED, among_kept, why_not

if TYPE_CHECKING:
    from ...format.documents import ModelDocument

Tier = Literal["marginals", "arcs", "codes"]


#: The paper's θ.
THRESHOLD = 0.3


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


def one_end(clauses: Iterable[Expression]) -> str | None:
    """The one end, 'source' or 'target', that clauses depend on; None if both, or a quantity of the pair.

    What depends on neither can be asked of either: 'target'.
    """
    ends = frozenset().union(*(clause.ends for clause in clauses)) - {"protein"}
    if ends <= {"target"}:
        return "target"
    return "source" if ends == {"source"} else None


def choose_threshold(threshold: float | str, weighted: bool) -> float:
    """'auto' is the paper's 0.3 in the count form and none, 0, in the weighted form."""
    if threshold == "auto":
        return 0.0 if weighted else parse_threshold(THRESHOLD)
    return parse_threshold(threshold)  # type: ignore[arg-type]


def choose_tier(
    document: "ModelDocument",
    codebook: Codebook,
    *,
    threshold: float,
    weighted: bool,
    one_ended: bool,
    separations: bool,
    tier: Tier | None,
) -> tuple[Tier, bool, str]:
    """The cheapest tier kept that answers exactly, else the cheapest that answers within bounds.

    Parameters
    ----------
    document, codebook : of the model
    threshold, weighted, separations : as in :class:`Plan`
    one_ended : whether predicate and where clause depend on one end alone
    tier : the one to use, None to choose

    Returns
    -------
    tier, exact, reason

    Raises
    ------
    QueryError
        If no tier can answer, or not the one asked for; the message says why and names the cure.
    """
    able: dict[Tier, tuple[bool, str]] = {}
    unable: dict[Tier, str] = {}
    floor = np.float32(document.arc_floor)
    if not weighted:
        unable["marginals"] = "marginals hold sums of weights, not numbers of arcs"
    elif threshold > 0:
        unable["marginals"] = "marginals know no threshold"
    elif not one_ended:
        unable["marginals"] = "marginals answer questions about one end only"
    elif separations:
        unable["marginals"] = "marginals know no separation"
    else:
        able["marginals"] = (True, "a weighted question about one end, without a threshold")
    if np.float32(threshold) >= floor:
        able["arcs"] = (True, f"the threshold is at or above the arc floor, {document.arc_floor:g}")
    else:
        unable["arcs"] = f"arcs begin at {document.arc_floor:g}"
    if codebook.code_of(threshold) is None:
        below, above = codebook.nearest_edges(threshold)
        unable["codes"] = f"{threshold:g} is no edge of the codebook; the nearest are {below:g} and {above:g}"
    elif weighted:
        able["codes"] = (False, "weights from codes lie within the bounds of their bins")
    else:
        able["codes"] = (True, "the threshold is an edge of the codebook")
    keep, name = document.keep, document.name
    kept, reasons = among_kept(able, unable, keep)
    if tier is not None:
        if tier not in STORED:
            raise QueryError(f"tier {tier!r} is not one of marginals, arcs and codes.")
        if tier not in kept:
            raise QueryError(f"the tier {tier} cannot answer this of model {name}: {reasons[tier]}.")
        return tier, *kept[tier]
    for exact in (True, False):
        for one in STORED:
            if one in kept and kept[one][0] is exact:
                return one, *kept[one]
    works = {
        "marginals": "weighted=True without a threshold works for a question about one end",
        "arcs": f"any threshold from {document.arc_floor:g} works",
        "codes": "either of the two works",
    }
    raise QueryError(
        f"threshold {threshold:g} cannot be answered of model {name}: {why_not(able, reasons, works, keep)}."
    )
