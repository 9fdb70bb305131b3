"""Strips of colour along a sequence for the figures: secondary structure, sites, and named properties."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...errors import QueryError
from .. import palette
from ..figure import SMALL
from .protein_attention import ProteinAttention
from .view_residues import STRUCTURE_NAMES, Residues, Track

#: Most letters of a legend's entry.
_LONGEST = 36


@dataclass(frozen=True)
class Strip:
    """A property as colours.

    Attributes
    ----------
    label : name of the property
    colours : one per residue, '#rrggbb'
    meaning : colours and their meanings
    """

    label: str
    colours: tuple[str, ...]
    meaning: tuple[tuple[str, str], ...]

    def patches(self) -> list[Patch]:
        """For a legend."""
        return [
            Patch(facecolor=colour, edgecolor=palette.EDGE, linewidth=0.4, label=_label(text))
            for colour, text in self.meaning
        ]


def draw_legend(figure: Figure, handles: Sequence[Artist], corner: tuple[float, float]) -> None:
    """Draw a legend with its upper left corner there, in fractions of the figure."""
    if handles:
        legend = figure.legend(
            handles=list(handles), loc="upper left", bbox_to_anchor=corner, fontsize=SMALL, frameon=False,
            handlelength=1.4, handleheight=0.8, borderpad=0.0, borderaxespad=0.0,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)  # values may contain dollar signs


def legend_width(handles: Sequence[Artist]) -> float:
    """Inches that a legend of these needs."""
    return 0.4 + 0.067 * max((len(str(handle.get_label())) for handle in handles), default=0)


def _label(text: str) -> str:
    """Text for a legend: one line, of limited length; matplotlib leaves out texts that begin with an underscore."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    shown = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
    return f" {shown}" if shown.startswith("_") else shown


def strips(view: ProteinAttention, names: Sequence[str]) -> list[Strip]:
    """Secondary structure and sites, if known, then the named properties.

    Raises
    ------
    QueryError
        If the protein has no known values of a property of that name.
    """
    found = []
    source, structure = view.residues.secondary_structure()
    if source:
        shown = [letter for letter in palette.STRUCTURE if letter in structure]
        meaning = tuple((palette.STRUCTURE[letter], STRUCTURE_NAMES[letter]) for letter in shown)
        coloured = tuple(palette.STRUCTURE.get(letter, palette.MISSING) for letter in structure)
        found.append(Strip("structure", coloured, meaning))
    if view.sites is not None:
        coloured = tuple(palette.SITE if true else palette.NOT_SITE for true in view.sites.true)
        found.append(Strip("sites", coloured, ((palette.SITE, view.sites.name),)))
    return found + [_strip(_track(view.residues, name)) for name in names]


def _track(residues: Residues, name: str) -> Track:
    if name not in residues.tracks:
        there = ", ".join(residues.tracks) or "none"
        raise QueryError(f"no property {name!r} of residues is known of {residues.protein}: it has {there}.")
    return residues.tracks[name]


def _strip(track: Track) -> Strip:
    values = track.values.tolist()
    if track.kind == "boolean":
        shades = {True: palette.TRUE, False: palette.PLAIN, None: palette.MISSING}
        return Strip(track.name, tuple(shades[value] for value in values), ((palette.TRUE, track.name),))
    if track.kind == "category":
        names = sorted({value for value in values if value is not None})
        first = dict(zip(names, palette.CATEGORIES, strict=False))
        meaning = [(colour, f"{track.name} {name}") for name, colour in first.items()]
        meaning += [(palette.FURTHER, f"{track.name}, others")] if len(names) > len(first) else []
        shade = {None: palette.MISSING, **{name: first.get(name, palette.FURTHER) for name in names}}
        return Strip(track.name, tuple(shade[value] for value in values), tuple(meaning))
    numbers = np.array([np.nan if value is None else value for value in values], float)
    least, most = np.nanmin(numbers), np.nanmax(numbers)
    ramp = mpl.colormaps["YlGnBu"]
    scaled = (numbers - least) / ((most - least) or 1.0)
    shown = tuple(palette.MISSING if np.isnan(value) else to_hex(ramp(value)) for value in scaled)
    unit = f" {track.unit}" if track.unit else ""
    ends = ((to_hex(ramp(0.0)), f"{track.name} {least:.4g}{unit}"), (to_hex(ramp(1.0)), f"{most:.4g}{unit}"))
    return Strip(track.name, shown, ends)
