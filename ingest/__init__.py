"""From inputs to the catalog, and from models to segments."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..annotate.annotation import annotate
    from ..annotate.store_directory import ingest_proteins
    from .model.architectures.tape import convert_tape
    from .pipeline import ingest
    from .run import Interrupted, Summary

__all__ = ["Interrupted", "Summary", "annotate", "convert_tape", "ingest", "ingest_proteins"]

_HOMES = {
    "Interrupted": "attnstore.ingest.run",
    "Summary": "attnstore.ingest.run",
    "annotate": "attnstore.annotate.annotation",
    "convert_tape": "attnstore.ingest.model.architectures.tape",
    "ingest": "attnstore.ingest.pipeline",
    "ingest_proteins": "attnstore.annotate.store_directory",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: annotating needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
