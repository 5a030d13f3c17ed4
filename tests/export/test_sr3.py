"""SR3 and DDPM as artefacts: equal to the checkpoint and to PyTorch, with and without pictures; and in offline.pyz."""

import functools
import json

import numpy as np
import onnx
import pytest

from src.build import load_upscaler
from src.cli import eval as eval_command
from src.cli import export as export_command
from src.cli import infer as infer_command
from src.errors import UserError
from src.export import runner
from src.export.artefact import Artefact, description_path
from src.export.check import TOLERANCE, deviations, random_pictures
from src.export.load import upscaler_of
from src.host.device import select_device
from src.imaging.io import read_rgb, write_image
from src.inference.tile_size import TileOptions
from src.inference.upscaler import to_pixels
from tests import tiny_sr3
from tests.export import models

SHORT = ("sr3.multipliers=[1]", "sr3.attention=[]")  # half as many blocks; attention is still in the middle
MODELS = {
    "sr3": ("eval.spacing=betas:0.05,0.1,0.15,0.2,0.3", "eval.steps=5"),  # levels between and beside the trained ones
    "ddpm": (*SHORT, "sr3.noise_level=discrete", "sr3.affine=true", "sr3.space_to_depth=2",
             "diffusion.prediction=velocity"),
    "sr3 from nothing": (*SHORT, *tiny_sr3.UNCONDITIONAL),
}  # fmt: skip
ODD = (5, 11)  # LR sides that nothing divides
WHOLE = (8, 12)  # of the graphs of whole samplers


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """``checkpoint(name)`` writes one of :data:`MODELS` once."""
    folder = tmp_path_factory.mktemp("sr3 – é")
    return functools.cache(lambda name: tiny_sr3.checkpoint(folder / f"{name}.ckpt", *MODELS[name]))


@pytest.fixture(scope="module")
def original(checkpoint):
    """``original(name)`` loads its upscaler once."""
    return functools.cache(lambda name: load_upscaler(checkpoint(name), "CPU", runtime="mindspore"))


@pytest.fixture(scope="module")
def exported(checkpoint):
    """``exported(name, file, cut, …)`` exports it once, into a folder of its own; the path. Not to be changed."""

    def exported(name, file, cut="step", **options):
        folder = checkpoint(name).with_name(f"{name} {cut} {file}")
        if not folder.exists():
            models.write(checkpoint(name), folder / file, cut, WHOLE if cut == "sampler" else None, **options)
        return folder / file

    return exported


def given(up, size):
    """What a sample of that LR size is asked for with."""
    lr = random_pictures([size])[0][1]
    return {"lr": lr} if up.conditional else {"lr": None, "shape": lr.shape}


@pytest.mark.parametrize(("name", "file"), [("sr3", "m.onnx"), ("ddpm", "m.mindir")])
def test_steps_equal_the_checkpoint_over_sizes(name, file, exported, original):
    up = load_upscaler(exported(name, file), "CPU")
    found = list(deviations(up, original(name), random_pictures([(1, 1), ODD])))
    stages = ["condition", "base picture", "step t=0", "step t=2", "step t=3", "picture"]
    assert [entry.stage for entry in found] == 2 * stages
    assert max(entry.largest for entry in found) < TOLERANCE["float32"]


@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        ("sr3", "m.onnx", {"sampler": "ddim", "eta": 0.5, "consistency": True, "precision": "float16"}),
        ("sr3 from nothing", "m.mindir", {"batch": 2}),
    ],
)
def test_whole_samplers_equal_the_checkpoint(name, file, options, exported, original):
    path = exported(name, file, "sampler", **options)
    precision = options.get("precision", "float32")
    sampling = {key: options[key] for key in ("sampler", "eta", "consistency", "steps") if key in options}
    arguments = given(original(name), WHOLE)
    one = load_upscaler(path, "CPU").sample(seed=3, **arguments)
    two = original(name).sample(seed=3, **arguments, **sampling)
    assert np.abs(one - two).max() < TOLERANCE[precision]


