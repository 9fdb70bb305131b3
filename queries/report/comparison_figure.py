"""The figure of several models: the best head of each for every property, and the property by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .. import palette
from ..figure import BACKGROUND, SMALL, TEXT, TICKS
from .model_comparison import Comparison, ModelMeasurement
from .report_figures import box, legend, new_figure, shorten

_MARKERS = "osD^vP"


def draw_comparison(comparison: Comparison, random: set[str], title: str) -> Figure:
    """Draw one row per property: best heads with their intervals on the left, layers on the right.

    Parameters
    ----------
    comparison : Comparison
    random : names of the null models
    title : of the figure
    """
    questions = [one for one in comparison.questions if one.kind != "amino acid"]
    styles = _styles(list(comparison.labels), random)
    tall = max(0.66, 0.17 * len(styles) + 0.2)
    between, left, wide, gap, right, top = 0.20, 1.7, 2.7, 0.55, 0.2, 0.86
    below = 0.62 + 0.16 * len(styles)
    height = top + len(questions) * (tall + between) + below
    figure = new_figure(left + 2 * wide + gap + right, height, title)
    for number, question in enumerate(questions):
        y = height - top - number * (tall + between) - tall
        rows = comparison.of(question.key)
        best = figure.add_axes(box(figure, left, y, wide, tall))
        course = figure.add_axes(box(figure, left + wide + gap, y, wide, tall))
        _draw_best(best, rows, styles)
        _draw_course(course, rows, styles)
        best.text(
            -0.03, 0.5, shorten(question.label, 24), transform=best.transAxes, size=TEXT, va="center", ha="right",
            parse_math=False,
        )  # fmt: skip
        if number == 0:
            best.set_title("best head, held out (%)", size=TEXT, pad=5)
            course.set_title("mean share of the layer's heads (%)", size=TEXT, pad=5)
        if number == len(questions) - 1:
            course.set_xlabel("relative depth: first layer 0, last layer 1", size=TEXT, labelpad=2)
        else:
            course.set_xticklabels([])
    handles: list[Any] = [
        Line2D([], [], label=shorten(comparison.labels[name], 80), **style) for name, style in styles.items()
    ]
    handles.append(Line2D([], [], **BACKGROUND, linewidth=1.0, label="background"))
    legend(figure, handles, left, below - 0.48)
    for text in figure.legends[0].get_texts():
        text.set_parse_math(False)
    return figure


def _styles(names: list[str], random: set[str]) -> dict[str, dict[str, Any]]:
    """The style of each model: trained ones in colours, the others grey, dashed and hollow."""
    styles: dict[str, dict[str, Any]] = {}
    counts = {True: 0, False: 0}
    for name in names:
        of_chance = name in random
        number = counts[of_chance]
        counts[of_chance] += 1
        colours = palette.GREYS if of_chance else palette.LINES
        styles[name] = {
            "color": colours[number % len(colours)],
            "marker": _MARKERS[number % len(_MARKERS)],
            "markersize": 4.0,
            "linewidth": 1.1,
            "linestyle": (0, (2, 1.5)) if of_chance else "-",
            "markerfacecolor": "white" if of_chance else colours[number % len(colours)],
            "clip_on": False,  # a mark at 0 is drawn whole
            "zorder": 3,
        }
    return styles


def _draw_best(axes: Axes, rows: list[ModelMeasurement], styles: dict[str, dict[str, Any]]) -> None:
    levels = list(styles)
    largest = 0.0
    for row in rows:
        at, best = levels.index(row.model), row.measured.best
        if best is None:
            held_out = row.measured.held_out
            led = held_out is not None and held_out.ranked
            words = "no head above its background" if led else "no head with enough arcs"
            axes.text(
                0.01, at, words, size=SMALL - 1, va="center", color=palette.ABSENT,
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
            continue
        share, low, high = (100 * best.get(key, np.nan) for key in ("share", "bootstrap_low", "bootstrap_high"))
        style = styles[row.model]
        if np.isfinite(low) and np.isfinite(high):
            axes.plot([low, high], [at, at], color=style["color"], linewidth=1.1)
        axes.plot([share], [at], **{**style, "linestyle": "none"})
        axes.text(
            1.01, at, f"{int(best['layer'])}-{int(best['head'])}", transform=axes.get_yaxis_transform(),
            size=SMALL - 1, va="center", color=palette.NOTE,
        )  # fmt: skip
        background = 100 * best.get("background", np.nan)
        axes.plot([background] * 2, [at - 0.42, at + 0.42], **BACKGROUND, linewidth=1.0)
        largest = max([largest, *(value for value in (share, high, background) if np.isfinite(value))])
    axes.set(xlim=(0, min(max(1.06 * largest, 1e-6), 103) if largest else 1), ylim=(len(levels) - 0.5, -0.5), yticks=[])
    axes.grid(axis="x", color=palette.GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    _plain(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def _draw_course(axes: Axes, rows: list[ModelMeasurement], styles: dict[str, dict[str, Any]]) -> None:
    largest = 0.0
    for row in rows:
        if row.depth is None:
            continue
        means = 100 * row.depth.means
        depth = np.linspace(0, 1, row.layers) if row.layers > 1 else np.array([0.5])
        known = np.isfinite(means)
        axes.plot(depth[known], means[known], **{**styles[row.model], "markersize": 2.6})
        levels = [*means[known], 100 * row.depth.background]
        largest = max([largest, *(value for value in levels if np.isfinite(value))])
        if np.isfinite(row.depth.background):
            axes.axhline(100 * row.depth.background, **BACKGROUND, linewidth=0.9, zorder=1)
    axes.set(xlim=(-0.03, 1.03), ylim=(0, 1.1 * largest if largest else 1))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(**TICKS)
    axes.spines[["top", "right"]].set_visible(False)
