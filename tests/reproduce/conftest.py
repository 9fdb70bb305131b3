"""What the tests of the recipe share: data folders, a small model, and figures that are drawn but not rendered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from tests.models import save_bert
from tests.reproduce import tape_folder

QUICK: dict[str, Any] = {"replicates": 0, "device": "cpu"}


def leave_blank(patch: pytest.MonkeyPatch) -> None:
    """Put blank files for the pictures, whose pixels take most of a run's time."""
    patch.setattr(Figure, "savefig", lambda figure, path, **options: Path(path).write_text("<svg/>"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """On a busy machine threads that wait for one another make small models ten times slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_blank(monkeypatch)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tape_folder.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of no published shape."""
    return save_bert(tmp_path_factory.mktemp("small") / "mine")


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of binding sites alone."""
    return tape_folder.write(tmp_path_factory.mktemp("sites"), ("binding_site",))
