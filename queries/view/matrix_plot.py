"""The figure of one head's attention matrix: blue on contacts, orange elsewhere, tracks along the edges."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .. import palette
from ..figure import SMALL, TEXT, TICKS, TITLE, NotebookFigure
from .protein_attention import ProteinAttention
from .tracks import Strip, draw_legend, legend_width, strips

Array = NDArray[Any]

# Inches.
_PANEL = 5.2
_LEFT, _TOP, _BELOW, _STRIP = 0.62, 0.52, 0.75, 0.11
_BAR, _ROW = 1.25, 0.148

_KINDS = {1: "in contact", 0: "not in contact", -1: "not known"}


def plot_matrix(view: ProteinAttention, tracks: Sequence[str] = ()) -> NotebookFigure:
    """Draw every weight of the head, source downwards and target across; the colour scale is the square root.

    Parameters
    ----------
    view : ProteinAttention
    tracks : properties of residues to draw along the edges, in addition to secondary structure and sites

    Raises
    ------
    QueryError
        If the protein has no known values of such a property.
    """
    shown = strips(view, tracks)
    edge = len(shown) * _STRIP + 0.03
    contact = view.residues.contacts()
    patches = [patch for strip in shown for patch in strip.patches()]
    kinds = [kind for kind in _KINDS if (contact == kind).any()]
    legend = _PANEL - _BAR * len(kinds)
    below = _BELOW + max(0.0, _ROW * len(patches) - legend - _BELOW)
    height = _TOP + edge + _PANEL + below
    right = _LEFT + edge + _PANEL + 0.14
    width = right + max(0.85, legend_width(patches))
    figure = NotebookFigure(figsize=(width, height))
    figure.set_facecolor("white")

    def box(left: float, bottom: float, wide: float, tall: float) -> tuple[float, float, float, float]:
        return left / width, bottom / height, wide / width, tall / height

    panel = figure.add_axes(box(_LEFT + edge, below, _PANEL, _PANEL))
    drawn = _draw_weights(panel, view.weights, contact, kinds)
    for number, strip in enumerate(shown):
        place = 0.03 + (len(shown) - 1 - number) * _STRIP
        across = figure.add_axes(box(_LEFT + edge, below + _PANEL + place, _PANEL, _STRIP - 0.02))
        down = figure.add_axes(box(_LEFT + edge - place - _STRIP + 0.02, below, _STRIP - 0.02, _PANEL))
        draw_strip(across, strip)
        draw_strip(down, strip, upright=True)
    panel.tick_params(**TICKS, labelleft=not shown)
    if shown:
        # The numbers of the sources are left of the strips.
        outer = figure.add_axes(box(_LEFT, below, edge, _PANEL), frameon=False)
        outer.set(ylim=panel.get_ylim(), xticks=[])
        outer.yaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        outer.tick_params(**TICKS)
        panel.tick_params(left=False)
    named: Any = figure.axes[-1] if shown else panel
    named.set_ylabel("source: attends (position, from 0)", size=TEXT, labelpad=3)
    panel.set_xlabel("target: attended to (position, from 0)", size=TEXT, labelpad=3)

    for number, (kind, shades) in enumerate(drawn.items()):
        bar = figure.add_axes(box(right, below + _PANEL - 1.0 - _BAR * number, 0.11, 0.86))
        figure.colorbar(shades, cax=bar)
        bar.tick_params(**TICKS)
        bar.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        bar.set_title(_KINDS[kind], size=SMALL, loc="left", pad=4)
    draw_legend(figure, patches, box(right - 0.06, below + legend, 1, 1)[:2])
    (model,) = view.origin["models"]
    title = f"{view.residues.protein}: attention of head {view.layer}-{view.head} (layer-head, from 0)\n{model}"
    figure.text(_LEFT / width, 1 - 0.10 / height, title, size=TITLE, va="top", linespacing=1.25, parse_math=False)
    note = "colour: attention weight, by its square root; contact: six or more apart, Cβ nearer than 8 Å"
    if not view.whole:
        note += f"\nweights below {view.arcs.floor:g} are not kept, and drawn as 0"
    figure.text(
        (_LEFT + edge) / width,
        (below - 0.42) / height,
        note,
        size=SMALL,
        va="top",
        color=palette.CAPTION,
        linespacing=1.3,
    )
    return figure


def _draw_weights(axes: Axes, weights: Array, contact: Array, kinds: Sequence[int]) -> dict[int, ScalarMappable]:
    largest = float(weights.max()) or 1.0
    drawn: dict[int, ScalarMappable] = {}
    for kind in kinds:
        shades = [to_rgb(shade) for shade in palette.SHADES[kind]]
        cmap = LinearSegmentedColormap.from_list(_KINDS[kind], shades)
        image = np.ma.masked_array(weights, ~(contact == kind))
        norm = PowerNorm(0.5, 0.0, largest)
        drawn[kind] = axes.imshow(image, cmap=cmap, norm=norm, interpolation="nearest", aspect="auto")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
    return drawn


def draw_strip(axes: Axes, strip: Strip, *, upright: bool = False) -> None:
    """Draw a strip over the whole of axes, residues across or, upright, downwards."""
    image = np.array([mpl.colors.to_rgb(colour) for colour in strip.colours])[None]
    axes.imshow(image.swapaxes(0, 1) if upright else image, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(linewidth=0.4, color=palette.EDGE)
