"""Names and versions of the files in a store, and the documents that describe a model's part of it.

``docs/format.md`` is the specification; this module implements it. Documents are frozen dataclasses that are written to
JSON and read from it; unknown versions are refused.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import StoreError
from ..runtime.durable import check_folder, json_bytes, parse_json, read_bytes, replace_json, sha256_bytes
from .codebook import Codebook

FORMAT = "attnstore"
VERSION = 1

STORE_FILE = "store.json"
MODEL_FILE = "model.json"
PLAN_FILE = "plan.json"
MANIFEST_FILE = "manifest.json"
SEGMENT_FILE = "segment.json"

ATTENTION = "attention"
SEGMENTS = "segments"

#: The tiers that a model's segments can contain, in the order of documents; at least one of the first three is present.
KEEP = ("codes", "arcs", "marginals", "hidden")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def checked_name(name: str, what: str) -> str:
    """Check a name that may become the name of a directory: letters, digits, dot, underscore and hyphen.

    Raises
    ------
    StoreError
        If it is anything else; names read from documents are checked here before they are used in a path.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{what} {name!r} cannot be used: use up to 100 letters, digits, '.', '_' and '-', "
            "starting with a letter or a digit."
        )
    return name


def check_folders(store: Path) -> None:
    """Raise StoreError if a folder of a store, down to those of segments, is a link or not a folder.

    With a link, a reader could read files that are not the store's, and a writer could clear or fill another folder.
    """
    attention = store / ATTENTION
    check_folder(attention)
    for model in sorted(attention.iterdir()) if attention.is_dir() else ():
        if model.is_symlink():
            check_folder(model)
        check_folder(model / SEGMENTS)


def check_version(content: Mapping[str, Any], path: Path) -> None:
    """Raise StoreError unless a document is of a format version that this code reads."""
    version = content.get("version")
    if type(version) is not int or version < 1:
        raise StoreError(f"{path} is damaged: it has no version number.")
    if version > VERSION:
        raise StoreError(
            f"{path} is of format version {version}, newer than the {VERSION} that this attnstore reads: "
            "upgrade attnstore."
        )


#: The last member of a document: the SHA-256 of the text before it, closed by a line feed, a brace and a line feed.
_SEAL = re.compile(rb',\s*"sha256"\s*:\s*"([0-9a-f]{64})"\s*}\s*$')


