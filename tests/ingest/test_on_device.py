"""What is done on a device, done on a CPU: against numpy, and against the receiver for the CPU."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnstore.format.codebook import DEFAULT, TOP
from attnstore.format.segment_values import MARGINALS, LocalProteins
from attnstore.ingest import receiver_gpu as on_device
from attnstore.ingest.model import capture
from attnstore.ingest.model.language_model import load
from attnstore.ingest.receiver_cpu import BadWeightError, HostReceiver, Items
from attnstore.ingest.receiver_gpu import DeviceReceiver
from tests.synthetic import softmax

KEEP = ("codes", "arcs", "marginals")
CPU = torch.device("cpu")
FLOOR = 0.05


def proteins_of(lengths):
    """Proteins of these lengths, one after another in a segment."""
    names = tuple(f"p{index}" for index in range(len(lengths)))
    return LocalProteins(names, ("",) * len(names), *[np.asarray(lengths, np.int64)] * 2)


def items_of(proteins, chosen, prefix, begins):
    chosen = list(chosen)
    return Items(
        np.asarray(begins, np.int64) + prefix, prefix, proteins.stored[chosen], np.array(chosen, np.int64),
        proteins.pair_offset[chosen], proteins.residue_offset[chosen],
    )  # fmt: skip


def padded(own, begins, tokens, rng):
    """A batch [items, heads, tokens, tokens] of the items' own attention; rows of padding may hold anything."""
    batch = np.zeros((len(own), own[0].shape[0], tokens, tokens), np.float32)
    batch[:] = rng.choice([np.float32(1 / tokens), np.float32(np.nan)], size=(tokens, 1))
    for item, (weights, begin) in enumerate(zip(own, begins, strict=True)):
        end = begin + weights.shape[-1]
        batch[item, :, begin:end] = 0
        batch[item, :, begin:end, begin:end] = weights
    return batch


def receiver_of(proteins, layers, heads, keep=KEEP):
    return DeviceReceiver(proteins, layers, heads, DEFAULT, FLOOR, keep, CPU)


