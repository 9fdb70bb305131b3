"""Maps of a real ESM-2 against its own contact head, which transformers computes from the model's own attention."""

import numpy as np
import pytest

import attnstore
from attnstore.ingest import ingest
from attnstore.queries.contacts.prediction import ContactPredictor, evaluate_predictor, predict

from . import contact_oracle as oracle


@pytest.fixture(scope="module")
def store(tmp_path_factory, esm2_model, cgdms_chains):
    path = tmp_path_factory.mktemp("esm") / "store"
    # Every 150th chain: of all lengths.
    ingest(path, cgdms_chains[::150], model=str(esm2_model), name="esm2", device="cpu")
    return attnstore.open(path)


@pytest.fixture(scope="module")
def own(store, esm2_model):
    """The model's contact head: its probabilities by protein, and its regression as a predictor."""
    import torch
    from transformers import AutoTokenizer, EsmModel

    module = EsmModel.from_pretrained(esm2_model, add_pooling_layer=False, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(esm2_model)
    probabilities = {}
    with torch.inference_mode():
        for name, sequence in store.sql("SELECT id, sequence FROM proteins").fetchall():
            tokens = tokenizer(sequence, return_tensors="pt")
            probabilities[name] = module.predict_contacts(tokens["input_ids"], tokens["attention_mask"])[0].numpy()
    regression = module.contact_head.regression
    document = store.model().document
    coefficients = regression.weight.detach().numpy().astype(float).reshape(document.layers, document.heads)
    return probabilities, ContactPredictor("logistic", "esm2", coefficients, float(regression.bias.detach()))


def test_its_regression_on_our_maps_gives_its_contacts(store, own):
    probabilities, predictor = own
    assert len(predictor.heads) > 20
    for name, expected in probabilities.items():
        found = predict(store, predictor, name)
        # Approximate only by the bins of the codebook.
        assert np.corrcoef(found.values.ravel(), expected.ravel())[0, 1] > 0.999
        np.testing.assert_allclose(found.values, expected, atol=0.1)
        assert np.abs(found.values - expected).mean() < 0.005


def test_it_is_as_precise_from_the_store_as_by_itself(store, own):
    probabilities, predictor = own
    found = evaluate_predictor(store, predictor)
    points = {name: [] for name in probabilities}
    for name, *xyz in store.sql("SELECT protein, cb_x, cb_y, cb_z FROM residues ORDER BY protein, pos").fetchall():
        points[name].append([np.nan if value is None else value for value in xyz])
    expected = [oracle.precisions(probabilities[name], points[name]) for name in found["protein"].values]
    assert float(found["precision"].sel(range="all", top="L")) > 2 * float(found["random"].sel(range="all"))
    np.testing.assert_allclose(found["precision"], np.nanmean(expected, axis=0), atol=0.03)
