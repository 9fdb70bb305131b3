"""The catalog: proteins, residues and their properties, in DuckDB."""
