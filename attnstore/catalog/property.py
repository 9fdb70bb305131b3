"""Properties of proteins, residues and pairs: the description of a column, and the values from a source."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import SourceError

Level = Literal["protein", "residue", "pair"]
Kind = Literal["boolean", "integer", "float", "category"]

#: The type of each kind in DuckDB and in Arrow.
SQL_TYPES: Mapping[Kind, str] = {"boolean": "BOOLEAN", "integer": "BIGINT", "float": "DOUBLE", "category": "VARCHAR"}
ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    "boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64(), "category": pa.string(),
}  # fmt: skip

#: The table of the catalog with the properties of each level.
TABLES: Mapping[Level, str] = {"protein": "proteins", "residue": "residues", "pair": "pairs"}

#: Meanings of an absent value, for the dictionary. With absent='false', a meaning that begins with the first becomes
#: FALSE.
UNKNOWN_IF_NONE = "NULL where a protein has no such feature"
NEGATIVE = "FALSE"
UNRESOLVED = "NULL where not resolved"
NOT_GIVEN = "NULL where not given"

#: Pattern of the name of a property.
PROPERTY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def is_name(name: str) -> bool:
    """Whether a property may have this name."""
    return PROPERTY_NAME.fullmatch(name) is not None


#: Letters that occur in names of columns, but not in names of properties, and their replacements.
_SPELT = {
    "å": "a", "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "α": "alpha", "β": "beta", "γ": "gamma",
    "δ": "d", "ε": "epsilon", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "π": "pi", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "²": "2", "³": "3", "%": "percent",
    "+": "plus",
}  # fmt: skip


def legal_name(name: str) -> str:
    """Propose a valid name of a property for an invalid one: "ΔΔG (kcal/mol)" becomes "ddG_kcal_mol"."""
    spelt = "".join(_SPELT.get(letter.lower(), letter) for letter in unicodedata.normalize("NFC", name))
    plain = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9]+", "_", plain.replace("%", "percent")).strip("_") or "value"
    return (words if not words[0].isdigit() else f"x{words}")[:63].rstrip("_")


@dataclass(frozen=True)
class Property:
    """The description of a column of properties in the catalog's dictionary.

    Attributes
    ----------
    name : letters, digits and underscores; the part after the dot in ``source.<name>``
    level : level of the property
    kind : kind of its values
    description : a phrase; with the reference, if the property is computed
    unit : unit of integers and floats
    absent : meaning of an absent value, a phrase

    Raises
    ------
    SourceError
        If the name is invalid.
    """

    name: str
    level: Level
    kind: Kind
    description: str
    unit: str | None = None
    absent: str = NOT_GIVEN

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise SourceError(
                f"the property {self.name!r} cannot be a column of the catalog: name it with letters, digits and "
                "underscores, 63 at most, not starting with a digit."
            )


@dataclass(frozen=True)
class Source:
    """The source of values: a file (or its equivalent) and the SHA-256 of its bytes, hexadecimal."""

    name: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Annotation:
    """The values of one property in one protein of L residues.

    Attributes
    ----------
    property : Property
    values : of the property's Arrow type, NULL where unknown: one value (protein), L of them (residue), or one for each
        listed pair (pair)
    source, target : int32 [pairs], from 0: which pairs are listed, none twice; empty unless the level is 'pair'
    otherwise : value for the pairs that are not listed; None if unknown
    measured : the value was computed from the coordinates of its record, and does not apply to other coordinates
    """

    property: Property
    values: pa.Array
    source: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    otherwise: Any = None
    measured: bool = False

    def tells(self) -> bool:
        """Whether any value is known."""
        return self.values.null_count < len(self.values) or self.otherwise is not None


_NO_PAIRS = np.empty(0, np.int32)


def whole(prop: Property, value: Any) -> Annotation:
    """A property of the protein, with its value."""
    return Annotation(prop, pa.array([value], ARROW_TYPES[prop.kind]), _NO_PAIRS, _NO_PAIRS)


def along(
    prop: Property,
    values: Sequence[Any] | npt.NDArray[Any],
    known: npt.NDArray[np.bool_] | None = None,
    *,
    measured: bool = False,
) -> Annotation:
    """A property of residues from one value for each; None, NaN, and values that are not `known` become NULL."""
    mask = None if known is None else ~known
    array = pa.array(values, ARROW_TYPES[prop.kind], mask=mask, from_pandas=True)
    return Annotation(prop, array, _NO_PAIRS, _NO_PAIRS, measured=measured)


def at(
    prop: Property, length: int, positions: Collection[int], known: npt.NDArray[np.bool_] | None = None
) -> Annotation:
    """A boolean property of residues: TRUE at the positions, NULL where not `known`, FALSE elsewhere."""
    values = np.zeros(length, np.bool_)
    values[list(positions)] = True
    return along(prop, values, known)


def between(prop: Property, pairs: Collection[tuple[int, int]], otherwise: bool | None) -> Annotation:
    """A boolean, symmetric property of pairs: TRUE for the given pairs, each in both directions."""
    both = sorted({*pairs, *((target, source) for source, target in pairs)})
    ends = np.array(both, np.int32).reshape(-1, 2)
    return Annotation(prop, pa.array([True] * len(both), pa.bool_()), ends[:, 0], ends[:, 1], otherwise)
