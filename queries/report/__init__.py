"""The report: every model and every property of a store on one page."""
