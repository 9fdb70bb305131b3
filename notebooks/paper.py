# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The paper's analysis
#
# Vig et al. 2021 (*BERTology Meets Biology*, [arXiv 2006.15222](https://arxiv.org/abs/2006.15222)) asked of each
# attention head what share of its strong attention goes to residues with a property. Here is that analysis on the demo
# store (`make demo`), and beside each figure the one that tells how much of it to believe.
#
# The numbers are not the paper's and should not be held against them: the model is ESM-2 8M fine-tuned on haemolytic
# peptides rather than TAPE's BERT and its kin, the chains have 20 to 100 residues, and contacts are by Cβ. For the
# paper's own models and data, beside its published figures, there is [`attnstore reproduce`](../reproduce.md).

# %%
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display

import attnstore
from attnstore import fetch
from attnstore.ingest import ingest

store = attnstore.open("demo.attn")

# %% [markdown]
# ## Contacts, the paper's way
#
# Of a head's arcs of weight 0.3 or more, what share is contacts? The paper divides by *all* arcs. Intervals are Wald's
# at a level corrected for the number of heads, and heads with 100 arcs or fewer are left out.

# %%
paper = store.align("contact", paper=True)
paper.to_table()[["layer", "head", "share", "wald_low", "wald_high", "count", "total", "background"]].head(5)

# %% [markdown]
# (Layers and heads count from 0. The paper counts from 1: `paper.plot(one_based=True)`.)
#
# But a contact is at least six residues away along the chain, by definition, while most arcs are nearer. An arc to a
# neighbour counts as a miss above, although it never had a chance to be a hit. Among the arcs that did have one:

# %%
far = store.align("contact", where="separation >= 6")
both = far.to_table().merge(paper.to_table(), on=["layer", "head"], suffixes=("", "_paper"))
both[["layer", "head", "share", "total", "share_paper", "total_paper"]].head(5)

# %% [markdown]
# Both are right; they answer different questions. `share_paper` falls for a head that *also* looks at neighbours: one
# of the two best heads of this table all but vanishes in the paper's form, because most of its arcs are near.
#
# ## Above which background?
#
# A share means little without what chance would give, and chance depends on what is held fixed:
#
# - `eligible`: all pairs that could have been arcs;
# - `separation`: pairs as far apart along the chain as the head's own arcs, since near pairs touch more often;
# - `protein`: pairs of the proteins in which the head has its arcs, since some chains are more compact than others.

# %%
backgrounds = {
    kind: store.align("contact", where="separation >= 6", background=kind, replicates=0)
    for kind in ("eligible", "separation", "protein")
}
matched = far.to_table()[["layer", "head", "share"]].head(8)
for kind, result in backgrounds.items():
    found = result.to_table()[["layer", "head", "background", "enrichment"]]
    found = found.rename(columns={"background": kind, "enrichment": f"× {kind}"})
    matched = matched.merge(found, on=["layer", "head"])
display(matched)

# %% [markdown]
# The background is one number for all heads in the first column and each head's own in the others. If a head owed its
# share to looking at short range, or to looking in compact chains, its enrichment would fall to one in a later column.
# Fall it does, for some heads to a half, so part of what the first column shows is indeed where they look rather than
# what they find. But none of the leading heads comes near one.
#
# ## Picked on one half, measured on the other
#
# The best of a hundred heads looks better than it is, for it was picked for its luck too. So let half of the proteins
# pick, and the other half measure:

# %%
halves = store.align("contact", where="separation >= 6", split=True)
columns = ["selection_rank", "layer", "head", "selection_share", "share", "bootstrap_low", "bootstrap_high", "total"]
halves.to_table()[columns].head(5)

# %% [markdown]
# `selection_share` is what the picking half saw; `share`, with its interval, is what the other half makes of it, and is
# the figure to quote. Where they are near each other, little was luck. The halves here are of single chains: relatives
# can stand on both sides. With a column of sequence clusters, `cluster_by=` keeps families together.
#
# ## Everything at once: the report
#
# `store.report` asks this of every property, with the paper's figures. In full it writes a page for a browser, with the
# tables and the question behind each figure; `attnstore report demo.attn` does the same from the shell. Here only
# contacts, the amino acids, and three classes of them:

# %%
report = store.report("demo-report", properties=["contact", "aa", "hydrophobic", "polar", "aromatic"])
model = store.model().name
print(report.page)
overview = report.tables["best-heads"]
overview[["property", "layer", "head", "share", "background", "enrichment", "centre"]].head(10)

