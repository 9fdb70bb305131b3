"""The figure of one head's arcs along the sequence: contacts above, others below, properties between."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .. import palette
from ..figure import TEXT, TICKS, TITLE, NotebookFigure
from .matrix_plot import draw_strip
from .protein_attention import ProteinAttention
from .tracks import draw_legend, legend_width, strips

# Inches.
_LEFT, _PANEL = 0.62, 5.2
_TOP, _BELOW, _HALF, _STRIP, _ROW = 0.6, 0.5, 1.35, 0.12, 0.148

_KINDS = {1: ("contact", palette.CONTACT), 0: ("not a contact", palette.OTHER), -1: ("not known", palette.UNKNOWN)}

#: Line widths, in points, for weights from 0 to 1.
_THIN, _THICK = 0.25, 3.0


def plot_arcs(view: ProteinAttention, tracks: Sequence[str] = ()) -> NotebookFigure:
    """Draw the head's arcs with at least the view's weight and separation.

    The height of an arc is its separation, its thickness the weight; its direction is not shown.

    Parameters
    ----------
    view : ProteinAttention
    tracks : properties of residues to draw, in addition to secondary structure and sites

    Raises
    ------
    QueryError
        If the protein has no known values of such a property.
    """
    shown = strips(view, tracks)
    patches = [patch for strip in shown for patch in strip.patches()]
    middle = max(len(shown), 1) * _STRIP + 0.08
    half = max(_HALF, (_ROW * (len(patches) + 5) - middle) / 2)
    height = _TOP + 2 * half + middle + _BELOW
    width = _LEFT + _PANEL + 0.12 + max(1.4, legend_width(patches))
    figure = NotebookFigure(figsize=(width, height))
    figure.set_facecolor("white")

    def box(bottom: float, tall: float) -> tuple[float, float, float, float]:
        return _LEFT / width, bottom / height, _PANEL / width, tall / height

    above = figure.add_axes(box(_BELOW + half + middle, half))
    below = figure.add_axes(box(_BELOW, half))
    mine = view.arcs.of(view.layer, view.head, view.threshold, view.separation)
    longest = max(int(view.arcs.separation[mine].max(initial=0)), 2) * 1.06
    for axes, kinds in ((above, (1,)), (below, (-1, 0))):
        for kind in kinds:
            _draw_arcs(axes, view, mine[view.arcs.contact[mine] == kind], _KINDS[kind][1])
        axes.set(xlim=(-0.5, len(view.residues) - 0.5), ylim=(0, longest))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
        axes.tick_params(**TICKS)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.spines["left"].set_linewidth(0.6)
        axes.set_ylabel("separation", size=TEXT, labelpad=3)
    if not len(mine):
        middle_of: dict[str, Any] = {"ha": "center", "va": "center", "transform": above.transAxes}
        above.text(0.5, 0.5, "no such arc", size=TEXT, color=palette.CAPTION, **middle_of)
    above.set_xticks([])
    below.invert_yaxis()
    below.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    below.set_xlabel("position along the sequence, from 0", size=TEXT, labelpad=3)
    for number, strip in enumerate(shown):
        bottom = _BELOW + half + 0.04 + (len(shown) - 1 - number) * _STRIP
        track = figure.add_axes(box(bottom, _STRIP - 0.02))
        draw_strip(track, strip)
        track.set_xlim(-0.5, len(view.residues) - 0.5)
    if not shown:
        line = figure.add_axes(box(_BELOW + half, middle), frameon=False)
        line.axhline(0.5, color=palette.EDGE, linewidth=1.5)
        line.set(xticks=[], yticks=[])

    contact = view.arcs.contact[mine]
    counts = {kind: int(np.count_nonzero(contact == kind)) for kind in _KINDS}
    lines = [
        Line2D([], [], color=colour, linewidth=2, label=f"{name}: {counts[kind]}")
        for kind, (name, colour) in _KINDS.items()
        if counts[kind] or kind >= 0
    ]
    lines += [
        Line2D([], [], color=palette.CAPTION, linewidth=_THIN + _THICK * weight, label=f"weight {weight:g}")
        for weight in (view.threshold, 1.0)
    ]
    draw_legend(figure, [*lines, *patches], ((_LEFT + _PANEL + 0.12) / width, 1 - _TOP / height))
    (model,) = view.origin["models"]
    title = f"{view.residues.protein}: arcs of head {view.layer}-{view.head} (layer-head, from 0), {model}"
    apart = f", ends {view.separation} or more apart" if view.separation else ""
    known = counts[1] + counts[0]
    share = f"; {counts[1]} of {known} on contacts ({counts[1] / known:.0%})" if known else ""
    asked = f"{len(mine)} with weight ≥ {view.threshold:g}{apart}{share}"
    where: dict[str, Any] = {"va": "top", "linespacing": 1.3, "parse_math": False}
    figure.text(_LEFT / width, 1 - 0.10 / height, f"{title}\n{asked}", size=TITLE, **where)
    return figure


def _draw_arcs(axes: Axes, view: ProteinAttention, chosen: np.ndarray, colour: str) -> None:
    """Half ellipses from source to target, the weakest first."""
    chosen = chosen[::-1]
    source, target = view.arcs.source[chosen], view.arcs.target[chosen]
    turn = np.linspace(0.0, np.pi, 61)
    x = (source + target)[:, None] / 2 + np.cos(turn) * (source - target)[:, None] / 2
    y = np.sin(turn) * view.arcs.separation[chosen][:, None]
    widths = _THIN + _THICK * view.arcs.weight[chosen].astype(float)
    lines = LineCollection(list(np.stack([x, y], axis=-1)), colors=colour, linewidths=widths, alpha=0.8)
    axes.add_collection(lines)
