"""Graph mode, as in the commands; mindspore alone would start in PyNative mode."""

import mindspore as ms
import pytest


@pytest.fixture(autouse=True)
def graph_mode():
    """Switch to graph mode for the test."""
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=before)
