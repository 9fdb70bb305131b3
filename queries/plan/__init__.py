"""Trees to plans: what is read, and whether the answer is exact."""
