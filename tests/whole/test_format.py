"""docs/format.md against the store: a reader made from the document alone finds what went in, and its tables hold."""

import dataclasses
import hashlib
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

import attnstore
from attnstore.catalog.rows import Structure
from attnstore.catalog.writer import CatalogWriter
from attnstore.errors import StoreError
from attnstore.format import documents as layout
from attnstore.format import segment
from attnstore.format.codebook import DEFAULT, TOP
from attnstore.format.documents import Manifest, ModelDocument, SegmentEntry, Skipped, StoreDocument
from attnstore.format.segment_values import LocalProteins
from attnstore.format.segment_writer import SegmentContents, write_segment

from .format_reader import FormatModel, FormatReader, FormatSegment, RefusedError, code_of, edges_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"
LAYERS, HEADS, FEATURES = 2, 3, 5
CHUNK = 100  # less than the pairs of any protein here but one: proteins lie across chunks
FLOOR = np.float32(0.05)
#: Sections of the document about the groups of arrays.
ARRAYS = {"codes.zarr": "9.3", "marginals.zarr": "9.4", "hidden.zarr": "9.6"}
COLUMNS = ("layer", "head", "protein", "source", "target", "weight")

# Id, length, stored; in two segments.
SEGMENTS = (
    (("longest", 31, 24), ("middle", 17, 17)),
    (("short", 12, 12), ("one", 1, 1), ("Ünïcode/../id", 9, 9)),
)


def sequence_of(name: str, length: int) -> str:
    rng = np.random.default_rng(list(name.encode()))
    return "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length))


def attention_of(name: str, stored: int) -> np.ndarray:
    """float32 [layers, heads, source, target] over prefix, residues, suffix; sharp, so that all bands occur."""
    rng = np.random.default_rng([*name.encode(), 1])
    scores = np.exp(rng.normal(size=(LAYERS, HEADS, stored + 2, stored + 2)) * 3)
    return (scores / scores.sum(-1, keepdims=True)).astype(np.float32)


def hidden_of(name: str, stored: int) -> np.ndarray:
    """float16 [layers + 1, residues, features]."""
    rng = np.random.default_rng([*name.encode(), 2])
    return rng.normal(size=(LAYERS + 1, stored, FEATURES)).astype(np.float16)


def structure_of(length: int) -> Structure:
    rng = np.random.default_rng(length)
    ca, cb = (rng.normal(size=(length, 3)).astype(np.float32) for _ in range(2))
    ca[2], cb[3] = np.nan, np.nan
    known = np.arange(length) != 1
    number = np.where(known, np.arange(length) * 2 - 3, 0).astype(np.int32)
    return Structure(number, known, tuple("A" if i == 4 else None for i in range(length)), ca, cb)


def contents_of(proteins: tuple[tuple[str, int, int], ...]) -> SegmentContents:
    """What a segment holds, by the document's definitions and plain loops."""
    local = LocalProteins(
        tuple(name for name, _, _ in proteins),
        tuple(hashlib.sha256(sequence_of(name, length).encode()).hexdigest() for name, length, _ in proteins),
        np.array([length for _, length, _ in proteins]),
        np.array([stored for _, _, stored in proteins]),
    )
    whole = [attention_of(name, stored) for name, _, stored in proteins]
    inner = [alpha[:, :, 1:-1, 1:-1] for alpha in whole]
    # Target-major: the codes of a target lie side by side.
    flat = np.concatenate([alpha.swapaxes(-1, -2).reshape(LAYERS, HEADS, -1) for alpha in inner], axis=-1)
    codes = (DEFAULT.edges <= flat[..., None]).sum(-1).astype(np.uint8)
    mean, count = np.zeros((LAYERS, HEADS, 205), np.float32), np.zeros((LAYERS, HEADS, 205), np.uint32)
    for layer, head, code in np.ndindex(mean.shape):
        weights = flat[layer, head][codes[layer, head] == code]
        count[layer, head, code] = weights.size
        mean[layer, head, code] = weights.mean(dtype=np.float64) if weights.size else 0
    rows = [
        (layer, head, protein, source, target, alpha[layer, head, source, target])
        for protein, alpha in enumerate(inner)
        for layer, head, source, target in zip(*np.nonzero(alpha >= FLOOR), strict=True)
    ]
    np.random.default_rng(0).shuffle(rows)
    return SegmentContents(
        local,
        LAYERS,
        HEADS,
        codes,
        mean,
        count,
        received=np.concatenate([alpha.sum(-2, dtype=np.float64) for alpha in inner], axis=-1).astype(np.float32),
        emitted=np.concatenate([alpha.sum(-1, dtype=np.float64) for alpha in inner], axis=-1).astype(np.float32),
        special=np.concatenate(
            [alpha[:, :, 1:-1, [0, -1]].sum(-1, dtype=np.float64) for alpha in whole], axis=-1
        ).astype(np.float32),
        arcs={name: np.array(column) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)},
        hidden=np.concatenate([hidden_of(name, stored) for name, _, stored in proteins], axis=1),
    )


