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
# Some heads attend to residues in contact, so their attention predicts contacts. This notebook predicts contacts with
# the three methods of the literature, and measures the predictions on proteins that were not used to choose heads or
# coefficients. It uses the demo store (`make demo`); the model does not run. [contacts](../contacts.md) has the
# definitions.

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
# The map of a head is its attention, symmetrised, minus the attention that each residue receives from everywhere (the
# average product correction). The score of a pair is
#
# - `head`: the map of the one head that is best on a few labelled proteins;
# - `topk`: the mean of the k best maps (k is chosen on the same proteins);
# - `logistic`: a logistic regression on the maps of all heads, fitted on the same proteins (Rao et al. 2021).
#
# Heads and coefficients are chosen on fifty proteins. The precision is measured on all others that are in none of their
# clusters.

# %%
head = store.contact_precision(method="head", select=50)
topk = store.contact_precision(method="topk", select=50)
logistic = store.contact_precision(method="logistic", select=50)
methods = {"head": head, "topk": topk, "logistic": logistic}

results = pd.concat({name: result.to_table() for name, result in methods.items()}, names=["method"])
results = results.reset_index("method")
results[results["range"] == "all"][["method", "top", "precision", "low", "high", "random", "proteins"]]

# %% [markdown]
# *Precision at L* is the share of contacts among the L best-scored pairs of a chain of L residues, averaged over
# proteins. L/2 and L/5 are shorter lists. `random` is the precision of a random order. All methods are many times
# better than random, and still most pairs on the longer lists are wrong: the model is small and the chains are short.
#
# Pairs that are far apart along the chain are harder to predict, and matter more for the fold:

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
# With the method `head`, every head is measured, not only the chosen one, so the luck in the choice is visible:
# `chosen` is a head's precision on the fifty proteins, `precision` on the others. `alignment` is the share of its
# strong arcs that are contacts:

# %%
head.heads.head(8)

# %% [markdown]
# Alignment and precision are different. The few strong arcs of a head may nearly all be contacts, while precision asks
# for L pairs in every protein. Choose the measure that fits your purpose.
#
# Do not pick the best rows *from* this table: that would choose and measure on the same proteins. Report the chosen
# head, with the precision in the first table.
#
# ## One protein
#
# Which protein should we look at? Not the best one. Sort the proteins of 60 residues or more by the regression's
# precision at L, and take the protein in the middle and the protein at the 90th percentile:

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
# Where the prediction is right, it mirrors the true map. Most rings are near the diagonal; most contacts of residues
# far apart are missed. A ring next to a line of contacts is wrong by a residue or two, and counts as wrong. The
# best-scored pairs of the second chain are:

# %%
maps[good].to_table(8)[["i", "j", "i_aa", "j_aa", "separation", "score", "distance", "contact"]]

# %% [markdown]
# ## In 3D
#
# The next cell shows the raw attention of the best single head on the same chain. In Jupyter you can turn the
# structure; arcs are cylinders, blue between residues in contact, orange between others. You can change head and
# threshold there; the view starts at 0.05, the arc floor. `view.save("page.html")` writes a page for any browser.

# %%
layer, number = map(int, head.attrs["heads"].split("-"))
view = store.view(good, layer=layer, head=number, threshold=0.05)
display(view)

# %% [markdown]
# The same as a matrix, with all weights of the head, blue where residues are in contact:

# %%
view.matrix()

# %% [markdown]
# No pair six or more apart comes near 0.3, the threshold of alignment, so this head has no arcs in this chain. To
# predict contacts, attention need not be strong; it only has to be stronger where residues are in contact.
#
# ## To keep in mind
#
# - A contact is Cβ closer than 8 Å, six or more apart; other definitions give other figures.
# - Each chain is a cluster by itself here, so homologues may be both among the fifty and among the others. With a
#   column of clusters, `cluster_by=` keeps families together.
# - A protein that was not selected *here* may still have been in the training data of the language model.
