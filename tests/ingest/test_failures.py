"""Proteins that a model cannot take are recorded and skipped; batches that do not fit in memory are halved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import attnstore
from attnstore.errors import ModelError, StoreError
from attnstore.format.documents import Skipped
from attnstore.ingest import compute, ingest
from attnstore.ingest.model.language_model import LanguageModel
from attnstore.ingest.model.tokens import ResidueTokens

from ..models import ESM_VOCABULARY, save_esm
from .oracle import assert_attention, fasta, marks, own, random_proteins, segments

NOT_ATTENTION = "attention of layer 0 holds a weight that is NaN, negative or above one"
NOT_HALVES = "its hidden states hold a value that is NaN or too large for float16"
SETTINGS = {"name": "m", "device": "cpu"}


@pytest.fixture(scope="module")
def selenophobe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model to which selenocysteine, which the probe does not hold, is not a number."""
    import torch

    def change(module: torch.nn.Module) -> None:
        with torch.no_grad():
            module.get_parameter("embeddings.word_embeddings.weight")[ESM_VOCABULARY.index("U")] = float("nan")

    return save_esm(tmp_path_factory.mktemp("models") / "selenophobe", change)


def with_u(sequence: str) -> str:
    return sequence[:3] + "U" + sequence[4:]


def skipped(store: Path) -> list[tuple[str, str, str]]:
    return attnstore.open(store).sql("SELECT model, protein, reason FROM skipped ORDER BY ALL").fetchall()


def test_the_others_of_a_batch_are_what_they_are_without_the_protein_that_fails(tmp_path, selenophobe):
    good = random_proteins({"a": 40, "b": 33, "c": 21})
    bad = {"u": with_u(random_proteins({"u": 12})["u"])}  # shortest, so that it comes last in the batch of all
    ingest(tmp_path / "good", [fasta(tmp_path / "good.fasta", good)], model=str(selenophobe), **SETTINGS)
    inputs = [fasta(tmp_path / "all.fasta", good | bad)]
    summary = ingest(tmp_path / "all", inputs, model=str(selenophobe), **SETTINGS)
    assert (summary.proteins, summary.skipped, summary.segments_written) == (3, 1, 1)
    assert skipped(tmp_path / "all") == [("m", "u", NOT_ATTENTION)]
    assert segments(tmp_path / "all") == segments(tmp_path / "good")
    assert attnstore.open(tmp_path / "all").verify() == []


@pytest.mark.parametrize(
    ("keep", "reason"),
    [(("codes", "arcs", "marginals", "hidden"), NOT_HALVES), (("codes", "arcs", "marginals"), NOT_ATTENTION)],
    ids=["with hidden states", "attention"],
)
def test_proteins_fail_among_others_and_the_next_run_has_nothing_to_do(
    tmp_path, selenophobe, monkeypatch, keep, reason
):
    proteins = random_proteins({f"p{length}": length for length in range(16, 50, 3)})
    failing = ("p22", "p25", "p46", "p49")
    proteins |= {name: with_u(proteins[name]) for name in failing}
    inputs, store = [fasta(tmp_path / "all.fasta", proteins)], tmp_path / "store"
    settings = SETTINGS | {"model": str(selenophobe), "keep": keep, "batch_pairs": 3 * 49 * 128}
    # Twelve heads: the two longest make a segment, which has nothing left.
    settings["segment_entries"] = 12 * (49**2 + 46**2)
    summary = ingest(store, inputs, **settings)
    assert summary.proteins == len(proteins) - 4
    assert skipped(store) == [("m", name, reason) for name in failing]
    opened = attnstore.open(store)
    numbers = [entry.number for entry in opened.model().manifest.segments]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 1
    assert opened.verify() == []
    for name, sequence in proteins.items():
        if name in failing:
            with pytest.raises(attnstore.QueryError, match=f"model m skipped protein {name}: {reason}"):
                opened.attention(name)
            continue
        alpha, hidden = own(selenophobe, sequence)
        assert_attention(opened, name, alpha)
        if "hidden" in keep:
            np.testing.assert_allclose(opened.hidden(name).values, hidden, rtol=2e-3, atol=1e-4)

    def forward(*arguments: object, **options: object) -> None:
        raise AssertionError("nothing is left to compute")

    before = marks(store)
    monkeypatch.setattr(LanguageModel, "forward", forward)
    again = ingest(store, inputs, **settings)
    assert (again.segments_written, again.proteins, again.skipped) == (0, summary.proteins, 4)
    assert marks(store) == before


