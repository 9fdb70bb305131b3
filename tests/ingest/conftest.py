"""What several tests of ingest begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from .oracle import fasta


@pytest.fixture(scope="module")
def inputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The module's `PROTEINS`, in one file."""
    return [fasta(tmp_path_factory.mktemp("inputs") / "x.fasta", request.module.PROTEINS)]
