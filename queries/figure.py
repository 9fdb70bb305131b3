"""What the figures of heads and of curves share: type sizes, colours, and the question in words."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure

from .statistics.shown_heads import interval_of

BACKGROUND = "#c1440e"

TEXT, SMALL, TITLE = 8.0, 7.0, 9.0  # points
TICKS: dict[str, Any] = {"labelsize": SMALL, "length": 2, "width": 0.6, "pad": 2}
_SCREEN_DPI = 110

#: From white, for none, to dark blue, and shares in percent at which a bar of these colours is labelled.
ABSOLUTE_COLOURS = LinearSegmentedColormap.from_list(
    "share", ["#ffffff", *mpl.colormaps["YlGnBu"](np.linspace(0.12, 1.0, 15))]
)
ABSOLUTE_TICKS = (0, 1, 5, 10, 25, 50, 100)

KINDS = {
    "eligible": "all eligible pairs",
    "paper": "as in Vig et al. 2021",
    "protein": "matched by protein",
    "separation": "matched by separation",
}


def absolute_scale() -> Normalize:
    """Shares in percent, from 0 to 100, to colours: a colour is the same share in every figure.

    It rises with the square root, so that small shares, as of rare properties, are told apart.
    """
    return PowerNorm(0.5, 0.0, 100.0)


class NotebookFigure(Figure):
    """A figure that a notebook shows by itself, without pyplot and its state."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_SCREEN_DPI)
        return buffer.getvalue()


def question(dataset: xr.Dataset) -> str:
    """What was asked, in two lines; a threshold picked out of a curve is a coordinate."""
    attrs = dataset.attrs
    where = f" where {attrs['where']}" if attrs.get("where") else ""
    threshold = attrs.get("threshold", dataset.coords.get("threshold"))
    at = "" if threshold is None or np.ndim(threshold) else f", attention ≥ {float(threshold):g}"
    return f"{attrs['predicate']}{where}\n{attrs['model']}{at}"


def interval_words(dataset: xr.Dataset) -> str:
    """That interval in words."""
    attrs = dataset.attrs
    level = f"{100 * float(attrs.get('level', 0.95)):g} %"
    if interval_of(dataset) == "wilson":
        return f"{level} Wilson interval"
    if attrs.get("cluster_by", "protein") == "protein":
        return f"{level} bootstrap over {int(attrs['proteins']):,} proteins"
    return f"{level} bootstrap over {int(attrs['clusters']):,} clusters by {attrs['cluster_by']}"
