"""The atoms of a protein: Cα from the store, or all atoms from a structure file.

Both become lines of the PDB format for the page, chain A, numbered from 1 along the protein, so that nothing else of a
file gets into a page. Groups within 5 Å of the chain become chain Z.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...annotate.matching import IDENTITY, align_sequences
from ...errors import QueryError, SourceError
from ...readers import text
from ...readers.structures import mmcif, pdb
from ...readers.structures.chemistry import is_amino_acid
from ...readers.structures.entry import Atom, Chain, Entry, sequence
from .view_residues import Residues

Array = npt.NDArray[Any]

#: Distance in Å from the chain within which other groups are shown, as in `binding_site_ligand`.
_NEAR = 5.0

#: Fewest residues that must agree in a long protein, however small the part in the file.
_LEAST = 20

#: Numbers have four digits in the PDB format.
_LONGEST = 9999

#: Å; coordinates have eight columns there, three of them decimals.
_LEAST_COORDINATE, _MOST_COORDINATE = -999.9995, 9999.9995

#: What is drawn for a residue or group: its index from 0, its name and its atoms.
AtomGroup: TypeAlias = tuple[int, str, tuple[Atom, ...]]


@dataclass(frozen=True, eq=False)
class Atoms:
    """Atoms to draw.

    Attributes
    ----------
    pdb : str
        Lines of the PDB format; '' where no coordinates are known.
    ca : ndarray
        float [L, 3], Å; NaN where there is no Cα.
    trace : bool
        Whether there is no more than Cα, with an atom O each that says how a ribbon lies, and no more.
    origin : str
        Where they are from, in words.
    """

    pdb: str
    ca: Array
    trace: bool
    origin: str

    def pose(self) -> dict[str, list[float]]:
        """The orientation that shows the Cα best: the longest axis across, the shortest deep.

        `rotation` is a quaternion x, y, z, w; `centre`, in Å, is the middle of the picture.
        """
        from scipy.spatial.transform import Rotation

        known = self.ca[~np.isnan(self.ca).any(axis=1)].astype(np.float64)
        axes = np.eye(3)
        if len(known) > 3:
            axes = np.linalg.eigh(np.cov((known - known.mean(axis=0)).T))[1][:, ::-1].T
            axes *= np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])[:, None]
            axes[2] *= np.linalg.det(axes)
        turned = known @ axes.T if len(known) else np.zeros((1, 3))
        centre = (turned.min(axis=0) + turned.max(axis=0)) / 2 @ axes
        rotation = Rotation.from_matrix(axes).as_quat()
        return {"rotation": np.round(rotation, 4).tolist(), "centre": np.round(centre, 2).tolist()}


def from_store(residues: Residues) -> Atoms:
    """The Cα of the store, with the orientation of a ribbon.

    The face of a ribbon follows the C=O bonds, which a store does not have. On Cα alone, (Cα(i) − Cα(i−1)) × (Cα(i+1) −
    Cα(i)) points along a helix's axis, as its C=O do, and from side to side of a strand; the mean over the two ends of
    a peptide bond, up to sign, is used for its C=O.
    """
    known = ~np.isnan(residues.ca).any(axis=1)
    if not known.any():
        return Atoms("", residues.ca, True, "the store holds no coordinates of this protein")
    _check_length(residues)
    side = _side_vectors(residues.ca.astype(np.float64))
    trace: list[AtomGroup] = []
    for place in np.flatnonzero(known).tolist():
        name = _three(residues.letters[place])
        positions = {"CA": residues.ca[place], "O": residues.ca[place] + 2.4 * side[place]}
        atoms = tuple(
            Atom(place + 1, None, name, False, kind, "", 1.0, (float(x), float(y), float(z)), "", kind[0], 0.0)
            for kind, (x, y, z) in positions.items()
        )
        trace.append((place, name, atoms))
    return Atoms(_written(trace, []), residues.ca, True, "Cα from the store")


def from_file(path: str | Path, residues: Residues, chain: str | None) -> Atoms:
    """Read the atoms of a PDB or mmCIF file, plain or gzip, whose chain is matched to the protein's residues.

    They are matched by the author numbers of the store, else by an alignment of sequences; nine in ten of the residues
    must agree. Of several matching chains, the one with the most residues is used, then the one with which the
    protein's id ends, then the first.

    Raises
    ------
    QueryError
        If the file cannot be read, or no chain of it is this protein.
    """
    _check_length(residues)
    path = Path(path)
    entry = _read(path)
    chains = [_Observed(one, entry) for one in entry.chains]
    wanted = [one for one in chains if chain is None or chain in (one.name, one.chain.author)]
    left_out = [_name(one.id, entry) for one in entry.excluded]
    if chain is not None and not wanted and chain not in left_out:
        names = ", ".join([*(one.name for one in chains), *left_out])
        raise QueryError(f"{path} has no chain {chain!r}: it has {names or 'none'}.")
    found = {one: one.placed(residues) for one in wanted}
    named = {one: residues.protein.endswith(("_" + one.name, "." + one.name)) for one in found}
    best = max(found, key=lambda one: (one.agreeing(found[one], residues), named[one]), default=None)
    agree = best.agreeing(found[best], residues) if best is not None else 0
    enough = min(_LEAST, IDENTITY * len(residues))
    if best is None or agree < enough or agree < IDENTITY * min(len(found[best]), len(residues)):
        nearest = f"{best.words} agrees in {agree} of {len(residues)} residues" if best and agree else ""
        raise QueryError(
            f"{path} has no chain that is {residues.protein} ({nearest or 'none has a residue of it'}): "
            "give a file of this protein's structure."
        )
    seen = best.chain.seen()
    placed = {place: seen[at] for place, at in found[best].items()}
    ca = np.full((len(residues), 3), np.nan, np.float32)
    for place, residue in placed.items():
        if "CA" in residue.atoms:
            ca[place] = residue.atoms["CA"].position
    kinds = {place: best.chain.names[at] for place, at in found[best].items()}
    protein = [(place, kinds[place], tuple(residue.atoms.values())) for place, residue in placed.items()]
    bound = _bound(entry, [atom for _, _, atoms in protein for atom in atoms])
    return Atoms(_written(protein, bound), ca, False, f"{best.words} of {path.name}")


@dataclass(frozen=True, eq=False)
class _Observed:
    """A chain of a structure file, and the match of its residues to those of a protein."""

    chain: Chain
    entry: Entry

    @property
    def name(self) -> str:
        return _name(self.chain.id, self.entry)

    @property
    def words(self) -> str:
        return f"chain {self.name}" if self.name else "the chain without an id"

    @cached_property
    def letters(self) -> str:
        return sequence(self.chain, self.entry.parents)

    def placed(self, residues: Residues) -> dict[int, int]:
        """For each residue of the protein, its index in the chain: by number if that agrees, else by sequence."""
        by_number = {f"{number}{code or ''}": place for place, (_, number, code) in self.chain.numbered()}
        found = {place: by_number[number] for place, number in enumerate(residues.numbers) if number in by_number}
        numbered = int(np.count_nonzero(residues.numbers != ""))
        if found and self.agreeing(found, residues) >= IDENTITY * min(len(self.chain.observed), numbered):
            return found
        # A file that declares no sequence may leave out whole loops.
        places = align_sequences(self.letters, "".join(residues.letters), extension=-0.2)
        across = enumerate(() if places is None else places.tolist())
        return {place: at for place, at in across if at in self.chain.observed}

    def agreeing(self, placed: dict[int, int], residues: Residues) -> int:
        """Number of residues with the same amino acid."""
        return sum(self.letters[at] == residues.letters[place] for place, at in placed.items())


def _name(identifier: str, entry: Entry) -> str:
    """Name of a chain within its entry; '' if it has no id."""
    return identifier.removeprefix(entry.id).removeprefix("_")


def _check_length(residues: Residues) -> None:
    if len(residues) > _LONGEST:
        raise QueryError(f"{residues.protein} has {len(residues)} residues, and a page shows {_LONGEST} at most.")


def _side_vectors(ca: Array) -> Array:
    """Unit vectors across the trace, float [L, 3]; where there is none, that of the previous residue, or the first."""
    step = np.diff(ca, axis=0)
    side = np.full(ca.shape, np.nan)
    side[1:-1] = np.cross(step[:-1], step[1:])
    length = np.linalg.norm(side, axis=1)
    good = length > 1e-3
    if not good.any():
        return np.tile([1.0, 0.0, 0.0], (len(ca), 1))
    before = np.maximum.accumulate(np.where(good, np.arange(len(ca)), np.flatnonzero(good)[0]))
    unit: Array = side[before] / length[before, None]
    following = np.concatenate([unit[1:], unit[-1:]])
    mean: Array = unit + np.where((unit * following).sum(axis=1) < 0, -1.0, 1.0)[:, None] * following
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    return mean


def _three(letter: str) -> str:
    from Bio.Data.PDBData import protein_letters_1to3

    return str(protein_letters_1to3.get(letter, "UNK")).upper()


def _read(path: Path) -> Entry:
    readers: Mapping[str, Any] = {".pdb": pdb, ".ent": pdb, ".cif": mmcif, ".mmcif": mmcif}
    kind = text.suffix(path)
    if kind not in readers:
        raise QueryError(
            f"{path} names no kind of structure file: end it in {', '.join(readers)}, or one of these and .gz."
        )
    try:
        entry: Entry = readers[kind].read_entry(path)
    except SourceError as error:
        raise QueryError(str(error)) from error
    return entry


def _bound(entry: Entry, protein: Sequence[Atom]) -> list[AtomGroup]:
    """Groups that are not amino acids, nucleotides or waters, with an atom near one of the protein."""
    from scipy.spatial import cKDTree

    near = cKDTree(np.reshape([atom.position for atom in protein if atom.heavy], (-1, 3)))
    groups: list[AtomGroup] = []
    for group in entry.groups:
        points = [atom.position for atom in group.atoms if atom.heavy]
        if points and not is_amino_acid(group.name, entry.parents) and near.query(points)[0].min() <= _NEAR:
            groups.append((len(groups), group.name, group.atoms))
    return groups[:_LONGEST]


def _written(protein: Iterable[AtomGroup], bound: Iterable[AtomGroup]) -> str:
    """Atoms as lines of the PDB format: the protein's as chain A, numbered from 1, others as chain Z."""
    lines: list[str] = []
    for record, chain, residues in (("ATOM", "A", protein), ("HETATM", "Z", bound)):
        for place, name, atoms in residues:
            for atom in atoms:
                if not atom.heavy or not all(_LEAST_COORDINATE < x < _MOST_COORDINATE for x in atom.position):
                    continue
                # An element's symbol ends in the second of the name's four columns.
                written = atom.name if len(atom.name) > 3 or len(atom.element) > 1 else f" {atom.name}"
                x, y, z = atom.position
                lines.append(
                    f"{record:6}{len(lines) % 99_999 + 1:5} {written:4.4} {name:>3.3} {chain}{place + 1:4}    "
                    f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {atom.element:>2.2}  \n"
                )
        if lines and not lines[-1].startswith("TER"):
            lines.append("TER\n")
    return "".join([*lines, "END\n"])
