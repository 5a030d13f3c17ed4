"""Settings that a family's network cannot take, and such as contradict each other, are refused with what would do."""

import pytest

from src.config.loader import config_from_dict
from src.config.schema import settings_of
from src.errors import UserError
from src.families.registry import SCHEMAS, family_of


def check(settings):
    """Read and check the default configuration with {full name: value} applied."""
    family_of(config_from_dict(settings, SCHEMAS)).check()


def refusal(**settings):
    """Return the message that the settings are refused with; ``__`` stands for a dot."""
    with pytest.raises(UserError) as caught:
        check({name.replace("__", "."): value for name, value in settings.items()})
    return str(caught.value)


@pytest.mark.parametrize("system", SCHEMAS)
def test_the_defaults_are_consistent(system):
    assert check({"system": system}) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"data.patch_size": 64},
        # The paper's CelebA setting, which a multiple of scale·2^(levels−1) = 64 would refuse.
        {"data.patch_size": 160, "data.scale": 8, "unet.multipliers": [1, 2, 2, 4]},
        {"system": "rrdb", "data.patch_size": 100, "encoder.blocks": 1},
        {"unet.groups": 32},
        {"unet.space_to_depth": 4, "unet.multipliers": [1, 2, 2], "data.patch_size": 128},
        {"train.steps": 0, "train.epochs": 60},
        {"train.lr_schedule": "cosine", "train.lr_min": 1e-5},
        {"train.lr_schedule": "step", "train.lr_min": 1.0},
        {"diffusion.steps": 20, "eval.steps": 20},
        {"name": "名前 2.0"},
        {"unet.multipliers": [2], "data.patch_size": 4},
        {"system": "sr3", "data.scale": 8},
        {"system": "sr3", "sr3.multipliers": [1], "sr3.attention": [128], "data.patch_size": 4},
        {"system": "sr3", "sr3.conditional": False, "data.scale": 1, "data.patch_size": 16},
        {"system": "sr3", "sr3.noise_level": "discrete", "diffusion.loss_weight": "min_snr"},
    ],
)
def test_consistent_settings_pass(settings):
    assert check(settings) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder.upsampler", "bilinear"),
        ("unet.space_to_depth", 3),
        ("diffusion.lr_divisor", 0),
        ("encoder.features", 0),
        ("encoder.growth", -1),
        ("unet.groups", -1),
        ("diffusion.residual_scale", 0.0),
        ("sr3.blocks", 0),
        ("sr3.image_size", 0),
        ("sr3.groups", 0),
        ("sr3.dropout", 1.0),
        ("sr3.noise_level", "gamma"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    system = "sr3" if name.startswith("sr3.") else "srdiff"
    with pytest.raises(UserError, match=rf"'{name}' must be .*, got {value!r}$"):
        check({"system": system, name: value})


NUMBERS = [
    (system, name)
    for system, schema in SCHEMAS.items()
    for name, setting in settings_of(schema).items()
    if setting.kind in (int, float)
]


@pytest.mark.parametrize(("system", "name"), NUMBERS)
def test_no_number_may_be_negative(system, name):
    with pytest.raises(UserError, match=f"'{name}' must be"):
        check({"system": system, name: -1})


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("blur_sigma", [0, 1], "a range above 0"),
        ("blur_sigma", [2, 1], "two numbers, the lower one first, from 0 up"),
        ("noise_range", [-1, 1], "two numbers, the lower one first, from 0 up"),
        ("kernel_size", [7, 20], "two odd numbers"),
        ("resize_prob", [0.5, 0.4, 0.2], "3 numbers from 0 up with the sum 1"),
        ("kernel_prob", [1], "6 numbers from 0 up with the sum 1"),
        ("resize_range", [1.1, 1.5], "a range above 0 with 1 in it"),
        ("jpeg_range2", [0, 95], "two numbers, the lower one first, from 1 to 100"),
        ("sinc_prob", 1.5, "at least 0 and at most 1"),
    ],
)
def test_ranges_and_probabilities_of_degradations(setting, value, expected):
    with pytest.raises(UserError, match=f"'degradation.{setting}' must be {expected}, got"):
        check({"system": "rrdb", f"degradation.{setting}": value})


