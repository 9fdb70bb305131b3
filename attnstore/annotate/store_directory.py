"""The directory of a store that is written: created if missing, filled with the content of inputs."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from ..catalog.builtin import GlycineCb
from ..catalog.reader import current_catalog
from ..catalog.writer import CatalogWriter
from ..errors import SourceError, StoreError
from ..format.documents import STORE_FILE, StoreDocument
from ..format.lock import waiting
from ..readers.download import fetch_files
from ..readers.inputs import read_inputs
from ..readers.record import DEFAULT, Excluded, Options, Record, reasons
from ..runtime.durable import make_directories
from ..runtime.paths import database_path, user_path


@contextlib.contextmanager
def store_directory(path: Path) -> Iterator[None]:
    """Create the store if it does not exist; if the first steps fail, remove it again."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is a file: give a directory for the store.")
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_directories(path)
    new = not (path / STORE_FILE).exists()
    # A run that was killed in the first step leaves an incomplete store.json.
    if new and any(not entry.name.startswith(f".{STORE_FILE}.") for entry in path.iterdir()):
        raise StoreError(f"{path} is neither empty nor an attnstore store: give another directory.")
    try:
        if new:
            StoreDocument().write(path)
        else:
            StoreDocument.read(path)
        yield
    except BaseException:
        if new and not _has_catalog(path):
            (path / STORE_FILE).unlink(missing_ok=True)
            for folder in missing:
                with contextlib.suppress(OSError):  # another process may have put something there
                    folder.rmdir()
        raise


def _has_catalog(store: Path) -> bool:
    try:
        return StoreDocument.read(store).catalog is not None
    except StoreError:  # store.json could not even be written
        return False


@contextlib.contextmanager
def storage_errors(store: Path) -> Iterator[None]:
    """Translate errors of a full or failing disk, or a folder that may not be written, into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        place = error.filename or store
        raise StoreError(f"{place} cannot be written ({reason}): what was committed before is untouched.") from error


def fill_catalog(
    store: Path,
    inputs: Sequence[Path],
    *,
    limit: int | None,
    sample: int | None,
    seed: int,
    keep_duplicates: bool,
    options: Options = DEFAULT,
    glycine_cb: GlycineCb | None = None,
) -> int:
    """Add the content of inputs to the catalog; without inputs, check that there is a catalog.

    Parameters
    ----------
    store : directory
    inputs : files and folders
    limit : use only the first records, this many
    sample : use only this many records, drawn with `seed`
    keep_duplicates : keep identical sequences separate
    options : options of the readers
    glycine_cb : atom used for glycine's Cβ; by default as in the catalog

    Returns
    -------
    int
        Number of chains of structure files that were left out, which a warning and the table ``excluded`` list.

    Raises
    ------
    SourceError
        An input cannot be read, or no input has a protein.
    """
    if not inputs:
        current_catalog(store, StoreDocument.read(store))
        return 0
    excluded: list[Excluded] = []
    any_protein = False
    with waiting(store), CatalogWriter(store, keep_duplicates=keep_duplicates, glycine_cb=glycine_cb) as catalog:
        options = replace(options, glycine_cb=catalog.glycine_cb, excluding=excluded.append)
        records: Iterator[Record] = islice(read_inputs(inputs, options), limit)
        for record in records if sample is None else _drawn(records, sample, seed):
            any_protein = True
            catalog.add(record.id, record.sequence, record.place, record.structure, record.annotations, record.source)
        if not any_protein and excluded:
            where = f"{inputs[0]} has no protein chain" if len(inputs) == 1 else "no input has a protein chain"
            raise SourceError(f"{where}: {reasons(excluded)}. Give a structure that has one.")
        for (level, name), count in catalog.kept.items():
            warnings.warn(
                f"{level} {name} of {count:,} protein{'s' * (count != 1)} stays as it was: "
                "`store.annotate(INPUT, replace=True)` replaces it.",
                stacklevel=2,
            )
        catalog.exclude([(one.id, one.file, one.reason) for one in excluded])
        catalog.publish()
    if excluded:
        warnings.warn(
            f"{len(excluded):,} chain{'s were' if len(excluded) != 1 else ' was'} left out of structure files: "
            f"{reasons(excluded)}. `SELECT * FROM excluded` lists them all.",
            stacklevel=2,
        )
    return len(excluded)


def ingest_proteins(
    store: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]] = (),
    *,
    fetch: Sequence[str] = (),
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    keep_duplicates: bool = False,
    absent: Literal["null", "false"] = "null",
    ligand_distance: float | None = None,
    dssp: bool = False,
    predicted: bool = False,
    glycine_cb: GlycineCb | None = None,
) -> StoreDocument:
    """Read proteins and their properties into a store, without running a model.

    Parameters
    ----------
    store : path
        Folder of the store. It is created if it does not exist.
    inputs : sequence of path, default ()
        Files and folders of proteins.
    fetch : sequence of str, default ()
        PDB ids and UniProt accessions to download and read.
    limit : int, optional
        Read only the first records, so many, for a trial (default: all).
    sample : int, optional
        Read only so many records, drawn at random with `seed` (default: all).
    seed : int, default 0
        Random seed of `sample`.
    keep_duplicates : bool, default False
        Ingest each of several identical sequences, instead of the first alone.
    absent : {'null', 'false'}, default 'null'
        Value of a feature that a file does not list: NULL (unknown) or FALSE (the protein has none).
    ligand_distance : float, optional
        Largest distance, in Å, between heavy atoms of a binding residue and of its ligand (default: BioLiP's criterion,
        two pairs of atoms within their van der Waals radii + 0.5 Å).
    dssp : bool, default False
        Run mkdssp on structure files to assign secondary structure.
    predicted : bool, default False
        Read B-factors as pLDDT in structure files that declare no experiment.
    glycine_cb : {'virtual', 'ca'}, optional
        Atom used for glycine in distances and contacts: a virtual Cβ placed from N, Cα and C, or its Cα, as in CASP
        (default: that of the store; 'virtual' in a new one).

    Returns
    -------
    StoreDocument
        Numbers of proteins and residues in the store, `proteins` and `residues`.

    Raises
    ------
    AttnstoreError
        If an input cannot be read or the disk is full. The store is then as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from attnstore.ingest import ingest_proteins
    >>> _ = Path("two.fasta").write_text(">one\\nMKV\\n>two\\nMKVL\\n")
    >>> ingest_proteins("two.attn", ["two.fasta"]).residues
    7
    """
    path, files = database_path(store), [*map(user_path, inputs), *fetch_files(fetch)]
    if not files:
        raise SourceError("no input was given: name a protein file, or a folder of them.")
    options = Options(absent=absent, ligand_distance=ligand_distance, dssp=dssp, predicted=predicted)
    with storage_errors(path), store_directory(path):
        fill_catalog(
            path,
            files,
            limit=limit,
            sample=sample,
            seed=seed,
            keep_duplicates=keep_duplicates,
            options=options,
            glycine_cb=glycine_cb,
        )
        return StoreDocument.read(path)


def _drawn(records: Iterator[Record], size: int, seed: int) -> Iterator[Record]:
    """Draw a sample of a stream without replacement, in the order of the records (Vitter 1985, Algorithm R)."""
    rng = np.random.default_rng(seed)
    drawn: dict[int, tuple[int, Record]] = {}
    for number, record in enumerate(records):
        place = number if number < size else int(rng.integers(number + 1))
        if place < size:
            drawn[place] = (number, record)
    return (record for _, record in sorted(drawn.values(), key=lambda entry: entry[0]))
