"""Counting of cells against NumPy: by protein and key, from arcs, codes and pairs, whichever loop does it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import attnstore
from attnstore.catalog.reader import connect
from attnstore.format.codebook import DEFAULT
from attnstore.queries.engine import cell_kernels as kernels
from attnstore.queries.engine.cells import KeyCode, Scan
from attnstore.queries.engine.count import count_dense
from attnstore.queries.engine.vectors import evaluate_terms
from attnstore.queries.sql.condition import parse
from attnstore.queries.sql.weight_bands import Bands
from tests.queries.test_causal import causal
from tests.synthetic import contact, matrix, random_proteins, write_store

LENGTHS = [17, 30, 9, 1, 25, 41]
#: A key and what it says of a pair; a loop of its own counts contacts, another what one end decides.
KEYS = {
    "contact": contact,
    "contact_ca": lambda p, i, j: contact(p, i, j, "ca"),
    "source.aa < target.aa": lambda p, i, j: p.sequence[i] < p.sequence[j],
    "target.aa = 'C'": lambda p, i, j: p.sequence[j] == "C",
}
WHERES = {
    None: lambda p, i, j: True,
    "separation >= 3 AND separation <> 7": lambda p, i, j: abs(i - j) >= 3 and abs(i - j) != 7,
    "source.aa <> 'D'": lambda p, i, j: p.sequence[i] != "D",
}


@pytest.fixture(scope="module", params=[False, True], ids=["both ways", "causal"])
def sample(request, tmp_path_factory):
    proteins = random_proteins(31, LENGTHS, truncate=35)
    if request.param:
        proteins = [causal(protein) for protein in proteins]
    path = tmp_path_factory.mktemp("cells") / "store"
    write_store(path, proteins, per_segment=len(proteins), causal=request.param)
    return attnstore.open(path), proteins, request.param


def scanned(store, key, where, **options):
    """A scan by a condition, and the vectors of the store's one segment."""
    model = store.model()
    (segment,) = model.segments
    with connect(store.catalog_path) as connection:
        from attnstore.queries.engine.vectors import catalog_columns

        columns = catalog_columns(connection)
        clauses = [parse(text, clause="where", columns=columns) for text in (key, where) if text is not None]
        vectors = evaluate_terms(connection, clauses)
    scan = Scan(
        codebook=model.codebook,
        where=tuple(clause.root for clause in clauses[1:]),
        keys=(KeyCode(clauses[0].root, 3),),
        **options,
    )
    places = [int(name[1:]) for name in segment.proteins.id]
    return scan, segment, vectors.select(places, segment.proteins.stored), places


def expected(proteins, places, of_protein, key, where, inside):
    """Numbers of pairs, [groups of proteins, Kleene code, …], of what `inside` says, bool […, source, target]."""
    parts = []
    for group in range(max(of_protein) + 1):
        total = 0
        for place, own in zip(places, of_protein, strict=True):
            if own == group:
                protein = proteins[place]
                passing = said(protein, WHERES[where]) == 1
                state = said(protein, KEYS[key])
                each = [
                    (inside(protein) & passing & (state == value)).sum((-1, -2)) for value in (0, -1, 1)
                ]  # FALSE, NULL, TRUE
                total = total + np.stack(each)
        parts.append(total)
    return np.stack(parts)


#: What a condition says of all pairs of a protein.
said = cache(matrix)

#: Groups of proteins: each alone; some left out, and two apart that share one; all together.
OWNERS = [range(len(LENGTHS)), [0, -1, 1, 1, 0, -1], [0] * len(LENGTHS)]


@pytest.mark.parametrize("owner", OWNERS, ids=str)
@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("key", KEYS)
def test_pairs(sample, key, where, owner):
    store, proteins, is_causal = sample
    scan, segment, vectors, places = scanned(
        store, key, where, tier="pairs", heads=np.ones((1, 1), bool), bands=Bands(np.zeros(1, np.float32)),
        taken=np.ones(1, bool), causal=is_causal,
    )  # fmt: skip
    own = np.array(owner)
    found = count_dense(scan, segment, vectors, own, own.max() + 1)["__n"][0, :, :, 0]

    def inside(protein):
        return np.tri(protein.stored, dtype=bool) if is_causal else np.ones((protein.stored,) * 2, bool)

    np.testing.assert_array_equal(found, expected(proteins, places, owner, key, where, inside))