def model_document(name: str = "random") -> ModelDocument:
    return ModelDocument(
        name=name,
        source="nowhere",
        weights_sha256="0" * 64,
        architecture="Random",
        layers=LAYERS,
        heads=HEADS,
        causal=False,
        tokenizer={
            "class": "None",
            "spaced": False,
            "prefix": ["<"],
            "suffix": [">"],
            "padding": "right",
            "residue_map": "keep",
            "letters": "ACDEFGHIKLMNPQRSTVWY",
            "settings": {},
        },
        precision="float32",
        randomize=None,
        seed=None,
        max_residues=24,
        long="truncate",
        keep=("codes", "arcs", "marginals", "hidden"),
        batch_pairs=64,
        segment_entries=5000,
        arc_floor=0.05,
        chunk_pairs=CHUNK,
        codebook=tuple(DEFAULT.to_json()),
        check=0.0,
        versions={"attnstore": "0"},
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store made by attnstore's own writers. Not to be changed."""
    store = tmp_path_factory.mktemp("format") / "store"
    store.mkdir()
    StoreDocument().write(store)
    with CatalogWriter(store) as catalog:
        for name, length, _ in itertools.chain(*SEGMENTS):
            structure = structure_of(length) if name in ("longest", "short") else None
            catalog.add(name, sequence_of(name, length), f"{name}.fasta:1", structure)
        catalog.add("too long", "A" * 40, "x.fasta:9", None)
        catalog.publish()
    # The second catalog: a member more of a protein without coordinates, and one of a protein with them.
    with CatalogWriter(store) as catalog:
        catalog.add("middle again", sequence_of("middle", 17), "m.cif chain A", structure_of(17))
        catalog.add("short again", sequence_of("short", 12), "s.cif chain A", structure_of(12))
        catalog.add("last", "MKV", "l.fasta:1", None)
        catalog.publish()
    directory = store / layout.ATTENTION / "random"
    directory.mkdir(parents=True)
    model_document().write(directory)
    entries = [
        write_segment(directory, number, contents_of(proteins), CHUNK, 2) for number, proteins in enumerate(SEGMENTS)
    ]
    Manifest(tuple(entries), (Skipped("too long", "40 residues are more than 24"),)).write(directory)
    return store


@pytest.fixture
def reader(written: Path) -> FormatReader:
    return FormatReader(written)


@pytest.fixture
def model(reader: FormatReader) -> FormatModel:
    return reader.models["random"]


@pytest.fixture
def damaged(written: Path, tmp_path: Path) -> FormatSegment:
    """The first segment of a copy, already open, so that its sizes and digests were right."""
    shutil.copytree(written, tmp_path / "copy")
    return FormatReader(tmp_path / "copy").models["random"].segments[0]


# --- what went in comes out --------------------------------------------------------------------------------------


def test_each_code_is_found_where_the_document_says_and_is_its_weights(model: FormatModel) -> None:
    edges = model.edges
    for name, _, stored in itertools.chain(*SEGMENTS):
        found, local = model.find(name)
        alpha = attention_of(name, stored)[:, :, 1:-1, 1:-1]
        rng = np.random.default_rng(stored)
        for _ in range(40):
            layer, head, source, target = (int(rng.integers(size)) for size in alpha.shape)
            weight = alpha[layer, head, source, target]
            assert found.code(layer, head, local, source, target) == code_of(edges, weight)


def test_whole_arrays_of_codes_means_and_counts_are_those_that_went_in(model: FormatModel) -> None:
    for found, proteins in zip(model.segments, SEGMENTS, strict=True):
        expected = contents_of(proteins)
        assert np.array_equal(found.array("codes.zarr/codes").read(), expected.codes)
        assert found.array("codes.zarr/mean").read().tobytes() == expected.bin_mean.tobytes()
        assert np.array_equal(found.array("codes.zarr/count").read(), expected.bin_count)


def test_the_mean_of_a_code_lies_within_its_bounds(model: FormatModel) -> None:
    lower, upper = np.append(np.float32(0), model.edges), np.append(model.edges, TOP)
    for found in model.segments:
        mean, count = found.array("codes.zarr/mean").read(), found.array("codes.zarr/count").read()
        assert ((lower <= mean) & (mean < upper))[count > 0].all()
        assert (mean[count == 0] == 0).all()
        assert (count.sum(-1) == found.entry["pairs"]).all()


def test_marginals_are_the_sums_the_document_defines(model: FormatModel) -> None:
    for name, _, stored in itertools.chain(*SEGMENTS):
        found, local = model.find(name)
        begin = found.proteins[local]["residue_offset"]
        alpha = attention_of(name, stored).astype(np.float64)
        expected = {
            "received": alpha[:, :, 1:-1, 1:-1].sum(axis=2),
            "emitted": alpha[:, :, 1:-1, 1:-1].sum(axis=3),
            "special": alpha[:, :, 1:-1, 0] + alpha[:, :, 1:-1, -1],
        }
        for marginal, sums in expected.items():
            values = found.marginal(marginal)[..., begin : begin + stored]
            assert np.array_equal(values, sums.astype(np.float32)), marginal


def test_hidden_representations_are_those_that_went_in(model: FormatModel) -> None:
    for name, _, stored in itertools.chain(*SEGMENTS):
        found, local = model.find(name)
        begin = found.proteins[local]["residue_offset"]
        assert found.hidden()[:, begin : begin + stored].tobytes() == hidden_of(name, stored).tobytes()


def test_arcs_are_the_weights_from_the_floor_on_to_the_bit(model: FormatModel) -> None:
    for found, proteins in zip(model.segments, SEGMENTS, strict=True):
        rows = found.arcs.to_pydict()
        arcs = {
            key[:5]: np.float32(key[5]).view(np.uint32) for key in zip(*(rows[name] for name in COLUMNS), strict=True)
        }
        expected = {
            (layer, head, protein, source, target): alpha[layer, head, source, target].view(np.uint32)
            for protein, (name, _, stored) in enumerate(proteins)
            for alpha in [attention_of(name, stored)[:, :, 1:-1, 1:-1]]
            for layer, head, source, target in zip(*np.nonzero(alpha >= FLOOR), strict=True)
        }
        assert len(rows["layer"]) == len(arcs) == found.entry["arcs"] > 0
        assert arcs == expected


def test_proteins_have_the_offsets_their_stored_residues_add_up_to(model: FormatModel) -> None:
    for found, proteins in zip(model.segments, SEGMENTS, strict=True):
        pairs = residues = 0
        for local, (row, (name, length, stored)) in enumerate(zip(found.proteins, proteins, strict=True)):
            assert row == {
                "protein": local,
                "id": name,
                "sequence_sha256": hashlib.sha256(sequence_of(name, length).encode()).hexdigest(),
                "length": length,
                "stored": stored,
                "pair_offset": pairs,
                "residue_offset": residues,
            }
            pairs, residues = pairs + stored**2, residues + stored
        assert (found.entry["proteins"], found.entry["residues"], found.entry["pairs"]) == (
            len(proteins),
            residues,
            pairs,
        )


@pytest.mark.parametrize(
    "name",
    [
        "codes.zarr/codes",
        "codes.zarr/mean",
        "codes.zarr/count",
        "marginals.zarr/received",
        "marginals.zarr/emitted",
        "marginals.zarr/special",
        "hidden.zarr/hidden",
    ],
)
def test_plain_zarr_python_reads_the_arrays_as_decoding_by_hand_does(model: FormatModel, name: str) -> None:
    for found in model.segments:
        with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
            values = zarr.open_array(found.directory / name, mode="r", zarr_format=3)[...]
        assert values.tobytes() == found.array(name).read().tobytes()


@pytest.mark.parametrize("directory", ARRAYS)
def test_a_zarr_library_opens_the_arrays_together_as_a_group(model: FormatModel, directory: str) -> None:
    for found in model.segments:
        group = zarr.open_group(found.directory / directory, mode="r", zarr_format=3)
        arrays = dict(group.arrays())
        assert set(arrays) == set(tables_of(ARRAYS[directory])[0])
        for name, array in arrays.items():
            assert np.asarray(array[...]).tobytes() == found.array(f"{directory}/{name}").read().tobytes()
        metadata = json.loads((found.directory / directory / "zarr.json").read_bytes())
        assert metadata == {"zarr_format": 3, "node_type": "group", "attributes": {}}


def test_a_last_chunk_is_filled_up_with_the_fill_value(model: FormatModel) -> None:
    found = model.segments[0]
    codes = found.array("codes.zarr/codes")
    last, used = divmod(found.entry["pairs"], CHUNK)
    assert used > 0
    assert codes.counts == (1, HEADS, last + 1)
    assert (codes.inner((1, 0, 0), (0, 2, last))[0, 0, used:] == 255).all()


def test_a_segment_of_fewer_pairs_than_a_chunk_is_one_chunk_without_filling(tmp_path: Path) -> None:
    write_segment(tmp_path, 7, contents_of((("one", 1, 1),)), CHUNK, 2)
    (directory,) = (tmp_path / "segments").iterdir()
    metadata = json.loads((directory / "codes.zarr" / "codes" / "zarr.json").read_bytes())
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [1, HEADS, 1]
    assert metadata["codecs"][0]["configuration"]["chunk_shape"] == [1, 1, 1]


# --- arcs.parquet ------------------------------------------------------------------------------------------------


def fabricated(weights: np.ndarray) -> SegmentContents:
    """A segment of three proteins whose arcs are given, at places of their own; its codes are not theirs."""
    base = contents_of(SEGMENTS[1])
    rng = np.random.default_rng(5)
    protein = rng.integers(len(SEGMENTS[1]), size=weights.size)
    arcs = {
        "layer": rng.integers(LAYERS, size=weights.size),
        "head": rng.integers(HEADS, size=weights.size),
        "protein": protein,
        "source": rng.integers(base.proteins.stored[protein]),
        "target": rng.integers(base.proteins.stored[protein]),
        "weight": weights,
    }
    return dataclasses.replace(base, arcs=arcs)


def arcs_file(directory: Path, contents: SegmentContents) -> pq.ParquetFile:
    entry = write_segment(directory, 0, contents, CHUNK, 2)
    return pq.ParquetFile(directory / "segments" / entry.id / "arcs.parquet")


def band(weight: float) -> int:
    return int(np.float32(weight) < np.float32(0.3)) + int(np.float32(weight) < np.float32(0.1))


def test_arcs_are_sorted_and_their_row_groups_cut_at_the_bands_edges_to_the_bit(tmp_path: Path) -> None:
    cuts = np.array([0.3, 0.1], np.float32)
    near = np.concatenate([cuts, np.nextafter(cuts, np.float32(0)), np.nextafter(cuts, np.float32(1)), [TOP, FLOOR]])
    weights = np.concatenate([near, np.random.default_rng(1).uniform(0.05, 1, 300)]).astype(np.float32)
    with arcs_file(tmp_path, fabricated(weights)) as file:
        groups = [file.read_row_group(index).to_pylist() for index in range(file.num_row_groups)]
        statistics = [file.metadata.row_group(index).column(5).statistics for index in range(file.num_row_groups)]
    assert [{band(row["weight"]) for row in rows} for rows in groups] == [{0}, {1}, {2}]
    keys = [(band(row["weight"]), *(row[name] for name in COLUMNS[:5])) for rows in groups for row in rows]
    assert keys == sorted(keys)
    assert len(keys) == weights.size
    for rows, found in zip(groups, statistics, strict=True):
        values = [row["weight"] for row in rows]
        assert (found.min, found.max) == (min(values), max(values))


def test_a_row_group_of_arcs_holds_at_most_131072_rows(tmp_path: Path) -> None:
    weights = np.full(131072 + 5, 0.2, np.float32)
    weights[:3] = 0.5
    with arcs_file(tmp_path, fabricated(weights)) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [3, 131072, 2]


def test_a_segment_without_arcs_has_a_file_of_no_rows_with_the_same_schema(tmp_path: Path) -> None:
    with arcs_file(tmp_path, fabricated(np.empty(0, np.float32))) as file:
        assert file.metadata.num_rows == 0
        assert file.schema_arrow.names == list(COLUMNS)


def test_arcs_are_encoded_and_compressed_as_the_document_says(written: Path, model: FormatModel) -> None:
    expected = {name: row["Encoding"] for name, row in tables_of("9.5")[0].items()}
    for found in model.segments:
        metadata = pq.read_metadata(found.directory / "arcs.parquet")
        for index, column in itertools.product(range(metadata.num_row_groups), range(metadata.num_columns)):
            chunk = metadata.row_group(index).column(column)
            encoding = expected[COLUMNS[column]]
            assert ("RLE_DICTIONARY" if encoding == "dictionary" else encoding) in chunk.encodings
            assert chunk.compression == ("ZSTD" if COLUMNS[column] == "weight" else "LZ4")


# --- the catalog -------------------------------------------------------------------------------------------------


def test_rows_of_proteins_and_residues_stand_in_the_order_of_index_and_position(reader: FormatReader) -> None:
    proteins = reader.catalog("SELECT protein_index FROM proteins ORDER BY rowid")
    assert proteins == [(index,) for index in range(reader.document["proteins"])]
    residues = reader.catalog("SELECT protein_index, pos FROM residues ORDER BY rowid")
    lengths = [length for (length,) in reader.catalog("SELECT length FROM proteins ORDER BY protein_index")]
    assert residues == [(index, pos) for index, length in enumerate(lengths) for pos in range(length)]
    assert len(residues) == reader.document["residues"]


def test_residues_spell_the_sequence_and_sequences_have_their_digest(reader: FormatReader) -> None:
    rows = reader.catalog(
        "SELECT p.sequence, p.sequence_sha256, string_agg(r.aa, '' ORDER BY r.pos), bool_and(r.protein = p.id) "
        "FROM proteins p JOIN residues r USING (protein_index) GROUP BY p.protein_index, p.sequence, p.sequence_sha256"
    )
    assert len(rows) == reader.document["proteins"]
    for sequence, digest, letters, same_id in rows:
        assert letters == sequence
        assert digest == hashlib.sha256(sequence.encode("ascii")).hexdigest()
        assert same_id


def test_identical_sequences_are_one_protein_with_coordinates_of_the_first_member_that_has_any(
    reader: FormatReader,
) -> None:
    rows = {row[0]: row[1:] for row in reader.catalog("SELECT id, members, structure, structure_sha256 FROM proteins")}
    assert {"middle again", "short again"}.isdisjoint(rows)
    assert rows["middle"][:2] == (2, "middle again")
    assert rows["short"][:2] == (2, "short")
    assert rows["one"] == (1, None, None)
    members = reader.catalog("SELECT member FROM members WHERE protein = 'middle' ORDER BY rowid")
    assert members == [("middle",), ("middle again",)]
    for name, length in (("middle", 17), ("short", 12)):
        structure = structure_of(length)
        found = reader.catalog(
            "SELECT author_number, insertion_code, ca_x, ca_y, ca_z, cb_x, cb_y, cb_z FROM residues "
            f"WHERE protein = '{name}' ORDER BY pos"
        )
        for i, (number, code, *xyz) in enumerate(found):
            assert number == (int(structure.author_number[i]) if i != 1 else None)
            assert code == ("A" if i == 4 else None)
            assert xyz[:3] == ([None] * 3 if i == 2 else structure.ca[i].tolist())
            assert xyz[3:] == ([None] * 3 if i == 3 else structure.cb[i].tolist())


def test_store_json_vouches_for_the_catalog_which_has_nothing_beside_it(reader: FormatReader) -> None:
    assert hashlib.sha256(reader.catalog_path.read_bytes()).hexdigest() == reader.document["catalog_sha256"]
    assert re.fullmatch(r"catalog-[0-9a-f]{16}\.duckdb", reader.document["catalog"])
    assert list(reader.path.glob("*.wal")) + list(reader.path.glob(".*")) == []


def test_the_catalog_before_stays_until_one_more_is_published(tmp_path: Path) -> None:
    StoreDocument().write(tmp_path)
    names = []
    for name in ("a", "b", "c"):
        with CatalogWriter(tmp_path) as catalog:
            catalog.add(name, "ACD" + "E" * len(names), name, None)
            names.append(catalog.publish().catalog)
    assert sorted(path.name for path in tmp_path.glob("catalog-*")) == sorted(names[1:])


def publish(store: Path, *names: str) -> None:
    for name in names:
        with CatalogWriter(store) as catalog:
            catalog.add(name, sequence_of(name, 7), name, None)
            catalog.publish()


def test_a_reader_whose_catalog_was_replaced_twice_goes_on_with_the_current_one(written: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy"
    shutil.copytree(written, store)
    reader, opened = FormatReader(store), attnstore.open(store)
    before = reader.catalog("SELECT id FROM proteins ORDER BY protein_index")
    ask = "SELECT id FROM proteins ORDER BY protein_index"
    publish(store, "x")
    assert reader.catalog(ask) == opened.sql(ask).fetchall() == before
    publish(store, "y", "z")
    assert reader.catalog(ask) == opened.sql(ask).fetchall() == [*before, ("x",), ("y",), ("z",)]
    assert opened.attention("middle").shape == (LAYERS, HEADS, 17, 17)
    opened.catalog_path.unlink()
    with pytest.raises(RefusedError, match="is missing"):
        FormatReader(store).catalog(ask)
    with pytest.raises(StoreError, match="is missing"):
        opened.sql(ask)


def test_the_catalog_is_of_the_storage_version_the_document_names(reader: FormatReader) -> None:
    (stated,) = re.findall(r"storage version (v[0-9.]+[0-9])", section("6"))
    ((tags,),) = reader.catalog("SELECT tags FROM duckdb_databases() WHERE NOT internal AND path IS NOT NULL")
    assert tags["storage_version"].rstrip("+") == stated


def test_the_virtual_beta_carbon_is_placed_by_the_documents_formula() -> None:
    geometry = pytest.importorskip("attnstore.readers.record", exc_type=ImportError)
    terms = re.search(r"Cβ = A - ([0-9.]+) a \+ ([0-9.]+) b - ([0-9.]+) c", section("6.3"))
    assert terms is not None
    along_a, along_b, along_c = map(float, terms.groups())
    n, ca, c = np.random.default_rng(2).normal(size=(3, 50, 3))
    b, c_ = ca - n, c - ca
    expected = ca - along_a * np.cross(b, c_) + along_b * b - along_c * c_
    assert np.array_equal(geometry.virtual_cb(n, ca, c), expected.astype(np.float32))


# --- integrity ---------------------------------------------------------------------------------------------------


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["codes.zarr/codes", "codes.zarr/mean", "codes.zarr/count", "marginals.zarr/special"])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_every_byte_of_a_shard_is_under_a_checksum(damaged: FormatSegment, name: str, fraction: float) -> None:
    shard = damaged.directory / name / "c" / "0" / "0" / "0"
    flip(shard, round(fraction * (shard.stat().st_size - 1)))
    with pytest.raises(RefusedError, match="fails its checksum"):
        damaged.array(name).read()


@pytest.mark.parametrize("name", ["proteins.parquet", "arcs.parquet"])
def test_a_page_of_a_parquet_file_is_under_a_checksum(damaged: FormatSegment, name: str) -> None:
    path = damaged.directory / name
    metadata = pq.read_metadata(path)
    for column in range(metadata.num_columns):
        chunk = metadata.row_group(0).column(column)
        original = path.read_bytes()
        # The end of a column's pages is content, not a header.
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        flip(path, start + chunk.total_compressed_size - 1)
        with pytest.raises(RefusedError, match="CRC"):
            damaged.pages(name)
        with pytest.raises(RefusedError, match=r"part 0 .* digest"):
            damaged.table(name)
        path.write_bytes(original)


@pytest.mark.parametrize("name", ["proteins.parquet", "arcs.parquet"])
def test_every_byte_of_a_parquet_file_is_in_one_part(damaged: FormatSegment, name: str) -> None:
    path = damaged.directory / name
    original = path.read_bytes()
    assert original[:4] == b"PAR1"
    parts = damaged.files[name]["parts"]
    for place in [*range(4, len(original), 97), len(original) - 1]:
        (number,) = (number for number, (offset, size, _) in enumerate(parts) if offset <= place < offset + size)
        flip(path, place)
        with pytest.raises(RefusedError, match=f"part {number if number < len(parts) - 1 else -1} of {name}"):
            damaged.table(name)
        path.write_bytes(original)


def parts_of(path: Path) -> list[list[Any]]:
    """By section 9.1: each row group from its first page to the next part, then the footer."""
    data = path.read_bytes()
    assert data[-4:] == b"PAR1"
    metadata = pq.read_metadata(path)
    columns = [metadata.row_group(number).column(0) for number in range(metadata.num_row_groups)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    starts.append(len(data) - int.from_bytes(data[-8:-4], "little") - 8)
    stretches = list(zip(starts, [*starts[1:], len(data)], strict=True))
    return [[begin, end - begin, hashlib.sha256(data[begin:end]).hexdigest()] for begin, end in stretches]


@pytest.mark.parametrize("count", [0, 40, 131072 + 5])
def test_parts_of_arcs_are_its_row_groups_in_order_and_its_footer(tmp_path: Path, count: int) -> None:
    weights = np.random.default_rng(4).uniform(0.05, 0.29, count).astype(np.float32)
    entry = write_segment(tmp_path, 0, fabricated(weights), CHUNK, 2)
    directory = tmp_path / "segments" / entry.id
    parts = json.loads((directory / "segment.json").read_bytes())["files"]["arcs.parquet"]["parts"]
    assert parts == parts_of(directory / "arcs.parquet")
    # A row group holds all its pages, as its own metadata counts them, and nothing else.
    metadata = pq.read_metadata(directory / "arcs.parquet")
    for number, (begin, size, _) in enumerate(parts[:-1]):
        pages = 0
        for index in range(metadata.num_columns):
            column = metadata.row_group(number).column(index)
            assert begin <= (column.dictionary_page_offset or column.data_page_offset) < begin + size
            pages += column.total_compressed_size
        assert pages == size
    ends = [begin + size for begin, size, _ in parts]
    assert [begin for begin, _, _ in parts] == [4, *ends[:-1]]
    assert ends[-1] == (directory / "arcs.parquet").stat().st_size


def test_the_manifest_seals_segment_json_and_that_every_other_file(written: Path, model: FormatModel) -> None:
    for found in model.segments:
        paths = {
            path.relative_to(found.directory).as_posix(): path for path in found.directory.rglob("*") if path.is_file()
        }
        sealed = paths.pop("segment.json").read_bytes()
        assert hashlib.sha256(sealed).hexdigest() == found.entry["sha256"]
        assert found.files.keys() == paths.keys()
        for name, path in paths.items():
            data = path.read_bytes()
            expected = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            if path.suffix == ".parquet":
                expected["parts"] = parts_of(path)
            assert found.files[name] == expected
        assert found.entry["bytes"] == len(sealed) + sum(file["bytes"] for file in found.files.values())
        assert re.fullmatch(rf"{found.entry['number']:06d}-[0-9a-f]{{8}}", found.entry["id"])


def test_files_of_the_size_up_to_which_readers_check_digests_are_those_the_code_checks() -> None:
    (stated,) = re.findall(r"each listed file of at most (\d+) bytes", section("11"))
    assert int(stated) == segment.SMALL_FILE


def spelled(value: Any, indent: str = "\n") -> str:
    """JSON by section 4, without Python's own writer."""
    inner = indent + "  "
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
        return '"' + "".join(short.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in value) + '"'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        digits = np.format_float_scientific(value, unique=True, trim="-", exp_digits=2)
        exponent = int(digits.split("e")[1])
        return np.format_float_positional(value, unique=True, trim="0") if -4 <= exponent < 16 else digits
    parts = (
        [f"{spelled(name)}: {spelled(member, inner)}" for name, member in value.items()]
        if isinstance(value, dict)
        else [spelled(member, inner) for member in value]
    )
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + ",".join(inner + part for part in parts) + (indent if parts else "") + closing


def sealed(content: dict[str, Any]) -> bytes:
    text = spelled(content) + "\n"
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return (text.removesuffix("\n}\n") + f',\n  "sha256": "{digest}"\n}}\n').encode("utf-8")


ODD = 'é α "quoted" back\\slash \x00\x1f\x7f \b\f\n\r\t \u2028 \U0001f9ec </p>'
NUMBERS = [0.0, 1e-06, 1.5e-7, 0.0001, 0.00012345, 0.05, 1.0, 123456.75, 1e15, 1e16, 1.25e22, float(np.float32(0.1))]


@pytest.mark.parametrize("check", NUMBERS)
def test_a_model_document_is_spelled_byte_for_byte_as_the_document_says(tmp_path: Path, check: float) -> None:
    settings = {"empty": {}, "none": [], "null": None, "true": True, "list": [1, [2.5, "x"]], ODD: ODD}
    tokenizer = {"class": ODD, "spaced": False, "prefix": [], "suffix": ["<eos>"], "settings": settings}
    document = dataclasses.replace(model_document(tmp_path.name), check=check, tokenizer=tokenizer)
    document.write(tmp_path)
    content = {"version": 1, **dataclasses.asdict(document)}
    assert (tmp_path / "model.json").read_bytes() == sealed(content)
    assert FormatModel(tmp_path).document["tokenizer"] == tokenizer
    # Members in another order, by another writer.
    (tmp_path / "model.json").write_bytes(sealed(dict(reversed(content.items()))))
    assert ModelDocument.read(tmp_path) == document


def test_a_document_is_never_written_with_a_number_that_is_none(tmp_path: Path) -> None:
    for check in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            dataclasses.replace(model_document(tmp_path.name), check=check).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


SEALED = ["store.json", "attention/random/model.json", "attention/random/manifest.json"]


@pytest.mark.parametrize("path", SEALED)
def test_a_sealed_document_ends_with_its_seal(written: Path, path: str) -> None:
    data = (written / path).read_bytes()
    content = json.loads(data)
    digest = content.pop("sha256")
    assert data == sealed(content)
    (stated,) = map(int, re.findall(r"the seal is the last (\d+) bytes", section("4")))
    assert data[-stated:] == f',\n  "sha256": "{digest}"\n}}\n'.encode()


def test_segment_json_is_spelled_the_same_way_without_a_seal(model: FormatModel) -> None:
    for found in model.segments:
        data = (found.directory / "segment.json").read_bytes()
        assert data == (spelled(json.loads(data)) + "\n").encode()
        assert "sha256" not in json.loads(data)


def sealed_before(text: str, between: str = "", after: str = "") -> bytes:
    """Any JSON object without its brace, and the seal with white space in it."""
    digest = hashlib.sha256(f"{text}\n}}\n".encode()).hexdigest()
    return f'{text},{between}"sha256":{between}"{digest}"{after}}}{after}'.encode()


def in_other_forms(content: dict[str, Any]) -> dict[str, bytes]:
    """A document as other writers of JSON lay it out, with a right seal."""
    compact = json.dumps(content, separators=(",", ":"), ensure_ascii=False).removesuffix("}")
    return {
        "compact": sealed_before(compact),
        "one line": sealed_before(json.dumps(content).removesuffix("}"), " ", "\n"),
        "tabs": sealed_before(json.dumps(content, indent="\t").removesuffix("\n}"), "\n\t", "\n"),
        "other line ends": sealed_before(json.dumps(content, indent=1)[:-2].replace("\n", "\r\n"), "\r\n", "\r\n"),
        "reversed": sealed_before(json.dumps(dict(reversed(content.items()))).removesuffix("}")),
        "spaced": sealed_before(compact + " \n ", " \t ", "  \n\n"),
    }


@pytest.mark.parametrize("path", SEALED)
@pytest.mark.parametrize("form", in_other_forms({"version": 1}))
def test_a_document_in_another_form_of_json_is_read_if_its_seal_holds(
    written: Path, tmp_path: Path, path: str, form: str
) -> None:
    store = tmp_path / "copy"
    shutil.copytree(written, store)
    content = read(store / path)
    del content["sha256"]
    data = in_other_forms(content)[form]
    assert data != (written / path).read_bytes()
    (store / path).write_bytes(data)
    before, after = FormatReader(written).models["random"], FormatReader(store).models["random"]
    assert (after.document | {"sha256": ""}) == (before.document | {"sha256": ""})
    assert after.manifest["segments"] == before.manifest["segments"]
    opened, expected = attnstore.open(store), attnstore.open(written)
    assert opened.document == expected.document
    assert opened.model().document == expected.model().document
    assert opened.model().manifest == expected.model().manifest
    assert opened.attention("short").identical(expected.attention("short"))
    # The seal is of bytes: another layout without another digest breaks it.
    compact = json.dumps(json.loads((written / path).read_bytes()), separators=(",", ":"), ensure_ascii=False)
    for broken in (compact.encode(), data.replace(b'"version"', b' "version"', 1)):
        assert json.loads(broken)
        (store / path).write_bytes(broken)
        assert_refused(store, "breaks its seal", "does not have the digest")


def assert_refused(store: Path, by_the_document: str, by_the_code: str) -> None:
    """Both readers refuse the store, or its model, or one of its segments, when they come to it."""
    with pytest.raises(RefusedError, match=by_the_document):
        _ = FormatReader(store).models["random"].segments
    with pytest.raises(StoreError, match=by_the_code):
        _ = attnstore.open(store).model().segments


@pytest.mark.parametrize(
    ("keep", "by_the_document", "by_the_code"),
    [
        (["codes", "arcs", "marginals"], "does not hold what model.json says", "is damaged: it holds codes,arcs,marg"),
        (["hidden"], "keep is not a list of it", "is damaged: keep is hidden"),
        (
            ["arcs", "codes", "marginals", "hidden"],
            "keep is not a list of it",
            "keep is arcs, codes, marginals, hidden",
        ),
    ],
)
def test_a_segment_that_holds_other_than_keep_says_is_refused(
    written: Path, tmp_path: Path, keep: list[str], by_the_document: str, by_the_code: str
) -> None:
    store = tmp_path / "copy"
    shutil.copytree(written, store)
    path = store / "attention" / "random" / "model.json"
    content = read(path)
    del content["sha256"]
    path.write_bytes(sealed(content | {"keep": keep}))
    assert_refused(store, by_the_document, by_the_code)


@pytest.mark.parametrize("keep", [("codes",), ("arcs",), ("marginals",), ("arcs", "hidden"), ("codes", "marginals")])
def test_a_segment_of_which_less_is_kept_holds_just_that(tmp_path: Path, keep: tuple[str, ...]) -> None:
    (tmp_path / "random").mkdir()
    dataclasses.replace(model_document(), keep=keep).write(tmp_path / "random")
    expected = contents_of(SEGMENTS[0])
    belongs = {"codes": ["codes", "bin_mean", "bin_count"], "marginals": ["received", "emitted", "special"]}
    dropped = [name for what in layout.KEEP if what not in keep for name in belongs.get(what, [what])]
    left = dataclasses.replace(expected, **dict.fromkeys(dropped))
    entry = write_segment(tmp_path / "random", 0, left, CHUNK, 2)
    Manifest((entry,)).write(tmp_path / "random")
    (found,) = FormatModel(tmp_path / "random").segments
    places = {"codes": "codes.zarr", "arcs": "arcs.parquet", "marginals": "marginals.zarr", "hidden": "hidden.zarr"}
    assert {path.name for path in found.directory.iterdir()} == {
        "segment.json", "proteins.parquet", *(places[what] for what in keep)
    }  # fmt: skip
    assert found.entry["arcs"] == (found.arcs.num_rows if "arcs" in keep else 0)
    if "codes" in keep:
        assert np.array_equal(found.array("codes.zarr/codes").read(), expected.codes)
    if "marginals" in keep:
        assert np.array_equal(found.marginal("emitted"), expected.emitted)
    if "hidden" in keep:
        assert np.array_equal(found.hidden(), expected.hidden)


@pytest.mark.parametrize("path", SEALED)
def test_a_document_without_a_seal_at_its_end_is_refused(written: Path, tmp_path: Path, path: str) -> None:
    store = tmp_path / "copy"
    shutil.copytree(written, store)
    content = read(store / path)
    digest = content.pop("sha256")
    capitals = (store / path).read_text(encoding="utf-8").replace(digest, digest.upper())
    for data in (
        spelled(content),
        spelled({"sha256": digest, **content}),
        spelled(content | {"sha256": None}),
        capitals,
    ):
        (store / path).write_bytes(data.encode())
        assert_refused(store, "is not sealed", "does not have the digest")


#: Each with what the code says of it.
VERSIONS: dict[str, tuple[Any, str]] = {
    "true": (True, "no version number"),
    "zero": (0, "no version number"),
    "negative": (-1, "no version number"),
    "not whole": (1.0, "no version number"),
    "text": ("1", "no version number"),
    "null": (None, "no version number"),
    "newer": (2, "newer than the 1 that this attnstore reads: upgrade attnstore"),
}


@pytest.mark.parametrize("path", [*SEALED, "segment.json"])
@pytest.mark.parametrize("version", [*VERSIONS, "none"])
def test_a_document_of_another_version_or_none_is_refused_though_its_seal_holds(
    written: Path, tmp_path: Path, path: str, version: str
) -> None:
    store = tmp_path / "copy"
    shutil.copytree(written, store)
    manifest = store / "attention" / "random" / "manifest.json"
    file = store / path
    if path == "segment.json":
        file = manifest.parent / "segments" / read(manifest)["segments"][0]["id"] / path
    content = read(file)
    content.pop("sha256", None)
    del content["version"]
    value, said = VERSIONS.get(version, (None, "no version number"))
    content |= {} if version == "none" else {"version": value}
    if path == "segment.json":
        file.write_text(spelled(content) + "\n", encoding="utf-8")
        listed = read(manifest)
        del listed["sha256"]
        listed["segments"][0]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        manifest.write_bytes(sealed(listed))
    else:
        file.write_bytes(sealed(content))
    assert_refused(store, "is of another version", said)


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("store.json", "residues"),
        ("attention/random/model.json", "batch_pairs"),
        ("attention/random/manifest.json", "pairs"),
    ],
)
def test_another_number_in_a_document_breaks_its_seal(written: Path, tmp_path: Path, path: str, member: str) -> None:
    shutil.copytree(written, tmp_path / "copy")
    file = tmp_path / "copy" / path
    text = file.read_text(encoding="utf-8")
    changed = re.sub(rf'("{member}": \d*)(\d)', lambda found: found[1] + str((int(found[2]) + 1) % 10), text, count=1)
    assert changed != text
    file.write_text(changed, encoding="utf-8")
    with pytest.raises(RefusedError, match="breaks its seal"):
        FormatReader(tmp_path / "copy")
    with pytest.raises(StoreError, match="digest"):
        attnstore.open(tmp_path / "copy")


