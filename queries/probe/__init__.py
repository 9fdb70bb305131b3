"""Linear probes of what representations and attention tell, layer by layer."""
