"""Stores that somebody made to harm their reader: nothing outside the store is read or changed, and every command
refuses in one sentence. All digests and seals are right: whoever makes a store makes those, too."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import attnstore
from attnstore import matrix
from attnstore.annotate.annotation import annotate
from attnstore.annotate.store_directory import ingest_proteins
from attnstore.catalog.reader import connect
from attnstore.errors import AttnstoreError, QueryError, StoreError
from attnstore.format import documents as layout
from attnstore.format import segment, segment_files, segment_values, segment_writer
from attnstore.format import zarr_reader as shards
from attnstore.format.documents import Manifest, ModelDocument, StoreDocument
from attnstore.ingest.repair import repair
from attnstore.integrity import verify
from attnstore.runtime.durable import json_bytes
from tests.synthetic import KEEP, random_proteins, write_store

SECRET = "a-secret-of-this-machine"
Store = attnstore.Store
Tables = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("strangers") / "sound"
    write_store(path, random_proteins(8, [14, 9]), keep=(*KEEP, "hidden"))
    directory = path / "attention" / "random"
    layout.write_document(directory / "plan.json", {"segments": [{"number": 0, "batches": [["p0", "p1"]]}]})
    assert not verify(path)
    return path


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Iterator[Path]:
    forget()
    shutil.copytree(sound, tmp_path / "store")
    yield tmp_path / "store"
    forget()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that is none of the store's."""
    path = tmp_path / "outside" / "secret.csv"
    path.parent.mkdir()
    path.write_text(f"id,length\n{SECRET},7\n")
    return path


def forget() -> None:
    for cached in (segment.open_segment, segment_files.check_part, segment._read_bins, matrix._residues):
        cached.cache_clear()


# --- what is asked of each store


def asked(path: Path, out: Path) -> dict[str, Callable[[], object]]:
    """Every way to read or change a store."""
    fasta, table = out / "more.fasta", out / "more.csv"
    fasta.write_text(">more\nMKLVACDE\n")
    table.write_text("id,pos,x\np0,1,0.5\n")

    def opened() -> Store:
        return attnstore.open(path)

    return {
        "repr": lambda: repr(opened()),
        "sql": lambda: opened().sql("SELECT * FROM residues, proteins").fetchall(),
        "proteins": lambda: opened().proteins().df(),
        "properties": lambda: opened().properties().to_arrow_table(),
        "arcs": lambda: opened().sql("SELECT * FROM arcs").fetchall(),
        "heads": lambda: opened().sql("SELECT * FROM heads").fetchall(),
        "export": lambda: opened().export(out / "out.duckdb", arcs=True),
        "export parquet": lambda: opened().export(out / "out", "parquet", arcs=True),
        "query": lambda: opened().query("SELECT source.aa, count(*) FROM attention WHERE weight >= 0.3 GROUP BY ALL"),
        "align": lambda: opened().align("contact", replicates=0),
        "align codes": lambda: opened().align("contact", replicates=0, tier="codes", threshold=0.3, weighted=True),
        "align marginals": lambda: opened().align("target.aa = 'A'", replicates=0, tier="marginals", weighted=True),
        "attention": lambda: opened().attention("p0"),
        "hidden": lambda: opened().hidden("p0"),
        "contacts": lambda: opened().contacts("p0", select=["p1"]),
        "probe": lambda: opened().probe("aa = 'A'"),
        "view": lambda: opened().view("p0", layer=0, head=0),
        "annotate": lambda: annotate(path, [table]),
        "ingest": lambda: ingest_proteins(path, [fasta]),
        "verify": lambda: refused_if(verify(path)),
        "repair": lambda: refused_if(repair(path, [fasta]).left),
    }


def refused_if(problems: Any) -> None:
    if problems:
        raise StoreError("; ".join(map(str, problems)))


def refusals(path: Path, out: Path, only: tuple[str, ...] = ()) -> dict[str, str]:
    """What each refuses with; any other error than ours fails. Nothing of the secret is said or written."""
    out.mkdir()
    found = {}
    for name, ask in asked(path, out).items():
        if only and name not in only:
            continue
        forget()
        try:
            said = str(ask())
        except AttnstoreError as error:
            found[name] = said = str(error)
            assert "\n" not in said, name
        except BaseException as error:
            error.add_note(name)
            raise
        assert SECRET not in said, name
    for file in out.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file
    shutil.rmtree(out)
    return found


# --- catalogs


