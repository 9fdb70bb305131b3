"""What a store keeps, and what it says of the rest: hidden representations, guards, tables, documents."""

import dataclasses
import json

import numpy as np
import pytest
import zarr

import attnstore
from attnstore.errors import QueryError, StoreError
from attnstore.format import documents as layout
from attnstore.format import segment, segment_writer
from attnstore.format.codebook import DEFAULT
from tests.synthetic import contents, hidden_of, kept, model_document, random_proteins, write_model, write_store

LAYERS, HEADS = 2, 3
KEEPS = [
    ("codes",), ("arcs",), ("marginals",), ("arcs", "marginals"), ("codes", "arcs"), ("codes", "marginals"),
    ("codes", "arcs", "marginals"), ("marginals", "hidden"), ("codes", "arcs", "marginals", "hidden"),
]  # fmt: skip


@pytest.fixture(scope="module")
def proteins():
    return random_proteins(4, [14, 23, 9, 30], LAYERS, HEADS, truncate=25)


@pytest.fixture(scope="module")
def stores(proteins, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keep")
    for keep in KEEPS:
        write_store(folder / "-".join(keep), proteins, keep=keep)
    return {keep: attnstore.open(folder / "-".join(keep)) for keep in KEEPS}


@pytest.mark.parametrize("keep", KEEPS, ids="-".join)
def test_a_segment_holds_what_is_kept_and_no_more(stores, proteins, keep):
    model = stores[keep].model()
    assert model.summary()["keep"] == ",".join(keep)
    parts = {"codes": "codes.zarr", "arcs": "arcs.parquet", "marginals": "marginals.zarr", "hidden": "hidden.zarr"}
    for number, part in enumerate(model.segments):
        expected = kept(contents(proteins[2 * number : 2 * number + 2]), keep)
        present = {path.name for path in part.directory.iterdir()}
        assert present == {"proteins.parquet", "segment.json", *(parts[what] for what in keep)}
        reads = {
            "codes": (lambda part=part: part.codes(), expected.codes),
            "marginals": (lambda part=part: part.marginal("special"), expected.special),
            "hidden": (lambda part=part: part.hidden(), expected.hidden),
        }
        for what, (read, values) in reads.items():
            if what in keep:
                np.testing.assert_array_equal(read(), values, strict=True)
        assert part.entry.arcs == (expected.arcs["weight"].size if "arcs" in keep else 0)


@pytest.mark.parametrize("keep", KEEPS, ids="-".join)
def test_a_segment_says_what_was_not_kept(stores, keep):
    part = stores[keep].model().segments[0]
    asked = {
        "codes": [part.codes, lambda: list(part.chunks()), lambda: part.bin_mean, lambda: part.bin_count],
        "arcs": [lambda: part.arcs(0.3), part.check_arcs, lambda: part.arcs_path],
        "marginals": [lambda: part.marginal("received")],
        "hidden": [part.hidden],
    }
    for what in layout.KEEP:
        for read in asked[what]:
            if what in keep:
                read()
                continue
            with pytest.raises(StoreError) as error:
                read()
            assert str(error.value) == (
                f"segment {part.entry.id} holds no {what}: model random was ingested without {what} "
                f"(it keeps {', '.join(keep)})."
            )


# --- hidden


def test_hidden_representations_are_those_written_with_their_residues(stores, proteins):
    store = stores["marginals", "hidden"]
    for protein in proteins:
        local = kept(contents([protein]), ("marginals",)).proteins
        expected = hidden_of(local, LAYERS)
        found = store.hidden(protein.id)
        assert found.dims == ("layer", "residue", "feature")
        np.testing.assert_array_equal(found.values, expected, strict=True)
        assert "".join(found["residue_aa"].values) == protein.sequence[: protein.stored]
        np.testing.assert_array_equal(found["residue"], np.arange(protein.stored))
        for layer in range(LAYERS + 1):
            single = store.hidden(protein.id, layer)
            assert single.dims == ("residue", "feature")
            np.testing.assert_array_equal(single, found.sel(layer=layer))
            assert single.attrs["layer"] == layer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "no protein 'nobody'"),
        (("p0", LAYERS + 1), f"no layer {LAYERS + 1}: they run from 0 to {LAYERS}"),
        (("p0", -1), "no layer -1"),
        (("p0", 0.5), f"layer=0.5 is not a whole number: give a number from 0 to {LAYERS}"),
    ],
)
def test_hidden_representations_that_are_not_there_are_refused(stores, arguments, said):
    with pytest.raises(QueryError, match=said):
        stores["marginals", "hidden"].hidden(*arguments)


