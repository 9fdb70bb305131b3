"""Plans to numbers: a task a segment."""
