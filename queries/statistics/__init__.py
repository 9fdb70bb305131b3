"""From counts to shares, intervals, tests and adjusted p-values."""
