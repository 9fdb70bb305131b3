"""Amino acids by the names of their residues, and chemical elements by the names of their atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from Bio.Data.IUPACData import atom_weights
from Bio.Data.PDBData import protein_letters_3to1, protein_letters_3to1_extended, residue_sasa_scales

from ..record import LETTERS

#: One-letter codes of 826 components: all those of a peptide-linking type (L, D, beta, gamma, terminal) in the wwPDB's
#: chemical component dictionary (Westbrook et al., Bioinformatics 2015, 31:1274; released under CC0), as biotite 1.6.0
#: bundles it (state of January 2026), that Biopython 1.88's ``protein_letters_3to1_extended`` does not have. The letter
#: is the component's ``one_letter_code``, else that of its ``mon_nstd_parent_comp_id``, else X. A line starts with the
#: letter of all its names.
_LETTER_LISTS = """
    A 175 33X 7VN A1ALE A1AMB A1AMC A1AT6 A1AT7 A1BE5 A1CTT A1H5W A1IID APH AYG CLV CRW CRX DAL HHK MDO OHD PIA S2D
      VVK X5P X9Q YFQ ZAL ZRF ZTK
    C 00C 08P 85F 85L 8JB A1A7V A1BC0 A1CRT A1D64 A1ECI CCY CGL DCY GQI GYC I3L KZ1 KZ4 KZ7 KZG KZV KZY Q8X UJR VI3
      YRV ZLF
    D 7TK A1ER5 ACB AS2 DAS DSP DYG IAS SIC SUI XYG ZJU
    E 86N CRU DGL FGA GAM GGL NHL R0K VHF
    F 7T2 7VU 7W2 9DT A1C3V A1CCR A1ECK A1ECL A1H2H A1IHG A1IPL A1L4D A1MCG CFY DPN FX9 HP9 IAE IOY NDF OFM V1C V3E
      X5U YC3 ZV4
    G 4F3 9DS A1AZQ A1IJF BF6 CJO CQ2 CQR CR2 CZO D3P DGH EJJ F6N F75 GHP IO8 MFC OTZ OZ3 PG9 TOZ WCR ZSX
    H 5SQ 7R0 7R6 A1A7R A1AS0 A1ASZ A1AZ2 A1I9G A1IQX CR8 DHI I4O IEY OGC PJ3 RC7 X1B
    I DIL OIM RX9
    K 5GG 6G4 7QK 8RE A1BDE A1BEB A1BX4 A1D5B A1EDD A1EG1 A1EIU A1EJ1 A1EJ4 A1EJR A1EJS A1EJT A1EJZ A1EMP A1H5N
      A1H96 A1LUV A1LWV A66 CCL CH7 CIV CR7 DLY GND I2F JGO KR3 XRW ZAI
    L 8WY A1A5T A1ADO BJO DLE DNE HL5 KW4 NRP S0R T3R TDD VUB VYA
    M A1LUD CH6 CRK EYG MED MS6 MV6 NRQ Q2K QIP QYX
    N 1IP A1LUT DSG HTN MND NB8 NYG
    O XPL
    P 7YO 8LJ A1A3M A1CAB A1D5E A1D9O A1ICB A1ICC A1L2U DPR KLF N8P SLR V3C XRE ZI0
    Q 4M9 A1L4B CRQ DGN QCI QFG QLG QYG YTF ZKO
    R A1CCS A1EFT A1LTQ DAR EI4 WYK
    S A1BC5 A1BZO A1EIC A1IKP B3S CSH CSY DISEP DSE DSN GYS I7F IIC MKF QDS SWG UDS
    T 2TL 4NT 4NU 5ZA 6BR B2H BF9 C12 C99 CQ1 CR0 CRF CRG CRO D11 DTH FHE GMO IYT KWS M3V MFV NYC QC4 QCA QCD X5V
      XDT XXY
    U 30F PSW SE7 SOC SYS UOX
    V A1A8T A1AVU A1ECM DHV DIV DVA EU0 LEI RXL X60 ZQN
    W 32S 32T A1A5S A1AL8 A1AP1 A1AWS A1D7R A1H2I A1H45 A1L7E DTR LT0 LTU V6W WWB
    X 004 00B 00E 00O 01N 01W 02A 02V 03E 04Q 04R 04X 060 08M 0AZ 0EH 0G5 0GG 0MU 0QZ 0RJ 0TH 0UZ 0W6 0XL 0XO 0XQ
      0Y9 13E 192 193 19W 1C3 1E3 1G2 1G3 1G8 1IC 1JM 1ME 1MH 1QI 1TX 1U8 1VR 1XW 22G 23S 28J 2AD 2AO 2AS 2DO 2JC
      2JF 2JH 2JJ 2JN 2KY 2KZ 2L5 2L6 2L9 2PI 2QD 2QY 2R1 2YC 2YF 2YG 2YH 2YJ 32L 35Y 3A5 3AR 3EG 3FG 3K4 3MM 3PM
      3U0 3ZL 45W 4CG 4DB 4FO 4IK 4J2 4L8 4M8 4N3 4OP 4QK 4UD 55N 562 56C 5A6 5DW 5F0 5LB 5LE 5LF 5OL 5OM 5X8 62H
      65T 66C 66E 6DU 6E4 6FL 6G5 6KM 6KY 6RK 6V9 6YJ 6ZS 7C9 7CC 7HA 7J3 7J4 7MN 7RX 7WC 81R 81S 85G 85J 8YR 99Y
      9AT 9BP 9EV 9JC 9JV 9KK 9MN 9OW 9R1 9R4 9R7 9U6 9U9 9UC 9UF 9V0 9V6 9VC 9VF 9VL 9VR A0G A1A2I A1A2K A1A48
      A1ADW A1ADY A1ADZ A1AMM A1AQ4 A1BIT A1BIU A1D8R A1EAK A1ECH A1H6Z A1I48 A1I67 A1IJ4 A1IJE A1IJP A1IJQ A1IKE
      A1IM3 A1IM7 A1IM8 A1IMX A1IU4 A1IUO A1JND A1JNX A1JWF A1L3I A1L7K A1L7L A1L7N A1L97 A1L9X AA6 AB7 AC5 ACA ADD
      AE5 AGD AHH AJE APM APO APP ARF ARV AS9 ASM AVN B2C B2N B3L B3M B3Q B3T B5I B8R BE2 BF7 BIL BJH BW5 BZK C0O
      C2N C66 CAB CCJ CDE CDV CGH CHG CLB CLD CNG CPC CPI CSK CUC CUD D0C D0Q D4P DAM DBB DFF DFI DFO DHL DHP DI8
      DMT DNG DNM DO2 DOA DV7 DYL E03 E95 EEP EJM EO2 EOE ERL ETA EYS F0G F3M F3T F7P F7S F7V F93 F9D FOD FPR FRD
      FXC FXF FXL GCM GGB GLM GZB GZJ HCL HCS HFA HG7 HGL HGM HJH HJV HJY HLX HM8 HM9 HMF HTY I1C II7 J7H J9A JBY
      JKC JMX KBS KBV KCJ KCY KJW KSB KXV KY4 KY7 L2A L4R LHC LKE LOU LPH LPL LTA LV8 LYH LYV M64 M6J M70 MCG MD0
      MDH MF3 MFH MH8 MHE MHV MHW MHY MJ1 MKD MLU MOD MOZ MP4 MPH MPJ MSP MV9 N2C NCY NKS NRG NSK O12 OBF OEM OGU
      OGZ OIB OIC OJY OLE OMZ ONL ORD OTB OTY OV7 OWF OZT P0A P4E P4F PCE PDD PDL PDW PH8 PIV PNZ PQ4 PQG PRQ PRR
      PVL PVO Q3S QAC QDD QNY QOL QQB QUJ QUK QVE QVS QXV QZA R0E R2P R2T R6E RF9 RON SBD SD2 SFE SKG SKJ SUB SZF
      T09 T2C T66 T79 T7Q TA4 TDF TFR THO TJI TPH TST TYX TZB TZO U2M U6A UAL UB4 UIA UKD UKY UN1 UN2 URV UU4 UU5
      UXY UY7 UYA UZ4 UZA UZN V1V V4F V53 V5F VDE VDK VDL VEF VLL VLM VMS VNW VOL W4T WCM WZJ X5H X6E XC0 XOK XXA
      Y28 YBR YCP YD5 YF5 YFZ YWF YWV YYA Z50 Z9J ZAE ZFB ZGL ZNY ZRJ ZT9 ZTC ZTG ZUK ZY9 ZZU
    Y 05O 0YG 3TY A1CCQ A1D5P DTY IB9 J2F YNM YTL ZT6
