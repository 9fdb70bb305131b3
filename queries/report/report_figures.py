"""The report's figures except those of single properties, see :func:`attnstore.queries.heads_plot.plot_heads`.

One style for all: sizes in inches, so that the same data give the same picture; shares in percent with the same colour
scale; heads with too few arcs hatched; no text from the store read as mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from .. import palette
from ..figure import ABSOLUTE_COLOURS, ABSOLUTE_TICKS, BACKGROUND, SMALL, TEXT, TICKS, TITLE, UNRANKED, absolute_scale
from .amino_acids import AminoAcids, Floats, Similarity
from .depth import Depth

#: Also distinguishable with colour vision deficiency; white in the middle, where there is no correlation.
_DIVERGING = "PuOr_r"


def draw_amino_acids(acids: AminoAcids, title: str) -> Figure:
    """Draw a heat map of the heads' shares for each amino acid, with the largest share of each layer next to it."""
    columns, rows = 5, -(-len(acids.letters) // 5)
    layers, heads = acids.total.shape
    wide = min(max(heads * 0.06, 1.0), 1.8)
    tall = min(max(layers * 0.07, 0.72), 1.8)
    beside, across, between, left, top, below = 0.30, 0.30, 0.34, 0.46, 0.72, 0.70
    width = left + columns * (wide + 0.04 + beside + across)
    height = top + rows * (tall + between) + below
    figure = new_figure(width, height, title)
    shares = 100 * acids.shares
    mesh = None
    for number, (letter, share) in enumerate(zip(acids.letters, shares, strict=True)):
        row, column = divmod(number, columns)
        x = left + column * (wide + 0.04 + beside + across)
        y = height - top - row * (tall + between) - tall
        heat = figure.add_axes(box(figure, x, y, wide, tall))
        bars = figure.add_axes(box(figure, x + wide + 0.04, y, beside, tall))
        mesh = _small_heat(heat, share)
        best = _largest(share)
        bars.barh(np.arange(layers), np.nan_to_num(best), height=0.8, color=palette.BAR, linewidth=0)
        bars.set(xlim=(0, 100), ylim=(layers - 0.5, -0.5), xticks=[0, 100], yticks=[])
        bars.tick_params(**{**TICKS, "labelsize": SMALL - 2})
        bars.spines[["top", "right"]].set_visible(False)
        highest = f"up to {np.nanmax(best):.3g} %" if np.isfinite(best).any() else "no head"
        heat.set_title(_name(letter), size=TEXT, loc="left", pad=2.5)
        bars.set_title(highest, size=SMALL - 1, loc="right", pad=2.5, color=palette.NOTE)
        heat.tick_params(**{**TICKS, "labelsize": SMALL - 1})
        heat.set_yticks(few_ticks(layers) if column == 0 else [])
        heat.set_xticks(few_ticks(heads) if row == rows - 1 else [])
        if column == 0:
            heat.set_ylabel("layer", size=SMALL, labelpad=2)
        if row == rows - 1:
            heat.set_xlabel("head", size=SMALL, labelpad=1)
            bars.set_xlabel("largest\n(%)", size=SMALL - 1, labelpad=1)
        else:
            bars.set_xticklabels([])
    assert mesh is not None
    _share_bar(figure, mesh, left, 0.34, min(3.4, width - 2.6))
    _legend_of_few(figure, acids.ranked, acids.min_arcs, width - 2.15, 0.50)
    return figure


def draw_depth(depths: Sequence[Depth], layers: int, title: str) -> Figure:
    """Draw the layers' mean shares of each property, ordered by centre of gravity, as Vig et al. 2021 do."""
    tall, between, left, wide, right, top, below = 0.62, 0.16, 1.9, 3.6, 0.9, 0.62, 0.72
    height = top + len(depths) * (tall + between) + below
    figure = new_figure(left + wide + right, height, title)
    for number, one in enumerate(depths):
        y = height - top - number * (tall + between) - tall
        axes = figure.add_axes(box(figure, left, y, wide, tall))
        means = 100 * one.means
        axes.bar(np.arange(layers), np.nan_to_num(means), width=0.78, color=palette.BAR, linewidth=0)
        for layer in np.flatnonzero(~np.isfinite(means)).tolist():
            axes.axvspan(layer - 0.39, layer + 0.39, **UNRANKED)
        most = np.nanmax([*means, 100 * one.background, 1e-9])
        if np.isfinite(one.background):
            axes.axhline(100 * one.background, **BACKGROUND, linewidth=1.0)
        if np.isfinite(one.centre):
            axes.axvline(one.centre, color="black", linewidth=1.1)
            axes.text(
                1.015, 0.5, f"centre {one.centre:.2f}", transform=axes.transAxes, size=SMALL, va="center", ha="left"
            )
        axes.set(xlim=(-0.6, layers - 0.4), ylim=(0, 1.12 * most))
        axes.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
        axes.tick_params(**TICKS)
        axes.spines[["top", "right"]].set_visible(False)
        axes.text(
            -0.115, 0.5, shorten(one.question.label, 22), transform=axes.transAxes, size=TEXT, va="center", ha="right",
            parse_math=False,
        )  # fmt: skip
        axes.set_xticks(few_ticks(layers, 24))
        if number < len(depths) - 1:
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("layer, from 0", size=TEXT, labelpad=2)
    handles: list[Any] = [
        Patch(color=palette.BAR, label="mean share of the layer's heads (%)"),
        mpl.lines.Line2D([], [], color="black", linewidth=1.1, label="centre of gravity"),
        mpl.lines.Line2D([], [], **BACKGROUND, linewidth=1.0, label="background"),
    ]
    if any(not np.isfinite(one.means).all() for one in depths):
        handles.append(Patch(**UNRANKED, label="no head with enough arcs"))
    legend(figure, handles, left - 1.0, 0.30, columns=2 if len(handles) > 3 else 3)
    return figure


def draw_similarity(alike: Similarity, title: str) -> Figure:
    """Draw the similarity by attention next to BLOSUM62, and each pair of different amino acids as a point."""
    side, left, gap, top, below = 2.75, 0.34, 0.42, 0.74, 0.86
    scatter_left = left + 2 * (side + gap) + 0.28
    width, height = scatter_left + 2.45, top + side + below
    figure = new_figure(width, height, title)
    for number, (matrix, bound, name, label) in enumerate(
        (
            (alike.attention, 1.0, "By attention", f"Pearson's r over {alike.heads:,} heads"),
            (alike.substitution, 4.0, "By evolution", "BLOSUM62 score"),
        )
    ):
        axes = figure.add_axes(box(figure, left + number * (side + gap), below, side, side))
        shown = np.ma.masked_invalid(np.where(np.eye(len(alike.letters), dtype=bool), np.nan, matrix))
        mesh = _matrix(axes, shown, alike.letters, bound)
        axes.set_title(name, size=TEXT, pad=4)
        bar = figure.add_axes(box(figure, left + number * (side + gap), 0.42, side, 0.1))
        _colour_bar(figure, mesh, bar, label)
    axes = figure.add_axes(box(figure, scatter_left, below, 2.2, side))
    table = alike.table.dropna()
    # Scores are whole numbers: shift points in the order of the pairs, so that they do not hide one another.
    order = table.groupby("blosum62").cumcount().to_numpy()
    alike_ones = table.groupby("blosum62")["attention"].transform("size").to_numpy()
    x = table["blosum62"].to_numpy() + 0.6 * ((order + 0.5) / alike_ones - 0.5)
    axes.scatter(x, table["attention"], s=9, color=palette.BAR, alpha=0.75, linewidth=0)
    axes.axhline(0, color=palette.GUIDE, linewidth=0.6)
    axes.set(ylim=(-1.05, 1.05), xlim=(-4.6, 3.6))
    axes.set_xticks(range(-4, 4))
    axes.set_xlabel("BLOSUM62 score", size=TEXT, labelpad=2)
    axes.set_ylabel("r by attention", size=TEXT, labelpad=1)
    axes.tick_params(**TICKS)
    axes.spines[["top", "right"]].set_visible(False)
    stated = f"r = {alike.correlation:.2f}" if np.isfinite(alike.correlation) else "r undefined"
    axes.set_title(f"{alike.pairs} pairs, {stated}", size=TEXT, pad=4)
    return figure


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure, sizes in inches, with its title in the upper left corner, each line cut to fit."""
    figure = Figure(figsize=(width, height))
    figure.set_facecolor("white")
    lines = [shorten(line, int((width - 0.2) / 0.087)) for line in title.splitlines()]
    figure.text(
        0.12 / width, 1 - 0.1 / height, "\n".join(lines), size=TITLE, va="top", linespacing=1.25, parse_math=False
    )
    return figure


def box(figure: Figure, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
    """A box in inches as fractions of the figure."""
    across, up = figure.get_size_inches()
    return left / across, bottom / up, width / across, height / up


def _name(letter: str) -> str:
    from Bio.SeqUtils import seq3

    return f"{seq3(letter)} {letter}"


def _largest(share: Floats) -> Floats:
    """Maximum of each layer, NaN if it has no head."""
    best = np.where(np.isfinite(share), share, -np.inf).max(axis=1)
    return np.where(np.isfinite(best), best, np.nan)


def few_ticks(number: int, most: int = 4) -> list[int]:
    """Round numbers below another, not many more than `most`."""
    step = next((step for step in (1, 2, 5, 10, 20, 50) if number <= most * step), 100)
    return list(range(0, number, step))


def _small_heat(axes: Axes, share: Floats) -> ScalarMappable:
    layers, heads = share.shape
    axes.add_patch(mpl.patches.Rectangle((-0.5, -0.5), heads, layers, **UNRANKED))
    # Thousands of cells are drawn as a bitmap, or the file would be larger than all others together.
    mesh = axes.pcolormesh(
        np.arange(heads + 1) - 0.5, np.arange(layers + 1) - 0.5, np.ma.masked_invalid(share),
        cmap=ABSOLUTE_COLOURS, norm=absolute_scale(), rasterized=True, zorder=2,
    )  # fmt: skip
    axes.set(xlim=(-0.5, heads - 0.5), ylim=(layers - 0.5, -0.5))
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)
        spine.set_zorder(3)
    return mesh


def _matrix(axes: Axes, values: Any, letters: str, bound: float) -> ScalarMappable:
    places = np.arange(len(letters))
    edges = np.arange(len(letters) + 1) - 0.5
    axes.set_facecolor(palette.EMPTY)
    mesh = axes.pcolormesh(
        edges, edges, values, cmap=_DIVERGING, vmin=-bound, vmax=bound, edgecolors="white", linewidth=0.3
    )
    axes.set(xlim=(-0.5, len(letters) - 0.5), ylim=(len(letters) - 0.5, -0.5))
    axes.set_xticks(places, list(letters))
    axes.set_yticks(places, list(letters))
    axes.tick_params(**{**TICKS, "length": 0})
    for spine in axes.spines.values():
        spine.set_visible(False)
    return mesh


def _colour_bar(figure: Figure, mesh: ScalarMappable, axes: Axes, label: str) -> None:
    bar = figure.colorbar(mesh, cax=axes, orientation="horizontal")
    bar.set_label(label, size=TEXT, labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.tick_params(**TICKS)
    bar.outline.set_linewidth(0.6)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")  # otherwise viewers of svg show seams


def _share_bar(figure: Figure, mesh: ScalarMappable, left: float, bottom: float, width: float) -> None:
    axes = figure.add_axes(box(figure, left, bottom, width, 0.1))
    _colour_bar(figure, mesh, axes, "share of arcs with the amino acid as target (%)")
    axes.xaxis.set_major_locator(FixedLocator(ABSOLUTE_TICKS))
    axes.minorticks_off()


def _legend_of_few(figure: Figure, ranked: Any, min_arcs: int, left: float, top: float) -> None:
    few = int((~ranked).sum())
    if few:
        words = f"fewer than {min_arcs:,} arcs: {few:,} of {ranked.size:,} heads"
        legend(figure, [Patch(**UNRANKED, label=words)], left, top)


def legend(figure: Figure, handles: Sequence[Any], left: float, top: float, columns: int = 1) -> None:
    """A legend whose upper left corner is `left` and `top` inches from the figure's lower left one."""
    across, up = figure.get_size_inches()
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(left / across, top / up), fontsize=SMALL, frameon=False,
        ncols=columns, handlelength=1.6, handletextpad=0.6, columnspacing=1.4, borderpad=0.0, borderaxespad=0.0,
    )  # fmt: skip


def shorten(text: str, letters: int) -> str:
    """A text, shortened to at most this many letters."""
    return text if len(text) <= letters else text[: letters - 1] + "…"
