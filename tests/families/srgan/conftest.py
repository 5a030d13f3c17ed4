"""Graph mode, as in the commands."""

from tests.training.conftest import graph_mode

__all__ = ["graph_mode"]  # an autouse fixture, for the tests of this folder too
