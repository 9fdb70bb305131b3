"""The colours that figures and page share; contact against other is told apart by people who do not see all of them."""

CONTACT = "#1f6fb2"
OTHER = "#e6772e"
UNKNOWN = "#8a8f98"
SITE = "#c2188f"
PLAIN = "#d9dce1"

#: Helix, strand, turn, none of these.
STRUCTURE = {"h": "#7e6bc4", "s": "#2a9d8f", "t": "#c9b458", "c": PLAIN}
STRUCTURE_NAMES = {"h": "helix", "s": "strand", "t": "turn", "c": "none of these"}

#: Of categories, in order (Okabe & Ito 2008, without its blacks and greys).
CATEGORIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