def test_hidden_representations_that_were_not_kept_are_refused_with_the_cure(stores):
    with pytest.raises(QueryError) as error:
        stores["codes", "arcs"].hidden("p0")
    assert str(error.value) == (
        "model random was ingested without hidden (it keeps codes, arcs): ingest again with "
        "`attnstore.ingest.ingest(store.path, model=MODEL, name=NAME, keep=['codes', 'arcs', 'hidden'])`."
    )


def test_hidden_representations_lie_in_chunks_of_a_mebibyte_and_a_shard_a_layer(proteins, tmp_path):
    part = kept(contents(proteins), ("arcs", "hidden"))
    residues = part.hidden.shape[1]
    model_document(tmp_path.name, 1, 1, ("arcs", "hidden")).write(tmp_path)
    for features, rows in ((7, residues), (2**19 // 20, 21), (2**19 // 20 + 1, 20), (2**20, 1)):
        hidden = np.resize(np.arange(2039, dtype=np.float16), (2, residues, features))  # a prime: no two rows alike
        entry = segment_writer.write_segment(tmp_path, 0, dataclasses.replace(part, hidden=hidden), 512, 2)
        array = zarr.open_array(tmp_path / "segments" / entry.id / "hidden.zarr" / "hidden", mode="r")
        assert array.chunks == (1, rows, features)
        assert array.shards == (1, -(-residues // rows) * rows, features)
        assert rows == residues or rows * features * 2 >= 2**20
        opened = segment.open_segment(tmp_path, entry)
        # By their bits: a comparison that shows where they differ takes seconds for as many.
        for found, expected in (
            (opened.hidden(), hidden),
            (opened.hidden(1, 5, 44), hidden[1, 5:44]),
            (array[...], hidden),
        ):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert np.array_equal(found.view(np.uint16), expected.view(np.uint16))


# --- attention


@pytest.mark.parametrize("keep", KEEPS, ids="-".join)
def test_matrices_come_from_codes_with_special_tokens_where_marginals_were_kept(stores, keep):
    store, whole = stores[keep], stores["codes", "arcs", "marginals"]
    if "codes" not in keep:
        with pytest.raises(QueryError) as error:
            store.attention("p1")
        message = str(error.value)
        assert message.startswith(f"model random was ingested without codes (it keeps {', '.join(keep)}): ")
        assert message.endswith(f"keep={[what for what in layout.KEEP if what in ('codes', *keep)]})`.")
        assert ("SELECT … FROM arcs" in message) == ("arcs" in keep)
        return
    found, expected = store.attention("p1"), whole.attention("p1")
    np.testing.assert_array_equal(found, expected)
    assert set(found.coords) == set(expected.coords) - (set() if "marginals" in keep else {"special"})


# --- tables


@pytest.mark.parametrize("keep", KEEPS, ids="-".join)
def test_the_table_of_heads_has_what_follows_from_what_is_kept(stores, proteins, keep):
    rows = stores[keep].sql("SELECT * FROM heads ORDER BY layer, head").to_arrow_table().to_pydict()
    weights = [protein.weights for protein in proteins]
    shape = (LAYERS, HEADS)
    entries = sum(each[0, 0].size for each in weights)
    assert rows["entries"] == [entries] * (LAYERS * HEADS)
    for theta, name in ((0.05, "arcs_0_05"), (0.3, "arcs_0_3")):
        expected = sum((each >= np.float32(theta)).sum((-1, -2)) for each in weights)
        known = {"codes", "arcs"} & set(keep)
        assert rows[name] == (expected.ravel().tolist() if known else [None] * 6)
    mean = sum(each.sum((-1, -2), dtype=np.float64) for each in weights) / entries
    if {"codes", "marginals"} & set(keep):
        np.testing.assert_allclose(np.reshape(rows["mean_weight"], shape), mean, rtol=1e-6)
    else:
        assert rows["mean_weight"] == [None] * 6
    if "marginals" in keep:
        special = [protein.attention[:, :, 1:-1, [0, -1]].sum(-1, dtype=np.float64) for protein in proteins]
        expected = np.concatenate(special, axis=-1).mean(axis=-1)
        np.testing.assert_allclose(np.reshape(rows["special"], shape), expected, rtol=1e-6)
    else:
        assert rows["special"] == [None] * 6


@pytest.mark.parametrize("keep", KEEPS, ids="-".join)
def test_the_table_of_arcs_is_there_where_they_were_kept(stores, proteins, keep):
    if "arcs" not in keep:
        with pytest.raises(
            QueryError, match=rf"^there is no table arcs: .* without arcs \(it keeps {', '.join(keep)}\): "
        ):
            stores[keep].sql("SELECT count(*) FROM arcs")
        return
    expected = sum(int((protein.weights >= np.float32(0.05)).sum()) for protein in proteins)
    assert stores[keep].sql("SELECT count(*) FROM arcs").fetchall() == [(expected,)]


def test_arcs_of_some_models_come_with_a_warning_that_names_the_others(proteins, tmp_path):
    path = tmp_path / "store"
    write_store(path, proteins, name="first")
    write_model(path, proteins[:1], name="second", keep=("codes",))
    store = attnstore.open(path)
    with pytest.warns(
        UserWarning, match=r"not of all models: model second was ingested without arcs \(it keeps codes\)"
    ):
        assert store.sql("SELECT DISTINCT model FROM arcs").fetchall() == [("first",)]
    rows = store.sql("SELECT model, keep FROM models ORDER BY model").fetchall()
    assert rows == [("first", "codes,arcs,marginals"), ("second", "codes")]
    assert [name for (name,) in store.sql("SELECT DISTINCT model FROM heads ORDER BY ALL").fetchall()] == [
        "first", "second",
    ]  # fmt: skip


def test_arcs_are_counted_where_the_codebook_has_no_edge_there(proteins, tmp_path):
    path = tmp_path / "store"
    write_store(path, proteins)
    file = path / "attention" / "random" / "model.json"
    document = json.loads(file.read_bytes())
    assert document["codebook"][134] == DEFAULT.to_json()[134] == "3e99999a"
    # 0.3 is an edge no more; nothing else here reads codes.
    document["codebook"][134] = "3e98f5c3"
    del document["version"], document["sha256"]
    layout.write_document(file, document)
    expected = sum(int((protein.weights >= np.float32(0.3)).sum()) for protein in proteins)
    assert attnstore.open(path).sql("SELECT sum(arcs_0_3) FROM heads").fetchall() == [(expected,)]


# --- documents


def rewritten(path, change):
    """The model's document with members changed, and a new seal."""
    file = path / "attention" / "random" / "model.json"
    document = json.loads(file.read_bytes())
    del document["version"], document["sha256"]
    change(document)
    layout.write_document(file, document)
    return file


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("keep"), "it does not say keep"),
        (lambda content: (content.pop("keep"), content.pop("seed")), "it does not say seed, keep"),
        (lambda content: content.update(keep=[]), "keep is nothing"),
        (lambda content: content.update(keep=["hidden"]), "keep is hidden"),
        (lambda content: content.update(keep=["arcs", "codes"]), "keep is arcs, codes"),
        (lambda content: content.update(keep=["arcs", "tape"]), "keep is arcs, tape"),
        (lambda content: content.update(keep=["arcs", "arcs"]), "keep is arcs, arcs"),
        (lambda content: content.update(keep=3), "not iterable"),
        (lambda content: content.update(randomize="all"), "randomize is 'all'"),
    ],
)
def test_a_document_that_does_not_say_what_is_kept_is_refused(proteins, tmp_path, change, said):
    write_store(tmp_path / "store", proteins[:1])
    file = rewritten(tmp_path / "store", change)
    with pytest.raises(StoreError) as error:
        attnstore.open(tmp_path / "store")
    assert str(error.value).startswith(f"{file} is damaged: ")
    assert said in str(error.value)


def test_segments_that_hold_something_else_than_the_document_says_are_refused(proteins, tmp_path):
    write_store(tmp_path / "store", proteins[:1], keep=("codes", "arcs"))
    rewritten(tmp_path / "store", lambda content: content.update(keep=["codes"]))
    with pytest.raises(
        StoreError, match=r"^segment 000000-.* is damaged: it holds codes,arcs, and model\.json says codes"
    ):
        _ = attnstore.open(tmp_path / "store").model().segments


def test_two_runs_that_keep_otherwise_do_not_share_a_models_place(stores):
    document = stores["codes", "arcs"].model().document
    other = dataclasses.replace(document, keep=("arcs",))
    assert other.difference(document) == "keep was arcs and is codes,arcs"
    assert document.difference(dataclasses.replace(document, source="elsewhere")) is None
