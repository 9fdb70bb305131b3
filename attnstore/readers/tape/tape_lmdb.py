"""TAPE's LMDB files (Rao et al. 2019, arXiv 1906.08230), and those of Vig et al. 2021 (arXiv 2006.15222).

A file maps ``num_examples`` to a number and "0", "1", … to as many records, all pickled. The fields of a record, as
TAPE's serialisers and the paper's datasets write them, show its kind:

- ``ss8`` and more: secondary structure, of NetSurfP-2.0 (Klausen et al. 2019, doi:10.1002/prot.25674);
- ``tertiary``: positions of Cα, of ProteinNet;
- ``sites``, ``modifications`` with ``positions``: binding sites and modified residues, of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...catalog.property import NEGATIVE, UNRESOLVED, Annotation, Property, along
from ...errors import SourceError
from .. import proteinnet
from ..record import DEFAULT, LETTERS, Options, Record, Structure
from ..structures import dssp
from ..vocabulary import BINDING_SITE, PROTEIN_MODIFICATION, RSA, SS3, SS4, SS8
from . import lmdb_map, pickles

NAME = "TAPE's LMDB (a folder X.lmdb, or its data.mdb)"

# As in the paper, a residue that no record lists is FALSE.
SITE = replace(BINDING_SITE, description="in a binding site, as in Vig et al. 2021", absent=NEGATIVE)
MODIFIED = replace(
    PROTEIN_MODIFICATION,
    description="modified as the data set of Vig et al. 2021 labels it: disulfides, metal ligands and glycans among "
    "others",
    absent=NEGATIVE,
)  # fmt: skip
RELATIVE = replace(
    RSA,
    description="relative solvent accessibility of the chain by itself, as NetSurfP-2.0's data have it "
    "(Klausen et al. 2019)",
)  # fmt: skip
DISORDERED = Property("disordered", "residue", "boolean", "not resolved in the structure (Klausen et al. 2019)")
INTERFACE = Property(
    "interface", "residue", "boolean",
    "accessible surface differs by more than 1 Å² with and without the other chains (Rao et al. 2019)",
    absent=UNRESOLVED,
)  # fmt: skip
PHI = Property("phi", "residue", "float", "dihedral angle φ of the backbone", "°", absent=UNRESOLVED)
PSI = Property("psi", "residue", "float", "dihedral angle ψ of the backbone", "°", absent=UNRESOLVED)
PROPERTIES: tuple[Property, ...] = (SS8, SS4, SS3, RELATIVE, DISORDERED, INTERFACE, PHI, PSI, SITE, MODIFIED)

# The codes of ss8. Those of ss3 follow: GHI 0, BE 1, STC 2.
_SS8 = "GHIBESTC"
_SITES = {"sites": SITE, "modifications": MODIFIED}
_KNOWN = ("ss8", "tertiary", *_SITES)
_NUMBERS = (bool, int, float, np.bool_, np.number)
_FARTHEST = 1_000_000


def accepts(path: Path, head: bytes) -> bool:
    """Say whether the file starts as an LMDB file does."""
    return lmdb_map.is_map(head)


def read(path: Path, options: Options = DEFAULT) -> Iterator[Record]:
    """Yield the records one by one, in their order; the file is only read, and no lock is written next to it.

    Ids are the file's own ("4udx.X"); ProteinNet's are changed by `proteinnet.name_of`. Structures contain what the
    records contain: Cα of ProteinNet, without Cβ, or the author numbers of sites, without coordinates.

    A residue is a site if and only if its author number is among the record's sites, as in the paper's code. If
    residues share a number and differ in insertion codes, which the file does not contain, all of them are. Unresolved
    or masked residues are NULL; the file's own code for them is that of G.

    Raises
    ------
    SourceError
        The file is not an LMDB file in TAPE's layout, is damaged, or has a pickle with other than plain values; or a
        record is of none of the kinds above, or its fields do not fit its sequence.
    """
    with lmdb_map.open_map(path) as file:
        count = _plain(file, "num_examples", "number of records")
        if not isinstance(count, int) or count < 1:
            raise SourceError(f"{file.path} says that it has no number of records, or none; check the file.")
        for index in range(count):
            place = f"{file.path} record {index}"
            yield _record(_plain(file, str(index), f"record of the {count:,}"), str(index), place)


def _plain(file: lmdb_map.Map, key: str, what: str) -> object:
    data = file.get(key.encode())
    if data is None:
        raise SourceError(f"{file.path} has no {what} under {key!r}, as TAPE's files do; check the file.")
    return pickles.load_plain(data, f"{file.path} record {key}")


def _record(content: object, index: str, place: str) -> Record:
    if not isinstance(content, dict):
        raise SourceError(f"{place} is of the type {type(content).__name__}, not the fields of a protein; check it.")
    if not content.keys() & set(_KNOWN):
        found = (
            ", ".join(
                str(field)[:20] if str(field).isprintable() else repr(str(field)[:20]) for field in list(content)[:12]
            )
            or "none"
        )
        raise SourceError(
            f"{place} has the fields {found}: it is of none of the datasets that are read, secondary_structure, "
            f"proteinnet, binding_site and protein_modification; leave it out."
        )
    # TAPE also names records without an id by their index.
    name = _name(content.get("id", index), place)
    sequence = content.get("primary")
    if not isinstance(sequence, str) or not sequence or set(sequence) - LETTERS:
        raise SourceError(f"{place} has no sequence of amino acid letters in its field primary; correct it.")
    fields = _Fields(content, len(sequence), place)
    if "tertiary" in content:
        name = proteinnet.name_of(name)
    return Record(
        id=name, sequence=sequence, place=place, structure=_structure(fields), annotations=tuple(_given(fields))
    )


def _name(given: object, place: str) -> str:
    """The id, which is bytes in TensorFlow's files."""
    name = given.decode("utf-8", errors="replace") if isinstance(given, bytes) else given
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise SourceError(f"{place} has an id that is not printable text; give it one.")
    return str(name)


