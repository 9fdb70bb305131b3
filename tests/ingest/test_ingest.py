"""What the same call does again, what another one may change, and which proteins it takes."""

from __future__ import annotations

import collections
import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import attnstore
from attnstore.annotate import store_directory
from attnstore.errors import AttnstoreError, StoreError
from attnstore.ingest import ingest, run
from attnstore.ingest.model.language_model import LanguageModel
from attnstore.ingest.pipeline import default_name
from attnstore.readers.record import Record

from ..models import LAYERS, save_esm, sequence_of
from .oracle import TOLERANCE, assert_attention, fasta, marks, own, random_proteins, segments

PROTEINS = random_proteins({f"p{length}": length for length in range(12, 44, 3)})
SETTINGS = {"name": "m", "device": "cpu", "batch_pairs": 3 * 42 * 128, "segment_entries": 12 * 2 * 42**2}


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory, tiny_esm: Path, inputs: list[Path]) -> Path:
    """A store of all proteins in several segments; tests that would change it must not get far enough to."""
    store = tmp_path_factory.mktemp("stores") / "complete"
    summary = ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    assert (summary.segments_written, summary.proteins) == (3, len(PROTEINS))
    return store


def ids(store: Path, model: str = "m") -> set[str]:
    return set(attnstore.open(store).model(model).places)


def test_what_is_stored_is_the_models_own_attention(complete, tiny_esm):
    opened = attnstore.open(complete)
    for name, sequence in PROTEINS.items():
        assert_attention(opened, name, own(tiny_esm, sequence)[0])


def test_the_summary_counts_what_is_there(complete, tiny_esm, inputs):
    summary = ingest(complete, inputs, model=str(tiny_esm), **SETTINGS)
    assert summary.residues == sum(map(len, PROTEINS.values()))
    assert summary.entries == 12 * sum(len(sequence) ** 2 for sequence in PROTEINS.values())
    assert [(summary.arcs,)] == attnstore.open(complete).sql("SELECT count(*) FROM arcs").fetchall()
    files = [file for segment in segments(complete).values() for file in segment.values()]
    assert summary.bytes == sum(map(len, files)) + attnstore.open(complete).catalog_path.stat().st_size
    assert summary.bits_per_entry == 8 * summary.bytes / summary.entries
    assert (summary.segments_written, summary.entries_written) == (0, 0)
    assert np.isnan(summary.entries_per_second)


# --- again


def test_the_same_call_again_neither_computes_nor_touches_a_segment(complete, tiny_esm, inputs, monkeypatch):
    def forward(*arguments: object, **options: object) -> None:
        raise AssertionError("everything is there")

    monkeypatch.setattr(LanguageModel, "forward", forward)
    before = marks(complete)
    for again in (inputs, ()):
        assert ingest(complete, again, model=str(tiny_esm), **SETTINGS).segments_written == 0
    assert marks(complete) == before


def test_further_inputs_add_segments_and_leave_those_there_alone(tmp_path, tiny_esm, inputs):
    store = tmp_path / "store"
    ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    before, documents = marks(store), (store / "attention" / "m" / "model.json").read_bytes()
    more = random_proteins({"new40": 40, "new20": 20})
    summary = ingest(store, [*inputs, fasta(tmp_path / "more.fasta", more)], model=str(tiny_esm), **SETTINGS)
    assert (summary.segments_written, summary.proteins) == (1, len(PROTEINS) + 2)
    after = marks(store)
    assert {path: after[path] for path in before} == before
    assert len(segments(store)) == 4
    assert (store / "attention" / "m" / "model.json").read_bytes() == documents
    opened = attnstore.open(store)
    for name, sequence in more.items():
        assert_attention(opened, name, own(tiny_esm, sequence)[0])
    assert opened.verify() == []


