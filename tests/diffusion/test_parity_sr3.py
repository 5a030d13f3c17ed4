"""Parity with the PyTorch port of SR3 and DDPM at 1e-4 absolute in float32, up to the finished sample."""

import mindspore as ms
import numpy as np
import pytest

from src.build import load_upscaler
from src.commands import convert
from src.diffusion.process import q_sample
from src.diffusion.schedule import Step
from src.families.registry import family_of
from src.weights.checkpoint import config_json, load_into, save_model
from src.weights.torch_file import read_torch
from tests import tiny

TOLERANCE = 1e-4
MODELS = ("sr3_8_32", "ddpm_8_32", "sr3_uncond_32")
GIVEN = {"sr3": {"image_size": 32, "groups": 8}, "data": {"scale": 4}}


class Converted:
    """A converted model, its configuration, its upscaler and the golden values."""

    def __init__(self, folder):
        path = folder / "I100_E1_gen.pth"
        self.conditional, self.discrete = "uncond" not in folder.name, folder.name.startswith("ddpm")
        given = GIVEN if self.conditional else {"sr3": GIVEN["sr3"]}
        self.config, self.arrays, _ = convert.converted(read_torch(path), given)
        self.model = family_of(self.config).model()
        load_into(self.model, self.arrays, path)
        self.upscaler = tiny.around(self.config, family_of(self.config).model_networks(self.model))
        with np.load(folder / "golden.npz") as golden:
            self.golden = dict(golden)

    def condition(self):
        return self.upscaler.encode(None, self.golden["SR"]) if self.conditional else None

    def noise(self, k, shape):
        return self.golden["init_noise"] if k == 0 else self.golden["step_noise"][k - 1]

    def sample(self, upscaler):
        given = {"lr_up": self.golden["SR"]} if self.conditional else {"shape": self.golden["SR"].shape}
        return upscaler.sample(None, noise=self.noise, **given)


@pytest.fixture(scope="module", params=[(name, mode) for name in MODELS for mode in ("graph", "pynative")], ids=str)
def converted(request, shared):
    name, mode = request.param
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    yield Converted(shared / "golden" / name)
    ms.set_context(mode=ms.GRAPH_MODE)


def deviation(found, expected):
    return float(np.abs(np.asarray(found, np.float64) - expected).max())


def test_schedule(converted):
    schedule, golden = family_of(converted.config).schedule(), converted.golden
    variance = schedule.betas * (1 - np.append(1.0, schedule.alphas_cumprod[:-1])) / (1 - schedule.alphas_cumprod)
    assert deviation(schedule.betas, golden["sched_betas"]) < 1e-7
    log_variance = np.log(np.maximum(variance, 1e-20))
    assert deviation(log_variance, golden["sched_posterior_log_variance_clipped"]) < TOLERANCE


def test_noise_prediction(converted):
    condition, golden = converted.condition(), converted.golden
    told = {name: name.removeprefix("eps_level_").removeprefix("eps_t") for name in golden if name.startswith("eps_")}
    assert len(told) == 3
    for name, number in told.items():
        level = np.full(2, int(number), np.int32) if converted.discrete else np.full(2, float(number), np.float32)
        found = converted.upscaler.predict_noise(golden["x_t"], level, condition)
        assert deviation(found, golden[name]) < TOLERANCE


def test_q_sample(converted):
    golden, schedule = converted.golden, family_of(converted.config).schedule()
    x_0 = family_of(converted.config).target().to_x0(golden["HR"], golden["SR"])
    if converted.discrete:
        rates = schedule.signal_rate[golden["t_mixed"]], schedule.noise_rate[golden["t_mixed"]]
    else:
        rates = converted.upscaler.noise_level.rates(golden["sqrt_gamma"])
    rates = (rate.reshape(-1, 1, 1, 1) for rate in rates)
    assert deviation(q_sample(x_0, golden["noise"], *rates), golden["q_sample"]) < TOLERANCE


def test_finished_sample(converted):
    assert deviation(converted.sample(converted.upscaler), converted.golden["sample"]) < TOLERANCE


@pytest.mark.parametrize("converted", [(name, "graph") for name in MODELS], indirect=True, ids=str)
def test_a_checkpoint_of_it_gives_the_same_sample(converted, tmp_path):
    save_model(tmp_path / "w.ckpt", converted.arrays, config_json(converted.config), 0)
    upscaler = load_upscaler(tmp_path / "w.ckpt", "CPU")
    assert deviation(converted.sample(upscaler), converted.golden["sample"]) < TOLERANCE


def test_the_level_that_is_told_is_that_of_the_step(converted):
    """√ᾱ_t, and neither that of the step after nor of the step before."""
    step = Step(10, 9, 0.25, 0.36)
    assert converted.upscaler.noise_level.of(step) == (10 if converted.discrete else 0.5)
