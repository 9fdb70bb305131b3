"""What an alignment comes back as: an xarray Dataset that can be drawn and ranked."""

from typing import Any

import pandas as pd
import xarray as xr
from xarray.plot.accessor import DatasetPlotAccessor

from ..runtime.libraries import load_matplotlib
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
        """Draw a heatmap of heads next to each layer's maximum; of a curve, the shares of the leading heads.

        Parameters
        ----------
        title : str, optional
            Title of the figure (default: the question).
        one_based : bool, default False
            Number layers and heads from 1, as Vig et al. 2021 do.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, not known to pyplot.
        """
        load_matplotlib()
        if "threshold" in self._ds.dims:
            from .curve_plot import plot_curves

            return plot_curves(self._ds, title=title, one_based=one_based)
        from .heads_plot import plot_heads

        return plot_heads(self._ds, title=title, one_based=one_based)


class Alignment(xr.Dataset):  # type: ignore[no-untyped-call]
    """Alignment of each head with a property, an `xarray.Dataset` over (layer, head), or (threshold, layer, head).

    Variables: share, count (arcs where the predicate is true), total (arcs where it is known), unknown, clusters
    (number of proteins or clusters with such arcs; not of a curve without replicates), wilson_low and wilson_high,
    ranked (whether the head has enough arcs and proteins), rank (1 for the first, 0 for a head that is not ranked).
    With replicates bootstrap_low and bootstrap_high; with a background background and enrichment, and except for a
    curve z, p, p_bonferroni, p_bh and log10_p; in the paper's form wald_low and wald_high; with approximate weights
    share_min and share_max, within which the exact share lies; of a split, in place of rank, selection_share,
    selection_lower, selection_count, selection_total and selection_rank, of the half on which heads were ranked.

    The attribute ``description`` of each variable explains it, and ``attrs["interval"]`` names the kind of the interval
    that tables show.
    """

    __slots__ = ()

    @property
    def plot(self) -> AlignmentPlot:  # type: ignore[override]
        """Draw the heads, or the curves."""
        return AlignmentPlot(self)

    def to_table(self) -> pd.DataFrame:
        """Return a row for each head: ranked heads in their order, then those with too few arcs or proteins.

        Of a curve, return a row for each threshold and head, in the order of the dimensions.

        Returns
        -------
        pandas.DataFrame
            Layer, head and the variables.
        """
        columns = [name for name in COLUMNS if name in self]
        keys = [str(name) for name in ("threshold", "layer", "head") if name in self.dims]
        frame = self[columns].to_dataframe(dim_order=keys).reset_index()[[*keys, *columns]]
        if "threshold" in keys:
            return frame
        # A head without a rank comes after those that have one; those with too few arcs by falling share.
        place = frame[rank_of(self)].replace(0, len(frame) + 1)
        order = ["ranked", "_place", "share", "layer", "head"]
        ordered = frame.assign(_place=place).sort_values(order, ascending=[False, True, False, True, True])
        return ordered.drop(columns="_place").reset_index(drop=True)
