"""How well contacts are read from attention: one head, the best heads' mean, a regression, and ESM's own contact head.

All are evaluated on the same proteins, none of which heads or coefficients were chosen on.

Run: python benchmarks/contacts.py [STORE] [--seed 0]
STORE is the store of `make demo`; it is made where there is none.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from transformers import AutoTokenizer, EsmModel

import attnstore
from attnstore import fetch
from attnstore.cli.demo import NAME
from attnstore.ingest import ingest
from attnstore.queries.contacts.contact_maps import RANGES, TOPS, labelled_pairs, precision
from attnstore.queries.contacts.contact_proteins import roster
from attnstore.queries.contacts.prediction import ContactPredictor, evaluate_predictor, fit
from attnstore.runtime.table_output import text_table

#: Proteins selected: the draw of fewer is part of the draw of more.
FEW, MANY = 10, 50
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?", type=Path, default=Path("demo.attn"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.store.exists():
        ingest(options.store, fetch.cgdms_chains(), model=str(fetch.esm2_model()), name=NAME)
    run(attnstore.open(options.store), options.seed)


def run(store: attnstore.Store, seed: int) -> None:
    predictors, seconds = {}, {}
    for name, asked in {
        f"best head of {FEW} proteins": {"method": "head", "select": FEW},
        f"top-K heads of {FEW} proteins": {"method": "topk", "select": FEW},
        f"logistic regression, {FEW} proteins": {"method": "logistic", "select": FEW},
        f"logistic regression, {MANY} proteins": {"method": "logistic", "select": MANY},
    }.items():
        started = time.perf_counter()
        predictors[name] = fit(store, seed=seed, model=NAME, **asked)
        seconds[name] = time.perf_counter() - started
    module = EsmModel.from_pretrained(fetch.esm2_model(), add_pooling_layer=False, attn_implementation="eager").eval()
    predictors["ESM's own regression, from the store"] = esm_regression(store, module)

    chosen = set().union(*(predictor.chosen_on for predictor in predictors.values()))
    names = [name for name in store.model(NAME).places if name not in chosen]
    found = {}
    for name, predictor in predictors.items():
        started = time.perf_counter()
        # Every head is ranked too where the best was chosen.
        found[name] = evaluate_predictor(store, predictor, names, seed=seed)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
    started = time.perf_counter()
    own = by_itself(store, module, names)
    seconds["ESM's own contact head, by torch"] = time.perf_counter() - started

    first = next(iter(found.values()))
    labels = [f"{span} {top}" for span in RANGES for top in TOPS]
    rows = {name: result["precision"].values for name, result in found.items()}
    rows["ESM's own contact head, by torch"] = own
    rows["random"] = np.repeat(first["random"].values[:, None], len(TOPS), axis=1)
    table = pd.DataFrame(
        {
            "precision, %": name,
            "heads": len(predictors[name].heads) if name in predictors else None,
            **{label: f"{100 * value:.1f}" for label, value in zip(labels, values.ravel(), strict=True)},
            "s": f"{seconds[name]:.1f}" if name in seconds else "",
        }
        for name, values in rows.items()
    ).astype({"heads": "Int64"})
    counts = ", ".join(f"{int(count):,} {span}" for span, count in zip(RANGES, first["proteins"].values, strict=True))
    print(f"{len(names):,} proteins, none of those chosen on; with a known contact in the range: {counts}\n")
    print(text_table(table))
    widths = (first["high"] - first["low"]).sel(range="all", top="L").item()
    print(
        f"\n95 % bootstrap intervals over proteins are {100 * widths:.1f} points wide for 'all L' of the best head.\n"
    )
    print_ranking(first.heads, chosen_on=FEW)


def esm_regression(store: attnstore.Store, module: EsmModel) -> ContactPredictor:
    """The regression that ESM-2 comes with, to be applied to the store's maps."""
    regression, document = module.contact_head.regression, store.model(NAME).document
    weight = regression.weight.detach().numpy().astype(np.float64)
    return ContactPredictor(
        "logistic", NAME, weight.reshape(document.layers, document.heads), float(regression.bias.detach())
    )


def by_itself(store: attnstore.Store, module: EsmModel, names: list[str]) -> np.ndarray:
    """Mean precision [range, top] of the probabilities that the model's contact head gives."""
    tokenizer = AutoTokenizer.from_pretrained(fetch.esm2_model())
    sequences = dict(store.sql("SELECT id, sequence FROM proteins").fetchall())
    coordinates = roster(store, store.model(NAME), "protein").coordinates(names, "cb")
    ordered = sorted(names, key=lambda name: len(sequences[name]))
    found = []
    for first in range(0, len(ordered), BATCH):
        batch = ordered[first : first + BATCH]
        tokens = tokenizer([sequences[name] for name in batch], return_tensors="pt", padding=True)
        with torch.inference_mode():
            probabilities = module.predict_contacts(tokens["input_ids"], tokens["attention_mask"]).numpy()
        for name, scores in zip(batch, probabilities.astype(np.float64), strict=True):
            pairs = labelled_pairs(coordinates[name])
            found.append(precision(scores[pairs.first, pairs.second], pairs, len(sequences[name])))
    return np.nanmean(found, axis=0)


def print_ranking(heads: pd.DataFrame, chosen_on: int) -> None:
    """The most precise heads and their alignment, and how far the two orders agree."""
    ranked = heads[heads["arcs"] >= 100]
    agreement = spearmanr(ranked["precision"], ranked["alignment"])
    print("Heads by P@L, with the share of their arcs that are contacts (α ≥ 0.3, separation ≥ 6):\n")
    shown = heads.assign(**{"alignment's rank": heads["alignment"].where(heads["arcs"] >= 100).rank(ascending=False)})
    for column in ("precision", "low", "high", "chosen", "alignment"):
        shown[column] = [f"{value:.1%}" if value == value else "–" for value in shown[column]]
    print(text_table(shown.rename(columns={"chosen": f"on the {chosen_on}"}).head(12)))
    print(f"\nOver the {len(ranked)} heads with at least 100 such arcs: Spearman's ρ {agreement.statistic:.2f}.")


if __name__ == "__main__":
    main()
