"""Adding proteins and properties to a catalog."""
