"""Sources to catalog, models to segments."""

from .pipeline import Summary, ingest

__all__ = ["Summary", "ingest"]
