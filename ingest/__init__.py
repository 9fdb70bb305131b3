"""Sources to catalog, models to segments."""

from .pipeline import ingest, resume
from .run import Interrupted, Summary

__all__ = ["Interrupted", "Summary", "ingest", "resume"]