def test_a_degradation_makes_lr_that_is_looked_at():
    for settings, message in (
        ({"system": "rrdb", "data.lr_kernel": "maxpool"}, "'data.lr_kernel' is maxpool, but 'degradation.kind' real"),
        ({"system": "sr3", "sr3.conditional": False, "data.scale": 1}, "real, but no LR picture is looked at; set"),
    ):
        with pytest.raises(UserError, match=message):
            check(settings | {"degradation.kind": "real"})


@pytest.mark.parametrize("system", SCHEMAS)
def test_a_sampler_and_a_spacing_that_are_unknown_are_refused_with_those_there_are(system):
    for name, value in (("eval.sampler", "euler"), ("eval.spacing", "karras")):
        with pytest.raises(UserError, match=rf"'{name}' must be one of [a-z].*'{value}'"):
            check({"system": system, name: value})


@pytest.mark.parametrize(
    ("patch_size", "scale", "fold", "levels", "nearest"),
    [
        (100, 4, 1, 4, "96 or 104"),
        (8, 4, 1, 4, "16"),  # the last level would be one pixel, too small for reflection padding
        (20, 4, 1, 4, "16 or 24"),
        (160, 4, 4, 5, "128 or 192"),
        (1, 4, 1, 1, "4"),
        (6, 4, 1, 1, "4 or 8"),
        (100, 8, 1, 2, "96 or 104"),
    ],
)
def test_the_nearest_valid_patch_sizes_are_named(patch_size, scale, fold, levels, nearest):
    message = refusal(
        data__patch_size=patch_size, data__scale=scale, unet__space_to_depth=fold, unet__multipliers=[1] * levels
    )
    assert message.startswith("'data.patch_size' must be a multiple of ")
    assert message.endswith(f"got {patch_size}; the nearest valid: {nearest}")
    for size in nearest.split(" or "):
        settings = {"data.patch_size": int(size), "data.scale": scale, "unet.space_to_depth": fold}
        assert check({**settings, "unet.multipliers": [1] * levels}) is None


def test_stage_one_needs_only_a_multiple_of_the_scale():
    assert refusal(system="rrdb", data__patch_size=102).endswith("got 102; the nearest valid: 100 or 104")


@pytest.mark.parametrize("width", [2, 33])
def test_a_width_without_two_halves_is_refused(width):
    assert "'unet.width' must be even and at least 4" in refusal(unet__width=width)


@pytest.mark.parametrize("multipliers", [[], [1, 0]])
def test_multipliers_must_be_positive_and_some(multipliers):
    assert "'unet.multipliers' must be one or more numbers" in refusal(unet__multipliers=multipliers)


def test_groups_that_do_not_divide_a_level_are_refused():
    message = refusal(unet__width=36, unet__groups=8)
    assert "got 8 groups for 36 channels; 4 would do" in message


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"encoder__blocks": 1}, "'encoder.blocks' must be at least 2"),
        ({"encoder__features": 1}, "set encoder.growth=1"),
        ({"data__scale": 2, "unet__space_to_depth": 4}, "set unet.space_to_depth=2"),
        ({"eval__steps": 101}, "'eval.steps' must be at most 'diffusion.steps' (100), got 101"),
        ({"diffusion__beta_start": 0.03}, "'diffusion.beta_start' must be at most 'diffusion.beta_end'"),
        ({"train__steps": 0}, "both 0; set one"),
        ({"train__epochs": 1}, "set one to 0"),
        ({"train__lr_schedule": "cosine", "train__lr_min": 2e-4}, "'train.lr_min' must be below 'train.lr' (0.0002)"),
        ({"data__scale": 1}, "'data.scale' must be 2, 4 or 8 for a system that enlarges pictures, got 1"),
    ],
)
def test_a_contradiction_is_refused_with_its_remedy(settings, problem):
    assert problem in refusal(**settings)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sr3__width": 2, "sr3__groups": 1}, "'sr3.width' must be even and at least 4, got 2"),
        ({"sr3__multipliers": []}, "'sr3.multipliers' must be one or more numbers from 1 up"),
        ({"sr3__width": 36, "sr3__groups": 8}, "got 8 groups for [36, 72, 144, 288, 288] channels; 4 would do"),
        ({"sr3__image_size": 100}, "'sr3.image_size' must be a multiple of space_to_depth·2^(levels−1) (16), got 100"),
        ({"sr3__attention": [16, 12]}, "must be among the resolutions of the levels, 128, 64, 32, 16, 8, got [16, 12]"),
        ({"sr3__conditional": False}, "'data.scale' must be 1 where 'sr3.conditional' is false, got 4"),
        ({"data__scale": 1}, "'data.scale' must be 2, 4 or 8 for a system that enlarges pictures, got 1"),
        (
            {"data__patch_size": 100},
            "a multiple of 16 (of the scale (4) and space_to_depth·2^(levels−1) (16)), at least 16, got 100",
        ),
        ({"diffusion__residual_scale": 1.0}, "'diffusion.residual_scale', it belongs to system=srdiff"),
        ({"diffusion__lr_divisor": 256}, "'diffusion.lr_divisor', it belongs to system=srdiff"),
        ({"diffusion__residual_of": "encoder"}, "'diffusion.residual_of', it belongs to system=srdiff"),
        ({"diffusion__loss_weight": "min_snr"}, "must be uniform where 'sr3.noise_level' is continuous, got min_snr"),
        ({"diffusion__beta_start": 0.03}, "'diffusion.beta_start' must be at most 'diffusion.beta_end'"),
        ({"eval__steps": 101}, "'eval.steps' must be at most 'diffusion.steps' (100), got 101"),
    ],
)
def test_contradictions_of_sr3(settings, problem):
    assert problem in refusal(system="sr3", **settings)


