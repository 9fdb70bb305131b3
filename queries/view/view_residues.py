"""The residues of one protein: letters, numbers, coordinates, and the properties that colour them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...arguments import CONTACT_DISTANCE, CONTACT_SEPARATION
from ...catalog.reader import catalog_errors, connect
from ...errors import QueryError, StoreError
from ...readers.vocabulary import DSSP_CLASSES
from ...runtime import time_limit

if TYPE_CHECKING:
    from ...opened import Store

Array = npt.NDArray[Any]

#: Columns that identify a residue and are not properties.
_IDENTITY = ("pos", "aa", "author_number", "insertion_code", "ca_x", "ca_y", "ca_z", "cb_x", "cb_y", "cb_z")

#: Boolean properties that are shown as sites by default, the first that is true for any residue.
_SITES = ("binding_site", "binding_site_ligand", "binding_site_record", "active_site")

#: Drawing of each class of four and of three.
_DRAWN = {"helix": "h", "strand": "s", "turn": "t", "other": "c", "coil": "c"}
_CLASSES = {
    "ss8": {ss8: _DRAWN[ss4] for ss8, ss4, _ in DSSP_CLASSES.values()},
    "ss4": _DRAWN,
    "ss3": _DRAWN,
}

#: What letters of secondary structure stand for.
STRUCTURE_NAMES = {"h": "helix", "s": "strand", "t": "turn", "c": "none of these"}


@dataclass(frozen=True, eq=False)
class Track:
    """A property of residues, one value each.

    Attributes
    ----------
    name, kind, description : str
        As the dictionary of properties has them; kind is 'boolean', 'integer', 'float' or 'category'.
    unit : str or None
        As the dictionary of properties has them; kind is 'boolean', 'integer', 'float' or 'category'.
    values : ndarray
        object [L]: bool, int, float or str; None where it is not known.
    """

    name: str
    kind: str
    unit: str | None
    description: str
    values: Array

    @property
    def known(self) -> bool:
        """Whether any value is known."""
        return any(value is not None for value in self.values)

    @property
    def true(self) -> Array:
        """For a boolean property, bool [L]: where it is known and true."""
        return np.array([value is True for value in self.values], bool)


@dataclass(frozen=True, eq=False)
class Residues:
    """The residues of a protein that the model saw.

    Attributes
    ----------
    protein : str
        Id.
    length : int
        Length of the whole protein; the model may have seen less.
    letters : ndarray
        str [L], one-letter amino acids.
    numbers : ndarray
        str [L], author number and insertion code as '52A', '' where there is none.
    ca, cb : ndarray
        float32 [L, 3], Å; NaN where unknown.
    tracks : mapping of str to Track
        Properties by name, those known of any residue.
    """

    protein: str
    length: int
    letters: Array
    numbers: Array
    ca: Array
    cb: Array
    tracks: Mapping[str, Track]

    def __len__(self) -> int:
        return len(self.letters)

    def secondary_structure(self) -> tuple[str, Array]:
        """The source of secondary structure, and its letters: h (helix), s (strand), t (turn), c (other), '' (unknown).

        From `ss8`, `ss4` or `ss3`; without these from `helix`, `strand` and `turn`. The name is '' if nothing is known.
        """
        for name, classes in _CLASSES.items():
            if name in self.tracks:
                return name, np.array([classes.get(value, "") for value in self.tracks[name].values])
        named = [name for name in ("helix", "strand", "turn") if name in self.tracks]
        known = np.array([[value is not None for value in self.tracks[name].values] for name in named], bool)
        found = np.where(known.all(axis=0), "c", "") if named else np.full(len(self), "")
        for name in named:
            found[self.tracks[name].true] = name[0]
        return ", ".join(named), found

    def sites(self, name: str | None) -> Track | None:
        """The boolean property shown as sites: the named one, or the first default one that is true for any residue.

        Raises
        ------
        QueryError
            If the named property is not a boolean property of residues with known values in this protein.
        """
        if name is None:
            usual = (self.tracks[one] for one in _SITES if one in self.tracks)
            return next((track for track in usual if track.true.any()), None)
        if name not in self.tracks or self.tracks[name].kind != "boolean":
            boolean = ", ".join(one.name for one in self.tracks.values() if one.kind == "boolean") or "none"
            raise QueryError(
                f"{name!r} is no boolean property of residues known of {self.protein}: sites can be one of {boolean}."
            )
        return self.tracks[name]

    def contacts(self) -> Array:
        """The engine's `contact`, int8 [L, L]: 1 true, 0 false, -1 if the distance is unknown.

        Six or more apart and Cβ nearer than 8 Å; false below six, whatever is known.
        """
        square: Array = np.zeros((len(self), len(self)))
        for axis in self.cb.astype(np.float64).T:
            square += (axis[:, None] - axis) ** 2
        contact: Array = np.where(np.isnan(square), np.int8(-1), square < CONTACT_DISTANCE**2).astype(np.int8)
        place = np.arange(len(self))
        contact[abs(place[:, None] - place[None]) < CONTACT_SEPARATION] = 0
        return contact


def read_residues(store: "Store", protein: str, stored: int) -> Residues:
    """The first `stored` residues of a protein, those that the model saw.

    Raises
    ------
    StoreError
        If the catalog is damaged.
    """
    path = store.catalog_path
    with catalog_errors(path), time_limit.closing(connect(path)) as connection:
        found = connection.execute("SELECT protein_index, length FROM proteins WHERE id = ?", [protein]).fetchone()
        if found is None:
            raise StoreError(f"the catalog {path} is damaged: it has no protein {protein}.")
        index, length = found
        rows = connection.execute(
            "SELECT * FROM residues WHERE protein_index = ? AND pos < ? ORDER BY pos", [index, stored]
        ).df()
        tables = {name for (name,) in connection.execute("SELECT name FROM (SHOW TABLES)").fetchall()}
        # Older catalogs have no dictionary of properties.
        known = "SELECT name, type, unit, description FROM properties WHERE level = 'residue'"
        named = connection.execute(known).fetchall() if "properties" in tables else []
    tracks = [
        Track(name, kind, unit, description or "", _objects(rows[name], kind))
        for name, kind, unit, description in named
        if name in rows and name not in _IDENTITY
    ]
    number, code = _objects(rows["author_number"], "integer"), _objects(rows["insertion_code"], "category")
    return Residues(
        protein,
        int(length),
        rows["aa"].to_numpy(str),
        np.array(["" if n is None else f"{n}{c or ''}" for n, c in zip(number, code, strict=True)]),
        rows[["ca_x", "ca_y", "ca_z"]].to_numpy(np.float32, na_value=np.nan),
        rows[["cb_x", "cb_y", "cb_z"]].to_numpy(np.float32, na_value=np.nan),
        {track.name: track for track in tracks if track.known},
    )


def _objects(values: "pd.Series[Any]", kind: str) -> Array:
    as_python = {"boolean": bool, "integer": int, "float": float, "category": str}[kind]
    found = [None if pd.isna(value) else as_python(value) for value in values]
    out = np.empty(len(found), object)
    out[:] = found
    return out