def catalog_of(path: Path) -> Path:
    return path / str(StoreDocument.read(path).catalog)


def vouched(path: Path) -> None:
    """Let store.json vouch for the catalog as it is."""
    document = StoreDocument.read(path)
    digest = hashlib.sha256(catalog_of(path).read_bytes()).hexdigest()
    replace(document, catalog_sha256=digest).write(path)


VIEWS = {
    "view residues": "ALTER TABLE residues RENAME TO r; CREATE VIEW residues AS SELECT r.* REPLACE (content AS aa) "
                     "FROM r, read_text('{secret}')",
    "view proteins": "ALTER TABLE proteins RENAME TO p; CREATE VIEW proteins AS SELECT p.* REPLACE (c.id AS id) "
                     "FROM p, read_csv('{secret}') c",
    "view beside": "CREATE VIEW zzz AS FROM '{secret}'",
}  # fmt: skip

OTHER_OBJECTS = {
    "macro": "CREATE MACRO sha256(x) AS 'no digest'",
    "macro of an operator's name": "CREATE MACRO isfinite(x) AS true",
    "table macro": "CREATE MACRO duckdb_views() AS TABLE SELECT 1 AS view_name LIMIT 0",
    "sequence": "CREATE SEQUENCE s",
    "type": "CREATE TYPE mood AS ENUM ('a')",
    "schema": "CREATE SCHEMA other; CREATE TABLE other.t (i INTEGER)",
    "index": "CREATE INDEX i ON proteins (length)",
    "table": "CREATE TABLE arcs (i INTEGER)",
    "table like a temporary one": "CREATE TABLE given (member VARCHAR, structure_sha256 VARCHAR)",
    "excluded with other columns": "DROP TABLE excluded; CREATE TABLE excluded (id VARCHAR, reason VARCHAR)",
    "generated column": "ALTER TABLE pairs RENAME TO q; CREATE TABLE pairs (protein_index INTEGER, protein VARCHAR, "
                        "source INTEGER, target INTEGER GENERATED ALWAYS AS (source + 1)); DROP TABLE q",
    "default": "ALTER TABLE members ALTER place SET DEFAULT 'x'",
    "constraint": "ALTER TABLE proteins ALTER id SET NOT NULL",
    "key": "ALTER TABLE proteins ADD PRIMARY KEY (protein_index)",
    "enumeration": "ALTER TABLE proteins ADD COLUMN kind ENUM('a', 'b')",
    "narrow property": "ALTER TABLE residues ADD COLUMN n INTEGER",
    "nested property": "ALTER TABLE residues ADD COLUMN n STRUCT(a INTEGER)",
    "list": "ALTER TABLE proteins ADD COLUMN n VARCHAR[]",
    "name of a column": "ALTER TABLE residues ADD COLUMN \"x) FROM read_text('{secret}') --\" BIGINT",
    "column of another type": "ALTER TABLE residues ALTER pos TYPE DOUBLE",
    "column that is missing": "ALTER TABLE residues DROP COLUMN cb_z",
    "table that is missing": "DROP TABLE members",
    "collation": "DROP TABLE members; CREATE TABLE members (protein_index INTEGER, protein VARCHAR COLLATE NOCASE, "
                 "member VARCHAR, place VARCHAR)",
}  # fmt: skip

CONTENTS = {
    "no id": "UPDATE proteins SET id = NULL WHERE protein_index = 1",
    "two ids": "UPDATE proteins SET id = 'p0'",
    "index": "UPDATE proteins SET protein_index = 1000000000 WHERE protein_index = 1",
    "length": "UPDATE proteins SET length = 2000000000 WHERE protein_index = 1",
    "no sequence": "UPDATE proteins SET sequence = NULL",
    "residue gone": "DELETE FROM residues WHERE pos = 3",
    "residue twice": "UPDATE residues SET pos = 2 WHERE pos = 3",
    "order": "CREATE TABLE r AS FROM residues ORDER BY protein_index, pos DESC; DROP TABLE residues; "
             "ALTER TABLE r RENAME TO residues",
    "coordinate": "UPDATE residues SET ca_x = 'inf'",
    "pair beyond": "INSERT INTO pairs VALUES (0, 'p0', 1, 2000000000)",
    "pair half": "INSERT INTO pairs VALUES (0, 'p0', NULL, 1)",
    "pair of nothing": "INSERT INTO pairs VALUES (NULL, NULL, 1, 1)",
    "pair of another": "INSERT INTO pairs VALUES (77, 'p0', 1, 1)",
    "pair twice": "INSERT INTO pairs VALUES (0, 'p0', 1, 1), (0, 'p0', 1, 1)",
    "property of nothing": "INSERT INTO properties (name, level, type, description, absent, known) "
                           "VALUES ('x', 'residue', 'boolean', 'd', 'a', 0)",
    "property of no level": "UPDATE properties SET level = 'atom'",
    "property of no type": "UPDATE properties SET type = NULL",
    "no name": "UPDATE properties SET name = NULL",
    "source": "INSERT INTO property_sources VALUES (NULL, NULL, NULL, NULL, NULL)",
    "member": "UPDATE members SET protein_index = NULL",
}  # fmt: skip


