"""All thresholds at once: from arcs counted by code to shares at each edge of the codebook."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...errors import QueryError
from ...format.codebook import Codebook
from .background import ProteinBackground
from .bootstrap import PoissonBootstrap
from .measure import Measure
from .samples import Counts, Sample

if TYPE_CHECKING:
    pass

Array = npt.NDArray[Any]

#: Most bytes of replicate sums of one task's part of a curve.
_BOOTSTRAP_BYTES = 64 << 20


def first_code(codebook: Codebook, arc_floor: float, tier: str) -> int:
    """The smallest code whose threshold the tier can answer."""
    return 0 if tier == "codes" else int(np.searchsorted(codebook.edges, np.float32(arc_floor))) + 1


def thresholds(codebook: Codebook, first: int) -> Array:
    """The thresholds of codes from `first` on, float64: 0 and the edges, with their decimal digits."""
    return np.array([float(f"{edge:.7g}") for edge in codebook.lower[first:].tolist()])


def check_bootstrap(measure: Measure, cells: int) -> None:
    """Refuse more replicates than fit in memory.

    Parameters
    ----------
    measure : Measure
    cells : thresholds × layers × heads

    Raises
    ------
    QueryError
        With the number that fits.
    """
    each = 2 * 8 * cells
    if measure.replicates * each > _BOOTSTRAP_BYTES:
        raise QueryError(
            f"replicates={measure.replicates} at every threshold would take {measure.replicates * each / 2**20:,.0f} "
            f"MiB for each segment: ask for {_BOOTSTRAP_BYTES // each} or fewer, or for one threshold."
        )


def at_thresholds(sample: Sample) -> Sample:
    """Turn the arcs of each code into those at or above its lower edge.

    Everything in a sample except the pairs of a pooled background is a sum over arcs, so the value at a threshold is
    the sum over its code and all above: Σ_{c' ≥ c}. Counts are exact, since code(α) ≥ code(θ) exactly where α ≥ θ for
    any edge θ.

    Parameters
    ----------
    sample : with arrays [codes, layers, heads]

    Returns
    -------
    Sample
        With arrays [thresholds, layers, heads], in the same order.
    """
    background, bootstrap = sample.background, sample.bootstrap
    if isinstance(background, ProteinBackground):
        background = ProteinBackground(_from_top(background.expected), _from_top(background.arcs))
    if bootstrap is not None:
        bootstrap = PoissonBootstrap(
            _from_top(bootstrap.numer, axis=1),
            _from_top(bootstrap.denom, axis=1),
        )
    return replace(
        sample,
        counts=_counts(sample.counts),
        low=None if sample.low is None else _counts(sample.low),
        high=None if sample.high is None else _counts(sample.high),
        arcs=_from_top(sample.arcs),
        background=background,
        bootstrap=bootstrap,
    )


def _counts(counts: Counts) -> Counts:
    return Counts(_from_top(counts.true), _from_top(counts.false), _from_top(counts.unknown))


def _from_top(values: Array, axis: int = 0) -> Array:
    return np.flip(np.cumsum(np.flip(values, axis), axis), axis)
