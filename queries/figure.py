"""Common parts of figures: type sizes, colour scales, the question in words, and writing to a file."""

from __future__ import annotations

import io
from os import PathLike
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure

from ..errors import QueryError
from ..runtime.paths import user_path
from . import palette
from .statistics.shown_heads import interval_of

TEXT, SMALL, TITLE = 8.0, 7.0, 9.0  # points
TICKS: dict[str, Any] = {"labelsize": SMALL, "length": 2, "width": 0.6, "pad": 2}
_SCREEN_DPI, _DPI = 110, 300

# Metadata that would differ between equal pictures, such as the date and versions.
_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

#: The line of a background.
BACKGROUND: dict[str, Any] = {"color": palette.BACKGROUND, "linestyle": (0, (4, 2))}

#: Cells and marks of heads that are not ranked.
UNRANKED: dict[str, Any] = {
    "facecolor": palette.UNRANKED, "edgecolor": palette.HATCH, "hatch": "////", "linewidth": 0.0,
}  # fmt: skip

#: From white, for none, to dark blue, and shares in percent at which a bar of these colours is labelled.
ABSOLUTE_COLOURS = LinearSegmentedColormap.from_list(
    "share", ["white", *mpl.colormaps["YlGnBu"](np.linspace(0.12, 1.0, 15))]
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

    It rises with the square root, so that small shares, as of rare properties, are distinguishable.
    """
    return PowerNorm(0.5, 0.0, 100.0)


class NotebookFigure(Figure):
    """A figure that a notebook displays, without pyplot and its state."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_SCREEN_DPI)
        return buffer.getvalue()


def question(dataset: xr.Dataset) -> str:
    """The question, in two lines; a threshold selected from a curve is a coordinate."""
    attrs = dataset.attrs
    where = f" where {attrs['where']}" if attrs.get("where") else ""
    threshold = attrs.get("threshold", dataset.coords.get("threshold"))
    at = "" if threshold is None or np.ndim(threshold) else f", attention ≥ {float(threshold):g}"
    return f"{attrs['predicate']}{where}\n{attrs['model']}{at}"


def interval_words(dataset: xr.Dataset) -> str:
    """The kind of the interval in words."""
    attrs = dataset.attrs
    level = f"{100 * float(attrs.get('level', 0.95)):g} %"
    if interval_of(dataset) == "wilson":
        return f"{level} Wilson interval"
    if attrs.get("cluster_by", "protein") == "protein":
        return f"{level} bootstrap over {int(attrs['proteins']):,} proteins"
    return f"{level} bootstrap over {int(attrs['clusters']):,} clusters by {attrs['cluster_by']}"


def check_suffix(path: str | PathLike[str]) -> str:
    """The suffix of a file that a figure can be written to.

    Raises
    ------
    QueryError
        If the suffix is none of .png, .svg and .pdf.
    """
    suffix = user_path(path).suffix.lower()
    if suffix not in _METADATA:
        raise QueryError(
            f"{path} names no kind of figure that can be written: end it in one of {', '.join(_METADATA)}."
        )
    return suffix


def save_figure(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as .png (300 dots per inch), .svg (text kept as text) or .pdf, by the suffix.

    Equal figures give equal files: no date and no version is written.

    Raises
    ------
    QueryError
        If the suffix is none of these, or the file cannot be written.
    """
    suffix = check_suffix(path)
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "attnstore", "pdf.fonttype": 42}
    try:
        with mpl.rc_context(settings):
            figure.savefig(user_path(path), format=suffix[1:], dpi=_DPI, metadata=_METADATA[suffix])
    except OSError as error:
        raise QueryError(f"{path} cannot be written: {error.strerror}.") from error
