"""The figure of probes: scores by layer, and below them the difference from the layer before."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...errors import QueryError
from .. import palette
from ..figure import SMALL, TEXT, TICKS, TITLE, NotebookFigure
from .probe_tasks import score_words

#: Orange and blue as in the paper.
_COLOURS = {"embeddings": palette.CATEGORIES[1], "attention": palette.CATEGORIES[0]}
_LABELS = {"embeddings": "embedding probe", "attention": "attention probe"}

_WIDTH, _HEIGHT = 6.4, 4.6  # inches
_LEFT, _PANEL = 0.09, 0.62


def plot_probes(dataset: xr.Dataset, *, title: str | None = None, one_based: bool = False) -> NotebookFigure:
    """Draw score against layer with its interval, and bars of the difference from the layer before.

    After Vig et al. 2021: the figure of probes by layer (embeddings orange, attention blue), and that of their
    differential performance. The input of the first layer is drawn left of it, at "in"; the dashed line is chance.

    Parameters
    ----------
    dataset
        A result of `probe`.
    title
        Title instead of the condition and the model.
    one_based
        Number layers from 1, as the paper does.

    Returns
    -------
    matplotlib.figure.Figure
        Bound to no display and unknown to pyplot; save it with `attnstore.queries.figure.save_figure`.

    Raises
    ------
    QueryError
        If the dataset lacks a variable.
    """
    for name in ("score", "low", "high", "difference", "difference_low", "difference_high"):
        if name not in dataset or set(dataset[name].dims) != {"probe", "layer"}:
            raise QueryError(f"the result has no '{name}' by probe and layer; plot the result of a probe")
    attrs = dataset.attrs
    figure = NotebookFigure(figsize=(_WIDTH, _HEIGHT))
    figure.set_facecolor("white")
    scores = figure.add_axes((_LEFT, 0.43, _PANEL, 0.43))
    steps = figure.add_axes((_LEFT, 0.105, _PANEL, 0.27), sharex=scores)
    text = f"{attrs['condition']}\n{attrs['model']}" if title is None else title
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, 85, max_lines=2, placeholder=" …")]
    figure.text(_LEFT, 0.98, "\n".join(lines), size=TITLE, va="top", linespacing=1.25, parse_math=False)

    names = [str(name) for name in dataset["probe"].to_numpy()]
    for number, name in enumerate(names):
        own = dataset.sel(probe=name).dropna("layer", subset=["score"])
        _draw_curve(scores, own, name)
        _draw_steps(steps, own, name, (number - (len(names) - 1) / 2) * 0.8 / len(names), 0.8 / len(names))
    scores.axhline(
        100 * float(attrs["chance"]),
        color=palette.BACKGROUND,
        linewidth=1.1,
        linestyle=(0, (4, 2)),
        label=_chance(attrs),
    )
    _finish(scores, steps, dataset, one_based=one_based)
    figure.legend(
        *scores.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(_LEFT + _PANEL + 0.01, 0.87),
        fontsize=SMALL, title=textwrap.fill(_interval_words(attrs), 30, break_on_hyphens=False), title_fontsize=SMALL,
        frameon=False, alignment="left",
    )  # fmt: skip
    return figure


def _chance(attrs: dict[str, Any]) -> str:
    what = "all called true" if attrs["metric"] == "f1" else "random order"
    return f"{what}, {100 * float(attrs['chance']):.3g} %"


def _interval_words(attrs: dict[str, Any]) -> str:
    unit = "proteins" if attrs["cluster_by"] == "protein" else f"clusters by {attrs['cluster_by']}"
    return f"{100 * float(attrs['level']):g} % bootstrap over {int(attrs['test_clusters']):,} held-out {unit}"


def _draw_curve(axes: Axes, own: xr.Dataset, name: str) -> None:
    layers, score, low, high = (
        own["layer"].to_numpy(),
        *(100 * own[key].to_numpy() for key in ("score", "low", "high")),
    )
    axes.fill_between(layers, low, high, color=_COLOURS[name], alpha=0.18, linewidth=0)
    axes.plot(layers, score, color=_COLOURS[name], linewidth=1.2, marker="o", markersize=3, label=_LABELS[name])


def _draw_steps(axes: Axes, own: xr.Dataset, name: str, shift: float, width: float) -> None:
    own = own.dropna("layer", subset=["difference"])
    places = own["layer"].to_numpy() + shift
    axes.bar(places, 100 * own["difference"].to_numpy(), width=width, color=_COLOURS[name], linewidth=0)
    low, high = (100 * own[f"difference_{end}"].to_numpy() for end in ("low", "high"))
    known = np.isfinite(low) & np.isfinite(high)
    # Around the middle of the interval.
    axes.errorbar(
        places[known], ((low + high) / 2)[known], yerr=((high - low) / 2)[known], fmt="none", ecolor=palette.INTERVAL,
        elinewidth=0.8, capsize=2.0 if own.sizes["layer"] <= 12 else 0.0, capthick=0.8,
    )  # fmt: skip


def _finish(scores: Axes, steps: Axes, dataset: xr.Dataset, *, one_based: bool) -> None:
    layers = dataset["layer"].to_numpy()
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if len(layers) <= 20 * s)
    # The label of a layer too close to "in" would overlap it.
    regular = [layer for layer in layers.tolist() if (layer + one_based) % step == 0 and 2 * (layer + 1) >= step]
    ticks = [-1] * (-1 in layers) + [layer for layer in regular if layer >= 0]
    scores.set_xticks(ticks, ["in" if layer == -1 else str(layer + one_based) for layer in ticks])
    scores.set_xlim(layers[0] - 0.6, layers[-1] + 0.6)
    scores.set_ylabel(f"{score_words(dataset.attrs)} (%)", size=TEXT)
    scores.set_ylim(bottom=0)
    steps.set_ylabel("difference from\nthe layer before", size=TEXT)
    steps.set_xlabel(f"layer (counts from {int(one_based)})", size=TEXT)
    steps.axhline(0, color=palette.INTERVAL, linewidth=0.6)
    for axes in (scores, steps):
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.tick_params(**TICKS)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=palette.GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    scores.tick_params(labelbottom=False)
