"""What an alignment comes back as: an xarray Dataset that can be drawn and ranked."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.plot.accessor import DatasetPlotAccessor

#: Columns of the table form, in order; those a result lacks are left out.
COLUMNS = (
    "share", "count", "total", "unknown", "background", "enrichment", "bootstrap_low", "bootstrap_high",
    "wilson_low", "wilson_high", "wald_low", "wald_high", "share_min", "share_max",
    "z", "p", "p_bonferroni", "p_bh", "log10_p",
    "selection_share", "selection_count", "selection_total", "selection_rank", "ranked",
)  # fmt: skip


class AlignmentPlot(DatasetPlotAccessor):
    """``result.plot()`` draws the heads or the curves; xarray's own ``result.plot.scatter`` and the like stay."""

    _ds: xr.Dataset

    def __call__(self, *, title: str | None = None, one_based: bool = False) -> Any:
        """Heatmap of heads by layer with each layer's maximum beside it; of a curve, the leading heads' shares.

        Parameters
        ----------
        title : what to write above; by default the question
        one_based : number layers and heads from 1, as the paper does

        Returns
        -------
        matplotlib.figure.Figure
        """
        if "threshold" in self._ds.dims:
            from .curve_plot import plot_curves

            return plot_curves(self._ds, title=title, one_based=one_based)
        from .plot import plot_heads

        return plot_heads(self._ds, title=title, one_based=one_based)


class Alignment(xr.Dataset):  # type: ignore[no-untyped-call]
    """An `xarray.Dataset` over (layer, head), of a curve (threshold, layer, head), with one question's statistics.

    Variables: share, count (arcs where the predicate is true), total (arcs where it is known), unknown,
    wilson_low/high, ranked (whether the head has arcs enough); with replicates bootstrap_low/high; with a background
    that and enrichment, and but for a curve z, p, p_bonferroni, p_bh, log10_p; in the paper's form wald_low/high;
    where weights are approximate share_min and share_max, within which the exact share lies; of a split
    selection_share/count/total/rank, of the half on which heads were ranked.
    """

    __slots__ = ()

    @property
    def plot(self) -> AlignmentPlot:  # type: ignore[override]
        """Draw the heads, or the curves."""
        return AlignmentPlot(self)

    def to_table(self) -> pd.DataFrame:
        """One row per head: ranked heads by falling share (of a split by rank), then the heads with too few arcs.

        Of a curve one row per threshold and head, in the order of the dimensions.
        """
        columns = [name for name in COLUMNS if name in self]
        keys = [str(name) for name in ("threshold", "layer", "head") if name in self.dims]
        frame = self[columns].to_dataframe(dim_order=keys).reset_index()[[*keys, *columns]]
        if "threshold" in keys:
            return frame
        if "selection_rank" in columns:
            # A head that had too few arcs in the selection has no place in it, and comes last.
            place = frame["selection_rank"].replace(0, len(frame) + 1)
            order = ["ranked", "_place", "layer", "head"]
            sorted_ = frame.assign(_place=place).sort_values(order, ascending=[False, True, True, True])
            return sorted_.drop(columns="_place").reset_index(drop=True)
        return frame.sort_values(
            ["ranked", "share", "layer", "head"], ascending=[False, False, True, True], ignore_index=True
        )


def leading_heads(curve: xr.Dataset, number: int) -> list[tuple[int, int]]:
    """Positions (layer, head) of the heads whose share is the largest at any threshold where they are ranked.

    But for the threshold 0, where in the count form every pair is an arc and all heads are alike.
    """
    ranked = curve["ranked"] & (curve["threshold"] > 0)
    shares = curve["share"].where(ranked).transpose("threshold", "layer", "head").to_numpy()
    best = np.max(np.where(np.isfinite(shares), shares, -1.0), axis=0)
    order = np.argsort(-best, axis=None, kind="stable")[:number]
    places = (np.unravel_index(place, best.shape) for place in order.tolist() if best.flat[place] >= 0)
    return [(int(layer), int(head)) for layer, head in places]
