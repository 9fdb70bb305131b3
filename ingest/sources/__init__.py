"""Readers of protein files."""