def test_all_steps_are_one_loop(exported):
    path = exported("sr3", "m.onnx", "sampler", sampler="ddim", eta=0.5, consistency=True, precision="float16")
    kinds = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert kinds.count("Loop") == 1 and "Conv" in kinds  # LR↑'s, outside of the loop
    assert kinds.count("Conv") == 1


def test_levels_of_its_own_are_sampled_from_the_description_alone(exported, original, tmp_path, photo):
    path, (picture, _) = exported("sr3", "m.onnx"), models.picture(photo, *ODD)
    expected = original("sr3").upscale([picture], seeds=[1])[0].astype(int)
    for file in path.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for fields in ((), ("trained_alphas_cumprod", "reach", "cost", "lr_up")):  # of exports of before
        models.rewrite(tmp_path / "m.onnx", lambda about, fields=fields: [about.pop(name) for name in fields])
        up = upscaler_of(Artefact(tmp_path / "m.onnx"), TileOptions(tile=0))
        assert np.abs(up.upscale([picture], seeds=[1])[0] - expected).max() <= 1
        assert len(up.schedule) == (5 if fields else 4)
        assert len(load_upscaler(tmp_path / "m.onnx").schedule) == 4


@pytest.mark.parametrize("name", ["sr3", "ddpm"])
def test_lr_up_may_be_given(name, exported, original):
    path = exported(name, {"sr3": "m.onnx", "ddpm": "m.mindir"}[name])
    lr_up = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32)
    one, two = (up.sample(None, lr_up=lr_up, seed=1) for up in (load_upscaler(path, "CPU"), original(name)))
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_the_description_says_what_is_told_and_diffused(exported):
    about = {}
    for name, file in (("sr3", "m.onnx"), ("ddpm", "m.mindir"), ("sr3 from nothing", "m.onnx")):
        about[name] = json.loads(description_path(exported(name, file)).read_text())
    assert {name: entry["conditional"] for name, entry in about.items()} == {
        "sr3": True, "ddpm": True, "sr3 from nothing": False,
    }  # fmt: skip
    continuous = {"target": "image", "prediction": "noise", "noise_level": "continuous", "clip": True}
    assert about["sr3"]["process"] == about["sr3 from nothing"]["process"] == continuous
    assert about["ddpm"]["process"] == continuous | {"prediction": "velocity", "noise_level": "discrete"}
    inputs = {name: about[name]["graphs"]["step"]["inputs"] for name in about}
    assert [entry["name"] for entry in inputs["sr3"]] == ["x_t", "t", "condition"]
    assert [entry["name"] for entry in inputs["sr3 from nothing"]] == ["x_t", "t"]
    assert [inputs[name][1]["dtype"] for name in about] == ["float32", "int32", "float32"]
    assert "encode" in about["sr3"]["graphs"] and "encode" not in about["sr3 from nothing"]["graphs"]


# infer.py, eval.py, export.py and offline.pyz


@pytest.fixture
def command(monkeypatch, tmp_path):
    """``command(module, arguments…)`` runs a command's main in an empty folder."""

    def command(module, *arguments):
        select_device("CPU")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        return module.main()

    return command


@pytest.mark.parametrize("name", ["sr3", "ddpm"])
def test_three_ways_to_the_same_picture(name, exported, original, command, tmp_path, photo):
    picture, _ = models.picture(photo, *ODD)
    write_image(tmp_path / "in.png", picture)
    path = exported(name, {"sr3": "m.onnx", "ddpm": "m.mindir"}[name])
    options = ("--seed", "5", "--sampler", "ddim", "--consistency")
    command(runner, "--model", path, "--input", "in.png", "--output", "one.png", *options)
    command(infer_command, "--model", path, "--input", "in.png", "--output", "two.png", "--device", "CPU", *options)
    (expected,) = original(name).upscale([picture], seeds=[5], sampler="ddim", consistency=True)
    for result in ("one.png", "two.png"):
        difference = np.abs(read_rgb(tmp_path / result).astype(int) - expected)
        assert difference.max() <= 1 and np.mean(difference > 0) < 0.01