@given(
    seed=st.integers(0, 2**32),
    prefix=st.integers(0, 2),
    suffix=st.integers(0, 2),
    side=st.sampled_from(["left", "right", "both"]),
    batches=st.lists(st.lists(st.sampled_from([1, 2, 7, 7, 33, 64]), min_size=1, max_size=4), min_size=1, max_size=3),
    heads=st.integers(1, 4),
    layers=st.integers(1, 2),
    sharpness=st.floats(0, 8),
    at_once=st.sampled_from([1, 20_000, 1 << 25]),
    mixed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_everything_kept_equals_numpy(seed, prefix, suffix, side, batches, heads, layers, sharpness, at_once, mixed):
    rng = np.random.default_rng(seed)
    drawn = [length for batch in batches for length in batch]
    order = rng.permutation(len(drawn)) if mixed else np.arange(len(drawn))
    lengths = [drawn[place] for place in np.argsort(order)]
    proteins = proteins_of(lengths)
    sizes = [prefix + length + suffix for length in lengths]
    own = [softmax(rng.normal(size=(layers, heads, size, size)) * sharpness) for size in sizes]
    receiver = receiver_of(proteins, layers, heads)
    first = 0
    for batch in batches:
        chosen = order[first : first + len(batch)]
        tokens = prefix + max(batch) + suffix
        spare = [tokens - sizes[index] for index in chosen]
        begins = [{"left": each, "right": 0, "both": each // 2}[side] for each in spare]
        receiver.begin(items_of(proteins, chosen, prefix, begins))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(on_device, "_SLICE", at_once)
            for layer in range(layers):
                weights = padded([own[index][layer] for index in chosen], begins, tokens, rng)
                receiver.batch(layer, torch.from_numpy(weights))
        receiver.end()
        first += len(batch)
    compare(receiver.finish().contents(), own, prefix, lengths)


def compare(contents, own, prefix, lengths):
    """A segment's contents against sums and searches in numpy."""
    proteins, (layers, heads) = proteins_of(lengths), own[0].shape[:2]
    counts = np.zeros((layers, heads, DEFAULT.size), np.int64)
    sums = np.zeros((layers, heads, DEFAULT.size))
    expected_arcs = []
    for b, length in enumerate(lengths):
        inside = slice(prefix, prefix + length)
        rows = own[b][:, :, inside].astype(np.float64)
        weights = own[b][:, :, inside, inside]
        codes = np.searchsorted(DEFAULT.edges, weights, side="right")
        stored = contents.codes[:, :, proteins.pair_offset[b] : proteins.pair_offset[b + 1]]
        np.testing.assert_array_equal(stored.reshape(codes.shape), codes.swapaxes(-1, -2))
        np.add.at(counts, (*np.indices(codes.shape)[:2], codes), 1)
        np.add.at(sums, (*np.indices(codes.shape)[:2], codes), weights)
        at = slice(proteins.residue_offset[b], proteins.residue_offset[b + 1])
        emitted = rows[..., inside].sum(-1)
        special = rows.sum(-1) - emitted
        for name, values in (("received", rows[..., inside].sum(-2)), ("emitted", emitted), ("special", special)):
            np.testing.assert_allclose(getattr(contents, name)[..., at], values, rtol=2e-6, atol=1e-6)
        for layer, head, source, target in np.argwhere(weights >= np.float32(FLOOR)):
            expected_arcs.append((layer, head, b, source, target, weights[layer, head, source, target]))
    np.testing.assert_array_equal(contents.bin_count, counts)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    np.testing.assert_allclose(contents.bin_mean, means, rtol=2e-7, atol=1e-12)
    assert sorted(arcs_of(contents)) == sorted(expected_arcs)


def arcs_of(contents):
    names = ("layer", "head", "protein", "source", "target", "weight")
    return list(zip(*(contents.arcs[name].tolist() for name in names), strict=True))


def one_batch(own, prefix, lengths, keep=KEEP):
    """A layer of proteins side by side, padded on the right: what is kept of them."""
    proteins = proteins_of(lengths)
    receiver = receiver_of(proteins, 1, own[0].shape[0], keep)
    begins = [0] * len(own)
    receiver.begin(items_of(proteins, range(len(own)), prefix, begins))
    tokens = max(weights.shape[-1] for weights in own)
    receiver.batch(0, torch.from_numpy(padded(own, begins, tokens, np.random.default_rng(0))))
    receiver.end()
    return receiver.finish().contents()


def test_arcs_of_a_batch_come_by_head_protein_source_and_target():
    rng = np.random.default_rng(5)
    arcs = arcs_of(one_batch([softmax(rng.normal(size=(3, n, n)) * 3) for n in (20, 20, 9)], 1, [18, 18, 7]))
    assert len(arcs) > 100
    assert arcs == sorted(arcs)


def test_neighbours_of_a_length_are_copied_at_once_and_no_others():
    proteins = proteins_of([5, 5, 5, 3, 5, 5])
    runs = on_device._runs(items_of(proteins, [0, 1, 2, 3, 5], 1, [0] * 5))
    assert [(run.item, run.items, run.pair_offset) for run in runs] == [(0, 3, 0), (3, 1, 75), (4, 1, 109)]
    runs = on_device._runs(items_of(proteins, [0, 1, 4, 5, 2], 1, [0, 0, 0, 1, 0]))
    assert [(run.item, run.items, run.start) for run in runs] == [(0, 2, 1), (2, 1, 1), (3, 1, 2), (4, 1, 1)]


def test_weights_on_every_edge_and_next_to_it_get_the_code_of_the_definition():
    edges = DEFAULT.edges
    planted = np.concatenate([edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(2)), [TOP]])
    weights = np.diag(planted.astype(np.float32))[None]
    n = planted.size
    contents = one_batch([weights], 0, [n])
    np.testing.assert_array_equal(contents.codes.reshape(n, n), DEFAULT.codes(weights[0]).T)
    assert (contents.arcs["weight"] >= np.float32(FLOOR)).all()
    assert contents.arcs["weight"].size == (planted >= np.float32(FLOOR)).sum()
    np.testing.assert_array_equal(contents.bin_count[0, 0], np.bincount(DEFAULT.codes(weights[0]).ravel()))


@pytest.mark.parametrize("tokens", [1, 15, 16, 31, 32, 511, 512, 1023, 1024, 2048])
def test_no_column_is_too_full_for_its_bins(tokens):
    # All weights on one token are the most that a column sums to, and all alike the most of a number.
    weights = torch.zeros(2, 1, tokens, tokens)
    weights[0, :, :, 0] = float(TOP)
    weights[1] = 1 / tokens
    codes = torch.bucketize(weights, torch.from_numpy(DEFAULT.edges), right=True)
    counts, sums = on_device._bins(weights, codes, DEFAULT.size)
    expected = np.stack([np.bincount(each.numpy().ravel(), minlength=DEFAULT.size) for each in codes])
    np.testing.assert_array_equal(counts, expected)
    assert counts[0, -1] == tokens
    assert float(sums[0, -1]) == tokens * float(TOP)
    np.testing.assert_allclose(sums[1].sum(), tokens, rtol=1e-7)


@pytest.mark.parametrize("keep", [KEEP, ("arcs", "marginals"), ("codes",), ("arcs",), ("marginals",), ("hidden",)])
def test_it_keeps_what_the_receiver_on_the_host_keeps(keep):
    rng = np.random.default_rng(7)
    lengths = [61, 61, 40]
    own = [softmax(rng.normal(size=(3, length + 2, length + 2)) * 3) for length in lengths]
    proteins = proteins_of(lengths)
    host = HostReceiver(proteins, 1, 3, DEFAULT, FLOOR, keep)
    host.begin(items_of(proteins, range(3), 1, [0, 0, 0]))
    for item, weights in enumerate(own):
        host.block(0, item, 0, torch.from_numpy(weights))
    host.end()
    assert_alike(one_batch(own, 1, lengths, keep), host.finish())


def assert_alike(ours, theirs):
    """Codes, numbers and arcs are the same, sums as near as float32 is."""
    assert ours.kept == theirs.kept
    assert (ours.layers, ours.heads) == (theirs.layers, theirs.heads)
    if "codes" in ours.kept:
        np.testing.assert_array_equal(ours.codes, theirs.codes)
        np.testing.assert_array_equal(ours.bin_count, theirs.bin_count)
        np.testing.assert_allclose(ours.bin_mean, theirs.bin_mean, rtol=2e-7, atol=1e-12)
        assert [ours.codes.dtype, ours.bin_count.dtype, ours.bin_mean.dtype] == [np.uint8, np.uint32, np.float32]
    if "marginals" in ours.kept:
        for name in MARGINALS:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=2e-6, atol=1e-7)
            assert getattr(ours, name).dtype == np.float32
    if "arcs" in ours.kept:
        assert {name: column.dtype for name, column in ours.arcs.items()} == {
            name: column.dtype for name, column in theirs.arcs.items()
        }
        assert sorted(arcs_of(ours)) == sorted(arcs_of(theirs))


@pytest.mark.parametrize("bad", [np.nan, -0.25, -1e-30, np.inf, -np.inf, 1.5, np.nextafter(TOP, np.float32(2))])
@pytest.mark.parametrize("place", [(5, 7), (2, 0), (3, 21)])
def test_weights_that_are_none_are_refused_and_nothing_of_their_batch_counts(bad, place):
    rng = np.random.default_rng(0)
    lengths = [20, 20, 20]
    good = softmax(rng.normal(size=(2, 3, 2, 22, 22)) * 3)  # of two layers
    broken = good.copy()
    broken[1, 1, 1, place[0], place[1]] = bad
    proteins = proteins_of(lengths)
    receiver = receiver_of(proteins, 2, 2)

    def run(weights, chosen):
        receiver.begin(items_of(proteins, chosen, 1, [0] * len(chosen)))
        for layer in range(2):
            receiver.batch(layer, torch.from_numpy(weights[layer][chosen]))
        receiver.end()

    run(good, [0])
    with pytest.raises(BadWeightError, match="layer 1") as caught:
        run(broken, [1, 2])
    assert caught.value.items == [0]
    run(good, [1, 2])
    compare(receiver.finish().contents(), [good[:, item] for item in range(3)], 1, lengths)


def test_a_batch_that_broke_off_leaves_nothing_that_counts():
    good = softmax(np.random.default_rng(0).normal(size=(2, 2, 3, 12, 12)) * 3)
    proteins = proteins_of([10, 10])
    receiver = receiver_of(proteins, 2, 3)
    for layers in (1, 2):
        receiver.begin(items_of(proteins, [0, 1], 1, [0, 0]))
        for layer in range(layers):
            receiver.batch(layer, torch.from_numpy(good[layer]))
    receiver.end()
    compare(receiver.finish().contents(), [good[:, 0], good[:, 1]], 1, [10, 10])


def test_rows_that_sum_to_well_over_one_are_refused():
    with pytest.raises(BadWeightError):
        one_batch([np.full((1, 40, 40), 0.9, np.float32)], 0, [40])


def test_nothing_at_all_is_kept_of_no_batch():
    contents = receiver_of(proteins_of([3]), 2, 2).finish().contents()
    assert contents.arcs["weight"].size == 0
    assert contents.arcs["layer"].dtype == np.uint16
    assert not contents.bin_count.any()


@pytest.mark.parametrize("whole", [True, False])
def test_a_model_fills_it_as_it_fills_the_receiver_on_the_host(tiny_esm, monkeypatch, whole):
    model = load(str(tiny_esm), device="cpu")
    if whole:  # as on a device
        monkeypatch.setattr(capture, "_blocked", capture._whole)
    sequences = ["MKTAYIAKQRQISFVKSHFSRQ", "ACDEFGHIKLMNPQRSTVWYACDEFGHIKLMNPQRSTVWY", "WWC"]
    proteins = proteins_of(list(map(len, sequences)))
    items = items_of(proteins, range(3), len(model.tokens.prefix), [0, 0, 0])
    receivers = [
        receiver_of(proteins, model.layers, model.heads),
        HostReceiver(proteins, model.layers, model.heads, DEFAULT, FLOOR, KEEP),
    ]
    for receiver in receivers:
        receiver.begin(items)
        model.forward([model.tokens.encode(sequence) for sequence in sequences], receiver)
        receiver.end()
    assert_alike(receivers[0].finish().contents(), receivers[1].finish())
