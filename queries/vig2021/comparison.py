"""Comparison of measured and published results: head by head, and in a few numbers for each property."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .data_sets import MOVED
from .paper_models import MODELS, PROPERTIES, Figures, PublishedModel, figures, label_of

#: Number of heads of a property that the paper shows.
TOP = 10

#: Positions of labels: as in the data set, or as the released code places them for ProtXLNet.
IN_PLACE, NEXT_RESIDUE = "in place", "moved by one residue"

#: The kind of the paper's intervals, and of those shown next to them.
INTERVAL = "Wald, Bonferroni"

_HEADS = [
    "property", "label", "layer", "head", "published_share", "published_rank", "measured_share", "wald_low",
    "wald_high", "interval", "measured_rank", "true", "arcs", "difference", "labels", "comparable",
]  # fmt: skip


def compare_heads(
    measured: Mapping[str, pd.DataFrame],
    model: PublishedModel | None,
    *,
    moved: bool = False,
    as_published: bool = False,
) -> pd.DataFrame:
    """Compare the ten published heads of each property and the ten best measured heads, each with both values.

    Parameters
    ----------
    measured : mapping of str to pandas.DataFrame
        By property the statistics of all heads in the paper's form, the best first, as
        :meth:`attnstore.Alignment.to_table` gives them.
    model : PublishedModel or None
        What to compare with; None for nothing.
    moved : bool, default False
        The published shares of sites and modifications are of labels moved by one residue.
    as_published : bool, default False
        So are the measured.

    Returns
    -------
    pandas.DataFrame
        property; label, the paper's, from 1; layer and head, from 0; published_share and published_rank, from 1, NULL
        beyond the ten; measured_share with its interval, whose kind `interval` names: Wald's at 0.05/m; true of arcs;
        measured_rank among the ranked heads, NULL for a head with too few arcs; difference, measured − published;
        labels, the position of the measured labels, 'in place' or 'moved by one residue'; comparable, FALSE if the
        published labels are in another position, NULL if nothing is published. Shares are from 0 to 1. Published heads
        come first, by rank.
    """
    rows = [
        row for key in PROPERTIES if key in measured or model is not None
        for row in _rows(key, measured.get(key), figures(model.name, key) if model is not None else None)
    ]  # fmt: skip
    for row in rows:
        row |= _labels(row["property"], model, moved, as_published)
    frame = pd.DataFrame(rows, columns=_HEADS)
    whole = dict.fromkeys(("published_rank", "measured_rank", "true", "arcs"), "Int64")
    numbers = dict.fromkeys(("published_share", "measured_share", "difference"), float)
    return frame.astype({**whole, **numbers, "comparable": "boolean"})


def _labels(key: str, model: PublishedModel | None, moved: bool, as_published: bool) -> dict[str, Any]:
    """The position of a property's labels, and whether the published labels have the same."""
    here = key in MOVED
    comparable = None if model is None else not here or moved == as_published
    return {"labels": NEXT_RESIDUE if here and as_published else IN_PLACE, "comparable": comparable}


def _rows(key: str, table: pd.DataFrame | None, published: Figures | None) -> list[dict[str, Any]]:
    found = {} if table is None else {(int(row["layer"]), int(row["head"])): row for row in table.to_dict("records")}
    ranked = [head for head, row in found.items() if row["ranked"]]
    ranks = {head: place for place, head in enumerate(ranked, 1)}
    shares = {} if published is None else published.heads
    rows = []
    for head in dict.fromkeys([*shares, *ranked[:TOP]]):
        row = found.get(head, {})
        measured, told = row.get("share", np.nan), shares.get(head, np.nan)
        rows.append(
            {
                "property": key, "label": label_of(*head), "layer": head[0], "head": head[1],
                "published_share": told,
                "published_rank": [*shares].index(head) + 1 if head in shares else None,
                "measured_share": measured, "wald_low": row.get("wald_low", np.nan),
                "wald_high": row.get("wald_high", np.nan), "interval": INTERVAL, "measured_rank": ranks.get(head),
                "true": row.get("count"), "arcs": row.get("total"), "difference": measured - told,
            }
        )  # fmt: skip
    return rows


