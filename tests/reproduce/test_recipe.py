"""The recipe end to end: the five models in their shapes on a small data folder, against their own attention."""

from __future__ import annotations

import dataclasses
import functools
import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import norm, spearmanr

import attnstore
from attnstore.cli.reproduce import reproduce
from attnstore.errors import QueryError
from attnstore.queries.vig2021 import recipe, vig2021
from attnstore.queries.vig2021.data_sets import DataSet
from tests.reproduce import five_models, tape_folder
from tests.reproduce.conftest import QUICK, leave_blank

#: Of each published property the data set that the paper measures it on.
DATA_SETS = {"contact": "proteinnet", "binding_site": "binding_site", "protein_modification": "protein_modification"}
#: The one model of the five that is asked everything; the others what has published heads.
WHOLE = "TapeBert"

PUBLISHED = json.loads(
    (Path(__file__).parents[2] / "queries" / "vig2021" / "vig2021_top_heads.json").read_text(encoding="utf-8")
)["models"]


@pytest.fixture(scope="module", params=list(five_models.FOLDERS))
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One of the five models, its folder, and what came of it."""
    folder = tmp_path_factory.mktemp("run")
    model = five_models.save_model(folder, request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnstore.queries.figure._DPI", 20)  # of the PNG files
        if request.param != WHOLE:
            leave_blank(patch)
            patch.setattr(recipe, "DATA_SETS", tuple(map(_without_letters, recipe.DATA_SETS[:3])))
        done = vig2021(str(model), data, folder / "out", **QUICK)
    yield request.param, model, done
    oracle.cache_clear()


def _without_letters(data_set: DataSet) -> DataSet:
    """The same without amino acids, which are twenty questions."""
    return dataclasses.replace(data_set, properties=data_set.properties[:1])


@functools.lru_cache(maxsize=4)
def oracle(model: Path, name: str) -> tuple[Any, float]:
    """Arcs and those with the property, int64 [2, 2, layers, heads], and the background, by the paper's definitions.

    Counted at a threshold a hair above 0.3 and a hair below, for a batch rounds otherwise than a sequence alone.
    """
    records = tape_folder.records(name)
    alphas = five_models.own_attention(model, [record["primary"] for record in records])
    counts = np.zeros((2, 2, *alphas[0].shape[:2]), np.int64)
    true = pairs = 0
    for record, alpha in zip(records, alphas, strict=True):
        labels, among = tape_folder.labels(record, name), tape_folder.eligible(record, name)
        true, pairs = true + int((labels & among).sum()), pairs + int(among.sum())
        if name != "proteinnet":  # the share of residues, not of pairs
            true, pairs = true - int(labels.sum()) + int(labels[0].sum()), pairs - labels.size + len(labels)
        for place, threshold in enumerate((0.3 + 1e-5, 0.3 - 1e-5)):
            arcs = alpha >= threshold
            counts[place] += np.stack([arcs.sum((2, 3)), (arcs & labels).sum((2, 3))])
    return counts, true / pairs


def test_the_model_is_told(run: Any) -> None:
    name, _, done = run
    assert done.published == name
    assert done.recognised.startswith("by its shape" if name == "TapeBert" else "by its name")


def test_every_head_is_as_the_models_own_attention_says(run: Any) -> None:
    _, model, done = run
    exact = 0
    for key, name in DATA_SETS.items():
        counts, background = oracle(model, name)
        of = done.heads[done.heads["property"] == key]
        assert len(of) >= 10
        for row in of.to_dict("records"):
            arcs, true = counts[:, 0, row["layer"], row["head"]], counts[:, 1, row["layer"], row["head"]]
            assert arcs[0] <= row["arcs"] <= arcs[1]
            assert true[0] <= row["true"] <= true[1]
            exact += arcs[0] == arcs[1]
            if row["arcs"]:
                assert row["measured_share"] == pytest.approx(row["true"] / row["arcs"], rel=1e-12)
        (row,) = done.summary[done.summary["property"] == key].to_dict("records")
        assert row["measured_background"] == pytest.approx(background, rel=1e-12)
        assert row["proteins"] == len(tape_folder.LENGTHS) + 1
        assert (counts[0, 0] > 100).sum() <= row["ranked_heads"] <= (counts[1, 0] > 100).sum()
    assert exact > 0.9 * len(done.heads)


@pytest.mark.parametrize("run", ["ProtXLNet"], indirect=True)
def test_as_published_every_head_is_what_the_papers_code_counts_for_an_xlnet(
    run: Any, data: Path, tmp_path: Path
) -> None:
    _, model, plain = run
    shutil.copytree(plain.page.parent, tmp_path / "out")  # with its stores: nothing is ingested again
    done = vig2021(str(model), data, tmp_path / "out", as_published=True, **QUICK)
    changed = 0
    for key in ("binding_site", "protein_modification"):
        records = tape_folder.records(DATA_SETS[key])
        alphas = five_models.own_attention(model, [record["primary"] for record in records])
        counts = np.zeros((2, 2, 30, 16), np.int64)
        background = []
        for record, alpha in zip(records, alphas, strict=True):
            labels = tape_folder.labels(record, DATA_SETS[key])[0].astype(int)
            # As for a tokenizer that puts special tokens first and last; then the last two entries go.
            padded = np.pad(labels, 1, constant_values=-1)[:-2] == 1
            background += padded.tolist()
            for place, threshold in enumerate((0.3 + 1e-5, 0.3 - 1e-5)):
                arcs = alpha >= threshold
                counts[place] += np.stack([arcs.sum((2, 3)), (arcs & padded).sum((2, 3))])
        answer = attnstore.open(done.stores[DATA_SETS[key]]).align(
            f"target.{key}_as_published", paper=True, replicates=0
        )
        table = answer.to_table()
        assert len(table) == 30 * 16
        for row in table.to_dict("records"):
            assert counts[0, 0, row["layer"], row["head"]] <= row["total"] <= counts[1, 0, row["layer"], row["head"]]
            assert counts[0, 1, row["layer"], row["head"]] <= row["count"] <= counts[1, 1, row["layer"], row["head"]]
        of = done.heads[done.heads["property"] == key].set_index(["layer", "head"])
        own = table.set_index(["layer", "head"]).loc[of.index]
        np.testing.assert_array_equal(of["true"], own["count"])
        before = plain.heads[plain.heads["property"] == key].set_index(["layer", "head"])["measured_share"]
        changed += (before - of["measured_share"]).abs().gt(1e-9).sum()
        (row,) = done.summary[done.summary["property"] == key].to_dict("records")
        assert row["measured_background"] == pytest.approx(np.mean(background))
    assert changed > 10
    pd.testing.assert_frame_equal(*(one.heads[one.heads["property"] == "contact"] for one in (done, plain)))
    moved = done.heads["property"] != "contact"
    assert set(done.heads[moved]["labels"]) == {"moved by one residue"}
    assert set(done.heads[~moved]["labels"]) == {"in place"}
    assert done.heads["comparable"].all()
    # Without it these rows are marked, in the table, on the page and in the notes.
    assert (plain.heads["comparable"] == (plain.heads["property"] == "contact")).all()
    assert list(plain.summary.set_index("property")["comparable"][["contact", "binding_site"]]) == [True, False]
    assert any("as_published=True" in note for note in plain.notes)
    (contacts,) = (note for note in plain.notes if note.startswith("Contacts"))
    assert "its background is not an enrichment" in contacts
    assert all(note in html.unescape(plain.page.read_text()) for note in (contacts, plain.notes[0]))
    assert set(plain.heads["interval"]) == {"Wald, Bonferroni"}
    assert "Wald, Bonferroni" in plain.page.read_text()
    assert not any("as_published=True" in note for note in done.notes)
    assert "labels moved by one residue, as published" in done.page.read_text()


def test_labels_are_moved_for_an_xlnet_alone(small: Path, sites: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"as_published=True is for ProtXLNet alone: .* a BertModel"):
        vig2021(str(small), sites, tmp_path / "out", as_published=True, **QUICK)


def test_measured_heads_are_the_best_with_more_than_100_arcs(run: Any) -> None:
    _, model, done = run
    for key, name in DATA_SETS.items():
        counts, _ = oracle(model, name)
        of = done.heads[(done.heads["property"] == key) & (done.heads["measured_rank"] <= 10)]
        assert sorted(of["measured_rank"]) == [*range(1, 11)]
        shares = of.sort_values("measured_rank")["measured_share"].to_numpy()
        assert (np.diff(shares) <= 0).all()
        arcs = counts.mean(axis=0)[0]
        clear = np.abs(arcs - 100) > 3
        own = np.sort((counts[0, 1] / np.maximum(counts[0, 0], 1))[clear & (arcs > 100)])[::-1]
        # Of the same ten, but for an arc more or less in some.
        np.testing.assert_allclose(shares, own[:10], atol=0.02)
        few = done.heads[(done.heads["property"] == key) & (done.heads["arcs"] <= 100)]
        assert few["measured_rank"].isna().all()


def test_published_heads_stand_beside_by_their_labels(run: Any) -> None:
    name, _, done = run
    for key in DATA_SETS:
        of = done.heads[(done.heads["property"] == key) & done.heads["published_rank"].notna()]
        told = PUBLISHED[name][key]
        assert dict(zip(of["label"], 100 * of["published_share"], strict=True)) == pytest.approx(
            told["top_heads_percent"]
        )
        assert list(of["published_rank"]) == [*range(1, 11)]
        for label, layer, head in zip(of["label"], of["layer"], of["head"], strict=True):
            assert label == f"{layer + 1}-{head + 1}"
        (row,) = done.summary[done.summary["property"] == key].to_dict("records")
        assert 100 * row["published_background"] == pytest.approx(told["background_percent"])
        common = of[of["measured_rank"].notna()]
        assert row["common"] == len(common)
        assert row["shared"] == (common["measured_rank"] <= 10).sum()
        if len(common) > 2:
            own = spearmanr(common["published_share"], common["measured_share"]).statistic
            assert row["spearman"] == pytest.approx(own, nan_ok=True)
        difference = (common["measured_share"] - common["published_share"]).abs().max()
        assert abs(row["largest_difference"]) == pytest.approx(difference, nan_ok=True)


def test_intervals_are_walds_at_a_twentieth_of_all_ranked_heads(run: Any) -> None:
    *_, done = run
    for row in done.summary.to_dict("records"):
        of = done.heads[(done.heads["property"] == row["property"]) & done.heads["measured_rank"].notna()]
        p, n = of["measured_share"].to_numpy(), of["arcs"].to_numpy(float)
        half = norm.ppf(1 - 0.05 / row["ranked_heads"] / 2) * np.sqrt(p * (1 - p) / n)
        np.testing.assert_allclose(of["wald_low"], np.maximum(p - half, 0), atol=1e-12)
        np.testing.assert_allclose(of["wald_high"], np.minimum(p + half, 1), atol=1e-12)


def test_files_hold_what_is_returned(run: Any) -> None:
    name, _, done = run
    folder = done.page.parent
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "comparison.parquet"), done.heads)
    assert len(pd.read_csv(folder / "comparison.csv")) == len(done.heads)
    page = done.page.read_text()
    assert name in page
    for key, report in done.reports.items():
        assert report.page.exists()
        assert f'href="reports/{key}/index.html"' in page
    for label in PUBLISHED[name]["contact"]["top_heads_percent"]:
        assert f"<td>{label}</td>" in page
    assert {path.name for path in folder.glob("*.svg")} == {"comparison.svg", "depth.svg"}
    assert not re.search(r"(src|href)=.?http", page)
    centres = [one.centre for one in done.depths]
    assert centres == sorted(centres)
    if name == WHOLE:
        assert [one.question.key for one in sorted(done.depths, key=lambda one: one.question.key)] == [
            "binding_site", "contact", "protein_modification", "ss4-helix", "ss4-strand", "ss4-turn",
        ]  # fmt: skip
        assert -1 <= done.similarity <= 1
        assert done.missing == ()


def test_another_model_stands_alone_beside_the_five(small: Path, sites: Path, tmp_path: Path) -> None:
    done = vig2021(str(small), sites, tmp_path / "out", **QUICK)
    assert done.published is None
    assert done.heads["published_share"].isna().all()
    assert done.summary["shared"].isna().all()
    told = done.best[done.best["published"] & (done.best["property"] == "contact")]
    assert dict(zip(told["model"], told["label"], strict=True)) == {
        name: next(iter(figures["contact"]["top_heads_percent"])) for name, figures in PUBLISHED.items()
    }
    (mine,) = done.best[~done.best["published"]].to_dict("records")
    (best,) = done.heads[done.heads["measured_rank"] == 1].to_dict("records")
    assert (mine["property"], mine["label"], mine["share"]) == ("binding_site", best["label"], best["measured_share"])
    with pytest.raises(QueryError, match="has 3 layers × 4 heads, and TapeBert 12 × 12"):
        vig2021(str(small), sites, tmp_path / "out", compare_with="TapeBert", **QUICK)
    with pytest.raises(QueryError, match="'ESM' is no model of the paper: try TapeBert"):
        vig2021(str(small), sites, tmp_path / "no", compare_with="ESM", **QUICK)
    assert not (tmp_path / "no").exists()


def test_codes_alone_answer_too(small: Path, sites: Path, tmp_path: Path) -> None:
    done = vig2021(str(small), sites, tmp_path / "codes", keep=("codes",), **QUICK)
    pd.testing.assert_frame_equal(done.heads, vig2021(str(small), sites, tmp_path / "arcs", **QUICK).heads)


def command(model: Path, data: Path, output: Path, *others: str) -> Any:
    words = ["vig2021", "--model", str(model), "--data", str(data), "-o", str(output), "--replicates", "0", *others]
    return CliRunner().invoke(reproduce, words, catch_exceptions=False)


def test_the_command_says_the_same_for_people_and_programs(small: Path, sites: Path, tmp_path: Path) -> None:
    done = vig2021(str(small), sites, tmp_path / "out", **QUICK)
    told = json.loads(command(small, sites, tmp_path / "out", "--json").stdout)
    assert told["published"] is None
    assert told["drawn"]["sample"] == 5000
    assert [row["measured_share"] for row in told["heads"]] == done.heads["measured_share"].tolist()
    assert told["missing"] == list(done.missing)
    assert Path(told["reports"]["binding_site"]).exists()
    text = command(small, sites, tmp_path / "out").stdout
    assert "another model" in text
    assert "TapeBert" in text
    best = done.heads.iloc[0]
    assert f"{best['label']:<4}" in text
    assert f"{best['measured_share']:.1%}" in text
    assert all(sentence in text for sentence in done.missing)
    assert text.rstrip().endswith(str(done.page))


def test_a_trial_in_which_nothing_has_the_property_says_so(small: Path, tmp_path: Path) -> None:
    record = {**tape_folder.records("binding_site")[0], "sites": []}
    tape_folder.write_records(tmp_path / "binding_site_train.lmdb", [record])
    done = vig2021(str(small), tmp_path, tmp_path / "out", **QUICK)
    assert not len(done.heads)
    assert any("TRUE nowhere" in sentence for sentence in done.missing)
    assert done.page.exists()


def test_one_is_one_and_no_centre_is_no_number(small: Path, tmp_path: Path) -> None:
    record = {"id": "one", "primary": "M", "protein_length": 1, "positions": np.arange(1), "sites": [0]}
    tape_folder.write_records(tmp_path / "binding_site_train.lmdb", [record])
    text = command(small, tmp_path, tmp_path / "out", "--limit", "1").stdout
    assert "The first 1 sequence of each data set" in text
    assert "Binding sites, 1 protein\n" in text
    assert "No head has more than 100 arcs." in text
    assert "nan" not in text.replace(str(tmp_path), "")


@pytest.mark.parametrize("run", ["TapeBert"], indirect=True)
def test_what_another_question_drew_does_not_stay(run: Any, data: Path, tmp_path: Path) -> None:
    _, model, _ = run
    only = tape_folder.write(tmp_path / "data", ("binding_site",))
    first = vig2021(str(model), only, tmp_path / "out", **QUICK)
    assert (first.page.parent / "comparison.svg").exists()
    vig2021(str(model), only, tmp_path / "out", compare_with="other", **QUICK)
    assert not list(first.page.parent.glob("comparison.[sp][vn]g"))
    assert list(first.page.parent.glob("depth.svg"))


def test_another_shape_is_told_after_the_first_data_set(small: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="12 × 12"):
        vig2021(str(small), data, tmp_path / "out", compare_with="TapeBert", **QUICK)
    assert len(list((tmp_path / "out").glob("*.attn"))) == 1


@pytest.mark.parametrize("run", [WHOLE], indirect=True)
def test_every_place_that_the_page_of_the_papers_numbers_names_is_there(run: Any) -> None:
    _, _, done = run
    text = (Path(__file__).parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    asked = set()
    for *_, calls, places in rows[2:]:
        report = re.search(r"`reports/(\w+)/`", places)
        own, within = places.split("`reports/")[0], places.partition("`reports/")[2]
        for name in re.findall(r"`([\w-]+\.\w+)`", own):
            assert (done.page.parent / name).exists()
        for name in re.findall(r"`([\w-]+\.\w+)`", within):
            assert (done.reports[report[1]].page.parent / "tables" / done.model / name).exists()
        for expression in re.findall(r'align\("([^"]+)", paper=True\)', calls):
            asked.add((expression, report[1] if report else None, *re.findall(r"`(paper-[\w-]+)\.csv`", places)))
    assert len(asked) > 9
    for expression, data_set, *table in asked:
        if data_set is not None:
            answer = attnstore.open(done.stores[data_set]).align(expression, paper=True, replicates=0).to_table()
            file = pd.read_csv(done.reports[data_set].page.parent / "tables" / done.model / f"{table[0]}.csv")
            np.testing.assert_allclose(file["share"], answer["share"][: len(file)], rtol=1e-12)
