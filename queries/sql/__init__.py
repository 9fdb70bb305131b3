"""A statement or clause to trees: what is asked."""