"""

#: Residue name to letter, "X" where the dictionary has none.
COMPONENTS: dict[str, str] = {}
_letter = ""
for _word in _LETTER_LISTS.split():
    # Letters are the words of one character: no component of the table has so short a name.
    if len(_word) == 1:
        _letter = _word
    else:
        COMPONENTS[_word] = _letter


#: Residue name to parent residue name, as the file declares its modified residues.
Parents = Mapping[str, str]

#: Water by the names of the PDB and of the force fields (CHARMM, Amber, GROMACS); "TIP" is TIP3 in three columns.
WATERS = frozenset({"HOH", "WAT", "DOD", "H2O", "TIP", "TIP3", "TIP4", "TIP5", "TP3", "TP4", "TP5", "SOL", "SPC"})
NUCLEOTIDES = frozenset({"A", "C", "G", "I", "N", "T", "U", "DA", "DC", "DG", "DI", "DN", "DT", "DU"})
#: Names of amino acids in Amber and CHARMM, by their protons and bridges. The PDB uses two of the names, HSE and GLH,
#: for other residues; its files declare them.
FORCE_FIELD_NAMES: Mapping[str, str] = {
    "ASH": "ASP", "CYX": "CYS", "GLH": "GLU", "HID": "HIS", "HIE": "HIS", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS",
}  # fmt: skip
#: The largest accessible surface of each amino acid, Å²: Tien et al. 2013, PLoS ONE 8:e80635, Table 1, column
#: "Theoretical"; Biopython has it by the name of the group.
LARGEST_SURFACE: Mapping[str, float] = residue_sasa_scales["Wilke"]
#: The names of the 20 amino acids.
STANDARD: Mapping[str, str] = {name.upper(): letter for name, letter in protein_letters_3to1.items()}

_TABLE: Mapping[str, str] = {
    **COMPONENTS,
    **{name.strip(): letter for name, letter in protein_letters_3to1_extended.items()},
    "SEC": "U",
    "PYL": "O",
    "ASX": "B",
    "GLX": "Z",
    "XLE": "J",
    "UNK": "X",
}


def letter(name: str, parents: Parents, declared: str = "X") -> str | None:
    """Return the letter of a residue; None if its name is not an amino acid's.

    A standard amino acid has its own letter. Any other has the declared one, else that of the dictionary's component,
    else that of the parent that the file names, else X.

    Parameters
    ----------
    name
        Name of the residue.
    parents
        As the file declares them.
    declared
        The letter in the file's canonical sequence; 'X' if it has none.
    """
    if name in STANDARD:
        return STANDARD[name]
    if declared != "X" and declared in LETTERS:
        return declared
    if name not in parents:
        name = FORCE_FIELD_NAMES.get(name, name)
    known = [_TABLE[each] for each in (name, parents.get(name, "")) if each in _TABLE]
    return next((each for each in known if each != "X"), known[0] if known else None)


def is_amino_acid(name: str, parents: Parents) -> bool:
    """Say whether a residue name is an amino acid's."""
    return letter(name, parents) is not None


