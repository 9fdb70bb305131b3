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
# A protein language model ran once over two thousand protein chains, and every attention weight is in a *store*. This
# notebook opens the store and asks questions; the model is not needed any more.
#
# `make demo` makes the store, `demo.attn`, in a minute or so: all chains of 20 to 100 residues from the package
# `cgdms`, through ESM-2 8M fine-tuned on haemolytic peptides. Run this notebook in the folder of the store.

# %%
import pandas as pd
from IPython.display import display

import attnstore

store = attnstore.open("demo.attn")
pd.Series(store.model().summary(), name="value").drop("source").dropna().reset_index(name="value")

# %% [markdown]
# An *entry* is one weight of one layer and head, from one residue (the *source*) to another (the *target*). An *arc* is
# a large entry: the store keeps entries of 0.05 or more exactly, and all others within a narrow bin.
#
# ## The content of the store
#
# Proteins and residues are tables. The methods return attnstore's `Relation`, which reads rows when they are needed,
# with `filter`, `select`, `order` and `limit` as in DuckDB. `.df()` returns a pandas frame.

# %%
store.proteins().select("id, length, members, sequence").limit(4).df()

# %%
store.residues().filter("protein = '1A2X_B'").select("pos, aa, cb_x, cb_y, cb_z, hydrophobic, contact_number").limit(
    4
).df()

# %% [markdown]
# The dictionary of properties lists all other columns. The demo has coordinates, and properties computed from them and
# from the sequence. You can add helices, binding sites or your own table at any time: see the notebook
# [own_property](own_property.md).

# %%
store.properties().filter("level = 'residue' AND known > 0").select("name, type, unit, known, positive").df()

# %% [markdown]
# ## Which heads attend to contacts?
#
# Two residues are in *contact* if they are six or more apart along the chain and their Cβ are less than 8 Å apart. What
# share of each head's arcs of 0.3 or more joins residues in contact?

# %%
contacts = store.align("contact", where="separation >= 6")
contacts.to_table()[
    ["layer", "head", "share", "bootstrap_low", "bootstrap_high", "count", "total", "background", "enrichment"]
].head(6)

# %% [markdown]
# In each row, `count` of `total` arcs are contacts, and `share` is their ratio. `background` is the same share among
# all pairs that could have been arcs, and `enrichment` is share / background. The interval is a bootstrap over
# *proteins*, because arcs of one protein are not independent.
#
# A few heads are far above the background. Most are not, and many have too few arcs:

# %%
contacts.plot()

# %% [markdown]
# Hatched heads have too few arcs for a share. The bars show the best head of each layer. Their intervals do not account
# for the choice of the best; `split=True` chooses on one half of the proteins and measures on the other.
#
# Does the result depend on the threshold of 0.3? One pass over the store gives every threshold:

# %%
store.align("contact", where="separation >= 6", threshold=None).plot()

# %% [markdown]
# It does: stronger arcs are more often contacts, there are fewer of them, and the order of heads changes. 0.3 is the
# paper's choice. The lower panel shows the number of arcs behind each share.

# %% [markdown]
# ## Ask in SQL
#
# `attention` is a table with one row per model, protein, layer, head, source and target. The best head by range of
# separation:

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
# `store.explain(…)` shows how a query would be answered: which part of the store is read, what it costs, and whether
# the numbers are exact or bounded.

# %%
print(store.explain("SELECT layer, head, avg(contact) FROM attention WHERE weight >= 0.3 GROUP BY ALL"))

# %% [markdown]
# ## One protein
#
# The protein in which this head has the most far arcs is

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
# Each row is a source, each column a target; darker means more attention. Blue pairs are in contact, orange pairs are
# not. The next figure shows the arcs of the same head along the chain, contacts above, others below:

# %%
view.along()

# %% [markdown]
# This is the protein with the *most* arcs of this head, not a typical one. The weights themselves are an
# `xarray.DataArray`:

# %%
weights = store.attention(protein["protein"][0], layer=layer, head=head)
strongest = weights.to_dataframe()["weight"].nlargest(5).reset_index()
strongest.assign(
    source_aa=weights["source_aa"].values[strongest["source"]],
    target_aa=weights["target_aa"].values[strongest["target"]],
)

# %% [markdown]
# The rest of every row goes to the special tokens at the ends, which are not residues; the coordinate `special` has its
# sum:

# %%
weights["special"].to_series().describe().rename("share of a row").reset_index()

# %% [markdown]
# ## Next
#
# - [paper](paper.md): the analysis of Vig et al. 2021 on this store, compared with chance;
# - [own_property](own_property.md): add properties of residues, pairs and proteins, and use them in queries;
# - [two_models](two_models.md): two models and chance compared;
# - [contacts](contacts.md): predict contacts from attention, and see them in 3D;
# - [queries](../queries.md): the query language, with twenty-one questions and answers; [properties](../properties.md):
#   all properties and their sources; [ingest](../ingest.md): a store of your own proteins and model.
