"""The fused kernel against its definition in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnstore.codebook import DEFAULT, TOP
from attnstore.ingest.quantise import BadWeightError, Items, LayerTarget, Quantiser
from tests.synthetic import softmax


@pytest.fixture(scope="module", params=[1, 2])
def quantiser(request):
    quantiser = Quantiser(DEFAULT, 0.05, threads=request.param)
    yield quantiser
    quantiser.close()


def run(quantiser, alpha, starts, lengths):
    """Quantise one layer of a batch whose proteins follow one another in a segment."""
    heads, lengths = alpha.shape[1], np.asarray(lengths, np.int64)
    pairs, residues = np.cumsum([0, *lengths**2]), np.cumsum([0, *lengths])
    target = LayerTarget(
        np.full((heads, pairs[-1]), 255, np.uint8), np.zeros((heads, DEFAULT.size)),
        np.zeros((heads, DEFAULT.size), np.int64), *(np.zeros((heads, residues[-1]), np.float32) for _ in range(3)),
    )  # fmt: skip
    items = Items(np.asarray(starts, np.int64), lengths, np.arange(len(lengths)), pairs[:-1], residues[:-1])
    return quantiser.layer(alpha, items, target), target, pairs, residues


@given(
    seed=st.integers(0, 2**32),
    shapes=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300)), min_size=1, max_size=3),
    heads=st.integers(1, 4),
    sharpness=st.floats(0, 8),
)
@settings(max_examples=40, deadline=None)
def test_everything_kept_equals_numpy(quantiser, seed, shapes, heads, sharpness):
    rng = np.random.default_rng(seed)
    tokens = max(start + length for start, length in shapes) + 2
    alpha = softmax(rng.normal(size=(len(shapes), heads, tokens, tokens)) * sharpness)
    arcs, target, pairs, residues = run(quantiser, alpha, *zip(*shapes, strict=True))
    expected_arcs = []
    sums, counts = np.zeros_like(target.sums), np.zeros_like(target.counts)
    for b, (start, length) in enumerate(shapes):
        inside = slice(start, start + length)
        weights = alpha[b, :, inside, inside]
        codes = DEFAULT.codes(weights)
        stored = target.codes[:, pairs[b] : pairs[b + 1]].reshape(heads, length, length)
        np.testing.assert_array_equal(stored, codes.swapaxes(1, 2))
        rows = alpha[b, :, inside].astype(np.float64)
        at = slice(residues[b], residues[b + 1])
        np.testing.assert_allclose(target.received[:, at], weights.sum(1, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(target.emitted[:, at], weights.sum(2, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(target.special[:, at], rows.sum(2) - rows[..., inside].sum(2), rtol=1e-5, atol=1e-6)
        for head in range(heads):
            counts[head] += np.bincount(codes[head].ravel(), minlength=DEFAULT.size)
            sums[head] += np.bincount(codes[head].ravel(), weights[head].ravel(), DEFAULT.size)
        for head, source, arrived in np.argwhere(weights >= np.float32(0.05)):
            expected_arcs.append((head, b, source, arrived, weights[head, source, arrived]))
    np.testing.assert_array_equal(target.counts, counts)
    np.testing.assert_allclose(target.sums, sums, rtol=1e-9, atol=1e-12)
    found = zip(arcs.head, arcs.protein, arcs.source, arcs.target, arcs.weight, strict=True)
    assert sorted(map(tuple, found)) == sorted(expected_arcs)


@pytest.mark.parametrize("bad", [np.nan, -0.25, -1e-30, np.inf, -np.inf, 1.5, np.nextafter(TOP, np.float32(2))])
@pytest.mark.parametrize("place", [(0, 5, 7), (1, 2, 2)])
def test_weights_that_are_none_are_refused_naming_the_protein(quantiser, bad, place):
    alpha = softmax(np.random.default_rng(0).normal(size=(2, 3, 12, 12)))
    alpha[place[0], 1, place[1], place[2]] = bad
    with pytest.raises(BadWeightError) as caught:
        run(quantiser, alpha, [1, 1], [10, 8])
    assert caught.value.item == place[0]


def test_rows_that_hold_more_arcs_than_a_softmax_can_are_refused(quantiser):
    alpha = np.full((1, 1, 40, 40), 0.9, np.float32)
    with pytest.raises(BadWeightError):
        run(quantiser, alpha, [0], [40])


def test_padding_and_rows_of_special_tokens_take_no_part(quantiser):
    rng = np.random.default_rng(3)
    alpha = softmax(rng.normal(size=(1, 2, 9, 9)))
    changed = alpha.copy()
    changed[0, :, 0] = 1 / 9
    changed[0, :, 7:] = 1 / 9
    results = [run(quantiser, each, [1], [6])[1] for each in (alpha, changed)]
    for name in ("codes", "received", "emitted", "special", "counts"):
        np.testing.assert_array_equal(*(getattr(result, name) for result in results))
