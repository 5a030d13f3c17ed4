"""Weights of other frameworks, read without them and renamed to ours."""
