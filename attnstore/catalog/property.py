"""Properties of proteins, residues and pairs: what a column of the catalog is, and the values a source gives it."""

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

#: The table of the catalog that holds the properties of a level.
TABLES: Mapping[Level, str] = {"protein": "proteins", "residue": "residues", "pair": "pairs"}

#: What an absent value means, for the dictionary. What begins with the first becomes FALSE where that is asked for.
UNKNOWN_IF_NONE = "NULL where a protein has no such feature"
NEGATIVE = "FALSE"
UNRESOLVED = "NULL where not resolved"
NOT_GIVEN = "NULL where not given"

#: What a property may be called.
PROPERTY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def is_name(name: str) -> bool:
    """Whether a property may be called so."""
    return PROPERTY_NAME.fullmatch(name) is not None


#: Letters that names of columns have and properties' names cannot.
_SPELT = {
    "å": "a", "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "α": "alpha", "β": "beta", "γ": "gamma",
    "δ": "d", "ε": "epsilon", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "π": "pi", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "²": "2", "³": "3", "%": "percent",
    "+": "plus",
}  # fmt: skip


def legal_name(name: str) -> str:
    """A name that a property may have, near to one that it may not: "ΔΔG (kcal/mol)" becomes "ddG_kcal_mol"."""
    spelt = "".join(_SPELT.get(letter.lower(), letter) for letter in unicodedata.normalize("NFC", name))
    plain = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9]+", "_", plain.replace("%", "percent")).strip("_") or "value"
    return (words if not words[0].isdigit() else f"x{words}")[:63].rstrip("_")


@dataclass(frozen=True)
class Property:
    """What a column of properties is, as the catalog's dictionary has it.

    Attributes
    ----------
    name : letters, digits and underscores; what comes after the dot in ``source.<name>``
    level : what it is a property of
    kind : of its values
    description : a phrase; with the reference, where it is computed
    unit : of integers and floats
    absent : what an absent value means, a phrase

    Raises
    ------
    SourceError
        If the name is none.
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
    """Where values came from: a file (or what stands for one) and the SHA-256 of its bytes, hexadecimal."""

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
    otherwise : what holds for the pairs that are not listed; None where that is not known
    measured : it follows from the coordinates of its record, and is of no use with those of another
    """

    property: Property
    values: pa.Array
    source: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    otherwise: Any = None
    measured: bool = False

    def tells(self) -> bool:
        """Whether anything is known by it."""
        return self.values.null_count < len(self.values) or self.otherwise is not None


_NO_PAIRS = np.empty(0, np.int32)


def whole(prop: Property, value: Any) -> Annotation:
    """The value of a property of the protein."""
    return Annotation(prop, pa.array([value], ARROW_TYPES[prop.kind]), _NO_PAIRS, _NO_PAIRS)


def along(
    prop: Property,
    values: Sequence[Any] | npt.NDArray[Any],
    known: npt.NDArray[np.bool_] | None = None,
    *,
    measured: bool = False,
) -> Annotation:
    """A property of residues from one value for each; None, NaN, and what is not `known` become NULL."""
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
    """A boolean, symmetric property of pairs: TRUE for those named, each in both directions."""
    both = sorted({*pairs, *((target, source) for source, target in pairs)})
    ends = np.array(both, np.int32).reshape(-1, 2)
    return Annotation(prop, pa.array([True] * len(both), pa.bool_()), ends[:, 0], ends[:, 1], otherwise)