def summarise_comparison(
    measured: Mapping[str, pd.DataFrame], proteins: Mapping[str, int], heads: pd.DataFrame, model: PublishedModel | None
) -> pd.DataFrame:
    """Summarise measured and published results, for each property that was measured.

    Parameters
    ----------
    measured : mapping of str to pandas.DataFrame
        As in `compare_heads`.
    proteins : mapping of str to int
        Number of proteins of each property.
    heads : pandas.DataFrame
        Result of `compare_heads`.
    model : PublishedModel or None
        Published model.

    Returns
    -------
    pandas.DataFrame
        property, proteins; ranked_heads, m of the intervals; measured and published background; shared, number of the
        published ten that are among the measured ten; common, number of the published ten that are ranked; spearman,
        the correlation of ranks of these heads' published and measured shares; largest_difference of these, measured −
        published, and its head; labels and comparable as for the heads. NaN and NULL if nothing is published, or fewer
        than three heads are common.
    """
    from scipy.stats import spearmanr

    rows = []
    for key, table in measured.items():
        if key not in PROPERTIES:
            continue
        of = heads[heads["property"] == key]
        common = of[of["published_rank"].notna() & of["measured_rank"].notna()]
        row: dict[str, Any] = {
            "property": key,
            "proteins": proteins[key],
            "ranked_heads": int(table["ranked"].sum()),
            "measured_background": float(table["background"].iloc[0]),
            "published_background": figures(model.name, key).background if model is not None else np.nan,
            "shared": int((common["measured_rank"] <= TOP).sum()) if model is not None else None,
            "common": len(common) if model is not None else None,
            "spearman": np.nan,
            "largest_difference": np.nan,
            "of_head": None,
            "labels": of["labels"].iloc[0] if len(of) else IN_PLACE,
            "comparable": of["comparable"].iloc[0] if len(of) else None,
        }
        if len(common) > 2 and common["measured_share"].nunique() > 1:
            row["spearman"] = float(spearmanr(common["published_share"], common["measured_share"]).statistic)
        if len(common):
            furthest = common.iloc[int(common["difference"].abs().to_numpy().argmax())]
            row |= {"largest_difference": float(furthest["difference"]), "of_head": furthest["label"]}
        rows.append(row)
    columns = [
        "property", "proteins", "ranked_heads", "measured_background", "published_background", "shared", "common",
        "spearman", "largest_difference", "of_head", "labels", "comparable",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"shared": "Int64", "common": "Int64", "comparable": "boolean"})


def paper_best_heads(heads: pd.DataFrame, name: str) -> pd.DataFrame:
    """The best head of each property in each of the five published models, and in the measured one.

    Parameters
    ----------
    heads : pandas.DataFrame
        Result of `compare_heads`.
    name : str
        Name of the measured model.

    Returns
    -------
    pandas.DataFrame
        property, model, published (bool), label (from 1), layer and head (from 0), share; the measured model's first.
    """
    rows = []
    for key in PROPERTIES:
        best = heads[(heads["property"] == key) & (heads["measured_rank"] == 1)]
        rows += [
            {"property": key, "model": name, "published": False, "label": row["label"], "layer": row["layer"],
             "head": row["head"], "share": row["measured_share"]}
            for row in best.to_dict("records")
        ]  # fmt: skip
        for model in MODELS:
            (layer, head), share = next(iter(figures(model.name, key).heads.items()))
            rows.append({"property": key, "model": model.name, "published": True, "label": label_of(layer, head),
                         "layer": layer, "head": head, "share": share})  # fmt: skip
    return pd.DataFrame(rows, columns=["property", "model", "published", "label", "layer", "head", "share"])


def readable_heads(heads: pd.DataFrame, property: str) -> pd.DataFrame:  # noqa: A002 - the word for it
    """One property's heads as text, for people."""
    of = heads[heads["property"] == property]
    columns = {
        "head": of["label"],
        "published": [_percent(value) for value in of["published_share"]],
        "rank": [_whole(value) for value in of["published_rank"]],
        "measured": [_percent(value) for value in of["measured_share"]],
        INTERVAL: [_range(low, high) for low, high in zip(of["wald_low"], of["wald_high"], strict=True)],
        "rank ": [_whole(value) for value in of["measured_rank"]],
        "true": [_whole(value) for value in of["true"]],
        "of": [_whole(value) for value in of["arcs"]],
        "difference": [_points(value) for value in of["difference"]],
    }
    if of["published_share"].isna().all():
        columns = {name: columns[name] for name in ("head", "measured", INTERVAL, "true", "of")}
    return pd.DataFrame(columns)


def readable_best(best: pd.DataFrame) -> pd.DataFrame:
    """The best heads as text: one row per model, one column per property."""
    order = list(dict.fromkeys(best["model"] + np.where(best["published"], "", " (measured)")))
    table = pd.DataFrame("–", index=order, columns=list(PROPERTIES))
    for row in best.to_dict("records"):
        name = row["model"] if row["published"] else f"{row['model']} (measured)"
        table.loc[name, row["property"]] = f"{row['label']} {_percent(row['share'])}"
    return table.reset_index(names="model")


def summary_line(row: Mapping[Any, Any]) -> str:
    """What `summarise_comparison` says of one property, in a sentence."""
    told = row["published_background"]
    words = f"Background {_percent(row['measured_background'], 2)}"
    words += f" (published {_percent(told, 2)})" if told == told else ""
    words += f"; {count_words(row['ranked_heads'], 'head')} ranked"
    if row["labels"] != IN_PLACE:
        words += f"; labels {row['labels']}, as published"
    elif not pd.isna(row["comparable"]) and not row["comparable"]:
        words += "; not comparable: the published labels are moved by one residue"
    if pd.isna(row["shared"]):
        return words
    words += f"; {row['shared']} of the published ten in the measured ten"
    if row["spearman"] == row["spearman"]:
        words += f", Spearman {row['spearman']:.2f} over {row['common']}".replace("-", "−")
    if row["of_head"] is not None:
        words += f", largest difference {_points(row['largest_difference'])} points ({row['of_head']})"
    return words


def count_words(number: int, noun: str) -> str:
    """A number with its noun: '1 head', '2,192 heads'."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _percent(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}%}" if value == value else "–"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−") if value == value else "–"


def _range(low: float, high: float) -> str:
    return f"{low:.1%} – {high:.1%}" if low == low and high == high else "–"


def _whole(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:,}"
