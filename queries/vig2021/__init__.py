"""Published experiments as recipes: ingest, questions, and the measured beside the published."""

from .recipe import vig2021
from .reproduction import Reproduction

__all__ = ["Reproduction", "vig2021"]
