"""Vig et al. 2021 as a recipe: the four data sets through a model, a report on each, and comparison tables."""

import datetime
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ...errors import QueryError, SourceError, StoreError, check_choice
from ...opened import open_store
from ...runtime.durable import make_directories, parse_json, read_bytes, replace_json, sha256_file
from ...runtime.libraries import load_matplotlib
from ...runtime.paths import database_path, user_path
from .comparison import compare_heads, paper_best_heads, summarise_comparison
from .data_sets import (
    DATA_SETS,
    ENDING,
    MOVED,
    SPLITS,
    DataSet,
    move_labels,
    moves_labels,
    question_names,
)
from .paper_models import PROPERTIES, PublishedModel, check_name, recognise
from .reproduction import Reproduction, SequenceDraw

if TYPE_CHECKING:
    from ..report.model_report import ModelReport
    from ..report.report import Report

#: The paper's number of sequences of each data set.
SEQUENCES = 5000

#: Tiers that the questions of the paper need.
KEPT = ("arcs", "marginals")

RECIPE_FILE = "recipe.json"


def vig2021(
    model: str,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    compare_with: str | None = None,
    as_published: bool = False,
    split: Literal["train", "valid"] = "train",
    sample: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    keep: Sequence[str] = KEPT,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
    batch_pairs: int | None = None,
    segment_entries: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    replicates: int = 1000,
    force: bool = False,
    progress: bool = False,
) -> Reproduction:
    """Repeat the analysis of Vig et al. 2021, BERTology Meets Biology (arXiv 2006.15222), on a model.

    Ingests 5,000 sequences of each data set of the paper that is in the folder, truncated at 510 residues, identical
    sequences kept apart, and reports on them in the paper's form: heads with more than 100 arcs, attention ≥ 0.3,
    unknown counts as false, Wald intervals at 0.05/m. If it stops, the same call resumes it.

    Parameters
    ----------
    model : str
        Hub id or folder of a saved model.
    data : path
        Folder of the data sets, in the layout of TAPE and of the paper's code.
    output : path, optional
        Folder for stores, reports and the page (default: ``vig2021-`` and the name of the model).
    compare_with : str, optional
        Model of the paper to compare with, or 'other' for none (default: recognised by the model's name or shape).
    as_published : bool, default False
        Shift the labels of sites and modifications by one residue, as the paper's code does for ProtXLNet. Other models
        are refused.
    split : {'train', 'valid'}, default 'train'
        Part of the data sets; the paper uses 'train'.
    sample : int, optional
        Number of sequences of each data set, drawn at random with `seed` (default: 5000).
    seed : int, default 0
        Random seed of the sample and of the reports.
    limit : int, optional
        Read only the first sequences of each data set, so many, for a trial.
    keep : sequence of {'codes', 'arcs', 'marginals', 'hidden'}, default ('arcs', 'marginals')
        Tiers to store.
    device : str, default 'auto'
        Where the model runs: 'auto', 'cpu', 'cuda', or a single GPU such as 'cuda:1'.
    precision : {'auto', 'float32', 'bfloat16', 'float16'}, default 'float32'
        Number format of the model's computation; the paper uses float32.
    batch_pairs : int, optional
        Largest sum of squared lengths in a batch, padding included (default: 2¹⁹ on a CPU, 2²⁴ on a GPU). A batch that
        does not fit in memory is halved.
    segment_entries : int, optional
        Number of attention entries in a segment, about its size in memory in bytes; two are in memory at once (default:
        2²⁷ on a CPU, 2³² on a GPU).
    workers : int, optional
        Number of processes on this machine, each with its share of the cores or its own GPU (default: one per GPU, or
        one). A script that starts them calls this function under ``if __name__ == "__main__":``.
    scheduler : str, optional
        Address of a Dask scheduler whose workers compute the segments and see the same files (default: this machine).
    replicates : int, default 1000
        Number of bootstrap replicates of the reports (0: no intervals).
    force : bool, default False
        Continue although the disk may be too small, or another host holds the lock.
    progress : bool, default False
        Show progress bars on standard error.

    Returns
    -------
    Reproduction
        Measured and published heads, the reports, and what is missing.

    Raises
    ------
    SourceError
        If all data sets are missing, or one cannot be read.
    StoreError
        If the folder holds other sequences or cannot be written, or an ingest cannot go on.
    QueryError
        If `compare_with` is not a model of the paper or has another shape, or `as_published` does not apply.

    Examples
    --------
    >>> done = attnstore.vig2021("facebook/esm2_t6_8M_UR50D", "data", limit=20)  # doctest: +SKIP
    >>> done.heads  # doctest: +SKIP
    """
    check_choice("split", split, SPLITS, SourceError)
    if "arcs" not in keep and "codes" not in keep:
        raise StoreError("the paper's questions need arcs: keep=['arcs', 'marginals'] keeps them.")
    if limit is not None and sample is not None:
        raise StoreError(f"limit={limit} and sample={sample} exclude each other: leave one of them out.")
    check_name(compare_with)
    source = user_path(data)
    found = {one: one.find(source, split) for one in DATA_SETS}
    there = {one: path for one, path in found.items() if path is not None}
    missing = [_not_run(one, source, split) for one in DATA_SETS if one not in there]
    if not there:
        raise SourceError(f"{source} has none of the data sets: {' '.join(missing)}")
    from ...ingest.pipeline import default_name, ingest

    name = default_name(model)
    drawn = (
        SequenceDraw(name, split, SEQUENCES if sample is None else sample, seed, None)
        if limit is None
        else SequenceDraw(name, split, None, None, limit)
    )
    folder = database_path(output) if output is not None else _default_output(drawn)
    stores: dict[str, Path] = {}
    settings = {**asdict(drawn), "keep": ",".join(sorted(set(keep))), "precision": precision}
    with _of_these_sequences(folder, settings, {one.name: path for one, path in there.items()}):
        for one, path in there.items():
            stores[one.name] = _store_of(folder, one.name)
            name = ingest(
                stores[one.name], [path], model=model, keep=keep, device=device, precision=precision,
                batch_pairs=batch_pairs, segment_entries=segment_entries, limit=drawn.limit, sample=drawn.sample,
                seed=seed, keep_duplicates=True, workers=workers, scheduler=scheduler, force=force, progress=progress,
            ).model  # fmt: skip
            document = open_store(stores[one.name]).model(name).document
            published, recognised = recognise(document, compare_with)
            if as_published and not moves_labels(document):
                raise QueryError(
                    f"as_published=True is for ProtXLNet alone: for {document.source}, a {document.architecture}, the "
                    "paper's code has every label at its own residue; leave the option out."
                )
            if as_published:
                move_labels(stores[one.name], one.properties)
    load_matplotlib()
    from ..report.depth import by_centre
    from ..report.report import report

    reports: dict[str, Report] = {}
    for one in there:
        opened = open_store(stores[one.name])
        with opened.reading():
            reports[one.name] = report(
                opened, folder / "reports" / one.name, models=[name], paper=True, seed=seed, replicates=replicates,
                properties=question_names(one.properties) if as_published else one.properties, scheduler=scheduler,
                progress=progress,
            )  # fmt: skip
    measures = [report.models[0] for report in reports.values()]
    measured, proteins = _in_the_papers_form(measures)
    moved = moves_labels(document)
    heads = compare_heads(measured, published, moved=moved, as_published=as_published)
    alike = [one.similarity.correlation for one in measures if one.similarity is not None]
    missing += [
        f"{one.what}: {one.reason}." for report in reports.values() for one in report.missing if one.model is None
    ]
    from .paper_page import PAGE, write

    done = Reproduction(
        page=folder / PAGE,
        model=name,
        published=published.name if published is not None else None,
        recognised=recognised,
        drawn=drawn,
        as_published=as_published,
        heads=heads,
        summary=summarise_comparison(measured, proteins, heads, published),
        best=paper_best_heads(heads, name),
        depths=tuple(by_centre([course for one in measures for course in one.depths(paper=True)])),
        similarity=next((one for one in alike if not math.isnan(one)), None),
        stores=MappingProxyType(stores),
        reports=MappingProxyType(reports),
        notes=tuple(_notes(published, measured, moved and not as_published)),
        missing=tuple(missing),
    )
    write(done, document, datetime.datetime.now(datetime.UTC))
    return done


