"""From a question to how it is answered: which tier of the store, and whether exactly or within bounds."""

from typing import TYPE_CHECKING

import numpy as np

from ...errors import QueryError
from ...format.codebook import Codebook, parse_threshold
from ..engine.align_scan import Tier
from .kept import STORED, among_kept, why_not

if TYPE_CHECKING:
    from ...format.documents import ModelDocument

#: The paper's θ.
THRESHOLD = 0.3


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
    threshold, weighted, separations : as in :class:`~attnstore.queries.engine.align_scan.Plan`
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


def choose_curve_tier(document: "ModelDocument", *, weighted: bool, tier: str | None) -> tuple[Tier, str]:
    """The tier that a curve is read from and why: codes, unless arcs are asked for or codes were not kept.

    Raises
    ------
    QueryError
        If the tier asked for knows no thresholds or was not kept, or there is none of that name; or neither was kept.
    """
    within = ", weights within the bounds of their bins" if weighted else ""
    able: dict[Tier, str] = {
        "codes": f"one pass answers all {document.edges.size} thresholds{within}",
        "arcs": f"the edges of the codebook from the arc floor, {document.arc_floor:g}",
    }
    unable: dict[Tier, str] = {"marginals": "marginals know no threshold"}
    kept, reasons = among_kept(able, unable, document.keep)
    if tier is not None:
        if tier not in STORED:
            raise QueryError(f"tier {tier!r} is not one of codes and arcs, from which a curve is read.")
        if tier not in kept:
            raise QueryError(f"the tier {tier} cannot answer this of model {document.name}: {reasons[tier]}.")
        return tier, kept[tier]
    if not kept:
        works = {"marginals": "weighted=True with threshold='auto' works for a question about one end"}
        raise QueryError(
            f"a curve cannot be read of model {document.name}: {why_not(able, reasons, works, document.keep)}."
        )
    chosen: Tier = "codes" if "codes" in kept else "arcs"
    return chosen, kept[chosen] if chosen == "codes" else f"{kept[chosen]}; {reasons['codes']}"
