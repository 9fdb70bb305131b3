"""Linear probes: how much of a property can be read off representations and attention, layer by layer."""
