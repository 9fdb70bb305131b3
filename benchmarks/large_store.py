"""A store large enough to measure queries on: real attention over real sequences, with coordinates made up.

No package carries the coordinates of these chains, and what a query costs does not depend on where its contacts lie.
So each chain is given a random walk, which has about as many of them as a protein.
"""

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from real_chains import read_chains

import attnstore
from attnstore import fetch
from attnstore.catalog.rows import Structure
from attnstore.catalog.writer import CatalogWriter
from attnstore.format.documents import SEGMENT_FILE, STORE_FILE, Manifest, SegmentEntry, StoreDocument
from attnstore.format.segment import Segment
from attnstore.format.segment_writer import seal, write_parquet
from attnstore.ingest import ingest


def build(path: Path, chains: int) -> None:
    """Ingest so many chains by ESM-2 8M into a store; where it is there already, only what is missing is added."""
    if (path / STORE_FILE).exists() and any("~" in name for name in attnstore.open(path).model().places):
        return  # it was replicated afterwards
    path.mkdir(parents=True, exist_ok=True)
    if not (path / STORE_FILE).exists():
        StoreDocument().write(path)
    with CatalogWriter(path) as catalog:
        for name, sequence in read_chains(chains).items():
            catalog.add(name, sequence, "sidechainnet", made_up_structure(name, len(sequence)))
        catalog.publish()
    ingest(path, [], model=str(fetch.esm2_model()), name="esm2", progress=True)


def replicate(path: Path, copies: int) -> None:
    """Make a store hold each of its chains so many times, under names of their own; nothing is computed again.

    Files of a copied segment are links to those of the original, except the one that names its proteins.
    """
    store = attnstore.open(path)
    model = store.model()
    originals = [segment for segment in model.segments if not segment.proteins.id[0].endswith("~2")]
    if len(model.segments) >= copies * len(originals):
        return
    sequences = dict(store.sql("SELECT id, sequence FROM proteins").fetchall())
    names = [name for segment in originals for name in segment.proteins.id]
    with CatalogWriter(path, keep_duplicates=True) as catalog:
        for copy in range(2, copies + 1):
            for name in names:
                structure = made_up_structure(name, len(sequences[name]))
                catalog.add(f"{name}~{copy}", sequences[name], "a copy", structure)
        catalog.publish()
    entries = list(model.manifest.segments)
    for copy in range(2, copies + 1):
        entries += [_copied(segment, copy, len(entries) + number) for number, segment in enumerate(originals)]
    Manifest(tuple(entries)).write(model.directory)


def _copied(segment: Segment, copy: int, number: int) -> SegmentEntry:
    target = segment.directory.with_name(f"{segment.directory.name}-{copy}")
    shutil.copytree(segment.directory, target, copy_function=os.link)
    for name in ("proteins.parquet", SEGMENT_FILE):
        (target / name).unlink()
    listed = json.loads((segment.directory / SEGMENT_FILE).read_bytes())["files"]
    proteins = pq.read_table(segment.directory / "proteins.parquet")
    named = pa.array([f"{name}~{copy}" for name in segment.proteins.id])
    buffer = pa.BufferOutputStream()
    pq.write_table(proteins.set_column(1, "id", named), buffer, compression="zstd")
    files = {target / name: file for name, file in listed.items()}
    files |= write_parquet(target / "proteins.parquet", buffer.getvalue())
    return seal(target, number, segment.proteins, segment.entry.arcs, files)


def made_up_structure(name: str, length: int) -> Structure:
    """A random walk of Cα in steps of 3.8 Å; Cβ 1.5 Å off in any direction."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    steps, sides = rng.normal(size=(2, length, 3))
    ca = np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
    cb = ca + 1.5 * sides / np.linalg.norm(sides, axis=1, keepdims=True)
    numbers = np.arange(1, length + 1, dtype=np.int32)
    return Structure(numbers, np.ones(length, bool), (None,) * length, ca.astype(np.float32), cb.astype(np.float32))
