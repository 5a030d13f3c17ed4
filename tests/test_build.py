"""From a configuration or a file to objects."""

import json
import math
import os

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.build import load_model, load_upscaler
from src.errors import UserError
from src.families.registry import family_of
from src.inference import tile_size
from src.inference.tile_size import TileOptions
from src.weights.checkpoint import load_checkpoint, save_model
from tests import tiny


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_parameters_are_named_by_their_part(tiny_checkpoints, system):
    names = load_checkpoint(tiny_checkpoints[system]).arrays.keys()
    parts = {name.split(".")[0] for name in names}
    assert parts == ({"encoder"} if system == "rrdb" else {"encoder", "unet"})


def test_stage_1s_names_are_stage_2s():
    encoder = {p.name: p.shape for p in family_of(tiny.config("rrdb")).model().get_parameters()}
    whole = {p.name: p.shape for p in family_of(tiny.config("srdiff")).model().get_parameters()}
    assert encoder.items() <= whole.items()


def test_a_checkpoint_comes_back(tiny_checkpoints):
    config, model = load_model(tiny_checkpoints["srdiff"])
    arrays = load_checkpoint(tiny_checkpoints["srdiff"]).arrays
    assert config == tiny.config("srdiff")
    for parameter in model.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), arrays[parameter.name])


@pytest.mark.parametrize(("fold", "levels", "multiple"), [(1, "[1,2,3,4]", 8), (4, "[1,2,2]", 16), (4, "[1]", 4)])
def test_sizes_are_multiples_of_what_the_levels_divide(fold, levels, multiple):
    settings = f"unet.space_to_depth={fold}", f"unet.multipliers={levels}"
    config = tiny.config("srdiff", None, *settings)
    assert family_of(config).size_multiple == family_of(config).model().unet.size_multiple == multiple
    assert family_of(tiny.config("rrdb")).size_multiple == 4


@pytest.mark.parametrize("name", ["missing.ckpt", "missing.mindir", "missing.pth", "missing"])
def test_no_model(tmp_path, name):
    with pytest.raises(UserError, match=f"no model at .*{name}: name a .ckpt from train.py"):
        load_upscaler(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w", "w.ckpt.bak"])
def test_another_kind_of_file(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="is neither a .ckpt nor a .mindir or .onnx file"):
        load_upscaler(tmp_path / name, "CPU")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no checkpoint at"),
        (b"", "not a whole MindSpore checkpoint"),
        (b"PK\x03\x04" + bytes(100), "of another kind .PyTorch files are read by convert.py"),
    ],
)
def test_a_checkpoint_that_is_none(tmp_path, content, message):
    path = tmp_path / "w.ckpt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_upscaler(path, "CPU")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the configuration inside .* is not JSON"),
        ("[]", "the configuration inside"),
        ('{"sytem": "rrdb"}', "unknown setting 'sytem'"),
        ('{"data": {"scale": "four"}}', "'data.scale' expects a whole number"),
    ],
)
def test_a_broken_configuration_inside(tmp_path, text, message):
    save_model(tmp_path / "w.ckpt", {"encoder.a": np.zeros(2, np.float32)}, text, 0)
    with pytest.raises(UserError, match=message):
        load_upscaler(tmp_path / "w.ckpt", "CPU")


def test_weights_of_another_size_than_the_configuration_inside(tmp_path, tiny_checkpoints):
    checkpoint = load_checkpoint(tiny_checkpoints["rrdb"])
    settings = json.loads(checkpoint.config_json)
    settings["encoder"]["features"] = 16
    save_model(tmp_path / "w.ckpt", checkpoint.arrays, json.dumps(settings), 0)
    with pytest.raises(UserError, match=r"is \(8, 3, 3, 3\), but the configuration makes it \(16, 3, 3, 3\)"):
        load_upscaler(tmp_path / "w.ckpt", "CPU")


def test_anothers_mindspore_checkpoint(tmp_path):
    ms.save_checkpoint(nn.Dense(2, 2), str(tmp_path / "w.ckpt"))
    with pytest.raises(UserError, match="carries no configuration|not a whole MindSpore checkpoint"):
        load_upscaler(tmp_path / "w.ckpt", "CPU")


def test_nothing_is_left_in_the_current_folder(tmp_path, monkeypatch, tiny_checkpoints):
    monkeypatch.chdir(tmp_path)
    load_upscaler(tiny_checkpoints["srdiff"], "CPU").sample(np.zeros((1, 3, 8, 8), np.float32), steps=1)
    assert os.listdir() == [] and ms.get_context("mode") == ms.GRAPH_MODE


@pytest.mark.parametrize("ema", [True, False])
def test_of_a_runs_checkpoint_the_average_is_taken_unless_it_is_not_wanted(tmp_path, tiny_checkpoints, ema):
    saved = load_checkpoint(tiny_checkpoints["rrdb"])
    averages = {f"ema.{name}": array + 1 for name, array in saved.arrays.items()}
    save_model(tmp_path / "step_1.ckpt", saved.arrays | averages, saved.config_json, 1)
    _, model = load_model(tmp_path / "step_1.ckpt", ema)
    for parameter in model.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), saved.arrays[parameter.name] + ema)


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_tiles_fit_the_memory_of_where_the_networks_run(monkeypatch, system):
    config = tiny.config(system)
    monkeypatch.setattr(tile_size, "host_budget", lambda limit=None: 1 << 30 if limit is None else limit - (1 << 29))
    family = family_of(config)
    on_cpu, on_device = family.tiling(), family.tiling(device_memory=80 << 30)
    limited = family.tiling(TileOptions(max_memory=0.5), device_memory=80 << 30)
    grid = on_cpu.grid(1, 1000, 2000)
    assert not grid.whole and not limited.grid(1, 1000, 2000).whole
    # the result, 32 million pixels of 8 bytes, is in the machine's memory, not in the device's
    assert on_cpu.memory(grid, 1) - on_device.memory(grid, 1) > 8 * 32_000_000
    assert math.prod(on_device.grid(1, 1000, 2000).window_size) > math.prod(grid.window_size)
