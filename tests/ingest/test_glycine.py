"""Glycine's Cβ: a virtual one, or its Cα as in CASP; contacts by brute force, and what the store says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import attnstore
from attnstore.annotate.annotation import annotate
from attnstore.cli.ingest import ingest as command
from attnstore.errors import SourceError
from attnstore.ingest import ingest_proteins
from attnstore.queries.report.questions import ask_of
from attnstore.readers.record import glycine_ca, virtual_cb

from .structure_files import Atom, Described, as_cif, as_pdb

NAMES = ["GLY", "ALA", "GLY", "SER", "LEU", "GLY", "VAL", "GLY", "LYS", "GLY", "GLY", "PHE"]
LETTERS = "GAGSLGVGKGGF"


def atoms() -> list[Atom]:
    rng = np.random.default_rng(7)
    walk = np.cumsum(rng.normal(size=(len(NAMES), 3)) * 2.5, axis=0)
    return [
        Atom("A", name, str(i + 1), atom, tuple(np.round(walk[i] + shift, 3)), atom[0])
        for i, name in enumerate(NAMES)
        for atom, shift in (("N", [0, 1.4, 0.1]), ("CA", [0, 0, 0]), ("C", [1.5, 0, 0.3]), ("CB", [0, -0.8, 1.2]))
        if (name, atom) != ("GLY", "CB")
    ]


def write(folder: Path, kind: str = "pdb") -> Path:
    path = folder / f"x.{kind}"
    entry = Described(atoms(), {"A": NAMES})
    path.write_text(as_pdb(entry) if kind == "pdb" else as_cif(entry))
    return path


def expected(choice: str) -> np.ndarray[Any, Any]:
    """The positions of Cβ, float64 [L, 3]."""
    found = []
    for i, name in enumerate(NAMES, 1):
        mine = {atom.name: np.array(atom.position) for atom in atoms() if atom.number == str(i)}
        if name == "GLY":
            found.append(mine["CA"] if choice == "ca" else virtual_cb(mine["N"], mine["CA"], mine["C"]))
        else:
            found.append(mine["CB"])
    return np.array(found, float)


@pytest.mark.parametrize("kind", ["pdb", "cif"])
@pytest.mark.parametrize("choice", ["virtual", "ca", None])
def test_contacts_are_of_the_atom_that_is_asked_for(tmp_path, choice, kind):
    ingest_proteins(tmp_path / "store", [write(tmp_path, kind)], glycine_cb=choice)
    opened = attnstore.open(tmp_path / "store")
    frame = opened.residues().df().sort_values("pos")
    cb = expected(choice or "virtual")
    np.testing.assert_allclose(frame[["cb_x", "cb_y", "cb_z"]].to_numpy(float), cb, atol=1e-3)
    distance = np.linalg.norm(cb[:, None] - cb[None], axis=2)
    np.testing.assert_array_equal(frame["contact_number"], (distance < 8).sum(1) - 1)
    # The two definitions differ here.
    other = expected("ca" if choice != "ca" else "virtual")
    assert ((np.linalg.norm(other[:, None] - other[None], axis=2) < 8) != (distance < 8)).any()
    said = opened.properties().df().set_index("name")["description"]
    (contact,) = (one for one in ask_of(opened, ["contact"])[0] if one.key == "contact")
    assert ("of glycine Cα" in said["cb_x"]) == (choice == "ca") == ("of glycine Cα" in contact.meaning)
    assert said["cb_z"] == said["cb_x"].replace("x of", "z of")


def test_a_store_has_one_definition(tmp_path):
    path, store = write(tmp_path), tmp_path / "store"
    fasta = tmp_path / "y.fasta"
    fasta.write_text(f">p\n{LETTERS}\n>q\nACDE\n")
    ingest_proteins(store, [fasta])
    ingest_proteins(store, [fasta], glycine_cb="ca")  # without coordinates nothing contradicts, and nothing is said
    ingest_proteins(tmp_path / "other", [path], glycine_cb="ca")
    with pytest.raises(SourceError, match="are of glycine_cb='ca': leave glycine_cb='virtual' out"):
        ingest_proteins(tmp_path / "other", [path], glycine_cb="virtual")
    # What comes later follows the store.
    second = tmp_path / "second.pdb"
    second.write_text(as_pdb(Described([*atoms()[:-4]], {"A": NAMES[:-1]})))
    ingest_proteins(tmp_path / "other", [second])
    frame = attnstore.open(tmp_path / "other").residues().df()
    glycine = frame[frame["aa"] == "G"]
    assert len(glycine) == 2 * NAMES.count("GLY")
    np.testing.assert_array_equal(glycine["cb_x"], glycine["ca_x"])
    annotate(store, [path], match="sequence")
    np.testing.assert_allclose(
        attnstore.open(store).residues().df().dropna(subset="cb_x").sort_values("pos")[["cb_x"]].to_numpy(float)[:, 0],
        expected("virtual")[:, 0], atol=1e-3,
    )  # fmt: skip


def test_the_command_has_the_option(tmp_path):
    done = CliRunner().invoke(command, [str(tmp_path / "store"), str(write(tmp_path)), "--glycine-cb", "ca"])
    assert done.exit_code == 0, done.output
    frame = attnstore.open(tmp_path / "store").residues().df()
    np.testing.assert_array_equal(*(frame[frame["aa"] == "G"][name] for name in ("cb_x", "ca_x")))


def test_only_g_is_glycine():
    ca, cb = np.zeros((4, 3), np.float32), np.full((4, 3), np.nan, np.float32)
    ca[2] = np.nan
    found = glycine_ca("GAGX", ca, cb)
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, False, False]
