"""An alignment as questions about cells: which tier answers them, and what its tasks count."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...format.codebook import parse_threshold
from ..engine.align_tasks import AlignScans
from ..engine.cells import KeyCode, Scan, Tier
from ..sql.condition import parse
from ..sql.tree import Columns, Expression, Operation, one_end
from ..sql.weight_bands import Bands
from ..statistics.curve import check_bootstrap, first_code
from ..statistics.measure import Measure
from .tiers import STORED, Choice, Needs, Wording, choose

if TYPE_CHECKING:
    from ...opened import Model

#: The paper's θ.
THRESHOLD = 0.3

#: What the paper calls apart: pairs nearer than this are no contacts and no part of its background.
PAPER_SEPARATION = 6


@dataclass(frozen=True, eq=False)
class AlignPlan:
    """How one alignment is computed.

    Attributes
    ----------
    predicate : what is measured
    where : which pairs take part; None for all
    threshold : θ, a float32 value; 0 where every weight takes part; of a curve, the least
    choice : the tier
    scans : what tasks are given
    expressions : all that is evaluated on pairs
    """

    predicate: Expression
    where: Expression | None
    threshold: float
    choice: Choice
    scans: AlignScans
    expressions: tuple[Expression, ...]


def choose_threshold(threshold: float | str, weighted: bool) -> float:
    """'auto' is the paper's 0.3 in the count form and none, 0, in the weighted form."""
    if threshold == "auto":
        return 0.0 if weighted else parse_threshold(THRESHOLD)
    return parse_threshold(threshold)  # type: ignore[arg-type]


def plan_alignment(
    model: "Model",
    measure: Measure,
    clauses: Sequence[Expression],
    threshold: float | str | None,
    tier: str | None,
    columns: Columns,
) -> AlignPlan:
    """Plan an alignment.

    Parameters
    ----------
    model, measure : what is asked of what
    clauses : the predicate and, if there is one, WHERE
    threshold : 'auto', or θ; None for every edge of the codebook and 0
    tier : the one to use, None to choose
    columns : of the catalog

    Raises
    ------
    QueryError
        It cannot be answered so; the message says why and names the cure.
    """
    document, codebook = model.document, model.codebook
    predicate, where = clauses[0], clauses[1] if len(clauses) > 1 else None
    end = one_end(clauses)
    if threshold is None:
        choice = _choose_of_curve(model, measure, tier)
        first = first_code(codebook, document.arc_floor, choice.tier)
        bands, theta = Bands(codebook.lower), float(codebook.lower[first])
        check_bootstrap(measure, (codebook.size - first) * document.layers * document.heads)
    else:
        theta = choose_threshold(threshold, measure.weighted)
        bands = Bands(np.unique(np.array([0, theta], np.float32)))
        choice = _choose(model, measure, bands, theta, end, tier)
    scan = Scan(
        tier=choice.tier,
        codebook=codebook,
        heads=np.ones((document.layers, document.heads), bool),
        where=() if where is None else (where.root,),
        keys=(KeyCode(predicate.root, 3),),
        bands=bands,
        taken=bands.lower >= np.float32(theta),
        sums=frozenset({"weight"} if measure.weighted else ()),
        end=end,
    )
    separations = None
    if measure.background == "separation":
        known = Operation("not", "boolean", (Operation("is null", "boolean", (predicate.root,)),))
        separations = replace(scan, where=(*scan.where, known), keys=())
    pairs = None
    if measure.background != "none":
        pairs = replace(
            scan,
            tier="pairs",
            heads=np.ones((1, 1), bool),
            bands=Bands(np.zeros(1, np.float32)),
            taken=np.ones(1, bool),
            sums=frozenset(),
            end=end if separations is None else None,
            causal=document.causal,
        )
    of_residue = measure.background == "paper" and one_end([predicate]) is not None
    if pairs is not None and of_residue:
        # Of a property of one residue, the residues, whatever they can attend to, of which an unlabelled one counts
        # as negative; under a WHERE that takes both ends, the pairs.
        pairs = replace(pairs, causal=pairs.causal and end is None)
    elif pairs is not None and measure.background == "paper":
        far = parse(f"separation >= {PAPER_SEPARATION}", clause="where", columns=columns)
        pairs = replace(pairs, where=(*scan.where, far.root), end=None)
        clauses = [*clauses, far]
    scans = AlignScans(scan, separations, pairs, of_residue, threshold is None)
    return AlignPlan(predicate, where, theta, choice, scans, tuple(clauses))


def _choose(model: "Model", measure: Measure, bands: Bands, theta: float, end: str | None, tier: str | None) -> Choice:
    floor = model.document.arc_floor
    taken = bands.lower >= np.float32(theta)
    need = Needs(bands, taken, None, measure.weighted, False, end, separations=measure.background == "separation")
    works = {
        "marginals": "weighted=True without a threshold works for a question about one end",
        "arcs": f"any threshold from {floor:g} works",
        "codes": "either of the two works",
    }
    words = Wording("this", f"threshold {theta:g} cannot be answered", "not one of marginals, arcs and codes", works)
    chosen = choose(need, model, tier, words, STORED)
    reasons: dict[Tier, str] = {
        "marginals": "a weighted question about one end, without a threshold",
        "arcs": f"the threshold is at or above the arc floor, {floor:g}",
        "codes": "the threshold is an edge of the codebook" if chosen.exact else chosen.reason,
    }
    return replace(chosen, reason=reasons[chosen.tier])


def _choose_of_curve(model: "Model", measure: Measure, tier: str | None) -> Choice:
    """Codes, unless arcs are asked for or codes were not kept: one pass answers all thresholds."""
    document, codebook = model.document, model.codebook
    lower = codebook.lower
    taken = lower >= lower[first_code(codebook, document.arc_floor, "arcs")]
    need = Needs(Bands(lower), taken, None, measure.weighted, False, None)
    words = Wording(
        "this",
        "a curve cannot be read",
        "not one of codes and arcs, from which a curve is read",
        {"marginals": "weighted=True with threshold='auto' works for a question about one end"},
        {"marginals": "marginals know no threshold"},
    )
    chosen = choose(need, model, tier, words, ("codes", "arcs"), exact=False)
    if chosen.tier == "codes":
        within = ", weights within the bounds of their bins" if measure.weighted else ""
        return replace(chosen, reason=f"one pass answers all {document.edges.size} thresholds{within}")
    missing = "" if tier is not None else "; codes were not kept"
    return replace(chosen, reason=f"the edges of the codebook from the arc floor, {document.arc_floor:g}{missing}")