def test_strict_stops_at_the_first_that_fails_and_keeps_what_was_committed(tmp_path, selenophobe):
    proteins = random_proteins({f"p{length}": length for length in range(20, 44, 4)})
    proteins["p24"] = with_u(proteins["p24"])
    inputs, store = [fasta(tmp_path / "all.fasta", proteins)], tmp_path / "store"
    settings = SETTINGS | {"model": str(selenophobe), "segment_entries": 12 * 40**2}
    with pytest.raises(ModelError) as refused:
        ingest(store, inputs, strict=True, **settings)
    assert str(refused.value) == f"p24: {NOT_ATTENTION}."
    opened = attnstore.open(store)
    assert {"p40", "p36"} <= set(opened.model().places)
    assert "p24" not in opened.model().places
    assert opened.model().manifest.skipped == ()
    assert opened.verify() == []
    before = segments(store)
    assert ingest(store, inputs, **settings).skipped == 1
    assert {number: segments(store)[number] for number in before} == before
    assert skipped(store) == [("m", "p24", NOT_ATTENTION)]


def mute(monkeypatch: pytest.MonkeyPatch, letter: str) -> None:
    """Let the tokenizer give no token for a letter."""
    encode = ResidueTokens.encode

    def without(self: ResidueTokens, sequence: str) -> list[int]:
        if letter in sequence:
            raise ModelError(f"the tokenizer gives 9 tokens for 10 residues (letters {letter})")
        return encode(self, sequence)

    monkeypatch.setattr(ResidueTokens, "encode", without)


def test_a_protein_that_cannot_be_tokenised_is_skipped_unless_strict(tmp_path, tiny_esm, monkeypatch):
    mute(monkeypatch, "B")
    inputs = [fasta(tmp_path / "x.fasta", {"a": "ACDEFGHIKL", "b": "ACDEBGHIKL"})]
    with pytest.raises(ModelError, match=r"^b: the tokenizer gives 9 tokens for 10 residues \(letters B\)\.$"):
        ingest(tmp_path / "strict", inputs, model=str(tiny_esm), strict=True, **SETTINGS)
    assert ingest(tmp_path / "store", inputs, model=str(tiny_esm), **SETTINGS).proteins == 1
    assert skipped(tmp_path / "store") == [("m", "b", "the tokenizer gives 9 tokens for 10 residues (letters B)")]
    assert attnstore.open(tmp_path / "store").verify() == []


def test_longer_proteins_are_skipped_where_asked_even_if_strict(tmp_path, tiny_esm):
    inputs = [fasta(tmp_path / "x.fasta", random_proteins({"a": 20, "b": 21}))]
    ingest(tmp_path / "s", inputs, model=str(tiny_esm), max_residues=20, long="skip", strict=True, **SETTINGS)
    assert attnstore.open(tmp_path / "s").model().manifest.skipped == (Skipped("b", "21 residues are more than 20"),)


# --- out of memory


def cuda_is_full() -> Exception:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu_is_full() -> Exception:
    return RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 549755813888 bytes. Error code 12 (Cannot allocate memory)"
    )


