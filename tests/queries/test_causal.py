"""Of a causal model: pairs whose target comes after the source are no part of a background, and rows with weight 0."""

from dataclasses import replace

import numpy as np
import pytest

import attnstore
from tests.synthetic import contact, matrix, random_proteins, write_store

#: One that is the same both ways, and two that are not: neighbours count one way only, and the ends' letters differ.
PREDICATES = {
    "contact": contact,
    "target.aa = 'C'": lambda p, i, j: p.sequence[j] == "C",
    "source.aa = 'A' AND target.aa <> 'A'": lambda p, i, j: p.sequence[i] == "A" and p.sequence[j] != "A",
}


def causal(protein):
    weights = np.tril(protein.attention)
    return replace(protein, attention=weights / weights.sum(-1, keepdims=True))


@pytest.fixture(scope="module")
def proteins():
    return [causal(protein) for protein in random_proteins(11, [17, 30, 9, 25, 41], truncate=35)]


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("causal") / "store"
    write_store(path, proteins, causal=True)
    return attnstore.open(path)


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize("where", [None, "separation >= 3"])
def test_backgrounds_hold_what_can_be_attended_to(store, proteins, predicate, where):
    shape = proteins[0].attention.shape[:2]
    longest = max(protein.stored for protein in proteins)
    true, known = (np.zeros((len(proteins), longest)) for _ in range(2))
    arcs, arcs_at = np.zeros((len(proteins), *shape)), np.zeros((*shape, longest))
    for p, protein in enumerate(proteins):
        state = matrix(protein, PREDICATES[predicate])
        far = np.subtract.outer(np.arange(len(state)), np.arange(len(state)))
        eligible = (far >= (3 if where else 0)) & (state >= 0)  # source at or after target
        found = (protein.weights >= np.float32(0.1)) & eligible
        arcs[p] = found.sum((-1, -2))
        for s in range(len(state)):
            true[p, s] = ((state == 1) & eligible & (far == s)).sum()
            known[p, s] = (eligible & (far == s)).sum()
            arcs_at[..., s] += (found & (far == s)).sum((-1, -2))

    def background(kind):
        return store.align(predicate, where=where, threshold=0.1, background=kind)["background"].values

    np.testing.assert_allclose(background("eligible"), true.sum() / known.sum())
    apart = true.sum(1) / known.sum(1)
    np.testing.assert_allclose(background("protein"), np.tensordot(apart, arcs, 1) / arcs.sum(0))
    at = known.sum(0) > 0
    share = true.sum(0)[at] / known.sum(0)[at]
    np.testing.assert_allclose(background("separation"), (arcs_at[..., at] @ share) / arcs_at[..., at].sum(-1))


def test_the_papers_background_too(store, proteins):
    true = known = 0
    for protein in proteins:
        state = matrix(protein, contact)
        far = np.subtract.outer(np.arange(len(state)), np.arange(len(state)))
        true += ((state == 1) & (far >= 6)).sum()
        known += ((state >= 0) & (far >= 6)).sum()
    np.testing.assert_allclose(store.align("contact", paper=True)["background"], true / known)
    # Of a property of one residue it is over residues, whatever they can attend to.
    residues = "".join(protein.sequence[: protein.stored] for protein in proteins)
    result = store.align("target.aa = 'C'", paper=True)
    np.testing.assert_allclose(result["background"], residues.count("C") / len(residues))


def test_a_model_that_is_not_causal_keeps_all_pairs(proteins, tmp_path):
    write_store(tmp_path / "store", proteins, causal=False)
    both = attnstore.open(tmp_path / "store").align("source.aa = 'A' AND target.aa <> 'A'")["background"]
    state = np.concatenate([matrix(p, PREDICATES["source.aa = 'A' AND target.aa <> 'A'"]).ravel() for p in proteins])
    np.testing.assert_allclose(both, (state == 1).mean())


def test_the_virtual_table_has_every_pair(store, proteins):
    rows = store.query("SELECT count(*) AS pairs, count(*) FILTER (WHERE weight >= 0.01) AS arcs FROM attention")
    layers, heads = proteins[0].attention.shape[:2]
    assert rows["pairs"].item() == layers * heads * sum(protein.stored**2 for protein in proteins)
    within = store.query("SELECT count(*) AS pairs FROM attention WHERE source >= target")
    assert within["pairs"].item() == layers * heads * sum(p.stored * (p.stored + 1) // 2 for p in proteins)
    assert rows["arcs"].item() == sum(int((p.weights >= np.float32(0.01)).sum()) for p in proteins)
