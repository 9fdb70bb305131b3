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
# Vig et al. 2021 (*BERTology Meets Biology*, [arXiv 2006.15222](https://arxiv.org/abs/2006.15222)) measured for each
# attention head what share of its strong attention goes to residues with a property. This notebook repeats that
# analysis on the demo store (`make demo`), and adds to each figure a control that shows how far to trust it.
#
# The numbers cannot be compared with the paper's: the model is ESM-2 8M fine-tuned on haemolytic peptides instead of
# TAPE's BERT and related models, the chains have 20 to 100 residues, and contacts are by Cβ. [`attnstore
# reproduce`](../reproduce.md) uses the paper's own models and data, and compares with its published figures.

# %%
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display

import attnstore
from attnstore import fetch
from attnstore.ingest import ingest

store = attnstore.open("demo.attn")

# %% [markdown]
# ## Contacts, in the paper's form
#
# What share of a head's arcs of weight 0.3 or more are contacts? The paper divides by *all* arcs. Intervals are Wald's
# at a level corrected for the number of heads, and heads with 100 arcs or fewer are left out.

# %%
paper = store.align("contact", paper=True)
paper.to_table()[["layer", "head", "share", "wald_low", "wald_high", "count", "total", "background"]].head(5)

# %% [markdown]
# (Layers and heads count from 0. The paper counts from 1: `paper.plot(one_based=True)`.)
#
# But by definition a contact is at least six residues away along the chain, while most arcs are nearer. An arc to a
# neighbour counts as no contact above, although it cannot be one. Among the arcs that can be contacts:

# %%
far = store.align("contact", where="separation >= 6")
both = far.to_table().merge(paper.to_table(), on=["layer", "head"], suffixes=("", "_paper"))
both[["layer", "head", "share", "total", "share_paper", "total_paper"]].head(5)

# %% [markdown]
# Both are right; they answer different questions. `share_paper` falls for a head that *also* attends to neighbours: one
# of the two best heads of this table nearly vanishes in the paper's form, because most of its arcs are near.
#
# ## Compared with which background?
#
# A share means little without the share expected by chance, and chance depends on what is held fixed:
#
# - `eligible`: all pairs that could have been arcs;
# - `separation`: pairs with the same separations as the head's own arcs, since near pairs are more often in contact;
# - `protein`: pairs of the proteins with arcs of the head, since some chains are more compact than others.

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
# The background is one number for all heads in the first column and differs between heads in the others. If a head had
# its share because it attends at short range, or in compact chains, its enrichment would fall to one in a later column.
# It does fall, for some heads by half, so part of the enrichment in the first column is explained by where the heads
# attend. But none of the leading heads comes near one.
#
# ## Chosen on one half, measured on the other
#
# The best of a hundred heads looks better than it is, because it was chosen partly for its luck. So choose on one half
# of the proteins, and measure on the other half:

# %%
halves = store.align("contact", where="separation >= 6", split=True)
columns = ["selection_rank", "layer", "head", "selection_share", "share", "bootstrap_low", "bootstrap_high", "total"]
halves.to_table()[columns].head(5)

# %% [markdown]
# `selection_share` is the share in the half that chose. `share`, with its interval, is the share in the other half, and
# is the figure to report. If the two are close, luck had little effect. The halves here consist of single chains, so
# homologues can be in both. With a column of sequence clusters, `cluster_by=` keeps families together.
#
# ## Everything at once: the report
#
# `store.report` does this for every property, with the paper's figures. It writes a page for a browser, with the tables
# and the command behind each figure; `attnstore report demo.attn` does the same on the command line. Here it is
# restricted to contacts, the amino acids, and three classes of them:

# %%
report = store.report("demo-report", properties=["contact", "aa", "hydrophobic", "polar", "aromatic"])
model = store.model().name
print(report.page)
overview = report.tables["best-heads"]
overview[["property", "layer", "head", "share", "background", "enrichment", "centre"]].head(10)

# %% [markdown]
# Each row is the best head of one half of the proteins, measured on the other. The first rows are properties, followed
# by the amino acids, one letter each.

# %%
display(Image(report.figures[f"{model}/amino-acids"], width=900))

# %% [markdown]
# As in the paper, some heads are specialised in single amino acids. This alone does not show knowledge of structure:
# the letter is in the input, and a head can find it without any.
#
# ## In which layers?
#
# The paper orders properties by the centre of gravity of the mean shares of the layers: properties with a low centre
# are found early, those with a high centre late.

# %%
display(Image(report.figures[f"{model}/depth"], width=700))

# %% [markdown]
# Look at the bars before you interpret the order of the centres. Equal shares put the centre in the middle, and a
# common property has a large share in every layer by chance, which pulls its centre to the middle. Contacts have large
# shares in the first and in the last layer, and their centre of gravity lies between, where the shares are smallest.
# With six layers the differences between centres are small, and the figure has no intervals: it is a description, not a
# test.
#
# ## Similar amino acids
#
# Two amino acids are similar to the model if the heads that attend much to one attend much to the other. The
# substitution scores of BLOSUM62 measure their similarity in evolution. The paper found that the two agree. Here:

# %%
display(Image(report.figures[f"{model}/similarity"], width=900))

# %% [markdown]
# The points of the right panel are not independent, since each amino acid is in nineteen pairs. A valid test permutes
# the letters of one matrix, not its cells, and counts how often chance gives as high a correlation (Mantel 1967):

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
# ## Compared with shuffled sequences
#
# The strictest background is the model itself on shuffled sequences: the same weights, amino acids and separations, but
# no protein. (`randomize="weights"` gives a model with random weights instead. Its attention is nearly even, no weight
# reaches 0.3, and there is nothing to rank.) The next cell ingests 300 chains into a separate store, each with its
# residues in random order; positions and coordinates stay, so attention falls on contacts by chance.

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
# On shuffled sequences, heads scatter around the background, because they have few arcs each. On real sequences, some
# heads lie far above: this needs the protein. Where the two overlap, a head may be above its background by the z-test
# and still show no more than shuffled sequences do.
#
# ## What the numbers mean, and what they do not mean
#
# - They are *descriptions of attention*. If a head attends to contacts, this does not show that the model uses them,
#   nor that it would fail without the head.
# - p values assume independent arcs, and arcs are not independent. Use the intervals over proteins, and held-out
#   figures.
# - A share does not measure how *much* attention there is: a head with a hundred arcs in two thousand proteins has none
#   in most of them. Report `total` with every share. The notebook [contacts](contacts.md) measures heads on every
#   protein.
# - Many of these chains, or their homologues, were in the model's training data.