@dataclass(frozen=True)
class _Fields:
    """The fields of a record of a protein of this many residues."""

    content: Mapping[Any, object]
    length: int
    place: str

    def numbers(self, field: str, *shape: int) -> NDArray[Any]:
        """One number per residue, or one array of that shape per residue."""
        array = self._array(field)
        if array.shape != (self.length, *shape):
            raise SourceError(
                f"{self.place} has {' × '.join(map(str, array.shape))} numbers for its field {field} and "
                f"{' × '.join(map(str, (self.length, *shape)))} are due; correct it."
            )
        return array

    def flags(self, field: str) -> NDArray[np.bool_]:
        """Where the number of a residue is not zero: everywhere, if the field is missing."""
        return self.numbers(field) != 0 if field in self.content else np.ones(self.length, np.bool_)

    def positions(self) -> NDArray[np.int32]:
        """The author number of each residue."""
        return self._integers("positions", self.numbers("positions"))

    def sites(self, field: str) -> NDArray[np.int32]:
        """Author numbers, any number of them."""
        return self._integers(field, self._array(field).ravel())

    def _array(self, field: str) -> NDArray[Any]:
        value = self.content.get(field)
        # numpy would make an array as wide as the longest string of a list.
        if isinstance(value, list | tuple) and all(isinstance(item, _NUMBERS) for item in value):
            value = np.array(value) if value else np.empty(0, np.int64)
        # Integers of more than 64 bits give an array of objects.
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            raise SourceError(f"{self.place} has no array of numbers for its field {field}; correct it.")
        return value

    def _integers(self, field: str, values: NDArray[Any]) -> NDArray[np.int32]:
        if values.dtype.kind not in "iu" or (np.abs(values.astype(np.float64)) > np.iinfo(np.int32).max).any():
            raise SourceError(f"{self.place} has a residue number in its field {field} that is none; correct it.")
        return values.astype(np.int32)


def _given(fields: _Fields) -> Iterator[Annotation]:
    if "ss8" in fields.content:
        yield from _secondary_structure(fields)
    for field, prop in _SITES.items():
        if field in fields.content:
            yield along(prop, np.isin(fields.positions(), fields.sites(field)))


def _secondary_structure(fields: _Fields) -> Iterator[Annotation]:
    codes = fields.numbers("ss8")
    if not np.isin(codes, np.arange(len(_SS8))).all():
        raise SourceError(f"{fields.place} has an ss8 that is none of 0 to 7; correct it.")
    # The field is 1 where the residue is ordered, whatever its name says.
    resolved = fields.flags("disorder")
    known = resolved & fields.flags("valid_mask")
    letters = [_SS8[code] if here else None for code, here in zip(codes.astype(np.int64), known, strict=True)]
    yield from dssp.annotations(letters, fields.place)
    if "disorder" in fields.content:
        yield along(DISORDERED, ~resolved)
    if "interface" in fields.content:
        yield along(INTERFACE, fields.flags("interface"), known)
    if "rsa" in fields.content:
        yield along(RELATIVE, fields.numbers("rsa").astype(np.float64), known)
    for field, prop in (("phi", PHI), ("psi", PSI)):
        if field in fields.content:
            angles = fields.numbers(field).astype(np.float64)
            # DSSP writes 360 if there is no angle, as at the ends of a chain.
            yield along(prop, angles, known & (np.abs(angles) <= 180))


def _structure(fields: _Fields) -> Structure | None:
    """The author numbers and Cα positions of the record."""
    numbered, placed = "positions" in fields.content, "tertiary" in fields.content
    if not (numbered or placed):
        return None
    missing = np.full((fields.length, 3), np.nan, np.float32)
    return Structure(
        author_number=fields.positions() if numbered else np.zeros(fields.length, np.int32),
        author_known=np.full(fields.length, numbered),
        insertion_code=(None,) * fields.length,
        ca=_alpha_carbons(fields) if placed else missing,
        cb=missing,
    )


def _alpha_carbons(fields: _Fields) -> NDArray[np.float32]:
    """The field tertiary, Å: TAPE keeps Cα of ProteinNet's backbone and has divided its positions by 100."""
    ca = fields.numbers("tertiary", 3).astype(np.float64)
    if (np.abs(ca) > _FARTHEST).any():
        raise SourceError(f"{fields.place} has a position more than {_FARTHEST:,} Å from the origin; correct it.")
    ca[~fields.flags("valid_mask") | ~ca.any(axis=1) | np.isnan(ca).any(axis=1)] = np.nan
    return ca.astype(np.float32)
