"""From the atoms of a chain to its residues: which atoms are of one, and which residues are of the polymer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...errors import SourceError
from .chemistry import NUCLEOTIDES, STANDARD, WATERS, Parents, is_amino_acid
from .entry import BACKBONE, Atom, Residue, Variant

#: Å. Cα of neighbours in a chain are 2.9 (cis) to 3.8 apart; those of two alternatives of a residue are closer.
_OVERLAP = 2.0
# Å, with room for two residues between that were not observed.
_FAR = 12.0
_PEPTIDE = frozenset({"N", "CA", "C"})


def residues(atoms: Iterable[Atom]) -> list[Residue]:
    """Gather a chain's atoms into residues, in file order, waters left out.

    Of an atom's alternative locations, the one with the highest occupancy is kept; ties go to the first in the file.

    Residues that share number and insertion code are alternatives of one where an alternate location marks them, or
    where they overlap and none has all of the occupancy. Without a mark they are two residues if one follows the other
    in the file and their Cα are 2 to 12 Å apart, as where insertion codes were stripped. What is neither stands in
    `clashes`, or in `repeated` where it has the same name.
    """
    order: list[Residue] = []
    last: dict[tuple[int, str | None], Residue] = {}
    before: Residue | None = None
    for run in _runs(atoms):
        key = (run[0].number, run[0].insertion_code)
        there = last.get(key)
        into = None if there is None else _joined(there, run, follows=there is before)
        if into is None:
            into = last[key] = Residue(*key)
            order.append(into)
        _add(into, run)
        before = into
    return [part for residue in order for part in _parts(residue)]


def alternatives(atoms: Iterable[Atom]) -> list[Residue]:
    """Gather atoms that the file puts at one place of a sequence: residues of several names are alternatives there."""
    found: dict[tuple[int, str | None], Residue] = {}
    for atom in atoms:
        key = (atom.number, atom.insertion_code)
        _add(found.setdefault(key, Residue(*key)), [atom])
    return [part for residue in found.values() for part in _parts(residue)]


def _runs(atoms: Iterable[Atom]) -> Iterator[list[Atom]]:
    """Yield atoms that follow one another under one number and name, up to where N or CA comes a second time."""
    run: list[Atom] = []
    starts: set[tuple[str, str]] = set()
    for atom in atoms:
        if atom.residue in WATERS:
            continue
        again = atom.name in {"N", "CA"} and (atom.name, atom.alternative) in starts
        if run and (again or atom[:3] != run[-1][:3]):
            yield run
            run, starts = [], set()
        run.append(atom)
        starts.add((atom.name, atom.alternative))
    if run:
        yield run


def _joined(there: Residue, run: Sequence[Atom], *, follows: bool) -> Residue | None:
    """Return the residue that a run of the same number is of; None if it is another one."""
    name = run[0].residue
    variant = there.variants.get(name)
    if variant is None:
        seen = [atom for each in there.variants.values() for atom in each.atoms.values()]
        if (
            any(atom.alternative for atom in (*seen, *run))
            or _separate(run)
            or all(map(_alone, there.variants.items()))
        ):
            # Alternatives, or a ligand with the number of a residue, which `_parts` takes out.
            return there
        apart = _apart(there, run)
        if apart is not None and apart < _OVERLAP and max(atom.occupancy for atom in (*seen, *run)) < 1:
            return there
        hetero = run[0].hetero and not any(each.hetero for each in there.variants.values())
        if apart is not None and apart >= _OVERLAP and (hetero or (follows and apart < _FAR)):
            # The one after the other, or an amino acid that is a ligand, for all its number says.
            return None
        there.clashes.append(run[0])
        return there
    again = any(_repeats(variant, atom) for atom in run if atom.name in BACKBONE)
    apart = _apart(there, run)
    # A single atom that comes twice makes no residue of its own.
    whole = {atom.name for atom in run} & _PEPTIDE >= variant.atoms.keys() & _PEPTIDE
    return None if again and whole and follows and apart is not None and _OVERLAP <= apart < _FAR else there


def _repeats(variant: Variant, atom: Atom) -> bool:
    kept = variant.atoms.get(atom.name)
    return kept is not None and kept.alternative == atom.alternative


def _separate(run: Sequence[Atom]) -> bool:
    return _alone((run[0].residue, Variant(run[0].hetero, {atom.name: atom for atom in run})))


def _alone(named: tuple[str, Variant]) -> bool:
    """Say whether it is a molecule of its own: HETATM, or of no amino acid's name, and without a backbone."""
    name, variant = named
    marked = any(atom.alternative for atom in variant.atoms.values())
    whole = variant.atoms.keys() >= _PEPTIDE
    return not marked and not whole and (variant.hetero or not is_amino_acid(name, {}))


def _apart(there: Residue, run: Sequence[Atom]) -> float | None:
    """Return the distance in Å of a run's Cα from the nearest of a residue's, None where one has none."""
    mine = [atom.position for atom in run if atom.name == "CA"]
    theirs = [each.atoms["CA"].position for each in there.variants.values() if "CA" in each.atoms]
    return min((math.dist(one, other) for one in mine for other in theirs), default=None)