# --- the document's tables ---------------------------------------------------------------------------------------


def section(number: str) -> str:
    """Text of a section, its subsections left out."""
    parts = re.split(r"^#{2,4} ((?:\d+\.)*\d+)\.? .*$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[number]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]


def tables_of(number: str) -> list[dict[str, dict[str, str]]]:
    """Tables of a section: from the first cell of a row, without its code font, to its cells by column title."""
    tables = []
    for block in re.findall(r"(?:^\|.*\n)+", section(number), flags=re.MULTILINE):
        titles, _, *rows = map(cells, block.splitlines())
        tables.append({row[0].strip("`"): dict(zip(titles, row, strict=True)) for row in rows})
    return tables


JSON_TYPES: dict[str, Any] = {
    "string": str,
    "string or null": (str, type(None)),
    "integer": int,
    "integer or null": (int, type(None)),
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array of strings": list,
    "array of objects": list,
    "array of arrays": list,
    "array of arrays of strings": list,
}


def agree(table: dict[str, dict[str, str]], content: dict[str, Any]) -> None:
    assert list(table) == list(content)
    for name, value in content.items():
        assert isinstance(value, JSON_TYPES[table[name]["Type"]]), name
        assert table[name]["Meaning"], name


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def test_the_document_lists_the_members_of_store_json(written: Path) -> None:
    (table,) = tables_of("5")
    agree(table, read(written / "store.json"))


def test_the_document_lists_the_members_of_model_json(written: Path) -> None:
    members, tokenizer, keep = tables_of("8.1")
    content = read(written / "attention" / "random" / "model.json")
    agree(members, content)
    agree(tokenizer, content["tokenizer"])
    assert tuple(keep) == layout.KEEP
    assert [field.name for field in dataclasses.fields(ModelDocument)] == [
        name for name in members if name not in ("version", "sha256")
    ]


def test_the_document_names_the_members_of_model_json_that_may_differ_between_runs() -> None:
    (sentence,) = re.findall(r"recorded\.((?:.|\n)*?)may\s+differ", section("8.1"))
    assert tuple(re.findall(r"`(\w+)`", sentence)) == ModelDocument.FREE


def test_the_document_lists_the_members_of_a_manifest(written: Path) -> None:
    members, segments, skipped = tables_of("8.3")
    content = read(written / "attention" / "random" / "manifest.json")
    agree(members, content)
    agree(segments, content["segments"][0])
    agree(skipped, content["skipped"][0])
    assert list(segments) == [field.name for field in dataclasses.fields(SegmentEntry)]
    assert list(skipped) == [field.name for field in dataclasses.fields(Skipped)]


def test_the_document_lists_the_members_of_a_plan(tmp_path: Path) -> None:
    plan = pytest.importorskip("attnstore.ingest.plan", exc_type=ImportError)
    plan.write_plan(tmp_path, plan.plan_segments([("a", 9), ("b", 3)], heads=2, segment_entries=99, batch_pairs=9))
    content = read(tmp_path / "plan.json")
    members, segments = tables_of("8.2")
    agree(members, content)
    for number, planned in enumerate(content["segments"]):
        agree(segments, planned)
        assert planned["number"] == number


def test_the_document_lists_the_members_of_segment_json(model: FormatModel) -> None:
    members, files = tables_of("9.1")
    content = read(model.segments[0].directory / "segment.json")
    agree(members, content)
    others = {name: row for name, row in files.items() if "only of a `.parquet` file" not in row["Meaning"]}
    for path, file in content["files"].items():
        agree(files if path.endswith(".parquet") else others, file)


@pytest.mark.parametrize(
    ("number", "table"),
    [
        ("6.1", "proteins"),
        ("6.2", "members"),
        ("6.3", "residues"),
        ("6.4", "pairs"),
        ("6.5", "properties"),
        ("6.9", "property_sources"),
        ("6.10", "excluded"),
    ],
)
def test_the_document_lists_the_catalogs_columns_in_their_order_with_their_types(
    reader: FormatReader, number: str, table: str
) -> None:
    (columns,) = tables_of(number)
    found = reader.catalog(f"DESCRIBE {table}")
    assert [(name, kind) for name, kind, *_ in found] == [(name, row["Type"]) for name, row in columns.items()]
    never = [name for name, row in columns.items() if row["NULL"] == "never"]
    assert never
    nulls = reader.catalog(f"SELECT {', '.join(f'count(*) - count({name})' for name in never)} FROM {table}")
    assert not any(nulls[0])


def test_the_document_lists_the_catalogs_tables_and_no_other(reader: FormatReader) -> None:
    found = {name for (name,) in reader.catalog("SELECT table_name FROM duckdb_tables()")}
    headings = re.findall(r"^### 6\.\d+ Table (\w+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found == set(headings)


def test_the_catalogs_properties_are_columns_of_the_documents_tables_with_their_type_and_unit(
    reader: FormatReader,
) -> None:
    levels = {"protein": tables_of("6.1")[0], "residue": tables_of("6.3")[0]}
    types = {
        "boolean": {"BOOLEAN"},
        "integer": {"INTEGER", "BIGINT"},
        "float": {"FLOAT", "DOUBLE"},
        "category": {"VARCHAR"},
    }
    rows = reader.catalog("SELECT level, name, type, unit, absent FROM properties")
    assert rows
    for level, name, kind, unit, absent in rows:
        column = levels[level][name]
        assert column["Type"] in types[kind]
        assert (column["Unit"] or None) == unit
        assert (column["NULL"] == "never") == (absent == "never NULL")


@pytest.mark.parametrize(("number", "file"), [("9.2", "proteins.parquet"), ("9.5", "arcs.parquet")])
def test_the_document_lists_the_columns_of_parquet_files_in_their_order_with_their_types(
    model: FormatModel, number: str, file: str
) -> None:
    columns = tables_of(number)[0]
    kinds = {"INT32": "int32", "INT64": "int64", "FLOAT": "float", "BYTE_ARRAY": "binary"}
    for found in model.segments:
        schema = pq.read_metadata(found.directory / file).schema
        listed = {}
        for index in range(len(schema)):
            column = schema.column(index)
            kind = f"{'optional' if column.max_definition_level else 'required'} {kinds[column.physical_type]}"
            logical = str(column.logical_type)
            integer = re.fullmatch(r"Int\(bitWidth=(\d+), isSigned=(\w+)\)", logical)
            if integer:
                kind += f", Int({integer[1]}, {integer[2]})"
            elif logical != "None":
                kind += f", {logical}"
            listed[column.name] = kind
        assert listed == {name: row["Parquet type"] for name, row in columns.items()}
        assert list(listed) == list(columns)


@pytest.mark.parametrize(("directory", "number"), ARRAYS.items())
def test_the_document_lists_the_arrays_with_type_shape_grid_fill_value_and_codecs(
    model: FormatModel, directory: str, number: str
) -> None:
    arrays = tables_of(number)[0]
    for found in model.segments:
        pairs, residues = found.entry["pairs"], found.entry["residues"]
        k = min(CHUNK, pairs)
        sizes = {"L": LAYERS, "H": HEADS, "P": pairs, "C": 205, "R": residues, "k": k, "1": 1}
        sizes["⌈P/k⌉·k"] = -(-pairs // k) * k
        r = min(residues, -(-(2**19) // FEATURES))
        sizes |= {"L + 1": LAYERS + 1, "F": FEATURES, "r": r, "⌈R/r⌉·r": -(-residues // r) * r}
        assert {path.name for path in (found.directory / directory).iterdir()} == {*arrays, "zarr.json"}
        for name, row in arrays.items():
            array = found.array(f"{directory}/{name}")
            assert array.metadata["data_type"] == row["Data type"]
            assert array.metadata["dimension_names"] == row["Dimensions"].split(", ")
            assert str(array.metadata["fill_value"]) == row["Fill value"]
            for title, shape in (("Shape", array.shape), ("Inner chunk", array.chunk), ("Shard", array.shard)):
                assert shape == tuple(sizes[size] for size in row[title].split(", ")), (name, title)
            options = [codec.get("configuration", {}) for codec in array.chain]
            if row["Chain"] == "bytes":
                assert array.compressor == "zstd"
                assert options[1]["checksum"] is False
            else:
                assert row["Chain"] == "words"
                assert options[0] == {"endian": "little"}
                width = array.dtype.itemsize
                stated = {"cname": "zstd", "shuffle": "shuffle", "typesize": width, "blocksize": 0}
                assert {key: options[1][key] for key in stated} == stated


def tree() -> set[str]:
    """Paths of the document's tree, placeholders as they are."""
    (text,) = re.findall(r"```text\n(.*?)```", section("1"), flags=re.DOTALL)
    paths, stack = set(), []
    for line in text.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        stack = [*stack[:depth], name.rstrip("/")]
        if not name.endswith("/"):
            paths.add("/".join(stack))
    return paths


def test_the_documents_tree_is_what_a_store_holds(written: Path, reader: FormatReader) -> None:
    named = tree()
    patterns = {path: re.compile(re.sub(r"<[^>]*>", "[^/]+", path.replace(".", r"\."))) for path in named}
    found = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    found.discard(next(path.name for path in written.glob("catalog-*") if path != reader.catalog_path))
    matched = set()
    for path in found:
        (match,) = (name for name, pattern in patterns.items() if pattern.fullmatch(path))
        matched.add(match)
    # These two belong to a running ingest, of which there was none.
    assert named - matched == {"attention/<model>/plan.json", "attention/<model>/lock"}


def test_the_document_is_of_the_version_that_the_code_writes() -> None:
    assert f"This document describes version {layout.VERSION}." in section("3")
    assert f'`"{layout.FORMAT}"`' in section("5")


def test_the_documents_pattern_of_names_is_the_codes() -> None:
    (pattern,) = re.findall(r"`(\[.*\})` whole", section("4"))
    for name in ("a", "9", "A.b_c-d", "x" * 100, "", ".", "..", "-a", "_a", "a/b", "a b", "é", "x" * 101, "a\n"):
        try:
            accepted = layout.checked_name(name, "name") == name
        except layout.StoreError:
            accepted = False
        assert accepted == bool(re.fullmatch(pattern, name)), name


def test_the_documents_default_edges_are_the_codes() -> None:
    text = section("7.4")
    (digest,) = re.findall(r"`([0-9a-f]{64})`", text)
    patterns = DEFAULT.to_json()
    edges = edges_of(patterns)
    assert hashlib.sha256(edges.astype("<f4").tobytes()).hexdigest() == digest
    ranges = re.findall(r"^\| (\d+)–(\d+) \|.*\| `([0-9a-f]{8})` \|$", text, flags=re.MULTILINE)
    assert [(int(first), patterns[int(first)]) for first, _, _ in ranges] == [(int(f), bits) for f, _, bits in ranges]
    covered = [index for first, last, _ in ranges for index in range(int(first), int(last) + 1)]
    assert covered == list(range(len(patterns)))
    mantissas = [float(number) for number in re.findall(r"\d\.\d", text.split("| 0–11 |")[1].split("×")[0])]
    expected = [mantissa * 10**-decade for decade in (4, 3) for mantissa in mantissas]
    expected += [digits / 1000 for digits in range(10, 100)] + [digits / 100 for digits in range(10, 100)]
    assert np.array_equal(np.array(expected, np.float32), edges)


def test_the_documents_largest_weight_is_the_codes() -> None:
    (pattern,) = re.findall(r"TOP = .*`([0-9a-f]{8})`", section("7.2"))
    assert int(pattern, 16) == int(TOP.view(np.uint32))


def test_the_documents_example_adds_up() -> None:
    text = section("13")
    offset, target, stored, source, pair = map(
        int,
        re.search(r"pair = (\d+) \+ (\d+) · (\d+) \+ (\d+) = (\d+)\.", text).groups(),  # type: ignore[union-attr]
    )
    assert offset + target * stored + source == pair
    edges = DEFAULT.edges
    ((below, lower), (above, upper)) = re.findall(r"[Ee]dge (\d+) is\s+`([0-9a-f]{8})`", text)
    assert [DEFAULT.to_json()[int(index)] for index in (below, above)] == [lower, upper]
    (code,) = map(int, re.findall(r"byte \d+ is (\d+): the code", text))
    (weight,) = re.findall(r"weight `([0-9a-f]{8})`", text)
    alpha = np.array([int(weight, 16)], np.uint32).view(np.float32)[0]
    assert code_of(edges, alpha) == code == int(below) + 1
    raw = bytes.fromhex(re.search(r"`((?:[0-9a-f]{2} +){15}[0-9a-f]{2})`", text)[1])  # type: ignore[index]
    assert [int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")] == [
        *map(int, re.search(r"offset (\d+), (\d+) bytes", text).groups())  # type: ignore[union-attr]
    ]
