"""Stores with chosen or random attention, made without a model, to test code that is built on attnstore."""

from .stores import add_model, make_store
from .synthetic_protein import SyntheticProtein, random_proteins

__all__ = ["SyntheticProtein", "add_model", "make_store", "random_proteins"]
