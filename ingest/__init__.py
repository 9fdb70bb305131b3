"""Sources to catalog, models to segments."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .annotation import annotate
    from .architectures.tape import convert_tape
    from .pipeline import ingest
    from .run import Interrupted, Summary
    from .store_directory import ingest_proteins

__all__ = ["Interrupted", "Summary", "annotate", "convert_tape", "ingest", "ingest_proteins"]

_HOMES = {
    "Interrupted": ".run", "Summary": ".run", "annotate": ".annotation", "convert_tape": ".architectures.tape",
    "ingest": ".pipeline", "ingest_proteins": ".store_directory",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: annotating needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