def test_a_sequence_that_changed_under_its_id_is_refused(tmp_path, complete, tiny_esm):
    before = marks(complete), (complete / "store.json").read_bytes()
    changed = fasta(tmp_path / "changed.fasta", {"new": "ACDEFGHIKL", "p12": sequence_of("other", 12)})
    with pytest.raises(AttnstoreError) as refused:
        ingest(complete, [changed], model=str(tiny_esm), **SETTINGS)
    assert str(refused.value).startswith(f"{changed}:3: p12 stands for another sequence already (in the store)")
    assert (marks(complete), (complete / "store.json").read_bytes()) == before


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"keep": ("arcs", "codes")}, "keep was codes,arcs,marginals and is codes,arcs"),
        ({"precision": "bfloat16"}, "precision was float32 and is bfloat16"),
        ({"max_residues": 30}, "max_residues was 510 and is 30"),
        ({"long": "skip"}, "long was truncate and is skip"),
        ({"batch_pairs": 5000}, "batch_pairs was 16128 and is 5000"),
        ({"segment_entries": 5000}, "segment_entries was 42336 and is 5000"),
        ({"randomize": "sequence", "seed": 3}, "randomize was None and is sequence"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_that_changed_is_refused_by_name(complete, tiny_esm, inputs, changed, difference):
    before = marks(complete)
    with pytest.raises(StoreError) as refused:
        ingest(complete, inputs, model=str(tiny_esm), **SETTINGS | changed)
    assert str(refused.value) == (
        f"model m is in the store with other settings ({difference}): use the same, or another name (name='m-2')."
    )
    assert marks(complete) == before


def test_other_weights_are_refused(tmp_path, complete, inputs):
    other = save_esm(tmp_path / "other", seed=9)
    with pytest.raises(StoreError, match=r"other settings \(weights_sha256 was [0-9a-f]{64} and is [0-9a-f]{64}\)"):
        ingest(complete, inputs, model=str(other), **SETTINGS)


def test_the_same_weights_from_another_place_and_another_order_of_keep_are_the_same(tmp_path, complete, inputs):
    same = save_esm(tmp_path / "same")
    keep = ("marginals", "arcs", "codes", "arcs")
    assert ingest(complete, inputs, model=str(same), keep=keep, **SETTINGS).segments_written == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"keep": ("hidden",)}, "keep names no attention: keep at least one of codes, arcs and marginals."),
        ({"keep": ("codes", "heat")}, "keep='heat' is not one of 'codes' and 'arcs' and 'marginals' and 'hidden'."),
        ({"long": "cut"}, "long='cut' is not one of 'truncate' and 'skip'."),
        ({"randomize": "all"}, "randomize='all' is not one of 'weights' and 'sequence'."),
        ({"limit": 0}, "limit=0 must be at least 1."),
        ({"limit": 1, "sample": 1}, "limit=1 and sample=1 exclude each other: leave one of them out."),
        ({"batch_pairs": -1}, "batch_pairs=-1 must be at least 1."),
        ({"workers": 0}, "workers=0 must be at least 1."),
        ({"name": "a/b"}, "model name 'a/b' cannot be used"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_refused_before_anything_is_made(tmp_path, tiny_esm, inputs, wrong, said):
    with pytest.raises(StoreError) as refused:
        ingest(tmp_path / "store", inputs, model=str(tiny_esm), **{**SETTINGS, **wrong})
    assert str(refused.value).startswith(said)
    assert not (tmp_path / "store").exists()


def test_a_second_ingest_of_the_same_model_is_refused_while_the_first_runs(tmp_path, tiny_esm, inputs, monkeypatch):
    store, forward = tmp_path / "store", LanguageModel.forward
    begun, go_on = threading.Event(), threading.Event()

    def waits(self: LanguageModel, *arguments: object, **options: object) -> object:
        begun.set()
        assert go_on.wait(60)
        return forward(self, *arguments, **options)

    monkeypatch.setattr(LanguageModel, "forward", waits)
    summaries: list[object] = []
    first = threading.Thread(
        target=lambda: summaries.append(ingest(store, inputs, model=str(tiny_esm), **SETTINGS)), daemon=True
    )
    first.start()
    try:
        assert begun.wait(60)
        with pytest.raises(StoreError) as refused:
            ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    finally:
        go_on.set()
        first.join(60)
    assert re.fullmatch(
        rf"model m is being ingested by process \d+ on {re.escape(socket.gethostname())} since "
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00: wait for it, or stop it\.",
        str(refused.value),
    )
    assert len(summaries) == 1
    assert ids(store) == set(PROTEINS)
    assert attnstore.open(store).verify() == []


# --- a trial of some proteins


def test_limit_takes_the_first_records_and_then_the_rest(tmp_path, tiny_esm, inputs):
    store = tmp_path / "store"
    for limit, wanted in ((3, 3), (3, 3), (5, 5), (99, len(PROTEINS))):
        summary = ingest(store, inputs, model=str(tiny_esm), limit=limit, **SETTINGS)
        assert ids(store) == set(list(PROTEINS)[:wanted])
        assert summary.proteins == wanted


def test_a_sample_is_drawn_by_its_seed_and_the_same_call_again_does_nothing(tmp_path, tiny_esm, inputs):
    drawn = {}
    for seed in (0, 1):
        store = tmp_path / f"{seed}"
        assert ingest(store, inputs, model=str(tiny_esm), sample=4, seed=seed, **SETTINGS).proteins == 4
        drawn[seed] = ids(store)
        before = marks(store)
        again = ingest(store, inputs, model=str(tiny_esm), sample=4, seed=seed, **SETTINGS)
        assert (again.segments_written, marks(store)) == (0, before)
    assert drawn[0] != drawn[1]
    assert drawn[0] | drawn[1] < set(PROTEINS)


@pytest.mark.parametrize("option", [{"limit": 4}, {"sample": 4, "seed": 0}, {"sample": 4, "seed": 1}], ids=str)
def test_without_inputs_they_choose_among_the_proteins_of_the_store(tmp_path, complete, tiny_esm, option):
    name = "-".join(map(str, option.values()))
    summary = ingest(complete, model=str(tiny_esm), **SETTINGS | {"name": name}, **option)
    assert summary.proteins == 4
    chosen = ids(complete, name)
    assert (chosen == set(list(PROTEINS)[:4])) == ("limit" in option)
    assert ingest(complete, model=str(tiny_esm), **SETTINGS | {"name": name}, **option).segments_written == 0
    assert ids(complete, name) == chosen < set(PROTEINS)
    others = [ids(complete, other) for other in attnstore.open(complete).models if other != name]
    assert chosen not in others


def test_every_record_is_as_likely_to_be_drawn_and_order_is_kept():
    records = [Record(str(number), "A", "", None) for number in range(12)]
    times = collections.Counter[str]()
    for seed in range(3000):
        drawn = [record.id for record in store_directory._drawn(iter(records), 5, seed)]
        assert drawn == sorted(set(drawn), key=int)
        assert len(drawn) == 5
        times.update(drawn)
    assert sum(times.values()) == 15_000
    # Draws without replacement spread less than multinomial ones, by (1 − 5/12): a χ² of these is.
    statistic = sum((times[record.id] - 1250) ** 2 / 1250 for record in records) / (7 / 12) * 11 / 12
    assert 0.001 < scipy.stats.chi2.sf(statistic, 11) < 0.999


def test_a_trial_does_not_commit_half_a_segment_that_was_planned_before(tmp_path, tiny_esm, inputs, monkeypatch):
    store = tmp_path / "store"

    def stopped(self: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.Run, "all", stopped)
        with pytest.raises(KeyboardInterrupt):
            ingest(store, inputs, model=str(tiny_esm), **SETTINGS)
    # The two are among six that are planned together.
    trial = ingest(store, model=str(tiny_esm), limit=2, **SETTINGS)
    assert (trial.segments_written, trial.proteins) == (1, 6)
    assert ingest(store, inputs, model=str(tiny_esm), **SETTINGS).proteins == len(PROTEINS)
    assert ids(store) == set(PROTEINS)
    assert attnstore.open(store).verify() == []


def test_a_sample_of_more_than_there_is_takes_all(tmp_path):
    records = [Record(str(number), "A", "", None) for number in range(3)]
    assert list(store_directory._drawn(iter(records), 9, 0)) == records


# --- hidden states


def test_hidden_states_are_the_models_own_in_half_precision(tmp_path, tiny_esm, inputs):
    store = tmp_path / "store"
    ingest(store, inputs, model=str(tiny_esm), keep=("arcs", "hidden"), **SETTINGS)
    opened = attnstore.open(store)
    for name, sequence in PROTEINS.items():
        wanted = own(tiny_esm, sequence)[1]
        found = opened.hidden(name)
        assert (found.dtype, found.shape) == (np.float16, wanted.shape)
        # Half a unit in the last place of float16, and what another batch may change.
        assert (np.abs(found.values - wanted) <= np.spacing(np.abs(wanted).astype(np.float16)) / 2 + TOLERANCE).all()
        for layer in range(LAYERS + 1):
            np.testing.assert_array_equal(opened.hidden(name, layer).values, found.values[layer])
    assert opened.verify() == []


def test_a_protein_whose_hidden_states_are_beyond_half_precision_is_skipped(tmp_path):
    import torch

    def change(module: torch.nn.Module) -> None:
        from ..models import ESM_VOCABULARY

        # Of tryptophan alone the embedding is huge; the layer's normalisation brings it back for attention.
        with torch.no_grad():
            module.get_parameter("embeddings.word_embeddings.weight")[ESM_VOCABULARY.index("W")] *= 1e7

    model = save_esm(tmp_path / "model", change)
    proteins = {"good": "ACDEFGHIKL" * 3, "tryptophan": "ACDEFGHIKLW", "fine": "MNPQRSTVY"}
    inputs, store = [fasta(tmp_path / "x.fasta", proteins)], tmp_path / "store"
    ingest(store, inputs, model=str(model), keep=("codes", "arcs", "marginals", "hidden"), **SETTINGS)
    opened = attnstore.open(store)
    assert opened.sql("SELECT protein, reason FROM skipped").fetchall() == [
        ("tryptophan", "its hidden states hold a value that is NaN or too large for float16")
    ]
    for name in ("good", "fine"):
        alpha, hidden = own(model, proteins[name])
        assert_attention(opened, name, alpha)
        np.testing.assert_allclose(opened.hidden(name).values, hidden, rtol=1e-3, atol=TOLERANCE)
    assert opened.verify() == []
    # It is its hidden states alone that were too large.
    ingest(store, inputs, model=str(model), **SETTINGS | {"name": "attention"})
    assert ids(store, "attention") == set(proteins)


@pytest.mark.parametrize(
    ("model", "name"),
    [("facebook/esm2_t6", "esm2_t6"), ("here/there/", "there"), (".", "here"), ("a b", "a_b"), ("~/esm", "esm")],
)
def test_a_model_is_named_by_the_last_part_of_its_id_or_folder(tmp_path, monkeypatch, model, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert default_name(model) == name
    assert default_name(model, "sequence", 3) == f"{name}-random-sequence-3"
