"""What the predicate says of pairs: its Kleene code, or EXCLUDED where a pair does not pass WHERE."""

import numpy as np
import numpy.typing as npt

from ..planning.align_plan import Plan
from .kernels import EXCLUDED, TRUE
from .pairs import AllPairs, ListedPairs, Pairs, evaluate
from .vectors import ProteinVectors, SegmentVectors

States = npt.NDArray[np.uint8]


def states(plan: Plan, pairs: ListedPairs, count: int) -> States:
    """States of listed pairs, uint8 [pairs]; not to be written."""
    return np.ascontiguousarray(np.broadcast_to(_states(plan, pairs), count))


def protein_states(plan: Plan, vectors: ProteinVectors) -> States:
    """States of all pairs of a protein, of a shape that broadcasts to [target, source]; not to be written."""
    return _states(plan, AllPairs(vectors))


def flat_states(plan: Plan, vectors: SegmentVectors) -> States:
    """States of all pairs of a segment's proteins, uint8 [pairs], target-major; the caller's own."""
    offset = vectors.pair_offset
    flat = np.empty(int(offset[-1]), np.uint8)
    for p, protein in enumerate(vectors.proteins()):
        own = flat[offset[p] : offset[p + 1]].reshape(protein.length, protein.length)
        own[...] = protein_states(plan, protein)
    return flat


def _states(plan: Plan, pairs: Pairs) -> States:
    state: States = evaluate(plan.predicate.root, pairs)
    if plan.where is None:
        return state
    return np.where(evaluate(plan.where.root, pairs) == TRUE, state, np.uint8(EXCLUDED))
