"""Questions to plans, plans to statistics."""

from .align import align
from .alignment import Alignment

__all__ = ["Alignment", "align"]
