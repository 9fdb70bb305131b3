"""Readers of files: sequences, structures, tables, databases. No torch."""
