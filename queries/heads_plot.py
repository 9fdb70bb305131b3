"""The figure of an alignment: shares of all heads, and the best of every layer against the background.

It is laid out in inches rather than by a layout engine, so that both panels share their rows exactly and the same data
give the same picture. This module uses no pyplot and changes no setting of matplotlib.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from ..errors import QueryError
from . import palette
from .figure import (
    ABSOLUTE_COLOURS,
    ABSOLUTE_TICKS,
    BACKGROUND,
    KINDS,
    SMALL,
    TEXT,
    TICKS,
    TITLE,
    UNRANKED,
    NotebookFigure,
    absolute_scale,
    interval_words,
    question,
)
from .statistics.shown_heads import interval_of, rank_of

_COLOUR_MAP = "YlGnBu"

# Inches around the panels: room for text of a fixed size, whatever the number of heads.
_LEFT, _GAP, _RIGHT = 0.62, 0.25, 0.50
_TOP, _BELOW = 0.50, 1.10
_TITLE_LINE = 0.17
_BAR_WIDTH = 2.3

_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Heads:
    """The data to draw, [layers, heads] in percent; `shown` are the ranked heads that have a share.

    The best head of a layer is the first by `rank`, with a split that in the other half; `above` are the heads whose
    share is not below the background.
    """

    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    background: NDArray[np.float64]
    rank: NDArray[np.int64]
    above: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    layers: NDArray[np.int64]
    heads: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: xr.Dataset, *, one_based: bool) -> _Heads:
        def values(name: str) -> NDArray[Any]:
            if name not in dataset or set(dataset[name].dims) != {"layer", "head"}:
                raise QueryError(f"the result has no '{name}' by layer and head; plot the result of a query")
            return dataset[name].transpose("layer", "head").to_numpy()

        def labels(dim: str) -> NDArray[np.int64]:
            numbers = dataset[dim].to_numpy() if dim in dataset.coords else np.arange(dataset.sizes[dim])
            return numbers.astype(np.int64) + int(one_based)

        share = values("share") * 100.0
        shown = values("ranked").astype(bool) & np.isfinite(share)
        interval = interval_of(dataset)
        low, high = values(f"{interval}_low") * 100.0, values(f"{interval}_high") * 100.0
        # Without a background there is no line, and nothing to state.
        background = (
            values("background") * 100.0 if dataset.attrs["background"] != "none" else np.full(share.shape, math.nan)
        )
        # In the paper's form a share below the background may be first.
        above = np.ones(shown.shape, bool) if "wald_low" in dataset else ~(share < background)
        rank = values(rank_of(dataset))
        return cls(share, low, high, background, rank, above, shown, labels("layer"), labels("head"))


@dataclass(frozen=True)
class _Layout:
    """Sizes in inches, and the title broken into lines."""

    width: float
    height: float
    heat_width: float
    bar_width: float
    panel_height: float
    title: str

    @classmethod
    def choose(cls, heads: _Heads, title: str, size: tuple[float, float] | None) -> _Layout:
        """Choose the size by the number of cells, or divide a given size."""
        layers, columns = heads.share.shape
        if size is None:
            heat_width = min(max(columns * 0.27, 2.9), 7.2)
            width = _LEFT + heat_width + _GAP + _BAR_WIDTH + _RIGHT
        else:
            width = size[0]
            heat_width = 0.62 * max(width - _LEFT - _GAP - _RIGHT, 1.0)
        bar_width = max(width - _LEFT - heat_width - _GAP - _RIGHT, 0.3)
        letters = max(int((width - _LEFT - 0.15) / 0.073), 20)
        wrapper = textwrap.TextWrapper(letters, max_lines=3, placeholder=" …")
        lines = [line for part in title.splitlines() for line in wrapper.wrap(part)]
        top = _TOP + _TITLE_LINE * len(lines)
        if size is None:
            panel_height = min(max(layers * 0.24, 1.9), 7.2)
            height = top + panel_height + _BELOW
        else:
            height = size[1]
            panel_height = max(height - top - _BELOW, 0.3)
        return cls(width, height, heat_width, bar_width, panel_height, "\n".join(lines))

    @property
    def bar_left(self) -> float:
        return _LEFT + self.heat_width + _GAP

    def box(self, left: float, bottom: float, width: float, height: float) -> _Box:
        """Return a box in inches as fractions of the figure."""
        return left / self.width, bottom / self.height, width / self.width, height / self.height


def plot_heads(
    dataset: xr.Dataset,
    *,
    title: str | None = None,
    one_based: bool = False,
    figure: Figure | None = None,
    absolute: bool = False,
) -> Figure:
    """Draw the shares of all heads, and the largest of every layer, after Vig et al. 2021, Figure 2.

    On the left is a heat map, layers downwards from the first, heads across. On the right, on the same rows, is the
    share of the best of each layer's ranked heads, with the interval of that head (which does not account for the
    choice; with a split the head was chosen in the other half, and it does), its number, and the background as a dashed
    line: if that varies between heads, its median over the ranked heads (over all, if none is). A bar is pale if even
    the best head's share is below its background. Heads that are not ranked are hatched and left out of the colours,
    the bars and the line.

    Parameters
    ----------
    dataset
        With the dimensions ``layer`` and ``head``, the variables ``share``, ``ranked``, ``rank`` (with a split
        ``selection_rank``), ``background`` (unless its kind is 'none'), ``bootstrap_low`` and ``bootstrap_high`` or,
        without them, ``wilson_low`` and ``wilson_high``, and the attributes ``predicate``, ``where``, ``threshold`` (or
        a coordinate of that name), ``model``, ``form`` ('count' or 'weighted'), ``background`` (its kind), ``min_arcs``
        and ``proteins``; if absent, ``min_proteins`` is 0, ``level``, the confidence of the interval, 0.95 and
        ``cluster_by`` 'protein'. If the dataset has ``wald_low``, it is in the paper's form, whose heads are ranked
        with *more than* ``min_arcs`` arcs, and the legend says so. Integer coordinates ``layer`` and ``head``, if
        present, are the numbers shown; otherwise they count from 0.
    title
        Title instead of the predicate, the model and the threshold. An empty one leaves no room for a title.
    one_based
        Number layers and heads from 1, as the paper does.
    figure
        Draw into this figure, at its size (7 by 4 inches leaves room for every text), instead of a new
        one whose size follows the number of heads.
    absolute
        Let the colours run to 100 % (see `absolute_scale`) instead of the largest share.

    Returns
    -------
    matplotlib.figure.Figure
        It is independent of any display and of pyplot; save it with `save_figure`.

    Raises
    ------
    QueryError
        If the dataset lacks a variable.
    """
    heads = _Heads.of(dataset, one_based=one_based)
    text = question(dataset) if title is None else title
    size = None if figure is None else (figure.get_figwidth(), figure.get_figheight())
    layout = _Layout.choose(heads, text, size)
    if figure is None:
        figure = NotebookFigure(figsize=(layout.width, layout.height))
        figure.set_facecolor("white")
    heat = figure.add_axes(layout.box(_LEFT, _BELOW, layout.heat_width, layout.panel_height))
    right = layout.box(layout.bar_left, _BELOW, layout.bar_width, layout.panel_height)
    bars = figure.add_axes(right, sharey=heat)
    corner = _LEFT / layout.width, 1 - 0.12 / layout.height
    # Not as mathematics: a predicate may contain dollar signs.
    figure.text(*corner, layout.title, size=TITLE, va="top", linespacing=1.25, parse_math=False)
    mesh = _draw_heat(heat, heads, layout, one_based=one_based, absolute=absolute)
    if heads.shown.any():  # otherwise the colours have no scale
        _draw_colour_bar(figure, mesh, layout, str(dataset.attrs["form"]), absolute=absolute)
    split = "selection_rank" in dataset
    _draw_bars(bars, heads, layout, "held-out share of the best head" if split else "share of the layer's best head")
    if dataset.attrs["background"] != "none":
        _draw_background(bars, heads, layout, str(dataset.attrs["background"]))
    _draw_legend(figure, heads, layout, dataset)
    return figure


def _ticks(labels: NDArray[np.int64], cell: float, room: float) -> NDArray[np.intp]:
    """Return the positions to label, at distances at which labels of `room` inches do not touch."""
    step = next((s for s in (1, 2, 5, 10, 20, 50) if s * cell >= room), 100)
    round_numbers = np.flatnonzero(labels % step == 0)
    # Numbers selected by the reader, as 3, 7 and 11, may include no multiple of the step.
    regular = np.array_equal(np.diff(labels), np.ones(len(labels) - 1)) and len(round_numbers) > 0
    return round_numbers if regular else np.arange(0, len(labels), step)


def _draw_heat(axes: Axes, heads: _Heads, layout: _Layout, *, one_based: bool, absolute: bool) -> ScalarMappable:
    layers, columns = heads.share.shape
    largest = float(heads.share[heads.shown].max()) if heads.shown.any() else 0.0
    mesh = axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(layers + 1) - 0.5,
        np.ma.masked_array(heads.share, ~heads.shown),
        cmap=ABSOLUTE_COLOURS if absolute else _COLOUR_MAP,
        norm=absolute_scale() if absolute else Normalize(0.0, largest if largest > 0 else 1.0),
        edgecolors="white",
        linewidth=0.4,
    )
    if not heads.shown.all():
        # One patch for all of them, or the hatch would start again in every cell.
        square = Path.unit_rectangle()
        corners = np.asarray(square.vertices) - 0.5
        cells = [Path(corners + cell[::-1], square.codes) for cell in np.argwhere(~heads.shown)]
        axes.add_patch(PathPatch(Path.make_compound_path(*cells), **UNRANKED))
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(layers - 0.5, -0.5))
    across = _ticks(heads.heads, layout.heat_width / columns, 0.19)
    down = _ticks(heads.layers, layout.panel_height / layers, 0.13)
    axes.set_xticks(across, [str(n) for n in heads.heads[across]])
    axes.set_yticks(down, [str(n) for n in heads.layers[down]])
    axes.set_xlabel(f"head (heads and layers count from {int(one_based)})", size=TEXT, labelpad=2)
    axes.set_ylabel("layer", size=TEXT, labelpad=3)
    axes.tick_params(**TICKS)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
    return mesh


def _draw_colour_bar(figure: Figure, mesh: ScalarMappable, layout: _Layout, form: str, *, absolute: bool) -> None:
    width = min(layout.heat_width, 3.4)
    axes = figure.add_axes(layout.box(_LEFT, _BELOW - 0.60, width, 0.10))
    bar = figure.colorbar(mesh, cax=axes, orientation="horizontal")
    axes.xaxis.set_major_locator(FixedLocator(ABSOLUTE_TICKS) if absolute else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.minorticks_off()
    axes.tick_params(**TICKS)
    bar.outline.set_linewidth(0.6)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")  # otherwise viewers of svg and pdf show seams
    what = "attention weight" if form == "weighted" else "arcs"
    bar.set_label(f"share of {what} with the property (%)", size=TEXT, labelpad=2)


def _draw_bars(axes: Axes, heads: _Heads, layout: _Layout, what: str) -> None:
    axes.tick_params(**TICKS)
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)
    axes.grid(axis="x", color=palette.GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{what} (%)", size=TEXT, labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))

    rows = np.flatnonzero(heads.shown.any(axis=1))
    # A head without a rank comes after those that have one.
    place = np.where(heads.rank > 0, heads.rank, heads.rank.size + 1)
    best = np.where(heads.shown, place, place.size + 2).argmin(axis=1)[rows]
    share, low, high = heads.share[rows, best], heads.low[rows, best], heads.high[rows, best]
    backgrounds = _compared_backgrounds(heads)
    median = [np.median(backgrounds)] if backgrounds.size else []
    largest = max([0.0, *share, *high[np.isfinite(high)], *median])
    axes.set_xlim(0.0, min(largest * 1.06, 101.0) if largest > 0 else 1.0)
    colours = np.where(heads.above[rows, best], palette.BAR, palette.PALE_BAR)
    axes.barh(rows, share, height=0.72, color=colours, linewidth=0)
    cell = layout.panel_height / len(heads.share)
    known = np.isfinite(low) & np.isfinite(high)
    # Around the middle of the interval, which is not the share.
    axes.errorbar(
        ((low + high) / 2)[known],
        rows[known],
        xerr=((high - low) / 2)[known],
        fmt="none",
        ecolor=palette.INTERVAL,
        elinewidth=0.8,
        capsize=min(2.0, 20.0 * cell),
        capthick=0.8,
    )
    if cell >= 0.09 and rows.size:
        beside = axes.get_yaxis_transform()
        axes.text(1.02, 1.0 + 0.05 / layout.panel_height, "head", transform=axes.transAxes, size=SMALL)
        size = min(SMALL, cell * 60)
        for row, number in zip(rows.tolist(), heads.heads[best], strict=True):
            axes.text(1.02, row, str(number), transform=beside, size=size, va="center_baseline")
    if not rows.size:
        axes.text(0.5, 0.5, "no head is ranked", transform=axes.transAxes, size=TEXT, ha="center")


def _compared_backgrounds(heads: _Heads) -> NDArray[np.float64]:
    values = heads.background[heads.shown] if heads.shown.any() else heads.background.ravel()
    return values[np.isfinite(values)]


def _draw_background(axes: Axes, heads: _Heads, layout: _Layout, kind: str) -> None:
    values = _compared_backgrounds(heads)
    if values.size:
        level = float(np.median(values))
        axes.axvline(level, **BACKGROUND, linewidth=1.1)
        at = level / axes.get_xlim()[1]
        varies = not np.allclose(values, level, rtol=1e-9, atol=0.0)
        stated = f"background {level:.3g} %" + (", median of heads" if varies else "")
    else:
        at, stated = 0.0, "background undefined"
    axes.text(
        at,
        1.0 + 0.05 / layout.panel_height,
        f"{stated}\n{KINDS.get(kind, kind)}",
        transform=axes.transAxes,
        size=SMALL,
        color=palette.BACKGROUND,
        ha="left" if at < 0.3 else "right" if at > 0.65 else "center",
        va="bottom",
        linespacing=1.15,
    )


def _draw_legend(figure: Figure, heads: _Heads, layout: _Layout, dataset: xr.Dataset) -> None:
    attrs = dataset.attrs
    entries: list[tuple[Artist, str]] = []
    if np.isfinite(heads.low[heads.shown]).any():
        bar = Line2D([], [], color=palette.INTERVAL, linewidth=0.8, marker="|", markersize=4)
        entries.append((bar, interval_words(dataset)))
    hidden = int(np.count_nonzero(~heads.shown))
    if hidden:
        least = int(attrs["min_arcs"])
        if "wald_low" in dataset:
            reason = f"{least:,} arcs or fewer"
        else:
            reason = f"fewer than {least:,} arcs" if least > 1 else "no arcs"
        if attrs.get("min_proteins", 0) > 1:
            unit = "proteins" if attrs.get("cluster_by", "protein") == "protein" else "clusters"
            reason += f" or {int(attrs['min_proteins']):,} {unit}"
        reason += " in a half" if "selection_rank" in dataset else ""
        share = "all heads" if hidden == heads.shown.size else f"{hidden:,} of {heads.shown.size:,} heads"
        letters = max(int((layout.width - layout.bar_left - 0.3) / 0.061), 20)
        entries.append((Patch(**UNRANKED), textwrap.fill(f"{reason}: {share}", letters)))
    if entries:
        corner = (layout.bar_left - 0.02) / layout.width, (_BELOW - 0.46) / layout.height
        spacing = {"handlelength": 1.6, "handletextpad": 0.6, "borderpad": 0.0, "borderaxespad": 0.0}
        artists, texts = zip(*entries, strict=True)
        figure.legend(artists, texts, loc="upper left", bbox_to_anchor=corner, fontsize=SMALL, frameon=False, **spacing)
