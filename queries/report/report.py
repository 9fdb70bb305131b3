"""The report of a store: all measurements, their files, and the page that shows them."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...catalog.reader import catalog_errors, connect
from ...errors import QueryError
from ...runtime import libraries, time_limit
from ...runtime.durable import replace_file
from ..plan.align_plan import THRESHOLD, choose_threshold
from ..statistics.clusters import read_keys
from ..statistics.measure import MIN_PROTEINS, check_measure
from .calls import Settings
from .model_comparison import Comparison, compare
from .model_report import ModelReport, measure_model, overview
from .questions import Missing, ask_of
from .report_files import Picture, Sheet, comparison_files, model_pictures, model_sheets, write_picture, write_sheet
from .report_page import render_report

if TYPE_CHECKING:
    from distributed import Client

    from ...opened import Store

PAGE = "index.html"


@dataclass(frozen=True, eq=False)
class Report:
    """Report of a store: paths of its files, and the measured values.

    Attributes
    ----------
    page : Path
        The page, which needs no other file.
    models : tuple of ModelReport
        Measured values of each model.
    comparison : Comparison or None
        Comparison of several models; None for one model, or if they cannot be compared.
    missing : tuple of Missing
        Parts that are missing, and why.
    figures : mapping of str to Path
        PNG of each figure by name, such as `MODEL/heads-contact`, next to an SVG.
    tables : mapping of str to pandas.DataFrame
        Tables by name, such as `best-heads`; each is a CSV and a Parquet file in the folder `tables`.
    """

    page: Path
    models: tuple[ModelReport, ...]
    comparison: Comparison | None
    missing: tuple[Missing, ...]
    figures: Mapping[str, Path]
    tables: Mapping[str, pd.DataFrame]


@time_limit.limited
def report(
    store: "Store",
    output: str | Path,
    *,
    models: Sequence[str] | None = None,
    properties: Sequence[str] | None = None,
    paper: bool = False,
    threshold: float = THRESHOLD,
    cluster_by: str = "protein",
    min_arcs: int = 100,
    min_proteins: int = MIN_PROTEINS,
    replicates: int = 1000,
    seed: int = 0,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
    timeout: float | None = None,
) -> Report:
    """Measure what every model's heads attend to, and write it; see :meth:`attnstore.Store.report`."""
    models = [models] if isinstance(models, str) else models
    properties = [properties] if isinstance(properties, str) else properties
    threshold = choose_threshold(threshold, weighted=False)
    names = [store.model(name).name for name in dict.fromkeys(models)] if models is not None else list(store.models)
    if not names:
        raise QueryError("there is nothing to report: the store holds no model, or none was named.")
    settings = Settings(threshold, cluster_by, min_arcs, min_proteins, replicates, seed, paper, scheduler)
    with catalog_errors(store.path / str(store.document.catalog)):
        _check(store, settings)
        questions, missing = ask_of(store, properties)
        rounds = len(names) + (len(names) > 1)
        with libraries.bar(rounds * len(questions), "question", shown=progress) as bar:
            reports = [measure_model(store, name, questions, settings, bar.update) for name in names]
            missing += [one for each in reports for one in each.missing]
            comparison = _compare(store, reports, settings, bar.update, missing)
    pictures = [picture for one in reports for picture in model_pictures(one, settings.threshold)]
    sheets = [Sheet("best-heads", overview(reports), ()), *(sheet for one in reports for sheet in model_sheets(one))]
    if comparison is not None:
        picture, sheet = comparison_files(comparison, reports, settings.threshold)
        pictures, sheets = [picture, *pictures], [sheet, *sheets]
    page = Path(output) / PAGE
    try:
        figures = _write(pictures, sheets, page.parent, progress=progress)
        when = datetime.datetime.now(datetime.UTC)
        content = render_report(store, settings, reports, comparison, missing, pictures, page.parent, when)
        replace_file(page, content.encode())
    except OSError as error:
        raise QueryError(f"{error.filename or output} cannot be written: {error.strerror}.") from error
    tables = {sheet.name: sheet.frame for sheet in sheets}
    return Report(page, tuple(reports), comparison, tuple(missing), figures, tables)


def _check(store: "Store", settings: Settings) -> None:
    """Refuse settings that no question accepts: otherwise each would be listed as missing for the same reason."""
    choose_threshold(settings.threshold, weighted=False)
    check_measure(
        curve=False,
        weighted=False,
        paper=settings.paper,
        background="eligible",
        average="micro",
        cluster_by=settings.cluster_by,
        split=False,
        min_arcs=settings.min_arcs,
        min_proteins=None if settings.paper else settings.min_proteins,
        rank_by=None,
        level=0.95,
        replicates=settings.replicates,
        seed=settings.seed,
    )
    with time_limit.closing(connect(store.catalog_path)) as connection:
        read_keys(connection, settings.cluster_by)


def _compare(
    store: "Store",
    reports: Sequence[ModelReport],
    settings: Settings,
    done: Callable[[], object],
    missing: list[Missing],
) -> Comparison | None:
    measured = {one.model.name: one.measured for one in reports if one.measured}
    if len(reports) < 2:
        return None
    try:
        if len(measured) < 2:
            raise QueryError("fewer than two of the models can be asked anything")
        return compare(store, list(measured), measured, settings, done)
    except QueryError as error:
        time_limit.check()  # of the whole report
        missing.append(Missing("Comparison of the models", str(error)))
        return None


def _write(pictures: Sequence[Picture], sheets: Sequence[Sheet], directory: Path, *, progress: bool) -> dict[str, Path]:
    with libraries.bar(len(pictures) + len(sheets), "file", shown=progress) as bar:
        figures = {}
        for picture in pictures:
            figures[picture.name] = write_picture(picture, directory)
            bar.update()
        for sheet in sheets:
            write_sheet(sheet, directory)
            bar.update()
    return figures
