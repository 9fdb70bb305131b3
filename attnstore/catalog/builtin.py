"""The columns that every catalog has: built-in properties, and keys."""

from collections.abc import Mapping
from typing import Literal

from .derived import CONTACT_NUMBER, FROM_SEQUENCE
from .property import UNRESOLVED, Level, Property

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
