"""The properties of a chain that an entry of the PDB tells of, or that follow from its coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import SourceError
from ....properties import UNKNOWN_IF_NONE, UNRESOLVED, Annotation, Property, along, at, between
from ..record import Options, Record
from ..vocabulary import DISULFIDE, HELIX, PROTEIN_MODIFICATION, RSA, SS3, SS4, SS8, STRAND, TURN
from .accessibility import relative_accessibility
from .chain import Chain, Key, record
from .entry import Entry, Span
from .ligands import ligand_residues
from .modifications import KINDS, disulfides, modifications

_NULL_TOO = f"{UNKNOWN_IF_NONE}; {UNRESOLVED}"
_NO_STRUCTURE = f"{UNKNOWN_IF_NONE}, neither helix nor strand; {UNRESOLVED}"

_HELIX = replace(HELIX, absent=_NO_STRUCTURE)
_STRAND = replace(STRAND, absent=_NO_STRUCTURE)
_TURN = replace(TURN, absent=_NULL_TOO)
_MODIFICATIONS = {kind: replace(prop, absent=_NULL_TOO) for kind, prop in KINDS.items()}
_ANY_MODIFICATION = replace(PROTEIN_MODIFICATION, absent=_NULL_TOO)
B_FACTOR = Property(
    "b_factor", "residue", "float",
    "B-factor of the Cα; a predicted model has its confidence in that place (AlphaFold: pLDDT, 0 to 100)",
    unit="Å²", absent="NULL where the residue has no Cα or the entry gives no B-factors (all 0, as by NMR)",
)  # fmt: skip
BINDING_SITE_RECORD = Property(
    "binding_site_record", "residue", "boolean", "in a site that the entry lists (SITE, struct_site)", absent=_NULL_TOO
)
BINDING_SITE_EVIDENCE = Property(
    "binding_site_evidence", "residue", "category",
    "evidence code of the site that the residue is listed in: AUTHOR, SOFTWARE or UNKNOWN; of several, the first of "
    "these",
    absent="NULL for residues in no listed site, and where the site has no evidence code",
)  # fmt: skip

_LIGAND = (
    "a ligand that is not on BioLiP's list of likely artefacts (Yang et al. 2013), in the first biological assembly"
)


def binding_site_ligand(distance: float | None = None) -> Property:
    """Return the property of residues that bind a ligand, as :func:`.ligands.ligand_residues` takes the distance."""
    criterion = (
        "binds by BioLiP's criterion (Zhang et al. 2024), two or more pairs of heavy atoms within the sum of their van "
        f"der Waals radii + 0.5 Å: {_LIGAND}"
        if distance is None
        else f"has a heavy atom within {distance:g} Å of a heavy atom of {_LIGAND}"
    )
    return Property("binding_site_ligand", "residue", "boolean", criterion, absent=_NULL_TOO)


#: All that a PDB or mmCIF file may give.
STRUCTURE_PROPERTIES: tuple[Property, ...] = (
    _HELIX, _STRAND, _TURN, DISULFIDE, B_FACTOR, RSA, binding_site_ligand(), BINDING_SITE_RECORD,
    BINDING_SITE_EVIDENCE,
    *_MODIFICATIONS.values(), _ANY_MODIFICATION, SS8, SS4, SS3,
)  # fmt: skip

_EVIDENCE = ("AUTHOR", "SOFTWARE", "UNKNOWN")


def records(path: Path, entry: Entry, options: Options) -> Iterator[Record]:
    """Yield the record of each chain of an entry, with its annotations.

    Raises
    ------
    SourceError
        The entry has no protein chain, a residue number is out of range, or mkdssp was asked for and fails.
    """
    if not entry.chains:
        raise SourceError(f"{path} has no protein chain; give a structure that has one.")
    ligands = ligand_residues(entry, options.ligand_distance)
    modified = modifications(entry)
    open_to_solvent = relative_accessibility(entry.chains) if options.accessibility else None
    secondary = _dssp(path) if options.dssp else None
    for index, chain in enumerate(entry.chains):
        length = len(chain.names)
        known = np.zeros(length, np.bool_)
        known[list(chain.observed)] = True
        annotations = [*_spans(entry, chain, known), *_b_factors(chain)]
        if pairs := disulfides(entry, chain):
            annotations.append(between(DISULFIDE, pairs, otherwise=False))
        if open_to_solvent is not None and np.isfinite(open_to_solvent[index]).any():
            annotations.append(along(RSA, open_to_solvent[index], measured=True))
        if ligands[index].any() or options.absent == "false":
            site = binding_site_ligand(options.ligand_distance)
            annotations.append(along(site, ligands[index], known, measured=True))
        annotations += _sites(entry, chain, known)
        if kinds := modified[index]:
            annotations += (at(_MODIFICATIONS[kind], length, places, known) for kind, places in kinds.items())
            annotations.append(at(_ANY_MODIFICATION, length, set().union(*kinds.values()), known))
        if secondary is not None:
            annotations += secondary(chain)
        yield record(chain, entry.parents, tuple(annotations))


def _spans(entry: Entry, chain: Chain, known: NDArray[np.bool_]) -> Iterator[Annotation]:
    places = chain.places()
    found: dict[str, set[int]] = {}
    for span in entry.features.spans:
        if span.first[0] == chain.author == span.last[0]:
            found.setdefault(span.kind, set()).update(_covered(span, places))
    if found.keys() & {"helix", "strand"}:
        yield at(_HELIX, len(known), found.get("helix", ()), known)
        yield at(_STRAND, len(known), found.get("strand", ()), known)
    if "turn" in found:
        yield at(_TURN, len(known), found["turn"], known)


def _covered(span: Span, places: Mapping[Key, int]) -> Iterator[int]:
    """Yield the places from the first to the last residue, or to the last but those that were not observed."""
    if span.first in places and span.last in places:
        first, last = sorted((places[span.first], places[span.last]))
        yield from range(first, last + 1)
    else:
        # Author numbers are the only hold where an end was not observed.
        start, stop = ((number, code or "") for _, number, code in (span.first, span.last))
        yield from (place for (_, number, code), place in places.items() if start <= (number, code or "") <= stop)


def _b_factors(chain: Chain) -> Iterator[Annotation]:
    values = np.full(len(chain.names), np.nan)
    for place, variant in chain.seen().items():
        if "CA" in variant.atoms:
            values[place] = variant.atoms["CA"].b_factor
    values[~np.isfinite(values)] = np.nan
    if np.nan_to_num(values).any():
        yield along(B_FACTOR, values, measured=True)


def _sites(entry: Entry, chain: Chain, known: NDArray[np.bool_]) -> Iterator[Annotation]:
    places = chain.places()
    evidence: dict[int, str | None] = {}
    for site in entry.features.sites:
        for key in site.residues:
            if key in places:
                place = places[key]
                evidence[place] = _stronger(evidence.get(place), site.evidence)
    if evidence:
        yield at(BINDING_SITE_RECORD, len(known), evidence, known)
        yield along(BINDING_SITE_EVIDENCE, [evidence.get(place) for place in range(len(known))])


def _stronger(one: str | None, other: str | None) -> str | None:
    known = [code for code in (*_EVIDENCE, one, other) if code is not None and code in {one, other}]
    return known[0] if known else None


def _dssp(path: Path) -> Callable[[Chain], tuple[Annotation, ...]]:
    from . import dssp

    assigned = dssp.assign(path)

    def of(chain: Chain) -> tuple[Annotation, ...]:
        letters: list[str | None] = [None] * len(chain.names)
        for key, place in chain.places().items():
            if key in assigned:
                letters[place] = assigned[key].ss8
        return tuple(replace(one, measured=True) for one in dssp.annotations(letters, chain.place))

    return of
