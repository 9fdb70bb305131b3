"""The origin of a result: the store, the catalog, the models and their segments, the versions."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import duckdb

from ..version import __version__

if TYPE_CHECKING:
    from ..format.documents import Manifest
    from ..opened import Store


def _digest(manifest: "Manifest") -> str:
    """SHA-256 of the lines "id digest" of all segments: it changes if any byte of any of them does."""
    lines = "".join(f"{entry.id} {entry.sha256}\n" for entry in manifest.segments)
    return hashlib.sha256(lines.encode()).hexdigest()


def provenance(store: "Store", models: Iterable[str]) -> dict[str, Any]:
    """Identity of everything that a result depends on; values are text or mappings of text."""
    return {
        "store": str(store.path),
        "catalog": store.document.catalog or "",
        "catalog_sha256": store.document.catalog_sha256 or "",
        "models": {
            name: {
                "weights_sha256": store.models[name].document.weights_sha256,
                "source": store.models[name].document.source,
                "segments": len(store.models[name].manifest.segments),
                "segments_sha256": _digest(store.models[name].manifest),
            }
            for name in models
        },
        "versions": {"attnstore": __version__, "duckdb": duckdb.__version__},
    }
