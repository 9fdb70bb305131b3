"""A store large enough to measure queries on: real attention over real sequences, with coordinates made up.

No package carries the coordinates of these chains, and what a query costs does not depend on where its contacts lie.
So each chain is given a random walk, which has about as many of them as a protein.
"""

import zlib
from pathlib import Path

import numpy as np
from real_chains import read_chains

from attnstore import fetch
from attnstore.catalog import CatalogWriter, Structure
from attnstore.ingest import ingest
from attnstore.layout import STORE_FILE, StoreDocument


def build(path: Path, chains: int) -> None:
    """Ingest so many chains by ESM-2 8M into a store; where it is there already, only what is missing is added."""
    path.mkdir(parents=True, exist_ok=True)
    if not (path / STORE_FILE).exists():
        StoreDocument().write(path)
    with CatalogWriter(path) as catalog:
        for name, sequence in read_chains(chains).items():
            catalog.add(name, sequence, "sidechainnet", made_up_structure(name, len(sequence)))
        catalog.publish()
    ingest(path, [], model=str(fetch.esm2_model()), name="esm2", progress=True)


def made_up_structure(name: str, length: int) -> Structure:
    """A random walk of Cα in steps of 3.8 Å; Cβ 1.5 Å off in any direction."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    steps, sides = rng.normal(size=(2, length, 3))
    ca = np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
    cb = ca + 1.5 * sides / np.linalg.norm(sides, axis=1, keepdims=True)
    numbers = np.arange(1, length + 1, dtype=np.int32)
    return Structure(numbers, np.ones(length, bool), (None,) * length, ca.astype(np.float32), cb.astype(np.float32))