def is_protein(names: Sequence[str], parents: Parents) -> bool:
    """Say whether a polymer of these residue names is a protein.

    It is if it has at least one amino acid, and not fewer of these than nucleotides: an RNA with an attached amino acid
    stays an RNA.
    """
    amino = sum(is_amino_acid(name, parents) for name in names)
    return amino > 0 and amino >= sum(name in NUCLEOTIDES for name in names)


def why_no_protein(names: Sequence[str]) -> str:
    """Return the reason for which a chain of these residue names is left out."""
    if not names:
        return "waters and ligands alone"
    if not NUCLEOTIDES.isdisjoint(names):
        return "nucleic acid"
    distinct = list(dict.fromkeys(names))
    listed = ", ".join(distinct[:_NAMED]) + (f" and {len(distinct) - _NAMED} more" if len(distinct) > _NAMED else "")
    return f"no residue is a known amino acid: {listed}"


_NAMED = 3


_SYMBOLS = frozenset(symbol.upper() for symbol in atom_weights) | {"D"}
#: The elements that are not metals, metalloids included.
_NO_METALS = frozenset(
    "H D HE B C N O F NE SI P S CL AR GE AS SE BR KR SB TE I XE AT RN".split()  # noqa: SIM905
)
# For elements without a radius in the table below, as in the program of BioLiP2 (github.com/kad-ecoli/mmCIF2BioLiP), Å.
_OTHER_RADIUS = 2.0
#: The radius of potassium, the largest in the table, Å.
LARGEST_RADIUS = 2.75
# Characters around the letters of an atom's name.
_MARKS = "0123456789'\"*+-"


def element(stated: str, name: str, group: str) -> str:
    """Return the upper-case symbol of an atom's element, "" if it cannot be determined.

    Parameters
    ----------
    stated
        As in the file; may be blank.
    name
        Name of the atom; from a PDB file with its blanks, because there the element's symbol ends in the second of the
        four columns.
    group
        Name of the residue or ligand.
    """
    symbol = stated.strip().upper()
    if symbol in _SYMBOLS:
        return symbol
    bare = name.strip().strip(_MARKS).upper()
    if bare in _SYMBOLS and bare == group.upper().strip(_MARKS):
        return bare
    # A PDB name that starts in its first column has a symbol of two letters, or is that of a hydrogen of four.
    two = name[:2].upper()
    shifted = len(name) == 4 and name[0].isalpha() and group not in protein_letters_3to1
    if shifted and two in _SYMBOLS and not (two[0] == "H" and name[3] != " "):
        return two
    return bare[:1] if bare[:1] in _SYMBOLS else ""


def is_metal(symbol: str) -> bool:
    """Say whether an element is a metal; an undetermined one is not."""
    return symbol in _SYMBOLS and symbol not in _NO_METALS


def vdw_radius(symbol: str) -> float:
    """Return the van der Waals radius of an element, by its upper-case symbol.

    The radii are Biopython's (`Bio.PDB.SASA.ATOMIC_RADII`): those of Bondi 1964, J. Phys. Chem. 68:441–451, and for
    calcium that of Mantina et al. 2009, J. Phys. Chem. A 113:5806–5812; 2.00 Å for elements that it lacks.
    """
    from Bio.PDB.SASA import ATOMIC_RADII

    return float(ATOMIC_RADII.get(symbol, _OTHER_RADIUS))
