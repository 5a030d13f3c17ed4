"""The configurations that come with the project: each loads, is consistent, and holds its source's numbers."""

import dataclasses
from pathlib import Path

import pytest

from src.config.loader import config_to_dict
from src.config.schema import DegradationConfig
from src.families.registry import family_of, read_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
EXPERIMENTS = sorted(CONFIGS.glob("*.yaml"))
FILES = sorted(CONFIGS.rglob("*.yaml"))


def test_the_promised_experiments_are_there():
    models = ("df2k_x4", "div2k_x4", "celeba_x8", "df2k_x4_large", "lite_x4")
    assert {path.stem for path in EXPERIMENTS} >= {
        f"{system}_{model}" for system in ("rrdb", "srdiff") for model in models
    } | {
        "sr3_16_128", "sr3_64_512", "sr3_imagenet_64_256", "ddpm_16_128", "sr3_uncond_128", "ddpm_uncond_128",
        "sr3_regression_16_128", "sr3_lite_8_32", "sr3_lite_16_64", "sr3_lite_uncond_32",
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_loads_and_is_consistent(path):
    read_config(path)
    source = path.read_text(encoding="utf-8")
    assert source.startswith("# ")
    assert "# Source: " in source or " Source: " in source.splitlines()[0]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_its_name_is_its_file_s_and_its_system_its_name_s(path):
    config = read_config(path)
    assert config.name == path.stem
    of_srgan = any(name in path.stem for name in ("gan", "srresnet", "realesrnet"))
    family = "srgan" if of_srgan else path.stem.partition("_")[0]
    assert config.system == {"ddpm": "sr3"}.get(family, family)
    assert (family == "ddpm") == (config.system == "sr3" and config.sr3.noise_level == "discrete")


PICTURE_LOSSES = {"discriminator", "perceptual", "loss"}
SECTIONS = {
    "rrdb": {"encoder"},
    "srdiff": {"encoder", "unet", "diffusion", "distill"} | PICTURE_LOSSES,
    "sr3": {"sr3", "diffusion", "distill"} | PICTURE_LOSSES,
    "srgan": {"generator"} | PICTURE_LOSSES,
}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_it_holds_its_family_s_sections_and_no_other_s(path):
    config = read_config(path)
    sections = {name for name, value in config_to_dict(config).items() if isinstance(value, dict)}
    assert sections == {"data", "degradation", "train", "eval"} | SECTIONS[config.system]


STUDENTS = sorted(CONFIGS.glob("*step.yaml"))


@pytest.mark.parametrize("path", STUDENTS, ids=lambda path: path.stem)
def test_a_student_fits_its_teacher(path):
    of_teacher = CONFIGS / f"{path.stem.rpartition('_')[0]}.yaml"
    student, teacher = (family_of(read_config(each)) for each in (path, of_teacher))
    student.check_teacher(teacher, path)
    assert student.config.encoder == teacher.config.encoder
    assert student.config.unet == teacher.config.unet
    assert student.config.distill.teacher.endswith(f"{teacher.config.name}/model.ckpt") or "lite" in path.stem


@pytest.mark.parametrize("path", sorted({*CONFIGS.glob("srdiff_*.yaml")} - {*STUDENTS}), ids=lambda path: path.stem)
def test_stage_two_takes_the_encoder_that_stage_one_makes(path):
    config = read_config(path)
    stage_one = read_config(path.with_name(path.name.replace("srdiff", "rrdb")))
    shipped = {"srdiff_lite_x4": "checkpoints/rrdb_lite_x4.ckpt"}
    assert config.encoder.checkpoint == shipped.get(config.name, f"runs/{stage_one.name}/model.ckpt")
    assert config.encoder.frozen
    assert dataclasses.replace(config.data, val_pictures=stage_one.data.val_pictures) == stage_one.data
    family_of(config).check_pretrained("encoder", stage_one, config.encoder.checkpoint)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_benchmark_is_for_the_test_alone(path):
    data = read_config(path).data
    assert len({data.train, data.val, data.test}) == 3
    assert bool(data.test) == ("lite" not in path.stem)  # the lite models' own pictures are no benchmark


@pytest.mark.parametrize(
    ("name", "features", "blocks", "batch_size", "steps", "decay_every"),
    [
        ("rrdb_df2k_x4", 64, 17, 64, 100_000, 200_000),
        ("srdiff_df2k_x4", 64, 17, 64, 400_000, 200_000),
        ("rrdb_celeba_x8", 32, 8, 64, 100_000, 200_000),
        ("srdiff_celeba_x8", 32, 8, 32, 300_000, 100_000),
    ],
)
def test_the_paper_s_numbers(name, features, blocks, batch_size, steps, decay_every):
    config = read_config(CONFIGS / f"{name}.yaml")
    train = config.train
    assert (config.encoder.features, config.encoder.blocks, config.encoder.growth) == (features, blocks, 0)
    assert (train.batch_size, train.steps, train.lr_decay_every) == (batch_size, steps, decay_every)
    assert (train.lr, train.lr_schedule, train.lr_decay_factor) == (2e-4, "step", 0.5)
    assert config.data.patch_size == 160
    if config.system == "srdiff":
        assert (config.diffusion.steps, config.diffusion.schedule, config.diffusion.loss) == (100, "cosine", "l1")


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_the_published_mindspore_sizes(system):
    config = read_config(CONFIGS / f"{system}_df2k_x4_large.yaml")
    train = config.train
    assert (config.encoder.features, config.encoder.growth, config.encoder.blocks) == (64, 32, 8)
    assert (train.batch_size, train.steps, train.epochs) == (64, 0, 60)
    assert (train.lr, train.lr_schedule, train.lr_min) == (1.6e-4, "cosine", 1e-5)
    assert system == "rrdb" or config.unet.multipliers == (1, 2, 4, 8)


@pytest.mark.parametrize(
    ("name", "scale", "size", "levels", "blocks", "dropout"),
    [
        ("sr3_16_128", 8, 128, 5, 2, 0.2),
        ("sr3_64_512", 8, 512, 7, 2, 0.0),
        ("sr3_imagenet_64_256", 4, 256, 6, 3, 0.0),
        ("sr3_uncond_128", 1, 128, 5, 2, 0.2),
        ("sr3_regression_16_128", 8, 128, 5, 2, 0.2),
    ],
)
def test_sr3_s_numbers(name, scale, size, levels, blocks, dropout):
    config = read_config(CONFIGS / f"{name}.yaml")
    train, diffusion = config.train, config.diffusion
    assert (config.data.scale, config.data.patch_size, config.sr3.image_size) == (scale, size, size)
    assert (len(config.sr3.multipliers), config.sr3.blocks, config.sr3.dropout) == (levels, blocks, dropout)
    assert (diffusion.steps, diffusion.schedule, diffusion.beta_start, diffusion.beta_end) == (
        2000,
        "linear",
        1e-6,
        0.01,
    )
    assert (train.batch_size * train.accumulate, train.steps, train.warmup_steps) == (256, 1_000_000, 10_000)
    assert (train.lr, train.lr_schedule, config.eval.steps) == (1e-4, "constant", 2000)


@pytest.mark.parametrize(
    ("name", "told", "multipliers", "betas"),
    [
        ("sr3_uncond_128", "continuous", (1, 2, 4, 8, 8), (1e-6, 1e-2)),
        ("ddpm_uncond_128", "discrete", (1, 1, 2, 2, 4, 4), (1e-4, 2e-2)),
    ],
)
def test_the_numbers_of_models_that_make_pictures_from_nothing(name, told, multipliers, betas):
    config = read_config(CONFIGS / f"{name}.yaml")
    sr3, diffusion, train = config.sr3, config.diffusion, config.train
    assert (sr3.conditional, sr3.noise_level, sr3.width, sr3.multipliers) == (False, told, 64, multipliers)
    assert (sr3.blocks, sr3.attention, sr3.image_size, sr3.dropout) == (2, (16,), 128, 0.2)
    assert (diffusion.steps, diffusion.beta_start, diffusion.beta_end) == (2000, *betas)
    assert (train.lr, train.val_every, train.ema_decay, train.warmup_steps) == (1e-4, 10_000, 0.9999, 10_000)
    assert (train.best_metric, config.data.scale, config.data.patch_size) == ("loss", 1, 128)


def test_the_regression_baseline_has_sr3_s_network():
    baseline, sr3 = (read_config(CONFIGS / f"{name}.yaml") for name in ("sr3_regression_16_128", "sr3_16_128"))
    assert family_of(baseline).one_pass and not family_of(sr3).one_pass and baseline.train.pixel_loss == "l2"
    assert dataclasses.replace(baseline.sr3, noise_level="continuous") == sr3.sr3 and baseline.data == sr3.data


@pytest.mark.parametrize(
    ("name", "steps", "lr"), [("realesrnet_x4", 1_000_000, 2e-4), ("realesrgan_x4", 400_000, 1e-4)]
)
def test_real_esrgan_s_numbers(name, steps, lr):
    config = read_config(CONFIGS / f"{name}.yaml")
    train, generator = config.train, config.generator
    assert (generator.network, generator.features, generator.blocks, generator.growth) == ("rrdb", 64, 23, 32)
    assert (train.steps, train.lr, train.lr_schedule, train.beta1, train.beta2) == (steps, lr, "constant", 0.9, 0.99)
    assert (train.batch_size, config.data.patch_size, config.data.rotate, train.ema_decay) == (12, 256, False, 0.999)
    assert config.degradation == DegradationConfig(kind="real", gt_usm=True)
    if name == "realesrgan_x4":
        loss, layers = config.loss, "conv1_2=0.1,conv2_2=0.1,conv3_4=1,conv4_4=1,conv5_4=1"
        assert (loss.pixel, loss.perceptual, loss.adversarial, loss.kind) == (1, 1, 0.1, "vanilla")
        assert (config.perceptual.layers, config.perceptual.loss, config.discriminator.network) == (
            layers,
            "l1",
            "unet",
        )


def test_the_photo_model_is_the_lite_one_on_degraded_pictures():
    photo, lite = (read_config(CONFIGS / f"{name}.yaml") for name in ("rrdb_photo_lite_x4", "rrdb_lite_x4"))
    assert (photo.encoder, photo.data) == (lite.encoder, lite.data) and photo.degradation.kind == "real"
    assert not photo.eval.consistency  # the input, with its noise and blocks, is not to be reproduced
