"""What an alignment comes back as: an xarray Dataset that can be drawn and ranked."""

from typing import Any

import pandas as pd
import xarray as xr
from xarray.plot.accessor import DatasetPlotAccessor

from ..runtime.drawing import load_matplotlib
from .statistics.shown_heads import rank_of

#: Columns of the table form, in order; those a result lacks are left out.
COLUMNS = (
    "share", "count", "total", "clusters", "unknown", "background", "enrichment", "bootstrap_low", "bootstrap_high",
    "wilson_low", "wilson_high", "wald_low", "wald_high", "share_min", "share_max",
    "z", "p", "p_bonferroni", "p_bh", "log10_p",
    "selection_share", "selection_lower", "selection_count", "selection_total", "selection_rank", "rank", "ranked",
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
        load_matplotlib()
        if "threshold" in self._ds.dims:
            from .curve_plot import plot_curves

            return plot_curves(self._ds, title=title, one_based=one_based)
        from .heads_plot import plot_heads

        return plot_heads(self._ds, title=title, one_based=one_based)


class Alignment(xr.Dataset):  # type: ignore[no-untyped-call]
    """An `xarray.Dataset` over (layer, head), of a curve (threshold, layer, head), with one question's statistics.

    Variables: share, count (arcs where the predicate is true), total (arcs where it is known), clusters (how many
    proteins, or clusters, hold these; not of a curve without replicates), unknown, wilson_low/high, ranked (whether
    the head has arcs and proteins enough), rank (1 for the first, 0 for a head that is not ranked); with replicates
    bootstrap_low/high; with a background that and enrichment, and but for a curve z, p, p_bonferroni, p_bh, log10_p;
    in the paper's form wald_low/high; where weights are approximate share_min and share_max, within which the exact
    share lies; of a split selection_share/lower/count/total/rank, of the half on which heads were ranked, in place of
    rank. Each says what it is in its attribute ``description``, and ``attrs["interval"]`` says of which kind the
    interval is that people are shown.
    """

    __slots__ = ()

    @property
    def plot(self) -> AlignmentPlot:  # type: ignore[override]
        """Draw the heads, or the curves."""
        return AlignmentPlot(self)

    def to_table(self) -> pd.DataFrame:
        """One row per head: ranked heads in their order, then those with too few arcs or proteins.

        Of a curve one row per threshold and head, in the order of the dimensions.
        """
        columns = [name for name in COLUMNS if name in self]
        keys = [str(name) for name in ("threshold", "layer", "head") if name in self.dims]
        frame = self[columns].to_dataframe(dim_order=keys).reset_index()[[*keys, *columns]]
        if "threshold" in keys:
            return frame
        # A head without a rank comes after those that have one; those without arcs enough by falling share.
        place = frame[rank_of(self)].replace(0, len(frame) + 1)
        order = ["ranked", "_place", "share", "layer", "head"]
        ordered = frame.assign(_place=place).sort_values(order, ascending=[False, True, False, True, True])
        return ordered.drop(columns="_place").reset_index(drop=True)
