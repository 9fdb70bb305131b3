"""Questions about attention: SQL, alignment, contacts, probes, reports and views."""
