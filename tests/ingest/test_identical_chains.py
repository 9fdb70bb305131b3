"""Identical chains are one protein, with the coordinates of the most complete and what is measured on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.catalog.rows import Structure
from attnstore.catalog.writer import CatalogWriter
from attnstore.format.documents import StoreDocument
from attnstore.ingest import ingest_proteins

from .structure_files import Atom, Described, as_pdb

NAMES = ["MET", "LYS", "ALA", "SER", "TRP", "HIS", "CYS", "GLU"] * 2
LENGTH = len(NAMES)


def chain(letter: str, missing: set[int], seed: int, *, b_factor: float) -> list[Atom]:
    """Backbone and Cβ along a walk of its own; residues from 0."""
    rng = np.random.default_rng(seed)
    steps = rng.normal([1.0, 0.0, 0.0], size=(LENGTH, 3))
    walk = np.cumsum(3.0 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0) + seed * 100.0
    return [
        Atom(letter, name, str(i + 1), atom, tuple(np.round(walk[i] + shift, 3)), atom[0], b_factor=b_factor)
        for i, name in enumerate(NAMES) if i not in missing
        for atom, shift in (("N", [0, 1.4, 0]), ("CA", [0, 0, 0]), ("C", [1.5, 0, 0]), ("CB", [0, -0.8, 1.2]))
    ]  # fmt: skip


def entry(chains: dict[str, tuple[set[int], int]], ligand_at: str = "") -> str:
    """A file of identical chains: which residues each lacks, and its walk; a ligand lies on one residue of a chain."""
    atoms = [atom for letter, (missing, seed) in chains.items()
             for atom in chain(letter, missing, seed, b_factor=10.0 + seed)]  # fmt: skip
    others = []
    if ligand_at:
        (place,) = (atom.position for atom in atoms if (atom.chain, atom.number, atom.name) == (ligand_at, "9", "CB"))
        others = [
            Atom("L", "LIG", "900", f"C{i}", (place[0], place[1] - 1.5, place[2] + i), polymer=False) for i in range(2)
        ]
    missing = [
        f"REMARK 465     {NAMES[i]} {letter} {i + 1:5}" for letter, (gone, _) in chains.items() for i in sorted(gone)
    ]
    return as_pdb(Described([*atoms, *others], dict.fromkeys(chains, NAMES), more="\n".join(missing)))


def write(folder: Path, files: dict[str, str]) -> list[Path]:
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def residues(store: Path) -> Any:
    return attnstore.open(store).residues().df()


def contacts_of(missing: set[int], seed: int) -> np.ndarray:
    """Which pairs have their Cβ nearer than 8 Å, by brute force; NaN where one is missing."""
    cb = np.full((LENGTH, 3), np.nan)
    for atom in chain("A", missing, seed, b_factor=0.0):
        if atom.name == "CB":
            cb[int(atom.number) - 1] = atom.position
    distance = np.linalg.norm(cb[:, None] - cb[None], axis=2)
    return np.where(np.isnan(distance), np.nan, distance < 8)


CASES = {
    "another chain resolves more": ({"x.pdb": {"A": ({0, 1, 2}, 1), "B": ({0}, 2)}}, "XXXX_B", ({0}, 2)),
    "equals: the first": ({"x.pdb": {"A": ({3}, 1), "B": ({0}, 2)}}, "XXXX_A", ({3}, 1)),
    "the third of three": (
        {"x.pdb": {"A": ({0, 1}, 1), "B": ({0, 1, 2}, 2), "C": (set(), 3)}}, "XXXX_C", (set(), 3),
    ),
    "a chain of another file": (
        {"a.pdb": {"A": ({5, 6}, 1)}, "b.pdb": {"C": (set(), 2)}, "c.pdb": {"B": ({0}, 3)}}, "b_C", (set(), 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("batch", [500_000, 1], ids=["one batch", "a batch for each chain"])
@pytest.mark.parametrize("case", CASES)
def test_coordinates_are_those_of_the_most_complete(tmp_path, monkeypatch, case, batch):
    monkeypatch.setattr(CatalogWriter, "_BATCH", batch)
    files, member, (missing, seed) = CASES[case]
    paths = write(tmp_path, {name: entry(chains) for name, chains in files.items()})
    ingest_proteins(tmp_path / "store", paths)
    opened = attnstore.open(tmp_path / "store")
    (protein,) = opened.proteins().df().to_dict("records")
    assert protein["structure"].split("_")[1] == member.split("_")[1]
    if len(files) > 1:
        assert protein["structure"] == member
    frame = residues(tmp_path / "store")
    assert set(np.flatnonzero(frame["ca_x"].isna())) == missing
    # Everything that is measured is of the same chain: B-factors, accessibility, numbers of contacts.
    assert set(frame["b_factor"].dropna()) == {10.0 + seed}
    assert set(np.flatnonzero(frame["b_factor"].isna())) == missing
    contacts = contacts_of(missing, seed)
    for i, count in enumerate(frame["contact_number"]):
        if i in missing:
            assert pd.isna(count)
        else:
            assert count == np.nansum(contacts[i]) - 1
    cb = frame[["cb_x", "cb_y", "cb_z"]].to_numpy()
    pairs = np.linalg.norm(cb[:, None] - cb[None], axis=2)
    np.testing.assert_array_equal(np.where(np.isnan(pairs), np.nan, pairs < 8), contacts)


@pytest.mark.parametrize("batch", [500_000, 1], ids=["one batch", "a batch for each chain"])
@pytest.mark.parametrize("better", ["A", "B"])
@pytest.mark.parametrize("ligand_at", ["A", "B"])
def test_a_ligand_counts_where_it_touches_the_chain_whose_coordinates_are_kept(
    tmp_path, monkeypatch, ligand_at, better, batch
):
    monkeypatch.setattr(CatalogWriter, "_BATCH", batch)
    chains = {letter: (set() if letter == better else {0}, number) for number, letter in enumerate("AB", 1)}
    ingest_proteins(tmp_path / "store", write(tmp_path, {"x.pdb": entry(chains, ligand_at)}))
    frame = residues(tmp_path / "store")
    if ligand_at == better:
        assert frame["binding_site_ligand"][8]
        near = frame["binding_site_ligand"].to_numpy(bool)
        cb = frame[["cb_x", "cb_y", "cb_z"]].to_numpy()
        expected = np.linalg.norm(cb[:, None] - cb[near][None], axis=2).min(axis=1)
        np.testing.assert_allclose(frame["binding_site_ligand_distance"], expected, rtol=1e-5)
    else:
        assert "binding_site_ligand" not in frame or frame["binding_site_ligand"].isna().all()


def test_what_is_recorded_comes_from_another_chain_where_the_kept_one_has_none(tmp_path):
    text = entry({"A": ({0}, 1), "B": (set(), 2)})
    helix = "HELIX    1   1 LYS A    2  TRP A    5  1                                   4"
    ingest_proteins(tmp_path / "store", write(tmp_path, {"x.pdb": f"{helix}\n{text}"}))
    frame = residues(tmp_path / "store")
    assert list(np.flatnonzero(frame["helix"].fillna(False))) == [1, 2, 3, 4]
    assert frame["ca_x"].notna().all()


def test_coordinates_of_an_earlier_ingest_stay_and_annotate_takes_the_most_complete(tmp_path):
    first, second = write(
        tmp_path, {"a.pdb": entry({"A": ({0, 1}, 1)}), "b.pdb": entry({"B": ({0}, 2), "C": (set(), 3)})}
    )
    fasta = tmp_path / "p.fasta"
    fasta.write_text(">p\n" + "MKASWHCE" * 2 + "\n")
    ingest_proteins(tmp_path / "one", [first])
    ingest_proteins(tmp_path / "one", [second])
    (protein,) = attnstore.open(tmp_path / "one").proteins().df().to_dict("records")
    assert (protein["structure"], protein["members"]) == ("a_A", 3)
    ingest_proteins(tmp_path / "two", [fasta])
    annotate(tmp_path / "two", [first, second], match="sequence")
    (protein,) = attnstore.open(tmp_path / "two").proteins().df().to_dict("records")
    assert protein["structure"] == "b_C"
    frame = residues(tmp_path / "two")
    assert set(frame["b_factor"]) == {13.0}
    # Another time the chain is known by its name, and what is measured is of it again.
    annotate(tmp_path / "two", [first, second], match="sequence", replace=True)
    assert frame["ca_x"].notna().all()


def test_a_sequence_with_numbering_alone_takes_coordinates_and_then_better_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(CatalogWriter, "_BATCH", 1)
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    empty, half = points * np.nan, np.where(np.arange(4)[:, None] < 2, points, np.float32(np.nan))
    number, known = np.arange(4, dtype=np.int32), np.ones(4, bool)
    given = [
        Structure(number + start, known, (None,) * 4, ca, ca)
        for start, ca in ((10, empty), (20, half), (30, points), (40, points))
    ]  # fmt: skip
    StoreDocument().write(tmp_path)
    with CatalogWriter(tmp_path) as catalog:
        for name, structure in zip("abcd", given, strict=True):
            catalog.add(name, "ACDE", name, structure)
        catalog.publish()
    opened = attnstore.open(tmp_path)
    assert opened.proteins().df()["structure"].tolist() == ["c"]
    assert opened.residues().df()["author_number"].tolist() == [30, 31, 32, 33]
