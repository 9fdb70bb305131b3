# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A quick start
#
# A protein language model read two thousand protein chains, once, and every attention weight it paid is in a *store*.
# This notebook opens that store and asks it things; the model itself is not needed any more.
#
# `make demo` makes the store, `demo.attn`, in a minute or so: all chains of 20 to 100 residues from the package
# `cgdms`, through ESM-2 8M fine-tuned on haemolytic peptides. Run this where it lies.

# %%
import pandas as pd
from IPython.display import display

import attnstore

store = attnstore.open("demo.attn")
pd.Series(store.model().summary(), name="value").drop("source").dropna().reset_index(name="value")

# %% [markdown]
# An *entry* is one weight: of one layer and head, from one residue (the *source*) to another (the *target*). An *arc*
# is one that is large; the store keeps those of 0.05 or more with all their digits, and all others to within a narrow
# bin.
#
# ## What is in it
#
# Proteins and residues are tables. The methods return attnstore's `Relation`: rows that are read when they are asked
# for, with `filter`, `select`, `order` and `limit` as in DuckDB. `.df()` makes a pandas frame of them.

# %%
store.proteins().select("id, length, members, sequence").limit(4).df()

# %%
store.residues().filter("protein = '1A2X_B'").select("pos, aa, cb_x, cb_y, cb_z, hydrophobic, contact_number").limit(
    4
).df()

# %% [markdown]
# What is known of residues beyond that is in the dictionary of properties. The demo has coordinates, and what follows
# from them and from the sequence. Helices, binding sites or a table of your own can be added any time: see the notebook
# [own_property](own_property.md).

# %%
store.properties().filter("level = 'residue' AND known > 0").select("name, type, unit, known, positive").df()

# %% [markdown]
# ## Which heads attend to contacts?
#
# Two residues are in *contact* if they are six or more apart along the chain and their Cβ are less than 8 Å apart. Of
# each head's arcs of 0.3 or more, what share joins residues in contact?

# %%
contacts = store.align("contact", where="separation >= 6")
contacts.to_table()[
    ["layer", "head", "share", "bootstrap_low", "bootstrap_high", "count", "total", "background", "enrichment"]
].head(6)

# %% [markdown]
# Read a row like this: `count` of `total` arcs are contacts, which is the `share`; among all pairs that could have been
# arcs it would be the `background`; `enrichment` is one over the other. The interval is a bootstrap over *proteins*,
# for arcs of one protein resemble each other.
#
# A few heads stand far above the background. Most do not, and many have no opinion:

# %%
contacts.plot()

# %% [markdown]
# Hatched heads have too few such arcs to tell. The bars are each layer's best head. Their intervals do not know that
# these heads were picked for being the best; `split=True` picks on one half of the proteins and measures on the other.
#
# Does it hang on the threshold of 0.3? One pass over the store gives every threshold:

# %%
store.align("contact", where="separation >= 6", threshold=None).plot()

# %% [markdown]
# It does: a stronger arc is the likelier contact, there are fewer of them, and heads change places. 0.3 is the paper's
# choice, and no more than that. Below, the number of arcs on which each share rests.

# %% [markdown]
# ## Ask in SQL
#
# `attention` behaves like a table with a row for each model, protein, layer, head, source and target. The best head by
# range of separation:

# %%
best = contacts.to_table().iloc[0]
layer, head = int(best["layer"]), int(best["head"])
store.query(f"""
    SELECT CASE WHEN separation < 12 THEN 'short' WHEN separation < 24 THEN 'medium' ELSE 'long' END AS "range",
           count(*) AS arcs, avg(contact) AS contacts, avg(weight) AS weight
    FROM attention
    WHERE layer = {layer} AND head = {head} AND weight >= 0.3 AND separation >= 6
    GROUP BY ALL ORDER BY min(separation)
""")

# %% [markdown]
# `store.explain(…)` says how a question would be answered: which part of the store is read, what it costs, and whether
# the numbers are exact or bounded.

# %%
print(store.explain("SELECT layer, head, avg(contact) FROM attention WHERE weight >= 0.3 GROUP BY ALL"))

# %% [markdown]
# ## One protein
#
# The protein in which this head has the most far arcs:

# %%
protein = store.query(f"""
    SELECT protein, count(*) AS arcs, avg(contact) AS contacts FROM attention
    WHERE layer = {layer} AND head = {head} AND weight >= 0.3 AND separation >= 6
    GROUP BY ALL ORDER BY arcs DESC, protein LIMIT 1
""")
display(protein)

# %%
view = store.view(protein["protein"][0], layer=layer, head=head)
view.matrix()

# %% [markdown]
# Each row is a source, each column a target; the darker, the more attention. Blue pairs are in contact, orange ones are
# not. The same head's arcs along the chain, contacts above, others below:

# %%
view.along()

# %% [markdown]
# It is the protein with the *most* arcs of this head, so it shows how the head looks where it has much to say, not how
# it looks on the average. The weights themselves are an `xarray.DataArray`:

# %%
weights = store.attention(protein["protein"][0], layer=layer, head=head)
strongest = weights.to_dataframe()["weight"].nlargest(5).reset_index()
strongest.assign(
    source_aa=weights["source_aa"].values[strongest["source"]],
    target_aa=weights["target_aa"].values[strongest["target"]],
)

# %% [markdown]
# The remainder of every row goes to the special tokens at the ends, which are no residues; how much is in the
# coordinate `special`:

# %%
weights["special"].to_series().describe().rename("share of a row").reset_index()

# %% [markdown]
# ## Where to go on
#
# - [paper](paper.md): the analysis of Vig et al. 2021 on this store, with what chance would do beside it;
# - [own_property](own_property.md): give residues, pairs and proteins properties of your own, and ask about them;
# - [two_models](two_models.md): two models and chance side by side;
# - [contacts](contacts.md): predict contacts from attention, and see them in 3D;
# - [queries](../queries.md): the query language, with twenty-one questions and answers; [properties](../properties.md):
#   what can be known of residues; [ingest](../ingest.md): a store of your own proteins under your own model.
