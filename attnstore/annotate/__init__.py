"""Proteins and properties into a catalog."""
