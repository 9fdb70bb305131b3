"""The files of a report: each figure as SVG and PNG, each table as CSV and Parquet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..figure import save_figure
from ..heads_plot import plot_heads
from .calls import Call
from .comparison_figure import draw_comparison
from .depth import depth_table
from .measures import Measurement
from .model_comparison import Comparison
from .model_report import ModelReport
from .report_figures import draw_amino_acids, draw_depth, draw_similarity

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure.

    Attributes
    ----------
    name : name of its files, without the suffix; a model's are in a folder
    words : what it shows, as alternative text
    calls : the calls that reproduce it
    draw : function that draws it
    """

    name: str
    words: str
    calls: tuple[Call, ...]
    draw: "Callable[[], Figure]"


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table.

    Attributes
    ----------
    name : as for a figure
    frame : its rows
    calls : what it was asked by
    """

    name: str
    frame: pd.DataFrame
    calls: tuple[Call, ...]


def write_picture(picture: Picture, directory: Path) -> Path:
    """Draw and write a figure as SVG and PNG; returns the PNG."""
    path = directory / "figures" / f"{picture.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = picture.draw()
    for each in (path.with_suffix(".svg"), path):
        save_figure(figure, each)
    return path


def write_sheet(sheet: Sheet, directory: Path) -> None:
    """Write a table as CSV and Parquet; the Parquet metadata has the calls that reproduce it."""
    paths = [directory / "tables" / f"{sheet.name}.{ending}" for ending in ("csv", "parquet")]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    sheet.frame.to_csv(paths[0], index=False)
    kept = sheet.frame.copy(deep=False)
    kept.attrs = {"asked": [call.python for call in sheet.calls]}
    kept.to_parquet(paths[1], index=False)


def model_pictures(report: ModelReport, threshold: float) -> list[Picture]:
    """The figures of one model; questions for which no head has enough arcs have none."""
    name = report.model.name
    below = f"{report.label}, attention ≥ {threshold:g}"
    pictures = [
        picture
        for one in report.properties
        for picture in (_heads(name, below, one, paper=False), _heads(name, below, one, paper=True))
        if picture is not None
    ]
    if report.acids is not None and report.acids.ranked.any():
        acids, alike = report.acids, report.similarity
        assert alike is not None
        title = f"Share of arcs to each amino acid\n{below}"
        words = "Heat maps of the share of each head's arcs that goes to each of the twenty amino acids"
        pictures.append(Picture(f"{name}/amino-acids", words, (acids.call,), partial(draw_amino_acids, acids, title)))
        title = f"Amino acids alike by the attention they receive, and in evolution\n{below}"
        words = "Correlation of amino acids over heads next to BLOSUM62"
        pictures.append(Picture(f"{name}/similarity", words, (acids.call,), partial(draw_similarity, alike, title)))
    for paper in (False, True):
        courses = report.depths(paper=paper)
        if any(one.heads.any() for one in courses):
            ending, form = ("-paper", ", the paper's form") if paper else ("", "")
            title = f"Properties against depth{form}\n{below}"
            layers = report.model.document.layers
            words = "Mean share of each layer's heads, of properties ordered by their centre of gravity"
            draw = partial(draw_depth, courses, layers, title)
            pictures.append(Picture(f"{name}/depth{ending}", words, _calls(report, paper=paper), draw))
    return pictures


def _heads(model: str, below: str, one: Measurement, *, paper: bool) -> Picture | None:
    answer = one.paper if paper else one.whole
    if answer is None or not answer.ranked:
        return None
    where = answer.call.options.get("where")
    asked = answer.call.question + (f" where {where}" if where else "") + (", the paper's form" if paper else "")
    title = f"{one.question.label}: {asked}\n{below}"
    words = f"Heat map of the share of each head's arcs, and the largest of each layer: {one.question.label}"
    name = f"{model}/{'paper' if paper else 'heads'}-{one.question.key}"
    return Picture(name, words, (answer.call,), partial(plot_heads, answer.result, title=title, absolute=True))


def _calls(report: ModelReport, *, paper: bool) -> tuple[Call, ...]:
    answers = [one.paper if paper else one.whole for one in report.properties]
    return tuple(answer.call for answer in answers if answer is not None)


def model_sheets(report: ModelReport) -> list[Sheet]:
    """The tables of one model: every head of every question, amino acids, depth."""
    name = report.model.name
    sheets = [
        Sheet(f"{name}/{kind}-{one.question.key}", answer.table, (answer.call,))
        for one in report.measured
        for kind, answer in (("heads", one.whole), ("held-out", one.held_out), ("paper", one.paper))
        if answer is not None
    ]
    if report.acids is not None:
        alike = report.similarity
        assert alike is not None
        sheets.append(Sheet(f"{name}/amino-acids", report.acids.table, (report.acids.call,)))
        sheets.append(Sheet(f"{name}/similarity", alike.table, (report.acids.call,)))
    for ending, paper in (("", False), ("-paper", True)):
        courses = report.depths(paper=paper)
        if courses:
            sheets.append(Sheet(f"{name}/depth{ending}", depth_table(courses), _calls(report, paper=paper)))
    return sheets


def comparison_files(comparison: Comparison, reports: Sequence[ModelReport], threshold: float) -> tuple[Picture, Sheet]:
    """The figure and the table of several models."""
    random = {one.model.name for one in reports if one.model.document.randomize is not None}
    answers = [answer for row in comparison.rows for answer in (row.measured.held_out, row.measured.whole)]
    calls = tuple(answer.call for answer in answers if answer is not None)
    title = f"{len(reports)} models on the {comparison.proteins:,} proteins that all hold\nattention ≥ {threshold:g}"
    words = "The best head of each model for each property, and the mean share of its layers against relative depth"
    picture = Picture("comparison", words, calls, partial(draw_comparison, comparison, random, title))
    return picture, Sheet("comparison", comparison.table, calls)
