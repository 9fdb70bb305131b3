"""Properties that several readers provide, defined once, so that a name means the same for every file."""

from __future__ import annotations

from collections.abc import Mapping

from ..catalog.property import UNKNOWN_IF_NONE, UNRESOLVED, Property

_NOT_ASSIGNED = "NULL where no structure is assigned, as at unresolved residues"

SS8 = Property(
    "ss8", "residue", "category",
    "secondary structure by DSSP (Kabsch and Sander 1983): H α, G 3-10, I π and P polyproline II helix, E strand, "
    "B bridge, T turn, S bend, C none of these",
    absent=_NOT_ASSIGNED,
)  # fmt: skip
SS4 = Property(
    "ss4", "residue", "category", "ss8 in four classes: helix (H G I), strand (E B), turn (T S) and other (C P)",
    absent=_NOT_ASSIGNED,
)  # fmt: skip
SS3 = Property(
    "ss3", "residue", "category", "ss8 in three classes: helix (H G I), strand (E B) and coil (all others)",
    absent=_NOT_ASSIGNED,
)  # fmt: skip
#: Each letter's class of eight (with mkdssp 4's P), of four and of three.
DSSP_CLASSES: Mapping[str, tuple[str, str, str]] = {
    **{letter: (letter, "helix", "helix") for letter in "GHI"},
    **{letter: (letter, "strand", "strand") for letter in "EB"},
    **{letter: (letter, "turn", "coil") for letter in "ST"},
    "P": ("P", "other", "coil"),
    # None of these: DSSP leaves it blank, others write a letter.
    **dict.fromkeys(" -CL", ("C", "other", "coil")),
}
HELIX = Property("helix", "residue", "boolean", "in a helix, as the entry records it", absent=UNKNOWN_IF_NONE)
STRAND = Property("strand", "residue", "boolean", "in a β-strand, as the entry records it", absent=UNKNOWN_IF_NONE)
TURN = Property("turn", "residue", "boolean", "in a turn, as the entry records it", absent=UNKNOWN_IF_NONE)
DISULFIDE = Property(
    "disulfide", "pair", "boolean", "joined by a disulfide bond, as the entry records it; both directions are listed",
    absent=UNKNOWN_IF_NONE,
)  # fmt: skip
BINDING_SITE = Property(
    "binding_site", "residue", "boolean", "in a binding site, as the source labels it", absent=UNKNOWN_IF_NONE
)
# Kinds of modification that PSI-MOD, the ontology of protein modifications, and UniProt distinguish (Montecchi-Palazzi
# et al. 2008, Nature Biotechnology 26:864–866).
MODIFIED_RESIDUE = Property(
    "modified_residue", "residue", "boolean",
    "chemically modified in itself, as by a phosphate or a methyl group; no glycan, lipid or cross-link",
    absent=UNKNOWN_IF_NONE,
)  # fmt: skip
GLYCOSYLATION = Property(
    "glycosylation", "residue", "boolean", "a glycan is attached (PSI-MOD MOD:00693)", absent=UNKNOWN_IF_NONE
)
LIPIDATION = Property(
    "lipidation", "residue", "boolean", "a lipid is attached (PSI-MOD MOD:01155)", absent=UNKNOWN_IF_NONE
)
CROSS_LINK = Property(
    "cross_link", "residue", "boolean",
    "linked to another residue, of the chain or of another, by neither a disulfide nor the chain's own peptide bonds "
    "(PSI-MOD MOD:00033 without disulfides)",
    absent=UNKNOWN_IF_NONE,
)  # fmt: skip
DISULFIDE_BONDED = Property(
    "disulfide_bonded", "residue", "boolean", "in a disulfide, within the chain or to another (PSI-MOD MOD:00689)",
    absent=UNKNOWN_IF_NONE,
)  # fmt: skip
PROTEIN_MODIFICATION = Property(
    "protein_modification", "residue", "boolean",
    "the mixture that Vig et al. 2021 call protein modifications: modified, glycosylated, lipidated, bound to another "
    "group, cross-linked, in a disulfide, or coordinating a metal",
    absent=UNKNOWN_IF_NONE,
)  # fmt: skip
RSA = Property(
    "rsa", "residue", "float",
    "relative solvent accessibility: accessible surface over the largest possible (Tien et al. 2013, theoretical)",
    absent=UNRESOLVED,
)  # fmt: skip
