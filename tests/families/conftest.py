"""Conversions in tests of the families."""

import functools

import pytest

from src.commands import convert


@pytest.fixture(autouse=True, scope="session")
def networks_are_asked_once():
    """Build the network of a configuration once for all conversions, which look at its parameters' shapes alone."""
    patch = pytest.MonkeyPatch()
    patch.setattr(convert, "shapes_of", functools.cache(convert.shapes_of))
    yield
    patch.undo()