def read_document(path: Path, what: str, check: Callable[[dict[str, Any]], None] = lambda _: None) -> dict[str, Any]:
    """Read the content of a document that :func:`write_document` wrote.

    Raises
    ------
    StoreError
        If it is missing, newer, damaged, or does not pass `check`, which runs before version and seal are looked at.
    """
    data = read_bytes(path, what)
    content = parse_json(data, path, what)
    check(content)
    check_version(content, path)
    seal = _SEAL.search(data)
    if seal is None or seal[1].decode() != sha256_bytes(data[: seal.start()] + b"\n}\n"):
        raise StoreError(f"{path} is damaged: it does not have the digest it was written with.")
    del content["sha256"]
    return content


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a document; it contains its version, and the digest of everything in it except that digest."""
    content = {"version": VERSION, **content}
    replace_json(path, {**content, "sha256": sha256_bytes(json_bytes(content))})


@dataclass(frozen=True)
class StoreDocument:
    """``store.json``: names the current catalog. It is replaced last, so it never names an unfinished one.

    Attributes
    ----------
    catalog : str or None
        File name of the current catalog; None before the first.
    catalog_sha256 : str or None
        Digest of that file.
    proteins, residues : int
        Numbers of them in the catalog.
    """

    catalog: str | None = None
    catalog_sha256: str | None = None
    proteins: int = 0
    residues: int = 0

    @classmethod
    def read(cls, store: Path) -> "StoreDocument":
        """Read and check; raises StoreError if the directory is not a store this version can read."""
        path = store / STORE_FILE
        if not os.path.lexists(path):
            if not store.exists():
                raise StoreError(
                    f"{store} does not exist: "
                    f"`attnstore.ingest.ingest({str(store)!r}, [INPUT], model=MODEL)` makes one."
                )
            raise StoreError(f"{store} is not an attnstore store: it has no {STORE_FILE}.")
        check_folders(store)

        def check(content: dict[str, Any]) -> None:
            if content.get("format") != FORMAT:
                raise StoreError(f"{store} is not an attnstore store: {STORE_FILE} names another format.")

        content = read_document(path, "the store's description", check)
        catalog = content.get("catalog")
        if isinstance(catalog, str):
            checked_name(catalog, "catalog")
        proteins, residues = content.get("proteins"), content.get("residues")
        for name in ("catalog", "catalog_sha256"):
            if not isinstance(content.get(name), str if catalog is not None else type(None)):
                raise StoreError(f"{path} is damaged: {name} is {content.get(name)!r}.")
        if not _is_count(proteins) or not _is_count(residues):
            raise StoreError(f"{path} is damaged: proteins and residues are {proteins!r} and {residues!r}.")
        return cls(catalog, content["catalog_sha256"], proteins, residues)

    def write(self, store: Path) -> None:
        """Replace ``store.json``."""
        write_document(store / STORE_FILE, {"format": FORMAT, **asdict(self)})


def _is_count(value: object, least: int = 0) -> TypeGuard[int]:
    """Whether a value is an integer, not a boolean, that fits a column of integers."""
    return type(value) is int and least <= value < 1 << 63


def check_keep(keep: tuple[str, ...]) -> None:
    """Raise ValueError unless the value lists tiers of ``KEEP``, in its order, with at least one of attention."""
    if keep != tuple(what for what in KEEP if what in keep) or not set(keep) & {"codes", "arcs", "marginals"}:
        raise ValueError(f"keep is {', '.join(map(str, keep)) or 'nothing'}")


def lacking(model: str, kept: tuple[str, ...], what: str) -> str:
    """Say that a model did not keep a tier, for messages."""
    return f"model {model} was ingested without {what} (it keeps {', '.join(kept)})"


def ingest_with(kept: tuple[str, ...], what: str) -> str:
    """Say what to do about it: a model in a store keeps the tiers with which it was first ingested."""
    keep = [one for one in KEEP if one in (*kept, what)]
    return f"ingest again with `attnstore.ingest.ingest(store.path, model=MODEL, name=NAME, keep={keep!r})`"


@lru_cache(maxsize=64)
def _codebook(patterns: tuple[str, ...]) -> Codebook:
    """One object for all documents of the same edges: a codebook keeps the tables that it looks codes up in."""
    return Codebook.from_json(patterns)


@dataclass(frozen=True)
class ModelDocument:
    """``model.json``: the model and how its attention is stored; never changes once written.

    Attributes
    ----------
    name : str
        Name of the model in the store.
    source : str
        Hub id or path it was loaded from.
    weights_sha256 : str
        Digest of every parameter's name, shape and bytes.
    architecture : str
        Name of its class.
    layers, heads : int
        Numbers of them.
    causal : bool
        Whether residues attend only to themselves and earlier residues.
    tokenizer : mapping of str to object
        Class name, the tokens before and after the residues, whether letters are separated by spaces.
    precision : str
        Precision of the matrix products; the softmax is always float32.
    randomize : str or None
        'weights' or 'sequence': what is random in a null model; None in any other.
    seed : int or None
        Seed of the random part; None where nothing is random.
    max_residues : int
        Longer proteins are truncated to it or skipped.
    long : str
        'truncate' or 'skip'.
    keep : tuple of str
        Tiers of ``KEEP`` in the segments, in its order.
    batch_pairs, segment_entries : int
        Settings of the plan: budget of a batch in residues², entries of a segment.
    arc_floor : float
        Weights at or above it are kept as arcs.
    chunk_pairs : int
        Pairs of one head in a chunk of codes.
    codebook : tuple of str
        Edges as float32 bit patterns.
    check : float
        Largest difference between captured attention and the model's own, on a probe.
    versions : mapping of str to str
        Versions of the packages that wrote it.
    """

    name: str
    source: str
    weights_sha256: str
    architecture: str
    layers: int
    heads: int
    causal: bool
    tokenizer: Mapping[str, Any]
    precision: str
    randomize: str | None
    seed: int | None
    max_residues: int
    long: str
    keep: tuple[str, ...]
    batch_pairs: int
    segment_entries: int
    arc_floor: float
    chunk_pairs: int
    codebook: tuple[str, ...]
    check: float
    versions: Mapping[str, str] = field(default_factory=dict)

    #: Fields that may differ between two runs that write to the same model of a store.
    FREE = ("source", "check", "versions")

    @classmethod
    def read(cls, directory: Path) -> "ModelDocument":
        """Read and check; raises StoreError."""
        path = directory / MODEL_FILE
        content = read_document(path, f"model {directory.name}")
        content.pop("version")
        missing = [each.name for each in fields(cls) if each.default_factory is MISSING and each.name not in content]
        if missing:
            raise StoreError(f"{path} is damaged: it does not say {', '.join(missing)}.")
        try:
            content["codebook"], content["keep"] = tuple(content["codebook"]), tuple(content["keep"])
            document = cls(**content)
            document._check()
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StoreError(f"{path} is damaged: {error}.") from None
        if checked_name(document.name, "model") != directory.name:
            raise StoreError(f"{path} is damaged: it describes model {document.name}.")
        return document

    def write(self, directory: Path) -> None:
        """Write ``model.json``."""
        write_document(directory / MODEL_FILE, asdict(self))

    def _check(self) -> None:
        """Raise ValueError unless every member has its type and is within the limits of the format."""
        for each in fields(self):
            value = getattr(self, each.name)
            if not _MEMBERS[each.name](value):
                raise ValueError(f"{each.name} is {str(value)[:100]!r}")
        check_keep(self.keep)
        if self.layers * self.heads * self.edges.size > _LARGEST_ARRAY:
            raise ValueError(f"it has {self.layers} layers of {self.heads} heads")

    @property
    def edges(self) -> Codebook:
        """The codebook."""
        return _codebook(self.codebook)

    @property
    def weights_seed(self) -> int | None:
        """Seed of random weights; None where the weights are the model's own."""
        return self.seed if self.randomize == "weights" else None

    def difference(self, other: "ModelDocument") -> str | None:
        """The first setting in which two runs differ, in words; None if they can write to the same model."""
        mine, theirs = asdict(self), asdict(other)
        for key in mine:
            if key not in self.FREE and mine[key] != theirs[key]:
                return f"{key} was {_shown(mine[key])} and is {_shown(theirs[key])}"
        return None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


