"""The result of a probe: an xarray Dataset with a figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.plot.accessor import DatasetPlotAccessor

from ...runtime.libraries import load_matplotlib
from ..statistics.cluster_intervals import cluster_interval, difference_interval
from .probe_tasks import Performance

#: Columns of the table form, in order.
COLUMNS = ("score", "low", "high", "difference", "difference_low", "difference_high")


class ProbingPlot(DatasetPlotAccessor):
    """``result.plot()`` draws the curves; xarray's own ``result.plot.scatter`` and the others remain."""

    _ds: xr.Dataset

    def __call__(self, *, title: str | None = None, one_based: bool = False) -> Any:
        """Draw the score of each layer, and below it the difference from the layer before.

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
        from .probe_plot import plot_probes

        return plot_probes(self._ds, title=title, one_based=one_based)


class Probing(xr.Dataset):  # type: ignore[no-untyped-call]
    """Scores of linear probes, an `xarray.Dataset` over (probe, layer), on held-out clusters.

    Coordinates: probe, 'embeddings' and 'attention'; layer, from 0, and −1 for the input of the first layer; hidden
    (layer), the number of the same representations in ``store.hidden``.

    Variables over (probe, layer), NaN for attention before the first layer:

    - score, with low and high, a bootstrap interval over the clusters tested on, NaN for fewer than five clusters
      (:func:`~attnstore.queries.statistics.cluster_intervals.cluster_interval`);
    - difference from the layer before, with difference_low and difference_high, of the same replicates (the
      differential performance of Vig et al. 2021;
      :func:`~attnstore.queries.statistics.cluster_intervals.difference_interval`).

    Over proteins with known values: tested, whether the protein was tested on rather than trained on.

    The attribute `chance` is the score without knowledge: the expectation of a random order, or the F1 of calling
    everything true.
    """

    __slots__ = ()

    @property
    def plot(self) -> ProbingPlot:  # type: ignore[override]
        """Draw the scores."""
        return ProbingPlot(self)

    def to_table(self) -> pd.DataFrame:
        """Return a row for each probe and layer.

        Returns
        -------
        pandas.DataFrame
            Columns probe, layer, score, low, high, difference, difference_low, difference_high.
        """
        frame = self[list(COLUMNS)].to_dataframe(["probe", "layer"]).reset_index()
        return frame.dropna(subset="score")[["probe", "layer", *COLUMNS]].reset_index(drop=True)


def summarise_probes(
    found: Mapping[tuple[str, int], Performance], level: float, tested: Mapping[str, bool], attributes: dict[str, Any]
) -> Probing:
    """Scores and differences with their intervals.

    Parameters
    ----------
    found : by probe and layer; each probe has consecutive layers
    level : confidence of the intervals
    tested : by protein
    """
    probes = list(dict.fromkeys(probe for probe, _ in found))
    layers = sorted({layer for _, layer in found})
    shape = len(probes), len(layers)
    variables = {name: np.full(shape, np.nan) for name in COLUMNS}
    for (probe, layer), performance in found.items():
        place = probes.index(probe), layers.index(layer)
        variables["score"][place] = performance.ratio
        low, high = cluster_interval(
            performance.bootstrap,
            performance.numerator,
            performance.denominator,
            performance.holders.finalise()[0],
            level,
        )
        variables["low"][place], variables["high"][place] = float(low), float(high)
        if (before := found.get((probe, layer - 1))) is not None:
            variables["difference"][place] = performance.ratio - before.ratio
            ends = difference_interval(
                (performance.bootstrap, performance.numerator, performance.denominator),
                (before.bootstrap, before.numerator, before.denominator),
                min(int(one.holders.finalise()[0]) for one in (performance, before)),
                level,
            )
            variables["difference_low"][place], variables["difference_high"][place] = ends
    return Probing(
        {name: (("probe", "layer"), values) for name, values in variables.items()}
        | {"tested": ("protein", list(tested.values()))},
        coords={
            "probe": probes,
            "layer": layers,
            "hidden": ("layer", [layer + 1 for layer in layers]),
            "protein": list(tested),
        },
        attrs=attributes,
    )
