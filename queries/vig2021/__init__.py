"""Published experiments as recipes: ingest, questions, and the measured beside the published."""

from .recipe import Reproduction, vig2021

__all__ = ["Reproduction", "vig2021"]
