"""RRDB: ESRGAN's generator, SRDiff's encoder."""
