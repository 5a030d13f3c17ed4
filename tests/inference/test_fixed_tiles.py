"""Tiles of one size, for graphs that are compiled for it: what an Ascend runs."""

import numpy as np
import pytest

from src.build import load
from src.errors import UserError
from src.inference.tile_size import FixedTiling, TileOptions, Tiling

SIZES = ((5, 9), (16, 12), (20, 31))  # below a tile of 64 pixels, one, and several


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_pictures_of_any_size_compile_once_and_are_those_of_free_sizes(system, tiny_checkpoints, photo):
    fixed, free = (
        load(tiny_checkpoints[system], "CPU", runtime="mindspore", tile_options=options)[1]
        for options in (TileOptions(tile=64, halo=16, fixed=True), None)
    )
    graphs = [fixed.networks.graph] if system == "rrdb" else [fixed.networks._encode, fixed.networks._denoise]
    for height, width in SIZES:
        lr = [photo[100 : 100 + height, 200 : 200 + width], photo[300 : 300 + height, 200 : 200 + width]]
        ours, theirs = (np.array(up.upscale(lr, seeds=[1, 2])).astype(float) for up in (fixed, free))
        assert ours.shape == (2, 4 * height, 4 * width, 3)
        assert np.abs(ours - theirs).mean() < 4  # mirrored, or blended at the seams: not the same
        assert [len(graph.cell.compile_cache) for graph in graphs] == [1] * len(graphs)


def test_an_ascend_has_them_unless_another_size_is_asked_for():
    assert TileOptions().on("Ascend", local=True).fixed
    assert not TileOptions().on("GPU", local=True).fixed
    assert not TileOptions().on("Ascend", local=False).fixed  # attention looks at the whole picture
    assert not TileOptions(tile=0).on("Ascend", local=True).fixed
    assert not TileOptions(max_memory=4).on("Ascend", local=True).fixed
    assert not TileOptions(fixed=False).on("Ascend", local=True).fixed
    assert TileOptions(fixed=True).on("GPU", local=True).fixed


def test_their_size_is_512_or_that_of_the_tile():
    assert FixedTiling.of(4, 16, TileOptions(fixed=True)).size == (128, 128)
    assert FixedTiling.of(4, 16, TileOptions(tile=200, fixed=True)).size == (48, 48)
    with pytest.raises(UserError, match="leaves nothing between halos of 32"):
        FixedTiling.of(4, 16, TileOptions(tile=64, fixed=True))


@pytest.mark.parametrize("options", [{"tile": 0}, {"max_memory": 4}, {"halo": "exact"}])
def test_options_that_mean_another_size_are_refused(options):
    with pytest.raises(UserError, match="--fixed-tiles are of the size --tile: leave"):
        TileOptions(fixed=True, **options)


def test_an_export_of_free_sizes_takes_them_too(tiny_checkpoints, photo):
    options = TileOptions(tile=64, halo=16, fixed=True)
    up, own = (load(tiny_checkpoints["srdiff"], "CPU", tile_options=each)[1] for each in (options, None))
    assert isinstance(up.tiling, FixedTiling) and isinstance(own.tiling, Tiling)
    (one,), (two,) = (each.upscale([photo[100:120, 200:231]], seeds=[1]) for each in (up, own))
    assert np.abs(one.astype(float) - two).mean() < 4
