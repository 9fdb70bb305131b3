"""What is captured is the model's own attention, whatever stands beside a protein in its batch."""

import numpy as np
import pytest
import torch
import transformers

from attnstore.errors import ModelError
from attnstore.ingest.language_model import load, weights_digest
from attnstore.ingest.tokens import AMINO_ACIDS, PROBE, residue_tokens

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "ACDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY", "WWC"]


@pytest.fixture(scope="module", params=["tiny_esm", "tiny_bert", "esm2_model", "antiberty_model"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def model(folder):
    return load(str(folder), device="cpu")


def captured(model, sequences):
    """α of each sequence, residues only: [layer, head, source, target]."""
    layers = []
    starts = model.forward(
        [model.tokens.encode(s) for s in sequences], lambda _, weights: layers.append(weights.numpy().copy())
    )
    stack = np.stack(layers)
    return [
        stack[:, b, :, start : start + len(s), start : start + len(s)]
        for b, (start, s) in enumerate(zip(starts, sequences, strict=True))
    ]


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
    # Parameters the checkpoint lacks are drawn anew each time and must not count.
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


def test_letters_the_tokenizer_joins_are_refused_for_that_sequence(esm2_model):
    tokens = load(str(esm2_model), device="cpu").tokens
    assert len(tokens.encode("AUZBXOA")) == 7
    with pytest.raises(ModelError, match="3 tokens for 4 residues"):
        tokens.encode("AJJA")


@pytest.mark.parametrize("option", [{"device": "cuda:99"}, {"device": "abacus"}, {"precision": "float8"}])
def test_devices_and_precisions_that_are_not_there_are_refused(tiny_esm, option):
    with pytest.raises(ModelError):
        load(str(tiny_esm), **option)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (transformers.GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=600), "is causal"),
        (transformers.T5Config(vocab_size=40, d_model=32, d_kv=8, num_layers=2, num_heads=4, d_ff=32), "T5Model"),
        (transformers.XLNetConfig(vocab_size=40, d_model=32, n_layer=2, n_head=4, d_inner=32), "XLNetModel"),
        (transformers.AlbertConfig(vocab_size=40, embedding_size=8, hidden_size=32, num_attention_heads=4,
                                   intermediate_size=32, num_hidden_layers=3), None),
    ],
)  # fmt: skip
def test_architectures_are_captured_rightly_or_refused_by_name(tiny_bert, tmp_path, config, message):
    folder = tmp_path / "model"
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (tiny_bert / name).exists():
            (folder / name).write_bytes((tiny_bert / name).read_bytes())
    if message is None:
        assert load(str(folder), device="cpu").check < 1e-5
    else:
        with pytest.raises(ModelError, match=message):
            load(str(folder), device="cpu")
