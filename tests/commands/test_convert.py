"""The command convert.py: its output, its summary, and one line for every bad input."""

import json
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src.cli import convert
from src.errors import UserError
from src.families.registry import read_config
from tests import tiny
from tests.weights.checkpoints import encoder_tensors, sr3_tensors, srdiff_tensors
from tests.weights.torch_files import write_torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(monkeypatch, capsys):
    """Return run(*arguments) → standard output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert.py", *map(str, arguments)])
        convert.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def torch_file(tmp_path):
    """Return write({name: array}, name="model.ckpt") → path of a PyTorch checkpoint with these tensors."""
    return lambda tensors, name="model.ckpt": write_torch(tmp_path / name, tensors)


def test_the_golden_checkpoint(run, shared, tmp_path):
    from src.weights.checkpoint import load_checkpoint

    target = tmp_path / "new folder" / "srdiff ü.ckpt"
    text = run("--input", shared / "golden/srdiff_x4/model_ckpt_steps_1234.ckpt", "--output", target)
    for part in ("srdiff x4, 1234 steps", "8 features, growth 4, 8 blocks", "[1, 2, 3, 4]", "384 tensors", "betas"):
        assert part in text
    assert str(target) in text
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    checkpoint = load_checkpoint(target)
    config = json.loads(checkpoint.config_json)
    assert checkpoint.step == 1234 and len(checkpoint.arrays) == 384
    assert config["diffusion"]["lr_divisor"] == 256 and config["unet"]["multipliers"] == [1, 2, 3, 4]


def test_an_encoder_alone(run, torch_file, tmp_path):
    from src.weights.checkpoint import load_checkpoint

    tensors = {name.removeprefix("rrdb."): value for name, value in encoder_tensors(2).items()}
    text = run("--input", torch_file(tensors, "rrdb.pth"), "--output", tmp_path / "w.ckpt")
    assert "rrdb x2, 7 steps" in text and "U-Net" not in text
    checkpoint = load_checkpoint(tmp_path / "w.ckpt")
    config = json.loads(checkpoint.config_json)
    assert (config["system"], config["data"]["scale"], config["encoder"]["features"]) == ("rrdb", 2, 8)
    assert len(checkpoint.arrays) == len(tensors)
    np.testing.assert_array_equal(checkpoint.arrays["encoder.trunk_conv.bias"], tensors["trunk_conv.bias"])


def test_a_real_esrgan_as_safetensors(run, shared, tmp_path):
    from src.weights.checkpoint import load_checkpoint

    package = pytest.importorskip("safetensors.numpy")
    from src.weights.torch_file import read_torch

    tensors = read_torch(shared / "golden/srgan/realesrgan_x2plus/RealESRGAN_x2plus.pth")["params_ema"]
    package.save_file(tensors, tmp_path / "RealESRGAN_x2plus.safetensors")
    text = run("--input", tmp_path / "RealESRGAN_x2plus.safetensors", "--output", tmp_path / "w.ckpt")
    for part in ("bare: BasicSR's and Real-ESRGAN's RRDBNet (body.N.rdb1)", "srgan x2, 0 steps", "unshuffle 2"):
        assert part in text
    arrays = load_checkpoint(tmp_path / "w.ckpt").arrays
    np.testing.assert_array_equal(arrays["generator.first_conv.weight"], tensors["conv_first.weight"])


def test_a_discriminator(run, shared, tmp_path):
    from src.build import load_model
    from src.weights.checkpoint import load_checkpoint

    source = shared / "golden/srgan/realesrgan_unet_netD/RealESRGAN_x4plus_netD.pth"
    text = run("--input", source, "--output", tmp_path / "d.ckpt", "name=mine")
    assert "found      params: a discriminator, Real-ESRGAN's" in text and "discriminator  unet, 4 features" in text
    checkpoint = load_checkpoint(tmp_path / "d.ckpt")
    assert {name.split(".")[0] for name in checkpoint.arrays} == {"discriminator"}
    assert json.loads(checkpoint.config_json)["discriminator"]["network"] == "unet"
    with pytest.raises(UserError, match="makes no pictures, it holds discriminator"):
        load_model(tmp_path / "d.ckpt")


@pytest.mark.parametrize("model", ["sr3_8_32", "ddpm_8_32", "sr3_uncond_32"])
def test_sr3_as_it_is_and_with_settings(run, shared, tmp_path, model):
    from src.weights.checkpoint import load_checkpoint

    given = [] if "uncond" in model else ["data.scale=4"]
    source, target = shared / f"golden/{model}/I100_E1_gen.pth", tmp_path / "w.ckpt"
    text = run("--input", source, "--output", target, "sr3.image_size=32", "eval.steps=10", "name=mine", *given)
    for part in ("sr3 x", "width 16, multipliers [1, 2, 4], 1 blocks a level, GroupNorm 8", "attention at 8 of 32"):
        assert part in text
    assert ("discrete noise level" in text) == ("ddpm" in model) and "20 steps, linear schedule" in text
    assert ("unconditional" in text) == ("uncond" in model)
    checkpoint = load_checkpoint(target)
    config = json.loads(checkpoint.config_json)
    assert (config["name"], config["system"], config["eval"]["steps"]) == ("mine", "sr3", 10)
    assert config["data"]["scale"] == (1 if "uncond" in model else 4)
    assert len(checkpoint.arrays) == 164 and "not used   betas" in text and "found      bare: SR3 or DDPM" in text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sr3.width=16", "sr3.width is 16 in the configuration, 8 in the checkpoint"),
        ("sr3.attention=[128]", r"sr3.attention is \[128\] in the configuration, \[64\] in the checkpoint"),
        ("diffusion.steps=5", "diffusion.steps is 5 in the configuration, 20 in the checkpoint"),
        ("sr3.groups=3", "'sr3.groups' must divide"),
        ("sr3.image_size=33", "'sr3.image_size' must be a multiple of .*2"),
    ],
)
def test_settings_that_contradict_an_sr3_are_refused(run, torch_file, tmp_path, override, message):
    source = torch_file(sr3_tensors())
    with pytest.raises(UserError, match=message):
        run("--input", source, "--output", tmp_path / "w.ckpt", override)
    assert not (tmp_path / "w.ckpt").exists()


CONFIG = """
name: mine
data: {scale: 4}
encoder: {features: 8, blocks: 2}
unet: {width: 8, multipliers: [1, 2], groups: 4}
diffusion: {steps: 20, lr_divisor: 256, loss: l2}
eval: {steps: 10}
"""


def test_a_configuration_adds_what_the_file_does_not_tell(run, torch_file, tmp_path):
    from src.weights.checkpoint import load_checkpoint

    (tmp_path / "c.yaml").write_text(CONFIG)
    source = torch_file(srdiff_tensors(normalised=True))
    text = run("--input", source, "--output", tmp_path / "w.ckpt", "--config", tmp_path / "c.yaml", "eval.steps=5")
    config = json.loads(load_checkpoint(tmp_path / "w.ckpt").config_json)
    assert (config["name"], config["diffusion"]["loss"], config["eval"]["steps"]) == ("mine", "l2", 5)
    assert config["unet"]["groups"] == 4 and "GroupNorm 4" in text and config["encoder"]["growth"] == 4


@pytest.mark.parametrize(
    "override, message",
    [
        ("encoder.features=16", "encoder.features is 16 in the configuration, 8 in the checkpoint"),
        (
            "unet.multipliers=[1,2,3]",
            r"unet.multipliers is \[1, 2, 3\] in the configuration, \[1, 2\] in the checkpoint",
        ),
        ("unet.groups=0", "unet.groups is 0 in the configuration, 8 in the checkpoint"),
        ("data.scale=8", "data.scale is 8 in the configuration, 4 in the checkpoint"),
        ("diffusion.lr_divisor=255", "diffusion.lr_divisor is 255 in the configuration, 256 in the checkpoint"),
        ("diffusion.schedule=linear", "diffusion.schedule is linear in the configuration, cosine in the checkpoint"),
        ("unet.groups=3", "unet.groups"),
    ],
)
def test_a_configuration_that_contradicts_is_refused(run, torch_file, tmp_path, override, message):
    (tmp_path / "c.yaml").write_text(CONFIG)
    source = torch_file(srdiff_tensors(normalised=True))
    with pytest.raises(UserError, match=message):
        run("--input", source, "--output", tmp_path / "w.ckpt", "--config", tmp_path / "c.yaml", override)
    assert not (tmp_path / "w.ckpt").exists()


def test_arguments_that_make_no_sense(run, torch_file, tmp_path):
    source = torch_file(encoder_tensors())
    before = source.read_bytes()
    with pytest.raises(UserError, match="the input itself"):
        run("--input", source, "--output", source)
    with pytest.raises(UserError, match="must end in .ckpt"):
        run("--input", source, "--output", tmp_path / "w.pth")
    with pytest.raises(UserError, match="unknown setting 'unet.grops'"):
        run("--input", source, "--output", tmp_path / "w.ckpt", "unet.grops=4")
    assert source.read_bytes() == before and not (tmp_path / "w.ckpt").exists()


def test_a_renamed_tensor_is_refused_with_the_files_name(run, torch_file, tmp_path):
    tensors = encoder_tensors()
    tensors["rrdb.HRconvolution.bias"] = tensors.pop("rrdb.HRconv.bias")
    source = torch_file(tensors)
    with pytest.raises(UserError, match=r"model.ckpt: .*missing: rrdb.HRconv.bias.*unknown: rrdb.HRconvolution.bias"):
        run("--input", source, "--output", tmp_path / "w.ckpt")


def test_an_output_that_cannot_be_written(run, torch_file, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the checkpoint"):
        run("--input", torch_file(encoder_tensors()), "--output", tmp_path / "file" / "w.ckpt")


@pytest.fixture
def networks(tmp_path, tiny_checkpoints):
    """Return two checkpoints of the tiny RRDB, the second of a training that keeps averages, and their arrays."""
    from src.weights.checkpoint import load_checkpoint, save_model

    one = load_checkpoint(tiny_checkpoints["rrdb"])
    other = {name: np.asarray(value * 3 + 1, np.float32) for name, value in one.arrays.items()}
    raw = {name: value * 0 for name, value in other.items()}
    averages = {f"ema.{name}": value for name, value in other.items()}
    path = tmp_path / "B é.ckpt"
    save_model(path, raw | averages, one.config_json.replace("rrdb_lite_x4", "wdn"), 7)
    return (tiny_checkpoints["rrdb"], one.arrays), (path, other)


@pytest.mark.parametrize("alpha", [0, 0.8, 1])
def test_a_blend_is_between_two_networks(run, networks, tmp_path, alpha):
    from src.build import load_model
    from src.weights.checkpoint import load_checkpoint

    (first, ours), (second, theirs) = networks
    text = run("--blend", first, second, "--alpha", alpha, "--output", tmp_path / "c.ckpt")
    assert "rrdb x4, 0 steps done" in text and f"used       {len(ours)} tensors" in text and "c.ckpt" in text
    found = load_checkpoint(tmp_path / "c.ckpt")
    assert json.loads(found.config_json)["name"] == f"rrdb_lite_x4_wdn_{alpha}" and found.step == 0
    assert list(found.arrays) == list(ours)
    for name, array in found.arrays.items():
        expected = (1 - alpha) * ours[name].astype(np.float64) + alpha * theirs[name].astype(np.float64)
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-6)
        if alpha in (0, 1):
            np.testing.assert_array_equal(array, (ours, theirs)[alpha][name])
    assert load_model(tmp_path / "c.ckpt")[0].name == f"rrdb_lite_x4_wdn_{alpha}"


@pytest.mark.parametrize(
    ("golden", "first", "second", "expected"),
    [
        ("esrgan_new_arch_x4", "RRDB_PSNR_x4", "RRDB_ESRGAN_x4", "sr_interp"),
        ("realesr_general_x4v3", "realesr-general-wdn-x4v3", "realesr-general-x4v3", "sr_dn"),
    ],
)
def test_a_blend_gives_the_pictures_of_the_public_programs(run, shared, tmp_path, golden, first, second, expected):
    """ESRGAN's net_interp.py at 0.5, and Real-ESRGAN's -dn 0.5."""
    from src.build import load_upscaler

    folder = shared / "golden/srgan" / golden
    for name in (first, second):
        run("--input", folder / f"{name}.pth", "--output", tmp_path / f"{name}.ckpt")
    blend = tmp_path / "blend.ckpt"
    run("--blend", tmp_path / f"{first}.ckpt", tmp_path / f"{second}.ckpt", "--alpha", 0.5, "--output", blend)
    values = np.load(folder / "golden.npz")
    sr = (load_upscaler(blend, "CPU", runtime="mindspore").sample(values["lr"] * 2 - 1) + 1) / 2
    np.testing.assert_allclose(sr.clip(0, 1), values[expected].clip(0, 1), rtol=0, atol=1e-5)


def srgan(path, *overrides):
    """Write a tiny SRGAN of random weights and statistics; return its path and arrays."""
    from src.weights.checkpoint import config_json, load_checkpoint, save_model

    config = read_config(ROOT / "configs/srresnet_x4.yaml", ["generator.features=8", "generator.blocks=2", *overrides])
    parameters = tiny.model(config).get_parameters()
    random = np.random.default_rng(len(path.name))
    arrays = {parameter.name: random.random(parameter.shape, np.float32) for parameter in parameters}
    save_model(path, arrays, config_json(config), 5)
    return path, load_checkpoint(path).arrays


def test_statistics_of_batch_norm_are_interpolated(run, tmp_path):
    from src.weights.checkpoint import load_checkpoint

    (one, ours), (two, theirs) = srgan(tmp_path / "one.ckpt"), srgan(tmp_path / "other.ckpt")
    run("--blend", one, two, "--alpha", 0.25, "--output", tmp_path / "c.ckpt")
    found = load_checkpoint(tmp_path / "c.ckpt").arrays
    statistics = [name for name in found if "moving_" in name]
    assert len(statistics) == 10
    for name in statistics:
        np.testing.assert_allclose(found[name], 0.75 * ours[name] + 0.25 * theirs[name], rtol=1e-6)


def test_an_esrgan_is_blended_with_the_rrdb_that_it_was_trained_from(run, tmp_path, tiny_checkpoints):
    from src.weights.checkpoint import load_checkpoint

    rrdb = load_checkpoint(tiny_checkpoints["rrdb"]).arrays
    same = [f"generator.{setting}" for setting in ("network=rrdb", "growth=4", "upsampler=pixelshuffle")]
    gan, ours = srgan(tmp_path / "gan.ckpt", *same, "name=gan")
    text = run("--blend", gan, tiny_checkpoints["rrdb"], "--alpha", 0.5, "--output", tmp_path / "c.ckpt")
    assert "srgan x4" in text
    for name, array in load_checkpoint(tmp_path / "c.ckpt").arrays.items():
        expected = (ours[name] + rrdb[name.replace("generator", "encoder")]) / 2
        np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-7)


def test_half_precision_is_blended_in_float32(run, networks, tmp_path):
    from src.weights.checkpoint import load_checkpoint, save_model

    (first, ours), (second, theirs) = networks
    checkpoint = load_checkpoint(first)
    save_model(tmp_path / "half.ckpt", checkpoint.arrays, checkpoint.config_json, 0, half=True)
    run("--blend", tmp_path / "half.ckpt", second, "--alpha", 0.5, "--output", tmp_path / "c.ckpt")
    for name, array in load_checkpoint(tmp_path / "c.ckpt").arrays.items():
        expected = np.float32(0.5) * ours[name].astype(np.float16).astype(np.float32) + np.float32(0.5) * theirs[name]
        np.testing.assert_array_equal(array, expected)


def test_what_cannot_be_blended_is_told(run, networks, tmp_path, tiny_checkpoints):
    (first, ours), (second, _) = networks

    def refused(message, *arguments):
        with pytest.raises(UserError, match=message) as caught:
            run(*arguments, "--output", tmp_path / "c.ckpt")
        assert "\n" not in str(caught.value) and not (tmp_path / "c.ckpt").exists()

    for alpha in ("-0.1", "1.5", "nan"):
        refused("--blend needs --alpha, from 0 .* to 1 .*, got", "--blend", first, second, "--alpha", alpha)
    refused("--blend needs --alpha, .* got None", "--blend", first, second)
    refused("--alpha is of --blend: leave it out", "--input", first, "--alpha", 0.5)
    refused("'name=x' has no effect on --blend", "--blend", first, second, "--alpha", 0.5, "name=x")
    refused("'--config' has no effect on --blend", "--blend", first, second, "--alpha", 0.5, "--config", "c.yaml")
    refused("no checkpoint at", "--blend", first, tmp_path / "none.ckpt", "--alpha", 0.5)
    other = tiny_checkpoints["srdiff"]
    refused("different networks, only one of them has unet.*: name two of one", "--blend", first, other, "--alpha", 0.5)
    for name, overrides, message in (
        ("blocks", ["encoder.blocks=3"], "only one of them has encoder.trunk.2.* and 25 more: name two of one network"),
        ("width", ["encoder.features=6"], r"'encoder.first_conv.weight' is \(8, 3, 3, 3\) and \(6, 3, 3, 3\): name"),
    ):
        other = tiny.save_untrained(tmp_path / f"{name}.ckpt", tiny.config("rrdb", None, *overrides))
        refused(message, "--blend", first, other, "--alpha", 0.5)
    with pytest.raises(UserError, match="--output is the input itself"):
        run("--blend", first, second, "--alpha", 0.5, "--output", second)


def test_one_of_input_and_blend(run, capsys):
    for arguments in (["--input", "a", "--blend", "a", "b"], []):
        with pytest.raises(SystemExit, match="2"):
            run(*arguments, "--output", "c.ckpt")
        assert capsys.readouterr().err.count("\n") == 1


class Mkdir:
    """Its unpickling makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def bad_file(kind, folder, shared):
    """Return the path of an unusable input."""
    path = folder / f"{kind} input.ckpt"
    golden = shared / "golden/srdiff_x4/model_ckpt_steps_1234.ckpt"
    if kind == "truncated":
        path.write_bytes(golden.read_bytes()[:200_000])
    elif kind == "malicious":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", pickle.dumps({"state_dict": Mkdir(folder / "trace")}, 2))
    elif kind == "empty":
        path.touch()
    return path


@pytest.mark.parametrize(
    "kind, message",
    [("truncated", "damaged or truncated"), ("malicious", "mkdir"), ("empty", "is empty"), ("missing", "No such file")],
)
def test_bad_input_is_one_line(run, tmp_path, shared, kind, message):
    path = bad_file(kind, tmp_path, shared)
    with pytest.raises(UserError, match=message) as caught:
        run("--input", path, "--output", tmp_path / "w.ckpt")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "w.ckpt").exists() and not (tmp_path / "trace").exists()


def test_the_command_says_it_with_exit_status_2(tmp_path):
    arguments = ["--input", str(tmp_path / "nothing.pth"), "--output", str(tmp_path / "w.ckpt")]
    command = [sys.executable, "convert.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: cannot read") and done.stderr.count("\n") == 1


def test_help_needs_neither_mindspore_nor_torch():
    code = (
        "import sys; sys.argv = ['convert.py', '--help']; sys.modules.update(mindspore=None, torch=None, numpy=None); "
    )
    code += "import runpy; runpy.run_path('convert.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0 and "--output" in done.stdout and done.stderr == ""