def _add(residue: Residue, run: Sequence[Atom]) -> None:
    for atom in run:
        variant = residue.variants.get(atom.residue) or residue.variants.setdefault(atom.residue, Variant(atom.hetero))
        kept = variant.atoms.get(atom.name)
        if kept is not None and kept.alternative == atom.alternative:
            variant.repeated.append(atom)
        elif kept is None or atom.occupancy > kept.occupancy:
            variant.atoms[atom.name] = atom


def _parts(residue: Residue) -> list[Residue]:
    """Part a residue from ligands that have been given its number."""
    ligands = [name for name, variant in residue.variants.items() if _alone((name, variant))]
    if len(residue.variants) == 1 or not ligands:
        return [residue]
    rest = {name: variant for name, variant in residue.variants.items() if name not in ligands}
    parts = [Residue(residue.number, residue.insertion_code, rest, residue.clashes)] * bool(rest)
    return parts + [Residue(residue.number, residue.insertion_code, {name: residue.variants[name]}) for name in ligands]


def check_polymer(polymer: Sequence[Residue]) -> Sequence[Residue]:
    """Return the residues of a polymer.

    Raises
    ------
    SourceError
        Another residue stands at the number of one, N, CA, C or CB stands twice in a residue without being
        alternatives, or is not finite.
    """
    for residue in polymer:
        for atom in residue.clashes:
            raise SourceError(
                f"{atom.place}: residue {atom.residue} {_number(residue)} stands where {residue.label} stands, and no "
                f"alternate location marks them as two of one; {_cure(residue, atom)}."
            )
        for variant in residue.variants.values():
            for atom in variant.repeated:
                if atom.name in BACKBONE:
                    raise SourceError(f"{_where(atom)} is given a second time; {_cure(residue, atom)}.")
            for name in BACKBONE:
                if name in variant.atoms and not all(map(math.isfinite, variant.atoms[name].position)):
                    raise SourceError(
                        f"{_where(variant.atoms[name])} has a coordinate that is not a finite number; correct or "
                        f"remove the atom."
                    )
    return polymer


def _cure(residue: Residue, atom: Atom) -> str:
    same = [each.atoms[atom.name].position for each in residue.variants.values() if atom.name in each.atoms]
    if any(math.dist(atom.position, position) < _OVERLAP for position in same if position is not atom.position):
        return "mark alternative locations as such (column 17, label_alt_id), or remove one of the two"
    return (
        "give every molecule a chain id of its own (column 22, auth_asym_id), and every residue of a chain a number of "
        "its own"
    )


def _where(atom: Atom) -> str:
    return f"{atom.place}: {atom.name} of {atom.residue} {atom.number}{atom.insertion_code or ''}"


def _number(residue: Residue) -> str:
    return f"{residue.number}{residue.insertion_code or ''}"


def amino_acids(chain: Iterable[Residue], parents: Parents) -> Sequence[Residue]:
    """Keep the residues that are amino acids, if no sequence is declared.

    In ATOM rows these are the names of the 20, and any other with a Cα; in HETATM rows the names with a letter and a Cα
    and any other with all of N, CA and C. Ligands, ions, lipids and capping groups go.

    Raises
    ------
    SourceError
        As `check_polymer`.
    """
    return check_polymer(
        [
            residue
            for residue in chain
            if any(_is_residue(name, variant, parents) for name, variant in residue.variants.items())
        ]
    )


def _is_residue(name: str, variant: Variant, parents: Parents) -> bool:
    backbone = variant.atoms.keys() & _PEPTIDE
    if variant.hetero:
        return len(backbone) == 3 or ("CA" in backbone and is_amino_acid(name, parents))
    # Force fields call lipids by names that the dictionary has for amino acids: DPP, with an atom N, is DPPC.
    # A calcium ion, too, is an atom called CA.
    return name in STANDARD or ("CA" in backbone and name != "CA" and name not in NUCLEOTIDES)


def is_peptide(body: Sequence[Residue]) -> bool:
    """Say whether residues of any names are a peptide's: two at least, all with N, CA and C."""
    return len(body) > 1 and all(one.named(one.name).atoms.keys() >= _PEPTIDE for one in body)


def of_polymer(seen: Iterable[Residue]) -> list[str]:
    """Return the names of residues of ATOM records."""
    return [one.name for one in seen if not all(variant.hetero for variant in one.variants.values())]


def segments(atoms: Sequence[Atom], parents: Parents, *, nameless: bool) -> Mapping[str, Sequence[Atom]]:
    """Return the atoms of one chain id by segment, all under "" where it is one chain.

    It is several where residues of two segments have the same number, or where the chain has no id; but one where the
    segments of some amino acids have none.

    Parameters
    ----------
    atoms
        Atoms of one chain id.
    parents
        As the file declares them.
    nameless
        The chain id is blank.
    """
    numbers: dict[str, set[tuple[int, str | None]]] = defaultdict(set)
    for atom in atoms:
        if is_amino_acid(atom.residue, parents):
            numbers[atom.segment].add((atom.number, atom.insertion_code))
    shared = len(set().union(*numbers.values())) < sum(map(len, numbers.values()))
    if len(numbers) < 2 or not all(numbers) or not (shared or nameless):
        return {"": atoms}
    found: dict[str, list[Atom]] = defaultdict(list)
    for atom in atoms:
        found[atom.segment].append(atom)
    return found
