"""Readers of files that people have: sequences, structures, tables, databases. No torch."""
