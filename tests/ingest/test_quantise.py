"""The fused kernel against its definition in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnstore.format.codebook import DEFAULT, TOP
from attnstore.format.segment_values import LocalProteins
from attnstore.ingest.receiver_cpu import BadWeightError, HostReceiver, Items
from tests.synthetic import softmax

KEEP = ("codes", "arcs", "marginals")


def proteins_of(lengths):
    """Proteins of these lengths, one after another in a segment."""
    names = tuple(f"p{index}" for index in range(len(lengths)))
    return LocalProteins(names, ("",) * len(names), *[np.asarray(lengths, np.int64)] * 2)


def run(alpha, prefix, lengths, *, keep=KEEP, step=1, batches=None, whole=False):
    """Take one layer of a batch [protein][heads, tokens, tokens] of proteins that follow one another in a segment."""
    proteins, heads = proteins_of(lengths), alpha[0].shape[0]
    receiver = HostReceiver(proteins, 1, heads, DEFAULT, 0.05, keep)
    for chosen in batches or [range(len(lengths))]:
        chosen = list(chosen)
        places = (proteins.pair_offset[chosen], proteins.residue_offset[chosen])
        stored = proteins.stored[chosen]
        receiver.begin(Items(np.full(len(chosen), prefix), prefix, stored, np.array(chosen), *places))
        for item, index in enumerate(chosen):
            for head in range(0, heads, step):
                weights = np.ascontiguousarray(alpha[index][head : head + step])
                receiver.block(0, item, head, torch.from_numpy(weights))
        receiver.end()
    return receiver.finish()


@given(
    seed=st.integers(0, 2**32),
    prefix=st.integers(0, 3),
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=3),
    heads=st.integers(1, 4),
    step=st.integers(1, 4),
    sharpness=st.floats(0, 8),
)
@settings(max_examples=40, deadline=None)
def test_everything_kept_equals_numpy(seed, prefix, lengths, heads, step, sharpness):
    rng = np.random.default_rng(seed)
    sizes = [prefix + length + 2 for length in lengths]
    alpha = [softmax(rng.normal(size=(heads, size, size)) * sharpness) for size in sizes]
    found = run(alpha, prefix, lengths, step=step)
    local = found.proteins
    expected_arcs = []
    sums, counts = np.zeros((heads, DEFAULT.size)), np.zeros((heads, DEFAULT.size), np.int64)
    for b, length in enumerate(lengths):
        inside = slice(prefix, prefix + length)
        weights = alpha[b][:, inside, inside]
        codes = DEFAULT.codes(weights)
        stored = found.codes[0, :, local.pair_offset[b] : local.pair_offset[b + 1]].reshape(heads, length, length)
        np.testing.assert_array_equal(stored, codes.swapaxes(1, 2))
        rows = alpha[b][:, inside].astype(np.float64)
        at = (0, slice(None), slice(local.residue_offset[b], local.residue_offset[b + 1]))
        np.testing.assert_allclose(found.received[at], weights.sum(1, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(found.emitted[at], weights.sum(2, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(found.special[at], rows.sum(2) - rows[..., inside].sum(2), rtol=1e-5, atol=1e-6)
        for head in range(heads):
            counts[head] += np.bincount(codes[head].ravel(), minlength=DEFAULT.size)
            sums[head] += np.bincount(codes[head].ravel(), weights[head].ravel(), DEFAULT.size)
        for head, source, arrived in np.argwhere(weights >= np.float32(0.05)):
            expected_arcs.append((0, head, b, source, arrived, weights[head, source, arrived]))
    np.testing.assert_array_equal(found.bin_count[0], counts)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    np.testing.assert_allclose(found.bin_mean[0], means, rtol=1e-6)
    columns = (found.arcs[name] for name in ("layer", "head", "protein", "source", "target", "weight"))
    assert sorted(zip(*columns, strict=True)) == sorted(expected_arcs)


@given(seed=st.integers(0, 2**32), kept=st.sets(st.sampled_from(KEEP), min_size=1))
@settings(max_examples=20, deadline=None)
def test_what_is_not_kept_changes_nothing_of_what_is(seed, kept):
    alpha = [softmax(np.random.default_rng(seed).normal(size=(2, 40, 40)) * 3) for _ in range(2)]
    whole, some = run(alpha, 1, [38, 30]), run(alpha, 1, [38, 30], keep=kept)
    assert set(some.kept) == kept
    for tier, names in {"codes": ("codes", "bin_mean", "bin_count"), "marginals": ("received", "special")}.items():
        for name in names if tier in kept else ():
            np.testing.assert_array_equal(getattr(some, name), getattr(whole, name))
    if "arcs" in kept:
        for name, column in whole.arcs.items():
            np.testing.assert_array_equal(some.arcs[name], column)


def test_a_padded_batch_whole_gives_what_its_proteins_give():
    rng = np.random.default_rng(4)
    lengths, tokens = [9, 5], 11
    alpha = np.zeros((2, 3, tokens, tokens), np.float32)
    for b, size in enumerate((11, 7)):  # padding on the left
        alpha[b, :, tokens - size :, tokens - size :] = softmax(rng.normal(size=(3, size, size)) * 3)
    apart = run([alpha[0], np.ascontiguousarray(alpha[1][:, 4:, 4:])], 1, lengths, step=3)
    proteins = proteins_of(lengths)
    receiver = HostReceiver(proteins, 1, 3, DEFAULT, 0.05, KEEP)
    receiver.begin(
        Items(np.array([1, 5]), 1, proteins.stored, np.arange(2), proteins.pair_offset[:2], proteins.residue_offset[:2])
    )
    receiver.batch(0, torch.from_numpy(alpha))
    receiver.end()
    together = receiver.finish()
    for name in ("codes", "bin_count", "received", "emitted", "special"):
        np.testing.assert_array_equal(getattr(together, name), getattr(apart, name))


@pytest.mark.parametrize("bad", [np.nan, -0.25, -1e-30, np.inf, -np.inf, 1.5, np.nextafter(TOP, np.float32(2))])
@pytest.mark.parametrize("place", [(0, 5, 7), (1, 2, 2), (1, 3, 0), (0, 4, 11)])
def test_weights_that_are_none_are_refused_naming_the_protein(bad, place):
    rng = np.random.default_rng(0)
    alpha = [softmax(rng.normal(size=(3, n, n))) for n in (12, 10)]
    alpha[place[0]][1, place[1], place[2]] = bad
    with pytest.raises(BadWeightError) as caught:
        run(alpha, 1, [10, 8])
    assert caught.value.items == [place[0]]


def test_a_batch_that_failed_leaves_nothing_and_its_other_proteins_may_come_again():
    rng = np.random.default_rng(5)
    alpha = [softmax(rng.normal(size=(2, n, n)) * 3) for n in (22, 30, 14)]
    good = run([alpha[0], alpha[2]], 1, [20, 12])
    proteins = proteins_of([20, 28, 12])
    receiver = HostReceiver(proteins, 1, 2, DEFAULT, 0.05, KEEP)

    def take(chosen, weights):
        places = (proteins.pair_offset[chosen], proteins.residue_offset[chosen])
        receiver.begin(Items(np.full(len(chosen), 1), 1, proteins.stored[chosen], np.array(chosen), *places))
        for item, each in enumerate(weights):
            receiver.block(0, item, 0, torch.from_numpy(each))
        receiver.end()

    spoilt = alpha[1].copy()
    spoilt[1, 3, 3] = np.nan
    with pytest.raises(BadWeightError) as caught:
        take([0, 1, 2], [alpha[0], spoilt, alpha[2]])
    assert caught.value.items == [1]
    take([0, 2], [alpha[0], alpha[2]])
    found = receiver.finish()
    np.testing.assert_array_equal(found.bin_count, good.bin_count)
    np.testing.assert_array_equal(found.bin_mean, good.bin_mean)
    np.testing.assert_array_equal(found.arcs["weight"], good.arcs["weight"])


def test_rows_that_hold_more_arcs_than_a_softmax_can_are_refused():
    with pytest.raises(BadWeightError):
        run([np.full((1, 40, 40), 0.9, np.float32)], 0, [40])


def test_padding_and_rows_of_special_tokens_take_no_part():
    alpha = softmax(np.random.default_rng(3).normal(size=(2, 9, 9)))
    changed = alpha.copy()
    changed[:, 0] = 1 / 9
    changed[:, 7:] = 1 / 9
    results = [run([each], 1, [6]) for each in (alpha, changed)]
    for name in ("codes", "received", "emitted", "special", "bin_count"):
        np.testing.assert_array_equal(*(getattr(result, name) for result in results))
