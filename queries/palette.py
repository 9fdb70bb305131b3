"""The colours of all figures and of the page; the page's style sheet and scripts have further greys.

Contact and other, and categories, are distinguishable with colour vision deficiency.
"""

#: Colours of categories, in order (Okabe & Ito 2008, without its blacks and greys).
CATEGORIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
#: Colours of lines and marks, in order: those with contrast to white, and black.
LINES = (*CATEGORIES[:5], "#000000")
#: Colours of null models.
GREYS = ("#777777", "#aaaaaa", "#444444")

#: Pairs by contact, and sites; `PLAIN` is what has no colour of its own.
CONTACT = "#1f6fb2"
OTHER = "#e6772e"
UNKNOWN = "#8a8f98"
SITE = "#c2188f"
PLAIN = "#d9dce1"

#: Weights from 0 to the largest, by contact: from one shade, by the colour above, to another.
SHADES = {
    1: ("#dbe9f6", CONTACT, "#062a4d"),
    0: ("#ffffff", OTHER, "#5c2503"),
    -1: ("#f2f2f3", UNKNOWN, "#23262b"),
}

#: Helix, strand, turn, none of these.
STRUCTURE = {"h": "#7e6bc4", "s": "#2a9d8f", "t": "#c9b458", "c": PLAIN}

#: A truth value along a sequence; what is not a site; further categories than have colours; what is missing.
TRUE, NOT_SITE, FURTHER, MISSING = "#2d3440", "#f3f4f6", "#6b7280", "#ffffff"

#: Bars of shares, one below its background, the background itself, and intervals.
BAR, PALE_BAR, BACKGROUND, INTERVAL = "#2c7fb8", "#cfdde6", "#c1440e", "#1a1a1a"
#: Heads that are not ranked: the ground and the hatch.
UNRANKED, HATCH = "#f0f0f0", "#b8b8b8"

#: Lines of a grid, guides, edges of patches, cells without a value.
GRID, GUIDE, EDGE, EMPTY = "#e3e3e3", "#999999", "#c4c9d0", "#e8e8e8"
#: Colours of further text: notes, missing values, and captions of one protein's figures.
NOTE, ABSENT, CAPTION = "#555555", "#777777", "#5b6472"