def _not_run(one: DataSet, data: Path, split: str) -> str:
    return f"{one.words} are not measured: {one.published_path(data, split)} is missing; it is from {one.source}."


def _default_output(drawn: SequenceDraw) -> Path:
    """The name of a folder, different for trials and other splits, whose sequences differ."""
    parts = [f"vig2021-{drawn.model}"]
    parts += [drawn.split] if drawn.split != SPLITS[0] else []
    parts += [f"first-{drawn.limit}"] if drawn.limit is not None else []
    return Path("-".join(parts))


def _store_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.attn"


@contextmanager
def _of_these_sequences(folder: Path, settings: Mapping[str, Any], files: Mapping[str, Path]) -> Iterator[None]:
    """Check that a folder's stores have the sequences of these files and settings; record them for a new folder."""
    path = folder / RECIPE_FILE
    first, new = not path.exists(), not folder.exists()
    before = {} if first else parse_json(read_bytes(path, "the recipe"), path, "the recipe")
    for key, value in settings.items():
        if not first and before.get(key) != value:
            raise StoreError(
                f"{folder} was made with {key}={before.get(key)!r}, not {key}={value!r}: use that, or another folder "
                f"(output={os.fspath(folder) + '-2'!r})."
            )
    told: Mapping[str, str] = before.get("files", {})
    digests = {name: _digest(file) for name, file in files.items()}
    for name, digest in digests.items():
        store = _store_of(folder, name)
        if store.exists() and told.get(name) != digest:
            raise StoreError(
                f"{store} was made of another file than {files[name]}: use that, remove the store, or "
                f"use another folder (output={os.fspath(folder) + '-2'!r})."
            )
    try:
        make_directories(folder)
        replace_json(path, {**settings, "files": {**told, **digests}})
    except OSError as error:
        raise StoreError(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    try:
        yield
    except BaseException:
        if first and not any(folder.glob("*.attn")):
            path.unlink(missing_ok=True)
            if new:
                # Another run may have begun here.
                with suppress(OSError):
                    folder.rmdir()
        raise


def _digest(file: Path) -> str:
    """Digest of a data set's content: a changed file would add its sequences to those that were drawn."""
    try:
        return sha256_file(file / "data.mdb" if file.is_dir() else file)
    except OSError as error:
        raise SourceError(f"{error.filename or file} cannot be read: {error.strerror}.") from error


def _notes(published: PublishedModel | None, measured: Mapping[str, pd.DataFrame], moved: bool) -> Iterator[str]:
    if published is not None and moved and measured.keys() & {*MOVED}:
        yield (
            f"Binding sites and modifications: the published shares of {published.name} are of labels moved by one "
            "residue, by an error of the paper's code, and cannot be compared with those above. as_published=True "
            "measures on labels moved in the same way."
        )
    if "contact" in measured:
        yield (
            "Contacts: backgrounds are of pairs six or more residues apart, as in the paper, while shares are of all "
            "arcs, where nearer ones count as no contact. Compare shares with shares; a share over its background is "
            "not an enrichment."
        )


def _in_the_papers_form(measures: "Sequence[ModelReport]") -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """All heads of each published property that was measured, the best first, and the number of proteins."""
    answers = {
        key: one.paper
        for report in measures
        for one in report.measured
        if (key := one.question.key.removesuffix(ENDING)) in PROPERTIES and one.paper is not None
    }
    tables = {key: answer.table for key, answer in answers.items()}
    return tables, {key: int(answer.result.attrs["proteins"]) for key, answer in answers.items()}
