"""SRDiff."""
