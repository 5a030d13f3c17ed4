"""Exports that several files of this folder look at, each written once."""

import functools

import pytest

from tests.export import models

KINDS = {  # name: the model, and how it is exported
    "step": ("srdiff folded", {}),
    "one size": ("srdiff folded", {"size": (16, 12)}),
    "sampler": ("srdiff folded", {"cut": "sampler", "size": (16, 12)}),
    "whole": ("rrdb nearest", {"consistency": True}),
}


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """``exports(name)`` is the folder of one of :data:`KINDS`, as m.onnx (or m.mindir); not to be changed."""
    folder = tmp_path_factory.mktemp("exports")

    @functools.cache
    def checkpoint(model):
        return models.checkpoint(folder / f"{model}.ckpt", model)

    @functools.cache
    def exports(name, kind="onnx"):
        model, options = KINDS[name]
        return models.write(checkpoint(model), folder / f"{name} {kind}" / f"m.{kind}", **options)[0].parent

    return exports
