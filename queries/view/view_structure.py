"""Where a protein's atoms are: Cα from the store, or all of them from a structure file.

Either way they become lines of the PDB format for the page, chain A, numbered from 1 along the protein, so that
nothing else of a file reaches a page. What is bound within 5 Å of the chain goes along as chain Z.
"""

import gzip
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import QueryError, first_line
from .view_residues import Residues

Array = npt.NDArray[Any]

#: Å from the chain within which other groups are shown, the distance of `binding_site_ligand`.
_NEAR = 5.0

#: The share of residues that must agree for a chain to be taken for the protein.
_AGREE = 0.9

#: Residues that must agree, of a longer protein, however little of it a file has.
_LEAST = 20

#: Numbers have four digits in the PDB format.
_LONGEST = 9999


@dataclass(frozen=True, eq=False)
class Atoms:
    """Atoms to draw.

    Attributes
    ----------
    pdb : lines of the PDB format; '' where no coordinates are known
    ca : float [L, 3], Å; NaN where there is no Cα
    trace : whether there is no more than Cα, with an atom O each that says how a ribbon lies, and no more
    origin : where they are from, in words
    """

    pdb: str
    ca: Array
    trace: bool
    origin: str

    def pose(self) -> dict[str, list[float]]:
        """How the Cα are best seen: the longest axis across, the shortest deep.

        `rotation` is a quaternion x, y, z, w; `centre`, in Å, lies in the middle of what is then seen.
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
    """The Cα that the store holds, and how a ribbon lies on them.

    A ribbon's face is taken from the C=O bonds, which a store has not. On Cα alone, (Cα(i) − Cα(i−1)) ×
    (Cα(i+1) − Cα(i)) points along a helix's axis, as its C=O do, and from side to side of a strand; the mean over
    the two ends of a peptide bond, up to sign, is taken for its C=O.
    """
    from Bio.PDB.Atom import Atom
    from Bio.PDB.Residue import Residue

    known = ~np.isnan(residues.ca).any(axis=1)
    if not known.any():
        return Atoms("", residues.ca, True, "the store holds no coordinates of this protein")
    _check_length(residues)
    side = _side_vectors(residues.ca.astype(np.float64))
    placed = {}
    for place in np.flatnonzero(known).tolist():
        residue = placed[place] = Residue((" ", place + 1, " "), _three(residues.letters[place]), " ")
        positions = {"CA": residues.ca[place], "O": residues.ca[place] + 2.4 * side[place]}
        for number, (name, position) in enumerate(positions.items()):
            residue.add(Atom(name, position, 0.0, 1.0, " ", f" {name:<3}", number, name[0]))
    return Atoms(_written(placed, []), residues.ca, True, "Cα from the store")


def from_file(path: str | Path, residues: Residues, chain: str | None) -> Atoms:
    """The atoms of a PDB or mmCIF file, plain or gzip, whose chain is put onto the protein's residues.

    By the author numbers that the store has, else by an alignment of sequences; nine in ten of the residues must agree.
    Of several chains that do, the one with most residues, then the one that the protein's id ends in, then the first.

    Raises
    ------
    QueryError
        If the file cannot be read, or no chain of it is this protein.
    """
    _check_length(residues)
    first = _read(Path(path))
    chains = {one.id: _polymer(one) for one in first}
    if chain is not None and chain not in chains:
        raise QueryError(f"{path} has no chain {chain!r}: it has {', '.join(chains) or 'none'}.")
    wanted = chains if chain is None else {chain: chains[chain]}
    found = {name: _placed(members, residues) for name, members in wanted.items()}
    named = {name: residues.protein.endswith(("_" + name, "." + name)) for name in found}
    best = max(found, key=lambda name: (_agreeing(found[name], residues), named[name]), default=None)
    agree = _agreeing(found[best], residues) if best is not None else 0
    enough = min(_LEAST, _AGREE * len(residues))
    if best is None or agree < enough or agree < _AGREE * min(len(found[best]), len(residues)):
        nearest = f"chain {best} agrees in {agree} of {len(residues)} residues" if agree else "none has a residue of it"
        raise QueryError(
            f"{path} has no chain that is {residues.protein} ({nearest}): give a file of this protein's structure."
        )
    placed = found[best]
    ca = np.full((len(residues), 3), np.nan, np.float32)
    for place, residue in placed.items():
        if "CA" in residue:
            ca[place] = residue["CA"].coord
    return Atoms(_written(placed, _bound(first, placed)), ca, False, f"chain {best} of {Path(path).name}")


def _check_length(residues: Residues) -> None:
    if len(residues) > _LONGEST:
        raise QueryError(f"{residues.protein} has {len(residues)} residues, and a page shows {_LONGEST} at most.")


def _side_vectors(ca: Array) -> Array:
    """Unit vectors across the trace, float [L, 3]; where there is none, that of the residue before, or the first."""
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


def _read(path: Path) -> Any:
    """The first model of a file."""
    from Bio.PDB.MMCIFParser import MMCIFParser
    from Bio.PDB.PDBExceptions import PDBConstructionException
    from Bio.PDB.PDBParser import PDBParser

    suffixes = [suffix.lower() for suffix in path.suffixes]
    parsers = {".pdb": PDBParser, ".ent": PDBParser, ".cif": MMCIFParser, ".mmcif": MMCIFParser}
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind not in parsers:
        raise QueryError(
            f"{path} names no kind of structure file: end it in {', '.join(parsers)}, or one of these and .gz."
        )
    opener: Any = gzip.open if suffixes[-1] == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", errors="replace") as file:
            lines = file if parsers[kind] is MMCIFParser else StringIO("".join(filter(_numbered, file)))
            structure = parsers[kind](QUIET=True).get_structure("x", lines)
        return next(iter(structure))
    except OSError as error:
        raise QueryError(f"{path} cannot be read: {error.strerror or first_line(error)}.") from error
    except StopIteration as error:
        raise QueryError(f"{path} holds no atoms: give a PDB or mmCIF file of this protein's structure.") from error
    except (ValueError, KeyError, IndexError, TypeError, EOFError, PDBConstructionException) as error:
        raise QueryError(f"{path} cannot be read as a structure: {first_line(error).rstrip('.')}.") from error


def _numbered(line: str) -> bool:
    """Leave out coordinates whose residue number is none: waters and ions beyond 9999, in hexadecimal or stars."""
    if not line.startswith(("ATOM  ", "HETATM")):
        return True
    number = line[22:26].strip().removeprefix("-")
    return number.isascii() and number.isdigit()


def _polymer(chain: Any) -> list[Any]:
    """The residues of a chain that are amino acids, modified ones included."""
    return [one for one in chain if "CA" in one and (one.id[0] == " " or _one(one)) and one["CA"].element != "CA"]


def _one(residue: Any) -> str:
    from Bio.Data.PDBData import protein_letters_3to1_extended

    return str(protein_letters_3to1_extended.get(residue.resname.strip(), ""))


def _placed(members: list[Any], residues: Residues) -> dict[int, Any]:
    """Residues of a chain by their place in the protein: by number where that agrees, else by sequence."""
    by_number = {f"{one.id[1]}{one.id[2].strip()}": one for one in members}
    found = {place: by_number[number] for place, number in enumerate(residues.numbers) if number in by_number}
    numbered = int(np.count_nonzero(residues.numbers != ""))
    if found and _agreeing(found, residues) >= _AGREE * min(len(members), numbered):
        return found
    return _aligned(members, residues)


def _aligned(members: list[Any], residues: Residues) -> dict[int, Any]:
    from Bio.Align import PairwiseAligner

    if not members:
        return {}
    aligner = PairwiseAligner(mode="global", match_score=2, mismatch_score=-1, open_gap_score=-3, extend_gap_score=-0.2)
    aligner.end_gap_score = 0
    observed = "".join(_one(one)[:1] or "X" for one in members)
    alignment = next(iter(aligner.align("".join(residues.letters), observed)))
    pairs = zip(*alignment.aligned, strict=True)
    return {
        int(place): members[index]
        for (begin, end), (first, last) in pairs
        for place, index in zip(range(begin, end), range(first, last), strict=True)
    }


def _agreeing(placed: dict[int, Any], residues: Residues) -> int:
    return sum(_one(residue) == residues.letters[place] for place, residue in placed.items())


def _bound(first: Any, placed: dict[int, Any]) -> list[Any]:
    """Groups that are no amino acid, nucleotide or water, with an atom near one that is placed."""
    from Bio.PDB.NeighborSearch import NeighborSearch

    search = NeighborSearch([atom for residue in placed.values() for atom in residue])
    mine = {id(residue) for residue in placed.values()}
    groups = [one for chain in first for one in chain if one.id[0].startswith("H_") and id(one) not in mine]
    return [one for one in groups if not _one(one) and any(search.search(atom.coord, _NEAR) for atom in one)]


def _written(placed: dict[int, Any], bound: list[Any]) -> str:
    """Atoms as lines of the PDB format: the protein's as chain A, numbered from 1, others as chain Z."""
    from Bio.PDB.Chain import Chain
    from Bio.PDB.Model import Model
    from Bio.PDB.PDBIO import PDBIO
    from Bio.PDB.Residue import Residue
    from Bio.PDB.Structure import Structure

    model = Model(0)
    for name, numbered in (("A", placed.items()), ("Z", enumerate(bound[:_LONGEST]))):
        chain = Chain(name)
        for place, residue in numbered:
            flag = " " if name == "A" else "H_"
            copy = Residue((flag, place + 1, " "), residue.resname, " ")
            for atom in residue:
                if atom.element not in ("H", "D"):
                    copy.add(_single(atom))
            chain.add(copy)
        if len(chain):
            model.add(chain)
    structure = Structure("x")
    structure.add(model)
    writer = PDBIO()
    writer.set_structure(structure)
    out = StringIO()
    writer.save(out, preserve_atom_numbering=False)
    return out.getvalue()


def _single(atom: Any) -> Any:
    """One position of an atom, that with the highest occupancy."""
    one = atom.disordered_get().copy() if atom.is_disordered() == 2 else atom.copy()
    one.set_altloc(" ")
    one.disordered_flag = 0
    return one
