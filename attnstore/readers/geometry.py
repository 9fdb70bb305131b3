"""Geometry of the protein backbone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def glycine_ca(sequence: str, ca: NDArray[np.float32], cb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put Cα in the place of Cβ in glycines, as CASP has it (Monastyrskyy et al. 2011, doi:10.1002/prot.23160).

    Parameters
    ----------
    sequence
        One letter a residue, L of them.
    ca, cb
        Positions in Å, float32 [L, 3].

    Returns
    -------
    Positions in Å, float32 [L, 3]: of every G those of `ca`, else those of `cb`.
    """
    glycine = np.array([letter == "G" for letter in sequence])
    return np.where(glycine[:, None], ca, cb).astype(np.float32)


def virtual_cb(n: ArrayLike, ca: ArrayLike, c: ArrayLike) -> NDArray[np.float32]:
    """Place a Cβ by ideal tetrahedral geometry from the backbone atoms N, Cα and C.

    With ``b = CA - N``, ``c = C - CA`` and ``a = b × c`` the position is
    ``CA - 0.58273431 a + 0.56802827 b - 0.54067466 c``. The three constants are the ones trRosetta
    (Yang et al., PNAS 2020, doi:10.1073/pnas.1914677117) and ProteinMPNN (Dauparas et al., Science
    2022, doi:10.1126/science.add2187) use; they give the L enantiomer.

    Parameters
    ----------
    n, ca, c
        Positions in Å, shape [..., 3] each, NaN where an atom is missing.

    Returns
    -------
    Positions in Å, float32 [..., 3]; all three NaN where any of the three atoms is missing. The Cα is
    never given in place of a Cβ.
    """
    origin = np.asarray(ca, dtype=np.float64)
    to_ca = origin - np.asarray(n, dtype=np.float64)
    to_c = np.asarray(c, dtype=np.float64) - origin
    normal = np.cross(to_ca, to_c)
    placed = origin - 0.58273431 * normal + 0.56802827 * to_ca - 0.54067466 * to_c
    # One missing coordinate would otherwise leave a position that is NaN in some axes only.
    placed[~np.isfinite(placed).all(axis=-1)] = np.nan
    result: NDArray[np.float32] = placed.astype(np.float32)
    return result