#: Most bytes that Blosc compresses at once, from which the limits of the format follow.
_LARGEST_ARRAY = 2**29 - 5

#: For each member of ``model.json``, whether a value is possible.
_MEMBERS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("name", "source", "weights_sha256", "architecture"), _is_text),
    "layers": lambda value: _is_count(value, 1) and value <= 1 << 16,
    "heads": lambda value: _is_count(value, 1) and value <= 1 << 16,
    "causal": lambda value: isinstance(value, bool),
    "tokenizer": lambda value: isinstance(value, dict),
    "precision": lambda value: value in ("float32", "bfloat16", "float16"),
    "randomize": lambda value: value in (None, "weights", "sequence"),
    "seed": lambda value: value is None or (type(value) is int and abs(value) < 1 << 64),
    "long": lambda value: value in ("truncate", "skip"),
    "keep": lambda value: all(map(_is_text, value)),
    **dict.fromkeys(
        ("max_residues", "batch_pairs", "segment_entries", "chunk_pairs"), lambda value: _is_count(value, 1)
    ),
    "arc_floor": lambda value: _is_number(value) and 0 < value <= 1,
    "codebook": lambda value: all(map(_is_text, value)),
    "check": _is_number,
    "versions": lambda value: isinstance(value, dict),
}


def _shown(value: Any) -> Any:
    return ",".join(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class SegmentEntry:
    """A committed segment as the manifest lists it.

    Attributes
    ----------
    id : str
        Directory name, unique to the attempt that wrote it.
    number : int
        Number of the segment in the plan.
    sha256 : str
        Digest of its ``segment.json``, which contains those of its files.
    proteins, residues, pairs, arcs : int
        Counts; arcs is 0 if they are not kept.
    bytes : int
        Size of all its files.
    """

    id: str
    number: int
    sha256: str
    proteins: int
    residues: int
    pairs: int
    arcs: int
    bytes: int

    def check(self) -> None:
        """Raise ValueError or StoreError unless every member is possible."""
        if not _is_text(self.id) or not _is_text(self.sha256):
            raise ValueError(f"a segment has the id {self.id!r}")
        checked_name(self.id, "segment")
        for name in ("number", "proteins", "residues", "pairs", "arcs", "bytes"):
            if not _is_count(getattr(self, name)):
                raise ValueError(f"{name} of segment {self.id} is {getattr(self, name)!r}")


@dataclass(frozen=True)
class Skipped:
    """A protein that was skipped for a model, and the reason."""

    protein: str
    reason: str

    def check(self) -> None:
        """Raise ValueError unless both are text."""
        if not _is_text(self.protein) or not _is_text(self.reason):
            raise ValueError(f"a skipped protein is {self.protein!r}")


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``: the committed segments, and the proteins skipped. Other segments are ignored."""

    segments: tuple[SegmentEntry, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def total(self, count: str) -> int:
        """Sum of 'proteins', 'residues', 'pairs', 'arcs' or 'bytes' over the committed segments."""
        return sum(getattr(entry, count) for entry in self.segments)

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read and check; raises StoreError. A model without manifest and segments has nothing committed."""
        path = directory / MANIFEST_FILE
        segments = directory / SEGMENTS
        # The manifest is written before the first segment: if it is lost, the segments are not garbage.
        if not path.exists() and not (segments.is_dir() and any(segments.iterdir())):
            return cls()
        content = read_document(path, f"the manifest of model {directory.name}")
        try:
            listed = tuple(SegmentEntry(**entry) for entry in content["segments"])
            skipped = tuple(Skipped(**entry) for entry in content["skipped"])
            for segment in listed:
                segment.check()
            for entry in skipped:
                entry.check()
            if len({segment.id for segment in listed}) < len(listed):
                raise ValueError("it lists a segment twice")
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path} is damaged: {error}.") from None
        return cls(listed, skipped)

    def write(self, directory: Path) -> None:
        """Replace ``manifest.json``: the moment at which segments become visible."""
        write_document(directory / MANIFEST_FILE, asdict(self))
