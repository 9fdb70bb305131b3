"""Which residues bind a ligand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import SourceError
from .chemistry import LARGEST_RADIUS, is_metal, vdw_radius
from .entry import Assembly, Atom, Chain, Entry, Group, Key, Operator

#: The 463 compounds that BioLiP suspects not to be there by nature (Yang, Roy and Zhang, Nucleic Acids Research 2013,
#: 41:D1096), by their codes in the PDB: the file ``ligand_list`` of the program of BioLiP2 (Zhang et al., Nucleic Acids
#: Research 2024, 52:D404; github.com/kad-ecoli/mmCIF2BioLiP).
BIOLIP = frozenset(
    """
    02U 12P 13P 144 15P 16P 1AG 1EM 1PE 1PG 2DP 2OP 2PE 3NI 3PE 3PG 3PH 4AG 543 5AD 6JZ 6PE 6PH 6PL 6UL 7E8 7E9 7PE
    7PG 7PH 8PE 9PE A2G ACE ACM ACN ACT ACY AE3 AE4 AG AGA AKR AL ARS AU AU3 AUC B3H B3P BA BAM BCN BCR BE7 BEN BET
    BEZ BGL BHG BM3 BME BNG BNZ BO3 BO4 BOG BR BTB BU1 BXC C10 C14 C1O C2O CAC CAD CB3 CCN CD CD1 CD3 CD4 CD5 CDL CE
    CE1 CE9 CHD CHT CIT CL CMJ CMO CN3 CN6 CNS CO2 CO5 CON CPS CR CS CUZ CXE CXS CYC CYN D01 D10 D12 D1D DAO DD9 DDQ
    DDR DEP DET DGA DGD DGG DHB DHJ DIO DKA DMF DMI DMN DMR DMS DOD DPG DPO DTD DTT DTU DTV DUD DVT E4N EAP EDO EMC
    ENC EOH EPE ETE ETF ETX EU EU3 F F09 FLC FMT FOL FOR FTT GA GAI GCP GD GD3 GGD GLV GOL GUN GVT H2S HAE HAI HC4
    HCA HCS HED HEX HEZ HG HGC HGP HGX HO HOH HP6 HSG HSH HT3 HTG HTH HTO I42 IBM ICT IMD IN IOD IPA IPH IPL IR IR3
    IRI IUM K KAI KDO KEN KO4 KR L1P L2C L2P L3P L44 L4P LA LAC LCO LCP LDA LFA LHG LI LI1 LIO LMG LMR LMT LMU LPP
    LU LUT LXB LXZ M2M MAC MAE MBN MBO MC3 ME2 MES MGE MH2 MH3 MLA MLI MLT MMC MN5 MO1 MO2 MO3 MO4 MO5 MO6 MOH MOS
    MPD MPO MRD MSE MTE MVC MW1 MW2 MW3 MYR MYS MYY N8E NA NA2 NA5 NA6 NAA NAG NAO NAW NBN NC NCO NDG NER NET NEX
    NGA NGZ NH4 NHE NI NO3 NSP NVP OC1 OC2 OC3 OC4 OC5 OC6 OCL OCM OCN OCO OCT OES OF1 OF3 OGA OH OLA OLB OLC OPC
    ORO OS OXM P15 P1O P22 P25 P33 P3G P4C P4G P6G PA8 PAM PB PBM PC1 PC2 PC6 PC7 PC8 PCF PCW PD PD7 PE3 PE4 PE5 PE8
    PEE PEF PEG PEH PEK PEO PER PEU PEV PEX PG0 PG4 PG5 PG6 PG8 PGE PGF PGO PGR PGT PGV PHB PHQ PI PL9 PLC PLD PLM
    PMS PO4 POV PPI PPV PQ9 PR PSC PT PT4 PTN PTY PUT PX2 PX4 PX6 PX8 R16 RB RG1 RHD RU SAL SAR SB SCN SE4 SGM SIN
    SM SMO SO2 SO4 SOG SOH SPD SPH SPJ SPK SPM SPW SPZ SQD SQU SR SRT STE SUC SWE SX TAM TAR TAU TB TBU TCA TCN TE
    TEA TG1 TGL THE THJ THM TL TLA TMA TOE TRA TRD TRS TWT U1 ULI UMQ UND UNL UNX UPL URE VO4 W XAT XE XP4 XPA XPE
    Y1 YB YB2 YF3 YT3
    """.split()  # noqa: SIM905
)


_AS_DEPOSITED: Sequence[Operator] = (np.eye(3, 4),)
# More than any capsid has.
_MOST_COPIES = 1_000_000
# BioLiP's: what the gap between two van der Waals spheres may be, Å, and how many such pairs of atoms make a contact.
_GAP = 0.5
_PAIRS = 2


def ligand_residues(entry: Entry, distance: float | None = None) -> list[NDArray[np.bool_]]:
    """Return which residues of each chain bind a ligand.

    By BioLiP's criterion a residue does if at least two pairs of its atoms and those of one ligand are no farther apart
    than the sum of their van der Waals radii plus 0.5 Å (Yang, Roy and Zhang, Nucleic Acids Research 2013, 41:D1096;
    the two pairs: Zhang et al., Nucleic Acids Research 2024, 52:D404, and zhanggroup.org/BioLiP/help.html, step 3). The
    radii are those of `elements.vdw_radius`. BioLiP goes on to leave out sites of a single residue; here these stay.

    Only heavy atoms are looked at. A ligand is a group that is not of a polymer, no water, no solvent or additive on
    BioLiP's list (`additives.BIOLIP`) and not part of a glycan that starts with one that is. Groups with a metal atom
    are ligands though listed. Peptides and nucleic acids are polymers.

    A chain and the ligands are taken in all the copies that the first biological assembly with that chain in it makes;
    without one, as deposited.

    Parameters
    ----------
    entry
    distance
        Å. If it is given, a residue binds if one of its heavy atoms is at most so far from a heavy atom of a ligand.

    Returns
    -------
    Boolean arrays of shape [L], one for each of the entry's chains, FALSE where the residue was not observed.

    Raises
    ------
    SourceError
        An assembly makes more than a million copies of ligands.
    """
    found = _ligands(entry)
    made: dict[int, _Copies] = {}
    binding = []
    for chain in entry.chains:
        assembly = _assembly(entry, chain)
        if id(assembly) not in made:
            made[id(assembly)] = _copies(found, assembly, chain.place)
        binding.append(_binding(chain, made[id(assembly)], _operators(chain.asym, assembly), distance))
    return binding


def _ligands(entry: Entry) -> list[Group]:
    kept = [group for group in entry.groups if group.name not in BIOLIP or _has_metal(group)]
    glycans = _glycans(entry)
    return [group for group in kept if group.key not in glycans]


def _has_metal(group: Group) -> bool:
    return any(is_metal(atom.element) for atom in group.atoms)


def _glycans(entry: Entry) -> set[Key]:
    """Return the groups that are joined, directly or through others, to a listed group that is bound to a protein."""
    joined: dict[Key, set[Key]] = defaultdict(set)
    for bond in entry.features.bonds:
        one, other = (end.key for end in bond.ends)
        joined[one].add(other)
        joined[other].add(one)
    residues = {key for chain in entry.chains for key in chain.places()}
    groups = {group.key: group for group in entry.groups if not _has_metal(group)}
    waiting = [
        key for key, group in groups.items() if group.name in BIOLIP and joined.get(key, set()) & residues
    ]  # fmt: skip
    found: set[Key] = set()
    while waiting:
        key = waiting.pop()
        if key in groups and key not in found:
            found.add(key)
            waiting += joined[key]
    return found


def _assembly(entry: Entry, chain: Chain) -> Assembly | None:
    return next((one for one in entry.features.assemblies if chain.asym in one), None)


@dataclass(frozen=True)
class _Copies:
    """The copies of ligands in an assembly.

    Attributes
    ----------
    positions
        Positions of the heavy atoms of each ligand, as deposited: float64 [atoms, 3], Å.
    radii
        Van der Waals radii of the same atoms: float64 [atoms], Å.
    ligand, operators
        Which ligand each copy is of, and the operator that makes it.
    centres
        float64 [copies, 3], Å.
    radius
        No atom is farther from the centre of its ligand, Å.
    """

    positions: Sequence[NDArray[np.float64]]
    radii: Sequence[NDArray[np.float64]]
    ligand: Sequence[int]
    operators: Sequence[Operator]
    centres: NDArray[np.float64]
    radius: float

    def within(self, centre: NDArray[np.float64], reach: float) -> _Atoms:
        """Return the atoms of all copies that may have one within reach of a point."""
        apart = np.linalg.norm(self.centres - centre, axis=1)
        near = np.flatnonzero(apart <= reach + self.radius)
        ligands = [self.ligand[copy] for copy in near.tolist()]
        return _Atoms(
            _joined(
                _moved(self.positions[ligand], self.operators[copy])
                for ligand, copy in zip(ligands, near.tolist(), strict=True)
            ),
            np.concatenate([np.empty(0), *(self.radii[ligand] for ligand in ligands)]),
            np.repeat(near, [len(self.radii[ligand]) for ligand in ligands]),
        )


class _Atoms(NamedTuple):
    """Atoms of copies of ligands: float64 [atoms, 3] and [atoms], Å, and int64 [atoms], which copy each is of."""

    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    copy: NDArray[np.int64]


def _copies(ligands: Sequence[Group], assembly: Assembly | None, place: str) -> _Copies:
    groups = [
        (one.asym, positions, _radii(one.atoms)) for one in ligands if len(positions := _positions(one.atoms))
    ]  # fmt: skip
    by_chain: dict[str, list[int]] = defaultdict(list)
    for index, (asym, *_) in enumerate(groups):
        by_chain[asym].append(index)
    if sum(len(members) * len(_operators(asym, assembly)) for asym, members in by_chain.items()) > _MOST_COPIES:
        raise SourceError(
            f"{place} is in an assembly with more than {_MOST_COPIES:,} copies of ligands; correct the assembly or "
            f"remove it."
        )
    middle = np.array([positions.mean(axis=0) for _, positions, _ in groups]).reshape(-1, 3)
    centres: list[NDArray[np.float64]] = []
    ligand: list[int] = []
    operators: list[Operator] = []
    for asym, members in by_chain.items():
        for operator in _operators(asym, assembly):
            centres.append(_moved(middle[members], operator))
            ligand += members
            operators += [operator] * len(members)
    spread = max((np.linalg.norm(each - each.mean(axis=0), axis=1).max() for _, each, _ in groups), default=0.0)
    # Operators are rotations, unless the file is wrong.
    stretch = max(
        (np.linalg.norm(operator[:, :3], 2) for operator in {id(one): one for one in operators}.values()), default=1.0
    )
    return _Copies(
        [positions for _, positions, _ in groups], [radii for *_, radii in groups], ligand, operators,
        _joined(centres), float(spread * stretch),
    )  # fmt: skip


def _binding(
    chain: Chain, ligands: _Copies, operators: Sequence[Operator], distance: float | None
) -> NDArray[np.bool_]:
    binding = np.zeros(len(chain.names), np.bool_)
    atoms = [(place, atom) for place, variant in chain.seen().items() for atom in variant.atoms.values() if atom.heavy]
    if not atoms or not len(ligands.centres):
        return binding
    places = np.array([place for place, _ in atoms])
    mine = _positions(atom for _, atom in atoms)
    radii = _radii(atom for _, atom in atoms)
    reach = 2 * LARGEST_RADIUS + _GAP if distance is None else distance
    for operator in operators:
        here = _moved(mine, operator)
        centre = here.mean(axis=0)
        # A bound a little beyond the reach spares the search and leaves the comparison exact.
        bound = reach + 0.001
        theirs = ligands.within(centre, np.linalg.norm(here - centre, axis=1).max() + bound)
        if not len(theirs.points):
            continue
        if distance is None:
            binding[_in_contact(places, here, radii, theirs, bound)] = True
        else:
            binding[places[_nearest(here, theirs.points, bound) <= distance]] = True
    return binding


def _nearest(here: NDArray[np.float64], points: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    from scipy.spatial import KDTree

    nearest, _ = KDTree(points).query(here, distance_upper_bound=bound)
    found: NDArray[np.float64] = nearest
    return found


def _in_contact(
    places: NDArray[np.int64], here: NDArray[np.float64], radii: NDArray[np.float64], theirs: _Atoms, bound: float
) -> NDArray[np.int64]:
    """Return the places of the residues with enough pairs of atoms in contact with one copy of a ligand."""
    from scipy.spatial import KDTree

    pairs = KDTree(here).sparse_distance_matrix(KDTree(theirs.points), bound, output_type="ndarray")
    mine, other = pairs["i"], pairs["j"]
    close = pairs["v"] <= radii[mine] + theirs.radii[other] + _GAP
    both = np.stack([places[mine[close]], theirs.copy[other[close]]])
    contacts, counts = np.unique(both, axis=1, return_counts=True)
    found: NDArray[np.int64] = contacts[0, counts >= _PAIRS]
    return found


def _joined(points: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.empty((0, 3)), *points])


def _positions(atoms: Iterable[Atom]) -> NDArray[np.float64]:
    return np.array([atom.position for atom in atoms if atom.heavy], np.float64).reshape(-1, 3)


def _radii(atoms: Iterable[Atom]) -> NDArray[np.float64]:
    return np.array([vdw_radius(atom.element) for atom in atoms if atom.heavy], np.float64)


def _operators(asym: str, assembly: Assembly | None) -> Sequence[Operator]:
    return _AS_DEPOSITED if assembly is None else assembly.get(asym, ())


def _moved(points: NDArray[np.float64], operator: Operator) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points @ operator[:, :3].T + operator[:, 3]
    return moved
