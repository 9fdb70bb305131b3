"""The page: the measurements as one HTML file that needs no other file."""

import base64
import datetime
import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..provenance import provenance
from .amino_acids import Similarity
from .calls import Settings
from .depth import Depth
from .measures import Answer, Measurement
from .model_comparison import Comparison
from .model_report import ModelReport
from .questions import Missing
from .report_files import Picture

if TYPE_CHECKING:
    import jinja2

    from ...opened import Store

_PACKAGES = ("attnstore", "biopython", "duckdb", "matplotlib", "numpy", "pandas", "scipy")


@dataclass(frozen=True)
class Cell:
    """The text that is shown, and the number behind it, with all digits; None if it is not a number."""

    text: str
    value: float | int | None = None


@dataclass(frozen=True)
class PageTable:
    """A table of the page."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def render_report(
    store: "Store",
    settings: Settings,
    reports: Sequence[ModelReport],
    comparison: Comparison | None,
    missing: Sequence[Missing],
    pictures: Sequence[Picture],
    directory: Path,
    when: datetime.datetime,
) -> str:
    """The page as HTML; all text from the store is escaped.

    Parameters
    ----------
    store, settings : what was asked, and how
    reports, comparison, missing : the results
    pictures : the figures as drawn
    directory : folder of their files
    when : time of the report
    """
    shown = {picture.name: _picture(picture, directory) for picture in pictures}
    return (
        templates(Path(__file__).parent)
        .get_template("page.html.jinja")
        .render(
            store=store,
            settings=settings,
            when=when.strftime("%Y-%m-%d %H:%M UTC"),
            models=[_model(number, one, shown) for number, one in enumerate(reports)],
            comparison=_comparison(comparison, shown) if comparison is not None else None,
            missing=missing,
            origin=_origin(store, reports),
            versions={name: importlib.metadata.version(name) for name in _PACKAGES},
        )
    )


def _picture(picture: Picture, directory: Path) -> dict[str, Any]:
    """A figure of the page: embedded in it, and as files."""
    return {
        "source": embed(directory / "figures" / f"{picture.name}.svg"),
        "words": picture.words,
        "calls": picture.calls,
        "file": f"figures/{picture.name}",
    }


def _model(number: int, report: ModelReport, shown: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    name, document = report.model.name, report.model.document
    alike = report.similarity
    return {
        "id": f"model-{number}",
        "name": name,
        "label": report.label,
        "document": document,
        "summary": report.model.summary(),
        "segments": report.model.manifest.segments,
        "overview": _overview(report),
        "properties": [_property(name, one, shown) for one in report.properties],
        "letters": [_property(name, one, shown) for one in report.letters],
        "letter_table": _letter_table(report.letters),
        "acids": shown.get(f"{name}/amino-acids"),
        "alike": alike,
        "alike_cell": _correlation(alike) if alike is not None else None,
        "similarity": shown.get(f"{name}/similarity"),
        "depths": [
            {"picture": shown[f"{name}/depth{ending}"], "table": _depth_table(report.depths(paper=paper)),
             "file": f"tables/{name}/depth{ending}", "paper": paper}
            for ending, paper in (("", False), ("-paper", True))
            if f"{name}/depth{ending}" in shown
        ],
    }  # fmt: skip


def _property(model: str, one: Measurement, shown: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A property of a model: its figures and tables, with the calls that reproduce them."""
    key = one.question.key
    parts = [
        {"kind": kind, "answer": answer, "table": _top_table(answer), "file": f"tables/{model}/{kind}-{key}",
         "facts": _facts(answer)}
        for kind, answer in (("held-out", one.held_out), ("paper", one.paper))
        if answer is not None
    ]  # fmt: skip
    return {
        "question": one.question,
        "picture": shown.get(f"{model}/heads-{key}"),
        "paper_picture": shown.get(f"{model}/paper-{key}"),
        "whole": f"tables/{model}/heads-{key}" if one.whole is not None else None,
        "parts": parts,
    }


def _facts(answer: Answer) -> dict[str, Any]:
    """The number of ranked heads, and of proteins."""
    attributes = answer.result.attrs
    return {
        "ranked": answer.ranked,
        "few": len(answer.table) - answer.ranked,
        "proteins": attributes["proteins"],
        "clusters": attributes["clusters"],
        "selected": attributes.get("selection_clusters", 0),
        "min_arcs": attributes["min_arcs"],
        "min_proteins": attributes["min_proteins"],
        "unit": _unit(attributes["cluster_by"]),
    }


