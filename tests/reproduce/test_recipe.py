"""The recipe end to end: the five models in their shapes on a small data folder, against their own attention."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
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
from attnstore.errors import AttnstoreError, QueryError, SourceError, StoreError
from attnstore.layout import Manifest
from attnstore.reproduce import Reproduction, recipe, vig2021
from attnstore.reproduce.data_sets import DataSet
from tests.models import save_bert
from tests.reproduce import five_models, tape_folder

#: Of each published property the data set that the paper measures it on.
DATA_SETS = {"contact": "proteinnet", "binding_site": "binding_site", "modification": "protein_modification"}
#: The one model of the five that is asked everything; the others what has published heads.
WHOLE = "TapeBert"

QUICK: dict[str, Any] = {"replicates": 0, "device": "cpu"}

PUBLISHED = json.loads(
    (Path(__file__).parents[2] / "reproduce" / "vig2021_top_heads.json").read_text(encoding="utf-8")
)["models"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tape_folder.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=list(five_models.FOLDERS))
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One of the five models, its folder, and what came of it."""
    folder = tmp_path_factory.mktemp("run")
    model = five_models.save_model(folder, request.param)
    with pytest.MonkeyPatch.context() as patch:
        if request.param != WHOLE:
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
            "binding_site", "contact", "modification", "ss4-helix", "ss4-strand", "ss4-turn",
        ]  # fmt: skip
        assert -1 <= done.similarity <= 1
        assert done.missing == ()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of no published shape."""
    return save_bert(tmp_path_factory.mktemp("small") / "mine")


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of binding sites alone."""
    return tape_folder.write(tmp_path_factory.mktemp("sites"), ("binding_site",))


def segments(done: Reproduction) -> dict[str, list[str]]:
    return {
        name: [one.id for one in Manifest.read(path / "attention" / done.model).segments]
        for name, path in done.stores.items()
    }


def test_the_same_call_goes_on_and_a_data_set_can_come_later(
    small: Path, data: Path, sites: Path, tmp_path: Path
) -> None:
    first = vig2021(str(small), sites, tmp_path / "out", **QUICK)
    assert set(first.stores) == {"binding_site"}
    assert len(first.missing) == 3
    second = vig2021(str(small), data, tmp_path / "out", **QUICK)
    assert second.missing == ()
    assert set(second.stores) == set(tape_folder.FILES)
    assert segments(second)["binding_site"] == segments(first)["binding_site"]
    of = second.heads[second.heads["property"] == "binding_site"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of, first.heads)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    small: Path, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attnstore.ingest import run as module

    settings = {**QUICK, "segment_entries": 40_000}
    whole = vig2021(str(small), sites, tmp_path / "whole", **settings)
    assert len(segments(whole)["binding_site"]) > 2
    computed, original = [], module.run_segment

    def stop(*arguments: Any, **options: Any) -> Any:
        if computed:
            raise KeyboardInterrupt
        computed.append(True)
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_segment", stop)
        with pytest.raises(KeyboardInterrupt):
            vig2021(str(small), sites, tmp_path / "stopped", **settings)
    kept = Manifest.read(tmp_path / "stopped" / "binding_site.attn" / "attention" / small.name)
    assert len(kept.segments) < len(segments(whole)["binding_site"])
    again = vig2021(str(small), sites, tmp_path / "stopped", **settings)
    assert {one.id for one in kept.segments} <= set(segments(again)["binding_site"])
    pd.testing.assert_frame_equal(again.heads, whole.heads)


def test_a_trial_takes_the_first_and_nothing_is_added_to_it(small: Path, sites: Path, tmp_path: Path) -> None:
    done = vig2021(str(small), sites, tmp_path / "out", limit=3, **QUICK)
    store = attnstore.open(done.stores["binding_site"])
    found = store.sql("SELECT id FROM proteins ORDER BY id").fetchall()
    assert found == [(record["id"],) for record in tape_folder.records("binding_site")[:3]]
    with pytest.raises(StoreError, match="was made with sample=None, not 5000"):
        vig2021(str(small), sites, tmp_path / "out", **QUICK)
    with pytest.raises(StoreError, match="was made with limit=3, not 4"):
        vig2021(str(small), sites, tmp_path / "out", limit=4, **QUICK)


def test_a_sample_is_drawn_with_the_seed_and_identical_sequences_are_kept_apart(
    small: Path, sites: Path, tmp_path: Path
) -> None:
    def ids(folder: str, **options: Any) -> list[str]:
        done = vig2021(str(small), sites, tmp_path / folder, **options, **QUICK)
        store = attnstore.open(done.stores["binding_site"])
        return [name for (name,) in store.sql("SELECT id FROM proteins ORDER BY id").fetchall()]

    drawn = [ids(f"seed-{seed}", sample=4, seed=seed) for seed in range(4)]
    assert all(len(one) == 4 for one in drawn)
    assert len(set(map(tuple, drawn))) > 1
    assert ids("again", sample=4, seed=2) == drawn[2]
    assert len(ids("all")) == len(tape_folder.LENGTHS) + 1


def test_the_default_folder_tells_a_trial_from_the_whole(
    small: Path, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vig2021(str(small), sites, limit=2, **QUICK).page == Path("vig2021-mine-first-2/index.html")
    assert vig2021(str(small), sites, **QUICK).page == Path("vig2021-mine/index.html")


def test_nothing_to_read_is_refused_with_what_is_missing_and_where_it_is(small: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has none of the data sets") as error:
        vig2021(str(small), tmp_path, tmp_path / "out", **QUICK)
    for file in tape_folder.FILES.values():
        assert str(tmp_path / file) in str(error.value)
    assert not (tmp_path / "out").exists()


def test_files_are_found_in_the_folder_itself_too(small: Path, sites: Path, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "binding_site_train.lmdb").symlink_to(sites / tape_folder.FILES["binding_site"])
    done = vig2021(str(small), tmp_path / "flat", tmp_path / "out", **QUICK)
    assert len(done.heads)
    assert any("proteinnet_train.lmdb is missing" in sentence for sentence in done.missing)
    with pytest.raises(SourceError, match="binding_site_valid"):
        vig2021(str(small), tmp_path / "flat", tmp_path / "other", split="valid", **QUICK)


def test_a_model_that_cannot_be_loaded_leaves_no_trace(sites: Path, tmp_path: Path) -> None:
    with pytest.raises(AttnstoreError):
        vig2021(str(tmp_path / "nothing"), sites, tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


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


def test_what_could_not_be_measured_afterwards_is_refused_before(small: Path, sites: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="need arcs"):
        vig2021(str(small), sites, tmp_path / "out", keep=("marginals",), **QUICK)
    with pytest.raises(StoreError, match="limit and sample exclude each other"):
        vig2021(str(small), sites, tmp_path / "out", limit=2, sample=3, **QUICK)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_of_one_model(small: Path, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = vig2021(str(small), sites, tmp_path / "out", limit=2, **QUICK)
    monkeypatch.chdir(small.parent)
    again = vig2021(small.name, sites, tmp_path / "out", limit=2, **QUICK)
    assert segments(again) == segments(first)
    other = save_bert(tmp_path / "other", seed=5)
    with pytest.raises(StoreError, match="was made with model=mine, not other"):
        vig2021(str(other), sites, tmp_path / "out", limit=2, **QUICK)


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
