"""The page of a reproduction: its tables and figures, and links to the report of each data set."""

import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import QueryError
from ...format.documents import ModelDocument
from ...runtime.durable import replace_file
from ...runtime.table_output import text_table
from .. import report as report_package
from ..heads_plot import save_figure
from ..report.depth import depth_table
from ..report.report_figures import draw_depth
from ..templates import embedded, environment
from .comparison import counted, readable_best, readable_heads, summary_line
from .data_sets import DATA_SETS
from .paper_figure import draw_comparison
from .published import source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .reproduction import Reproduction

PAGE = "index.html"

#: Of a figure's files.
ENDINGS = (".svg", ".png")

LABELS = {"contact": "Contacts", "binding_site": "Binding sites", "protein_modification": "Modifications"}


def write(done: "Reproduction", document: ModelDocument, when: datetime.datetime) -> None:
    """Write the page, and beside it each table as CSV and Parquet and each figure as SVG and PNG.

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
    # The report's page.css serves this page, too.
    templates = environment(Path(__file__).parent, *map(Path, report_package.__path__))
    template = templates.get_template("page.html.jinja")
    try:
        for name, frame in tables.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        for name, ending in product(("comparison", "depth"), ENDINGS):
            (folder / f"{name}{ending}").unlink(missing_ok=True)  # of an earlier run that drew more
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
        title = f"Shares of attention, measured and published\n{done.model} beside {done.published} of the paper"
        figures["comparison"] = draw_comparison(done.heads, done.summary, title)
    if any(one.heads.any() for one in done.depths):
        title = f"Properties against depth, the paper's form\n{done.model}"
        figures["depth"] = draw_depth(done.depths, document.layers, title)
    return figures


def _save(figure: "Figure", stem: Path) -> str:
    """Write a figure beside the page; returns it as the page holds it."""
    for ending in ENDINGS:
        save_figure(figure, stem.with_suffix(ending))
    return embedded(stem.with_suffix(".svg"))


def summary_text(done: "Reproduction") -> str:
    """The tables, for a terminal."""
    beside = f"beside {done.published} of Vig et al. 2021" if done.published is not None else "another model"
    lines = [
        f"{done.model}: {beside} ({done.recognised})",
        f"{done.drawn.words}; attention ≥ 0.3; layers and heads from 1, as in the paper",
    ]
    for row in done.summary.to_dict("records"):
        table = readable_heads(done.heads, row["property"])
        heading = f"{LABELS[row['property']]}, {counted(row['proteins'], 'protein')}"
        lines += [
            "",
            heading,
            summary_line(row),
            "",
            text_table(table) if len(table) else "No head has more than 100 arcs.",
        ]
    if done.published is None:
        lines += ["", "Beside the best heads of the five published models:", "", text_table(readable_best(done.best))]
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
