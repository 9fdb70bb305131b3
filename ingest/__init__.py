"""Sources to catalog, models to segments."""
