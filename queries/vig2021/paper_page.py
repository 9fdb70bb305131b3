"""The page of a reproduction: its tables and figures, and links to the report of each data set.

Its own figure has the share of each published head, as measured and as published.
"""

import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...errors import QueryError
from ...format.documents import ModelDocument
from ...runtime.durable import replace_file
from ...runtime.table_output import text_table
from .. import palette
from .. import report as report_package
from ..figure import BACKGROUND, SMALL, TEXT, TICKS, save_figure
from ..report.depth import depth_table
from ..report.report_figures import box, draw_depth, legend, new_figure
from ..report.report_page import embed, templates
from .comparison import count_words, readable_best, readable_heads, summary_line
from .data_sets import DATA_SETS
from .paper_models import source

if TYPE_CHECKING:
    from .reproduction import Reproduction

PAGE = "index.html"

#: Suffixes of a figure's files.
ENDINGS = (".svg", ".png")

_TITLES = {"contact": "contacts", "binding_site": "binding sites", "protein_modification": "modifications"}
LABELS = {"contact": "Contacts", "binding_site": "Binding sites", "protein_modification": "Modifications"}


def write(done: "Reproduction", document: ModelDocument, when: datetime.datetime) -> None:
    """Write the page, and each table as CSV and Parquet and each figure as SVG and PNG.

    Raises
    ------
    QueryError
        If a file cannot be written.
    """
    folder = done.page.parent
    tables = {
        "comparison": done.heads,
        "summary": done.summary,
        "best-heads": done.best,
        "depth": depth_table(done.depths),
    }
    # The report's page.css is also used for this page.
    folders = templates(Path(__file__).parent, *map(Path, report_package.__path__))
    template = folders.get_template("page.html.jinja")
    try:
        for name, frame in tables.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        for name, ending in product(("comparison", "depth"), ENDINGS):
            (folder / f"{name}{ending}").unlink(missing_ok=True)  # from an earlier run that drew more
        pictures = {name: _save(figure, folder / name) for name, figure in _figures(done, document).items()}
        content = template.render(
            done=done,
            document=document,
            when=when.strftime("%Y-%m-%d %H:%M UTC"),
            sections=[
                {"key": row["property"], "label": LABELS[row["property"]], "line": summary_line(row),
                 "table": readable_heads(done.heads, row["property"])}
                for row in done.summary.to_dict("records")
            ],
            best=readable_best(done.best),
            pictures=pictures,
            reports=[{"name": one.name, "words": one.words} for one in DATA_SETS if one.name in done.reports],
            source=source(),
        )  # fmt: skip
        replace_file(done.page, content.encode())
    except OSError as error:
        raise QueryError(f"{error.filename or folder} cannot be written: {error.strerror}.") from error


def _figures(done: "Reproduction", document: ModelDocument) -> "dict[str, Figure]":
    figures = {}
    if done.published is not None and len(done.summary):
        title = f"Shares of attention, measured and published\n{done.model} next to {done.published} of the paper"
        figures["comparison"] = draw_paper_comparison(done.heads, done.summary, title)
    if any(one.heads.any() for one in done.depths):
        title = f"Properties against depth, the paper's form\n{done.model}"
        figures["depth"] = draw_depth(done.depths, document.layers, title)
    return figures


def _save(figure: "Figure", stem: Path) -> str:
    """Write the files of a figure; returns it in the form of the page."""
    for ending in ENDINGS:
        save_figure(figure, stem.with_suffix(ending))
    return embed(stem.with_suffix(".svg"))


def summary_text(done: "Reproduction") -> str:
    """The tables, for a terminal."""
    beside = f"next to {done.published} of Vig et al. 2021" if done.published is not None else "another model"
    lines = [
        f"{done.model}: {beside} ({done.recognised})",
        f"{done.drawn.words}; attention ≥ 0.3; layers and heads from 1, as in the paper",
    ]
    for row in done.summary.to_dict("records"):
        table = readable_heads(done.heads, row["property"])
        heading = f"{LABELS[row['property']]}, {count_words(row['proteins'], 'protein')}"
        lines += [
            "",
            heading,
            summary_line(row),
            "",
            text_table(table) if len(table) else "No head has more than 100 arcs.",
        ]
    if done.published is None:
        lines += ["", "Next to the best heads of the five published models:", "", text_table(readable_best(done.best))]
    courses = [f"{one.question.label} {one.centre:.2f}" for one in done.depths if one.centre == one.centre]
    if courses:
        lines += ["", f"Centres of gravity, layers from 0: {', '.join(courses)}"]
    if done.similarity is not None:
        lines += [
            "",
            "Similarity of amino acids by attention correlates with BLOSUM62 by "
            + f"{done.similarity:.2f}".replace("-", "−"),
        ]
    lines += ["", *done.notes] if done.notes else []
    lines += ["", *done.missing] if done.missing else []
    lines += ["", f"{done.page}"]
    return "\n".join(lines)


def draw_paper_comparison(heads: pd.DataFrame, summary: pd.DataFrame, title: str) -> Figure:
    """Draw one panel per property: published share across, measured share up, with its interval.

    Parameters
    ----------
    heads, summary : from :mod:`.comparison`; heads with both shares are drawn
    title : in one or two lines
    """
    side, between, left, top, below = 2.1, 0.55, 0.62, 0.78, 0.85
    keys = list(summary["property"])
    width = left + len(keys) * (side + between)
    figure = new_figure(max(width, 4.2), top + side + below, title)
    for number, row in enumerate(summary.to_dict("records")):
        axes = figure.add_axes(box(figure, left + number * (side + between), below, side, side))
        of = heads[(heads["property"] == row["property"]) & heads["difference"].notna()]
        x, y = 100 * of["published_share"].to_numpy(), 100 * of["measured_share"].to_numpy()
        low, high = 100 * of["wald_low"].to_numpy(), 100 * of["wald_high"].to_numpy()
        most = 1.12 * max([*x, *np.nan_to_num(high), *y, 1.0])
        axes.plot([0, most], [0, most], color=palette.GUIDE, linewidth=0.8, zorder=1)
        axes.axhline(100 * row["measured_background"], **BACKGROUND, linewidth=1.0, zorder=1)
        axes.axvline(100 * row["published_background"], **BACKGROUND, linewidth=1.0, zorder=1)
        axes.vlines(x, low, high, color=palette.BAR, linewidth=0.8, zorder=2)
        few = of["measured_rank"].isna().to_numpy()
        axes.scatter(x[~few], y[~few], s=14, color=palette.BAR, linewidth=0, zorder=3)
        axes.scatter(x[few], y[few], s=14, facecolor="white", edgecolor=palette.BAR, linewidth=0.8, zorder=3)
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
        Line2D([], [], color=palette.BAR, **dot, linewidth=0.8, label="one of the published ten, Wald, Bonferroni"),
        Line2D([], [], color=palette.BAR, **dot, markerfacecolor="white", linewidth=0, label="at most 100 arcs"),
        Line2D([], [], **BACKGROUND, linewidth=1.0, label="background"),
    ]  # fmt: skip
    if not summary["comparable"].all():
        handles.append(Line2D([], [], linewidth=0, label="(*) published labels are moved by one residue"))
    legend(figure, handles, left - 0.4, 0.36, columns=2 if len(keys) < 3 else 3)
    return figure