def check_encoder(**trained):
    """Hold the default srdiff's encoder against a stage 1 with {full name: value}; ``__`` stands for a dot."""
    settings = {"system": "rrdb"} | {name.replace("__", "."): value for name, value in trained.items()}
    srdiff = family_of(config_from_dict({}, SCHEMAS))
    srdiff.check_pretrained("encoder", config_from_dict(settings, SCHEMAS), "e.ckpt")


def test_an_encoder_equal_to_its_checkpoint_passes():
    assert check_encoder(encoder__growth=32) is None  # growth 0 is 64 / 2 as well


def test_an_encoder_of_another_size_is_refused_with_both_sizes_and_the_overrides():
    with pytest.raises(UserError) as caught:
        check_encoder(encoder__features=32, encoder__blocks=8)
    assert str(caught.value) == (
        "the encoder checkpoint e.ckpt has 32 features, 8 blocks, growth 16, upsampler nearest, scale 4, but the "
        "configuration asks for 64 features, 17 blocks, growth 32, upsampler nearest, scale 4; add "
        "encoder.features=32 encoder.blocks=8 encoder.growth=16 or name another encoder.checkpoint"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("encoder.upsampler", "pixelshuffle"), ("data.scale", 8), ("encoder.growth", 16)]
)
def test_the_remedy_holds_only_what_differs(name, value):
    with pytest.raises(UserError, match=f"; add {name}={value} or"):
        check_encoder(**{name: value})


def test_the_regression_baseline_enlarges_and_is_told_nothing():
    sizes = {"system": "sr3", "sr3__noise_level": "none"}
    assert "'sr3.affine' is how the noise level is told" in refusal(**sizes, sr3__affine=True)
    message = refusal(**sizes, sr3__conditional=False, data__scale=1)
    assert message == "'sr3.conditional' is false, but 'sr3.noise_level' none makes pictures from LR↑; set one back"


def test_the_loss_of_one_pass_is_not_that_of_diffusion():
    message = refusal(system="sr3", train__pixel_loss="l2")
    assert message.startswith("'train.pixel_loss' is of a network that makes its picture in one pass, got l2; set diff")
    for one_pass in ({"system": "rrdb"}, {"system": "sr3", "sr3.noise_level": "none"}):
        assert check(one_pass | {"train.pixel_loss": "l2"}) is None


def test_the_loss_is_the_metric_of_models_without_lr_alone():
    assert "'train.best_metric' may be loss only where 'sr3.conditional' is false" in refusal(train__best_metric="loss")
    settings = {"system": "sr3", "sr3.conditional": False, "data.scale": 1, "train.best_metric": "loss"}
    assert check(settings) is None


def test_a_checkpoint_without_an_encoder_is_refused_as_stage_1():
    config, other = (config_from_dict({"system": system}, SCHEMAS) for system in ("srdiff", "sr3"))
    with pytest.raises(UserError, match="expected an RRDB or an SRDiff in encoder.checkpoint, got the sr3 w.ckpt"):
        family_of(config).check_pretrained("encoder", other, "w.ckpt")
