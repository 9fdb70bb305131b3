"""Counts from a store against numpy over the float32 attention of the same forward pass, on both real models."""

import itertools

import numpy as np
import pytest
import torch

import attnstore
from attnstore.format.codebook import DEFAULT
from attnstore.ingest import ingest
from attnstore.ingest.receiver_cpu import HostReceiver
from attnstore.readers.inputs import read_inputs

THRESHOLDS = (0.3, 0.05, 0.012, 0.7)

#: A predicate of each kind, and what numpy says of it: bool [source, target], and where it is known.
PREDICATES = {
    "target.aa IN ('G', 'P')": lambda record, n: np.tile(letters(record, n, "GP"), (n, 1)),
    "source.aa = 'L'": lambda record, n: np.tile(letters(record, n, "L")[:, None], (1, n)),
    "contact": lambda record, n: contacts(record, n),
    "separation BETWEEN 6 AND 11": lambda record, n: (apart(n) >= 6) & (apart(n) <= 11),
}


def letters(record, n, chosen):
    return np.isin(list(record.sequence[:n]), list(chosen))


def apart(n):
    return np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def contacts(record, n):
    cb = record.structure.cb[:n].astype(np.float64)
    distance = np.sqrt(((cb[:, None] - cb[None]) ** 2).sum(-1))
    return (apart(n) >= 6) & (distance < 8)


def planted(edges):
    """Each edge, and the float32 next to it on either side."""
    return np.stack([np.nextafter(edges, np.float32(0)), edges, np.nextafter(edges, np.float32(1))])


@pytest.fixture(scope="module", params=["esm2_model", "antiberty_model"])
def ingested(request, cgdms_chains, tmp_path_factory):
    """A store, the records that went in, and α[layer, head, source, target] of each, from the same forward."""
    model = request.getfixturevalue(request.param)
    chosen = [path for path in cgdms_chains if len(path.read_text().split("\n", 1)[0]) in (20, 37, 64, 99, 100)][:14]
    records = {record.id: record for record in read_inputs(chosen)}
    seen: dict[tuple[int, int, int], np.ndarray] = {}
    block = HostReceiver.block
    plants = planted(np.array([np.float32(theta) for theta in THRESHOLDS]))

    def plant_and_take(self, layer, item, head, weights):
        # Weights on an edge and one ulp beside it, in every head of the first protein of every batch.
        alpha, first, n = weights.clone(), self._items.prefix, int(self._items.length[item])
        if item == 0:
            row, column = first + 1, first + 2
            alpha[:, row : row + plants.shape[0], column : column + plants.shape[1]] = torch.from_numpy(plants)
        protein = int(self._items.protein[item])
        for k in range(alpha.shape[0]):
            seen[layer, head + k, protein] = alpha[k, first : first + n, first : first + n].numpy().copy()
        block(self, layer, item, head, alpha)

    path = tmp_path_factory.mktemp("exact") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostReceiver, "block", plant_and_take)
        ingest(path, chosen, model=str(model), name="model", batch_pairs=4 * 128 * 90, max_residues=90)
    store = attnstore.open(path)
    (segment,) = store.model().segments
    document = store.model().document
    weights = {
        name: np.stack(
            [np.stack([seen[layer, head, index] for head in range(document.heads)]) for layer in range(document.layers)]
        )
        for index, name in enumerate(segment.proteins.id)
    }
    return store, records, weights


@pytest.mark.parametrize("where", [None, "separation >= 6"])
@pytest.mark.parametrize(("predicate", "theta"), list(itertools.product(PREDICATES, THRESHOLDS)))
def test_counts_equal_the_same_forwards_attention_to_the_last_arc(ingested, predicate, theta, where):
    store, records, weights = ingested
    count = total = 0
    for name, alpha in weights.items():
        n = alpha.shape[-1]
        arcs = alpha >= np.float32(theta)
        if where is not None:
            arcs &= apart(n) >= 6
        count = count + (arcs & PREDICATES[predicate](records[name], n)).sum((-1, -2))
        total = total + arcs.sum((-1, -2))
    for tier in ("codes", "arcs") if theta >= 0.05 else ("codes",):
        result = store.align(predicate, where=where, threshold=theta, tier=tier, replicates=2)
        np.testing.assert_array_equal(result["count"], count)
        np.testing.assert_array_equal(result["total"], total)
    assert total.sum() > 100


def test_the_planted_weights_are_among_those_counted(ingested):
    _, _, weights = ingested
    values = np.unique(np.concatenate([alpha.ravel() for alpha in weights.values()]))
    assert np.isin(planted(np.array([np.float32(theta) for theta in THRESHOLDS])), values).all()


def test_every_weight_lies_in_its_bin_and_every_arc_is_the_weight_itself(ingested):
    store, _, weights = ingested
    for name, alpha in weights.items():
        found = store.attention_bounds(name)
        assert (found["lower"].values <= alpha).all()
        assert ((alpha < found["upper"].values) | (alpha >= DEFAULT.edges[-1])).all()
    table = store.sql("SELECT protein, layer, head, source, target, weight FROM arcs").df()
    assert len(table) == sum(int((alpha >= np.float32(0.05)).sum()) for alpha in weights.values())
    for name, group in table.groupby("protein"):
        at = tuple(group[key].to_numpy() for key in ("layer", "head", "source", "target"))
        np.testing.assert_array_equal(weights[name][at], group["weight"].to_numpy())


def test_marginals_are_the_sums_of_the_weights(ingested):
    store, _, weights = ingested
    (segment,) = store.model().segments
    for index, name in enumerate(segment.proteins.id):
        begin, end = segment.proteins.residue_offset[index : index + 2]
        alpha = weights[name].astype(np.float64)
        np.testing.assert_allclose(segment.marginal("received")[..., begin:end], alpha.sum(-2), rtol=1e-6)
        np.testing.assert_allclose(segment.marginal("emitted")[..., begin:end], alpha.sum(-1), rtol=1e-6)
