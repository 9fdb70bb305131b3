"""Every architecture: captured attention against the model's own, what is measured of it, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

import attnstore
from attnstore.errors import ModelError
from attnstore.ingest import ingest
from attnstore.ingest.model import capture
from attnstore.ingest.model.capture import Collected
from attnstore.ingest.model.language_model import load, spans_of

from .. import models

#: Lengths differ, so that the batch is padded; the last holds letters that Rostlab's models never saw.
SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "ACDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY", "WWC", "AUGZSOTBLX"]


class Kind:
    """How a saved model is to be used, as its authors say; what attnstore finds out by itself is held against it."""

    def __init__(
        self, save, before, after, *, spaced=False, rare=None, limit, causal=False, loader="AutoModel", **settings
    ):
        self.save, self.before, self.after, self.limit, self.causal = save, before, after, limit, causal
        self.loader, self.spaced, self.rare, self.settings = loader, spaced, rare, settings

    def inputs(self, tokenizer, sequence):
        # `rare`: what stands for U, Z, O, B and X in the code of the model's authors.
        letters = [self.rare if self.rare and letter in "UZOBX" else letter for letter in sequence]
        text = (" " if self.spaced else "").join(letters)
        inputs = tokenizer(text, return_tensors="pt")
        return {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}

    def residues(self, sequence):
        return slice(self.before, self.before + len(sequence))


KINDS = {
    "bert": Kind(models.save_bert, 1, 1, spaced=True, rare="X", limit=126),
    "albert": Kind(models.save_albert, 1, 1, spaced=True, rare="X", limit=126),
    "electra": Kind(models.save_electra, 1, 1, spaced=True, rare="X", limit=126),
    "roberta": Kind(models.save_roberta, 1, 1, limit=98),
    "esm2": Kind(models.save_esm, 1, 1, limit=1022),
    "esm1b": Kind(
        models.save_esm, 1, 1, limit=62, position_embedding_type="absolute", max_position_embeddings=66,
        emb_layer_norm_before=True,
    ),
    "esmc": Kind(models.save_esmc, 1, 1, limit=2046),
    "t5": Kind(models.save_t5, 0, 1, spaced=True, rare="X", limit=None, loader="T5EncoderModel"),
    "t5_encoder": Kind(models.save_t5, 0, 1, spaced=True, rare="X", limit=None, loader="T5EncoderModel", decoder=False),
    "ankh": Kind(models.save_ankh, 0, 1, limit=None, loader="T5EncoderModel"),
    "xlnet": Kind(models.save_xlnet, 0, 2, spaced=True, rare="<unk>", limit=None),
    "xlnet_clamped": Kind(models.save_xlnet, 0, 2, spaced=True, rare="<unk>", limit=None, clamp_len=9),
    "gpt2": Kind(models.save_gpt2, 1, 0, limit=95, causal=True),
    "gpt2_scaled": Kind(
        models.save_gpt2, 1, 0, limit=95, causal=True, scale_attn_by_inverse_layer_idx=True,
        reorder_and_upcast_attn=True,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return kind.save(tmp_path_factory.mktemp("model") / "model", **kind.settings)


@pytest.fixture(scope="module")
def model(folder):
    return load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def own(kind, folder, model):
    """Attention [layers, heads, i, j] and hidden states [layers + 1, i, width] of each alone, by transformers."""
    module = getattr(transformers, kind.loader).from_pretrained(folder, attn_implementation="eager").eval()
    results = []
    for sequence in SEQUENCES:
        inputs = kind.inputs(model.tokens.tokenizer, sequence)
        assert inputs["input_ids"].shape[1] == kind.before + len(sequence) + kind.after
        with torch.inference_mode():
            output = module(**inputs, output_attentions=True, output_hidden_states=True)
        place = kind.residues(sequence)
        results.append(
            (torch.cat(output.attentions)[..., place, place], torch.stack(output.hidden_states)[:, 0, place])
        )
    return results


def batch_of(model, sequences=SEQUENCES):
    return [model.tokens.encode(sequence) for sequence in sequences]


def test_it_equals_the_models_own_output_attentions(model, own):
    assert max(float(attention.max()) for attention, _ in own) > 0.3  # nothing flat is compared
    for ours, (theirs, _) in zip(model.attention(batch_of(model)), own, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_batch_computed_whole_as_on_a_gpu_gives_the_same(model, own, monkeypatch):
    monkeypatch.setattr(capture, "_blocked", capture._whole)
    for ours, (theirs, _) in zip(model.attention(batch_of(model)), own, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_neighbours_and_padding_do_not_change_it(model):
    for tokens, among_others in zip(batch_of(model), model.attention(batch_of(model)), strict=True):
        np.testing.assert_allclose(model.attention([tokens])[0], among_others, atol=1e-5)


def test_hidden_states_are_the_models_own(model, own):
    batch = batch_of(model)
    hidden = model.forward(batch, Collected(model.layers, model.heads, spans_of(model.tokens, batch)), hidden=True)
    for ours, (_, theirs) in zip(hidden, own, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_the_model_is_is_found_out(kind, model):
    assert model.check < 1e-5
    assert model.causal is kind.causal
    assert model.max_residues == kind.limit
    assert (len(model.tokens.prefix), len(model.tokens.suffix)) == (kind.before, kind.after)
    assert model.tokens.residue_map == ("UZOB>X" if kind.rare == "X" else "keep")


def test_a_causal_model_pays_nothing_to_what_comes_after(kind, model):
    after = max(float(weights.triu(1).max()) for weights in model.attention(batch_of(model)))
    assert (after == 0) is kind.causal


def test_the_softmax_is_float32_whatever_the_products_are(folder):
    model = load(str(folder), device="cpu", precision="bfloat16")
    batch = batch_of(model)
    collected = Collected(model.layers, model.heads, spans_of(model.tokens, batch))
    model.forward(batch, collected)
    for weights in collected.weights:
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_a_random_twin_needs_no_weights_and_is_the_same_every_time(folder, model, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    state = torch.random.get_rng_state()
    twin = load(str(bare), device="cpu", randomize_seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert twin.check < 1e-5
    assert twin.weights_sha256 == load(str(folder), device="cpu", randomize_seed=3).weights_sha256
    assert twin.weights_sha256 != model.weights_sha256
    with pytest.raises(ModelError, match="no weights"):
        load(str(bare), device="cpu")


def test_another_seed_is_another_twin(tmp_path):
    folder = models.save_bert(tmp_path / "model")
    one, other = (load(str(folder), device="cpu", randomize_seed=seed) for seed in (3, 4))
    assert one.weights_sha256 != other.weights_sha256


#: The models of Vig et al. 2021 in width and heads; of the layers two.
TRUE_SHAPES = {
    "TapeBert": (models.save_bert, transformers.BertConfig(
        vocab_size=30, hidden_size=768, num_hidden_layers=2, num_attention_heads=12, intermediate_size=3072,
        max_position_embeddings=8096)),
    "ProtBert": (models.save_bert, transformers.BertConfig(
        vocab_size=30, hidden_size=1024, num_hidden_layers=2, num_attention_heads=16, intermediate_size=4096,
        max_position_embeddings=40000)),
    "ProtAlbert": (models.save_albert, transformers.AlbertConfig(
        vocab_size=34, embedding_size=128, hidden_size=4096, num_hidden_layers=2, num_hidden_groups=1,
        num_attention_heads=64, intermediate_size=4096, max_position_embeddings=40000)),
    "ProtXLNet": (models.save_xlnet, transformers.XLNetConfig(
        vocab_size=37, d_model=1024, n_layer=2, n_head=16, d_inner=4096)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUE_SHAPES)
def test_the_papers_models_are_captured_in_their_true_width(tmp_path, name):
    save, config = TRUE_SHAPES[name]
    folder = save(tmp_path / "model")
    config.save_pretrained(folder)
    model = load(str(folder), device="cpu", randomize_seed=0)
    assert model.heads == config.num_attention_heads
    assert model.check < 1e-5


def test_xlnet_follows_segments_too(tmp_path):
    folder = models.save_xlnet(tmp_path / "model")
    model = load(str(folder), device="cpu")
    own = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = model.tokens.tokenizer(" ".join(SEQUENCES[0]), return_tensors="pt", return_token_type_ids=True)
    assert inputs["token_type_ids"].unique().numel() > 1
    with torch.inference_mode():
        theirs = own(**inputs).last_hidden_state
        np.testing.assert_allclose(model.module(**inputs).last_hidden_state, theirs, atol=1e-4)
        del inputs["token_type_ids"]
        assert not torch.allclose(own(**inputs).last_hidden_state, theirs, atol=1e-2)


def test_of_a_t5_the_decoder_is_not_loaded(tmp_path):
    model = load(str(models.save_t5(tmp_path / "model")), device="cpu")
    assert not any("decoder" in name for name, _ in model.module.named_parameters())


def test_letters_are_handled_as_told(tmp_path):
    folder = models.save_bert(tmp_path / "model")
    told = {given: load(str(folder), device="cpu", residue_map=given).tokens for given in (None, "keep", "UO>C")}
    x, u = models.BERT_VOCABULARY.index("X"), models.BERT_VOCABULARY.index("U")
    z, c = models.BERT_VOCABULARY.index("Z"), models.BERT_VOCABULARY.index("C")
    assert told[None].encode("UZ") == [x, x]
    assert told["keep"].encode("UZ") == [u, z]
    assert told["UO>C"].encode("UZ") == [c, z]
    assert [told[given].describe()["residue_map"] for given in told] == ["UZOB>X", "keep", "UO>C"]
    with pytest.raises(ModelError, match="'U=X' is neither"):
        load(str(folder), device="cpu", residue_map="U=X")


def test_an_architecture_without_an_adapter_is_taken_if_its_attention_can_be_had(tmp_path):
    vocabulary = {"vocab_size": len(models.ESM_VOCABULARY)}
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    configs = {
        "distilbert": transformers.DistilBertConfig(**vocabulary, dim=32, n_layers=2, n_heads=4, hidden_dim=64),
        "llama": transformers.LlamaConfig(**vocabulary, **shape, num_key_value_heads=2),
    }
    found = {}
    for name, config in configs.items():
        folder = tmp_path / name
        config.save_pretrained(folder)
        models.save_letters(folder, models.ESM_VOCABULARY, before="<cls>", after="<eos>")
        model = load(str(folder), device="cpu", randomize_seed=1)
        assert model.check < 1e-5
        found[name] = model.causal
    assert found == {"distilbert": False, "llama": True}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (transformers.XLMConfig(emb_dim=32, n_layers=2, n_heads=4, vocab_size=33), "gave 0 layers of attention"),
        (transformers.BartConfig(d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                                 decoder_attention_heads=4, vocab_size=33, encoder_ffn_dim=64, decoder_ffn_dim=64,
                                 pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
                                 forced_eos_token_id=2), "BartModel does not give access to its attention"),
        (transformers.ModernBertConfig(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, vocab_size=33,
                                       intermediate_size=64, pad_token_id=1, bos_token_id=0, eos_token_id=2,
                                       cls_token_id=0, sep_token_id=2), "passes 'sliding_window' to its attention"),
    ],
    ids=["computes it inside", "two stacks", "a window"],
)  # fmt: skip
def test_attention_that_cannot_be_had_is_refused_by_name(tmp_path, config, message):
    config.save_pretrained(tmp_path)
    models.save_letters(tmp_path, models.ESM_VOCABULARY, before="<cls>", after="<eos>")
    with pytest.raises(ModelError, match=message):
        load(str(tmp_path), device="cpu", randomize_seed=1)


def test_another_models_attention_is_not_taken_for_its_own(tmp_path, monkeypatch):
    folder = models.save_bert(tmp_path / "model")
    attend = capture.attend
    monkeypatch.setattr(capture, "attend", lambda q, k, v, biases, scaling: attend(q, k, v, biases, 1.01 * scaling))
    with pytest.raises(ModelError, match="differs from the model's own by up to"):
        load(str(folder), device="cpu")


def test_a_vocabulary_of_more_than_residues_is_refused(tmp_path):
    folder = models.save_gpt2(tmp_path / "model")
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"] = {
        "type": "BPE", "unk_token": "<unk>", "merges": [["A", "L"]],
        "vocab": {token: index for index, token in enumerate([*models.ESM_VOCABULARY, "AL"])},
    }  # fmt: skip
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="does not give one token per residue"):
        load(str(folder), device="cpu")


def test_a_model_with_code_of_its_own_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "rita", "auto_map": {"AutoModel": "rita_modeling.RITAModel"}})
    )
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match="code of its own"):
        load(str(tmp_path), device="cpu")


@pytest.mark.parametrize("save", [models.save_xlnet, models.save_t5, models.save_gpt2, models.save_albert])
def test_what_is_stored_is_what_residues_pay_each_other(tmp_path, chain_files, save):
    # Special tokens last, after the residues alone, before them alone, on both sides; padded left or right.
    folder = save(tmp_path / "model")
    ingest(tmp_path / "store", chain_files, model=str(folder), device="cpu", name="m")
    store = attnstore.open(tmp_path / "store")
    model = load(str(folder), device="cpu")
    stored = store.model()
    assert stored.document.causal is model.causal
    sequences = dict(store.sql("SELECT id, sequence FROM proteins").fetchall())
    assert len(sequences) == len(chain_files)
    for segment in stored.segments:
        local = segment.proteins
        for name, begin, end in zip(local.id, local.residue_offset[:-1], local.residue_offset[1:], strict=True):
            alpha = model.attention([model.tokens.encode(sequences[name])])[0].numpy()
            for kind, axis in (("received", -2), ("emitted", -1)):
                np.testing.assert_allclose(segment.marginal(kind)[..., begin:end], alpha.sum(axis), atol=1e-4)
            special = 1 - alpha.sum(-1)
            np.testing.assert_allclose(segment.marginal("special")[..., begin:end], special, atol=1e-4)