def test_eval_scores_it(exported, original, command, tmp_path, photo):
    write_image(tmp_path / "hr" / "eye.png", photo[100:132, 200:232])
    path = exported("sr3", "m.onnx")
    arguments = ("--hr", "hr", "--lpips", "none", "--output", "found", "--save-pictures", "--device", "CPU")
    command(eval_command, "--checkpoint", path, *arguments)
    from src.imaging.resize import imresize

    (expected,) = original("sr3").upscale([imresize(photo[100:132, 200:232], 1 / 4)], seeds=[0])
    found = read_rgb(tmp_path / "found" / "pictures" / "sr3_tiny" / "eye.png")
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_pictures_from_nothing_are_those_of_the_checkpoint(exported, original, command, tmp_path, capsys):
    path = exported("sr3 from nothing", "m.onnx")
    command(runner, "--model", path, "--count", 2, "--seed", 7, "--output", "made here", "--size", 13, "--steps", 3)
    assert capsys.readouterr().out.splitlines() == [f"made here/{name}.png" for name in (7, 8, "grid")]
    expected = to_pixels(original("sr3 from nothing").sample(None, shape=(2, 3, 13, 13), seed=7, steps=3))
    for seed, picture in zip((7, 8), expected, strict=True):
        assert np.abs(read_rgb(tmp_path / "made here" / f"{seed}.png").astype(int) - picture).max() <= 1
    command(runner, "--model", path, "--output", "usual")
    assert read_rgb(tmp_path / "usual" / "0.png").shape == (16, 16, 3)  # sr3.image_size


