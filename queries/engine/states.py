"""What the predicate says of pairs: its Kleene code, or EXCLUDED where a pair does not pass WHERE."""

import numpy as np
import numpy.typing as npt

from ..sql.tree import FALSE, TRUE
from .align_scan import Plan
from .kernels import EXCLUDED, count_passing
from .pairs import AllPairs, ListedPairs, Pairs, evaluate
from .vectors import ProteinVectors, SegmentVectors

States = npt.NDArray[np.uint8]


def states(plan: Plan, pairs: ListedPairs, count: int) -> States:
    """States of listed pairs, uint8 [pairs]; not to be written."""
    return np.ascontiguousarray(np.broadcast_to(_states(plan, pairs), count))


def protein_states(plan: Plan, vectors: ProteinVectors) -> States:
    """States of all pairs of a protein, of a shape that broadcasts to [target, source]; not to be written."""
    return _states(plan, AllPairs(vectors))


def eligible_states(plan: Plan, vectors: ProteinVectors) -> States:
    """States of all pairs of a protein, uint8 [target, source]; the caller's own.

    EXCLUDED are also those that the model cannot attend to: in a causal one, targets after their source.
    """
    state = np.empty((vectors.length, vectors.length), np.uint8)
    state[...] = protein_states(plan, vectors)
    if plan.causal:
        state[np.tri(vectors.length, k=-1, dtype=bool)] = EXCLUDED
    return state


def state_counts(plan: Plan, vectors: ProteinVectors) -> tuple[int, int]:
    """Number of eligible pairs of a protein that pass WHERE, with the predicate TRUE and with it FALSE."""
    if plan.causal:
        state = eligible_states(plan, vectors)
        return int(np.count_nonzero(state == TRUE)), int(np.count_nonzero(state == FALSE))
    pairs = AllPairs(vectors)
    conditions = [plan.predicate] if plan.where is None else [plan.predicate, plan.where]
    codes = np.broadcast_arrays(*(evaluate(condition.root, pairs) for condition in conditions))
    # What depends on less than the pair stands for as many pairs as it is repeated.
    repeated = vectors.length**2 // max(codes[0].size, 1)
    predicate, *where = (np.ascontiguousarray(each).ravel() for each in codes)
    true, false = count_passing(predicate, where[0] if where else np.full(1, TRUE, np.uint8))
    return true * repeated, false * repeated


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
