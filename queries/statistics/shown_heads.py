"""What figures and tables show of a result: its order of heads, its interval, the leading heads of a curve."""

import numpy as np
import xarray as xr


def rank_of(dataset: xr.Dataset) -> str:
    """The variable by which heads are ordered: their rank or, with a split, that in the other half."""
    return "selection_rank" if "selection_rank" in dataset else "rank"


def interval_of(dataset: xr.Dataset) -> str:
    """The interval to show, 'bootstrap' or, if there is none, 'wilson'."""
    return "bootstrap" if "bootstrap_low" in dataset else "wilson"


def leading_heads(curve: xr.Dataset, number: int) -> list[tuple[int, int]]:
    """Positions (layer, head) of the heads that come first at any threshold at which they are ranked.

    They are compared by `rank_by`, by default the lower bound of the interval; heads whose share is below the
    background are used only if no other is left. The threshold 0 is left out: in the count form every pair is then an
    arc and all heads are equal.
    """
    name = str(curve.attrs["rank_by"])
    values = curve[f"{interval_of(curve)}_low" if name == "lower" else name]
    taken = curve["ranked"] & (curve["threshold"] > 0)
    if "enrichment" in curve and not curve.attrs["paper"]:
        above = taken & ~(curve["enrichment"] < 1)
        taken = above if bool(above.any()) else taken
    found = values.where(taken).transpose("threshold", "layer", "head").to_numpy()
    best = np.max(np.where(np.isfinite(found), found, -1.0), axis=0)
    order = np.argsort(-best, axis=None, kind="stable")[:number]
    places = (np.unravel_index(place, best.shape) for place in order.tolist() if best.flat[place] >= 0)
    return [(int(layer), int(head)) for layer, head in places]
