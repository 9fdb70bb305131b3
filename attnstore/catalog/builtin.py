"""The columns that every catalog has: built-in properties, and keys."""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arguments import CONTACT_DISTANCE
from .property import UNRESOLVED, Level, Property

_NOT_OF_20 = "NULL for letters beyond the 20"


class Derived(NamedTuple):
    """A property of residues and the SQL that computes it, from `aa`, `pos` and `length`."""

    property: Property
    sql: str


def _member_of(letters: str) -> str:
    return f"if(contains('ACDEFGHIKLMNPQRSTVWY', aa), contains('{letters}', aa), NULL)"


#: Properties computed from the sequence. The classes are those of IMGT (Pommié et al. 2004, J. Mol. Recognit.
#: 17:17–32).
FROM_SEQUENCE = (
    Derived(
        Property(
            "hydrophobic", "residue", "boolean",
            "hydrophobic amino acid, A C F I L M V W (Pommié et al. 2004, hydropathy classes)", absent=_NOT_OF_20,
        ),
        _member_of("ACFILMVW"),
    ),
    Derived(
        Property(
            "polar", "residue", "boolean",
            "polar side chain, D E H K N Q R S T Y (Pommié et al. 2004, polarity classes)", absent=_NOT_OF_20,
        ),
        _member_of("DEHKNQRSTY"),
    ),
    Derived(
        Property(
            "aromatic", "residue", "boolean", "aromatic ring of six in the side chain, F W Y (Burley and Petsko 1985)",
            absent=_NOT_OF_20,
        ),
        _member_of("FWY"),
    ),
    Derived(
        Property(
            "charge", "residue", "integer",
            "of the side chain at pH 7: +1 K R, −1 D E, 0 the others, H too, whose pKa is 6.0 (Nelson and Cox, "
            "Lehninger Principles of Biochemistry, table 3-1)", "e", _NOT_OF_20,
        ),
        "CASE WHEN aa IN ('K', 'R') THEN 1 WHEN aa IN ('D', 'E') THEN -1 "
        "WHEN contains('ACFGHILMNPQSTVWY', aa) THEN 0 END",
    ),
    Derived(
        Property(
            "relative_position", "residue", "float", "pos / (length − 1): 0 at the N-terminus, 1 at the C-terminus",
            absent="NULL in a chain of one residue",
        ),
        "pos / nullif(length - 1, 0)",
    ),
)  # fmt: skip

CONTACT_NUMBER = Property(
    "contact_number", "residue", "integer",
    "other residues whose Cβ lies within 8 Å of this one's (the coordination number of Pollastri et al. 2002, Proteins "
    "47:142–153, there on Cα)", "residues", UNRESOLVED,
)  # fmt: skip


def contact_numbers(cb: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """For each residue, return how many others have their Cβ nearer than 8 Å.

    Parameters
    ----------
    cb : float32 [L, 3], Å, NaN where missing

    Returns
    -------
    ndarray
        float64 [L], NaN where the residue's own Cβ is missing.
    """
    known = np.isfinite(cb).all(axis=1)
    counts = np.full(len(cb), np.nan)
    if known.any():
        from scipy.spatial import KDTree

        points = cb[known].astype(np.float64)
        # The tree includes residues at exactly this distance; a contact is nearer.
        near = KDTree(points).query_ball_point(points, np.nextafter(CONTACT_DISTANCE, 0), return_length=True)
        counts[known] = near - 1
    return counts


def is_site(prop: Property) -> bool:
    """Whether the catalog has a property with the distance to this one."""
    return prop.level == "residue" and prop.kind == "boolean" and prop.name.startswith("binding_site")


def site_distance(name: str) -> Property:
    """The property with the distance to the nearest residue of a site."""
    return Property(
        f"{name}_distance", "residue", "float",
        f"between the Cβ of the residue and that of the nearest one where {name} is true; 0 there", "Å",
        "NULL where Cβ is not resolved, or no site's is",
    )  # fmt: skip


def site_distances(
    lengths: Collection[int], cb: npt.NDArray[np.float32], site: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the distance of each residue's Cβ to that of the nearest residue of the site in its protein.

    Parameters
    ----------
    lengths : residues of each protein
    cb : float32 [residues, 3], Å, of all proteins one after the other; NaN where missing
    site : bool [residues]

    Returns
    -------
    ndarray
        float64 [residues], Å; NaN where it is unknown.
    """
    from scipy.spatial import KDTree

    found = np.full(len(cb), np.nan)
    known = np.asarray(np.isfinite(cb).all(axis=1))
    begin = 0
    for length in lengths:
        here = slice(begin, begin + length)
        begin += length
        inside = known[here] & site[here]
        if inside.any():
            points = cb[here].astype(np.float64)
            distance, _ = KDTree(points[inside]).query(points[known[here]])
            found[here][known[here]] = distance
    return found


_NEVER = "never NULL"

GlycineCb = Literal["virtual", "ca"]
#: Descriptions of the columns of Cβ, by the atom used for glycine: the virtual Cβ, or Cα as in CASP (Monastyrskyy et
#: al. 2011, Proteins 79 Suppl 10:119–125).
CB: Mapping[GlycineCb, str] = {
    "virtual": "Cβ, virtual where the structure has none",
    "ca": "Cβ, virtual where the structure has none; of glycine Cα",
}

#: Properties in every catalog.
CORE = (
    Property("id", "protein", "category", "identifier in its source", absent=_NEVER),
    Property("length", "protein", "integer", "length of the whole sequence", "residues", _NEVER),
    Property("sequence", "protein", "category", "one-letter sequence", absent=_NEVER),
    Property("members", "protein", "integer", "inputs with this same sequence", absent=_NEVER),
    Property(
        "structure", "protein", "category",
        "member whose coordinates and numbering the residues have: of those given together, the one with most Cα and "
        "Cβ resolved, the first among equals",
        absent="NULL where no coordinates are known",
    ),
    Property("pos", "residue", "integer", "position in the sequence, from 0", absent=_NEVER),
    Property("aa", "residue", "category", "one-letter amino acid", absent=_NEVER),
    Property(
        "author_number", "residue", "integer", "residue number in the structure file", absent="NULL where not observed"
    ),
    Property(
        "insertion_code", "residue", "category", "insertion code in the structure file",
        absent="NULL where there is none",
    ),
    *(
        Property(f"{atom}_{axis}", "residue", "float", f"{axis} of {label}", "Å", UNRESOLVED)
        for atom, label in (("ca", "Cα"), ("cb", CB["virtual"])) for axis in "xyz"
    ),
    *(prop for prop, _ in FROM_SEQUENCE),
    CONTACT_NUMBER,
)  # fmt: skip

#: Columns of each level that are not properties and cannot become properties, including DuckDB's `rowid`.
KEYS: Mapping[Level, set[str]] = {
    "protein": {"protein_index", "sequence_sha256", "structure_sha256", "rowid"},
    "residue": {"protein_index", "protein", "rowid"},
    "pair": {"protein_index", "protein", "source", "target", "rowid"},
}
