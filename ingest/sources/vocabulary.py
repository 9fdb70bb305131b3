"""Properties that several readers give, defined once, so that a name means one thing whatever file it came from."""

from __future__ import annotations

from ...properties import UNKNOWN_IF_NONE, UNRESOLVED, Property

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
MODIFICATION = Property(
    "modification", "residue", "boolean", "modified after translation, as the source labels it", absent=UNKNOWN_IF_NONE
)
RSA = Property(
    "rsa", "residue", "float",
    "relative solvent accessibility: accessible surface over the largest possible (Tien et al. 2013, theoretical)",
    absent=UNRESOLVED,
)  # fmt: skip
