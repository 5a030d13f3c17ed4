"""A whole sampler in one graph: equal to the host's, of one size, over pictures of any size."""

import json

import numpy as np
import onnx
import pytest

from src.build import load_upscaler
from src.diffusion.samplers import SAMPLERS, SeededNoise
from src.errors import UserError
from src.imaging.resize import imresize
from src.inference.tile_size import TileOptions
from src.metrics.scores import lr_psnr
from tests.export import models

SIZE = (16, 12)
SAMPLINGS = {name: {"sampler": name, "temperature": 0.7} for name in SAMPLERS}
SAMPLINGS["ddim"] |= {"eta": 0.5}
SAMPLINGS["dpmpp_2m"] |= {"consistency": True, "steps": 4}
SAMPLINGS["dpmpp_2m_sde"] |= {"steps": 4}
SAMPLINGS["cold ddpm"] = {"sampler": "ddpm", "temperature": 0.0}  # no noise at all


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    """A checkpoint whose own sampling is ddim, consistent, of the encoder's picture."""
    return models.checkpoint(tmp_path_factory.mktemp("sampler") / "w.ckpt", "srdiff folded")


@pytest.fixture(scope="module")
def exported(folded):
    """Its export as a sampler for two pictures."""
    models.write(folded, folded.with_name("m.onnx"), "sampler", SIZE, batch=2)
    return folded.with_name("m.onnx")


def levels(sr):
    return np.clip(np.rint((sr[0].transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_onnx_equals_the_host(name, tiny_checkpoints, tmp_path, photo):
    sampling = SAMPLINGS[name]
    models.write(tiny_checkpoints["srdiff"], tmp_path / "m.onnx", "sampler", SIZE, **sampling)
    _, lr = models.picture(photo, *SIZE)
    one = load_upscaler(tmp_path / "m.onnx", "CPU").sample(lr, seed=3)
    two = load_upscaler(tiny_checkpoints["srdiff"], "CPU", runtime="mindspore").sample(lr, seed=3, **sampling)
    np.testing.assert_allclose(one, two, atol=1e-4)
    assert np.abs(two - load_upscaler(tiny_checkpoints["srdiff"], "CPU").sample(lr, seed=4, **sampling)).max() > 1e-3 \
        or sampling["temperature"] == 0  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("kind", ["onnx", "mindir"])
def test_both_kinds_in_both_precisions(kind, precision, folded, tmp_path, photo):
    models.write(folded, tmp_path / f"m.{kind}", "sampler", SIZE, precision)
    _, lr = models.picture(photo, *SIZE)
    one = load_upscaler(tmp_path / f"m.{kind}", "CPU").sample(lr, seed=3)
    two = load_upscaler(folded, "CPU", runtime="mindspore").sample(lr, seed=3)
    assert np.abs(one - two).max() < {"float32": 1e-4, "float16": 2e-2}[precision]


def test_a_picture_that_needs_several_rounds_to_agree(folded, tmp_path, photo):
    """Text in black and white: there the first projection leaves [−1, 1]."""
    lr = np.where(photo[:16, :12].mean(2) > 140, 1.0, -0.98).astype(np.float32)[None, None].repeat(3, 1)
    models.write(folded, tmp_path / "m.onnx", "sampler", SIZE)
    one = load_upscaler(tmp_path / "m.onnx", "CPU").sample(lr, seed=3)
    two = load_upscaler(folded, "CPU", runtime="mindspore").sample(lr, seed=3)
    assert np.abs(lr).max() == 1 and np.abs(one).max() <= 1
    agreement = [np.abs(imresize(levels(sr), 1 / 4).astype(float) - levels(lr)).mean() for sr in (one, two)]
    assert agreement[0] < agreement[1] + 0.5


def test_every_picture_of_a_batch_is_its_own(exported, folded, photo):
    lr = np.concatenate([models.picture(photo[y:], *SIZE)[1] for y in (0, 40, 90)])  # two runs, the second half empty
    one = load_upscaler(exported, "CPU").sample(lr, seed=[5, 6, 7])
    two = load_upscaler(folded, "CPU", runtime="mindspore").sample(lr, seed=[5, 6, 7])
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 13), (40, 30)])
def test_pictures_of_any_size(size, exported, photo):
    picture, lr = models.picture(photo, *size)
    up = load_upscaler(exported, "CPU")
    passes = []
    sr = up.sample(lr, seed=1, progress=lambda: passes.append(1))
    assert sr.shape == (1, 3, 4 * size[0], 4 * size[1]) and np.isfinite(sr).all()
    assert len(passes) == up.passes((1, *size), up.resolve()) == len(up.tiling.grid(1, *size).windows)
    assert lr_psnr(levels(sr), picture) > 50


