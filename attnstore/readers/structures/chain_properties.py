"""The properties of a chain: recorded in its entry of the PDB, or computed from its coordinates."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...catalog.property import UNKNOWN_IF_NONE, UNRESOLVED, Annotation, Property, along, at, between
from ...errors import SourceError
from ..record import Options, Record
from ..vocabulary import DISULFIDE, HELIX, PROTEIN_MODIFICATION, RSA, SS3, SS4, SS8, STRAND, TURN
from .accessibility import relative_accessibility
from .entry import Chain, Entry, Key, Span, chain_record
from .ligands import ligand_residues
from .modifications import KINDS, disulfides, modifications

_log = logging.getLogger(__name__)

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
PLDDT = Property(
    "plddt", "residue", "float",
    "predicted lDDT-Cα, 0 to 100, of a model whose file declares it; values that go up to 1 are taken times 100",
    absent="NULL where the file does not declare that it is a prediction, or has no value for the residue",
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
    _HELIX, _STRAND, _TURN, DISULFIDE, B_FACTOR, PLDDT, RSA, binding_site_ligand(), BINDING_SITE_RECORD,
    BINDING_SITE_EVIDENCE,
    *_MODIFICATIONS.values(), _ANY_MODIFICATION, SS8, SS4, SS3,
)  # fmt: skip

_EVIDENCE = ("AUTHOR", "SOFTWARE", "UNKNOWN")


def chain_records(path: Path, entry: Entry, options: Options) -> Iterator[Record]:
    """Yield the record of each chain of an entry, with its annotations; the options are given what is left out.

    Raises
    ------
    SourceError
        The entry has no protein chain, a residue number is out of range, or mkdssp was asked for and fails.
    """
    for one in entry.excluded:
        options.excluding(one)
    if not entry.chains and not entry.excluded:
        raise SourceError(f"{path} has no chain; give a structure that has one.")
    entry = _with_ambiguity(path, entry)
    unit = _unit(path, entry)
    ligands = ligand_residues(entry, options.ligand_distance)
    modified = modifications(entry)
    open_to_solvent = relative_accessibility(entry.chains) if options.accessibility else None
    secondary = _dssp(path) if options.dssp else None
    for index, chain in enumerate(entry.chains):
        length = len(chain.names)
        known = np.zeros(length, np.bool_)
        known[list(chain.observed)] = True
        annotations = [*_spans(entry, chain, known), *_b_factors(chain), *_plddt(chain, unit)]
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
        yield replace(chain_record(chain, entry.parents, tuple(annotations)), entry=entry.id)


def _spans(entry: Entry, chain: Chain, known: NDArray[np.bool_]) -> Iterator[Annotation]:
    places = chain.places()
    found: dict[str, set[int]] = {}
    for span in entry.features.spans:
        if not chain.ambiguous and span.first[0] == chain.author == span.last[0]:
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
    values = _along(chain, chain.b_factors())
    if np.nan_to_num(values).any():
        yield along(B_FACTOR, values, measured=True)


def _along(chain: Chain, given: Mapping[int, float]) -> NDArray[np.float64]:
    values = np.full(len(chain.names), np.nan)
    values[list(given)] = list(given.values())
    values[~np.isfinite(values)] = np.nan
    return values


def _unit(path: Path, entry: Entry) -> float:
    """Return what a predicted entry's confidence is to be multiplied by for pLDDT of 100, 0 where it is none."""
    values = np.array([value for chain in entry.chains for value in (chain.confidence or {}).values()])
    values = values[np.isfinite(values)]
    if not values.any():
        return 0.0
    if values.min() < 0 or values.max() > 100:
        _log.warning(
            "%s: its pLDDT goes from %g to %g, which is not within 0 to 100: not read as plddt",
            path, values.min(), values.max(),
        )  # fmt: skip
        return 0.0
    return 100.0 if values.max() <= 1 else 1.0


def _plddt(chain: Chain, unit: float) -> Iterator[Annotation]:
    if chain.confidence and unit:
        yield along(PLDDT, unit * _along(chain, chain.confidence), measured=True)


def _with_ambiguity(path: Path, entry: Entry) -> Entry:
    """Return the entry with the author's names that stand for two residues, by which nothing is found."""
    counts = Counter(key for chain in entry.chains for _, key in chain.numbered())
    shared = frozenset(key for key, count in counts.items() if count > 1)
    if not shared:
        return entry
    chains = [replace(chain, ambiguous=shared & {key for _, key in chain.numbered()}) for chain in entry.chains]
    features = entry.features
    if features.spans or features.sites or features.bonds or features.modified or features.curated:
        chain, number, code = min(shared, key=lambda key: (key[0], key[1], key[2] or ""))
        _log.warning(
            "%s: residue %d%s of chain %r stands for %d residues, and so do %d other numbers: what the file lists of "
            "residues by number is left out in those chains",
            path, number, code or "", chain, counts[chain, number, code], len(shared) - 1,
        )  # fmt: skip
    return replace(entry, chains=chains)


def _sites(entry: Entry, chain: Chain, known: NDArray[np.bool_]) -> Iterator[Annotation]:
    places = chain.places()
    evidence: dict[int, str | None] = {}
    for site in () if chain.ambiguous else entry.features.sites:
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

    assigned = dssp.assign_by_mkdssp(path)

    def of(chain: Chain) -> tuple[Annotation, ...]:
        letters: list[str | None] = [None] * len(chain.names)
        for key, place in chain.places().items():
            if key in assigned:
                letters[place] = assigned[key].ss8
        return tuple(replace(one, measured=True) for one in dssp.annotations(letters, chain.place))

    return of
