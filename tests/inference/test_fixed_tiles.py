"""Tiles of one size, for graphs that are compiled for it: what an Ascend runs."""

import numpy as np
import pytest

from src.build import load
from src.cli import export
from src.errors import UserError
from src.host.device import select_device
from src.inference.tile_size import FixedTiling, TileOptions, Tiling
from tests import tiny_sr3

SIZES = ((16, 16), (5, 9), (20, 31))  # one tile of 64 pixels, less, and several


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
        # the very same picture, or one that is mirrored, or blended at the seams
        assert np.abs(ours - theirs).max() <= 1 if (height, width) == (16, 16) else np.abs(ours - theirs).mean() < 4
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
    with pytest.raises(UserError, match="leaves nothing between halos of 48"):
        FixedTiling.of(4, 16, TileOptions(tile=64, fixed=True))


def test_a_checkpoint_on_an_ascend_has_them_and_its_export_is_compared_without(
    tiny_checkpoints, tmp_path, monkeypatch, capsys
):
    select_device("CPU")
    for module in ("src.build", "src.commands.export"):
        monkeypatch.setattr(f"{module}.select_device", lambda *_: "Ascend")
    monkeypatch.setattr("src.build.is_cpu", lambda device: False)
    _, up = load(tiny_checkpoints["rrdb"])
    assert isinstance(up.tiling, FixedTiling) and up.tiling.size == (128, 128)
    words = ["export.py", "--checkpoint", tiny_checkpoints["rrdb"], "--output", tmp_path / "m.mindir"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    export.main()
    assert "largest deviation" in capsys.readouterr().out and (tmp_path / "m.mindir").is_file()


def test_pictures_from_nothing_have_none(tmp_path):
    path = tiny_sr3.checkpoint(tmp_path / "w.ckpt", *tiny_sr3.UNCONDITIONAL)
    with pytest.raises(UserError, match="--fixed-tiles are for models that enlarge pictures"):
        load(path, "CPU", runtime="mindspore", tile_options=TileOptions(fixed=True))


@pytest.mark.parametrize("options", [{"tile": 0}, {"max_memory": 4}])
def test_options_that_mean_another_size_are_refused(options):
    with pytest.raises(UserError, match="--fixed-tiles are of the size --tile: leave"):
        TileOptions(fixed=True, **options)


def test_an_export_of_free_sizes_takes_them_too(tiny_checkpoints, photo):
    options = TileOptions(tile=64, halo=16, fixed=True)
    up, own = (load(tiny_checkpoints["srdiff"], "CPU", tile_options=each)[1] for each in (options, None))
    assert isinstance(up.tiling, FixedTiling) and isinstance(own.tiling, Tiling)
    (one,), (two,) = (each.upscale([photo[100:120, 200:231]], seeds=[1]) for each in (up, own))
    assert np.abs(one.astype(float) - two).mean() < 4
