"""Sources to catalog, models to segments."""

from .architectures.tape import convert_tape
from .pipeline import ingest
from .run import Interrupted, Summary

__all__ = ["Interrupted", "Summary", "convert_tape", "ingest"]