def _top_table(answer: Answer) -> PageTable:
    """The ten best heads."""
    paper, top = "wald_low" in answer.result, answer.top
    unit = _unit(answer.result.attrs["cluster_by"])
    columns = ["head"]
    columns += ["in the paper's count"] if paper else []
    picked = "selection_lower" if "selection_lower" in top else "selection_share"
    columns += ["chosen by"] if picked in top else []
    columns += ["share", *([f"95 % bootstrap over {unit}"] if "bootstrap_low" in top else [])]
    columns += ["Wald, 0.05/m"] if paper else []
    columns += ["true", "of", unit, "background", "enrichment"]
    rows = []
    for row in top.to_dict("records"):
        layer, head = int(row["layer"]), int(row["head"])
        cells = [Cell(f"{layer}-{head}")]
        cells += [Cell(f"{layer + 1}-{head + 1}")] if paper else []
        cells += [_percent(row[picked])] if picked in row else []
        cells += [_percent(row["share"])]
        cells += [_range(row["bootstrap_low"], row["bootstrap_high"])] if "bootstrap_low" in row else []
        cells += [_range(row["wald_low"], row["wald_high"])] if paper else []
        cells += [_count(row["count"]), _count(row["total"]), _count(row["clusters"])]
        cells += [_percent(row["background"]), _times(row["enrichment"])]
        rows.append(cells)
    return PageTable(columns, rows)


def _overview(report: ModelReport) -> PageTable:
    """The best head of each property other than amino acids, in the order of the page."""
    courses = {one.question.key: one for one in report.depths()}
    rows = []
    for one in report.properties:
        course = courses.get(one.question.key)
        rows.append([Cell(one.question.label), *_best_cells(one), _number(course.centre if course else math.nan)])
    return PageTable([" ", *_BEST, "centre"], rows)


def _letter_table(letters: Sequence[Measurement]) -> PageTable:
    rows = [[Cell(f"{one.question.meaning} {one.question.label}"), *_best_cells(one)] for one in letters]
    return PageTable([" ", *_BEST], rows)


#: Headings of `_best_cells`.
_BEST = ("best head", "share", "95 % bootstrap", "of arcs", "proteins", "background", "enrichment")


def _best_cells(one: Measurement) -> list[Cell]:
    best = one.best
    if best is None:
        return [Cell("–")] * len(_BEST)
    return [
        Cell(f"{int(best['layer'])}-{int(best['head'])}"),
        _percent(best["share"]),
        _range(best.get("bootstrap_low", math.nan), best.get("bootstrap_high", math.nan)),
        _count(best["total"]),
        _count(best["clusters"]),
        _percent(best["background"]),
        _times(best["enrichment"]),
    ]


def _depth_table(courses: Sequence[Depth]) -> PageTable:
    layers = range(len(courses[0].means))
    rows = [
        [Cell(one.question.label), _number(one.centre), *(_percent(mean) for mean in one.means.tolist())]
        for one in courses
    ]
    return PageTable([" ", "centre", *(str(layer) for layer in layers)], rows)


def _correlation(alike: Similarity) -> Cell:
    return _number(alike.correlation)


def _comparison(comparison: Comparison, shown: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    rows: dict[bool, list[list[Cell]]] = {False: [], True: []}
    for question in comparison.questions:
        letter = question.kind == "amino acid"
        for place, row in enumerate(comparison.of(question.key)):
            centre = row.depth.centre if row.depth is not None else math.nan
            relative = centre / (row.layers - 1) if row.layers > 1 else math.nan
            named = question.label if place == 0 else ""
            cells = [Cell(named), Cell(comparison.labels[row.model]), *_best_cells(row.measured)]
            rows[letter].append(cells if letter else [*cells, _number(relative)])
    columns = [" ", "model", *_BEST]
    return {
        "answer": comparison,
        "picture": shown["comparison"],
        "table": PageTable([*columns, "centre"], rows[False]),
        "letters": PageTable(columns, rows[True]),
    }


def _origin(store: "Store", reports: Sequence[ModelReport]) -> dict[str, Any]:
    return provenance(store, [one.model.name for one in reports])


def _unit(cluster_by: str) -> str:
    return "proteins" if cluster_by == "protein" else "clusters"


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value) and math.isfinite(value)


def _percent(value: float) -> Cell:
    return Cell(f"{value:.1%}", float(value)) if _known(value) else Cell("–")


def _range(low: float, high: float) -> Cell:
    return Cell(f"{low:.1%} – {high:.1%}") if _known(low) and _known(high) else Cell("–")


def _count(value: float) -> Cell:
    return Cell(f"{int(value):,}", int(value))


def _times(value: float) -> Cell:
    return Cell(f"{value:.1f}×", float(value)) if _known(value) else Cell("–")


def _number(value: float) -> Cell:
    return Cell(f"{value:.2f}", float(value)) if _known(value) else Cell("–")


def templates(*folders: Path) -> "jinja2.Environment":
    """Templates in these folders: inserted text is escaped, and missing values are errors."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embed(svg: Path) -> str:
    """A figure's file as the source of an image, so that a page needs no other file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()