def test_a_whole_sampler_from_nothing(exported, original, command, tmp_path, capsys):
    path = exported("sr3 from nothing", "m.mindir", "sampler", batch=2)
    expected = to_pixels(original("sr3 from nothing").sample(None, shape=(3, 3, *WHOLE), seed=1))
    up = load_upscaler(path, "CPU")
    found = to_pixels(up.sample(None, shape=(3, 3, *WHOLE), seed=1))  # two runs, the second half empty
    assert np.abs(found.astype(int) - expected).max() <= 1
    command(infer_command, "--model", path, "--count", 2, "--seed", 1, "--output", "out", "--device", "CPU")
    assert capsys.readouterr().out.split() == ["out/1.png", "out/2.png", "out/grid.png"]
    assert np.abs(read_rgb(tmp_path / "out" / "2.png").astype(int) - expected[1]).max() <= 1
    with pytest.raises(UserError, match="makes pictures of 12 x 8, not 8 x 8: ask for these, or export with --graph"):
        up.sample(None, shape=(1, 3, 8, 8))
    command(runner, "--model", path, "--count", 1, "--seed", 2, "--output", "alone")
    np.testing.assert_array_equal(read_rgb(tmp_path / "alone" / "2.png"), found[1])
    with pytest.raises(UserError, match="makes pictures of 12 x 8, not 8 x 8"):
        command(runner, "--model", path, "--size", 8)
    with pytest.raises(UserError, match="makes pictures from nothing and enlarges none"):
        up.sample(np.zeros((1, 3, *WHOLE), np.float32))
    with pytest.raises(UserError, match="from nothing, but of which size"):
        up.sample(None)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sr3 from nothing", ["--input", "in.png"], "this model makes pictures from nothing and enlarges none"),
        ("sr3 from nothing", ["--consistency"], "consistency is with the input, which this model has not"),
        ("sr3 from nothing", ["--output", "x.png"], "so --output must be one, not the file x.png"),
        ("sr3 from nothing", ["--output", "in.png/x"], "cannot make the folder in.png/x"),
        ("sr3 from nothing", ["--size", "0"], "--size from 1 to 65536"),
        ("sr3 from nothing", ["--count", "0"], "--count must be from 1 to 100000"),
        (
            "sr3 from nothing",
            ["--seed", 2**64 - 1, "--count", "2"],
            "--seed must be from 0 to 2^64 - 1 less",
        ),
        ("sr3 from nothing", ["--steps", "5"], "the number of sampling steps must be from 1 to 4"),
        ("sr3", [], "this model enlarges pictures: name one with --input, and leave --count and --size out"),
        ("sr3", ["--input", "in.png", "--size", "8"], "--count and --size are for models that make pictures"),
    ],
)
def test_mistakes_offline(name, arguments, message, exported, command, tmp_path, photo):
    write_image(tmp_path / "in.png", photo[:8, :8])
    path = exported(name, "m.onnx")
    with pytest.raises(UserError) as caught:
        command(runner, "--model", path, *arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.png"]


@pytest.mark.parametrize("field", ["conditional", "image_size", "process.target", "process.noise_level", "scale"])
def test_nonsense_in_a_description_is_one_line(field, exported, tmp_path):
    path = exported("sr3 from nothing", "m.onnx")
    (tmp_path / "m.onnx").symlink_to(path)
    for value in (None, 0, 3, "x", [1]):

        def change(about, value=value):
            *parents, last = field.split(".")
            for key in parents:
                about = about[key]
            about[last] = value

        beside = path.with_name("m.onnx.json").read_text()
        (tmp_path / "m.onnx.json").write_text(beside)
        models.rewrite(tmp_path / "m.onnx", change)
        with pytest.raises(UserError) as caught:  # it contradicts the configuration, whatever it is
            load_upscaler(tmp_path / "m.onnx")
        assert field in str(caught.value) or field.partition(".")[0] in str(caught.value)
        assert "\n" not in str(caught.value)
        if (field, value) != ("image_size", 3):  # which may be, as far as the description alone knows
            with pytest.raises(UserError, match=f"incomplete or wrong in its field {field}"):
                Artefact(tmp_path / "m.onnx")


def test_export_prints_every_stage(checkpoint, command, tmp_path, capsys):
    arguments = ("--checkpoint", checkpoint("sr3 from nothing"), "--format", "onnx", "--device", "CPU")
    command(export_command, *arguments, "--output", "m.onnx")
    lines = capsys.readouterr().out.splitlines()  # export.py has held them to its tolerance
    assert lines[:3] == ["m.onnx", "m.onnx.json", "offline.pyz"]
    assert [line.split("  ")[0] for line in lines[3:]] == ["stage", "step t=0", "step t=2", "step t=3", "picture"]
    with pytest.raises(UserError, match="looks at no picture that its own could agree with: leave --consistency out"):
        command(export_command, *arguments, "--output", "n.onnx", "--consistency")
    with pytest.raises(UserError, match="and --batch 1 or more, not 16 x 16 and 0"):  # sr3.image_size
        command(export_command, *arguments, "--output", "n.onnx", "--graph", "sampler", "--batch", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.onnx.json", "offline.pyz"]


def test_an_export_of_converted_weights_gives_what_pytorch_gives(shared, tmp_path):
    from src.commands.convert import converted
    from src.weights.checkpoint import config_json, save_model
    from src.weights.torch_file import read_torch

    folder, given = shared / "golden" / "sr3_8_32", {"sr3": {"image_size": 32, "groups": 8}, "data": {"scale": 4}}
    config, arrays, _ = converted(read_torch(folder / "I100_E1_gen.pth"), given)
    save_model(tmp_path / "w.ckpt", arrays, config_json(config), 0)
    models.write(tmp_path / "w.ckpt", tmp_path / "m.onnx")
    up = load_upscaler(tmp_path / "m.onnx", "CPU")
    with np.load(folder / "golden.npz") as file:
        golden = dict(file)

    def noise(k, shape):
        return golden["init_noise"] if k == 0 else golden["step_noise"][k - 1]

    assert np.abs(up.sample(None, noise=noise, lr_up=golden["SR"]) - golden["sample"]).max() < 1e-4
    found = up.predict_noise(golden["x_t"], np.full(2, 0.5, np.float32), up.encode(None, golden["SR"]))
    assert np.abs(found - golden["eps_level_0.5"]).max() < 1e-4
