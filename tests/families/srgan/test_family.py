"""The family: which settings fit each other, which stage 1 fits, and its networks in exports."""

import mindspore as ms
import numpy as np
import pytest

from src.build import load_upscaler
from src.config.loader import config_from_dict
from src.errors import UserError
from src.families.registry import SCHEMAS, family_of
from src.inference.tile_size import TileOptions
from src.inference.upscaler import to_network
from src.weights.checkpoint import load_checkpoint, load_into
from tests import tiny, tiny_srgan
from tests.export import models

GAN = {"discriminator.network": "pooled", "loss.adversarial": 1e-3}


def check(settings):
    family_of(config_from_dict({"system": "srgan", "data.patch_size": 96, **settings}, SCHEMAS)).check()


@pytest.mark.parametrize(
    "settings",
    [
        {"data.scale": 2}, {"data.scale": 8}, GAN,
        {"generator.network": "rrdb", "data.scale": 2, "generator.unshuffle": 2},
        {"generator.network": "rrdb", "data.scale": 1, "generator.unshuffle": 4},
        {"generator.network": "rrdb", "data.scale": 1},
        {"generator.network": "rrdb", "generator.upsampler": "pixelshuffle"},
        {"generator.network": "msrresnet", "data.scale": 3}, {"generator.network": "compact", "data.scale": 1},
        {"generator.network": "srresnet", "generator.unshuffle": 4},
    ],
)  # fmt: skip
def test_consistent_settings_pass(settings):
    check(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.scale": 3}, "'data.scale' must be 2, 4 or 8 for generator.network=srresnet, got 3"),
        ({"data.scale": 1}, "must be 2, 4 or 8 for generator.network=srresnet, got 1"),
        ({"generator.network": "msrresnet", "data.scale": 8}, "must be 2, 3 or 4 for generator.network=msrresnet"),
        ({"generator.network": "compact", "data.scale": 8}, "must be 1, 2, 3 or 4 for generator.network=compact"),
        ({"generator.network": "rrdb", "data.scale": 3}, "must be 1, 2, 4 or 8 for generator.network=rrdb, got 3"),
        (
            {"generator.network": "rrdb", "data.scale": 4, "generator.unshuffle": 4},
            "must be at most 8, got 4 and 4; set generator.unshuffle=2",
        ),
        (
            {"generator.network": "rrdb", "generator.unshuffle": 2, "generator.upsampler": "pixelshuffle"},
            "got generator.unshuffle=2 and data.scale=4; set nearest",
        ),
        (
            {"generator.network": "rrdb", "generator.features": 1},
            "'generator.growth' 0 means features / 2, got 1 feature; set generator.growth=1",
        ),
        ({"loss.adversarial": 0.1}, "'discriminator.network' is none; set loss.adversarial=0, or a discriminator"),
        ({"discriminator.network": "unet"}, "'loss.adversarial' is 0; set discriminator.network=none, or a weight"),
        (
            {"generator.network": "rrdb", "data.scale": 1, "generator.unshuffle": 4, "data.patch_size": 98},
            "must be a multiple of 4 .* got 98; the nearest valid: 96 or 100",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        check(settings)


def test_a_generator_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no generator at nowhere.ckpt .* train stage 1 first"):
        family_of(tiny_srgan.config("srresnet", "generator.checkpoint=nowhere.ckpt")).pretrained()


def test_stage_one_has_to_be_the_same_generator(tmp_path):
    path = tiny.save_untrained(tmp_path / "one.ckpt", tiny_srgan.config("srresnet"))
    family = family_of(tiny_srgan.config("srresnet", f"generator.checkpoint={path}"))
    assert family.pretrained() == [("generator", str(path))]
    family.check_pretrained("generator", tiny_srgan.config("srresnet"), path)
    for other, remedy in (("generator.blocks=3", "generator.blocks=3"), ("data.scale=2", "data.scale=2")):
        with pytest.raises(UserError, match=f"another network than the configuration's .* set {remedy}, or name"):
            family.check_pretrained("generator", tiny_srgan.config("srresnet", other), path)
    with pytest.raises(UserError, match="set generator.network=rrdb generator.growth=4"):
        family.check_pretrained("generator", tiny_srgan.config("rrdb"), path)
    with pytest.raises(UserError, match="expected an SRGAN or an RRDB in generator.checkpoint, got the srdiff"):
        family.check_pretrained("generator", tiny.config("srdiff"), path)


def test_the_shipped_rrdb_is_a_stage_one(photo):
    """Its pictures are those of the system rrdb, bit for bit: this form clips nothing."""
    shipped = tiny.ROOT / "checkpoints/rrdb_lite_x4.ckpt"
    checkpoint, sizes = load_checkpoint(shipped), ("generator.features=32", "generator.blocks=5")
    config = tiny_srgan.config("rrdb", "generator.upsampler=pixelshuffle", "generator.growth=16", *sizes)
    family, model = family_of(config), family_of(config).model()
    rrdb = family_of(tiny.config("rrdb", None, "encoder.features=32", "encoder.blocks=5", "encoder.growth=16"))
    family.check_pretrained("generator", rrdb.config, shipped)
    load_into(model.generator, family.pretrained_arrays("generator", checkpoint), shipped)
    encoder = rrdb.model()
    load_into(encoder, checkpoint.model_arrays(), shipped)
    lr = ms.Tensor(to_network([photo[100:112, 200:216]]))
    np.testing.assert_array_equal(model(lr).asnumpy(), encoder(lr).asnumpy())


@pytest.mark.parametrize("kind", ["mindir", "onnx"])
@pytest.mark.parametrize("form", ["srresnet", "x2plus", "msrresnet", "compact"])
def test_exports_give_the_checkpoint_s_pictures_of_any_size(form, kind, tmp_path, photo):
    made = tiny_srgan.config(form)
    path = tiny.save_untrained(tmp_path / "w.ckpt", made)
    models.write(path, tmp_path / f"m.{kind}")
    original = load_upscaler(path, "CPU", runtime="mindspore")
    exported = load_upscaler(tmp_path / f"m.{kind}", "CPU")
    for picture in (photo[100:113, 200:215], photo[100:116, 200:240], photo[:1, :2]):
        lr = to_network([picture])
        wanted = original.sample(lr)
        assert wanted.shape[2:] == tuple(side * original.scale for side in picture.shape[:2])
        np.testing.assert_allclose(exported.sample(lr), wanted, atol=1e-4)


def test_tiles_of_one_size_continue_pictures_as_whole_ones_do(photo):
    """What an Ascend runs: the picture is reflected to fill a tile, so its own pixels are the same but at the rim."""
    made = tiny_srgan.config("x2plus", "generator.blocks=1")
    lr, nets = to_network([photo[100:141, 200:243]]), tiny.networks(made)
    family = family_of(made)
    fixed = family.upscaler(nets, family.tiling(TileOptions(tile=256, fixed=True)))
    whole = tiny.around(made, nets, tile=0)
    assert fixed.tiling.size == (128, 128)
    inside = np.s_[:, :, :40, :40]
    np.testing.assert_allclose(fixed.sample(lr)[inside], whole.sample(lr)[inside], atol=1e-4)


def test_dense_blocks_start_from_a_tenth_of_kaimings_weights():
    family = family_of(tiny_srgan.config("rrdb", "generator.features=32", "generator.growth=16"))
    model = family.model()
    family.objectives(model)
    weights = {
        name: cell.weight.asnumpy() for name, cell in model.cells_and_names() if ".dense" in name and "conv" in name
    }
    assert len(weights) == 2 * 3 * 5
    for weight in weights.values():
        assert weight.std() == pytest.approx(0.1 * np.sqrt(2 / np.prod(weight.shape[1:])), rel=0.1)
    others = model.generator.trunk_conv.weight.asnumpy()
    assert others.std() == pytest.approx(1 / np.sqrt(3 * 32 * 9), rel=0.1)
