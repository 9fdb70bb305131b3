"""UniProt's entries, XML or flat text."""
