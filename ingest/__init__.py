"""Sources to catalog, models to segments."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .annotate import annotate
    from .architectures.tape import convert_tape
    from .pipeline import ingest
    from .run import Interrupted, Summary

__all__ = ["Interrupted", "Summary", "annotate", "convert_tape", "ingest"]

_HOMES = {
    "Interrupted": ".run", "Summary": ".run", "annotate": ".annotate", "convert_tape": ".architectures.tape",
    "ingest": ".pipeline",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: annotating needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
