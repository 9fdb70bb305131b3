"""What is captured is the model's own attention, whatever stands beside a protein in its batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from attnstore.errors import ModelError
from attnstore.ingest.model.capture import Collected
from attnstore.ingest.model.language_model import load, spans_of, weights_digest
from attnstore.ingest.model.tokens import AMINO_ACIDS, PROBE, residue_tokens

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "ACDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY", "WWC"]


@pytest.fixture(scope="module", params=["tiny_esm", "tiny_bert", "esm2_model", "antiberty_model"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def model(folder):
    return load(str(folder), device="cpu")


def captured(model, sequences):
    """α of each sequence, residues only: [layer, head, source, target]."""
    return [weights.numpy() for weights in model.attention([model.tokens.encode(s) for s in sequences])]


def test_it_equals_the_models_own_output_attentions(model, folder):
    own = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = model.tokens.tokenizer
    for sequence, ours in zip(SEQUENCES, captured(model, SEQUENCES), strict=True):
        text = " ".join(sequence) if model.tokens.spaced else sequence
        with torch.inference_mode():
            attentions = own(**tokenizer(text, return_tensors="pt"), output_attentions=True).attentions
        theirs = torch.stack(attentions)[:, 0, :, 1:-1, 1:-1].numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_neighbours_and_padding_do_not_change_it(model):
    together = captured(model, SEQUENCES)
    for sequence, among_others in zip(SEQUENCES, together, strict=True):
        np.testing.assert_allclose(captured(model, [sequence])[0], among_others, atol=1e-5)


def test_the_check_at_loading_saw_no_difference(model):
    assert model.check < 1e-5


def test_the_digest_of_the_weights_is_the_same_at_every_load(model, folder):
    # Parameters the checkpoint lacks are drawn again each time and must not count.
    assert load(str(folder), device="cpu").weights_sha256 == model.weights_sha256


def test_the_digest_tells_other_weights_apart(model):
    before = weights_digest(model.module)
    parameter = next(iter(model.module.parameters()))
    with torch.no_grad():
        original = parameter.flatten()[0].item()
        parameter.view(-1)[0] += 1
        after = weights_digest(model.module)
        parameter.view(-1)[0] = original
    assert before != after


def test_a_forward_without_capture_gives_the_models_own_output(model, folder):
    own = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = model.tokens.tokenizer(
        " ".join(SEQUENCES[0]) if model.tokens.spaced else SEQUENCES[0], return_tensors="pt"
    )
    with torch.inference_mode():
        np.testing.assert_allclose(model.module(**inputs).last_hidden_state, own(**inputs).last_hidden_state, atol=2e-4)


def test_the_probe_holds_every_ordered_pair_of_amino_acids():
    pairs = {PROBE[i : i + 2] for i in range(len(PROBE) - 1)}
    assert {a + b for a in AMINO_ACIDS for b in AMINO_ACIDS} <= pairs


def test_a_lower_casing_tokenizer_is_told_not_to(antiberty_model):
    # AntiBERTy's folder does not say do_lower_case=false; taken as it is, every residue would be [UNK].
    tokenizer = transformers.AutoTokenizer.from_pretrained(antiberty_model)
    assert set(tokenizer("A C D")["input_ids"][1:-1]) == {tokenizer.unk_token_id}
    tokens = residue_tokens(tokenizer, "antiberty")
    assert tokens.settings == {"do_lower_case": False}
    assert len(set(tokens.encode(AMINO_ACIDS))) == 20


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_change_shares_little_and_rows_still_sum_to_one(esm2_model, cgdms_chains, precision):
    chains = [path.read_text().split("\n", 1)[0] for path in cgdms_chains[::110]]
    shares = {}
    for kind in ("float32", precision):
        model = load(str(esm2_model), device="cpu", precision=kind)
        batch = [model.tokens.encode(chain) for chain in chains]
        collected = Collected(model.layers, model.heads, spans_of(model.tokens, batch))
        model.forward(batch, collected)
        for weights in collected.weights:
            np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-3)
        near = [np.tri(len(chain), k=5) * np.tri(len(chain), k=5).T for chain in chains]
        alphas = [weights[..., 1:-1, 1:-1].double().numpy() for weights in collected.weights]
        held = sum((alpha * mask).sum((-1, -2)) for alpha, mask in zip(alphas, near, strict=True))
        shares[kind] = held / sum(alpha.sum((-1, -2)) for alpha in alphas)
    assert shares["float32"].std() > 0.1
    # Of what each head pays to residues, the part within five of the source: 0.2 percentage points.
    assert np.abs(shares["float32"] - shares[precision]).max() < 0.002


def test_unknown_letters_are_a_token_each_though_the_tokenizer_joins_them(esm2_model):
    tokens = load(str(esm2_model), device="cpu").tokens
    assert len(tokens.tokenizer("AJJA")["input_ids"]) == 2 + 3
    a, unknown = tokens.ids["A"], tokens.tokenizer.unk_token_id
    assert tokens.encode("AJJA") == [a, unknown, unknown, a]
    assert unknown not in tokens.encode("UZBXO")


def test_letters_that_no_token_stands_for_are_refused_for_that_sequence(esm2_model):
    tokens = replace(load(str(esm2_model), device="cpu").tokens, unknown=None)
    assert len(tokens.encode("AUZBXOA")) == 7
    with pytest.raises(ModelError, match="no token for J, nor one for unknown letters"):
        tokens.encode("AJJA")


@pytest.mark.parametrize("option", [{"device": "cuda:99"}, {"device": "abacus"}, {"precision": "float8"}])
def test_devices_and_precisions_that_are_not_there_are_refused(tiny_esm, option):
    with pytest.raises(ModelError):
        load(str(tiny_esm), **option)