def changed(path: Path, statements: str) -> None:
    with duckdb.connect(str(catalog_of(path))) as connection:
        for statement in statements.split("; "):
            connection.execute(statement)
        connection.execute("CHECKPOINT")
    vouched(path)


def test_a_view_in_a_catalog_shows_nothing_by_any_command(store, outside, tmp_path):
    changed(store, VIEWS["view residues"].format(secret=outside))
    found = refusals(store, tmp_path / "out")
    assert found.keys() == asked(store, tmp_path).keys() - {"repr"}
    # A repair makes the catalog again from the inputs.
    assert "give all inputs" in found.pop("repair")
    for name, said in found.items():
        assert "holds the view" in said, name


@pytest.mark.parametrize("kind", OTHER_OBJECTS)
def test_a_catalog_of_anything_but_the_formats_tables_is_refused(store, outside, kind):
    changed(store, OTHER_OBJECTS[kind].format(secret=outside))
    with pytest.raises(StoreError, match="is not one that attnstore wrote"):
        connect(catalog_of(store))
    if kind == "macro":
        assert "it holds the macro 'sha256'" in str(verify(store)[0])
        with pytest.raises(StoreError, match="is not one that attnstore wrote"):
            annotate(store, [outside])


@pytest.mark.parametrize("kind", CONTENTS)
def test_rows_of_a_catalog_that_contradict_each_other_are_refused(store, kind):
    changed(store, CONTENTS[kind])
    with pytest.raises(StoreError, match="is damaged: "):
        connect(catalog_of(store))


@pytest.mark.parametrize("change", ["aa = 'xx' WHERE pos = 3", "protein = 'p1' WHERE pos = 0", "aa = lower(aa)"])
def test_verify_names_a_residue_that_the_sequence_does_not_have(store, change):
    assert verify(store) == []
    changed(store, f"UPDATE residues SET {change}")
    (problem,) = map(str, verify(store))
    assert re.search(r"lists another residue \d+ of p\d+ than its sequence has\.$", problem)


def test_a_catalog_may_hold_records_that_were_left_out_and_properties(store):
    changed(store, "INSERT INTO excluded VALUES ('x', 'f.pdb', 'no residues'); "
                   "ALTER TABLE proteins ADD COLUMN \"order\" VARCHAR")  # fmt: skip
    opened = attnstore.open(store)
    assert opened.sql("SELECT id, reason FROM excluded").fetchall() == [("x", "no residues")]
    assert "order" in opened.proteins().columns
    assert not verify(store)


def test_a_write_ahead_log_beside_a_catalog_is_not_read(store, tmp_path, monkeypatch):
    catalog = catalog_of(store)
    log = catalog.with_name(f"{catalog.name}.wal")
    shutil.copy(catalog, tmp_path / "c.duckdb")
    connection = duckdb.connect(str(tmp_path / "c.duckdb"), config={"checkpoint_threshold": "1TB"})
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    connection.execute("CREATE VIEW v AS SELECT 1")
    connection.close()
    shutil.copy(tmp_path / "c.duckdb.wal", log)
    found = refusals(store, tmp_path / "out", ("sql", "export", "align", "verify"))
    assert len(found) == 4
    assert all("is not complete" in said for said in found.values())


# --- links and names


def link_file(name: str) -> Callable[[Path, Path], None]:
    def place(store: Path, outside: Path) -> None:
        path = next(store.rglob(name))
        moved = outside.parent / path.name
        path.rename(moved)
        path.symlink_to(moved)

    return place


def pipe(store: Path, _: Path) -> None:
    path = next(store.rglob("manifest.json"))
    path.unlink()
    os.mkfifo(path)


