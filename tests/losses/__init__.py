"""Tests of src/losses."""
