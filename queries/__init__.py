"""Questions to plans, plans to statistics."""

from .align import align
from .result import Alignment

__all__ = ["Alignment", "align"]
