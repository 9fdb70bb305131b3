"""The figure of a reproduction: the share of each published head, as measured and as published."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..figure import BACKGROUND, SMALL, TEXT, TICKS
from ..report.report_figures import BAR, legend, new_figure, place

_TITLES = {"contact": "contacts", "binding_site": "binding sites", "protein_modification": "modifications"}


def draw_comparison(heads: pd.DataFrame, summary: pd.DataFrame, title: str) -> Figure:
    """Draw a panel for each property: published share across, measured share up, with its interval.

    Parameters
    ----------
    heads, summary : as :mod:`.comparison` has them; of the heads those with both shares are drawn
    title : in one or two lines
    """
    side, between, left, top, below = 2.1, 0.55, 0.62, 0.78, 0.85
    keys = list(summary["property"])
    width = left + len(keys) * (side + between)
    figure = new_figure(max(width, 4.2), top + side + below, title)
    for number, row in enumerate(summary.to_dict("records")):
        axes = figure.add_axes(place(figure, left + number * (side + between), below, side, side))
        of = heads[(heads["property"] == row["property"]) & heads["difference"].notna()]
        x, y = 100 * of["published_share"].to_numpy(), 100 * of["measured_share"].to_numpy()
        low, high = 100 * of["wald_low"].to_numpy(), 100 * of["wald_high"].to_numpy()
        most = 1.12 * max([*x, *np.nan_to_num(high), *y, 1.0])
        axes.plot([0, most], [0, most], color="#999999", linewidth=0.8, zorder=1)
        axes.axhline(100 * row["measured_background"], color=BACKGROUND, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
        axes.axvline(
            100 * row["published_background"], color=BACKGROUND, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1
        )
        axes.vlines(x, low, high, color=BAR, linewidth=0.8, zorder=2)
        few = of["measured_rank"].isna().to_numpy()
        axes.scatter(x[~few], y[~few], s=14, color=BAR, linewidth=0, zorder=3)
        axes.scatter(x[few], y[few], s=14, facecolor="white", edgecolor=BAR, linewidth=0.8, zorder=3)
        axes.set(xlim=(0, most), ylim=(0, most))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(**TICKS)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(_TITLES[row["property"]] + ("" if row["comparable"] else " (*)"), size=TEXT, pad=4)
        axes.set_xlabel("published (%)", size=SMALL, labelpad=2)
        if number == 0:
            axes.set_ylabel("measured (%)", size=SMALL, labelpad=2)
    dot: dict[str, Any] = {"marker": "o", "markersize": 4}
    handles = [
        Line2D([], [], color=BAR, **dot, linewidth=0.8, label="one of the published ten, Wald, Bonferroni"),
        Line2D([], [], color=BAR, **dot, markerfacecolor="white", linewidth=0, label="at most 100 arcs"),
        Line2D([], [], color=BACKGROUND, linewidth=1.0, linestyle=(0, (4, 2)), label="background"),
    ]  # fmt: skip
    if not summary["comparable"].all():
        handles.append(Line2D([], [], linewidth=0, label="(*) published labels are moved by one residue"))
    legend(figure, handles, left - 0.4, 0.36, columns=2 if len(keys) < 3 else 3)
    return figure
