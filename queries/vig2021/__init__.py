"""The experiment of Vig et al. 2021 as a recipe: ingest, questions, and comparison with the published results."""

from .recipe import vig2021
from .reproduction import Reproduction

__all__ = ["Reproduction", "vig2021"]