def run_out_above(monkeypatch: pytest.MonkeyPatch, most: int, error: object) -> list[int]:
    """Let batches of more padded residues² fail once the receiver has seen all of it; returns the sizes tried."""
    forward, tried = LanguageModel.forward, []

    def limited(self: LanguageModel, batch: list[list[int]], receiver: object, *, hidden: bool = False) -> object:
        tried.append(len(batch) * max(map(len, batch)) ** 2)
        states = forward(self, batch, receiver, hidden=hidden)
        if tried[-1] > most:
            raise error()  # type: ignore[operator]
        return states

    monkeypatch.setattr(LanguageModel, "forward", limited)
    return tried


@pytest.mark.parametrize("error", [cuda_is_full, cpu_is_full, MemoryError])
def test_a_batch_that_does_not_fit_is_halved_and_its_size_not_tried_again(tmp_path, monkeypatch, error):
    model = save_esm(tmp_path / "model")  # its own place: what was learned of memory is by model
    proteins = random_proteins({f"p{number:02d}": 60 - number // 4 for number in range(32)})
    tried = run_out_above(monkeypatch, 3 * 60**2, error)
    # Two segments of two batches each; all batches are of eight.
    settings = {"batch_pairs": 8 * 60 * 128, "segment_entries": 12 * 16 * 60**2}
    store = tmp_path / "store"
    summary = ingest(store, [fasta(tmp_path / "x.fasta", proteins)], model=str(model), **SETTINGS, **settings)
    assert (summary.proteins, summary.skipped) == (32, 0)
    failed = [size for size in tried if size > 3 * 60**2]
    assert len(failed) == 2  # eight, and four of them
    assert tried[:2] == failed
    assert max(tried[2:]) < min(failed)
    monkeypatch.undo()
    opened = attnstore.open(store)
    assert opened.verify() == []
    for name in list(proteins)[::5]:
        assert_attention(opened, name, own(model, proteins[name])[0])
    assert sum(int(part.bin_count.sum()) for part in opened.model().segments) == opened.model().entries


def test_a_protein_that_does_not_fit_alone_is_skipped(tmp_path, monkeypatch):
    model = save_esm(tmp_path / "model")
    proteins = random_proteins({"long": 60, "a": 30, "b": 29})
    run_out_above(monkeypatch, 30**2 * 2, cpu_is_full)
    store = tmp_path / "store"
    inputs = [fasta(tmp_path / "x.fasta", proteins)]
    with pytest.raises(ModelError, match=r"^long: out of memory on cpu, alone in its batch\.$"):
        ingest(store, inputs, model=str(model), strict=True, **SETTINGS)
    assert ingest(store, inputs, model=str(model), **SETTINGS).proteins == 2
    assert skipped(store) == [("m", "long", "out of memory on cpu, alone in its batch")]
    opened = attnstore.open(store)
    for name in ("a", "b"):
        assert_attention(opened, name, own(model, proteins[name])[0])


def test_a_segment_that_does_not_fit_is_said_with_the_cure(tmp_path, tiny_esm, monkeypatch):
    def full(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 11.2 GiB")

    monkeypatch.setattr(compute, "HostReceiver", full)
    with pytest.raises(StoreError) as refused:
        ingest(tmp_path / "s", [fasta(tmp_path / "x.fasta", {"a": "ACD"})], model=str(tiny_esm), **SETTINGS)
    assert str(refused.value) == (
        "segment 0 does not fit in memory (Unable to allocate 11.2 GiB): free some, or ingest under another name "
        "(name=…) with smaller segments (segment_entries=…) or fewer residues (max_residues=…)."
    )
    assert attnstore.open(tmp_path / "s").verify() == []


def test_an_error_of_the_model_itself_is_not_taken_for_a_lack_of_memory(tmp_path, tiny_esm, monkeypatch):
    run_out_above(monkeypatch, 0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        ingest(tmp_path / "s", [fasta(tmp_path / "x.fasta", {"a": "ACD"})], model=str(tiny_esm), **SETTINGS)
    assert attnstore.open(tmp_path / "s").verify() == []