def test_tiles_are_those_of_one_picture(exported, folded, photo):
    """Where a window lies away from its neighbours' blend, it holds what the graph makes of that part."""
    _, lr = models.picture(photo, 40, 12)
    up = load_upscaler(exported, "CPU")
    noise = SeededNoise([0])(0, (1, 3, 160, 48))
    whole = up.sample(lr, noise=lambda k, shape: noise)
    part = up.sample(lr[:, :, :16], noise=lambda k, shape: noise[:, :, :64])
    assert np.abs(whole[:, :, :32] - part[:, :, :32]).max() < 0.05


def test_what_is_fixed_cannot_be_asked_for(exported):
    up = load_upscaler(exported, "CPU")
    up.resolve(sampler="ddim", steps=2, temperature=0.5, consistency=True)
    for options, message in (
        ({"steps": 3}, "steps is 2 in this graph of a whole sampler, not 3: leave it out"),
        ({"sampler": "ddpm"}, "sampler is ddim"),
        ({"temperature": 1.0}, "temperature is 0.5"),
        ({"consistency": False}, "consistency is True"),
    ):
        with pytest.raises(UserError, match=message):
            up.resolve(**options)
    with pytest.raises(UserError, match="number of samples must be at least 1"):
        up.check_samples(0)


@pytest.mark.parametrize("options", [{"tile": 64}, {"max_memory": 1.0}, {"halo": 40}])
def test_tiles_of_another_size_cannot_be_asked_for(exported, options):
    with pytest.raises(UserError):
        load_upscaler(exported, "CPU", tile_options=TileOptions(**options)).sample(np.zeros((1, 3, 40, 40), np.float32))


@pytest.mark.parametrize(("size", "batch"), [((15, 16), 1), ((4, 16), 1), ((16, 16), 0)])
def test_a_size_that_the_network_cannot_take(folded, tmp_path, size, batch):
    with pytest.raises(UserError, match="--size times 4 must be multiples of 16, at least 32, and --batch 1 or more"):
        models.write(folded, tmp_path / "m.onnx", "sampler", size, batch=batch)


def test_the_loop_is_in_the_graph_and_the_noise_is_not(tiny_checkpoints, tmp_path):
    models.write(tiny_checkpoints["srdiff"], tmp_path / "m.onnx", "sampler", SIZE, steps=4)
    model = onnx.load(str(tmp_path / "m.onnx"))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Loop") == 1 and not any("Random" in kind for kind in kinds)
    assert [entry.name for entry in model.graph.input] == ["lr", "noise"]
    draws = json.loads((tmp_path / "m.onnx.json").read_text())["noise_draws"]
    assert draws == model.graph.input[1].type.tensor_type.shape.dim[0].dim_value == 4  # x_T, and three of four steps


def test_an_rrdb_has_one_cut(tiny_checkpoints, tmp_path):
    assert [path.name for path in models.write(tiny_checkpoints["rrdb"], tmp_path / "m.onnx", "sampler")] == [
        "m.onnx",
        "m.onnx.json",
    ]