LINKS = {
    "catalog": link_file("catalog-*.duckdb"),
    "store.json": link_file("store.json"),
    "model.json": link_file("model.json"),
    "manifest.json": link_file("manifest.json"),
    "attention": link_file("attention"),
    "model": link_file("random"),
    "segments": link_file("segments"),
    "segment": link_file("000000-*"),
    "segment.json": link_file("segment.json"),
    "proteins": link_file("proteins.parquet"),
    "arcs": link_file("arcs.parquet"),
    "codes": link_file("codes.zarr"),
    "shard": link_file("c/0/0/0"),
    "pipe": pipe,
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_in_a_store_is_not_followed(store, outside, tmp_path, kind):
    LINKS[kind](store, outside)
    found = refusals(store, tmp_path / "out", ("arcs", "align codes", "verify"))
    assert {"arcs", "align codes", "verify"} - found.keys() <= ({"arcs"} if kind in ("codes", "shard") else set())
    for name, said in found.items():
        assert "symbolic link" in said or "is a pipe" in said, name


def test_no_file_is_written_through_a_link_in_a_store(store, outside, tmp_path):
    before = outside.read_bytes()
    for name in (f".store.json.{os.getpid()}.tmp", f".catalog.{os.getpid()}.tmp"):
        (store / name).symlink_to(outside)
    (store / ".catalog.1.tmp.spill").symlink_to(outside.parent)
    (store / ".catalog-old").symlink_to(outside.parent)
    lock = store / "attention" / "random" / "lock"
    lock.symlink_to(outside)
    found = refusals(store, tmp_path / "out", ("annotate", "ingest", "repair"))
    assert set(found) == {"repair"}
    assert "the lock is not read" in found["repair"]
    assert outside.read_bytes() == before
    assert not verify(store)
    assert attnstore.open(store).document.proteins == 3


def reseal(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    content.pop("sha256", None)
    content.pop("version", None)
    layout.write_document(path, content)


def setting(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


DOCUMENTS = [
    ("store.json", setting("catalog", to="../outside/secret.csv")),
    ("store.json", setting("catalog", to="/etc/passwd")),
    ("store.json", setting("catalog", to=5)),
    ("store.json", setting("proteins", to="many")),
    ("manifest.json", setting("segments", 0, "id", to="../../../../outside")),
    ("manifest.json", setting("segments", 0, "id", to=["x"])),
    ("manifest.json", setting("segments", 0, "pairs", to="10")),
    ("manifest.json", setting("segments", 0, "pairs", to=10**15)),
    ("manifest.json", setting("segments", 0, "proteins", to=1e9)),
    ("manifest.json", setting("skipped", to=[{"protein": 3, "reason": None}])),
    ("manifest.json", lambda content: content["segments"].append(content["segments"][0])),
    ("model.json", setting("name", to="../../outside")),
    ("model.json", setting("layers", to=10**9)),
    ("model.json", setting("heads", to=65537)),
    ("model.json", setting("layers", to=True)),
    ("model.json", setting("arc_floor", to="0.05")),
    ("model.json", setting("arc_floor", to=-1)),
    ("model.json", setting("tokenizer", to=None)),
    ("model.json", setting("codebook", to=[1, 2])),
    ("model.json", setting("chunk_pairs", to=0)),
    ("model.json", setting("max_residues", to=10**30)),
]


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_a_document_that_says_what_cannot_be_is_refused(store, outside, tmp_path, number):
    name, change = DOCUMENTS[number]
    reseal(next(store.rglob(name)), change)
    found = refusals(store, tmp_path / "out", ("arcs", "verify"))
    assert set(found) == {"arcs", "verify"}


def entry(store: Path) -> tuple[Path, Any]:
    directory = store / "attention" / "random"
    (listed,) = Manifest.read(directory).segments
    return directory / "segments" / listed.id, listed


def relist(store: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what segment.json says of files, and let the manifest vouch for it."""
    place, listed = entry(store)
    content = json.loads((place / "segment.json").read_bytes())
    change(content)
    data = json_bytes(content)
    (place / "segment.json").write_bytes(data)
    total = len(data) + sum(file["bytes"] for file in content["files"].values() if isinstance(file, dict))
    new = replace(listed, sha256=hashlib.sha256(data).hexdigest(), bytes=total)
    Manifest((new,)).write(store / "attention" / "random")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../../../../outside/secret.csv", "codes.zarr/../../x", "a\0b", "", "C:\\x", "a//b", "."]
)
def test_a_segment_that_lists_a_file_elsewhere_is_refused(store, outside, tmp_path, name):
    digest = hashlib.sha256(outside.read_bytes()).hexdigest()
    stolen = {"bytes": outside.stat().st_size, "sha256": digest}
    relist(store, lambda content: content["files"].update({name: stolen}))
    found = refusals(store, tmp_path / "out", ("arcs", "verify"))
    assert len(found) == 2


# --- arrays and tables


def put(store: Path, relative: str, content: bytes | pa.Table, **options: Any) -> None:
    """Give a segment another file, and let everything vouch for it."""
    place, _ = entry(store)
    path = place / relative
    path.unlink()
    if isinstance(content, pa.Table):
        buffer = pa.BufferOutputStream()
        pq.write_table(content, buffer, **options)
        (said,) = segment_writer.write_parquet(path, buffer.getvalue()).values()
    else:
        path.write_bytes(content)
        said = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    relist(store, lambda listed: listed["files"].update({relative: said}))


def described(store: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    place, _ = entry(store)
    content = json.loads((place / name / "zarr.json").read_bytes())
    change(content)
    put(store, f"{name}/zarr.json", json.dumps(content).encode())


HUGE = 10**13
ARRAYS: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "shape": ("codes.zarr/codes", setting("shape", 2, to=HUGE)),
    "more heads": ("codes.zarr/codes", setting("shape", 1, to=4)),
    "no pairs": ("codes.zarr/codes", setting("shape", 2, to=0)),
    "text": ("codes.zarr/codes", setting("shape", 0, to="2")),
    "fewer dimensions": ("codes.zarr/codes", setting("shape", to=[2])),
    "shard": ("codes.zarr/codes", setting("chunk_grid", "configuration", "chunk_shape", to=[1, 3, HUGE])),
    "chunk": ("codes.zarr/codes", setting("codecs", 0, "configuration", "chunk_shape", to=[1, 1, HUGE])),
    "chunk of nothing": ("codes.zarr/codes", setting("codecs", 0, "configuration", "chunk_shape", to=[1, 1, 0])),
    "type": ("codes.zarr/codes", setting("data_type", to="float64")),
    "objects": ("codes.zarr/codes", setting("data_type", to="object")),
    "means": ("codes.zarr/mean", setting("shape", 2, to=3)),
    "marginals": ("marginals.zarr/emitted", setting("shape", 2, to=HUGE)),
    "features": ("hidden.zarr/hidden", setting("shape", 2, to=HUGE)),
    "residues": ("hidden.zarr/hidden", setting("shape", 1, to=HUGE)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_claims_another_size_than_its_pairs_allocates_nothing(store, kind):
    name, change = ARRAYS[kind]
    described(store, name, change)
    forget()
    (part,) = attnstore.open(store).model().segments
    reads = {
        "codes": part.codes,
        "mean": lambda: part.bin_mean,
        "emitted": lambda: part.marginal("emitted"),
        "hidden": part.hidden,
    }
    with pytest.raises(StoreError, match=f"{name}/zarr.json is damaged"):
        reads[name.split("/")[1]]()


def shard_of(chunks: list[bytes]) -> bytes:
    """A shard of encoded chunks, each without its checksum."""
    whole, index = b"", b""
    for chunk in chunks:
        data = chunk + struct.pack("<I", google_crc32c.value(chunk))
        index += struct.pack("<QQ", len(whole), len(data))
        whole += data
    return whole + index + struct.pack("<I", google_crc32c.value(index))


def zstd_claiming(size: int) -> bytes:
    """A frame whose header says that it holds so many bytes."""
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + struct.pack("<Q", size) + b"\x01\x00\x00"


def test_a_chunk_that_claims_to_hold_a_terabyte_is_refused_before_it_is_decoded(store, tmp_path):
    from numcodecs import zstd

    pairs = entry(store)[1].pairs
    for chunk in (zstd_claiming(1 << 40), zstd.compress(bytes(pairs - 1), 1), zstd.compress(bytes(10**6), 1), b""):
        put(store, "codes.zarr/codes/c/0/0/0", shard_of([chunk] * 3))
        forget()
        with pytest.raises(StoreError, match="c/0/0/0 is damaged"):
            attnstore.open(store).attention("p0", layer=0)


def test_a_chunk_that_lies_outside_its_shard_or_holds_impossible_codes_is_refused(store, tmp_path):
    from numcodecs import zstd

    pairs = entry(store)[1].pairs
    whole = shard_of([zstd.compress(bytes(pairs), 1)] * 3)
    index = struct.pack("<QQ", 0, 1 << 62) * 3
    beyond = whole[: -3 * 16 - 4] + index + struct.pack("<I", google_crc32c.value(index))
    for content in (beyond, shard_of([zstd.compress(bytes([230]) * pairs, 1)] * 3), b"abc", b""):
        put(store, "codes.zarr/codes/c/0/0/0", content)
        found = refusals(store, tmp_path / "out", ("align codes", "attention", "verify"))
        assert len(found) == 3
        assert all("c/0/0/0 is damaged" in said for said in found.values())


@pytest.mark.parametrize(
    "names",
    [
        ("codes.zarr/codes/c/0/0/0", "codes.zarr/codes/c/1/0/0"),
        ("codes.zarr/count/c/0/0/0", "marginals.zarr/received/c/0/0/0", "hidden.zarr/hidden/c/0/0/0"),
        ("codes.zarr/codes/c/1/0/0", "marginals.zarr/special/c/0/0/0"),
    ],
)
def test_verify_names_every_array_with_impossible_values_once(store, names):
    place, _ = entry(store)
    for name in names:
        size = (place / name).stat().st_size
        put(store, name, bytes(size))
    forget()
    found = [str(problem) for problem in verify(store)]
    for name in names:
        assert [name in said for said in found].count(True) == 1, (name, found)


def arcs_of(store: Path) -> pa.Table:
    place, _ = entry(store)
    return pq.read_table(place / "arcs.parquet")


def column(name: str, value: Any, kind: pa.DataType | None = None, row: int = 3) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[row] = value
        at = table.column_names.index(name)
        own = kind or table.schema.field(name).type
        return table.set_column(at, pa.field(name, own), pa.array(values, own))

    return change


ARCS: dict[str, Callable[[pa.Table], pa.Table]] = {
    **{f"no {name}": column(name, None) for name in segment_values.ARC_SCHEMA.names},
    "layer": column("layer", 2),
    "head": column("head", 65535),
    "protein": column("protein", 2**32 - 1),
    "source": column("source", 14),
    "target": column("target", 2**32 - 1),
    "weight NaN": column("weight", float("nan")),
    "weight infinite": column("weight", float("inf")),
    "weight above one": column("weight", 1.5),
    "weight below the floor": column("weight", 0.01),
    "weight below zero": column("weight", -0.5),
    "unsorted": lambda table: table.take([1, 0, *range(2, len(table))]),
    "twice": lambda table: table.take([0, 0, *range(2, len(table))]),
    "signed": column("source", -1, pa.int32()),
    "text": lambda table: table.set_column(
        0, "layer", table["layer"].cast(pa.string())
    ),
    "double": lambda table: table.set_column(5, "weight", table["weight"].cast(pa.float64())),
    "missing": lambda table: table.drop_columns(["source"]),
    "other order": lambda table: table.select([*reversed(table.column_names)]),
    "another name": lambda table: table.rename_columns(["l", *table.column_names[1:]]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARCS)
def test_arcs_that_cannot_be_are_refused_by_segment_and_row_group(store, tmp_path, kind):
    # SQL trusts what the footer says of the least and largest; it uses no value as an index.
    unseen = {"weight NaN", "unsorted", "twice"}
    put(store, "arcs.parquet", ARCS[kind](arcs_of(store)), row_group_size=10**6)
    asks = ("align", "arcs", "verify", *(["export"] if kind in unseen else []))
    found = refusals(store, tmp_path / "out", asks)
    assert set(asks) - found.keys() <= ({"arcs"} if kind in unseen else set())
    (name,) = {listed.id for listed in Manifest.read(store / "attention" / "random").segments}
    assert all(name in said for said in found.values())


def test_a_footer_that_lies_about_rows_is_refused(store, tmp_path):
    place, _ = entry(store)
    table = arcs_of(store)
    put(store, "arcs.parquet", pa.concat_tables([table] * (2 * 131072 // len(table) + 1)), row_group_size=10**7)
    found = refusals(store, tmp_path / "out", ("align", "arcs", "verify"))
    assert len(found) == 3
    content = (place / "arcs.parquet").read_bytes()
    for cut in (content[:-9] + b"\xff" + content[-8:], content[:-8] + b"\xff\xff\xff\x7fPAR1"):
        put(store, "arcs.parquet", cut)
        assert len(refusals(store, tmp_path / "out", ("align", "arcs", "verify"))) == 3


PROTEINS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no id": column("id", None, row=1),
    "same id": column("id", "p0", row=1),
    "other index": column("protein", 7, row=1),
    "longer than it is": column("stored", 4000, row=1),
    "nothing stored": column("stored", 0, row=1),
    "offset falls": column("pair_offset", 2**63, row=0),
    "other offset": column("residue_offset", 3, row=1),
    "signed": lambda table: table.set_column(4, "stored", table["stored"].cast(pa.int64())),
    "one less": lambda table: table.slice(0, 1),
    "missing": lambda table: table.drop_columns(["length"]),
}


@pytest.mark.parametrize("kind", PROTEINS)
def test_proteins_of_a_segment_that_contradict_each_other_are_refused(store, tmp_path, kind):
    place, _ = entry(store)
    put(store, "proteins.parquet", PROTEINS[kind](pq.read_table(place / "proteins.parquet")))
    found = refusals(store, tmp_path / "out", ("align", "arcs", "attention", "hidden", "verify"))
    assert len(found) == 5


# --- models


def test_a_repair_loads_no_model_from_where_a_store_says_without_consent(store, tmp_path, monkeypatch):
    from attnstore.ingest import repair as module

    reseal(next(store.rglob("model.json")), setting("source", to=str(tmp_path / "payload")))
    place, _ = entry(store)
    (place / "arcs.parquet").unlink()
    loaded, asked_of = [], []
    monkeypatch.setattr(module, "load", lambda source, **_: loaded.append(source))

    def refuse(model: str, source: str) -> bool:
        asked_of.append((model, source))
        return False

    for options in ({}, {"trust_source": False}, {"trust_source": refuse}):
        (said,) = repair(store, **options).left
        assert "trust_source=True" in said
        assert "payload" in said
    assert (loaded, asked_of) == ([], [("random", str(tmp_path / "payload"))])
    for options in ({"trust_source": True}, {"trust_source": lambda *_: True}, {"model_source": "mine"}):
        with contextlib.suppress(AttributeError):  # what was loaded is None
            repair(store, **options)
    assert loaded == [str(tmp_path / "payload")] * 2 + ["mine"]


# --- rows of SQL


FAILING = {
    "conversion": "SELECT 'x'::INTEGER FROM residues",
    "range": "SELECT (pos + 2147483648)::INTEGER FROM residues",
    "error": "SELECT error('no') FROM residues",
}


@pytest.mark.parametrize("kind", FAILING)
def test_rows_that_cannot_be_found_are_refused_whenever_they_are_asked_for(sound, kind):
    rows = attnstore.open(sound).sql(FAILING[kind])
    ways = {
        "df": rows.df, "fetchall": rows.fetchall, "to_arrow_table": rows.to_arrow_table, "fetchone": rows.fetchone,
        "fetchnumpy": rows.fetchnumpy, "fetchmany": lambda: rows.fetchmany(3), "iter": lambda: list(rows),
        "repr": lambda: repr(rows), "show": rows.show, "filter": lambda: rows.filter("true").df(),
        "project": lambda: rows.project("*").fetchall(), "limit": lambda: rows.limit(1).df(),
        "order": lambda: rows.order("1").df(), "aggregate": lambda: rows.aggregate("count(*), max(COLUMNS(*))").df(),
        "distinct": lambda: rows.distinct().df(), "pickle": lambda: pickle.dumps(rows),
    }  # fmt: skip
    for name, way in ways.items():
        with pytest.raises(QueryError) as error:
            way()
        assert "\n" not in str(error.value), name


def test_rows_reach_no_file_and_have_no_way_to_write_one(sound, outside, tmp_path):
    rows = attnstore.open(sound).proteins()
    for name in ("write_csv", "to_csv", "write_parquet", "to_parquet", "create", "create_view", "insert_into", "query",
                 "execute", "to_table", "map"):  # fmt: skip
        assert not hasattr(rows, name)
    for way in (
        lambda: rows.filter(f"id IN (SELECT content FROM read_text('{outside}'))").df(),
        lambda: rows.project(f"(SELECT content FROM read_text('{outside}'))").df(),
        lambda: rows.aggregate(f"count(*), (SELECT any_value(id) FROM '{outside}')").df(),
        lambda: rows.order("1; DROP VIEW proteins").df(),
        lambda: rows.limit("1; DROP VIEW proteins"),
    ):
        with pytest.raises(QueryError) as error:
            way()
        assert SECRET not in str(error.value)


def test_rows_chain_iterate_copy_and_travel(sound):
    opened = attnstore.open(sound)
    rows = opened.residues()
    everything = opened.sql("SELECT protein, pos, aa FROM residues").fetchall()
    assert list(rows.project("protein", "pos", "aa")) == everything
    assert len(rows) == len(everything) == rows.shape[0]
    counted = rows.aggregate("aa, count(*) AS n", "aa").filter("n > 1").order("n DESC, aa").limit(3)
    letters = [aa for *_, aa in everything]
    expected = sorted(((aa, letters.count(aa)) for aa in set(letters)), key=lambda pair: (-pair[1], pair[0]))[:3]
    assert counted.fetchall() == expected
    assert counted.columns == ["aa", "n"]
    assert copy.deepcopy(counted) is counted
    assert pickle.loads(pickle.dumps(counted)).fetchall() == expected
    assert counted.fetchone() == expected[0]
    assert repr(counted).splitlines()[0].split() == ["aa", "n"]


# --- integers


def test_no_integer_that_users_get_wraps(sound, tmp_path):
    opened = attnstore.open(sound)
    unsigned = {np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
    tables = ("proteins", "members", "residues", "pairs", "properties", "arcs", "heads", "models", "skipped")
    for table in tables:
        rows = opened.sql(f"SELECT * FROM {table}")
        assert not [kind for kind in rows.types if kind.startswith("U")], table
        assert not {kind for kind in rows.df().dtypes if kind in unsigned}, table
    arcs = opened.sql("SELECT * FROM arcs").df()
    assert (arcs["source"] < arcs["target"]).any()
    assert ((arcs["source"] - arcs["target"]).abs() == arcs["separation"]).all()
    wide = opened.sql("SELECT source - target AS d, (layer - 5) * 1000000 AS l FROM arcs").df()
    assert wide["d"].min() == (arcs["source"] - arcs["target"]).min() < 0
    assert wide["l"].min() == -5_000_000
    opened.export(tmp_path / "out", "parquet", arcs=True)
    opened.export(tmp_path / "out.duckdb", arcs=True)
    with duckdb.connect(str(tmp_path / "out.duckdb"), read_only=True) as connection:
        kinds = connection.execute("SELECT data_type FROM duckdb_columns() WHERE NOT internal").fetchall()
        assert not [kind for (kind,) in kinds if kind.startswith("U")]
        assert connection.execute("SELECT min(source - target) FROM arcs").fetchone() == (wide["d"].min(),)
    for file in (tmp_path / "out").iterdir():
        assert not [field for field in pq.read_schema(file) if pa.types.is_unsigned_integer(field.type)], file
    rows = opened.query("SELECT layer, head, source, target, source.pos - target.pos AS d FROM attention "
                        "WHERE weight >= 0.3")  # fmt: skip
    grouped = opened.query("SELECT layer, count(*) AS n, source.pos AS p FROM attention GROUP BY ALL")
    for found in (rows, grouped):
        assert not [field for field in found.to_arrow().schema if pa.types.is_unsigned_integer(field.type)]
    for dataset in (opened.attention_bounds("p0"), opened.hidden("p0"), opened.align("contact", replicates=0)):
        assert not [name for name, values in dataset.coords.items() if values.dtype in unsigned]
        for name, values in getattr(dataset, "data_vars", {}).items():
            assert values.dtype not in unsigned, name


def test_reading_arcs_is_checked_for_each_column_alone(store):
    """Counts by head read two columns and look at these."""
    put(store, "arcs.parquet", column("head", 3)(arcs_of(store)), row_group_size=10**6)
    (part,) = attnstore.open(store).model().segments
    with pytest.raises(StoreError, match="row group 0"):
        part.arcs(0.05, ("layer", "head"))


def test_an_array_says_what_it_has_to_be(sound):
    place, _ = entry(sound)
    wanted = shards.Values("uint8", (2, 3, 5), 0, 1)
    with pytest.raises(StoreError, match=r"it is uint8 \[2, 3, 277\] and has to be uint8 \[2, 3, 5\]"):
        shards.ShardedArray.open(place / "codes.zarr" / "codes", wanted)
    assert ModelDocument.read(sound / "attention" / "random").layers == 2
