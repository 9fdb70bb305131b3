"""A reader of stores written from docs/format.md alone: it uses nothing of attnstore, and decodes shards by hand.

Section numbers are those of the specification.
"""

import hashlib
import json
import re
import struct
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb
import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numcodecs import blosc

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SEAL = re.compile(rb',[ \t\n\r]*"sha256":[ \t\n\r]*"([0-9a-f]{64})"[ \t\n\r]*}[ \t\n\r]*\Z')
MISSING = 2**64 - 1
DTYPES = {"uint8": np.dtype("u1"), "uint32": np.dtype("<u4"), "float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
KEEP = {"codes": "codes.zarr/codes/zarr.json", "arcs": "arcs.parquet",
        "marginals": "marginals.zarr/received/zarr.json", "hidden": "hidden.zarr/hidden/zarr.json"}  # fmt: skip
ENTRY = struct.Struct("<QQ")
CHECKSUM = struct.Struct("<I")


class RefusedError(Exception):
    """What a reader must not answer from."""


def need(condition: object, complaint: str) -> None:
    if not condition:
        raise RefusedError(complaint)


def document(path: Path, *, sealed: bool = True) -> dict[str, Any]:
    """Sections 3 and 4."""
    data = path.read_bytes()
    content = json.loads(data.decode("utf-8"))
    need(isinstance(content, dict), f"{path} is no object")
    need(type(content.get("version")) is int and content["version"] == 1, f"{path} is of another version")
    if sealed:
        seal = SEAL.search(data)
        need(seal, f"{path} is not sealed")
        assert seal
        need(hashlib.sha256(data[: seal.start()] + b"\n}\n").hexdigest().encode() == seal[1], f"{path} breaks its seal")
    return content


def checked_name(name: str) -> str:
    need(NAME.fullmatch(name), f"{name} is no name")
    return name


def checked(data: bytes, what: str) -> bytes:
    """Content before a CRC-32C at its end."""
    content, (checksum,) = data[: -CHECKSUM.size], CHECKSUM.unpack(data[-CHECKSUM.size :])
    need(google_crc32c.value(content) == checksum, f"{what} fails its checksum")
    return content


def edges_of(patterns: list[str]) -> np.ndarray:
    """Section 7.1."""
    need(all(re.fullmatch("[0-9a-f]{8}", pattern) for pattern in patterns), "an edge is no bit pattern")
    bits = np.array([int(pattern, 16) for pattern in patterns], "<u4")
    edges = bits.view("<f4")
    need(1 <= edges.size <= 254 and edges[0] > 0 and edges[-1] <= 1, "the edges are not 1 to 254 within (0, 1]")
    need((np.diff(edges) > 0).all() and (np.diff(bits >> 15) > 0).all(), "the edges do not increase")
    return edges


def code_of(edges: np.ndarray, weight: float) -> int:
    """Section 7.2."""
    return int((edges <= np.float32(weight)).sum())


class ZarrArray:
    """Section 9.3, codecs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.metadata = json.loads((directory / "zarr.json").read_bytes())
        need(self.metadata["zarr_format"] == 3 and self.metadata["node_type"] == "array", "no Zarr v3 array")
        self.dtype = DTYPES[self.metadata["data_type"]]
        self.shape = tuple(self.metadata["shape"])
        grid, key = self.metadata["chunk_grid"], self.metadata["chunk_key_encoding"]
        need(grid["name"] == "regular", "the chunk grid is not regular")
        need((key["name"], key["configuration"]["separator"]) == ("default", "/"), "another key encoding")
        self.shard = tuple(grid["configuration"]["chunk_shape"])
        (sharding,) = self.metadata["codecs"]
        need(sharding["name"] == "sharding_indexed", "the array is not sharded")
        options = sharding["configuration"]
        self.chunk = tuple(options["chunk_shape"])
        need(options["index_location"] == "end", "the index is not at the end")
        need([codec["name"] for codec in options["index_codecs"]] == ["bytes", "crc32c"], "another index")
        need(options["index_codecs"][0]["configuration"] == {"endian": "little"}, "another byte order")
        self.chain = options["codecs"]
        self.compressor = self.chain[1]["name"]
        need([codec["name"] for codec in self.chain] == ["bytes", self.compressor, "crc32c"], "another codec chain")
        need(self.compressor == ("zstd" if self.dtype.itemsize == 1 else "blosc"), "another compressor")
        self.counts = tuple(shard // chunk for shard, chunk in zip(self.shard, self.chunk, strict=True))

    def inner(self, shard: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
        """One inner chunk, by its place in its shard."""
        path = self.directory.joinpath("c", *map(str, shard))
        data = path.read_bytes()
        size = ENTRY.size * int(np.prod(self.counts))
        need(len(data) >= size + CHECKSUM.size, f"{path} is too short")
        index = checked(data[-size - CHECKSUM.size :], f"the index of {path}")
        number = int(np.ravel_multi_index(place, self.counts))
        offset, length = ENTRY.unpack_from(index, number * ENTRY.size)
        need(MISSING not in (offset, length), f"{path} lacks chunk {place}")
        content = checked(data[offset : offset + length], f"chunk {place} of {path}")
        return np.frombuffer(self._decompressed(content), self.dtype).reshape(self.chunk)

    def _decompressed(self, content: bytes) -> bytes:
        size = int(np.prod(self.chunk)) * self.dtype.itemsize
        if self.compressor == "zstd":
            return pa.Codec("zstd").decompress(content, decompressed_size=size, asbytes=True)
        decoded = bytes(blosc.decompress(content))
        need(len(decoded) == size, "a chunk has another size")
        return decoded

    def read(self) -> np.ndarray:
        grid = tuple(-(-size // shard) for size, shard in zip(self.shape, self.shard, strict=True))
        whole = np.empty([count * shard for count, shard in zip(grid, self.shard, strict=True)], self.dtype)
        for shard in np.ndindex(grid):
            for place in np.ndindex(self.counts):
                begin = [
                    s * size + p * chunk for s, size, p, chunk in zip(shard, self.shard, place, self.chunk, strict=True)
                ]
                at = tuple(slice(b, b + chunk) for b, chunk in zip(begin, self.chunk, strict=True))
                whole[at] = self.inner(shard, place)
        return whole[tuple(map(slice, self.shape))]


class FormatSegment:
    """Section 9."""

    def __init__(self, model: "FormatModel", entry: dict[str, Any]) -> None:
        self.model, self.entry = model, entry
        self.directory = model.directory / "segments" / checked_name(entry["id"])
        sealed = (self.directory / "segment.json").read_bytes()
        need(hashlib.sha256(sealed).hexdigest() == entry["sha256"], "segment.json is not the manifest's")
        self.files = document(self.directory / "segment.json", sealed=False)["files"]
        for relative, recorded in self.files.items():
            parts = PurePosixPath(relative)
            need(not parts.is_absolute() and ".." not in parts.parts, f"{relative} is outside")
            path = self.directory / relative
            need(path.is_file() and path.stat().st_size == recorded["bytes"], f"{path} has another size")
            if recorded["bytes"] <= 65536:
                need(hashlib.sha256(path.read_bytes()).hexdigest() == recorded["sha256"], f"{path} is damaged")
            elif relative.endswith(".parquet"):
                self.check_part(relative, -1)
        held = [what for what, file in KEEP.items() if file in self.files]
        need(held == model.document["keep"], f"{self.directory} does not hold what model.json says")

    def check_part(self, name: str, number: int) -> None:
        """Section 9.1: the digest of a row group or, by -1, of the footer."""
        offset, size, sha256 = self.files[name]["parts"][number]
        data = (self.directory / name).read_bytes()[offset : offset + size]
        need(hashlib.sha256(data).hexdigest() == sha256, f"part {number} of {name} does not have its digest")

    @cached_property
    def proteins(self) -> list[dict[str, Any]]:
        return self.table("proteins.parquet").to_pylist()

    @cached_property
    def arcs(self) -> pa.Table:
        return self.table("arcs.parquet")

    def table(self, name: str) -> pa.Table:
        for number in range(-1, len(self.files[name]["parts"]) - 1):  # the footer first
            self.check_part(name, number)
        return self.pages(name)

    def pages(self, name: str) -> pa.Table:
        """A Parquet file by its own checksums alone."""
        try:
            with pq.ParquetFile(self.directory / name, page_checksum_verification=True) as file:
                return file.read()
        except (OSError, pa.ArrowException) as error:
            raise RefusedError(str(error)) from error

    def array(self, name: str) -> ZarrArray:
        return ZarrArray(self.directory / name)

    def code(self, layer: int, head: int, protein: int, source: int, target: int) -> int:
        """One entry, through one inner chunk."""
        row = self.proteins[protein]
        pair = row["pair_offset"] + target * row["stored"] + source
        codes = self.array("codes.zarr/codes")
        k = codes.chunk[2]
        chunk = codes.inner((layer, 0, 0), (0, head, pair // k))
        code = int(chunk[0, 0, pair % k])
        need(code <= self.model.edges.size, "a code is missing")
        return code

    def hidden(self) -> np.ndarray:
        values = self.array("hidden.zarr/hidden").read()
        need(not np.isnan(values).any(), "hidden representations are missing")
        return values

    def marginal(self, name: str) -> np.ndarray:
        values = self.array(f"marginals.zarr/{name}").read()
        need(not np.isnan(values).any(), f"{name} is missing")
        return values


class FormatModel:
    """Section 8."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.document = document(directory / "model.json")
        need(checked_name(self.document["name"]) == directory.name, "model.json describes another model")
        keep = self.document["keep"]
        need(
            keep == [what for what in KEEP if what in keep] and keep not in ([], ["hidden"]), "keep is not a list of it"
        )
        self.edges = edges_of(self.document["codebook"])
        manifest, segments = directory / "manifest.json", directory / "segments"
        if manifest.exists() or (segments.is_dir() and any(segments.iterdir())):
            self.manifest = document(manifest)
        else:
            self.manifest = {"segments": [], "skipped": []}

    @cached_property
    def segments(self) -> list[FormatSegment]:
        return [FormatSegment(self, entry) for entry in self.manifest["segments"]]

    def find(self, protein: str) -> tuple[FormatSegment, int]:
        for segment in self.segments:
            for row in segment.proteins:
                if row["id"] == protein:
                    return segment, row["protein"]
        raise KeyError(protein)


class FormatReader:
    """Sections 5, 6 and 10.5."""

    def __init__(self, store: Path) -> None:
        self.path = store
        self.document = document(store / "store.json")
        need(self.document["format"] == "attnstore", "another format")
        places = sorted((store / "attention").iterdir()) if (store / "attention").is_dir() else []
        self.models = {
            place.name: FormatModel(place)
            for place in places
            if (place / "model.json").exists() or (place / "manifest.json").exists()
        }
        self.document = document(store / "store.json")

    @property
    def catalog_path(self) -> Path:
        path = self.path / checked_name(self.document["catalog"])
        if not path.exists():  # two or more were published meanwhile
            self.document = document(self.path / "store.json")
            path = self.path / checked_name(self.document["catalog"])
        need(path.exists(), f"{path} is missing")
        return path

    def catalog(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.catalog_path), read_only=True) as connection:
            return connection.execute(statement).fetchall()
