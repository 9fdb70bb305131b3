# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Contacts from attention
#
# If some heads attend to residues that touch, their attention predicts contacts. Here that is done in the three ways of
# the literature, and measured on proteins that took no part in choosing: on the demo store (`make demo`), without the
# model. [contacts](../contacts.md) has the definitions.

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.colors import PowerNorm

import attnstore

store = attnstore.open("demo.attn")

# %% [markdown]
# A head's map is its attention, made symmetric, less what each residue attracts from everywhere (the average product
# correction). The score of a pair is
#
# - `head`: the map of the one head that is best on a few labelled proteins;
# - `topk`: the mean of the k best (k is chosen there, too);
# - `logistic`: a logistic regression on the maps of all heads, fitted there (Rao et al. 2021).
#
# Fifty proteins choose; all the others, none of the same cluster, measure.

# %%
head = store.contact_precision(method="head", select=50)
topk = store.contact_precision(method="topk", select=50)
logistic = store.contact_precision(method="logistic", select=50)
methods = {"head": head, "topk": topk, "logistic": logistic}

results = pd.concat({name: result.to_table() for name, result in methods.items()}, names=["method"])
results = results.reset_index("method")
results[results["range"] == "all"][["method", "top", "precision", "low", "high", "random", "proteins"]]

# %% [markdown]
# *Precision at L*: of the L best-scored pairs of a chain of L residues, the share that touch, the mean over proteins.
# L/2 and L/5 are shorter lists, of what is surest. `random` is what guessing gives. All methods are many times better
# than that, and still most of the pairs on the longer lists are wrong: these are a small model and short chains.
#
# Pairs that are far apart along the chain are harder, and matter more for the fold:

# %%
fig, panels = plt.subplots(1, 4, figsize=(8.6, 2.9), sharey=True, layout="constrained")
colours = {"head": "#9ecae1", "topk": "#4292c6", "logistic": "#08519c"}
for axes, span in zip(panels, head["range"].values, strict=True):
    for place, (name, result) in enumerate(methods.items()):
        one = result.sel(range=span)
        at = np.arange(one.sizes["top"]) + 0.27 * (place - 1)
        axes.bar(at, one["precision"], 0.25, color=colours[name], label=name)
        axes.vlines(at, one["low"], one["high"], color="0.2", linewidth=0.9)
    axes.axhline(float(one["random"]), color="#c1440e", linestyle="--", linewidth=1, label="random")
    axes.set_xticks(range(one.sizes["top"]), one["top"].values)
    axes.set_title({"all": "six or more apart"}.get(span, f"{span} range"), fontsize=10)
panels[0].set_ylabel("precision")
fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
plt.show()

# %% [markdown]
# ## Which heads?

# %%
print("head    ", head.attrs["heads"])
print("topk    ", topk.attrs["heads"])
print("logistic", logistic.attrs["heads"])

# %% [markdown]
# With method `head` every head is measured beside the chosen one, so its luck can be seen: `chosen` is its precision on
# the fifty, `precision` on the others. `alignment` is the share of its strong arcs that are contacts:

# %%
head.heads.head(8)

# %% [markdown]
# Alignment and precision are not the same. A head may be right nearly always when it speaks, and hardly ever speak;
# here every protein demands L pairs of it. Choose by the one that your purpose asks for.
#
# The best rows of this table must not be picked *from* it: that would choose and measure on the same proteins. The head
# to quote is the chosen one, with the precision in the first table.
#
# ## One protein
#
# Not the best one. Sort the proteins of 60 residues or more by how the regression does at L, and take the one in the
# middle and the one that nine in ten are below:

# %%
by_protein = logistic["by_protein"].sel(range="all", top="L")
ordered = by_protein.where(logistic["length"] >= 60).to_series().dropna().sort_values(kind="stable")
typical, good = (ordered.index[int(share * (len(ordered) - 1))] for share in (0.5, 0.9))
ordered.loc[[typical, good]].rename("precision at L").reset_index()

# %%
# Both were held out above. To predict them now, choose on the same proteins again.
chosen_on = json.loads(logistic.attrs["chosen_on"])
maps = {name: store.contacts(name, method="logistic", select=chosen_on) for name in (typical, good)}

fig, panels = plt.subplots(1, 2, figsize=(8.6, 4.3), layout="constrained")
for axes, (name, predicted) in zip(panels, maps.items(), strict=True):
    size = predicted.sizes["i"]
    i, j = np.indices((size, size))
    touching = (predicted["distance"].values < 8) & (j - i >= 6)
    axes.imshow(np.where(i - j >= 6, predicted, np.nan), cmap="Greys", norm=PowerNorm(0.5, 0, 1))
    axes.scatter(*np.nonzero(touching)[::-1], s=6, marker="s", color="0.25", linewidth=0)
    pairs = predicted.to_table()
    axes.scatter(pairs["i"], pairs["j"], s=16, facecolor="none", linewidth=0.9,
                 edgecolor=np.where(pairs["contact"].fillna(False), "#08519c", "#c1440e"))  # fmt: skip
    axes.axline((0, 0), slope=1, color="0.8", linewidth=0.8)
    axes.set(title=f"{name}, {size} residues", xlabel="residue", ylabel="residue")
fig.suptitle(
    "above the diagonal true contacts, below it scores, the L best ringed: blue right, orange wrong", fontsize=9
)
plt.show()

# %% [markdown]
# Where the prediction is right it mirrors the true map. Most rings are near the diagonal; contacts of residues far
# apart are largely missed. A ring beside a line of contacts is off by a residue or two, which counts as wrong all the
# same. The best-scored pairs of the second chain:

# %%
maps[good].to_table(8)[["i", "j", "i_aa", "j_aa", "separation", "score", "distance", "contact"]]

# %% [markdown]
# ## In 3D
#
# The raw attention of the best single head on the same chain. In Jupyter the next cell shows its structure, which can
# be turned, with arcs as cylinders: blue between residues in contact, orange between others. Head and threshold can be
# changed there; it begins at 0.05, where arcs begin. `view.save("page.html")` makes a page of it for any browser.

# %%
layer, number = map(int, head.attrs["heads"].split("-"))
view = store.view(good, layer=layer, head=number, threshold=0.05)
display(view)

# %% [markdown]
# The same flat, all weights of the head, blue where residues are in contact:

# %%
view.matrix()

# %% [markdown]
# Of pairs six or more apart none here comes near 0.3, the threshold of alignment: to that question this head has
# nothing to say of this chain. Predicting contacts takes no strong attention, only attention that is stronger where
# residues touch.
#
# ## To keep in mind
#
# - Cβ closer than 8 Å, six or more apart: other definitions give other figures.
# - Chains here are single: relatives may be on both sides of the choice. With a column of clusters, `cluster_by=` keeps
#   families together.
# - Proteins that were not chosen on *here* may still have been in what the language model was trained on.
