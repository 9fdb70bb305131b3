"""From files and a model to a store: `ingest` runs a model over proteins, `ingest_proteins` reads proteins alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..annotate.store_directory import ingest_proteins
    from .model.tape_model import convert_tape
    from .pipeline import ingest
    from .run import Interrupted, Summary

__all__ = ["Interrupted", "Summary", "convert_tape", "ingest", "ingest_proteins"]

_HOMES = {
    "Interrupted": "attnstore.ingest.run",
    "Summary": "attnstore.ingest.run",
    "convert_tape": "attnstore.ingest.model.tape_model",
    "ingest": "attnstore.ingest.pipeline",
    "ingest_proteins": "attnstore.annotate.store_directory",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: reading proteins needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
