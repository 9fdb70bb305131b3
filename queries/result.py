"""What an alignment comes back as: an xarray Dataset that can be drawn and ranked."""

from typing import Any

import pandas as pd
import xarray as xr
from xarray.plot.accessor import DatasetPlotAccessor

#: Columns of the table form, in order; those a result lacks are left out.
COLUMNS = (
    "share", "count", "total", "unknown", "background", "enrichment", "bootstrap_low", "bootstrap_high",
    "wilson_low", "wilson_high", "wald_low", "wald_high", "share_min", "share_max",
    "z", "p", "p_bonferroni", "p_bh", "log10_p", "ranked",
)  # fmt: skip


class HeadsPlot(DatasetPlotAccessor):
    """``result.plot()`` draws the heads; xarray's own ``result.plot.scatter`` and the like stay."""

    _ds: xr.Dataset

    def __call__(self, *, title: str | None = None, one_based: bool = False) -> Any:
        """Heatmap of heads by layer with each layer's maximum beside it.

        Parameters
        ----------
        title : what to write above; by default the question
        one_based : number layers and heads from 1, as the paper does

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .plot import plot_heads

        return plot_heads(self._ds, title=title, one_based=one_based)


class Alignment(xr.Dataset):  # type: ignore[no-untyped-call]
    """An `xarray.Dataset` over (layer, head) with the statistics of one question.

    Variables: share, count (arcs where the predicate is true), total (arcs where it is known), unknown, background,
    enrichment, wilson_low/high, bootstrap_low/high, z, p, p_bonferroni, p_bh, log10_p, ranked; in the paper's form
    wald_low/high; where weights are approximate share_min and share_max, within which the exact share lies.
    """

    __slots__ = ()

    @property
    def plot(self) -> HeadsPlot:  # type: ignore[override]
        """Draw the heads."""
        return HeadsPlot(self)

    def to_table(self) -> pd.DataFrame:
        """One row per head: ranked heads by falling share, then the heads with too few arcs."""
        columns = [name for name in COLUMNS if name in self]
        frame = self[columns].to_dataframe().reset_index()[["layer", "head", *columns]]
        return frame.sort_values(
            ["ranked", "share", "layer", "head"], ascending=[False, False, True, True], ignore_index=True
        )
