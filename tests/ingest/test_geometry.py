"""The virtual Cβ against measured ones and against the definition of the L enantiomer."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from attnstore.readers.record import virtual_cb

DATA = Path(__file__).parents[1] / "data" / "structures"


def backbone_of_1a8o() -> np.ndarray:
    """Return N, CA, C and CB of the ATOM residues that have all four, [residues, 4, 3]."""
    atoms: dict[str, dict[str, list[float]]] = {}
    for line in gzip.decompress((DATA / "1A8O.pdb.gz").read_bytes()).decode().splitlines():
        if line.startswith("ATOM"):
            position = [float(line[start : start + 8]) for start in (30, 38, 46)]
            atoms.setdefault(line[22:27], {})[line[12:16].strip()] = position
    names = ("N", "CA", "C", "CB")
    return np.array([[residue[name] for name in names] for residue in atoms.values() if "CB" in residue])


def test_virtual_cb_is_near_the_measured_one():
    n, ca, c, cb = np.moveaxis(backbone_of_1a8o(), 1, 0)
    distance = np.linalg.norm(virtual_cb(n, ca, c) - cb, axis=1)
    assert len(distance) > 50
    assert distance.mean() < 0.1
    assert distance.max() < 0.3


def test_virtual_cb_is_a_carbon_carbon_bond_away_from_ca():
    n, ca, c, _ = np.moveaxis(backbone_of_1a8o(), 1, 0)
    length = np.linalg.norm(virtual_cb(n, ca, c) - ca, axis=1)
    assert abs(length.mean() - 1.53) < 0.02
    np.testing.assert_allclose(length, 1.53, atol=0.15)


def test_virtual_cb_turns_with_the_backbone_but_not_with_its_mirror_image():
    n, ca, c, _ = np.moveaxis(backbone_of_1a8o(), 1, 0)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    mirror = np.diag([1.0, 1.0, -1.0])
    placed = virtual_cb(n, ca, c)
    np.testing.assert_allclose(virtual_cb(n @ turn, ca @ turn, c @ turn), placed @ turn, atol=1e-4)
    assert (np.linalg.norm(virtual_cb(n @ mirror, ca @ mirror, c @ mirror) - placed @ mirror, axis=1) > 1).all()


def test_virtual_cb_is_nan_in_all_axes_if_any_atom_is_missing():
    atoms = backbone_of_1a8o()[:4, :3]
    for atom in range(3):
        atoms[atom, atom, 1] = np.nan
    placed = virtual_cb(*np.moveaxis(atoms, 1, 0))
    assert np.isnan(placed[:3]).all()
    assert np.isfinite(placed[3]).all()


def test_virtual_cb_takes_one_residue_and_gives_single_precision():
    n, ca, c, _ = backbone_of_1a8o()[0]
    placed = virtual_cb(n, ca, c)
    assert placed.shape == (3,)
    assert placed.dtype == np.float32
    assert np.isnan(virtual_cb(n, [np.nan] * 3, c)).all()