@pytest.mark.parametrize("owner", OWNERS, ids=str)
@pytest.mark.parametrize("bands", [(0.1,), (0.05, 0.3), tuple(DEFAULT.lower[160::4].tolist())], ids=len)
@pytest.mark.parametrize("tier", ["arcs", "codes"])
@pytest.mark.parametrize(("key", "where"), [("contact", None), *zip(list(KEYS)[2:], list(WHERES)[1:], strict=True)])
def test_arcs_and_codes_by_band(sample, key, where, tier, bands, owner):
    store, proteins, _ = sample
    lower = np.array([0, *bands], np.float32)
    heads = np.ones((store.model().document.layers, store.model().document.heads), bool)
    taken = lower > 0
    taken[2:-1:3] = False  # holes among those that are wanted
    scan, segment, vectors, places = scanned(store, key, where, tier=tier, heads=heads, bands=Bands(lower), taken=taken)
    own = np.array(owner)
    found = count_dense(scan, segment, vectors, own, own.max() + 1)["__n"]
    limits = np.append(lower, np.float32(2))
    for at, band in enumerate(np.flatnonzero(taken).tolist()):

        def inside(protein, low=limits[band], high=limits[band + 1]):
            return (protein.weights >= low) & (protein.weights < high)

        wanted = expected(proteins, places, owner, key, where, inside)
        np.testing.assert_array_equal(found[..., at], np.moveaxis(wanted.reshape(*wanted.shape[:2], -1), 2, 0))


def test_weights_by_band_are_summed_in_both_forms(sample):
    store, proteins, _ = sample
    heads = np.ones((store.model().document.layers, store.model().document.heads), bool)
    lower = np.array([0, 0.1, 0.3], np.float32)
    scan, segment, vectors, places = scanned(
        store, "contact", None, tier="arcs", heads=heads, bands=Bands(lower), taken=lower > 0,
        sums=frozenset({"weight"}), extremes=frozenset({"weight"}),
    )  # fmt: skip
    own = np.arange(len(LENGTHS))
    exact = count_dense(scan, segment, vectors, own, len(own))
    coded = count_dense(replace(scan, tier="codes"), segment, vectors, own, len(own))
    np.testing.assert_array_equal(exact["__n"], coded["__n"])
    for p, place in enumerate(places):
        state, weights = matrix(proteins[place], contact), proteins[place].weights.astype(np.float64)
        for code, value in enumerate((0, -1, 1)):
            for at, (low, high) in enumerate([(lower[1], lower[2]), (lower[2], 2)]):
                total = (weights * ((weights >= low) & (weights < high) & (state == value))).sum((-1, -2)).ravel()
                np.testing.assert_allclose(exact["__weight_sum"][:, p, code, at], total, rtol=1e-12)
    some = exact["__n"] > 0
    for what in ("sum", "minimum", "maximum"):
        assert (coded[f"__weight_{what}_min"] <= exact[f"__weight_{what}"] + 1e-9)[some].all()
        assert (coded[f"__weight_{what}_max"] >= exact[f"__weight_{what}"] - 1e-9)[some].all()


@pytest.mark.parametrize("size", [0, 1, kernels.BLOCK - 1, kernels.BLOCK, 3 * kernels.BLOCK + 5, 1 << 18])
def test_numbers_of_16_bits_do_not_overflow(size):
    # All pairs alike, so that every block is full.
    codes, groups = np.full(size, 7, np.uint8), np.ones(size, np.uint8)
    bounds, owner, wanted = np.array([[0, size]]), np.zeros(1, np.int64), np.arange(3, dtype=np.uint8)
    low, high = np.array([0, 7, 8], np.uint8), np.array([6, 7, 255], np.uint8)
    counts = np.zeros((1, 3, 3), np.int64)
    kernels.count_ranges(codes, groups, 0, bounds, owner, wanted, low, high, counts)
    assert counts[0].tolist() == [[0, 0, 0], [0, size, 0], [0, 0, 0]]
    for passing in (np.ones(size, bool), np.ones(1, bool), np.zeros(1, bool)):
        pairs = np.zeros(3, np.int64)
        kernels.count_pairs(groups, passing, wanted, 2, pairs)
        assert pairs.tolist() == [0, 2 * size * passing[:1].all(), 0]


@pytest.mark.parametrize("seed", range(3))
def test_the_table_finds_the_band_that_halving_finds(seed):
    rng = np.random.default_rng(seed)
    lower = np.sort(rng.choice(DEFAULT.lower[1:], 40, replace=False))
    edges = np.concatenate([lower, np.nextafter(lower, np.float32(0)), np.nextafter(lower, np.float32(1))])
    weights = np.concatenate([edges, rng.random(1000, np.float32), np.float32([0, 1])])
    bands = Bands(np.concatenate([np.zeros(1, np.float32), lower]))
    found = np.empty(len(weights), np.int16)
    kernels.bands_by_table(weights, *DEFAULT.table, bands.of_codes(DEFAULT), found)
    np.testing.assert_array_equal(found, np.searchsorted(bands.lower, weights, side="right") - 1)
