"""Properties against depth: the mean share of each layer's heads, and its centre of gravity over the layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from .measures import ranked_shares
from .questions import PropertyQuestion

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Depth:
    """The mean shares of one property by layer.

    Attributes
    ----------
    question : Question
        The question that was asked.
    means : ndarray
        float64 [layers], the mean share of the layer's ranked heads; NaN where it has none.
    heads : ndarray
        int64 [layers], how many those are.
    background : float
        The share by chance; NaN where it is not known.
    centre : float
        The centre of gravity, a layer; NaN where all means are 0 or unknown.
    """

    question: PropertyQuestion
    means: Floats
    heads: npt.NDArray[np.int64]
    background: float
    centre: float


def layer_means(shares: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The mean share of each layer's heads, and the number of heads in it.

    As in Vig et al. 2021, all heads with enough arcs are weighted equally, however many arcs they have.

    Parameters
    ----------
    shares : float64 [layers, heads], NaN for a head that is left out
    """
    known = np.isfinite(shares)
    heads = known.sum(axis=1)
    sums = np.where(known, shares, 0.0).sum(axis=1)
    return np.divide(sums, heads, out=np.full(len(shares), np.nan), where=heads > 0), heads


def centre_of_gravity(means: Floats) -> float:
    """The expected layer Σ l·s_l / Σ s_l, l from 0 and s_l the mean share of layer l.

    This is the centre of gravity of Tenney, Das and Pavlick 2019 (*BERT Rediscovers the Classical NLP Pipeline*, ACL),
    who use the weights of a probe's mix of layers as s; Vig et al. 2021 use the mean shares of attention, and order
    properties by it. Layers without a mean are left out. Equal shares have their centre at (layers − 1) / 2.
    """
    known = np.isfinite(means)
    total = float(means[known].sum())
    return float(np.flatnonzero(known) @ means[known]) / total if total > 0 else float("nan")


def depth(question: PropertyQuestion, result: xr.Dataset) -> Depth:
    """The mean shares of one property by layer, from an alignment of all heads."""
    means, heads = layer_means(ranked_shares(result))
    background = float("nan")
    if "background" in result:
        values = result["background"].to_numpy()
        background = float(np.median(values[np.isfinite(values)])) if np.isfinite(values).any() else background
    return Depth(question, means, heads, background, centre_of_gravity(means))


def by_centre(depths: Sequence[Depth]) -> list[Depth]:
    """Properties ordered by centre of gravity; those without one come last."""
    return sorted(depths, key=lambda one: (not np.isfinite(one.centre), one.centre))


def depth_table(depths: Sequence[Depth]) -> pd.DataFrame:
    """One row per property and layer: property, centre, layer, heads, mean, background."""
    rows = [
        {
            "property": one.question.label, "key": one.question.key, "centre": one.centre, "layer": layer,
            "heads": heads, "mean_share": mean, "background": one.background,
        }
        for one in depths
        for layer, (mean, heads) in enumerate(zip(one.means.tolist(), one.heads.tolist(), strict=True))
    ]  # fmt: skip
    columns = ["property", "key", "centre", "layer", "heads", "mean_share", "background"]
    return pd.DataFrame(rows, columns=columns)
