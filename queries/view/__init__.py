"""Pictures of one protein: its matrix, its arcs, its structure."""
