"""The figure of a curve: the leading heads' shares, and their arcs, against the threshold."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..errors import QueryError
from . import palette
from .figure import BACKGROUND, KINDS, SMALL, TEXT, TICKS, TITLE, NotebookFigure, interval_words, question
from .statistics.shown_heads import interval_of, leading_heads

_WIDTH, _HEIGHT = 7.2, 4.6  # inches


def plot_curves(dataset: xr.Dataset, *, title: str | None = None, one_based: bool = False) -> NotebookFigure:
    """Draw share against threshold for the heads that are first at any threshold, six at most.

    The upper panel shows the shares, each with its interval (bootstrap, or without one Wilson's, which assumes
    independent arcs) and only where the head has enough arcs, and the background as a dashed line: its median over
    these heads if it differs between them. The lower panel shows the numbers of arcs, or sums of weights, in the
    denominators. The axis of thresholds is logarithmic and therefore leaves out 0.

    Parameters
    ----------
    dataset
        A result over (threshold, layer, head); attributes as those of `plot_heads`.
    title
        Title instead of the predicate and the model.
    one_based
        Number layers and heads from 1, as the paper does.

    Returns
    -------
    matplotlib.figure.Figure
        As from `plot_heads`.

    Raises
    ------
    QueryError
        If the dataset lacks a variable.
    """
    interval = interval_of(dataset)
    drawn = ["share", "total", "ranked", f"{interval}_low", f"{interval}_high"]
    drawn += ["background"] if dataset.attrs["background"] != "none" else []
    for name in drawn:
        if name not in dataset:
            raise QueryError(f"the result has no '{name}' by threshold; plot the result of a query")
    positive = dataset[drawn].isel(threshold=np.flatnonzero(dataset["threshold"].to_numpy() > 0))
    values = {name: positive[name].transpose("threshold", "layer", "head").to_numpy() for name in drawn}
    thetas = positive["threshold"].to_numpy()
    heads = leading_heads(dataset, len(palette.LINES))

    figure = NotebookFigure(figsize=(_WIDTH, _HEIGHT))
    figure.set_facecolor("white")
    left, width, gap = 0.086, 0.64, 0.03
    shares = figure.add_axes((left, 0.34 + gap, width, 0.50))
    totals = figure.add_axes((left, 0.11, width, 0.23), sharex=shares)
    text = textwrap.fill(question(dataset), 95, max_lines=3, replace_whitespace=False) if title is None else title
    figure.text(left, 0.98, text, size=TITLE, va="top", linespacing=1.25, parse_math=False)

    for (layer, head), colour in zip(heads, palette.LINES, strict=False):
        name = f"layer {layer + one_based}, head {head + one_based}"
        _draw_head(
            shares,
            totals,
            thetas,
            {key: array[:, layer, head] for key, array in values.items()},
            name,
            colour,
            interval,
        )
    if "background" in values and heads:
        rows, columns = zip(*heads, strict=True)
        of_heads = 100 * values["background"][:, rows, columns]
        known = np.isfinite(of_heads).any(axis=1)
        level = np.full(len(thetas), np.nan)
        level[known] = np.nanmedian(of_heads[known], axis=1)
        label = f"background, {KINDS[dataset.attrs['background']]}"
        shares.plot(thetas, level, **BACKGROUND, linewidth=1.1, label=label)
    _finish(shares, totals, dataset)
    if heads:
        legend_title = (
            textwrap.fill(interval_words(dataset), 32) if np.isfinite(values[f"{interval}_low"]).any() else None
        )
        figure.legend(
            *shares.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(left + width + 0.01, 0.86),
            fontsize=SMALL, title=legend_title, title_fontsize=SMALL, frameon=False, alignment="left",
        )  # fmt: skip
    else:
        shares.text(0.5, 0.5, "no head is ranked at any threshold", transform=shares.transAxes, size=TEXT, ha="center")
    return figure


def _draw_head(
    shares: Axes,
    totals: Axes,
    thetas: NDArray[Any],
    values: dict[str, NDArray[Any]],
    name: str,
    colour: str,
    interval: str,
) -> None:
    ranked = values["ranked"].astype(bool)

    def percent(key: str) -> NDArray[np.float64]:
        return np.where(ranked, 100 * values[key], np.nan)

    shares.fill_between(
        thetas, percent(f"{interval}_low"), percent(f"{interval}_high"), color=colour, alpha=0.18, linewidth=0
    )
    shares.plot(thetas, percent("share"), color=colour, linewidth=1.2, label=name)
    totals.plot(thetas, np.where(values["total"] > 0, values["total"], np.nan), color=colour, linewidth=1.0)


def _finish(shares: Axes, totals: Axes, dataset: xr.Dataset) -> None:
    weighted = dataset.attrs["form"] == "weighted"
    shares.set_ylabel(f"share of {'attention weight' if weighted else 'arcs'} (%)", size=TEXT)
    shares.set_ylim(bottom=0)
    shares.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    totals.set_ylabel("weight" if weighted else "arcs", size=TEXT)
    totals.set_xlabel("threshold: attention ≥ θ", size=TEXT)
    totals.set_yscale("log")
    if not weighted and dataset.attrs["min_arcs"] > 0:
        totals.axhline(dataset.attrs["min_arcs"], color=palette.HATCH, linewidth=0.8)
    for axes in (shares, totals):
        axes.set_xscale("log")
        axes.tick_params(**TICKS)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=palette.GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    shares.tick_params(labelbottom=False)
