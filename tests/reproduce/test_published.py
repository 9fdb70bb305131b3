"""The published figures: layers and heads from 0, each once, and the models they are of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import attnstore
from attnstore.errors import QueryError
from attnstore.format.documents import ModelDocument
from attnstore.queries.vig2021.paper_models import MODELS, PROPERTIES, figures, head_of, label_of, recognise, source

FILE = "vig2021_top_heads.json"
REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / FILE


@given(st.integers(0, 99), st.integers(0, 99))
def test_labels_count_from_1_and_all_else_from_0(layer: int, head: int) -> None:
    assert head_of(f"{layer + 1}-{head + 1}") == (layer, head)
    assert label_of(layer, head) == f"{layer + 1}-{head + 1}"


def test_a_figure_of_the_paper_is_found_under_its_head_from_0() -> None:
    assert figures("TapeBert", "contact").heads[11, 3] == pytest.approx(0.4467)
    assert figures("TapeBert", "contact").background == pytest.approx(0.0127)
    assert figures("ProtAlbert", "binding_site").heads[1, 25] == pytest.approx(0.5749)
    assert "2006.15222" in source()


@pytest.mark.parametrize("key", PROPERTIES)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_ten_heads_that_the_model_has_best_first(model, key):
    found = figures(model.name, key)
    assert len(found.heads) == 10
    assert all(0 <= layer < model.layers and 0 <= head < model.heads for layer, head in found.heads)
    shares = list(found.heads.values())
    assert shares == sorted(shares, reverse=True)
    assert 0 < found.background < shares[-1] < 1


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference is not here")
def test_the_file_is_the_reference() -> None:
    """But for one name: the paper's "modification" is the property `protein_modification` of every store."""
    own = (Path(__file__).parents[2] / "queries" / "vig2021" / FILE).read_text()
    reference = REFERENCE.read_text().replace('"modification":', '"protein_modification":')
    assert json.loads(own) == json.loads(reference)


@pytest.fixture
def document(small_store: Path) -> ModelDocument:
    return attnstore.open(small_store).model().document


@pytest.mark.parametrize(
    ("given_", "shape", "name"),
    [
        ("Rostlab/prot_bert", ("BertModel", 30, 16), "ProtBert"),
        ("Rostlab/prot_bert_bfd", ("BertModel", 30, 16), "ProtBert-BFD"),
        ("/models/ProtBert-BFD/", ("BertModel", 30, 16), "ProtBert-BFD"),
        ("/models/fine-tuned", ("BertModel", 30, 16), None),
        ("Rostlab/prot_albert", ("AlbertModel", 12, 64), "ProtAlbert"),
        ("/models/any", ("AlbertModel", 12, 64), "ProtAlbert"),
        ("/models/any", ("XLNetModel", 30, 16), "ProtXLNet"),
        ("/models/any", ("BertModel", 12, 12), "TapeBert"),
        ("/models/any", ("EsmModel", 12, 12), None),
        ("Rostlab/prot_bert", ("BertModel", 12, 16), None),
    ],
)
def test_a_model_is_told_by_name_before_shape(document, given_, shape, name):
    architecture, layers, heads = shape
    given_model = dataclasses.replace(document, source=given_, architecture=architecture, layers=layers, heads=heads)
    found, words = recognise(given_model)
    assert (found.name if found is not None else None) == name
    assert words
    assert recognise(given_model, "other")[0] is None


def test_one_that_has_the_shape_of_two_is_neither_until_it_is_said(document: ModelDocument) -> None:
    twin = dataclasses.replace(document, source="mine", architecture="BertModel", layers=30, heads=16)
    found, words = recognise(twin)
    assert found is None
    assert "ProtBert and ProtBert-BFD" in words
    named, _ = recognise(twin, "ProtBert-BFD")
    assert named is not None
    assert named.name == "ProtBert-BFD"
    with pytest.raises(QueryError, match="12 × 64"):
        recognise(twin, "ProtAlbert")


def paper_rows() -> dict[tuple[str, str], str]:
    """What docs/paper.md says is published, by what it is of and model."""
    text = (Path(__file__).parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert all(len(row) == 6 for row in rows)
    return {(row[0], row[1]): row[2] for row in rows}


def test_the_page_of_the_papers_numbers_says_what_the_file_does() -> None:
    own = Path(__file__).parents[2] / "queries" / "vig2021" / FILE
    rows, models = paper_rows(), json.loads(own.read_text())["models"]
    words = {"contact": "Contacts", "binding_site": "Binding sites", "protein_modification": "Modifications"}
    told = {key for key in rows if key[0].endswith("ten best heads, %")}
    assert told == {(f"{words[key]}: ten best heads, %", model) for model in models for key in words}
    for model, properties in models.items():
        for key, found in properties.items():
            listed = [entry.split() for entry in rows[f"{words[key]}: ten best heads, %", model].split(", ")]
            assert {label: float(percent) for label, percent in listed} == found["top_heads_percent"]
            assert float(rows[f"{words[key]}: background, %", "all five"]) == found["background_percent"]


def test_the_page_has_the_models_shapes() -> None:
    told = paper_rows()["Layers × heads", "the five"]
    for model in MODELS:
        assert model.name in told
        assert f"{model.layers} × {model.heads}" in told
