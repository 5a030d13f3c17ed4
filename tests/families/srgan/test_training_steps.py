"""Whole training steps of PyTorch programs, from the same weights on the same pictures (SRGAN, ESRGAN, Real-ESRGAN)."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.commands.convert import converted
from src.families.registry import family_of
from src.families.srgan.convert_discriminator import discriminator_settings, their_discriminator_name
from src.losses.adversarial import AdversarialLoss
from src.losses.discriminator import build_discriminator
from src.losses.gan import DiscriminatorLoss, GeneratorLoss, PictureLoss
from src.losses.perceptual import perceptual_from_arrays
from src.training.optimizers import RateSchedule, adam
from src.training.step import JointStep, TrainStep, Update
from src.weights.checkpoint import load_into, put
from src.weights.state_dict import find_state_dict
from src.weights.torch_file import read_torch
from tests.losses.test_perceptual import formula

# What each program minimises: the weights of its parts, how pixels differ, VGG's layers, the adversarial loss.
KINDS = {
    "srgan_paper": (
        {"perceptual": 1 / 12.75**2, "adversarial": 1e-3}, "l2", ("vgg19", "relu5_4", "l2", True), "vanilla"
    ),
    "leftthomas": (
        {"pixel": 1, "perceptual": 6e-3, "adversarial": 1e-3, "variation": 2e-8}, "l2", ("vgg16", "pool5", "l2", False),
        "probability",
    ),
    "esrgan": (
        {"pixel": 1e-2, "perceptual": 1, "adversarial": 5e-3}, "l1", ("vgg19", "conv5_4", "l1", True), "relativistic"
    ),
    "realesrgan": (
        {"pixel": 1, "perceptual": 1, "adversarial": 0.1}, "l1",
        ("vgg19", "conv1_2=0.1,conv2_2=0.1,conv3_4,conv4_4,conv5_4", "l1", True), "vanilla",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def vgg():
    return {network: formula(network) for network in ("vgg16", "vgg19")}


class Gradients(nn.Cell):
    def __init__(self, loss, parameters):
        super().__init__(auto_prefix=False)
        self.gradient = ms.value_and_grad(loss, None, ms.ParameterTuple(parameters), has_aux=True)

    def construct(self, hr, picture):
        return self.gradient(hr, picture)


class Recorded:
    """A recorded training, and ours at the same place; tensors have the recorded names."""

    def __init__(self, folder, kind, vgg):
        self.kind = kind
        weights, pixel_loss, perceptual, adversarial = KINDS[kind]
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.arrays = np.load(folder / "golden.npz")
        files = sorted(path.name for path in folder.glob("*.pth"))  # the discriminator's is the first
        config, arrays, conversion = converted(read_torch(folder / files[1]), {})
        self.generator = family_of(config).model()
        load_into(self.generator, arrays, folder)
        self.their_name = conversion.their_name
        tensors, _ = find_state_dict(read_torch(folder / files[0]))
        found, side = discriminator_settings(tensors)
        self.network = found["network"]
        self.discriminator = build_discriminator(patch_size=side or 32, **found)
        for parameter in self.discriminator.get_parameters():
            put(parameter, tensors[their_discriminator_name(self.network, parameter.name)])
        adversarial = AdversarialLoss(adversarial)
        perceptual = perceptual_from_arrays(*perceptual, vgg[perceptual[0]])
        losses = PictureLoss(weights, pixel_loss, perceptual, self.discriminator, adversarial)
        self.generator_loss = GeneratorLoss(self.generator, losses)
        self.discriminator_loss = DiscriminatorLoss(self.discriminator, adversarial)

    def batch(self, number):
        def tensor(name):
            pictures = self.arrays[name][number].transpose(0, 3, 1, 2)
            return ms.Tensor(pictures.astype(np.float32) / 127.5 - 1)

        return tensor("hr_u8"), tensor("lr_u8")

    def goal(self, hr):
        """What the first step's picture is compared with: Real-ESRGAN's HR is sharpened."""
        return ms.Tensor(self.arrays["gt_usm_0"]) * 2 - 1 if self.kind == "realesrgan" else hr

    def gradients(self, loss, network):
        loss.set_train()  # a gradient does not hand the mode on
        return Gradients(loss, network.trainable_params())

    def named(self, parameters, values, of_discriminator):
        names = [
            their_discriminator_name(self.network, parameter.name)
            if of_discriminator
            else self.their_name(parameter.name)
            for parameter in parameters
        ]
        return dict(zip(names, (value.asnumpy() for value in values), strict=True))

    def state(self, of_discriminator):
        parameters = list((self.discriminator if of_discriminator else self.generator).get_parameters())
        return self.named(parameters, parameters, of_discriminator)

    def step(self):
        """Our training step as train.py runs it, with the recorded Adam."""
        settings = self.config["adam"]
        steps = [
            TrainStep(loss, Update(adam([(network.trainable_params(), RateSchedule(settings["lr"], "constant", 2))],
                                        *settings["betas"])))
            for loss, network in (
                (self.generator_loss, self.generator), (self.discriminator_loss, self.discriminator)
            )
        ]  # fmt: skip
        return JointStep(steps, steps[0])

    def check_gradients(self, prefix, found):
        """Compare gradients with the recorded ones, relative to the largest value of all where that is above 1."""
        recorded = {name: self.arrays[f"{prefix}/{name}"] for name in self.names(prefix)}
        largest = max(1, *(np.abs(gradient).max() for gradient in recorded.values()))
        assert len(recorded) > 8
        for name, expected in recorded.items():
            assert np.abs(found[name] - expected).max() <= 1e-4 * largest, name

    def check_weights(self, prefix, found):
        """Compare weights after a step by their medians: single ones may go another way.

        Adam divides by |g| + 1e-8, and there are gradients as small as that: a twentieth of a step is allowed.
        """
        for name in self.names(prefix):
            expected, is_statistic = self.arrays[f"{prefix}/{name}"], name.endswith(STATISTICS)
            if f"{prefix}/{name}" in self.config["not_reproducible"] or name.endswith("num_batches_tracked"):
                continue
            if is_statistic and self.kind == "srgan_paper":
                distance = np.abs(found[name] - expected).max() / max(1, np.abs(expected).max())
                assert distance <= 1e-4, (name, distance)
            elif not is_statistic:
                distance = np.median(np.abs(found[name] - expected))
                assert distance <= 0.05 * self.config["adam"]["lr"], (name, distance)

    def names(self, prefix):
        return [name.removeprefix(prefix + "/") for name in self.arrays.files if name.startswith(prefix + "/")]

    def losses(self, number):
        """The recorded losses of a step: the generator's and the discriminator's."""
        found = {name: float(self.arrays[f"loss_{number}/{name}"]) for name in self.names(f"loss_{number}")}
        return found["g"], found["d"] if "d" in found else found["d_real"] + found["d_fake"]


# BatchNorm's, and the vectors of spectral normalisation, follow each pass of D; the programs but the paper's have more.
STATISTICS = "running_mean", "running_var", "weight_u", "weight_v"


@pytest.fixture
def recorded(request, shared, vgg):
    return Recorded(shared / "golden/srgan" / f"step_{request.param}", request.param, vgg)


@pytest.mark.parametrize("recorded", KINDS, indirect=True)
def test_losses_and_gradients_of_the_first_step(recorded):
    hr, lr = recorded.batch(0)
    (value, parts, handed_hr, sr), gradients = recorded.gradients(recorded.generator_loss, recorded.generator)(
        recorded.goal(hr), lr
    )
    of_generator, of_discriminator = recorded.losses(0)
    assert float(value.asnumpy()) == pytest.approx(of_generator, rel=1e-5)
    assert float(parts.asnumpy().sum()) == pytest.approx(of_generator, rel=1e-5)
    every = sr.shape[-1] // recorded.arrays["sr_0"].shape[-1]  # large ones are recorded at every fourth pixel
    np.testing.assert_allclose(sr.asnumpy()[..., ::every, ::every], recorded.arrays["sr_0"], atol=1e-5)
    recorded.check_gradients("grad_g_0", recorded.named(recorded.generator.trainable_params(), gradients, False))
    gradient = recorded.gradients(recorded.discriminator_loss, recorded.discriminator)
    (value, _), gradients = gradient((hr + 1) / 2, sr)
    assert float(value.asnumpy()) == pytest.approx(of_discriminator, rel=1e-5)
    recorded.check_gradients("grad_d_0", recorded.named(recorded.discriminator.trainable_params(), gradients, True))


@pytest.mark.slow
@pytest.mark.parametrize("recorded", ["srgan_paper", "leftthomas", "esrgan"], indirect=True)
def test_two_steps(recorded):
    step = recorded.step()
    for number in range(2):
        loss, _, taken, parts = step([recorded.batch(number)])
        named = {name: value for names, part in parts for name, value in zip(names, part.asnumpy(), strict=True)}
        of_generator, of_discriminator = recorded.losses(number)
        assert bool(taken)
        assert float(loss.asnumpy()) == pytest.approx(of_generator, rel=1e-3 if number else 1e-5)
        assert named["discriminator"] == pytest.approx(of_discriminator, rel=1e-3 if number else 1e-5)
        recorded.check_weights(f"after_{number}_g", recorded.state(False))
        recorded.check_weights(f"after_{number}_d", recorded.state(True))
