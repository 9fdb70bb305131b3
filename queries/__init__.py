"""Questions to plans, plans to statistics."""