# %% [markdown]
# Each row is the head that led one half of the proteins, measured on the other. The first rows are properties; then
# come the amino acids, one letter each.

# %%
display(Image(report.figures[f"{model}/amino-acids"], width=900))

# %% [markdown]
# As in the paper, some heads have specialised in single amino acids. That is no insight into structure by itself: a
# letter is in the input, and a head can find it without having understood anything.
#
# ## How deep?
#
# The paper orders properties by the centre of gravity of the layers' mean shares: simple ones early, complex ones late.

# %%
display(Image(report.figures[f"{model}/depth"], width=700))

# %% [markdown]
# Look at the bars before reading an order out of the centres. Even shares put the centre in the middle, and a common
# property has a large share in every layer by chance alone, which pulls it there. Contacts stand out in the first and
# in the last layer, and their centre of gravity lies between, where there is least of them. With six layers the
# differences between centres are small, and the figure has no intervals: it is a description, not a test.
#
# ## Amino acids that are alike
#
# Two amino acids are alike to the model if the heads that attend much to one attend much to the other. Evolution has
# its own opinion, the substitution scores of BLOSUM62. The paper found the two to agree. Here:

# %%
display(Image(report.figures[f"{model}/similarity"], width=900))

# %% [markdown]
# The points of the right panel are not independent, since each amino acid is in nineteen pairs. A fair test shuffles
# the letters of one matrix, not its cells, and sees how often chance does as well (Mantel 1967):

# %%
alike = report.models[0].similarity
pairs = np.triu_indices(len(alike.letters), 1)
rng = np.random.default_rng(0)
orders = [rng.permutation(len(alike.letters)) for _ in range(10_000)]
chance = np.array([np.corrcoef(alike.attention[np.ix_(o, o)][pairs], alike.substitution[pairs])[0, 1] for o in orders])
print(f"correlation over {alike.pairs} pairs: {alike.correlation:.2f}")
print(f"with letters shuffled, 95 % lie below {np.quantile(chance, 0.95):.2f}")
print(f"{np.count_nonzero(chance >= alike.correlation):,} of {len(chance):,} shuffles reach it")

# %% [markdown]
# ## And by chance?
#
# The strictest background is the model itself on shuffled sequences: the same weights, the same amino acids, the same
# separations, but no protein. (`randomize="weights"`, the other way, gives a model of random weights. Its attention is
# nearly even, no weight reaches 0.3, and there is nothing to rank.) This ingests 300 chains into a store of their own,
# each with its residues in random order; positions and coordinates stay, so that attention falls on contacts by chance.

# %%
chains, esm2 = fetch.cgdms_chains()[:300], str(fetch.esm2_model())
done = ingest("chance.attn", chains, model=esm2, name="shuffled", randomize="sequence", keep=["arcs"])
shuffled = attnstore.open("chance.attn").align("contact", where="separation >= 6", background="separation")
shuffled.to_table()[["layer", "head", "share", "bootstrap_low", "bootstrap_high", "total", "background"]].head(3)

# %%
fig, axes = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
bins = np.geomspace(0.25, 32, 22)
real = backgrounds["separation"]
for result, label, colour in ((shuffled, "shuffled residues", "0.65"), (real, "real sequences", "#2c7fb8")):
    enrichment = result["enrichment"].where(result["ranked"]).to_series().dropna()
    axes.hist(enrichment, bins, label=f"{label}, {len(enrichment)} heads", color=colour, alpha=0.8)
axes.axvline(1, color="#c1440e", linestyle="--", label="background, matched by separation")
axes.set(xscale="log", xlabel="enrichment of contacts among far arcs", ylabel="heads")
axes.set_xticks([0.25, 0.5, 1, 2, 4, 8, 16, 32], ["¼", "½", "1", "2", "4", "8", "16", "32"])
axes.minorticks_off()
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# On shuffled sequences heads scatter about the background, for they have few arcs each. On real ones a tail reaches far
# beyond: that part needs the protein. Where the two overlap, a head may well be above its background by the z-test and
# still show no more than what shuffled sequences show.
#
# ## What the numbers mean, and what they do not
#
# - They are *descriptions of attention*. That a head's attention lies on contacts does not say that the model uses
#   them, nor that it would fail without the head.
# - p values treat arcs as independent, which they are not. Believe the intervals over proteins, and held-out figures.
# - A share says nothing about how *much* attention there is: a head with a hundred arcs in two thousand proteins is
#   silent nearly everywhere. `total` belongs beside every share; the notebook [contacts](contacts.md) asks what a head
#   is worth where every protein has to be answered.
# - The model has seen many of these chains, or their relatives, when it was trained.
